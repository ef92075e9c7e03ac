//! Files that are there whole or not at all, and pairs of them that are never mixed with another pair.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::disk;
use crate::error::{Result, VectorizerError};

mod pair;
mod part;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use pair::Pair;
use part::Turn;
use target::{Kind, Target};

/// Bytes that wait for their way to the file.
const BUFFER: usize = 1 << 18;

/// A file that appears under its name when it is whole, in place of what was there, or not at all.
///
/// It is written under another name in the same folder, synced, renamed, and the folder is synced: after a crash or a power cut the name
/// stands for the old bytes or for the new. Without [`WholeFile::finish`] nothing changes. What a killed program leaves (a name that
/// begins with a dot and ends in `.part`) goes with the next file that is written to the same path.
///
/// - A new file has the permissions that any new file gets; one in place of another keeps that one's, and its owner where the system allows it.
/// - **Links** are followed: the file that they lead to is written, and made if it is not there.
/// - **Devices, pipes and sockets** are written into, as `>` of a shell does: they are not replaced, and nothing is whole or not there.
/// - **Folders**, the files of a collection, and what the caller names as inputs are refused, by whatever name they go.
///
/// ```
/// use std::io::Write as _;
/// use vectorizer::interop::WholeFile;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("words.txt");
/// let mut file = WholeFile::create(&path)?;
/// file.write_all(b"red\ngreen\n")?;
/// assert!(!path.exists());
/// file.finish()?;
/// assert_eq!(std::fs::read_to_string(&path)?, "red\ngreen\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct WholeFile {
    target: Target,
    /// The name it has until it is whole; `None` where the bytes go into what is there.
    part: Option<PathBuf>,
    writer: BufWriter<disk::File>,
}

fn failed(path: &Path) -> impl Fn(io::Error) -> VectorizerError {
    move |error| VectorizerError::FileFailed {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn refused(path: &Path, reason: &str) -> VectorizerError {
    VectorizerError::FileRefused {
        path: path.display().to_string(),
        reason: reason.to_owned(),
    }
}

impl WholeFile {
    /// Begins a file at `path`.
    ///
    /// # Errors
    /// [`FileRefused`](VectorizerError::FileRefused) for a folder, [`WouldOverwrite`](VectorizerError::WouldOverwrite) for a file of a
    /// collection, [`FileFailed`](VectorizerError::FileFailed) if the system refuses. Nothing is written then.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::create_apart_from(path, &[])
    }

    /// Begins a file at `path`, which has to be none of `inputs`.
    ///
    /// # Errors
    /// As [`WholeFile::create`]; [`WouldOverwrite`](VectorizerError::WouldOverwrite) for an input, too.
    pub fn create_apart_from(path: impl AsRef<Path>, inputs: &[&Path]) -> Result<Self> {
        Self::begin(Target::of(path.as_ref(), inputs)?)
    }

    /// Whether a file could be begun at `path`, so that long work need not end in an error. Nothing is written, no pipe is opened.
    ///
    /// # Errors
    /// As [`WholeFile::create_apart_from`].
    pub fn check(path: impl AsRef<Path>, inputs: &[&Path]) -> Result<()> {
        let target = Target::of(path.as_ref(), inputs)?;
        match target.kind {
            Kind::Free | Kind::Plain(_) if !target.folder().is_dir() => {
                Err(refused(path.as_ref(), "there is no such folder"))
            }
            _ => Ok(()),
        }
    }

    /// Writes all bytes of a file.
    ///
    /// # Errors
    /// As [`WholeFile::create`] and [`WholeFile::finish`].
    pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
        let mut file = Self::create(path)?;
        file.put(bytes)?;
        file.finish()
    }

    fn begin(target: Target) -> Result<Self> {
        let failed = failed(&target.named);
        let (part, file) = match target.kind {
            Kind::Free | Kind::Plain(_) => {
                let (part, file) = part::create(&target).map_err(failed)?;
                (Some(part), file)
            }
            Kind::Pipe | Kind::Device => {
                let mut options = OpenOptions::new();
                let file = disk::File::open_with(&target.named, options.write(true));
                (None, file.map_err(failed)?)
            }
        };
        Ok(Self {
            target,
            part,
            writer: BufWriter::with_capacity(BUFFER, file),
        })
    }

    /// Writes bytes, with an error that names the file.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer
            .write_all(bytes)
            .map_err(failed(&self.target.named))
    }

    /// All bytes are on the disk, and the permissions are those that the file will have.
    fn complete(&mut self) -> Result<()> {
        let failed = failed(&self.target.named);
        self.writer.flush().map_err(&failed)?;
        let file = self.writer.get_ref();
        part::take_after(file.get_ref(), &self.target).map_err(&failed)?;
        match file.sync() {
            // Pipes and most devices have nothing to sync.
            Err(_) if self.part.is_none() => Ok(()),
            synced => synced.map_err(failed),
        }
    }

    /// Gives the file its name. After that there is nothing to take away.
    fn appear(&mut self) -> io::Result<()> {
        if let Some(part) = &self.part {
            disk::rename(part, &self.target.path)?;
            self.part = None;
            disk::sync_folder(self.target.folder())?;
        }
        Ok(())
    }

    /// The file is whole: gives it its name, for good.
    ///
    /// # Errors
    /// [`FileFailed`](VectorizerError::FileFailed); what was there before is still there, unless only the folder could not be synced.
    pub fn finish(mut self) -> Result<()> {
        self.complete()?;
        let _turn = self.part.is_some().then(|| Turn::wait(&self.target));
        self.appear().map_err(failed(&self.target.named))
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for WholeFile {
    /// What is not whole is taken away; if that fails too, the next file that is written to the path takes it away.
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            drop(disk::remove(part));
        }
    }
}
