//! The algorithm: a hierarchical navigable small world graph, built in batches, over any `Engine`.
//!
//! The words are those of the paper (Malkov and Yashunin, arXiv 1603.09320); the way of building in batches is that of
//! ParlayANN (arXiv 2305.04359) and Jasper (arXiv 2601.07048).
//!
//! - `copies`: equal vectors, of which the first is linked for all.
//! - `build`: the tail linked, batch by batch, and what is out of reach attached.
//! - `levels`: on which level a slot lives.
//! - `plan`: which slots are linked together, and how links are chosen.
//! - `planner`: whether a search walks the graph or compares everything.
//! - `search`: a search, from checked queries to merged answers; `spread`: which queries a beam cannot answer well.
//! - `maintain`: the dead taken out.
//! - `image`: a graph read back, and put back on this device or another.
//! - `topology`: what holds of every graph, checked and mended: degrees, levels, reachability.
//!
//! New rows are a *tail* that every search compares exactly, so that they are found at once; [`HnswGraph::build`] links the
//! tail batch by batch. What lies where in memory, and the kernels, are the engine's.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{CollectionOptions, HnswConfig, SearchPath, check_threads};
use crate::engine::{Counters, Entry};
use crate::error::Result;
use crate::gpu::context::{Context, Device};
use crate::gpu::metal_buffer_pool::MetalBufferPool;
use crate::gpu::tuning::Tuning;
use crate::models::DistanceMetric;
use crate::storage::{StagedRows, VectorStorage};

mod build;
mod copies;
mod image;
mod levels;
mod maintain;
mod plan;
mod planner;
mod search;
mod spread;
mod stats;
mod topology;

use copies::Copies;
pub use image::Topology;
pub use stats::{Answer, GraphStats};

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Vectors that are linked.
    pub linked: usize,
    /// Vectors there are.
    pub total: usize,
}

/// Vectors and the HNSW graph over them, by slot, on one device.
///
/// This is the layer below [`Collection`](crate::collection::Collection): no ids, no locks, the caller says when to build.
///
/// ```
/// use std::ops::ControlFlow;
/// use vectorizer::config::{CollectionOptions, SearchOptions};
/// use vectorizer::gpu::metal_native::{MetalNativeContext, MetalNativeHnswGraph};
/// use vectorizer::models::DistanceMetric;
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let context = MetalNativeContext::new()?;
/// let mut graph = MetalNativeHnswGraph::new(&context, 2, DistanceMetric::Euclidean, CollectionOptions::default())?;
/// let rows: Vec<f32> = (0..1000u16).flat_map(|i| [f32::from(i % 37), f32::from(i)]).collect();
/// graph.append(&rows)?;
/// graph.build(|progress| {
///     eprintln!("{} of {}", progress.linked, progress.total);
///     ControlFlow::Continue(())
/// })?;
/// graph.check()?;
/// let answer = graph.search(&[0.0, 370.0], 1, &SearchOptions::default())?;
/// assert_eq!(answer.hits.of(0)[0].slot, 370);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HnswGraph {
    storage: VectorStorage,
    config: HnswConfig,
    seed: u64,
    /// Levels of the linked slots.
    levels: Vec<u8>,
    entry: Option<Entry>,
    copies: Copies,
    /// Linked slots that were taken out since the graph was last built: their links are still made up for.
    taken_out: usize,
    /// Slots linked since everything was last seen to be reachable.
    unmended: usize,
    exact_queries: AtomicU64,
    graph_queries: AtomicU64,
    filtered_queries: AtomicU64,
    rescued_queries: AtomicU64,
    /// 0 none yet, 1 exact, 2 graph.
    last_path: AtomicU64,
    /// The work done by engines that this one took the place of.
    earlier: Counters,
}

impl HnswGraph {
    /// An empty graph on the context's device.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::error::VectorizerError::InvalidConfig), [`InvalidDimension`](crate::error::VectorizerError::InvalidDimension), or the device failed.
    pub fn new(
        context: &Context,
        dimension: usize,
        metric: DistanceMetric,
        options: CollectionOptions,
    ) -> Result<Self> {
        options.validate()?;
        let storage = VectorStorage::with_options(context, dimension, metric, &options)?;
        Ok(Self {
            storage,
            config: options.hnsw,
            seed: options.seed,
            levels: Vec::new(),
            entry: None,
            copies: Copies::default(),
            taken_out: 0,
            unmended: 0,
            exact_queries: AtomicU64::new(0),
            graph_queries: AtomicU64::new(0),
            filtered_queries: AtomicU64::new(0),
            rescued_queries: AtomicU64::new(0),
            last_path: AtomicU64::new(0),
            earlier: Counters::default(),
        })
    }

    /// Adds vectors, laid end to end, to the tail, and returns their slots. Searches find them at once.
    ///
    /// # Errors
    /// As [`VectorStorage::append`]; nothing is added then.
    pub fn append(&mut self, rows: &[f32]) -> Result<Range<u32>> {
        self.storage.append(rows)
    }

    /// As [`Self::append`], of rows that were stored.
    pub(crate) fn append_stored(&mut self, rows: &[f32]) -> Result<Range<u32>> {
        self.storage.append_stored(rows)
    }

    /// Says that there will be so many vectors in all; see [`VectorStorage::reserve`].
    ///
    /// # Errors
    /// As there.
    pub fn reserve(&mut self, vectors: usize) -> Result<()> {
        self.storage.reserve(vectors)
    }

    /// Gives back what is taken on the device beyond what vectors and links need, the pool's kept buffers among it, and says how many
    /// bytes those were.
    ///
    /// # Errors
    /// No room for the smaller copies that take the place of larger ones, or the device failed; everything is as before.
    pub fn compact(&mut self) -> Result<u64> {
        let pool = MetalBufferPool::new(self.storage.device().clone());
        let kept = pool.compact();
        let compacted = self.storage.engine_mut().compact()?;
        Ok(kept + compacted + pool.compact())
    }

    /// The same vectors and the same graph on another device. Cost: everything is read back and brought there once.
    ///
    /// # Errors
    /// No room there, or a device failed.
    pub(crate) fn copied_to(&self, device: &Device, threads: usize) -> Result<Self> {
        let mut storage = self.storage.copied_to(device, threads)?;
        let links = self.topology()?.links;
        storage.engine_mut().put_links(&self.levels, &links)?;
        let count = |of: &AtomicU64| AtomicU64::new(of.load(Ordering::Relaxed));
        Ok(Self {
            storage,
            config: self.config,
            seed: self.seed,
            levels: self.levels.clone(),
            entry: self.entry,
            copies: self.copies.clone(),
            taken_out: self.taken_out,
            unmended: self.unmended,
            exact_queries: count(&self.exact_queries),
            graph_queries: count(&self.graph_queries),
            filtered_queries: count(&self.filtered_queries),
            rescued_queries: count(&self.rescued_queries),
            last_path: count(&self.last_path),
            earlier: self.counters(),
        })
    }

    /// Moves vectors and graph to the device of another context, the same link for link: down to the CPU when a device is full, and
    /// back. `threads` are the CPU engine's (0: all cores).
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::error::VectorizerError::InvalidConfig) for too many threads, no room there, or a device failed; everything is where it was.
    pub fn move_to(&mut self, context: &Context, threads: usize) -> Result<()> {
        check_threads(threads)?;
        *self = self.copied_to(&context.device(), threads)?;
        Ok(())
    }

    pub(crate) fn stage_rows(
        &self,
        rows: &[f32],
        name: &dyn Fn(usize) -> String,
    ) -> Result<StagedRows> {
        self.storage.stage(rows, name)
    }

    /// As [`Self::stage_rows`], of rows that were stored.
    pub(crate) fn stage_stored_rows(
        &self,
        rows: &[f32],
        name: &dyn Fn(usize) -> String,
    ) -> Result<StagedRows> {
        self.storage.stage_stored(rows, name)
    }

    pub(crate) fn commit_rows(&mut self, staged: StagedRows) -> Range<u32> {
        self.storage.commit(staged)
    }

    /// Proves that the graph keeps its rules: degrees within bounds, no link to itself and none twice, levels right, and everything
    /// reachable from the entry point on every level, but for slots whose vector equals that of an earlier one: they have no links, and
    /// are found through that one. Between the batches of a build a slot may be out of reach: reachability is proven where the build has
    /// ended. Cost: reads all links back, one pass.
    ///
    /// # Errors
    /// [`GraphDamaged`](crate::error::VectorizerError::GraphDamaged) names the first broken rule; or the device failed.
    pub fn check(&self) -> Result<()> {
        let reachable = self.unmended == 0;
        topology::check(
            self.storage.engine(),
            &self.levels,
            self.entry,
            reachable.then(|| self.copies.all()),
        )
    }

    /// The vector in `slot` as it was added; `None` if there is none.
    ///
    /// # Errors
    /// The device failed.
    pub fn get(&self, slot: u32) -> Result<Option<Vec<f32>>> {
        self.storage.get(slot)
    }

    /// The graph's parameters.
    #[must_use]
    pub fn config(&self) -> &HnswConfig {
        &self.config
    }

    /// How many vectors are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.storage.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.storage.is_empty()
    }

    /// How many are linked; the rest is the tail.
    #[must_use]
    pub fn linked(&self) -> usize {
        self.levels.len()
    }

    /// Components of a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.storage.dimension()
    }

    /// How nearness is measured.
    #[must_use]
    pub fn metric(&self) -> DistanceMetric {
        self.storage.metric()
    }

    /// The vectors on their device.
    #[must_use]
    pub fn storage(&self) -> &VectorStorage {
        &self.storage
    }

    /// The links of one level, read back: a row for each slot of that level or a higher one, in the order of slots. The row of a slot whose
    /// vector equals that of an earlier one is empty.
    ///
    /// # Errors
    /// The device failed.
    pub fn links(&self, level: usize) -> Result<crate::engine::LevelLinks> {
        self.storage.engine().links(level)
    }

    /// Cuts the device's work up in another way from now on; answers stay.
    pub(crate) fn set_tuning(&mut self, tuning: Tuning) {
        self.storage.engine_mut().set_tuning(tuning);
    }

    /// State and work so far.
    #[must_use]
    pub fn stats(&self) -> GraphStats {
        GraphStats {
            count: self.len(),
            linked: self.linked(),
            top_level: self.entry.map_or(0, |entry| entry.level),
            exact_queries: self.exact_queries.load(Ordering::Relaxed),
            graph_queries: self.graph_queries.load(Ordering::Relaxed),
            filtered_queries: self.filtered_queries.load(Ordering::Relaxed),
            rescued_queries: self.rescued_queries.load(Ordering::Relaxed),
            last_path: match self.last_path.load(Ordering::Relaxed) {
                1 => Some(SearchPath::Exact),
                2 => Some(SearchPath::Graph),
                _ => None,
            },
            counters: self.counters(),
        }
    }
}
