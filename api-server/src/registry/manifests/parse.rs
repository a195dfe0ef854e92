//! From files to objects.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use keyplane_api::{API_VERSION, KeySource};
use keyplane_core::hash::KeyHash;
use serde_json::Value;

use crate::bounded_value;
use crate::registry::{Kind, Object, ObjectKey};

/// What one document may take in memory.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024 * 1024;

/// What is wrong with a directory, naming the file and the document in it (counted from 1).
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The directory or a file can't be read.
    #[error("failed to read `{path}`")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A document is not YAML, or not the object that its kind says.
    #[error("`{path}`, document {document}: {message}")]
    Document {
        /// The file.
        path: String,
        /// Counted from 1.
        document: usize,
        /// What is wrong.
        message: String,
    },
}

/// An object as compact JSON: a third of the memory of the typed one, which is made again when someone asks for it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) json: Box<str>,
    /// The file that it stands in.
    pub(super) path: Arc<Path>,
}

impl Document {
    pub(super) fn object(&self, kind: Kind) -> Result<Object, serde_json::Error> {
        Object::from_json(kind, self.json.as_bytes())
    }
}

/// What a directory holds.
pub(super) type Documents = BTreeMap<ObjectKey, Document>;

/// What one file holds: each object with the number of its document.
pub(super) type File = Vec<(ObjectKey, usize, Document)>;

/// Reads every `.yaml`, `.yml` and `.json` file of a directory, in the order of their names. Documents of other API groups are passed
/// over, so that a directory may hold what `kubectl apply -f` takes.
pub(super) fn read_directory(directory: &Path, default_namespace: &str) -> Result<Documents, ManifestError> {
    let paths = files(directory)?;
    let mut objects = BTreeMap::new();
    for (path, file) in paths.iter().zip(read_files(&paths, default_namespace)?) {
        for (key, document, object) in file {
            if objects.contains_key(&key) {
                let message = format!("{key} stands in this directory twice; remove one");
                return Err(ManifestError::Document { path: shown(path), document, message });
            }
            objects.insert(key, object);
        }
    }
    Ok(objects)
}

/// Reads files on all cores: YAML costs about 30 µs a document. The error is that of the first file that has one.
fn read_files(paths: &[PathBuf], default_namespace: &str) -> Result<Vec<File>, ManifestError> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let read = |paths: &[PathBuf]| paths.iter().map(|path| read_file(path, default_namespace)).collect();
    let parts: Vec<Result<Vec<File>, ManifestError>> = thread::scope(|scope| {
        let part = paths.len().div_ceil(workers).max(1);
        let started: Vec<_> = paths.chunks(part).map(|part| scope.spawn(move || read(part))).collect();
        // A panic goes on as the panic of whoever reads the directory.
        started.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let files: Result<Vec<_>, _> = parts.into_iter().collect();
    Ok(files?.into_iter().flatten().collect())
}

pub(super) fn read_file(path: &Path, default_namespace: &str) -> Result<File, ManifestError> {
    let text = std::fs::read_to_string(path).map_err(|source| ManifestError::Read { path: shown(path), source })?;
    let wrong = |document, message| ManifestError::Document { path: shown(path), document, message };
    let path: Arc<Path> = path.into();
    let mut objects = Vec::new();
    for (number, document) in documents(&text, default_namespace) {
        let Some(object) = document.map_err(|message| wrong(number, message))? else { continue };
        let json = object.to_json().map_err(|error| wrong(number, error.to_string()))?;
        let json = String::from_utf8(json).map_err(|error| wrong(number, error.to_string()))?.into();
        objects.push((object.key(), number, Document { json, path: path.clone() }));
    }
    Ok(objects)
}

/// The objects of one text, as of a file of a directory that holds only this one. Not for large files: it holds every object.
///
/// # Errors
/// The first document that is wrong, under the path `text`.
pub fn read_text(text: &str, default_namespace: &str) -> Result<Vec<Object>, ManifestError> {
    let wrong = |document, message| ManifestError::Document { path: "text".to_owned(), document, message };
    let read = documents(text, default_namespace);
    read.filter_map(|(number, read)| read.map_err(|message| wrong(number, message)).transpose()).collect()
}

/// Each document's number, counted from 1, and its object. A document is at most 16 MiB in memory, however often its anchors are named: ten
/// times what the Kubernetes API takes.
fn documents(text: &str, default_namespace: &str) -> impl Iterator<Item = (usize, Result<Option<Object>, String>)> {
    serde_yaml::Deserializer::from_str(text).enumerate().map(move |(number, document)| {
        let value = bounded_value::read(document, MAX_DOCUMENT_BYTES).map_err(|error| error.to_string());
        (number + 1, value.and_then(|value| read_object(value, default_namespace)))
    })
}

fn files(directory: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let failed = |source| ManifestError::Read { path: shown(directory), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        let ours = path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json");
        if ours && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The object of a document; `None` for an empty one and for kinds that mean nothing here.
fn read_object(value: Value, default_namespace: &str) -> Result<Option<Object>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Err("apiVersion and kind are missing".to_owned());
    }
    if api_version != API_VERSION {
        let group = API_VERSION.split('/').next().unwrap_or_default();
        return if api_version.split('/').next() == Some(group) {
            Err(format!("apiVersion `{api_version}` is not known; write {API_VERSION}"))
        } else {
            Ok(None)
        };
    }
    let Some(kind) = Kind::parse(kind) else {
        return if kind == "VerifyPool" { Ok(None) } else { Err(format!("kind `{kind}` is not known")) };
    };
    let mut object = Object::from_value(kind, value).map_err(|error| error.to_string())?;
    check_hash(&object)?;
    let metadata = object.metadata_mut();
    if metadata.name.as_deref().unwrap_or_default().is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    metadata.namespace.get_or_insert_with(|| default_namespace.to_owned());
    let key = object.key();
    // No API server gave it a uid: one from its name keeps its id the same at every start. An exported object has its own.
    object.metadata_mut().uid.get_or_insert_with(|| format!("manifest/{}/{}/{}", key.kind, key.namespace, key.name));
    if waits_for_an_operator(&object) {
        tracing::warn!(object = %key, "this key is not served: its hash is known to an operator only; write spec.key.hash");
    }
    Ok(Some(object))
}

/// Whether the key's secret is to be made or read by an operator, and none has yet.
fn waits_for_an_operator(object: &Object) -> bool {
    let (source, issued) = match object {
        Object::ApiKey(key) => (&key.spec.key, key.status.as_ref().is_some_and(|status| status.current.is_some())),
        Object::RootKey(key) => (&key.spec.key, key.status.as_ref().is_some_and(|status| status.current.is_some())),
        _ => return false,
    };
    matches!(source, KeySource::Generate(_) | KeySource::SecretRef(_)) && !issued
}

/// In a cluster the API server refuses a hash that is none; here it would be a key that never verifies, and nobody would know why.
fn check_hash(object: &Object) -> Result<(), String> {
    let source = match object {
        Object::ApiKey(key) => &key.spec.key,
        Object::RootKey(key) => &key.spec.key,
        _ => return Ok(()),
    };
    let (field, sha256) = match source {
        KeySource::Hash(hash) => ("hash", &hash.sha256),
        KeySource::PrefixedHash(hash) => ("prefixedHash", &hash.sha256),
        KeySource::Generate(_) | KeySource::SecretRef(_) => return Ok(()),
    };
    KeyHash::parse(sha256).map(drop).map_err(|error| format!("spec.key.{field}: {error}"))
}
