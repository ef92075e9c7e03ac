//! Which vectors are taken.

use super::*;

fn storage(metric: DistanceMetric) -> VectorStorage {
    VectorStorage::new(&Context::cpu(), 2, metric).unwrap()
}

fn is_too_short(error: &VectorizerError) -> bool {
    matches!(error, VectorizerError::VectorTooShort { squared_length, limit, .. } if *squared_length < f64::from(*limit))
}

#[test]
fn vectors_whose_squares_vanish_are_refused_wherever_they_come_in() {
    for metric in [DistanceMetric::Euclidean, DistanceMetric::DotProduct] {
        for tiny in [1e-13, 1e-23, 1e-30, f32::MIN_POSITIVE, 1e-45] {
            for row in [[tiny, 0.0], [-tiny, tiny / 2.0]] {
                let mut storage = storage(metric);
                assert!(is_too_short(&storage.append(&row).unwrap_err()), "{row:?}");
                assert!(storage.is_empty());
                storage.append(&[0.0, 0.0, 1.0, 2.0]).unwrap();
                assert!(is_too_short(&storage.search(&row, 1).unwrap_err()));
                // A store may hold it: an earlier version took it.
                assert_eq!(storage.append_stored(&row).unwrap(), 2..3);
                assert_eq!(storage.get(2).unwrap().unwrap(), row);
            }
        }
    }
}

#[test]
fn tiny_components_are_no_reason_to_refuse_a_vector() {
    for metric in [
        DistanceMetric::Euclidean,
        DistanceMetric::DotProduct,
        DistanceMetric::Cosine,
    ] {
        let mut storage = storage(metric);
        let rows = [0.5, 1e-30, 1e-45, -0.5, 1e-12, 0.0, 0.0, 0.0, -0.0, 0.0];
        storage.append(&rows).unwrap();
        storage.search(&rows, 2).unwrap();
    }
}

#[test]
fn unit_vectors_may_come_from_any_length() {
    let mut storage = storage(DistanceMetric::Cosine);
    storage
        .append(&[1e-30, 0.0, 1e-44, 1e-44, 0.0, 1e-20])
        .unwrap();
    for (query, nearest) in [([1e-38, 0.0], 0), ([3.0, 3.0], 1), ([0.0, 1e-45], 2)] {
        assert_eq!(storage.search(&query, 1).unwrap().of(0)[0].slot, nearest);
    }
}

#[test]
fn what_is_taken_is_told_apart_down_to_a_thousandth() {
    let least = MIN_SQUARED_LENGTH.sqrt();
    let context = Context::cpu();
    for dimension in [1, 128] {
        let metric = DistanceMetric::Euclidean;
        let mut storage = VectorStorage::new(&context, dimension, metric).unwrap();
        let of = |step: usize| {
            let mut row = vec![least; dimension];
            row[0] *= 1.0 + step as f32 / 1_024.0;
            row
        };
        let rows: Vec<f32> = (0..10).flat_map(of).collect();
        storage.append(&rows).unwrap();
        for step in 0..10 {
            let hits = storage.search(&of(step), 2).unwrap();
            let [first, second] = hits.of(0) else {
                panic!("two are there");
            };
            assert_eq!(first.slot as usize, step);
            let apart = f64::from(least / 1_024.0).powi(2);
            let off = (f64::from(second.score) - apart).abs() / apart;
            assert!(first.score == 0.0 && off < 1e-3, "{second:?}");
        }
    }
}
