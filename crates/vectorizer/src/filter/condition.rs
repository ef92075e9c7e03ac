//! One condition of a filter.

use std::fmt;
use std::sync::Arc;

use super::{Filter, List, Match, Range, Scalar};

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
    HasId(List<String>),
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

/// A function on ids, as a condition. Two are equal if they are clones of one.
///
/// Each call that takes the filter asks it about every vector that the other conditions leave, once for as long as slots are not numbered
/// anew ([`Collection::consolidate`](crate::collection::Collection::consolidate)). No lock is held meanwhile: it may read the collection, on any thread. What it
/// changes there, the call may see or not; in [`Collection::delete_by`](crate::collection::Collection::delete_by), and where the collection changes faster than it
/// can be asked, changes by it are refused ([`VectorizerError::InsideCallback`](crate::error::VectorizerError::InsideCallback)).
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
