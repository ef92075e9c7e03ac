//! usearch, through its own crate.

use std::sync::atomic::{AtomicUsize, Ordering};

use usearch::{Index, IndexOptions, MetricKind, ScalarKind};
use vectorizer::models::DistanceMetric;

use crate::Result;
use crate::peer::{Peer, Searcher, Setting};

struct Usearch(Index);

pub(crate) fn build(rows: &[f32], setting: Setting) -> Result<Box<dyn Peer>> {
    let options = IndexOptions {
        dimensions: setting.dimension,
        metric: match setting.metric {
            DistanceMetric::Euclidean => MetricKind::L2sq,
            DistanceMetric::Cosine => MetricKind::Cos,
            DistanceMetric::DotProduct => MetricKind::IP,
        },
        quantization: ScalarKind::F32,
        connectivity: setting.m,
        expansion_add: setting.ef_construction,
        ..IndexOptions::default()
    };
    let index = Index::new(&options)?;
    let count = rows.len() / setting.dimension;
    index.reserve_capacity_and_threads(count, setting.threads)?;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..setting.threads)
            .map(|_| {
                scope.spawn(|| -> Result {
                    loop {
                        let row = next.fetch_add(1, Ordering::Relaxed);
                        let Some(data) = rows.chunks_exact(setting.dimension).nth(row) else {
                            return Ok(());
                        };
                        index.add(row as u64, data)?;
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| "a thread that adds gave up")?)
    })?;
    Ok(Box::new(Usearch(index)))
}

impl Peer for Usearch {
    fn set_effort(&mut self, ef: usize) -> Result {
        self.0.change_expansion_search(ef);
        Ok(())
    }

    fn searcher(&self) -> Searcher<'_> {
        Box::new(|query, slots| {
            let found = self.0.search(query, slots.len())?;
            for (slot, key) in slots.iter_mut().zip(&found.keys) {
                *slot = i64::try_from(*key)?;
            }
            Ok(())
        })
    }
}
