//! Walks alone: the small form of the rows and the links on the device, the rows themselves with somebody else, who works the links out and
//! scores again what walks find.

use std::sync::atomic::Ordering;

use crate::config::FullRows;
use crate::engine::gpu::graph::{Graph, Growth};
use crate::engine::gpu::link::STRIDE;
use crate::engine::gpu::record::hardware;
use crate::engine::gpu::rows::{self, Rows, small};
use crate::engine::gpu::seal::Seal;
use crate::engine::gpu::transfer::upload;
use crate::engine::gpu::{GpuEngine, codes};
use crate::engine::{
    Changes, Counters, Engine, Hits, Layout, LevelLinks, Selection, SlotSet, Walk,
};
use crate::error::Result;
use crate::gpu::device::Device;
use crate::gpu::metal_buffer_pool::{MetalBufferPool, PooledBuffer, Purpose};
use crate::kernels::graph::{WRITE_MEMBERS, WriteParams};

/// A GPU engine of which only that is there which walks need.
#[derive(Debug)]
pub(crate) struct Walker(GpuEngine);

/// Rows in their small form that wait to be shown.
#[derive(Debug)]
pub(crate) struct StagedCodes(Option<rows::StagedRows>);

/// Rows of links that are on the device and not in their places yet.
#[derive(Debug)]
pub(crate) struct StagedWrites {
    /// The memory that new slots need.
    growth: Option<Growth>,
    levels: Vec<LevelWrites>,
}

#[derive(Debug)]
struct LevelWrites {
    level: usize,
    slots: PooledBuffer,
    rows: PooledBuffer,
    count: usize,
}

impl Walker {
    /// The widest beam of a walk.
    pub(crate) fn max_ef(&self) -> usize {
        self.0.max_ef()
    }

    /// Nothing yet, on `device`.
    ///
    /// # Errors
    /// As [`GpuEngine::new`].
    pub(crate) fn new(device: &Device, layout: Layout) -> Result<Self> {
        let layout = Layout {
            full_rows: FullRows::Ram,
            ..layout
        };
        GpuEngine::with_layout(device, layout).map(Self)
    }

    /// Brings the small form of rows to the device.
    ///
    /// # Errors
    /// No room, or the device failed.
    pub(crate) fn stage_rows(&self, rows: &[f32]) -> Result<StagedCodes> {
        let stage = |codes: &Rows| codes.stage(&codes::of(self.0.layout, rows));
        Ok(StagedCodes(self.0.codes.as_ref().map(stage).transpose()?))
    }

    /// Shows them.
    pub(crate) fn commit_rows(&mut self, staged: StagedCodes) {
        if let (Some(codes), Some(staged)) = (&mut self.0.codes, staged.0) {
            codes.commit(staged);
        }
    }

    /// See [`Engine::room_for_rows`](crate::engine::Engine::room_for_rows).
    pub(crate) fn room_for_rows(&self, rows: usize) -> u64 {
        self.0
            .codes
            .as_ref()
            .map_or(0, |codes| codes.room_for(rows))
    }

    /// See [`Engine::reserve`](crate::engine::Engine::reserve).
    pub(crate) fn reserve(&mut self, rows: usize) {
        if let Some(codes) = &mut self.0.codes {
            codes.reserve(rows);
        }
    }

    /// The slots that are to be scored again for each query, with their scores by the small form, nearest by that first.
    ///
    /// # Errors
    /// As [`Engine::walk`](crate::engine::Engine::walk).
    pub(crate) fn walk(
        &self,
        queries: &[f32],
        walk: &Walk,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        self.0.walk_graph(queries, walk, allowed)
    }

    /// How many bytes more the links of so many new slots take at the most, and bringing them here.
    pub(crate) fn room_for_links(&self, slots: usize, selection: &Selection) -> u64 {
        let GpuEngine { graph, layout, .. } = &self.0;
        // New slots' rows, and those that they change; in buffers of their classes.
        let total = graph.linked() + slots;
        let changed = slots + total.min(slots * selection.own.max(selection.fill));
        let lists = changed * (layout.degree(0) + 1) * 4;
        graph.room_for(self.0.walked().len(), slots) + lists as u64 * 9 / 8
    }

    /// Takes memory for the links of new slots of these levels, of which there may be none, and brings changed rows of links to the device.
    ///
    /// # Errors
    /// No room, or the device failed.
    pub(crate) fn stage_links(&self, levels: &[u8], changes: &[Changes]) -> Result<StagedWrites> {
        let GpuEngine {
            device,
            graph,
            building,
            latest_batch,
            ..
        } = &self.0;
        // What the batch before wrote has long been done; so submissions do not pile up.
        let latest = std::mem::take(&mut *building.lock()).pop_back();
        if let Some(latest) = latest {
            hardware(device)?.wait(latest)?;
        }
        // Batches grow, and the buffers of the last one are too small for this one.
        if latest_batch.swap(levels.len(), Ordering::Relaxed) != levels.len() {
            device.settle();
        }
        let rows = self.0.walked().len();
        let growth = (!levels.is_empty())
            .then(|| graph.stage_growth(device, rows, levels))
            .transpose()?;
        let pool = MetalBufferPool::for_building(device.clone());
        let seal = Seal::of_change(&pool)?;
        let bring = |name: &str, words: &[u32]| -> Result<PooledBuffer> {
            let buffer = pool.lend(Purpose::Storage, name, words.len() as u64 * 4)?;
            upload(&pool, seal.as_ref(), words, &buffer)?;
            Ok(buffer)
        };
        let changes = changes.iter().filter(|change| !change.slots.is_empty());
        let levels = changes
            .map(|change| {
                Ok(LevelWrites {
                    level: change.level,
                    slots: bring("relinked slots", &change.slots)?,
                    rows: bring("their rows", &change.rows)?,
                    count: change.slots.len(),
                })
            })
            .collect::<Result<_>>()?;
        seal.as_ref().map_or(Ok(()), Seal::prove)?;
        Ok(StagedWrites { growth, levels })
    }

    /// Puts them in their places.
    ///
    /// # Errors
    /// The device failed; the graph is as before.
    pub(crate) fn commit_links(&mut self, staged: StagedWrites) -> Result<()> {
        let StagedWrites { growth, levels } = staged;
        let engine = &mut self.0;
        let seal = Seal::of_change(&MetalBufferPool::for_building(engine.device.clone()))?;
        let arrivals = match growth {
            Some(growth) => {
                let graph = &mut engine.graph;
                Some(graph.make_room(&engine.device, growth, seal.as_ref())?)
            }
            None => None,
        };
        let program =
            hardware(&engine.device)?.program(&engine.graph_kernel(&WRITE_MEMBERS, 0)?)?;
        let links = engine.graph.buffers();
        engine.write_links(seal.as_ref(), &|recorder| {
            for writes in &levels {
                let params = WriteParams {
                    level: small(writes.level),
                    members: small(writes.count),
                    degree: small(engine.layout.degree(writes.level)),
                    target_count_at: 0,
                    stride: STRIDE,
                };
                recorder.dispatch(
                    &program,
                    &params,
                    &[(1, &writes.slots), (2, &writes.rows)],
                    &[&links],
                    [STRIDE / 256, 1],
                );
            }
        })?;
        if let Some(arrivals) = arrivals {
            engine.graph.arrive(arrivals);
        }
        Ok(())
    }

    /// See [`Engine::put_links`](crate::engine::Engine::put_links), which has seen that they fit.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn put_links(&mut self, levels: &[u8], links: &[LevelLinks]) -> Result<()> {
        let rows = self.0.walked().len();
        self.0.graph.put(&self.0.device, rows, levels, links)
    }

    /// Forgets every link.
    pub(crate) fn clear_links(&mut self) {
        self.0.graph.clear();
    }

    /// See [`Engine::compact`](crate::engine::Engine::compact).
    ///
    /// # Errors
    /// As there.
    pub(crate) fn compact(&mut self) -> Result<u64> {
        let GpuEngine {
            device,
            codes,
            graph,
            ..
        } = &mut self.0;
        let codes = codes.as_mut().map_or(Ok(0), Rows::compact)?;
        Ok(codes + Graph::compact(graph, device)?)
    }

    /// The work done by walks.
    pub(crate) fn counters(&self) -> Counters {
        self.0.work.read()
    }
}
