//! The rows of a file into a collection, under ids of another file or under their numbers.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::Args;
use vectorizer::collection::Collection;
use vectorizer_bench::{IdFile, Matrix};

use crate::failure::{Failure, Result};
use crate::figures::counted;

/// What rows are called that have no ids of their own.
#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// Ids in the order of the rows (of hnswlib's file: of the labels): text, one id a line, or for rows a .npy list of integers.
    #[arg(long, value_name = "FILE", conflicts_with = "first_id")]
    pub(crate) ids: Option<PathBuf>,
    /// The number of the first row, where rows are called by their numbers. [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) first_id: Option<u64>,
}

/// The ids of the rows of a file.
#[derive(Debug)]
pub(crate) enum Names {
    Listed(IdFile),
    /// Row 0 has this number, and so on.
    Numbered(u64),
}

impl Names {
    /// Those of `ids`, which has one for each of `rows`; else numbers.
    pub(crate) fn open(ids: Option<&Path>, first: Option<u64>, rows: &Matrix) -> Result<Self> {
        let Some(path) = ids else {
            let first = first.unwrap_or_default();
            if first.checked_add(rows.rows() as u64).is_none() {
                return Err(Failure::Input(format!(
                    "--first-id {first}: the last of {} would have a number past 2^64",
                    counted(rows.rows(), "row", "rows")
                )));
            }
            return Ok(Self::Numbered(first));
        };
        let ids = IdFile::open(path)?;
        if ids.count() != rows.rows() {
            return Err(Failure::Input(format!(
                "{}: has {}, but {} has {}",
                path.display(),
                counted(ids.count(), "id", "ids"),
                rows.path().display(),
                counted(rows.rows(), "row", "rows")
            )));
        }
        Ok(Self::Listed(ids))
    }

    /// The ids of the rows of a range; ranges come one after the other.
    fn of(&mut self, rows: Range<usize>) -> Result<Vec<String>> {
        match self {
            Self::Listed(ids) => Ok(ids.read(rows.len())?),
            Self::Numbered(first) => {
                Ok(rows.map(|row| (*first + row as u64).to_string()).collect())
            }
        }
    }

    /// Refuses numbers that are taken already. Advising --replace here would overwrite other rows that have the same numbers.
    fn free(&self, collection: &Collection, rows: usize) -> Result<()> {
        let &Self::Numbered(first) = self else {
            return Ok(());
        };
        let last_taken = |first: u64| {
            let numbers = first..first.saturating_add(rows as u64);
            numbers
                .rev()
                .find(|number| collection.contains(&number.to_string()))
        };
        let Some(taken) = last_taken(first) else {
            return Ok(());
        };
        let (mut free, mut last) = (collection.vector_count() as u64, Some(taken));
        while let Some(taken) = last {
            free = free.max(taken.saturating_add(1));
            last = last_taken(free);
        }
        let smallest = (first..=taken).find(|number| collection.contains(&number.to_string()));
        Err(Failure::Input(format!(
            "id \"{}\" is already in the collection, and without --ids rows are called by their numbers, from {first} on: \
             go on behind what is there with --first-id {free}, or name the rows with --ids FILE",
            smallest.unwrap_or(taken)
        )))
    }
}

/// Adds all rows, `batch` at a time, each time durable before `done` is told how many are in. With `replace`, vectors take the place of those that
/// have their ids, whose payloads stay.
pub(crate) fn put(
    collection: &Collection,
    rows: &Matrix,
    mut names: Names,
    batch: usize,
    replace: bool,
    mut done: impl FnMut(usize) -> Result<()>,
) -> Result<()> {
    if !replace {
        names.free(collection, rows.rows())?;
    }
    let mut block = Vec::new();
    for first in (0..rows.rows()).step_by(batch) {
        let range = first..rows.rows().min(first + batch);
        rows.read(range.clone(), &mut block)?;
        let ids = names.of(range.clone())?;
        if replace {
            collection.upsert_rows(&ids, &block)?;
        } else {
            collection.add_rows(&ids, &block)?;
        }
        done(range.end)?;
    }
    Ok(())
}

/// Refuses rows of another length than the collection's.
pub(crate) fn fit(collection: &Collection, rows: &Matrix) -> Result<()> {
    if rows.fits(collection.dimension()) {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "{}: has vectors of {} components, but the collection's have {}",
        rows.path().display(),
        rows.dimension(),
        collection.dimension()
    )))
}
