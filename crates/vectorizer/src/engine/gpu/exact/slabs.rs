//! The dispatches of a portion of queries that is answered by slabs, and what comes back.

use super::Among;
use super::bound::Bound;
use super::plan::Plan;
use crate::engine::Neighbor;
use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::record::{Recorder, grid, hardware, read_back};
use crate::engine::gpu::rows::small;
use crate::engine::gpu::seal::Seal;
use crate::engine::gpu::transfer::upload_queries;
use crate::error::{Result, VectorizerError};
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::kernels::exact::{
    ANSWER, AnswerParams, MERGE, MergeParams, RESCORE, SCAN, SlabParams, TILE, TILE_QUERIES,
};

/// A portion whose kernels have been submitted.
pub(super) struct UnderWay<'q> {
    staging: PooledBuffer,
    submissions: Vec<wgpu::SubmissionIndex>,
    seal: Option<Seal>,
    queries: &'q [f32],
    plan: Plan,
    epoch: u32,
}

impl GpuEngine {
    /// Submits the kernels that answer these queries as `plan` says.
    pub(super) fn begin_portion<'q>(
        &self,
        queries: &'q [f32],
        k: usize,
        among: &Among,
        plan: Plan,
    ) -> Result<UnderWay<'q>> {
        let stretches = &among.stretches[..];
        let listed = among.list.is_some();
        let hardware = hardware(&self.device)?;
        let dimension = self.layout.dimension;
        let parts = self.rows.chunk_shape().parts;
        let count = queries.len() / dimension;
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
        let bars = pool.lend(Purpose::Storage, "bars", bytes(count))?;
        let staging = pool.lend(
            Purpose::Readback,
            "found, read back",
            answers + bytes(count),
        )?;
        upload_queries(&pool, queries, dimension, parts, &asked)?;

        let epoch = self.next_epoch();
        let all = small(count);
        let groups = if plan.tiles {
            all.div_ceil(TILE_QUERIES)
        } else {
            all
        };
        let slab_cost =
            u64::from(groups) * plan.weight(count) * u64::from(plan.slab_rows) * dimension as u64;
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
            &[(1, &candidates), (2, &merged), (3, &bars)],
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
        recorder.copy_range(&bars, 0, &staging, answers, bytes(count));
        submissions.push(recorder.submit()?);
        Ok(UnderWay {
            staging,
            submissions,
            seal,
            queries,
            plan,
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

    /// Takes the answers, and the numbers of those queries whose answers are not proven.
    pub(super) fn finish_portion(
        &self,
        mut portion: UnderWay<'_>,
        k: usize,
        found: &mut Vec<Neighbor>,
        open: &mut Vec<usize>,
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
        let bound = Bound::new(self.layout, self.measured);
        let queries = portion.queries.chunks_exact(self.layout.dimension);
        let width = 2 * k + 1;
        let bytes = (queries.len() * (width + 1) * 4) as u64;
        let before = found.len() / k;
        let mut signed = true;
        read_back(&self.device, last, &mut portion.staging, bytes, |bytes| {
            let words: &[u32] = bytemuck::cast_slice(bytes);
            let (answers, bars) = words.split_at(queries.len() * width);
            let answers = answers.chunks_exact(width).zip(bars).zip(queries);
            for (at, ((answer, bar), query)) in answers.enumerate() {
                signed &= answer[width - 1] == portion.epoch;
                found.extend(answer[..width - 1].chunks_exact(2).map(|pair| Neighbor {
                    score: f32::from_bits(pair[0]),
                    slot: pair[1],
                }));
                let last = f32::from_bits(answer[width - 3]);
                if portion.plan.tiles && !bound.proves(query, last, *bar) {
                    open.push(before + at);
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
