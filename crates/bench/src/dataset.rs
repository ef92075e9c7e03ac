//! Sets to measure with: base, queries and, where there is one, truth.

use std::path::Path;

use vectorizer::models::DistanceMetric;

use crate::error::{DataError, Result};
use crate::ids::IdTable;
use crate::matrix::Matrix;
use crate::synthetic::Mixture;
use crate::truth;

/// Queries of a made-up set.
const QUERIES: usize = 10_000;
/// What decides its numbers.
const SEED: u64 = 42;

/// What is searched, with what, and what should be found.
#[derive(Debug)]
pub struct DataSet {
    /// The folder's name, or the made-up set's.
    pub name: String,
    /// The vectors to search in.
    pub base: Matrix,
    /// The vectors to search for.
    pub queries: Matrix,
    /// The true `k` neighbours of each query.
    pub truth: Option<IdTable>,
}

impl DataSet {
    /// A folder with `base.npy`, `queries.npy` and `gt_l2_ids.npy` or `gt_cosine_ids.npy`; or a made-up set, which has no truth:
    /// `sift-like:ROWS` or `text-like:ROWS:DIMENSION`, with 10,000 queries.
    ///
    /// # Errors
    /// A file is missing or broken, or the name of a made-up set is not of that form.
    pub fn open(name: &str, metric: DistanceMetric, k: usize) -> Result<Self> {
        if let Some((mixture, rows)) = made_up(name) {
            let base = mixture.rows(0, rows);
            let queries = mixture.rows(rows, QUERIES);
            return Ok(Self {
                name: name.to_owned(),
                base: Matrix::from_rows(name, base, mixture.dimension)?,
                queries: Matrix::from_rows(name, queries, mixture.dimension)?,
                truth: None,
            });
        }
        let folder = Path::new(name);
        let base = Matrix::open(folder.join("base.npy"))?;
        let queries = Matrix::open(folder.join("queries.npy"))?;
        let file = match metric {
            DistanceMetric::Euclidean => "gt_l2_ids.npy",
            DistanceMetric::Cosine => "gt_cosine_ids.npy",
            DistanceMetric::DotProduct => "gt_dot_ids.npy",
        };
        if base.dimension() != queries.dimension() {
            return Err(DataError::new(
                folder,
                "base and queries differ in dimension",
            ));
        }
        let truth = truth::read(&folder.join(file), queries.rows(), k, base.rows())?;
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            base,
            queries,
            truth: Some(truth),
        })
    }
}

fn made_up(name: &str) -> Option<(Mixture, usize)> {
    let mut parts = name.split(':');
    let kind = parts.next()?;
    let rows = parts.next()?.parse().ok().filter(|rows| *rows > 0)?;
    let mixture = match kind {
        "sift-like" => Mixture::like_sift(SEED),
        "text-like" => Mixture::like_text(parts.next()?.parse().ok().filter(|d| *d > 0)?, SEED),
        _ => return None,
    };
    parts.next().is_none().then_some((mixture, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_sets_by_name() {
        let set = DataSet::open("sift-like:50", DistanceMetric::Euclidean, 10).unwrap();
        assert_eq!(
            (set.base.rows(), set.base.dimension(), set.queries.rows()),
            (50, 128, QUERIES)
        );
        let set = DataSet::open("text-like:7:33", DistanceMetric::Cosine, 10).unwrap();
        assert_eq!((set.base.rows(), set.base.dimension()), (7, 33));
        for wrong in [
            "sift-like",
            "sift-like:0",
            "sift-like:5:5",
            "text-like:5",
            "text-like:5:0",
            "noise:5",
        ] {
            assert!(
                DataSet::open(wrong, DistanceMetric::Cosine, 10).is_err(),
                "{wrong}"
            );
        }
    }
}
