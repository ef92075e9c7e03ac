//! How many of the true neighbours were found.

use rayon::prelude::*;
use vectorizer::models::DistanceMetric;

use crate::error::Result;
use crate::ids::IdTable;
use crate::matrix::Matrix;

/// Relative room for a tie, and the absolute room beside it.
const TIE: (f64, f64) = (1e-6, 1e-12);

/// The share of the true neighbours in what was found, over all queries: recall@k for k the width of `truth`.
///
/// What counts is distance, not name: a found row is true if it is no farther than the k-th true neighbour, with room for
/// rounding (one part in a million), so that a tie at the k-th place counts as found. A row that stands in a list twice counts once.
/// Distances are computed from the data in double precision.
///
/// # Errors
/// A row of a file is broken.
///
/// # Panics
/// If the tables differ in their number of queries, or name rows that are not there.
pub fn recall(
    base: &Matrix,
    queries: &Matrix,
    metric: DistanceMetric,
    truth: &IdTable,
    found: &IdTable,
) -> Result<f64> {
    assert_eq!(
        truth.queries(),
        found.queries(),
        "numbers of queries differ"
    );
    assert_eq!(truth.queries(), queries.rows(), "numbers of queries differ");
    let k = truth.width();
    let hits = (0..queries.rows())
        .into_par_iter()
        .map_init(Scratch::default, |scratch, query| {
            let truth = truth.of(query);
            let mut ids = found.of(query)[..k.min(found.width())].to_vec();
            ids.retain(|id| *id != IdTable::NONE);
            ids.sort_unstable();
            ids.dedup();
            // What the truth names is within its own limit: only the others have to be measured.
            let different = ids.len();
            ids.retain(|id| !truth.contains(id));
            let mut hits = different - ids.len();
            if ids.is_empty() {
                return Ok(hits);
            }
            queries.read_exact(query, &mut scratch.query)?;
            let mut limit = f64::NEG_INFINITY;
            for &id in truth {
                limit = limit.max(scratch.distance(base, metric, id)?);
            }
            let limit = limit + TIE.0 * limit.abs() + TIE.1;
            for id in ids {
                hits += usize::from(scratch.distance(base, metric, id)? <= limit);
            }
            Ok(hits)
        })
        .sum::<Result<usize>>()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of hits are far below 2^52"
    )]
    let share = hits as f64 / (k * queries.rows()) as f64;
    Ok(share)
}

#[derive(Default)]
struct Scratch {
    query: Vec<f64>,
    row: Vec<f64>,
}

impl Scratch {
    fn distance(&mut self, base: &Matrix, metric: DistanceMetric, id: i64) -> Result<f64> {
        // A negative number is no row and runs into the reader's own bound.
        base.read_exact(usize::try_from(id).unwrap_or(usize::MAX), &mut self.row)?;
        Ok(distance(metric, &self.query, &self.row))
    }
}

/// How far two vectors are apart, in double precision; smaller is nearer. The squared length of the difference, 1 - cosine
/// (1 where a vector is zero), or minus the dot product.
#[must_use]
pub fn distance(metric: DistanceMetric, a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    match metric {
        DistanceMetric::Euclidean => a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum(),
        DistanceMetric::DotProduct => -dot(a, b),
        DistanceMetric::Cosine => {
            let norms = (dot(a, a) * dot(b, b)).sqrt();
            if norms > 0.0 {
                1.0 - dot(a, b) / norms
            } else {
                1.0
            }
        }
    }
}
