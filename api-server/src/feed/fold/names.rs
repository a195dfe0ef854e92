//! What the names in a key stand for: roles, identities, keyspaces. And the one copy of what many keys have in common.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use keyplane_api::record::{Sharing, identity_id, keyspace_id};
use keyplane_core::address::AllowList;
use keyplane_core::id::Id;
use keyplane_core::plan::Terms;
use keyplane_core::record::{IdentityRecord, KeyRecord, PermissionList, PermissionSet, Place, Seniority};

use super::claims::Claims;
use super::pool::{Pool, Shared};
use super::slots::Labels;
use crate::registry::ObjectKey;

/// A name within its namespace.
type Name = (Arc<str>, Arc<str>);

#[derive(Default)]
pub(super) struct Names {
    texts: Pool<Arc<str>>,
    labels: Pool<Arc<Labels>>,
    terms: Pool<Arc<Terms>>,
    permission_sets: Pool<Arc<PermissionSet>>,
    /// Identities that have no object.
    bare: Pool<ById>,
    /// What keys of a keyspace have in common, by namespace and then by name. As many as there ever were keyspaces.
    places: HashMap<Arc<str>, HashMap<Arc<str>, Arc<Place>>>,
    roles: Table<Box<[Arc<str>]>>,
    identities: Table<Arc<IdentityRecord>>,
    /// From where the keys of a keyspace may be used.
    keyspaces: Table<Option<Arc<AllowList>>>,
}

impl Sharing for Names {
    fn place(&mut self, namespace: &str, keyspace: &str) -> Arc<Place> {
        if let Some(place) = self.places.get(namespace).and_then(|places| places.get(keyspace)) {
            return place.clone();
        }
        let (namespace, name) = (self.share(namespace), self.share(keyspace));
        let place = Arc::new(Place {
            keyspace: keyspace.into(),
            keyspace_id: keyspace_id(&namespace, keyspace).into(),
            allowed: self.keyspaces.get(&(namespace.clone(), name.clone())).cloned().flatten(),
            namespace: namespace.clone(),
        });
        self.places.entry(namespace).or_default().insert(name, place.clone());
        place
    }

    fn permissions(&mut self, namespace: &str, own: &[String], roles: &[String]) -> Arc<PermissionSet> {
        let own: Vec<Arc<str>> = own.iter().map(|permission| self.share(permission)).collect();
        let roles = roles.iter().map(|role| self.share(role)).collect();
        let namespace = self.share(namespace);
        self.permission_set(&namespace, own, roles)
    }

    fn identity(&mut self, namespace: &str, external_id: &str) -> Arc<IdentityRecord> {
        if let Some(known) = self.identities.get_in(namespace, external_id) {
            return known.clone();
        }
        let id = Id::from(&*identity_id(namespace, external_id));
        self.bare_identity(id, external_id)
    }

    fn terms(&mut self, terms: Terms) -> Arc<Terms> {
        self.terms.share(&terms, || Arc::new(terms.clone()))
    }
}

impl Names {
    /// The one copy of this text.
    fn share(&mut self, text: &str) -> Arc<str> {
        self.texts.share(text, || text.into())
    }

    /// The one copy of these labels; `None` for none.
    pub(super) fn labels(&mut self, labels: Option<&Labels>) -> Option<Arc<Labels>> {
        let labels = labels.filter(|labels| !labels.is_empty())?;
        Some(self.labels.share(labels, || Arc::new(labels.clone())))
    }

    fn permission_set(
        &mut self,
        namespace: &Arc<str>,
        own: Vec<Arc<str>>,
        roles: Box<[Arc<str>]>,
    ) -> Arc<PermissionSet> {
        let (mut permissions, own) = (own.clone(), own.len());
        for role in &roles {
            let name = (namespace.clone(), role.clone());
            for permission in self.roles.get(&name).into_iter().flatten() {
                if !permissions.contains(permission) {
                    permissions.push(permission.clone());
                }
            }
        }
        let list = PermissionList { permissions: permissions.into(), own, roles };
        self.permission_sets.share(&list, || Arc::new(list.clone().into()))
    }

    fn bare_identity(&mut self, id: Id, external_id: &str) -> Arc<IdentityRecord> {
        self.bare.share(&id, || ById(Arc::new(IdentityRecord::bare(&id, external_id)))).0
    }

    /// Fills in what the record's names stand for now: the permissions that its roles add, its identity's metadata and limits, the
    /// addresses that its keyspace allows.
    pub(super) fn resolve(&mut self, record: &mut KeyRecord) {
        let old = record.place.clone();
        record.place = self.place(&old.namespace, &old.keyspace);
        let set = &record.permission_set;
        if !set.roles.is_empty() {
            let own = set.permissions.get(..set.own).unwrap_or_default().to_vec();
            record.permission_set = self.permission_set(&old.namespace, own, set.roles.clone());
        }
        if let Some(identity) = &mut record.identity {
            *identity = match self.identities.get_in(&old.namespace, &identity.external_id) {
                Some(known) => known.clone(),
                None => self.bare_identity(identity.id, &identity.external_id),
            };
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
        let touched = self.keyspaces.put(object, age, name, allowed.map(Arc::new));
        self.forget_places(&object.namespace, &touched);
        touched
    }

    /// Forgets a keyspace.
    pub(super) fn remove_keyspace(&mut self, object: &ObjectKey) -> Vec<Arc<str>> {
        let touched = self.keyspaces.remove(object);
        self.forget_places(&object.namespace, &touched);
        touched
    }

    fn forget_places(&mut self, namespace: &str, keyspaces: &[Arc<str>]) {
        if let Some(places) = self.places.get_mut(namespace) {
            places.retain(|name, _| !keyspaces.contains(name));
        }
    }

    /// Forgets an identity.
    pub(super) fn remove_identity(&mut self, object: &ObjectKey) -> Vec<Arc<str>> {
        self.identities.remove(object)
    }
}

/// An identity found by its id, which follows from its namespace and its external id.
#[derive(Clone)]
struct ById(Arc<IdentityRecord>);

impl Borrow<Id> for ById {
    fn borrow(&self) -> &Id {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl Shared for ById {
    fn is_the_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1
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

    /// As [`Self::get`], for who has no shared texts; free while there are no objects.
    fn get_in(&self, namespace: &str, name: &str) -> Option<&T> {
        if self.objects.is_empty() { None } else { self.get(&(namespace.into(), name.into())) }
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
