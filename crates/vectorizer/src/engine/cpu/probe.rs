//! A query held against rows by slot, in the form the rows have.

use crate::engine::code::{Terms, Unit};
use crate::engine::cpu::codes::Asked;
use crate::engine::cpu::distance::Score;
use crate::engine::cpu::rows::Rows;

/// What walks score slots by.
pub(crate) trait Probe: Copy {
    fn one(self, slot: u32) -> f32;
    /// `one` four times over, with the query read once.
    fn four(self, slots: [u32; 4]) -> [f32; 4];
    /// Asks for a row, so that it is near when it is scored soon.
    fn prefetch(self, slot: u32);
}

/// Against the rows as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Full<'a, S> {
    pub(crate) score: S,
    pub(crate) query: &'a [f32],
    pub(crate) rows: &'a Rows,
}

impl<S: Score> Probe for Full<'_, S> {
    #[inline(always)]
    fn one(self, slot: u32) -> f32 {
        self.score.one(self.query, self.rows.row(slot))
    }

    #[inline(always)]
    fn four(self, [a, b, c, d]: [u32; 4]) -> [f32; 4] {
        let rows = [
            self.rows.row(a),
            self.rows.row(b),
            self.rows.row(c),
            self.rows.row(d),
        ];
        self.score.four(self.query, rows)
    }

    #[inline(always)]
    fn prefetch(self, slot: u32) {
        self.rows.prefetch(slot);
    }
}

/// Against rows in half floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Halves<'a, S> {
    pub(crate) score: S,
    pub(crate) query: &'a [f32],
    pub(crate) rows: &'a Rows<Unit>,
}

impl<S: Score> Probe for Halves<'_, S> {
    #[inline(always)]
    fn one(self, slot: u32) -> f32 {
        let [score] = self.score.halves(self.query, [self.rows.row(slot)]);
        score
    }

    #[inline(always)]
    fn four(self, [a, b, c, d]: [u32; 4]) -> [f32; 4] {
        let rows = [
            self.rows.row(a),
            self.rows.row(b),
            self.rows.row(c),
            self.rows.row(d),
        ];
        self.score.halves(self.query, rows)
    }

    #[inline(always)]
    fn prefetch(self, slot: u32) {
        self.rows.prefetch(slot);
    }
}

/// Against rows in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes<'a, S> {
    pub(crate) score: S,
    pub(crate) dimension: usize,
    pub(crate) query: &'a Asked,
    pub(crate) rows: &'a Rows<Unit>,
}

impl<S: Score> Bytes<'_, S> {
    #[inline(always)]
    fn finish(self, row: &[Unit], product: i32) -> f32 {
        let product = product - self.query.shift;
        self.score
            .coded(self.dimension, self.query.terms, Terms::of(row), product)
    }
}

impl<S: Score> Probe for Bytes<'_, S> {
    #[inline(always)]
    fn one(self, slot: u32) -> f32 {
        let row = self.rows.row(slot);
        let [product] = self.score.products(&self.query.codes, [row]);
        self.finish(row, product)
    }

    #[inline(always)]
    fn four(self, [a, b, c, d]: [u32; 4]) -> [f32; 4] {
        let rows = [
            self.rows.row(a),
            self.rows.row(b),
            self.rows.row(c),
            self.rows.row(d),
        ];
        let products = self.score.products(&self.query.codes, rows);
        let mut scores = [0.0; 4];
        for at in 0..4 {
            scores[at] = self.finish(rows[at], products[at]);
        }
        scores
    }

    #[inline(always)]
    fn prefetch(self, slot: u32) {
        self.rows.prefetch(slot);
    }
}
