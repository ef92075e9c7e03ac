//! Plain Rust that compilers turn into whatever vector instructions the target promises.

use super::kernel::{BLOCK, NoBytes, Simd};
use crate::engine::code::{Unit, widened};

/// Works everywhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

impl Simd for Portable {
    type Block = [f32; BLOCK];
    type Wholes = [i32; BLOCK];
    type Bytes = NoBytes<Self::Block>;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn bytes(self) -> Option<Self::Bytes> {
        None
    }

    #[inline(always)]
    fn zero(self) -> Self::Block {
        [0.0; BLOCK]
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Block {
        [value; BLOCK]
    }

    #[inline(always)]
    fn load(self, from: &[f32; BLOCK]) -> Self::Block {
        *from
    }

    #[inline(always)]
    fn load_rest(self, from: &[f32]) -> Self::Block {
        let mut block = [0.0; BLOCK];
        for (to, from) in block.iter_mut().zip(from) {
            *to = *from;
        }
        block
    }

    #[inline(always)]
    fn add(self, mut a: Self::Block, b: Self::Block) -> Self::Block {
        for i in 0..BLOCK {
            a[i] += b[i];
        }
        a
    }

    #[inline(always)]
    fn sub(self, mut a: Self::Block, b: Self::Block) -> Self::Block {
        for i in 0..BLOCK {
            a[i] -= b[i];
        }
        a
    }

    #[inline(always)]
    fn mul(self, mut a: Self::Block, b: Self::Block) -> Self::Block {
        for i in 0..BLOCK {
            a[i] *= b[i];
        }
        a
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Block, b: Self::Block, mut c: Self::Block) -> Self::Block {
        // Two roundings: `f32::mul_add` is a slow call where the hardware has none.
        for i in 0..BLOCK {
            c[i] += a[i] * b[i];
        }
        c
    }

    #[inline(always)]
    fn at_most(self, a: Self::Block, limit: f32) -> u16 {
        let mut bits = 0;
        for (i, a) in a.into_iter().enumerate() {
            bits |= u16::from(a <= limit) << i;
        }
        bits
    }

    #[inline(always)]
    fn sum(self, mut a: Self::Block) -> f32 {
        let mut half = BLOCK / 2;
        while half > 0 {
            for i in 0..half {
                a[i] += a[i + half];
            }
            half /= 2;
        }
        a[0]
    }

    #[inline(always)]
    fn load_halves(self, from: &[Unit; 2]) -> Self::Block {
        let mut block = [0.0; BLOCK];
        for (to, half) in block.iter_mut().zip(from.as_flattened().as_chunks::<2>().0) {
            *to = widened(*half);
        }
        block
    }

    #[inline(always)]
    fn no_products(self) -> Self::Wholes {
        [0; BLOCK]
    }

    #[inline(always)]
    fn add_line(self, row: &[Unit; 4], query: &[Unit; 4], sums: Self::Wholes) -> Self::Wholes {
        self.add_units(row, query, sums)
    }

    #[inline(always)]
    fn add_units(self, row: &[Unit], query: &[Unit], mut sums: Self::Wholes) -> Self::Wholes {
        for (row, query) in row.iter().zip(query) {
            for i in 0..BLOCK {
                sums[i] += i32::from(row[i]) * i32::from(query[i].cast_signed());
            }
        }
        sums
    }

    #[inline(always)]
    fn total(self, sums: Self::Wholes) -> i32 {
        sums.iter().sum()
    }
}
