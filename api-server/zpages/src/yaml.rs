//! YAML for the few shapes that z-pages have.

/// `value` as a YAML document.
pub(crate) fn document(value: &serde_json::Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default()
}
