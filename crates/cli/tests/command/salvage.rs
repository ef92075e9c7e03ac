//! A damaged collection, copied as far as it can be read.

use std::fs;
use std::path::Path;

use super::*;

#[test]
fn what_can_be_read_is_copied_and_what_cannot_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (index, lines, saved) = (path("index"), path("lines"), path("saved"));
    let line = |id: &str| {
        format!("{{\"id\": \"{id}\", \"vector\": [1, 2], \"payload\": \"word of {id}\"}}\n")
    };
    fs::write(&lines, ["a", "b", "c"].map(line).concat()).unwrap();
    let import = ["import", "--index", &index, "--format", "jsonl", &lines];
    said(&[&import[..], &["--dimension", "2", "--metric", "euclidean"]].concat());
    let store = Path::new(&index).join("collection.redb");
    let mut bytes = fs::read(&store).unwrap();
    let text = b"\"word of b\"";
    let mut found = 0;
    // Pages that are no longer in use may hold it too.
    for place in 0..bytes.len() - text.len() {
        if bytes[place..].starts_with(text) {
            bytes[place + 1] = b'W';
            found += 1;
        }
    }
    assert!(found > 0);
    fs::write(&store, bytes).unwrap();
    let output = run(&["stats", "--index", &index]);
    assert!(output.status.success(), "{}", stderr(&output));
    let output = run(&[
        "export",
        "--index",
        &index,
        "--format",
        "jsonl",
        &path("out"),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));

    let text = said(&["salvage", "--index", &index, "--out", &saved]);
    assert_eq!(
        text,
        "lost: the payload of \"b\": its checksum is wrong\ncopied 3 vectors of 3 vectors, 2 payloads\n"
    );
    said(&["check", "--index", &saved]);
    let report = json(&[
        "salvage",
        "--index",
        &saved,
        "--out",
        &path("again"),
        "--json",
    ]);
    assert_eq!(report["vectors"], 3);
    assert_eq!(report["payloads"], 2);
    assert_eq!(report["lost"].as_array().unwrap().len(), 0);
    refused(&["salvage", "--index", &index, "--out", &saved], "already");
    refused(
        &["salvage", "--index", &path("none"), "--out", &path("new")],
        "there is no collection",
    );
    assert!(!Path::new(&path("new")).exists());
}
