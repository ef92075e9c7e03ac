//! The true neighbours: read from a file, or computed the slow and certain way.

use std::path::Path;

use rayon::prelude::*;
use vectorizer::models::DistanceMetric;

use crate::error::{DataError, Result};
use crate::ids::IdTable;
use crate::matrix::{self, Matrix};
use crate::npy::Element;
use crate::recall;

/// Bytes of rows, as `f32`, that are compared at a time.
const BLOCK: usize = 1 << 17;

/// Reads the first `k` true neighbours (of a base of `base_rows` rows) of each of `queries` queries from a file of row
/// numbers: `.npy` of any integer type, or `.ivecs`. In a base of fewer than `k` rows, that many are read.
///
/// # Errors
/// The file cannot be read, holds something other than integers, has another number of queries, is narrower than `k`,
/// or names a row that is not there, or one row twice for a query.
pub fn read(path: &Path, queries: usize, k: usize, base_rows: usize) -> Result<IdTable> {
    let bad = |reason: String| DataError::new(path, reason);
    let (input, table) = matrix::open(path)?;
    if matches!(table.element, Element::F32 | Element::F16) {
        return Err(bad(format!(
            "holds {} numbers; ground truth is row numbers, of an integer type",
            table.element
        )));
    }
    if table.rows != queries {
        return Err(bad(format!(
            "has {} rows, but there are {queries} queries",
            table.rows
        )));
    }
    let width = k.min(base_rows);
    if table.columns < width {
        return Err(bad(format!(
            "has {} true neighbours a query; {width} are needed",
            table.columns
        )));
    }
    let mut truth = IdTable::new(width);
    let mut sorted = Vec::with_capacity(width);
    let mut bytes = Vec::new();
    for query in 0..queries {
        sorted.clear();
        let take = |row: &[u8]| {
            let numbers = row.chunks_exact(table.element.size()).take(width);
            sorted.extend(numbers.map(|bytes| integer(table.element, bytes)));
        };
        matrix::each_row(path, (&input, &table), query..query + 1, &mut bytes, take)?;
        let is_row = |number: &i128| usize::try_from(*number).is_ok_and(|row| row < base_rows);
        if let Some(number) = sorted.iter().find(|number| !is_row(number)) {
            return Err(bad(format!(
                "query {query} has the true neighbour {number}; rows are numbered 0 to {}",
                base_rows - 1
            )));
        }
        truth.push(
            sorted
                .iter()
                .map(|number| i64::try_from(*number).unwrap_or(IdTable::NONE)),
        );
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(bad(format!("query {query} names row {} twice", pair[0])));
        }
    }
    Ok(truth)
}

/// An integer of any type, in one that holds them all.
pub(crate) fn integer(element: Element, bytes: &[u8]) -> i128 {
    let mut wide = [0; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    let unused = 128 - 8 * bytes.len();
    match element {
        // Shifting up and down again spreads the sign.
        Element::Int(_) => (i128::from_le_bytes(wide) << unused) >> unused,
        _ => i128::from_le_bytes(wide),
    }
}

/// Finds the `min(k, rows)` true neighbours of every query by comparing all in double precision, ties by the smaller
/// row number. Cost: every query times every row, on all cores, one slow number at a time: for tests and small sets.
///
/// # Errors
/// A row of a file is broken.
///
/// # Panics
/// If `k` is 0 or the dimensions differ.
pub fn compute(
    base: &Matrix,
    queries: &Matrix,
    metric: DistanceMetric,
    k: usize,
) -> Result<IdTable> {
    assert_eq!(base.dimension(), queries.dimension(), "dimensions differ");
    let width = k.min(base.rows());
    let lists: Vec<Vec<i64>> = (0..queries.rows())
        .into_par_iter()
        .map_init(
            || (Vec::new(), Vec::new()),
            |(query_row, rows), query| {
                queries.read_exact(query, query_row)?;
                let mut all = Vec::with_capacity(base.rows());
                for block in base.blocks(BLOCK) {
                    base.read_exact_rows(block.clone(), rows)?;
                    let rows = rows.chunks_exact(base.dimension());
                    let distances = rows.map(|row| recall::distance(metric, query_row, row));
                    all.extend(distances.zip(block));
                }
                all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                let ids = all[..width].iter();
                Ok(ids
                    .map(|(_, id)| i64::try_from(*id).unwrap_or(IdTable::NONE))
                    .collect())
            },
        )
        .collect::<Result<_>>()?;
    let mut truth = IdTable::new(width);
    for list in lists {
        truth.push(list);
    }
    Ok(truth)
}
