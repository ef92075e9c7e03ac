//! Parquet files that claim more than they hold: refused, or read, without memory that would be out of proportion. Alone in its program, since it counts
//! all memory there is; so the two tests take turns.
#![cfg(feature = "parquet")]
#![expect(unsafe_code, reason = "an allocator is unsafe to be")]
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::{
    ArrayRef, ListArray, RecordBatch, StringArray, types::Float32Type, types::Int64Type,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use vectorizer::collection::Collection;
use vectorizer::config::{CollectionOptions, HnswConfig};
use vectorizer::gpu::context::Context;
use vectorizer::interop::{self, Existing};
use vectorizer::models::DistanceMetric;

/// The system's allocator, which remembers the most that was taken at a time.
struct Counted;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static TURN: Mutex<()> = Mutex::new(());

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: what `alloc` gave, with its layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTED: Counted = Counted;

/// What reading a file of a few KiB may take.
const PROPORTION: usize = 128 << 20;

fn read(path: &Path) -> Result<usize, String> {
    let options = CollectionOptions {
        hnsw: HnswConfig {
            max_connections: 2,
            ..HnswConfig::default()
        },
        threads: 1,
        ..CollectionOptions::default()
    };
    let metric = DistanceMetric::Euclidean;
    let collection = Collection::with_context(&Context::cpu(), 2, metric, options).unwrap();
    let go = |_| ControlFlow::Continue(());
    interop::parquet::import(&collection, path, Existing::Replace, go).map_err(|e| e.to_string())
}

fn write(path: &Path, options: ArrowWriterOptions) {
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..40).map(|i| format!("id{i}")),
    ));
    let vectors = (0..40u8).map(|i| Some([Some(f32::from(i)), Some(0.5)]));
    let vectors: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(vectors));
    let tags = (0..40).map(|i| (i % 3 > 0).then(|| vec![Some(i), None, Some(7)]));
    let tags: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(tags));
    let columns = [("id", ids), ("vector", vectors), ("tags", tags)];
    let rows =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true))).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(file, rows.schema(), options).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

#[test]
fn numbers_that_lie_take_no_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The reader's crates may panic, which an import turns into an error; fifty thousand reports of it would hide everything else.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = std::panic::catch_unwind(numbers_that_lie);
    drop(std::panic::take_hook());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn numbers_that_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let brotli = Compression::BROTLI(BrotliLevel::default());
    let files = [
        (Compression::UNCOMPRESSED, None),
        (Compression::SNAPPY, None),
        (zstd, None),
        (Compression::GZIP(GzipLevel::default()), None),
        (Compression::LZ4_RAW, None),
        (brotli, None),
        (brotli, Some(Encoding::DELTA_BYTE_ARRAY)),
        (zstd, Some(Encoding::DELTA_LENGTH_BYTE_ARRAY)),
        (Compression::SNAPPY, Some(Encoding::DELTA_BYTE_ARRAY)),
    ];
    let mut refused = 0;
    for (at, (codec, kind)) in files.into_iter().enumerate() {
        let version = if kind.is_some() {
            WriterVersion::PARQUET_2_0
        } else {
            WriterVersion::PARQUET_1_0
        };
        let mut properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version);
        if let Some(kind) = kind {
            properties = properties
                .set_dictionary_enabled(false)
                .set_column_encoding("id".into(), kind);
        }
        // The schema in Arrow's own words and the statistics are half of a file, and the same in all: one file has them.
        let bare = at > 0;
        if bare {
            properties = properties.set_statistics_enabled(EnabledStatistics::None);
        }
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(bare);
        write(&path, options);
        assert_eq!(read(&path), Ok(40), "{codec:?}, {kind:?}");
        let whole = fs::read(&path).unwrap();
        // The largest that a page's header can say, as it says it; the largest there is in the lists of lengths; lists of two thousand million
        // numbers, and of as many truth values, which some readers take for nothing.
        let lies: [&[u8]; 4] = [
            &[0xfe, 0xff, 0xff, 0xff, 0x0f],
            &[0xff, 0xff, 0xff, 0xff, 0x3f],
            &[0x19, 0xf7, 0xff, 0xff, 0xff, 0xff, 0x07],
            &[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07],
        ];
        for lie in lies {
            for at in 4..whole.len() {
                for replaced in [1, 2, lie.len()] {
                    let after = (at + replaced).min(whole.len());
                    let bytes = [&whole[..at], lie, &whole[after..]].concat();
                    fs::write(&path, bytes).unwrap();
                    let before = NOW.load(Ordering::Relaxed);
                    PEAK.store(before, Ordering::Relaxed);
                    refused += usize::from(read(&path).is_err());
                    let peak = PEAK.load(Ordering::Relaxed) - before;
                    assert!(
                        peak <= PROPORTION,
                        "{codec:?}, {kind:?}: {lie:x?} at {at} for {replaced}: {peak} bytes"
                    );
                }
            }
        }
    }
    assert!(refused > 10_000, "only {refused} of the lies were seen");
}

/// A list of three million equal numbers takes a few bytes in a file, and a value of JSON for each in memory.
#[test]
fn a_page_that_repeats_one_value_too_often_is_refused() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let of = |elements: usize| {
        let tags = vec![Some(vec![Some(0); elements])];
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(StringArray::from(vec!["a"]))),
            (
                "vector",
                Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>([Some(
                    [Some(1.0), Some(2.0)],
                )])),
            ),
            (
                "tags",
                Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(tags)),
            ),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        read(&path)
    };
    assert_eq!(of(100_000), Ok(1));
    let error = of(3_000_000).unwrap_err();
    assert!(
        error.contains("tags") && error.contains("says that it has 3000000 values"),
        "{error}"
    );
}

/// A page of 24 MiB of nothing, packed into some KiB, whose header says that it is a page of little more than one.
#[test]
fn a_page_that_goes_on_past_its_size_takes_no_memory() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    // As many bytes of a number in the header: 4.
    const PAGE: usize = 24 << 20;
    const SAID: usize = 1_200_000;
    for (codec, version) in [
        (
            Compression::GZIP(GzipLevel::default()),
            WriterVersion::PARQUET_1_0,
        ),
        (
            Compression::BROTLI(BrotliLevel::default()),
            WriterVersion::PARQUET_1_0,
        ),
        (
            Compression::BROTLI(BrotliLevel::default()),
            WriterVersion::PARQUET_2_0,
        ),
        (
            Compression::GZIP(GzipLevel::default()),
            WriterVersion::PARQUET_2_0,
        ),
    ] {
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_writer_version(version)
            .set_dictionary_enabled(false)
            .set_encoding(Encoding::PLAIN)
            .set_data_page_size_limit(2 * PAGE)
            .build();
        let text = "a".repeat(PAGE);
        let vectors = [Some([Some(1.0), Some(2.0)])];
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(StringArray::from(vec!["a"]))),
            (
                "vector",
                Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(vectors)),
            ),
            ("text", Arc::new(StringArray::from(vec![text]))),
        ];
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(
            File::create(&path).unwrap(),
            rows.schema(),
            Some(properties),
        )
        .unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        drop(rows);
        assert_eq!(read(&path), Ok(1), "{codec:?}");
        let mut bytes = fs::read(&path).unwrap();
        let number = |size: usize| -> Vec<u8> {
            let zigzag = 2 * size;
            (0..4)
                .map(|place| {
                    let more = if place < 3 { 0x80 } else { 0 };
                    u8::try_from(zigzag >> (7 * place) & 0x7f).unwrap() | more
                })
                .collect()
        };
        // The length of the text stands before it.
        let true_size = number(PAGE + 4);
        let at = bytes.windows(4).position(|window| window == true_size);
        let at = at.expect("a page with this size");
        bytes[at..at + 4].copy_from_slice(&number(SAID));
        fs::write(&path, bytes).unwrap();
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let error = read(&path).unwrap_err();
        let peak = PEAK.load(Ordering::Relaxed) - before;
        assert!(error.contains("goes on after that"), "{error}");
        assert!(peak < PAGE / 2, "{codec:?}: {peak} bytes");
    }
}
