//! The walk through the graph: greedy steps down the levels, then a beam on one level.

use crate::config::Precision;
use crate::engine::cpu::codes::{Asked, Codes};
use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::graph::Graph;
use crate::engine::cpu::probe::{Bytes, Full, Halves, Probe};
use crate::engine::cpu::rows::Rows;
use crate::engine::detour::Detour;
use crate::engine::{Counters, Entry, NO_SLOT, Neighbor, SlotSet, Walk, scored_again};

mod key;
mod pool;
mod visited;

pub(crate) use key::Key;
use pool::Pool;
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

    /// The two beams of a [`Detour`] on level 0 from `start`, the second of width `ef`; [`Scratch::found`] has what that found.
    #[inline(always)]
    fn beams_among<P: Probe>(
        self,
        probe: P,
        start: Key,
        ef: usize,
        among: Among<'_>,
        scratch: &mut Scratch,
    ) {
        let Among { allowed, detour } = among;
        self.beam(probe, start, 0, detour.approach, scratch);
        let Scratch {
            visited,
            pool,
            near,
            done,
            ..
        } = scratch;
        near.clear();
        near.extend(pool.keys.iter().map(|key| key.slot()));
        visited.start(self.graph.len());
        // How many slots there are around the query, and how many of them are allowed.
        let (mut around, mut welcome) = (near.len(), 0);
        for &slot in near.iter() {
            let row = self.graph.row(0, slot);
            let used = row.iter().take_while(|&&slot| slot != NO_SLOT).count();
            let row = &row[..used];
            around += used;
            welcome += row.iter().filter(|&&slot| allowed.contains(slot)).count();
            done.hops += 1;
            if allowed.contains(slot) {
                welcome += 1;
                visited.note(slot);
            } else {
                visited.pass(slot);
                visited.fresh_among(row, allowed);
            }
        }
        if detour.leads_far(around, welcome) {
            pool.start(ef);
            return;
        }
        visited.fresh_among(&detour.seeds, allowed);
        pool.start(ef);
        done.distances += visited.seen.len() as u64;
        prefetch(probe, &visited.seen);
        offer(probe, &visited.seen, pool);
        while let Some(slot) = pool.expand() {
            let before = visited.seen.len();
            let row = self.graph.row(0, slot);
            done.hops += 1;
            visited.fresh_among(row, allowed);
            if detour.hops > 0 {
                let rejected = row.iter().copied().take_while(|&slot| slot != NO_SLOT);
                let rejected = rejected.filter(|&slot| !allowed.contains(slot));
                near.clear();
                near.extend(
                    rejected
                        .take(detour.hops)
                        .filter(|&slot| visited.pass(slot)),
                );
                for &slot in near.iter() {
                    for line in self.graph.row(0, slot).chunks(16) {
                        crate::engine::prefetch::prefetch(line);
                    }
                }
                done.hops += near.len() as u64;
                for &slot in near.iter() {
                    visited.fresh_among(self.graph.row(0, slot), allowed);
                }
            }
            let fresh = &visited.seen[before..];
            done.distances += fresh.len() as u64;
            prefetch(probe, fresh);
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

/// Which slots may be found, and how walks get along with that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Among<'a> {
    pub(crate) allowed: &'a SlotSet,
    pub(crate) detour: &'a Detour,
}

/// A query, where its beam begins, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) query: &'a [f32],
    pub(crate) descent: Descent,
    pub(crate) to: &'a mut [Neighbor],
}

/// Descends for a number of queries.
pub(crate) struct Descend<'a, 'b> {
    pub(crate) ground: Ground<'a>,
    pub(crate) codes: Option<&'a Codes>,
    pub(crate) walk: &'a Walk,
    pub(crate) turns: &'a mut [Turn<'b>],
    pub(crate) scratch: &'a mut Scratch,
}

impl Task for Descend<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Self { ground, codes, .. } = self;
        let Walk { entry, level, .. } = *self.walk;
        let Scratch { asked, done, .. } = self.scratch;
        for turn in self.turns {
            let query = turn.query;
            turn.descent = match codes {
                None => ground.descend(ground.full(score, query), entry, level, done),
                Some(codes) if codes.precision() == Precision::F16 => {
                    ground.descend(halves(score, query, codes), entry, level, done)
                }
                Some(codes) => {
                    ground.descend(bytes(score, query, asked, codes), entry, level, done)
                }
            };
        }
    }
}

#[inline(always)]
fn halves<'a, S: Score>(score: S, query: &'a [f32], codes: &'a Codes) -> Halves<'a, S> {
    Halves {
        score,
        query,
        rows: codes.rows(),
    }
}

/// Codes the query.
#[inline(always)]
fn bytes<'a, S: Score>(
    score: S,
    query: &[f32],
    asked: &'a mut Asked,
    codes: &'a Codes,
) -> Bytes<'a, S> {
    asked.ask(query, codes);
    Bytes {
        score,
        dimension: query.len(),
        query: asked,
        rows: codes.rows(),
    }
}

/// Walks the beams of a number of queries that have descended.
pub(crate) struct Beams<'a, 'b> {
    pub(crate) ground: Ground<'a>,
    pub(crate) codes: Option<&'a Codes>,
    pub(crate) walk: &'a Walk,
    pub(crate) among: Option<Among<'a>>,
    pub(crate) turns: &'a mut [Turn<'b>],
    pub(crate) scratch: &'a mut Scratch,
}

impl Task for Beams<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Self {
            ground,
            codes,
            walk,
            among,
            scratch,
            ..
        } = self;
        for turn in self.turns {
            let (query, start) = (turn.query, turn.descent.nearest);
            let Some(codes) = codes else {
                ground.walk(ground.full(score, query), start, walk, among, scratch);
                for (to, key) in turn.to.iter_mut().zip(scratch.found()) {
                    *to = key.neighbor();
                }
                continue;
            };
            if codes.precision() == Precision::F16 {
                let probe = halves(score, query, codes);
                ground.walk(probe, start, walk, among, scratch);
            } else {
                let mut asked = std::mem::take(&mut scratch.asked);
                let probe = bytes(score, query, &mut asked, codes);
                ground.walk(probe, start, walk, among, scratch);
                scratch.asked = asked;
            }
            ground.score_again(ground.full(score, query), walk, codes, scratch);
            for (to, key) in turn.to.iter_mut().zip(&scratch.again) {
                *to = key.neighbor();
            }
        }
    }
}

impl Ground<'_> {
    #[inline(always)]
    fn walk<P: Probe>(
        self,
        probe: P,
        start: Key,
        walk: &Walk,
        among: Option<Among<'_>>,
        scratch: &mut Scratch,
    ) {
        match among {
            None => self.beam(probe, start, walk.level, walk.ef, scratch),
            Some(among) => self.beams_among(probe, start, walk.ef, among, scratch),
        }
    }

    /// Scores the first of what was found again, by the rows themselves, and orders them by that.
    #[inline(always)]
    fn score_again<S: Score>(
        self,
        probe: Full<'_, S>,
        walk: &Walk,
        codes: &Codes,
        scratch: &mut Scratch,
    ) {
        let Scratch {
            pool,
            near,
            again,
            done,
            ..
        } = scratch;
        let first = pool.keys.iter().take(scored_again(walk.ef, walk.k));
        near.clear();
        near.extend(first.map(|key| key.slot()));
        let count = near.len();
        in_order(probe, near, again);
        done.distances += count as u64;
        // All scores are taken for such of small rows when their bytes are counted.
        let more = size_of_val(probe.query).saturating_sub(codes.row_bytes());
        done.bytes += (count * more) as u64;
    }
}
