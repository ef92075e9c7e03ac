//! Scores of every set of instructions against those in f64.

use super::*;
use crate::config::Precision;
use crate::engine::code;
use crate::engine::cpu::random::Random;

fn naive(scoring: Scoring, a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    match scoring {
        Scoring::SquaredEuclidean => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
        Scoring::NegativeDot => 0.0 - pairs.map(|(a, b)| a * b).sum::<f64>(),
    }
}

fn dimensions() -> impl Iterator<Item = usize> {
    (1..=70).chain([127, 128, 129, 784, 1536])
}

fn distances() -> impl Iterator<Item = Distance> {
    Instructions::available().into_iter().flat_map(|i| {
        [Scoring::SquaredEuclidean, Scoring::NegativeDot].map(|s| Distance::with(i, s))
    })
}

/// Scores of rows against a query: one by one, and by fours.
struct Forms<'a> {
    query: &'a [f32],
    rows: &'a [&'a [f32]],
}

impl Task for Forms<'_> {
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn run<S: Score>(self, score: S) -> Self::Output {
        let mut forms = [const { Vec::new() }; 2];
        for row in self.rows {
            forms[0].push(score.one(self.query, row));
        }
        for four in self.rows.as_chunks::<4>().0 {
            forms[1].extend(score.four(self.query, *four));
        }
        forms
    }
}

impl Distance {
    fn one(self, a: &[f32], b: &[f32]) -> f32 {
        let rows = &[b];
        let [one, _] = self.run(Forms { query: a, rows });
        one[0]
    }
}

#[test]
fn integers_score_exactly() {
    let mut random = Random(1);
    for distance in distances() {
        for dimension in dimensions() {
            let (a, b) = (
                random.integers(16, dimension),
                random.integers(16, dimension),
            );
            let score = f64::from(distance.one(&a, &b));
            assert_eq!(
                score,
                naive(distance.scoring(), &a, &b),
                "{distance:?} {dimension}"
            );
            assert!(distance.one(&vec![0.0; dimension], &a).is_sign_positive() || score != 0.0);
        }
    }
}

#[test]
fn reals_score_within_rounding() {
    let mut random = Random(2);
    for distance in distances() {
        for dimension in dimensions() {
            let (a, b) = (random.reals(dimension), random.reals(dimension));
            let score = f64::from(distance.one(&a, &b));
            let error = (score - naive(distance.scoring(), &a, &b)).abs();
            // Each of the sums of 64 terms or so rounds a few times; the terms are at most 4.
            assert!(
                error <= 1e-6 * dimension as f64,
                "{distance:?} {dimension}: {error}"
            );
        }
    }
}

#[test]
fn every_form_gives_the_same_bits_and_so_does_the_mirrored_pair() {
    let mut random = Random(3);
    for distance in distances() {
        for dimension in dimensions() {
            let values = random.reals(25 * dimension);
            let mut rows = values.chunks(dimension);
            let query = rows.next().unwrap();
            let rows: Vec<&[f32]> = rows.collect();
            let mirrored: Vec<f32> = rows.iter().map(|row| distance.one(row, query)).collect();
            let bits = |scores: &[f32]| scores.iter().map(|s| s.to_bits()).collect::<Vec<_>>();
            for form in distance.run(Forms { query, rows: &rows }) {
                assert_eq!(bits(&form), bits(&mirrored), "{distance:?} {dimension}");
            }
        }
    }
}

#[test]
fn instruction_sets_with_fused_multiply_add_agree_to_the_bit() {
    let mut random = Random(4);
    let fused: Vec<_> = Instructions::available()
        .into_iter()
        .filter(|i| i.name() != "portable")
        .collect();
    for dimension in dimensions() {
        let (a, b) = (random.reals(dimension), random.reals(dimension));
        for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
            let bits: Vec<u32> = fused
                .iter()
                .map(|i| Distance::with(*i, scoring).one(&a, &b).to_bits())
                .collect();
            assert!(bits.iter().all(|b| *b == bits[0]), "{dimension} {bits:x?}");
        }
    }
}

#[test]
fn the_fastest_comes_first_and_portable_is_always_there() {
    let available = Instructions::available();
    assert_eq!(available.last().unwrap().name(), "portable");
    let chosen = Instructions::choose().name();
    let wanted = std::env::var(OVERRIDE).unwrap_or_default();
    let expected = available.iter().find(|i| i.name() == wanted);
    assert_eq!(chosen, expected.unwrap_or(&available[0]).name());
}

/// Scores of coded rows: one by one, and by fours; and products likewise.
struct Coded<'a> {
    query: &'a [f32],
    signed: &'a [Unit],
    halves: &'a [&'a [Unit]],
    bytes: &'a [&'a [Unit]],
}

impl Task for Coded<'_> {
    type Output = ([Vec<f32>; 2], [Vec<i32>; 2]);

    #[inline(always)]
    fn run<S: Score>(self, score: S) -> Self::Output {
        let mut scores = [const { Vec::new() }; 2];
        let mut products = [const { Vec::new() }; 2];
        for (half, byte) in self.halves.iter().zip(self.bytes) {
            scores[0].extend(score.halves(self.query, [*half]));
            products[0].extend(score.products(self.signed, [*byte]));
        }
        for four in self.halves.as_chunks::<4>().0 {
            scores[1].extend(score.halves(self.query, *four));
        }
        for four in self.bytes.as_chunks::<4>().0 {
            products[1].extend(score.products(self.signed, *four));
        }
        (scores, products)
    }
}

#[test]
fn products_of_bytes_are_exact_on_every_instruction_set() {
    let mut random = Random(5);
    let fused = |i: &Instructions| i.name() != "portable";
    for dimension in dimensions().chain([65_536]) {
        let count = if dimension > 2000 { 4 } else { 8 };
        let query = random.reals(dimension);
        let units = code::units(Precision::Int8, dimension);
        // The largest sums there can be, and others.
        let mut byte = |at: usize| match at % 4 {
            0 => 255,
            1 => 0,
            _ => random.next().to_le_bytes()[0],
        };
        let rows: Vec<Vec<Unit>> = (0..count)
            .map(|at| {
                (0..units)
                    .map(|_| Unit::default().map(|_| byte(at)))
                    .collect()
            })
            .collect();
        let bytes: Vec<&[Unit]> = rows.iter().map(Vec::as_slice).collect();
        for kind in 0..3 {
            let signed: Vec<Unit> = (0..units)
                .map(|_| {
                    Unit::default().map(|_| match kind {
                        0 => 0x80,
                        1 => 0x7f,
                        _ => random.next().to_le_bytes()[0],
                    })
                })
                .collect();
            let expected: Vec<i32> = rows
                .iter()
                .map(|row| {
                    let pairs = row.as_flattened().iter().zip(signed.as_flattened());
                    pairs
                        .map(|(u, s)| i32::from(*u) * i32::from(s.cast_signed()))
                        .sum()
                })
                .collect();
            let floats: Vec<Vec<Unit>> = (0..count)
                .map(|_| {
                    let mut to = vec![Unit::default(); code::units(Precision::F16, dimension)];
                    code::write(Precision::F16, &random.reals(dimension), &mut to);
                    to
                })
                .collect();
            let halves: Vec<&[Unit]> = floats.iter().map(Vec::as_slice).collect();
            for scoring in [Scoring::SquaredEuclidean, Scoring::NegativeDot] {
                let mut first: Option<Vec<u32>> = None;
                for instructions in Instructions::available() {
                    let task = Coded {
                        query: &query,
                        signed: &signed,
                        halves: &halves,
                        bytes: &bytes,
                    };
                    let (scores, products) = Distance::with(instructions, scoring).run(task);
                    assert_eq!(products[0], expected, "{instructions:?} {dimension}");
                    assert_eq!(products[1], expected, "{instructions:?} {dimension}");
                    let bits =
                        scores.map(|scores| scores.iter().map(|s| s.to_bits()).collect::<Vec<_>>());
                    assert_eq!(bits[0], bits[1], "{instructions:?} {dimension}");
                    if fused(&instructions) {
                        let first = first.get_or_insert_with(|| bits[0].clone());
                        assert_eq!(*first, bits[0], "{instructions:?} {dimension}");
                    }
                }
            }
        }
    }
}

#[test]
fn halves_score_as_the_numbers_they_stand_for() {
    let mut random = Random(6);
    for distance in distances() {
        for dimension in dimensions() {
            let query = random.reals(dimension);
            let row = random.reals(dimension);
            let mut coded = vec![Unit::default(); code::units(Precision::F16, dimension)];
            code::write(Precision::F16, &row, &mut coded);
            let step = Terms::of(&coded).step;
            let stands: Vec<f32> = coded.as_flattened().as_chunks::<2>().0[..dimension]
                .iter()
                .map(|half| code::widened(*half) * step)
                .collect();
            let rows = [coded.as_slice()];
            let task = Coded {
                query: &query,
                signed: &[],
                halves: &rows,
                bytes: &rows,
            };
            let ([scores, _], _) = distance.run(task);
            let expected = distance.one(&query, &stands);
            assert_eq!(
                scores[0].to_bits(),
                expected.to_bits(),
                "{distance:?} {dimension}"
            );
        }
    }
}
