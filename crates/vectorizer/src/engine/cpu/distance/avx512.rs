//! AVX-512: a block is one register.
#![expect(
    unsafe_code,
    reason = "vector instructions, behind a type that proves that the machine has them"
)]

use std::arch::x86_64::*;

use super::kernel::{BLOCK, Bytes, Simd};
use super::{Score, Task};
use crate::engine::code::Unit;

/// Proof that this machine has AVX-512F, its products of bytes (VNNI), and AVX2 with FMA. Machines with the first and not the
/// second are older, slow down for wide registers, and do as well with AVX2.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, if it is so.
    pub(super) fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"))
        .then_some(Self(()))
    }

    /// Runs a task compiled with these instructions.
    #[inline(always)]
    pub(super) fn enter<T: Task>(self, score: impl Score, task: T) -> T::Output {
        #[target_feature(enable = "avx512f,avx512vnni,avx2,fma,bmi1,bmi2,popcnt,lzcnt")]
        fn inside<T: Task>(score: impl Score, task: T) -> T::Output {
            task.run(score)
        }
        // SAFETY: `self` was made by `detect`; a machine with AVX-512F has the bit instructions of Haswell.
        unsafe { inside(score, task) }
    }
}

// SAFETY of every block below: `self` proves that the machine has the instructions; loads read within the slice they are given.
impl Simd for Avx512 {
    type Block = __m512;
    type Wholes = __m512i;
    type Bytes = Self;
    const MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn bytes(self) -> Option<Self> {
        Some(self)
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32; BLOCK]) -> __m512 {
        // SAFETY: see above; 16 floats are read of 16, alignment is not needed.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_rest(self, from: &[f32]) -> __m512 {
        debug_assert!(from.len() < BLOCK);
        let mask = (1u16 << (from.len() % BLOCK)) - 1;
        // SAFETY: see above; only lanes of the mask are read, and there are no more of them than floats.
        unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn at_most(self, a: __m512, limit: f32) -> u16 {
        // SAFETY: see above.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, _mm512_set1_ps(limit)) }
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        // SAFETY: see above.
        unsafe {
            let high = _mm256_castpd_ps(_mm512_extractf64x4_pd::<1>(_mm512_castps_pd(a)));
            super::avx2::sum(_mm256_add_ps(_mm512_castps512_ps256(a), high))
        }
    }

    #[inline(always)]
    fn load_halves(self, from: &[Unit; 2]) -> __m512 {
        // SAFETY: see above; 32 bytes are read of 32, alignment is not needed.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn no_products(self) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn add_line(self, row: &[Unit; 4], query: &[Unit; 4], sums: __m512i) -> __m512i {
        // SAFETY: see above; 64 bytes are read of 64, alignment is not needed.
        unsafe {
            let row = _mm512_loadu_si512(row.as_ptr().cast());
            let query = _mm512_loadu_si512(query.as_ptr().cast());
            _mm512_dpbusd_epi32(sums, row, query)
        }
    }

    #[inline(always)]
    fn add_units(self, row: &[Unit], query: &[Unit], sums: __m512i) -> __m512i {
        debug_assert!(row.len() < 4 && row.len() == query.len());
        // Four lanes a unit.
        let mask = (1u16 << (4 * (row.len().min(query.len()) % 4))) - 1;
        // SAFETY: see above; only lanes of the mask are read, and there are no more of them than both slices have.
        unsafe {
            let row = _mm512_maskz_loadu_epi32(mask, row.as_ptr().cast());
            let query = _mm512_maskz_loadu_epi32(mask, query.as_ptr().cast());
            _mm512_dpbusd_epi32(sums, row, query)
        }
    }

    #[inline(always)]
    fn total(self, sums: __m512i) -> i32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_epi32(sums) }
    }
}

impl Bytes for Avx512 {
    type Block = __m512;
    type Sums = __m512i;

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn step(self, lanes: &[[u8; 4]; BLOCK], four: [i8; 4], sums: __m512i) -> __m512i {
        let four = i32::from_le_bytes(four.map(i8::cast_unsigned));
        // SAFETY: see above; 64 bytes are read of 64.
        unsafe {
            let lanes = _mm512_loadu_si512(lanes.as_ptr().cast());
            _mm512_dpbusd_epi32(sums, lanes, _mm512_set1_epi32(four))
        }
    }

    #[inline(always)]
    fn floats(self, sums: __m512i) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}
