//! Adding, replacing, linking the tail, and moving the living together.

use std::borrow::Cow;
use std::ops::ControlFlow;

use hashbrown::HashSet;
use parking_lot::MutexGuard;

use super::{Collection, State, Writer};
use crate::config::MAX_ID_BYTES;
use crate::engine::slot;
use crate::error::{Result, VectorizerError};
use crate::hnsw::{HnswGraph, Progress};
use crate::models::{Payload, Vector};

/// Rows that are not linked yet are compared one by one in every search. Past this many they are linked: the first time,
/// and later, when a scan of the tail would cost about as much as a walk through the graph.
const FIRST_TAIL: usize = 4096;
const LATER_TAIL: usize = 1024;
/// Reading everything for reachability is worth it each time this share (one in) of the linked is new.
const MEND_SHARE: usize = 16;
/// Past this share (one in) of dead slots, and this many, the living move together.
const DEAD_SHARE: usize = 4;
const DEAD_LEAST: usize = 1024;
/// How many numbers move in one step.
const MOVE_VALUES: usize = 1 << 20;

/// A batch as it was handed in, checked: ids, and rows laid end to end.
struct Batch<'a> {
    ids: Vec<&'a str>,
    rows: Cow<'a, [f32]>,
    payloads: Vec<(usize, Payload)>,
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
    /// [`VectorizerError::TooManyVectors`], no room, or the device failed. Nothing is added then.
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

    /// Adds vectors, replacing those whose ids are there already, all or none. A search sees the old ones or the new ones.
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
        let ids = ids.iter().map(AsRef::as_ref).collect();
        self.put(
            Batch {
                ids,
                rows: rows.into(),
                payloads: Vec::new(),
            },
            false,
        )
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
            .filter_map(|(place, vector)| Some((place, vector.payload.clone()?)))
            .collect();
        Ok(Batch {
            ids,
            rows,
            payloads,
        })
    }

    fn put(&self, batch: Batch<'_>, replace: bool) -> Result<()> {
        check_ids(&batch.ids)?;
        let writer = self.writer.lock();
        let staged = {
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
            state
                .graph
                .stage_rows(&batch.rows, &|row| batch.ids[row].to_owned())?
        };
        {
            let mut state = self.state.write();
            let first = state.graph.commit_rows(staged).start;
            for id in &batch.ids {
                if let Some(old) = state.ids.slot(id) {
                    state.payloads.remove(&old);
                }
                state.ids.push(id);
            }
            for (place, payload) in batch.payloads {
                state.payloads.insert(first + slot(place), payload);
            }
        }
        drop(writer);
        // The vectors are in and found whatever happens now: a tail that could not be linked stays one.
        if let Err(error) = self.tidy() {
            tracing::warn!(%error, "new vectors are compared one by one: they could not be linked");
        }
        Ok(())
    }

    /// Links a tail that is long enough and moves the living together where many are dead.
    fn tidy(&self) -> Result<()> {
        let state = self.state.read();
        let (dead, slots) = (state.ids.dead(), state.graph.len());
        let least = if state.graph.linked() == 0 {
            FIRST_TAIL
        } else {
            LATER_TAIL
        };
        let tail_is_long = slots - state.graph.linked() >= least;
        drop(state);
        if dead >= DEAD_LEAST && dead >= slots / DEAD_SHARE {
            self.move_together()
        } else if tail_is_long {
            self.link(false, &mut |_| ControlFlow::Continue(()))
        } else {
            Ok(())
        }
    }

    /// Links everything that is not linked yet and makes sure that every slot can be reached. Searches go on meanwhile.
    ///
    /// # Errors
    /// No room, or the device failed; what was linked stays linked, the rest stays a tail.
    pub fn optimize(&self) -> Result<()> {
        self.optimize_with(|_| ControlFlow::Continue(()))
    }

    /// The same; `progress` is told after each batch and can stop it.
    ///
    /// # Errors
    /// As [`Collection::optimize`], and [`VectorizerError::Cancelled`].
    pub fn optimize_with(
        &self,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.link(true, &mut progress)
    }

    /// Builds the graph anew from the vectors alone: the way out of [`VectorizerError::SearchFailed`]. Searches go on meanwhile,
    /// exactly, and so slower.
    ///
    /// # Errors
    /// No room, or the device failed; what was linked by then stays linked, the rest is compared one by one.
    pub fn rebuild_hnsw_graph(&self) -> Result<()> {
        self.rebuild_hnsw_graph_with(|_| ControlFlow::Continue(()))
    }

    /// The same; `progress` is told after each batch and can stop it.
    ///
    /// # Errors
    /// As [`Collection::rebuild_hnsw_graph`], and [`VectorizerError::Cancelled`].
    pub fn rebuild_hnsw_graph_with(
        &self,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let writer = self.writer.lock();
        self.state.write().graph.clear()?;
        drop(writer);
        self.link(true, &mut progress)
    }

    /// Links the tail. The writers' lock is taken batch by batch, so that others can add in between.
    fn link(
        &self,
        whole: bool,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        loop {
            let mut writer = self.writer.lock();
            let (staged, waiting) = {
                let state = self.state.read();
                (
                    state.graph.stage_batch()?,
                    state.graph.len() - state.graph.linked(),
                )
            };
            let Some(batch) = staged else {
                return if whole {
                    self.mend(&mut writer)
                } else {
                    Ok(())
                };
            };
            let mut state = self.state.write();
            let before = state.graph.linked();
            state.graph.commit_batch(batch)?;
            let now = state.graph.progress();
            drop(state);
            writer.unmended += now.linked - before;
            if now.linked - before == waiting && writer.unmended * MEND_SHARE >= now.linked {
                self.mend(&mut writer)?;
            }
            MutexGuard::unlock_fair(writer);
            if progress(now).is_break() {
                return Err(VectorizerError::Cancelled);
            }
        }
    }

    /// Attaches slots that cannot be reached. The guard says that nobody else writes.
    fn mend(&self, writer: &mut MutexGuard<'_, Writer>) -> Result<()> {
        loop {
            let attachments = self.state.read().graph.stage_mend()?;
            if attachments.is_empty() {
                writer.unmended = 0;
                return Ok(());
            }
            self.state.write().graph.commit_mend(&attachments)?;
        }
    }

    /// Moves the living to a new graph without the dead, linked as far as the old one was; readers change over when it is done.
    fn move_together(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        let state = self.state.read();
        let mut moved = State::empty(HnswGraph::new(
            &self.context,
            self.dimension,
            self.metric,
            self.options,
        )?);
        let mut rows = Vec::new();
        for (slot, id) in state.ids.iter() {
            let unknown = || VectorizerError::UnknownId { id: id.to_owned() };
            rows.extend(state.graph.get(slot)?.ok_or_else(unknown)?);
            if let Some(payload) = state.payloads.get(&slot) {
                moved
                    .payloads
                    .insert(crate::engine::slot(moved.ids.len()), payload.clone());
            }
            moved.ids.push(id);
            if rows.len() >= MOVE_VALUES {
                moved.graph.append(&rows)?;
                rows.clear();
            }
        }
        moved.graph.append(&rows)?;
        if state.graph.linked() > 0 {
            moved.graph.build(|_| ControlFlow::Continue(()))?;
        }
        drop(state);
        *self.state.write() = moved;
        writer.unmended = 0;
        Ok(())
    }
}

fn check_ids(ids: &[&str]) -> Result<()> {
    if let Some(id) = ids
        .iter()
        .find(|id| !(1..=MAX_ID_BYTES).contains(&id.len()))
    {
        return Err(VectorizerError::InvalidId { actual: id.len() });
    }
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
