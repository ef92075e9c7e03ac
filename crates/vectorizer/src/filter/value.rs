//! What the values at a key are held against: values, and ranges of them.

use super::{List, Number};

/// What values are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Match {
    /// Equal to this.
    Value(Scalar),
    /// Equal to one of these.
    Any(List<Scalar>),
    /// A value that is equal to none of these.
    Except(List<Scalar>),
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

impl Scalar {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let text = match self {
            Self::Text(text) => text.len(),
            Self::Bool(_) | Self::Number(_) => 0,
        };
        size_of::<Self>() + text
    }
}

/// Bounds, all of which hold: of numbers, or of times in RFC 3339 and its kin.
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
    /// A time, in RFC 3339 (in UTC where it has no offset), or a date, for its midnight in UTC; looked at when the filter is used.
    Time(String),
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
