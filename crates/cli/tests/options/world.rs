//! Files and collections to run the command on, and what can be seen of a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn vectorizer(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vectorizer"))
        .current_dir(folder)
        .env("VECTORIZER_DEVICE", "cpu")
        .args(arguments)
        .output()
        .unwrap()
}

/// The long help of a command.
pub(crate) fn help(arguments: &[&str]) -> String {
    let output = vectorizer(Path::new("."), &[arguments, &["--help"]].concat());
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// What is there before each run: rows.* with vectors, files of ids, the true neighbours, the lines of a bench, a text, and the collection `c` of the
/// vectors of rows.*.
pub(crate) struct World {
    folder: TempDir,
}

/// All that can be seen of a run but times.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: i32,
    pub(crate) stderr: String,
    stdout: Vec<Value>,
    files: BTreeMap<String, String>,
    collections: BTreeMap<String, String>,
}

const ROWS: u8 = 40;

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let lines: String = (0..ROWS)
            .map(|row| {
                let text = ["one", "two"][usize::from(row % 2)];
                format!(
                    "{{\"id\": \"{row}\", \"vector\": [{row}, {}.5], \"payload\": {{\"n\": {row}, \"s\": \"{text} {row}\"}}}}\n",
                    row % 7
                )
            })
            .collect();
        fs::write(at.join("rows.jsonl"), lines).unwrap();
        let ids: String = (0..ROWS).map(|row| format!("name {row}\n")).collect();
        fs::write(at.join("ids"), ids).unwrap();
        fs::write(at.join("some"), "1\n2\n").unwrap();
        let kind = ["--dimension", "2", "--metric", "euclidean"];
        let ok = |arguments: &[&str]| {
            let output = vectorizer(at, arguments);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{arguments:?}: {said}");
        };
        let import = ["import", "--format", "jsonl", "rows.jsonl"];
        ok(&[&import[..], &["--index", "c"], &kind].concat());
        let mut formats = vec!["npy", "fvecs", "hnswlib"];
        if cfg!(feature = "parquet") {
            formats.push("parquet");
        }
        for format in formats {
            let file = format!("rows.{format}");
            ok(&["export", "--index", "c", "--format", format, &file]);
            // Ids are numbers, and those are asked for by an option.
            drop(fs::remove_file(at.join(format!("{file}.ids"))));
        }
        fs::rename(at.join("rows.hnswlib"), at.join("rows.bin")).unwrap();
        let exact = ["--exact", "--out", "truth.npy"];
        let search = ["search", "--base", "rows.npy", "--queries", "rows.npy"];
        ok(&[&search[..], &["--metric", "euclidean"], &exact].concat());
        let text = "The kingfisher dives into the river to catch small fish.\n\n\
                    Swallows fly south for the winter and come back in spring.\n";
        fs::create_dir(at.join("text")).unwrap();
        fs::write(at.join("text/birds.md"), text).unwrap();
        let bench = ["bench", "--base", "rows.npy", "--queries", "rows.npy"];
        let less = ["--rounds", "1", "--ef", "16", "--out", "report", "--quiet"];
        ok(&[&bench[..], &["--metric", "euclidean"], &less].concat());
        fs::rename(at.join("report/bench.jsonl"), at.join("lines")).unwrap();
        fs::remove_dir_all(at.join("report")).unwrap();
        Self { folder }
    }

    /// Runs the command among copies of everything.
    pub(crate) fn run(&self, arguments: &[&str]) -> Seen {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        copy(self.folder.path(), at);
        let output = vectorizer(at, arguments);
        let mut files = BTreeMap::new();
        let mut collections = BTreeMap::new();
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.join("collection.redb").exists() {
                collections.insert(name, String::new());
            } else if path.is_dir() {
                let lines = path.join("bench.jsonl");
                files.insert(
                    name,
                    fs::read_to_string(lines).map_or_else(|_| String::new(), measured),
                );
            } else {
                files.insert(name, format!("{:x?}", fs::read(&path).unwrap()));
            }
        }
        for (name, seen) in &mut collections {
            *seen = collection(at, name);
        }
        let text = String::from_utf8(output.stdout).unwrap();
        Seen {
            status: output.status.code().unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            stdout: text.lines().map(line).collect(),
            files,
            collections,
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// What a collection is and holds.
fn collection(at: &Path, name: &str) -> String {
    let stats = vectorizer(at, &["stats", "--index", name, "--json"]);
    let stats = line(std::str::from_utf8(&stats.stdout).unwrap());
    let out = format!("seen of {name}");
    let export = ["export", "--index", name, "--format", "jsonl", &out];
    assert!(vectorizer(at, &export).status.success());
    format!("{stats}\n{}", fs::read_to_string(at.join(out)).unwrap())
}

/// A line of output without what changes from run to run.
fn line(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(mut value) => {
            still(&mut value);
            value
        }
        // In text all digits may be of times.
        Err(_) => text
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .collect::<String>()
            .into(),
    }
}

/// What a bench has measured, not how long that took.
fn measured(lines: String) -> String {
    let lines = lines.lines().map(|text| line(text).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

fn still(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let changing = |name: &str| {
                name.ends_with("_ms")
                    || name.ends_with("_us")
                    || name.ends_with("_bytes")
                    || name.ends_with("seconds")
                    || [
                        "qps",
                        "uuid",
                        "single_queries",
                        "load_average",
                        "other_cpu",
                        "when",
                        "machine",
                        "pool_reuse",
                        "fragmentation",
                        "vram_efficiency",
                        "memory",
                        "bytes",
                        "peak",
                    ]
                    .contains(&name)
            };
            members.retain(|name, _| !changing(name));
            members.values_mut().for_each(still);
        }
        Value::Array(elements) => elements.iter_mut().for_each(still),
        _ => {}
    }
}
