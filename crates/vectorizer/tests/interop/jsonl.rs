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
    assert!(matches!(error, VectorizerError::DuplicateId { .. }));
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
        ("[\"a\", [1, 2], null]", "expected an object"),
        ("{\"id\": \"a\"}", "missing field `vector`"),
        ("{\"vector\": [1, 2]}", "missing field `id`"),
        (
            "{\"id\": -1, \"vector\": [1, 2]}",
            "an id: a string or a whole number",
        ),
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
    }
}
