//! What the names in a key stand for: roles, identities, keyspaces. And one copy of each text that many keys hold.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use keyplane_api::record::{bare_identity, keyspace_id};
use keyplane_core::address::AllowList;
use keyplane_core::record::{IdentityRecord, KeyRecord, Seniority};

use super::claims::Claims;
use crate::registry::ObjectKey;

/// A name within its namespace.
type Name = (Arc<str>, Arc<str>);

#[derive(Default)]
pub(super) struct Names {
    /// Texts shared by records. Grows with the number of different permissions, roles, keyspaces and namespaces ever seen; a pod that
    /// saw a million different slugs of 30 bytes would keep 60 MB until its restart.
    texts: HashSet<Arc<str>>,
    keyspace_ids: HashMap<Name, Arc<str>>,
    roles: Table<Box<[Arc<str>]>>,
    identities: Table<Arc<IdentityRecord>>,
    /// From where the keys of a keyspace may be used.
    keyspaces: Table<Option<Arc<AllowList>>>,
}

impl Names {
    /// The one copy of this text.
    pub(super) fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.texts.get(text) {
            return shared.clone();
        }
        let shared: Arc<str> = text.into();
        self.texts.insert(shared.clone());
        shared
    }

    /// The id of a keyspace, computed once for all its keys.
    pub(super) fn keyspace_id(&mut self, namespace: &str, name: &str) -> Arc<str> {
        let key = (self.share(namespace), self.share(name));
        self.keyspace_ids.entry(key).or_insert_with(|| keyspace_id(namespace, name).into()).clone()
    }

    /// Fills in what the record's names stand for now: the permissions that its roles add, its identity's metadata and limits, the
    /// addresses that its keyspace allows.
    pub(super) fn resolve(&self, record: &mut KeyRecord, keyspace: &Arc<str>) {
        record.allowed = self.keyspaces.get(&(record.namespace.clone(), keyspace.clone())).cloned().flatten();
        let mut permissions: Vec<Arc<str>> = Vec::with_capacity(record.permissions.len());
        let own = record.permissions.iter().take(record.own_permissions);
        let roles = record.roles.iter().filter_map(|role| self.roles.get(&(record.namespace.clone(), role.clone())));
        permissions.extend(own.cloned());
        for permission in roles.flatten() {
            if !permissions.contains(permission) {
                permissions.push(permission.clone());
            }
        }
        if *permissions != *record.permissions {
            record.permissions = permissions.into();
        }
        if let Some(identity) = &mut record.identity {
            let name = (record.namespace.clone(), Arc::from(&*identity.external_id));
            if let Some(known) = self.identities.get(&name) {
                *identity = known.clone();
            } else {
                let bare = bare_identity(&record.namespace, &identity.external_id);
                if **identity != bare {
                    *identity = Arc::new(bare);
                }
            }
        }
    }

    /// Takes a role; returns the names of roles that this touched.
    pub(super) fn put_role(
        &mut self,
        object: &Arc<ObjectKey>,
        age: &Seniority,
        role: &str,
        permissions: &[String],
    ) -> Vec<Arc<str>> {
        let name = (self.share(&object.namespace), self.share(role));
        let permissions = permissions.iter().map(|permission| self.share(permission)).collect();
        self.roles.put(object, age, name, permissions)
    }

    /// Forgets a role.
    pub(super) fn remove_role(&mut self, object: &ObjectKey) -> Vec<Arc<str>> {
        self.roles.remove(object)
    }

    /// Takes an identity; returns the external ids that this touched.
    pub(super) fn put_identity(
        &mut self,
        object: &Arc<ObjectKey>,
        age: &Seniority,
        identity: IdentityRecord,
    ) -> Vec<Arc<str>> {
        let name = (self.share(&object.namespace), self.share(&identity.external_id));
        self.identities.put(object, age, name, Arc::new(identity))
    }

    /// Takes a keyspace; returns its name if that touched its keys.
    pub(super) fn put_keyspace(
        &mut self,
        object: &Arc<ObjectKey>,
        age: &Seniority,
        allowed: Option<AllowList>,
    ) -> Vec<Arc<str>> {
        let name = (self.share(&object.namespace), self.share(&object.name));
        self.keyspaces.put(object, age, name, allowed.map(Arc::new))
    }

    /// Forgets a keyspace.
    pub(super) fn remove_keyspace(&mut self, object: &ObjectKey) -> Vec<Arc<str>> {
        self.keyspaces.remove(object)
    }

    /// Forgets an identity.
    pub(super) fn remove_identity(&mut self, object: &ObjectKey) -> Vec<Arc<str>> {
        self.identities.remove(object)
    }
}

/// Objects by the names that they give themselves. Of two objects with one name the older one counts.
struct Table<T> {
    objects: HashMap<Arc<ObjectKey>, Entry<T>>,
    claims: Claims<Name>,
}

/// What one object says, and how old it is.
type Entry<T> = (Name, Seniority, T);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { objects: HashMap::new(), claims: Claims::default() }
    }
}

impl<T: PartialEq> Table<T> {
    fn get(&self, name: &Name) -> Option<&T> {
        self.objects.get(self.claims.owner(name)?).map(|(_, _, value)| value)
    }

    fn put(&mut self, object: &Arc<ObjectKey>, age: &Seniority, name: Name, value: T) -> Vec<Arc<str>> {
        let entry = (name.clone(), age.clone(), value);
        // A listing names every object again; what didn't change must not resolve thousands of keys.
        if self.objects.get(object) == Some(&entry) {
            return Vec::new();
        }
        let mut touched = self.remove(object);
        touched.push(name.1.clone());
        self.claims.claim(name, object, age);
        self.objects.insert(object.clone(), entry);
        touched
    }

    fn remove(&mut self, object: &ObjectKey) -> Vec<Arc<str>> {
        let Some((name, ..)) = self.objects.remove(object) else { return Vec::new() };
        self.claims.release(&name, object);
        vec![name.1]
    }
}
