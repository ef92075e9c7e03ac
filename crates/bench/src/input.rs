//! A file that is read at any place, and may change meanwhile.
//!
//! It is read and not mapped: touching a page of a mapping that somebody has cut off ends the process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Result};

/// A regular file, of the length that it has when it is opened.
#[derive(Debug)]
pub(crate) struct Input {
    path: PathBuf,
    file: File,
    length: usize,
}

impl Input {
    /// Opens the file at `path`, which may be empty.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let unreadable = |error| DataError::io(path, "read it", &error);
        // Asked before opening: opening a pipe would wait for its writer.
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if kind.is_dir() {
            return Err(DataError::new(path, "is a folder, not a file"));
        }
        if !kind.is_file() {
            return Err(DataError::new(
                path,
                "is not a regular file: write the data to a file first",
            ));
        }
        let file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let length = usize::try_from(length)
            .map_err(|_| DataError::new(path, "is too large for this machine"))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
        })
    }

    /// How many bytes there were when it was opened.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The first bytes, `most` at most.
    pub(crate) fn head(&self, most: usize) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        self.read(0, most.min(self.length), &mut head)?;
        Ok(head)
    }

    /// Puts `count` bytes from `offset` on into `out`, in place of what was there.
    ///
    /// # Errors
    /// The system refuses, or the file has become shorter.
    pub(crate) fn read(&self, offset: usize, count: usize, out: &mut Vec<u8>) -> Result<()> {
        // Bytes that are there already need not be set to zero again.
        out.resize(count, 0);
        let mut done = 0;
        while done < count {
            match read_at(&self.file, &mut out[done..], (offset + done) as u64) {
                Ok(0) => {
                    return Err(DataError::new(
                        &self.path,
                        format!(
                            "became shorter while it was read: it had {} bytes",
                            self.length
                        ),
                    ));
                }
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DataError::io(&self.path, "read it", &error)),
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, offset)
}

#[cfg(windows)]
fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, offset)
}
