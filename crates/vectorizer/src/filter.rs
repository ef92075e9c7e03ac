//! Which vectors may be found: conditions on ids and payloads, in the shape that people know from Qdrant.
//!
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
//! | `{"has_id": ["a", 7]}` | the vector's id is one of these (a number stands for its decimal digits) |
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
//! **Ranges** compare numbers if their bounds are numbers, and points in time if they are strings: RFC 3339, `2024-05-01T12:00:00Z`, with any offset, or a
//! date alone, which is midnight UTC. Times are compared as instants, to the nanosecond (further digits are dropped). Payload strings that are no
//! such times, and numbers, lie in no range of times. Bounds of both kinds in one range are refused.
//!
//! # Paths
//!
//! `a.b` is the member `b` of the member `a`. `a[].b` is `b` of every element of the array `a`, `a[2]` its third element. Arrays are entered by brackets alone:
//! `a.b` finds nothing where `a` is an array. A name with a dot, a bracket or a quote in it is written in quotes, as in `"a.b".c`, where `\"` and `\\`
//! stand for a quote and a backslash.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Result, VectorizerError};
use crate::models::Payload;

mod json;
mod number;
mod path;
mod plan;
mod time;

pub use number::Number;
pub(crate) use path::Path;
pub(crate) use plan::{Field, Interval, Node, Plan, Seen, Test};
pub(crate) use time::Time;

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

/// One condition of a [`Filter`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// A value at `key` matches.
    Match {
        /// The path to the values.
        key: String,
        /// What they are held against.
        matches: Match,
    },
    /// A value at `key` lies in a range.
    Range {
        /// The path to the values.
        key: String,
        /// The bounds.
        range: Range,
    },
    /// Nothing is at this key, or only nulls and empty arrays.
    IsEmpty(String),
    /// The opposite of `IsEmpty`.
    Exists(String),
    /// A value at this key is null.
    IsNull(String),
    /// The id is one of these.
    HasId(Vec<String>),
    /// The filter holds for one element of the array at `key` taken alone. No ids within.
    Nested {
        /// The path to the elements.
        key: String,
        /// What holds for one of them; its keys begin there.
        filter: Filter,
    },
    /// A filter in a filter.
    Filter(Filter),
    /// What a function says of the id.
    Predicate(IdPredicate),
}

/// What values are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Match {
    /// Equal to this.
    Value(Scalar),
    /// Equal to one of these.
    Any(Vec<Scalar>),
    /// A value that is equal to none of these.
    Except(Vec<Scalar>),
}

/// A value that payloads can be compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(String),
}

/// Bounds, all of which hold: of numbers, or of times in RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// Greater than this.
    pub gt: Option<Bound>,
    /// Greater than this or equal.
    pub gte: Option<Bound>,
    /// Less than this.
    pub lt: Option<Bound>,
    /// Less than this or equal.
    pub lte: Option<Bound>,
}

/// One end of a [`Range`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// A number.
    Number(Number),
    /// A time, in RFC 3339 (or a date, for its midnight in UTC); looked at when the filter is used.
    Time(String),
}

/// A function on ids, as a condition. Two are equal if they are clones of one.
///
/// It is called once for each vector that the other conditions leave, under the readers' lock: it has to be quick, and must not
/// change the collection that it is asked about.
#[derive(Clone)]
pub struct IdPredicate(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl IdPredicate {
    /// From any function.
    pub fn new(predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(predicate))
    }

    /// What it says of an id.
    #[must_use]
    pub fn holds(&self, id: &str) -> bool {
        (self.0)(id)
    }
}

impl fmt::Debug for IdPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdPredicate")
    }
}

impl PartialEq for IdPredicate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for IdPredicate {}

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

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.must.is_empty() && self.should.is_empty() && self.must_not.is_empty()
    }

    /// Whether its keys, bounds and depth are possible. Every use checks this.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`] says where, what was expected and what stood there.
    pub fn validate(&self) -> Result<()> {
        Plan::new(self).map(drop)
    }

    /// Holds one vector against it.
    ///
    /// # Errors
    /// As [`Filter::validate`].
    pub fn matches(&self, id: &str, payload: Option<&Payload>) -> Result<bool> {
        Ok(Plan::new(self)?.holds(id, payload.map(|payload| &payload.0)))
    }
}

impl Condition {
    /// A value at `key` equals `value`.
    pub fn equals(key: impl Into<String>, value: impl Into<Scalar>) -> Self {
        Self::Match {
            key: key.into(),
            matches: Match::Value(value.into()),
        }
    }

    /// A value at `key` equals one of `values`.
    pub fn any_of<V: Into<Scalar>>(
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::Match {
            key: key.into(),
            matches: Match::Any(values.into_iter().map(Into::into).collect()),
        }
    }

    /// There is a value at `key` that equals none of `values`.
    pub fn except<V: Into<Scalar>>(
        key: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::Match {
            key: key.into(),
            matches: Match::Except(values.into_iter().map(Into::into).collect()),
        }
    }

    /// A value at `key` lies in `range`.
    pub fn range(key: impl Into<String>, range: Range) -> Self {
        Self::Range {
            key: key.into(),
            range,
        }
    }

    /// Nothing is at `key`, or only nulls and empty arrays.
    pub fn is_empty(key: impl Into<String>) -> Self {
        Self::IsEmpty(key.into())
    }

    /// The opposite of [`Condition::is_empty`].
    pub fn exists(key: impl Into<String>) -> Self {
        Self::Exists(key.into())
    }

    /// A value at `key` is null.
    pub fn is_null(key: impl Into<String>) -> Self {
        Self::IsNull(key.into())
    }

    /// The id is one of `ids`.
    pub fn has_id<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self::HasId(ids.into_iter().map(Into::into).collect())
    }

    /// `filter` holds for one element of the array at `key`.
    pub fn nested(key: impl Into<String>, filter: Filter) -> Self {
        Self::Nested {
            key: key.into(),
            filter,
        }
    }
}

impl From<Filter> for Condition {
    fn from(filter: Filter) -> Self {
        Self::Filter(filter)
    }
}

impl Range {
    /// Greater than this.
    #[must_use]
    pub fn gt(mut self, bound: impl Into<Bound>) -> Self {
        self.gt = Some(bound.into());
        self
    }

    /// Greater than this or equal.
    #[must_use]
    pub fn gte(mut self, bound: impl Into<Bound>) -> Self {
        self.gte = Some(bound.into());
        self
    }

    /// Less than this.
    #[must_use]
    pub fn lt(mut self, bound: impl Into<Bound>) -> Self {
        self.lt = Some(bound.into());
        self
    }

    /// Less than this or equal.
    #[must_use]
    pub fn lte(mut self, bound: impl Into<Bound>) -> Self {
        self.lte = Some(bound.into());
        self
    }
}

macro_rules! from_numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Scalar {
            fn from(number: $number) -> Self {
                Self::Number(number.into())
            }
        }

        impl From<$number> for Bound {
            fn from(number: $number) -> Self {
                Self::Number(number.into())
            }
        }
    )*};
}

from_numbers!(i32, u32, i64, u64, f32, f64, Number);

impl From<bool> for Scalar {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Bound {
    fn from(time: &str) -> Self {
        Self::Time(time.to_owned())
    }
}

impl From<String> for Bound {
    fn from(time: String) -> Self {
        Self::Time(time)
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
