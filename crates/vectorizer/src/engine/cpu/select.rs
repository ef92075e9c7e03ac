//! The choice of links among candidates: HNSW's heuristic.

use crate::engine::Selection;
use crate::engine::cpu::distance::Score;
use crate::engine::cpu::rows::Rows;
use crate::engine::cpu::walk::Key;

/// How many links are chosen, and filled up to with the dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    own: usize,
    fill: usize,
}

impl Quota {
    fn new(level: usize, own: usize, fill: usize) -> Self {
        if level == 0 {
            Self { own, fill }
        } else {
            Self {
                own: own.div_ceil(2),
                fill: fill.div_ceil(2),
            }
        }
    }

    /// For so many links.
    pub(crate) fn of(links: usize) -> Self {
        Self {
            own: links,
            fill: links,
        }
    }

    /// For a new slot on `level`.
    pub(crate) fn of_new(selection: &Selection, level: usize) -> Self {
        Self::new(level, selection.own, selection.fill)
    }

    /// For a full row on `level`.
    pub(crate) fn of_full(selection: &Selection, level: usize) -> Self {
        Self::new(level, selection.relink_own, selection.relink_fill)
    }
}

/// What a selection needs; the next one uses it again.
#[derive(Debug, Default)]
pub(crate) struct Selector {
    chosen: Vec<Key>,
    dropped: Vec<Key>,
    /// The chosen in the order in which they are asked whether they drop a candidate: who did so last is asked first.
    asked: Vec<Key>,
    /// Scores computed and not yet reported.
    pub(crate) distances: u64,
}

impl Selector {
    /// Chooses among `candidates`, which are in order and unmarked: a candidate is dropped if a chosen one is nearer to it than the slot
    /// whose links these are, or if the three are equally far (duplicates of one another). The chosen come first, then the
    /// filled in, each in order; of candidates that are equally far only the first may be filled in, for copies of one vector
    /// lead nowhere else.
    #[inline(always)]
    pub(crate) fn select<S: Score>(
        &mut self,
        score: S,
        rows: &Rows,
        candidates: &[Key],
        quota: Quota,
    ) -> &[Key] {
        self.select_beside(score, rows, &[], candidates, quota)
    }

    /// The same for a row that has the links `kept`, which drop candidates like the chosen and are not among what is returned.
    #[inline(always)]
    pub(crate) fn select_beside<S: Score>(
        &mut self,
        score: S,
        rows: &Rows,
        kept: &[Key],
        candidates: &[Key],
        quota: Quota,
    ) -> &[Key] {
        self.chosen.clear();
        self.dropped.clear();
        self.asked.clear();
        self.asked.extend_from_slice(kept);
        let mut before = None;
        for &candidate in candidates {
            if self.chosen.len() >= quota.own {
                break;
            }
            let tied = before.replace(candidate.score_bits()) == Some(candidate.score_bits());
            if let Some(by) = self.dropper(score, rows, candidate) {
                self.asked[..=by].rotate_right(1);
                if !tied {
                    self.dropped.push(candidate);
                }
            } else {
                self.asked.push(candidate);
                self.chosen.push(candidate);
            }
        }
        let lacking = quota.fill.saturating_sub(self.chosen.len());
        self.chosen.extend(self.dropped.iter().take(lacking));
        &self.chosen
    }

    /// The place in `asked` of one that drops `candidate`. Which one is found, of several, changes nothing.
    #[inline(always)]
    fn dropper<S: Score>(&mut self, score: S, rows: &Rows, candidate: Key) -> Option<usize> {
        let bound = candidate.score();
        let query = rows.row(candidate.slot());
        let (first, later) = self.asked.split_first()?;
        self.distances += 1;
        let between = score.one(query, rows.row(first.slot()));
        if drops(between, *first, bound) {
            return Some(0);
        }
        let (fours, rest) = later.as_chunks::<4>();
        for (at, four) in fours.iter().enumerate() {
            let [a, b, c, d] = *four;
            let these = [
                rows.row(a.slot()),
                rows.row(b.slot()),
                rows.row(c.slot()),
                rows.row(d.slot()),
            ];
            self.distances += 4;
            let between = score.four(query, these);
            for i in 0..4 {
                if drops(between[i], four[i], bound) {
                    return Some(1 + 4 * at + i);
                }
            }
        }
        for (at, &one) in rest.iter().enumerate() {
            self.distances += 1;
            let between = score.one(query, rows.row(one.slot()));
            if drops(between, one, bound) {
                return Some(1 + 4 * fours.len() + at);
            }
        }
        None
    }
}

/// Whether `chosen`, `between` away from a candidate of score `score`, drops it.
#[inline(always)]
#[expect(
    clippy::float_cmp,
    reason = "duplicates have the same score to the bit"
)]
fn drops(between: f32, chosen: Key, score: f32) -> bool {
    between < score || (between == score && chosen.score() == score)
}
