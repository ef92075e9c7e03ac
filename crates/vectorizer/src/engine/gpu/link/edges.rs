//! From candidates to rows: links are chosen, edges brought together by target, and the targets' new rows worked out.

use crate::engine::LinkBatch;
use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::link::candidates::{Candidates, Lists};
use crate::engine::gpu::link::line::Line;
use crate::engine::gpu::link::{Choice, STRIDE, StagedLevel};
use crate::engine::gpu::record::{grid, hardware};
use crate::engine::gpu::rows::small;
use crate::error::Result;
use crate::gpu::metal_buffer_pool::PooledBuffer;
use crate::kernels::graph::{
    GroupParams, LINK, LinkParams, PLACE_EDGES, SELECT, SelectParams, TAKE_SEGMENTS,
};

/// Targets whose rows are worked out at once, at most.
const TARGETS_AT_ONCE: u32 = 32_768;

/// One level on its way from candidates to rows.
pub(super) struct Step<'a> {
    batch: &'a LinkBatch<'a>,
    level: &'a StagedLevel,
    candidates: &'a Candidates,
    lists: &'a Lists,
    choice: Choice,
    /// Beside each link of a member's row: the key of its score, and its number among the edges of its target.
    edges: PooledBuffer,
    /// The edges of each target together.
    sources: PooledBuffer,
}

impl Step<'_> {
    /// The most targets there can be.
    fn most_targets(&self) -> usize {
        self.level
            .slots
            .min(self.level.members * self.choice.width())
    }
}

impl GpuEngine {
    /// Takes the memory for what each level takes in passing.
    pub(super) fn edge_steps<'a>(
        &self,
        batch: &'a LinkBatch<'a>,
        staged: &'a [StagedLevel],
        candidates: &'a Candidates,
    ) -> Result<Vec<Step<'a>>> {
        let steps = staged.iter().zip(&candidates.levels).map(|(level, lists)| {
            let choice = Choice::on(&batch.selection, level.level, level.degree);
            let members = level.members;
            Ok(Step {
                batch,
                level,
                candidates,
                lists,
                choice,
                edges: self.building_storage("edges", members * level.degree * 2)?,
                sources: self.building_storage("sources", members * choice.width() * 2)?,
            })
        });
        steps.collect()
    }

    /// Works out the rows of every level.
    pub(super) fn stage_edges<'a>(
        &'a self,
        line: &mut Line<'a>,
        steps: &'a [Step<'_>],
    ) -> Result<()> {
        let rows = self.rows.buffers();
        let mut links = self.graph.buffers();
        if let (true, Some(step)) = (links.is_empty(), steps.first()) {
            // Before the first batch there are no links, and none is read; but something has to be bound.
            links = vec![&step.level.list; 3];
        }
        for step in steps {
            line.recorder.clear(&step.level.targets);
            self.choose(line, step, &rows)?;
            self.group(line, step)?;
            self.relink(line, step, &rows, &links)?;
        }
        Ok(())
    }

    /// Chooses each member's links, and counts the edges of each target.
    fn choose<'a>(
        &'a self,
        line: &mut Line<'a>,
        step: &'a Step<'_>,
        rows: &[&'a wgpu::Buffer],
    ) -> Result<()> {
        let (level, lists, choice) = (step.level, step.lists, step.choice);
        let ef = step.batch.selection.ef_construction;
        let program = hardware(&self.device)?.program(&self.graph_kernel(&SELECT, ef)?)?;
        let count = small(level.members);
        let at_once = self.at_once(((lists.walked + lists.near.keep) * choice.width()) as u64);
        for first in (0..count).step_by(at_once as usize) {
            let end = (first + at_once).min(count);
            let params = SelectParams {
                members: end,
                first,
                walked: small(lists.walked),
                walked_at: small(lists.walked_at),
                near: small(lists.near.keep),
                near_at: small(lists.near.lists_at),
                keep: small(ef),
                own: choice.own,
                fill: choice.fill,
                degree: small(level.degree),
                target_count_at: small(level.slots),
            };
            line.recorder.dispatch(
                &program,
                &params,
                &[
                    (1, &level.list),
                    (2, &step.candidates.lists),
                    (3, &level.member_rows),
                    (4, &step.edges),
                    (5, &level.targets),
                    (6, &level.segments),
                    (7, self.work.counting()),
                ],
                &[rows],
                grid(end - first),
            );
            if end - first == at_once {
                line.submit()?;
            }
        }
        Ok(())
    }

    /// Brings the edges of each target together.
    fn group<'a>(&'a self, line: &mut Line<'a>, step: &'a Step<'_>) -> Result<()> {
        let level = step.level;
        let ef = step.batch.selection.ef_construction;
        let hardware = hardware(&self.device)?;
        let take_segments = hardware.program(&self.graph_kernel(&TAKE_SEGMENTS, ef)?)?;
        let place_edges = hardware.program(&self.graph_kernel(&PLACE_EDGES, ef)?)?;
        let params = GroupParams {
            members: small(level.members),
            degree: small(level.degree),
            target_count_at: small(level.slots),
            stride: STRIDE,
        };
        let most_targets = small(step.most_targets());
        for first in (0..most_targets).step_by(STRIDE as usize) {
            line.recorder.dispatch(
                &take_segments,
                &GroupParams {
                    stride: first,
                    ..params
                },
                &[(4, &level.targets), (5, &level.segments)],
                &[],
                [(most_targets - first).min(STRIDE).div_ceil(256), 1],
            );
        }
        let own = [
            (1, &*level.list),
            (2, &*level.member_rows),
            (3, &*step.edges),
            (4, &*level.targets),
            (6, &*step.sources),
        ];
        line.recorder
            .dispatch(&place_edges, &params, &own, &[], [STRIDE / 256, 1]);
        Ok(())
    }

    /// Works out the targets' new rows.
    fn relink<'a>(
        &'a self,
        line: &mut Line<'a>,
        step: &'a Step<'_>,
        rows: &[&'a wgpu::Buffer],
        links: &[&'a wgpu::Buffer],
    ) -> Result<()> {
        let level = step.level;
        let ef = step.batch.selection.ef_construction;
        let program = hardware(&self.device)?.program(&self.graph_kernel(&LINK, ef)?)?;
        let most_targets = small(step.most_targets());
        let at_once = self
            .at_once((2 * level.degree * level.degree) as u64)
            .min(TARGETS_AT_ONCE);
        for first in (0..most_targets).step_by(at_once as usize) {
            let here = at_once.min(most_targets - first);
            let params = LinkParams {
                level: small(level.level),
                first,
                members: small(level.members),
                batch_first: step.batch.first,
                own: step.choice.relink_own,
                fill: step.choice.relink_fill,
                degree: small(level.degree),
                target_count_at: small(level.slots),
            };
            line.recorder.dispatch(
                &program,
                &params,
                &[
                    (1, &level.list),
                    (2, &level.member_rows),
                    (3, &level.segments),
                    (4, &step.sources),
                    (5, &level.targets),
                    (6, &level.target_rows),
                    (7, self.work.counting()),
                ],
                &[rows, links],
                [here, 1],
            );
            if here == at_once {
                line.submit()?;
            }
        }
        Ok(())
    }
}
