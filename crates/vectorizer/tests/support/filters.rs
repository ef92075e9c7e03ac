//! Payloads and filters at random, over few keys and few values, so that they meet.
#![allow(dead_code, reason = "each test file uses its part")]

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::naive;

pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2..3i64).prop_map(Value::from),
        prop::sample::select(vec![0.0, 1.0, 1.5, -0.5, 2.0]).prop_map(Value::from),
        prop::sample::select(vec!["red", "blue", "1", "true"]).prop_map(Value::from),
        prop::sample::select(naive::TIMES.to_vec()).prop_map(|(text, _)| text.into()),
        any::<bool>().prop_map(Value::from),
    ]
}

pub(crate) fn payload() -> impl Strategy<Value = Option<Value>> {
    let leaf = prop_oneof![4 => scalar(), 1 => Just(Value::Null)];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            members(inner),
        ]
    });
    prop::option::weighted(0.9, members(value))
}

pub(crate) fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned);
    prop::collection::btree_map(name, value, 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

pub(crate) fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "b", "c", "a.b", "b.a", "a[]", "a[].b", "b[].a", "a[][]", "c.a[].b", "a.b.c",
    ])
}

pub(crate) fn bounds() -> impl Strategy<Value = Value> {
    let end = |name: &'static str, values: Vec<Value>| {
        prop::option::of(prop::sample::select(values)).prop_map(move |value| (name, value))
    };
    let range = move |values: Vec<Value>| {
        (
            end("gt", values.clone()),
            end("gte", values.clone()),
            end("lt", values.clone()),
            end("lte", values),
        )
            .prop_filter_map("a bound", |(a, b, c, d)| {
                let ends: serde_json::Map<_, _> = [a, b, c, d]
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                    .collect();
                (!ends.is_empty()).then_some(Value::Object(ends))
            })
    };
    prop_oneof![
        range(vec![
            json!(-1),
            json!(0.5),
            json!(1),
            json!(1.5),
            json!(2.0)
        ]),
        range(naive::TIMES.iter().map(|(text, _)| json!(text)).collect()),
    ]
}

pub(crate) fn on_values() -> impl Strategy<Value = Value> {
    let list = || prop::collection::vec(scalar(), 0..4);
    prop_oneof![
        (key(), scalar()).prop_map(|(key, value)| json!({"key": key, "match": {"value": value}})),
        (key(), list()).prop_map(|(key, any)| json!({"key": key, "match": {"any": any}})),
        (key(), list()).prop_map(|(key, not)| json!({"key": key, "match": {"except": not}})),
        (key(), bounds()).prop_map(|(key, range)| json!({"key": key, "range": range})),
        key().prop_map(|key| json!({"is_empty": {"key": key}})),
        key().prop_map(|key| json!({"exists": {"key": key}})),
        key().prop_map(|key| json!({"is_null": {"key": key}})),
        (key(), any::<bool>()).prop_map(|(key, is)| json!({"key": key, "is_null": is})),
        (key(), any::<bool>()).prop_map(|(key, is)| json!({"key": key, "is_empty": is})),
    ]
}

/// A filter, with conditions on ids or without.
pub(crate) fn filter(ids: bool) -> BoxedStrategy<Value> {
    let id = prop::sample::select(vec![
        json!("x"),
        json!("7"),
        json!(7),
        json!(-7),
        json!("y"),
    ]);
    let has_id = prop::collection::vec(id, 0..3).prop_map(|ids| json!({"has_id": ids}));
    let leaf = if ids {
        prop_oneof![6 => on_values(), 1 => has_id].boxed()
    } else {
        on_values().boxed()
    };
    let leaf = if ids {
        let nested = (key(), filter(false))
            .prop_map(|(key, filter)| json!({"nested": {"key": key, "filter": filter}}));
        prop_oneof![6 => leaf, 1 => nested].boxed()
    } else {
        leaf
    };
    let clauses = |condition: BoxedStrategy<Value>| {
        let list = prop::option::of(prop::collection::vec(condition, 0..3));
        (list.clone(), list.clone(), list)
            .prop_filter_map("a clause", |(must, should, must_not)| {
                let clauses: serde_json::Map<_, _> =
                    [("must", must), ("should", should), ("must_not", must_not)]
                        .into_iter()
                        .filter_map(|(name, list)| Some((name.to_owned(), list?.into())))
                        .collect();
                (!clauses.is_empty()).then_some(Value::Object(clauses))
            })
            .boxed()
    };
    leaf.prop_recursive(3, 12, 3, move |inner| clauses(inner.boxed()))
        .prop_map(|condition| json!({"must": [condition]}))
        .boxed()
}

/// A filter as Qdrant's client dumps it: null for every clause, condition and bound of its models that is not set.
pub(crate) fn with_nulls(filter: &Value) -> Value {
    const FILTER: [&str; 4] = ["should", "min_should", "must", "must_not"];
    const FIELD: [&str; 8] = [
        "match",
        "range",
        "geo_bounding_box",
        "geo_radius",
        "geo_polygon",
        "values_count",
        "is_empty",
        "is_null",
    ];
    let fill = |object: &mut serde_json::Map<String, Value>, names: &[&str]| {
        for name in names {
            object.entry(*name).or_insert(Value::Null);
        }
    };
    let mut object = filter.as_object().unwrap().clone();
    for list in object.values_mut().filter_map(Value::as_array_mut) {
        for condition in list {
            let members = condition.as_object_mut().unwrap();
            if members.contains_key("key") {
                fill(members, &FIELD);
                if let Some(Value::Object(range)) = members.get_mut("range") {
                    fill(range, &["lt", "gt", "gte", "lte"]);
                }
            } else if let Some(nested) = members.get_mut("nested") {
                nested["filter"] = with_nulls(&nested["filter"]);
            } else if members.keys().any(|name| FILTER.contains(&name.as_str())) {
                *condition = with_nulls(condition);
            }
        }
    }
    fill(&mut object, &FILTER);
    Value::Object(object)
}
