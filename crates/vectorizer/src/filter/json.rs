//! Filters as JSON: read by hand, so that an error can say where, what was expected and what stood there.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{Bound, Condition, Filter, MAX_FILTER_DEPTH, Match, Number, Plan, Range, Scalar};
use crate::error::{Result, VectorizerError};

const CONDITION: &str = "a condition: an object with key and match or range, or with is_empty, exists, is_null, has_id, nested, \
                         or with must, should, must_not";

/// Where in the filter something stands.
#[derive(Clone, Copy)]
enum At<'a> {
    Top,
    Member(&'a Self, &'a str),
    Element(&'a Self, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => f.write_str("the top"),
            Self::Member(Self::Top, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Element(parent, place) => write!(f, "{parent}[{place}]"),
        }
    }
}

impl At<'_> {
    fn error(&self, expected: impl Into<String>, found: impl Into<String>) -> VectorizerError {
        VectorizerError::InvalidFilter {
            at: self.to_string(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    fn wrong(&self, expected: impl Into<String>, found: &Value) -> VectorizerError {
        self.error(expected, shown(found))
    }

    fn member<'v>(&self, object: &'v Map<String, Value>, name: &str) -> Result<&'v Value> {
        object
            .get(name)
            .ok_or_else(|| self.error(format!("the field {name:?}"), "none"))
    }

    fn object<'v>(
        &self,
        value: &'v Value,
        what: &str,
        fields: &[&str],
    ) -> Result<&'v Map<String, Value>> {
        let object = value.as_object().ok_or_else(|| self.wrong(what, value))?;
        match object.keys().find(|name| !fields.contains(&name.as_str())) {
            Some(unknown) => Err(self.error(
                format!("{what} (fields: {})", fields.join(", ")),
                format!("the field {unknown:?}"),
            )),
            None => Ok(object),
        }
    }

    fn array<'v>(&self, value: &'v Value, what: &str) -> Result<&'v [Value]> {
        value
            .as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| self.wrong(what, value))
    }
}

/// A value for an error: what it is, and how it begins.
fn shown(value: &Value) -> String {
    let kind = match value {
        Value::Null => return "null".to_owned(),
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
        Value::String(_) => "a string",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
    };
    let text = value.to_string();
    if text.chars().count() <= 40 {
        format!("{kind}: {text}")
    } else {
        let beginning: String = text.chars().take(40).collect();
        format!("{kind}: {beginning}...")
    }
}

pub(super) fn parse(text: &str) -> Result<Filter> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = unambiguous(&mut reader).and_then(|value| reader.end().map(|()| value));
    read(&value.map_err(|error| VectorizerError::InvalidFilter {
        at: format!("line {}, column {}", error.line(), error.column()),
        expected: "JSON".to_owned(),
        found: error.to_string(),
    })?)
}

pub(super) fn read(value: &Value) -> Result<Filter> {
    let filter = filter(value, At::Top, 0)?;
    // Keys, bounds and depth.
    Plan::new(&filter)?;
    Ok(filter)
}

fn filter(value: &Value, at: At<'_>, depth: usize) -> Result<Filter> {
    if depth >= MAX_FILTER_DEPTH {
        return Err(at.error(
            format!("at most {MAX_FILTER_DEPTH} filters in each other"),
            "one more",
        ));
    }
    let object = at.object(
        value,
        "a filter: an object",
        &["must", "should", "must_not"],
    )?;
    let list = |name| match object.get(name) {
        None => Ok(Vec::new()),
        Some(one @ Value::Object(_)) => Ok(vec![condition(one, At::Member(&at, name), depth + 1)?]),
        Some(list) => {
            let at = At::Member(&at, name);
            let conditions = at.array(list, "a list of conditions")?.iter().enumerate();
            conditions
                .map(|(place, value)| condition(value, At::Element(&at, place), depth + 1))
                .collect()
        }
    };
    Ok(Filter {
        must: list("must")?,
        should: list("should")?,
        must_not: list("must_not")?,
    })
}

fn condition(value: &Value, at: At<'_>, depth: usize) -> Result<Condition> {
    let object = value
        .as_object()
        .ok_or_else(|| at.wrong(CONDITION, value))?;
    // The first field that is known says what this is; the reader of that kind refuses the others.
    let kinds = [
        "key", "is_empty", "exists", "is_null", "has_id", "nested", "must", "should", "must_not",
    ];
    let kind = kinds.into_iter().find(|kind| object.contains_key(*kind));
    let alone = |kind| {
        at.object(value, CONDITION, &[kind])?;
        at.member(object, kind)
    };
    match kind {
        Some("key") => on_values(value, at),
        Some(kind @ ("is_empty" | "exists" | "is_null")) => {
            let key = key_of(alone(kind)?, At::Member(&at, kind))?;
            Ok(match kind {
                "is_empty" => Condition::IsEmpty(key),
                "exists" => Condition::Exists(key),
                _ => Condition::IsNull(key),
            })
        }
        Some("has_id") => {
            let at_ids = At::Member(&at, "has_id");
            let ids = at_ids.array(alone("has_id")?, "a list of ids")?;
            let ids =
                ids.iter().enumerate().map(|(place, id)| match id {
                    Value::String(id) => Ok(id.clone()),
                    Value::Number(number) if number.is_u64() => Ok(number.to_string()),
                    other => Err(At::Element(&at_ids, place)
                        .wrong("an id: a string or a whole number", other)),
                });
            Ok(Condition::HasId(ids.collect::<Result<_>>()?))
        }
        Some("nested") => {
            let (inner, at) = (alone("nested")?, At::Member(&at, "nested"));
            let object = at.object(inner, "an object with key and filter", &["key", "filter"])?;
            Ok(Condition::Nested {
                key: text(at.member(object, "key")?, At::Member(&at, "key"))?,
                filter: filter(
                    at.member(object, "filter")?,
                    At::Member(&at, "filter"),
                    depth,
                )?,
            })
        }
        Some(_) => Ok(Condition::Filter(filter(value, at, depth)?)),
        None => Err(at.wrong(CONDITION, value)),
    }
}

fn on_values(value: &Value, at: At<'_>) -> Result<Condition> {
    let object = at.object(
        value,
        "a key with match or range",
        &["key", "match", "range"],
    )?;
    let key = text(at.member(object, "key")?, At::Member(&at, "key"))?;
    match (object.get("match"), object.get("range")) {
        (Some(matches), None) => Ok(Condition::Match {
            key,
            matches: matching(matches, At::Member(&at, "match"))?,
        }),
        (None, Some(range)) => Ok(Condition::Range {
            key,
            range: bounds(range, At::Member(&at, "range"))?,
        }),
        (Some(_), Some(_)) => Err(at.error("match or range", "both")),
        (None, None) => Err(at.error("match or range", "neither")),
    }
}

fn matching(value: &Value, at: At<'_>) -> Result<Match> {
    let what = "an object with one of value, any, except";
    let object = at.object(value, what, &["value", "any", "except"])?;
    let mut fields = object.iter();
    let (Some((name, inner)), None) = (fields.next(), fields.next()) else {
        return Err(at.wrong(what, value));
    };
    let at = At::Member(&at, name);
    if name == "value" {
        return Ok(Match::Value(scalar(inner, at)?));
    }
    let list = at.array(inner, "a list of values")?.iter().enumerate();
    let list = list
        .map(|(place, value)| scalar(value, At::Element(&at, place)))
        .collect::<Result<_>>()?;
    Ok(if name == "any" {
        Match::Any(list)
    } else {
        Match::Except(list)
    })
}

fn scalar(value: &Value, at: At<'_>) -> Result<Scalar> {
    match value {
        Value::Bool(value) => Ok(Scalar::Bool(*value)),
        Value::Number(number) => Ok(Scalar::Number(Number::from_json(number))),
        Value::String(text) => Ok(Scalar::Text(text.clone())),
        Value::Null => Err(at.wrong(
            "a string, a number or a boolean (is_null finds nulls)",
            value,
        )),
        other => Err(at.wrong("a string, a number or a boolean", other)),
    }
}

fn bounds(value: &Value, at: At<'_>) -> Result<Range> {
    let object = at.object(value, "an object with bounds", &["gt", "gte", "lt", "lte"])?;
    // Null is no bound, as some clients write it.
    let bound = |name| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(Some(Bound::Number(Number::from_json(number)))),
        Some(Value::String(text)) => Ok(Some(Bound::Time(text.clone()))),
        Some(other) => Err(At::Member(&at, name).wrong(
            "a number, or a time such as \"2024-05-01T12:00:00Z\"",
            other,
        )),
    };
    Ok(Range {
        gt: bound("gt")?,
        gte: bound("gte")?,
        lt: bound("lt")?,
        lte: bound("lte")?,
    })
}

fn key_of(value: &Value, at: At<'_>) -> Result<String> {
    let object = at.object(value, "an object with a key", &["key"])?;
    text(at.member(object, "key")?, At::Member(&at, "key"))
}

fn text(value: &Value, at: At<'_>) -> Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| at.wrong("a string", value))
}

pub(super) fn write(filter: &Filter) -> Result<Value> {
    // What could not be read again is not written.
    Plan::new(filter)?;
    filter_value(filter)
}

fn filter_value(filter: &Filter) -> Result<Value> {
    let mut object = Map::new();
    for (name, conditions) in [
        ("must", &filter.must),
        ("should", &filter.should),
        ("must_not", &filter.must_not),
    ] {
        if !conditions.is_empty() {
            let list = conditions
                .iter()
                .map(condition_value)
                .collect::<Result<_>>()?;
            object.insert(name.to_owned(), Value::Array(list));
        }
    }
    Ok(Value::Object(object))
}

fn condition_value(condition: &Condition) -> Result<Value> {
    Ok(match condition {
        Condition::Match { key, matches } => {
            let (name, value) = match matches {
                Match::Value(value) => ("value", scalar_value(value)),
                Match::Any(list) => ("any", list.iter().map(scalar_value).collect()),
                Match::Except(list) => ("except", list.iter().map(scalar_value).collect()),
            };
            json!({"key": key, "match": {name: value}})
        }
        Condition::Range { key, range } => {
            let ends = [
                ("gt", &range.gt),
                ("gte", &range.gte),
                ("lt", &range.lt),
                ("lte", &range.lte),
            ];
            let ends = ends.into_iter().filter_map(|(name, end)| {
                let value = match end.as_ref()? {
                    Bound::Number(number) => number.to_json().into(),
                    Bound::Time(text) => Value::String(text.clone()),
                };
                Some((name.to_owned(), value))
            });
            json!({"key": key, "range": Value::Object(ends.collect())})
        }
        Condition::IsEmpty(key) => json!({"is_empty": {"key": key}}),
        Condition::Exists(key) => json!({"exists": {"key": key}}),
        Condition::IsNull(key) => json!({"is_null": {"key": key}}),
        Condition::HasId(ids) => json!({"has_id": ids}),
        Condition::Nested { key, filter } => {
            json!({"nested": {"key": key, "filter": filter_value(filter)?}})
        }
        // A filter without conditions would not be known for one among conditions.
        Condition::Filter(filter) if filter.is_empty() => json!({"must": []}),
        Condition::Filter(filter) => filter_value(filter)?,
        Condition::Predicate(_) => {
            return Err(VectorizerError::InvalidFilter {
                at: "a condition".to_owned(),
                expected: "what JSON can say".to_owned(),
                found: "a predicate, which is a function".to_owned(),
            });
        }
    })
}

fn scalar_value(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Bool(value) => Value::Bool(*value),
        Scalar::Number(number) => number.to_json().into(),
        Scalar::Text(text) => Value::String(text.clone()),
    }
}

/// A JSON value in which no object has a field twice: taking the last of two would silently drop a condition.
pub(super) fn unambiguous<'de, D: Deserializer<'de>>(reader: D) -> Result<Value, D::Error> {
    struct Strict(Value);

    impl<'de> serde::Deserialize<'de> for Strict {
        fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
            unambiguous(reader).map(Self)
        }
    }

    struct Reader;

    impl<'de> Visitor<'de> for Reader {
        type Value = Value;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }

        fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
            Ok(value.into())
        }

        fn visit_str<E>(self, text: &str) -> Result<Value, E> {
            Ok(text.into())
        }

        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
            let mut values = Vec::new();
            while let Some(Strict(value)) = list.next_element()? {
                values.push(value);
            }
            Ok(Value::Array(values))
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
            let mut object = Map::new();
            while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
                if object.contains_key(&name) {
                    return Err(A::Error::custom(format!("the field {name:?} stands twice")));
                }
                object.insert(name, value);
            }
            Ok(Value::Object(object))
        }
    }

    reader.deserialize_any(Reader)
}
