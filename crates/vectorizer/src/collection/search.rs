//! Queries in, results out.

use super::fallback::Mirror;
use super::select::Selection;
use super::{Collection, State};
use crate::config::SearchOptions;
use crate::engine::{Neighbor, SlotSet};
use crate::error::{Result, VectorizerError};
use crate::filter::Filter;
use crate::hnsw::HnswGraph;
use crate::models::SearchResult;

/// Queries answered under one hold of the readers' lock: a writer waits for this many at most.
const CPU_BLOCK: usize = 256;
const GPU_BLOCK: usize = 16_384;

impl Collection {
    /// The nearest `k` vectors to `query`, nearest first, ties in the order they were added. Fewer than `k` only if the collection
    /// holds fewer. Searching may go on in any number of threads, also while others add.
    ///
    /// # Errors
    /// [`VectorizerError::DimensionMismatch`], [`VectorizerError::InvalidK`], [`VectorizerError::InvalidComponent`],
    /// [`VectorizerError::SearchFailed`], or the device failed.
    pub fn search(&self, query: &[f32], k: usize) -> Result<Vec<SearchResult>> {
        self.search_with(query, k, &SearchOptions::default())
    }

    /// The same, with options: beam width, exact or graph, payloads, a filter, a least similarity, an offset.
    ///
    /// # Errors
    /// As [`Collection::search`], [`VectorizerError::InvalidEf`], and what [`SearchOptions::validate`] finds.
    pub fn search_with(
        &self,
        query: &[f32],
        k: usize,
        options: &SearchOptions,
    ) -> Result<Vec<SearchResult>> {
        self.check_query(query)?;
        options.validate()?;
        self.enter()?;
        if self.has_mirror_in_step() {
            return self.answer_from_mirror(query, k, options);
        }
        // A function of the caller's may search itself: nobody waits for a batch with one in it.
        let has_function = options.filter.as_ref().is_some_and(Filter::has_predicate);
        if !self.is_on_cpu() && !has_function {
            // Checked before it joins others: a query that cannot be answered fails alone.
            self.state
                .read()
                .graph
                .storage()
                .prepare_queries(query, k)?;
            return self
                .coalescer
                .search(query, (k, options.clone()), |queries, (k, options)| {
                    self.answer(queries, *k, options)
                });
        }
        Ok(self.answer(query, k, options)?.pop().unwrap_or_default())
    }

    /// The same for many queries in one call: a list of results for each, in their order. Each is what the query alone would get.
    ///
    /// # Errors
    /// As [`Collection::search`]; no query is answered then.
    pub fn search_batch(
        &self,
        queries: &[impl AsRef<[f32]>],
        k: usize,
    ) -> Result<Vec<Vec<SearchResult>>> {
        self.search_batch_with(queries, k, &SearchOptions::default())
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As [`Collection::search_with`]; no query is answered then.
    pub fn search_batch_with(
        &self,
        queries: &[impl AsRef<[f32]>],
        k: usize,
        options: &SearchOptions,
    ) -> Result<Vec<Vec<SearchResult>>> {
        options.validate()?;
        self.enter()?;
        let mut rows = Vec::with_capacity(queries.len() * self.dimension);
        for query in queries {
            self.check_query(query.as_ref())?;
            rows.extend_from_slice(query.as_ref());
        }
        self.state
            .read()
            .graph
            .storage()
            .prepare_queries(&rows, k)?;
        self.answer(&rows, k, options)
    }

    fn check_query(&self, query: &[f32]) -> Result<()> {
        let (expected, actual) = (self.dimension, query.len());
        if expected == actual {
            Ok(())
        } else {
            Err(VectorizerError::DimensionMismatch { expected, actual })
        }
    }

    /// Queries laid end to end, block by block, so that no writer waits for all of them.
    fn answer(
        &self,
        queries: &[f32],
        k: usize,
        options: &SearchOptions,
    ) -> Result<Vec<Vec<SearchResult>>> {
        let block = if self.is_on_cpu() {
            CPU_BLOCK
        } else {
            GPU_BLOCK
        };
        let mut results = Vec::with_capacity(queries.len() / self.dimension);
        for queries in queries.chunks(block * self.dimension) {
            results.extend(
                self.with_selection(options.filter.as_ref(), |state, selection| {
                    let chosen = selection.map(Selection::set);
                    answer_block(state, &state.graph, queries, k, options, chosen)
                })?,
            );
        }
        Ok(results)
    }

    fn is_on_cpu(&self) -> bool {
        self.state.read().graph.storage().device().is_cpu()
    }

    fn has_mirror_in_step(&self) -> bool {
        let state = self.state.read();
        state.mirror.as_ref().and_then(Mirror::in_step).is_some()
    }

    /// The answer to a single query by the same vectors and links in RAM, as long as they are the same.
    fn answer_from_mirror(
        &self,
        query: &[f32],
        k: usize,
        options: &SearchOptions,
    ) -> Result<Vec<SearchResult>> {
        let answers = self.with_selection(options.filter.as_ref(), |state, selection| {
            let mirror = state.mirror.as_ref().and_then(Mirror::in_step);
            let graph = mirror.unwrap_or(&state.graph);
            let chosen = selection.map(Selection::set);
            answer_block(state, graph, query, k, options, chosen)
        });
        Ok(answers?.pop().unwrap_or_default())
    }
}

/// Answers a block from one state, by its graph or the one that mirrors it.
fn answer_block(
    state: &State,
    graph: &HnswGraph,
    queries: &[f32],
    k: usize,
    options: &SearchOptions,
    chosen: Option<&SlotSet>,
) -> Result<Vec<Vec<SearchResult>>> {
    if k == 0 {
        return Err(VectorizerError::InvalidK);
    }
    let allowed = chosen.or(state.ids.alive());
    let path_alone = SearchOptions {
        path: options.path,
        ef: options.ef,
        ..SearchOptions::default()
    };
    let wanted = k.saturating_add(options.offset);
    let found = graph
        .search_among(queries, wanted, &path_alone, allowed)?
        .hits;
    Ok(found
        .iter()
        .map(|hits| outward(state, hits, options))
        .collect())
}

/// Hits as callers see them: past the offset, down to the least similarity.
fn outward(state: &State, hits: &[Neighbor], options: &SearchOptions) -> Vec<SearchResult> {
    let metric = state.graph.metric();
    let named = hits.iter().skip(options.offset);
    let named = named.filter_map(|hit| Some((hit, state.ids.id(hit.slot)?)));
    let results = named.map(|(hit, id)| {
        let (distance, similarity) = metric.outward(hit.score);
        let payload = if options.with_payload {
            state.payloads.get(&hit.slot).cloned()
        } else {
            None
        };
        SearchResult {
            id: id.to_owned(),
            similarity,
            distance,
            payload,
        }
    });
    // Hits come nearest first, and similarity falls as distance grows.
    let least = options.min_similarity.unwrap_or(f32::NEG_INFINITY);
    results
        .take_while(|result| result.similarity >= least)
        .collect()
}
