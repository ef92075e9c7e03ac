//! The walk through the graph: greedy steps down the levels, then a beam on one level.

use crate::config::Precision;
use crate::engine::cpu::codes::{Asked, Codes};
use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::graph::Graph;
use crate::engine::cpu::pages;
use crate::engine::cpu::probe::{Bytes, Full, Halves, Probe};
use crate::engine::cpu::rows::Rows;
use crate::engine::detour::Detour;
use crate::engine::{Counters, Entry, NO_SLOT, Neighbor, SlotSet, Walk, scored_again};

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
                    pages::prefetch(line);
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
            pool, again, done, ..
        } = scratch;
        let count = scored_again(walk.ef, walk.k).min(pool.keys.len());
        again.clear();
        let (fours, rest) = pool.keys[..count].as_chunks::<4>();
        let mut ahead = pool.keys.iter().take(count).map(|key| key.slot());
        for slot in ahead.by_ref().take(4) {
            probe.prefetch(slot);
        }
        for four in fours {
            for slot in ahead.by_ref().take(4) {
                probe.prefetch(slot);
            }
            let slots = [
                four[0].slot(),
                four[1].slot(),
                four[2].slot(),
                four[3].slot(),
            ];
            let scores = probe.four(slots);
            for at in 0..4 {
                again.push(Key::new(scores[at], slots[at]));
            }
        }
        for key in rest {
            again.push(Key::new(probe.one(key.slot()), key.slot()));
        }
        again.sort_unstable();
        done.distances += count as u64;
        // All scores are taken for such of small rows when their bytes are counted.
        let more = size_of_val(probe.query).saturating_sub(codes.row_bytes());
        done.bytes += (count * more) as u64;
    }
}
