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
            "--dimension 3: the collection at index was made with 2",
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
            "--metric cosine: the collection at index was made with euclidean",
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

/// What a command says on standard error when it ends with exit status 2.
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    errors
}

/// The lines of a collection as JSON.
fn exported(folder: &Path, index: &str) -> Vec<Value> {
    let out = ["export", "--index", index, "--format", "jsonl", "out.jsonl"];
    assert!(run(folder, &out).status.success());
    let text = std::fs::read_to_string(folder.join("out.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_failed_import_of_which_nothing_came_in_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write("in.jsonl", lines().as_bytes());
    write("bad.jsonl", b"{\"id\": \"a\", \"vector\": [1]}\n");
    write("bad.parquet", b"1234567");
    write("bad.bin", &[7; 200]);
    let import = |index: &str, format: &str, file: &str, dimension: &str| {
        let arguments = ["import", "--index", index, "--format", format, file];
        let kind = ["--dimension", dimension, "--metric", "euclidean"];
        run(folder, &[&arguments[..], &kind].concat())
    };
    assert!(import("good", "jsonl", "in.jsonl", "2").status.success());
    for (format, file) in [
        ("npy", "good.npy"),
        ("hnswlib", "good.bin"),
        ("parquet", "good.parquet"),
    ] {
        if format != "parquet" || cfg!(feature = "parquet") {
            let export = ["export", "--index", "good", "--format", format, file];
            assert!(run(folder, &export).status.success());
        }
    }
    let mut holed = std::fs::read(folder.join("good.npy")).unwrap();
    let at = holed.len() - 300 * 8;
    holed[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    write("nan.npy", &holed);
    let ids: String = (0..300).map(|row| format!("n{row}\n")).collect();
    write("nan.npy.ids", ids.as_bytes());
    let mut tries = vec![
        ("jsonl", "bad.jsonl", "2"),
        ("jsonl", "in.jsonl", "3"),
        ("npy", "nan.npy", "2"),
        ("npy", "good.npy", "3"),
        ("hnswlib", "bad.bin", "2"),
        ("hnswlib", "good.bin", "3"),
    ];
    if cfg!(feature = "parquet") {
        tries.extend([
            ("parquet", "bad.parquet", "2"),
            ("parquet", "good.parquet", "3"),
        ]);
    }
    std::fs::create_dir(folder.join("empty")).unwrap();
    for (format, file, dimension) in tries {
        for index in ["new", "deep/new", "empty"] {
            let output = import(index, format, file, dimension);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{format} {file}: {errors}");
        }
        assert!(!folder.join("new").exists(), "{format} {file}");
        assert!(!folder.join("deep").exists(), "{format} {file}");
        let left = std::fs::read_dir(folder.join("empty")).unwrap().count();
        assert_eq!(left, 0, "{format} {file}");
    }
    // The second try goes through, also into a folder that was there.
    for index in ["new", "deep/new", "empty"] {
        assert!(import(index, "jsonl", "in.jsonl", "2").status.success());
    }
    // What was there before stays.
    assert_eq!(
        import("empty", "jsonl", "bad.jsonl", "2").status.code(),
        Some(2)
    );
    assert_eq!(exported(folder, "empty").len(), 300);
}

#[test]
fn what_is_said_of_a_collection_that_is_there_has_to_be_true() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("in.jsonl"), lines()).unwrap();
    let import = ["import", "--index", "c", "--format", "jsonl", "in.jsonl"];
    let missing = refusal(folder, &import);
    assert!(missing.contains("--dimension and --metric"), "{missing}");
    assert!(!folder.join("c").exists());
    let made = ["--m", "5", "--precision", "int8"];
    said(folder, &[&import[..], &KIND, &made].concat());
    // Nothing has to be said again, and what is true may be.
    said(folder, &[&import[..], &["--replace"]].concat());
    said(
        folder,
        &[&import[..], &KIND, &made, &["--replace"]].concat(),
    );
    for (option, value, is) in [("--m", "6", "5"), ("--precision", "f32", "int8")] {
        let error = refusal(
            folder,
            &[&import[..], &["--replace", option, value]].concat(),
        );
        let words = format!("{option} {value}: the collection at c was made with {is}");
        assert!(error.contains(&words), "{error}");
    }
    let file = refusal(
        folder,
        &[
            "import", "--index", "in.jsonl", "--format", "jsonl", "in.jsonl",
        ],
    );
    assert!(file.contains("is no folder"), "{file}");
}

#[test]
fn new_vectors_leave_payloads_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("in.jsonl"), lines()).unwrap();
    let import = ["import", "--index", "c", "--format", "jsonl", "in.jsonl"];
    said(folder, &[&import[..], &KIND].concat());
    let before = exported(folder, "c");
    for format in ["npy", "fvecs", "hnswlib"] {
        let file = format!("rows.{format}");
        let export = ["export", "--index", "c", "--format", format, &file];
        assert!(run(folder, &export).status.success());
    }
    // The last row first, so that every vector changes.
    let ids: String = (0..300).rev().map(|row| format!("v{row}\n")).collect();
    std::fs::write(folder.join("turned"), ids).unwrap();
    let ways: [&[&str]; 4] = [
        &["import", "--format", "hnswlib", "rows.hnswlib"],
        &["add", "rows.npy"],
        &["import", "--format", "npy", "rows.npy"],
        &["import", "--format", "fvecs", "rows.fvecs"],
    ];
    for way in ways {
        let rest = ["--index", "c", "--ids", "turned", "--replace"];
        assert!(
            run(folder, &[way, &rest].concat()).status.success(),
            "{way:?}"
        );
        let mut after = exported(folder, "c");
        after.reverse();
        for (row, (was, is)) in before.iter().zip(&after).enumerate() {
            assert_eq!(
                (&is["id"], &is["payload"]),
                (&was["id"], &was["payload"]),
                "{way:?}"
            );
            assert_eq!(is["vector"], before[299 - row]["vector"], "{way:?}");
        }
        assert!(run(folder, &["check", "--index", "c"]).status.success());
    }
    // Lines bring their payloads, also where they have none.
    std::fs::write(
        folder.join("bare.jsonl"),
        "{\"id\": \"v7\", \"vector\": [1, 2]}\n",
    )
    .unwrap();
    let bare = [
        "import",
        "--index",
        "c",
        "--format",
        "jsonl",
        "bare.jsonl",
        "--replace",
    ];
    said(folder, &bare);
    let bare = exported(folder, "c")
        .into_iter()
        .find(|line| line["id"] == "v7");
    assert!(bare.unwrap().get("payload").is_none());
}

#[test]
fn rows_without_ids_do_not_take_the_numbers_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("in.jsonl"), lines()).unwrap();
    let import = ["import", "--index", "c", "--format", "jsonl", "in.jsonl"];
    said(folder, &[&import[..], &KIND].concat());
    let export = ["export", "--index", "c", "--format", "npy", "rows.npy"];
    assert!(run(folder, &export).status.success());
    std::fs::remove_file(folder.join("rows.npy.ids")).unwrap();
    let create = ["create", "--index", "d"];
    said(folder, &[&create[..], &KIND].concat());
    let add: [&[&str]; 2] = [
        &["add", "--index", "d", "rows.npy"],
        &["import", "--index", "d", "--format", "npy", "rows.npy"],
    ];
    assert!(run(folder, add[0]).status.success());
    for (again, free) in add.into_iter().zip(["300", "600"]) {
        let error = refusal(folder, again);
        let advice = format!("--first-id {free}");
        assert!(
            error.contains(&advice) && error.contains("--ids"),
            "{error}"
        );
        assert!(!error.contains("--replace"), "{error}");
        // As it was said.
        let more = [again, &["--first-id", free]].concat();
        assert!(run(folder, &more).status.success());
    }
    let ids = exported(folder, "d")
        .into_iter()
        .map(|line| line["id"].clone());
    let expected = (0..900).map(|number| Value::from(number.to_string()));
    assert!(ids.eq(expected));
    let large = [add[0], &["--first-id", "18446744073709551600"]].concat();
    assert!(refusal(folder, &large).contains("2^64"));
}

#[test]
fn an_empty_filter_deletes_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("in.jsonl"), lines()).unwrap();
    let import = ["import", "--index", "c", "--format", "jsonl", "in.jsonl"];
    said(folder, &[&import[..], &KIND].concat());
    for filter in [
        "{}",
        r#"{"must": []}"#,
        r#"{"must": [{"must": []}]}"#,
        r#"{"should": [{"must": []}]}"#,
    ] {
        let error = refusal(folder, &["delete", "--index", "c", "--filter", filter]);
        assert!(error.contains("--all"), "{filter}: {error}");
    }
    let deleted = said(folder, &["delete", "--index", "c", "--all"]);
    assert_eq!(
        (&deleted["deleted"], &deleted["vectors"]),
        (&json!(300), &json!(0))
    );
}

#[test]
fn numbers_that_json_has_not_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let good = "{\"id\": \"a\", \"vector\": [1, 2], \"payload\": {\"price\": 1}}\n";
    std::fs::write(
        folder.join("nan.jsonl"),
        [good, &good.replace("1}", "NaN}")].concat(),
    )
    .unwrap();
    let import = ["import", "--index", "c", "--format", "jsonl", "nan.jsonl"];
    let error = refusal(folder, &[&import[..], &KIND].concat());
    assert!(
        error.contains("nan.jsonl: line 2: column 52: NaN is no JSON; write null"),
        "{error}"
    );
}
