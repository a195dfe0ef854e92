//! An object of any of our kinds, as a registry holds it.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use keyplane_api::{ApiKey, Identity, KeyPermission, KeyRole, Keyspace, RateLimit, RateLimitOverride, RootKey};

/// The one list of kinds. What must be said for each of them is generated here, so that a new kind is added in one place. `$d` is a
/// dollar sign, which the generated macros need for arguments of their own.
macro_rules! kinds {
    ($d:tt $($kind:ident),+ $(,)?) => {
        /// The kinds that a registry holds. `VerifyPool` is not among them: it means something to an operator only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", stringify!($kind), "`.")] $kind),+
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// As manifests spell it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind)),+
                }
            }
        }

        /// An object of one of our kinds.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $(#[doc = concat!("An `", stringify!($kind), "`.")] $kind(Box<$kind>)),+
        }

        impl Object {
            /// Its kind.
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind),+
                }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata),+
                }
            }

            /// Its metadata, to change.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => &mut object.metadata),+
                }
            }

            /// Whether both say the same in their spec: a change of it is a new generation.
            pub fn same_spec(&self, other: &Self) -> bool {
                match (self, other) {
                    $((Self::$kind(one), Self::$kind(other)) => one.spec == other.spec,)+
                    _ => false,
                }
            }

            /// As JSON, with `apiVersion` and `kind`.
            pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
                match self {
                    $(Self::$kind(object) => serde_json::to_vec(object)),+
                }
            }

            /// Reads an object of this kind.
            pub fn from_json(kind: Kind, json: &[u8]) -> Result<Self, serde_json::Error> {
                match kind {
                    $(Kind::$kind => Ok(Self::$kind(serde_json::from_slice(json)?))),+
                }
            }

            /// Reads an object of this kind from a parsed document that a person wrote.
            pub fn from_value(kind: Kind, value: serde_json::Value) -> Result<Self, InvalidObject> {
                match kind {
                    $(Kind::$kind => Ok(Self::$kind(serde_path_to_error::deserialize(value)?))),+
                }
            }
        }

        /// Runs the expression with `$type` as the Rust type of `$of`.
        macro_rules! with_type {
            ($d of:expr, $d type:ident => $d body:expr) => {
                match $d of {
                    $($crate::registry::Kind::$kind => {
                        type $d type = keyplane_api::$kind;
                        $d body
                    })+
                }
            };
        }

        /// Runs the expression with the typed object inside of `$object`.
        macro_rules! with_object {
            ($d object:expr, $d inner:ident => $d body:expr) => {
                match $d object {
                    $($crate::registry::Object::$kind($d inner) => $d body),+
                }
            };
        }

        $(
            impl From<$kind> for Object {
                fn from(object: $kind) -> Self {
                    Self::$kind(Box::new(object))
                }
            }
        )+
    };
}

kinds!($ ApiKey, RootKey, Keyspace, Identity, KeyRole, KeyPermission, RateLimit, RateLimitOverride);

impl Kind {
    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A document that is not the object that its kind says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidObject {
    field: String,
    message: String,
}

impl From<serde_path_to_error::Error<serde_json::Error>> for InvalidObject {
    fn from(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        Self { field: error.path().to_string(), message: without_text(&error.inner().to_string()) }
    }
}

/// A message of serde without the text that it quotes: whoever puts a plain key where its hash belongs must not find it in the log.
fn without_text(message: &str) -> String {
    const QUOTED: &str = "string \"";
    match (message.find(QUOTED), message.rfind("\", expected")) {
        (Some(start), Some(end)) if start < end => format!("{}a string{}", &message[..start], &message[end + 1..]),
        _ => message.to_owned(),
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}/{}`", self.kind, self.namespace, self.name)
    }
}

impl Object {
    /// Which object it is.
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey {
            kind: self.kind(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

pub(super) use {with_object, with_type};
