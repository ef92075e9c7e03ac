//! Collections on disk: what callers were told is done is there after `kill -9` and after a power cut.
//!
//! A collection is a folder with two files. `collection.redb` holds ids, vectors, payloads and what the collection is: the one
//! source of truth. `graph.snapshot` holds the links of a graph over its first rows, and can be lost: what it does not
//! say is built again. `docs/file-format.md` gives the bytes.
//!
//! - `tables`: what lies in which table of the store, and the seal on each value.
//! - `blocks`: runs of rows and their ids, as bytes.
//! - `places`: which sequence number a slot has.
//! - `change`: one transaction for each change.
//! - `load`: everything read back, in order, and held against the totals.
//! - `compact`: dead rows dropped, small runs brought together.
//! - `graph_file`: the snapshot of the graph.
//! - `copy`: a second collection from a moment of this one.
//! - `salvage`: what can still be read of a damaged store.
//! - `check`: every seal and every rule; what a store says of itself.
//! - `files`: names, and how a file appears whole or not at all.
//! - `backend`: the store's file as redb is given it.
//!
//! Nothing of redb is seen outside of this folder. It may panic where a file was damaged by others: that is caught at
//! `guarded`, through which every call goes.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use redb::{
    Builder, Database, ReadOnlyDatabase, ReadTransaction, ReadableDatabase as _, StorageBackend,
};

use crate::error::{Result, VectorizerError};

mod backend;
mod blocks;
mod change;
mod check;
mod compact;
mod copy;
mod files;
mod graph_file;
mod load;
mod places;
mod salvage;
mod tables;
#[cfg(test)]
mod tests;

pub use check::{CheckReport, StoreStats};
pub(crate) use check::{check, describe};
pub(crate) use files::{random_uuid, remove};
pub(crate) use graph_file::GraphFile;
pub(crate) use salvage::Wreck;
pub use salvage::{LostPayload, SalvageReport};
pub(crate) use tables::{FIRST_FORMAT, Header};

use files::Folder;
use places::Places;
use tables::{
    DEAD, FORMAT, HEADER, Kind, META, NAMES, PAYLOADS, ROWS, STATE, Totals, sealed, unseal,
};

/// What redb may hold of the file in memory. The vectors are held by the device, so little is read twice.
const CACHE_BYTES: usize = 16 << 20;

/// When what was added, changed or deleted is on the disk.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Durability {
    /// Before the call returns: it survives a crash of the program and a power cut.
    #[default]
    EveryBatch,
    /// At the next `flush`, `close` or drop of the collection. A crash before that loses the changes since the last one, each whole.
    OnFlush,
}

/// The store of an open collection.
#[derive(Debug)]
pub(crate) struct Store {
    folder: Folder,
    header: Header,
    durability: Durability,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` once it is closed.
    handle: Option<Handle>,
    totals: Totals,
    places: Places,
    /// Set by a change that found damage: nothing may follow it.
    broken: bool,
    /// Whether changes wait for a flush.
    unsynced: bool,
}

/// What redb is asked through.
enum Handle {
    Writing(Database),
    Reading(ReadOnlyDatabase),
}

impl fmt::Debug for Handle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Writing(_) => "Writing",
            Self::Reading(_) => "Reading",
        })
    }
}

impl Handle {
    fn begin_read(&self, path: &Path) -> Result<ReadTransaction> {
        match self {
            Self::Writing(database) => database.begin_read().or_failed(path),
            Self::Reading(database) => database.begin_read().or_failed(path),
        }
    }

    fn close(self, path: &Path) -> Result<()> {
        match self {
            Self::Writing(database) => database.close().or_failed(path),
            Self::Reading(database) => database.close().or_failed(path),
        }
    }
}

impl Store {
    /// A new store in `path`, which is made if it is not there.
    ///
    /// # Errors
    /// [`VectorizerError::StoreExists`], [`VectorizerError::StoreInUse`] if somebody is just making one, or the disk refused.
    pub(crate) fn create(path: &Path, header: Header, durability: Durability) -> Result<Self> {
        let folder = Folder::make(path)?;
        let path = folder.path();
        // The file gets its name when everything is in it: a crash leaves a collection or none. It is locked from before it has anything
        // in it, and stays so: of two who make a collection here one has it.
        let database = guarded(path, || {
            let database = folder.begin_unfinished()?;
            let unfinished = folder.guard_unfinished();
            begin(&database, &header, path)?;
            folder.remove_graph()?;
            unfinished.finish()?;
            Ok(database)
        })?;
        Self::with_handle(folder, Handle::Writing(database), durability)
    }

    /// The store in `path`.
    ///
    /// # Errors
    /// [`VectorizerError::StoreMissing`], [`VectorizerError::StoreInUse`], [`VectorizerError::UnsupportedFormat`],
    /// [`VectorizerError::StoreDamaged`], or the disk refused.
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Self> {
        let folder = Folder::with_a_store(path)?;
        let path = folder.path();
        let database = guarded(path, || backend::open(&folder.database(), path))?;
        Self::with_handle(folder, Handle::Writing(database), durability)
    }

    /// The store in `path`, to be read by any number at a time, of which nobody writes. Nothing of it is changed.
    ///
    /// # Errors
    /// As [`Store::open`], and [`VectorizerError::StoreNotClosed`].
    pub(crate) fn open_read_only(path: &Path) -> Result<Self> {
        let folder = Folder::with_a_store(path)?;
        let path = folder.path();
        let database = guarded(path, || backend::open_read_only(&folder.database(), path))?;
        Self::with_handle(folder, Handle::Reading(database), Durability::EveryBatch)
    }

    /// On a disk of the caller's: a new store if it is empty.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests inject disks that fail"))]
    pub(crate) fn on(
        path: &Path,
        backend: impl StorageBackend,
        header: &Header,
        durability: Durability,
    ) -> Result<Self> {
        let folder = Folder::of(path)?;
        let database = guarded(path, || {
            let database = builder().create_with_backend(backend).or_failed(path)?;
            let read = database.begin_read().or_failed(path)?;
            let empty = read.list_tables().or_failed(path)?.next().is_none();
            drop(read);
            if empty {
                begin(&database, header, path)?;
            }
            Ok(database)
        })?;
        Self::with_handle(folder, Handle::Writing(database), durability)
    }

    fn with_handle(folder: Folder, handle: Handle, durability: Durability) -> Result<Self> {
        let (header, totals) = guarded(folder.path(), || read_meta(&handle, folder.path()))?;
        Ok(Self {
            folder,
            header,
            durability,
            inner: Mutex::new(Inner {
                handle: Some(handle),
                totals,
                places: Places::default(),
                broken: false,
                unsynced: false,
            }),
        })
    }

    /// What the collection is.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether nothing can be written to it.
    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self.inner.lock().handle, Some(Handle::Reading(_)))
    }

    /// Says whether it can be written.
    ///
    /// # Errors
    /// [`VectorizerError::StoreReadOnly`], or damage was found in it.
    pub(crate) fn writable(&self) -> Result<()> {
        self.inner.lock().database(self.path()).map(drop)
    }

    /// What the tables come to.
    pub(crate) fn totals(&self) -> Totals {
        self.inner.lock().totals
    }

    /// Bytes of the store's file and of the graph's.
    pub(crate) fn file_bytes(&self) -> (u64, u64) {
        let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |file| file.len());
        (size(self.folder.database()), size(self.folder.graph()))
    }

    /// Ends it: nothing can be changed afterwards, and another may open it.
    ///
    /// # Errors
    /// The disk refused what waited for a flush.
    pub(crate) fn close(&self) -> Result<()> {
        let flushed = self.flush();
        let handle = self.inner.lock().handle.take();
        let closed = guarded(self.path(), || match handle {
            Some(handle) => handle.close(self.path()),
            None => Ok(()),
        });
        flushed.and(closed)
    }

    fn damaged(&self, reason: impl Into<String>) -> VectorizerError {
        damaged(self.path(), reason)
    }
}

impl Inner {
    /// To change something.
    fn database(&self, path: &Path) -> Result<&Database> {
        if self.broken {
            return Err(failed(
                path,
                "damage was found in it: nothing more is written",
            ));
        }
        match self.handle(path)? {
            Handle::Writing(database) => Ok(database),
            Handle::Reading(_) => Err(VectorizerError::StoreReadOnly { path: shown(path) }),
        }
    }

    /// To read.
    fn handle(&self, path: &Path) -> Result<&Handle> {
        self.handle
            .as_ref()
            .ok_or_else(|| failed(path, "the collection was closed"))
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Makes all tables, empty, in a new database.
fn begin(database: &Database, header: &Header, path: &Path) -> Result<()> {
    let write = database.begin_write().or_failed(path)?;
    {
        let mut meta = write.open_table(META).or_failed(path)?;
        let body = serde_json::to_vec(header).map_err(|error| failed(path, error.to_string()))?;
        meta.insert(HEADER, sealed(Kind::Header, 0, &body).as_slice())
            .or_failed(path)?;
        meta.insert(STATE, Totals::default().to_value().as_slice())
            .or_failed(path)?;
        for table in [ROWS, NAMES, PAYLOADS, DEAD] {
            write.open_table(table).or_failed(path)?;
        }
    }
    write.commit().or_failed(path)
}

fn read_meta(handle: &Handle, path: &Path) -> Result<(Header, Totals)> {
    let read = handle.begin_read(path)?;
    let meta = read.open_table(META).or_failed(path)?;
    let record = |name| {
        let value = meta.get(name).or_failed(path)?;
        value.ok_or_else(|| damaged(path, format!("its record {name:?} is missing")))
    };
    let header = parse_header(record(HEADER)?.value(), path)?;
    let totals = Totals::from_value(record(STATE)?.value())
        .ok_or_else(|| damaged(path, "the checksum of its totals is wrong"))?;
    Ok((header, totals))
}

fn parse_header(value: &[u8], path: &Path) -> Result<Header> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let (_, body) = unseal(Kind::Header, 0, value)
        .ok_or_else(|| damaged(path, "the checksum of its header is wrong"))?;
    let unreadable = |error| damaged(path, format!("its header cannot be read: {error}"));
    // The version first: what else a later one says is its own affair.
    let Version { format } = serde_json::from_slice(body).map_err(unreadable)?;
    if !(FIRST_FORMAT..=FORMAT).contains(&format) {
        return Err(VectorizerError::UnsupportedFormat {
            path: shown(path),
            found: format.to_string(),
            supported: format!("{FIRST_FORMAT} to {FORMAT}"),
        });
    }
    serde_json::from_slice(body).map_err(unreadable)
}

/// Runs what calls redb, and turns a panic of it into an error: it may give up so on a file that was damaged by others.
fn guarded<R>(path: &Path, work: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        Err(damaged(path, format!("redb gave up: {said}")))
    })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn damaged(path: &Path, reason: impl Into<String>) -> VectorizerError {
    VectorizerError::StoreDamaged {
        path: shown(path),
        reason: reason.into(),
    }
}

fn failed(path: &Path, reason: impl Into<String>) -> VectorizerError {
    VectorizerError::StoreFailed {
        path: shown(path),
        reason: reason.into(),
    }
}

/// redb's errors as ours.
trait OrFailed<R> {
    fn or_failed(self, path: &Path) -> Result<R>;
}

impl<R, E: Into<redb::Error>> OrFailed<R> for Result<R, E> {
    fn or_failed(self, path: &Path) -> Result<R> {
        use redb::Error as E;
        self.map_err(|error| match error.into() {
            E::DatabaseAlreadyOpen | E::LockProtocolMismatch => {
                VectorizerError::StoreInUse { path: shown(path) }
            }
            E::UpgradeRequired(version) => VectorizerError::UnsupportedFormat {
                path: shown(path),
                found: format!("redb file format {version}"),
                supported: "redb file format 3".to_owned(),
            },
            E::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                damaged(path, error.to_string())
            }
            E::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                damaged(path, "its file is cut off")
            }
            error @ (E::Corrupted(_)
            | E::TableTypeMismatch { .. }
            | E::TableIsMultimap(_)
            | E::TableIsNotMultimap(_)
            | E::TypeDefinitionChanged { .. }
            | E::TableDoesNotExist(_)) => damaged(path, error.to_string()),
            E::RepairAborted => VectorizerError::StoreNotClosed { path: shown(path) },
            E::PreviousIo => failed(
                path,
                "an earlier write failed: close the collection and open it again",
            ),
            error => failed(path, error.to_string()),
        })
    }
}

/// Reads bytes as the snapshot of a graph, for the fuzzer.
#[cfg(fuzzing)]
pub fn fuzz_graph_file(bytes: &[u8]) {
    graph_file::fuzz(bytes);
}

/// Reads bytes as a value of the table that the first of them names, for the fuzzer.
#[cfg(fuzzing)]
pub fn fuzz_value(bytes: &[u8]) {
    let Some((kind, value)) = bytes.split_first() else {
        return;
    };
    let path = Path::new("fuzzed");
    match kind {
        1 => drop(parse_header(value, path)),
        2 => drop(Totals::from_value(value)),
        3 => drop(blocks::read_rows(0, value, 2)),
        4 => {
            if let Ok((_, names)) = blocks::Names::from_value(0, value) {
                assert_eq!(names.to_value(0).1, value);
            }
        }
        5 => drop(unseal(Kind::Payload, 0, value).map(|(_, body)| load::payload_of(body))),
        6 => drop(load::dead_of(0, value)),
        _ => drop(load::indexes_of(value)),
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever wants to know closes it. redb may panic over a damaged file here too.
        drop(self.close());
    }
}
