//! Filters judged a second time, straight from their JSON: slow, and written without a look at the library's way.

use serde_json::Value;

/// Times that payloads and filters of the tests are made of, with their seconds since 1970 by `date -u -d TIME +%s`.
pub(crate) const TIMES: [(&str, f64); 10] = [
    ("2024-05-01T12:00:00Z", 1_714_564_800.0),
    ("2024-05-01T14:00:00+02:00", 1_714_564_800.0),
    ("2024-05-01", 1_714_521_600.0),
    ("2024-05-01T12:00:00.500Z", 1_714_564_800.5),
    ("1999-12-31T23:59:59-05:00", 946_702_799.0),
    ("2030-01-01T00:00:00z", 1_893_456_000.0),
    // `date` needs TZ=UTC for those without an offset.
    ("2024-05-01T12:00:00", 1_714_564_800.0),
    ("2024-05-01 12:00", 1_714_564_800.0),
    ("2024-05-01T14:00:00+0200", 1_714_564_800.0),
    ("2024-05-01T12:00:00.250000", 1_714_564_800.25),
];

/// Whether a filter holds.
pub(crate) fn holds(filter: &Value, id: &str, payload: Option<&Value>) -> bool {
    let list = |name: &str| -> Vec<Value> {
        match &filter[name] {
            Value::Null => Vec::new(),
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        }
    };
    let count = |name: &str| {
        let list = list(name);
        let holding = list
            .iter()
            .filter(|one| condition(one, id, payload))
            .count();
        (holding, list.len())
    };
    let (must, all) = count("must");
    let (should, some) = count("should");
    let (must_not, _) = count("must_not");
    must == all && (should > 0 || some == 0) && must_not == 0
}

fn condition(condition: &Value, id: &str, payload: Option<&Value>) -> bool {
    // Null says nothing.
    let mut one = condition.as_object().unwrap().clone();
    one.retain(|_, value| !value.is_null());
    let at = |key: &Value| -> Vec<Value> {
        payload.map_or(Vec::new(), |payload| find(payload, key.as_str().unwrap()))
    };
    let flat = |key: &Value| -> Vec<Value> {
        let mut values = Vec::new();
        for value in at(key) {
            match value {
                Value::Array(list) => values.extend(list),
                other => values.push(other),
            }
        }
        values
    };
    let nothing = |value: &Value| *value == Value::Null || *value == Value::Array(Vec::new());
    if let Some(key) = one.get("key")
        && let Some((name, Value::Bool(wanted))) =
            one.iter().find(|(name, _)| name.starts_with("is_"))
    {
        let empty = at(key).iter().all(nothing);
        let null = flat(key).contains(&Value::Null);
        return *wanted == if name == "is_null" { null } else { empty };
    }
    if let Some(empty) = one.get("is_empty") {
        return at(&empty["key"]).iter().all(nothing);
    }
    if let Some(there) = one.get("exists") {
        return !at(&there["key"]).iter().all(nothing);
    }
    if let Some(null) = one.get("is_null") {
        return flat(&null["key"]).contains(&Value::Null);
    }
    if let Some(ids) = one.get("has_id") {
        return ids.as_array().unwrap().iter().any(|one| match one {
            Value::String(text) => text == id,
            number => format!("{number}") == id,
        });
    }
    if let Some(nested) = one.get("nested") {
        let elements = flat(&nested["key"]);
        return elements
            .iter()
            .any(|element| holds(&nested["filter"], id, Some(element)));
    }
    if let Some(key) = one.get("key") {
        let values = flat(key);
        return if let Some(range) = one.get("range") {
            values.iter().any(|value| within(range, value))
        } else {
            values.iter().any(|value| matches(&one["match"], value))
        };
    }
    holds(condition, id, payload)
}

fn matches(wanted: &Value, value: &Value) -> bool {
    if let Some(list) = wanted.get("except") {
        let list = list.as_array().unwrap();
        return *value != Value::Null && !list.iter().any(|one| same(one, value));
    }
    if let Some(list) = wanted.get("any") {
        return list.as_array().unwrap().iter().any(|one| same(one, value));
    }
    same(&wanted["value"], value)
}

/// The tests' numbers are small enough for floats.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b && !a.is_array() && !a.is_object() && !a.is_null(),
    }
}

fn within(range: &Value, value: &Value) -> bool {
    let instant = |value: &Value| {
        let text = value.as_str()?;
        TIMES
            .iter()
            .find(|(time, _)| *time == text)
            .map(|(_, at)| *at)
    };
    range.as_object().unwrap().iter().all(|(name, bound)| {
        let pair = match bound.as_f64() {
            Some(bound) => value.as_f64().map(|value| (value, bound)),
            None if bound.is_null() => return true,
            None => instant(value).map(|value| (value, instant(bound).unwrap())),
        };
        pair.is_some_and(|(value, bound)| match name.as_str() {
            "gt" => value > bound,
            "gte" => value >= bound,
            "lt" => value < bound,
            _ => value <= bound,
        })
    })
}

/// What is at a key of bare names.
fn find(payload: &Value, key: &str) -> Vec<Value> {
    let mut values = vec![payload.clone()];
    for part in key.split('.') {
        let name = part.trim_end_matches("[]");
        let brackets = (part.len() - name.len()) / 2;
        values = values
            .iter()
            .filter_map(|value| value.as_object()?.get(name).cloned())
            .collect();
        for _ in 0..brackets {
            values = values
                .iter()
                .filter_map(|value| value.as_array().cloned())
                .flatten()
                .collect();
        }
    }
    values
}
