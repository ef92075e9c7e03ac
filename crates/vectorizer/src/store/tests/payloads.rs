//! Payloads that an earlier version or another program wrote, and stores of which not all can be read.

use redb::{Database, ReadableTable as _};

use super::*;
use crate::collection::journal::{Change, Journal as _};
use crate::store::tables::{Kind, PAYLOADS, ROWS, sealed};

const METRIC: DistanceMetric = DistanceMetric::Euclidean;

fn create(path: &Path) -> Collection {
    let (context, options) = (Context::cpu(), Default::default());
    Collection::create_with(path, &context, 1, METRIC, options, Durability::EveryBatch).unwrap()
}

fn reopened(path: &Path) -> Result<Collection> {
    let go_on = |_| ControlFlow::Continue(());
    Collection::open_with(path, &Context::cpu(), OpenOptions::default(), go_on)
}

fn numbered(id: &str, number: u32) -> Vector {
    Vector {
        id: id.to_owned(),
        data: vec![number as f32],
        payload: Some(json!({ "n": number }).into()),
    }
}

fn deep(levels: usize) -> Payload {
    Payload((0..levels).fold(json!(1), |inner, _| json!([inner])))
}

/// A collection of three, of which the store was given these payloads past the check at the door.
fn with_payloads(path: &Path, payloads: &[Payload]) {
    let collection = create(path);
    collection
        .add_vectors_batch(["a", "b", "c"].map(|id| numbered(id, 1)))
        .unwrap();
    collection.close().unwrap();
    let store = std::sync::Arc::new(Store::open(path, Durability::EveryBatch).unwrap());
    store.read_rows(|_| Ok(())).unwrap();
    for (slot, payload) in (0..).zip(payloads) {
        let payload = Some(payload);
        store.record(&Change::SetPayload { slot, payload }).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn payloads_of_earlier_versions_are_read_and_one_that_cannot_be_costs_itself_alone() {
    let folder = folder();
    let path = folder.path().join("old");
    with_payloads(&path, &[deep(200), deep(READ_DEPTH + 1)]);
    let collection = reopened(&path).unwrap();
    assert_eq!(collection.stats().unreadable_payloads, 1);
    let payload = |id: &str| collection.get_vector(id).unwrap().payload;
    assert_eq!(payload("a"), Some(deep(200)));
    assert_eq!(payload("b"), None);
    assert_eq!(payload("c"), numbered("c", 1).payload);

    // It goes where the store goes, and into no file without it.
    collection.delete("c").unwrap();
    collection.compact().unwrap();
    collection.snapshot(folder.path().join("copy")).unwrap();
    let lines = folder.path().join("lines");
    let go_on = |_| ControlFlow::Continue(());
    let error = crate::interop::jsonl::export(&collection, &lines, go_on).unwrap_err();
    assert!(
        matches!(&error, VectorizerError::InvalidPayload { id, .. } if id == "a"),
        "{error}"
    );
    // New components would leave it behind.
    let error = collection
        .upsert_rows(&["b"], &numbered("b", 7).data)
        .unwrap_err();
    assert!(
        matches!(&error, VectorizerError::InvalidPayload { id, .. } if id == "b"),
        "{error}"
    );
    collection.set_payload("a", None).unwrap();
    let error = crate::interop::jsonl::export(&collection, &lines, go_on).unwrap_err();
    assert!(
        matches!(&error, VectorizerError::InvalidPayload { id, .. } if id == "b"),
        "{error}"
    );
    #[cfg(feature = "parquet")]
    assert_eq!(
        crate::interop::parquet::export(&collection, &lines, go_on),
        Err(error)
    );
    assert!(!lines.exists());
    collection.close().unwrap();

    for name in ["old", "copy"] {
        let problems = Collection::check_files(folder.path().join(name))
            .unwrap()
            .problems;
        assert!(
            problems.len() == 1 && problems[0].starts_with("the payload of \"b\" cannot be read: "),
            "{problems:?}"
        );
        let collection = reopened(&folder.path().join(name)).unwrap();
        assert_eq!(collection.stats().unreadable_payloads, 1);
        collection.set_payload("b", None).unwrap();
        assert_eq!(collection.stats().unreadable_payloads, 0);
        collection.close().unwrap();
        let problems = Collection::check_files(folder.path().join(name))
            .unwrap()
            .problems;
        assert_eq!(problems, Vec::<String>::new());
    }
}

/// Changes bytes of a collection's store, past every check.
fn damage(path: &Path, work: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(path.join("collection.redb")).unwrap();
    let write = database.begin_write().unwrap();
    work(&write);
    write.commit().unwrap();
}

#[test]
fn what_can_be_read_of_a_damaged_store_is_salvaged() {
    let folder = folder();
    let path = folder.path().join("broken");
    let collection = create(&path);
    // Blocks of their own.
    for (number, id) in (0..).zip(["a", "b", "c", "d", "e", "f"]) {
        collection.add_vector(numbered(id, number)).unwrap();
    }
    collection.create_payload_index("n").unwrap();
    collection.delete("e").unwrap();
    collection.close().unwrap();
    damage(&path, |write| {
        let mut rows = write.open_table(ROWS).unwrap();
        let mut value = rows.get(1).unwrap().unwrap().value().to_vec();
        *value.last_mut().unwrap() ^= 1;
        rows.insert(1, value.as_slice()).unwrap();
        let mut payloads = write.open_table(PAYLOADS).unwrap();
        let mut value = payloads.get(2).unwrap().unwrap().value().to_vec();
        value[9] ^= 1;
        payloads.insert(2, value.as_slice()).unwrap();
        let text = serde_json::to_vec(&deep(100).0).unwrap();
        payloads
            .insert(3, sealed(Kind::Payload, 3, &text).as_slice())
            .unwrap();
    });
    assert!(matches!(
        reopened(&path),
        Err(VectorizerError::StoreDamaged { .. })
    ));

    let to = folder.path().join("saved");
    let report = Collection::salvage(&path, &to).unwrap();
    assert_eq!(
        (report.vectors, report.payloads, report.expected_vectors),
        (4, 2, Some(5))
    );
    assert_eq!(report.lost.len(), 2, "{report:?}");
    assert!(
        report.lost[0].starts_with("the vectors of \"b\": "),
        "{report:?}"
    );
    assert!(
        report.lost[1].starts_with("the payload of \"c\": "),
        "{report:?}"
    );
    assert_eq!(report.lost_payloads.len(), 1);
    assert_eq!(report.lost_payloads[0].id, "d");
    assert_eq!(report.lost_payloads[0].text, deep(100).0.to_string());

    assert_eq!(
        Collection::check_files(&to).unwrap().problems,
        Vec::<String>::new()
    );
    let saved = reopened(&to).unwrap();
    assert_eq!(saved.payload_indexes(), ["n"]);
    let without = |vector: Vector| Vector {
        payload: None,
        ..vector
    };
    let all: Vec<Vector> = saved.vectors(None).map(Result::unwrap).collect();
    let expected = [
        numbered("a", 0),
        without(numbered("c", 2)),
        without(numbered("d", 3)),
        numbered("f", 5),
    ];
    assert_eq!(all, expected);
    let error = Collection::salvage(&path, &to).unwrap_err();
    assert!(
        matches!(error, VectorizerError::StoreExists { .. }),
        "{error}"
    );
}

#[test]
fn a_sound_store_is_salvaged_whole() {
    let folder = folder();
    let path = folder.path().join("sound");
    with_payloads(&path, &[]);
    let to = folder.path().join("saved");
    let report = Collection::salvage(&path, &to).unwrap();
    assert_eq!(
        (report.vectors, report.payloads, report.lost.len()),
        (3, 3, 0)
    );
    let (before, after) = (reopened(&path).unwrap(), reopened(&to).unwrap());
    let all = |collection: &Collection| -> Vec<Vector> {
        collection.vectors(None).map(Result::unwrap).collect()
    };
    assert_eq!(all(&after), all(&before));
}
