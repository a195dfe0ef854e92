//! Manifests of a directory.

use keyplane_api_server::registry::manifests::read_text;

/// Objects that are read are read again from what they are printed as; an error is a sentence and not a copy of the file.
pub fn manifest(bytes: &[u8]) {
    let Some(text) = crate::text(bytes) else { return };
    match read_text(text, "default") {
        Ok(objects) => {
            let printed = objects.iter().fold(String::new(), |text, object| {
                text + "---\n" + std::str::from_utf8(&object.to_json().unwrap()).unwrap() + "\n"
            });
            let again = read_text(&printed, "another").unwrap_or_else(|error| panic!("{error}: {printed}"));
            assert_eq!(again, objects, "{printed}");
            for object in &objects {
                let key = object.key();
                assert!(!key.name.is_empty() && !key.namespace.is_empty() && object.metadata().uid.is_some());
            }
        }
        Err(error) => assert!(error.to_string().len() < 1_000 + 2 * text.len(), "{error}"),
    }
}
