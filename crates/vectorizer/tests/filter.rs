//! Filters: what they mean, against a second judge; what they look like; what is refused, and with which words.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "what helps a test fails as the test does; small numbers are exact"
)]

#[path = "support/filters.rs"]
mod filters;
#[path = "support/naive.rs"]
mod naive;

use filters::{filter, payload};
use proptest::prelude::*;
use serde_json::{Value, json};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter, IdPredicate, MAX_FILTER_DEPTH, Range};
use vectorizer::models::Payload;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn holds_where_the_second_judge_says(
        json in filter(true),
        payload in payload(),
        id in prop::sample::select(vec!["x", "7", "z"]),
    ) {
        let filter = Filter::from_value(&json).unwrap();
        let expected = naive::holds(&json, id, payload.as_ref());
        let payload = payload.map(Payload);
        prop_assert_eq!(filter.matches(id, payload.as_ref()).unwrap(), expected);
    }

    #[test]
    fn json_and_back(json in filter(true)) {
        let filter = Filter::from_value(&json).unwrap();
        let text = serde_json::to_string(&filter).unwrap();
        prop_assert_eq!(&Filter::from_json(&text).unwrap(), &filter);
        prop_assert_eq!(&serde_json::from_str::<Filter>(&text).unwrap(), &filter);
        prop_assert_eq!(&text.parse::<Filter>().unwrap(), &filter);
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\":,a-z0-9 .\\\\]{0,60}", cut in 0..200usize, json in filter(true)) {
        drop(Filter::from_json(&text));
        let whole = json.to_string();
        if let Some(part) = whole.get(..cut.min(whole.len())) {
            prop_assert_eq!(Filter::from_json(part).is_ok(), part.len() == whole.len());
        }
    }
}

/// What a filter says of a payload.
fn holds(filter: Value, payload: &Value) -> bool {
    let payload = Payload(payload.clone());
    Filter::from_value(&filter)
        .unwrap()
        .matches("id", Some(&payload))
        .unwrap()
}

#[test]
fn the_documented_meanings() {
    let shirt = json!({
        "color": ["red", "blue"], "price": 10, "size": null, "tags": [], "sold": "2024-05-01T12:00:00Z",
        "stock": [{"city": "Rome", "left": 0}, {"city": "Oslo", "left": 5}], "big": 9_007_199_254_740_993u64,
    });
    let cases = [
        // Arrays: any element.
        (json!({"key": "color", "match": {"value": "red"}}), true),
        (json!({"key": "color", "match": {"except": ["red"]}}), true),
        (
            json!({"key": "color", "match": {"except": ["red", "blue"]}}),
            false,
        ),
        // Missing and null.
        (json!({"key": "none", "match": {"except": ["red"]}}), false),
        (json!({"key": "size", "match": {"except": ["red"]}}), false),
        (json!({"is_null": {"key": "size"}}), true),
        (json!({"is_null": {"key": "none"}}), false),
        (json!({"is_empty": {"key": "size"}}), true),
        (json!({"is_empty": {"key": "none"}}), true),
        (json!({"is_empty": {"key": "tags"}}), true),
        (json!({"is_empty": {"key": "price"}}), false),
        (json!({"exists": {"key": "price"}}), true),
        (json!({"exists": {"key": "tags"}}), false),
        (
            json!({"must_not": {"key": "none", "range": {"gt": 0}}}),
            true,
        ),
        // Numbers.
        (json!({"key": "price", "match": {"value": 10.0}}), true),
        (json!({"key": "price", "match": {"value": "10"}}), false),
        (
            json!({"key": "big", "match": {"value": 9_007_199_254_740_992u64}}),
            false,
        ),
        (
            json!({"key": "big", "match": {"value": 9_007_199_254_740_993u64}}),
            true,
        ),
        (
            json!({"key": "big", "range": {"gt": 9_007_199_254_740_992.0}}),
            true,
        ),
        (json!({"key": "price", "range": {"gt": 10}}), false),
        (
            json!({"key": "price", "range": {"gte": 10, "lt": 11, "gt": null}}),
            true,
        ),
        (
            json!({"key": "price", "range": {"gt": 9, "gte": 11}}),
            false,
        ),
        (json!({"key": "price", "range": {"gt": 5, "lt": 4}}), false),
        // Times.
        (
            json!({"key": "sold", "range": {"gte": "2024-05-01T14:00:00+02:00"}}),
            true,
        ),
        (json!({"key": "sold", "range": {"gt": "2024-05-01"}}), true),
        (
            json!({"key": "color", "range": {"gt": "2024-05-01"}}),
            false,
        ),
        (
            json!({"key": "price", "range": {"gt": "1990-01-01"}}),
            false,
        ),
        // Arrays of objects: each key on its own, or one element alone.
        (json!({"key": "stock[].left", "range": {"gt": 0}}), true),
        (json!({"key": "stock.left", "range": {"gt": 0}}), false),
        (
            json!({"key": "stock[1].city", "match": {"value": "Oslo"}}),
            true,
        ),
        (
            json!({"nested": {"key": "stock", "filter": {"must": [
            {"key": "city", "match": {"value": "Rome"}}, {"key": "left", "range": {"gt": 0}}]}}}),
            false,
        ),
        (
            json!({"must": [{"key": "stock[].city", "match": {"value": "Rome"}}, {"key": "stock[].left", "range": {"gt": 0}}]}),
            true,
        ),
        // Lists.
        (json!({"key": "color", "match": {"any": []}}), false),
        (json!({"key": "color", "match": {"except": []}}), true),
        (json!({"should": []}), true),
        (
            json!({"should": [{"is_null": {"key": "price"}}, {"is_null": {"key": "size"}}]}),
            true,
        ),
        (json!({"should": [{"is_null": {"key": "price"}}]}), false),
        (json!({"has_id": ["id"]}), true),
        (json!({"has_id": []}), false),
    ];
    for (condition, expected) in cases {
        let told = condition.to_string();
        assert_eq!(
            holds(json!({"must": [condition]}), &shirt),
            expected,
            "{told}"
        );
    }
    assert!(holds(json!({}), &shirt));
    let empty = Filter::must([Condition::is_empty("a")]);
    assert!(empty.matches("id", None).unwrap());
    let not = Filter::must([Condition::except("a", ["x"])]);
    assert!(!not.matches("id", None).unwrap());
}

/// Where an error says it is, what it expected and what it found.
fn refused(text: &str) -> (String, String, String) {
    match Filter::from_json(text) {
        Err(VectorizerError::InvalidFilter {
            at,
            expected,
            found,
        }) => (at, expected, found),
        other => panic!("{text} gave {other:?}"),
    }
}

#[test]
fn what_is_malformed_is_refused_and_said_where() {
    let cases = [
        ("[]", "the top", "a filter", "an array: []"),
        ("7", "the top", "a filter", "a number: 7"),
        (
            r#"{"musst": []}"#,
            "the top",
            "must, should, must_not",
            "\"musst\"",
        ),
        (r#"{"must": 3}"#, "must", "a list of conditions", "3"),
        (r#"{"must": [3]}"#, "must[0]", "a condition", "3"),
        (r#"{"must": [{}]}"#, "must[0]", "a condition", "{}"),
        (
            r#"{"must": [{"kee": "a"}]}"#,
            "must[0]",
            "a condition",
            "kee",
        ),
        (
            r#"{"must": [{"key": "a"}]}"#,
            "must[0]",
            "match or range",
            "neither",
        ),
        (
            r#"{"must": {"key": "a"}}"#,
            "must",
            "match or range",
            "neither",
        ),
        (
            r#"{"must": [{"key": 1, "match": {"value": 1}}]}"#,
            "must[0].key",
            "a string",
            "a number: 1",
        ),
        (
            r#"{"must": [{"key": "a..b", "match": {"value": 1}}]}"#,
            "must[0].key",
            "a key such as",
            "a..b",
        ),
        (
            r#"{"must": [{"is_null": {"key": ""}}]}"#,
            "must[0].is_null.key",
            "a key such as",
            "\"\"",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"value": 1}, "range": {"gt": 1}}]}"#,
            "must[0]",
            "match or range",
            "both",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"value": 1}, "values_count": {}}]}"#,
            "must[0]",
            "key, match, range",
            "values_count",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"text": "x"}}]}"#,
            "must[0].match",
            "value, any, except",
            "\"text\"",
        ),
        (
            r#"{"must": [{"key": "a", "match": {}}]}"#,
            "must[0].match",
            "one of value, any, except",
            "{}",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"value": 1, "any": []}}]}"#,
            "must[0].match",
            "one of",
            "an object",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"value": null}}]}"#,
            "must[0].match.value",
            "is_null",
            "null",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"any": 1}}]}"#,
            "must[0].match.any",
            "a list",
            "1",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"any": [1, [2]]}}]}"#,
            "must[0].match.any[1]",
            "a string, a number",
            "[2]",
        ),
        (
            r#"{"must": [{"key": "a", "range": {}}]}"#,
            "must[0].range",
            "at least one of",
            "none",
        ),
        (
            r#"{"must": [{"key": "a", "range": {"gt": true}}]}"#,
            "must[0].range.gt",
            "a number, or a time",
            "true",
        ),
        (
            r#"{"must": [{"key": "a", "range": {"gt": "soon"}}]}"#,
            "must[0].range.gt",
            "a time such as",
            "soon",
        ),
        (
            r#"{"must": [{"key": "a", "range": {"gt": 1, "lt": "2024-05-01"}}]}"#,
            "must[0].range",
            "one kind",
            "numbers and times",
        ),
        (
            r#"{"must": [{"key": "a", "range": {"from": 1}}]}"#,
            "must[0].range",
            "gt, gte, lt, lte",
            "\"from\"",
        ),
        (
            r#"{"should": [{"must_not": [{"has_id": "x"}]}]}"#,
            "should[0].must_not[0].has_id",
            "a list of ids",
            "\"x\"",
        ),
        (
            r#"{"should": [{"has_id": [-1]}]}"#,
            "should[0].has_id[0]",
            "a whole number",
            "-1",
        ),
        (
            r#"{"must": [{"has_id": ["x"], "key": "a"}]}"#,
            "must[0]",
            "key, match, range",
            "has_id",
        ),
        (
            r#"{"must": [{"nested": {"key": "a"}}]}"#,
            "must[0].nested",
            "\"filter\"",
            "none",
        ),
        (
            r#"{"must": [{"nested": {"key": "a", "filter": {"must": [{"has_id": ["x"]}]}}}]}"#,
            "must[0].nested.filter.must[0]",
            "no id",
            "ids",
        ),
        (
            r#"{"must": [{"must": [], "key": "a"}]}"#,
            "must[0]",
            "key, match, range",
            "\"must\"",
        ),
        (
            r#"{"must": [{"must": [], "min_should": 1}]}"#,
            "must[0]",
            "must, should, must_not",
            "min_should",
        ),
    ];
    for (text, at, expected, found) in cases {
        let (said_at, said_expected, said_found) = refused(text);
        assert_eq!(said_at, at, "{text}");
        assert!(said_expected.contains(expected), "{text}: {said_expected}");
        assert!(said_found.contains(found), "{text}: {said_found}");
    }
}

#[test]
fn what_is_no_json_is_refused_with_line_and_column() {
    let (at, expected, _) = refused("{\n  \"must\": [}\n");
    assert_eq!(
        (at.as_str(), expected.as_str()),
        ("line 2, column 12", "JSON")
    );
    for text in [
        "",
        "{",
        "{} x",
        "{\"must\": [],}",
        "nul",
        "{\"must\": [NaN]}",
        "\u{feff}{}",
    ] {
        assert!(refused(text).0.starts_with("line 1, "), "{text}");
    }
    // The last of two would win, and a condition would be lost without a word.
    let (_, _, found) = refused(r#"{"must": [{"is_null": {"key": "a"}}], "must": []}"#);
    assert!(found.contains("\"must\" stands twice"), "{found}");
    let deep = "{\"must\":".repeat(100_000);
    assert!(refused(&deep).0.starts_with("line 1, "));
}

#[test]
fn depth_is_bounded_however_a_filter_is_made() {
    let nest = |depth: usize| {
        (1..depth).fold(Filter::default(), |inner, _| {
            Filter::must([Condition::Filter(inner)])
        })
    };
    let deepest = nest(MAX_FILTER_DEPTH);
    deepest.validate().unwrap();
    assert_eq!(
        Filter::from_value(&deepest.to_value().unwrap()).unwrap(),
        deepest
    );
    let error = nest(MAX_FILTER_DEPTH + 1).validate().unwrap_err();
    assert!(error.to_string().contains("at most 32 filters"), "{error}");
}

#[test]
fn what_is_built_wrong_is_refused() {
    let wrong = [
        (Condition::range("a", Range::default()), "at least one of"),
        (
            Condition::range("a", Range::default().gt(f64::NAN)),
            "a finite number",
        ),
        (
            Condition::range("a", Range::default().gt("soon")),
            "a time such as",
        ),
        (Condition::equals("a", f32::INFINITY), "finite numbers"),
        (Condition::equals("a[", 1), "a key such as"),
    ];
    for (condition, expected) in wrong {
        let filter = Filter::must([condition]);
        for error in [
            filter.validate().unwrap_err(),
            filter.matches("x", None).unwrap_err(),
            filter.to_value().unwrap_err(),
        ] {
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

#[test]
fn a_predicate_judges_ids_and_has_no_json() {
    let predicate = IdPredicate::new(|id| id.starts_with('a'));
    let filter = Filter::must_not([Condition::Predicate(predicate.clone())]);
    assert!(!filter.matches("ab", None).unwrap());
    assert!(filter.matches("ba", None).unwrap());
    assert_eq!(filter, filter.clone());
    assert_ne!(filter, Filter::ids(|id| id.starts_with('a')));
    assert!(
        filter
            .to_value()
            .unwrap_err()
            .to_string()
            .contains("predicate")
    );
    assert!(serde_json::to_string(&filter).is_err());
}
