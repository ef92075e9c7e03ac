//! Answers longer than the kernels keep: the device scores, the host selects.

use super::Among;
use crate::engine::Neighbor;
use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, hardware, read_back};
use crate::engine::gpu::rows::{Stretch, small};
use crate::engine::gpu::transfer::upload_queries;
use crate::error::{Result, VectorizerError};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, Purpose};
use crate::kernels::exact::{SCORES, ScoresParams};

/// Scores that are read back at a time where answers are long.
const SCORES_AT_ONCE: usize = 4 << 20;

impl GpuEngine {
    pub(super) fn exact_long(
        &self,
        queries: &[f32],
        k: usize,
        among: &Among,
    ) -> Result<Vec<Neighbor>> {
        let stretches = &among.stretches[..];
        let dimension = self.layout.dimension;
        let mut found = Vec::with_capacity(queries.len() / dimension * k);
        let longest = stretches
            .iter()
            .map(|stretch| stretch.rows)
            .max()
            .unwrap_or(1);
        let rows = (longest as usize).min(SCORES_AT_ONCE / 4);
        let at_once = (SCORES_AT_ONCE / rows).clamp(1, 64);
        for portion in queries.chunks(at_once * dimension) {
            let mut lists = vec![Vec::new(); portion.len() / dimension];
            for stretch in stretches {
                for first in (0..stretch.rows).step_by(rows) {
                    let block = Stretch {
                        first_row: stretch.first_row + first,
                        rows: small(rows).min(stretch.rows - first),
                        ..*stretch
                    };
                    self.score_block(portion, block, among, |query, score, slot| {
                        lists[query].push(Neighbor { score, slot });
                    })?;
                    for list in &mut lists {
                        cut(list, k);
                    }
                }
            }
            for mut list in lists {
                list.sort_unstable();
                found.append(&mut list);
            }
        }
        Ok(found)
    }

    fn score_block(
        &self,
        queries: &[f32],
        block: Stretch,
        among: &Among,
        mut take: impl FnMut(usize, f32, u32),
    ) -> Result<()> {
        let hardware = hardware(&self.device)?;
        let dimension = self.layout.dimension;
        let parts = self.rows.chunk_shape().parts;
        let count = queries.len() / dimension;
        let program = hardware.program(&self.specialised(&SCORES, 32, among.list.is_some()))?;
        let pool = MetalBufferPool::new(self.device.clone());
        let asked = pool.lend(
            Purpose::Storage,
            "queries",
            (count * parts as usize * 16) as u64,
        )?;
        let width = block.rows as usize + 1;
        let bytes = (count * width * 4) as u64;
        let scores = pool.lend(Purpose::Storage, "scores", bytes)?;
        let mut staging = pool.lend(Purpose::Readback, "scores, read back", bytes)?;
        upload_queries(&pool, queries, dimension, parts, &asked)?;
        let params = ScoresParams {
            queries: small(count),
            first_row: block.first_row,
            rows: block.rows,
            epoch: self.next_epoch(),
        };
        let mut recorder = Recorder::new(&self.device);
        recorder.dispatch(
            &program,
            &params,
            &[(1, &asked), (2, &scores), (3, among.bound(&asked))],
            &[&[self.rows.chunk(block.chunk)]],
            [small(count), block.rows.div_ceil(32).min(1_024)],
        );
        recorder.copy(&scores, &staging, bytes);
        let submission = recorder.submit()?;
        let mut signed = true;
        read_back(&self.device, submission, &mut staging, bytes, |bytes| {
            let numbers: &[f32] = bytemuck::cast_slice(bytes);
            for (query, row) in numbers.chunks_exact(width).enumerate() {
                signed &= row[width - 1].to_bits() == params.epoch;
                for (place, score) in row[..width - 1].iter().enumerate() {
                    take(query, *score, among.slot(block, place));
                }
            }
        })?;
        if signed {
            Ok(())
        } else {
            Err(VectorizerError::SearchFailed)
        }
    }
}

/// Keeps the first k of a list, in no order.
fn cut(list: &mut Vec<Neighbor>, k: usize) {
    if list.len() > k {
        list.select_nth_unstable(k - 1);
        list.truncate(k);
    }
}
