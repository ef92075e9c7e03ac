//! Which vectors may be found: conditions on ids and payloads, in the shape that people know from Qdrant.
//!
//! - `condition`, `value`: what a filter is made of.
//! - `list`: ids and values that conditions share when they are cloned.
//! - `json`: reading and writing it, with errors that say where.
//! - `number`, `time`: what is compared with what, exactly.
//! - `path`: the way from a payload to values, `a.b[].c`.
//! - `plan`: a filter made ready, and one payload held against it.
//!
//! ```
//! use vectorizer::filter::{Condition, Filter, Range};
//!
//! # fn main() -> Result<(), vectorizer::error::VectorizerError> {
//! let built = Filter::must([
//!     Condition::equals("color", "red"),
//!     Condition::range("price", Range::default().gte(10).lt(20)),
//! ])
//! .with_must_not([Condition::is_null("stock")]);
//!
//! let parsed = Filter::from_json(
//!     r#"{
//!         "must": [
//!             {"key": "color", "match": {"value": "red"}},
//!             {"key": "price", "range": {"gte": 10, "lt": 20}}
//!         ],
//!         "must_not": [{"is_null": {"key": "stock"}}]
//!     }"#,
//! )?;
//! assert_eq!(built, parsed);
//! # Ok(())
//! # }
//! ```
//!
//! # What a filter says
//!
//! A [`Filter`] holds if **every** condition of `must` holds, **at least one** of `should`, and **none** of `must_not`. A list that is absent or empty
//! asks for nothing, so that `{}` holds for every vector. A filter can stand where a condition can.
//!
//! | condition | holds if |
//! |---|---|
//! | `{"key": K, "match": {"value": V}}` | a value at K equals V |
//! | `{"key": K, "match": {"any": [..]}}` | a value at K equals one of these; never for an empty list |
//! | `{"key": K, "match": {"except": [..]}}` | there is a value at K other than null that equals none of these |
//! | `{"key": K, "range": {"gt", "gte", "lt", "lte"}}` | a value at K lies within every bound given; at least one is |
//! | `{"is_empty": {"key": K}}` | nothing is at K, or only nulls and empty arrays |
//! | `{"exists": {"key": K}}` | the opposite of `is_empty` |
//! | `{"is_null": {"key": K}}` | a value at K is null |
//! | `{"key": K, "is_empty": B}`, `{"key": K, "is_null": B}` | the two above if B is true, the opposite if it is false |
//! | `{"has_id": ["a", 7, -7]}` | the vector's id is one of these (a whole number stands for its decimal digits) |
//! | `{"nested": {"key": K, "filter": F}}` | F holds for one element of the array at K (or the object at K) taken alone; K inside F begins there |
//! | [`Condition::Predicate`] | the function says so of the id; it has no JSON form |
//!
//! **Values at a key.** A key is a [path](#paths). What stands at its end is one value; if that is an array, its elements are the values
//! (one level deep). A condition holds if it holds for **any** of them. `except` too: `["red", "blue"]` satisfies `except ["red"]`, by `"blue"`.
//! "No value is red" is `match red` under `must_not`.
//!
//! **Missing and null.** Where nothing is at the key, or the vector has no payload, `match` (`except` too), `range`, `exists`, `is_null` and `nested` do not
//! hold and `is_empty` does. Null equals nothing and lies in no range: `is_null` alone finds it, and `is_empty` where there is nothing else.
//! Under `must_not` all of this turns round: a vector without a price passes `must_not` of any range of prices.
//!
//! **Equality.** Strings are equal byte for byte. Numbers are equal as numbers: 1, 1.0 and 1e0 are one, and no precision is lost on the way
//! (2^53 and 2^53 + 1 differ, also from each other's floats). A string never equals a number, nor `true` 1. Arrays and objects equal nothing.
//!
//! Whole numbers outside -2^63 to 2^64 - 1 are refused, in filters as in payloads. Where a filter is a part of what serde reads, `serde_json` has rounded
//! such a number before it comes here, unless the program has its feature `arbitrary_precision`.
//!
//! **Ranges** compare numbers if their bounds are numbers, and points in time if they are strings: RFC 3339, `2024-05-01T12:00:00Z`, with any offset, or a
//! date alone, which is midnight UTC. Seconds may be left out, and the colon of an offset; a time without an offset is in UTC. Times are compared as instants, to the nanosecond (further digits are dropped). Payload strings that are no
//! such times, and numbers, lie in no range of times. Bounds of both kinds in one range are refused.
//!
//! **Null** in place of a clause, a condition's part or a bound says nothing, as Qdrant's client writes it for what is not set: `{"must": [..], "should": null}`.
//! That holds for Qdrant's clauses and conditions that are not known here too (`min_should`, `values_count`, ..): set to something, they are refused.
//!
//! # Paths
//!
//! `a.b` is the member `b` of the member `a`. `a[].b` is `b` of every element of the array `a`, `a[2]` its third element. Arrays are entered by brackets alone:
//! `a.b` finds nothing where `a` is an array. A name with a dot, a bracket or a quote in it is written in quotes, as in `"a.b".c`, where `\"` and `\\`
//! stand for a quote and a backslash.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Result, VectorizerError};
use crate::models::Payload;

mod condition;
mod json;
mod list;
mod number;
mod path;
mod plan;
mod time;
mod value;

pub use condition::{Condition, IdPredicate};
pub use list::List;
pub use number::Number;
pub(crate) use path::Path;
pub(crate) use plan::{Field, Interval, Node, Plan, Seen, Test};
pub(crate) use time::Time;
pub use value::{Bound, Match, Range, Scalar};

/// How deep filters may stand in filters.
pub const MAX_FILTER_DEPTH: usize = 32;

/// Conditions on a vector's id and payload; see the [module](self) for what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// All of these hold.
    pub must: Vec<Condition>,
    /// At least one of these holds, if there are any.
    pub should: Vec<Condition>,
    /// None of these holds.
    pub must_not: Vec<Condition>,
}

impl Filter {
    /// All of these hold.
    #[must_use]
    pub fn must(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self::default().with_must(conditions)
    }

    /// At least one of these holds.
    #[must_use]
    pub fn should(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self::default().with_should(conditions)
    }

    /// None of these holds.
    #[must_use]
    pub fn must_not(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self::default().with_must_not(conditions)
    }

    /// The vectors of whose ids a function says yes.
    #[must_use]
    pub fn ids(predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self::must([Condition::Predicate(IdPredicate::new(predicate))])
    }

    /// And all of these hold.
    #[must_use]
    pub fn with_must(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.must.extend(conditions);
        self
    }

    /// And at least one of these holds, or of those of `should` already there.
    #[must_use]
    pub fn with_should(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.should.extend(conditions);
        self
    }

    /// And none of these holds.
    #[must_use]
    pub fn with_must_not(mut self, conditions: impl IntoIterator<Item = Condition>) -> Self {
        self.must_not.extend(conditions);
        self
    }

    /// From JSON text. Fields that are not known, and fields that stand there twice, are refused.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`] says where, what was expected and what stood there.
    pub fn from_json(text: &str) -> Result<Self> {
        json::parse(text)
    }

    /// From a JSON value.
    ///
    /// # Errors
    /// As [`Filter::from_json`].
    pub fn from_value(value: &serde_json::Value) -> Result<Self> {
        json::read(value)
    }

    /// As JSON.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`] for what JSON cannot say: a predicate, or a number that is not finite.
    pub fn to_value(&self) -> Result<serde_json::Value> {
        json::write(self)
    }

    /// Whether it asks for nothing, as `{}` does, and so holds for every vector.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let asks_for_nothing = |condition: &Condition| matches!(condition, Condition::Filter(inner) if inner.is_empty());
        // One empty filter among those of `should` is enough for it to hold.
        self.must.iter().all(asks_for_nothing)
            && (self.should.is_empty() || self.should.iter().any(asks_for_nothing))
            && self.must_not.is_empty()
    }

    /// Whether its keys, bounds and depth are possible. Every use checks this.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`] says where, what was expected and what stood there.
    pub fn validate(&self) -> Result<()> {
        // Without building anything; what is wrong, and where, is said by whoever builds.
        if plan::is_sound(self) {
            return Ok(());
        }
        Plan::new(self).map(drop)
    }

    /// Whether a function of the caller's has a say.
    pub(crate) fn has_predicate(&self) -> bool {
        self.conditions().any(|condition| match condition {
            Condition::Predicate(_) => true,
            Condition::Filter(filter) | Condition::Nested { filter, .. } => filter.has_predicate(),
            _ => false,
        })
    }

    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        [&self.must, &self.should, &self.must_not]
            .into_iter()
            .flatten()
    }

    /// About how many bytes its lists take.
    pub(crate) fn bytes(&self) -> usize {
        let each = self.conditions().map(|condition| {
            size_of::<Condition>()
                + match condition {
                    Condition::HasId(ids) => {
                        ids.iter().map(|id| id.len() + size_of::<String>()).sum()
                    }
                    Condition::Match {
                        matches: Match::Any(these) | Match::Except(these),
                        ..
                    } => these.iter().map(Scalar::bytes).sum(),
                    Condition::Match {
                        matches: Match::Value(one),
                        ..
                    } => one.bytes(),
                    Condition::Filter(filter) | Condition::Nested { filter, .. } => filter.bytes(),
                    _ => 0,
                }
        });
        each.sum()
    }

    /// Holds one vector against it.
    ///
    /// # Errors
    /// As [`Filter::validate`].
    pub fn matches(&self, id: &str, payload: Option<&Payload>) -> Result<bool> {
        Ok(Plan::new(self)?.holds(id, payload.map(|payload| &payload.0)))
    }
}

impl FromStr for Filter {
    type Err = VectorizerError;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_json(text)
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value()
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        json::read(&json::unambiguous(deserializer)?).map_err(serde::de::Error::custom)
    }
}
