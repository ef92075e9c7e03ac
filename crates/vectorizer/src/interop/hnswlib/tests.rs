//! What goes out and in, byte by byte.

use std::ops::ControlFlow;

use super::export::{label_of, write};
use super::*;
use crate::collection::Collection;
use crate::config::CollectionOptions;
use crate::gpu::context::Context;
use crate::interop::Moved;
use crate::models::DistanceMetric;

#[test]
fn the_deleted_go_out_marked_and_come_in_deleted() {
    let empty = || {
        let metric = DistanceMetric::Euclidean;
        let options = CollectionOptions::default();
        Collection::with_context(&Context::cpu(), 1, metric, options).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.bin");
    let collection = empty();
    // One id is the highest label, which the deleted would have.
    let mut ids: Vec<String> = (0..60).map(|id| id.to_string()).collect();
    ids[7] = u64::MAX.to_string();
    let rows: Vec<f32> = (0..60u8).map(f32::from).collect();
    collection.add_rows(&ids, &rows).unwrap();
    collection.optimize().unwrap();
    collection.delete_batch(&["3", "50"]).unwrap();
    let mut go = |_: Moved| ControlFlow::Continue(());
    let exported = write(&collection.freeze().unwrap(), &path, &mut go).unwrap();
    assert_eq!((exported.vectors, exported.ids), (58, None));
    let bytes = std::fs::read(&path).unwrap();
    let element = 4 + 4 * 32 + 4 + 8;
    for slot in 0..60 {
        let element = &bytes[Header::BYTES + slot * element..][..element];
        assert_eq!(element[2], u8::from(slot == 3 || slot == 50), "{slot}");
        let label = u64::from_le_bytes(element[element.len() - 8..].try_into().unwrap());
        let expected = match slot {
            3 => u64::MAX - 1,
            50 => u64::MAX - 2,
            7 => u64::MAX,
            slot => slot as u64,
        };
        assert_eq!(label, expected);
    }
    let back = empty();
    let imported = import(&back, &path, None, go).unwrap();
    assert_eq!((imported.vectors, imported.graph), (58, true));
    assert_eq!(back.vector_count(), 58);
    let found = back.search(&[3.1], 2).unwrap();
    assert_eq!((found[0].id.as_str(), found[1].id.as_str()), ("4", "2"));
}

#[test]
fn labels_are_canonical_numbers() {
    assert_eq!(label_of("0"), Some(0));
    assert_eq!(label_of("18446744073709551615"), Some(u64::MAX));
    for id in [
        "",
        "00",
        "01",
        "+1",
        "-1",
        "1.0",
        " 1",
        "18446744073709551616",
        "a",
    ] {
        assert_eq!(label_of(id), None, "{id}");
    }
}
