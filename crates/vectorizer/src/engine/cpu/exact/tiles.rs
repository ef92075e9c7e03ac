//! Exact search by tiles of queries and rows.
//!
//! Rows are packed into panels (component by component, the rows of a panel beside each other), some panels a block, which
//! stays in the second-level cache while every query passes over it. A tile holds the dot products of a few queries and a panel
//! in registers from the first component to the last, and then asks of all of them at once which could be among the k nearest.
//!
//! **Nothing is lost to rounding.** Let u be the relative error of a rounding, n the dimension, S = |q|² + |r|², p the dot product
//! and p' what the tile has for it: |p - p'| <= g |q||r| <= g/2 S with g = n u / (1 - n u). A tile compares v = bias(r) - f p',
//! rounded once.
//!
//! - Euclidean (f = 2, bias a little under |r|²): D = S - 2p >= S - 2p' - g S, so with bias(r) <= (1 - c)|r|² and c covering g and the
//!   rounding of v, D >= (1 - c)|q|² + v. The score of [`Distance`] is at least D (1 - e): it is above the bound B if
//!   v > B / (1 - e) - (1 - c)|q|².
//! - Dot product (f = 1, bias a little under 0): the score is at least -p - e|q||r|, so with c covering (g + e)/2 and the rounding of v,
//!   and bias(r) <= -c|r|², it is at least v - c|q|²: above B if v > B + c|q|². A query is first scaled by a power of two to about
//!   the length of the rows, so that S is not much more than 2|q||r|.
//!
//! What is not above its bound in this sense is scored by [`Distance`]. An absolute term covers underflow.
//!
//! [`Distance`]: crate::engine::cpu::distance::Distance

use super::Job;
use crate::engine::cpu::distance::{BLOCK, ROUNDING, Score, Simd, Task, relative_error};
use crate::engine::{Neighbor, Scoring, slot};

/// Floats of a block of packed rows: half of a second-level cache of 1 MiB.
const BLOCK_FLOATS: usize = 128 << 10;

/// A job done by tiles.
pub(super) struct Tiles<'a> {
    pub(super) job: Job<'a>,
    pub(super) scoring: Scoring,
}

impl Task for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        // As many sums as there are registers, less what the operands need.
        if S::Lanes::MANY_REGISTERS {
            search::<S, 12, 2>(score, self);
        } else {
            search::<S, 6, 1>(score, self);
        }
    }
}

/// The constants of the bound; see the module's text.
#[derive(Debug, Clone, Copy)]
struct Error {
    scoring: Scoring,
    c: f64,
    e: f64,
    underflow: f64,
}

impl Error {
    fn new(scoring: Scoring, dimension: usize) -> Self {
        let n = dimension as f64;
        // 1.01 covers 1 / (1 - n u) for n up to 8192.
        let g = 1.01 * (n + 2.0) * ROUNDING;
        let e = relative_error(dimension);
        let c = match scoring {
            Scoring::SquaredEuclidean => g + 4.0 * ROUNDING,
            Scoring::NegativeDot => f64::midpoint(g, e) + 4.0 * ROUNDING,
        };
        Self {
            scoring,
            c,
            e,
            underflow: 4.0 * (n + 64.0) * f64::from(f32::from_bits(1)),
        }
    }

    /// What a tile adds for a row of this squared length, which itself has a relative error of at most e.
    fn bias(self, squared_length: f32) -> f32 {
        let squared_length = f64::from(squared_length);
        below(match self.scoring {
            Scoring::SquaredEuclidean => squared_length * (1.0 - self.c) * (1.0 - 2.0 * self.e),
            Scoring::NegativeDot => -squared_length * self.c * (1.0 + 2.0 * self.e),
        })
    }

    /// What a tile's value may be at most for a score that could be `bound` or less.
    fn limit(self, bound: f32, scale: f32, squared_length: f64) -> f32 {
        if bound >= f32::MAX {
            return f32::MAX;
        }
        let (bound, scale) = (f64::from(bound), f64::from(scale));
        let underflow = self.underflow * scale.max(1.0);
        let limit = match self.scoring {
            Scoring::SquaredEuclidean => {
                // The last factor covers the error of the query's own squared length in f64, and of this line.
                bound / (1.0 - self.e) - squared_length * (1.0 - self.c) * (1.0 - 1e-9)
            }
            Scoring::NegativeDot => bound * scale + squared_length * self.c * (1.0 + 1e-9),
        };
        above(limit + underflow + limit.abs() * 1e-12)
    }
}

/// The next float or so below.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn below(value: f64) -> f32 {
    (value as f32).next_down()
}

/// The next float or so above; `f32::MAX` where there is none.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn above(value: f64) -> f32 {
    (value as f32).next_up().min(f32::MAX)
}

/// As many queries as a tile has.
struct Group<'a, const QUERIES: usize> {
    /// As they came.
    queries: &'a [f32],
    /// Scaled, component by component, the queries beside each other.
    packed: &'a [[f32; QUERIES]],
    scales: [f32; QUERIES],
    /// Of the scaled queries.
    squared_lengths: [f64; QUERIES],
    /// A tile's value above this one is of no interest.
    limits: [f32; QUERIES],
}

#[inline(always)]
fn search<S: Score, const QUERIES: usize, const BLOCKS: usize>(score: S, tiles: Tiles<'_>) {
    let Tiles { job, scoring } = tiles;
    let (dimension, stride) = (job.rows.dimension(), job.rows.stride());
    let error = Error::new(scoring, dimension);
    let width = BLOCKS * BLOCK;

    let length = match scoring {
        Scoring::SquaredEuclidean => None,
        Scoring::NegativeDot => Some(typical_length(score, &job)),
    };
    let mut packed = vec![[0.0; QUERIES]; job.nearest.len().div_ceil(QUERIES) * dimension];
    let mut groups: Vec<Group<'_, QUERIES>> = Vec::with_capacity(packed.len() / dimension);
    let queries = job.queries.chunks(QUERIES * dimension);
    for (packed, queries) in packed.chunks_mut(dimension).zip(queries) {
        groups.push(group(queries, packed, length));
    }

    let panels = (BLOCK_FLOATS / (width * dimension)).clamp(1, 64);
    let mut block = vec![[[0.0; BLOCK]; BLOCKS]; panels * dimension];
    let mut biases = vec![[[0.0; BLOCK]; BLOCKS]; panels];
    for run in job.rows.runs(job.slots.clone(), panels * width) {
        let rows = run.rows.chunks(width * stride);
        let parts = block.chunks_mut(dimension).zip(&mut biases);
        for ((panel, biases), rows) in parts.zip(rows) {
            pack(score, error, rows, stride, panel, biases);
        }
        for (group, nearest) in groups.iter_mut().zip(job.nearest.chunks_mut(QUERIES)) {
            let used = run.count.div_ceil(width);
            for (at, panel) in block.chunks(dimension).take(used).enumerate() {
                let first = at * width;
                // Lanes beyond the last row are no rows.
                let rows = (run.count - first).min(width);
                let real = u64::MAX >> (64 - rows);
                let masks = tile(score.lanes(), scoring, group, panel, &biases[at]);
                for (query, nearest) in nearest.iter_mut().enumerate() {
                    let mut mask = masks[query] & real;
                    if mask == 0 {
                        continue;
                    }
                    let values = &group.queries[query * dimension..][..dimension];
                    while mask != 0 {
                        let place = first + mask.trailing_zeros() as usize;
                        mask &= mask - 1;
                        let row = &run.rows[place * stride..][..dimension];
                        nearest.push(Neighbor {
                            score: score.one(values, row),
                            slot: slot(run.first + place),
                        });
                    }
                    group.limits[query] = error.limit(
                        nearest.bound(),
                        group.scales[query],
                        group.squared_lengths[query],
                    );
                }
            }
        }
    }
}

/// About how long rows are, from a few of them.
#[inline(always)]
fn typical_length<S: Score>(score: S, job: &Job<'_>) -> f64 {
    let step = (job.slots.len() / 64).max(1);
    let mut longest = 0.0f32;
    for slot in job.slots.clone().step_by(step) {
        longest = longest.max(score.squared_length(job.rows.row(slot)));
    }
    f64::from(longest).sqrt()
}

/// Packs queries, scaled to about `length` if there is one.
fn group<'a, const QUERIES: usize>(
    queries: &'a [f32],
    packed: &'a mut [[f32; QUERIES]],
    length: Option<f64>,
) -> Group<'a, QUERIES> {
    let mut scales = [1.0; QUERIES];
    let mut squared_lengths = [0.0; QUERIES];
    for (at, query) in queries.chunks_exact(packed.len()).enumerate() {
        let squared: f64 = query.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        if let Some(length) = length.filter(|length| squared > 0.0 && *length > 0.0) {
            let power = (length / squared.sqrt())
                .log2()
                .round()
                .clamp(-100.0, 100.0);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a power of two within range"
            )]
            let scale = power.exp2() as f32;
            scales[at] = scale;
        }
        let scale = f64::from(scales[at]);
        squared_lengths[at] = squared * scale * scale;
        for (value, to) in query.iter().zip(packed.iter_mut()) {
            to[at] = value * scales[at];
        }
    }
    Group {
        queries,
        packed,
        scales,
        squared_lengths,
        limits: [f32::MAX; QUERIES],
    }
}

/// Packs the rows of a panel, component by component; what was in the lanes beyond the last row stays there.
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

/// For each query of the group, a bit for each row of the panel whose value is within the query's limit.
#[inline(always)]
fn tile<S: Simd, const QUERIES: usize, const BLOCKS: usize>(
    simd: S,
    scoring: Scoring,
    group: &Group<'_, QUERIES>,
    panel: &[[[f32; BLOCK]; BLOCKS]],
    biases: &[[f32; BLOCK]; BLOCKS],
) -> [u64; QUERIES] {
    let mut sums = [[simd.zero(); BLOCKS]; QUERIES];
    for (row, queries) in panel.iter().zip(group.packed) {
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
    let factor = simd.splat(match scoring {
        Scoring::SquaredEuclidean => -2.0,
        Scoring::NegativeDot => -1.0,
    });
    let mut masks = [0; QUERIES];
    for query in 0..QUERIES {
        for block in 0..BLOCKS {
            let value = simd.mul_add(factor, sums[query][block], simd.load(&biases[block]));
            let mask = simd.at_most(value, group.limits[query]);
            masks[query] |= u64::from(mask) << (block * BLOCK);
        }
    }
    masks
}
