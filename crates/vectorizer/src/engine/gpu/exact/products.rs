//! Exact search by products of matrices of half floats, where the device has instructions for them.
//!
//! Blocks of rows are brought into half floats and multiplied with all queries of a portion; what the products cannot rule out, by a bound that
//! `exact_products.wgsl` proves, is put down for its query. The blocks grow: after each, the nearest of what was put down says how near the next rows
//! have to be. What is left in the end is scored again and put into order as every exact answer is. A query for which more was left than can be
//! held is not answered here: [`Portion`] says which.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Among;
use crate::engine::Neighbor;
use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, grid, hardware, read_back};
use crate::engine::gpu::rows::{Stretch, small};
use crate::engine::gpu::transfer::upload_queries;
use crate::error::{Result, VectorizerError};
use crate::gpu::device::{Backend, Device};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::gpu::tiers::MatrixShape;
use crate::kernels::exact::products::{
    CAPACITY, GIVEN_UP, HALVES, HalvesParams, Matrices, PRODUCTS, ProductsParams, SETTLE,
    SettleParams, TILE, constants, depths,
};
use crate::kernels::exact::{ANSWER, AnswerParams, RESCORE, RescoreParams};
use crate::kernels::{Kernel, Specialised};

#[cfg(test)]
mod tests;

/// The least queries and rows for which tiles of half floats are worth it.
const QUERIES: usize = 64;
const ROWS: usize = 2_048;
/// The longest answer; for each of its neighbours some rows more have to be held.
const LONGEST: usize = 64;
/// Queries of a portion.
const PORTION: usize = 2_048;
/// The most bytes of rows in half floats at a time.
const BLOCK_BYTES: usize = 64 << 20;
/// Rows that a block is to leave for each query, of the [`CAPACITY`] that can be held.
const LEFT: usize = 192;
/// Rows that are neighbours and stay together, and the most runs of them: their numbers are multiplied in 32 bits.
const RUN: usize = 64;
const RUNS: usize = 1 << 16;

/// Whether exact searches go by products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The device has none.
    Never,
    /// Where it is worth it.
    Worth(Matrices),
    /// Whenever it can be.
    #[cfg(test)]
    Always(Matrices),
}

/// What an engine knows of its device's products.
#[derive(Debug)]
pub(in crate::engine::gpu) struct Products {
    way: Way,
    /// Whether answers were held against the scan, and whether they were other ones or there were none.
    tried: AtomicBool,
    refused: AtomicBool,
    /// Queries answered by products.
    answered: AtomicU64,
}

impl Products {
    /// What the device can do.
    pub(in crate::engine::gpu) fn of(device: &Device) -> Self {
        Self::by(Way::of(device))
    }

    fn by(way: Way) -> Self {
        Self {
            way,
            tried: AtomicBool::default(),
            refused: AtomicBool::default(),
            answered: AtomicU64::default(),
        }
    }

    /// The matrices by which so much is to be searched; `None` if it is not to be.
    pub(super) fn matrices(&self, queries: usize, rows: usize, k: usize) -> Option<Matrices> {
        if k > LONGEST || self.refused.load(Ordering::Relaxed) {
            return None;
        }
        match self.way {
            Way::Worth(matrices) if queries >= QUERIES && rows >= ROWS => Some(matrices),
            #[cfg(test)]
            Way::Always(matrices) => Some(matrices),
            _ => None,
        }
    }
}

impl Way {
    fn of(device: &Device) -> Self {
        let tier = device.tier();
        // The kernel wants eight subgroups of 32. Apple's GPUs have no other; wgpu does not ask them.
        let lanes = device.info().backend == Backend::Metal || tier.subgroups == Some((32, 32));
        let has = |size: u32| {
            let square = |shape: &&MatrixShape| (shape.m, shape.n, shape.k) == (size, size, size);
            tier.matrices.iter().find(square).map(|_| size)
        };
        match has(16).or_else(|| has(8)) {
            Some(block) if lanes && tier.workgroup_bytes >= 32 << 10 => Self::Worth(Matrices {
                block,
                imitated: false,
            }),
            _ => Self::Never,
        }
    }
}

/// A portion whose kernels have been submitted.
struct Portion {
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

/// A block of the rows that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    stretch: Stretch,
    /// Its first row, counted in the order in which the stretch's rows are taken.
    first: u32,
    rows: u32,
}

/// The rows of `stretches` in blocks of `most` at the most: first as many as can be put down for a query whatever they are, then as many as will
/// leave [`LEFT`] of them.
fn blocks(stretches: &[Stretch], k: usize, most: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut seen = 0;
    for stretch in stretches {
        let mut first = 0;
        while first < stretch.rows as usize {
            let next = if seen == 0 {
                CAPACITY as usize
            } else {
                seen * LEFT / (k + 6)
            };
            // Whole tiles, so that only the last has places without a row.
            let tile = TILE as usize;
            let next = (next / tile * tile).clamp(tile, most);
            let rows = next.min(stretch.rows as usize - first);
            blocks.push(Block {
                stretch: *stretch,
                first: small(first),
                rows: small(rows),
            });
            first += rows;
            seen += rows;
        }
    }
    blocks
}

/// In which order a stretch's rows are taken: the length of a run, how many there are, and by how many the next one is further.
fn order(rows: u32) -> [u32; 3] {
    let mut run = RUN;
    while rows as usize / run > RUNS {
        run *= 2;
    }
    let runs = rows as usize / run;
    // By the golden ratio, so that any number of first runs lies spread over all.
    let mut step = (runs * 618 / 1_000).max(1);
    while !coprime(step, runs) {
        step += 1;
    }
    [small(run), small(runs), small(step)]
}

fn coprime(mut a: usize, mut b: usize) -> bool {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

impl GpuEngine {
    /// As `exact_by_floats`, by products of `matrices`. The first answers of an engine are held against the scan: no driver is believed to
    /// multiply matrices as it should before it has.
    pub(super) fn exact_by_products(
        &self,
        queries: &[f32],
        k: usize,
        among: &Among,
        matrices: Matrices,
    ) -> Result<Vec<Neighbor>> {
        let multiplied = self.multiplied(queries, k, among, matrices);
        if let Err(
            VectorizerError::VramLimitExceeded { .. } | VectorizerError::BufferAllocationFailed,
        ) = multiplied
        {
            // Floats take less.
            return self.exact_by_floats(queries, k, among);
        }
        if self.products.tried.load(Ordering::Relaxed) {
            return multiplied;
        }
        let dimension = self.layout.dimension;
        let some = &queries[..queries.len().min(super::FEW * dimension)];
        let scanned = self.exact_by_floats(some, k, among)?;
        match multiplied {
            Ok(found) if found.starts_with(&scanned) => {
                self.products.tried.store(true, Ordering::Relaxed);
                Ok(found)
            }
            other => {
                tracing::warn!(
                    error = other.err().map(|error| error.to_string()),
                    "products of matrices are not used: they failed, or gave other answers than the scan"
                );
                self.products.refused.store(true, Ordering::Relaxed);
                self.exact_by_floats(queries, k, among)
            }
        }
    }

    fn multiplied(
        &self,
        queries: &[f32],
        k: usize,
        among: &Among,
        matrices: Matrices,
    ) -> Result<Vec<Neighbor>> {
        let dimension = self.layout.dimension;
        let count = queries.len() / dimension;
        let portion = PORTION
            .min(super::QUERY_BYTES / (dimension.div_ceil(4) * 16))
            .min(self.affordable_queries(among.rows()));
        let mut found = Vec::with_capacity(count * k);
        let mut open = Vec::new();
        let mut before: Option<Portion> = None;
        for portion in queries.chunks(portion * dimension) {
            // What most queries were not answered by is not tried on the rest.
            if open.len() > QUERIES.max(found.len() / k / 4) {
                break;
            }
            let now = self.multiply_portion(portion, k, among, matrices)?;
            // One portion computes while the next is uploaded.
            if let Some(before) = before.replace(now) {
                self.finish_products(before, k, &mut found, &mut open)?;
            }
        }
        if let Some(last) = before {
            self.finish_products(last, k, &mut found, &mut open)?;
        }
        let answered = found.len() / k;
        self.products
            .answered
            .fetch_add((answered - open.len()) as u64, Ordering::Relaxed);
        open.extend(answered..count);
        if open.is_empty() {
            return Ok(found);
        }
        tracing::debug!(queries = open.len(), "not proven by half floats");
        found.resize(count * k, Neighbor::NONE);
        let mut again = Vec::with_capacity(open.len() * dimension);
        for query in &open {
            again.extend_from_slice(&queries[query * dimension..][..dimension]);
        }
        let answers = self.exact_by_floats(&again, k, among)?;
        for (query, answer) in open.iter().zip(answers.chunks_exact(k)) {
            found[query * k..][..k].copy_from_slice(answer);
        }
        Ok(found)
    }

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

    fn multiply_portion(
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
        for stretch in &among.stretches {
            let params = RescoreParams {
                queries: all,
                first: 0,
                first_slot: stretch.first_slot,
                end_slot: stretch.first_slot + self.rows.per_chunk(),
            };
            recorder.dispatch(
                &rescore,
                &params,
                &[(1, &shared.asked), (2, &shared.merged)],
                &[&[self.rows.chunk(stretch.chunk)]],
                grid(all),
            );
        }
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
    fn finish_products(
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
