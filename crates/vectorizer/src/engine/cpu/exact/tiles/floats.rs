//! Tiles of floats: exact but for rounding, on every machine.

use super::bound::Error;
use super::{Asked, Way};
use crate::engine::Scoring;
use crate::engine::cpu::distance::{BLOCK, ROUNDING, Score, Simd};
use crate::engine::cpu::rows::Run;

/// Queries and a block of rows, packed; `BLOCKS` times 16 rows are a panel.
pub(super) struct Floats<S, const QUERIES: usize, const BLOCKS: usize> {
    score: S,
    error: Error,
    dimension: usize,
    /// Component by component, the queries of a group beside each other.
    queries: Vec<[f32; QUERIES]>,
    panels: Vec<[[f32; BLOCK]; BLOCKS]>,
    biases: Vec<[[f32; BLOCK]; BLOCKS]>,
}

impl<S: Score, const QUERIES: usize, const BLOCKS: usize> Floats<S, QUERIES, BLOCKS> {
    /// Packs queries.
    #[inline(always)]
    pub(super) fn new(score: S, scoring: Scoring, asked: &Asked<'_>) -> Self {
        let dimension = asked.dimension;
        // 1.01 covers 1 / (1 - n u) for n up to 8192.
        let g = 1.01 * (dimension as f64 + 2.0) * ROUNDING;
        let groups = asked.measured.len().div_ceil(QUERIES);
        let mut queries = vec![[0.0; QUERIES]; groups * dimension];
        for (at, measured) in asked.measured.iter().enumerate() {
            let packed = &mut queries[at / QUERIES * dimension..][..dimension];
            for (value, to) in asked.query(at).iter().zip(packed) {
                to[at % QUERIES] = value * measured.scale;
            }
        }
        Self {
            score,
            error: Error::new(scoring, dimension, g, 1.0),
            dimension,
            queries,
            panels: Vec::new(),
            biases: Vec::new(),
        }
    }
}

impl<S: Score, const QUERIES: usize, const BLOCKS: usize> Way<QUERIES>
    for Floats<S, QUERIES, BLOCKS>
{
    fn error(&self) -> Error {
        self.error
    }

    #[inline(always)]
    fn pack(&mut self, run: Run<'_>, stride: usize) -> bool {
        let panels = run.count.div_ceil(BLOCKS * BLOCK);
        self.panels
            .resize(panels * self.dimension, [[0.0; BLOCK]; BLOCKS]);
        self.biases.resize(panels, [[0.0; BLOCK]; BLOCKS]);
        let rows = run.rows.chunks(BLOCKS * BLOCK * stride);
        let parts = self.panels.chunks_mut(self.dimension).zip(&mut self.biases);
        for ((panel, biases), rows) in parts.zip(rows) {
            pack(self.score, self.error, rows, stride, panel, biases);
        }
        true
    }

    fn slack(&self, _: usize) -> f64 {
        0.0
    }

    #[inline(always)]
    fn near(&self, group: usize, panel: usize, limits: &[f32; QUERIES]) -> [u64; QUERIES] {
        let simd = self.score.lanes();
        let queries = &self.queries[group * self.dimension..][..self.dimension];
        let rows = &self.panels[panel * self.dimension..][..self.dimension];
        let mut sums = [[simd.zero(); BLOCKS]; QUERIES];
        for (row, queries) in rows.iter().zip(queries) {
            let mut lanes = [simd.zero(); BLOCKS];
            for block in 0..BLOCKS {
                lanes[block] = simd.load(&row[block]);
            }
            for query in 0..QUERIES {
                let value = simd.splat(queries[query]);
                for block in 0..BLOCKS {
                    sums[query][block] = simd.mul_add(value, lanes[block], sums[query][block]);
                }
            }
        }
        let factor = simd.splat(-self.error.factor());
        let biases = &self.biases[panel];
        let mut masks = [0; QUERIES];
        for query in 0..QUERIES {
            for block in 0..BLOCKS {
                let value = simd.mul_add(factor, sums[query][block], simd.load(&biases[block]));
                let mask = simd.at_most(value, limits[query]);
                masks[query] |= u64::from(mask) << (block * BLOCK);
            }
        }
        masks
    }
}

/// Packs the rows of a panel, component by component, those of a component beside each other; what was in the lanes beyond the last row stays there.
#[inline(always)]
fn pack<S: Score, const BLOCKS: usize>(
    score: S,
    error: Error,
    rows: &[f32],
    stride: usize,
    panel: &mut [[[f32; BLOCK]; BLOCKS]],
    biases: &mut [[f32; BLOCK]; BLOCKS],
) {
    let dimension = panel.len();
    for (at, row) in rows.chunks(stride).enumerate() {
        let row = &row[..dimension];
        biases[at / BLOCK][at % BLOCK] = error.bias(score.squared_length(row));
    }
    // Sixteen components at a time, so that the lines written to stay near.
    for (part, panel) in panel.chunks_mut(BLOCK).enumerate() {
        for (at, row) in rows.chunks(stride).enumerate() {
            let values = &row[part * BLOCK..][..panel.len()];
            for (value, to) in values.iter().zip(panel.iter_mut()) {
                to[at / BLOCK][at % BLOCK] = *value;
            }
        }
    }
}
