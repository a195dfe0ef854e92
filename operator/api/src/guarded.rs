//! An object that may be unreadable, without breaking the watch that brings it.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::error_boundary::InvalidObject;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object, or why it can't be read and whose it is.
///
/// What [`kube::core::DeserializeGuard`] is, for JSON alone, and proof against depth. The Kubernetes API stores metadata of keys that are
/// nested thousands of levels deep; `serde_json` stops at 128, which is an error of the whole listing, so that one such object of one tenant
/// would end the watch of all. Here the object's text is cut out first, which takes no recursion, and read on its own. It also takes less
/// time than the guard of kube, which makes a tree of each object and a copy of it.
#[derive(Clone, Debug)]
pub struct Guarded<K>(pub Result<K, InvalidObject>);

/// What is read of an unreadable object. Not all of its metadata: `managedFields` is as deep as the object.
#[derive(Deserialize)]
struct Named {
    metadata: Names,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let error = match serde_json::from_str(text) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error.to_string(),
        };
        let Named { metadata } = serde_json::from_str(text).map_err(D::Error::custom)?;
        let Names { name, namespace, uid, resource_version, generation } = metadata;
        let metadata = ObjectMeta { name, namespace, uid, resource_version, generation, ..ObjectMeta::default() };
        Ok(Self(Err(InvalidObject { error, metadata })))
    }
}

impl<K: Resource> Resource for Guarded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use kube::core::{DeserializeGuard, ObjectList, WatchEvent};

    use super::*;
    use crate::ApiKey;

    fn object(name: &str, spec: &str) -> String {
        // The order of fields is the API server's.
        format!(
            r#"{{"apiVersion":"keyplane.dev/v1alpha1","kind":"ApiKey","metadata":{{"managedFields":[{{"fieldsV1":{spec}}}],"name":"{name}","namespace":"team-a","uid":"u"}},"spec":{spec}}}"#
        )
    }

    fn deep(levels: usize) -> String {
        format!(r#"{{"meta":{}1{}}}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn one_object_that_is_too_deep_does_not_break_the_list() {
        let items = [
            object("good", "{}"),
            object("deep", &deep(9_000)),
            object("bad", r#"{"enabled":"yes"}"#),
            object("last", "{}"),
        ];
        let list = format!(
            r#"{{"apiVersion":"keyplane.dev/v1alpha1","kind":"ApiKeyList","metadata":{{"resourceVersion":"7"}},"items":[{}]}}"#,
            items.join(",")
        );
        let kube: Result<ObjectList<DeserializeGuard<ApiKey>>, _> = serde_json::from_str(&list);
        assert!(kube.is_err(), "kube's own guard takes it now, and this one can go");
        let list: ObjectList<Guarded<ApiKey>> = serde_json::from_str(&list).unwrap();
        let read: Vec<(String, bool)> = list.items.iter().map(|item| (item.name_any(), item.0.is_ok())).collect();
        assert_eq!(
            read,
            [("good", true), ("deep", false), ("bad", false), ("last", true)].map(|(n, ok)| (n.to_owned(), ok))
        );
        assert_eq!(list.items[1].namespace().as_deref(), Some("team-a"));
        assert!(list.items[1].0.as_ref().unwrap_err().error.contains("recursion limit"));
    }

    #[test]
    fn events_of_a_watch_are_read() {
        for (spec, readable) in [("{}".to_owned(), true), (deep(9_000), false)] {
            let line = format!(r#"{{"type":"ADDED","object":{}}}"#, object("a", &spec));
            let event: WatchEvent<Guarded<ApiKey>> = serde_json::from_str(&line).unwrap();
            let WatchEvent::Added(object) = event else { panic!("{event:?}") };
            assert_eq!((object.name_any(), object.0.is_ok()), ("a".to_owned(), readable));
        }
    }
}
