//! The ways down and back: what a collection does when its device is full or lost, by its [`FallbackPolicy`].

use std::fmt;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use serde::Serialize;

use super::{Collection, State, Writing};
use crate::config::FallbackPolicy;
use crate::error::{Result, VectorizerError};
use crate::gpu::context::Context;
use crate::gpu::device::{Absence, Device};
use crate::hnsw::HnswGraph;

mod back;

/// What happened when a collection's device had no room, or was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FallbackKind {
    /// A call was refused, and nothing has changed.
    Refused,
    /// The collection is in RAM: the device was full.
    Spilled,
    /// The device was lost. With a mirror, or [`FallbackPolicy::Spill`] and vectors in RAM or a store, the collection is in RAM; else every call
    /// that needs the device fails. What is in RAM or on disk comes back by [`Collection::return_to_device`], or by opening it again; what is not is
    /// gone.
    Lost,
}

/// What happened to a collection, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fallback {
    /// What happened.
    pub what: FallbackKind,
    /// The error behind it, with its figures.
    pub why: String,
    /// The device it happened on.
    pub device: String,
    /// Vectors in the collection when it happened.
    pub vectors: usize,
}

type Listener = Arc<dyn Fn(&Fallback) + Send + Sync>;

/// Where a collection belongs, and what kept it from being there.
pub(super) struct Standing {
    /// The device it belongs on, with the collection's own books.
    home: Device,
    latest: Option<Fallback>,
    /// As long as the collection is in RAM and does not belong there.
    absence: Option<Absence>,
    listener: Option<Listener>,
    /// What the listener was not told yet, each with the thread that met it.
    untold: Vec<(ThreadId, Fallback)>,
}

impl Standing {
    pub(super) fn new(home: Device) -> Self {
        Self {
            home,
            latest: None,
            absence: None,
            listener: None,
            untold: Vec::new(),
        }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("home", &self.home)
            .field("latest", &self.latest)
            .finish_non_exhaustive()
    }
}

/// The same vectors and the same graph in RAM.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) graph: HnswGraph,
    /// Whether its links are those on the device; its vectors always are.
    in_step: bool,
}

impl Mirror {
    /// Of a graph that is the same as that on the device.
    pub(super) fn of(graph: HnswGraph) -> Self {
        Self {
            graph,
            in_step: true,
        }
    }

    /// Its graph, if it answers as the device does.
    pub(super) fn in_step(&self) -> Option<&HnswGraph> {
        self.in_step.then_some(&self.graph)
    }

    /// Says that links have changed on the device.
    pub(super) fn links_changed(&mut self) {
        self.in_step = false;
    }
}

fn is_lost(error: &VectorizerError) -> bool {
    matches!(error, VectorizerError::DeviceLost { .. })
}

/// Whether the device itself is gone, not only a call of it refused.
#[cfg(feature = "gpu")]
fn is_lost_device(device: &Device) -> bool {
    device
        .hardware()
        .is_some_and(crate::gpu::hardware::Hardware::is_lost)
}

/// The CPU is never lost.
#[cfg(not(feature = "gpu"))]
fn is_lost_device(_: &Device) -> bool {
    false
}

impl Collection {
    /// Calls `listener` each time the device has no room or is lost, with what becomes of it. It is called on the thread whose call met that,
    /// before the call returns, while no lock is held: it may read the collection and change it.
    pub fn on_fallback(&self, listener: impl Fn(&Fallback) + Send + Sync + 'static) {
        self.standing.lock().listener = Some(Arc::new(listener));
    }

    /// What happened last when the device had no room or was lost, and why; `None` if nothing did, or since the collection returned.
    #[must_use]
    pub fn fallback(&self) -> Option<Fallback> {
        self.standing.lock().latest.clone()
    }

    /// Whether the vectors are in RAM although the collection belongs on a device.
    #[must_use]
    pub fn is_spilled(&self) -> bool {
        self.standing.lock().absence.is_some()
    }

    /// Work on the state; where the device turns out to be full or lost, the policy decides, and what can go on goes on in RAM.
    pub(super) fn with_state<T>(&self, work: impl Fn(&State) -> Result<T>) -> Result<T> {
        self.enter()?;
        loop {
            let (answer, device) = {
                let state = self.state.read();
                (work(&state), state.graph.storage().device().clone())
            };
            match answer {
                Err(error) if error.is_full() || is_lost(&error) => {
                    let goes_down = match self.options.fallback {
                        FallbackPolicy::Report | FallbackPolicy::Forbid => false,
                        FallbackPolicy::Spill => {
                            error.is_full() || self.rows_are_in_ram() || self.store.is_some()
                        }
                        FallbackPolicy::Mirror => true,
                    };
                    if !goes_down || device.is_cpu() {
                        return Err(self.refuse(error));
                    }
                    let mut writer = self.writing()?;
                    // Else somebody else has moved it meanwhile.
                    if self.state.read().graph.storage().device().is_same(&device) {
                        self.go_down(&mut writer, error)?;
                        drop(writer);
                        // What the file of the graph did not link.
                        self.tidy_or_warn();
                    }
                }
                answer => return answer,
            }
        }
    }

    /// What becomes of an error under the policy: moves the collection to RAM, so that what failed can be tried again, or says what to
    /// tell the caller. The guard says that nobody else writes.
    pub(super) fn go_down(&self, writer: &mut Writing<'_>, error: VectorizerError) -> Result<()> {
        let on_cpu = self.state.read().graph.storage().device().is_cpu();
        let (full, lost) = (error.is_full(), is_lost(&error));
        let in_ram = self.rows_are_in_ram();
        match self.options.fallback {
            FallbackPolicy::Spill if (full || lost && in_ram) && !on_cpu => {
                self.move_down(&error, None)
            }
            FallbackPolicy::Spill if lost && !on_cpu && self.store.is_some() => {
                self.move_down_from_store(writer, error)
            }
            FallbackPolicy::Mirror if (full || lost) && !on_cpu => {
                let mirror = self.state.write().mirror.take();
                match mirror {
                    Some(mut mirror) => {
                        if !mirror.in_step {
                            let linked = mirror.graph.linked();
                            mirror.graph.set_unmended(linked);
                        }
                        writer.mended = false;
                        self.move_down(&error, Some(mirror.graph))
                    }
                    None if full || in_ram => self.move_down(&error, None),
                    None if self.store.is_some() => self.move_down_from_store(writer, error),
                    None => Err(self.refuse(error)),
                }
            }
            _ => Err(self.refuse(error)),
        }
    }

    /// Shows what the store has, in RAM: the device is lost, and nothing can be read from it.
    fn move_down_from_store(&self, writer: &mut Writing<'_>, error: VectorizerError) -> Result<()> {
        match self.read_from_store(&Context::cpu().with_limit(None)) {
            Ok(graph) => {
                writer.mended = false;
                writer.changed = true;
                self.move_down(&error, Some(graph))
            }
            Err(obstacle) => {
                tracing::warn!(error = %obstacle, "the vectors of a lost device could not be read from disk");
                Err(self.refuse(error))
            }
        }
    }

    /// What a caller is told who has to decide.
    pub(super) fn refuse(&self, error: VectorizerError) -> VectorizerError {
        if !error.is_full() && !is_lost(&error) {
            return error;
        }
        let what = if is_lost(&error) {
            FallbackKind::Lost
        } else {
            FallbackKind::Refused
        };
        self.note(what, &error);
        if error.is_full() && self.options.fallback == FallbackPolicy::Report {
            VectorizerError::VramFallback
        } else {
            error
        }
    }

    /// Shows `graph`, or a copy of the one there is, in RAM.
    fn move_down(&self, error: &VectorizerError, graph: Option<HnswGraph>) -> Result<()> {
        let graph = match graph {
            Some(graph) => graph,
            None => {
                let ram = Device::cpu().with_limit(None);
                let copy = self
                    .state
                    .read()
                    .graph
                    .copied_to(&ram, self.options.threads);
                match copy {
                    Ok(copy) => copy,
                    Err(_) => return Err(self.refuse(error.clone())),
                }
            }
        };
        let books = graph.storage().device().ledger().clone();
        let above = {
            let mut state = self.state.write();
            std::mem::replace(&mut state.graph, graph)
        };
        // Outside the lock: giving memory back may ask the driver.
        above.storage().device().settle();
        drop(above);
        let mut standing = self.standing.lock();
        let absence = standing.home.note_absence(books);
        standing.absence = Some(absence);
        drop(standing);
        let what = if is_lost(error) {
            FallbackKind::Lost
        } else {
            FallbackKind::Spilled
        };
        self.note(what, error);
        Ok(())
    }

    fn note(&self, what: FallbackKind, error: &VectorizerError) {
        let vectors = self.vector_count();
        let mut standing = self.standing.lock();
        let fallback = Fallback {
            what,
            why: error.to_string(),
            device: standing.home.name().to_owned(),
            vectors,
        };
        // What refused a call says less than where the collection is.
        if standing.absence.is_none() || what != FallbackKind::Refused {
            standing.latest = Some(fallback.clone());
        }
        standing
            .untold
            .push((thread::current().id(), fallback.clone()));
        drop(standing);
        tracing::warn!(
            device = fallback.device,
            what = ?fallback.what,
            why = fallback.why,
            vectors,
            "the device could not go on"
        );
        self.tell();
    }

    /// Tells the listener what this thread met and it was not told yet. While this thread holds writers back it is not called: they may wait for it.
    pub(super) fn tell(&self) {
        while !self.holds_writers_back() {
            let mut standing = self.standing.lock();
            let here = thread::current().id();
            let mut untold = standing.untold.iter();
            let Some(next) = untold.position(|(met_by, _)| *met_by == here) else {
                return;
            };
            let (_, fallback) = standing.untold.remove(next);
            let listener = standing.listener.clone();
            drop(standing);
            if let Some(listener) = listener {
                listener(&fallback);
            }
        }
    }

    /// Brings the mirror in step with the device, where there is to be one.
    pub(super) fn mirror(&self, _writer: &mut Writing<'_>) -> Result<()> {
        if self.options.fallback != FallbackPolicy::Mirror {
            return Ok(());
        }
        let state = self.state.read();
        if state.graph.storage().device().is_cpu() {
            return Ok(());
        }
        match &state.mirror {
            Some(mirror) if mirror.in_step => Ok(()),
            Some(_) => {
                let topology = state.graph.topology()?;
                let unmended = state.graph.unmended();
                drop(state);
                let mut state = self.state.write();
                if let Some(mirror) = &mut state.mirror {
                    mirror.graph.restore_topology(topology)?;
                    mirror.graph.set_unmended(unmended);
                    mirror.in_step = true;
                }
                Ok(())
            }
            None => {
                let ram = Device::cpu().with_limit(None);
                let graph = state.graph.copied_to(&ram, self.options.threads)?;
                drop(state);
                self.state.write().mirror = Some(Mirror::of(graph));
                Ok(())
            }
        }
    }

    /// Gives back what is taken on the device beyond what vectors and links need: memory taken for vectors to come, and buffers kept for
    /// reuse. Searches wait while the last chunks are copied to smaller ones.
    pub(super) fn give_back(&self) -> Result<u64> {
        let _writer = self.writing()?;
        let freed = self.state.write().graph.compact();
        freed.map_err(|error| self.refuse(error))
    }

    /// Says that there will be `vectors` vectors in all, so that memory for them is taken at once and none is copied while the
    /// collection grows.
    ///
    /// # Errors
    /// As [`Collection::add_vectors_batch`] where there is no room for so many; nothing has changed.
    pub fn reserve(&self, vectors: usize) -> Result<()> {
        let mut writer = self.writing()?;
        loop {
            let reserved = self.state.write().graph.reserve(vectors);
            match reserved {
                Err(error) => self.go_down(&mut writer, error)?,
                Ok(()) => return Ok(()),
            }
        }
    }
}
