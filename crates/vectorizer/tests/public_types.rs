//! What public types promise beside their methods: to be shared, copied, compared and shown, and a trait taken away is a broken program.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::iter::FusedIterator;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use vectorizer::collection::{
    Collection, CollectionStats, Cursor, Explanation, Fallback, FallbackKind, FilterStats, Item,
    Means, OpenOptions, Opening, Page, Step, Vectors,
};
use vectorizer::config::{
    CollectionOptions, FallbackPolicy, HnswConfig, Precision, SearchOptions, SearchPath,
};
use vectorizer::engine::{Counters, Entry, Hits, LevelLinks, Neighbor, SlotSet};
use vectorizer::error::VectorizerError;
use vectorizer::filter::{Bound, Condition, Filter, IdPredicate, Match, Number, Range, Scalar};
use vectorizer::gpu::budget::{Allocator, Budget};
use vectorizer::gpu::context::{
    Backend, Context, Device, DeviceChoice, DeviceInfo, DeviceKind, MemoryEstimate,
};
use vectorizer::gpu::memory::{Account, Label, Ledger, Watch};
use vectorizer::gpu::metal_buffer_pool::{MetalBufferPool, PoolStats};
use vectorizer::gpu::tiers::{MatrixShape, Tier};
use vectorizer::gpu::vram_monitor::{OperationStats, Standing, VramMonitor, VramReport, VramStats};
use vectorizer::hnsw::{Answer, GraphStats, HnswGraph, Progress, Topology};
use vectorizer::interop::hnswlib::{Exported, Header, Imported};
use vectorizer::interop::npy::Form;
use vectorizer::interop::{Existing, Moved};
use vectorizer::models::{DistanceMetric, Payload, SearchResult, Vector};
use vectorizer::storage::VectorStorage;
use vectorizer::store::{CheckReport, Durability, LostPayload, SalvageReport, StoreStats};

/// Asks every type after the colon for every bound before it, when this is compiled.
macro_rules! all {
    ([$($bound:path),+]: $($type:ty),+ $(,)?) => {{
        fn promised<T: $($bound +)+ ?Sized>() {}
        $(promised::<$type>();)+
    }};
}

#[test]
fn everything_goes_from_thread_to_thread_and_is_shown() {
    all!([Debug, Send, Sync, Unpin]:
        Collection, CollectionStats, Cursor, Explanation, Fallback, FallbackKind, FilterStats, Item, Means, OpenOptions,
        Opening, Page<Item>, Page<Vector>, Step, Vectors<'static>,
        CollectionOptions, FallbackPolicy, HnswConfig, Precision, SearchOptions, SearchPath,
        Counters, Entry, Hits, LevelLinks, Neighbor, SlotSet, VectorizerError,
        Bound, Condition, Filter, IdPredicate, Match, Number, Range, Scalar,
        Allocator, Budget, Backend, Context, Device, DeviceChoice, DeviceInfo, DeviceKind, MemoryEstimate,
        Account, Label, Ledger, Watch, MetalBufferPool, PoolStats, MatrixShape, Tier,
        OperationStats, Standing, VramMonitor, VramReport, VramStats,
        Answer, GraphStats, HnswGraph, Progress, Topology, VectorStorage,
        Exported, Header, Imported, Form, Existing, Moved,
        DistanceMetric, Payload, SearchResult, Vector, CheckReport, Durability, LostPayload, SalvageReport, StoreStats,
    );
}

#[test]
fn names_are_copied_compared_and_hashed() {
    all!([Copy, Eq, Hash]:
        Cursor, FallbackPolicy, Precision, SearchPath, Backend, DeviceKind, Label, Means, Form, Existing, DistanceMetric,
        Durability, Entry);
    all!([Clone, Eq, Hash]: DeviceChoice, Number, Payload, Scalar);
    all!([Display, FromStr]: DeviceChoice, DistanceMetric, Precision);
    all!([Display]: Backend, Context, Device, DeviceKind, Explanation, Label, Tier, VramReport);
    all!([Default]: DeviceChoice, Durability, Existing, FallbackPolicy, Precision, SearchPath);
}

#[test]
fn handles_are_cloned() {
    all!([Clone]: Context, Device, Ledger, MetalBufferPool, VramMonitor, IdPredicate);
}

#[test]
fn options_have_defaults() {
    all!([Clone, Default, PartialEq]: CollectionOptions, HnswConfig, OpenOptions, SearchOptions, Filter, Range);
    all!([FromStr, Serialize, DeserializeOwned]: Filter);
}

#[test]
fn what_is_said_is_compared_and_written_down() {
    all!([Clone, PartialEq, Serialize]:
        CollectionStats, Explanation, Fallback, FilterStats, Item, Page<Item>, Step, Counters, Budget, Allocator, DeviceInfo,
        MemoryEstimate, Account, Label, PoolStats, MatrixShape, Tier, OperationStats, Standing, VramReport, VramStats, GraphStats,
        CheckReport, StoreStats);
    all!([Clone, PartialEq]:
        Answer, Exported, Header, Hits, Imported, LevelLinks, Moved, Neighbor, Opening, Progress, SlotSet, Topology);
}

#[test]
fn what_goes_in_is_read_as_well() {
    all!([Clone, PartialEq, Serialize, DeserializeOwned]:
        Cursor, FallbackPolicy, HnswConfig, Precision, SearchPath, Durability, DistanceMetric, Payload, SearchResult, Vector);
}

#[test]
fn errors_go_where_errors_go() {
    all!([Error, Clone, PartialEq]: VectorizerError);
    let boxed: Box<dyn Error + Send + Sync> = VectorizerError::InvalidK.into();
    assert!(boxed.downcast_ref::<VectorizerError>().is_some());
}

#[test]
fn iterators_end_once() {
    all!([Iterator, FusedIterator]: Vectors<'static>);
}
