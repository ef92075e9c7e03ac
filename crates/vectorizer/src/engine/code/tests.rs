use super::*;
use crate::engine::Scoring;

const DIMENSIONS: [usize; 8] = [1, 3, 5, 7, 17, 127, 784, 1536];

fn coded(precision: Precision, row: &[f32]) -> Vec<Unit> {
    let mut to = vec![Unit::default(); units(precision, row.len())];
    write(precision, row, &mut to);
    to
}

/// What a coded row stands for.
fn decoded(precision: Precision, row: &[Unit], dimension: usize) -> Vec<f64> {
    let terms = Terms::of(row);
    let bytes = row[..row.len() - 1].as_flattened();
    let step = f64::from(terms.step);
    match precision {
        Precision::F32 => unreachable!("rows are not coded"),
        Precision::F16 => bytes.as_chunks::<2>().0[..dimension]
            .iter()
            .map(|half| f64::from(widened(*half)) * step)
            .collect(),
        Precision::Int8 => bytes[..dimension]
            .iter()
            .map(|u| f64::from(terms.middle) + step * (f64::from(*u) - 128.0))
            .collect(),
    }
}

/// The score of a query and a row by the formulas for bytes, and I by itself.
fn score(scoring: Scoring, query: &[f32], row: &[f32]) -> f32 {
    let [q, r] = [query, row].map(|of| coded(Precision::Int8, of));
    let whole = |code: &u8| i32::from(*code) - 128;
    let wholes = |of: &[Unit]| {
        of.as_flattened()[..row.len()]
            .iter()
            .map(whole)
            .collect::<Vec<_>>()
    };
    let product = wholes(&q).iter().zip(wholes(&r)).map(|(a, b)| a * b).sum();
    let terms = [Terms::of(&q), Terms::of(&r)];
    match scoring {
        Scoring::SquaredEuclidean => squared_difference(row.len(), terms[0], terms[1], product),
        Scoring::NegativeDot => negative_dot(row.len(), terms[0], terms[1], product),
    }
}

fn exact(scoring: Scoring, a: &[f64], b: &[f64]) -> f64 {
    let pairs = a.iter().zip(b);
    match scoring {
        Scoring::SquaredEuclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
        Scoring::NegativeDot => -pairs.map(|(a, b)| a * b).sum::<f64>(),
    }
}

fn reals(random: &mut fastrand::Rng, dimension: usize, size: f32) -> Vec<f32> {
    (0..dimension)
        .map(|_| (random.f32() - 0.5) * size)
        .collect()
}

#[test]
fn components_come_back_within_half_a_step() {
    let mut random = fastrand::Rng::with_seed(1);
    for dimension in DIMENSIONS {
        for size in [1e-30, 1e-3, 1.0, 7e4, 1e11, 4e15, 1e18] {
            let row = reals(&mut random, dimension, size);
            let largest = row.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            for (precision, allowed) in [
                (Precision::F16, 1.0 / 2048.0),
                (Precision::Int8, 1.0 / 250.0),
            ] {
                let back = decoded(precision, &coded(precision, &row), dimension);
                for (x, back) in row.iter().zip(&back) {
                    let lost = (f64::from(*x) - back).abs();
                    assert!(
                        lost <= f64::from(largest) * allowed,
                        "{precision}, {dimension} components of {size}: {x} came back as {back}"
                    );
                }
            }
        }
    }
}

#[test]
fn whole_numbers_that_span_255_lose_nothing() {
    let mut random = fastrand::Rng::with_seed(2);
    for dimension in DIMENSIONS {
        for low in [0.0, -128.0, -100_000.0, 7.0] {
            let pair = [(); 2].map(|()| {
                (0..dimension)
                    .map(|_| f32::from(random.u8(..)) + low)
                    .collect::<Vec<f32>>()
            });
            let wide = pair
                .clone()
                .map(|row| row.into_iter().map(f64::from).collect::<Vec<_>>());
            for (row, wide) in pair.iter().zip(&wide) {
                assert_eq!(
                    &decoded(Precision::Int8, &coded(Precision::Int8, row), dimension),
                    wide
                );
            }
            // Where every term is small enough for floats to hold it, so is the score.
            if dimension <= 127 && low.abs() <= 128.0 {
                for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
                    let score = f64::from(score(scoring, &pair[0], &pair[1]));
                    assert_eq!(
                        score,
                        exact(scoring, &wide[0], &wide[1]),
                        "{scoring:?} {dimension} {low}"
                    );
                }
            }
        }
    }
}

#[test]
fn scores_of_bytes_are_those_of_what_they_stand_for() {
    let mut random = fastrand::Rng::with_seed(3);
    for dimension in DIMENSIONS {
        for (size, middle) in [
            (1.0, 0.0),
            (1.0, 100.0),
            (1e-3, 0.0),
            (1e10, 1e9),
            (1e14, 0.0),
        ] {
            let pair = [(); 2].map(|()| {
                let row = reals(&mut random, dimension, size);
                row.into_iter().map(|x| x + middle).collect::<Vec<f32>>()
            });
            let wide = pair
                .each_ref()
                .map(|row| decoded(Precision::Int8, &coded(Precision::Int8, row), dimension));
            for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
                let score = f64::from(score(scoring, &pair[0], &pair[1]));
                let exact = exact(scoring, &wide[0], &wide[1]);
                let lengths = match scoring {
                    // What the middles have in common is gone before anything is squared.
                    Scoring::SquaredEuclidean => {
                        dimension as f64 * f64::from(size).powi(2)
                            + f64::from(middle) * f64::from(size) * 0.01
                    }
                    Scoring::NegativeDot => wide.iter().flatten().map(|x| x * x).sum(),
                };
                assert!(
                    (score - exact).abs() <= 1e-5 * lengths,
                    "{scoring:?}, {dimension} components of {size} about {middle}: {score}, not {exact}"
                );
            }
        }
    }
}

#[test]
fn scores_are_finite_whatever_the_rows() {
    // As long as rows may be.
    let longest = (f64::from(f32::MAX) / 16.0).sqrt() * 0.999;
    for dimension in [1, 2, 17, 784, 65_536] {
        let each = (longest / (dimension as f64).sqrt()) as f32;
        let mut one = vec![0.0; dimension];
        one[0] = longest as f32;
        let mut other = vec![0.0; dimension];
        other[dimension - 1] = -longest as f32;
        let alternating: Vec<f32> = (0..dimension)
            .map(|i| if i % 2 == 0 { each } else { -each })
            .collect();
        let rows = [
            vec![0.0; dimension],
            vec![each; dimension],
            vec![-each; dimension],
            vec![3.5; dimension],
            vec![f32::MIN_POSITIVE; dimension],
            (0..dimension)
                .map(|i| if i == 0 { 1e-38 } else { 0.0 })
                .collect(),
            (0..dimension)
                .map(|i| if i == 0 { each.min(4e11) } else { 0.0 })
                .collect(),
            one,
            other,
            alternating,
        ];
        for query in &rows {
            let halves = coded(Precision::F16, query);
            assert!(
                decoded(Precision::F16, &halves, dimension)
                    .iter()
                    .all(|x| x.is_finite())
            );
            for row in &rows {
                for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
                    let score = score(scoring, query, row);
                    assert!(
                        score.is_finite(),
                        "{scoring:?}, {dimension}: {:?}",
                        (query[0], row[0])
                    );
                }
            }
        }
    }
}

#[test]
fn constant_rows_are_their_middle() {
    for value in [0.0, -7.25, 1e10, 65_504.0, 65_505.0, 1e18] {
        for dimension in DIMENSIONS {
            for precision in [Precision::F16, Precision::Int8] {
                let row = vec![value; dimension];
                for back in decoded(precision, &coded(precision, &row), dimension) {
                    let lost = (back - f64::from(value)).abs();
                    assert!(
                        lost <= f64::from(value.abs()) / 2048.0,
                        "{precision} {value}: {back}"
                    );
                }
            }
        }
    }
}

#[test]
fn halves_widen_as_the_hardware_does() {
    for bits in 0..=u16::MAX {
        let half = half::f16::from_bits(bits);
        if half.is_finite() {
            assert_eq!(
                widened(bits.to_le_bytes()).to_bits(),
                half.to_f32().to_bits(),
                "{bits:#x}"
            );
        }
    }
}
