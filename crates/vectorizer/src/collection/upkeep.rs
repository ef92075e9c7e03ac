//! What goes on between changes: linking the tail, taking the dead out, building anew.

use std::ops::ControlFlow;

use super::{Change, Collection, Writing};
use crate::error::{Result, VectorizerError};
use crate::hnsw::Progress;

/// Rows that are not linked yet are compared one by one in every search. Past this many they are linked: the first time,
/// and later, when a scan of the tail would cost about as much as a walk through the graph.
pub(super) const FIRST_TAIL: usize = 4096;
const LATER_TAIL: usize = 1024;
/// Reading everything for reachability is worth it each time this share (one in) of the linked is new.
const MEND_SHARE: usize = 16;
/// Past this share (one in) of dead slots, and this many, they are taken out.
const DEAD_SHARE: usize = 4;
const DEAD_LEAST: usize = 1024;

impl Collection {
    /// Does what is due after a change. The change is made and seen whatever happens now: a tail that could not be linked stays one,
    /// and the dead that could not be taken out stay where they are.
    pub(super) fn tidy_or_warn(&self) {
        if let Err(error) = self.tidy() {
            tracing::warn!(%error, "searches are right and slower than they could be: the graph could not be brought up to date");
        }
    }

    /// Takes the dead out where they are many, and links a tail that is long enough.
    fn tidy(&self) -> Result<()> {
        self.tidy_with(&mut |_| ControlFlow::Continue(()))
    }

    /// The same; `progress` is told what is linked, and can stop that.
    pub(super) fn tidy_with(
        &self,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let state = self.state.read();
        let (dead, slots) = (state.ids.dead(), state.graph.len());
        drop(state);
        if dead >= DEAD_LEAST && dead >= slots / DEAD_SHARE {
            let mut writer = self.changing()?;
            if dead > writer.hopeless + writer.hopeless / 8 {
                self.take_out_dead(&mut writer)?;
            }
        }
        let state = self.state.read();
        let slots = state.graph.len();
        let least = if state.graph.linked() == 0 {
            FIRST_TAIL
        } else {
            LATER_TAIL
        };
        let tail_is_long = slots - state.graph.linked() >= least;
        drop(state);
        if tail_is_long {
            self.link(false, progress)
        } else {
            Ok(())
        }
    }

    /// Takes the dead out, links everything that is not linked yet, and makes sure that every slot can be reached. Searches go on meanwhile.
    ///
    /// # Errors
    /// No room, or the device failed; what was linked stays linked, the rest stays a tail.
    pub fn optimize(&self) -> Result<()> {
        self.optimize_with(|_| ControlFlow::Continue(()))
    }

    /// The same; `progress` is told after each batch and can stop it. No lock is held meanwhile: it may read the collection and change it.
    ///
    /// # Errors
    /// As [`Collection::optimize`], and [`VectorizerError::Cancelled`].
    pub fn optimize_with(
        &self,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        self.consolidate()?;
        self.link(true, &mut progress)
    }

    /// Links everything, and takes the dead out where that may be written: before a copy of the graph is made.
    pub(crate) fn link_all(&self) -> Result<()> {
        if !self.is_read_only() {
            self.consolidate()?;
        }
        self.link(true, &mut |_| ControlFlow::Continue(()))
    }

    /// Builds the graph anew from the vectors alone: the way out of [`VectorizerError::SearchFailed`]. Searches go on meanwhile,
    /// exactly, and so slower.
    ///
    /// # Errors
    /// No room, or the device failed; what was linked by then stays linked, the rest is compared one by one.
    pub fn rebuild_hnsw_graph(&self) -> Result<()> {
        self.rebuild_hnsw_graph_with(|_| ControlFlow::Continue(()))
    }

    /// The same; `progress` is told after each batch and can stop it. No lock is held meanwhile: it may read the collection and change it.
    ///
    /// # Errors
    /// As [`Collection::rebuild_hnsw_graph`], and [`VectorizerError::Cancelled`].
    pub fn rebuild_hnsw_graph_with(
        &self,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut writer = self.changing()?;
        let mut state = self.state.write();
        state.graph.clear()?;
        state.links_changed();
        drop(state);
        writer.changed = true;
        writer.mended = false;
        drop(writer);
        self.link(true, &mut progress)
    }

    /// Links the tail. The writers' lock is taken batch by batch, so that others can add in between.
    pub(super) fn link(
        &self,
        whole: bool,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<()> {
        loop {
            let mut writer = self.changing()?;
            let step = self.link_batch(&mut writer, whole);
            let now = match step {
                Ok(now) => now,
                Err(error) => {
                    self.go_down(&mut writer, error)?;
                    continue;
                }
            };
            let Some(now) = now else {
                let mirrored = self.mirror(&mut writer);
                self.state.read().graph.storage().device().settle();
                if whole || self.is_due(&writer) {
                    self.keep_graph_or_warn(&mut writer);
                }
                return mirrored;
            };
            writer.end_fairly();
            if progress(now).is_break() {
                return Err(VectorizerError::Cancelled);
            }
        }
    }

    /// Links a batch of the tail, and says how far the graph has come; `None` if there was nothing left to link.
    fn link_batch(&self, writer: &mut Writing<'_>, whole: bool) -> Result<Option<Progress>> {
        let (staged, waiting) = {
            let state = self.state.read();
            (
                state.graph.stage_batch()?,
                state.graph.len() - state.graph.linked(),
            )
        };
        let Some(batch) = staged else {
            self.state.read().graph.storage().device().settle();
            if whole && !writer.mended {
                self.mend(writer)?;
            }
            return Ok(None);
        };
        let mut state = self.state.write();
        let before = state.graph.linked();
        state.graph.commit_batch(batch)?;
        state.links_changed();
        let now = state.graph.progress();
        drop(state);
        writer.mended = false;
        let unmended = self.state.read().graph.unmended();
        if now.linked - before == waiting && unmended * MEND_SHARE >= now.linked {
            self.mend(writer)?;
        }
        Ok(Some(now))
    }

    /// Attaches slots that cannot be reached. The guard says that nobody else writes.
    pub(super) fn mend(&self, writer: &mut Writing<'_>) -> Result<()> {
        loop {
            let mend = self.state.read().graph.stage_mend()?;
            let mut state = self.state.write();
            state.graph.commit_mend(&mend)?;
            if !mend.attachments.is_empty() {
                state.links_changed();
            }
            drop(state);
            if mend.complete {
                writer.mended = true;
                return Ok(());
            }
        }
    }

    /// Takes the slots of deleted and replaced vectors out of the graph, relinks what was linked to them, and gives their memory back.
    /// Searches go on meanwhile; whoever changes something waits. It happens by itself when a quarter of all slots are dead,
    /// and as a part of [`Collection::optimize`].
    ///
    /// # Errors
    /// No room (it takes what the living take, until it is done), or the device failed; everything is as before.
    pub fn consolidate(&self) -> Result<()> {
        let mut writer = self.changing()?;
        loop {
            match self.take_out_dead(&mut writer) {
                Err(error) => self.go_down(&mut writer, error)?,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// The guard says that nobody else writes.
    fn take_out_dead(&self, writer: &mut Writing<'_>) -> Result<()> {
        let state = self.state.read();
        let Some(alive) = state.ids.alive() else {
            return Ok(());
        };
        if let Some(store) = &self.store {
            store.writable()?;
        }
        // Not again before more have died.
        writer.hopeless = state.ids.dead();
        let numbers = alive.numbering(state.graph.len());
        let (graph, ids) = (state.graph.without_dead(alive)?, state.ids.only_living());
        drop(state);
        self.record(&Change::DropDead)?;
        let mut state = self.state.write();
        let old = std::mem::replace(&mut state.graph, graph);
        state.ids = ids;
        state.renumber(&numbers);
        state.mirror = None;
        drop(state);
        writer.hopeless = 0;
        // No reader waits while its memory is given back.
        drop(old);
        writer.changed = true;
        self.keep_graph_or_warn(writer);
        self.mirror(writer)
    }
}
