//! Tuning, on the software adapter: that it measures, remembers, and is read again. Its times mean nothing there.

use std::path::Path;

use serde_json::Value;

use super::{refused, run, stderr, stdout, vectorizer};

const LITTLE: [&str; 9] = [
    "tune",
    "--device",
    "software",
    "--rows",
    "1000",
    "--queries",
    "32",
    "--rounds",
    "3",
];

/// What the command says on standard output, with a file for the tuning.
fn with_file(file: &Path, arguments: &[&str]) -> String {
    let mut command = vectorizer(arguments);
    let output = command.env("VECTORIZER_TUNING", file).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).to_owned()
}

/// What `info` says of the tuning.
fn tuning(file: &Path) -> Value {
    let text = with_file(file, &["info", "--device", "software", "--json"]);
    let info: Value = serde_json::from_str(&text).unwrap();
    info["taken"]["tuning"].clone()
}

#[test]
fn a_tuning_is_measured_remembered_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("below/tuning.json");
    assert_eq!(tuning(&file)["source"], "default");

    let tried = with_file(&file, &[&LITTLE[..], &["--dry-run", "--json"]].concat());
    let tried: Value = serde_json::from_str(&tried).unwrap();
    assert!(tried["path"].is_null() && !file.exists());
    assert_eq!(tried["same_graph"], true);
    let trials = tried["trials"].as_array().unwrap();
    assert!(trials.iter().any(|trial| trial["knob"] == "walk_threads"));
    for trial in trials {
        for candidate in trial["candidates"].as_array().unwrap() {
            assert!(candidate["median_ms"].as_f64().unwrap() > 0.0, "{trial}");
            assert!(candidate["left_out"].is_null(), "{trial}");
        }
    }

    let said = with_file(&file, &LITTLE);
    assert!(said.contains("walk_threads: 32 queries"), "{said}");
    assert!(said.contains(file.to_str().unwrap()), "{said}");
    let used = tuning(&file);
    assert_eq!(used["source"], "file");
    assert_eq!(used["path"], file.to_str().unwrap());
    let record = std::fs::read_to_string(&file).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["tuning"], used["values"]);

    // A value that nobody measured is used if the device can have it, and refused if not.
    let mut changed = record.clone();
    changed["tuning"]["few_walks"] = 16.into();
    std::fs::write(&file, changed.to_string()).unwrap();
    assert_eq!(tuning(&file)["values"]["few_walks"], 16);
    changed["tuning"]["few_walks"] = 17.into();
    std::fs::write(&file, changed.to_string()).unwrap();
    let refused = tuning(&file);
    assert_eq!(refused["source"], "refused");
    assert_eq!(refused["values"]["few_walks"], 128);
    assert!(
        refused["reason"].as_str().unwrap().contains("few_walks"),
        "{refused}"
    );
    let text = with_file(&file, &["info", "--device", "software"]);
    assert!(text.contains("few_walks is 17"), "{text}");

    let off = tuning(Path::new("off"));
    assert_eq!(off["source"], "off");
}

#[test]
fn where_there_is_nothing_to_tune_it_says_so() {
    refused(&["tune"], "nothing to tune on CPU");
    refused(&["tune", "--device", "cpu", "--dry-run"], "nothing to tune");
    let output = vectorizer(&LITTLE)
        .env("VECTORIZER_TUNING", "off")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("VECTORIZER_TUNING"),
        "{}",
        stderr(&output)
    );
    for wrong in [["--rows", "10"], ["--queries", "31"], ["--rounds", "2"]] {
        let output = run(&[&["tune"][..], &wrong].concat());
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(wrong[0]), "{}", stderr(&output));
    }
    let info = super::json(&["info", "--json"]);
    assert!(info["taken"]["tuning"].is_null());
}
