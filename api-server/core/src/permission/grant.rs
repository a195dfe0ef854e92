//! What a caller of the API may do: the permissions of its root key, in both of Unkey's dialects.
//!
//! 1. Tuples `<resource>.<id|*>.<action>`, compared as literal strings: `api.*.verify_key` is that very text.
//! 2. Resource names `unkey:v1:<workspace>:<path>#<action>`, where `*` stands for one segment of the path, a trailing `/**` for all
//!    descendants, `**` for everything, and the action `*` counts together with `**` only.
//!
//! The workspace of a resource name is the Kubernetes namespace of the root key.

/// One thing that a caller wants to do, in both dialects.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// First part of the tuple, such as `api`.
    pub resource: &'a str,
    /// The id of the one resource that is meant; `None` for the whole sort (`api.*.create_api`).
    pub id: Option<&'a str>,
    /// The name of the resource sort in a path, such as `keyspaces`.
    pub collection: &'a str,
    /// What is to be done, such as `verify_key`.
    pub action: &'a str,
}

/// The permissions of one root key. An empty list allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants {
    /// Sorted, without duplicates.
    tuples: Box<[Box<str>]>,
    names: Box<[Name]>,
}

/// A granted resource name, its workspace checked and cut off.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    path: Box<str>,
    action: Box<str>,
}

impl Grants {
    /// The grants of a root key of this workspace. A resource name of another workspace grants nothing: it is passed over.
    pub fn new<'a>(workspace: &str, permissions: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut tuples, mut names) = (Vec::new(), Vec::new());
        for permission in permissions {
            match permission.strip_prefix("unkey:v1:") {
                Some(rest) => names.extend(Name::parse(workspace, rest)),
                None => tuples.push(Box::from(permission)),
            }
        }
        tuples.sort_unstable();
        tuples.dedup();
        Self { tuples: tuples.into(), names: names.into() }
    }

    /// Whether the caller may do this. Cost: two binary searches and a walk over the resource names.
    pub fn allow(&self, wanted: &Action<'_>) -> bool {
        let tuple = |id: &str| {
            let parts = [wanted.resource, ".", id, ".", wanted.action];
            self.tuples.binary_search_by(|have| compare(have, &parts)).is_ok()
        };
        tuple("*") || wanted.id.is_some_and(tuple) || self.names.iter().any(|name| name.allows(wanted))
    }
}

/// Compares a text with the concatenation of `parts`, without building it.
fn compare(text: &str, parts: &[&str]) -> std::cmp::Ordering {
    text.bytes().cmp(parts.iter().flat_map(|part| part.bytes()))
}

impl Name {
    fn parse(workspace: &str, rest: &str) -> Option<Self> {
        let (granted_workspace, rest) = rest.split_once(':')?;
        let (path, action) = rest.rsplit_once('#')?;
        let known = granted_workspace == workspace && !path.is_empty() && !action.is_empty();
        known.then(|| Self { path: path.into(), action: action.into() })
    }

    fn allows(&self, wanted: &Action<'_>) -> bool {
        let everything = &*self.path == "**";
        let action = &*self.action == wanted.action || (everything && &*self.action == "*");
        // Every resource belongs to the workspace's one project, as it does at Unkey.
        action
            && (everything
                || path_matches(&self.path, ["projects", "default", wanted.collection, wanted.id.unwrap_or("*")]))
    }
}

fn path_matches(pattern: &str, path: [&str; 4]) -> bool {
    let mut segments = path.into_iter();
    let mut pattern = pattern.split('/').peekable();
    while let Some(expected) = pattern.next() {
        if expected == "**" && pattern.peek().is_none() {
            return segments.next().is_some();
        }
        match segments.next() {
            Some(segment) if expected == "*" || expected == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(id: &str) -> Action<'_> {
        Action { resource: "api", id: Some(id), collection: "keyspaces", action: "verify_key" }
    }

    fn allows(permissions: &[&str], wanted: &Action<'_>) -> bool {
        Grants::new("team-a", permissions.iter().copied()).allow(wanted)
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        assert!(!allows(&[], &verify("api_1")));
    }

    #[test]
    fn tuples_are_literal() {
        assert!(allows(&["api.*.verify_key"], &verify("api_1")));
        assert!(allows(&["x", "api.api_1.verify_key", "a"], &verify("api_1")));
        assert!(!allows(&["api.api_2.verify_key"], &verify("api_1")));
        assert!(!allows(&["api.*.*", "*.*.verify_key", "api.api_1.*"], &verify("api_1")), "no globs");
    }

    #[test]
    fn resource_names_have_wildcards() {
        for granted in [
            "unkey:v1:team-a:**#*",
            "unkey:v1:team-a:**#verify_key",
            "unkey:v1:team-a:projects/*/keyspaces/api_1#verify_key",
            "unkey:v1:team-a:projects/*/keyspaces/*#verify_key",
            "unkey:v1:team-a:projects/**#verify_key",
            "unkey:v1:team-a:projects/default/keyspaces/**#verify_key",
        ] {
            assert!(allows(&[granted], &verify("api_1")), "{granted}");
        }
        for granted in [
            "unkey:v1:team-b:**#*",
            "unkey:v1:*:**#*",
            "unkey:v1:team-a:projects/*/keyspaces/*#*",
            "unkey:v1:team-a:projects/*/keyspaces/*#create_key",
            "unkey:v1:team-a:projects/*/keyspaces/api_2#verify_key",
            "unkey:v1:team-a:projects/*/keyspaces#verify_key",
            "unkey:v1:team-a:projects/*/keyspaces/*/**#verify_key",
            "unkey:v1:team-a:*#verify_key",
            "unkey:v1:team-a:**",
            "unkey:v1:team-a",
        ] {
            assert!(!allows(&[granted], &verify("api_1")), "{granted}");
        }
    }

    #[test]
    fn a_wanted_sort_needs_the_star() {
        let create = Action { resource: "api", id: None, collection: "keyspaces", action: "create_api" };
        assert!(allows(&["api.*.create_api"], &create));
        assert!(!allows(&["api.api_1.create_api"], &create));
        assert!(allows(&["unkey:v1:team-a:projects/*/keyspaces/*#create_api"], &create));
        assert!(!allows(&["unkey:v1:team-a:projects/*/keyspaces/api_1#create_api"], &create));
    }
}
