//! When an answer by tiles is proven: nothing is lost to rounding.
//!
//! Tiles keep the nearest by sums of their own; those are scored again by the scan's sums, which every answer is made of. Let t be the
//! last sum that was kept and s the k-th score of the answer. Every row that was left out has a sum of at least t. The answer is the scan's
//! if each of these rows has a score above s, whatever both sums lost.
//!
//! Let u be one unit in the last place, 2^-23 (a device may round either way, and need not fuse), n the dimension, D the distance of
//! query and row in real numbers, p their product.
//!
//! - Euclidean: all terms are positive. A term takes two roundings in its difference, which is squared, and one in its square; a
//!   tile adds n of them one after the other, the scan n / 32 in each lane and five more. So the sum is within D (1 ± g), g = (n + 4) u, and the
//!   score within D (1 ± e), e = (n / 32 + 9) u. A row that was left out scores at least t (1 - g) (1 - e).
//! - Dot product: both are off relative to |q||r|, so such a row scores at least t - (g + e) |q||r|. For |r| stands the longest row that there
//!   is.
//!
//! The factor [`SECOND_ORDER`] covers the powers of u; n u is below 0.008. An absolute term covers what devices flush to zero. Reassociation, which
//! Metal's compiler may do, leaves the number of roundings as it is.
//!
//! Whole numbers whose sums stay within 2^24 are exact in any order: then sums and scores are the same, ties go by slot in both, and every
//! answer is proven. This is so of fingerprints and of small counts, which tie often.
//!
//! The CPU's tiles and products of matrices use the same argument with errors of their own: see `engine/cpu/exact/tiles/bound.rs` and
//! `exact_products.wgsl`.

use crate::engine::{Layout, Scoring};

/// One unit in the last place.
const UNIT: f64 = f32::EPSILON as f64;
/// Above (e^x - 1) / x for x up to 0.008.
const SECOND_ORDER: f64 = 1.01;
/// The largest sum of whole numbers that is exact in any order.
const WHOLE: f64 = 16_777_216.0;
/// What `exact_merge` says if nothing was left out.
const ALL_KEPT: u32 = 0x7fff_ffff;

/// What is known of an engine's rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine::gpu) struct Measured {
    /// No row has a larger squared length. Where it is not needed, 0.
    squared_length: f64,
    /// Whether all components are whole numbers.
    whole: bool,
}

impl Measured {
    /// Of no rows.
    pub(in crate::engine::gpu) const NONE: Self = Self {
        squared_length: 0.0,
        whole: true,
    };

    /// Of these as well.
    #[must_use]
    pub(in crate::engine::gpu) fn with(self, layout: Layout, rows: &[f32]) -> Self {
        let whole = self.whole && rows.chunks(BLOCK).all(are_whole);
        // The distance of reals is bounded by itself.
        if !whole && layout.scoring == Scoring::SquaredEuclidean {
            return Self {
                squared_length: 0.0,
                whole,
            };
        }
        let rows = rows.chunks_exact(layout.dimension);
        let longest = rows.map(squared_length).fold(0.0, f32::max);
        let grown = f64::from(longest) * (1.0 + SECOND_ORDER * UNIT * layout.dimension as f64);
        Self {
            squared_length: self.squared_length.max(grown),
            whole,
        }
    }

    /// Of both.
    #[must_use]
    pub(in crate::engine::gpu) fn and(self, other: Self) -> Self {
        Self {
            squared_length: self.squared_length.max(other.squared_length),
            whole: self.whole && other.whole,
        }
    }
}

/// Whole, and small enough for its square to be exact.
fn is_whole(x: f32) -> bool {
    // Adding rounds to whole numbers, on every machine by one instruction.
    const ROUNDS: f32 = 12_582_912.0;
    x.abs() <= 4_096.0 && (x + ROUNDS) - ROUNDS - x == 0.0
}

/// Numbers that are looked at before the first that is not whole ends the look.
const BLOCK: usize = 4_096;

/// All of them, without a branch for each, which a compiler puts into registers.
fn are_whole(block: &[f32]) -> bool {
    block.iter().fold(true, |whole, x| whole & is_whole(*x))
}

/// In sixteen sums, which a compiler puts into registers.
fn squared_length(row: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let mut blocks = row.chunks_exact(sums.len());
    for block in blocks.by_ref() {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += x * x;
        }
    }
    let rest: f32 = blocks.remainder().iter().map(|x| x * x).sum();
    sums.iter().sum::<f32>() + rest
}

/// The bound of one engine; see the module's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    scoring: Scoring,
    rows: Measured,
    /// The relative errors of a tile's sum and of a score.
    tile: f64,
    score: f64,
    flushed: f64,
}

impl Bound {
    pub(super) fn new(layout: Layout, rows: Measured) -> Self {
        let n = layout.dimension as f64;
        Self {
            scoring: layout.scoring,
            rows,
            tile: SECOND_ORDER * (n + 4.0) * UNIT,
            score: SECOND_ORDER * ((n / 32.0).ceil() + 9.0) * UNIT,
            flushed: 16.0 * (n + 64.0) * f64::from(f32::MIN_POSITIVE),
        }
    }

    /// Whether no row that tiles left out can be among an answer whose last score is `last`, or tie with it. `bar` has the bits of the last sum that was
    /// kept.
    pub(super) fn proves(&self, query: &[f32], last: f32, bar: u32) -> bool {
        if bar == ALL_KEPT {
            return true;
        }
        let squared: f64 = if self.rows.whole || self.scoring == Scoring::NegativeDot {
            query.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
        } else {
            0.0
        };
        let reach = (squared * self.rows.squared_length).sqrt();
        if self.rows.whole && query.iter().copied().all(is_whole) {
            let sums = match self.scoring {
                Scoring::SquaredEuclidean => squared + self.rows.squared_length + 2.0 * reach,
                Scoring::NegativeDot => reach,
            };
            if sums <= WHOLE {
                return true;
            }
        }
        let bar = f64::from(f32::from_bits(bar));
        let least = match self.scoring {
            Scoring::SquaredEuclidean => {
                bar * (1.0 - self.tile) * (1.0 - self.score) - self.flushed
            }
            Scoring::NegativeDot => {
                let lengths = 1.0 + squared.sqrt() + self.rows.squared_length.sqrt();
                // The last factor covers this line's own roundings.
                bar - (self.tile + self.score) * reach * (1.0 + 1e-9) - self.flushed * lengths
            }
        };
        // Not so if any of it is no number.
        f64::from(last) < least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gpu::tests::{Numbers, SCORINGS, layout};

    #[test]
    fn rows_are_measured_from_above() {
        let mut numbers = Numbers(71);
        let layout = layout(37, Scoring::NegativeDot);
        let rows = numbers.reals(100 * 37);
        let measured = Measured::NONE.with(layout, &rows);
        let longest = rows
            .chunks_exact(37)
            .map(|row| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>())
            .fold(0.0, f64::max);
        assert!(!measured.whole && measured.squared_length >= longest);
        assert!(measured.squared_length < longest * 1.001);
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        for (x, whole) in [
            (0.0, true),
            (-0.0, true),
            (-17.0, true),
            (4_096.0, true),
            (4_097.0, false),
            (0.5, false),
            (1e-40, false),
            (3.000_000_2, false),
            (f32::NAN, false),
            (f32::INFINITY, false),
        ] {
            assert_eq!(is_whole(x), whole, "{x}");
        }
    }

    #[test]
    fn whole_numbers_are_proven_until_their_sums_round() {
        for scoring in SCORINGS {
            let layout = layout(2, scoring);
            let query = [3.0, 4.0];
            let tied = 50.0f32.to_bits();
            let of = |rows: &[f32]| Bound::new(layout, Measured::NONE.with(layout, rows));
            assert!(of(&[1.0, 2.0]).proves(&query, 50.0, tied));
            assert!(!of(&[1.0, 2.5]).proves(&query, 50.0, tied));
            assert!(!of(&[1.0, 2.0]).proves(&[3.0, 4.5], 50.0, tied));
            assert!(!of(&[4_096.0, 4_096.0]).proves(&[4_096.0, 4_096.0], 50.0, tied));
        }
    }

    #[test]
    fn a_bar_has_to_be_farther_than_roundings_reach() {
        for scoring in SCORINGS {
            let layout = layout(128, scoring);
            let rows = Numbers(72).reals(10 * 128);
            let query = Numbers(73).reals(128);
            let bound = Bound::new(layout, Measured::NONE.with(layout, &rows));
            assert!(bound.proves(&query, 50.0, 50.01f32.to_bits()));
            assert!(!bound.proves(&query, 50.0, 50.0f32.next_up().to_bits()));
            assert!(!bound.proves(&query, 50.0, 49.0f32.to_bits()));
            assert!(!bound.proves(&query, f32::NAN, 51.0f32.to_bits()));
            assert!(bound.proves(&query, 50.0, ALL_KEPT));
        }
    }
}
