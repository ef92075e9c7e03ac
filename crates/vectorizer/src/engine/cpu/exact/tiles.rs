//! Exact search by tiles of queries and rows.
//!
//! Rows are packed into panels (component by component, the rows of a panel beside each other), some panels a block, which
//! stays in the second-level cache while every query passes over it. A tile holds the dot products of a few queries and a panel
//! in registers from the first component to the last, and then asks of all of them at once which could be among the k nearest.
//! Those few are scored by [`Score::one`]: what a tile computes never leaves it.
//!
//! There are two ways to compute a tile: [`floats`], exact but for rounding, and, where there are instructions for it, [`bytes`]:
//! rows and queries in eight bits a component, four times as fast. [`bound`] says why neither loses a neighbour.

use super::Job;
use super::blocks::Block;
use crate::engine::cpu::distance::{BLOCK, Score, Simd, Task};
use crate::engine::cpu::nearest::Nearest;
use crate::engine::cpu::rows::Run;
use crate::engine::{Neighbor, Scoring};
use bound::{Error, Measured};
use bytes::Coded;
use floats::Floats;

mod bound;
mod bytes;
mod floats;

/// What a block of packed rows takes: half of a second-level cache of 1 MiB.
const BLOCK_BYTES: usize = 512 << 10;
/// Bytes are given up for floats where more than one of this many rows had to be scored again.
const WASTE: usize = 64;

/// A job done by tiles.
pub(super) struct Tiles<'a> {
    pub(super) job: Job<'a>,
    pub(super) scoring: Scoring,
}

impl Task for Tiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        // As many sums as there are registers, less what the operands need.
        if S::Lanes::MANY_REGISTERS {
            search::<S, 12, 2>(score, self);
        } else {
            search::<S, 6, 1>(score, self);
        }
    }
}

/// Queries, and what is known of them.
struct Asked<'a> {
    dimension: usize,
    queries: &'a [f32],
    measured: Vec<Measured>,
}

impl Asked<'_> {
    fn query(&self, at: usize) -> &[f32] {
        &self.queries[at * self.dimension..][..self.dimension]
    }
}

/// A way to compute tiles.
trait Way<const QUERIES: usize> {
    /// The constants of its bound.
    fn error(&self) -> Error;
    /// Packs a block of rows; false if it cannot be done with these.
    fn pack(&mut self, run: Run<'_>, stride: usize) -> bool;
    /// What may be wrong with the values of a query in this block beyond `error`.
    fn slack(&self, query: usize) -> f64;
    /// For each query of a group, a bit for each row of a panel whose value is within the query's limit. Lanes beyond the last row
    /// may have bits too.
    fn near(&self, group: usize, panel: usize, limits: &[f32; QUERIES]) -> [u64; QUERIES];
}

#[inline(always)]
fn search<S: Score, const QUERIES: usize, const BLOCKS: usize>(score: S, tiles: Tiles<'_>) {
    let Tiles { job, scoring } = tiles;
    let (rows, dimension) = (job.rows, job.rows.dimension());
    let asked = asked(score, scoring, &job);
    let panel = BLOCKS * BLOCK;
    let block = |bytes: usize| (BLOCK_BYTES / (panel * dimension * bytes)).clamp(1, 64) * panel;

    let mut coded = score
        .lanes()
        .bytes()
        .and_then(|bytes| Coded::<S, _, QUERIES, BLOCKS>::new(score, bytes, scoring, &asked));
    let mut floats: Option<Floats<S, QUERIES, BLOCKS>> = None;
    let (mut next, mut gathered) = (0, Vec::new());
    let k = job.nearest.first().map_or(0, Nearest::k);
    let (mut seen, mut again) = (0, 0);
    loop {
        let most = block(if coded.is_some() { 1 } else { size_of::<f32>() });
        let Some(block) = job.slots.block(rows, next, most, &mut gathered) else {
            break;
        };
        let run = block.rows;
        next += run.count;
        if let Some(way) = &mut coded
            && way.pack(run, rows.stride())
        {
            again +=
                pass::<S, QUERIES, BLOCKS>(score, way, &asked, block, rows.stride(), job.nearest);
            seen += run.count * asked.measured.len();
            // Of rows in random order, k (1 + ln(n / k)) are among the nearest so far when they come.
            if again > seen / WASTE + asked.measured.len() * (8 * k + 64) {
                coded = None;
            }
        } else {
            let way = match &mut floats {
                Some(way) => way,
                none => none.insert(Floats::new(score, scoring, &asked)),
            };
            way.pack(run, rows.stride());
            pass::<S, QUERIES, BLOCKS>(score, way, &asked, block, rows.stride(), job.nearest);
        }
    }
}

/// Passes every query over a block of rows; how many scores were computed again.
#[inline(always)]
fn pass<S: Score, const QUERIES: usize, const BLOCKS: usize>(
    score: S,
    way: &impl Way<QUERIES>,
    asked: &Asked<'_>,
    block: Block<'_>,
    stride: usize,
    nearest: &mut [Nearest],
) -> usize {
    let run = block.rows;
    let mut again = 0;
    for (group, nearest) in nearest.chunks_mut(QUERIES).enumerate() {
        let first_query = group * QUERIES;
        // Places without a query are within no limit.
        let mut limits = [f32::MIN; QUERIES];
        for (at, nearest) in nearest.iter().enumerate() {
            limits[at] = limit(way, asked, first_query + at, nearest);
        }
        for panel in 0..run.count.div_ceil(BLOCKS * BLOCK) {
            let first = panel * BLOCKS * BLOCK;
            let count = (run.count - first).min(BLOCKS * BLOCK);
            let masks = way.near(group, panel, &limits);
            for (at, nearest) in nearest.iter_mut().enumerate() {
                let mut mask = masks[at] & (u64::MAX >> (64 - count));
                if mask == 0 {
                    continue;
                }
                let query = asked.query(first_query + at);
                while mask != 0 {
                    let place = first + mask.trailing_zeros() as usize;
                    mask &= mask - 1;
                    again += 1;
                    let row = &run.rows[place * stride..][..asked.dimension];
                    nearest.push(Neighbor {
                        score: score.one(query, row),
                        slot: block.slot(place),
                    });
                }
                limits[at] = limit(way, asked, first_query + at, nearest);
            }
        }
    }
    again
}

fn limit<const QUERIES: usize>(
    way: &impl Way<QUERIES>,
    asked: &Asked<'_>,
    query: usize,
    nearest: &Nearest,
) -> f32 {
    let measured = asked.measured[query];
    way.error()
        .limit(nearest.bound(), measured, way.slack(query))
}

/// Measures queries. For the dot product they are scaled to about the length of the rows, of which a few are looked at.
#[inline(always)]
fn asked<'a, S: Score>(score: S, scoring: Scoring, job: &Job<'a>) -> Asked<'a> {
    let dimension = job.rows.dimension();
    let mut longest = 0.0f32;
    if scoring == Scoring::NegativeDot {
        let step = (job.slots.len() / 64).max(1);
        for place in (0..job.slots.len()).step_by(step) {
            let row = job.rows.row(job.slots.at(place));
            longest = longest.max(score.squared_length(row));
        }
    }
    let length = f64::from(longest).sqrt();
    let mut measured = Vec::with_capacity(job.nearest.len());
    for query in job.queries.chunks_exact(dimension) {
        let squared: f64 = query.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        let power = (length / squared.sqrt()).log2().round();
        let mut scale = 1.0;
        // Not so for a query or rows of zeroes, nor for Euclidean.
        if power.is_finite() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a power of two within range"
            )]
            let power = power.clamp(-100.0, 100.0).exp2() as f32;
            scale = power;
        }
        measured.push(Measured {
            scale,
            squared_length: squared * f64::from(scale) * f64::from(scale),
        });
    }
    Asked {
        dimension,
        queries: job.queries,
        measured,
    }
}
