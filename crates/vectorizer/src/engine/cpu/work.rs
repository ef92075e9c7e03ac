//! The work behind the clock: scores computed, rows of links read, bytes of both.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::Counters;

/// [`Counters`] that many threads add to.
#[derive(Debug, Default)]
pub(super) struct Work {
    distances: AtomicU64,
    hops: AtomicU64,
    bytes: AtomicU64,
}

impl Work {
    pub(super) fn add(&self, done: Counters) {
        self.distances.fetch_add(done.distances, Ordering::Relaxed);
        self.hops.fetch_add(done.hops, Ordering::Relaxed);
        self.bytes.fetch_add(done.bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counters {
        Counters {
            distances: self.distances.load(Ordering::Relaxed),
            hops: self.hops.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
