//! Adding and replacing.
//!
//! Every change goes the same way: its input is checked, what it needs is put on the device beside the readers, it is recorded by whoever
//! keeps changes, and then it is shown in one step, which cannot fail. Until that step an error leaves everything as it was.

use std::borrow::Cow;

use hashbrown::HashSet;

use super::{Change, Collection};
use crate::config::MAX_ID_BYTES;
use crate::engine::slot;
use crate::error::{Result, VectorizerError};
use crate::hnsw::HnswGraph;
use crate::models::{Payload, Vector};
use crate::storage::StagedRows;

/// A batch as it was handed in, checked: ids, and rows laid end to end.
struct Batch<'a> {
    ids: Vec<&'a str>,
    rows: Cow<'a, [f32]>,
    payloads: Vec<(usize, Payload)>,
    /// Whether vectors that it replaces leave their payloads to those that come.
    keeps_payloads: bool,
    /// Whether its vectors come from a store: what an earlier version took is taken.
    stored: bool,
}

/// A batch that is on its device, and in RAM if there is a mirror, where nobody sees it yet.
struct Put {
    staged: StagedRows,
    mirrored: Option<StagedRows>,
    /// The slots of the vectors that it replaces.
    replaced: Vec<u32>,
    /// The payloads that those leave to it, by place.
    kept: Vec<(usize, Payload)>,
}

impl Collection {
    /// Adds one vector. Many at once are faster: [`Collection::add_vectors_batch`].
    ///
    /// # Errors
    /// As [`Collection::add_vectors_batch`].
    pub fn add_vector(&self, vector: Vector) -> Result<()> {
        self.add_vectors_batch([vector])
    }

    /// Adds vectors, all or none; they are found as soon as this returns, and by no search before all of them are.
    /// When enough have come, this call also links them into the graph.
    ///
    /// # Errors
    /// [`VectorizerError::DuplicateId`] for an id that is there already, [`VectorizerError::DuplicateIdInBatch`],
    /// [`VectorizerError::InvalidId`], [`VectorizerError::DimensionMismatch`], [`VectorizerError::InvalidComponent`],
    /// [`VectorizerError::InvalidPayload`], [`VectorizerError::TooManyVectors`], no room, or the device failed. Nothing is added then.
    pub fn add_vectors_batch(&self, vectors: impl AsRef<[Vector]>) -> Result<()> {
        self.put(self.batch_of(vectors.as_ref())?, false)
    }

    /// Adds one vector, or replaces the one that has its id.
    ///
    /// # Errors
    /// As [`Collection::upsert_vectors_batch`].
    pub fn upsert_vector(&self, vector: Vector) -> Result<()> {
        self.upsert_vectors_batch([vector])
    }

    /// Adds vectors, replacing those whose ids are there already, all or none. A search sees the old ones or the new ones. A payload
    /// goes with the vector it came with: where the new one has none there is none. [`Collection::upsert_rows`] keeps payloads.
    ///
    /// # Errors
    /// As [`Collection::add_vectors_batch`], but for [`VectorizerError::DuplicateId`].
    pub fn upsert_vectors_batch(&self, vectors: impl AsRef<[Vector]>) -> Result<()> {
        self.put(self.batch_of(vectors.as_ref())?, true)
    }

    /// Adds vectors that lie end to end in one slice, as a matrix does, with an id for each and no payloads: the cheapest way in.
    ///
    /// # Errors
    /// As [`Collection::add_vectors_batch`], and [`VectorizerError::ShapeMismatch`] or [`VectorizerError::CountMismatch`].
    pub fn add_rows(&self, ids: &[impl AsRef<str>], rows: &[f32]) -> Result<()> {
        self.add_rows_unlinked(ids, rows)?;
        self.tidy_or_warn();
        Ok(())
    }

    /// Adds vectors that lie end to end in one slice, replacing those whose ids are there already, all or none. Payloads stay: a vector that is
    /// replaced leaves its payload to the one that takes its id. For new embeddings of what is there.
    ///
    /// ```
    /// use vectorizer::collection::Collection;
    /// use vectorizer::models::{DistanceMetric, Vector};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let collection = Collection::new(2, DistanceMetric::Euclidean)?;
    /// let payload = Some(serde_json::json!({"colour": "red"}).into());
    /// collection.add_vector(Vector { id: "a".into(), data: vec![0.0, 1.0], payload: payload.clone() })?;
    /// collection.upsert_rows(&["a", "b"], &[2.0, 3.0, 4.0, 5.0])?;
    /// let (a, b) = (collection.get_vector("a")?, collection.get_vector("b")?);
    /// assert_eq!((a.data, a.payload), (vec![2.0, 3.0], payload));
    /// assert_eq!((b.data, b.payload), (vec![4.0, 5.0], None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Collection::add_rows`], but for [`VectorizerError::DuplicateId`].
    pub fn upsert_rows(&self, ids: &[impl AsRef<str>], rows: &[f32]) -> Result<()> {
        let mut batch = self.batch_of_rows(ids, rows)?;
        batch.keeps_payloads = true;
        self.put(batch, true)
    }

    /// As [`Collection::upsert_vectors_batch`], of vectors that were stored: also such as earlier versions took.
    pub(super) fn upsert_stored(&self, vectors: &[Vector]) -> Result<()> {
        let mut batch = self.batch_of(vectors)?;
        batch.stored = true;
        self.put(batch, true)
    }

    /// The same, and no link is made: for rows whose links come from a file.
    pub(crate) fn add_rows_unlinked(&self, ids: &[impl AsRef<str>], rows: &[f32]) -> Result<()> {
        self.put_unlinked(self.batch_of_rows(ids, rows)?, false)
    }

    fn batch_of_rows<'a>(&self, ids: &'a [impl AsRef<str>], rows: &'a [f32]) -> Result<Batch<'a>> {
        if !rows.len().is_multiple_of(self.dimension) {
            return Err(VectorizerError::ShapeMismatch {
                values: rows.len(),
                dimension: self.dimension,
            });
        }
        let vectors = rows.len() / self.dimension;
        if ids.len() != vectors {
            return Err(VectorizerError::CountMismatch {
                ids: ids.len(),
                vectors,
            });
        }
        Ok(Batch {
            ids: ids.iter().map(AsRef::as_ref).collect(),
            rows: rows.into(),
            payloads: Vec::new(),
            keeps_payloads: false,
            stored: false,
        })
    }

    fn batch_of<'a>(&self, vectors: &'a [Vector]) -> Result<Batch<'a>> {
        let expected = self.dimension;
        if let Some(wrong) = vectors.iter().find(|vector| vector.data.len() != expected) {
            return Err(VectorizerError::DimensionMismatch {
                expected,
                actual: wrong.data.len(),
            });
        }
        let ids = vectors.iter().map(|vector| vector.id.as_str()).collect();
        let rows = match vectors {
            [one] => one.data.as_slice().into(),
            many => many
                .iter()
                .flat_map(|vector| vector.data.iter().copied())
                .collect(),
        };
        let payloads = vectors.iter().enumerate();
        let payloads = payloads
            .filter_map(|(place, vector)| Some((place, &vector.id, vector.payload.as_ref()?)))
            .filter(|(_, _, payload)| !payload.0.is_null())
            .map(|(place, id, payload)| Ok((place, payload.admitted(id)?)))
            .collect::<Result<_>>()?;
        Ok(Batch {
            ids,
            rows,
            payloads,
            keeps_payloads: false,
            stored: false,
        })
    }

    fn put(&self, batch: Batch<'_>, replace: bool) -> Result<()> {
        self.put_unlinked(batch, replace)?;
        self.tidy_or_warn();
        Ok(())
    }

    fn put_unlinked(&self, mut batch: Batch<'_>, replace: bool) -> Result<()> {
        check_ids(&batch.ids)?;
        let mut writer = self.changing()?;
        let Put {
            staged,
            mirrored,
            replaced,
            kept,
        } = loop {
            match self.stage_put(&batch, replace) {
                Ok(staged) => break staged,
                Err(error) => self.go_down(&mut writer, error)?,
            }
        };
        if batch.keeps_payloads {
            batch.payloads = kept;
        }
        self.record(&Change::Put {
            ids: &batch.ids,
            rows: &batch.rows,
            payloads: &batch.payloads,
            replaced: &replaced,
        })?;
        {
            let mut state = self.state.write();
            let first = state.graph.commit_rows(staged).start;
            if let (Some(mirror), Some(mirrored)) = (&mut state.mirror, mirrored) {
                mirror.graph.commit_rows(mirrored);
            }
            for id in &batch.ids {
                state.push(id);
            }
            for (place, payload) in batch.payloads {
                state.set_payload(first + slot(place), Some(payload));
            }
        }
        self.settle(batch.rows.len() * size_of::<f32>());
        drop(writer);
        Ok(())
    }

    /// Checks a batch against what is there and puts it on the device, and in RAM if there is a mirror. Nobody sees it yet.
    fn stage_put(&self, batch: &Batch<'_>, replace: bool) -> Result<Put> {
        let state = self.state.read();
        if let Some(id) = batch
            .ids
            .iter()
            .find(|id| !replace && state.ids.slot(id).is_some())
        {
            return Err(VectorizerError::DuplicateId {
                id: (*id).to_owned(),
            });
        }
        if batch.keeps_payloads {
            let unreadable = |id: &&&str| {
                let slot = state.ids.slot(id);
                slot.is_some_and(|slot| state.payloads.is_unreadable(slot))
            };
            if let Some(id) = batch.ids.iter().find(unreadable) {
                return Err(VectorizerError::InvalidPayload {
                    id: (*id).to_owned(),
                    reason: "what is stored of it cannot be read, and would be lost: salvage the collection, or set another".to_owned(),
                });
            }
        }
        let stage = |graph: &HnswGraph| {
            let name = |row: usize| batch.ids[row].to_owned();
            if batch.stored {
                graph.stage_stored_rows(&batch.rows, &name)
            } else {
                graph.stage_rows(&batch.rows, &name)
            }
        };
        let staged = stage(&state.graph)?;
        let mirrored = state.mirror.as_ref().map(|mirror| stage(&mirror.graph));
        let old = batch.ids.iter().filter_map(|id| state.ids.slot(id));
        let kept = batch.ids.iter().enumerate().filter_map(|(place, id)| {
            let payload = state.payloads.get(&state.ids.slot(id)?)?;
            Some((place, payload.clone()))
        });
        Ok(Put {
            staged,
            mirrored: mirrored.transpose()?,
            replaced: old.collect(),
            kept: if batch.keeps_payloads {
                kept.collect()
            } else {
                Vec::new()
            },
        })
    }

    /// Gives up the staging memory of a batch, where it is much beside what the collection holds.
    fn settle(&self, batch: usize) {
        const LARGE: usize = 16 << 20;
        if batch >= LARGE {
            self.state.read().graph.storage().device().settle();
        }
    }
}

fn check_ids(ids: &[&str]) -> Result<()> {
    if let Some(id) = ids
        .iter()
        .find(|id| !(1..=MAX_ID_BYTES).contains(&id.len()))
    {
        return Err(VectorizerError::InvalidId { actual: id.len() });
    }
    check_distinct(ids)
}

/// That no id stands here twice.
pub(super) fn check_distinct(ids: &[&str]) -> Result<()> {
    if ids.len() < 2 {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(ids.len());
    match ids.iter().find(|id| !seen.insert(**id)) {
        Some(id) => Err(VectorizerError::DuplicateIdInBatch {
            id: (*id).to_owned(),
        }),
        None => Ok(()),
    }
}
