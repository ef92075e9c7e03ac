//! Tiles of bytes: rows and queries in eight bits a component, with what that loses measured and allowed for.
//!
//! A row r is kept as r' = low + step u, u from 0 to 255, and a query q as q' = middle + step w, w from -128 to 127: its own low and
//! step for each, the step 1 where that loses nothing. With I = sum of w u, in whole numbers, and p' = q'r':
//!
//! ```text
//! p' = step_q (step_r I + low_r W) + middle X      where W is the sum of all w and X the sum of r'
//! |p - p'| <= |q||r - r'| + |q - q'||r'|           by the inequality of Cauchy and Schwarz
//! ```
//!
//! Both differences are measured when packing. A tile compares what [`bound`](super::bound) says with p' in place of the dot product,
//! less f times this. The roundings of that sum come to less than 16 u of the sum of the sizes of its terms, which is why the bound's
//! constant has that many roundings; for terms larger than |q|² + |r|² there is a slack:
//!
//! ```text
//! |step_q step_r I| <= |step_q w||step_r u|
//! |step_q W low_r|  <= |step_q w||low_r| sqrt(n)
//! |middle X|        <= |middle||r'| sqrt(n)
//! ```

use super::bound::{Error, above};
use super::{Asked, Way};
use crate::engine::Scoring;
use crate::engine::code::Code;
use crate::engine::cpu::distance::{BLOCK, Bytes, ROUNDING, Score, Simd};
use crate::engine::cpu::rows::Run;

/// Roundings of a value.
const ROUNDINGS: f64 = 16.0;
/// Squared lengths outside of this could lose more to underflow, or overflow: not for bytes.
const SIZES: std::ops::Range<f64> = 1e-20..1e20;

/// Queries and a block of rows, packed; `BLOCKS` times 16 rows are a panel.
pub(super) struct Coded<S, B, const QUERIES: usize, const BLOCKS: usize> {
    score: S,
    bytes: B,
    error: Error,
    dimension: usize,
    /// Dimension / 4, rounded up: four components are taken at a time.
    fours: usize,
    /// Four components by four, the queries of a group beside each other.
    queries: Vec<[[i8; 4]; QUERIES]>,
    factors: Vec<Factors>,
    panels: Vec<[[[u8; 4]; BLOCK]; BLOCKS]>,
    terms: Vec<[Terms; BLOCKS]>,
    /// The largest |step u| + |low| sqrt(n) of this block's rows.
    largest: f64,
    codes: Vec<u8>,
}

/// What the terms of a row are multiplied by, for one query.
#[derive(Debug, Clone, Copy, Default)]
struct Factors {
    product: f32,
    low: f32,
    sum: f32,
    lost: f32,
    length: f32,
    /// |step w|, for the slack.
    spread: f64,
}

/// What is known of 16 rows.
#[derive(Debug, Clone, Copy, Default)]
struct Terms {
    bias: [f32; BLOCK],
    step: [f32; BLOCK],
    low: [f32; BLOCK],
    /// X.
    sum: [f32; BLOCK],
    /// |r - r'|, or more.
    lost: [f32; BLOCK],
    /// |r'|, or more.
    length: [f32; BLOCK],
}

impl<S: Score, B: Bytes, const QUERIES: usize, const BLOCKS: usize> Coded<S, B, QUERIES, BLOCKS> {
    /// Packs queries; `None` if there is one for which bytes are not fit.
    #[inline(always)]
    pub(super) fn new(score: S, bytes: B, scoring: Scoring, asked: &Asked<'_>) -> Option<Self> {
        let dimension = asked.dimension;
        let fours = dimension.div_ceil(4);
        let error = Error::new(scoring, dimension, 0.0, ROUNDINGS);
        let groups = asked.measured.len().div_ceil(QUERIES);
        let mut this = Self {
            score,
            bytes,
            error,
            dimension,
            fours,
            queries: vec![[[0; 4]; QUERIES]; groups * fours],
            factors: vec![Factors::default(); groups * QUERIES],
            panels: Vec::new(),
            terms: Vec::new(),
            largest: 0.0,
            codes: vec![0; dimension],
        };
        let mut scaled = vec![0.0; dimension];
        for (at, measured) in asked.measured.iter().enumerate() {
            if !fit(measured.squared_length) {
                return None;
            }
            for (value, to) in asked.query(at).iter().zip(&mut scaled) {
                *to = value * measured.scale;
            }
            this.factors[at] = this.code_query(&scaled, measured.squared_length.sqrt());
            let packed = &mut this.queries[at / QUERIES * fours..][..fours];
            for (codes, to) in this.codes.chunks(4).zip(packed) {
                for (code, to) in codes.iter().zip(&mut to[at % QUERIES]) {
                    *to = signed(*code);
                }
            }
        }
        Some(this)
    }

    /// Leaves the query's codes in `codes`.
    #[inline(always)]
    fn code_query(&mut self, query: &[f32], length: f64) -> Factors {
        let code = Code::of(query, &mut self.codes);
        let (step, low) = (f64::from(code.step), f64::from(code.low));
        let middle = above(low + 128.0 * step);
        let (mut sum, mut squares, mut lost) = (0.0, 0.0, 0.0);
        for (value, code) in query.iter().zip(&self.codes) {
            let w = f64::from(signed(*code));
            sum += w;
            squares += w * w;
            let difference = f64::from(*value) - (f64::from(middle) + step * w);
            lost += difference * difference;
        }
        let f = f64::from(self.error.factor());
        let root = (self.dimension as f64).sqrt();
        let rounding = ROUNDINGS * ROUNDING * root * f64::from(middle).abs();
        let product = -self.error.factor() * code.step;
        Factors {
            product,
            low: nearest(f64::from(product) * sum),
            sum: -self.error.factor() * middle,
            lost: -above(f * length * (1.0 + 1e-6)),
            length: -above(f * (lost.sqrt() * (1.0 + 1e-6) + rounding)),
            spread: step * squares.sqrt(),
        }
    }

    /// Codes a row into a place of a panel; false if it is not fit.
    #[inline(always)]
    fn code_row(&mut self, row: &[f32], panel: usize, at: usize) -> bool {
        let squared_length = self.score.squared_length(row);
        if !fit(f64::from(squared_length)) {
            return false;
        }
        let code = Code::of(row, &mut self.codes);
        let mut lost = [0.0f32; BLOCK];
        let mut sum = 0u32;
        let mut squares = 0u32;
        for (values, codes) in row.chunks(BLOCK).zip(self.codes.chunks(BLOCK)) {
            for ((value, code_of), lost) in values.iter().zip(codes).zip(&mut lost) {
                let difference = value - (code.step * f32::from(*code_of) + code.low);
                *lost += difference * difference;
                let u = u32::from(*code_of);
                sum += u;
                squares += u * u;
            }
        }
        let n = self.dimension as f64;
        let (low, step) = (f64::from(code.low), f64::from(code.step));
        let length = f64::from(squared_length).sqrt() * (1.0 + 1e-3);
        let spread = step * f64::from(squares).sqrt();
        let size = spread + low.abs() * n.sqrt();
        // The measured loss itself has errors: relative ones of its sum, well under 1e-3, and the roundings of each r'.
        let lost: f64 = lost.into_iter().map(f64::from).sum();
        let lost = lost.sqrt() * (1.0 + 1e-3) + 4.0 * ROUNDING * size;

        let terms = &mut self.terms[panel][at / BLOCK];
        let at_lane = at % BLOCK;
        terms.bias[at_lane] = self.error.bias(squared_length);
        terms.step[at_lane] = code.step;
        terms.low[at_lane] = code.low;
        terms.sum[at_lane] = nearest(low * n + step * f64::from(sum));
        terms.lost[at_lane] = above(lost);
        terms.length[at_lane] = above(length + lost);
        self.largest = self.largest.max(size);

        let panel = &mut self.panels[panel * self.fours..][..self.fours];
        for (codes, to) in self.codes.chunks(4).zip(panel) {
            to[at / BLOCK][at_lane][..codes.len()].copy_from_slice(codes);
        }
        true
    }
}

/// Whether something of this squared length can be coded.
fn fit(squared_length: f64) -> bool {
    squared_length == 0.0 || SIZES.contains(&squared_length)
}

/// From 0..=255 to -128..=127.
fn signed(code: u8) -> i8 {
    (code ^ 0x80).cast_signed()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
fn nearest(value: f64) -> f32 {
    value as f32
}

impl<S, B, const QUERIES: usize, const BLOCKS: usize> Way<QUERIES> for Coded<S, B, QUERIES, BLOCKS>
where
    S: Score,
    B: Bytes<Block = <S::Lanes as Simd>::Block>,
{
    fn error(&self) -> Error {
        self.error
    }

    #[inline(always)]
    fn pack(&mut self, run: Run<'_>, stride: usize) -> bool {
        let width = BLOCKS * BLOCK;
        let panels = run.count.div_ceil(width);
        self.panels
            .resize(panels * self.fours, [[[0; 4]; BLOCK]; BLOCKS]);
        self.terms.resize(panels, [Terms::default(); BLOCKS]);
        self.largest = 0.0;
        for (at, row) in run.rows.chunks(stride).enumerate() {
            if !self.code_row(&row[..self.dimension], at / width, at % width) {
                return false;
            }
        }
        true
    }

    fn slack(&self, query: usize) -> f64 {
        let f = f64::from(self.error.factor());
        f * ROUNDINGS * ROUNDING * self.factors[query].spread * self.largest
    }

    #[inline(always)]
    fn near(&self, group: usize, panel: usize, limits: &[f32; QUERIES]) -> [u64; QUERIES] {
        let (bytes, simd) = (self.bytes, self.score.lanes());
        let queries = &self.queries[group * self.fours..][..self.fours];
        let rows = &self.panels[panel * self.fours..][..self.fours];
        let mut sums = [[bytes.zero(); BLOCKS]; QUERIES];
        for (row, queries) in rows.iter().zip(queries) {
            for query in 0..QUERIES {
                for block in 0..BLOCKS {
                    sums[query][block] =
                        bytes.step(&row[block], queries[query], sums[query][block]);
                }
            }
        }
        let factors = &self.factors[group * QUERIES..][..QUERIES];
        let mut masks = [0; QUERIES];
        for query in 0..QUERIES {
            let f = &factors[query];
            for (block, terms) in self.terms[panel].iter().enumerate() {
                let product = simd.mul(simd.load(&terms.step), bytes.floats(sums[query][block]));
                let mut value = simd.load(&terms.bias);
                value = simd.mul_add(simd.splat(f.length), simd.load(&terms.length), value);
                value = simd.mul_add(simd.splat(f.lost), simd.load(&terms.lost), value);
                value = simd.mul_add(simd.splat(f.sum), simd.load(&terms.sum), value);
                value = simd.mul_add(simd.splat(f.low), simd.load(&terms.low), value);
                value = simd.mul_add(simd.splat(f.product), product, value);
                let mask = simd.at_most(value, limits[query]);
                masks[query] |= u64::from(mask) << (block * BLOCK);
            }
        }
        masks
    }
}
