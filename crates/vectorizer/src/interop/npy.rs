//! `.npy` (NumPy's, float32) and `.fvecs` (rows of float32, each after its length), with an id file beside.
//!
//! The command reads both, and half floats and bytes too, through `vectorizer-bench`; this is the way out.

use std::ops::ControlFlow;
use std::path::Path;

use super::{Moved, Pair, batch_size, check_ids, go_on, ids_beside, refused, write_ids};
use crate::collection::Collection;
use crate::error::Result;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// NumPy's format, version 1.
    Npy,
    /// An int32 and so many float32, row after row.
    Fvecs,
}

/// Writes the vectors, bit for bit as they were added and in the order of insertion, and their ids beside ([`ids_beside`]); how many there were.
///
/// # Errors
/// [`FileFailed`](crate::error::VectorizerError::FileFailed), [`FileRefused`](crate::error::VectorizerError::FileRefused) for a folder or an id with a
/// line break, [`WouldOverwrite`](crate::error::VectorizerError::WouldOverwrite) for a collection's file,
/// [`Cancelled`](crate::error::VectorizerError::Cancelled), or the device failed; what was there before, vectors and ids, is still there.
pub fn export(
    collection: &Collection,
    path: impl AsRef<Path>,
    form: Form,
    mut progress: impl FnMut(Moved) -> ControlFlow<()>,
) -> Result<usize> {
    let path = path.as_ref();
    let frozen = collection.freeze()?;
    let (total, dimension) = (frozen.count(), collection.dimension());
    let beside = ids_beside(path);
    check_ids(&frozen, &beside)?;
    let mut pair = Pair::create(path, &beside, true)?;
    let out = pair.main();
    let mut prefix = Vec::new();
    match form {
        Form::Npy => out.put(&header(total, dimension))?,
        Form::Fvecs => {
            let length =
                i32::try_from(dimension).map_err(|_| refused(path, "too many components"))?;
            prefix.extend(length.to_le_bytes());
        }
    }
    let mut done = 0;
    let mut bytes = Vec::new();
    for slots in frozen.runs(batch_size(dimension)) {
        bytes.clear();
        for row in frozen.read(slots.clone())?.chunks_exact(dimension) {
            bytes.extend(&prefix);
            bytes.extend(row.iter().flat_map(|component| component.to_le_bytes()));
        }
        out.put(&bytes)?;
        done += slots.len();
        go_on(progress(Moved {
            done,
            total: Some(total),
        }))?;
    }
    if let Some(ids) = pair.beside() {
        write_ids(&frozen, ids)?;
    }
    pair.finish()?;
    Ok(total)
}

/// What stands before the numbers: a dictionary of Python's, ended by a line break at a multiple of 64 bytes.
fn header(rows: usize, columns: usize) -> Vec<u8> {
    const BEFORE: usize = 10;
    let text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let length = (BEFORE + text.len() + 1).next_multiple_of(64) - BEFORE;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // Two numbers of at most 20 digits: the length fits.
    bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).into_bytes());
    bytes
}
