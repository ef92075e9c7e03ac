//! A filter made ready: keys taken apart, lists hashed, bounds understood.

use std::ops;

use hashbrown::HashSet;
use serde_json::Value;

use super::{
    Bound, Condition, Filter, IdPredicate, MAX_FILTER_DEPTH, Match, Number, Path, Range, Scalar,
    Time,
};
use crate::error::{Result, VectorizerError};

/// A filter, ready to be held against vectors.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) must: Vec<Node>,
    pub(crate) should: Vec<Node>,
    pub(crate) must_not: Vec<Node>,
}

/// A condition, ready.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Field(Field),
    HasId(HashSet<String>),
    Predicate(IdPredicate),
    Nested { key: String, path: Path, plan: Plan },
    Filter(Plan),
}

/// A test of the values at a key.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) key: String,
    path: Path,
    pub(crate) test: Test,
}

/// What is asked of the values at a key.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Any(HashSet<Scalar>),
    Except(HashSet<Scalar>),
    Numbers(Interval<Number>),
    Times(Interval<Time>),
    IsEmpty,
    Exists,
    IsNull,
}

/// Bounds of a range, understood.
pub(crate) type Interval<T> = (ops::Bound<T>, ops::Bound<T>);

/// What a value at a key is to a condition.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    Null,
    Scalar(Scalar),
    /// An object, or an array within the array at the key: something, and equal to nothing.
    Other,
}

impl From<&Value> for Seen {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Scalar(Scalar::Bool(*value)),
            Value::Number(number) => Self::Scalar(Scalar::Number(Number::from_json(number))),
            Value::String(text) => Self::Scalar(Scalar::Text(text.clone())),
            Value::Array(_) | Value::Object(_) => Self::Other,
        }
    }
}

/// Calls `with` on each value at a key, an array's elements taken one by one, until it returns true.
fn any_value(path: &Path, payload: &Value, with: &mut dyn FnMut(&Value) -> bool) -> bool {
    path.any(payload, &mut |end| match end {
        Value::Array(elements) => elements.iter().any(&mut *with),
        single => with(single),
    })
}

/// Whether what stands at the end of a key is nothing: null, or an array without elements.
fn is_nothing(end: &Value) -> bool {
    match end {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

impl Path {
    /// All values here, for an index, and whether there is anything but nulls and empty arrays.
    pub(crate) fn values(&self, payload: &Value) -> (Vec<Seen>, bool) {
        let mut seen = Vec::new();
        any_value(self, payload, &mut |value| {
            seen.push(Seen::from(value));
            false
        });
        (seen, self.any(payload, &mut |end| !is_nothing(end)))
    }
}

impl Plan {
    /// Understands a filter.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidFilter`].
    pub(crate) fn new(filter: &Filter) -> Result<Self> {
        Reader {
            depth: 0,
            nested: false,
        }
        .plan(filter, "")
    }

    /// Whether one vector passes.
    pub(crate) fn holds(&self, id: &str, payload: Option<&Value>) -> bool {
        self.must.iter().all(|node| node.holds(id, payload))
            && (self.should.is_empty() || self.should.iter().any(|node| node.holds(id, payload)))
            && !self.must_not.iter().any(|node| node.holds(id, payload))
    }

    /// Whether a function of the caller's has a say, so that the answer may change while the vectors do not.
    pub(crate) fn has_predicate(&self) -> bool {
        [&self.must, &self.should, &self.must_not]
            .into_iter()
            .flatten()
            .any(|node| match node {
                Node::Predicate(_) => true,
                Node::Filter(plan) | Node::Nested { plan, .. } => plan.has_predicate(),
                Node::Field(_) | Node::HasId(_) => false,
            })
    }
}

impl Node {
    /// Whether one vector passes.
    pub(crate) fn holds(&self, id: &str, payload: Option<&Value>) -> bool {
        match self {
            Self::Field(field) => field.holds(payload),
            Self::HasId(ids) => ids.contains(id),
            Self::Predicate(predicate) => predicate.holds(id),
            Self::Filter(plan) => plan.holds(id, payload),
            Self::Nested { path, plan, .. } => payload.is_some_and(|payload| {
                any_value(path, payload, &mut |element| plan.holds(id, Some(element)))
            }),
        }
    }
}

impl Field {
    /// Whether a payload passes.
    pub(crate) fn holds(&self, payload: Option<&Value>) -> bool {
        let Some(payload) = payload else {
            return matches!(self.test, Test::IsEmpty);
        };
        match &self.test {
            Test::IsEmpty => !self.path.any(payload, &mut |end| !is_nothing(end)),
            Test::Exists => self.path.any(payload, &mut |end| !is_nothing(end)),
            test => any_value(&self.path, payload, &mut |value| test.holds(value)),
        }
    }
}

impl Test {
    /// Whether one value passes; emptiness is no matter of one value.
    fn holds(&self, value: &Value) -> bool {
        match (self, Seen::from(value)) {
            (Self::IsNull, seen) => seen == Seen::Null,
            (Self::Any(these), Seen::Scalar(scalar)) => these.contains(&scalar),
            (Self::Except(these), Seen::Scalar(scalar)) => !these.contains(&scalar),
            (Self::Except(_), Seen::Other) => true,
            (Self::Numbers(interval), Seen::Scalar(Scalar::Number(number))) => {
                ops::RangeBounds::contains(interval, &number)
            }
            (Self::Times(interval), Seen::Scalar(Scalar::Text(text))) => {
                Time::parse(&text).is_some_and(|time| ops::RangeBounds::contains(interval, &time))
            }
            _ => false,
        }
    }
}

/// Whether [`Plan::new`] takes a filter, found out without building anything.
pub(super) fn is_sound(filter: &Filter) -> bool {
    Reader {
        depth: 0,
        nested: false,
    }
    .is_sound(filter)
}

/// Where understanding has come to.
#[derive(Clone, Copy)]
struct Reader {
    depth: usize,
    nested: bool,
}

fn invalid(at: &str, expected: impl Into<String>, found: impl Into<String>) -> VectorizerError {
    VectorizerError::InvalidFilter {
        at: if at.is_empty() {
            "the top".to_owned()
        } else {
            at.to_owned()
        },
        expected: expected.into(),
        found: found.into(),
    }
}

impl Reader {
    fn is_sound(self, filter: &Filter) -> bool {
        let inner = Self {
            depth: self.depth + 1,
            ..self
        };
        self.depth < MAX_FILTER_DEPTH
            && filter
                .conditions()
                .all(|condition| inner.is_condition_sound(condition))
    }

    fn is_condition_sound(self, condition: &Condition) -> bool {
        let is_path = |key| Path::parse(key, String::new).is_ok();
        match condition {
            Condition::Match { key, matches } => {
                let values: &[Scalar] = match matches {
                    Match::Value(value) => std::slice::from_ref(value),
                    Match::Any(these) | Match::Except(these) => these,
                };
                is_path(key) && infinite(values).is_none()
            }
            Condition::Range { key, range } => is_path(key) && bounds(range, "").is_ok(),
            Condition::IsEmpty(key) | Condition::Exists(key) | Condition::IsNull(key) => {
                is_path(key)
            }
            Condition::HasId(_) | Condition::Predicate(_) => !self.nested,
            Condition::Filter(filter) => self.is_sound(filter),
            Condition::Nested { key, filter } => {
                let nested = Self {
                    nested: true,
                    ..self
                };
                is_path(key) && nested.is_sound(filter)
            }
        }
    }

    fn plan(self, filter: &Filter, at: &str) -> Result<Plan> {
        if self.depth >= MAX_FILTER_DEPTH {
            return Err(invalid(
                at,
                format!("at most {MAX_FILTER_DEPTH} filters in each other"),
                "one more",
            ));
        }
        let inner = Self {
            depth: self.depth + 1,
            ..self
        };
        let list = |name: &str, conditions: &[Condition]| {
            let dot = if at.is_empty() { "" } else { "." };
            let conditions = conditions.iter().enumerate();
            conditions
                .map(|(place, condition)| {
                    inner.node(condition, &format!("{at}{dot}{name}[{place}]"))
                })
                .collect::<Result<Vec<_>>>()
        };
        Ok(Plan {
            must: list("must", &filter.must)?,
            should: list("should", &filter.should)?,
            must_not: list("must_not", &filter.must_not)?,
        })
    }

    fn node(self, condition: &Condition, at: &str) -> Result<Node> {
        Ok(match condition {
            Condition::Match { key, matches } => {
                let test = match matches {
                    Match::Value(value) => Test::Any(scalars(std::slice::from_ref(value), at)?),
                    Match::Any(these) => Test::Any(scalars(these, at)?),
                    Match::Except(these) => Test::Except(scalars(these, at)?),
                };
                field(key, test, &format!("{at}.key"))?
            }
            Condition::Range { key, range } => field(
                key,
                bounds(range, &format!("{at}.range"))?,
                &format!("{at}.key"),
            )?,
            Condition::IsEmpty(key) => field(key, Test::IsEmpty, &format!("{at}.is_empty.key"))?,
            Condition::Exists(key) => field(key, Test::Exists, &format!("{at}.exists.key"))?,
            Condition::IsNull(key) => field(key, Test::IsNull, &format!("{at}.is_null.key"))?,
            Condition::HasId(_) | Condition::Predicate(_) if self.nested => {
                return Err(invalid(
                    at,
                    "conditions on the element: what is nested has no id",
                    "a condition on ids",
                ));
            }
            Condition::HasId(ids) => Node::HasId(ids.iter().cloned().collect()),
            Condition::Predicate(predicate) => Node::Predicate(predicate.clone()),
            Condition::Filter(filter) => Node::Filter(self.plan(filter, at)?),
            Condition::Nested { key, filter } => Node::Nested {
                key: key.clone(),
                path: Path::parse(key, || format!("{at}.nested.key"))?,
                plan: Self {
                    nested: true,
                    ..self
                }
                .plan(filter, &format!("{at}.nested.filter"))?,
            },
        })
    }
}

fn field(key: &str, test: Test, at: &str) -> Result<Node> {
    Ok(Node::Field(Field {
        key: key.to_owned(),
        path: Path::parse(key, || at.to_owned())?,
        test,
    }))
}

fn scalars(these: &[Scalar], at: &str) -> Result<HashSet<Scalar>> {
    match infinite(these) {
        Some(number) => Err(invalid(
            &format!("{at}.match"),
            "finite numbers",
            format!("{number:?}"),
        )),
        None => Ok(these.iter().cloned().collect()),
    }
}

/// The first number that is not finite.
fn infinite(these: &[Scalar]) -> Option<&Scalar> {
    these
        .iter()
        .find(|scalar| matches!(scalar, Scalar::Number(number) if !number.is_finite()))
}

fn bounds(range: &Range, at: &str) -> Result<Test> {
    let ends = [
        ("gt", &range.gt),
        ("gte", &range.gte),
        ("lt", &range.lt),
        ("lte", &range.lte),
    ];
    let mut numbers = [None; 4];
    let mut times = [None; 4];
    for (place, (name, end)) in ends.iter().enumerate() {
        match end {
            None => {}
            Some(Bound::Number(number)) if number.is_finite() => numbers[place] = Some(*number),
            Some(Bound::Number(_)) => {
                return Err(invalid(
                    &format!("{at}.{name}"),
                    "a finite number",
                    "another",
                ));
            }
            Some(Bound::Time(text)) => match Time::parse(text) {
                Some(time) => times[place] = Some(time),
                None => {
                    return Err(invalid(
                        &format!("{at}.{name}"),
                        "a number, or a time such as \"2024-05-01T12:00:00Z\"",
                        format!("{text:?}"),
                    ));
                }
            },
        }
    }
    let (any_number, any_time) = (
        numbers.iter().any(Option::is_some),
        times.iter().any(Option::is_some),
    );
    match (any_number, any_time) {
        (true, false) => Ok(Test::Numbers(interval(numbers))),
        (false, true) => Ok(Test::Times(interval(times))),
        (true, true) => Err(invalid(at, "bounds of one kind", "numbers and times")),
        (false, false) => Err(invalid(at, "at least one of gt, gte, lt, lte", "none")),
    }
}

/// The tighter of two bounds at each end.
fn interval<T: Ord + Copy>([gt, gte, lt, lte]: [Option<T>; 4]) -> Interval<T> {
    use ops::Bound::{Excluded, Included, Unbounded};
    let low = match (gt, gte) {
        (Some(open), Some(closed)) if closed > open => Included(closed),
        (Some(open), _) => Excluded(open),
        (None, Some(closed)) => Included(closed),
        (None, None) => Unbounded,
    };
    let high = match (lt, lte) {
        (Some(open), Some(closed)) if closed < open => Included(closed),
        (Some(open), _) => Excluded(open),
        (None, Some(closed)) => Included(closed),
        (None, None) => Unbounded,
    };
    (low, high)
}
