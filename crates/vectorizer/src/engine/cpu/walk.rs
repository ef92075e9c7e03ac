//! The walk through the graph: greedy steps down the levels, then a beam on one level.

use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::graph::Graph;
use crate::engine::cpu::pages;
use crate::engine::cpu::rows::Rows;
use crate::engine::detour::Detour;
use crate::engine::{Counters, Entry, NO_SLOT, Neighbor, SlotSet, Walk};

/// A neighbour as one integer of the same order: the bits of its score made monotone, its slot, and a bit to mark it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(u64);

impl Key {
    const MARK: u64 = 1;
    const SIGN: u32 = 1 << 31;
    /// Orders after every neighbour.
    pub(crate) const NONE: Self = Self(u64::MAX);

    #[inline(always)]
    pub(crate) fn new(score: f32, slot: u32) -> Self {
        // + 0.0 makes -0 and 0 one value. Negative numbers order backwards by their bits: all are flipped.
        let bits = (score + 0.0).to_bits();
        let flip = (bits.cast_signed() >> 31).cast_unsigned() | Self::SIGN;
        Self(u64::from(bits ^ flip) << 32 | u64::from(slot) << 1)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    pub(crate) fn slot(self) -> u32 {
        self.0 as u32 >> 1
    }

    #[inline(always)]
    pub(crate) fn score(self) -> f32 {
        let bits = (self.0 >> 32) as u32;
        let flip = (!bits.cast_signed() >> 31).cast_unsigned() | Self::SIGN;
        f32::from_bits(bits ^ flip)
    }

    /// The score's bits, of the same order.
    #[inline(always)]
    pub(crate) fn score_bits(self) -> u64 {
        self.0 >> 32
    }

    /// The same score for another slot.
    #[inline(always)]
    pub(crate) fn with_slot(self, slot: u32) -> Self {
        Self(self.0 >> 32 << 32 | u64::from(slot) << 1)
    }

    #[inline(always)]
    fn marked(self) -> bool {
        self.0 & Self::MARK != 0
    }

    #[inline(always)]
    fn mark(&mut self) {
        self.0 |= Self::MARK;
    }

    pub(crate) fn unmarked(self) -> Self {
        Self(self.0 & !Self::MARK)
    }

    pub(crate) fn neighbor(self) -> Neighbor {
        Neighbor {
            score: self.score(),
            slot: self.slot(),
        }
    }
}

impl From<Neighbor> for Key {
    fn from(neighbor: Neighbor) -> Self {
        Self::new(neighbor.score, neighbor.slot)
    }
}

/// The nearest seen so far, in order; those that were expanded are marked.
#[derive(Debug, Default)]
struct Pool {
    keys: Vec<Key>,
    ef: usize,
    /// All before this place are expanded.
    next: usize,
    /// No score above this one can enter.
    bound: f32,
}

impl Pool {
    fn start(&mut self, ef: usize) {
        self.keys.clear();
        self.keys.reserve(ef);
        self.ef = ef;
        self.next = 0;
        self.bound = f32::INFINITY;
    }

    /// Marks the nearest that is not yet, and gives its slot.
    #[inline(always)]
    fn expand(&mut self) -> Option<u32> {
        while let Some(key) = self.keys.get_mut(self.next) {
            self.next += 1;
            if !key.marked() {
                key.mark();
                return Some(key.slot());
            }
        }
        None
    }

    /// What [`Self::expand`] will give if nothing nearer comes.
    #[inline(always)]
    fn upcoming(&self) -> Option<u32> {
        let waiting = self
            .keys
            .get(self.next..)?
            .iter()
            .find(|key| !key.marked())?;
        Some(waiting.slot())
    }

    #[inline(always)]
    fn offer(&mut self, key: Key) {
        if key.score() <= self.bound {
            self.insert(key);
        }
    }

    #[inline(always)]
    fn insert(&mut self, key: Key) {
        let place = self.keys.partition_point(|&other| other < key);
        if self.keys.len() < self.ef {
            self.keys.insert(place, key);
        } else if let Some(moved) = self.keys.get_mut(place..)
            && !moved.is_empty()
        {
            moved.copy_within(..moved.len() - 1, 1);
            moved[0] = key;
        } else {
            return;
        }
        self.next = self.next.min(place);
        if self.keys.len() == self.ef
            && let Some(last) = self.keys.last()
        {
            self.bound = last.score();
        }
    }
}

/// Which slots a walk has seen: a bit for each, and the list of those that are set, to clear them.
#[derive(Debug, Default)]
struct Visited {
    bits: Vec<u64>,
    seen: Vec<u32>,
    /// Those that are set and may not be found.
    passed: Vec<u32>,
}

impl Visited {
    fn start(&mut self, slots: usize) {
        for slot in self.seen.drain(..).chain(self.passed.drain(..)) {
            self.bits[slot as usize / 64] = 0;
        }
        self.bits.resize(slots.div_ceil(64), 0);
    }

    /// Notes the slots of a row that were not seen before, and gives them.
    #[inline(always)]
    fn fresh(&mut self, row: &[u32]) -> &[u32] {
        let before = self.seen.len();
        self.seen.resize(before + row.len(), 0);
        let mut end = before;
        for &slot in row {
            if slot == NO_SLOT {
                break;
            }
            let word = &mut self.bits[slot as usize / 64];
            let bit = 1 << (slot % 64);
            // Written in any case, kept if it is new: no branch to mispredict.
            self.seen[end] = slot;
            end += usize::from(*word & bit == 0);
            *word |= bit;
        }
        self.seen.truncate(end);
        &self.seen[before..]
    }

    /// Notes the slots of a row that are allowed and were not seen before.
    #[inline(always)]
    fn fresh_among(&mut self, row: &[u32], allowed: &SlotSet) {
        for &slot in row {
            if slot == NO_SLOT {
                break;
            }
            if allowed.contains(slot) {
                self.note(slot);
            }
        }
    }

    /// Notes a slot if it was not seen before.
    #[inline(always)]
    fn note(&mut self, slot: u32) {
        let word = &mut self.bits[slot as usize / 64];
        let bit = 1 << (slot % 64);
        if *word & bit == 0 {
            *word |= bit;
            self.seen.push(slot);
        }
    }

    /// Notes a slot that will not be found; whether it was not seen before.
    #[inline(always)]
    fn pass(&mut self, slot: u32) -> bool {
        let word = &mut self.bits[slot as usize / 64];
        let bit = 1 << (slot % 64);
        let new = *word & bit == 0;
        if new {
            *word |= bit;
            self.passed.push(slot);
        }
        new
    }
}

/// What a walk needs; the next one uses it again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    visited: Visited,
    pool: Pool,
    /// What the first of two beams found; then, of a row, slots that are passed through.
    near: Vec<u32>,
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

impl Ground<'_> {
    /// From `entry` greedily down to the nearest slot of the level above `level`.
    #[inline(always)]
    pub(crate) fn descend<S: Score>(
        self,
        score: S,
        query: &[f32],
        entry: Entry,
        level: usize,
        done: &mut Counters,
    ) -> Descent {
        let mut nearest = Key::new(score.one(query, self.rows.row(entry.slot)), entry.slot);
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
                let best = self.best(score, query, row, nearest);
                if best == nearest {
                    break;
                }
                nearest = best;
            }
            path = path << 32 | u128::from(nearest.slot());
        }
        Descent { nearest, path }
    }

    /// The nearest of `slots` and `best`.
    #[inline(always)]
    fn best<S: Score>(self, score: S, query: &[f32], slots: &[u32], mut best: Key) -> Key {
        let (fours, rest) = slots.as_chunks::<4>();
        for (at, &[a, b, c, d]) in fours.iter().enumerate() {
            self.prefetch(&slots[4 * at + 4..]);
            let rows = [
                self.rows.row(a),
                self.rows.row(b),
                self.rows.row(c),
                self.rows.row(d),
            ];
            let scores = score.four(query, rows);
            best = best.min(Key::new(scores[0], a));
            best = best.min(Key::new(scores[1], b));
            best = best.min(Key::new(scores[2], c));
            best = best.min(Key::new(scores[3], d));
        }
        for &slot in rest {
            best = best.min(Key::new(score.one(query, self.rows.row(slot)), slot));
        }
        best
    }

    /// Asks for the rows of the first few of `slots`.
    #[inline(always)]
    fn prefetch(self, slots: &[u32]) {
        for &slot in slots.iter().take(4) {
            self.rows.prefetch(slot);
        }
    }

    /// The beam of width `ef` on `level` from `start`; [`Scratch::found`] has what it found.
    #[inline(always)]
    pub(crate) fn beam<S: Score>(
        self,
        score: S,
        query: &[f32],
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
            self.prefetch(fresh);
            if let Some(slot) = pool.upcoming() {
                for line in self.graph.row(level, slot).chunks(16) {
                    pages::prefetch(line);
                }
            }
            self.offer(score, query, fresh, pool);
        }
    }

    /// Scores slots and offers them to the pool.
    #[inline(always)]
    fn offer<S: Score>(self, score: S, query: &[f32], slots: &[u32], pool: &mut Pool) {
        let (fours, rest) = slots.as_chunks::<4>();
        for (at, &[a, b, c, d]) in fours.iter().enumerate() {
            self.prefetch(&slots[4 * at + 4..]);
            let rows = [
                self.rows.row(a),
                self.rows.row(b),
                self.rows.row(c),
                self.rows.row(d),
            ];
            let scores = score.four(query, rows);
            pool.offer(Key::new(scores[0], a));
            pool.offer(Key::new(scores[1], b));
            pool.offer(Key::new(scores[2], c));
            pool.offer(Key::new(scores[3], d));
        }
        for &slot in rest {
            pool.offer(Key::new(score.one(query, self.rows.row(slot)), slot));
        }
    }

    /// The two beams of a [`Detour`] on level 0 from `start`, the second of width `ef`; [`Scratch::found`] has what that found.
    #[inline(always)]
    fn beams_among<S: Score>(
        self,
        score: S,
        query: &[f32],
        start: Key,
        ef: usize,
        among: Among<'_>,
        scratch: &mut Scratch,
    ) {
        let Among { allowed, detour } = among;
        self.beam(score, query, start, 0, detour.approach, scratch);
        let Scratch {
            visited,
            pool,
            near,
            done,
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
        self.prefetch(&visited.seen);
        self.offer(score, query, &visited.seen, pool);
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
                        pages::prefetch(line);
                    }
                }
                done.hops += near.len() as u64;
                for &slot in near.iter() {
                    visited.fresh_among(self.graph.row(0, slot), allowed);
                }
            }
            let fresh = &visited.seen[before..];
            done.distances += fresh.len() as u64;
            self.prefetch(fresh);
            self.offer(score, query, fresh, pool);
        }
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
    pub(crate) walk: &'a Walk,
    pub(crate) turns: &'a mut [Turn<'b>],
    pub(crate) done: &'a mut Counters,
}

impl Task for Descend<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Walk { entry, level, .. } = *self.walk;
        for turn in self.turns {
            turn.descent = self
                .ground
                .descend(score, turn.query, entry, level, self.done);
        }
    }
}

/// Walks the beams of a number of queries that have descended.
pub(crate) struct Beams<'a, 'b> {
    pub(crate) ground: Ground<'a>,
    pub(crate) walk: &'a Walk,
    pub(crate) among: Option<Among<'a>>,
    pub(crate) turns: &'a mut [Turn<'b>],
    pub(crate) scratch: &'a mut Scratch,
}

impl Task for Beams<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Walk { level, ef, .. } = *self.walk;
        for turn in self.turns {
            let (query, start) = (turn.query, turn.descent.nearest);
            match self.among {
                None => {
                    let ground = self.ground;
                    ground.beam(score, query, start, level, ef, self.scratch);
                }
                Some(among) => {
                    let ground = self.ground;
                    ground.beams_among(score, query, start, ef, among, self.scratch);
                }
            }
            for (to, key) in turn.to.iter_mut().zip(self.scratch.found()) {
                *to = key.neighbor();
            }
        }
    }
}
