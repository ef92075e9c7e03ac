//! The nearest members of a batch to each of them, exactly: scores in blocks, the best of each block kept.

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, hardware};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::seal::Seal;
use crate::error::Result;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, Purpose};
use crate::kernels::graph::{NEAR_SCORE, NEAR_TOP, NearScoreParams, NearTopParams};

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

/// Writes the `keep` nearest of `members` (the first `count` of the buffer) to each of them, itself left out, to `lists`, where they begin
/// at `lists_at`.
pub(super) fn nearest(
    engine: &GpuEngine,
    members: &wgpu::Buffer,
    count: usize,
    keep: usize,
    lists_at: usize,
    lists: &wgpu::Buffer,
    seal: Option<&Seal>,
) -> Result<()> {
    if keep == 0 {
        return Ok(());
    }
    let columns_at_once = BLOCK_COLUMNS.min(count);
    let rows_at_once = block(engine, count) / columns_at_once;
    let scores = MetalBufferPool::for_building(engine.device.clone()).lend(
        Purpose::Storage,
        "scores within the batch",
        (rows_at_once * columns_at_once * 4) as u64,
    )?;
    let hardware = hardware(&engine.device)?;
    let score = hardware.program(&engine.graph_kernel(&NEAR_SCORE, keep)?)?;
    let top = hardware.program(&engine.graph_kernel(&NEAR_TOP, keep)?)?;
    let rows_of = engine.rows.buffers();
    for row in (0..count).step_by(rows_at_once) {
        let mut recorder = Recorder::new(&engine.device);
        let rows = small(rows_at_once.min(count - row));
        for column in (0..count).step_by(columns_at_once) {
            let columns = small(columns_at_once.min(count - column));
            recorder.dispatch(
                &score,
                &NearScoreParams {
                    members: small(count),
                    first_row: small(row),
                    first_column: small(column),
                    columns,
                    rows,
                },
                &[(1, members), (2, &scores)],
                &[&rows_of],
                [columns.div_ceil(TILE), rows.div_ceil(TILE)],
            );
            recorder.dispatch(
                &top,
                &NearTopParams {
                    first_row: small(row),
                    first_column: small(column),
                    columns,
                    keep: small(keep),
                    lists_at: small(lists_at),
                },
                &[(1, members), (2, &scores), (3, lists)],
                &[],
                [rows, 1],
            );
        }
        engine.submit_build(recorder, seal)?;
    }
    Ok(())
}
