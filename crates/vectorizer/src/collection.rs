//! What callers hold: vectors by id, added, replaced and searched from any thread.
//!
//! Everything takes `&self`. Writers queue up behind one lock and do their long work beside the readers; a change is shown
//! under a second lock that is held for the moment of showing alone. A search sees all of a batch or nothing of it.
//!
//! - `ids`: callers' ids and the slots they stand for.
//! - `write`: adding and replacing.
//! - `delete`: deleting, setting payloads.
//! - `upkeep`: linking the tail, taking the dead out, building anew.
//! - `journal`: changes told to whoever keeps them.
//! - `search`: queries in, results out.
//! - `payloads`: payloads by slot, and the indexed fields of them.
//! - `select`: from a filter to the slots that pass, by index or by scan.
//! - `filtered`: counting, going through in order, deleting by filter.
//! - `places`: the order of insertion, which stays while slots are numbered anew.
//! - `durable`: made, opened and closed on disk.
//! - `salvage`: a new collection from what can be read of a damaged one.
//! - `discard`: an empty one taken off the disk.
//! - `fallback`: what happens when the device is full or lost: refused, spilled to RAM, mirrored there; and the way back.
//! - `frozen`: held still, for files.
//! - `coalesce`: single queries of many threads, together to the device.
//! - `writing`: the writers' lock, and who may not wait for it.
//! - `remembered`: answers to filters, for as long as nothing changes.
//! - `question`: a filter with functions of the caller's in it, which are asked without a lock.
//!
//! Locks are taken in this order: writers, state, standing. Functions of the caller's (predicates, listeners, progress) are called without a
//! lock, but for three, which are called while writers are held back: an export's progress, a predicate of `delete_by`, and a predicate whose
//! collection changes faster than it can be asked. They can read; what they try to write is refused.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::config::{CollectionOptions, FallbackPolicy, FullRows, HnswConfig, Precision};
use crate::error::{Result, VectorizerError};
use crate::gpu::context::{Backend, Context};
use crate::gpu::memory::Label;
use crate::hnsw::{GraphStats, HnswGraph};
use crate::models::{DistanceMetric, Payload, Vector};
use crate::store::Store;

mod coalesce;
mod delete;
mod discard;
mod durable;
mod fallback;
#[cfg(test)]
mod fault_tests;
mod filtered;
mod frozen;
mod ids;
pub(crate) mod journal;
mod keep;
mod payloads;
mod places;
mod question;
mod remembered;
mod salvage;
mod search;
mod select;
mod upkeep;
mod write;
mod writing;

pub use filtered::{Cursor, Item, Page, Vectors};
pub(crate) use frozen::Frozen;
pub use remembered::FilterStats;
pub use select::{Explanation, Means, Step};

use coalesce::Coalescer;
pub use fallback::{Fallback, FallbackKind};
use fallback::{Mirror, Standing};
use ids::Ids;
use journal::{Change, Journal};
use payloads::Payloads;
use places::Places;
use remembered::Selections;
use writing::{Process, Writing};

pub use durable::{OpenOptions, Opening};

/// Vectors by id on one device, with the graph over them.
///
/// ```
/// use vectorizer::gpu::metal_native::MetalNativeCollection;
/// use vectorizer::models::{DistanceMetric, Vector};
///
/// # fn main() -> Result<(), vectorizer::error::VectorizerError> {
/// let collection = MetalNativeCollection::new(3, DistanceMetric::Euclidean)?;
/// collection.add_vectors_batch([
///     Vector { id: "origin".into(), data: vec![0.0, 0.0, 0.0], payload: None },
///     Vector { id: "far".into(), data: vec![9.0, 9.0, 9.0], payload: None },
/// ])?;
/// let results = collection.search(&[1.0, 0.0, 0.0], 1)?;
/// assert_eq!(results[0].id, "origin");
/// assert_eq!((results[0].distance, results[0].similarity), (1.0, 0.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Collection {
    context: Context,
    options: CollectionOptions,
    dimension: usize,
    metric: DistanceMetric,
    /// Held by whoever changes something, for as long as it takes.
    writer: Mutex<Writer>,
    /// Held for writing only while a finished change is shown.
    state: RwLock<State>,
    coalescer: Coalescer,
    /// Where it belongs, and what kept it from being there.
    standing: Mutex<Standing>,
    /// Told of every change before it is made.
    journal: Option<Box<dyn Journal>>,
    selections: Selections,
    /// Who that is, where the collection is kept on disk.
    store: Option<Arc<Store>>,
    process: Process,
}

#[derive(Debug, Default)]
struct Writer {
    /// Whether everything is known to be reachable; of a graph that came from elsewhere it is not.
    mended: bool,
    /// Slots that the graph's file links; 0 if there is none.
    kept: usize,
    /// Whether the graph is another one than the file's, though it links as many.
    changed: bool,
    /// How many were dead when there was no room to take them out.
    hopeless: usize,
}

#[derive(Debug)]
struct State {
    graph: HnswGraph,
    ids: Ids,
    payloads: Payloads,
    places: Places,
    /// Grows with every change of what filters look at.
    version: u64,
    /// Grows when slots are numbered anew.
    numbering: u64,
    /// The same vectors and links in RAM, where the policy wants it.
    mirror: Option<Mirror>,
}

impl State {
    fn empty(graph: HnswGraph) -> Self {
        Self {
            graph,
            ids: Ids::default(),
            payloads: Payloads::default(),
            places: Places::default(),
            version: 0,
            numbering: 0,
            mirror: None,
        }
    }

    /// Links have changed on the device.
    fn links_changed(&mut self) {
        if let Some(mirror) = &mut self.mirror {
            mirror.links_changed();
        }
    }

    /// What hangs on slots follows them to their new numbers; [`NO_SLOT`](crate::engine::NO_SLOT) is for those that are gone. The order stays.
    fn renumber(&mut self, numbers: &[u32]) {
        self.version += 1;
        self.numbering += 1;
        self.payloads.renumber(numbers);
        self.places.renumber(numbers);
    }

    /// Gives the next slot to this id; what was under it is dead.
    fn push(&mut self, id: &str) {
        self.version += 1;
        if let Some(old) = self.ids.push(id) {
            self.set_payload(old, None);
        }
    }

    /// The vector in `slot` is dead.
    fn delete(&mut self, slot: u32) {
        self.ids.delete(slot);
        self.set_payload(slot, None);
    }

    fn set_payload(&mut self, slot: u32, payload: Option<Payload>) {
        self.version += 1;
        match payload {
            Some(payload) => self.payloads.insert(slot, payload),
            None => self.payloads.remove(slot),
        }
    }
}

/// Where a collection is and what it has done.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct CollectionStats {
    /// The name of the device it is on now.
    pub device: String,
    /// What drives it.
    pub backend: Backend,
    /// Vectors that can be found.
    pub vector_count: usize,
    /// Slots of deleted and replaced vectors, not taken out of the graph yet.
    pub dead_slots: usize,
    /// Components of a vector.
    pub dimension: usize,
    /// How nearness is measured.
    pub metric: DistanceMetric,
    /// The form of the vectors that walks through the graph compare.
    pub precision: Precision,
    /// Where the vectors themselves are kept, on a GPU, if that is another form.
    pub full_rows: FullRows,
    /// The keys of payloads that are indexed.
    pub payload_indexes: Vec<String>,
    /// Payloads that the store has and that cannot be read: their vectors are found without them. A program with more digits in its numbers
    /// than 64 bits, or an earlier version, wrote them; [`Collection::set_payload`] puts others in their place.
    pub unreadable_payloads: u64,
    /// What filters have cost.
    pub filters: FilterStats,
    /// The graph, the paths that answered, and the work done.
    pub graph: GraphStats,
    /// Bytes taken on the device for the collection's vectors, in every form.
    pub row_bytes: u64,
    /// Of these, bytes of the form that walks compare, padding left out.
    pub searched_row_bytes: u64,
    /// The same for links.
    pub graph_bytes: u64,
    /// Bytes taken in RAM for vectors and links that are kept there beside those on the device; 0 without [`FullRows::Ram`], and where the
    /// device is the CPU.
    pub ram_bytes: u64,
    /// All bytes taken on the device, by whoever uses it.
    pub total_bytes: u64,
    /// The collection's own limit.
    pub vram_limit: Option<u64>,
    /// What it does where that, or the device, is not enough.
    pub fallback_policy: FallbackPolicy,
    /// What it did last when that happened, and why; `None` if it never did, or since it returned to its device.
    pub fallback: Option<Fallback>,
}

impl Collection {
    /// An empty collection on the device that [`Context::new`] takes, with the default graph parameters.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidDimension`], [`VectorizerError::NoDevice`], or the device failed.
    pub fn new(dimension: usize, metric: DistanceMetric) -> Result<Self> {
        Self::new_with_config(dimension, metric, HnswConfig::default())
    }

    /// The same with these graph parameters.
    ///
    /// # Errors
    /// Those of [`Collection::new`], and [`VectorizerError::InvalidConfig`].
    pub fn new_with_config(
        dimension: usize,
        metric: DistanceMetric,
        config: HnswConfig,
    ) -> Result<Self> {
        let options = CollectionOptions {
            hnsw: config,
            ..CollectionOptions::default()
        };
        Self::with_context(&Context::new()?, dimension, metric, options)
    }

    /// An empty collection on the device of `context`.
    ///
    /// # Errors
    /// [`VectorizerError::InvalidDimension`], [`VectorizerError::InvalidConfig`], or the device failed.
    pub fn with_context(
        context: &Context,
        dimension: usize,
        metric: DistanceMetric,
        options: CollectionOptions,
    ) -> Result<Self> {
        // Books of its own, so that what it takes is known, and limited where that is asked for.
        let home = context.with_limit(options.vram_limit);
        let graph = HnswGraph::new(&home, dimension, metric, options)?;
        let mut state = State::empty(graph);
        if options.fallback == FallbackPolicy::Mirror && !context.device().is_cpu() {
            let ram = Context::cpu().with_limit(None);
            state.mirror = Some(Mirror::of(HnswGraph::new(
                &ram, dimension, metric, options,
            )?));
        }
        Ok(Self {
            context: context.clone(),
            options,
            dimension,
            metric,
            writer: Mutex::default(),
            state: RwLock::new(state),
            coalescer: Coalescer::default(),
            standing: Mutex::new(Standing::new(home.device())),
            journal: None,
            selections: Selections::default(),
            store: None,
            process: Process::here(),
        })
    }

    /// From now on every change is told to `journal` before it is made.
    pub(crate) fn keep_changes(&mut self, journal: Box<dyn Journal>) {
        self.journal = Some(journal);
    }

    /// Tells whoever keeps changes; where nobody does, all is well.
    fn record(&self, change: &Change<'_>) -> Result<()> {
        self.journal
            .as_ref()
            .map_or(Ok(()), |journal| journal.record(change))
    }

    /// The vector with this id, bit for bit as it was put in, with its payload.
    ///
    /// # Errors
    /// [`VectorizerError::UnknownId`], or the device failed.
    pub fn get_vector(&self, id: &str) -> Result<Vector> {
        self.with_state(|state| {
            let unknown = || VectorizerError::UnknownId { id: id.to_owned() };
            let slot = state.ids.slot(id).ok_or_else(unknown)?;
            let data = state.graph.get(slot)?.ok_or_else(unknown)?;
            Ok(Vector {
                id: id.to_owned(),
                data,
                payload: state.payloads.get(&slot).cloned(),
            })
        })
    }

    /// Whether a vector with this id is there.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.state.read().ids.slot(id).is_some()
    }

    /// How many vectors can be found.
    #[must_use]
    pub fn vector_count(&self) -> usize {
        self.state.read().ids.len()
    }

    /// Components of a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How nearness is measured.
    #[must_use]
    pub fn metric(&self) -> DistanceMetric {
        self.metric
    }

    /// The device this collection belongs on, and why; [`Collection::stats`] says where it is.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What the collection was made with.
    #[must_use]
    pub fn options(&self) -> &CollectionOptions {
        &self.options
    }

    /// Proves that the graph keeps its rules; see [`HnswGraph::check`]. Slots linked since the latest [`Collection::optimize`] or
    /// [`Collection::flush`] may be out of reach until the next: reachability is proven where there are none.
    ///
    /// # Errors
    /// [`VectorizerError::GraphDamaged`] names the first broken rule; or the device failed.
    pub fn check(&self) -> Result<()> {
        self.with_state(|state| state.graph.check())
    }

    /// Where the collection is, which paths answered, and what it takes.
    #[must_use]
    pub fn stats(&self) -> CollectionStats {
        let state = self.state.read();
        let device = state.graph.storage().device();
        let ledger = device.ledger();
        CollectionStats {
            device: device.name().to_owned(),
            backend: device.info().backend,
            vector_count: state.ids.len(),
            dead_slots: state.ids.dead(),
            dimension: self.dimension,
            metric: self.metric,
            precision: self.options.precision,
            full_rows: self.options.full_rows,
            payload_indexes: state.payloads.indexed().map(str::to_owned).collect(),
            unreadable_payloads: state.payloads.unreadable(),
            filters: self.selections.stats(),
            graph: state.graph.stats(),
            row_bytes: ledger.account(Label::Rows).taken,
            searched_row_bytes: state.graph.storage().searched_bytes(),
            graph_bytes: ledger.account(Label::Graph).taken,
            ram_bytes: state.graph.storage().ram_bytes(),
            total_bytes: device.whole_ledger().total().taken,
            vram_limit: ledger.limit(),
            fallback_policy: self.options.fallback,
            fallback: self.fallback(),
        }
    }
}
