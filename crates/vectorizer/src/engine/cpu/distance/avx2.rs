//! AVX2 with FMA: a block is two registers.
#![expect(
    unsafe_code,
    reason = "vector instructions, behind a type that proves that the machine has them"
)]

use std::arch::x86_64::*;

use super::kernel::{BLOCK, NoBytes, Simd};
use super::{Score, Task};
use crate::engine::code::Unit;

/// Proof that this machine has AVX2, FMA and conversions of half floats (F16C): all came with one generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, if it is so.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Self(()))
    }

    /// Runs a task compiled with these instructions.
    #[inline(always)]
    pub(super) fn enter<T: Task>(self, score: impl Score, task: T) -> T::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn inside<T: Task>(score: impl Score, task: T) -> T::Output {
            task.run(score)
        }
        // SAFETY: `self` was made by `detect`.
        unsafe { inside(score, task) }
    }
}

/// The sum of eight lanes, the halves folded onto each other.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
pub(super) unsafe fn sum(a: __m256) -> f32 {
    // SAFETY: the caller has seen AVX2.
    unsafe {
        let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
        let a = _mm_add_ss(a, _mm_movehdup_ps(a));
        _mm_cvtss_f32(a)
    }
}

/// A sliding window over this is a mask of up to eight lanes.
static MASK: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY of every block below: `self` proves that the machine has the instructions; loads read within the slice they are given.
impl Simd for Avx2 {
    type Block = [__m256; 2];
    type Wholes = __m256i;
    type Bytes = NoBytes<Self::Block>;
    const MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn bytes(self) -> Option<Self::Bytes> {
        None
    }

    #[inline(always)]
    fn zero(self) -> Self::Block {
        // SAFETY: see above.
        unsafe { [_mm256_setzero_ps(); 2] }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::Block {
        // SAFETY: see above.
        unsafe { [_mm256_set1_ps(value); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; BLOCK]) -> Self::Block {
        let from = from.as_ptr();
        // SAFETY: see above; twice 8 floats are read of 16, alignment is not needed.
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    fn load_rest(self, from: &[f32]) -> Self::Block {
        debug_assert!(from.len() < BLOCK);
        let (full, rest) = match from.split_at_checked(8) {
            Some((full, rest)) => (Some(full), rest),
            None => (None, from),
        };
        // SAFETY: see above; `full` has 8 floats; of `rest` only lanes of the mask are read, as many as it has floats, at most 8:
        // the window on the 16 masks starts at 0 or later and ends at 16 or earlier.
        unsafe {
            let mask = _mm256_loadu_si256(MASK.as_ptr().add(8 - rest.len() % 8).cast());
            let rest = _mm256_maskload_ps(rest.as_ptr(), mask);
            match full {
                Some(full) => [_mm256_loadu_ps(full.as_ptr()), rest],
                None => [rest, _mm256_setzero_ps()],
            }
        }
    }

    #[inline(always)]
    fn add(self, a: Self::Block, b: Self::Block) -> Self::Block {
        // SAFETY: see above.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(self, a: Self::Block, b: Self::Block) -> Self::Block {
        // SAFETY: see above.
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(self, a: Self::Block, b: Self::Block) -> Self::Block {
        // SAFETY: see above.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul_add(self, a: Self::Block, b: Self::Block, c: Self::Block) -> Self::Block {
        // SAFETY: see above.
        unsafe {
            [
                _mm256_fmadd_ps(a[0], b[0], c[0]),
                _mm256_fmadd_ps(a[1], b[1], c[1]),
            ]
        }
    }

    #[inline(always)]
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "eight bits of each mask are ever set"
    )]
    fn at_most(self, a: Self::Block, limit: f32) -> u16 {
        // SAFETY: see above.
        let masks = unsafe {
            let limit = _mm256_set1_ps(limit);
            a.map(|a| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(a, limit)))
        };
        (masks[0] | masks[1] << 8) as u16
    }

    #[inline(always)]
    fn sum(self, a: Self::Block) -> f32 {
        // SAFETY: see above.
        unsafe { sum(_mm256_add_ps(a[0], a[1])) }
    }

    #[inline(always)]
    fn load_halves(self, from: &[Unit; 2]) -> Self::Block {
        // SAFETY: see above; 16 bytes are read of each 16, alignment is not needed.
        unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from[0].as_ptr().cast())),
                _mm256_cvtph_ps(_mm_loadu_si128(from[1].as_ptr().cast())),
            ]
        }
    }

    #[inline(always)]
    fn no_products(self) -> __m256i {
        // SAFETY: see above.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn add_line(self, row: &[Unit; 4], query: &[Unit; 4], sums: __m256i) -> __m256i {
        self.add_units(row, query, sums)
    }

    #[inline(always)]
    fn add_units(self, row: &[Unit], query: &[Unit], mut sums: __m256i) -> __m256i {
        for (row, query) in row.iter().zip(query) {
            // In 16 bits: the instruction that takes bytes cuts sums of two products that are too large for it.
            // SAFETY: see above; 16 bytes are read of 16, alignment is not needed.
            sums = unsafe {
                let row = _mm256_cvtepu8_epi16(_mm_loadu_si128(row.as_ptr().cast()));
                let query = _mm256_cvtepi8_epi16(_mm_loadu_si128(query.as_ptr().cast()));
                _mm256_add_epi32(sums, _mm256_madd_epi16(row, query))
            };
        }
        sums
    }

    #[inline(always)]
    fn total(self, sums: __m256i) -> i32 {
        // SAFETY: see above.
        unsafe {
            let a = _mm_add_epi32(
                _mm256_castsi256_si128(sums),
                _mm256_extracti128_si256::<1>(sums),
            );
            let a = _mm_add_epi32(a, _mm_shuffle_epi32::<0b01_00_11_10>(a));
            let a = _mm_add_epi32(a, _mm_shuffle_epi32::<0b10_11_00_01>(a));
            _mm_cvtsi128_si32(a)
        }
    }
}
