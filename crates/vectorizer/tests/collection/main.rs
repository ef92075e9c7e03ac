//! Collections, on every engine: what goes in comes out, nothing half, nothing wrong goes in.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod change;
mod refusal;
mod search;
mod sharing;
#[path = "../support/mod.rs"]
mod support;

use serde_json::json;
use support::{METRICS, contexts, exact, integer_rows, random_rows, vectors};
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, Payload, SearchResult, Vector};

fn empty(context: &Context, dimension: usize, metric: DistanceMetric) -> Collection {
    Collection::with_context(context, dimension, metric, CollectionOptions::default()).unwrap()
}

fn vector(id: &str, data: &[f32]) -> Vector {
    Vector {
        id: id.to_owned(),
        data: data.to_vec(),
        payload: None,
    }
}

fn ids(results: &[SearchResult]) -> Vec<&str> {
    results.iter().map(|result| result.id.as_str()).collect()
}

/// A hundred vectors on a line, each with its number and its parity as payload.
fn numbered(context: &Context) -> Collection {
    let collection = empty(context, 1, DistanceMetric::Euclidean);
    let vectors: Vec<_> = (0..100u8)
        .map(|number| Vector {
            payload: Some(json!({"number": number, "even": number.is_multiple_of(2)}).into()),
            ..vector(&format!("v{number}"), &[f32::from(number)])
        })
        .collect();
    collection.add_vectors_batch(vectors).unwrap();
    collection
}
