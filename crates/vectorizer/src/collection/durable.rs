//! Collections that outlive the program: made, opened, flushed, copied, closed.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::{Collection, State};
use crate::config::{CollectionOptions, FallbackPolicy, FullRows};
use crate::error::{Result, VectorizerError};
use crate::gpu::context::Context;
use crate::hnsw::{HnswGraph, Progress};
use crate::models::DistanceMetric;
use crate::store::{
    self, CheckReport, Durability, FIRST_FORMAT, GraphFile, Header, Store, StoreStats,
};

/// How to open a collection, beyond what it is itself. Fields come with versions: take those that do not matter from
/// `..OpenOptions::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// When changes are on the disk.
    pub durability: Durability,
    /// See [`CollectionOptions::threads`].
    pub threads: usize,
    /// See [`CollectionOptions::vram_limit`].
    pub vram_limit: Option<u64>,
    /// See [`CollectionOptions::fallback`].
    pub fallback: FallbackPolicy,
    /// See [`CollectionOptions::full_rows`]; `None` is what the collection was made with.
    pub full_rows: Option<FullRows>,
}

/// How far opening has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// Vectors on their way from the disk to the device.
    Reading {
        /// So many are there.
        done: usize,
        /// Of so many.
        total: usize,
    },
    /// The graph is built for vectors that no usable file has links of.
    Linking(Progress),
}

impl Collection {
    /// A new collection that is kept in the folder `path`, which is made if it is not there. On the device that [`Context::new`] takes,
    /// with default options: what a call has added is on the disk when it returns.
    ///
    /// ```
    /// use vectorizer::collection::Collection;
    /// use vectorizer::models::{DistanceMetric, Vector};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("colours");
    /// let collection = Collection::create(&path, 3, DistanceMetric::Cosine)?;
    /// collection.add_vector(Vector { id: "red".into(), data: vec![1.0, 0.1, 0.0], payload: None })?;
    /// collection.close()?;
    ///
    /// let collection = Collection::open(&path)?;
    /// assert_eq!(collection.search(&[0.9, 0.2, 0.0], 1)?[0].id, "red");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`VectorizerError::StoreExists`], [`VectorizerError::StoreInUse`] if somebody is just making one there,
    /// [`VectorizerError::StoreFailed`], and those of [`Collection::new`].
    pub fn create(
        path: impl AsRef<Path>,
        dimension: usize,
        metric: DistanceMetric,
    ) -> Result<Self> {
        let options = CollectionOptions::default();
        Self::create_with(
            path,
            &Context::new()?,
            dimension,
            metric,
            options,
            Durability::default(),
        )
    }

    /// The same on the device of `context`, with options.
    ///
    /// # Errors
    /// Those of [`Collection::create`] and [`Collection::with_context`].
    pub fn create_with(
        path: impl AsRef<Path>,
        context: &Context,
        dimension: usize,
        metric: DistanceMetric,
        options: CollectionOptions,
        durability: Durability,
    ) -> Result<Self> {
        // First what costs nothing to refuse.
        let mut collection = Self::with_context(context, dimension, metric, options)?;
        let path = path.as_ref();
        let header = Header {
            format: FIRST_FORMAT,
            uuid: store::random_uuid(path)?,
            dimension,
            metric,
            hnsw: options.hnsw,
            seed: options.seed,
            precision: options.precision,
            full_rows: options.full_rows,
        };
        collection.keep_in(Store::create(path, header, durability)?);
        Ok(collection)
    }

    /// The collection in the folder `path`, as it was left: by a close, or by a crash.
    ///
    /// # Errors
    /// [`VectorizerError::StoreMissing`], [`VectorizerError::StoreInUse`], [`VectorizerError::StoreDamaged`],
    /// [`VectorizerError::UnsupportedFormat`], [`VectorizerError::StoreFailed`], and those of [`Collection::new`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &Context::new()?, OpenOptions::default(), |_| {
            ControlFlow::Continue(())
        })
    }

    /// The same on the device of `context`, with options; `progress` is told how far it is and can stop it. It is called on this thread, and no
    /// lock of another collection is held meanwhile.
    ///
    /// The graph is taken from its file. Where that is missing, torn, damaged or not of these vectors, it is built anew, with a warning.
    ///
    /// # Errors
    /// Those of [`Collection::open`], and [`VectorizerError::Cancelled`].
    pub fn open_with(
        path: impl AsRef<Path>,
        context: &Context,
        options: OpenOptions,
        progress: impl FnMut(Opening) -> ControlFlow<()> + Send,
    ) -> Result<Self> {
        let store = Store::open(path.as_ref(), options.durability)?;
        Self::of_store(store, context, options, progress)
    }

    /// The collection in the folder `path`, to be searched and read only: by any number of programs at a time, and where it may not be
    /// written, for want of permission or on a read-only medium. Nothing of its files is changed. A graph that has no usable file is built in memory, at
    /// each opening.
    ///
    /// What would change it says [`VectorizerError::StoreReadOnly`]. While it is open so, nobody can open it for writing.
    ///
    /// ```
    /// use vectorizer::collection::Collection;
    /// use vectorizer::models::DistanceMetric;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("colours");
    /// # let collection = Collection::create(&path, 2, DistanceMetric::Cosine)?;
    /// # collection.add_rows(&["red"], &[1.0, 0.1])?;
    /// # collection.close()?;
    /// let one = Collection::open_read_only(&path)?;
    /// let other = Collection::open_read_only(&path)?;
    /// assert_eq!(one.search(&[0.9, 0.2], 1)?, other.search(&[0.9, 0.2], 1)?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Collection::open`], and [`VectorizerError::StoreNotClosed`]: after a crash somebody has to open it for writing first.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_read_only_with(path, &Context::new()?, OpenOptions::default(), |_| {
            ControlFlow::Continue(())
        })
    }

    /// Opens a collection to be searched and read only, on the device of `context` with options; see [`Collection::open_read_only`] and
    /// [`Collection::open_with`].
    ///
    /// # Errors
    /// Those of [`Collection::open_read_only`], and [`VectorizerError::Cancelled`].
    pub fn open_read_only_with(
        path: impl AsRef<Path>,
        context: &Context,
        options: OpenOptions,
        progress: impl FnMut(Opening) -> ControlFlow<()> + Send,
    ) -> Result<Self> {
        let store = Store::open_read_only(path.as_ref())?;
        Self::of_store(store, context, options, progress)
    }

    /// Whether it was opened with [`Collection::open_read_only`]: then nothing can be changed.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.store
            .as_ref()
            .is_some_and(|store| store.is_read_only())
    }

    pub(crate) fn of_store(
        store: Store,
        context: &Context,
        options: OpenOptions,
        mut progress: impl FnMut(Opening) -> ControlFlow<()> + Send,
    ) -> Result<Self> {
        let header = store.header();
        let made_with = CollectionOptions {
            hnsw: header.hnsw,
            seed: header.seed,
            threads: options.threads,
            vram_limit: options.vram_limit,
            fallback: options.fallback,
            precision: header.precision,
            full_rows: options.full_rows.unwrap_or(header.full_rows),
        };
        let mut collection =
            Self::with_context(context, header.dimension, header.metric, made_with)?;
        let total = usize::try_from(store.totals().rows).unwrap_or(usize::MAX);
        // Where there is no room for all, the first that do not fit say so.
        drop(collection.state.get_mut().graph.reserve(total));
        store.read_rows(|group| {
            loop {
                let appended = collection.state.write().graph.append_stored(group.rows());
                match appended {
                    Ok(_) => break,
                    Err(error) => collection.go_down(&mut collection.writing()?, error)?,
                }
            }
            let mut state = collection.state.write();
            if let Some(mirror) = &mut state.mirror {
                mirror.graph.append_stored(group.rows())?;
            }
            for id in group.ids() {
                state.ids.push(id);
            }
            let done = state.graph.len();
            drop(state);
            match progress(Opening::Reading { done, total }) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(VectorizerError::Cancelled),
            }
        })?;
        let state = collection.state.get_mut();
        for slot in store.read_dead()? {
            state.delete(slot);
        }
        // Before the payloads, which they then follow.
        for key in store.read_indexes()? {
            let index = state.payloads.stage_index(&key)?;
            state.payloads.commit_index(&key, index);
        }
        let State { payloads, ids, .. } = state;
        store.read_payloads(|slot, payload| match payload {
            Ok(payload) => payloads.insert(slot, payload),
            Err(reason) => {
                let id = ids.id(slot).unwrap_or_default();
                tracing::warn!(path = %store.path().display(), id, reason, "a payload cannot be read: the vector is found without it");
                payloads.insert_unreadable(slot);
            }
        })?;
        state.places.begin_with(store.gaps());
        let lost = take_graph(&store, &mut state.graph);
        state.links_changed();
        let writer = collection.writer.get_mut();
        writer.kept = state.graph.linked();
        // A file of no use is there, or there is none: either way another has to be written, or it has to go.
        writer.changed = lost;
        let read_only = store.is_read_only();
        if read_only {
            // The dead stay where they are.
            writer.hopeless = usize::MAX / 2;
        }
        collection.keep_in(store);
        let mut linking = |now| progress(Opening::Linking(now));
        if lost && read_only {
            collection.link(true, &mut linking)?;
        } else if lost {
            collection.optimize_with(&mut linking)?;
        } else {
            collection.tidy_with(&mut linking)?;
        }
        collection.mirror(&mut collection.writing()?)?;
        Ok(collection)
    }

    /// In a forked child, closing the store would write to a file that the parent goes on with, and give up its lock: it is left as it is, and
    /// goes with the process.
    fn is_left_to_parent(&mut self) -> bool {
        let forked = self.process.is_forked();
        if forked {
            std::mem::forget(self.store.take());
        }
        forked
    }

    fn keep_in(&mut self, store: Store) {
        let store = Arc::new(store);
        self.keep_changes(Box::new(Arc::clone(&store)));
        self.store = Some(store);
    }

    /// Whether the collection is kept on disk, and where: an absolute path, whatever the program was given.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.store.as_ref().map(|store| store.path())
    }

    /// Makes everything durable that is not yet ([`Durability::OnFlush`]), and writes the graph to its file, so that opening need
    /// not build it. Nothing to do in memory.
    ///
    /// # Errors
    /// [`VectorizerError::StoreFailed`], or the device failed while the graph was read back.
    pub fn flush(&self) -> Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let mut writer = self.changing()?;
        store.flush()?;
        loop {
            match self.keep_graph(&mut writer) {
                Err(error) => self.go_down(&mut writer, error)?,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Flushes and ends the collection: then another may open it. Dropping a collection does the same as well as it can, and only
    /// warns where this returns an error.
    ///
    /// # Errors
    /// As [`Collection::flush`].
    pub fn close(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let flushed = self.flush();
        if self.is_left_to_parent() {
            return flushed;
        }
        match self.store.take() {
            Some(store) => flushed.and(store.close()),
            None => Ok(()),
        }
    }

    /// Writes a copy of the collection as it is now to the folder `path`, while searching and adding go on: a collection of its own, to be
    /// opened as any other.
    ///
    /// # Errors
    /// [`VectorizerError::NotDurable`], [`VectorizerError::StoreExists`], [`VectorizerError::StoreFailed`], or the device failed.
    pub fn snapshot(&self, path: impl AsRef<Path>) -> Result<()> {
        let store = self.store.as_ref().ok_or(VectorizerError::NotDurable)?;
        let (moment, topology) = {
            let mut writer = self.changing()?;
            self.mend_what_is_new(&mut writer)?;
            (store.moment()?, self.state.read().graph.topology()?)
        };
        moment.write_to(path.as_ref(), &topology)
    }

    /// Takes the dead out of the graph, links everything, and gives room that the file no longer needs back to the disk. What goes on by itself
    /// past a quarter of dead vectors is done here at once, and vectors that came one by one are put together in the file. Last, memory goes back to the device that neither vectors nor links need; says how
    /// many bytes those were.
    ///
    /// # Errors
    /// No room, the device failed, or [`VectorizerError::StoreFailed`]; searches find the same as before.
    pub fn compact(&self) -> Result<u64> {
        self.optimize()?;
        if let Some(store) = &self.store {
            let mut writer = self.writer.lock();
            // The graph's file is bound to the runs of rows in the store.
            writer.changed |= store.merge_runs()?;
        }
        self.flush()?;
        if let Some(store) = &self.store {
            store.shrink()?;
        }
        self.give_back()
    }

    /// The vectors as the store has them, and the graph as its file has it, on the device of `context`: for a device that was lost with
    /// both. Where that file is of no use, nothing is linked.
    pub(super) fn read_from_store(&self, context: &Context) -> Result<HnswGraph> {
        let store = self.store.as_ref().ok_or(VectorizerError::NotDurable)?;
        let mut graph = HnswGraph::new(context, self.dimension, self.metric, self.options)?;
        graph.reserve(usize::try_from(store.totals().rows).unwrap_or(usize::MAX))?;
        store.read_rows(|group| graph.append_stored(group.rows()).map(drop))?;
        take_graph(store, &mut graph);
        Ok(graph)
    }

    /// What the collection in the folder `path` is and holds, without loading it; nobody has it open for writing. It may be one that can only
    /// be read.
    ///
    /// # Errors
    /// As [`Collection::check_files`], and [`VectorizerError::StoreDamaged`].
    pub fn describe(path: impl AsRef<Path>) -> Result<StoreStats> {
        store::describe(path.as_ref())
    }

    /// Checks the files of the collection in the folder `path`, which nobody has open: every checksum, and every rule that ids, payloads
    /// and the graph keep. Takes the memory, and about the time, of opening it on the CPU. Damage is in the report, not an error; what is merely out of
    /// date stands apart from it. Where the files can only be read, redb's own check of its pages is left out.
    ///
    /// # Errors
    /// [`VectorizerError::StoreMissing`], [`VectorizerError::StoreInUse`], [`VectorizerError::UnsupportedFormat`], or the disk refused.
    pub fn check_files(path: impl AsRef<Path>) -> Result<CheckReport> {
        store::check(path.as_ref())
    }
}

/// Takes the graph from its file; says whether one has to be built because that is of no use.
fn take_graph(store: &Store, graph: &mut HnswGraph) -> bool {
    let path = store.path().display();
    let worth_it = graph.len() >= super::upkeep::FIRST_TAIL;
    match store.read_graph() {
        GraphFile::Good(topology) => match graph.restore_topology(topology) {
            Ok(()) => false,
            Err(error) => {
                tracing::warn!(%path, %error, "the graph is built anew: its file cannot be used");
                true
            }
        },
        GraphFile::Unusable(reason) | GraphFile::Stale(reason) => {
            tracing::warn!(%path, %reason, "the graph is built anew: its file cannot be used");
            true
        }
        GraphFile::Missing => {
            if worth_it {
                tracing::warn!(%path, "the graph is built anew: its file is missing");
            }
            worth_it
        }
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        if self.store.is_none() || self.is_left_to_parent() || std::thread::panicking() {
            return;
        }
        if let Err(error) = self.end() {
            tracing::warn!(%error, "a collection was dropped, and not all of it could be written");
        }
    }
}
