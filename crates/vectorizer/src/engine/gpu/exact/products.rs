//! Exact search by products of matrices of half floats, where the device has instructions for them.
//!
//! Blocks of rows are brought into half floats and multiplied with all queries of a portion; what the products cannot rule out, by a bound that
//! `exact_products.wgsl` proves, is put down for its query. The blocks grow: after each, the nearest of what was put down says how near the next rows
//! have to be. What is left in the end is scored again and put into order as every exact answer is. A query for which more was left than can be
//! held is not answered here: [`Portion`] says which.

use super::Among;
use crate::engine::Neighbor;
use crate::engine::gpu::GpuEngine;
use crate::engine::gpu::products::QUERIES;
use crate::error::{Result, VectorizerError};
use crate::kernels::exact::products::Matrices;
use portion::Portion;

mod blocks;
mod portion;
#[cfg(test)]
mod tests;

/// Queries of a portion.
const PORTION: usize = 2_048;

impl GpuEngine {
    /// As `exact_by_floats`, by products of `matrices`.
    pub(super) fn exact_by_products(
        &self,
        queries: &[f32],
        k: usize,
        among: &Among,
        matrices: Matrices,
    ) -> Result<Vec<Neighbor>> {
        match self.multiplied(queries, k, among, matrices) {
            // Floats take less.
            Err(
                VectorizerError::VramLimitExceeded { .. } | VectorizerError::BufferAllocationFailed,
            ) => self.exact_by_floats(queries, k, among),
            answer => answer,
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
        self.products.answered(answered - open.len());
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
