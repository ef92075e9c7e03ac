//! Exact search: every query against every row, or against those of a list.
//!
//! Few queries are [scanned](scan): row after row, by [`Distance`]. Many queries go through [`tiles`]: a tile of queries
//! and rows is a matrix product that stays in registers, which gives every score but for a rounding error; what could be
//! among the k nearest in spite of the error is scored again by [`Distance`]. Both give the same neighbours to the bit.

use crate::engine::cpu::distance::{Distance, Score, Task};
use crate::engine::cpu::nearest::Nearest;
use crate::engine::cpu::pool::Pool;
use crate::engine::cpu::rows::Rows;
use crate::engine::{Hits, Neighbor};
pub(crate) use blocks::Slots;

mod blocks;
mod tiles;

#[cfg(test)]
mod tests;

/// From this many queries on, tiles are faster than a scan.
const TILED_QUERIES: usize = 4;
/// Tiles hold a dimension of whole rows in the caches; beyond this a scan is as good.
const TILED_DIMENSION: usize = 8192;
/// Rows that a scan holds against all its queries while they are in the first-level cache's reach, in floats.
const SCAN_FLOATS: usize = 64 << 10;
/// Packed queries of one job, in floats.
const JOB_FLOATS: usize = 4 << 20;
/// A scan of fewer floats than this is not worth waking another thread.
const ALONE_FLOATS: usize = 1 << 20;
/// Neighbours found in all parts of the slots together, before the lists are merged: 64 MiB, however many threads there are.
const MOST_FOUND: usize = 8 << 20;
/// Fewer queries than this are not worth packing rows for once more.
const JOB_QUERIES: usize = 64;

/// The `min(k, slots.len())` nearest of `slots` for each query, nearest first. `queries` holds whole rows end to end.
pub(super) fn search<'s>(
    distance: Distance,
    rows: &Rows,
    pool: &Pool,
    queries: &[f32],
    k: usize,
    slots: impl Into<Slots<'s>>,
) -> Hits {
    let slots = slots.into();
    let dimension = rows.dimension();
    let count = queries.len() / dimension;
    let k = k.min(slots.len());
    if k == 0 || count == 0 {
        return Hits::new(k, vec![Neighbor::NONE; k * count]);
    }
    // Where much of what there is is asked for, scoring twice is a loss.
    let tiled = count >= TILED_QUERIES && dimension <= TILED_DIMENSION && k <= slots.len() / 8;
    let grid = Grid::new((count, dimension, k), slots, pool.threads(), tiled);

    let mut hits = vec![Neighbor::NONE; k * count * grid.parts];
    let mut rest = &mut hits[..];
    let mut jobs = Vec::new();
    for queries in queries.chunks(grid.queries * dimension) {
        for slots in grid.slots() {
            let to;
            (to, rest) = rest.split_at_mut(queries.len() / dimension * k);
            jobs.push((queries, slots, to));
        }
    }
    pool.work(
        jobs,
        || (),
        |(), (queries, slots, to)| {
            let mut nearest: Vec<Nearest> = to.chunks(k).map(|_| Nearest::new(k)).collect();
            let job = Job {
                rows,
                queries,
                slots,
                nearest: &mut nearest,
            };
            if tiled {
                distance.run(tiles::Tiles {
                    job,
                    scoring: distance.scoring(),
                });
            } else {
                distance.run(Scan(job));
            }
            let mut found = Vec::new();
            for (nearest, to) in nearest.iter_mut().zip(to.chunks_mut(k)) {
                nearest.finish(&mut found);
                to[..found.len()].copy_from_slice(&found);
            }
        },
    );
    Hits::new(k, grid.merge(hits, count, k))
}

/// How a search is cut into jobs: by queries, and where these are few also by slots.
#[derive(Debug)]
struct Grid<'a> {
    /// Queries of a job.
    queries: usize,
    /// Parts of the slots.
    parts: usize,
    slots: Slots<'a>,
}

impl<'a> Grid<'a> {
    fn new(
        (count, dimension, k): (usize, usize, usize),
        slots: Slots<'a>,
        threads: usize,
        tiled: bool,
    ) -> Self {
        let most = (JOB_FLOATS / dimension).max(1);
        let alone = count * slots.len() * dimension < ALONE_FLOATS;
        // Each part has a list of k for each query: parts of fewer than k slots, or lists without bound, would cost more than threads gain.
        let fitting = |parts: usize| {
            let worth = (slots.len() / k).min(MOST_FOUND / (count * k));
            parts.min(worth).max(1)
        };
        let (queries, parts) = if threads == 1 || alone {
            (most, 1)
        } else if tiled {
            // Rows are packed once for all queries of a job: cut by rows, each is packed once. Threads that are left share the queries.
            let parts = fitting(threads);
            let share = count.div_ceil(threads.div_ceil(parts));
            (most.min(share.max(JOB_QUERIES)), parts)
        } else if count >= 4 * threads {
            (most.min(count.div_ceil(4 * threads).max(4)), 1)
        } else {
            (most, fitting(4 * threads))
        };
        Self {
            queries,
            parts,
            slots,
        }
    }

    /// The parts of the slots.
    fn slots(&self) -> impl Iterator<Item = Slots<'a>> {
        let at = |part| self.slots.len() * part / self.parts;
        (0..self.parts).map(move |part| self.slots.part(at(part)..at(part + 1)))
    }

    /// From lists by job, part and query to one list a query.
    fn merge(&self, hits: Vec<Neighbor>, count: usize, k: usize) -> Vec<Neighbor> {
        if self.parts == 1 {
            return hits;
        }
        let mut merged = Vec::with_capacity(count * k);
        let mut all = Vec::new();
        for job in hits.chunks(self.queries * self.parts * k) {
            let queries = job.len() / (self.parts * k);
            for query in 0..queries {
                all.clear();
                for part in job.chunks(queries * k) {
                    all.extend_from_slice(&part[query * k..][..k]);
                }
                all.sort_unstable();
                merged.extend_from_slice(&all[..k]);
            }
        }
        merged
    }
}

/// Queries against a part of the slots.
struct Job<'a> {
    rows: &'a Rows,
    queries: &'a [f32],
    slots: Slots<'a>,
    /// One for each query.
    nearest: &'a mut [Nearest],
}

/// One score after the other.
struct Scan<'a>(Job<'a>);

impl Task for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Self(job) = self;
        let (stride, dimension) = (job.rows.stride(), job.rows.dimension());
        let (mut at, mut gathered) = (0, Vec::new());
        while let Some(block) = job
            .slots
            .block(job.rows, at, SCAN_FLOATS / stride, &mut gathered)
        {
            at += block.rows.count;
            let queries = job.queries.chunks_exact(dimension);
            for (query, nearest) in queries.zip(job.nearest.iter_mut()) {
                // One row after the other: four at once are four streams from memory, measured at half the speed.
                for (place, row) in block.rows.rows.chunks(stride).enumerate() {
                    let score = score.one(query, &row[..dimension]);
                    let slot = block.slot(place);
                    nearest.push(Neighbor { score, slot });
                }
            }
        }
    }
}
