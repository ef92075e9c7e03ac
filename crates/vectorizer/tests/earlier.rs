//! Stores that an earlier commit wrote: they open, answer as they did, and the files of their graphs are used, not built again.
//!
//! Each is a folder in `fixtures/stores`. `VECTORIZER_WRITE_STORES=NAME` writes more of them, by the code there is then, before a change of the
//! files' format; what is there is never written again.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "what helps a test fails as the test does; scores are exact"
)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use support::{METRICS, integer_rows, sign_rows};
use vectorizer::collection::{Collection, OpenOptions, Opening};
use vectorizer::config::{
    CollectionOptions, FullRows, HnswConfig, Precision, SearchOptions, SearchPath,
};
use vectorizer::filter::Filter;
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, Payload, Vector};
use vectorizer::store::Durability;

/// Signs of so many components have a length that is a power of two: unit vectors are exact, and so is every score.
const DIMENSION: usize = 16;
const LINKED: usize = 500;
const TAIL: usize = 30;
const TAGS: [&str; 3] = ["red", "green", "blue"];
/// Wider than there are vectors: a walk finds what there is.
const WIDE: usize = 600;

/// What a store held, and what it answered.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    metric: DistanceMetric,
    linked: usize,
    payload_indexes: Vec<String>,
    payloads: BTreeMap<String, Value>,
    /// For each query and filter the ids, nearest first, and their distances.
    answers: Vec<Vec<(String, f32)>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores")
}

fn rows(metric: DistanceMetric, seed: u64, count: usize) -> Vec<f32> {
    if metric == DistanceMetric::Cosine {
        sign_rows(seed, count, DIMENSION)
    } else {
        integer_rows(seed, count, DIMENSION)
    }
}

fn vectors(metric: DistanceMetric, seed: u64, count: usize, prefix: &str) -> Vec<Vector> {
    let mut rows = rows(metric, seed, count);
    // The last are copies of the first.
    rows.copy_within(..10 * DIMENSION, (count - 10) * DIMENSION);
    let rows = rows.chunks_exact(DIMENSION).enumerate();
    let vector = |(number, row): (usize, &[f32])| Vector {
        id: format!("{prefix}{number}"),
        data: row.to_vec(),
        payload: (number % 3 != 0).then(|| {
            Payload(json!({
                "number": number,
                "tag": TAGS[number % 5 % 3],
                "deep": {"list": [1, -2.5, "\u{fc}", null, true], "big": u64::MAX},
                "when": format!("2026-01-{:02}T03:04:05Z", 1 + number % 28),
            }))
        }),
    };
    rows.map(vector).collect()
}

fn filters() -> [Option<Filter>; 4] {
    [
        Value::Null,
        json!({"must": [{"key": "tag", "match": {"value": "red"}}]}),
        json!({"must": [{"key": "number", "range": {"gte": 100, "lt": 300}}]}),
        json!({"must_not": [{"key": "when", "range": {"gte": "2026-01-10T00:00:00Z"}}], "must": [{"key": "deep.big", "match": {"value": u64::MAX}}]}),
    ]
    .map(|filter| (!filter.is_null()).then(|| serde_json::from_value(filter).unwrap()))
}

/// What a collection has and says, by comparing everything; walks of so wide a beam find the same.
fn known(collection: &Collection) -> Known {
    let metric = collection.metric();
    let queries = rows(metric, 9, 5);
    let mut answers = Vec::new();
    for query in queries.chunks_exact(DIMENSION) {
        for filter in filters() {
            let [graph, exact] = [SearchPath::Graph, SearchPath::Exact].map(|path| {
                let options = SearchOptions {
                    path,
                    ef: Some(WIDE),
                    filter: filter.clone(),
                    ..SearchOptions::default()
                };
                let hits = collection.search_with(query, 12, &options).unwrap();
                let hits = hits.into_iter().map(|hit| (hit.id, hit.distance));
                hits.collect::<Vec<_>>()
            });
            // A walk over quantized vectors may lose one of several that are equally far.
            let same = graph.iter().filter(|hit| exact.contains(hit)).count();
            let lost = usize::from(collection.options().precision != Precision::F32);
            assert!(same + lost >= exact.len(), "{graph:?} {exact:?}");
            answers.push(exact);
        }
    }
    let payloads = collection.vectors(None).map(|vector| {
        let vector = vector.unwrap();
        let id = vector.id.clone();
        let vector = collection.get_vector(&id).unwrap();
        (id, vector.payload.map_or(Value::Null, |payload| payload.0))
    });
    Known {
        metric,
        linked: collection.stats().graph.linked,
        payloads: payloads.collect(),
        payload_indexes: collection.payload_indexes(),
        answers,
    }
}

/// A collection with a past: replaced, deleted, indexed, with a tail.
fn write(path: &Path, metric: DistanceMetric, precision: Precision, full_rows: FullRows) -> Known {
    let options = CollectionOptions {
        hnsw: HnswConfig {
            max_connections: 6,
            ef_construction: 40,
            ..HnswConfig::default()
        },
        seed: 77,
        threads: 1,
        precision,
        full_rows,
        ..CollectionOptions::default()
    };
    let context = Context::cpu();
    let every = Durability::EveryBatch;
    let collection =
        Collection::create_with(path, &context, DIMENSION, metric, options, every).unwrap();
    let first = vectors(metric, 1, LINKED, "vector ");
    collection.add_vectors_batch(first).unwrap();
    collection.optimize().unwrap();
    collection.create_payload_index("tag").unwrap();
    collection
        .add_vectors_batch(vectors(metric, 2, TAIL, "tail "))
        .unwrap();
    collection
        .upsert_vectors_batch(vectors(metric, 3, 20, "vector "))
        .unwrap();
    collection
        .delete_batch(&["vector 100", "vector 101", "tail 4"])
        .unwrap();
    collection
        .set_payload("vector 200", Payload(json!({"number": 250})))
        .unwrap();
    collection.set_payload("vector 202", None).unwrap();
    collection.flush().unwrap();
    let known = known(&collection);
    collection.close().unwrap();
    known
}

fn pack(from: &Path, to: &Path) {
    let mut out = GzEncoder::new(File::create_new(to).unwrap(), Compression::best());
    out.write_all(&fs::read(from).unwrap()).unwrap();
    out.finish().unwrap();
}

fn unpack(from: &Path, to: &Path) {
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(from).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    fs::write(to, bytes).unwrap();
}

const FILES: [&str; 2] = ["collection.redb", "graph.snapshot"];

fn write_all(name: &str) {
    let device = FullRows::Device;
    let forms = [
        (Precision::F32, device),
        (Precision::F16, device),
        (Precision::Int8, device),
        (Precision::Int8, FullRows::Ram),
    ];
    for metric in METRICS {
        for (precision, full_rows) in forms {
            let scratch = tempfile::tempdir().unwrap();
            let known = write(scratch.path(), metric, precision, full_rows);
            let place = folder().join(format!("{name}-{metric}-{precision}-{full_rows}"));
            fs::create_dir_all(&place).unwrap();
            for file in FILES {
                pack(
                    &scratch.path().join(file),
                    &place.join(format!("{file}.gz")),
                );
            }
            let known = serde_json::to_vec(&known).unwrap();
            fs::write(scratch.path().join("known"), known).unwrap();
            pack(&scratch.path().join("known"), &place.join("known.json.gz"));
        }
    }
}

#[test]
fn stores_of_earlier_commits_open_and_answer_as_they_did() {
    if let Some(name) = std::env::var_os("VECTORIZER_WRITE_STORES") {
        write_all(&name.to_string_lossy());
    }
    let stores = fs::read_dir(folder()).unwrap();
    let stores: Vec<PathBuf> = stores.map(|entry| entry.unwrap().path()).collect();
    assert!(stores.len() >= 12, "{} stores", stores.len());
    for store in stores {
        let scratch = tempfile::tempdir().unwrap();
        for file in FILES {
            unpack(
                &store.join(format!("{file}.gz")),
                &scratch.path().join(file),
            );
        }
        unpack(&store.join("known.json.gz"), &scratch.path().join("known"));
        let before: Known =
            serde_json::from_slice(&fs::read(scratch.path().join("known")).unwrap()).unwrap();
        fs::remove_file(scratch.path().join("known")).unwrap();
        let case = store.display();
        let report = Collection::check_files(scratch.path()).unwrap();
        assert_eq!(
            (report.problems, report.will_be_rebuilt),
            (vec![], vec![]),
            "{case}"
        );
        let mut linked = false;
        let options = OpenOptions::default();
        let opened = Collection::open_with(scratch.path(), &Context::cpu(), options, |now| {
            linked |= matches!(now, Opening::Linking(_));
            ControlFlow::Continue(())
        });
        let opened = opened.unwrap();
        assert!(!linked, "{case}: its graph was built again");
        opened.check().unwrap();
        let now = known(&opened);
        assert_eq!(now, before, "{case}");
        // And it goes on from there.
        let more = vectors(opened.metric(), 4, 40, "more ");
        opened.add_vectors_batch(&more).unwrap();
        opened.optimize().unwrap();
        opened.check().unwrap();
        let found = opened.search(&more[7].data, 1).unwrap();
        assert_eq!(
            found[0].distance,
            known_distance(opened.metric(), &more[7]),
            "{case}"
        );
    }
}

/// Of a vector to itself.
fn known_distance(metric: DistanceMetric, vector: &Vector) -> f32 {
    let squared: f32 = vector.data.iter().map(|x| x * x).sum();
    match metric {
        DistanceMetric::DotProduct => -squared,
        _ => 0.0,
    }
}
