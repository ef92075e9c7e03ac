//! A medium, on which recorded operations happen anew, and what a power cut leaves on it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Operation;

/// What the medium writes at once or not at all.
const SECTOR: usize = 512;

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
    /// One on which there are these folders and files for good, the files numbered in their order.
    pub(super) fn holding(folders: &[PathBuf], files: &[(PathBuf, Vec<u8>)]) -> Self {
        let mut medium = Self::default();
        for folder in folders {
            medium.lasting.insert(folder.clone(), Node::Folder);
        }
        for (number, (name, bytes)) in files.iter().enumerate() {
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
