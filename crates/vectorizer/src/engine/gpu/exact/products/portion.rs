//! The dispatches of a portion of queries, and what comes back.

use super::blocks::{blocks, order};
use crate::engine::Neighbor;
use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::exact::Among;
use crate::engine::gpu::record::{Recorder, grid, hardware, read_back};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::transfer::upload_queries;
use crate::error::{Result, VectorizerError};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::kernels::exact::products::{
    CAPACITY, GIVEN_UP, HALVES, HalvesParams, Matrices, PRODUCTS, ProductsParams, SETTLE,
    SettleParams, TILE, constants, depths,
};
use crate::kernels::exact::{ANSWER, AnswerParams, RESCORE};
use crate::kernels::{Kernel, Specialised};

/// The most bytes of rows in half floats at a time.
const BLOCK_BYTES: usize = 64 << 20;

/// A portion whose kernels have been submitted.
pub(super) struct Portion {
    staging: PooledBuffer,
    submission: wgpu::SubmissionIndex,
    queries: usize,
    epoch: u32,
}

/// The buffers of a portion that all of its blocks share.
struct Shared {
    asked: PooledBuffer,
    query_halves: PooledBuffer,
    query_terms: PooledBuffer,
    limits: PooledBuffer,
    met: PooledBuffer,
    lists: PooledBuffer,
    merged: PooledBuffer,
    row_halves: PooledBuffer,
    row_terms: PooledBuffer,
    slots: PooledBuffer,
}

impl GpuEngine {
    fn halves(&self, kernel: &'static Kernel, matrices: Matrices, flags: [bool; 3]) -> Specialised {
        let rows = self.rows.chunk_shape();
        let [listed, asked, last] = flags;
        Specialised {
            kernel,
            rows,
            scoring: self.layout.scoring,
            subgroups: self.exchange,
            constants: constants(rows.parts, matrices, listed, asked, last),
        }
    }

    fn shared(&self, queries: usize, rows: usize, block: u32) -> Result<Shared> {
        let pool = MetalBufferPool::new(self.device.clone());
        let parts = self.rows.chunk_shape().parts;
        let width = (depths(parts, block) * block) as usize * 2;
        let tile = TILE as usize;
        let (padded, rows) = (queries.next_multiple_of(tile), rows.next_multiple_of(tile));
        let lend = |name: &'static str, count: usize, bytes: usize| {
            pool.lend(Purpose::Storage, name, (count * bytes) as u64)
        };
        Ok(Shared {
            asked: lend("queries", queries, parts as usize * 16)?,
            query_halves: lend("queries in half floats", padded, width)?,
            query_terms: lend("terms of queries", padded, 16)?,
            limits: lend("limits", padded, 4)?,
            met: lend("rows put down, counted", padded, 4)?,
            lists: lend("rows put down", queries, CAPACITY as usize * 16)?,
            merged: lend("merged", queries, CAPACITY as usize / 2 * 8)?,
            row_halves: lend("rows in half floats", rows, width)?,
            row_terms: lend("terms of rows", rows, 16)?,
            slots: lend("slots", rows, 4)?,
        })
    }

    pub(super) fn multiply_portion(
        &self,
        queries: &[f32],
        k: usize,
        among: &Among,
        matrices: Matrices,
    ) -> Result<Portion> {
        let hardware = hardware(&self.device)?;
        let dimension = self.layout.dimension;
        let parts = self.rows.chunk_shape().parts;
        let all = small(queries.len() / dimension);
        let tiles = all.div_ceil(TILE);
        let listed = among.list.is_some();
        let program = |kernel, flags| hardware.program(&self.halves(kernel, matrices, flags));
        let block = matrices.block;
        let halve_queries = program(&HALVES, [false, true, false])?;
        let halve_rows = program(&HALVES, [listed, false, false])?;
        let multiply = program(&PRODUCTS, [false; 3])?;
        let settle = program(&SETTLE, [false; 3])?;
        let settle_last = program(&SETTLE, [false, false, true])?;
        let rescore = hardware.program(&self.specialised(&RESCORE, CAPACITY, false))?;
        let answer = hardware.program(&self.specialised(&ANSWER, CAPACITY, false))?;

        let most = BLOCK_BYTES / (depths(parts, block) * block * 2) as usize;
        let blocks = blocks(&among.stretches, k, most);
        let longest = blocks.iter().map(|block| block.rows).max().unwrap_or(0);
        let shared = self.shared(all as usize, longest as usize, block)?;
        let pool = MetalBufferPool::new(self.device.clone());
        let answers = u64::from(all) * (2 * k as u64 + 1) * 4;
        let found = pool.lend(Purpose::Storage, "found", answers)?;
        let proofs = u64::from(all) * 4;
        let staging = pool.lend(Purpose::Readback, "found, read back", answers + proofs)?;
        upload_queries(&pool, queries, dimension, parts, &shared.asked)?;

        let mut recorder = Recorder::new(&self.device);
        recorder.clear(&shared.met);
        let params = HalvesParams {
            rows: all,
            first: 0,
            first_row: 0,
            first_slot: 0,
            run: 1,
            runs: 0,
            step: 1,
        };
        recorder.dispatch(
            &halve_queries,
            &params,
            &[
                (1, &shared.query_halves),
                (2, &shared.query_terms),
                (3, &shared.met),
                (4, &shared.limits),
            ],
            &[&[&shared.asked]],
            grid(tiles * TILE / 8),
        );
        for (at, block) in blocks.iter().enumerate() {
            let stretch = block.stretch;
            let [run, runs, step] = order(stretch.rows);
            let params = HalvesParams {
                rows: block.rows,
                first: block.first,
                first_row: stretch.first_row,
                first_slot: stretch.first_slot,
                run,
                runs,
                step,
            };
            recorder.dispatch(
                &halve_rows,
                &params,
                &[
                    (1, &shared.row_halves),
                    (2, &shared.row_terms),
                    (3, among.bound(&shared.met)),
                    (4, &shared.slots),
                ],
                &[&[self.rows.chunk(stretch.chunk)]],
                grid(block.rows.div_ceil(TILE) * TILE / 8),
            );
            recorder.dispatch(
                &multiply,
                &ProductsParams { first_tile: 0 },
                &[
                    (1, &shared.query_halves),
                    (2, &shared.row_halves),
                    (3, &shared.query_terms),
                    (4, &shared.limits),
                    (5, &shared.row_terms),
                    (6, &shared.slots),
                    (7, &shared.met),
                    (8, &shared.lists),
                ],
                &[],
                [tiles, block.rows.div_ceil(TILE)],
            );
            let params = SettleParams {
                queries: all,
                first: 0,
                k: small(k),
            };
            recorder.dispatch(
                if at + 1 == blocks.len() {
                    &settle_last
                } else {
                    &settle
                },
                &params,
                &[
                    (1, &shared.query_terms),
                    (2, &shared.limits),
                    (3, &shared.met),
                    (4, &shared.lists),
                    (5, &shared.merged),
                ],
                &[],
                grid(all),
            );
        }
        let (asked, merged) = (&shared.asked, &shared.merged);
        self.rescore(
            &mut recorder,
            &rescore,
            all,
            &among.stretches,
            asked,
            merged,
        );
        let epoch = self.next_epoch();
        let params = AnswerParams {
            queries: all,
            first: 0,
            k: small(k),
            epoch,
        };
        recorder.dispatch(
            &answer,
            &params,
            &[(1, &shared.merged), (2, &found)],
            &[],
            grid(all),
        );
        recorder.copy(&found, &staging, answers);
        recorder.copy_range(&shared.limits, 0, &staging, answers, proofs);
        let submission = recorder.submit()?;
        Ok(Portion {
            staging,
            submission,
            queries: all as usize,
            epoch,
        })
    }

    /// Takes the answers, and the numbers of those queries that have none.
    pub(super) fn finish_products(
        &self,
        mut portion: Portion,
        k: usize,
        found: &mut Vec<Neighbor>,
        open: &mut Vec<usize>,
    ) -> Result<()> {
        let width = 2 * k + 1;
        let words = portion.queries * (width + 1);
        let before = found.len() / k;
        let mut signed = true;
        let bytes = words as u64 * 4;
        read_back(
            &self.device,
            portion.submission,
            &mut portion.staging,
            bytes,
            |bytes| {
                let words: &[u32] = bytemuck::cast_slice(bytes);
                let (answers, limits) = words.split_at(portion.queries * width);
                for (at, answer) in answers.chunks_exact(width).enumerate() {
                    signed &= answer[width - 1] == portion.epoch;
                    found.extend(answer[..width - 1].chunks_exact(2).map(|pair| Neighbor {
                        score: f32::from_bits(pair[0]),
                        slot: pair[1],
                    }));
                    if f32::from_bits(limits[at]) < GIVEN_UP {
                        open.push(before + at);
                    }
                }
            },
        )?;
        if signed {
            Ok(())
        } else {
            Err(VectorizerError::SearchFailed)
        }
    }
}
