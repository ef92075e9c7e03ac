//! The store's file as redb is given it: redb's own, which tells the door to the file system what it does.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};

use super::{OrFailed as _, builder};
use crate::disk::{File, FileChange, Record};
use crate::error::Result;

#[derive(Debug)]
struct Backend {
    file: FileBackend,
    record: Record,
}

/// An empty database in `file`, or the one that is there.
pub(super) fn create(file: &Path, path: &Path) -> Result<Database> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let backend = Backend::open(file, &options).or_failed(path)?;
    builder().create_with_backend(backend).or_failed(path)
}

/// The database in `file`.
pub(super) fn open(file: &Path, path: &Path) -> Result<Database> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let backend = Backend::open(file, &options).or_failed(path)?;
    if StorageBackend::len(&backend).or_failed(path)? == 0 {
        return Err(super::damaged(path, "its file is empty"));
    }
    builder().create_with_backend(backend).or_failed(path)
}

impl Backend {
    fn open(file: &Path, options: &OpenOptions) -> Result<Self, redb::Error> {
        let (file, record) = File::open_with(file, options)?.into_parts();
        let file = FileBackend::new(file)?;
        Ok(Self { file, record })
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
