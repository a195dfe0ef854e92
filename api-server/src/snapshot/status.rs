//! What is known of the snapshot: written by its thread, read by pages and metrics.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keyplane_core::time::Millis;

/// See the module. Locked for moments.
#[derive(Debug)]
pub struct Status {
    file: PathBuf,
    facts: Mutex<Facts>,
}

/// The snapshot on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Up to when what it holds is known to be what the registry held; `None`: there is none that can be used.
    pub as_of: Option<Millis>,
    /// Objects in it.
    pub objects: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Times that it was written, since the start.
    pub writes: u64,
    /// Times that it could not be written, since the start.
    pub failures: u64,
    /// What was wrong with it the last time.
    pub last_error: Option<String>,
    /// Changes were lost on the way to it, so nothing is written until everything was listed again.
    pub abandoned: bool,
}

impl Status {
    pub(super) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), facts: Mutex::default() }
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What is known now.
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    pub(super) fn loaded(&self, as_of: Millis, objects: u64, bytes: u64) {
        let mut facts = self.lock();
        (facts.as_of, facts.objects, facts.bytes) = (Some(as_of), objects, bytes);
    }

    pub(super) fn refused(&self, why: &str) {
        self.lock().last_error = Some(why.to_owned());
    }

    pub(super) fn committed(&self, as_of: Millis, objects: u64, bytes: u64) {
        let mut facts = self.lock();
        (facts.as_of, facts.objects, facts.bytes) = (Some(as_of), objects, bytes);
        facts.writes += 1;
        facts.abandoned = false;
    }

    pub(super) fn failed(&self, why: &str) {
        let mut facts = self.lock();
        facts.failures += 1;
        facts.last_error = Some(why.to_owned());
    }

    pub(super) fn starts_over(&self) {
        self.lock().abandoned = false;
    }

    pub(super) fn abandoned(&self) {
        self.lock().abandoned = true;
    }

    /// One with something in every field.
    #[cfg(test)]
    pub(crate) fn golden(file: &Path, as_of: Millis) -> Self {
        let status = Self::new(file);
        status.committed(as_of, 43, 1_589_248);
        status.failed("no space left on device");
        status
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
