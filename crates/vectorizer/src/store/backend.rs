//! The store's file as redb is given it: redb's own, which tells the door to the file system what it does.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{BackendError, Database, ReadOnlyDatabase, StorageBackend};

use super::{OrFailed as _, builder, shown};
use crate::disk::{File, FileChange, Record};
use crate::error::{Result, VectorizerError};

#[derive(Debug)]
struct Backend {
    file: FileBackend,
    record: Record,
}

/// An empty database in `file`, or the one that is there, and the file it is in: somebody may have removed or renamed that before it was locked.
pub(super) fn create(file: &Path, path: &Path) -> Result<(Result<Database>, Identity)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let failed = |error| super::failed(path, format!("cannot make its file: {error}"));
    let opened = File::open_with(file, &options).map_err(failed)?;
    let identity = Identity(opened.get_ref().try_clone().map_err(failed)?);
    let (opened, record) = opened.into_parts();
    let file = FileBackend::new(opened).or_failed(path)?;
    let backend = Backend { file, record };
    let database = builder().create_with_backend(backend).or_failed(path);
    Ok((database, identity))
}

/// A file, whatever its name. It is kept open, so that no other can be taken for it.
#[derive(Debug)]
pub(super) struct Identity(std::fs::File);

impl Identity {
    /// Whether the file of this name is it, where the system says that.
    pub(super) fn is_at(&self, file: &Path) -> bool {
        let ours = self.0.metadata();
        let named = std::fs::metadata(file);
        ours.is_ok_and(|ours| named.is_ok_and(|named| same(&ours, &named)))
    }

    /// Locks it, where it is no database and so is not locked. Whether nobody else has done so.
    pub(super) fn lock(&self) -> bool {
        !matches!(self.0.try_lock(), Err(std::fs::TryLockError::WouldBlock))
    }
}

#[cfg(unix)]
fn same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same(_: &Metadata, _: &Metadata) -> bool {
    true
}

/// The database in `file`.
pub(super) fn open(file: &Path, path: &Path) -> Result<Database> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let opened = match File::open_with(file, &options) {
        Err(error) if may_only_be_read(&error) => {
            // Is it at least that?
            drop(reading(file, path)?);
            return Err(VectorizerError::StoreReadOnly { path: shown(path) });
        }
        opened => opened.map_err(|error| unreadable(file, path, &error))?,
    };
    let backend = Backend::new(opened, path)?;
    builder().create_with_backend(backend).or_failed(path)
}

/// The database in `file`, which is not changed.
pub(super) fn open_read_only(file: &Path, path: &Path) -> Result<ReadOnlyDatabase> {
    let backend = Backend::new(reading(file, path)?, path)?;
    builder()
        .open_read_only_with_backend(backend)
        .or_failed(path)
}

fn reading(file: &Path, path: &Path) -> Result<File> {
    File::open_with(file, OpenOptions::new().read(true))
        .map_err(|error| unreadable(file, path, &error))
}

fn may_only_be_read(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Why a file that should be there cannot be had.
pub(super) fn unreadable(file: &Path, path: &Path, error: &io::Error) -> VectorizerError {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let name = file.display();
        return super::failed(path, format!("no permission to read {name}: {error}"));
    }
    super::failed(path, error.to_string())
}

impl Backend {
    fn new(file: File, path: &Path) -> Result<Self> {
        let (file, record) = file.into_parts();
        let file = FileBackend::new(file).or_failed(path)?;
        let backend = Self { file, record };
        // redb would make a new database of it.
        if StorageBackend::len(&backend).or_failed(path)? == 0 {
            return Err(super::damaged(path, "its file is empty"));
        }
        Ok(backend)
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let set = || self.file.set_len(len);
        self.record.change(FileChange::SetLen(len), set)
    }

    fn sync_data(&self) -> io::Result<()> {
        let sync = || self.file.sync_data();
        self.record.change(FileChange::Sync, sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let write = || self.file.write(offset, data);
        self.record.change(FileChange::Write(offset, data), write)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
