//! The file: `snapshot.redb` in the directory (redb: a B-tree with transactions, so that what is read is one commit, whole).
//!
//! redb may panic on a file that something else wrote into. Whoever reads one that may be broken does it through [`guarded`].

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::changes::Changes;
use super::format::{self, HEAD, Head, Refusal};
use crate::registry::Object;

const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
const HEADS: TableDefinition<&str, &[u8]> = TableDefinition::new("head");

/// Bytes of the file kept in memory: the inner pages of the tree, and what a transaction wrote and the system did not take yet.
const CACHE: usize = 8 * 1024 * 1024;

/// Readable by the process alone: it holds hashes, names and permissions.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// There is no file to read from or write to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory can't be made.
    #[error("failed to create the directory `{0}` of the snapshot")]
    Directory(String, #[source] io::Error),
    /// Another process has the file.
    #[error("the snapshot `{0}` is in use by another process; stop it or choose another --snapshot-dir")]
    InUse(String),
    /// The file can't be made.
    #[error("failed to open the snapshot `{0}`")]
    Open(String, #[source] Box<redb::Error>),
    /// The file can't be replaced.
    #[error("failed to make the snapshot `{0}` anew")]
    Replace(String, #[source] io::Error),
}

/// See the module.
pub(super) struct Store {
    database: Database,
    file: PathBuf,
}

/// How many rows there are, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) objects: u64,
    pub(super) sum: u64,
}

impl Totals {
    fn add(&mut self, sealed: &[u8]) {
        self.objects = self.objects.wrapping_add(1);
        self.sum = self.sum.wrapping_add(format::carried(sealed).into());
    }

    fn take(&mut self, checksum: u32) {
        self.objects = self.objects.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum.into());
    }
}

impl Store {
    /// Opens the file in this directory, or makes one. A file that is no database is replaced, and the second part says so.
    pub(super) fn open(directory: &Path) -> Result<(Self, Option<Refusal>), OpenError> {
        let shown = directory.display().to_string();
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|error| OpenError::Directory(shown, error))?;
        let file = directory.join("snapshot.redb");
        let shown = file.display().to_string();
        match guarded(|| database(&file)) {
            Ok(Ok(database)) => Ok((Self { database, file }, None)),
            Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(OpenError::InUse(shown)),
            Ok(Err(error)) if is_about_the_disk(&error) => Err(OpenError::Open(shown, Box::new(error.into()))),
            broken => {
                let what = broken
                    .map_or_else(|panic| panic, |opened| opened.err().map(|it| it.to_string()).unwrap_or_default());
                fs::remove_file(&file).map_err(|error| OpenError::Replace(shown.clone(), error))?;
                let database = database(&file).map_err(|error| OpenError::Open(shown, Box::new(error.into())))?;
                Ok((Self { database, file }, Some(Refusal::Damaged(what))))
            }
        }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The size of the file.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |metadata| metadata.len())
    }

    /// The head; `None` in a file that was just made.
    pub(super) fn head(&self) -> Result<Option<Head>, Refusal> {
        let transaction = self.database.begin_read().map_err(damaged)?;
        let heads = match transaction.open_table(HEADS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other.map_err(damaged)?,
        };
        let sealed = heads.get(HEAD).map_err(damaged)?;
        sealed.map(|sealed| format::read_head(sealed.value())).transpose()
    }

    /// Reads every object, and checks that they are what the head says. An error may come after any number of them. `each` says whether
    /// to go on.
    pub(super) fn read(&self, head: &Head, mut each: impl FnMut(Object) -> bool) -> Result<(), Refusal> {
        let transaction = self.database.begin_read().map_err(damaged)?;
        let objects = transaction.open_table(OBJECTS).map_err(damaged)?;
        let mut totals = Totals::default();
        for row in objects.iter().map_err(damaged)? {
            let (path, sealed) = row.map_err(damaged)?;
            let (path, sealed) = (path.value(), sealed.value());
            totals.add(sealed);
            // A tree that leads back into itself has no end.
            if totals.objects > head.objects {
                break;
            }
            if !each(object(path, sealed)?) {
                return Ok(());
            }
        }
        let wanted = Totals { objects: head.objects, sum: head.sum };
        if totals == wanted { Ok(()) } else { Err(Refusal::Damaged("rows are missing or too many".to_owned())) }
    }

    /// Begins to write. Blocks while another such transaction is open.
    pub(super) fn begin(&self) -> Result<WriteTransaction, redb::Error> {
        Ok(self.database.begin_write()?)
    }
}

fn database(file: &Path) -> Result<Database, DatabaseError> {
    // Made here, so that there is no moment in which others could open it.
    let made = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(file)?;
    made.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Database::builder().set_cache_size(CACHE).create_file(made)
}

/// Whether the file may be whole, and the disk or the rights are what is wrong. redb says of what is no database that its data are invalid.
fn is_about_the_disk(error: &DatabaseError) -> bool {
    let DatabaseError::Storage(redb::StorageError::Io(error)) = error else { return false };
    !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Runs what may panic on a broken file. The error is what the panic said.
pub(super) fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its reader panicked").to_owned()
    })
}

fn damaged(error: impl Into<redb::Error>) -> Refusal {
    Refusal::Damaged(error.into().to_string())
}

fn object(path: &str, sealed: &[u8]) -> Result<Object, Refusal> {
    // The row's key is not named: what is damaged may hold anything.
    let broken = |what: &str| Refusal::Damaged(format!("a row {what}"));
    let (json, _) = format::unseal(path, sealed).ok_or_else(|| broken("has another checksum"))?;
    let (kind, _) = format::kind_and_namespace(path).ok_or_else(|| broken("is of no kind that is known"))?;
    let object = Object::from_json(kind, json).map_err(|_| broken("can't be read as its kind"))?;
    if format::path(&object.key()) == path { Ok(object) } else { Err(broken("holds another object")) }
}

/// Writes changes, in their order. What is the same as before is not written.
pub(super) fn apply(
    transaction: &WriteTransaction,
    changes: &Changes,
    totals: &mut Totals,
) -> Result<bool, redb::Error> {
    let mut objects = transaction.open_table(OBJECTS)?;
    let mut wrote = false;
    for (path, sealed) in changes.iter() {
        let before = match sealed {
            None => objects.remove(path)?.map(|before| format::carried(before.value())),
            Some(sealed) => {
                let same = objects.get(path)?.is_some_and(|before| before.value() == sealed);
                if same {
                    continue;
                }
                objects.insert(path, sealed)?.map(|before| format::carried(before.value()))
            }
        };
        wrote |= before.is_some() || sealed.is_some();
        if let Some(before) = before {
            totals.take(before);
        }
        if let Some(sealed) = sealed {
            totals.add(sealed);
        }
    }
    Ok(wrote)
}

/// Forgets every row, with the transaction.
pub(super) fn clear(transaction: &WriteTransaction, totals: &mut Totals) -> Result<(), redb::Error> {
    transaction.delete_table(OBJECTS)?;
    transaction.delete_table(HEADS)?;
    *totals = Totals::default();
    Ok(())
}

/// Writes the head and ends the transaction: what it wrote is on the disk when this returns.
pub(super) fn commit(transaction: WriteTransaction, head: &Head) -> Result<(), redb::Error> {
    {
        // Both tables are there from the first commit on.
        transaction.open_table(OBJECTS)?;
        let json = serde_json::to_vec(head).map_err(|error| redb::Error::Io(error.into()))?;
        transaction.open_table(HEADS)?.insert(HEAD, format::seal(HEAD, &json).as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}
