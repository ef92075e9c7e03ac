//! What a filter is for beside searching: counting, going through in order, deleting; and the indexes that make it quick.

use std::iter::FusedIterator;

use serde::Serialize;

use super::question::Question;
use super::select::{Explanation, Selection, select};
use super::{Change, Collection, State};
use crate::error::{Result, VectorizerError};
use crate::filter::Filter;
use crate::models::{Payload, Vector};

/// Bytes of vectors that an iterator reads ahead.
const READ_AHEAD: usize = 4 << 20;

/// A place in the order of insertion, to go on from. Of a collection on disk it stays what it is when that is closed and opened again, so that it
/// can be given to somebody who comes back later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Cursor(u64);

/// A part of a collection, in the order of insertion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// A vector without its components.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its payload, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
}

impl Collection {
    /// Indexes the values at `key` (a [path](crate::filter#paths)): conditions on exactly this key are then answered without looking at payloads. The
    /// index follows every change. Doing it again does nothing. Searches go on meanwhile. A collection on disk remembers which fields are indexed, and
    /// indexes them again when it is opened.
    ///
    /// Cost: one pass over the payloads; memory for each value and, in bitmaps, for each vector that has it. An index on a part of an array
    /// (`a[].b`) serves that key and no other.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`] for a key that is none; [`VectorizerError::StoreFailed`], and there is no index then.
    pub fn create_payload_index(&self, key: &str) -> Result<()> {
        // Nobody writes between what is staged and what is shown.
        let _writer = self.changing()?;
        let (staged, mut keys) = {
            let state = self.state.read();
            if state.payloads.index(key).is_some() {
                return Ok(());
            }
            let keys: Vec<String> = state.payloads.indexed().map(str::to_owned).collect();
            (state.payloads.stage_index(key)?, keys)
        };
        keys.push(key.to_owned());
        keys.sort_unstable();
        self.record(&Change::SetIndexes { keys: &keys })?;
        self.state.write().payloads.commit_index(key, staged);
        Ok(())
    }

    /// Forgets the index of `key`; whether there was one. Filters mean the same without it.
    ///
    /// # Errors
    /// [`VectorizerError::StoreFailed`]; the index stays then.
    pub fn drop_payload_index(&self, key: &str) -> Result<bool> {
        let _writer = self.changing()?;
        let mut keys = self.payload_indexes();
        let before = keys.len();
        keys.retain(|other| other != key);
        if keys.len() == before {
            return Ok(false);
        }
        self.record(&Change::SetIndexes { keys: &keys })?;
        Ok(self.state.write().payloads.drop_index(key))
    }

    /// The keys that are indexed, in alphabetical order.
    #[must_use]
    pub fn payload_indexes(&self) -> Vec<String> {
        let state = self.state.read();
        state.payloads.indexed().map(str::to_owned).collect()
    }

    /// Holds a filter against the collection and says, condition by condition, whether an index answered or every payload was looked at.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`].
    pub fn explain(&self, filter: &Filter) -> Result<Explanation> {
        self.enter()?;
        let mut question = Question::new(filter)?;
        loop {
            let selection = select(&self.state.read(), &mut question);
            match selection {
                Some(selection) => return Ok(selection.explanation),
                None => question.ask(),
            }
        }
    }

    /// How many vectors pass.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`].
    pub fn count(&self, filter: &Filter) -> Result<usize> {
        self.with_selection(Some(filter), |_, selection| {
            let passed = selection.map_or(0, |selection| selection.slots.len());
            Ok(usize::try_from(passed).unwrap_or(usize::MAX))
        })
    }

    /// Deletes all that pass, in one step, and says how many they were. A [predicate](crate::filter::IdPredicate) is asked while writers are
    /// held back: it can read the collection; a change that it tries is refused ([`VectorizerError::InsideCallback`]).
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`], or those of whoever keeps the changes; nothing is deleted then.
    pub fn delete_by(&self, filter: &Filter) -> Result<usize> {
        let mut question = Question::new(filter)?;
        self.delete_chosen(|| {
            loop {
                let selection = select(&self.state.read(), &mut question);
                match selection {
                    Some(selection) => return Ok(selection.slots.iter().collect()),
                    None => question.ask(),
                }
            }
        })
    }

    /// Up to `limit` ids and payloads of those that pass (of all without a filter), in the order of insertion, beginning after `after`.
    ///
    /// What is there from the first page to the last and not replaced meanwhile comes exactly once. What is deleted meanwhile
    /// comes or does not; what is added meanwhile comes at the end, and so does what is replaced, as the new vector that it is: an old one may have come
    /// before. A cursor is good for the life of this collection, of one on disk also after it was opened again, whatever happens to the vector that it
    /// was taken at.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`], or [`VectorizerError::InvalidConfig`] for a limit of 0.
    pub fn scroll(
        &self,
        filter: Option<&Filter>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Item>> {
        check_limit(limit)?;
        self.with_selection(filter, |state, selection| {
            let (slots, next) = turn(state, selection, after, limit);
            let items = slots.into_iter().filter_map(|slot| {
                Some(Item {
                    id: state.ids.id(slot)?.to_owned(),
                    payload: state.payloads.get(&slot).cloned(),
                })
            });
            Ok(Page {
                items: items.collect(),
                next,
            })
        })
    }

    /// The same with the vectors themselves, bit for bit as they were put in.
    ///
    /// # Errors
    /// As [`Collection::scroll`], or the device failed.
    pub fn scroll_vectors(
        &self,
        filter: Option<&Filter>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Vector>> {
        check_limit(limit)?;
        self.with_selection(filter, |state, selection| {
            let (slots, next) = turn(state, selection, after, limit);
            let mut items = Vec::with_capacity(slots.len());
            // Neighbours in memory are read in one go.
            for run in slots.chunk_by(|a, b| a + 1 == *b) {
                let (Some(first), Some(last)) = (run.first(), run.last()) else {
                    continue;
                };
                let rows = state.graph.storage().read(*first..last + 1)?;
                for (slot, row) in run.iter().zip(rows.chunks_exact(self.dimension)) {
                    if let Some(id) = state.ids.id(*slot) {
                        items.push(Vector {
                            id: id.to_owned(),
                            data: row.to_vec(),
                            payload: state.payloads.get(slot).cloned(),
                        });
                    }
                }
            }
            Ok(Page { items, next })
        })
    }

    /// Goes through all vectors that pass (all without a filter), a few at a time: [`Collection::scroll_vectors`] says what it sees of
    /// changes on the way. No lock is held between vectors.
    ///
    /// ```
    /// use vectorizer::collection::Collection;
    /// use vectorizer::filter::Filter;
    /// use vectorizer::models::DistanceMetric;
    ///
    /// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
    /// let collection = Collection::new(1, DistanceMetric::Euclidean)?;
    /// collection.add_rows(&["a", "b", "c"], &[0.0, 1.0, 2.0])?;
    /// for vector in collection.vectors(Some(Filter::ids(|id| id != "b"))) {
    ///     let vector = vector?;
    ///     println!("{} {:?}", vector.id, vector.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn vectors(&self, filter: Option<Filter>) -> Vectors<'_> {
        Vectors {
            collection: self,
            filter,
            page: Vec::new().into_iter(),
            next: None,
            ended: false,
        }
    }
}

fn check_limit(limit: usize) -> Result<()> {
    if limit == 0 {
        return Err(VectorizerError::InvalidConfig {
            field: "limit",
            actual: limit.to_string(),
            expected: "at least 1",
        });
    }
    Ok(())
}

/// Slots of one page, and where the next begins.
fn turn(
    state: &State,
    selection: Option<&Selection>,
    after: Option<Cursor>,
    limit: usize,
) -> (Vec<u32>, Option<Cursor>) {
    let first = after.map_or(0, |Cursor(place)| state.places.slot_after(place));
    // One more, to know whether this is the end.
    let wanted = limit.saturating_add(1);
    let mut slots: Vec<u32> = match selection {
        Some(selection) => selection.slots.range(first..).take(wanted).collect(),
        None => state.ids.alive_from(first).take(wanted).collect(),
    };
    if slots.len() <= limit {
        return (slots, None);
    }
    slots.truncate(limit);
    let last = slots.last().map(|last| Cursor(state.places.of(*last)));
    (slots, last)
}

/// All vectors that pass, in the order of insertion; made by [`Collection::vectors`]. An error is the last that comes.
#[derive(Debug)]
pub struct Vectors<'c> {
    collection: &'c Collection,
    filter: Option<Filter>,
    page: std::vec::IntoIter<Vector>,
    next: Option<Cursor>,
    ended: bool,
}

impl Iterator for Vectors<'_> {
    type Item = Result<Vector>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(vector) = self.page.next() {
                return Some(Ok(vector));
            }
            if self.ended {
                return None;
            }
            let rows = READ_AHEAD / (4 * self.collection.dimension());
            let page = self.collection.scroll_vectors(
                self.filter.as_ref(),
                self.next,
                rows.clamp(1, 4096),
            );
            match page {
                Ok(page) => {
                    self.ended = page.next.is_none();
                    self.next = page.next;
                    self.page = page.items.into_iter();
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl FusedIterator for Vectors<'_> {}
