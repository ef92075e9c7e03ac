//! Files of other programs: read as they are, written as they should be, and refused where they are broken.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod hnswlib;
mod jsonl;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{METRICS, exact, random_rows};
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::filter::Filter;
use vectorizer::gpu::context::Context;
use vectorizer::interop::npy::Form;
use vectorizer::interop::{self, Moved, ids_beside};
use vectorizer::models::{DistanceMetric, Payload, SearchResult, Vector};

const fn go(_: Moved) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn empty(dimension: usize, metric: DistanceMetric, m: usize) -> Collection {
    let hnsw = HnswConfig {
        max_connections: m,
        ..HnswConfig::default()
    };
    let options = CollectionOptions {
        hnsw,
        ..CollectionOptions::default()
    };
    Collection::with_context(&Context::cpu(), dimension, metric, options).unwrap()
}

fn vector(id: &str, data: &[f32], payload: Option<Value>) -> Vector {
    Vector {
        id: id.to_owned(),
        data: data.to_vec(),
        payload: payload.map(Payload),
    }
}

/// Vectors with payloads of every shape, and components with awkward digits.
fn varied() -> Vec<Vector> {
    let mut random = fastrand::Rng::with_seed(8);
    let mut vectors: Vec<Vector> = (0..500)
        .map(|number| {
            let data = [f32::from_bits(random.u32(..) & 0x5fff_ffff), random.f32()];
            let payload = json!({
                "n": number, "f": 0.5 * f64::from(number), "ok": number % 2 == 0, "s": format!("x{number}"),
                "mixed": if number % 2 == 0 { json!(1) } else { json!("one") }, "list": [1, null], "big": u64::MAX, "exact": [31.245_270_191_439_438, 121.487_919_511_619_45],
            });
            vector(&format!("id {number}"), &data, Some(payload))
        })
        .collect();
    let odd = [
        None,
        Some(json!({})),
        Some(json!([1, 2])),
        Some(json!("text")),
        Some(json!({"n": 7})),
        Some(json!({"null": null, "id": "mine", "payload": {"a": 1}})),
    ];
    vectors.extend(
        odd.into_iter()
            .enumerate()
            .map(|(number, payload)| vector(&format!("odd\n{number}"), &[1.0, 2.0], payload)),
    );
    vectors
}

fn all(collection: &Collection) -> Vec<Vector> {
    collection.vectors(None).map(Result::unwrap).collect()
}

#[test]
fn a_file_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let collection = empty(1, DistanceMetric::Euclidean, 16);
    collection.add_rows(&["a"], &[1.0]).unwrap();
    let stop = |_| ControlFlow::Break(());
    let path = folder.path().join("file");
    let outcomes = [
        interop::jsonl::export(&collection, &path, stop).map(drop),
        interop::npy::export(&collection, &path, Form::Npy, stop).map(drop),
        interop::hnswlib::export(&collection, &path, stop).map(drop),
        #[cfg(feature = "parquet")]
        interop::parquet::export(&collection, &path, stop).map(drop),
    ];
    for outcome in outcomes {
        assert_eq!(outcome, Err(VectorizerError::Cancelled));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let nowhere = folder.path().join("no/where");
    let error = interop::jsonl::export(&collection, &nowhere, go).unwrap_err();
    assert!(
        matches!(error, VectorizerError::FileFailed { .. }),
        "{error}"
    );
    // Writers are let in again.
    collection.add_rows(&["b"], &[2.0]).unwrap();
}
