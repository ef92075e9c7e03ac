//! What the dead take is given back. Alone in its file: devices count what all collections of a process take.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what helps a test fails as the test does"
)]

mod support;

use support::{contexts, random_rows, vectors};
use vectorizer::collection::{Collection, CollectionStats};
use vectorizer::config::CollectionOptions;
use vectorizer::models::DistanceMetric;

#[test]
fn the_dead_give_their_memory_back() {
    for context in contexts() {
        let fresh = |rows: &[f32]| {
            let options = CollectionOptions::default();
            let metric = DistanceMetric::Cosine;
            let collection = Collection::with_context(&context, 32, metric, options).unwrap();
            collection.add_vectors_batch(vectors(rows, 32)).unwrap();
            collection.optimize().unwrap();
            collection
        };
        let rows = random_rows(4, 3000, 32);
        let collection = fresh(&rows);
        let before = collection.stats();
        let ids: Vec<_> = (0..3000).step_by(2).map(|i| format!("v{i}")).collect();
        collection.delete_batch(&ids).unwrap();
        collection.consolidate().unwrap();
        let after = collection.stats();
        for number in (1..3000).step_by(2) {
            let data = &rows[number * 32..][..32];
            assert_eq!(
                collection.get_vector(&format!("v{number}")).unwrap().data,
                data
            );
        }
        drop(collection);
        let left: Vec<f32> = rows
            .chunks(64)
            .flat_map(|pair| &pair[32..])
            .copied()
            .collect();
        let fresh = fresh(&left).stats();
        let told = format!("{context}: {before:?}, then {after:?}, new {fresh:?}");
        assert_eq!((after.vector_count, after.dead_slots), (1500, 0), "{told}");
        let taken = |stats: &CollectionStats| (stats.row_bytes + stats.graph_bytes) as f64;
        assert!(taken(&after) <= 1.1 * taken(&fresh), "{told}");
        assert!(taken(&after) <= 0.7 * taken(&before), "{told}");
    }
}
