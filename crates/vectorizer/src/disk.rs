//! The one door to the file system for files that have to be whole, or that have to survive a power cut.
//!
//! A file survives a power cut when its bytes are synced and the entry of its name in its folder is synced, and so for every folder
//! above it. Tests record what passes this door and replay it with what was not synced left out (`recorder`).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

#[cfg(any(test, feature = "fault-injection"))]
#[cfg_attr(
    not(feature = "fault-injection"),
    allow(unreachable_pub, reason = "seen by the tests of this crate alone")
)]
pub mod recorder;
#[cfg(not(any(test, feature = "fault-injection")))]
#[path = "disk/unrecorded.rs"]
mod recorder;

pub(crate) use recorder::Record;

/// A change of names.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(test, feature = "fault-injection")),
    expect(dead_code, reason = "read by the recorder alone")
)]
pub(crate) enum NameChange<'c> {
    MakeFolder(&'c Path),
    Rename(&'c Path, &'c Path),
    Remove(&'c Path),
    SyncFolder(&'c Path),
}

/// A change of a file's bytes.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(test, feature = "fault-injection")),
    expect(dead_code, reason = "read by the recorder alone")
)]
pub(crate) enum FileChange<'c> {
    Write(u64, &'c [u8]),
    SetLen(u64),
    Sync,
}

/// A file that is written from its beginning on.
#[derive(Debug)]
pub(crate) struct File {
    file: fs::File,
    position: u64,
    record: Record,
}

impl File {
    /// A new file; an error if there is something of this name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], or the system refused.
    #[cfg(test)]
    pub(crate) fn create_new(path: &Path) -> io::Result<Self> {
        Self::open_with(path, OpenOptions::new().write(true).create_new(true))
    }

    /// The file of this name by these options, which say nothing of appending.
    ///
    /// # Errors
    /// The system refused.
    pub(crate) fn open_with(path: &Path, options: &OpenOptions) -> io::Result<Self> {
        let (file, record) = Record::opened(path, || options.open(path))?;
        Ok(Self {
            file,
            position: 0,
            record,
        })
    }

    /// The bytes written so far reach the disk.
    ///
    /// # Errors
    /// The system refused: nobody knows then which of them did.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let sync = || self.file.sync_all();
        self.record.change(FileChange::Sync, sync)
    }

    /// For what changes no bytes: permissions, metadata.
    pub(crate) fn get_ref(&self) -> &fs::File {
        &self.file
    }

    /// The file, and what has to be told of each change of it.
    pub(crate) fn into_parts(self) -> (fs::File, Record) {
        (self.file, self.record)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let change = FileChange::Write(self.position, bytes);
        let file = &mut self.file;
        self.record.change(change, || file.write_all(bytes))?;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a file another name, in place of a file that has it. Lasting once the folder is synced.
///
/// # Errors
/// The system refused.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let rename = || fs::rename(from, to);
    recorder::change(NameChange::Rename(from, to), rename)
}

/// Removes a file. Lasting once the folder is synced.
///
/// # Errors
/// The system refused.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let remove = || fs::remove_file(path);
    recorder::change(NameChange::Remove(path), remove)
}

/// Makes the entries of a folder durable, where the system has that.
///
/// # Errors
/// The system refused.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    recorder::change(NameChange::SyncFolder(path), || {
        if cfg!(unix) {
            fs::File::open(path)?.sync_all()?;
        }
        Ok(())
    })
}

/// Makes a folder and those above it that are missing, each of them for good.
///
/// # Errors
/// The system refused; folders that were made by then stay.
pub(crate) fn make_folders(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|level| !level.as_os_str().is_empty() && !level.is_dir())
        .collect();
    if missing.is_empty() {
        // Whoever made it may have been interrupted before it was synced. Who may not read the folder above did not make this one.
        if let Some(above) = path.canonicalize().ok().as_deref().and_then(Path::parent) {
            match sync_folder(above) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
    }
    for level in missing.into_iter().rev() {
        match recorder::change(NameChange::MakeFolder(level), || fs::create_dir(level)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && level.is_dir() => {}
            made => made?,
        }
        if let Some(above) = level.canonicalize()?.parent() {
            sync_folder(above)?;
        }
    }
    Ok(())
}
