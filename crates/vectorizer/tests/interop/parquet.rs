//! Parquet files.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::arrow::arrow_writer::ArrowWriterOptions;
use arrow_array::types::Float32Type;
use arrow_array::{
    Array as _, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_schema::Field;
use vectorizer::collection::OpenOptions;
use vectorizer::interop::Existing;
use vectorizer::interop::parquet::{self, ParquetOptions};
use vectorizer::models::MAX_PAYLOAD_DEPTH;
use vectorizer::store::Durability;

use super::*;

#[test]
fn parquet_brings_back_what_went_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.parquet");
    let collection = empty(2, DistanceMetric::Cosine, 16);
    collection.add_vectors_batch(varied()).unwrap();
    assert_eq!(parquet::export(&collection, &path, go).unwrap(), 506);
    let back = empty(2, DistanceMetric::Cosine, 16);
    assert_eq!(
        parquet::import(&back, &path, Existing::Refuse, go).unwrap(),
        506
    );
    assert_eq!(all(&back), varied());
    let other = empty(3, DistanceMetric::Cosine, 16);
    let error = parquet::import(&other, &path, Existing::Refuse, go)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("row 0: ") && error.contains("expected 3 components"),
        "{error}"
    );
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(whole.len() / 50) {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = parquet::import(&back, &path, Existing::Replace, go).unwrap_err();
        assert!(
            matches!(error, VectorizerError::FileRefused { .. }),
            "{cut}: {error}"
        );
    }
}

/// Written by Polars 2.1: strings, a list of float64, a date, a timestamp, a struct, a categorical, nulls.
#[test]
fn columns_become_members_of_the_payload() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/columns.parquet");
    let collection = empty(2, DistanceMetric::Euclidean, 16);
    assert_eq!(
        parquet::import(&collection, &path, Existing::Refuse, go).unwrap(),
        2
    );
    let expected = [
        vector(
            "1",
            &[0.5, 1.0],
            Some(json!({
                "day": "2024-05-01", "at": "2024-05-01T12:00:00.25Z", "place": {"city": "Rome", "zip": 100},
                "kind": "a", "tags": ["x", "y"], "score": 0.5,
            })),
        ),
        vector("2", &[1.5, 2.0], Some(json!({"kind": "b", "tags": []}))),
    ];
    assert_eq!(all(&collection), expected);
}

/// A file with these columns, written by the Arrow project's own crates. They take more stack for deep ones than a test has, and keep no
/// such schema of Arrow's.
fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let work = || {
        let file = fs::File::create(path).unwrap();
        let options = ArrowWriterOptions::new().with_skip_arrow_metadata(true);
        let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(256 << 20);
        thread.spawn_scoped(scope, work).unwrap().join().unwrap();
    });
}

fn texts(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

/// Vectors of so many components, which differ from each other.
fn components(count: usize, dimension: usize) -> ArrayRef {
    let row = |place| (0..dimension).map(move |step| Some(component(place, step)));
    let rows = (0..count).map(|place| Some(row(place)));
    Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows))
}

fn component(place: usize, step: usize) -> f32 {
    place as f32 + step as f32 / 65_536.0
}

/// A column of structs in each other.
fn structs(levels: usize) -> ArrayRef {
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    (0..levels).fold(one, |inner, _| {
        let field = Field::new("a", inner.data_type().clone(), true);
        Arc::new(StructArray::from(vec![(Arc::new(field), inner)]))
    })
}

#[test]
fn structs_deeper_than_payloads_may_be_are_refused_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.parquet");
    let place = folder.path().join("collection");
    let (metric, durability) = (DistanceMetric::Euclidean, Durability::EveryBatch);
    let collection = Collection::create_with(
        &place,
        &Context::cpu(),
        1,
        metric,
        CollectionOptions::default(),
        durability,
    )
    .unwrap();
    collection.add_vector(vector("good", &[1.0], None)).unwrap();
    // The column is a member of the payload, which is one level more.
    for levels in [
        MAX_PAYLOAD_DEPTH - 1,
        MAX_PAYLOAD_DEPTH,
        2 * MAX_PAYLOAD_DEPTH,
        200,
    ] {
        write(
            &path,
            vec![
                ("id", texts(&["deep"])),
                ("vector", components(1, 1)),
                ("p", structs(levels)),
            ],
        );
        let done = parquet::import(&collection, &path, Existing::Replace, go);
        if levels < MAX_PAYLOAD_DEPTH {
            assert_eq!(done.unwrap(), 1);
            continue;
        }
        if levels > 2 * MAX_PAYLOAD_DEPTH {
            let error = done.unwrap_err().to_string();
            assert!(
                error.contains("column \"p\": expected at most 64 lists and structs"),
                "{error}"
            );
            continue;
        }
        let VectorizerError::InFile { place, error, .. } = done.unwrap_err() else {
            panic!("{levels}")
        };
        assert_eq!(place, "row 0");
        assert!(
            matches!(&*error, VectorizerError::InvalidPayload { id, .. } if id == "deep"),
            "{error}"
        );
    }
    // Written by Arrow's C++ library: 127 in each other.
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deep127.parquet");
    let wide = empty(2, metric, 16);
    let error = parquet::import(&wide, &fixture, Existing::Replace, go).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("row 0: the payload of \"x\" cannot be kept"),
        "{error}"
    );
    collection.close().unwrap();
    let problems = Collection::check_files(&place).unwrap().problems;
    assert_eq!(problems, Vec::<String>::new());
    let go_on = |_| ControlFlow::Continue(());
    let reopened =
        Collection::open_with(&place, &Context::cpu(), OpenOptions::default(), go_on).unwrap();
    assert_eq!(reopened.vector_count(), 2);
}

#[test]
fn payload_text_is_read_as_strictly_as_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.parquet");
    let collection = empty(1, DistanceMetric::Euclidean, 16);
    for (text, words) in [
        (
            "{\"o\": {\"k\": 1, \"k\": 2}}",
            "the field \"k\" stands twice",
        ),
        (
            "[123456789012345678901234567890]",
            "expected a whole number from",
        ),
        ("[1e400]", "expected a finite number"),
        ("{\"a\"", "expected JSON"),
        (
            "{\"n\": 1}",
            "\"payload\", or a column before, has a member of that name already",
        ),
        (&"[".repeat(100_000), "row 1: column \"payload\""),
    ] {
        write(
            &path,
            vec![
                ("id", texts(&["a", "b"])),
                ("vector", components(2, 1)),
                ("payload", texts(&["{}", text])),
                ("n", Arc::new(Int64Array::from(vec![1, 2]))),
            ],
        );
        let error = parquet::import(&collection, &path, Existing::Replace, go).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("row 1: ") && error.contains(words),
            "{text}: {error}"
        );
        assert_eq!(collection.vector_count(), 0);
    }
    // As pandas writes what is none.
    write(
        &path,
        vec![
            ("id", texts(&["a", "b"])),
            ("vector", components(2, 1)),
            ("payload", texts(&["{}", "null"])),
            ("n", Arc::new(Int64Array::from(vec![1, 2]))),
        ],
    );
    parquet::import(&collection, &path, Existing::Replace, go).unwrap();
    let payload = collection.get_vector("b").unwrap().payload;
    assert_eq!(payload, Some(Payload(json!({"n": 2}))));
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Written by pyarrow 26: the same rows, in pages of either version.
#[test]
fn every_codec_is_read() {
    for codec in ["gzip", "lz4", "brotli"] {
        let path = fixture(&format!("pyarrow-{codec}.parquet"));
        let collection = empty(2, DistanceMetric::Euclidean, 16);
        let read = parquet::import(&collection, &path, Existing::Refuse, go);
        assert_eq!(read, Ok(300), "{codec}");
        for (number, found) in (0u16..).zip(all(&collection)) {
            let kind = ["a", "b", "a"][usize::from(number % 3)];
            let mut payload = json!({ "kind": kind });
            if number % 3 > 0 {
                payload["n"] = number.into();
            }
            let data = [f32::from(number % 7), f32::from(number) * 0.5];
            assert_eq!(
                found,
                vector(&format!("id{number}"), &data, Some(payload)),
                "{codec}"
            );
        }
    }
}

fn columns(id: &str, vector: &str, columns: &[&str]) -> ParquetOptions {
    ParquetOptions {
        id_column: id.to_owned(),
        vector_column: vector.to_owned(),
        columns: Some(columns.iter().map(|name| (*name).to_owned()).collect()),
        ..ParquetOptions::default()
    }
}

/// Written by pyarrow 26, as all that follow: lists of every kind of number, a number that is missing the way pandas says it, an infinity, a decimal.
#[test]
fn columns_are_chosen_and_vectors_are_of_any_numbers() {
    let path = fixture("pyarrow-kinds.parquet");
    for (name, first) in [
        ("f16", 0.5),
        ("i8", -128.0),
        ("u8", 255.0),
        ("f64", 0.1),
        ("i64", 7.0),
    ] {
        let collection = empty(2, DistanceMetric::Euclidean, 16);
        let chosen = columns("key", name, &["ok", "kind"]);
        let read = parquet::import_with(&collection, &path, &chosen, go).unwrap();
        assert_eq!((read.vectors, read.left_out), (3, 0), "{name}");
        let expected = [
            vector("10", &[first, 0.0], Some(json!({"ok": true, "kind": "a"}))),
            vector("11", &[first, 1.0], Some(json!({"ok": false}))),
            vector("12", &[first, 2.0], Some(json!({"kind": "b"}))),
        ];
        assert_eq!(all(&collection), expected, "{name}");
    }
}

#[test]
fn an_id_twice_in_a_table_is_replaced_or_refused_near_and_far() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.parquet");
    // 64 vectors of this dimension make a batch.
    let dimension = 1 << 15;
    for between in [0, 63, 150] {
        let mut ids: Vec<String> = (0..between).map(|id| id.to_string()).collect();
        ids.insert(0, "twice".to_owned());
        ids.push("twice".to_owned());
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        write(
            &path,
            vec![
                ("id", texts(&ids)),
                ("vector", components(ids.len(), dimension)),
            ],
        );
        let collection = empty(dimension, DistanceMetric::Euclidean, 2);
        let read = parquet::import(&collection, &path, Existing::Replace, go).unwrap();
        assert_eq!(
            (read, collection.vector_count()),
            (between + 2, between + 1)
        );
        let last = collection.vectors(None).last().unwrap().unwrap();
        let row: Vec<f32> = (0..dimension)
            .map(|step| component(between + 1, step))
            .collect();
        assert!(last == vector("twice", &row, None), "{between}");

        let collection = empty(dimension, DistanceMetric::Euclidean, 2);
        let error = parquet::import(&collection, &path, Existing::Refuse, go).unwrap_err();
        assert!(
            matches!(&error, VectorizerError::InFile { place, .. } if *place == format!("row {}", between + 1)),
            "{error}"
        );
    }
}

/// An array of strings holds less than 2 GiB, which ten thousand long payloads would fill.
#[test]
fn long_payloads_go_out_few_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.parquet");
    let collection = empty(1, DistanceMetric::Euclidean, 16);
    let text = "x".repeat(4 << 20);
    let vectors: Vec<Vector> = (0..6)
        .map(|id| {
            vector(
                &id.to_string(),
                &[1.0],
                Some(json!({"text": text, "n": [id]})),
            )
        })
        .collect();
    collection.add_vectors_batch(&vectors).unwrap();
    let mut told = Vec::new();
    let written = parquet::export(&collection, &path, |moved| {
        told.push(moved.done);
        ControlFlow::Continue(())
    });
    assert_eq!(written.unwrap(), 6);
    assert_eq!(told, [3, 6]);
    let back = empty(1, DistanceMetric::Euclidean, 16);
    parquet::import(&back, &path, Existing::Refuse, go).unwrap();
    assert!(all(&back) == vectors);
}

#[test]
fn what_json_has_not_is_left_out_and_counted() {
    let path = fixture("pyarrow-kinds.parquet");
    let collection = empty(2, DistanceMetric::Euclidean, 16);
    let chosen = columns("key", "f16", &["price", "marks", "half"]);
    let read = parquet::import_with(&collection, &path, &chosen, go).unwrap();
    assert_eq!((read.vectors, read.left_out), (3, 3));
    let payloads: Vec<Value> = all(&collection)
        .into_iter()
        .map(|vector| vector.payload.unwrap().0)
        .collect();
    assert_eq!(
        payloads,
        [
            json!({"price": 1.5, "marks": [1.0, null], "half": 0.25}),
            json!({"marks": [], "half": 0.25}),
            json!({"half": 0.25}),
        ]
    );
}

#[test]
fn errors_name_the_file_the_row_and_the_column_in_words() {
    let path = fixture("pyarrow-kinds.parquet");
    let collection = empty(2, DistanceMetric::Euclidean, 16);
    for (chosen, words) in [
        (
            columns("ok", "f16", &[]),
            "row 0: column \"ok\": expected a string or an integer, found a boolean: true",
        ),
        (
            columns("kind", "f16", &[]),
            "row 1: column \"kind\": expected a string or an integer, found null",
        ),
        (
            columns("price", "f16", &[]),
            "row 0: column \"price\": expected a string or an integer, found a number: 1.5",
        ),
        (columns("marks", "f16", &[]), "found a list: [1.0,null]"),
        (
            columns("key", "price", &[]),
            "row 0: column \"price\": expected a list, found float64",
        ),
        (
            columns("key", "kind", &[]),
            "expected a list, found strings",
        ),
        (
            columns("key", "marks", &[]),
            "row 0: column \"marks\": component 1 is NaN",
        ),
        (
            columns("key", "f16", &["amount"]),
            "column \"amount\": decimals have no form in JSON",
        ),
        (
            columns("key", "f16", &["none"]),
            "has no column \"none\"; it has key, f16",
        ),
        (
            columns("id", "f16", &[]),
            "has no column \"id\" for the ids; it has key, f16",
        ),
        (
            columns("key", "key", &[]),
            "cannot be that of the ids and that of the vectors",
        ),
    ] {
        let error = parquet::import_with(&collection, &path, &chosen, go).unwrap_err();
        assert!(
            matches!(error, VectorizerError::FileRefused { .. }),
            "{error:?}"
        );
        let error = error.to_string();
        assert!(error.contains("pyarrow-kinds.parquet: "), "{error}");
        assert!(error.contains(words), "{error:?} does not say {words:?}");
        assert!(
            !error.contains("Some(") && !error.contains("None") && !error.contains("arrow error"),
            "{error}"
        );
    }
    assert_eq!(collection.vector_count(), 0);
}
