//! Schemas of Kubernetes' own types where they sit in ours. Their generated schemas bound nothing, and an unbounded string or
//! list makes the API server refuse CEL rules above it as too expensive.

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// `status.conditions` as Kubernetes' own types have them: a list by type, so that several writers can each own theirs.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "What the condition is about, in CamelCase.",
                    "minLength": 1,
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
                "status": {
                    "type": "string",
                    "description": "Whether it is the case: True, False or Unknown.",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "type": "string",
                    "description": "Why, as one CamelCase word for programs.",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "type": "string",
                    "description": "Why, for people, and what to do about it.",
                    "maxLength": 32768,
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "description": "The metadata.generation that the condition was set for; lower than the object's: it is out of date.",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the status last changed.",
                },
            },
        },
    })
}

/// A quantity such as `1Gi` or `500m`, also as a bare number.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "maxLength": 64,
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
    })
}

/// Text by text.
pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// A part of a pod template. Its fields are not listed: they are Kubernetes' and grow with it; the API server checks the
/// StatefulSet that comes of them.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A label selector.
pub(crate) fn label_selector(generator: &mut SchemaGenerator) -> Schema {
    bounded(LabelSelector::json_schema(generator))
}

/// Requests and limits of a container.
pub(crate) fn resource_requirements(generator: &mut SchemaGenerator) -> Schema {
    bounded(ResourceRequirements::json_schema(generator))
}

/// Bounds strings, lists and maps that have no bound.
fn bounded(mut schema: Schema) -> Schema {
    if let Some(object) = schema.as_object_mut() {
        bound_fields(object);
    }
    schema
}

fn bound(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        bound_fields(object);
    }
}

fn bound_fields(schema: &mut serde_json::Map<String, Value>) {
    let types = schema.get("type").cloned().unwrap_or_default();
    let is = |name: &str| types == name || types.as_array().is_some_and(|types| types.iter().any(|t| t == name));
    if is("string") && schema.get("format").is_none() {
        schema.entry("maxLength").or_insert(253.into());
    }
    if is("array") {
        schema.entry("maxItems").or_insert(64.into());
    }
    if let Some(values) = schema.get_mut("additionalProperties") {
        bound(values);
        schema.entry("maxProperties").or_insert(64.into());
    }
    if let Some(items) = schema.get_mut("items") {
        bound(items);
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(bound);
    }
}
