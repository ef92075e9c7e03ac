//! What conditions mean, case by case.

use super::*;

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
        "color": ["red", "blue"], "price": 10, "size": null, "tags": [], "sold": "2024-05-01T12:00:00Z", "plain": "2024-05-01T12:00:00",
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
        // Without an offset, without seconds, without the colon of an offset: in payloads and in bounds.
        (
            json!({"key": "plain", "range": {"gte": "2024-05-01T12:00", "lte": "2024-05-01T12:00:00Z"}}),
            true,
        ),
        (
            json!({"key": "sold", "range": {"gte": "2024-05-01T12:00:00", "lte": "2024-05-01 14:00:00+0200"}}),
            true,
        ),
        (
            json!({"key": "plain", "range": {"gt": "2024-05-01T14:00+02"}}),
            false,
        ),
        (
            json!({"key": "color", "range": {"gt": "2024-05-01"}}),
            false,
        ),
        // Qdrant's other way to write emptiness, and nulls for what is not set.
        (json!({"key": "size", "is_null": true}), true),
        (
            json!({"key": "size", "is_null": false, "is_empty": null}),
            false,
        ),
        (json!({"key": "price", "is_null": false}), true),
        (
            json!({"key": "none", "is_empty": true, "match": null}),
            true,
        ),
        (json!({"key": "price", "is_empty": false}), true),
        (
            json!({"must": null, "should": null, "min_should": null, "must_not": null}),
            true,
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
