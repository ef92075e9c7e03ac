//! Graphs of which only a part may be found, and from which the dead are taken out, on every engine.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod consolidation;
mod part;
#[path = "../support/mod.rs"]
mod support;

use std::ops::ControlFlow;

use support::{contexts, distance, integer_rows, random_rows};
use vectorizer::config::{CollectionOptions, HnswConfig, SearchOptions, SearchPath};
use vectorizer::engine::{Neighbor, SlotSet};
use vectorizer::gpu::context::Context;
use vectorizer::hnsw::HnswGraph;
use vectorizer::models::DistanceMetric;

fn by(path: SearchPath) -> SearchOptions {
    SearchOptions {
        path,
        ..SearchOptions::default()
    }
}

fn built(
    context: &Context,
    dimension: usize,
    rows: &[f32],
    options: CollectionOptions,
) -> HnswGraph {
    let mut graph = HnswGraph::new(context, dimension, DistanceMetric::Euclidean, options).unwrap();
    graph.append(rows).unwrap();
    graph.build(|_| ControlFlow::Continue(())).unwrap();
    graph
}

fn plain(context: &Context, dimension: usize, rows: &[f32]) -> HnswGraph {
    built(context, dimension, rows, CollectionOptions::default())
}

/// Points around a few centres, as real vectors are.
fn clusters(seed: u64, count: usize, dimension: usize, centres: usize) -> Vec<f32> {
    let middles = random_rows(seed, centres, dimension);
    let mut random = fastrand::Rng::with_seed(seed + 1);
    let mut rows = Vec::with_capacity(count * dimension);
    for _ in 0..count {
        let middle = random.usize(0..centres) * dimension;
        let around = middles[middle..][..dimension].iter();
        rows.extend(around.map(|x| x + 0.3 * (random.f32() + random.f32() - 1.0)));
    }
    rows
}

/// Every slot of `count`.
fn slots(count: usize) -> std::ops::Range<u32> {
    0..u32::try_from(count).unwrap()
}

fn some(seed: u64, count: usize, share: f64) -> SlotSet {
    let mut random = fastrand::Rng::with_seed(seed);
    slots(count).filter(|_| random.f64() < share).collect()
}

/// The `min(k, allowed)` nearest allowed rows in f64.
fn nearest(rows: &[f32], query: &[f32], k: usize, allowed: &SlotSet) -> Vec<(f64, u32)> {
    let row = |slot: u32| &rows[slot as usize * query.len()..][..query.len()];
    let scored = allowed
        .iter()
        .map(|slot| (distance(DistanceMetric::Euclidean, query, row(slot)), slot));
    let mut all: Vec<_> = scored.collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all
}

/// Mean recall@10 among the allowed, each query by its own walk through the graph. Every result has to be allowed, and none may lack.
fn recall(
    graph: &HnswGraph,
    rows: &[f32],
    queries: &[f32],
    allowed: &SlotSet,
    path: SearchPath,
) -> f64 {
    let dimension = graph.dimension();
    let found = graph
        .search_among(queries, 10, &by(path), Some(allowed))
        .unwrap()
        .hits;
    let mut sum = 0.0;
    for (query, hits) in queries.chunks_exact(dimension).zip(found.iter()) {
        let truth = nearest(rows, query, 10, allowed);
        assert_eq!(hits.len(), truth.len());
        assert!(
            hits.iter().all(|hit| allowed.contains(hit.slot)),
            "{hits:?}"
        );
        let bound = truth.last().map_or(0.0, |last| last.0 * (1.0 + 1e-6));
        let row = |hit: &Neighbor| &rows[hit.slot as usize * dimension..][..dimension];
        let near = hits
            .iter()
            .filter(|hit| distance(DistanceMetric::Euclidean, query, row(hit)) <= bound);
        sum += near.count() as f64 / truth.len() as f64;
    }
    sum / found.queries() as f64
}
