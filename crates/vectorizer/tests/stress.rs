//! Sixteen threads on one collection: searching, adding, deleting, taking out the dead and reading the monitor, on every engine.
//! Afterwards every figure has to add up, and every byte to be back.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what helps a test fails as the test does, and its figures are of interest"
)]

mod support;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::{contexts, random_rows, vectors};
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, FallbackPolicy, SearchOptions};
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
use vectorizer::gpu::memory::{Account, Label};
use vectorizer::gpu::metal_buffer_pool::MetalBufferPool;
use vectorizer::gpu::vram_monitor::VramMonitor;
use vectorizer::models::{DistanceMetric, SearchResult, Vector};

const DIMENSION: usize = 24;
const THREADS: usize = 16;
/// Vectors that are there from the beginning, and stay.
const FIRST: usize = 500;
/// Vectors of its own that a writer leaves alone before it deletes the oldest.
const KEPT: u64 = 12;

/// So many seconds of it in the place of a fixed number of rounds; `scripts/stress` sets it.
const SECONDS_VARIABLE: &str = "VECTORIZER_STRESS_SECONDS";

/// When a thread has done enough.
struct Work {
    rounds: u64,
    until: Option<Instant>,
}

impl Work {
    fn new(rounds: u64) -> Self {
        let seconds = std::env::var(SECONDS_VARIABLE).ok();
        let until = seconds.map(|text| Instant::now() + Duration::from_secs(text.parse().unwrap()));
        Self { rounds, until }
    }

    fn goes_on(&self, round: u64) -> bool {
        match self.until {
            Some(until) => Instant::now() < until,
            None => round < self.rounds,
        }
    }
}

/// What the threads share.
struct Stress<'a> {
    collection: &'a Collection,
    monitor: &'a VramMonitor,
    /// Of each writer: those of its vectors with a smaller number are deleted.
    gone: [AtomicU64; THREADS],
    alive: AtomicUsize,
    changes: AtomicUsize,
    searches: AtomicUsize,
    looks: AtomicUsize,
}

/// The writer and the number in an id that a writer made.
fn writer_of(id: &str) -> Option<(usize, u64)> {
    let (thread, number) = id.split_once('-')?;
    Some((thread.parse().unwrap(), number.parse().unwrap()))
}

impl Stress<'_> {
    /// Adds one, replaces it, deletes an old one; now and then takes the dead out.
    fn write(&self, thread: usize, round: u64) {
        let data = random_rows(1000 * thread as u64 + round, 1, DIMENSION);
        let vector = |data: &[f32]| Vector {
            id: format!("{thread}-{round}"),
            data: data.to_vec(),
            payload: Some(json!({ "writer": thread }).into()),
        };
        if round.is_multiple_of(3) {
            let other = random_rows(round, 1, DIMENSION);
            self.collection.add_vector(vector(&other)).unwrap();
            self.collection.upsert_vector(vector(&data)).unwrap();
        } else {
            self.collection.add_vector(vector(&data)).unwrap();
        }
        self.alive.fetch_add(1, Ordering::Relaxed);
        let found = self.collection.search(&data, 1).unwrap();
        assert!(found[0].distance <= 0.0, "what was added is found");
        if round >= KEPT {
            let oldest = round - KEPT;
            self.collection
                .delete(&format!("{thread}-{oldest}"))
                .unwrap();
            self.gone[thread].store(oldest + 1, Ordering::Release);
            self.alive.fetch_sub(1, Ordering::Relaxed);
        }
        if thread == 0 && round % 16 == 15 {
            self.collection.optimize().unwrap();
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing that was deleted before the search began is found.
    fn search(&self, thread: usize, round: u64) {
        let gone = self
            .gone
            .each_ref()
            .map(|gone| gone.load(Ordering::Acquire));
        let query = random_rows(7 * thread as u64 + round, 3, DIMENSION);
        let right = |hits: &[SearchResult]| {
            let dead = |hit: &SearchResult| {
                writer_of(&hit.id).is_some_and(|(writer, number)| number < gone[writer])
            };
            assert!(!hits.iter().any(dead), "{gone:?}: {hits:?}");
        };
        if round.is_multiple_of(2) {
            let queries: Vec<&[f32]> = query.chunks(DIMENSION).collect();
            let found = self.collection.search_batch(&queries, 10).unwrap();
            assert!(found.iter().all(|hits| hits.len() == 10));
            found.iter().for_each(|hits| right(hits));
        } else {
            let wanted = thread % 4 * 4;
            let number = i64::try_from(wanted).unwrap();
            let options = SearchOptions {
                filter: Some(Filter::must([Condition::equals("writer", number)])),
                ..SearchOptions::default()
            };
            let found = self
                .collection
                .search_with(&query[..DIMENSION], 10, &options)
                .unwrap();
            let of = |hit: &SearchResult| writer_of(&hit.id).map(|(writer, _)| writer);
            assert!(found.iter().all(|hit| of(hit) == Some(wanted)));
            right(&found);
        }
        self.searches.fetch_add(1, Ordering::Relaxed);
    }

    fn watch(&self) {
        let (stats, operation) = self.monitor.monitor_operation(|| self.collection.stats());
        assert!(operation.peak >= operation.before.max(operation.after));
        assert!(stats.vector_count >= FIRST);
        self.monitor.validate_all_vram().unwrap();
        let report = self.monitor.generate_vram_report();
        assert!(!report.to_prometheus().is_empty());
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    fn run(&self, thread: usize, work: &Work) {
        for round in (0..).take_while(|round| work.goes_on(*round)) {
            match thread % 4 {
                0 => self.write(thread, round),
                1 | 2 => self.search(thread, round),
                _ => self.watch(),
            }
        }
    }
}

fn stress(context: &Context) {
    let whole = context.device().whole_ledger().clone();
    let at_first = whole.total();
    let own = context.with_limit(Some(1 << 30));
    let device = own.device();
    let options = CollectionOptions {
        fallback: FallbackPolicy::Forbid,
        ..CollectionOptions::default()
    };
    let metric = DistanceMetric::Euclidean;
    let collection = Collection::with_context(&own, DIMENSION, metric, options).unwrap();
    let first = vectors(&random_rows(1, FIRST, DIMENSION), DIMENSION);
    collection.add_vectors_batch(first).unwrap();
    collection.create_payload_index("writer").unwrap();
    collection.optimize().unwrap();
    let stress = Stress {
        collection: &collection,
        monitor: &VramMonitor::new(device.clone()),
        gone: Default::default(),
        alive: AtomicUsize::new(FIRST),
        changes: AtomicUsize::default(),
        searches: AtomicUsize::default(),
        looks: AtomicUsize::default(),
    };
    // A software adapter is slow.
    let work = Work::new(if device.is_cpu() { 100 } else { 20 });
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (stress, work) = (&stress, &work);
            scope.spawn(move || stress.run(thread, work));
        }
    });
    let [changes, searches, looks] = [&stress.changes, &stress.searches, &stress.looks]
        .map(|count| count.load(Ordering::Relaxed));
    println!("{context}: {changes} changes, {searches} searches, {looks} looks");
    assert!(changes > 0 && searches > 0 && looks > 0);

    // What is there is what the writers left.
    let alive = stress.alive.load(Ordering::Relaxed);
    assert_eq!(collection.vector_count(), alive);
    let gone = stress
        .gone
        .each_ref()
        .map(|gone| gone.load(Ordering::Relaxed));
    let mut counted = 0;
    for item in collection.vectors(None) {
        let item = item.unwrap();
        assert!(writer_of(&item.id).is_none_or(|(writer, number)| number >= gone[writer]));
        counted += 1;
    }
    assert_eq!(counted, alive);
    collection.optimize().unwrap();
    collection.check().unwrap();

    // And so are the books.
    let pool = MetalBufferPool::new(device.clone()).get_memory_stats();
    assert_eq!(pool.bytes_in_use, 0, "{pool:?}");
    let (total, by_label) = device.ledger().statement();
    let sum = |figure: fn(&Account) -> u64| {
        by_label
            .iter()
            .map(|(_, account)| figure(account))
            .sum::<u64>()
    };
    assert_eq!(
        (sum(|a| a.taken), sum(|a| a.used), sum(|a| a.count)),
        (total.taken, total.used, total.count)
    );
    let of = |label| device.ledger().account(label).taken;
    assert_eq!(of(Label::Pool), pool.bytes_kept);
    let stats = collection.stats();
    assert_eq!(
        stats.row_bytes + stats.graph_bytes,
        total.taken - pool.bytes_kept - of(Label::Kernels)
    );
    drop(collection);
    MetalBufferPool::new(device.clone()).compact();
    assert_eq!(device.ledger().total().taken, 0);
    let at_last = whole.total();
    assert_eq!(
        (at_last.taken, at_last.count),
        (at_first.taken, at_first.count)
    );
}

#[test]
fn sixteen_threads_search_change_and_watch_and_the_figures_add_up() {
    contexts().iter().for_each(stress);
}
