//! Walks for many queries at once, shared among threads.

use super::CpuEngine;
use super::walk::{Among, Beams, Descend, Descent, Turn};
use crate::engine::{Neighbor, Walk};

/// Queries of a batch that a thread takes at a time.
const TURN: usize = 32;

impl CpuEngine {
    pub(super) fn walk_batch(
        &self,
        queries: &[f32],
        walk: &Walk,
        among: Option<Among<'_>>,
        hits: &mut [Neighbor],
        k: usize,
    ) {
        let none = Descent::NONE;
        let mut turns: Vec<Turn<'_>> = queries
            .chunks_exact(self.layout.dimension)
            .zip(hits.chunks_mut(k))
            .map(|(query, to)| Turn {
                query,
                descent: none,
                to,
            })
            .collect();
        let (ground, codes) = (self.ground(), self.codes.as_ref());
        let share = turns
            .len()
            .div_ceil(8 * self.search.threads())
            .clamp(1, TURN);
        self.search.work(
            turns.chunks_mut(share).collect(),
            || (),
            |(), turns| {
                self.with_scratch(|scratch| {
                    self.distance.run(Descend {
                        ground,
                        codes,
                        walk,
                        turns,
                        scratch,
                    });
                });
            },
        );
        // Walks that begin alike read the same rows: one after the other, they find them in the cache. Measured on 60,000 x 784: 1.4
        // to 1.6 times the queries a second.
        turns.sort_by_key(|turn| turn.descent.path);
        self.search.work(
            turns.chunks_mut(share).collect(),
            || (),
            |(), turns| {
                self.with_scratch(|scratch| {
                    self.distance.run(Beams {
                        ground,
                        codes,
                        walk,
                        among,
                        turns,
                        scratch,
                    });
                });
            },
        );
    }
}
