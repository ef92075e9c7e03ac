//! Answers to filters, for as long as nothing changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;

use super::State;
use super::question::Question;
use super::select::{Means, Selection, select};
use crate::error::Result;
use crate::filter::Filter;

/// Answers that are remembered: people ask for the same tenant or language again and again.
const REMEMBERED: usize = 64;
/// And how many bytes they may take together; the latest is kept whatever it takes.
const REMEMBERED_BYTES: usize = 64 << 20;

/// What filters have cost so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct FilterStats {
    /// Filters held against the collection.
    pub evaluated: u64,
    /// Filters whose answer was still known, since nothing had changed.
    pub reused: u64,
    /// Conditions answered by an index.
    pub by_index: u64,
    /// Conditions answered by looking up ids.
    pub by_ids: u64,
    /// Conditions answered by looking at payloads one by one.
    pub by_scan: u64,
    /// Vectors looked at for these.
    pub scanned: u64,
}

/// Answers to the filters that were used last, and what all cost.
#[derive(Debug, Default)]
pub(super) struct Selections {
    /// The one used last at the end.
    latest: Mutex<Vec<Known>>,
    evaluated: AtomicU64,
    reused: AtomicU64,
    by_index: AtomicU64,
    by_ids: AtomicU64,
    by_scan: AtomicU64,
    scanned: AtomicU64,
}

#[derive(Debug)]
struct Known {
    filter: Filter,
    bytes: usize,
    /// The state's version for which it was found.
    version: u64,
    selection: Arc<Selection>,
}

impl Selections {
    /// What passes in this state; `None` if a function of the caller's has to be asked first, by the `question` that is made then.
    pub(super) fn of(
        &self,
        state: &State,
        filter: &Filter,
        question: &mut Option<Question>,
    ) -> Result<Option<Arc<Selection>>> {
        if let Some(known) = self.known(state, filter) {
            self.reused.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(known));
        }
        let question = match question {
            Some(question) => question,
            None => question.insert(Question::new(filter)?),
        };
        let Some(selection) = select(state, question).map(Arc::new) else {
            return Ok(None);
        };
        self.evaluated.fetch_add(1, Ordering::Relaxed);
        for step in &selection.explanation.steps {
            let counter = match step.means {
                Means::Index => &self.by_index,
                Means::Ids => &self.by_ids,
                Means::Scan => {
                    self.scanned.fetch_add(step.among, Ordering::Relaxed);
                    &self.by_scan
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // What a function of the caller's says may change while nothing here does.
        if !question.plan.has_predicate() {
            self.remember(state, filter, &selection);
        }
        Ok(Some(selection))
    }

    fn known(&self, state: &State, filter: &Filter) -> Option<Arc<Selection>> {
        let mut latest = self.latest.lock();
        latest.retain(|known| known.version == state.version);
        let place = latest.iter().rposition(|known| known.filter == *filter)?;
        latest[place..].rotate_left(1);
        latest.last().map(|known| Arc::clone(&known.selection))
    }

    fn remember(&self, state: &State, filter: &Filter, selection: &Arc<Selection>) {
        // The slots twice: as a search wants them, a bit for each vector.
        let bytes = filter.bytes() + selection.slots.serialized_size() + state.graph.len() / 8;
        let mut latest = self.latest.lock();
        let mut taken = bytes + latest.iter().map(|known| known.bytes).sum::<usize>();
        let mut forgotten = 0;
        while latest.len() - forgotten >= REMEMBERED
            || (taken > REMEMBERED_BYTES && forgotten < latest.len())
        {
            taken -= latest[forgotten].bytes;
            forgotten += 1;
        }
        latest.drain(..forgotten);
        latest.push(Known {
            filter: filter.clone(),
            bytes,
            version: state.version,
            selection: Arc::clone(selection),
        });
    }

    pub(super) fn stats(&self) -> FilterStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FilterStats {
            evaluated: read(&self.evaluated),
            reused: read(&self.reused),
            by_index: read(&self.by_index),
            by_ids: read(&self.by_ids),
            by_scan: read(&self.by_scan),
            scanned: read(&self.scanned),
        }
    }
}
