//! Payloads by slot, and the fields of them that are indexed.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use crate::engine::NO_SLOT;
use crate::error::Result;
use crate::filter::Path;
use crate::models::Payload;

mod field;
mod slots;

pub(super) use field::FieldIndex;

/// Payloads by slot, of the living alone; what is indexed follows every change.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    by_slot: HashMap<u32, Payload>,
    indexes: BTreeMap<String, FieldIndex>,
    /// Slots whose payloads the store has and nobody can read.
    unreadable: RoaringBitmap,
}

impl Payloads {
    /// The store has a payload of this slot that cannot be read; here it has none.
    pub(super) fn insert_unreadable(&mut self, slot: u32) {
        self.remove(slot);
        self.unreadable.insert(slot);
    }

    /// Whether the store has a payload of this slot that cannot be read.
    pub(super) fn is_unreadable(&self, slot: u32) -> bool {
        self.unreadable.contains(slot)
    }

    /// How many payloads the store has that cannot be read.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable.len()
    }

    /// The payload of a slot.
    pub(super) fn get(&self, slot: &u32) -> Option<&Payload> {
        self.by_slot.get(slot)
    }

    /// Gives a slot a payload in place of the one it had.
    pub(super) fn insert(&mut self, slot: u32, payload: Payload) {
        self.remove(slot);
        for index in self.indexes.values_mut() {
            index.insert(slot, &payload.0);
        }
        self.by_slot.insert(slot, payload);
    }

    /// The slot has no payload from now on.
    pub(super) fn remove(&mut self, slot: u32) {
        self.unreadable.remove(slot);
        if let Some(old) = self.by_slot.remove(&slot) {
            for index in self.indexes.values_mut() {
                index.remove(slot, &old.0);
            }
        }
    }

    /// Works out an index of the values at `key`.
    ///
    /// # Errors
    /// The key is none.
    pub(super) fn stage_index(&self, key: &str) -> Result<FieldIndex> {
        let mut index = FieldIndex::new(Path::parse(key, || "the key of an index".to_owned())?);
        // In the order of slots, in which bitmaps are quickest to fill.
        let mut slots: Vec<_> = self.by_slot.keys().copied().collect();
        slots.sort_unstable();
        for slot in slots {
            index.insert(slot, &self.by_slot[&slot].0);
        }
        Ok(index)
    }

    /// Uses an index from now on; nothing may have changed since it was staged.
    pub(super) fn commit_index(&mut self, key: &str, index: FieldIndex) {
        self.indexes.insert(key.to_owned(), index);
    }

    /// Forgets an index; whether there was one.
    pub(super) fn drop_index(&mut self, key: &str) -> bool {
        self.indexes.remove(key).is_some()
    }

    /// The index of the values at `key`, if there is one.
    pub(super) fn index(&self, key: &str) -> Option<&FieldIndex> {
        self.indexes.get(key)
    }

    /// The keys that are indexed, in their order.
    pub(super) fn indexed(&self) -> impl Iterator<Item = &str> {
        self.indexes.keys().map(String::as_str)
    }

    /// Each slot is `numbers[slot]` from now on, or gone where that is [`NO_SLOT`]; the order stays.
    pub(super) fn renumber(&mut self, numbers: &[u32]) {
        let payloads = std::mem::take(&mut self.by_slot);
        self.by_slot = payloads
            .into_iter()
            .filter_map(|(slot, payload)| Some((renumbered(numbers, slot)?, payload)))
            .collect();
        self.unreadable = std::mem::take(&mut self.unreadable)
            .into_iter()
            .filter_map(|slot| renumbered(numbers, slot))
            .collect();
        for index in self.indexes.values_mut() {
            index.renumber(numbers);
        }
    }
}

fn renumbered(numbers: &[u32], slot: u32) -> Option<u32> {
    let number = numbers.get(slot as usize).copied();
    number.filter(|number| *number != NO_SLOT)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::filter::{Condition, Filter, Plan};

    fn payloads() -> Payloads {
        let mut payloads = Payloads::default();
        payloads.commit_index("a", payloads.stage_index("a").unwrap());
        for (slot, value) in [
            json!(1),
            json!("x"),
            json!([1, "x"]),
            json!(null),
            json!({}),
        ]
        .into_iter()
        .enumerate()
        {
            payloads.insert(crate::engine::slot(slot * 2), json!({ "a": value }).into());
        }
        payloads
    }

    fn found(payloads: &Payloads, condition: Condition) -> Vec<u32> {
        let plan = Plan::new(&Filter::must([condition])).unwrap();
        let [crate::filter::Node::Field(field)] = plan.must.as_slice() else {
            panic!("no field: {plan:?}")
        };
        let index = payloads.index("a").unwrap();
        let passed = index.passing(&field.test, &|slot| {
            field.holds(payloads.get(&slot).map(|payload| &payload.0))
        });
        passed.unwrap().iter().collect()
    }

    #[test]
    fn an_index_follows_what_changes() {
        let mut payloads = payloads();
        let ones = || Condition::equals("a", 1);
        assert_eq!(found(&payloads, ones()), [0, 4]);
        assert_eq!(found(&payloads, Condition::is_null("a")), [6]);
        assert_eq!(found(&payloads, Condition::exists("a")), [0, 2, 4, 8]);
        assert_eq!(found(&payloads, Condition::except("a", [1])), [2, 4, 8]);
        payloads.insert(2, json!({"a": 1.0}).into());
        payloads.remove(0);
        assert_eq!(found(&payloads, ones()), [2, 4]);
        // Slots 0 and 1 are gone.
        payloads.renumber(&[NO_SLOT, NO_SLOT, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(found(&payloads, ones()), [0, 2]);
        assert_eq!(found(&payloads, Condition::is_null("a")), [4]);
        assert_eq!(payloads.get(&6).unwrap().0, json!({"a": {}}));
        assert!(payloads.drop_index("a") && !payloads.drop_index("a"));
    }
}
