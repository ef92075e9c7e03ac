//! Batches of new slots on their way into the graph.
//!
//! For each level: the nearest members to each member ([`near`](super::near)) and what walks through the frozen graph
//! find; from both, `choose_links` chooses each member's row and counts the edges of each target; `take_segments` and
//! `place_edges` bring the edges of a target together; `link` works out each target's new row. All of it goes to transient
//! buffers; to commit is to copy them into the rows of links.

use std::sync::atomic::Ordering;

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::graph::{Growth, levels_of};
use crate::engine::gpu::link::candidates::Candidates;
use crate::engine::gpu::link::line::Line;
use crate::engine::gpu::near;
use crate::engine::gpu::record::{Recorder, hardware};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::seal::Seal;
use crate::engine::{LinkBatch, NO_SLOT, Selection, Staged};
use crate::error::{Result, VectorizerError};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::kernels::graph::{
    LINK, MAX_BEAM, PLACE_EDGES, SELECT, TAKE_SEGMENTS, WALK_SLOTS, WRITE_MEMBERS, WRITE_TARGETS,
    WriteParams, near as kernels_of_near,
};

mod candidates;
mod edges;
pub(super) mod line;

/// Threads of the kernels that go over arrays, all together.
pub(super) const STRIDE: u32 = 256 * 4096;
/// Parts of a build that may be under way.
const UNDER_WAY: usize = 4;

/// The new rows of one level.
#[derive(Debug)]
struct StagedLevel {
    level: usize,
    degree: usize,
    members: usize,
    /// Places of `targets`, and where the number of distinct ones stands.
    slots: usize,
    /// The members' slots.
    list: PooledBuffer,
    member_rows: PooledBuffer,
    targets: PooledBuffer,
    segments: PooledBuffer,
    target_rows: PooledBuffer,
}

/// A batch that is worked out and not yet visible.
#[derive(Debug)]
pub(super) struct StagedLinks {
    growth: Growth,
    levels: Vec<StagedLevel>,
    empty: Option<StagedEmpty>,
}

/// New slots of level 0 whose rows stay empty.
#[derive(Debug)]
struct StagedEmpty {
    slots: usize,
    list: PooledBuffer,
    rows: PooledBuffer,
}

/// How many links are chosen on one level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    own: u32,
    fill: u32,
    pub(super) relink_own: u32,
    pub(super) relink_fill: u32,
}

impl Choice {
    pub(super) fn on(selection: &Selection, level: usize, degree: usize) -> Self {
        let links = |count: usize| {
            let count = if level == 0 { count } else { count.div_ceil(2) };
            small(count.min(degree))
        };
        Self {
            own: links(selection.own),
            fill: links(selection.fill),
            relink_own: links(selection.relink_own),
            relink_fill: links(selection.relink_fill),
        }
    }

    /// The most links of a new slot.
    fn width(self) -> usize {
        self.own.max(self.fill) as usize
    }
}

impl GpuEngine {
    /// Works a batch out.
    pub(super) fn stage_batch(&self, batch: &LinkBatch<'_>) -> Result<StagedLinks> {
        let ef = batch.selection.ef_construction;
        if ef > MAX_BEAM {
            return Err(hardware(&self.device)?.failed(format!(
                "slots are linked with at most {MAX_BEAM} candidates, {ef} were asked for: lower ef_construction"
            )));
        }
        let linked = self.graph.linked();
        if batch.first as usize != linked || linked + batch.levels.len() > self.rows.len() {
            return Err(VectorizerError::GraphDamaged {
                reason: format!(
                    "{} slots from {} on do not continue {linked} linked of {}",
                    batch.levels.len(),
                    batch.first,
                    self.rows.len()
                ),
            });
        }
        self.compile_ahead(batch)?;
        // Batches grow, and the buffers of the last one are too small for this one.
        let size = batch.levels.len();
        if self.latest_batch.swap(size, Ordering::Relaxed) != size {
            self.device.settle();
        }
        let growth = self
            .graph
            .stage_growth(&self.device, self.rows.len(), batch.levels)?;
        let seal = Seal::of_change(&MetalBufferPool::for_building(self.device.clone()))?;
        let (numbers, members): (Vec<usize>, Vec<Vec<u32>>) = levels_of(batch.levels)
            .map(|level| (level, batch.members(level).collect::<Vec<_>>()))
            .filter(|(_, members)| !members.is_empty())
            .unzip();
        let levels = numbers
            .into_iter()
            .zip(&members)
            .map(|(level, members)| self.stage_level(batch, level, members))
            .collect::<Result<Vec<_>>>()?;
        let empty = self.stage_empty(batch)?;
        if !levels.is_empty() {
            self.work_out(batch, &levels, &members, seal.as_ref())?;
        }
        seal.map_or(Ok(()), |seal| seal.prove())?;
        Ok(StagedLinks {
            growth,
            levels,
            empty,
        })
    }

    /// From members to their rows and those of their targets.
    fn work_out(
        &self,
        batch: &LinkBatch<'_>,
        levels: &[StagedLevel],
        members: &[Vec<u32>],
        seal: Option<&Seal>,
    ) -> Result<()> {
        let candidates = Candidates::new(self, batch, levels, members)?;
        let steps = self.edge_steps(batch, levels, &candidates)?;
        let mut line = Line::new(self, seal);
        candidates.find(&mut line, self, batch, levels)?;
        self.stage_edges(&mut line, &steps)?;
        line.submit()
    }

    /// Compiles what the batch needs on as many threads, unless it is compiled already.
    fn compile_ahead(&self, batch: &LinkBatch<'_>) -> Result<()> {
        let Selection {
            ef_construction: ef,
            near,
            ..
        } = batch.selection;
        let hardware = hardware(&self.device)?;
        let kept = if batch.entry.is_some() { near } else { ef };
        let mut kernels = vec![
            (&kernels_of_near::SCORE, ef),
            (&kernels_of_near::TOP, kept),
            (&SELECT, ef),
            (&TAKE_SEGMENTS, ef),
            (&PLACE_EDGES, ef),
            (&LINK, ef),
            (&WRITE_MEMBERS, ef),
            (&WRITE_TARGETS, ef),
            // Not needed by a seed, but by what follows it.
            (&kernels_of_near::TOP, near),
            (&WALK_SLOTS, ef),
        ];
        kernels.dedup();
        std::thread::scope(|scope| {
            let compiling: Vec<_> = kernels
                .into_iter()
                .map(|(kernel, ef)| self.graph_kernel(kernel, ef))
                .collect::<Result<Vec<_>>>()?
                .into_iter()
                .filter(|kernel| !hardware.has_program(kernel))
                .map(|kernel| scope.spawn(move || hardware.program(&kernel).map(drop)))
                .collect();
            compiling.into_iter().try_for_each(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(hardware.failed("its compiler panicked")))
            })
        })
    }

    /// Submits a part of a build. No more than a few are under way at a time, so that a search that comes in between
    /// waits for a few and not for the whole build.
    pub(super) fn submit_build<'a>(
        &self,
        mut recorder: Recorder<'a>,
        seal: Option<&'a Seal>,
    ) -> Result<()> {
        if let Some(seal) = seal {
            if seal.is_full() {
                seal.prove()?;
            }
            seal.set(&mut recorder);
        }
        let submission = recorder.submit()?;
        let oldest = {
            let mut building = self.building.lock();
            building.push_back(submission);
            (building.len() > UNDER_WAY)
                .then(|| building.pop_front())
                .flatten()
        };
        oldest.map_or(Ok(()), |oldest| hardware(&self.device)?.wait(oldest))
    }

    /// How many bytes working out the links of so many new slots takes at the most.
    pub(super) fn link_room(&self, slots: usize, selection: &Selection) -> u64 {
        let total = self.graph.linked() + slots;
        let degree = self.layout.degree(0);
        let choice = Choice::on(selection, 0, degree);
        let edges = slots * choice.width();
        let linkable = if self.graph.linked() > 0 {
            self.rows.len().max(total)
        } else {
            total
        };
        let targets = linkable.min(edges);
        let walked = if self.graph.linked() > 0 {
            selection.ef_construction + selection.near
        } else {
            selection.ef_construction
        };
        // As many as so many slots usually have, and one more.
        let levels = 2 + total.max(1).ilog(self.layout.max_connections.max(2)) as usize;
        let buffers = [
            slots,
            slots * 2,
            slots * degree,
            targets * 4,
            targets * degree,
            slots * walked * 2,
            slots * degree * 2,
            edges * 2,
            near::block(self, slots),
        ];
        let words = buffers.iter().sum::<usize>() + levels * (self.rows.len().max(total) + 2);
        // Buffers of their classes, and what a fifteenth of the members take on the levels above.
        words as u64 * 4 * 6 / 5
    }

    /// Transient memory of at least so many words.
    pub(super) fn building_storage(&self, name: &str, words: usize) -> Result<PooledBuffer> {
        MetalBufferPool::for_building(self.device.clone()).lend(
            Purpose::Storage,
            name,
            words as u64 * 4,
        )
    }

    /// The members of a list on the device; work that is submitted later sees them.
    fn building_list(&self, name: &str, words: &[u32]) -> Result<PooledBuffer> {
        let list = self.building_storage(name, words.len())?;
        let hardware = hardware(&self.device)?;
        hardware.guarded(|_| {
            hardware
                .queue()
                .write_buffer(&list, 0, bytemuck::cast_slice(words));
            Ok(())
        })?;
        Ok(list)
    }

    /// Room for the new rows of one level.
    fn stage_level(
        &self,
        batch: &LinkBatch<'_>,
        level: usize,
        members: &[u32],
    ) -> Result<StagedLevel> {
        let degree = self.layout.degree(level);
        let choice = Choice::on(&batch.selection, level, degree);
        let slots = batch.first as usize + batch.levels.len();
        // Each of them is another slot's. After the seed bounded by the rows there are and not by the slots that are linked by now, so that batches of
        // one size ask for the same, and the pool need not keep what the ones before asked for.
        let linkable = if batch.entry.is_some() {
            self.rows.len()
        } else {
            slots
        };
        let targets = linkable.min(members.len() * choice.width());
        Ok(StagedLevel {
            level,
            degree,
            members: members.len(),
            slots,
            list: self.building_list("members", members)?,
            member_rows: self.building_storage("members' rows", members.len() * degree)?,
            // The two words behind count distinct targets, and edges that have their place.
            targets: self.building_storage("targets", self.rows.len() + 2)?,
            segments: self.building_storage("segments", targets * 4)?,
            target_rows: self.building_storage("targets' rows", targets * degree)?,
        })
    }

    /// The rows of those that are not to be linked.
    fn stage_empty(&self, batch: &LinkBatch<'_>) -> Result<Option<StagedEmpty>> {
        let slots: Vec<u32> = batch.unlinked.iter().collect();
        if slots.is_empty() {
            return Ok(None);
        }
        let rows = vec![NO_SLOT; slots.len() * self.layout.degree(0)];
        Ok(Some(StagedEmpty {
            slots: slots.len(),
            list: self.building_list("slots without links", &slots)?,
            rows: self.building_list("empty rows", &rows)?,
        }))
    }

    /// Makes a batch visible.
    pub(super) fn commit_staged(&mut self, staged: Staged) -> Result<()> {
        match staged.0.downcast::<StagedLinks>() {
            Ok(links) => self.commit_batch(*links),
            Err(_) => Err(VectorizerError::GraphDamaged {
                reason: "these are no links staged by a GPU engine".to_owned(),
            }),
        }
    }

    fn commit_batch(&mut self, staged: StagedLinks) -> Result<()> {
        let StagedLinks {
            growth,
            levels,
            empty,
        } = staged;
        let seal = Seal::of_change(&MetalBufferPool::for_building(self.device.clone()))?;
        let arrivals = self.graph.make_room(&self.device, growth, seal.as_ref())?;
        let hardware = hardware(&self.device)?;
        let members = hardware.program(&self.graph_kernel(&WRITE_MEMBERS, 0)?)?;
        let targets = hardware.program(&self.graph_kernel(&WRITE_TARGETS, 0)?)?;
        let links = self.graph.buffers();
        self.write_links(seal.as_ref(), &|recorder| {
            if let Some(empty) = &empty {
                let params = WriteParams {
                    level: 0,
                    members: small(empty.slots),
                    degree: small(self.layout.degree(0)),
                    target_count_at: 0,
                    stride: STRIDE,
                };
                let own = [(1, &*empty.list), (2, &*empty.rows)];
                recorder.dispatch(&members, &params, &own, &[&links], [STRIDE / 256, 1]);
            }
            for level in &levels {
                let params = WriteParams {
                    level: small(level.level),
                    members: small(level.members),
                    degree: small(level.degree),
                    target_count_at: small(level.slots),
                    stride: STRIDE,
                };
                recorder.dispatch(
                    &members,
                    &params,
                    &[(1, &level.list), (2, &level.member_rows)],
                    &[&links],
                    [STRIDE / 256, 1],
                );
                recorder.dispatch(
                    &targets,
                    &params,
                    &[
                        (3, &level.segments),
                        (4, &level.targets),
                        (5, &level.target_rows),
                    ],
                    &[&links],
                    [STRIDE / 256, 1],
                );
            }
        })?;
        self.graph.arrive(arrivals);
        Ok(())
    }

    /// Submits what `record` says writes rows of links, and proves it, by writing once more if need be.
    pub(super) fn write_links<'a>(
        &'a self,
        seal: Option<&Seal>,
        record: &dyn Fn(&mut Recorder<'a>),
    ) -> Result<()> {
        self.submit_writes(seal, record)?;
        if let Some(seal) = seal
            && seal.prove().is_err()
        {
            // Writing the same once more does no harm, and without it some of the rows may be old ones.
            let again = Seal::of(&MetalBufferPool::for_building(self.device.clone()))?;
            self.submit_writes(Some(&again), record)?;
            again.prove()?;
        }
        Ok(())
    }

    fn submit_writes<'a>(
        &'a self,
        seal: Option<&Seal>,
        record: &dyn Fn(&mut Recorder<'a>),
    ) -> Result<()> {
        let mut recorder = Recorder::new(&self.device);
        record(&mut recorder);
        // What it records from here on lives as long as the seal.
        let mut recorder: Recorder<'_> = recorder;
        if let Some(seal) = seal {
            seal.set(&mut recorder);
        }
        // Without waiting for what is under way: a wait that fails must not leave rows half written and nobody who knows.
        self.building.lock().push_back(recorder.submit()?);
        Ok(())
    }
}
