//! Tables of row numbers: true neighbours, found neighbours, and the file they are written to.

use std::io::Write as _;
use std::path::Path;

use vectorizer::interop::WholeFile;

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

    /// Writes an int64 `.npy` file of the shape (queries, width), whole or not at all ([`WholeFile`]); on failure nothing is left.
    ///
    /// # Errors
    /// [`can_write`] refuses the path, or the operating system refuses.
    pub fn write(&self, path: &Path) -> Result<()> {
        can_write(path)?;
        let failed = |error| DataError::io(path, "write it", &error);
        let mut out = WholeFile::create(path)?;
        out.write_all(&npy::preamble("<i8", self.queries(), self.width))
            .map_err(failed)?;
        for id in &self.ids {
            out.write_all(&id.to_le_bytes()).map_err(failed)?;
        }
        Ok(out.finish()?)
    }
}

/// Says whether a table can be written to `path`, so that long work need not end in an error.
///
/// # Errors
/// It does not end in `.npy`, its folder is not there, or [`WholeFile`] refuses it.
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
    Ok(WholeFile::check(path, &[])?)
}
