//! The index of one field: which slots have which value, values in order where ranges are asked for.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use hashbrown::{HashMap, HashSet};
use roaring::RoaringBitmap;
use serde_json::Value;

use super::slots::{self, Slots};
use crate::filter::{Interval, Number, Path, Scalar, Seen, Test, Time};

/// From values to slots, for the values at one key.
#[derive(Debug)]
pub(crate) struct FieldIndex {
    path: Path,
    texts: HashMap<Scalar, Slots>,
    numbers: BTreeMap<Number, Slots>,
    /// The same slots as in `texts`, for the texts that are times.
    times: BTreeMap<Time, Slots>,
    nulls: RoaringBitmap,
    /// Where the key is not empty.
    existing: RoaringBitmap,
    /// Where there is a value other than null.
    valued: RoaringBitmap,
    /// Where there are several different ones: these can equal a value and still be an exception to it.
    several: RoaringBitmap,
}

impl FieldIndex {
    pub(super) fn new(path: Path) -> Self {
        Self {
            path,
            texts: HashMap::new(),
            numbers: BTreeMap::new(),
            times: BTreeMap::new(),
            nulls: RoaringBitmap::new(),
            existing: RoaringBitmap::new(),
            valued: RoaringBitmap::new(),
            several: RoaringBitmap::new(),
        }
    }

    pub(super) fn insert(&mut self, slot: u32, payload: &Value) {
        let (mut values, exists) = self.path.values(payload);
        if exists {
            self.existing.insert(slot);
        }
        values.sort_unstable();
        values.dedup();
        let mut valued = 0;
        for value in values {
            match value {
                Seen::Null => {
                    self.nulls.insert(slot);
                    continue;
                }
                Seen::Other => {}
                Seen::Scalar(Scalar::Number(number)) => {
                    let of = self.numbers.entry(number);
                    of.and_modify(|slots| slots.insert(slot))
                        .or_insert(Slots::One(slot));
                }
                Seen::Scalar(scalar) => {
                    if let Some(time) = time_of(&scalar) {
                        let of = self.times.entry(time);
                        of.and_modify(|slots| slots.insert(slot))
                            .or_insert(Slots::One(slot));
                    }
                    let of = self.texts.entry(scalar);
                    of.and_modify(|slots| slots.insert(slot))
                        .or_insert(Slots::One(slot));
                }
            }
            valued += 1;
        }
        if valued > 0 {
            self.valued.insert(slot);
        }
        if valued > 1 {
            self.several.insert(slot);
        }
    }

    /// Takes a slot out; `payload` is what it was put in with.
    pub(super) fn remove(&mut self, slot: u32, payload: &Value) {
        for bitmap in [
            &mut self.nulls,
            &mut self.existing,
            &mut self.valued,
            &mut self.several,
        ] {
            bitmap.remove(slot);
        }
        for value in self.path.values(payload).0 {
            let Seen::Scalar(scalar) = value else {
                continue;
            };
            if let Scalar::Number(number) = &scalar {
                if self.numbers.get_mut(number).is_some_and(|s| s.remove(slot)) {
                    self.numbers.remove(number);
                }
                continue;
            }
            if let Some(time) = time_of(&scalar)
                && self.times.get_mut(&time).is_some_and(|s| s.remove(slot))
            {
                self.times.remove(&time);
            }
            if self.texts.get_mut(&scalar).is_some_and(|s| s.remove(slot)) {
                self.texts.remove(&scalar);
            }
        }
    }

    pub(super) fn renumber(&mut self, numbers: &[u32]) {
        self.texts.retain(|_, slots| renumber(slots, numbers));
        self.numbers.retain(|_, slots| renumber(slots, numbers));
        self.times.retain(|_, slots| renumber(slots, numbers));
        for bitmap in [
            &mut self.nulls,
            &mut self.existing,
            &mut self.valued,
            &mut self.several,
        ] {
            *bitmap = slots::renumber(bitmap, numbers);
        }
    }

    /// The slots that pass a test; of those without a payload, the ones that pass are left out. `None` for `is_empty`, which
    /// is everything but what exists. `holds` says of one slot whether it passes.
    pub(crate) fn passing(
        &self,
        test: &Test,
        holds: &dyn Fn(u32) -> bool,
    ) -> Option<RoaringBitmap> {
        Some(match test {
            Test::Any(these) => self.equal(these),
            Test::Except(these) => {
                let equal = self.equal(these);
                let both = &equal & &self.several;
                let exceptions: RoaringBitmap = both.iter().filter(|slot| holds(*slot)).collect();
                (&self.valued - equal) | exceptions
            }
            Test::Numbers(interval) => within(&self.numbers, interval),
            Test::Times(interval) => within(&self.times, interval),
            Test::Exists => self.existing.clone(),
            Test::IsNull => self.nulls.clone(),
            Test::IsEmpty => return None,
        })
    }

    /// The slots where the key is not empty.
    pub(crate) fn existing(&self) -> &RoaringBitmap {
        &self.existing
    }

    fn equal(&self, these: &HashSet<Scalar>) -> RoaringBitmap {
        slots::union(these.iter().filter_map(|scalar| match scalar {
            Scalar::Number(number) => self.numbers.get(number),
            other => self.texts.get(other),
        }))
    }
}

fn renumber(slots: &mut Slots, numbers: &[u32]) -> bool {
    match slots.renumber(numbers) {
        Some(left) => {
            *slots = left;
            true
        }
        None => false,
    }
}

fn within<T: Ord + Copy>(values: &BTreeMap<T, Slots>, interval: &Interval<T>) -> RoaringBitmap {
    // The map refuses, by a panic, to look between bounds that are the wrong way round.
    let (low, high) = (interval.start_bound(), interval.end_bound());
    let nothing = match (low, high) {
        (Bound::Included(a), Bound::Included(b)) => a > b,
        (Bound::Included(a) | Bound::Excluded(a), Bound::Included(b) | Bound::Excluded(b)) => {
            a >= b
        }
        _ => false,
    };
    if nothing {
        return RoaringBitmap::new();
    }
    slots::union(values.range((low, high)).map(|(_, slots)| slots))
}

fn time_of(scalar: &Scalar) -> Option<Time> {
    match scalar {
        Scalar::Text(text) => Time::parse(text),
        _ => None,
    }
}
