//! What is refused, and where an error says that it is.

use super::*;

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
            r#"{"should": [{"has_id": [-1.5]}]}"#,
            "should[0].has_id[0]",
            "a whole number from -9223372036854775808",
            "-1.5",
        ),
        (
            r#"{"must": [{"has_id": [18446744073709551616]}]}"#,
            "line 1, column 23",
            "a whole number from -9223372036854775808",
            "18446744073709551616",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"value": 123456789012345678901234567890}}]}"#,
            "line 1, column 43",
            "a whole number from -9223372036854775808",
            "123456789012345678901234567890",
        ),
        (
            r#"{"must": [{"key": "a", "range": {"gt": 1e400}}]}"#,
            "line 1, column 40",
            "a finite number",
            "1e400",
        ),
        // Null says nothing, but only of what is known and where something else is said.
        (
            r#"{"musst": null}"#,
            "the top",
            "must, should, must_not",
            "\"musst\"",
        ),
        (
            r#"{"key": null}"#,
            "the top",
            "must, should, must_not",
            "\"key\"",
        ),
        (
            r#"{"min_should": {"conditions": [], "min_count": 1}}"#,
            "the top",
            "must, should, must_not",
            "\"min_should\"",
        ),
        (r#"{"must": [null]}"#, "must[0]", "a condition", "null"),
        (
            r#"{"must": [{"key": null}]}"#,
            "must[0]",
            "a condition",
            "null",
        ),
        (
            r#"{"must": [{"has_id": null}]}"#,
            "must[0]",
            "a condition",
            "null",
        ),
        (
            r#"{"must": [{"key": "a", "match": null, "range": null}]}"#,
            "must[0]",
            "match or range",
            "neither",
        ),
        (
            r#"{"must": [{"key": "a", "match": {"value": 1}, "metch": null}]}"#,
            "must[0]",
            "key, match, range",
            "\"metch\"",
        ),
        (
            r#"{"must": [{"key": "a", "range": {"gt": 1}, "is_null": false}]}"#,
            "must[0]",
            "match or range",
            "both range and is_null",
        ),
        (
            r#"{"must": [{"key": "a", "is_null": 1}]}"#,
            "must[0].is_null",
            "true or false",
            "1",
        ),
        (
            r#"{"must": [{"nested": {"key": "a", "filter": null}}]}"#,
            "must[0].nested.filter",
            "a filter",
            "null",
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
