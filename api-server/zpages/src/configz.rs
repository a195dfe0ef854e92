//! `/configz`: the configuration in force, in the manner of Kubernetes: one JSON object, the configuration under a name.

use serde_json::Value;

use crate::encode::escape_as_go_does;
use crate::flags::Flags;

/// What the configuration is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigName {
    /// The field under which it stands, usually the component.
    pub(crate) name: String,
    /// For example `config.example.dev/v1alpha1`.
    pub(crate) api_version: String,
    /// For example `ServerConfiguration`.
    pub(crate) kind: String,
}

/// The page's body: compact JSON without a final newline, `kind` and `apiVersion` first. Made from the flags, so that a
/// secret can't be shown here and hidden on `/flagz`.
pub(crate) fn body(name: &ConfigName, flags: Flags) -> String {
    let mut configuration = String::new();
    for (field, value) in kinds(name).into_iter().chain(flags.into_configuration()) {
        let separator = if configuration.is_empty() { "" } else { "," };
        configuration.extend([separator, &Value::String(field).to_string(), ":", &value.to_string()]);
    }
    escape_as_go_does(format!("{{{}:{{{configuration}}}}}", Value::from(name.name.as_str())))
}

/// Apart from the map of the flags, which sorts its fields.
fn kinds(name: &ConfigName) -> [(String, Value); 2] {
    [
        ("kind".to_owned(), Value::from(name.kind.as_str())),
        ("apiVersion".to_owned(), Value::from(name.api_version.as_str())),
    ]
}

#[cfg(test)]
mod tests {
    use super::{ConfigName, body};
    use crate::Flags;

    #[test]
    fn the_configuration_stands_under_its_name_with_its_kind_first() {
        let name = ConfigName {
            name: "a-server".to_owned(),
            api_version: "config.example.dev/v1".to_owned(),
            kind: "ServerConfiguration".to_owned(),
        };
        let flags = Flags::new().with("ops-listen", "[::1]:1").with_secret("api-key", true);
        let wanted = r#"{"a-server":{"kind":"ServerConfiguration","apiVersion":"config.example.dev/v1","#.to_owned()
            + r#""apiKey":"CLASSIFIED","opsListen":"[::1]:1"}}"#;
        assert_eq!(body(&name, flags), wanted);
    }
}
