//! instant-distance. Its beam width belongs to the index and cannot be set: the index is written down and read again with another one.

use serde::{Deserialize, Serialize};
use vectorizer::models::DistanceMetric;

use crate::Result;
use crate::peer::{Peer, Searcher, Setting};

/// Its links, a constant; on the lowest level there are twice as many.
pub(crate) const M: usize = 32;
const LANES: usize = 16;

#[derive(Clone, Serialize, Deserialize)]
struct Point(Vec<f32>);

impl instant_distance::Point for Point {
    /// The square of the distance, in lanes that become vector instructions. On unit vectors its order is the cosine's.
    fn distance(&self, other: &Self) -> f32 {
        let (a, b) = (self.0.chunks_exact(LANES), other.0.chunks_exact(LANES));
        let rest = a.remainder().iter().zip(b.remainder());
        let rest: f32 = rest.map(|(x, y)| (x - y) * (x - y)).sum();
        let mut lanes = [0.0_f32; LANES];
        for (a, b) in a.zip(b) {
            for ((lane, x), y) in lanes.iter_mut().zip(a).zip(b) {
                *lane += (x - y) * (x - y);
            }
        }
        lanes.iter().sum::<f32>() + rest
    }
}

struct InstantDistance {
    index: instant_distance::Hnsw<Point>,
    /// The index as bytes, behind its first field, which is the beam width.
    rest: Vec<u8>,
    /// It puts rows into an order of its own: the number of each.
    numbers: Vec<i64>,
}

pub(crate) fn build(rows: &[f32], setting: Setting) -> Result<Box<dyn Peer>> {
    if setting.metric == DistanceMetric::DotProduct {
        return Err("instant-distance wants a distance, which a dot product is not".into());
    }
    let points: Vec<Point> = rows
        .chunks_exact(setting.dimension)
        .map(|row| Point(row.to_vec()))
        .collect();
    let first = 1_usize;
    let (index, ids) = instant_distance::Builder::default()
        .ef_construction(setting.ef_construction)
        .ef_search(first)
        .seed(1)
        .build_hnsw(points);
    let mut numbers = vec![0; ids.len()];
    for (number, id) in ids.iter().enumerate() {
        numbers[id.into_inner() as usize] = i64::try_from(number)?;
    }
    Ok(Box::new(InstantDistance {
        index,
        rest: Vec::new(),
        numbers,
    }))
}

impl Peer for InstantDistance {
    fn set_effort(&mut self, ef: usize) -> Result {
        if self.rest.is_empty() {
            // The width that it was built with takes one byte.
            self.rest = postcard::to_stdvec(&self.index)?.split_off(1);
        }
        let mut bytes = postcard::to_stdvec(&ef)?;
        bytes.extend_from_slice(&self.rest);
        self.index = postcard::from_bytes(&bytes)?;
        Ok(())
    }

    fn searcher(&self) -> Searcher<'_> {
        let mut search = instant_distance::Search::default();
        let mut point = Point(Vec::new());
        Box::new(move |query, slots| {
            point.0.clear();
            point.0.extend_from_slice(query);
            for (slot, found) in slots.iter_mut().zip(self.index.search(&point, &mut search)) {
                *slot = self.numbers[found.pid.into_inner() as usize];
            }
            Ok(())
        })
    }
}
