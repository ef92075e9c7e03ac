//! Exact search: which kernels run, over which rows, in which portions.
//!
//! Rows are cut into slabs, one workgroup for each slab and query (or tile of 128 queries). A workgroup keeps the nearest of
//! its slab; then the slabs' lists are merged, scored again where tiles summed in another order, and ordered. Each chunk of rows
//! has dispatches of its own, so that there may be more chunks than a kernel can see.

use std::ops::Range;
use std::sync::Arc;

use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, grid, hardware, read_back};
use crate::engine::gpu::rows::{Stretch, small};
use crate::engine::gpu::seal::Seal;
use crate::engine::gpu::transfer::{upload_now, upload_queries};
use crate::engine::{Hits, Neighbor, SlotSet};
use crate::error::{Result, VectorizerError};
use crate::gpu::device::DeviceKind;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::gpu::programs::Program;
use crate::kernels::exact::{
    ANSWER, AnswerParams, MERGE, MergeParams, RESCORE, RescoreParams, SCAN, SlabParams, TILE,
    TILE_QUERIES, constants,
};
use crate::kernels::{Kernel, Specialised};

mod long;
mod plan;
mod products;

use plan::Plan;

/// Up to this many queries, reading the rows once for each costs less than computing tiles that are nearly empty.
const FEW: usize = 8;
/// Queries of a portion.
const PORTION: usize = 2_048;
/// The most bytes of a portion's queries.
const QUERY_BYTES: usize = 32 << 20;
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

/// A portion whose kernels have been submitted.
struct UnderWay {
    staging: PooledBuffer,
    submissions: Vec<wgpu::SubmissionIndex>,
    seal: Option<Seal>,
    queries: usize,
    epoch: u32,
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

    /// The k nearest for each query, of rows that are k at least.
    fn exact_by_floats(&self, queries: &[f32], k: usize, among: &Among) -> Result<Vec<Neighbor>> {
        let dimension = self.layout.dimension;
        let count = queries.len() / dimension;
        let portion = PORTION
            .min(QUERY_BYTES / (dimension.div_ceil(4) * 16))
            .min(self.affordable_queries(among.rows()));
        if Plan::new(portion.min(count), k, &among.stretches, &self.tuning).is_none() {
            return self.exact_long(queries, k, among);
        }
        let mut found = Vec::with_capacity(count * k);
        let mut before: Option<UnderWay> = None;
        for portion in queries.chunks(portion * dimension) {
            let now = self.begin_portion(portion, k, among)?;
            // One portion computes while the next is uploaded.
            if let Some(before) = before.replace(now) {
                self.finish_portion(before, k, &mut found)?;
            }
        }
        if let Some(last) = before {
            self.finish_portion(last, k, &mut found)?;
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

    fn begin_portion(&self, queries: &[f32], k: usize, among: &Among) -> Result<UnderWay> {
        let stretches = &among.stretches[..];
        let listed = among.list.is_some();
        let hardware = hardware(&self.device)?;
        let dimension = self.layout.dimension;
        let parts = self.rows.chunk_shape().parts;
        let count = queries.len() / dimension;
        let Some(plan) = Plan::new(count, k, stretches, &self.tuning) else {
            return Err(hardware.failed("k is too large for the exact kernels"));
        };
        let keep = plan.capacity / 2;
        let width = 2 * small(k) + 1;
        let slab_kernel = if plan.tiles { &TILE } else { &SCAN };
        let slab_kernel =
            hardware.program(&self.specialised(slab_kernel, plan.capacity, listed))?;
        let merge = hardware.program(&self.specialised(&MERGE, plan.capacity, false))?;
        let rescore = hardware.program(&self.specialised(&RESCORE, plan.capacity, false))?;
        let answer = hardware.program(&self.specialised(&ANSWER, plan.capacity, false))?;

        let pool = MetalBufferPool::new(self.device.clone());
        let bytes = |words: usize| words as u64 * 4;
        let asked = pool.lend(
            Purpose::Storage,
            "queries",
            bytes(count * parts as usize * 4),
        )?;
        let lists = count * plan.slabs as usize * plan.capacity as usize;
        let candidates = pool.lend(Purpose::Storage, "candidates", bytes(lists * 2))?;
        let merged = pool.lend(Purpose::Storage, "merged", bytes(count * keep as usize * 2))?;
        let answers = bytes(count * width as usize);
        let found = pool.lend(Purpose::Storage, "found", answers)?;
        let staging = pool.lend(Purpose::Readback, "found, read back", answers)?;
        upload_queries(&pool, queries, dimension, parts, &asked)?;

        let epoch = self.next_epoch();
        let all = small(count);
        let groups = if plan.tiles {
            all.div_ceil(TILE_QUERIES)
        } else {
            all
        };
        let slab_cost = u64::from(groups)
            * u64::from(if plan.tiles { TILE_QUERIES } else { 1 })
            * u64::from(plan.slab_rows)
            * dimension as u64;
        let at_once =
            small(usize::try_from((self.pace() / slab_cost.max(1)).clamp(1, 32_768)).unwrap_or(1));
        let mut submissions = Vec::new();
        // Those before the last have no epoch to show.
        let mut seal = None;
        let mut recorder = Recorder::new(&self.device);
        let mut cost = 0;
        let mut first_slab = 0;
        for stretch in stretches {
            let slabs = stretch.rows.div_ceil(plan.slab_rows);
            for first in (0..slabs).step_by(at_once as usize) {
                let here = at_once.min(slabs - first);
                if cost > 4 * self.pace() {
                    let full = std::mem::replace(&mut recorder, Recorder::new(&self.device));
                    submissions.push(self.submit_slabs(full, &pool, &mut seal)?);
                    cost = 0;
                }
                cost += slab_cost * u64::from(here);
                let skipped = first * plan.slab_rows;
                let params = SlabParams {
                    queries: all,
                    first_row: stretch.first_row + skipped,
                    rows: (stretch.rows - skipped).min(here * plan.slab_rows),
                    first_slot: stretch.first_slot,
                    slab_rows: plan.slab_rows,
                    first_slab: first_slab + first,
                    slabs: plan.slabs,
                };
                recorder.dispatch(
                    &slab_kernel,
                    &params,
                    &[(1, &asked), (2, &candidates), (3, among.bound(&asked))],
                    &[&[self.rows.chunk(stretch.chunk)]],
                    [groups, here],
                );
            }
            first_slab += slabs;
        }
        let params = MergeParams {
            slabs: plan.slabs,
            first: 0,
            queries: all,
        };
        recorder.dispatch(
            &merge,
            &params,
            &[(1, &candidates), (2, &merged)],
            &[],
            grid(all),
        );
        if plan.tiles {
            self.rescore(&mut recorder, &rescore, all, stretches, &asked, &merged);
        }
        let params = AnswerParams {
            queries: all,
            first: 0,
            k: small(k),
            epoch,
        };
        recorder.dispatch(
            &answer,
            &params,
            &[(1, &merged), (2, &found)],
            &[],
            grid(all),
        );
        recorder.copy(&found, &staging, answers);
        submissions.push(recorder.submit()?);
        Ok(UnderWay {
            staging,
            submissions,
            seal,
            queries: count,
            epoch,
        })
    }

    /// Submits slabs that are not the last of their portion.
    fn submit_slabs(
        &self,
        recorder: Recorder<'_>,
        pool: &MetalBufferPool,
        seal: &mut Option<Seal>,
    ) -> Result<wgpu::SubmissionIndex> {
        if seal.is_none() {
            *seal = Seal::of_change(pool)?;
        }
        let mut recorder = recorder;
        if let Some(seal) = seal.as_ref() {
            if seal.is_full() {
                seal.prove()?;
            }
            seal.set(&mut recorder);
        }
        recorder.submit()
    }

    fn finish_portion(
        &self,
        mut portion: UnderWay,
        k: usize,
        found: &mut Vec<Neighbor>,
    ) -> Result<()> {
        let hardware = hardware(&self.device)?;
        let Some(last) = portion.submissions.pop() else {
            return Ok(());
        };
        for submission in portion.submissions {
            hardware
                .wait(submission)
                .inspect_err(|_| portion.staging.spoil())?;
        }
        if let Some(seal) = &portion.seal {
            seal.prove().inspect_err(|_| portion.staging.spoil())?;
        }
        let width = 2 * k + 1;
        let bytes = (portion.queries * width * 4) as u64;
        let mut signed = true;
        read_back(&self.device, last, &mut portion.staging, bytes, |bytes| {
            let words: &[u32] = bytemuck::cast_slice(bytes);
            for answer in words.chunks_exact(width) {
                signed &= answer[width - 1] == portion.epoch;
                found.extend(answer[..width - 1].chunks_exact(2).map(|pair| Neighbor {
                    score: f32::from_bits(pair[0]),
                    slot: pair[1],
                }));
            }
        })?;
        if signed {
            Ok(())
        } else {
            Err(VectorizerError::SearchFailed)
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
