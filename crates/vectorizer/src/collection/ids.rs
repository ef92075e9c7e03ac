//! The callers' ids and the slots they stand for, compact: the text lies end to end, the table holds slots alone.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::engine::slot;

/// Ids by slot and slots by id. A slot without an id is dead: its vector was replaced.
#[derive(Debug, Default)]
pub(super) struct Ids {
    text: String,
    /// Where the id of each slot ends in `text`.
    ends: Vec<usize>,
    /// Slots of the living, by the hash of their id.
    table: HashTable<u32>,
    /// A bit for each slot that is dead.
    dead: Vec<u64>,
    hasher: DefaultHashBuilder,
}

impl Ids {
    /// The slot of an id that is alive.
    pub(super) fn slot(&self, id: &str) -> Option<u32> {
        self.table
            .find(self.hasher.hash_one(id), |slot| self.text(*slot) == id)
            .copied()
    }

    /// The id of a slot that is alive.
    pub(super) fn id(&self, slot: u32) -> Option<&str> {
        (!self.is_dead(slot)).then(|| self.text(slot))
    }

    fn is_dead(&self, slot: u32) -> bool {
        self.dead
            .get(slot as usize / 64)
            .is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    fn text(&self, slot: u32) -> &str {
        let slot = slot as usize;
        let start = slot.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[slot]]
    }

    /// Gives the next slot this id; whoever had it before is dead.
    pub(super) fn push(&mut self, id: &str) {
        let new = slot(self.ends.len());
        self.text.push_str(id);
        self.ends.push(self.text.len());
        let hash = self.hasher.hash_one(id);
        let Self {
            text,
            ends,
            table,
            hasher,
            ..
        } = self;
        let of = |slot: u32| {
            let slot = slot as usize;
            &text[slot.checked_sub(1).map_or(0, |before| ends[before])..ends[slot]]
        };
        match table.entry(
            hash,
            |slot| of(*slot) == id,
            |slot| hasher.hash_one(of(*slot)),
        ) {
            hashbrown::hash_table::Entry::Occupied(mut taken) => {
                let old = std::mem::replace(taken.get_mut(), new) as usize;
                self.dead.resize(self.dead.len().max(old / 64 + 1), 0);
                self.dead[old / 64] |= 1 << (old % 64);
            }
            hashbrown::hash_table::Entry::Vacant(free) => {
                free.insert(new);
            }
        }
    }

    /// How many are alive.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many slots are dead.
    pub(super) fn dead(&self) -> usize {
        self.ends.len() - self.table.len()
    }

    /// The living, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..slot(self.ends.len())).filter_map(|slot| Some((slot, self.id(slot)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_slots_find_each_other() {
        let mut ids = Ids::default();
        for number in 0..10_000 {
            ids.push(&format!("id-{number}"));
        }
        assert_eq!(ids.len(), 10_000);
        assert_eq!(ids.slot("id-0"), Some(0));
        assert_eq!(ids.slot("id-9999"), Some(9999));
        assert_eq!(ids.slot("id-10000"), None);
        assert_eq!(ids.id(77), Some("id-77"));
    }

    #[test]
    fn a_second_push_replaces_the_first() {
        let mut ids = Ids::default();
        for id in ["a", "b", "a"] {
            ids.push(id);
        }
        assert_eq!((ids.len(), ids.dead()), (2, 1));
        assert_eq!(ids.slot("a"), Some(2));
        assert_eq!(ids.id(0), None);
        assert_eq!(ids.iter().collect::<Vec<_>>(), [(1, "b"), (2, "a")]);
    }
}
