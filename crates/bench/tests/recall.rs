//! Recall against truth computed the slow way, and what a tie is worth.
#![allow(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "tests compare exact values of small data"
)]

use vectorizer::models::DistanceMetric::{self, Cosine, DotProduct, Euclidean};
use vectorizer_bench::recall::{distance, recall};
use vectorizer_bench::{IdTable, Matrix, Mixture, truth};

fn matrix(rows: &[[f32; 2]]) -> Matrix {
    Matrix::from_rows("made up", rows.concat(), 2).unwrap()
}

fn lists<const K: usize>(lists: &[[i64; K]]) -> IdTable {
    let mut table = IdTable::new(K);
    for list in lists {
        table.push(*list);
    }
    table
}

#[test]
fn distances() {
    let (a, b) = ([3.0, 4.0], [0.0, 2.0]);
    assert_eq!(distance(Euclidean, &a, &b), 13.0);
    assert_eq!(distance(DotProduct, &a, &b), -8.0);
    assert!((distance(Cosine, &a, &b) - 0.2).abs() < 1e-12);
    assert_eq!(distance(Cosine, &a, &[0.0, 0.0]), 1.0);
}

#[test]
fn a_tie_at_the_kth_place_counts_as_found() {
    // From the origin: 0 at 1, then three at 2, then one at 3.
    let base = matrix(&[[1.0, 0.0], [2.0, 0.0], [0.0, 2.0], [-2.0, 0.0], [3.0, 0.0]]);
    let query = matrix(&[[0.0, 0.0]]);
    let score = |truth, found| recall(&base, &query, Euclidean, &truth, &found).unwrap();
    let truth = || lists(&[[0, 1]]);
    assert_eq!(score(truth(), lists(&[[0, 1]])), 1.0);
    assert_eq!(score(truth(), lists(&[[0, 3]])), 1.0, "3 is as near as 1");
    assert_eq!(
        score(truth(), lists(&[[3, 0]])),
        1.0,
        "order does not matter"
    );
    assert_eq!(
        score(truth(), lists(&[[2, 3]])),
        1.0,
        "as bench.py has it: both lie within the limit"
    );
    assert_eq!(score(truth(), lists(&[[0, 4]])), 0.5, "4 is farther");
    assert_eq!(
        score(truth(), lists(&[[0, 0]])),
        0.5,
        "a double counts once"
    );
    assert_eq!(
        score(truth(), lists(&[[0, -1]])),
        0.5,
        "an empty place is nothing"
    );
    assert_eq!(score(truth(), lists(&[[-1, -1]])), 0.0);
    assert_eq!(
        score(truth(), lists(&[[0, 4, 1]])),
        0.5,
        "what comes after k is not looked at"
    );
    assert_eq!(score(truth(), lists(&[[0]])), 0.5, "too short a list");
    assert_eq!(
        score(lists(&[[1, 0]]), lists(&[[0, 3]])),
        1.0,
        "truth in any order"
    );
}

#[test]
fn slightly_farther_is_farther() {
    let base = matrix(&[[1.0, 0.0], [1.001, 0.0], [1.000_000_1, 0.0]]);
    let query = matrix(&[[0.0, 0.0]]);
    let score =
        |found| recall(&base, &query, Euclidean, &lists(&[[0]]), &lists(&[[found]])).unwrap();
    assert_eq!((score(0), score(1), score(2)), (1.0, 0.0, 1.0));
}

#[test]
fn computed_truth_has_recall_one_and_orders_ties_by_row() {
    let base = matrix(&[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [-5.0, 0.0]]);
    let queries = matrix(&[[2.0, 0.0], [0.0, 3.0]]);
    let expected: [(DistanceMetric, [[i64; 3]; 2]); 3] = [
        (Euclidean, [[0, 2, 3], [1, 3, 0]]),
        (Cosine, [[0, 2, 1], [1, 0, 2]]),
        (DotProduct, [[0, 2, 1], [1, 0, 2]]),
    ];
    for (metric, wanted) in expected {
        let found = truth::compute(&base, &queries, metric, 3).unwrap();
        assert_eq!(found, lists(&wanted), "{metric}");
        assert_eq!(
            recall(&base, &queries, metric, &found, &found).unwrap(),
            1.0
        );
    }
    assert_eq!(
        truth::compute(&base, &queries, Cosine, 9).unwrap().width(),
        5
    );
}

#[test]
fn made_up_data_is_the_same_in_any_cut() {
    for mixture in [
        Mixture::like_sift(7),
        Mixture::like_text(48, 7),
        Mixture {
            latent: 99,
            ..Mixture::like_text(5, 1)
        },
    ] {
        let whole = mixture.rows(0, 64);
        assert_eq!(whole.len(), 64 * mixture.dimension);
        assert_eq!(&whole[40 * mixture.dimension..], mixture.rows(40, 24));
        let other = Mixture { seed: 8, ..mixture };
        assert_ne!(whole, other.rows(0, 64));
        assert!(whole.iter().all(|x| x.is_finite()));
        if mixture.whole {
            assert!(
                whole
                    .iter()
                    .all(|x| x.fract() == 0.0 && (0.0..=255.0).contains(x))
            );
            assert!(whole.iter().any(|x| *x > 0.0 && *x < 255.0));
        }
    }
}
