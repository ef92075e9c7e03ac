//! Where slots that cannot be reached are attached.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use super::{Level, Reach};
use crate::engine::{NO_SLOT, Neighbor};

/// How many of the nearest may give a lost slot an empty place.
const NEAREST: usize = 4;
/// How many rows are looked at for an empty place around a near slot that has none, each time.
const LOOKED_AT: usize = 1024;

/// Slots attached in this round, by the near one that they came to. They have room for those who come to the same one
/// later: so copies of one vector become a tree of copies, and the first of them keeps its links to the rest.
#[derive(Default)]
pub(super) struct Heirs {
    of: HashMap<usize, VecDeque<usize>>,
    around: HashMap<usize, Around>,
    /// Where the search for any place at all goes on.
    anywhere: usize,
}

/// What is looked at for room around a near slot, breadth first: whoever comes later goes on where the one before found some.
#[derive(Default)]
struct Around {
    waiting: VecDeque<usize>,
    seen: HashSet<usize>,
}

impl Heirs {
    /// The row (by rank) and the place in it where the lost `rank` is attached, given what a walk found near it. There is one as long as
    /// something is reached, since a tree needs fewer links than there are places.
    ///
    /// An empty place at one of the very nearest or at its heirs; else, once for each near one, the place of a link that nobody depends on;
    /// else an empty place around them, or any that is left. Every call finds one, so that one round attaches all it is given.
    pub(super) fn place(
        &mut self,
        level: &Level<'_>,
        reach: &Reach,
        near: &[Neighbor],
        rank: usize,
    ) -> Option<(usize, usize)> {
        let ranks = near.iter().filter_map(|n| level.rank(n.slot));
        let ranks: Vec<usize> = ranks.filter(|from| reach.reached[*from]).collect();
        // The nearest are equally far: copies of one vector, more than have room. What else they lead to stays.
        let copies = near.len() > NEAREST && near[0].score.total_cmp(&near[NEAREST].score).is_eq();
        let (near, from, place) = self
            .at_nearest(level, &ranks)
            .or_else(|| {
                let untouched = |near: &usize| self.of.get(near).is_none_or(VecDeque::is_empty);
                let mut untouched = ranks.iter().copied().filter(untouched);
                untouched
                    .find_map(|near| Some((near, near, reach.free_place(level, near)?)))
                    .filter(|_| !copies)
            })
            .or_else(|| self.around(level, reach, &ranks))
            .or_else(|| {
                let (from, place) = self.anywhere(level, reach)?;
                Some((from, from, place))
            })?;
        self.of.entry(near).or_default().push_back(rank);
        Some((from, place))
    }

    /// An empty place at one of the very nearest, or at its heirs: `(near one, from, place)`.
    fn at_nearest(&mut self, level: &Level<'_>, near: &[usize]) -> Option<(usize, usize, usize)> {
        for near in near.iter().take(NEAREST).copied() {
            if let Some(place) = Reach::empty_place(level, near) {
                return Some((near, near, place));
            }
            let heirs = self.of.entry(near).or_default();
            while let Some(heir) = heirs.front().copied() {
                if let Some(place) = Reach::empty_place(level, heir) {
                    return Some((near, heir, place));
                }
                heirs.pop_front();
            }
        }
        None
    }

    /// An empty place at what the near ones lead to, the next ring after the last: `(near one, from, place)`.
    fn around(
        &mut self,
        level: &Level<'_>,
        reach: &Reach,
        near: &[usize],
    ) -> Option<(usize, usize, usize)> {
        let first = *near.first()?;
        let Around { waiting, seen } = self.around.entry(first).or_insert_with(|| Around {
            waiting: near.iter().copied().collect(),
            seen: near.iter().copied().collect(),
        });
        for _ in 0..LOOKED_AT {
            let from = *waiting.front()?;
            if let Some(place) = Reach::empty_place(level, from) {
                return Some((first, from, place));
            }
            waiting.pop_front();
            let row = level.row(from).iter().take_while(|to| **to != NO_SLOT);
            let ranks = row.filter_map(|to| level.rank(*to));
            waiting.extend(ranks.filter(|to| reach.reached[*to] && seen.insert(*to)));
        }
        None
    }

    /// Any place that is empty or whose link nobody depends on.
    fn anywhere(&mut self, level: &Level<'_>, reach: &Reach) -> Option<(usize, usize)> {
        let count = reach.reached.len();
        for _ in 0..=count {
            let from = self.anywhere % count;
            if reach.reached[from]
                && let Some(place) = reach.free_place(level, from)
            {
                return Some((from, place));
            }
            self.anywhere += 1;
        }
        None
    }
}
