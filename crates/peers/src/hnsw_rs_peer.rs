//! `hnsw_rs`.

use hnsw_rs::prelude::{DistDot, DistL2, Distance, Hnsw};
use vectorizer::models::DistanceMetric;

use crate::Result;
use crate::peer::{Peer, Searcher, Setting};

/// Levels, as many as it allows.
const LEVELS: usize = 16;

struct HnswRs<D: Distance<f32> + Send + Sync> {
    index: Hnsw<'static, f32, D>,
    ef: usize,
}

pub(crate) fn build(rows: &[f32], setting: Setting) -> Result<Box<dyn Peer>> {
    match setting.metric {
        DistanceMetric::Euclidean => Ok(Box::new(HnswRs::<DistL2>::build(rows, setting))),
        // On unit vectors its 1 - dot product is the cosine's distance.
        DistanceMetric::Cosine => Ok(Box::new(HnswRs::<DistDot>::build(rows, setting))),
        DistanceMetric::DotProduct => {
            Err("hnsw_rs takes dot products of vectors of unit length alone".into())
        }
    }
}

impl<D: Distance<f32> + Send + Sync + Default + 'static> HnswRs<D> {
    fn build(rows: &[f32], setting: Setting) -> Self {
        let rows: Vec<(&[f32], usize)> = rows
            .chunks_exact(setting.dimension)
            .enumerate()
            .map(|(number, row)| (row, number))
            .collect();
        let mut index = Hnsw::new(
            setting.m,
            rows.len(),
            LEVELS,
            setting.ef_construction,
            D::default(),
        );
        if setting.threads == 1 {
            rows.iter().for_each(|row| index.insert_slice(*row));
        } else {
            index.parallel_insert_slice(&rows);
        }
        index.set_searching_mode(true);
        Self { index, ef: 0 }
    }
}

impl<D: Distance<f32> + Send + Sync> Peer for HnswRs<D> {
    fn set_effort(&mut self, ef: usize) -> Result {
        self.ef = ef;
        Ok(())
    }

    fn searcher(&self) -> Searcher<'_> {
        Box::new(|query, slots| {
            let found = self.index.search(query, slots.len(), self.ef);
            for (slot, found) in slots.iter_mut().zip(&found) {
                *slot = i64::try_from(found.get_origin_id())?;
            }
            Ok(())
        })
    }
}
