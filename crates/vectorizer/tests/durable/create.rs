//! Who may make a collection where.

use std::sync::Barrier;

use super::*;

#[test]
fn of_some_who_make_a_collection_in_one_folder_at_once_exactly_one_does() {
    const WHO: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    for round in 0..150 {
        let path = folder.path().join(round.to_string());
        if round % 3 == 1 {
            // What an interrupted try left is no obstacle to any of them.
            fs::create_dir(&path).unwrap();
            fs::write(path.join("collection.redb.part"), b"half a file").unwrap();
        }
        let barrier = Barrier::new(WHO);
        let made: Vec<_> = std::thread::scope(|scope| {
            let make = || {
                barrier.wait();
                Collection::create_with(
                    &path,
                    &Context::cpu(),
                    DIMENSION,
                    DistanceMetric::Euclidean,
                    options(),
                    Durability::OnFlush,
                )
            };
            let all: Vec<_> = (0..WHO).map(|_| scope.spawn(make)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 1, "round {round}: {refused:?}");
        for error in refused.into_iter().filter_map(Result::err) {
            assert!(
                matches!(
                    error,
                    VectorizerError::StoreExists { .. } | VectorizerError::StoreInUse { .. }
                ),
                "round {round}: {error}"
            );
        }
        drop(made);
        assert_eq!(open(&path).unwrap().vector_count(), 0);
        let left: Vec<_> = fs::read_dir(&path).unwrap().collect();
        assert_eq!(left.len(), 1, "round {round}: {left:?}");
    }
}

#[test]
fn an_empty_path_is_refused_before_anything_is_made() {
    let here = std::env::current_dir().unwrap();
    let before = fs::read_dir(&here).unwrap().count();
    let made = Collection::create("", DIMENSION, DistanceMetric::Euclidean).map(drop);
    assert!(
        matches!(&made, Err(VectorizerError::StoreFailed { reason, .. }) if reason.contains("empty")),
        "{made:?}"
    );
    assert!(Collection::open("").is_err() && Collection::check_files("").is_err());
    assert_eq!(fs::read_dir(&here).unwrap().count(), before);
}
