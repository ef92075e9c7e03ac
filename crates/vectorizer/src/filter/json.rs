//! Filters as JSON: read by hand, so that an error can say where, what was expected and what stood there.

use serde_json::Value;

use super::{Bound, Condition, Filter, MAX_FILTER_DEPTH, Match, Number, Plan, Range, Scalar};
use crate::error::{Result, VectorizerError};
use crate::json;
use place::At;

mod place;
mod unambiguous;
mod write;

pub(super) use unambiguous::unambiguous;
pub(super) use write::write;

const CONDITION: &str = "a condition: an object with key and match or range, or with is_empty, exists, is_null, has_id, nested, \
                         or with must, should, must_not";
/// What can stand in a filter and in a condition.
const CLAUSES: [&str; 3] = ["must", "should", "must_not"];
const KINDS: [&str; 9] = [
    "key", "is_empty", "exists", "is_null", "has_id", "nested", "must", "should", "must_not",
];
/// What can stand in Qdrant's filters and conditions, and here only as null: its client writes null for all that is not set.
const UNSET: [&str; 6] = [
    "min_should",
    "has_vector",
    "values_count",
    "geo_bounding_box",
    "geo_radius",
    "geo_polygon",
];
/// Arrays and objects that can stand in each other in a filter: four for each nested filter, and what stands in the last.
const DEPTH: usize = 4 * MAX_FILTER_DEPTH + 4;

pub(super) fn parse(text: &str) -> Result<Filter> {
    read(
        &json::read(text, DEPTH).map_err(|fault| VectorizerError::InvalidFilter {
            at: format!("line {}, column {}", fault.line, fault.column),
            expected: fault.expected,
            found: fault.found,
        })?,
    )
}

/// Whether a clause says nothing.
fn is_unset_clause(name: &str, value: &Value) -> bool {
    value.is_null() && name == "min_should"
}

/// Whether a part of a condition says nothing.
fn is_unset(name: &str, value: &Value) -> bool {
    let known = ["match", "range"];
    value.is_null() && (KINDS.contains(&name) || known.contains(&name) || UNSET.contains(&name))
}

/// For objects in which null is no way to say nothing.
const fn nothing(_: &str, _: &Value) -> bool {
    false
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
    let object = at.object(value, "a filter: an object", &CLAUSES, is_unset_clause)?;
    let list = |name| match object.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
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
    // The first field that is known and set says what this is; the reader of that kind refuses the others. A filter may have none that is set.
    let is_set = |kind: &&str| object.get(*kind).is_some_and(|value| !value.is_null());
    let kind = KINDS.into_iter().find(is_set);
    let kind = kind.or_else(|| CLAUSES.into_iter().find(|kind| object.contains_key(*kind)));
    let alone = |kind| {
        at.object(value, CONDITION, &[kind], is_unset)?;
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
            let ids = ids
                .iter()
                .enumerate()
                .map(|(place, one)| id(one, At::Element(&at_ids, place)));
            Ok(Condition::HasId(ids.collect::<Result<_>>()?))
        }
        Some("nested") => {
            let (inner, at) = (alone("nested")?, At::Member(&at, "nested"));
            let what = "an object with key and filter";
            let object = at.object(inner, what, &["key", "filter"], nothing)?;
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

fn id(value: &Value, at: At<'_>) -> Result<String> {
    match value {
        Value::String(id) => Ok(id.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        other => Err(at.wrong(
            "an id: a string, or a whole number from -9223372036854775808 to 18446744073709551615",
            other,
        )),
    }
}

fn on_values(value: &Value, at: At<'_>) -> Result<Condition> {
    let what = "a key with match or range";
    let fields = ["key", "match", "range", "is_empty", "is_null"];
    let object = at.object(value, what, &fields, is_unset)?;
    let key = text(at.member(object, "key")?, At::Member(&at, "key"))?;
    let set = |name: &&str| object.get(*name).is_some_and(|value| !value.is_null());
    let mut tests = fields[1..].iter().copied().filter(set);
    let (name, rest) = (tests.next(), tests.next());
    let Some(name) = name else {
        return Err(at.error("match or range", "neither"));
    };
    if let Some(other) = rest {
        return Err(at.error("match or range", format!("both {name} and {other}")));
    }
    let (test, at) = (at.member(object, name)?, At::Member(&at, name));
    if name == "match" {
        let matches = matching(test, at)?;
        return Ok(Condition::Match { key, matches });
    }
    if name == "range" {
        let range = bounds(test, at)?;
        return Ok(Condition::Range { key, range });
    }
    // Qdrant's other way to write these.
    let holds = test.as_bool();
    let holds = holds.ok_or_else(|| at.wrong("true or false", test))?;
    Ok(match (name, holds) {
        ("is_empty", true) => Condition::IsEmpty(key),
        ("is_empty", false) => Condition::Exists(key),
        (_, true) => Condition::IsNull(key),
        (_, false) => Filter::must_not([Condition::IsNull(key)]).into(),
    })
}

fn matching(value: &Value, at: At<'_>) -> Result<Match> {
    let what = "an object with one of value, any, except";
    let object = at.object(value, what, &["value", "any", "except"], nothing)?;
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
        Value::Number(number) => Ok(Scalar::Number(exact(number, at)?)),
        Value::String(text) => Ok(Scalar::Text(text.clone())),
        Value::Null => Err(at.wrong(
            "a string, a number or a boolean (is_null finds nulls)",
            value,
        )),
        other => Err(at.wrong("a string, a number or a boolean", other)),
    }
}

/// A number that is held against those of payloads, which are all of 64 bits.
fn exact(number: &serde_json::Number, at: At<'_>) -> Result<Number> {
    json::exact(number)
        .map(|exact| Number::from_json(&exact))
        .map_err(|expected| at.error(expected, number.to_string()))
}

fn bounds(value: &Value, at: At<'_>) -> Result<Range> {
    let fields = ["gt", "gte", "lt", "lte"];
    let object = at.object(value, "an object with bounds", &fields, nothing)?;
    // Null is no bound, as some clients write it.
    let bound = |name| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let number = exact(number, At::Member(&at, name))?;
            Ok(Some(Bound::Number(number)))
        }
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
    let object = at.object(value, "an object with a key", &["key"], nothing)?;
    text(at.member(object, "key")?, At::Member(&at, "key"))
}

fn text(value: &Value, at: At<'_>) -> Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| at.wrong("a string", value))
}
