//! What every peer can do.

use vectorizer::models::DistanceMetric;

use crate::Result;

/// Every peer's name.
pub(crate) const NAMES: [&str; 3] = ["usearch", "hnsw_rs", "instant-distance"];

/// Writes the row numbers of the nearest into the slots, nearest first.
pub(crate) type Searcher<'a> = Box<dyn FnMut(&[f32], &mut [i64]) -> Result + 'a>;

/// How a peer is built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) dimension: usize,
    pub(crate) metric: DistanceMetric,
    pub(crate) m: usize,
    pub(crate) ef_construction: usize,
    pub(crate) threads: usize,
}

/// An index that is built.
pub(crate) trait Peer: Sync {
    /// Sets the beam width.
    fn set_effort(&mut self, ef: usize) -> Result;
    /// What one thread searches with.
    fn searcher(&self) -> Searcher<'_>;
}

/// The number of links of a peer that leaves no choice.
pub(crate) fn fixed_m(name: &str) -> Option<usize> {
    (name == "instant-distance").then_some(crate::instant_distance_peer::M)
}

/// Builds a peer over rows, which have unit length where the metric is the cosine.
pub(crate) fn build(name: &str, rows: &[f32], setting: Setting) -> Result<Box<dyn Peer>> {
    match name {
        "hnsw_rs" => crate::hnsw_rs_peer::build(rows, setting),
        "instant-distance" => crate::instant_distance_peer::build(rows, setting),
        #[cfg(feature = "usearch")]
        "usearch" => crate::usearch_peer::build(rows, setting),
        #[cfg(not(feature = "usearch"))]
        "usearch" => {
            Err("built without usearch, which needs a C++ compiler (apt install g++)".into())
        }
        _ => Err(format!("no peer {name:?}: there are {}", NAMES.join(", ")).into()),
    }
}
