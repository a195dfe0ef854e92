//! The permissions and roles of a key, shared by all keys that have the same.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Permissions and roles: what two keys must agree in to share one [`PermissionSet`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PermissionList {
    /// All permissions without duplicates: first the key's own, in their order, then those that its roles add.
    pub permissions: Box<[Arc<str>]>,
    /// How many of `permissions` are the key's own; the rest came with the roles.
    pub own: usize,
    /// Names of the key's roles, those included that no `KeyRole` describes.
    pub roles: Box<[Arc<str>]>,
}

/// A [`PermissionList`] with both lists as JSON arrays, as every answer shows them: rendered once for all keys that have the same.
#[derive(Clone, Debug)]
pub struct PermissionSet {
    list: PermissionList,
    permissions_json: Box<str>,
    roles_json: Box<str>,
}

impl PermissionSet {
    /// The permissions as a JSON array; `[]` for none.
    pub fn permissions_json(&self) -> &str {
        &self.permissions_json
    }

    /// The names of the roles as a JSON array; `[]` for none.
    pub fn roles_json(&self) -> &str {
        &self.roles_json
    }
}

impl From<PermissionList> for PermissionSet {
    fn from(list: PermissionList) -> Self {
        let json = |texts: &[Arc<str>]| serde_json::to_string(texts).unwrap_or_else(|_| "[]".to_owned()).into();
        Self { permissions_json: json(&list.permissions), roles_json: json(&list.roles), list }
    }
}

impl Default for PermissionSet {
    fn default() -> Self {
        PermissionList::default().into()
    }
}

impl Deref for PermissionSet {
    type Target = PermissionList;

    fn deref(&self) -> &PermissionList {
        &self.list
    }
}

// A set is found by its list, so both compare and hash as that.
impl Borrow<PermissionList> for Arc<PermissionSet> {
    fn borrow(&self) -> &PermissionList {
        &self.list
    }
}

impl Hash for PermissionSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.list.hash(state);
    }
}

impl PartialEq for PermissionSet {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for PermissionSet {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_json_arrays() {
        let list = PermissionList { permissions: ["a".into(), "b\"c".into()].into(), own: 1, roles: Box::default() };
        let set = PermissionSet::from(list);
        assert_eq!((set.permissions_json(), set.roles_json(), set.own), (r#"["a","b\"c"]"#, "[]", 1));
    }
}
