//! Parquet files.

use vectorizer::interop::{Existing, parquet};

use super::*;

#[test]
fn parquet_brings_back_what_went_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    let collection = empty(2, DistanceMetric::Cosine, 16);
    collection.add_vectors_batch(varied()).unwrap();
    assert_eq!(parquet::export(&collection, &path, go).unwrap(), 506);
    let back = empty(2, DistanceMetric::Cosine, 16);
    assert_eq!(
        parquet::import(&back, &path, Existing::Refuse, go).unwrap(),
        506
    );
    assert_eq!(all(&back), varied());
    let other = empty(3, DistanceMetric::Cosine, 16);
    let error = parquet::import(&other, &path, Existing::Refuse, go)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("row 0: ") && error.contains("expected 3 components"),
        "{error}"
    );
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(whole.len() / 50) {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = parquet::import(&back, &path, Existing::Replace, go).unwrap_err();
        assert!(
            matches!(error, VectorizerError::FileRefused { .. }),
            "{cut}: {error}"
        );
    }
}

/// Written by Polars 2.1: strings, a list of float64, a date, a timestamp, a struct, a categorical, nulls.
#[test]
fn columns_become_members_of_the_payload() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/columns.parquet");
    let collection = empty(2, DistanceMetric::Euclidean, 16);
    assert_eq!(
        parquet::import(&collection, &path, Existing::Refuse, go).unwrap(),
        2
    );
    let expected = [
        vector(
            "1",
            &[0.5, 1.0],
            Some(json!({
                "day": "2024-05-01", "at": "2024-05-01T12:00:00.25Z", "place": {"city": "Rome", "zip": 100},
                "kind": "a", "tags": ["x", "y"], "score": 0.5,
            })),
        ),
        vector("2", &[1.5, 2.0], Some(json!({"kind": "b", "tags": []}))),
    ];
    assert_eq!(all(&collection), expected);
}
