//! `vectorizer export` and `import`: every format there and back.
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vectorizer"))
        .current_dir(folder)
        .env("VECTORIZER_DEVICE", "cpu")
        .args(arguments)
        .output()
        .unwrap()
}

/// What a command that ends well says as JSON.
fn said(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, &[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const KIND: [&str; 4] = ["--dimension", "2", "--metric", "euclidean"];

fn lines() -> String {
    let line = |number: u16| {
        let (x, y) = (number % 7, number / 7);
        format!(
            "{{\"id\": \"v{number}\", \"vector\": [{x}, {y}.5], \"payload\": {{\"n\": {number}}}}}\n"
        )
    };
    (0..300).map(line).collect()
}

#[test]
fn every_format_goes_out_and_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("in.jsonl"), lines()).unwrap();
    let import = |index: &str, format: &str, file: &str| {
        let arguments = ["import", "--index", index, "--format", format, file];
        said(folder, &[&arguments[..], &KIND].concat())
    };
    let imported = import("first", "jsonl", "in.jsonl");
    let done = ["imported", "count", "graph", "fallback"].map(|key| &imported[key]);
    assert_eq!(
        done,
        [&json!(300), &json!(300), &json!(null), &json!(null)],
        "{imported}"
    );
    assert!(imported["vram_peak_bytes"].as_u64() > Some(0), "{imported}");
    let formats = ["jsonl", "npy", "fvecs", "hnswlib"];
    let parquet = cfg!(feature = "parquet").then_some("parquet");
    for format in formats.into_iter().chain(parquet) {
        let file = format!("out.{format}");
        let exported = said(
            folder,
            &["export", "--index", "first", "--format", format, &file],
        );
        assert_eq!(exported["exported"], 300, "{format}: {exported}");
        let ids = matches!(format, "npy" | "fvecs" | "hnswlib");
        assert_eq!(exported["ids"].is_string(), ids, "{format}: {exported}");
        // The ids beside the file are found by themselves.
        let imported = import(format, format, &file);
        assert_eq!(imported["count"], 300, "{format}: {imported}");
        if format == "hnswlib" {
            assert_eq!(imported["graph"], true);
        }
        said(
            folder,
            &[
                "export",
                "--index",
                format,
                "--format",
                "jsonl",
                "again.jsonl",
            ],
        );
        let again = std::fs::read_to_string(folder.join("again.jsonl")).unwrap();
        let vectors = |text: &str| -> Vec<Value> {
            let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
            let keep = |mut line: Value| {
                if ids {
                    line.as_object_mut().unwrap().remove("payload");
                }
                let vector = line["vector"].as_array_mut().unwrap();
                vector[0] = vector[0].as_f64().unwrap().into();
                line
            };
            text.lines().map(parse).map(keep).collect()
        };
        assert_eq!(vectors(&again), vectors(&lines()), "{format}");
        let checked = run(folder, &["check", "--index", format]);
        assert!(checked.status.success(), "{format}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_exit_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("in.jsonl"), lines()).unwrap();
    std::fs::write(
        folder.join("bad.jsonl"),
        "{\"id\": \"a\", \"vector\": [1]}\n",
    )
    .unwrap();
    let import = |rest: &[&str]| {
        let arguments = ["import", "--index", "index", "--format"];
        run(folder, &[&arguments[..], rest].concat())
    };
    assert!(
        import(&[&["jsonl", "in.jsonl"][..], &KIND].concat())
            .status
            .success()
    );
    for (rest, words) in [
        (
            &[
                "jsonl",
                "in.jsonl",
                "--dimension",
                "3",
                "--metric",
                "euclidean",
            ][..],
            "say otherwise",
        ),
        (
            &[
                "jsonl",
                "in.jsonl",
                "--dimension",
                "2",
                "--metric",
                "cosine",
            ][..],
            "say otherwise",
        ),
        (
            &["jsonl", "in.jsonl", "--dimension", "2", "--metric", "l2"][..],
            "already in the collection",
        ),
        (
            &["jsonl", "bad.jsonl", "--dimension", "2", "--metric", "l2"][..],
            "line 1: expected 2 components",
        ),
        (
            &["hnswlib", "in.jsonl", "--dimension", "2", "--metric", "l2"][..],
            "no file of hnswlib's",
        ),
        (
            &["csv", "in.jsonl", "--dimension", "2", "--metric", "l2"][..],
            "possible values",
        ),
    ] {
        let output = import(rest);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{rest:?}: {errors}");
        assert!(errors.contains(words), "{rest:?}: {errors}");
    }
    // No collection is made for a file that is not there or has other vectors.
    for (format, file, words) in [
        ("jsonl", "none.jsonl", "there is no such file"),
        ("parquet", "none.parquet", "there is no such file"),
        ("npy", "none.npy", "there is no such file"),
        ("jsonl", ".", "is a folder"),
    ] {
        let arguments = ["import", "--index", "new", "--format", format, file];
        let output = run(folder, &[&arguments[..], &KIND].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{file}: {errors}");
        assert!(errors.contains(words), "{file}: {errors}");
        assert!(!folder.join("new").exists(), "{file}");
    }
    // A second try with --replace goes through.
    let again = import(&[&["jsonl", "in.jsonl", "--replace"][..], &KIND].concat());
    assert!(again.status.success());
}
