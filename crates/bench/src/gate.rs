//! What must not get worse unseen: recall, and the work that building and searching take, on made-up data and for both engines.
//!
//! Nothing here asks a clock: the same program gives the same figures on every machine, but for the last digits of sums that
//! a device adds in another order.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use vectorizer::config::CollectionOptions;
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::hnsw::HnswGraph;
use vectorizer::interop::WholeFile;
use vectorizer::models::DistanceMetric;

use crate::error::DataError;
use crate::ids::IdTable;
use crate::matrix::Matrix;
use crate::measure;
use crate::recall::recall;
use crate::sweep::SweepError;
use crate::synthetic::Mixture;

/// A recall may fall by so much, and work grow by this share.
pub const RECALL: f64 = 0.005;
/// See [`RECALL`].
pub const WORK: f64 = 0.05;
const K: usize = 10;

/// A made-up set and how it is built: the first part at once, the rest batch by batch.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name in the record.
    pub name: &'static str,
    /// The data.
    pub mixture: Mixture,
    /// How nearness is measured.
    pub metric: DistanceMetric,
    /// Rows linked at once, and rows that come after.
    pub rows: (usize, usize),
    /// Queries.
    pub queries: usize,
    /// Beam widths.
    pub efs: &'static [usize],
}

/// The cases: `small` ones where every score is computed by a driver on the CPU.
#[must_use]
pub fn cases(small: bool) -> Vec<Case> {
    let rows = if small { (1_000, 150) } else { (6_000, 6_000) };
    let queries = if small { 100 } else { 500 };
    // Below 32, from which on hard queries of small collections are compared exactly: it is walks that are held to the record.
    let efs: &[usize] = if small { &[16] } else { &[16, 31] };
    vec![
        Case {
            name: "sift-like",
            mixture: Mixture::like_sift(7),
            metric: DistanceMetric::Euclidean,
            rows,
            queries,
            efs,
        },
        Case {
            name: "text-like",
            mixture: Mixture::like_text(96, 8),
            metric: DistanceMetric::Cosine,
            rows,
            queries,
            efs,
        },
    ]
}

/// What one case came to on one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The engine and the case.
    pub name: String,
    /// Scores for each row built.
    pub build_distances: f64,
    /// For each beam width: recall, and scores for each query.
    pub searches: Vec<Search>,
}

/// One beam width's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The width.
    pub ef: usize,
    /// Share of the true neighbours found.
    pub recall: f64,
    /// Scores for each query.
    pub distances: f64,
}

/// Builds and searches a case.
///
/// # Errors
/// The engine failed.
pub fn measure(case: &Case, engine: &str, context: &Context) -> Result<Figures, SweepError> {
    let (first, rest) = case.rows;
    let dimension = case.mixture.dimension;
    let rows = case.mixture.rows(0, first + rest);
    let queries = case.mixture.rows(first + rest, case.queries);
    let mut graph = HnswGraph::new(
        context,
        dimension,
        case.metric,
        CollectionOptions::default(),
    )?;
    for part in [&rows[..first * dimension], &rows[first * dimension..]] {
        graph.append(part)?;
        graph.build(|_| ControlFlow::Continue(()))?;
    }
    graph.check()?;
    let built = graph.stats().counters.distances;
    let search = |ef: Option<usize>| -> Result<IdTable, VectorizerError> {
        let options = measure::options(ef);
        let mut found = IdTable::new(K);
        for hits in graph.search(&queries, K, &options)?.hits.iter() {
            found.push(hits.iter().map(|hit| i64::from(hit.slot)));
        }
        Ok(found)
    };
    let truth = search(None)?;
    let base = Matrix::from_rows(case.name, rows, dimension).map_err(SweepError::Data)?;
    let asked = Matrix::from_rows(case.name, queries.clone(), dimension)?;
    let searches = case
        .efs
        .iter()
        .map(|&ef| {
            let before = graph.stats().counters.distances;
            let found = search(Some(ef))?;
            let distances = graph.stats().counters.distances - before;
            let recall = recall(&base, &asked, case.metric, &truth, &found)?;
            Ok(Search {
                ef,
                recall: rounded(recall, 4),
                distances: rounded(distances as f64 / case.queries as f64, 1),
            })
        })
        .collect::<Result<_, SweepError>>()?;
    Ok(Figures {
        name: format!("{engine} {}", case.name),
        build_distances: rounded(built as f64 / (first + rest) as f64, 1),
        searches,
    })
}

fn rounded(value: f64, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (value * unit).round() / unit
}

/// What got worse, in words; nothing if all is well.
#[must_use]
pub fn worse(record: &[Figures], now: &[Figures]) -> Vec<String> {
    let mut words = Vec::new();
    for now in now {
        let name = &now.name;
        let Some(then) = record.iter().find(|then| then.name == *name) else {
            words.push(format!("{name} is not on record"));
            continue;
        };
        let mut work = |what: String, then: f64, now: f64| {
            if now > then * (1.0 + WORK) {
                words.push(format!(
                    "{name}: {now} distances {what}, on record {then}: {:+.1} %",
                    (now / then - 1.0) * 100.0
                ));
            }
        };
        work(
            "a row built".to_owned(),
            then.build_distances,
            now.build_distances,
        );
        for search in &now.searches {
            if let Some(then) = then.searches.iter().find(|then| then.ef == search.ef) {
                work(
                    format!("a query at ef {}", search.ef),
                    then.distances,
                    search.distances,
                );
            }
        }
        for search in &now.searches {
            match then.searches.iter().find(|then| then.ef == search.ef) {
                Some(then) if search.recall < then.recall - RECALL => words.push(format!(
                    "{name}: recall {} at ef {}, on record {}",
                    search.recall, search.ef, then.recall
                )),
                Some(_) => {}
                None => words.push(format!("{name} at ef {} is not on record", search.ef)),
            }
        }
    }
    words
}

/// Reads a record.
///
/// # Errors
/// It is none.
pub fn read(path: &std::path::Path) -> Result<Vec<Figures>, DataError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| DataError::io(path, "read it", &error))?;
    serde_json::from_str(&text)
        .map_err(|error| DataError::new(path, format!("is no record: {error}")))
}

/// Writes one.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &std::path::Path, figures: &[Figures]) -> Result<(), DataError> {
    let failed = |error| DataError::io(path, "write it", &error);
    let text = serde_json::to_string_pretty(figures).map_err(|error| failed(error.into()))?;
    Ok(WholeFile::write(path, (text + "\n").as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_recall_and_more_work_are_found() {
        let figures = |recall, distances, build| Figures {
            name: "cpu set".to_owned(),
            build_distances: build,
            searches: vec![Search {
                ef: 16,
                recall,
                distances,
            }],
        };
        let record = [figures(0.95, 100.0, 1000.0)];
        assert!(worse(&record, &record).is_empty());
        assert!(worse(&record, &[figures(0.946, 104.0, 1040.0)]).is_empty());
        assert_eq!(worse(&record, &[figures(0.944, 100.0, 1000.0)]).len(), 1);
        assert_eq!(worse(&record, &[figures(0.95, 106.0, 1000.0)]).len(), 1);
        assert_eq!(worse(&record, &[figures(0.90, 106.0, 1060.0)]).len(), 3);
        assert_eq!(worse(&[], &record).len(), 1);
    }
}
