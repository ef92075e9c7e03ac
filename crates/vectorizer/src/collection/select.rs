//! From a filter to the slots that may be found: by index where there is one, else payload by payload among what is left.

use std::fmt;
use std::sync::OnceLock;

use roaring::RoaringBitmap;
use serde::Serialize;

use super::State;
use super::question::{Answers, Question, Unanswered};
use crate::engine::{SlotSet, slot};
use crate::filter::{Field, IdPredicate, Node, Plan, Test};

/// How a filter was answered, condition by condition, in the order in which they were asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[non_exhaustive]
pub struct Explanation {
    /// How many vectors pass.
    pub passed: u64,
    /// Each condition.
    pub steps: Vec<Step>,
}

/// How one condition was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// Where it stands in the filter, as in `must[0].should[1]`.
    pub condition: String,
    /// The key it asks about, if it asks about one.
    pub key: Option<String>,
    /// By what means.
    pub means: Means,
    /// How many vectors were left to ask about.
    pub among: u64,
    /// For how many of them it holds.
    pub held: u64,
}

/// By what means a condition is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Means {
    /// By an index that [`create_payload_index`](super::Collection::create_payload_index) made.
    Index,
    /// By looking up ids.
    Ids,
    /// By looking at the payload, or asking the predicate, of each vector that was left.
    Scan,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let means = match step.means {
                Means::Index => "index",
                Means::Ids => "ids",
                Means::Scan => "scan",
            };
            let key = step.key.as_deref().unwrap_or("-");
            writeln!(
                f,
                "{:<24} {key:<16} {means:<6} {:>10} of {}",
                step.condition, step.held, step.among
            )?;
        }
        write!(f, "{} vectors pass", self.passed)
    }
}

/// What passes, and how that was found.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) slots: RoaringBitmap,
    /// The same for an engine, once one has asked.
    set: OnceLock<SlotSet>,
    pub(super) explanation: Explanation,
}

impl Selection {
    pub(super) fn set(&self) -> &SlotSet {
        self.set.get_or_init(|| self.slots.iter().collect())
    }
}

/// Holds a filter against everything alive; `None` if a function has to be [asked](Question::ask) first.
pub(super) fn select(state: &State, question: &mut Question) -> Option<Selection> {
    let Question { plan, answers } = question;
    answers.look_at(state);
    let mut selector = Selector {
        state,
        answers,
        steps: Vec::new(),
    };
    let slots = selector.plan(plan, None, "").ok()?;
    let slots = slots.unwrap_or_else(|| selector.everyone());
    Some(Selection {
        explanation: Explanation {
            passed: slots.len(),
            steps: selector.steps,
        },
        set: OnceLock::new(),
        slots,
    })
}

struct Selector<'s> {
    state: &'s State,
    answers: &'s mut Answers,
    steps: Vec<Step>,
}

/// What is left to ask about; `None` is everyone alive.
type Among = Option<RoaringBitmap>;

impl Selector<'_> {
    fn everyone(&self) -> RoaringBitmap {
        let ids = &self.state.ids;
        if ids.dead() > 0 {
            return ids.iter().map(|(slot, _)| slot).collect();
        }
        let mut all = RoaringBitmap::new();
        all.insert_range(0..slot(ids.len()));
        all
    }

    fn count(&self, among: &Among) -> u64 {
        among
            .as_ref()
            .map_or(self.state.ids.len() as u64, RoaringBitmap::len)
    }

    /// Those of `among` that pass: what an index answers first, so that less is left to be looked at.
    fn plan(&mut self, plan: &Plan, among: Among, at: &str) -> Result<Among, Unanswered> {
        let dot = if at.is_empty() { "" } else { "." };
        let mut left = among;
        for quick in [true, false] {
            for (place, node) in plan.must.iter().enumerate() {
                if self.is_quick(node) == quick {
                    left = Some(self.node(node, &left, &format!("{at}{dot}must[{place}]"))?);
                }
            }
            if !plan.should.is_empty() && plan.should.iter().all(|n| self.is_quick(n)) == quick {
                left = Some(self.any(&plan.should, left, &format!("{at}{dot}should"))?);
            }
            for (place, node) in plan.must_not.iter().enumerate() {
                if self.is_quick(node) == quick {
                    let out = self.node(node, &left, &format!("{at}{dot}must_not[{place}]"))?;
                    left = Some(left.unwrap_or_else(|| self.everyone()) - out);
                }
            }
        }
        Ok(left)
    }

    /// Those for which at least one condition holds.
    fn any(&mut self, nodes: &[Node], among: Among, at: &str) -> Result<RoaringBitmap, Unanswered> {
        let mut open = among;
        let mut found = RoaringBitmap::new();
        let mut order: Vec<_> = nodes.iter().enumerate().collect();
        order.sort_by_key(|(_, node)| !self.is_quick(node));
        for (turn, (place, node)) in order.into_iter().enumerate() {
            let here = self.node(node, &open, &format!("{at}[{place}]"))?;
            if turn + 1 < nodes.len() {
                open = Some(open.unwrap_or_else(|| self.everyone()) - &here);
            }
            found |= here;
        }
        Ok(found)
    }

    /// Whether no payload has to be looked at.
    fn is_quick(&self, node: &Node) -> bool {
        match node {
            Node::Field(field) => self.state.payloads.index(&field.key).is_some(),
            Node::HasId(_) => true,
            Node::Predicate(_) | Node::Nested { .. } => false,
            Node::Filter(plan) => [&plan.must, &plan.should, &plan.must_not]
                .into_iter()
                .flatten()
                .all(|node| self.is_quick(node)),
        }
    }

    fn node(&mut self, node: &Node, among: &Among, at: &str) -> Result<RoaringBitmap, Unanswered> {
        let (held, means, key) = match node {
            Node::Filter(plan) => {
                let left = self.plan(plan, among.clone(), at)?;
                return Ok(left.unwrap_or_else(|| self.everyone()));
            }
            Node::HasId(ids) => {
                let mut slots: Vec<u32> = ids
                    .iter()
                    .filter_map(|id| self.state.ids.slot(id))
                    .collect();
                slots.sort_unstable();
                (both(slots.into_iter().collect(), among), Means::Ids, None)
            }
            Node::Field(field) => match self.by_index(field, among) {
                Some(held) => (held, Means::Index, Some(&field.key)),
                None => (self.by_scan(node, among, at), Means::Scan, Some(&field.key)),
            },
            Node::Nested { key, .. } => (self.by_scan(node, among, at), Means::Scan, Some(key)),
            Node::Predicate(predicate) => (self.by_function(predicate, among)?, Means::Scan, None),
        };
        self.steps.push(Step {
            condition: at.to_owned(),
            key: key.cloned(),
            means,
            among: self.count(among),
            held: held.len(),
        });
        Ok(held)
    }

    fn by_index(&self, field: &Field, among: &Among) -> Option<RoaringBitmap> {
        let index = self.state.payloads.index(&field.key)?;
        if matches!(field.test, Test::IsEmpty) {
            let everyone = among.clone().unwrap_or_else(|| self.everyone());
            return Some(everyone - index.existing());
        }
        let holds = |slot| field.holds(self.payload(slot));
        index
            .passing(&field.test, &holds)
            .map(|slots| both(slots, among))
    }

    fn by_function(
        &mut self,
        predicate: &IdPredicate,
        among: &Among,
    ) -> Result<RoaringBitmap, Unanswered> {
        let slots = among.clone().unwrap_or_else(|| self.everyone());
        self.answers.of(predicate, slots, self.state)
    }

    fn by_scan(&mut self, node: &Node, among: &Among, at: &str) -> RoaringBitmap {
        if let Some(found) = self.answers.scanned(at) {
            return found;
        }
        let holds = |slot| {
            let id = self.state.ids.id(slot);
            id.is_some_and(|id| node.holds(id, self.payload(slot)))
        };
        let found = match among {
            Some(among) => among.iter().filter(|slot| holds(*slot)).collect(),
            None => {
                let alive = self.state.ids.iter().map(|(slot, _)| slot);
                alive.filter(|slot| holds(*slot)).collect()
            }
        };
        self.answers.note_scan(at, &found);
        found
    }

    fn payload(&self, slot: u32) -> Option<&serde_json::Value> {
        self.state.payloads.get(&slot).map(|payload| &payload.0)
    }
}

fn both(slots: RoaringBitmap, among: &Among) -> RoaringBitmap {
    match among {
        Some(among) => slots & among,
        None => slots,
    }
}
