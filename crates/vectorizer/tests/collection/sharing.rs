//! Searches while others change the collection.

use super::*;

#[test]
fn searches_beside_adding_see_whole_batches() {
    const BATCH: usize = 50;
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        // On the CPU past the size at which they are linked by themselves.
        let batches = if context.device().is_cpu() { 100 } else { 12 };
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut before = 0;
                    while !done.load(std::sync::atomic::Ordering::Acquire) {
                        // k beyond everything: the whole collection comes back.
                        let found = collection.search(&[0.0, 0.0], 100_000).unwrap().len();
                        assert!(
                            found.is_multiple_of(BATCH) && found >= before,
                            "{found} after {before}"
                        );
                        before = found;
                    }
                });
            }
            for batch in 0..batches {
                let rows = integer_rows(batch, BATCH, 2);
                let named = vectors(&rows, 2).into_iter();
                let named = named
                    .map(|v| Vector {
                        id: format!("{batch}-{}", v.id),
                        ..v
                    })
                    .collect::<Vec<_>>();
                collection.add_vectors_batch(named).unwrap();
                if batch == 7 {
                    collection.optimize().unwrap();
                }
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        assert_eq!(collection.vector_count() as u64, batches * BATCH as u64);
    }
}

#[test]
fn searches_beside_deleting_see_whole_batches_and_never_the_dead() {
    const BATCH: usize = 40;
    for context in contexts() {
        let collection = empty(&context, 2, DistanceMetric::Euclidean);
        let rows = integer_rows(3, 30 * BATCH, 2);
        let all = vectors(&rows, 2);
        collection.add_vectors_batch(&all).unwrap();
        collection.rebuild_hnsw_graph().unwrap();
        let gone = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut left = usize::MAX;
                    while left > 0 {
                        let dead = gone.load(std::sync::atomic::Ordering::Acquire);
                        let found = collection.search(&[0.0, 0.0], 100_000).unwrap();
                        let number = |id: &str| id[1..].parse::<usize>().unwrap();
                        assert!(found.iter().all(|result| number(&result.id) >= dead));
                        assert!(found.len().is_multiple_of(BATCH) && found.len() <= left);
                        left = found.len();
                    }
                });
            }
            for (number, batch) in all.chunks(BATCH).enumerate() {
                let ids: Vec<_> = batch.iter().map(|vector| &vector.id).collect();
                collection.delete_batch(&ids).unwrap();
                gone.store((number + 1) * BATCH, std::sync::atomic::Ordering::Release);
                if number % 10 == 5 {
                    collection.consolidate().unwrap();
                }
            }
        });
        assert_eq!(collection.vector_count(), 0);
    }
}
