//! Someone who asks, as Kubernetes knows people and programs.

use std::collections::BTreeMap;

const ANONYMOUS: &str = "system:anonymous";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct User {
    /// The name, `system:serviceaccount:NAMESPACE:NAME` for a program.
    pub name: String,
    /// The unique id; empty where there is none.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else is known of the user.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Someone who showed nothing.
    pub fn anonymous() -> Self {
        Self { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..Self::default() }
    }

    /// Whether this is nobody in particular. An API server may well know a token of the anonymous user.
    pub fn is_anonymous(&self) -> bool {
        self.name == ANONYMOUS
    }

    /// With the group of everyone who has shown who he is.
    pub(crate) fn authenticated(mut self) -> Self {
        let known = [AUTHENTICATED, UNAUTHENTICATED];
        if !self.is_anonymous() && !self.groups.iter().any(|group| known.contains(&group.as_str())) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::User;

    #[test]
    fn everyone_authenticated_is_in_the_group_of_them_once() {
        let alice = User { name: "alice".into(), groups: vec!["team".into()], ..User::default() }.authenticated();
        assert_eq!(alice.groups, ["team", "system:authenticated"]);
        assert_eq!(alice.clone().authenticated(), alice);
        assert_eq!(User::anonymous().authenticated(), User::anonymous());
    }
}
