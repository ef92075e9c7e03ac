//! Tables of row numbers: true neighbours, found neighbours, and the file they are written to.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::error::{DataError, Result};
use crate::npy;

/// For each query the row numbers of its neighbours, nearest first. Places that hold none are [`IdTable::NONE`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdTable {
    width: usize,
    ids: Vec<i64>,
}

impl IdTable {
    /// No row.
    pub const NONE: i64 = -1;

    /// An empty table of lists of `width` places.
    ///
    /// # Panics
    /// If `width` is 0.
    #[must_use]
    pub fn new(width: usize) -> Self {
        assert!(width > 0, "lists of no places");
        Self {
            width,
            ids: Vec::new(),
        }
    }

    /// Adds the list of the next query. A shorter one is filled up, a longer one cut.
    pub fn push(&mut self, ids: impl IntoIterator<Item = i64>) {
        let end = self.ids.len() + self.width;
        self.ids.extend(ids.into_iter().take(self.width));
        self.ids.resize(end, Self::NONE);
    }

    /// Places in a list.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many lists there are.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.ids.len() / self.width
    }

    /// The list of one query, with its empty places.
    ///
    /// # Panics
    /// If there is no such query.
    #[must_use]
    pub fn of(&self, query: usize) -> &[i64] {
        &self.ids[query * self.width..][..self.width]
    }

    /// Writes an int64 `.npy` file of the shape (queries, width). The file appears whole or not at all: it is written
    /// under another name in the same folder and then renamed; on failure nothing is left.
    ///
    /// # Errors
    /// [`can_write`] refuses the path, or the operating system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        can_write(path)?;
        let failed = |error| DataError::io(path, "write it", &error);
        let mut builder = tempfile::Builder::new();
        builder.prefix(".vectorizer-").suffix(".npy.part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // What a plain new file gets; the process's umask is applied to it.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder(path)).map_err(failed)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&npy::preamble("<i8", self.queries(), self.width))
            .map_err(failed)?;
        for id in &self.ids {
            out.write_all(&id.to_le_bytes()).map_err(failed)?;
        }
        let file = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Says whether a table can be written to `path`, so that long work need not end in an error.
///
/// # Errors
/// It does not end in `.npy`, its folder is not there, or something other than a plain file is in its place.
pub fn can_write(path: &Path) -> Result<()> {
    if path
        .extension()
        .is_none_or(|e| !e.eq_ignore_ascii_case("npy"))
    {
        return Err(DataError::new(
            path,
            "row numbers are written as .npy: give a name that ends so",
        ));
    }
    if !folder(path).is_dir() {
        return Err(DataError::new(
            path,
            "cannot write it: there is no such folder",
        ));
    }
    match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => Err(DataError::new(
            path,
            "cannot write it: something that is not a plain file is there",
        )),
        _ => Ok(()),
    }
}
