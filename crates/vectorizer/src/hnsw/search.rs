//! Searching: checked queries go to the graph or to a scan, and what comes back is made whole.

use std::sync::atomic::Ordering;

use super::{Answer, HnswGraph, planner, spread};
use crate::config::{SearchOptions, SearchPath};
use crate::engine::{Hits, Neighbor, SlotSet, Walk, slot};
use crate::error::Result;
use crate::models::DistanceMetric;

impl HnswGraph {
    /// The nearest `min(k, len)` vectors of each query (queries laid end to end), nearest first, ties by slot.
    /// An answer depends on its query alone, never on the others of the call.
    ///
    /// # Errors
    /// [`InvalidK`], [`ShapeMismatch`], [`InvalidComponent`], [`InvalidEf`], [`SearchFailed`] where the graph was asked for and there is none,
    /// [`OptionNeedsCollection`], no room for the transient buffers, or the device failed.
    ///
    /// [`InvalidK`]: crate::error::VectorizerError::InvalidK
    /// [`ShapeMismatch`]: crate::error::VectorizerError::ShapeMismatch
    /// [`InvalidComponent`]: crate::error::VectorizerError::InvalidComponent
    /// [`InvalidEf`]: crate::error::VectorizerError::InvalidEf
    /// [`SearchFailed`]: crate::error::VectorizerError::SearchFailed
    /// [`OptionNeedsCollection`]: crate::error::VectorizerError::OptionNeedsCollection
    pub fn search(&self, queries: &[f32], k: usize, options: &SearchOptions) -> Result<Answer> {
        self.search_among(queries, k, options, None)
    }

    /// The same among the vectors whose slots are in `allowed`: the nearest `min(k, allowed)` of those. The others are walked
    /// through and never found.
    ///
    /// # Errors
    /// As [`HnswGraph::search`].
    pub fn search_among(
        &self,
        queries: &[f32],
        k: usize,
        options: &SearchOptions,
        allowed: Option<&SlotSet>,
    ) -> Result<Answer> {
        options.without_payloads()?;
        let queries = self.storage.prepare_queries(queries, k)?;
        let count = queries.len() / self.dimension();
        let all = slot(self.len());
        let findable = allowed.map_or(self.len(), |allowed| allowed.count_in(0..all));
        if findable == 0 {
            return Ok(Answer {
                hits: Hits::none(count),
                path: SearchPath::Exact,
            });
        }
        let k = k.min(findable);
        let engine = self.storage.engine();
        let linked = slot(self.linked());
        let found_by_walks = allowed.map(|allowed| self.copies.walkable(allowed));
        let stand_ins = found_by_walks.as_ref().is_some_and(|found| found.stand_ins);
        let walkable = found_by_walks
            .as_ref()
            .and_then(|found| found.slots.as_deref());
        let walkable = walkable.or(allowed);
        let walked = self.linked() - self.copies.len();
        let sizes = planner::Sizes {
            count: findable,
            linked: walkable.map_or(walked, |walkable| walkable.count_in(0..linked)),
            walked,
            tail: allowed.map_or(self.len() - self.linked(), |allowed| {
                allowed.count_in(linked..all)
            }),
            k,
        };
        let powers = planner::Powers {
            max_ef: engine.max_ef(),
            scan_gain: engine.scan_gain(),
        };
        let choice = planner::choose(sizes, &self.config, options, powers)?;
        let (hits, path) = match (choice, self.entry) {
            (planner::Choice::Graph { ef }, Some(entry)) => {
                let walk = Walk {
                    entry,
                    level: 0,
                    ef,
                    // A copy inherits the rank of its first. Where that one may not be named, slots between the two may be as far, so that
                    // the whole beam is needed.
                    k: if stand_ins { ef } else { k }.min(self.linked()),
                };
                let judged = self.metric() != DistanceMetric::DotProduct
                    && planner::may_compare(sizes, 4 * self.dimension(), ef, &self.config, powers);
                let hits = self.walk(&queries, k, walk, [allowed, walkable], judged)?;
                (hits, SearchPath::Graph)
            }
            _ => (
                engine.exact(&queries, k, 0..all, allowed)?,
                SearchPath::Exact,
            ),
        };
        let graph = path == SearchPath::Graph;
        if allowed.is_some() {
            self.filtered_queries
                .fetch_add(count as u64, Ordering::Relaxed);
        }
        let counter = if graph {
            &self.graph_queries
        } else {
            &self.exact_queries
        };
        counter.fetch_add(count as u64, Ordering::Relaxed);
        self.last_path
            .store(1 + u64::from(graph), Ordering::Relaxed);
        Ok(Answer { hits, path })
    }

    /// The graph's answer for the linked slots, of which walks find the `walkable`, merged with the exact one for the tail. Queries that
    /// have fewer than `k`, and those that a beam cannot answer well if this is `judged`, are answered exactly.
    fn walk(
        &self,
        queries: &[f32],
        k: usize,
        walk: Walk,
        [allowed, walkable]: [Option<&SlotSet>; 2],
        judged: bool,
    ) -> Result<Hits> {
        let judged = judged && walk.ef >= spread::SEEN;
        let seen = if judged { spread::SEEN } else { 0 };
        let walk = Walk {
            k: walk.k.max(seen).min(self.linked()),
            ..walk
        };
        let walked = self.storage.engine().walk(queries, &walk, walkable)?;
        let cosine = self.metric() == DistanceMetric::Cosine;
        let spread: Vec<bool> = walked
            .iter()
            .map(|hits| judged && spread::is_even(hits, cosine))
            .collect();
        let walked = self.copies.named(walked, k, allowed);
        let hits = if self.linked() == self.len() {
            walked
        } else {
            self.with_tail(queries, k, &walked, allowed)?
        };
        self.with_missing(queries, k, hits, &spread, allowed)
    }

    /// What walks found, merged with the nearest of the tail.
    fn with_tail(
        &self,
        queries: &[f32],
        k: usize,
        walked: &Hits,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        let tail = slot(self.linked())..slot(self.len());
        let tail = self.storage.engine().exact(queries, k, tail, allowed)?;
        let mut merged = Vec::with_capacity(k * walked.queries());
        for (walked, tail) in walked.iter().zip(tail.iter()) {
            let start = merged.len();
            merge(walked, tail, k, &mut merged);
            merged.resize(start + k, Neighbor::NONE);
        }
        Ok(Hits::new(k, merged))
    }

    /// The first `k` of the same answers, but for queries that have fewer and those that are `spread`: these are answered exactly.
    fn with_missing(
        &self,
        queries: &[f32],
        k: usize,
        hits: Hits,
        spread: &[bool],
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        let poor: Vec<usize> = (0..hits.queries())
            .filter(|query| spread[*query] || hits.of(*query).len() < k)
            .collect();
        if poor.is_empty() && hits.width() == k {
            return Ok(hits);
        }
        self.rescued_queries
            .fetch_add(poor.len() as u64, Ordering::Relaxed);
        let dimension = self.dimension();
        let asked = |query: &usize| &queries[query * dimension..][..dimension];
        let asked: Vec<f32> = poor.iter().flat_map(asked).copied().collect();
        let all = 0..slot(self.len());
        let found = if poor.is_empty() {
            Hits::none(0)
        } else {
            self.storage.engine().exact(&asked, k, all, allowed)?
        };
        let mut lists = Vec::with_capacity(k * hits.queries());
        let mut exact = poor.iter().zip(found.iter()).peekable();
        for query in 0..hits.queries() {
            let start = lists.len();
            let found = exact.next_if(|(poor, _)| **poor == query);
            let found = found.map_or(hits.of(query), |(_, found)| found);
            lists.extend_from_slice(&found[..found.len().min(k)]);
            lists.resize(start + k, Neighbor::NONE);
        }
        Ok(Hits::new(k, lists))
    }
}

/// The first `k` of two ordered lists.
fn merge<'a>(mut a: &'a [Neighbor], mut b: &'a [Neighbor], k: usize, out: &mut Vec<Neighbor>) {
    for _ in 0..k {
        let list = match (a.first(), b.first()) {
            (Some(x), Some(y)) if x < y => &mut a,
            (Some(_), None) => &mut a,
            (_, Some(_)) => &mut b,
            (None, None) => return,
        };
        out.push(list[0]);
        *list = &list[1..];
    }
}
