//! What may be ruled out by a value with an error: nothing is lost to rounding.
//!
//! Let u be the relative error of a rounding, n the dimension, S = |q|² + |r|², p the dot product
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

use crate::engine::Scoring;
use crate::engine::cpu::distance::{ROUNDING, relative_error};

/// The constants of the bound; see the module's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Error {
    scoring: Scoring,
    c: f64,
    e: f64,
    underflow: f64,
}

impl Error {
    /// For dot products with a relative error of `g`, each value rounded `roundings` times after that.
    pub(super) fn new(scoring: Scoring, dimension: usize, g: f64, roundings: f64) -> Self {
        let n = dimension as f64;
        let e = relative_error(dimension);
        let c = match scoring {
            Scoring::SquaredEuclidean => g + 4.0 * roundings * ROUNDING,
            Scoring::NegativeDot => f64::midpoint(g, e) + 4.0 * roundings * ROUNDING,
        };
        Self {
            scoring,
            c,
            e,
            underflow: 4.0 * (n + 64.0) * f64::from(f32::from_bits(1)),
        }
    }

    /// How often the dot product counts in a value.
    pub(super) fn factor(self) -> f32 {
        match self.scoring {
            Scoring::SquaredEuclidean => 2.0,
            Scoring::NegativeDot => 1.0,
        }
    }

    /// What a tile adds for a row of this squared length, which itself has a relative error of at most e.
    pub(super) fn bias(self, squared_length: f32) -> f32 {
        let squared_length = f64::from(squared_length);
        below(match self.scoring {
            Scoring::SquaredEuclidean => squared_length * (1.0 - self.c) * (1.0 - 2.0 * self.e),
            Scoring::NegativeDot => -squared_length * self.c * (1.0 + 2.0 * self.e),
        })
    }

    /// What a tile's value may be at most for a score that could be `bound` or less.
    /// `slack` is what else may be wrong with the value.
    pub(super) fn limit(self, bound: f32, query: Measured, slack: f64) -> f32 {
        if bound >= f32::MAX {
            return f32::MAX;
        }
        let Measured {
            scale,
            squared_length,
        } = query;
        let (bound, scale) = (f64::from(bound), f64::from(scale));
        let underflow = self.underflow * scale.max(1.0);
        let limit = match self.scoring {
            Scoring::SquaredEuclidean => {
                // The last factor covers the error of the query's own squared length in f64, and of this line.
                bound / (1.0 - self.e) - squared_length * (1.0 - self.c) * (1.0 - 1e-9)
            }
            Scoring::NegativeDot => bound * scale + squared_length * self.c * (1.0 + 1e-9),
        };
        above(limit + slack + underflow + limit.abs() * 1e-12)
    }
}

/// What the bounds need to know of a query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// The power of two that it was scaled by.
    pub(super) scale: f32,
    /// Of the scaled query.
    pub(super) squared_length: f64,
}

/// The next float or so below.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
pub(super) fn below(value: f64) -> f32 {
    (value as f32).next_down()
}

/// The next float or so above; `f32::MAX` where there is none.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding is what is wanted"
)]
pub(super) fn above(value: f64) -> f32 {
    (value as f32).next_up().min(f32::MAX)
}
