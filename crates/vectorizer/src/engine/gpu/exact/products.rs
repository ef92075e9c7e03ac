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
use crate::error::{Result, VectorizerError};
use crate::gpu::device::{Backend, Device};
use crate::gpu::tiers::MatrixShape;
use crate::kernels::exact::products::Matrices;
use portion::Portion;

mod blocks;
mod portion;
#[cfg(test)]
mod tests;

/// The least queries and rows for which tiles of half floats are worth it.
const QUERIES: usize = 64;
const ROWS: usize = 2_048;
/// The longest answer; for each of its neighbours some rows more have to be held.
const LONGEST: usize = 64;
/// Queries of a portion.
const PORTION: usize = 2_048;

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

    /// Never by products.
    #[cfg(test)]
    pub(in crate::engine::gpu) fn none() -> Self {
        Self::by(Way::Never)
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
}
