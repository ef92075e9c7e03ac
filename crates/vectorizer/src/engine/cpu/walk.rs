//! The walk through the graph: greedy steps down the levels, then a beam on one level.

use crate::engine::cpu::codes::Asked;
use crate::engine::cpu::distance::Score;
use crate::engine::cpu::graph::Graph;
use crate::engine::cpu::probe::{Full, Probe};
use crate::engine::cpu::rows::Rows;
use crate::engine::{Counters, Entry, NO_SLOT};

mod among;
mod key;
mod pool;
mod turn;
mod visited;

pub(crate) use among::Among;
pub(crate) use key::Key;
use pool::Pool;
pub(crate) use turn::{Beams, Descend, Turn};
use visited::Visited;

/// What a walk needs; the next one uses it again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    visited: Visited,
    pool: Pool,
    /// What the first of two beams found; then, of a row, slots that are passed through; last, slots that are scored again.
    near: Vec<u32>,
    /// The query, coded.
    asked: Asked,
    /// What was found, scored again.
    again: Vec<Key>,
    /// Work done and not yet reported.
    pub(crate) done: Counters,
}

impl Scratch {
    /// What the last beam found, nearest first; marks set.
    pub(crate) fn found(&self) -> &[Key] {
        &self.pool.keys
    }
}

/// What is walked on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) rows: &'a Rows,
}

/// Where greedy steps led to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descent {
    pub(crate) nearest: Key,
    /// The slots they ended at on the last levels: queries that are near each other have much of it in common.
    pub(crate) path: u128,
}

impl Descent {
    /// Not yet descended.
    pub(crate) const NONE: Self = Self {
        nearest: Key::NONE,
        path: 0,
    };
}

impl<'a> Ground<'a> {
    /// A query against the rows as they are.
    #[inline(always)]
    pub(crate) fn full<S: Score>(self, score: S, query: &'a [f32]) -> Full<'a, S> {
        Full {
            score,
            query,
            rows: self.rows,
        }
    }

    /// From `entry` greedily down to the nearest slot of the level above `level`.
    #[inline(always)]
    pub(crate) fn descend<P: Probe>(
        self,
        probe: P,
        entry: Entry,
        level: usize,
        done: &mut Counters,
    ) -> Descent {
        let mut nearest = Key::new(probe.one(entry.slot), entry.slot);
        done.distances += 1;
        let mut path = 0;
        for level in (level + 1..=entry.level).rev() {
            loop {
                let row = self.graph.row(level, nearest.slot());
                let used = row
                    .iter()
                    .position(|&slot| slot == NO_SLOT)
                    .unwrap_or(row.len());
                let row = &row[..used];
                done.hops += 1;
                done.distances += used as u64;
                let best = best(probe, row, nearest);
                if best == nearest {
                    break;
                }
                nearest = best;
            }
            path = path << 32 | u128::from(nearest.slot());
        }
        Descent { nearest, path }
    }

    /// The beam of width `ef` on `level` from `start`; [`Scratch::found`] has what it found.
    #[inline(always)]
    pub(crate) fn beam<P: Probe>(
        self,
        probe: P,
        start: Key,
        level: usize,
        ef: usize,
        scratch: &mut Scratch,
    ) {
        let Scratch {
            visited,
            pool,
            done,
            ..
        } = scratch;
        visited.start(self.graph.len());
        visited.fresh(&[start.slot()]);
        pool.start(ef);
        pool.offer(start);
        while let Some(slot) = pool.expand() {
            let fresh = visited.fresh(self.graph.row(level, slot));
            done.hops += 1;
            done.distances += fresh.len() as u64;
            prefetch(probe, fresh);
            if let Some(slot) = pool.upcoming() {
                for line in self.graph.row(level, slot).chunks(16) {
                    crate::engine::prefetch::prefetch(line);
                }
            }
            offer(probe, fresh, pool);
        }
    }
}

/// The nearest of `slots` and `best`.
#[inline(always)]
fn best<P: Probe>(probe: P, slots: &[u32], mut best: Key) -> Key {
    let (fours, rest) = slots.as_chunks::<4>();
    for (at, &four) in fours.iter().enumerate() {
        prefetch(probe, &slots[4 * at + 4..]);
        let scores = probe.four(four);
        for at in 0..4 {
            best = best.min(Key::new(scores[at], four[at]));
        }
    }
    for &slot in rest {
        best = best.min(Key::new(probe.one(slot), slot));
    }
    best
}

/// Scores slots, and orders them by that.
#[inline(always)]
pub(crate) fn in_order<P: Probe>(probe: P, slots: &[u32], order: &mut Vec<Key>) {
    order.clear();
    prefetch(probe, slots);
    let (fours, rest) = slots.as_chunks::<4>();
    for (at, &four) in fours.iter().enumerate() {
        prefetch(probe, &slots[4 * at + 4..]);
        let scores = probe.four(four);
        for at in 0..4 {
            order.push(Key::new(scores[at], four[at]));
        }
    }
    for &slot in rest {
        order.push(Key::new(probe.one(slot), slot));
    }
    order.sort_unstable();
}

/// Asks for the rows of the first few of `slots`.
#[inline(always)]
fn prefetch<P: Probe>(probe: P, slots: &[u32]) {
    for &slot in slots.iter().take(4) {
        probe.prefetch(slot);
    }
}

/// Scores slots and offers them to the pool.
#[inline(always)]
fn offer<P: Probe>(probe: P, slots: &[u32], pool: &mut Pool) {
    let (fours, rest) = slots.as_chunks::<4>();
    for (at, &four) in fours.iter().enumerate() {
        prefetch(probe, &slots[4 * at + 4..]);
        let scores = probe.four(four);
        for at in 0..4 {
            pool.offer(Key::new(scores[at], four[at]));
        }
    }
    for &slot in rest {
        pool.offer(Key::new(probe.one(slot), slot));
    }
}
