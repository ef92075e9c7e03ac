//! Queries that a thread takes in turn: down through the levels, along a beam, and what that found scored again.

use super::{Among, Descent, Ground, Key, Scratch, in_order};
use crate::config::Precision;
use crate::engine::cpu::codes::{Asked, Codes};
use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::probe::{Bytes, Full, Halves, Probe};
use crate::engine::{Neighbor, Walk, scored_again};

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
