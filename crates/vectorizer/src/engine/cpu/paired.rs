//! The CPU's part of a pair of engines, of which the other walks: what is found there is scored again here, and what changes here is told
//! before it is shown.

use crate::engine::cpu::CpuEngine;
use crate::engine::cpu::distance::{Score, Task};
use crate::engine::cpu::graph::{Graph, StagedLinks};
use crate::engine::cpu::link;
use crate::engine::cpu::probe::Full;
use crate::engine::cpu::rows::Rows;
use crate::engine::cpu::walk::{Key, in_order};
use crate::engine::{Attachment, Counters, Hits, LevelLinks, LinkBatch, Neighbor, check_shape};
use crate::error::Result;

/// Queries that a thread takes at a time.
const TURN: usize = 16;

/// A query, what was found for it, and where its answer goes.
struct Found<'a> {
    query: &'a [f32],
    found: &'a [Neighbor],
    to: &'a mut [Neighbor],
}

/// Scores what was found for some queries again.
struct Again<'a, 'b> {
    rows: &'a Rows,
    turns: &'a mut [Found<'b>],
    slots: &'a mut Vec<u32>,
    order: &'a mut Vec<Key>,
}

impl Task for Again<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Self {
            rows,
            turns,
            slots,
            order,
        } = self;
        for turn in turns {
            slots.clear();
            slots.extend(turn.found.iter().map(|found| found.slot));
            let probe = Full {
                score,
                query: turn.query,
                rows,
            };
            in_order(probe, slots, order);
            for (to, key) in turn.to.iter_mut().zip(order.iter()) {
                *to = key.neighbor();
            }
        }
    }
}

impl CpuEngine {
    /// The nearest `k` of what was found for each query, by the rows themselves. Cost: a score for each slot that was found.
    pub(crate) fn score_again(&self, queries: &[f32], found: &Hits, k: usize) -> Hits {
        let k = k.min(self.graph.len());
        if k == 0 || found.width() == 0 {
            return Hits::none(found.queries());
        }
        let mut hits = vec![Neighbor::NONE; k * found.queries()];
        let mut turns: Vec<Found<'_>> = queries
            .chunks_exact(self.layout.dimension)
            .zip(found.iter())
            .zip(hits.chunks_exact_mut(k))
            .map(|((query, found), to)| Found { query, found, to })
            .collect();
        let scores: usize = turns.iter().map(|turn| turn.found.len()).sum();
        self.search.work(
            turns.chunks_mut(TURN).collect(),
            || (Vec::new(), Vec::new()),
            |(slots, order), turns| {
                self.distance.run(Again {
                    rows: &self.rows,
                    turns,
                    slots,
                    order,
                });
            },
        );
        self.count(&mut Counters {
            distances: scores as u64,
            ..Counters::default()
        });
        Hits::new(k, hits)
    }

    /// Works out the links of a batch, as [`Engine::stage_links`](crate::engine::Engine::stage_links) does.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn work_out(&self, batch: &LinkBatch<'_>) -> Result<StagedLinks> {
        link::stage(self, batch)
    }

    /// Shows what was worked out.
    pub(crate) fn show(&mut self, staged: StagedLinks) {
        self.graph.commit(staged);
    }

    /// The links of a slot on a level that it has.
    pub(crate) fn row_of_links(&self, attachment: &Attachment) -> &[u32] {
        self.graph.row(attachment.level, attachment.from)
    }

    /// Links that were read back, beside those there are.
    ///
    /// # Errors
    /// As [`Engine::put_links`](crate::engine::Engine::put_links).
    pub(crate) fn graph_of(&self, levels: &[u8], links: &[LevelLinks]) -> Result<Graph> {
        check_shape(self.layout, self.rows.len(), levels, links)?;
        self.graph.of(levels, links)
    }

    /// Puts them in the place of those there are.
    pub(crate) fn replace_graph(&mut self, graph: Graph) {
        self.graph = graph;
    }
}
