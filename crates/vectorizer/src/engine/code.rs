//! Small forms of rows, the same for both engines: how they are made, and what they say of the rows they stand for.
//!
//! A coded row is a number of [`Unit`]s, its components and, last, its [`Terms`]. It depends on its row alone: when it came, and what came
//! before it, is of no matter.
//!
//! **Bytes.** A row r stands for r' = middle + step s with whole numbers s from -128 to 127; a query q likewise. With I the sum of the
//! products of both whole numbers, which is exact, S the sum of step s, Q the sum of (step s)², n components and a the difference of the middles:
//!
//! ```text
//! |q' - r'|² = Q_q + Q_r + a (n a + 2 (S_q - S_r)) - 2 step_q step_r I
//! q'r'       = step_q step_r I + middle_r (n middle_q + S_q) + middle_q S_r
//! ```
//!
//! Both sides are coded: what is computed is the distance of two points that are there, and near ones stay near, which would be lost in
//! |q|² + |r|² - 2 q'r'.
//!
//! **Halves.** A row is half floats times a power of two that makes its largest component a little less than half floats can hold.

use crate::config::Precision;

/// Coded rows are made of these: as many bytes as kernels read at a time.
pub(crate) type Unit = [u8; 16];

/// Components in a unit of bytes.
const BYTES: usize = size_of::<Unit>();
/// Components in two units of halves, of which there are always two.
const HALVES: usize = size_of::<Unit>();
/// Numbers that are looked at side by side.
const LANES: usize = 16;
/// Beyond this range of its components the middle of a coded row is 0, so that no term of a score overflows.
const WIDE: f32 = 1e12;
/// Adding this rounds to a whole number, which then stands in the last bits; subtracting it again gives the number.
const WHOLE: f32 = 12_582_912.0;

/// What a coded row is beside its components; its last unit.
#[derive(Debug, Clone, Copy, PartialEq, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Terms {
    /// Of bytes, the middle.
    pub(crate) middle: f32,
    /// What components are multiplied by.
    pub(crate) step: f32,
    /// S.
    pub(crate) sum: f32,
    /// Q.
    pub(crate) squares: f32,
}

impl Terms {
    /// The last unit of a coded row.
    #[inline(always)]
    pub(crate) fn of(row: &[Unit]) -> Self {
        row.last()
            .map_or_else(Self::default, |unit| bytemuck::pod_read_unaligned(unit))
    }
}

/// How many units a coded row of so many components takes; none if rows are not coded.
pub(crate) fn units(precision: Precision, dimension: usize) -> usize {
    match precision {
        Precision::F32 => 0,
        Precision::F16 => 2 * dimension.div_ceil(HALVES) + 1,
        Precision::Int8 => dimension.div_ceil(BYTES) + 1,
    }
}

/// Codes a row into `to`, which is zero and at least [`units`] long. Bytes are written as u = s + 128.
pub(crate) fn write(precision: Precision, row: &[f32], to: &mut [Unit]) {
    match precision {
        Precision::F32 => {}
        Precision::F16 => write_halves(row, to),
        Precision::Int8 => {
            write_bytes(row, to);
        }
    }
}

/// The same for bytes; the sum of all s.
#[inline(always)]
pub(crate) fn write_bytes(row: &[f32], to: &mut [Unit]) -> i32 {
    let Some((terms, components)) = to.split_last_mut() else {
        return 0;
    };
    let codes = &mut components.as_flattened_mut()[..row.len()];
    let Code { low, step } = Code::of(row, codes);
    let (mut sum, mut squares) = (0, 0);
    for code in codes {
        let s = i32::from(*code) - 128;
        sum += s;
        squares += s * s;
    }
    let [of_one, of_two] = [sum as f32, squares as f32];
    *terms = bytemuck::cast(Terms {
        middle: low + 128.0 * step,
        step,
        sum: step * of_one,
        squares: step * (step * of_two),
    });
    sum
}

/// From u to s, in the place of the components of a row of bytes.
#[inline(always)]
pub(crate) fn make_signed(row: &mut [Unit], dimension: usize) {
    for code in &mut row.as_flattened_mut()[..dimension] {
        *code ^= 0x80;
    }
}

fn write_halves(row: &[f32], to: &mut [Unit]) {
    let Some((terms, components)) = to.split_last_mut() else {
        return;
    };
    let largest = row
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    // From 2^14 up to 2^15, of what halves hold up to 65,504. Both powers are normal floats.
    let exponent = ((largest.to_bits() >> 23).cast_signed() - 127 - 14).clamp(-100, 100);
    let power = |exponent: i32| f32::from_bits((127 + exponent).cast_unsigned() << 23);
    let scale = power(-exponent);
    let halves = components.as_flattened_mut().as_chunks_mut::<2>().0;
    for (value, half) in row.iter().zip(halves) {
        *half = half::f16::from_f32(value * scale).to_le_bytes();
    }
    *terms = bytemuck::cast(Terms {
        step: power(exponent),
        ..Terms::default()
    });
}

/// The number a half float stands for, which is no infinity and no NaN.
#[inline(always)]
pub(crate) fn widened(half: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(half));
    // The exponents' biases differ by 112; multiplying is right for subnormal halves too.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// The squared length of the difference between a query and a row, from what is known of both and I.
#[inline(always)]
pub(crate) fn squared_difference(dimension: usize, q: Terms, r: Terms, product: i32) -> f32 {
    let apart = q.middle - r.middle;
    let middles = apart * (dimension as f32 * apart + 2.0 * (q.sum - r.sum));
    q.squares + r.squares + middles - 2.0 * (q.step * product as f32 * r.step)
}

/// Minus the dot product, likewise.
#[inline(always)]
pub(crate) fn negative_dot(dimension: usize, q: Terms, r: Terms, product: i32) -> f32 {
    let middles = r.middle * (dimension as f32 * q.middle + q.sum) + q.middle * r.sum;
    0.0 - (q.step * product as f32 * r.step + middles)
}

/// How numbers become bytes u: low + step u.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code {
    pub(crate) low: f32,
    pub(crate) step: f32,
}

impl Code {
    /// The code for these values, and their codes. The step is 1 where that loses nothing.
    #[inline(always)]
    pub(crate) fn of(values: &[f32], codes: &mut [u8]) -> Self {
        let mut low = [f32::MAX; LANES];
        let mut high = [f32::MIN; LANES];
        let mut fraction = [0.0f32; LANES];
        let (blocks, rest) = values.as_chunks::<LANES>();
        let mut last = [values[0]; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for block in blocks.iter().chain([&last]) {
            for i in 0..LANES {
                low[i] = low[i].min(block[i]);
                high[i] = high[i].max(block[i]);
                // Zero for whole numbers, up to where floats hold them all.
                fraction[i] += (block[i] - (block[i] + WHOLE - WHOLE)).abs();
            }
        }
        let mut low = low.into_iter().fold(f32::MAX, f32::min);
        let high = high.into_iter().fold(f32::MIN, f32::max);
        let whole = fraction.into_iter().sum::<f32>() == 0.0;
        let range = high - low;
        let step = if whole && range <= 255.0 {
            1.0
        } else if range <= WIDE {
            range / 255.0
        } else {
            let step = high.max(-low) / 127.0;
            low = -128.0 * step;
            step
        };
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        // Of a step so small, no component is far from `low`.
        let inverse = if inverse.is_finite() { inverse } else { 0.0 };
        for (value, code) in values.iter().zip(codes.iter_mut()) {
            // The last byte of this sum is the code. What is not the nearest code only costs speed, or is scored again.
            let [nearest, ..] = ((value - low) * inverse + WHOLE).to_bits().to_le_bytes();
            *code = nearest;
        }
        Self { low, step }
    }
}

#[cfg(test)]
mod tests;
