//! Records what passes the door for the files below one folder, and replays what a power cut may leave of it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{FileChange, NameChange};

/// What the medium writes at once or not at all.
const SECTOR: usize = 512;

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
        let mut medium = Medium::default();
        for folder in &log.folders_before {
            medium.lasting.insert(folder.clone(), Node::Folder);
        }
        for (number, (name, bytes)) in log.before.iter().enumerate() {
            medium.lasting.insert(name.clone(), Node::File(number));
            medium.files.insert(
                number,
                Contents {
                    lasting: bytes.clone(),
                    waiting: Vec::new(),
                },
            );
        }
        medium
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

/// What of the unsynced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Only what was synced.
    Nothing,
    /// All, as after the end of a process.
    Everything,
    /// All names, and of bytes only those that were synced: what a file system does that writes bytes late.
    Names,
    /// All bytes, and of names only those that were synced.
    Bytes,
    /// Each name or not; each write whole, not at all, or in some of its sectors; by this seed.
    Some(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

#[derive(Debug, Clone)]
enum Waiting {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

impl Waiting {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(place(*length), 0),
            Self::Bytes(offset, new) => put(bytes, place(*offset), new),
        }
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn put(bytes: &mut Vec<u8>, start: usize, new: &[u8]) {
    let end = start + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(new);
}

#[derive(Debug, Clone, Default)]
struct Contents {
    lasting: Vec<u8>,
    waiting: Vec<Waiting>,
}

/// A change of one folder's entries that waits for that folder's sync.
#[derive(Debug, Clone)]
struct Entry {
    folder: PathBuf,
    gone: Option<PathBuf>,
    new: Option<(PathBuf, Node)>,
}

impl Entry {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, node)) = &self.new {
            names.insert(name.clone(), *node);
        }
    }
}

/// What is on a medium for good, and what waits for a sync.
#[derive(Debug, Clone, Default)]
pub struct Medium {
    lasting: BTreeMap<PathBuf, Node>,
    waiting: Vec<Entry>,
    now: BTreeMap<PathBuf, usize>,
    files: BTreeMap<usize, Contents>,
}

impl Medium {
    /// Does what was recorded.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::MakeFolder(path) => self.enter(path, None, Node::Folder),
            Operation::Create(path, number) => {
                self.files.insert(*number, Contents::default());
                self.now.insert(path.clone(), *number);
                self.enter(path, None, Node::File(*number));
            }
            Operation::Write(number, offset, bytes) => {
                self.wait(*number, Waiting::Bytes(*offset, bytes.clone()));
            }
            Operation::SetLen(number, length) => self.wait(*number, Waiting::Length(*length)),
            Operation::Sync(number) => {
                let contents = self.files.entry(*number).or_default();
                for waiting in std::mem::take(&mut contents.waiting) {
                    waiting.apply(&mut contents.lasting);
                }
            }
            Operation::Rename(from, to) => {
                if let Some(number) = self.number(from) {
                    self.now.remove(from);
                    self.now.insert(to.clone(), number);
                    self.enter(to, Some(from), Node::File(number));
                }
            }
            Operation::Remove(path) => {
                self.now.remove(path);
                self.waiting.push(Entry {
                    folder: above(path),
                    gone: Some(path.clone()),
                    new: None,
                });
            }
            Operation::SyncFolder(path) => {
                let (synced, waiting) = std::mem::take(&mut self.waiting)
                    .into_iter()
                    .partition(|entry| entry.folder == *path);
                self.waiting = waiting;
                let synced: Vec<Entry> = synced;
                for entry in synced {
                    entry.apply(&mut self.lasting);
                }
            }
        }
    }

    fn number(&self, path: &Path) -> Option<usize> {
        self.now
            .get(path)
            .copied()
            .or_else(|| match self.lasting.get(path) {
                Some(Node::File(number)) => Some(*number),
                _ => None,
            })
    }

    fn enter(&mut self, path: &Path, gone: Option<&Path>, node: Node) {
        self.waiting.push(Entry {
            folder: above(path),
            gone: gone.map(Path::to_owned),
            new: Some((path.to_owned(), node)),
        });
    }

    fn wait(&mut self, number: usize, waiting: Waiting) {
        self.files.entry(number).or_default().waiting.push(waiting);
    }

    /// Writes what a power cut now would leave into `folder`, which is new.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn cut(&self, left: Left, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut random = Random(match left {
            Left::Some(seed) => seed,
            _ => 0,
        });
        let mut names = self.lasting.clone();
        for entry in &self.waiting {
            let kept = match left {
                Left::Nothing | Left::Bytes => false,
                Left::Everything | Left::Names => true,
                Left::Some(_) => random.below(2) == 0,
            };
            if kept {
                entry.apply(&mut names);
            }
        }
        // A folder stands before what is in it. What is in a folder that is not there is lost.
        for (name, node) in &names {
            let path = folder.join(name);
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match node {
                Node::Folder => fs::create_dir(path)?,
                Node::File(number) => fs::write(path, self.bytes(*number, left, &mut random))?,
            }
        }
        Ok(())
    }

    fn bytes(&self, number: usize, left: Left, random: &mut Random) -> Vec<u8> {
        let Some(contents) = self.files.get(&number) else {
            return Vec::new();
        };
        let mut bytes = contents.lasting.clone();
        for waiting in &contents.waiting {
            let part = match left {
                Left::Nothing | Left::Names => 0,
                Left::Everything | Left::Bytes => 1,
                Left::Some(_) => random.below(3),
            };
            match (part, waiting) {
                (0, _) => {}
                (2, Waiting::Bytes(offset, new)) => {
                    for (sector, new) in new.chunks(SECTOR).enumerate() {
                        if random.below(2) == 0 {
                            put(&mut bytes, place(*offset) + sector * SECTOR, new);
                        }
                    }
                }
                (_, waiting) => waiting.apply(&mut bytes),
            }
        }
        bytes
    }
}

fn above(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// A few bits of chance, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::disk::{self, File};

    fn left(medium: &Medium, left: Left) -> BTreeMap<PathBuf, Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        medium.cut(left, &tree).unwrap();
        let mut log = Log::default();
        log.take_in(&tree, &tree).unwrap();
        log.before.into_iter().collect()
    }

    #[test]
    fn what_was_not_synced_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("old"), "old").unwrap();
        let recording = Recording::below(folder.path()).unwrap();
        assert!(recording.is_empty());
        let (part, whole) = (folder.path().join("part"), folder.path().join("old"));
        let mut file = File::create_new(&part).unwrap();
        file.write_all(b"ne").unwrap();
        file.write_all(b"w").unwrap();
        let unsynced = recording.len();
        file.sync().unwrap();
        disk::rename(&part, &whole).unwrap();
        let renamed = recording.len();
        disk::sync_folder(folder.path()).unwrap();
        let other = tempfile::tempdir().unwrap();
        disk::make_folders(&other.path().join("elsewhere")).unwrap();

        let operations = recording.operations();
        assert_eq!(operations.len(), renamed + 1);
        let at = |count: usize| {
            let mut medium = recording.medium();
            operations[..count]
                .iter()
                .for_each(|done| medium.apply(done));
            medium
        };
        let tree = |files: &[(&str, &str)]| -> BTreeMap<PathBuf, Vec<u8>> {
            let own = |(name, text): &(&str, &str)| (name.into(), text.as_bytes().to_vec());
            files.iter().map(own).collect()
        };
        let old = tree(&[("old", "old")]);
        assert_eq!(left(&at(unsynced), Left::Nothing), old);
        assert_eq!(
            left(&at(unsynced), Left::Names),
            tree(&[("old", "old"), ("part", "")])
        );
        assert_eq!(left(&at(renamed), Left::Nothing), old);
        assert_eq!(left(&at(renamed), Left::Names), tree(&[("old", "new")]));
        assert_eq!(
            left(&at(renamed + 1), Left::Nothing),
            tree(&[("old", "new")])
        );
        let without_sync: Vec<&Operation> = operations
            .iter()
            .filter(|done| !matches!(done, Operation::Sync(_)))
            .collect();
        let mut medium = recording.medium();
        without_sync.into_iter().for_each(|done| medium.apply(done));
        assert_eq!(left(&medium, Left::Nothing), tree(&[("old", "")]));
    }

    #[test]
    fn every_new_folder_is_synced_in_the_one_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let recording = Recording::below(folder.path()).unwrap();
        disk::make_folders(&folder.path().join("a/b/c")).unwrap();
        let mut medium = recording.medium();
        recording
            .operations()
            .iter()
            .for_each(|done| medium.apply(done));
        let tree = tempfile::tempdir().unwrap();
        let left = tree.path().join("left");
        medium.cut(Left::Nothing, &left).unwrap();
        assert!(left.join("a/b/c").is_dir());
    }
}
