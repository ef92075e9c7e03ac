//! hnswlib's own files (`save_index`, `load_index`), with the graph: what was built here is searched there, and the other way round.
//!
//! ```text
//! header    96 bytes, little endian: offset of level 0 (u64, 0), room for elements (u64), elements n (u64), bytes of an element s (u64),
//!           offset of the label (u64), offset of the vector (u64), highest level (i32), entry point (u32), maxM (u64), maxM0 (u64), M (u64),
//!           mult (f64), ef_construction (u64)
//! level 0   n elements of s bytes: links (u16), a byte of flags (1: deleted), a byte, maxM0 slots (u32), the vector (f32), the label (u64)
//! above     for each element: bytes that follow (u32), then for each level from 1: links (u32), maxM slots (u32)
//! ```
//!
//! The file does not say how nearness is measured: whoever loads it does. hnswlib's `l2` is [`Euclidean`], `ip` is [`DotProduct`], and `cosine`
//! is [`Cosine`], for which the file holds unit vectors, so that lengths are lost on the way.
//!
//! **Labels are numbers.** Ids that are all decimal numbers (below 2^64, without a sign or leading zeros) are the labels. Otherwise a vector's label is its
//! place in the order of insertion, and a file of ids lies beside ([`ids_beside`](super::ids_beside)): line l, counted from 0, is the id of label l. On the way in a label without
//! such a file becomes its decimal digits.
//!
//! **Deleted vectors** that are still part of the graph go out as hnswlib has them, marked, under the highest labels that are free; marked ones come in
//! as part of the graph and are deleted then.
//!
//! [`Euclidean`]: crate::models::DistanceMetric::Euclidean
//! [`DotProduct`]: crate::models::DistanceMetric::DotProduct
//! [`Cosine`]: crate::models::DistanceMetric::Cosine

use std::fs::File;
use std::path::Path;

use super::failed;
use crate::error::Result;

mod export;
mod header;
mod import;
#[cfg(test)]
mod tests;

pub use export::{Exported, export};
pub use header::Header;
pub use import::{Imported, import, import_with};

/// The flag of a deleted element, in the third byte of its links' number.
const DELETED: u8 = 1;

fn length(file: &File, path: &Path) -> Result<u64> {
    Ok(file.metadata().map_err(failed(path))?.len())
}
