//! Exact search: every query against every row.

use std::ops::Range;

use crate::engine::cpu::distance::{Distance, Score, Task};
use crate::engine::cpu::nearest::Nearest;
use crate::engine::cpu::rows::Rows;
use crate::engine::{Neighbor, slot};

/// The `k` nearest of `slots` for one query, nearest first: one score after the other, on the caller's thread.
pub(crate) fn scan(
    distance: Distance,
    rows: &Rows,
    query: &[f32],
    k: usize,
    slots: Range<u32>,
) -> Vec<Neighbor> {
    let mut nearest = Nearest::new(k);
    distance.run(Scan {
        query,
        rows,
        slots,
        nearest: &mut nearest,
    });
    let mut found = Vec::new();
    nearest.finish(&mut found);
    found
}

struct Scan<'a> {
    query: &'a [f32],
    rows: &'a Rows,
    slots: Range<u32>,
    nearest: &'a mut Nearest,
}

impl Task for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Score>(self, score: S) {
        let Self {
            query,
            rows,
            slots,
            nearest,
        } = self;
        let (stride, dimension) = (rows.stride(), rows.dimension());
        for run in rows.runs(slots, usize::MAX) {
            let row = |place: usize| &run.rows[place * stride..][..dimension];
            let mut place = 0;
            while place + 4 <= run.count {
                let four = [row(place), row(place + 1), row(place + 2), row(place + 3)];
                let scores = score.four(query, four);
                for (i, score) in scores.into_iter().enumerate() {
                    let slot = slot(run.first + place + i);
                    nearest.push(Neighbor { score, slot });
                }
                place += 4;
            }
            for place in place..run.count {
                let score = score.one(query, row(place));
                let slot = slot(run.first + place);
                nearest.push(Neighbor { score, slot });
            }
        }
    }
}
