//! `authorization.permissions` of a v1 verification: a text, or `{"and":[…]}` and `{"or":[…]}` with permissions or more of the same in it.

use keyplane_core::permission::{Query, QueryError};
use serde_json::{Map, Value};

use crate::engine::Permissions;

/// Permissions in one query: as many as fit into the longest text (1,000 bytes of `a or b or c`, five each).
const MAX_PERMISSIONS: usize = 200;
/// Objects within each other. People write two or three; it bounds the recursion here and where the query is evaluated.
const MAX_DEPTH: usize = 32;
/// The longest permission that a key can have, in characters.
const LONGEST: usize = 128;

/// What a key must be allowed, as the client wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    /// A text, which is parsed where it is needed: only for a key that exists.
    Text(&'a str),
    /// The query that an object stands for.
    Query(Query),
}

/// Why a value is no query. Each says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WantedError {
    #[error("{0}: must be a string, or an object with either `and` or `or`")]
    Shape(String),
    #[error("{0}: must be a list")]
    List(String),
    #[error("{0}: must have at most {LONGEST} characters")]
    LongPermission(String),
    #[error("{at}: {error}")]
    Query { at: String, error: QueryError },
    #[error("{0}: is deeper than {MAX_DEPTH} levels")]
    TooDeep(String),
    #[error("{0}: is one permission too many; a query has at most {MAX_PERMISSIONS}")]
    TooMany(String),
}

impl<'a> Wanted<'a> {
    /// Reads the value of `authorization.permissions`. Cost: linear in the value.
    pub(super) fn read(value: &'a Value) -> Result<Self, WantedError> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Object(_) => {
                Reader { permissions: 0 }.query("body.authorization.permissions", value, 0).map(Self::Query)
            }
            _ => Err(WantedError::Shape("body.authorization.permissions".to_owned())),
        }
    }

    /// For the engine.
    pub(super) fn as_permissions(&self) -> Permissions<'_> {
        match self {
            Self::Text(text) => Permissions::Text(text),
            Self::Query(query) => Permissions::Query(query),
        }
    }
}

struct Reader {
    /// Seen so far.
    permissions: usize,
}

impl Reader {
    fn query(&mut self, at: &str, value: &Value, depth: usize) -> Result<Query, WantedError> {
        if depth > MAX_DEPTH {
            return Err(WantedError::TooDeep(at.to_owned()));
        }
        match value {
            Value::String(permission) => self.permission(at, permission),
            Value::Object(object) => {
                let (name, combine, parts) = operator(object).ok_or_else(|| WantedError::Shape(at.to_owned()))?;
                let at = format!("{at}.{name}");
                let Value::Array(parts) = parts else { return Err(WantedError::List(at)) };
                let query = |(index, part)| self.query(&format!("{at}[{index}]"), part, depth + 1);
                let parts = parts.iter().enumerate().map(query).collect::<Result<_, _>>()?;
                combine(parts).map_err(|error| WantedError::Query { at, error })
            }
            _ => Err(WantedError::Shape(at.to_owned())),
        }
    }

    fn permission(&mut self, at: &str, text: &str) -> Result<Query, WantedError> {
        self.permissions += 1;
        if self.permissions > MAX_PERMISSIONS {
            return Err(WantedError::TooMany(at.to_owned()));
        }
        if text.chars().count() > LONGEST {
            return Err(WantedError::LongPermission(at.to_owned()));
        }
        Query::permission(text).map_err(|error| WantedError::Query { at: at.to_owned(), error })
    }
}

type Combine = fn(Vec<Query>) -> Result<Query, QueryError>;

/// The one operator of an object. Of two, one would be ignored; a check that someone wrote and nobody makes is refused instead.
fn operator(object: &Map<String, Value>) -> Option<(&'static str, Combine, &Value)> {
    let mut members = object.iter();
    match (members.next(), members.next()) {
        (Some((name, parts)), None) if name == "and" => Some(("and", Query::all, parts)),
        (Some((name, parts)), None) if name == "or" => Some(("or", Query::any, parts)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn query(value: &Value) -> Result<Query, String> {
        match Wanted::read(value) {
            Ok(Wanted::Query(query)) => Ok(query),
            Ok(Wanted::Text(text)) => panic!("a text: {text}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn an_object_stands_for_the_query_that_a_text_would_be() {
        for (value, text) in [
            (json!({"and": ["a", "b"]}), "a AND b"),
            (json!({"or": ["a", {"and": ["b", "c", {"or": ["d", "e"]}]}]}), "a OR (b AND c AND (d OR e))"),
            (json!({"or": ["a.*"]}), "a.*"),
        ] {
            assert_eq!(query(&value), Ok(Query::parse(text).unwrap()), "{value}");
        }
        assert_eq!(Wanted::read(&json!("a AND b")), Ok(Wanted::Text("a AND b")));
    }

    #[test]
    fn what_is_no_query_says_where_and_why() {
        let long = "p".repeat(LONGEST + 1);
        for (value, expected) in [
            (json!(7), "body.authorization.permissions: must be a string, or an object"),
            (json!(null), "body.authorization.permissions: must be a string, or an object"),
            (json!({}), "body.authorization.permissions: must be a string, or an object"),
            (json!({"not": ["a"]}), "body.authorization.permissions: must be a string, or an object"),
            (json!({"and": ["a"], "or": ["b"]}), "either `and` or `or`"),
            (json!({"and": "a"}), "body.authorization.permissions.and: must be a list"),
            (json!({"and": []}), "body.authorization.permissions.and: a part of the query lists no permission"),
            (json!({"or": ["a", {"and": [{"or": []}]}]}), "permissions.or[1].and[0].or: a part of the query"),
            (json!({"or": ["a", null]}), "body.authorization.permissions.or[1]: must be a string, or an object"),
            (json!({"or": ["a b"]}), "body.authorization.permissions.or[0]: 'a b' is not one permission"),
            (json!({"or": [""]}), "'' is not one permission"),
            (json!({"or": [long]}), "body.authorization.permissions.or[0]: must have at most 128 characters"),
        ] {
            let error = query(&value).unwrap_err();
            assert!(error.contains(expected), "{value}: {error}");
        }
    }

    #[test]
    fn size_and_depth_have_an_end() {
        let many = |count: usize| json!({"or": vec!["a"; count]});
        assert!(query(&many(MAX_PERMISSIONS)).is_ok());
        assert!(query(&many(MAX_PERMISSIONS + 1)).unwrap_err().contains("or[200]: is one permission too many"));
        let deep = |levels: usize| (0..levels).fold(json!("a"), |inner, _| json!({"and": [inner]}));
        assert!(query(&deep(MAX_DEPTH)).is_ok());
        assert!(query(&deep(MAX_DEPTH + 1)).unwrap_err().contains("is deeper than 32 levels"));
    }
}
