//! One peer measured in this process.

use std::collections::BTreeMap;
use std::time::Instant;

use vectorizer::models::DistanceMetric;
use vectorizer_bench::lines::{Build, Line, Point, Subject};
use vectorizer_bench::measure::{self, Passes, WARM_UP};
use vectorizer_bench::{IdTable, Matrix, machine, percentile, recall, truth};

use crate::peer::{self, Peer, Setting};
use crate::{Arguments, Result, say};

struct Run<'a> {
    arguments: &'a Arguments,
    subject: Subject,
    metric: DistanceMetric,
    base: Matrix,
    asked: Matrix,
    truth: IdTable,
    /// The queries as the peer wants them.
    queries: Vec<f32>,
    dimension: usize,
    peer: Box<dyn Peer>,
    seen: BTreeMap<usize, f64>,
}

/// Rows as a peer wants them: of unit length under the cosine.
fn rows(matrix: &Matrix, metric: DistanceMetric) -> Result<Vec<f32>> {
    let mut rows = Vec::new();
    matrix.read(0..matrix.rows(), &mut rows)?;
    if metric == DistanceMetric::Cosine {
        for row in rows.chunks_exact_mut(matrix.dimension()) {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut()
                .for_each(|x| *x /= length.max(f32::MIN_POSITIVE));
        }
    }
    Ok(rows)
}

pub(crate) fn one(arguments: &Arguments, name: &str, threads: usize, m: usize) -> Result {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()?;
    let metric = DistanceMetric::from(arguments.metric);
    let (base, asked) = (
        Matrix::open(&arguments.base)?,
        Matrix::open(&arguments.queries)?,
    );
    let truth = truth::read(&arguments.truth, asked.rows(), arguments.k, base.rows())?;
    let queries = rows(&asked, metric)?;
    let dimension = base.dimension();
    let setting = Setting {
        dimension,
        metric,
        m,
        ef_construction: arguments.ef_construction,
        threads,
    };
    let subject = Subject {
        engine: name.to_owned(),
        device: "cpu".to_owned(),
        threads,
        m,
        ef_construction: arguments.ef_construction,
        precision: "f32".to_owned(),
        full_rows: "device".to_owned(),
    };
    let data = rows(&base, metric)?;
    let before = machine::resident_bytes();
    let start = Instant::now();
    let peer = peer::build(name, &data, setting)?;
    let seconds = start.elapsed().as_secs_f64();
    let after = machine::resident_bytes();
    drop(data);
    say(&Line::Build(Build {
        subject: subject.clone(),
        round: arguments.round,
        seconds,
        distances: None,
        hops: None,
        resident_bytes: before
            .zip(after)
            .map(|(before, after)| after.saturating_sub(before)),
        device_bytes: None,
        device_peak_bytes: None,
        sound: None,
    }))?;
    Run {
        arguments,
        subject,
        metric,
        base,
        asked,
        truth,
        queries,
        dimension,
        peer,
        seen: BTreeMap::new(),
    }
    .all()
}

impl Run<'_> {
    fn all(&mut self) -> Result {
        let mut widths: Vec<usize> = self
            .arguments
            .ef
            .iter()
            .map(|ef| (*ef).max(self.arguments.k))
            .collect();
        widths.dedup();
        for ef in widths {
            self.point(ef, None)?;
        }
        for &target in &self.arguments.recall {
            if let Some(ef) = measure::smallest_effort(target, |ef| self.recall(ef))? {
                self.point(ef, Some(target))?;
            }
        }
        Ok(())
    }

    /// All queries, shared out among the threads.
    fn batch(&self) -> Result<IdTable> {
        let k = self.arguments.k;
        let count = self.queries.len() / self.dimension;
        let mut slots = vec![IdTable::NONE; count * k];
        let share = count.div_ceil(self.subject.threads).max(1);
        std::thread::scope(|scope| {
            let parts = self
                .queries
                .chunks(share * self.dimension)
                .zip(slots.chunks_mut(share * k));
            let workers: Vec<_> = parts
                .map(|(queries, slots)| {
                    scope.spawn(move || -> Result {
                        let mut search = self.peer.searcher();
                        let queries = queries.chunks_exact(self.dimension);
                        queries
                            .zip(slots.chunks_exact_mut(k))
                            .try_for_each(|(query, slots)| search(query, slots))
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker
                    .join()
                    .map_err(|_| "a thread that searches gave up")?
            })
        })?;
        let mut found = IdTable::new(self.truth.width());
        for slots in slots.chunks_exact(k) {
            found.push(slots.iter().copied());
        }
        Ok(found)
    }

    fn recall(&mut self, ef: usize) -> Result<f64> {
        if let Some(recall) = self.seen.get(&ef) {
            return Ok(*recall);
        }
        self.peer.set_effort(ef)?;
        let found = self.batch()?;
        let recall = recall::recall(&self.base, &self.asked, self.metric, &self.truth, &found)?;
        self.seen.insert(ef, recall);
        Ok(recall)
    }

    fn point(&mut self, ef: usize, target: Option<f64>) -> Result {
        let recall = self.recall(ef)?;
        // The search for a recall may have left another width.
        self.peer.set_effort(ef)?;
        let count = self.asked.rows();
        let queries = || self.queries.chunks_exact(self.dimension);
        let mut search = self.peer.searcher();
        let mut slots = vec![IdTable::NONE; self.arguments.k];
        queries()
            .take(WARM_UP)
            .try_for_each(|query| search(query, &mut slots))?;
        let Passes { qps, .. } = measure::passes(count, || self.batch())?;
        let mut times = measure::singles(queries(), |query| search(query, &mut slots))?;
        say(&Line::Point(Point {
            subject: self.subject.clone(),
            round: self.arguments.round,
            ef: Some(ef),
            target,
            batch: count,
            recall,
            qps,
            p50_us: Some(percentile(&mut times, 50.0)),
            p99_us: Some(percentile(&mut times, 99.0)),
            distances: None,
            hops: None,
            bytes: None,
        }))
    }
}
