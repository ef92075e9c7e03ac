//! What a filter costs when its answer is still known: next to nothing, however long its lists. Alone in its program, since it counts what is allocated.
#![expect(unsafe_code, reason = "an allocator is unsafe to be")]
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, SearchOptions};
use vectorizer::filter::{Condition, Filter};
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, Vector};

/// The system's allocator, which counts the bytes it was asked for.
struct Counted;

static ASKED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: what `alloc` gave, with its layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

fn allocated<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = ASKED.load(Ordering::Relaxed);
    let result = work();
    (result, ASKED.load(Ordering::Relaxed) - before)
}

fn filled() -> Collection {
    let options = CollectionOptions {
        threads: 1,
        ..CollectionOptions::default()
    };
    let metric = DistanceMetric::Euclidean;
    let collection = Collection::with_context(&Context::cpu(), 1, metric, options).unwrap();
    let vectors: Vec<_> = (0..2_000u16)
        .map(|number| Vector {
            id: format!("vector number {number}"),
            data: vec![f32::from(number)],
            payload: Some(serde_json::json!({"tenant": number % 100}).into()),
        })
        .collect();
    collection.add_vectors_batch(vectors).unwrap();
    collection
}

/// One test: what others allocate meanwhile would be counted too.
#[test]
fn what_is_remembered_costs_nothing_and_tenants_in_turn_are_remembered() {
    let collection = filled();
    let tried = |filter: Filter| {
        let options = SearchOptions {
            filter: Some(filter),
            ..SearchOptions::default()
        };
        let first = collection.search_with(&[7.0], 5, &options).unwrap();
        let before = collection.stats().filters;
        let (again, bytes) = allocated(|| collection.search_with(&[7.0], 5, &options).unwrap());
        assert_eq!(again, first);
        let after = collection.stats().filters;
        assert_eq!(
            (
                after.reused - before.reused,
                after.evaluated - before.evaluated
            ),
            (1, 0)
        );
        // Clones are as good as the filter itself.
        let cloned = options.clone();
        let (_, of_clone) = allocated(|| collection.search_with(&[7.0], 5, &cloned).unwrap());
        bytes.max(of_clone)
    };
    let ids = |count: usize| {
        let ids = (0..count).map(|number| format!("vector number {number}"));
        Filter::must([Condition::has_id(ids)])
    };
    let values = |count: usize| {
        let values = (0..count).map(|number| i64::try_from(number).unwrap());
        Filter::must([Condition::any_of("tenant", values)])
    };
    // The lists alone are megabytes.
    for filter in [ids(100_000), values(100_000)] {
        let bytes = tried(filter);
        assert!(bytes < 64 << 10, "{bytes}");
    }
    let (valid, bytes) = allocated(|| ids(100_000).validate());
    let (_, making) = allocated(|| ids(100_000));
    assert_eq!((valid, bytes), (Ok(()), making));

    // Three rounds of fifty tenants: the first round finds out.
    let tenants = |count: i64, rounds: u64| {
        let before = collection.stats().filters;
        for _ in 0..rounds {
            for tenant in 0..count {
                let filter = Filter::must([Condition::equals("tenant", tenant)]);
                assert_eq!(collection.count(&filter).unwrap(), 20);
            }
        }
        let after = collection.stats().filters;
        (
            after.evaluated - before.evaluated,
            after.reused - before.reused,
        )
    };
    collection
        .set_payload(
            "vector number 0",
            vectorizer::models::Payload(serde_json::json!({"tenant": 0})),
        )
        .unwrap();
    assert_eq!(tenants(9, 10), (9, 81));
    assert_eq!(tenants(50, 3), (41, 109));

    // The one that is asked all the time stays, whatever else comes by.
    let often = Filter::must([Condition::equals("tenant", 99)]);
    collection.count(&often).unwrap();
    let before = collection.stats().filters;
    for other in 0..300 {
        let other = Filter::must([Condition::has_id([format!("vector number {other}")])]);
        assert_eq!(collection.count(&other).unwrap(), 1);
        assert_eq!(collection.count(&often).unwrap(), 20);
    }
    let after = collection.stats().filters;
    assert_eq!(
        (
            after.evaluated - before.evaluated,
            after.reused - before.reused
        ),
        (300, 300)
    );
}
