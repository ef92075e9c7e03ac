//! What new slots are linked with, if it is chosen: the nearest of their own batch on their level, and what walks through the frozen
//! graph find. The walks of all levels are one dispatch: those of the upper ones are few, and would each keep the device waiting.

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::link::StagedLevel;
use crate::engine::gpu::link::line::Line;
use crate::engine::gpu::near::Near;
use crate::engine::gpu::record::{grid, hardware};
use crate::engine::gpu::rows::small;
use crate::engine::{LinkBatch, Selection};
use crate::error::Result;
use crate::gpu::metal_buffer_pool::PooledBuffer;
use crate::kernels::graph::{WALK_SLOTS, WalkParams};

/// The candidates of a batch: lists of what walks found, level by level, then lists of near members.
pub(super) struct Candidates {
    pub(super) lists: PooledBuffer,
    /// Of each level, where its lists lie.
    pub(super) levels: Vec<Lists>,
    /// The members that walk, each with its level, and how many they are; none if there is nothing to walk through.
    walking: Option<(PooledBuffer, u32)>,
}

/// The lists of one level: a list of each kind for each of its members.
pub(super) struct Lists {
    /// Entries of a list of the walk; 0 if there was no walk.
    pub(super) walked: usize,
    pub(super) walked_at: usize,
    pub(super) near: Near,
}

impl Candidates {
    /// Takes the memory for them; `members` are the members' slots, level by level.
    ///
    /// # Errors
    /// No room, or the device failed.
    pub(super) fn new(
        engine: &GpuEngine,
        batch: &LinkBatch<'_>,
        staged: &[StagedLevel],
        members: &[Vec<u32>],
    ) -> Result<Self> {
        let Selection {
            ef_construction: ef,
            near,
            ..
        } = batch.selection;
        let walks = |level: &StagedLevel| {
            let entry = batch.entry;
            entry.is_some_and(|entry| entry.level >= level.level)
        };
        let walking = staged.iter().zip(members).filter(|(level, _)| walks(level));
        let walking: Vec<[u32; 2]> = walking
            .flat_map(|(level, slots)| slots.iter().map(|slot| [*slot, small(level.level)]))
            .collect();
        let (mut walked_at, mut near_at) = (0, walking.len() * ef);
        let levels = staged.iter().map(|level| {
            let (walked, near) = if walks(level) { (ef, near) } else { (0, ef) };
            let near = near.min(ef).min(level.members - 1);
            let lists = Lists {
                walked,
                walked_at,
                near: Near::new(engine, level.members, near, near_at)?,
            };
            walked_at += level.members * walked;
            near_at += level.members * near;
            Ok(lists)
        });
        let levels = levels.collect::<Result<Vec<_>>>()?;
        let list = (!walking.is_empty()).then(|| {
            let words = bytemuck::cast_slice(&walking);
            engine.building_list("walking members", words)
        });
        Ok(Self {
            lists: engine.building_storage("candidates", near_at * 2)?,
            levels,
            walking: list.transpose()?.map(|list| (list, small(walking.len()))),
        })
    }

    /// Finds them.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn find<'a>(
        &'a self,
        line: &mut Line<'a>,
        engine: &'a GpuEngine,
        batch: &LinkBatch<'_>,
        staged: &'a [StagedLevel],
    ) -> Result<()> {
        for (level, lists) in staged.iter().zip(&self.levels) {
            lists.near.find(line, engine, &level.list, &self.lists)?;
        }
        let (Some(entry), Some((walking, count))) = (batch.entry, &self.walking) else {
            return Ok(());
        };
        let ef = batch.selection.ef_construction;
        let kernel = engine.graph_kernel(&WALK_SLOTS, ef)?;
        let program = hardware(&engine.device)?.program(&kernel)?;
        let rows = engine.rows.buffers();
        let links = engine.graph.buffers();
        let at_once = engine.walks_at_once(ef, 0);
        for first in (0..*count).step_by(at_once as usize) {
            let end = (first + at_once).min(*count);
            let params = WalkParams {
                queries: end,
                entry: entry.slot,
                entry_level: small(entry.level),
                level: 0,
                ef: small(ef),
                k: small(ef),
                slots: small(engine.graph.linked()),
                epoch: 0,
                first,
                approach: 0,
                hops: 0,
                least: 0,
                seeds: 0,
            };
            line.recorder.dispatch(
                &program,
                &params,
                &[(1, walking), (2, &self.lists), (7, engine.work.counting())],
                &[&rows, &links],
                grid(end - first),
            );
            if end - first == at_once {
                line.submit()?;
            }
        }
        Ok(())
    }
}
