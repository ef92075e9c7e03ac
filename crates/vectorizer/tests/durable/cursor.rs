//! A cursor that was given away goes on where it was, whatever became of the collection meanwhile.

use super::*;

#[test]
fn a_cursor_goes_on_after_deleting_compacting_and_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collection");
    let mut collection = create(&path, DistanceMetric::Euclidean);
    collection.add_vectors_batch(vectors(1, 0..100)).unwrap();
    // There are gaps before the cursor is given.
    collection.delete_batch(&["vector 3", "vector 4"]).unwrap();
    collection.compact().unwrap();
    collection.add_vectors_batch(vectors(2, 100..120)).unwrap();
    let page = collection.scroll(None, None, 60).unwrap();
    assert_eq!(page.items.last().unwrap().id, "vector 61");
    let token = serde_json::to_string(&page.next).unwrap();
    let rest = |collection: &Collection| -> Vec<String> {
        let after = serde_json::from_str(&token).unwrap();
        let page = collection.scroll(None, after, 1000).unwrap();
        assert_eq!(page.next, None);
        page.items.into_iter().map(|item| item.id).collect()
    };
    let mut expected: Vec<String> = (62..120).map(|id| format!("vector {id}")).collect();
    assert_eq!(rest(&collection), expected);
    for round in 0..3 {
        // Some before it, the one at which it was taken, some after it, and the last of all, whose number is not given again.
        let gone: Vec<String> = [10 + round, 61 - round, 70 + round, 119 + 3 * round]
            .map(|id| format!("vector {id}"))
            .to_vec();
        collection.delete_batch(&gone).unwrap();
        expected.retain(|id| !gone.contains(id));
        if round != 1 {
            collection.compact().unwrap();
        }
        assert_eq!(rest(&collection), expected, "round {round}");
        collection.close().unwrap();
        collection = open(&path).unwrap();
        assert_eq!(rest(&collection), expected, "round {round}, opened again");
        let new = 120 + 3 * round..123 + 3 * round;
        collection
            .add_vectors_batch(vectors(3, new.clone()))
            .unwrap();
        expected.extend(new.map(|id| format!("vector {id}")));
        assert_eq!(rest(&collection), expected, "round {round}, with more");
        collection
            .snapshot(folder.path().join(round.to_string()))
            .unwrap();
        let copy = open(&folder.path().join(round.to_string())).unwrap();
        assert_eq!(rest(&copy), expected, "round {round}, of the copy");
    }
}
