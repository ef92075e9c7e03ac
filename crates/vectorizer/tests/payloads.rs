//! What a write takes, every reader takes back as it was; what it refuses changes nothing. `scripts/test-arbitrary-precision` runs this a second
//! time, with a `serde_json` that keeps numbers as text.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};
use vectorizer::collection::{Collection, OpenOptions};
use vectorizer::config::CollectionOptions;
use vectorizer::error::VectorizerError;
use vectorizer::filter::Filter;
use vectorizer::gpu::context::Context;
use vectorizer::interop::{Existing, Moved, jsonl};
use vectorizer::models::{DistanceMetric, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, Payload, Vector};
use vectorizer::store::Durability;

const fn go(_: Moved) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn in_memory() -> Collection {
    let (metric, options) = (DistanceMetric::Euclidean, CollectionOptions::default());
    Collection::with_context(&Context::cpu(), 1, metric, options).unwrap()
}

fn on_disk(path: &Path) -> Collection {
    let (metric, options) = (DistanceMetric::Euclidean, CollectionOptions::default());
    let durability = Durability::OnFlush;
    Collection::create_with(path, &Context::cpu(), 1, metric, options, durability).unwrap()
}

fn open(path: &Path) -> Collection {
    let go_on = |_| ControlFlow::Continue(());
    Collection::open_with(path, &Context::cpu(), OpenOptions::default(), go_on).unwrap()
}

fn vector(id: &str, payload: Value) -> Vector {
    Vector {
        id: id.to_owned(),
        data: vec![1.0],
        payload: Some(Payload(payload)),
    }
}

fn all(collection: &Collection) -> Vec<Vector> {
    collection.vectors(None).map(Result::unwrap).collect()
}

/// Levels of arrays and objects around a value.
fn around(value: Value, levels: usize) -> Value {
    (0..levels).fold(value, |inner, level| {
        if level % 2 == 0 {
            json!([inner])
        } else {
            json!({ "a": inner })
        }
    })
}

/// The payload as it should come back; `None` if it should be refused. Written without a look at the library's way.
fn judged(value: &Value, depth: usize) -> Option<Value> {
    Some(match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => return None,
        Value::Array(values) => {
            let values = values.iter().map(|value| judged(value, depth - 1));
            Value::Array(values.collect::<Option<_>>()?)
        }
        Value::Object(members) => {
            let members = members.iter();
            let members =
                members.map(|(name, value)| Some((name.clone(), judged(value, depth - 1)?)));
            Value::Object(members.collect::<Option<Map<_, _>>>()?)
        }
        Value::Number(number) => {
            let text = number.to_string();
            Value::Number(if text.contains(['.', 'e', 'E']) || text == "-0" {
                Number::from_f64(text.parse().ok()?)?
            } else {
                let whole: i128 = text.parse().ok()?;
                let fits = (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&whole);
                fits.then(|| number.clone())?
            })
        }
        other => other.clone(),
    })
}

fn number() -> impl Strategy<Value = Value> {
    // As a caller's serde_json reads them: with the feature some are kept as they stand here.
    let written = prop::sample::select(vec![
        "1e400",
        "-1e400",
        "1.5",
        "1.50",
        "1E5",
        "1e0",
        "-0",
        "-0.0",
        "0e0",
        "123456789012345678901234567890",
        "-9223372036854775809",
        "18446744073709551616",
        "0.1000000000000000055511151231257827021181583404541015625",
        "1e-400",
        "1e22",
    ]);
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-9..9i64).prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |float| Number::from_f64(float).map(Value::Number)),
        written.prop_filter_map("a number here", |text| serde_json::from_str(text).ok()),
    ]
}

fn payload() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        any::<String>().prop_map(Value::from),
    ];
    let name = prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "id", "vector", "payload", ""]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let value = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    let levels = prop_oneof![8 => Just(0), 1 => 55..70_usize];
    (value, levels).prop_map(|(value, levels)| around(value, levels))
}

fn assert_refused(done: Result<(), VectorizerError>, id: &str) {
    match done {
        Err(VectorizerError::InvalidPayload { id: named, .. }) => assert_eq!(named, id),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn what_is_taken_comes_back_from_everywhere(payloads in prop::collection::vec(payload(), 1..20)) {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let (memory, disk) = (in_memory(), on_disk(&file("disk")));
        let mut expected = Vec::new();
        for (number, payload) in payloads.iter().enumerate() {
            let id = number.to_string();
            let one = vector(&id, payload.clone());
            let back = judged(payload, MAX_PAYLOAD_DEPTH);
            for collection in [&memory, &disk] {
                if back.is_some() {
                    // By each of the doors in turn.
                    match number % 3 {
                        0 => collection.add_vector(one.clone()).unwrap(),
                        1 => collection.upsert_vector(one.clone()).unwrap(),
                        _ => {
                            collection.add_rows(&[&id], &[1.0]).unwrap();
                            collection.set_payload(&id, one.payload.clone()).unwrap();
                        }
                    }
                    continue;
                }
                let before = all(collection);
                assert_refused(collection.add_vector(one.clone()), &id);
                assert_refused(collection.upsert_vectors_batch([vector("good", json!(1)), one.clone()]), &id);
                if let Some(first) = before.first() {
                    assert_refused(collection.set_payload(&first.id, one.payload.clone()), &first.id);
                }
                prop_assert_eq!(all(collection), before);
            }
            if let Some(back) = back {
                let payload = Some(Payload(back)).filter(|payload| !payload.0.is_null());
                expected.push(Vector { payload, ..one });
            }
        }
        prop_assert_eq!(&all(&memory), &expected);
        prop_assert_eq!(&all(&disk), &expected);
        disk.snapshot(file("copy")).unwrap();
        disk.close().unwrap();
        prop_assert_eq!(Collection::check_files(file("disk")).unwrap().problems, Vec::<String>::new());
        for name in ["disk", "copy"] {
            let opened = open(&file(name));
            prop_assert_eq!(&all(&opened), &expected);
            prop_assert_eq!(opened.stats().unreadable_payloads, 0);
        }
        let back = in_memory();
        prop_assert_eq!(jsonl::export(&memory, file("lines"), go).unwrap(), expected.len());
        prop_assert_eq!(jsonl::import(&back, file("lines"), Existing::Refuse, go).unwrap(), expected.len());
        prop_assert_eq!(&all(&back), &expected);
        #[cfg(feature = "parquet")]
        {
            use vectorizer::interop::parquet;
            let back = in_memory();
            prop_assert_eq!(parquet::export(&memory, file("table"), go).unwrap(), expected.len());
            prop_assert_eq!(parquet::import(&back, file("table"), Existing::Refuse, go).unwrap(), expected.len());
            prop_assert_eq!(&all(&back), &expected);
        }
    }

    /// Text as JSON lines have it: refused or kept, and never another number.
    #[test]
    fn numbers_in_text_are_kept_or_refused(whole in "-?[1-9][0-9]{0,24}", fraction in "(\\.[0-9]{1,4})?(e-?[0-9]{1,3})?") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let text = format!("{whole}{fraction}");
        fs::write(&path, format!("{{\"id\": 1, \"vector\": [1], \"payload\": {{\"n\": {text}}}}}\n")).unwrap();
        let collection = in_memory();
        let done = jsonl::import(&collection, &path, Existing::Refuse, go);
        let expected = if fraction.is_empty() {
            whole.parse::<i64>().map(Number::from).or_else(|_| whole.parse::<u64>().map(Number::from)).ok()
        } else {
            Number::from_f64(text.parse().unwrap())
        };
        if let Some(number) = expected {
            prop_assert_eq!(done.unwrap(), 1);
            let kept = collection.get_vector("1").unwrap().payload.unwrap();
            prop_assert_eq!(kept.0, json!({ "n": number }));
        } else {
            let error = done.unwrap_err().to_string();
            prop_assert!(error.contains("line 1: ") && error.contains(&text), "{}", error);
            prop_assert_eq!(collection.vector_count(), 0);
        }
    }
}

#[test]
fn depth_and_size_are_bounded_at_every_door() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, disk) = (in_memory(), on_disk(&folder.path().join("disk")));
    let large = |bytes: usize| Value::from("x".repeat(bytes - 2));
    for collection in [&memory, &disk] {
        for levels in [MAX_PAYLOAD_DEPTH + 1, 127, 128, 5_000] {
            let deep = vector("deep", around(json!(1), levels));
            assert_refused(
                collection.add_vectors_batch([&deep].map(Clone::clone)),
                "deep",
            );
            assert_refused(collection.upsert_vector(deep), "deep");
        }
        assert_refused(
            collection.add_vector(vector("large", large(MAX_PAYLOAD_BYTES + 1))),
            "large",
        );
        assert_eq!(collection.vector_count(), 0);
    }
    let longest = vector("large", large(MAX_PAYLOAD_BYTES));
    memory.add_vector(longest.clone()).unwrap();
    let path = folder.path().join("lines");
    jsonl::export(&memory, &path, go).unwrap();
    let back = in_memory();
    jsonl::import(&back, &path, Existing::Refuse, go).unwrap();
    assert!(all(&back) == [longest]);
}

#[test]
fn filters_read_numbers_in_both_ways_of_serde_json() {
    let payload = Payload(json!({"n": 1.5, "big": u64::MAX, "low": -5, "nought": -0.0}));
    for (condition, expected) in [
        (r#"{"key": "n", "match": {"value": 1.5}}"#, true),
        (r#"{"key": "n", "match": {"any": [1, 1.50, 2e0]}}"#, true),
        (
            r#"{"key": "n", "range": {"gt": 1.4999, "lte": 15e-1}}"#,
            true,
        ),
        (
            r#"{"key": "big", "match": {"value": 18446744073709551615}}"#,
            true,
        ),
        (
            r#"{"key": "big", "match": {"value": 18446744073709551614}}"#,
            false,
        ),
        (r#"{"key": "low", "range": {"lte": -5}}"#, true),
        (r#"{"key": "nought", "match": {"value": 0}}"#, true),
        (r#"{"has_id": [-5, 18446744073709551615]}"#, true),
    ] {
        let text = format!("{{\"must\": [{condition}]}}");
        let filter = Filter::from_json(&text).unwrap();
        assert_eq!(
            serde_json::from_str::<Filter>(&text).unwrap(),
            filter,
            "{text}"
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(Filter::from_value(&value).unwrap(), filter, "{text}");
        assert_eq!(
            serde_json::from_value::<Filter>(value).unwrap(),
            filter,
            "{text}"
        );
        assert_eq!(
            filter.matches("-5", Some(&payload)).unwrap(),
            expected,
            "{text}"
        );
    }
    for number in [
        "123456789012345678901234567891",
        "-9223372036854775809",
        "1e400",
    ] {
        for condition in [
            format!("{{\"key\": \"n\", \"match\": {{\"value\": {number}}}}}"),
            format!("{{\"key\": \"n\", \"range\": {{\"lt\": {number}}}}}"),
            format!("{{\"has_id\": [{number}]}}"),
        ] {
            let error = Filter::from_json(&format!("{{\"must\": [{condition}]}}")).unwrap_err();
            let VectorizerError::InvalidFilter { at, found, .. } = error else {
                panic!("{error}");
            };
            assert!(
                at.starts_with("line 1, column ") || found.contains(number),
                "{at}: {found}"
            );
        }
    }
}
