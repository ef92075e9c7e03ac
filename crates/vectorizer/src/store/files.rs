//! Names, and how a file appears whole or not at all.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _};

use super::backend::{create, unreadable};
use super::{OrFailed as _, failed, shown};
use crate::disk::{self, File};
use crate::error::{Result, VectorizerError};

/// The folder of a collection. What is in it:
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// How often somebody else may be quicker before this one gives up.
const TRIES: usize = 8;

impl Folder {
    /// The folder at this path, wherever the program goes afterwards.
    pub(super) fn of(path: &Path) -> Result<Self> {
        if path.as_os_str().is_empty() {
            return Err(failed(path, "an empty path names no folder: name one"));
        }
        std::path::absolute(path)
            .map(Self)
            .map_err(|error| io(path, "find its folder", &error))
    }

    /// The folder at this path, which has a store.
    pub(super) fn with_a_store(path: &Path) -> Result<Self> {
        let folder = Self::of(path)?;
        if folder.has_a_store()? {
            Ok(folder)
        } else {
            let path = shown(folder.path());
            Err(VectorizerError::StoreMissing { path })
        }
    }

    /// Makes the folder if it is not there. There must be no store in it.
    pub(super) fn make(path: &Path) -> Result<Self> {
        let folder = Self::of(path)?;
        folder.must_be_free()?;
        disk::make_folders(folder.path()).map_err(|error| io(path, "make its folder", &error))?;
        Ok(folder)
    }

    fn has_a_store(&self) -> Result<bool> {
        let file = self.database();
        match std::fs::metadata(&file) {
            Ok(file) => Ok(file.is_file()),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(false),
                _ => Err(unreadable(&file, &self.0, &error)),
            },
        }
    }

    fn must_be_free(&self) -> Result<()> {
        if self.has_a_store()? {
            let path = shown(&self.0);
            return Err(VectorizerError::StoreExists { path });
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The store.
    pub(super) fn database(&self) -> PathBuf {
        self.0.join("collection.redb")
    }

    /// A store that is being made.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.0.join("collection.redb.part")
    }

    /// The graph.
    pub(super) fn graph(&self) -> PathBuf {
        self.0.join("graph.snapshot")
    }

    /// Gives a finished file its name, for good.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let failed = |error| io(&self.0, "give a file its name", &error);
        disk::rename(from, to).map_err(failed)?;
        disk::sync_folder(&self.0).map_err(failed)
    }

    /// Writes a file whole or not at all: under another name, synced, then renamed. Whoever calls this has the store locked.
    pub(super) fn write_whole(&self, to: &Path, parts: &[&[u8]]) -> Result<()> {
        let unfinished = to.with_extension("snapshot.part");
        let mut anew = OpenOptions::new();
        anew.write(true).create(true).truncate(true);
        let written = File::open_with(&unfinished, &anew).and_then(|mut file| {
            for part in parts {
                file.write_all(part)?;
            }
            file.sync()
        });
        if let Err(error) = written {
            // Of no use to anyone; if it cannot even be removed, the next one overwrites it.
            drop(disk::remove(&unfinished));
            return Err(io(&self.0, "write the graph's file", &error));
        }
        self.rename(&unfinished, to)
    }
}

impl Folder {
    /// An empty database in the file of a store that is being made, locked. What an interrupted try left there is thrown away.
    ///
    /// # Errors
    /// [`VectorizerError::StoreExists`], [`VectorizerError::StoreInUse`] if somebody else is making one, or the disk refused.
    pub(super) fn begin_unfinished(&self) -> Result<Database> {
        let (file, path) = (self.unfinished(), self.path());
        for _ in 0..TRIES {
            let (database, identity) = create(&file, path)?;
            // Who has the lock of another file than that of this name was too late.
            let ours = (database.is_ok() || identity.lock()) && identity.is_at(&file);
            let left = match database {
                Err(VectorizerError::StoreInUse { .. }) => {
                    self.must_be_free()?;
                    return Err(VectorizerError::StoreInUse { path: shown(path) });
                }
                Ok(database) if ours => {
                    let read = database.begin_read().or_failed(path)?;
                    let empty = read.list_tables().or_failed(path)?.next().is_none();
                    drop(read);
                    if empty {
                        if let Err(error) = self.must_be_free() {
                            drop(disk::remove(&file));
                            return Err(error);
                        }
                        return Ok(database);
                    }
                    Some(database)
                }
                Ok(_) => continue,
                Err(
                    VectorizerError::StoreDamaged { .. }
                    | VectorizerError::UnsupportedFormat { .. },
                ) if ours => None,
                Err(_) if !ours => continue,
                Err(error) => return Err(error),
            };
            // Locked by us, or of nobody: what somebody began and did not end.
            match disk::remove(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(io(path, "make its file", &error));
                }
                _ => {}
            }
            drop(left);
        }
        self.must_be_free()?;
        Err(VectorizerError::StoreInUse { path: shown(path) })
    }

    /// Takes away what [`Folder::begin_unfinished`] made unless it is finished.
    pub(super) fn guard_unfinished(&self) -> Unfinished<'_> {
        Unfinished(Some(self))
    }

    /// Takes a graph's file away that is of no use any more, or of another collection.
    pub(super) fn remove_graph(&self) -> Result<()> {
        let failed = |error| io(&self.0, "remove the graph's file", &error);
        match disk::remove(&self.graph()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(()) => disk::sync_folder(&self.0).map_err(failed),
        }
    }
}

/// A store that is being made, locked by whoever makes it.
#[derive(Debug)]
pub(super) struct Unfinished<'f>(Option<&'f Folder>);

impl Unfinished<'_> {
    /// Gives it its name.
    pub(super) fn finish(mut self) -> Result<()> {
        let Some(folder) = self.0 else {
            return Ok(());
        };
        folder.rename(&folder.unfinished(), &folder.database())?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(folder) = self.0 {
            // Of no use to anyone; where it cannot be removed, the next who makes one here does that.
            drop(disk::remove(&folder.unfinished()));
        }
    }
}

/// Takes a collection's files out of its folder.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let folder = Folder::of(path)?;
    for file in [folder.graph(), folder.unfinished(), folder.database()] {
        match disk::remove(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io(path, "remove its files", &error));
            }
            _ => {}
        }
    }
    disk::sync_folder(path).map_err(|error| io(path, "remove its files", &error))
}

fn io(path: &Path, action: &str, error: &std::io::Error) -> VectorizerError {
    failed(path, format!("cannot {action}: {error}"))
}

/// 128 random bits as 32 hexadecimal digits.
pub(crate) fn random_uuid(path: &Path) -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| failed(path, format!("no random bits: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
