//! NEON: a block is four registers.
#![expect(
    unsafe_code,
    reason = "vector instructions, behind a type that proves that the machine has them"
)]

use std::arch::aarch64::*;

use super::kernel::{BLOCK, NoBytes, Simd};
use super::{Score, Task};
use crate::engine::code::{Unit, widened};

/// Proof that this machine has NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, if it is so.
    pub(super) fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Runs a task compiled with these instructions.
    #[inline(always)]
    pub(super) fn enter<T: Task>(self, score: impl Score, task: T) -> T::Output {
        #[target_feature(enable = "neon")]
        fn inside<T: Task>(score: impl Score, task: T) -> T::Output {
            task.run(score)
        }
        // SAFETY: `self` was made by `detect`.
        unsafe { inside(score, task) }
    }
}

// SAFETY of every block below: `self` proves that the machine has the instructions; loads read within the slice they are given.
impl Simd for Neon {
    type Block = [float32x4_t; 4];
    type Wholes = int32x4_t;
    type Bytes = NoBytes<Self::Block>;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn bytes(self) -> Option<Self::Bytes> {
        None
    }

    #[inline(always)]
    fn zero(self) -> Self::Block {
        // SAFETY: see above.
        unsafe { [vdupq_n_f32(0.0); 4] }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Block {
        // SAFETY: see above.
        unsafe { [vdupq_n_f32(value); 4] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; BLOCK]) -> Self::Block {
        let from = from.as_ptr();
        // SAFETY: see above; four times 4 floats are read of 16.
        unsafe {
            [
                vld1q_f32(from),
                vld1q_f32(from.add(4)),
                vld1q_f32(from.add(8)),
                vld1q_f32(from.add(12)),
            ]
        }
    }

    #[inline(always)]
    fn load_rest(self, from: &[f32]) -> Self::Block {
        let mut block = [0.0; BLOCK];
        for (to, from) in block.iter_mut().zip(from) {
            *to = *from;
        }
        self.load(&block)
    }

    #[inline(always)]
    fn add(self, mut a: Self::Block, b: Self::Block) -> Self::Block {
        for i in 0..4 {
            // SAFETY: see above.
            a[i] = unsafe { vaddq_f32(a[i], b[i]) };
        }
        a
    }

    #[inline(always)]
    fn sub(self, mut a: Self::Block, b: Self::Block) -> Self::Block {
        for i in 0..4 {
            // SAFETY: see above.
            a[i] = unsafe { vsubq_f32(a[i], b[i]) };
        }
        a
    }

    #[inline(always)]
    fn mul(self, mut a: Self::Block, b: Self::Block) -> Self::Block {
        for i in 0..4 {
            // SAFETY: see above.
            a[i] = unsafe { vmulq_f32(a[i], b[i]) };
        }
        a
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Block, b: Self::Block, mut c: Self::Block) -> Self::Block {
        for i in 0..4 {
            // SAFETY: see above.
            c[i] = unsafe { vfmaq_f32(c[i], a[i], b[i]) };
        }
        c
    }

    #[inline(always)]
    fn at_most(self, a: Self::Block, limit: f32) -> u16 {
        let mut bits = 0;
        for (part, lanes) in a.into_iter().enumerate() {
            // SAFETY: see above; four lanes are loaded of four.
            bits |= unsafe {
                let within = vmovn_u32(vcleq_f32(lanes, vdupq_n_f32(limit)));
                vaddv_u16(vand_u16(within, vld1_u16([1, 2, 4, 8].as_ptr())))
            } << (4 * part);
        }
        bits
    }

    #[inline(always)]
    fn sum(self, a: Self::Block) -> f32 {
        // SAFETY: see above.
        unsafe {
            let a = vaddq_f32(vaddq_f32(a[0], a[2]), vaddq_f32(a[1], a[3]));
            let a = vadd_f32(vget_low_f32(a), vget_high_f32(a));
            vget_lane_f32::<0>(a) + vget_lane_f32::<1>(a)
        }
    }

    #[inline(always)]
    fn load_halves(self, from: &[Unit; 2]) -> Self::Block {
        let mut block = [0.0; BLOCK];
        for (to, half) in block.iter_mut().zip(from.as_flattened().as_chunks::<2>().0) {
            *to = widened(*half);
        }
        self.load(&block)
    }

    #[inline(always)]
    fn no_products(self) -> int32x4_t {
        // SAFETY: see above.
        unsafe { vdupq_n_s32(0) }
    }

    #[inline(always)]
    fn add_line(self, row: &[Unit; 4], query: &[Unit; 4], sums: int32x4_t) -> int32x4_t {
        self.add_units(row, query, sums)
    }

    #[inline(always)]
    fn add_units(self, row: &[Unit], query: &[Unit], mut sums: int32x4_t) -> int32x4_t {
        for (row, query) in row.iter().zip(query) {
            // SAFETY: see above; 16 bytes are read of 16. Both are widened: a product of an unsigned and a signed byte has no instruction.
            sums = unsafe {
                let row = vld1q_u8(row.as_ptr());
                let query = vld1q_s8(query.as_ptr().cast());
                let low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(row)));
                let high = vreinterpretq_s16_u16(vmovl_high_u8(row));
                let query_low = vmovl_s8(vget_low_s8(query));
                let query_high = vmovl_high_s8(query);
                let sums = vmlal_s16(sums, vget_low_s16(low), vget_low_s16(query_low));
                let sums = vmlal_high_s16(sums, low, query_low);
                let sums = vmlal_s16(sums, vget_low_s16(high), vget_low_s16(query_high));
                vmlal_high_s16(sums, high, query_high)
            };
        }
        sums
    }

    #[inline(always)]
    fn total(self, sums: int32x4_t) -> i32 {
        // SAFETY: see above.
        unsafe { vaddvq_s32(sums) }
    }
}
