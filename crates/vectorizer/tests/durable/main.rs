//! Collections on disk, as callers see them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "tests compare exact values of small data"
)]

mod create;
mod cursor;
mod index;
mod opening;
mod read_only;
mod room;
mod snapshot;
mod stale;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use support::METRICS;
use vectorizer::collection::{Collection, Means, OpenOptions, Opening};
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, SearchResult, Vector};
use vectorizer::store::Durability;

const DIMENSION: usize = 8;

fn options() -> CollectionOptions {
    CollectionOptions {
        hnsw: HnswConfig {
            max_connections: 6,
            ef_construction: 40,
            ..HnswConfig::default()
        },
        seed: 77,
        threads: 1,
        ..CollectionOptions::default()
    }
}

fn create(path: &Path, metric: DistanceMetric) -> Collection {
    let context = Context::cpu();
    Collection::create_with(
        path,
        &context,
        DIMENSION,
        metric,
        options(),
        Durability::EveryBatch,
    )
    .unwrap()
}

fn open(path: &Path) -> Result<Collection, VectorizerError> {
    let options = OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    };
    Collection::open_with(
        path,
        &Context::cpu(),
        options,
        |_| ControlFlow::Continue(()),
    )
}

/// Few values, so that there are ties; not whole, so that Cosine has something to restore.
fn vectors(seed: u64, ids: std::ops::Range<u32>) -> Vec<Vector> {
    let mut random = fastrand::Rng::with_seed(seed);
    ids.map(|id| Vector {
        id: format!("vector {id}"),
        data: (0..DIMENSION)
            .map(|_| f32::from(random.i8(-2..3)) * 0.3)
            .collect(),
        payload: random
            .bool()
            .then(|| json!({ "number": id, "even": id % 2 == 0 }).into()),
    })
    .collect()
}

fn answers(collection: &Collection, path: SearchPath) -> Vec<Vec<SearchResult>> {
    let options = SearchOptions {
        path,
        with_payload: true,
        ..SearchOptions::default()
    };
    let queries: Vec<Vec<f32>> = vectors(9, 0..30)
        .into_iter()
        .map(|vector| vector.data)
        .collect();
    collection
        .search_batch_with(&queries, 12, &options)
        .unwrap()
}
