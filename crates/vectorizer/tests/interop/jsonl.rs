//! JSON lines.

use vectorizer::interop::{Existing, jsonl};

use super::*;

#[test]
fn json_lines_bring_back_what_went_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.jsonl");
    let collection = empty(2, DistanceMetric::Cosine, 16);
    collection.add_vectors_batch(varied()).unwrap();
    let mut told = Vec::new();
    let count = jsonl::export(&collection, &path, |moved| {
        told.push(moved);
        ControlFlow::Continue(())
    });
    assert_eq!(count.unwrap(), 506);
    assert_eq!(
        told.last(),
        Some(&Moved {
            done: 506,
            total: Some(506)
        })
    );
    let back = empty(2, DistanceMetric::Cosine, 16);
    assert_eq!(
        jsonl::import(&back, &path, Existing::Refuse, go).unwrap(),
        506
    );
    assert_eq!(all(&back), varied());
    let error = jsonl::import(&back, &path, Existing::Refuse, go).unwrap_err();
    let VectorizerError::InFile { place, error, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(place, "line 1");
    assert!(matches!(*error, VectorizerError::DuplicateId { .. }));
    assert_eq!(
        jsonl::import(&back, &path, Existing::Replace, go).unwrap(),
        506
    );
    assert_eq!(all(&back), varied());
}

#[test]
fn broken_json_lines_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.jsonl");
    let good = "\n{\"id\": 7, \"vector\": [1, 2], \"payload\": null}\n  \n";
    fs::write(&path, good).unwrap();
    let collection = empty(2, DistanceMetric::Euclidean, 16);
    assert_eq!(
        jsonl::import(&collection, &path, Existing::Refuse, go).unwrap(),
        1
    );
    assert_eq!(
        collection.get_vector("7").unwrap(),
        vector("7", &[1.0, 2.0], None)
    );
    for (line, words) in [
        ("{", "EOF"),
        ("{\"id\": \"a\", \"vector\": [1e-20, 0]}", "squared length"),
        ("[\"a\", [1, 2], null]", "expected an object"),
        ("{\"id\": \"a\"}", "missing field `vector`"),
        ("{\"vector\": [1, 2]}", "missing field `id`"),
        (
            "{\"id\": 18446744073709551616, \"vector\": [1, 2]}",
            "column 8: id: expected a string, or a whole number from -9223372036854775808 to 18446744073709551615, found 18446744073709551616",
        ),
        (
            "{\"id\": 1.5, \"vector\": [1, 2]}",
            "column 8: id: expected a string, or a whole number from",
        ),
        (
            "{\"id\": [\"a\"], \"vector\": [1, 2]}",
            "id: expected a string, or a whole number from",
        ),
        (
            "{\"id\": \"\", \"vector\": [1, 2]}",
            "an id has 0 bytes; expected 1 to 65535",
        ),
        (
            "{\"id\": \"a\", \"vector\": [1, 3e38]}",
            "vector \"a\": component 1 is 3",
        ),
        (
            "{\"id\": \"a\", \"id\": \"b\", \"vector\": [1, 2]}",
            "duplicate field `id`",
        ),
        // A name twice, at any depth and however it is written.
        (
            "{\"id\": \"a\", \"vector\": [1, 2], \"payload\": {\"k\": 1, \"k\": 2}}",
            "column 51: payload: expected each field once, found the field \"k\" stands twice",
        ),
        (
            "{\"id\": \"a\", \"vector\": [1, 2], \"payload\": [{\"o\": {\"k\": 1, \"\\u006b\": 2}}]}",
            "the field \"k\" stands twice",
        ),
        (
            "{\"id\": \"a\", \"vector\": [1, 2], \"payload\": {\"k\": 123456789012345678901234567890}}",
            "payload: expected a whole number from -9223372036854775808 to 18446744073709551615, found 123456789012345678901234567890",
        ),
        (
            "{\"id\": \"a\", \"vector\": [1, 2], \"payload\": {\"k\": -1e400}}",
            "payload: expected a finite number, found -1e400",
        ),
        (
            "{\"id\": \"a\", \"vector\": [1, 2], \"payload\": \"\\ud800\"}",
            "payload: expected a string",
        ),
        (
            "{\"id\": \"c\", \"vector\":",
            "EOF while parsing a value; an object may not be broken into several lines",
        ),
        ("{\u{0}", "expected UTF-8, found UTF-16"),
        (
            "{\"id\": \"a\", \"vector\": [1]}",
            "expected 2 components, found 1",
        ),
        ("{\"id\": \"a\", \"vector\": [1, \"2\"]}", "invalid type"),
        (
            "{\"id\": \"a\", \"vector\": [1, 2], \"meta\": 1}",
            "unknown field `meta`",
        ),
        (
            "{\"id\": \"a\", \"vector\": [1, 2]} {}",
            "trailing characters",
        ),
        ("\u{fffd}", "expected an object"),
    ] {
        fs::write(&path, format!("{good}{line}\n")).unwrap();
        let error = jsonl::import(&collection, &path, Existing::Replace, go)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 4: ") && error.contains(words),
            "{line}: {error}"
        );
        assert_eq!(error.matches("line ").count(), 1, "{error}");
    }
    let deep = format!(
        "{{\"id\": 1, \"vector\": [1, 2], \"payload\": {}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    fs::write(&path, deep).unwrap();
    let error = jsonl::import(&collection, &path, Existing::Replace, go).unwrap_err();
    let words = "line 1: column 104: payload: expected at most 64 arrays and objects in each other";
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(collection.vector_count(), 1);
}

#[test]
fn byte_order_marks_are_passed_over_and_utf_16_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.jsonl");
    let line = "{\"id\": \"a\", \"vector\": [1, 2]}\n";
    // Two files put together have one in the middle too.
    fs::write(
        &path,
        format!("\u{feff}{line}\u{feff}{}", line.replace('a', "b")),
    )
    .unwrap();
    let collection = empty(2, DistanceMetric::Euclidean, 16);
    assert_eq!(
        jsonl::import(&collection, &path, Existing::Refuse, go).unwrap(),
        2
    );
    assert!(collection.contains("a") && collection.contains("b"));
    for mark in ["", "\u{feff}"] {
        let text = format!("{mark}{line}");
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [little, big] {
            fs::write(&path, bytes).unwrap();
            let error = jsonl::import(&collection, &path, Existing::Replace, go).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("line 1: expected UTF-8, found UTF-16"),
                "{error}"
            );
        }
    }
}

#[test]
fn whole_numbers_are_ids_and_found_by_filters() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.jsonl");
    let ids = ["-5", "0", "-9223372036854775808", "18446744073709551615"];
    let lines: Vec<String> = ids
        .iter()
        .map(|id| format!("{{\"id\": {id}, \"vector\": [1, 2]}}\n"))
        .collect();
    fs::write(&path, lines.concat()).unwrap();
    let collection = empty(2, DistanceMetric::Euclidean, 16);
    assert_eq!(
        jsonl::import(&collection, &path, Existing::Refuse, go).unwrap(),
        4
    );
    for id in ids {
        assert!(collection.contains(id));
        let filter = Filter::from_json(&format!("{{\"must\": [{{\"has_id\": [{id}]}}]}}")).unwrap();
        assert_eq!(collection.count(&filter).unwrap(), 1, "{id}");
    }
}

/// The outcome is that of two files, one after the other, wherever the two stand.
#[test]
fn an_id_twice_in_a_file_is_replaced_or_refused_near_and_far() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.jsonl");
    // 64 vectors of this dimension make a batch.
    let row = |first: usize| {
        let mut row = vec![0.0; 1 << 15];
        row[0] = first as f32;
        row
    };
    for between in [0, 5, 62, 63, 64, 150] {
        let line = |id: Value, first, payload: Value| {
            json!({"id": id, "vector": row(first), "payload": payload}).to_string()
        };
        let mut lines = vec![line(json!("twice"), 0, json!(null))];
        lines.extend((0..between).map(|n| line(json!(n), n, json!(null))));
        lines.push(line(json!("twice"), 1, json!(7)));
        fs::write(&path, lines.join("\n")).unwrap();
        let collection = empty(1 << 15, DistanceMetric::Euclidean, 2);
        let read = jsonl::import(&collection, &path, Existing::Replace, go).unwrap();
        assert_eq!(
            (read, collection.vector_count()),
            (between + 2, between + 1)
        );
        let last = collection.vectors(None).last().unwrap().unwrap();
        assert!(
            last == vector("twice", &row(1), Some(json!(7))),
            "{between}"
        );

        let collection = empty(1 << 15, DistanceMetric::Euclidean, 2);
        let error = jsonl::import(&collection, &path, Existing::Refuse, go).unwrap_err();
        let VectorizerError::InFile { place, error, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(place, format!("line {}", between + 2));
        assert!(
            matches!(
                *error,
                VectorizerError::DuplicateId { .. } | VectorizerError::DuplicateIdInBatch { .. }
            ),
            "{error}"
        );
    }
}
