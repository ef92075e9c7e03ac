//! The tail linked, batch by batch, and what is out of reach attached at the end.

use std::ops::{ControlFlow, Range};

use super::topology::Mend;
use super::{Copies, HnswGraph, Progress, levels, plan, topology};
use crate::engine::{Entry, LinkBatch, SlotSet, Staged, slot};
use crate::error::{Result, VectorizerError};

/// A batch of links that is worked out and not yet visible.
#[derive(Debug)]
pub(crate) struct StagedBatch {
    links: Staged,
    levels: Vec<u8>,
    /// Those of the slots that are copies, each with the first of its vector.
    copies: Vec<(u32, u32)>,
}

impl HnswGraph {
    /// Links the tail, batch by batch; `progress` is told after each and can stop it. What is linked by then stays linked, and
    /// the rest stays a tail: searches are right either way.
    ///
    /// Cost: about `ef_construction` x `max_connections` scores for each vector.
    ///
    /// # Errors
    /// [`VectorizerError::Cancelled`], no room, or the device failed.
    pub fn build(&mut self, mut progress: impl FnMut(Progress) -> ControlFlow<()>) -> Result<()> {
        while let Some(batch) = self.stage_batch()? {
            self.commit_batch(batch)?;
            if progress(self.progress()).is_break() {
                self.mend()?;
                return Err(VectorizerError::Cancelled);
            }
        }
        self.storage.device().settle();
        let mended = self.mend();
        self.storage.device().settle();
        mended
    }

    /// Forgets all links and builds anew: what a graph that answers badly needs.
    ///
    /// # Errors
    /// As [`HnswGraph::build`].
    pub fn rebuild(&mut self, progress: impl FnMut(Progress) -> ControlFlow<()>) -> Result<()> {
        self.clear()?;
        self.build(progress)
    }

    pub(crate) fn clear(&mut self) -> Result<()> {
        self.storage.engine_mut().clear_links()?;
        self.levels.clear();
        self.entry = None;
        self.copies = Copies::default();
        self.taken_out = 0;
        self.unmended = 0;
        Ok(())
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress {
            linked: self.linked(),
            total: self.len(),
        }
    }

    /// Works out the links of the next batch; `None` if there is no tail.
    pub(crate) fn stage_batch(&self) -> Result<Option<StagedBatch>> {
        let (linked, waiting) = (self.linked(), self.len() - self.linked());
        if waiting == 0 {
            return Ok(None);
        }
        let first = slot(linked);
        // Copies are no part of what a batch is held against, and no work. Where a graph from elsewhere links copies, there may seem to wait more
        // of them than there are.
        let with_links = linked - self.copies.len();
        let copies_waiting = self.storage.copies().saturating_sub(self.copies.len());
        let new = waiting.saturating_sub(copies_waiting).max(1);
        let thinned = self.taken_out > 0;
        let step = plan::next(with_links, new, thinned, self.dimension(), &self.config);
        // Whoever builds is told at the beginning that there is no room for the largest batch, and not at the end.
        let last = plan::next(
            with_links + new,
            new,
            thinned,
            self.dimension(),
            &self.config,
        );
        let (slots, copies) = self.next_slots(step.slots);
        let largest = slots.len().max(last.slots);
        let room = self
            .storage
            .engine()
            .room_for_links(largest, &step.selection);
        self.storage.device().admit(room)?;
        let unlinked: SlotSet = copies.iter().map(|(copy, _)| *copy).collect();
        let levels: Vec<u8> = slots
            .map(|slot| match unlinked.contains(slot) {
                true => 0,
                false => levels::level(self.seed, slot, &self.config),
            })
            .collect();
        let batch = LinkBatch {
            first,
            levels: &levels,
            unlinked: &unlinked,
            entry: self.entry,
            selection: step.selection,
        };
        let links = self.storage.engine().stage_links(&batch)?;
        Ok(Some(StagedBatch {
            links,
            levels,
            copies,
        }))
    }

    /// The next slots, up to `most` that are to be linked, and the copies among them and directly behind, each with its first.
    fn next_slots(&self, most: usize) -> (Range<u32>, Vec<(u32, u32)>) {
        let first = slot(self.linked());
        let mut copies = Vec::new();
        let (mut end, mut linked) = (first, 0);
        while (end as usize) < self.len() && copies.len() < plan::MOST_COPIES {
            match self.storage.first_of(end) {
                Some(of) => copies.push((end, of)),
                None if linked == most => break,
                None => linked += 1,
            }
            end += 1;
        }
        (first..end, copies)
    }

    /// Shows a staged batch; nothing else may have been linked since it was staged.
    pub(crate) fn commit_batch(&mut self, batch: StagedBatch) -> Result<()> {
        self.storage.engine_mut().commit_links(batch.links)?;
        let first = slot(self.levels.len());
        for (slot, level) in (first..).zip(&batch.levels) {
            let level = usize::from(*level);
            if self.entry.is_none_or(|entry| level > entry.level) {
                self.entry = Some(Entry { slot, level });
            }
        }
        for (copy, first) in batch.copies {
            self.copies.insert(copy, first);
        }
        self.unmended += batch.levels.len();
        self.levels.extend(batch.levels);
        Ok(())
    }

    pub(super) fn mend(&mut self) -> Result<()> {
        loop {
            let mend = self.stage_mend()?;
            self.commit_mend(&mend)?;
            if mend.complete {
                return Ok(());
            }
        }
    }

    /// Works out links to slots that cannot be reached. To be repeated until it is complete.
    pub(crate) fn stage_mend(&self) -> Result<Mend> {
        let Some(entry) = self.entry else {
            return Ok(Mend {
                complete: true,
                ..Mend::default()
            });
        };
        topology::mend(
            self.storage.engine(),
            &self.levels,
            self.copies.all(),
            entry,
        )
    }

    pub(crate) fn commit_mend(&mut self, mend: &Mend) -> Result<()> {
        if !mend.attachments.is_empty() {
            self.storage.engine_mut().attach(&mend.attachments)?;
        }
        if mend.complete {
            self.unmended = 0;
        }
        Ok(())
    }

    /// How many slots were linked since everything was last seen to be reachable.
    pub(crate) fn unmended(&self) -> usize {
        self.unmended
    }

    /// Says how many that are. It is for whoever brings links from a graph in which not everything is known to be reachable.
    pub(crate) fn set_unmended(&mut self, slots: usize) {
        self.unmended = slots;
    }
}
