//! Vectors that came one by one lie together after a compaction, though nothing died.

use super::*;
use crate::config::CollectionOptions;

#[test]
fn compacting_leaves_few_runs_of_rows_that_came_one_by_one() {
    let folder = folder();
    let path = folder.path().join("collection");
    let options = CollectionOptions {
        hnsw: header().hnsw,
        threads: 1,
        ..CollectionOptions::default()
    };
    let collection = Collection::create_with(
        &path,
        &Context::cpu(),
        DIMENSION,
        DistanceMetric::Euclidean,
        options,
        Durability::OnFlush,
    )
    .unwrap();
    let mut random = fastrand::Rng::with_seed(4);
    let mut model = Model::new();
    for id in 0..500 {
        let step = Step::Add(vec![vector(&mut random, id)]);
        step.run(&collection).unwrap();
        step.model(&mut model);
    }
    collection.flush().unwrap();
    let blocks = || {
        let store = Store::open_read_only(&path).unwrap();
        store.totals().blocks
    };
    collection.close().unwrap();
    assert_eq!(blocks(), 500);
    let open = || {
        Collection::open_with(&path, &Context::cpu(), OpenOptions::default(), |_| {
            ControlFlow::Continue(())
        })
        .unwrap()
    };
    let collection = open();
    collection.compact().unwrap();
    assert_eq!(contents(&collection, &[]), model);
    collection.close().unwrap();
    let merged = blocks();
    assert!(merged <= 3, "{merged} blocks");
    assert_eq!(contents(&open(), &[]), model);
}
