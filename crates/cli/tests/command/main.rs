//! The command as people and machines run it.
#![allow(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "tests compare exact values of small data"
)]

mod collection;
mod data;
mod demo;
mod output;
mod room;
mod salvage;
mod search;
mod tune;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use data::{DIMENSION, Data};

fn vectorizer(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vectorizer"));
    command.args(arguments).env("VECTORIZER_DEVICE", "cpu");
    command
}

fn run(arguments: &[&str]) -> Output {
    vectorizer(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Runs, expects success and silence on standard error, and gives the one document.
fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs, expects exit status 2, nothing on standard output, and one line that says `words`.
fn refused(arguments: &[&str], words: &str) {
    let output = run(arguments);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?} said {said}");
    assert_eq!(stdout(&output), "");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("error: ") && said.contains(words),
        "{said:?} does not say {words:?}"
    );
}

/// Runs on a collection, expects success, and gives what was said.
fn said(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    stdout(&output).to_owned()
}

fn search<'a>(data: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["search", "--base", &data[0], "--queries", &data[1]];
    arguments.extend(more);
    arguments
}

/// Words that make a collection for the rows of [`Data`].
fn create<'a>(index: &'a str, metric: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["create", "--index", index, "--metric", metric];
    arguments.extend(["--dimension", "17"]);
    arguments.extend(more);
    arguments
}

/// Words that search a collection.
fn search_in<'a>(index: &'a str, queries: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["search", "--index", index, "--queries", queries];
    arguments.extend(more);
    arguments
}

#[test]
fn help_teaches() {
    for arguments in [
        &["--help"][..],
        &["info", "--help"],
        &["demo", "--help"],
        &["search", "--help"],
        &["create", "--help"],
        &["add", "--help"],
        &["delete", "--help"],
        &["compact", "--help"],
        &["stats", "--help"],
        &["check", "--help"],
        &["salvage", "--help"],
        &["export", "--help"],
        &["import", "--help"],
        &["bench", "--help"],
        &["bench", "compare", "--help"],
        &["tune", "--help"],
    ] {
        let output = run(arguments);
        assert!(output.status.success() && stdout(&output).contains("Usage: vectorizer"));
        assert!(
            stdout(&output).contains("Exit status: 0 done; 1 a device"),
            "{arguments:?}"
        );
    }
    let help = run(&["search", "--help"]);
    for word in [
        "Examples:",
        "--truth",
        ".fvecs",
        "vram_bytes",
        "float16",
        "p99_us",
    ] {
        assert!(stdout(&help).contains(word), "{word}");
    }
    assert!(stdout(&run(&["--help"])).contains("vectorizer demo"));
    let nothing = run(&[]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(stderr(&nothing).contains("Usage"));
    assert!(stdout(&run(&["--version"])).starts_with("vectorizer 0.3."));
}

#[test]
fn info_as_text_and_as_json() {
    let output = run(&["info"]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("CPU"), "{}", stdout(&output));
    let info = json(&["info", "--json"]);
    assert_eq!(info["taken"]["backend"], "cpu");
    assert!(!info["taken"]["reason"].as_str().unwrap().is_empty());
    let devices = info["devices"].as_array().unwrap();
    assert_eq!(devices.last().unwrap()["kind"], "cpu");
    assert!(
        devices
            .iter()
            .filter(|device| device["taken"] == true)
            .count()
            <= 1
    );

    // The devices are shown even where the one that is wanted is not there.
    let output = run(&["info", "--device", "abacus"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("CPU"));
    assert_eq!(stderr(&output).lines().count(), 1);
}

#[test]
fn bad_arguments_are_status_two() {
    let data = Data::new();
    let good = [data.path("base.npy"), data.path("queries.npy")];
    let more: [&[&str]; 9] = [
        &["-k", "0"],
        &["-k", "ten"],
        &["--ef", "0"],
        &["--ef", "10,,20"],
        &["--ef", "70000"],
        &["--m", "1"],
        &["--ef-construction", "2000"],
        &["--metric", "manhattan"],
        &["--nonsense"],
    ];
    for more in more {
        let metric: &[&str] = if more[0] == "--metric" {
            &[]
        } else {
            &["--metric", "dot"]
        };
        let output = run(&[&search(&good, metric)[..], more].concat());
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(
            stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "");
    }
    assert_eq!(run(&search(&good, &[])).status.code(), Some(2), "no metric");
}
