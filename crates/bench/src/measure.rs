//! How a search is timed and tuned, ours and that of any peer alike.

use std::time::{Duration, Instant};

use vectorizer::config::{SearchOptions, SearchPath};

use crate::ids::IdTable;
use crate::percentile::percentile;

/// Searching all queries is repeated for so long, and at most so often; what counts is the median.
const PASSES_TIME: Duration = Duration::from_millis(300);
const PASSES: usize = 15;
/// Single queries that are timed, and for how long at most.
const SINGLES: usize = 2_000;
const SINGLES_TIME: Duration = Duration::from_secs(1);
/// Queries before a clock counts.
pub const WARM_UP: usize = 50;
/// Beam widths between which a recall is looked for.
const EFFORTS: (usize, usize) = (10, 4_096);

/// A search by the graph with this beam width; an exact one without.
#[must_use]
pub fn options(ef: Option<usize>) -> SearchOptions {
    SearchOptions {
        path: if ef.is_some() {
            SearchPath::Graph
        } else {
            SearchPath::Exact
        },
        ef,
        ..SearchOptions::default()
    }
}

/// The smallest effort, within the bounds, whose recall reaches `target`, by doubling and then bisection; `None` if none does.
///
/// # Errors
/// `recall`'s.
pub fn smallest_effort<E>(
    target: f64,
    mut recall: impl FnMut(usize) -> Result<f64, E>,
) -> Result<Option<usize>, E> {
    let (mut low, most) = EFFORTS;
    if recall(low)? >= target {
        return Ok(Some(low));
    }
    let mut step = 2 * low;
    while step < most && recall(step)? < target {
        (low, step) = (step, 2 * step);
    }
    let mut high = step.min(most);
    if recall(high)? < target {
        return Ok(None);
    }
    while high - low > (low / 64).max(1) {
        let middle = low.midpoint(high);
        if recall(middle)? >= target {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(Some(high))
}

/// What passes over all queries gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Passes {
    /// Queries a second, the median of the passes.
    pub qps: f64,
    /// How many passes there were.
    pub count: usize,
    /// What the last one found.
    pub found: IdTable,
}

/// Times passes over `queries` queries: at least one, for 0.3 s, at most 15.
///
/// # Errors
/// `pass`'s.
pub fn passes<E>(
    queries: usize,
    mut pass: impl FnMut() -> Result<IdTable, E>,
) -> Result<Passes, E> {
    let mut rates = Vec::new();
    let timing = Instant::now();
    loop {
        let start = Instant::now();
        let found = pass()?;
        #[expect(clippy::cast_precision_loss, reason = "queries are far below 2^52")]
        rates.push(queries as f64 / start.elapsed().as_secs_f64().max(1e-9));
        if rates.len() >= PASSES || timing.elapsed() >= PASSES_TIME {
            return Ok(Passes {
                qps: percentile(&mut rates, 50.0),
                count: rates.len(),
                found,
            });
        }
    }
}

/// Microseconds of queries that come one by one: up to 2,000, for at most a second, after some that are not counted.
///
/// # Errors
/// `search`'s.
pub fn singles<'a, E>(
    queries: impl Iterator<Item = &'a [f32]> + Clone,
    mut search: impl FnMut(&'a [f32]) -> Result<(), E>,
) -> Result<Vec<f64>, E> {
    for query in queries.clone().take(WARM_UP) {
        search(query)?;
    }
    let timing = Instant::now();
    let mut times = Vec::with_capacity(SINGLES);
    for query in queries.take(SINGLES) {
        let start = Instant::now();
        search(query)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        if timing.elapsed() > SINGLES_TIME {
            break;
        }
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_effort_is_found() {
        // Recall grows with the effort; 37 is the first that reaches a half.
        let recall = |effort: usize| Ok::<_, ()>(effort as f64 / 74.0);
        assert_eq!(smallest_effort(0.5, recall), Ok(Some(37)));
        assert_eq!(smallest_effort(0.1, recall), Ok(Some(10)));
        assert_eq!(smallest_effort(60.0, recall), Ok(None));
    }

    #[test]
    fn passes_and_singles_end_and_pass_errors_on() {
        let mut calls = 0;
        let passes = passes(3, || {
            calls += 1;
            let mut found = IdTable::new(1);
            found.push([calls]);
            Ok::<_, ()>(found)
        })
        .unwrap();
        assert_eq!(passes.count, PASSES);
        assert_eq!(passes.found.of(0), [15]);
        assert_eq!(
            super::passes(1, || Err::<IdTable, _>("no")).unwrap_err(),
            "no"
        );

        let rows = [0.0; 30];
        let mut asked = 0;
        let times = singles(rows.chunks_exact(10), |_| {
            asked += 1;
            Ok::<_, ()>(())
        });
        assert_eq!((times.unwrap().len(), asked), (3, 6));
    }
}
