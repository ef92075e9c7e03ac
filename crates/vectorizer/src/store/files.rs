//! Names, and how a file appears whole or not at all.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _};

use super::backend::create;
use super::{OrFailed as _, failed, shown};
use crate::disk::{self, File};
use crate::error::{Result, VectorizerError};

/// The folder of a collection. What is in it:
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn of(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the folder if it is not there.
    pub(super) fn make(path: &Path) -> Result<Self> {
        let folder = Self::of(path);
        if folder.database().exists() {
            return Err(VectorizerError::StoreExists { path: shown(path) });
        }
        disk::make_folders(path).map_err(|error| io(path, "make its folder", &error))?;
        Ok(folder)
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

/// An empty database in a file that nobody else is making one in. What an interrupted try left there is thrown away.
pub(super) fn create_anew(file: &Path, path: &Path) -> Result<Database> {
    let create = || create(file, path);
    let database = match create() {
        Ok(database) => {
            let read = database.begin_read().or_failed(path)?;
            let empty = read.list_tables().or_failed(path)?.next().is_none();
            drop(read);
            if empty {
                return Ok(database);
            }
            database
        }
        Err(VectorizerError::StoreDamaged { .. } | VectorizerError::UnsupportedFormat { .. }) => {
            disk::remove(file).map_err(|error| io(path, "make its file", &error))?;
            return create();
        }
        Err(error) => return Err(error),
    };
    // It was locked by us: nobody is at work on it.
    disk::remove(file).map_err(|error| io(path, "make its file", &error))?;
    drop(database);
    create()
}

/// Takes a collection's files out of its folder.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let folder = Folder::of(path);
    for file in [folder.graph(), folder.unfinished(), folder.database()] {
        match disk::remove(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
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
