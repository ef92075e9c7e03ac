//! Indexed fields of payloads.

use super::*;

/// By which means a filter on each of two fields is answered, and how many vectors pass.
fn answered(collection: &Collection) -> Vec<(Means, u64)> {
    ["even", "of.three"]
        .iter()
        .map(|key| {
            let explanation = collection
                .explain(&Filter::must([Condition::equals(*key, true)]))
                .unwrap();
            (explanation.steps[0].means, explanation.steps[0].held)
        })
        .collect()
}

#[test]
fn fields_stay_indexed_when_a_collection_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("one"), folder.path().join("two"));
    let collection = create(&path, DistanceMetric::Euclidean);
    let vectors: Vec<Vector> = (0..60u8)
        .map(|number| Vector {
            id: number.to_string(),
            data: vec![f32::from(number); DIMENSION],
            payload: Some(
                json!({"even": number % 2 == 0, "of": {"three": number % 3 == 0}}).into(),
            ),
        })
        .collect();
    collection.add_vectors_batch(&vectors[..30]).unwrap();
    collection.close().unwrap();
    // What no index was ever made in is of the first version, which earlier programs read.
    let stats = Collection::describe(&path).unwrap();
    assert_eq!((stats.format, stats.payload_indexes.len()), (1, 0));

    let collection = open(&path).unwrap();
    let (scan, index) = (Means::Scan, Means::Index);
    assert_eq!(answered(&collection), [(scan, 15), (scan, 10)]);
    collection.create_payload_index("of.three").unwrap();
    collection.create_payload_index("even").unwrap();
    collection.add_vectors_batch(&vectors[30..]).unwrap();
    collection.delete_batch(&["0", "1", "2", "3"]).unwrap();
    assert_eq!(answered(&collection), [(index, 28), (index, 18)]);
    collection.snapshot(&copy).unwrap();
    collection.close().unwrap();
    let stats = Collection::describe(&path).unwrap();
    assert_eq!(stats.format, 2);
    assert_eq!(stats.payload_indexes, ["even", "of.three"]);
    assert_eq!(Collection::check_files(&path).unwrap().problems, [""; 0]);

    for path in [&path, &copy] {
        let collection = open(path).unwrap();
        assert_eq!(collection.payload_indexes(), ["even", "of.three"]);
        assert_eq!(answered(&collection), [(index, 28), (index, 18)]);
        // An index follows what changes after opening, too.
        collection.compact().unwrap();
        collection.delete("6").unwrap();
        assert_eq!(answered(&collection), [(index, 27), (index, 17)]);
        assert!(collection.drop_payload_index("even").unwrap());
        collection.close().unwrap();
        let collection = open(path).unwrap();
        assert_eq!(answered(&collection), [(scan, 27), (index, 17)]);
        assert!(collection.drop_payload_index("of.three").unwrap());
        collection.close().unwrap();
        let collection = open(path).unwrap();
        assert_eq!(collection.payload_indexes(), [""; 0]);
        assert_eq!(answered(&collection), [(scan, 27), (scan, 17)]);
    }
}
