//! The kernels, once for all instruction sets.

use std::convert::Infallible;
use std::marker::PhantomData;

use crate::engine::code::{self, Terms, Unit};

/// Floats in a block.
pub(crate) const BLOCK: usize = 16;
/// Blocks that go into sums of their own, so that one addition need not wait for the last.
const SUMS: usize = 4;

/// Units that are multiplied at a time: a cache line.
const LINE: usize = 4;

/// What an instruction set does with a block of 16 floats. Everything is `#[inline(always)]`.
pub(crate) trait Simd: Copy {
    /// A block in registers.
    type Block: Copy;
    /// Whole numbers of 32 bits, sums of products of bytes.
    type Wholes: Copy;
    /// Products of bytes, where there are instructions for them.
    type Bytes: Bytes<Block = Self::Block>;
    /// Whether there are registers for 24 blocks and more: to score four rows at once, for large tiles.
    const MANY_REGISTERS: bool;

    fn bytes(self) -> Option<Self::Bytes>;
    fn zero(self) -> Self::Block;
    fn splat(self, value: f32) -> Self::Block;
    fn load(self, from: &[f32; BLOCK]) -> Self::Block;
    /// Fewer than a block; the rest is zero.
    fn load_rest(self, from: &[f32]) -> Self::Block;
    fn add(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn sub(self, a: Self::Block, b: Self::Block) -> Self::Block;
    fn mul(self, a: Self::Block, b: Self::Block) -> Self::Block;
    /// a * b + c, rounded once where the hardware can.
    fn mul_add(self, a: Self::Block, b: Self::Block, c: Self::Block) -> Self::Block;
    /// A bit for each lane of `a` that is at most `limit`; no lane is NaN.
    fn at_most(self, a: Self::Block, limit: f32) -> u16;
    /// Folds the halves onto each other until one number is left.
    fn sum(self, a: Self::Block) -> f32;

    /// 16 half floats as floats.
    fn load_halves(self, from: &[Unit; 2]) -> Self::Block;
    fn no_products(self) -> Self::Wholes;
    /// Adds the products of unsigned bytes of `row` and signed bytes of `query`.
    fn add_line(self, row: &[Unit; LINE], query: &[Unit; LINE], sums: Self::Wholes)
    -> Self::Wholes;
    /// The same for fewer units than a line has.
    fn add_units(self, row: &[Unit], query: &[Unit], sums: Self::Wholes) -> Self::Wholes;
    /// All sums together.
    fn total(self, sums: Self::Wholes) -> i32;
}

/// Four products of bytes summed up in each of 16 lanes by one instruction. Everything is `#[inline(always)]`.
pub(crate) trait Bytes: Copy {
    /// See [`Simd::Block`].
    type Block: Copy;
    /// 16 whole numbers of 32 bits.
    type Sums: Copy;

    fn zero(self) -> Self::Sums;
    /// Adds to each lane the products of its four bytes with `four`.
    fn step(self, lanes: &[[u8; 4]; BLOCK], four: [i8; 4], sums: Self::Sums) -> Self::Sums;
    /// Each sum rounded to a float.
    fn floats(self, sums: Self::Sums) -> Self::Block;
}

/// No such instructions: there is no value of this type.
#[derive(Clone, Copy)]
pub(crate) enum NoBytes<B> {
    #[expect(dead_code, reason = "it cannot be made; it names the type of a block")]
    Never(Infallible, PhantomData<B>),
}

impl<B: Copy> Bytes for NoBytes<B> {
    type Block = B;
    type Sums = Infallible;

    #[inline(always)]
    fn zero(self) -> Infallible {
        let Self::Never(never, _) = self;
        never
    }

    #[inline(always)]
    fn step(self, _: &[[u8; 4]; BLOCK], _: [i8; 4], sums: Infallible) -> Infallible {
        sums
    }

    #[inline(always)]
    fn floats(self, sums: Infallible) -> B {
        match sums {}
    }
}

/// What is summed up.
pub(super) trait Measure: Copy {
    fn step<S: Simd>(self, simd: S, a: S::Block, b: S::Block, sum: S::Block) -> S::Block;
    fn finish(self, sum: f32) -> f32;
    /// The score of a query and a row that are coded in bytes.
    fn coded(self, dimension: usize, query: Terms, row: Terms, product: i32) -> f32;
}

/// The squared differences.
#[derive(Clone, Copy)]
pub(super) struct Squared;

impl Measure for Squared {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, a: S::Block, b: S::Block, sum: S::Block) -> S::Block {
        let difference = simd.sub(a, b);
        simd.mul_add(difference, difference, sum)
    }

    #[inline(always)]
    fn finish(self, sum: f32) -> f32 {
        sum
    }

    #[inline(always)]
    fn coded(self, dimension: usize, query: Terms, row: Terms, product: i32) -> f32 {
        code::squared_difference(dimension, query, row, product)
    }
}

/// Minus the products.
#[derive(Clone, Copy)]
pub(super) struct Dot;

impl Measure for Dot {
    #[inline(always)]
    fn step<S: Simd>(self, simd: S, a: S::Block, b: S::Block, sum: S::Block) -> S::Block {
        simd.mul_add(a, b, sum)
    }

    #[inline(always)]
    fn finish(self, sum: f32) -> f32 {
        // 0.0 - x: never minus zero.
        0.0 - sum
    }

    #[inline(always)]
    fn coded(self, dimension: usize, query: Terms, row: Terms, product: i32) -> f32 {
        code::negative_dot(dimension, query, row, product)
    }
}

/// The scores of `query` and each of `rows`, which are all as long as it.
#[inline(always)]
pub(super) fn scores<S: Simd, M: Measure, const ROWS: usize>(
    simd: S,
    measure: M,
    query: &[f32],
    rows: [&[f32]; ROWS],
) -> [f32; ROWS] {
    let dimension = query.len();
    let mut rows = rows;
    for row in &mut rows {
        *row = &row[..dimension];
    }
    let mut sums = [[simd.zero(); SUMS]; ROWS];

    let (query_blocks, query_rest) = query.as_chunks::<BLOCK>();
    let (steps, single) = query_blocks.as_chunks::<SUMS>();
    for (at, step) in steps.iter().enumerate() {
        for i in 0..SUMS {
            let q = simd.load(&step[i]);
            for r in 0..ROWS {
                let blocks = rows[r].as_chunks::<BLOCK>().0;
                let row = simd.load(&blocks[at * SUMS + i]);
                sums[r][i] = measure.step(simd, q, row, sums[r][i]);
            }
        }
    }
    for i in 0..SUMS {
        // A loop of fixed length keeps the sums in registers.
        if i < single.len() {
            let q = simd.load(&single[i]);
            for r in 0..ROWS {
                let blocks = rows[r].as_chunks::<BLOCK>().0;
                let row = simd.load(&blocks[steps.len() * SUMS + i]);
                sums[r][i] = measure.step(simd, q, row, sums[r][i]);
            }
        }
    }
    if !query_rest.is_empty() {
        let q = simd.load_rest(query_rest);
        for r in 0..ROWS {
            let row = simd.load_rest(rows[r].as_chunks::<BLOCK>().1);
            sums[r][SUMS - 1] = measure.step(simd, q, row, sums[r][SUMS - 1]);
        }
    }

    let mut out = [0.0; ROWS];
    for r in 0..ROWS {
        let [a, b, c, d] = sums[r];
        let total = simd.add(simd.add(a, b), simd.add(c, d));
        out[r] = measure.finish(simd.sum(total));
    }
    out
}

/// The scores of `query` and each of `rows`, which are as many components in half floats.
#[inline(always)]
pub(super) fn scores_of_halves<S: Simd, M: Measure, const ROWS: usize>(
    simd: S,
    measure: M,
    query: &[f32],
    rows: [&[Unit]; ROWS],
) -> [f32; ROWS] {
    let (query_blocks, query_rest) = query.as_chunks::<BLOCK>();
    let blocks = query.len().div_ceil(BLOCK);
    let mut scales = [simd.zero(); ROWS];
    let mut halves: [&[[Unit; 2]]; ROWS] = [&[]; ROWS];
    for r in 0..ROWS {
        scales[r] = simd.splat(Terms::of(rows[r]).step);
        halves[r] = &rows[r].as_chunks::<2>().0[..blocks];
    }
    let rows = halves;
    let mut sums = [[simd.zero(); SUMS]; ROWS];

    let (steps, single) = query_blocks.as_chunks::<SUMS>();
    for (at, step) in steps.iter().enumerate() {
        for i in 0..SUMS {
            let q = simd.load(&step[i]);
            for r in 0..ROWS {
                let row = simd.mul(simd.load_halves(&rows[r][at * SUMS + i]), scales[r]);
                sums[r][i] = measure.step(simd, q, row, sums[r][i]);
            }
        }
    }
    for i in 0..SUMS {
        if i < single.len() {
            let q = simd.load(&single[i]);
            for r in 0..ROWS {
                let row = simd.mul(
                    simd.load_halves(&rows[r][steps.len() * SUMS + i]),
                    scales[r],
                );
                sums[r][i] = measure.step(simd, q, row, sums[r][i]);
            }
        }
    }
    if !query_rest.is_empty() {
        // A coded row is zero beyond its last component.
        let q = simd.load_rest(query_rest);
        for r in 0..ROWS {
            let row = simd.mul(simd.load_halves(&rows[r][blocks - 1]), scales[r]);
            sums[r][SUMS - 1] = measure.step(simd, q, row, sums[r][SUMS - 1]);
        }
    }

    let mut out = [0.0; ROWS];
    for r in 0..ROWS {
        let [a, b, c, d] = sums[r];
        let total = simd.add(simd.add(a, b), simd.add(c, d));
        out[r] = measure.finish(simd.sum(total));
    }
    out
}

/// The sums of products of the signed bytes of `query` and the unsigned ones of each of `rows`, all of one length.
#[inline(always)]
pub(super) fn products<S: Simd, const ROWS: usize>(
    simd: S,
    query: &[Unit],
    rows: [&[Unit]; ROWS],
) -> [i32; ROWS] {
    let mut rows = rows;
    for row in &mut rows {
        *row = &row[..query.len()];
    }
    let (lines, rest) = query.as_chunks::<LINE>();
    let mut sums = [simd.no_products(); ROWS];
    for (at, query) in lines.iter().enumerate() {
        for r in 0..ROWS {
            let row = &rows[r].as_chunks::<LINE>().0[at];
            sums[r] = simd.add_line(row, query, sums[r]);
        }
    }
    if !rest.is_empty() {
        for r in 0..ROWS {
            sums[r] = simd.add_units(rows[r].as_chunks::<LINE>().1, rest, sums[r]);
        }
    }
    let mut out = [0; ROWS];
    for r in 0..ROWS {
        out[r] = simd.total(sums[r]);
    }
    out
}
