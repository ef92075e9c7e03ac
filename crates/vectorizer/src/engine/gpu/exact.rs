//! Exact search: which kernels run, over which rows, in which portions.
//!
//! Rows are cut into slabs, one workgroup for each slab and query (or tile of 128 queries). A workgroup keeps the nearest of
//! its slab; then the slabs' lists are merged, scored again where tiles summed in another order, and ordered. [`bound`] says when such an
//! answer is proven; a query whose answer is not is scanned. Each chunk of rows has dispatches of its own, so that there may be more
//! chunks than a kernel can see.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, grid};
use crate::engine::gpu::rows::{Stretch, small};
use crate::engine::gpu::transfer::upload_now;
use crate::engine::{Hits, Neighbor, SlotSet};
use crate::error::Result;
use crate::gpu::device::DeviceKind;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::gpu::programs::Program;
use crate::kernels::exact::{RescoreParams, TILE_QUERIES, constants};
use crate::kernels::{Kernel, Specialised};

mod bound;
mod long;
mod plan;
mod products;
mod slabs;
#[cfg(test)]
pub(super) mod tests;

pub(super) use bound::Measured;
use plan::Plan;
use slabs::UnderWay;

/// Up to this many queries, reading the rows once for each costs less than computing tiles that are nearly empty.
const FEW: usize = 8;
/// Queries of a portion.
const PORTION: usize = 2_048;
/// The most bytes of a portion's queries.
const QUERY_BYTES: usize = 32 << 20;
/// Queries that are scanned at a time, of those whose answers tiles did not prove.
const SCANNED: usize = 64;

/// Which rows are compared: stretches of slots or, if there is a list, of places in it.
struct Among {
    stretches: Vec<Stretch>,
    list: Option<List>,
}

/// Rows that may be found, each counted in its chunk.
struct List {
    on_device: PooledBuffer,
    rows: Vec<u32>,
}

impl Among {
    fn rows(&self) -> usize {
        let rows = self.stretches.iter().map(|stretch| stretch.rows as usize);
        rows.sum()
    }

    /// What is bound for the list: where there is none, something.
    fn bound<'a>(&'a self, other: &'a wgpu::Buffer) -> &'a wgpu::Buffer {
        self.list.as_ref().map_or(other, |list| &list.on_device)
    }

    /// The slot of a row of a stretch.
    fn slot(&self, stretch: Stretch, row: usize) -> u32 {
        let place = stretch.first_row as usize + row;
        let row = self
            .list
            .as_ref()
            .map_or(small(place), |list| list.rows[place]);
        stretch.first_slot + row
    }
}

impl GpuEngine {
    /// The `min(k, slots.len())` nearest of `slots` for each query.
    pub(super) fn exact_search(
        &self,
        queries: &[f32],
        k: usize,
        slots: Range<u32>,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        let among = self.among(slots, allowed)?;
        let rows = among.rows();
        let k = k.min(rows);
        let dimension = self.layout.dimension;
        let count = queries.len() / dimension;
        if k == 0 || count == 0 {
            return Ok(Hits::none(count));
        }
        self.work.searched((count * rows) as u64, dimension);
        let found = match self.matrices_to_search(count, rows, k) {
            Some(matrices) => self.exact_by_products(queries, k, &among, matrices)?,
            None => self.exact_by_floats(queries, k, &among)?,
        };
        Ok(Hits::new(k, found))
    }

    /// The k nearest for each query, of rows that are k at least: by tiles where queries are many, and then those that [`bound`] does not
    /// prove by the scan.
    fn exact_by_floats(&self, queries: &[f32], k: usize, among: &Among) -> Result<Vec<Neighbor>> {
        let dimension = self.layout.dimension;
        let count = queries.len() / dimension;
        let portion = PORTION
            .min(QUERY_BYTES / (dimension.div_ceil(4) * 16))
            .min(self.affordable_queries(among.rows()));
        if Plan::new(portion.min(count), k, &among.stretches, &self.tuning).is_none() {
            return self.exact_long(queries, k, among);
        }
        let mut open = Vec::new();
        let mut found = self.by_slabs(queries, k, among, portion, &mut open)?;
        open.extend(found.len() / k..count);
        if open.is_empty() {
            return Ok(found);
        }
        tracing::debug!(queries = open.len(), "not proven by tiles");
        self.scanned_again
            .fetch_add(open.len() as u64, Ordering::Relaxed);
        found.resize(count * k, Neighbor::NONE);
        for open in open.chunks(SCANNED) {
            let mut again = Vec::with_capacity(open.len() * dimension);
            for query in open {
                again.extend_from_slice(&queries[query * dimension..][..dimension]);
            }
            let Some(plan) = Plan::scan(open.len(), k, &among.stretches, &self.tuning) else {
                return self.exact_long(queries, k, among);
            };
            let mut answers = Vec::with_capacity(open.len() * k);
            let portion = self.begin_portion(&again, k, among, plan)?;
            self.finish_portion(portion, k, &mut answers, &mut Vec::new())?;
            for (query, answer) in open.iter().zip(answers.chunks_exact(k)) {
                found[query * k..][..k].copy_from_slice(answer);
            }
        }
        Ok(found)
    }

    /// Answers by slabs, in portions of so many queries, and the numbers of those that are not proven. Those that are left out at the end
    /// were not tried: most before them were not proven.
    fn by_slabs(
        &self,
        queries: &[f32],
        k: usize,
        among: &Among,
        portion: usize,
        open: &mut Vec<usize>,
    ) -> Result<Vec<Neighbor>> {
        let dimension = self.layout.dimension;
        let mut found = Vec::with_capacity(queries.len() / dimension * k);
        let mut before: Option<UnderWay<'_>> = None;
        for portion in queries.chunks(portion * dimension) {
            if open.len() > SCANNED.max(found.len() / k / 4) {
                break;
            }
            let count = portion.len() / dimension;
            let Some(plan) = Plan::new(count, k, &among.stretches, &self.tuning) else {
                break;
            };
            let now = self.begin_portion(portion, k, among, plan)?;
            // One portion computes while the next is uploaded.
            if let Some(before) = before.replace(now) {
                self.finish_portion(before, k, &mut found, open)?;
            }
        }
        if let Some(last) = before {
            self.finish_portion(last, k, &mut found, open)?;
        }
        Ok(found)
    }

    /// Those of `slots` that may be found.
    fn among(&self, slots: Range<u32>, allowed: Option<&SlotSet>) -> Result<Among> {
        let whole = self.rows.stretches(slots);
        let Some(allowed) = allowed else {
            return Ok(Among {
                stretches: whole,
                list: None,
            });
        };
        let mut rows = Vec::new();
        let mut stretches = Vec::new();
        for stretch in whole {
            let first = stretch.first_slot + stretch.first_row;
            let here = allowed.iter_in(first..first + stretch.rows);
            let before = rows.len();
            rows.extend(here.map(|slot| slot - stretch.first_slot));
            if rows.len() > before {
                stretches.push(Stretch {
                    first_row: small(before),
                    rows: small(rows.len() - before),
                    ..stretch
                });
            }
        }
        let pool = MetalBufferPool::new(self.device.clone());
        let bytes = rows.len().max(1) as u64 * 4;
        let on_device = pool.lend(Purpose::Storage, "rows that may be found", bytes)?;
        if !rows.is_empty() {
            upload_now(&pool, &rows, &on_device)?;
        }
        Ok(Among {
            stretches,
            list: Some(List { on_device, rows }),
        })
    }

    /// Products and sums that the device does in about a tenth of a second, by a cautious guess.
    fn pace(&self) -> u64 {
        match self.device.info().kind {
            DeviceKind::Discrete => 100_000_000_000,
            DeviceKind::Software | DeviceKind::Cpu => 2_000_000_000,
            DeviceKind::Integrated | DeviceKind::Virtual | DeviceKind::Unknown => 30_000_000_000,
        }
    }

    /// How many queries make a portion of a few dispatches; a multiple of the tile, so that no tile is half empty.
    fn affordable_queries(&self, rows: usize) -> usize {
        let tile = TILE_QUERIES as usize;
        let each = rows as u64 * self.layout.dimension as u64;
        let queries = usize::try_from(4 * self.pace() / each.max(1)).unwrap_or(usize::MAX);
        (queries / tile * tile).max(tile)
    }

    /// Has the candidates of so many queries scored again, chunk by chunk, as every other kernel scores.
    fn rescore<'a>(
        &'a self,
        recorder: &mut Recorder<'a>,
        program: &Arc<Program>,
        queries: u32,
        stretches: &[Stretch],
        asked: &'a wgpu::Buffer,
        merged: &'a wgpu::Buffer,
    ) {
        for stretch in stretches {
            let params = RescoreParams {
                queries,
                first: 0,
                first_slot: stretch.first_slot,
                // Candidates are of the chunk if they are of its slots.
                end_slot: stretch.first_slot + self.rows.per_chunk(),
            };
            recorder.dispatch(
                program,
                &params,
                &[(1, asked), (2, merged)],
                &[&[self.rows.chunk(stretch.chunk)]],
                grid(queries),
            );
        }
    }

    fn specialised(&self, kernel: &'static Kernel, capacity: u32, listed: bool) -> Specialised {
        let rows = self.rows.chunk_shape();
        Specialised {
            kernel,
            rows,
            scoring: self.layout.scoring,
            subgroups: self.exchange,
            constants: constants(kernel, rows.parts, capacity, self.tile_depth(), listed),
        }
    }

    /// Parts of a row that a tile holds at a time.
    fn tile_depth(&self) -> u32 {
        if self.tier.workgroup_bytes >= 32 << 10 {
            self.tuning.tile_depth
        } else {
            2
        }
    }
}
