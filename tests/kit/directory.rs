//! Where programs of a test keep files and logs: removed with the last user, or kept for a person to look at.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::{environment, reaper};

/// A directory.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    _removed_with_this: Option<TempDir>,
}

impl Directory {
    /// A new one that is removed in the end, even when this process is killed; `KEYPLANE_TESTS_KEEP` keeps it.
    pub(crate) fn temporary(prefix: &str) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(prefix).tempdir();
        let made = made.with_context(|| format!("make a temporary directory {prefix}..."))?;
        if environment::read(environment::KEEP).is_some() {
            let path = made.keep();
            eprintln!("keeping {}", path.display());
            return Ok(Self { path, _removed_with_this: None });
        }
        reaper::remove(made.path());
        Ok(Self { path: made.path().to_owned(), _removed_with_this: Some(made) })
    }

    /// A certain one that stays.
    pub(crate) fn kept(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path: path.to_owned(), _removed_with_this: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_goes_and_a_kept_one_stays() {
        let temporary = Directory::temporary("keyplane-unit-").unwrap();
        let inside = Directory::kept(&temporary.path().join("a/b")).unwrap();
        let (outer, inner) = (temporary.path().to_owned(), inside.path().to_owned());
        drop(inside);
        assert!(inner.is_dir());
        drop(temporary);
        assert!(!outer.exists());
    }
}
