//! What a search found, and what a graph has done.

use crate::config::SearchPath;
use crate::engine::{Counters, Hits};

/// What a search found and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The neighbours of each query.
    pub hits: Hits,
    /// The path that answered: `Exact` or `Graph`.
    pub path: SearchPath,
}

/// The state and the work of a graph.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct GraphStats {
    /// Vectors there are.
    pub count: usize,
    /// Of these, linked into the graph; the rest is compared exactly by every search.
    pub linked: usize,
    /// The highest level with a vector on it.
    pub top_level: usize,
    /// Queries answered by comparing every vector.
    pub exact_queries: u64,
    /// Queries answered by walking the graph.
    pub graph_queries: u64,
    /// Of both, queries of searches in which only some slots might be found, because others were dead or a filter left them out.
    pub filtered_queries: u64,
    /// Of those that walked the graph, queries that were then answered by comparing every vector that might be found: around them there
    /// were too few, or everything was about as far as everything else in a collection that is small enough to compare.
    pub rescued_queries: u64,
    /// The path of the latest search.
    pub last_path: Option<SearchPath>,
    /// The work done, for building and searching.
    pub counters: Counters,
}
