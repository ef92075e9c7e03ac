//! Room on disk.

use super::*;

#[test]
fn compacting_gives_room_back_and_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let collection = create(folder.path(), DistanceMetric::Euclidean);
    let mut wide = vectors(1, 0..3000);
    for vector in &mut wide {
        vector.payload = Some(json!("x".repeat(200)).into());
    }
    for batch in wide.chunks(500) {
        collection.add_vectors_batch(batch).unwrap();
    }
    let gone: Vec<String> = (0..3000)
        .filter(|id| id % 10 != 3)
        .map(|id| format!("vector {id}"))
        .collect();
    collection.delete_batch(&gone[..100]).unwrap();
    collection.close().unwrap();
    let before = Collection::describe(folder.path()).unwrap();
    assert_eq!(
        (before.vectors, before.dead, before.payloads),
        (2900, 100, 2900)
    );
    let collection = open(folder.path()).unwrap();
    collection.delete_batch(&gone[100..]).unwrap();
    let expected = answers(&collection, SearchPath::Exact);
    collection.compact().unwrap();
    assert_eq!(collection.stats().dead_slots, 0);
    assert_eq!(answers(&collection, SearchPath::Exact), expected);
    collection.close().unwrap();
    let after = Collection::describe(folder.path()).unwrap();
    assert_eq!(
        (after.vectors, after.dead, after.linked),
        (300, 0, Some(300))
    );
    assert!(
        after.store_bytes * 2 < before.store_bytes,
        "{} of {}",
        after.store_bytes,
        before.store_bytes
    );
    let collection = open(folder.path()).unwrap();
    assert_eq!(answers(&collection, SearchPath::Exact), expected);
    drop(collection);
    assert_eq!(
        Collection::check_files(folder.path()).unwrap().problems,
        Vec::<String>::new()
    );
}
