//! Records what passes the door for the files below one folder, and replays what a power cut may leave of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{FileChange, NameChange};

mod medium;

pub use medium::{Left, Medium};

/// Who records, and below which folder.
static RECORDINGS: Mutex<Vec<(PathBuf, Arc<Mutex<Log>>)>> = Mutex::new(Vec::new());

/// What passed the door, in order. Paths are relative to the recorded folder; a file keeps its number whatever its name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A new folder.
    MakeFolder(PathBuf),
    /// A new, empty file.
    Create(PathBuf, usize),
    /// Bytes at an offset.
    Write(usize, u64, Vec<u8>),
    /// Another length.
    SetLen(usize, u64),
    /// The bytes of a file are on the disk.
    Sync(usize),
    /// Another name in place of the first.
    Rename(PathBuf, PathBuf),
    /// No longer a file of this name.
    Remove(PathBuf),
    /// The entries of a folder are on the disk.
    SyncFolder(PathBuf),
}

#[derive(Debug, Default)]
struct Log {
    /// Files that were there before, by number.
    before: Vec<(PathBuf, Vec<u8>)>,
    folders_before: Vec<PathBuf>,
    operations: Vec<Operation>,
    /// The number of each name's file now.
    names: BTreeMap<PathBuf, usize>,
    files: usize,
}

impl Log {
    fn number(&mut self, path: PathBuf) -> usize {
        let number = self.files;
        self.files += 1;
        self.names.insert(path, number);
        number
    }

    fn take_in(&mut self, root: &Path, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            if path.is_dir() {
                self.folders_before.push(name);
                self.take_in(root, &path)?;
            } else {
                self.before.push((name.clone(), fs::read(&path)?));
                self.number(name);
            }
        }
        Ok(())
    }
}

/// Records until it is dropped. What is in the folder already counts as being on the disk.
#[derive(Debug)]
pub struct Recording {
    log: Arc<Mutex<Log>>,
}

impl Recording {
    /// Records what passes the door for files below `folder`, which is there.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn below(folder: &Path) -> io::Result<Self> {
        let root = folder.canonicalize()?;
        let mut log = Log::default();
        log.take_in(&root, &root)?;
        let log = Arc::new(Mutex::new(log));
        RECORDINGS.lock().push((root, Arc::clone(&log)));
        Ok(Self { log })
    }

    /// How many operations there were so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.lock().operations.len()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What there was so far.
    #[must_use]
    pub fn operations(&self) -> Vec<Operation> {
        self.log.lock().operations.clone()
    }

    /// A medium on which nothing of the recording has happened yet.
    #[must_use]
    pub fn medium(&self) -> Medium {
        let log = self.log.lock();
        Medium::holding(&log.folders_before, &log.before)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        RECORDINGS
            .lock()
            .retain(|(_, log)| !Arc::ptr_eq(log, &self.log));
    }
}

/// Who records below this path, and its name there.
fn recording(path: &Path) -> Option<(PathBuf, Arc<Mutex<Log>>)> {
    let recordings = RECORDINGS.lock();
    if recordings.is_empty() {
        return None;
    }
    let path = std::path::absolute(path).ok()?;
    // The folder above is what can be resolved: the file may not be there.
    let resolved = path.parent().and_then(|above| above.canonicalize().ok());
    let resolved = match (resolved, path.file_name()) {
        (Some(above), Some(name)) => above.join(name),
        _ => path,
    };
    recordings.iter().find_map(|(root, log)| {
        let name = resolved.strip_prefix(root).ok()?;
        Some((name.to_owned(), Arc::clone(log)))
    })
}

/// What is told of each change of a file.
#[derive(Debug, Clone)]
pub(crate) struct Record(Option<(usize, Arc<Mutex<Log>>)>);

impl Record {
    pub(super) fn opened(
        path: &Path,
        open: impl FnOnce() -> io::Result<fs::File>,
    ) -> io::Result<(fs::File, Self)> {
        let Some((name, log)) = recording(path) else {
            return Ok((open()?, Self(None)));
        };
        let mut guard = log.lock();
        let length = fs::metadata(path).map(|file| file.len()).ok();
        let file = open()?;
        let number = match (length, guard.names.get(&name).copied()) {
            (None, _) => {
                let number = guard.number(name.clone());
                guard.operations.push(Operation::Create(name, number));
                number
            }
            (Some(_), Some(number)) => {
                // Some options empty a file.
                if file.metadata()?.len() == 0 && length != Some(0) {
                    guard.operations.push(Operation::SetLen(number, 0));
                }
                number
            }
            // It came by another door.
            (Some(_), None) => {
                let number = guard.number(name.clone());
                guard.operations.push(Operation::Create(name, number));
                let bytes = fs::read(path)?;
                guard.operations.push(Operation::Write(number, 0, bytes));
                number
            }
        };
        drop(guard);
        Ok((file, Self(Some((number, log)))))
    }

    pub(crate) fn change(
        &self,
        change: FileChange<'_>,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((number, log)) = &self.0 else {
            return work();
        };
        // Held over the work, so that the log has the order of the disk.
        let mut log = log.lock();
        work()?;
        log.operations.push(match change {
            FileChange::Write(offset, bytes) => Operation::Write(*number, offset, bytes.to_vec()),
            FileChange::SetLen(length) => Operation::SetLen(*number, length),
            FileChange::Sync => Operation::Sync(*number),
        });
        Ok(())
    }
}

pub(super) fn change(
    change: NameChange<'_>,
    work: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let path = match change {
        NameChange::MakeFolder(path)
        | NameChange::Rename(path, _)
        | NameChange::Remove(path)
        | NameChange::SyncFolder(path) => path,
    };
    let Some((name, log)) = recording(path) else {
        return work();
    };
    let target = match change {
        NameChange::Rename(_, to) => recording(to).map(|(name, _)| name),
        _ => None,
    };
    let mut log: MutexGuard<'_, Log> = log.lock();
    work()?;
    let operation = match (change, target) {
        (NameChange::MakeFolder(_), _) => Operation::MakeFolder(name),
        (NameChange::SyncFolder(_), _) => Operation::SyncFolder(name),
        (NameChange::Rename(..), Some(to)) => {
            if let Some(number) = log.names.remove(&name) {
                log.names.insert(to.clone(), number);
            }
            Operation::Rename(name, to)
        }
        (NameChange::Remove(_) | NameChange::Rename(..), _) => {
            log.names.remove(&name);
            Operation::Remove(name)
        }
    };
    log.operations.push(operation);
    Ok(())
}

#[cfg(test)]
mod tests;
