//! The nearest members of a batch to each of them, exactly: scores in blocks, the best of each block kept.

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::link::line::Line;
use crate::engine::gpu::record::hardware;
use crate::engine::gpu::rows::small;
use crate::error::Result;
use crate::gpu::metal_buffer_pool::PooledBuffer;
use crate::kernels::graph::near::{SCORE, ScoreParams, TOP, TopParams};

/// Scores of a block: the least, the most, and the share (one in) of the numbers in all rows, so that memory at the peak of a build is
/// little more than rows and links.
const BLOCK: std::ops::RangeInclusive<usize> = 1 << 18..=1 << 22;
const BLOCK_SHARE: usize = 64;
/// Scores of a block in a row.
const BLOCK_COLUMNS: usize = 1 << 12;
/// Rows and columns of a tile of the `near_score` kernel.
const TILE: u32 = 64;

/// How many scores a block has, for so many members.
pub(super) fn block(engine: &GpuEngine, count: usize) -> usize {
    let numbers = engine.rows.len() * engine.layout.dimension;
    let most = (numbers / BLOCK_SHARE).clamp(*BLOCK.start(), *BLOCK.end());
    let columns = BLOCK_COLUMNS.min(count).max(1);
    columns * (most / columns).clamp(1, count.clamp(1, 32_768))
}

/// Members that are to be compared with each other, and where the `keep` nearest of each go: from `lists_at` on.
pub(super) struct Near {
    pub(super) count: usize,
    pub(super) keep: usize,
    pub(super) lists_at: usize,
    scores: Option<PooledBuffer>,
}

impl Near {
    /// Takes the memory for a block of scores.
    ///
    /// # Errors
    /// No room.
    pub(super) fn new(
        engine: &GpuEngine,
        count: usize,
        keep: usize,
        lists_at: usize,
    ) -> Result<Self> {
        let scores = (keep > 0)
            .then(|| engine.building_storage("scores within the batch", block(engine, count)));
        Ok(Self {
            count,
            keep,
            lists_at,
            scores: scores.transpose()?,
        })
    }

    /// Writes the nearest of `members` to each of them, itself left out, to `lists`.
    ///
    /// # Errors
    /// The device failed.
    pub(super) fn find<'a>(
        &'a self,
        line: &mut Line<'a>,
        engine: &'a GpuEngine,
        members: &'a wgpu::Buffer,
        lists: &'a wgpu::Buffer,
    ) -> Result<()> {
        let (count, keep) = (self.count, self.keep);
        let Some(scores) = &self.scores else {
            return Ok(());
        };
        let columns_at_once = BLOCK_COLUMNS.min(count);
        let rows_at_once = block(engine, count) / columns_at_once;
        let hardware = hardware(&engine.device)?;
        let score = hardware.program(&engine.graph_kernel(&SCORE, keep)?)?;
        let top = hardware.program(&engine.graph_kernel(&TOP, keep)?)?;
        let rows_of = engine.rows.buffers();
        for row in (0..count).step_by(rows_at_once) {
            let rows = small(rows_at_once.min(count - row));
            for column in (0..count).step_by(columns_at_once) {
                let columns = small(columns_at_once.min(count - column));
                line.recorder.dispatch(
                    &score,
                    &ScoreParams {
                        members: small(count),
                        first_row: small(row),
                        first_column: small(column),
                        columns,
                        rows,
                    },
                    &[(1, members), (2, scores)],
                    &[&rows_of],
                    [columns.div_ceil(TILE), rows.div_ceil(TILE)],
                );
                line.recorder.dispatch(
                    &top,
                    &TopParams {
                        first_row: small(row),
                        first_column: small(column),
                        columns,
                        keep: small(keep),
                        lists_at: small(self.lists_at),
                    },
                    &[(1, members), (2, scores), (3, lists)],
                    &[],
                    [rows, 1],
                );
            }
            if row + rows_at_once < count {
                line.submit()?;
            }
        }
        Ok(())
    }
}
