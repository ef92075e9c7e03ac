//! Scores of rows, with the vector instructions this machine has, found out once at run time.
//!
//! A score has the same bits whichever way of [`Score`] it is computed; and `(a, b)` scores as `(b, a)`. All instruction sets
//! work on blocks of 16 floats, four blocks in turn into four sums of 16 lanes, folded in one order; those with a fused
//! multiply-add (AVX-512, AVX2, NEON) agree to the bit.
//!
//! A choice of instructions for each score would be too dear: loops around scores are written as a [`Task`] and handed to
//! [`Distance::run`]. The task is compiled once for each instruction set and scoring, with the kernels inlined into it:
//!
//! ```text
//! struct Sum<'a> { query: &'a [f32], rows: &'a [&'a [f32]] }
//! impl Task for Sum<'_> {
//!     type Output = f32;
//!     #[inline(always)] // needed: only what is inlined gets the instruction set
//!     fn run<S: Score>(self, score: S) -> f32 {
//!         let mut sum = 0.0;
//!         for row in self.rows { sum += score.one(self.query, row); }
//!         sum
//!     }
//! }
//! distance.run(Sum { query, rows })
//! ```
//!
//! Every function between the task and the kernels that should be compiled with them needs `#[inline(always)]`, and closures
//! are best avoided around scores: a closure that is not inlined is compiled without the instruction set.

use crate::engine::Scoring;
use crate::engine::code::{Terms, Unit};
pub(crate) use kernel::{BLOCK, Bytes, Simd};
use kernel::{Dot, Measure, Squared};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(test)]
mod tests;

/// The environment variable that names the instruction set to use.
const OVERRIDE: &str = "VECTORIZER_SIMD";

/// An instruction set that this machine has: a value of this type is the proof.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Portable(portable::Portable),
}

impl Instructions {
    /// What this machine has, fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            found.extend(avx512::Avx512::detect().map(Self::Avx512));
            found.extend(avx2::Avx2::detect().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        found.extend(neon::Neon::detect().map(Self::Neon));
        found.push(Self::Portable(portable::Portable));
        found
    }

    /// The name by which `VECTORIZER_SIMD` asks for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Portable(_) => "portable",
        }
    }

    /// The fastest, or the one that `VECTORIZER_SIMD` names where this machine has it.
    pub(crate) fn choose() -> Self {
        let available = Self::available();
        let wanted = std::env::var(OVERRIDE).unwrap_or_default();
        if let Some(named) = available.iter().find(|i| i.name() == wanted) {
            return *named;
        }
        if !wanted.is_empty() {
            tracing::warn!(
                "{OVERRIDE}={wanted} is not to be had on this machine; using {}",
                available[0].name()
            );
        }
        available[0]
    }
}

/// Scores pairs of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Distance {
    instructions: Instructions,
    scoring: Scoring,
}

/// The kernels of one instruction set and one scoring, for use inside a [`Task`].
pub(crate) trait Score: Copy {
    /// The instructions themselves.
    type Lanes: Simd;

    /// The instructions themselves, for kernels of another kind.
    fn lanes(self) -> Self::Lanes;

    /// The squared length of a row.
    fn squared_length(self, row: &[f32]) -> f32;

    /// The score of two rows of one length.
    fn one(self, a: &[f32], b: &[f32]) -> f32;

    /// The scores of four rows: `one` four times over, with the query read once. All of one length.
    fn four(self, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4];

    /// The scores of rows in half floats, of as many components as the query.
    fn halves<const ROWS: usize>(self, query: &[f32], rows: [&[Unit]; ROWS]) -> [f32; ROWS];

    /// The sums of products of a query's signed bytes with the unsigned ones of rows.
    fn products<const ROWS: usize>(self, query: &[Unit], rows: [&[Unit]; ROWS]) -> [i32; ROWS];

    /// The score of two rows in bytes, from the sum of the products of their whole numbers.
    fn coded(self, dimension: usize, query: Terms, row: Terms, product: i32) -> f32;
}

/// A loop around scores, compiled for each instruction set; see the module's text.
pub(crate) trait Task {
    /// What it gives.
    type Output;

    /// The loop. Has to be `#[inline(always)]`.
    fn run<S: Score>(self, score: S) -> Self::Output;
}

#[derive(Clone, Copy)]
struct Scorer<S, M> {
    simd: S,
    measure: M,
}

impl<S: Simd, M: Measure> Score for Scorer<S, M> {
    type Lanes = S;

    #[inline(always)]
    fn lanes(self) -> S {
        self.simd
    }

    #[inline(always)]
    fn squared_length(self, row: &[f32]) -> f32 {
        let [minus] = kernel::scores(self.simd, Dot, row, [row]);
        0.0 - minus
    }

    #[inline(always)]
    fn one(self, a: &[f32], b: &[f32]) -> f32 {
        let [score] = kernel::scores(self.simd, self.measure, a, [b]);
        score
    }

    #[inline(always)]
    fn four(self, query: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        if S::MANY_REGISTERS {
            kernel::scores(self.simd, self.measure, query, rows)
        } else {
            let [a, b, c, d] = rows;
            [
                self.one(query, a),
                self.one(query, b),
                self.one(query, c),
                self.one(query, d),
            ]
        }
    }

    #[inline(always)]
    fn halves<const ROWS: usize>(self, query: &[f32], rows: [&[Unit]; ROWS]) -> [f32; ROWS] {
        if S::MANY_REGISTERS {
            kernel::scores_of_halves(self.simd, self.measure, query, rows)
        } else {
            let mut scores = [0.0; ROWS];
            for r in 0..ROWS {
                [scores[r]] = kernel::scores_of_halves(self.simd, self.measure, query, [rows[r]]);
            }
            scores
        }
    }

    #[inline(always)]
    fn products<const ROWS: usize>(self, query: &[Unit], rows: [&[Unit]; ROWS]) -> [i32; ROWS] {
        kernel::products(self.simd, query, rows)
    }

    #[inline(always)]
    fn coded(self, dimension: usize, query: Terms, row: Terms, product: i32) -> f32 {
        self.measure.coded(dimension, query, row, product)
    }
}

/// A bound on the relative error of a score (for Euclidean; for the dot product, relative to the product of the two lengths)
/// and of a squared length, underflow aside.
pub(crate) fn relative_error(dimension: usize) -> f64 {
    // A term goes through a subtraction, which counts twice in its square, a product and at most dimension / 64 + 2 additions in its
    // lane, then 2 additions of sums and 4 folds. The rest of 16 is slack, which also covers the second order.
    (dimension as f64 / 32.0 + 16.0) * ROUNDING
}

/// The relative error of one rounding.
pub(crate) const ROUNDING: f64 = f32::EPSILON as f64 / 2.0;

impl Distance {
    /// With the instruction set of [`Instructions::choose`].
    pub(crate) fn new(scoring: Scoring) -> Self {
        Self::with(Instructions::choose(), scoring)
    }

    /// With a given instruction set.
    pub(crate) fn with(instructions: Instructions, scoring: Scoring) -> Self {
        Self {
            instructions,
            scoring,
        }
    }

    /// Which scores these are.
    pub(crate) fn scoring(self) -> Scoring {
        self.scoring
    }

    /// Runs `task`, compiled for this instruction set and scoring.
    pub(crate) fn run<T: Task>(self, task: T) -> T::Output {
        match self.scoring {
            Scoring::SquaredEuclidean => self.enter(Squared, task),
            Scoring::NegativeDot => self.enter(Dot, task),
        }
    }

    #[inline(always)]
    fn enter<M: Measure, T: Task>(self, measure: M, task: T) -> T::Output {
        match self.instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(simd) => simd.enter(Scorer { simd, measure }, task),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(simd) => simd.enter(Scorer { simd, measure }, task),
            #[cfg(target_arch = "aarch64")]
            Instructions::Neon(simd) => simd.enter(Scorer { simd, measure }, task),
            Instructions::Portable(simd) => task.run(Scorer { simd, measure }),
        }
    }
}
