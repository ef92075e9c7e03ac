//! Which rows are equal to an earlier one, bit for bit: found out when they come, by a hash of 96 bits.
//!
//! The hash is seeded anew in each process, so that nobody knows beforehand which rows have one hash. Among a million rows, two different ones are taken for
//! equal with a probability of 2^-57. It takes 16 bytes for each different row, in a table that is at least half full once it has grown.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use hashbrown::hash_table::Entry;
use hashbrown::{HashMap, HashTable};
use twox_hash::XxHash3_128;

use crate::engine::SlotSet;
use crate::engine::cpu::pool::Pool;

/// Rows that a thread takes at a time.
const TURN: usize = 256;

/// What is remembered of a row.
pub(super) type Mark = [u32; 3];

/// A row that is equal to none before it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    mark: Mark,
    slot: u32,
}

/// The rows there are, by their hashes.
#[derive(Debug, Clone, Default)]
pub(super) struct EqualRows {
    seen: HashTable<Seen>,
    /// Of each row that is equal to an earlier one, the first of these.
    firsts: HashMap<u32, u32>,
}

impl EqualRows {
    /// The marks of `rows`, laid end to end.
    pub(super) fn stage(rows: &[f32], dimension: usize, pool: &Pool) -> Vec<Mark> {
        let mut marks = vec![Mark::default(); rows.len() / dimension];
        let turns = rows.chunks(TURN * dimension).zip(marks.chunks_mut(TURN));
        pool.work(
            turns.collect(),
            || (),
            |(), (rows, marks)| {
                for (row, mark) in rows.chunks_exact(dimension).zip(marks) {
                    *mark = mark_of(row);
                }
            },
        );
        marks
    }

    /// Takes rows in, the first of which becomes slot `first`.
    pub(super) fn commit(&mut self, first: u32, marks: &[Mark]) {
        for (slot, mark) in (first..).zip(marks) {
            self.take_in(slot, *mark);
        }
    }

    fn take_in(&mut self, slot: u32, mark: Mark) {
        let place = |seen: &Seen| hash_of(seen.mark);
        match self
            .seen
            .entry(hash_of(mark), |seen| seen.mark == mark, place)
        {
            Entry::Occupied(seen) => {
                self.firsts.insert(slot, seen.get().slot);
            }
            Entry::Vacant(free) => {
                free.insert(Seen { mark, slot });
            }
        }
    }

    /// The first of the rows that are equal to that of `slot`, if that is another one.
    pub(super) fn first_of(&self, slot: u32) -> Option<u32> {
        self.firsts.get(&slot).copied()
    }

    /// How many rows are equal to an earlier one.
    pub(super) fn copies(&self) -> usize {
        self.firsts.len()
    }

    /// The same for the slots that are `alive`, numbered anew in their order, of `count` there are.
    pub(super) fn only(&self, alive: &SlotSet, count: usize) -> Self {
        let numbers = alive.numbering(count);
        let mut copies: Vec<(u32, u32)> = self.firsts.iter().map(|(a, b)| (*a, *b)).collect();
        copies.retain(|(copy, _)| alive.contains(*copy));
        copies.sort_unstable();
        // Where the first of several is gone, the next is the first.
        let mut heirs = HashMap::new();
        for (copy, first) in &copies {
            if !alive.contains(*first) {
                heirs.entry(*first).or_insert(*copy);
            }
        }
        let mut seen = HashTable::with_capacity(self.seen.len().min(alive.len()));
        for old in &self.seen {
            let stays = alive.contains(old.slot).then_some(old.slot);
            if let Some(now) = stays.or_else(|| heirs.get(&old.slot).copied()) {
                let now = Seen {
                    slot: numbers[now as usize],
                    ..*old
                };
                seen.insert_unique(hash_of(now.mark), now, |seen| hash_of(seen.mark));
            }
        }
        let firsts = copies.into_iter().filter_map(|(copy, first)| {
            let first = heirs.get(&first).copied().unwrap_or(first);
            (copy != first).then(|| (numbers[copy as usize], numbers[first as usize]))
        });
        Self {
            seen,
            firsts: firsts.collect(),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the three parts are meant")]
fn mark_of(row: &[f32]) -> Mark {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| RandomState::new().hash_one(0));
    let hash = XxHash3_128::oneshot_with_seed(seed, bytemuck::cast_slice(row));
    [hash as u32, (hash >> 32) as u32, (hash >> 64) as u32]
}

fn hash_of([low, high, _]: Mark) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::cpu::pool::Purpose;

    fn of(rows: &[f32], dimension: usize) -> EqualRows {
        let marks = EqualRows::stage(rows, dimension, &Pool::new(2, Purpose::Build));
        let mut equal = EqualRows::default();
        let (one, rest) = marks.split_at(marks.len() / 3);
        equal.commit(0, one);
        equal.commit(u32::try_from(one.len()).unwrap(), rest);
        equal
    }

    /// By comparing each with each.
    fn naive(rows: &[f32], dimension: usize) -> Vec<Option<u32>> {
        let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let rows: Vec<_> = rows.chunks_exact(dimension).map(bits).collect();
        let first = |at: usize| rows[..at].iter().position(|row| *row == rows[at]);
        (0..rows.len())
            .map(|at| first(at).map(|first| u32::try_from(first).unwrap()))
            .collect()
    }

    fn firsts(equal: &EqualRows, count: usize) -> Vec<Option<u32>> {
        (0..u32::try_from(count).unwrap())
            .map(|slot| equal.first_of(slot))
            .collect()
    }

    fn rows(count: usize, dimension: usize, values: u8) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(7);
        let of = |value: u8| [0.0, -0.0, 1.0, 1.5, f32::MIN_POSITIVE][usize::from(value) % 5];
        (0..count * dimension)
            .map(|_| of(random.u8(..values)))
            .collect()
    }

    #[test]
    fn rows_are_equal_where_all_their_bits_are() {
        for dimension in [1, 3, 5, 7, 17] {
            for (count, values) in [(1, 5), (2, 1), (33, 2), (1000, 5)] {
                let rows = rows(count, dimension, values);
                let equal = of(&rows, dimension);
                assert_eq!(firsts(&equal, count), naive(&rows, dimension));
            }
        }
    }

    #[test]
    fn what_is_left_is_known_as_if_it_had_come_alone() {
        let (count, dimension) = (400, 2);
        let rows = rows(count, dimension, 4);
        let mut equal = of(&rows, dimension);
        let mut left = rows;
        for step in [2, 3, 1] {
            let there = left.len() / dimension;
            let alive: SlotSet = (1..)
                .step_by(step)
                .take_while(|s| (*s as usize) < there)
                .collect();
            equal = equal.only(&alive, there);
            left = alive
                .iter()
                .flat_map(|slot| left[slot as usize * dimension..][..dimension].to_vec())
                .collect();
            let there = left.len() / dimension;
            assert_eq!(firsts(&equal, there), naive(&left, dimension));
            // What comes then is compared with what is left.
            let marks = EqualRows::stage(&left, dimension, &Pool::new(1, Purpose::Build));
            let mut more = equal.clone();
            more.commit(u32::try_from(there).unwrap(), &marks);
            let doubled = [left.clone(), left.clone()].concat();
            assert_eq!(firsts(&more, 2 * there), naive(&doubled, dimension));
        }
    }
}
