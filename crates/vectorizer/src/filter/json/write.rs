//! A filter as JSON.

use serde_json::{Map, Value, json};

use crate::error::{Result, VectorizerError};
use crate::filter::{Bound, Condition, Filter, Match, Plan, Scalar};

pub(in crate::filter) fn write(filter: &Filter) -> Result<Value> {
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
        Condition::HasId(ids) => {
            let ids: &[String] = ids;
            json!({"has_id": ids})
        }
        Condition::Nested { key, filter } => {
            json!({"nested": {"key": key, "filter": filter_value(filter)?}})
        }
        // A filter without conditions would not be known for one among conditions.
        Condition::Filter(filter) if *filter == Filter::default() => json!({"must": []}),
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
