//! What a path that is to be written stands for: looked at before a byte is written.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{failed, refused};
use crate::error::{Result, VectorizerError};

/// Links that are followed before they are taken for a loop, as Linux does.
const MOST_LINKS: usize = 40;
/// The first bytes of a store and of a graph's file, and what to call them.
const COLLECTIONS: [(&[u8], &str); 2] = [
    (b"redb\x1A\x0A\xA9\x0D\x0A", "the store of a collection"),
    (b"vz-graph", "the graph of a collection"),
];
/// Names that a collection gives the files in its folder; a store with the first of them makes a folder one.
const NAMES: [&str; 4] = [
    "collection.redb",
    "collection.redb.part",
    "graph.snapshot",
    "graph.snapshot.part",
];

/// Where an output goes.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// As the caller names it, for messages.
    pub(super) named: PathBuf,
    /// The name of the file itself, links followed.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What is there.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Nothing.
    Free,
    /// A plain file, which another can take the place of.
    Plain(Metadata),
    /// A pipe or a socket by its own name: the bytes go into it.
    Pipe,
    /// A device, or something that only a process's table of files names: the bytes go into it.
    Device,
}

impl Target {
    /// Looks at `path`, which may be none of `inputs`.
    pub(super) fn of(path: &Path, inputs: &[&Path]) -> Result<Self> {
        let (end, kind) = match fs::metadata(path) {
            Ok(there) if there.is_dir() => {
                return Err(refused(path, "is a folder; give the name of a file"));
            }
            Ok(there) => {
                let end = follow(path).map_err(failed(path))?;
                let named = fs::symlink_metadata(&end).ok();
                // Links of /proc lead to files that have no name, or another one by now.
                let named = named.is_some_and(|named| same_file(&end, &named, path, &there));
                let kind = match (there.is_file(), named) {
                    (true, true) => Kind::Plain(there),
                    (false, true) if !is_device(&there) => Kind::Pipe,
                    _ => Kind::Device,
                };
                (end, kind)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.as_os_str().is_empty() {
                    return Err(refused(path, "has no name; give the name of a file"));
                }
                let bytes = path.as_os_str().as_encoded_bytes();
                if bytes.last().copied().is_some_and(is_separator) {
                    return Err(refused(path, "names a folder; give the name of a file"));
                }
                (follow(path).map_err(failed(path))?, Kind::Free)
            }
            Err(error) => return Err(failed(path)(error)),
        };
        let target = Self {
            named: path.to_owned(),
            path: end,
            kind,
        };
        if let Some(holds) = target.holds(inputs) {
            return Err(VectorizerError::WouldOverwrite {
                path: path.display().to_string(),
                holds,
            });
        }
        Ok(target)
    }

    /// What would be destroyed that nobody means to.
    fn holds(&self, inputs: &[&Path]) -> Option<&'static str> {
        let folder = self.folder();
        if let Some(name) = self.path.file_name().and_then(|name| name.to_str())
            && NAMES.contains(&name)
            && folder.join(NAMES[0]).exists()
        {
            return Some("a file of the collection in that folder");
        }
        let Kind::Plain(there) = &self.kind else {
            return None;
        };
        let is_this = |input: &&Path| {
            fs::metadata(input).is_ok_and(|input_is| same_file(input, &input_is, &self.path, there))
        };
        if inputs.iter().any(is_this) {
            return Some("an input");
        }
        let mut head = Vec::new();
        // What cannot be read is nothing of ours that is open.
        let read = File::open(&self.path).and_then(|file| file.take(16).read_to_end(&mut head));
        let of_collection = COLLECTIONS
            .iter()
            .find(|(magic, _)| head.starts_with(magic));
        read.ok().and(of_collection).map(|(_, what)| *what)
    }

    /// The folder that the file is an entry of.
    pub(super) fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// Whether both are one place.
    pub(super) fn is(&self, other: &Self) -> bool {
        if let (Kind::Plain(ours), Kind::Plain(theirs)) = (&self.kind, &other.kind) {
            return same_file(&self.path, ours, &other.path, theirs);
        }
        let whole = |target: &Self| {
            let folder = target.folder().canonicalize().ok()?;
            Some(folder.join(target.path.file_name()?))
        };
        self.path == other.path || whole(self).is_some_and(|path| whole(other) == Some(path))
    }
}

/// The folder that `path` is an entry of.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Follows the links that the last part of a path stands for, to a name that is none, or that is free.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&at) {
            Ok(there) if there.is_symlink() => {
                let to = fs::read_link(&at)?;
                at = folder_of(&at).join(to);
            }
            Ok(_) => return Ok(at),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(at),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

fn is_separator(byte: u8) -> bool {
    std::path::is_separator(char::from(byte))
}

/// Whether two names are of one file, whose metadata are at hand.
#[cfg(unix)]
fn same_file(_: &Path, a: &Metadata, _: &Path, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether two names are of one file.
#[cfg(not(unix))]
fn same_file(a: &Path, _: &Metadata, b: &Path, _: &Metadata) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(unix)]
fn is_device(there: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    there.file_type().is_char_device() || there.file_type().is_block_device()
}

#[cfg(not(unix))]
fn is_device(_: &Metadata) -> bool {
    true
}
