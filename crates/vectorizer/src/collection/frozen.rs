//! A collection held still: what goes into a file has to be of one moment.

use std::ops::Range;

use parking_lot::RwLockReadGuard;

use super::{Collection, State, Writing};
use crate::error::{Result, VectorizerError};
use crate::hnsw::{HnswGraph, Topology};
use crate::models::Payload;

/// A collection in which nothing changes while this lives: writers wait, readers do not.
#[derive(Debug)]
pub(crate) struct Frozen<'c> {
    state: RwLockReadGuard<'c, State>,
    /// Dropped after the state is released, so that whoever writes next finds it free.
    _writer: Writing<'c>,
}

impl Collection {
    /// Holds writers back. Everybody who writes holds the writers' lock, so that no writer waits for the state meanwhile, and no reader
    /// behind one.
    ///
    /// # Errors
    /// [`VectorizerError::InsideCallback`](crate::error::VectorizerError::InsideCallback), or
    /// [`VectorizerError::Forked`](crate::error::VectorizerError::Forked).
    pub(crate) fn freeze(&self) -> Result<Frozen<'_>> {
        let writer = self.writing()?;
        Ok(Frozen {
            state: self.state.read(),
            _writer: writer,
        })
    }
}

impl Collection {
    /// Whether nothing ever was in it, or nothing is left of what was.
    pub(crate) fn is_untouched(&self) -> bool {
        self.state.read().graph.is_empty()
    }

    /// Grows with every change; one by each vector that is added.
    pub(crate) fn version(&self) -> u64 {
        self.state.read().version
    }

    /// Says whether rows could be added; `name` names one that could not.
    pub(crate) fn check_rows(&self, rows: &[f32], name: &dyn Fn(usize) -> String) -> Result<()> {
        self.state.read().graph.storage().check_rows(rows, name)
    }

    /// Says whether a graph could be taken for so many vectors.
    pub(crate) fn check_topology(&self, topology: &Topology) -> Result<()> {
        self.state.read().graph.check_topology(topology)
    }

    /// Takes a graph for what is there, unless something has changed since `version` or is linked already; whether it did.
    pub(crate) fn take_topology(&self, topology: Topology, version: u64) -> Result<bool> {
        let _writer = self.changing()?;
        let mut state = self.state.write();
        let fits = state.version == version && state.graph.linked() == 0;
        if fits {
            state.graph.restore_topology(topology)?;
        }
        Ok(fits)
    }
}

impl Frozen<'_> {
    /// How many are alive.
    pub(crate) fn count(&self) -> usize {
        self.state.ids.len()
    }

    pub(crate) fn graph(&self) -> &HnswGraph {
        &self.state.graph
    }

    /// The living, in the order of insertion.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (u32, &str)> {
        self.state.ids.iter()
    }

    /// The id of a slot that is alive.
    pub(crate) fn id(&self, slot: u32) -> Option<&str> {
        self.state.ids.id(slot)
    }

    pub(crate) fn payload(&self, slot: u32) -> Option<&Payload> {
        self.state.payloads.get(&slot)
    }

    /// That the payload of a slot, if it has one, is such as the readers of files take; its text is at most so many bytes long.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidPayload`]: an earlier version took more.
    pub(crate) fn check_payload(&self, slot: u32) -> Result<usize> {
        let id = self.id(slot).unwrap_or_default();
        if self.state.payloads.is_unreadable(slot) {
            return Err(VectorizerError::InvalidPayload {
                id: id.to_owned(),
                reason: "the store has one that cannot be read: set another, or none".to_owned(),
            });
        }
        self.payload(slot)
            .map_or(Ok(0), |payload| Ok(payload.check(id)?.bytes))
    }

    /// The slot of an id.
    pub(crate) fn slot(&self, id: &str) -> Option<u32> {
        self.state.ids.slot(id)
    }

    /// The living as runs of neighbouring slots, each of at most `most`.
    pub(crate) fn runs(&self, most: usize) -> impl Iterator<Item = Range<u32>> {
        let mut slots = self.state.ids.alive_from(0).peekable();
        std::iter::from_fn(move || {
            let first = slots.next()?;
            let mut run = first..first + 1;
            while run.len() < most && slots.next_if_eq(&run.end).is_some() {
                run.end += 1;
            }
            Some(run)
        })
    }

    /// Vectors as they were added, end to end.
    pub(crate) fn read(&self, slots: Range<u32>) -> Result<Vec<f32>> {
        self.state.graph.storage().read(slots)
    }

    /// Vectors as they are compared: unit ones under the cosine.
    pub(crate) fn read_compared(&self, slots: Range<u32>) -> Result<Vec<f32>> {
        let storage = self.state.graph.storage();
        let mut rows = vec![0.0; slots.len() * storage.dimension()];
        storage.engine().read_rows(slots, &mut rows)?;
        Ok(rows)
    }
}
