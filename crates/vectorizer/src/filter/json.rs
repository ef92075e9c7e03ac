//! Filters as JSON: read by hand, so that an error can say where, what was expected and what stood there.

use serde_json::Value;

use super::{Bound, Condition, Filter, MAX_FILTER_DEPTH, Match, Number, Plan, Range, Scalar};
use crate::error::{Result, VectorizerError};
use place::At;

mod place;
mod unambiguous;
mod write;

pub(super) use unambiguous::unambiguous;
pub(super) use write::write;

const CONDITION: &str = "a condition: an object with key and match or range, or with is_empty, exists, is_null, has_id, nested, \
                         or with must, should, must_not";

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
