//! The CPU engine: the fallback people run, and the oracle the GPU is checked against.
//!
//! `rows` keeps the vectors, `codes` the small form of them and `graph` the links (on `pages` from the operating system); `distance` scores
//! rows; `walk` searches the graph by a `probe`; `link` adds slots to it, by the choice of `select`, and `reconnect` does without the dead; `exact` searches all rows; `paired` is its part of
//! an engine whose walks are a GPU's; `pool` shares work among threads, `batch` queries; `work` counts.

use std::ops::Range;

use parking_lot::Mutex;

use crate::engine::code::Unit;
use crate::engine::detour::Detour;
use crate::engine::{
    Attachment, Counters, Engine, Hits, Layout, LevelLinks, LinkBatch, MemoryEstimate, Neighbor,
    Selection, SlotSet, Staged, Walk, check_shape, upper_rows,
};
use crate::error::Result;
use crate::gpu::memory::Ledger;
use codes::Codes;
use distance::Distance;
use graph::Graph;
pub(crate) use graph::StagedLinks;
use link::LinkScratch;
use pool::{Pool, Purpose};
use rows::Rows;
use walk::{Among, Beams, Descend, Descent, Ground, Scratch, Turn};
use work::Work;

mod batch;
mod codes;
mod distance;
mod exact;
mod graph;
mod link;
mod nearest;
mod pages;
#[cfg(feature = "gpu")]
mod paired;
pub(crate) mod pool;
mod probe;
#[cfg(test)]
mod random;
mod reconnect;
mod rows;
mod select;
#[cfg(test)]
mod tests;
mod walk;
mod work;

/// Rows and links in RAM, worked on with SIMD and threads.
#[derive(Debug)]
pub(crate) struct CpuEngine {
    layout: Layout,
    distance: Distance,
    rows: Rows,
    codes: Option<Codes>,
    graph: Graph,
    search: Pool,
    build: Pool,
    /// Of walks that are over, for those to come.
    scratch: Mutex<Vec<Scratch>>,
    work: Work,
}

/// Rows that wait to be shown, with their small form.
#[derive(Debug)]
struct StagedRows {
    rows: rows::StagedRows,
    codes: Option<rows::StagedRows<Unit>>,
}

impl CpuEngine {
    /// An engine without rows. `threads` is how many work on a batch of queries or on linking, the caller's among them; 0 is one
    /// for each core. Memory is taken from `ledger`.
    ///
    /// The instruction set is the best this machine has; `VECTORIZER_SIMD` = `avx512`, `avx2`, `neon` or `portable` chooses another
    /// that it has.
    ///
    /// # Errors
    /// The ledger's.
    pub(crate) fn new(layout: Layout, threads: usize, ledger: Ledger) -> Result<Self> {
        Ok(Self {
            layout,
            distance: Distance::new(layout.scoring),
            rows: Rows::new(layout.dimension, ledger.clone())?,
            codes: Codes::new(layout.precision, layout.dimension, ledger.clone())?,
            graph: Graph::new(layout, ledger)?,
            search: Pool::new(threads, Purpose::Search),
            build: Pool::new(threads, Purpose::Build),
            scratch: Mutex::default(),
            work: Work::default(),
        })
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            graph: &self.graph,
            rows: &self.rows,
        }
    }

    /// Walks with a scratch that was used before, if there is one.
    fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        let result = work(&mut scratch);
        let full = self.layout.dimension * size_of::<f32>();
        let row_bytes = self.codes.as_ref().map_or(full, Codes::row_bytes);
        self.count_rows_of(&mut scratch.done, row_bytes);
        self.scratch.lock().push(scratch);
        result
    }

    /// Shares `turns` among the threads that build.
    fn build<T: Send>(&self, turns: Vec<T>, job: impl Fn(&mut LinkScratch, T) + Sync) {
        self.build
            .work(turns, LinkScratch::default, |scratch, turn| {
                job(scratch, turn);
                self.count(&mut scratch.take_done());
            });
    }

    /// Adds up what was done, with the bytes it had to read.
    fn count(&self, done: &mut Counters) {
        self.count_rows_of(done, self.layout.dimension * size_of::<f32>());
    }

    /// The same where rows of so many bytes were read.
    fn count_rows_of(&self, done: &mut Counters, row_bytes: usize) {
        let done = std::mem::take(done);
        let links = self.layout.degree(0) * size_of::<u32>();
        let bytes = done.distances * row_bytes as u64 + done.hops * links as u64;
        self.work.add(Counters {
            bytes: done.bytes + bytes,
            ..done
        });
    }
}

/// What so many rows and their links will take.
pub(super) fn estimate(layout: Layout, rows: usize) -> MemoryEstimate {
    MemoryEstimate {
        rows: rows::bytes_of::<f32>(rows, layout.dimension)
            + codes::bytes_of(layout.precision, rows, layout.dimension),
        graph: graph::bytes_of(&layout, rows, upper_rows(rows, &layout)),
        ram: 0,
    }
}

impl Engine for CpuEngine {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn stage_rows(&self, rows: &[f32]) -> Result<Staged> {
        let codes = self.codes.as_ref().map(|codes| codes.stage(rows));
        Ok(Staged(Box::new(StagedRows {
            rows: self.rows.stage(rows)?,
            codes: codes.transpose()?,
        })))
    }

    fn commit_rows(&mut self, staged: Staged) {
        match staged.0.downcast::<StagedRows>() {
            Ok(staged) => {
                self.rows.commit(staged.rows);
                if let (Some(codes), Some(staged)) = (&mut self.codes, staged.codes) {
                    codes.commit(staged);
                }
            }
            Err(_) => debug_assert!(false, "these are no rows staged by a CPU engine"),
        }
    }

    fn room_for_rows(&self, rows: usize) -> u64 {
        let codes = self.codes.as_ref().map_or(0, |codes| codes.room_for(rows));
        self.rows.room_for(rows) + codes
    }

    /// Rows lie in chunks that never move: there is nothing to gain by taking memory before it is needed.
    fn reserve(&mut self, _: usize) {}

    fn read_rows(&self, slots: Range<u32>, out: &mut [f32]) -> Result<()> {
        for (slot, to) in slots.zip(out.chunks_exact_mut(self.layout.dimension)) {
            to.copy_from_slice(self.rows.row(slot));
        }
        Ok(())
    }

    fn exact(
        &self,
        queries: &[f32],
        k: usize,
        slots: Range<u32>,
        allowed: Option<&SlotSet>,
    ) -> Result<Hits> {
        let listed: Vec<u32>;
        let slots = match allowed {
            None => exact::Slots::from(slots),
            Some(allowed) => {
                listed = allowed.iter_in(slots).collect();
                exact::Slots::Listed(&listed)
            }
        };
        let (asked, rows) = (queries.len() / self.layout.dimension, slots.len());
        if k == 0 || rows == 0 {
            return Ok(Hits::none(asked));
        }
        self.work.add(Counters {
            distances: (asked * rows) as u64,
            hops: 0,
            bytes: (rows * self.layout.dimension * size_of::<f32>()) as u64,
        });
        let (rows, pool) = (&self.rows, &self.search);
        Ok(exact::search(self.distance, rows, pool, queries, k, slots))
    }

    fn walk(&self, queries: &[f32], walk: &Walk, allowed: Option<&SlotSet>) -> Result<Hits> {
        let linked = self.graph.len();
        let count = queries.len() / self.layout.dimension;
        let detour = match allowed {
            None => None,
            Some(allowed) => match Detour::new(&self.layout, linked, walk.ef, allowed) {
                Some(detour) => Some((allowed, detour)),
                None => return Ok(Hits::none(count)),
            },
        };
        let among = detour
            .as_ref()
            .map(|(allowed, detour)| Among { allowed, detour });
        let k = walk.k.min(linked);
        if k == 0 {
            return Ok(Hits::none(count));
        }
        let mut hits = vec![Neighbor::NONE; k * count];
        if count == 1 {
            self.with_scratch(|scratch| {
                let turns = &mut [Turn {
                    query: queries,
                    descent: Descent::NONE,
                    to: &mut hits,
                }];
                let (ground, codes) = (self.ground(), self.codes.as_ref());
                self.distance.run(Descend {
                    ground,
                    codes,
                    walk,
                    turns,
                    scratch,
                });
                self.distance.run(Beams {
                    ground,
                    codes,
                    walk,
                    among,
                    turns,
                    scratch,
                });
            });
        } else {
            self.walk_batch(queries, walk, among, &mut hits, k);
        }
        Ok(Hits::new(k, hits))
    }

    fn max_ef(&self) -> usize {
        crate::config::MAX_EF
    }

    /// Between a lone query, for which a scan reads every row at the speed of memory (1 to 2), and a batch, which shares
    /// each row among its queries (about 12 at 784 components), both on a Zen 5.
    fn scan_gain(&self) -> usize {
        4
    }

    fn room_for_links(&self, slots: usize, selection: &Selection) -> u64 {
        self.graph.room_for(slots, selection)
    }

    fn stage_links(&self, batch: &LinkBatch<'_>) -> Result<Staged> {
        Ok(Staged(Box::new(link::stage(self, batch)?)))
    }

    fn commit_links(&mut self, staged: Staged) -> Result<()> {
        match staged.0.downcast::<StagedLinks>() {
            Ok(links) => self.graph.commit(*links),
            Err(_) => debug_assert!(false, "these are no links staged by a CPU engine"),
        }
        Ok(())
    }

    fn links(&self, level: usize) -> Result<LevelLinks> {
        Ok(self.graph.links(level))
    }

    fn attach(&mut self, attachments: &[Attachment]) -> Result<()> {
        self.graph.attach(attachments);
        Ok(())
    }

    fn links_without_dead(
        &self,
        level: usize,
        alive: &SlotSet,
        selection: &Selection,
    ) -> Result<LevelLinks> {
        Ok(reconnect::rows(self, level, alive, selection))
    }

    fn put_links(&mut self, levels: &[u8], links: &[LevelLinks]) -> Result<()> {
        check_shape(self.layout, self.len(), levels, links)?;
        self.graph = self.graph.of(levels, links)?;
        Ok(())
    }

    fn clear_links(&mut self) -> Result<()> {
        self.graph.clear()
    }

    /// Memory is taken page by page as it is touched: there is none to spare.
    fn compact(&mut self) -> Result<u64> {
        Ok(0)
    }

    fn counters(&self) -> Counters {
        self.work.read()
    }
}
