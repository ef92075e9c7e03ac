//! In and out: files that other programs write and read, a batch at a time.
//!
//! | format | vectors | ids | payloads | graph |
//! |---|---|---|---|---|
//! | [`jsonl`] | yes | yes | yes | |
//! | `parquet` (the feature of that name) | yes | yes | yes, as columns | |
//! | [`npy`], [`fvecs`](npy) | yes | in a file beside | | |
//! | [`hnswlib`] | yes | numbers, or in a file beside | | yes |
//!
//! What goes out is what is there when the call begins: writers wait until the file is written, searches do not. A file is whole or not there
//! ([`WholeFile`]): links are followed, devices and pipes are written into, and the files of a collection are refused.
//!
//! **A file and its ids** are never mixed with those of another export. Both are complete before the first name changes; an export that needs no
//! file of ids takes an older one away. A failure leaves the older pair as it was. After a crash or a power cut the vectors are the old ones with
//! the old ids, the new ones with the new ids, or not there. A device takes the vectors alone.
//!
//! **Progress.** The progress function of an export may read the collection, on any thread. A change that it tries is refused
//! ([`InsideCallback`](crate::error::VectorizerError::InsideCallback)); it must not wait for another thread that writes. That of an import may read and write.
//!
//! What comes in goes through the same door as [`Collection::add_vectors_batch`](crate::collection::Collection::add_vectors_batch), batch by
//! batch: an error names the place in the file ([`VectorizerError::InFile`]), and what came in the batches before it stays. Of vectors with one id in a
//! file the last counts with [`Existing::Replace`], wherever they stand; else the second is refused.
//!
//! **Id files** are text, one id a line, in the order of the rows. Ids with line breaks in them have no place there: such collections go out as JSON
//! lines or Parquet.
//!
//! ```
//! use std::ops::ControlFlow;
//! use vectorizer::collection::Collection;
//! use vectorizer::interop::{Existing, jsonl};
//! use vectorizer::models::DistanceMetric;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("vectors.jsonl");
//! let collection = Collection::new(2, DistanceMetric::Euclidean)?;
//! collection.add_rows(&["a", "b"], &[0.0, 1.0, 2.0, 3.0])?;
//! jsonl::export(&collection, &path, |moved| {
//!     println!("{} written", moved.done);
//!     ControlFlow::Continue(())
//! })?;
//! let read = jsonl::import(&collection, &path, Existing::Replace, |_| ControlFlow::Continue(()))?;
//! assert_eq!((read, collection.vector_count()), (2, 2));
//! # Ok(())
//! # }
//! ```

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use crate::collection::{Collection, Frozen};
use crate::config::MAX_ID_BYTES;
use crate::error::{Result, VectorizerError};
use crate::models::Vector;
pub use crate::whole_file::WholeFile;
use crate::whole_file::{Pair, WholeFile as Output};

pub mod hnswlib;
pub mod jsonl;
pub mod npy;
#[cfg(feature = "parquet")]
pub mod parquet;

/// Bytes of vectors on their way at a time.
const BATCH_BYTES: usize = 8 << 20;
/// And how many vectors at most.
const BATCH_VECTORS: usize = 10_000;
/// And how many bytes of other things, after which no more come.
const BATCH_EXTRA: usize = 64 << 20;

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Vectors written or read.
    pub done: usize,
    /// Of so many, where that is known.
    pub total: Option<usize>,
}

/// What becomes of a vector that comes in under an id that the collection has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Existing {
    /// It is refused, and its batch with it: [`VectorizerError::DuplicateId`].
    #[default]
    Refuse,
    /// It takes the place of the one that is there.
    Replace,
}

/// Vectors of a batch.
fn batch_size(dimension: usize) -> usize {
    (BATCH_BYTES / (4 * dimension)).clamp(1, BATCH_VECTORS)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> VectorizerError {
    move |error| VectorizerError::FileFailed {
        path: path.display().to_string(),
        reason: error.to_string(),
    }
}

fn refused(path: &Path, reason: impl Into<String>) -> VectorizerError {
    VectorizerError::FileRefused {
        path: path.display().to_string(),
        reason: reason.into(),
    }
}

fn go_on(answer: ControlFlow<()>) -> Result<()> {
    match answer {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(VectorizerError::Cancelled),
    }
}

/// The name of the id file beside a file.
#[must_use]
pub fn ids_beside(path: impl AsRef<Path>) -> PathBuf {
    let mut name = path.as_ref().as_os_str().to_owned();
    name.push(".ids");
    name.into()
}

/// That the ids of the living can stand one a line.
fn check_ids(frozen: &Frozen<'_>, path: &Path) -> Result<()> {
    match frozen.alive().find(|(_, id)| id.contains(['\n', '\r'])) {
        None => Ok(()),
        Some((_, id)) => Err(refused(
            path,
            format!("the id {id:?} has a line break in it; export to JSON lines or Parquet"),
        )),
    }
}

/// Writes the ids of the living, one a line.
fn write_ids(frozen: &Frozen<'_>, out: &mut WholeFile) -> Result<()> {
    for (_, id) in frozen.alive() {
        out.put(id.as_bytes())?;
        out.put(b"\n")?;
    }
    Ok(())
}

/// A batch on its way in.
struct Batch<'c> {
    collection: &'c Collection,
    path: &'c Path,
    /// What a place in the file is called: `line` or `row`.
    unit: &'static str,
    /// With their places in the file; none where one of the same id has come after it.
    vectors: Vec<Option<(usize, Vector)>>,
    /// Where in `vectors` an id stands.
    places: HashMap<String, usize>,
    /// Bytes that came with the vectors beside their components.
    extra: usize,
    size: usize,
    existing: Existing,
    done: usize,
    total: Option<usize>,
}

impl<'c> Batch<'c> {
    fn new(
        collection: &'c Collection,
        path: &'c Path,
        unit: &'static str,
        existing: Existing,
        total: Option<usize>,
    ) -> Self {
        Self {
            collection,
            path,
            unit,
            vectors: Vec::new(),
            places: HashMap::new(),
            extra: 0,
            size: batch_size(collection.dimension()),
            existing,
            done: 0,
            total,
        }
    }

    /// Takes the vector at `place` of the file, which came with `extra` bytes beside its components. Of two with one id the last counts,
    /// wherever they stand, or the second is refused.
    fn push(
        &mut self,
        place: usize,
        vector: Vector,
        extra: usize,
        progress: &mut dyn FnMut(Moved) -> ControlFlow<()>,
    ) -> Result<()> {
        let before = self.places.insert(vector.id.clone(), self.vectors.len());
        match (before, self.existing) {
            (Some(before), Existing::Replace) => self.vectors[before] = None,
            (Some(_), Existing::Refuse) => {
                let error = VectorizerError::DuplicateIdInBatch { id: vector.id };
                return Err(self.at(place, error));
            }
            (None, _) => {}
        }
        self.vectors.push(Some((place, vector)));
        self.extra += extra;
        if self.vectors.len() >= self.size || self.extra >= BATCH_EXTRA {
            self.flush(progress)?;
        }
        Ok(())
    }

    /// Adds what has come so far.
    fn flush(&mut self, progress: &mut dyn FnMut(Moved) -> ControlFlow<()>) -> Result<()> {
        if self.vectors.is_empty() {
            return Ok(());
        }
        self.done += self.vectors.len();
        let (places, vectors): (Vec<usize>, Vec<Vector>) = self.vectors.drain(..).flatten().unzip();
        self.places.clear();
        self.extra = 0;
        let added = match self.existing {
            Existing::Replace => self.collection.upsert_vectors_batch(&vectors),
            Existing::Refuse => self.collection.add_vectors_batch(&vectors),
        };
        if let Err(error) = added {
            let of_one = refused_vector(&error, &vectors).and_then(|one| places.get(one));
            return Err(match of_one {
                Some(place) => self.at(*place, error),
                None => error,
            });
        }
        go_on(progress(Moved {
            done: self.done,
            total: self.total,
        }))
    }

    fn at(&self, place: usize, error: VectorizerError) -> VectorizerError {
        VectorizerError::InFile {
            path: self.path.display().to_string(),
            place: format!("{} {place}", self.unit),
            error: Box::new(error),
        }
    }
}

/// Which of these vectors an error is about, if it is about one.
fn refused_vector(error: &VectorizerError, vectors: &[Vector]) -> Option<usize> {
    use VectorizerError as E;
    match error {
        E::DuplicateId { id }
        | E::InvalidComponent { id, .. }
        | E::VectorTooShort { id, .. }
        | E::InvalidPayload { id, .. } => vectors.iter().position(|vector| vector.id == *id),
        E::InvalidId { .. } => vectors
            .iter()
            .position(|vector| !(1..=MAX_ID_BYTES).contains(&vector.id.len())),
        _ => None,
    }
}
