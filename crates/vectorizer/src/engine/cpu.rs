//! The CPU engine: the fallback people run, and the oracle the GPU is checked against.
//!
//! `rows` keeps the vectors (on `pages` from the operating system), `distance` scores them, `pool` shares work among threads.
#![allow(
    dead_code,
    reason = "the graph half of the engine, which uses all of this, comes next"
)]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::{Counters, Hits, Layout, Staged};
use crate::error::Result;
use crate::gpu::memory::Ledger;
use distance::Distance;
use pool::{Pool, Purpose};
use rows::{Rows, StagedRows};

mod distance;
mod exact;
mod nearest;
mod pages;
mod pool;
mod rows;

/// Rows and links in RAM, worked on with SIMD and threads.
#[derive(Debug)]
pub struct CpuEngine {
    layout: Layout,
    ledger: Ledger,
    distance: Distance,
    rows: Rows,
    search: Pool,
    build: Pool,
    work: Work,
}

/// [`Counters`] that many threads add to.
#[derive(Debug, Default)]
struct Work {
    distances: AtomicU64,
    hops: AtomicU64,
    bytes: AtomicU64,
}

impl Work {
    fn add(&self, done: Counters) {
        self.distances.fetch_add(done.distances, Ordering::Relaxed);
        self.hops.fetch_add(done.hops, Ordering::Relaxed);
        self.bytes.fetch_add(done.bytes, Ordering::Relaxed);
    }

    fn read(&self) -> Counters {
        Counters {
            distances: self.distances.load(Ordering::Relaxed),
            hops: self.hops.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
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
    pub fn new(layout: Layout, threads: usize, ledger: Ledger) -> Result<Self> {
        Ok(Self {
            layout,
            distance: Distance::new(layout.scoring),
            rows: Rows::new(layout.dimension, ledger.clone())?,
            ledger,
            search: Pool::new(threads, Purpose::Search),
            build: Pool::new(threads, Purpose::Build),
            work: Work::default(),
        })
    }

    /// What this engine was made for.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Rows that are visible.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is visible.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies rows to where they will stay.
    ///
    /// # Errors
    /// The ledger's, or no memory.
    pub fn stage_rows(&self, rows: &[f32]) -> Result<Staged> {
        Ok(Staged(Box::new(self.rows.stage(rows)?)))
    }

    /// Makes staged rows visible.
    pub fn commit_rows(&mut self, staged: Staged) {
        match staged.0.downcast::<StagedRows>() {
            Ok(rows) => self.rows.commit(*rows),
            Err(_) => debug_assert!(false, "these are no rows staged by a CPU engine"),
        }
    }

    /// Copies rows `slots` to `out`, one after the other.
    pub fn read_rows(&self, slots: Range<u32>, out: &mut [f32]) {
        for (slot, to) in slots.zip(out.chunks_exact_mut(self.layout.dimension)) {
            to.copy_from_slice(self.rows.row(slot));
        }
    }

    /// The `min(k, slots.len())` nearest of `slots` for each query, exactly.
    #[must_use]
    pub fn exact(&self, queries: &[f32], k: usize, slots: Range<u32>) -> Hits {
        let (asked, rows) = (queries.len() / self.layout.dimension, slots.len());
        self.work.add(Counters {
            distances: (asked * rows) as u64,
            hops: 0,
            bytes: (rows * self.layout.dimension * size_of::<f32>()) as u64,
        });
        exact::search(self.distance, &self.rows, &self.search, queries, k, slots)
    }

    /// The work done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.work.read()
    }

    /// The instruction set in use, by the name it has in `VECTORIZER_SIMD`.
    #[must_use]
    pub fn instructions(&self) -> &'static str {
        self.distance.instructions().name()
    }
}
