//! A filter that is being held against a collection, and what the caller's functions say of ids.
//!
//! Functions are asked while no lock is held, about ids that were copied out: they may read the collection, and wait for others who
//! do. Then the filter is held against the collection again, until nothing is left to ask.

use std::cell::RefCell;

use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::select::Selection;
use super::{Collection, State};
use crate::error::Result;
use crate::filter::{Filter, IdPredicate, Plan};

/// How often a collection may change while a function of the caller's is asked; then writers are held back until the answer is there.
const MOST_CHANGES: u32 = 8;

/// A filter, ready, with the answers of functions so far.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) plan: Plan,
    pub(super) answers: Answers,
}

/// What functions have said, by slot.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Whether there is a function at all.
    wanted: bool,
    /// Of the state that was seen last: slots keep their ids while these are numbered alike.
    numbering: u64,
    version: u64,
    /// How often the state was another one than before.
    changes: u32,
    known: Vec<Known>,
    missing: Option<Missing>,
    /// What scans found in the state of this version, by condition.
    scans: HashMap<String, RoaringBitmap>,
}

#[derive(Debug)]
struct Known {
    predicate: IdPredicate,
    asked: RoaringBitmap,
    held: RoaringBitmap,
}

/// Ids that a function has to be asked about.
#[derive(Debug)]
struct Missing {
    /// Which one, among the known.
    place: usize,
    text: String,
    /// Slots, and where the id of each ends in the text.
    ends: Vec<(u32, usize)>,
}

/// A function has to be asked first.
#[derive(Debug)]
pub(super) struct Unanswered;

impl Question {
    /// # Errors
    /// [`VectorizerError::InvalidFilter`](crate::error::VectorizerError::InvalidFilter)
    pub(super) fn new(filter: &Filter) -> Result<Self> {
        let plan = Plan::new(filter)?;
        let wanted = plan.has_predicate();
        Ok(Self {
            plan,
            answers: Answers {
                wanted,
                ..Answers::default()
            },
        })
    }

    /// Asks what is missing. To be called without a lock on the state.
    pub(super) fn ask(&mut self) {
        let Some(missing) = self.answers.missing.take() else {
            return;
        };
        let known = &mut self.answers.known[missing.place];
        let mut start = 0;
        for (slot, end) in missing.ends {
            if known.predicate.holds(&missing.text[start..end]) {
                known.held.insert(slot);
            }
            known.asked.insert(slot);
            start = end;
        }
    }

    /// How often the collection has changed between two looks at it.
    pub(super) fn changes(&self) -> u32 {
        self.answers.changes
    }
}

impl Answers {
    /// Forgets what is not true of this state.
    pub(super) fn look_at(&mut self, state: &State) {
        if self.version != state.version {
            self.version = state.version;
            self.changes += 1;
            self.scans.clear();
        }
        if self.numbering != state.numbering {
            self.numbering = state.numbering;
            self.known.clear();
        }
    }

    /// Those among `slots` of whose ids the function says yes.
    ///
    /// # Errors
    /// It was not asked about all of them yet.
    pub(super) fn of(
        &mut self,
        predicate: &IdPredicate,
        slots: RoaringBitmap,
        state: &State,
    ) -> Result<RoaringBitmap, Unanswered> {
        let known = self.known.iter();
        let place = known
            .into_iter()
            .position(|known| known.predicate == *predicate);
        let place = place.unwrap_or_else(|| {
            self.known.push(Known {
                predicate: predicate.clone(),
                asked: RoaringBitmap::new(),
                held: RoaringBitmap::new(),
            });
            self.known.len() - 1
        });
        let known = &self.known[place];
        let open = &slots - &known.asked;
        if open.is_empty() {
            return Ok(slots & &known.held);
        }
        let mut missing = Missing {
            place,
            text: String::new(),
            ends: Vec::new(),
        };
        for slot in open {
            if let Some(id) = state.ids.id(slot) {
                missing.text.push_str(id);
                missing.ends.push((slot, missing.text.len()));
            }
        }
        self.missing = Some(missing);
        Err(Unanswered)
    }

    /// What a scan for this condition found in the same state.
    pub(super) fn scanned(&self, condition: &str) -> Option<RoaringBitmap> {
        self.scans.get(condition).cloned()
    }

    /// Notes what a scan found, where it may be asked for again.
    pub(super) fn note_scan(&mut self, condition: &str, found: &RoaringBitmap) {
        if self.wanted {
            self.scans.insert(condition.to_owned(), found.clone());
        }
    }
}

/// Asks what a question wants to know; how often the collection has changed meanwhile, in all.
fn ask(question: &RefCell<Option<Question>>) -> u32 {
    question.borrow_mut().as_mut().map_or(0, |question| {
        question.ask();
        question.changes()
    })
}

impl Collection {
    /// Work on the state and on what passes there.
    pub(super) fn with_selection<T>(
        &self,
        filter: Option<&Filter>,
        work: impl Fn(&State, Option<&Selection>) -> Result<T>,
    ) -> Result<T> {
        let Some(filter) = filter else {
            return self.with_state(|state| work(state, None));
        };
        let question = RefCell::new(None);
        let attempt = |state: &State| {
            let selection = self
                .selections
                .of(state, filter, &mut question.borrow_mut())?;
            selection
                .map(|selection| work(state, Some(&selection)))
                .transpose()
        };
        let attempt = &attempt;
        loop {
            if let Some(done) = self.with_state(attempt)? {
                return Ok(done);
            }
            let changes = ask(&question);
            if changes > MOST_CHANGES && !self.holds_writers_back() {
                break;
            }
        }
        // It changes faster than it can be asked about.
        let writing = self.writing()?;
        loop {
            let done = attempt(&self.state.read());
            match done {
                Ok(None) => ask(&question),
                Ok(Some(done)) => return Ok(done),
                Err(error) => {
                    drop(writing);
                    return Err(self.refuse(error));
                }
            };
        }
    }
}
