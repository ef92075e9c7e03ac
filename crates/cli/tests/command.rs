//! The command as people and machines run it.
#![allow(
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "tests compare exact values of small data"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vectorizer::models::DistanceMetric;
use vectorizer_bench::{IdTable, Matrix, Mixture, truth};

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

/// A folder with a base of 300 rows and 20 queries.
struct Data {
    folder: TempDir,
    base: Vec<f32>,
    queries: Vec<f32>,
}

const DIMENSION: usize = 17;

impl Data {
    fn new() -> Self {
        let mixture = Mixture {
            dimension: DIMENSION,
            clusters: 7,
            latent: 5,
            spread: 0.5,
            whole: true,
            seed: 11,
        };
        // From -64 to 63: what a signed byte, an unsigned one (after a shift) and a half all hold exactly.
        let small = |rows: Vec<f32>| rows.iter().map(|x| (x / 2.0).floor() - 64.0).collect();
        let data = Self {
            folder: tempfile::tempdir().unwrap(),
            base: small(mixture.rows(0, 300)),
            queries: small(mixture.rows(300, 20)),
        };
        data.npy("base.npy", "<f4", &data.base);
        data.npy("queries.npy", "<f4", &data.queries);
        data
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn npy(&self, name: &str, descr: &str, numbers: &[f32]) -> String {
        self.npy_of(name, descr, numbers, DIMENSION)
    }

    fn npy_of(&self, name: &str, descr: &str, numbers: &[f32], columns: usize) -> String {
        let rows = numbers.len() / columns;
        let header = format!(
            "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
        );
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((118u16).to_le_bytes());
        bytes.extend(format!("{header:<117}\n").as_bytes());
        for number in numbers {
            match descr {
                "<f4" => bytes.extend(number.to_le_bytes()),
                "<f2" => bytes.extend(half(*number).to_le_bytes()),
                "|i1" => bytes.extend((*number as i8).to_le_bytes()),
                "|u1" => bytes.push((*number + 64.0) as u8),
                "<i8" => bytes.extend((*number as i64).to_le_bytes()),
                other => unreachable!("{other}"),
            }
        }
        self.write(name, &bytes)
    }

    fn truth(&self, metric: DistanceMetric, k: usize) -> IdTable {
        let matrix =
            |rows: &Vec<f32>| Matrix::from_rows("made up", rows.clone(), DIMENSION).unwrap();
        truth::compute(&matrix(&self.base), &matrix(&self.queries), metric, k).unwrap()
    }

    fn entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A whole number from -64 to 63 as IEEE half.
fn half(number: f32) -> u16 {
    if number == 0.0 {
        return 0;
    }
    let bits = number.to_bits();
    let exponent = (bits >> 23 & 0xff) as u16 + 15 - 127;
    (bits >> 16) as u16 & 0x8000 | exponent << 10 | (bits >> 13) as u16 & 0x3ff
}

fn search<'a>(data: &'a [String; 2], more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["search", "--base", &data[0], "--queries", &data[1]];
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
        &["export", "--help"],
        &["import", "--help"],
    ] {
        let output = run(arguments);
        assert!(output.status.success() && stdout(&output).contains("Usage: vectorizer"));
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
fn exact_search_is_right_for_every_type_and_metric() {
    let data = Data::new();
    for (metric, name) in [
        (DistanceMetric::Euclidean, "euclidean"),
        (DistanceMetric::Cosine, "cosine"),
        (DistanceMetric::DotProduct, "dot"),
    ] {
        let truth = data.truth(metric, 10);
        truth.write(Path::new(&data.path("truth.npy"))).unwrap();
        for descr in ["<f4", "<f2", "|i1"] {
            let files = [
                data.npy("b.npy", descr, &data.base),
                data.npy("q.npy", descr, &data.queries),
            ];
            let (truth, out) = (data.path("truth.npy"), data.path("ids.npy"));
            let report = json(&search(
                &files,
                &[
                    "--metric", name, "--exact", "--truth", &truth, "--out", &out, "--json",
                ],
            ));
            assert_eq!(report["recall"], 1.0, "{name} {descr}");
            let ids = truth::read(Path::new(&out), 20, 10, 300).unwrap();
            assert_eq!((ids.queries(), ids.width()), (20, 10));
            if metric != DistanceMetric::Cosine {
                // Whole numbers: every score is exact, so that even ties are in order.
                assert_eq!(ids, data.truth(metric, 10), "{name} {descr}");
            }
        }
    }
    // Shifted by 64, distances stay what they were.
    let files = [
        data.npy("b.npy", "|u1", &data.base),
        data.npy("q.npy", "|u1", &data.queries),
    ];
    let out = data.path("ids.npy");
    json(&search(
        &files,
        &["--metric", "l2", "--exact", "--out", &out, "--json"],
    ));
    let ids = truth::read(Path::new(&out), 20, 10, 300).unwrap();
    assert_eq!(ids, data.truth(DistanceMetric::Euclidean, 10));
}

#[test]
fn json_has_every_field() {
    let data = Data::new();
    data.truth(DistanceMetric::Euclidean, 10)
        .write(Path::new(&data.path("truth.npy")))
        .unwrap();
    let files = [data.path("base.npy"), data.path("queries.npy")];
    let truth = data.path("truth.npy");
    let graph = json(&search(
        &files,
        &[
            "--metric",
            "euclidean",
            "--truth",
            &truth,
            "--seed",
            "5",
            "--m",
            "8",
            "--json",
        ],
    ));
    let exact = json(&search(
        &files,
        &["--metric", "euclidean", "--exact", "--json"],
    ));
    for (report, path) in [(&graph, "graph"), (&exact, "exact")] {
        assert_eq!(report["path"], path);
        assert_eq!(
            (&report["count"], &report["dimension"]),
            (&300.into(), &17.into())
        );
        assert_eq!((&report["queries"], &report["k"]), (&20.into(), &10.into()));
        assert_eq!(report["backend"], "cpu");
        assert!(!report["device"].as_str().unwrap().is_empty());
        for field in [
            "read_ms",
            "add_ms",
            "build_ms",
            "search_ms",
            "qps",
            "p50_us",
            "p99_us",
        ] {
            assert!(
                report[field].as_f64().is_some_and(|number| number >= 0.0),
                "{field}: {}",
                report[field]
            );
        }
        assert!(report["p99_us"].as_f64() >= report["p50_us"].as_f64());
        assert!(report["vram_bytes"].as_u64().unwrap() >= 300 * 17 * 4);
        assert_eq!(report["rows"].as_array().unwrap().len(), 1);
        assert_eq!(report["single_queries"], 20);
    }
    assert!(exact["recall"].is_null() && exact["ef"].is_null() && exact["m"].is_null());
    assert_eq!(exact["counters"]["distances"], 300 * 20);
    assert!(
        graph["recall"].as_f64().unwrap() > 0.95,
        "{}",
        graph["recall"]
    );
    assert_eq!((&graph["ef"], &graph["m"]), (&64.into(), &8.into()));
    assert_eq!(
        (&graph["ef_construction"], &graph["seed"]),
        (&200.into(), &5.into())
    );
    assert!(graph["build_counters"]["distances"].as_u64().unwrap() > 0);
}

#[test]
fn a_precision_is_taken_kept_and_said() {
    let data = Data::new();
    let truth = data.path("truth.npy");
    data.truth(DistanceMetric::Euclidean, 10)
        .write(Path::new(&truth))
        .unwrap();
    let files = [data.path("base.npy"), data.path("queries.npy")];
    for (precision, bytes) in [("f32", 17 * 4), ("f16", 80), ("int8", 48)] {
        let more = [
            "--metric",
            "euclidean",
            "--truth",
            &truth,
            "--precision",
            precision,
            "--json",
        ];
        let report = json(&search(&files, &more));
        assert_eq!(
            (&report["precision"], &report["searched_row_bytes"]),
            (&precision.into(), &(300 * bytes).into())
        );
        assert!(report["recall"].as_f64().unwrap() > 0.95, "{report}");

        let index = data.path(precision);
        let kind = ["--dimension", "17", "--metric", "euclidean"];
        let create = ["create", "--index", &index, "--precision", precision];
        said(&[&create[..], &kind].concat());
        said(&["add", "--index", &index, &files[0]]);
        let found = [
            "search",
            "--index",
            &index,
            "--queries",
            &files[1],
            "--json",
        ];
        assert_eq!(json(&found)["precision"], precision);
        let stats = ["stats", "--index", &index];
        assert!(said(&stats).contains(&format!("precision {precision}")));
    }
    let wrong = ["--metric", "euclidean", "--precision", "int4"];
    let output = run(&search(&files, &wrong));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("int8"), "{}", stderr(&output));
}

#[test]
fn memory_has_a_limit_and_a_policy() {
    let data = Data::new();
    let files = [data.path("base.npy"), data.path("queries.npy")];
    let limited = |device, limit, fallback| {
        let policy = [
            "--metric",
            "euclidean",
            "--device",
            device,
            "--vram-limit",
            limit,
            "--fallback",
            fallback,
            "--json",
        ];
        search(&files, &policy)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let arguments = limited("cpu", "1GiB", "report");
    let document = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(document["fallback"], Value::Null);
    for field in ["vram_efficiency", "pool_reuse", "fragmentation"] {
        let share = document[field].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{field} is {share}");
    }
    assert!(document["vram_peak_bytes"].as_u64() >= document["vram_bytes"].as_u64());
    // From the CPU there is no way down.
    for (device, policy) in [
        ("cpu", "spill"),
        ("cpu", "mirror"),
        ("software", "report"),
        ("software", "forbid"),
    ] {
        let arguments = limited(device, "16KiB", policy);
        let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{device} {policy}: {said}");
        assert!(said.contains("16384 allowed"), "{said}");
        assert_eq!(
            said.contains("--fallback spill"),
            policy == "report",
            "{said}"
        );
    }
    for policy in ["spill", "mirror"] {
        let arguments = limited("software", "16KiB", policy);
        let spilled = json(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(spilled["fallback"]["what"], "spilled", "{spilled}");
        assert!(
            spilled["fallback"]["why"]
                .as_str()
                .unwrap()
                .contains("16384 allowed")
        );
        assert!(spilled["vram_peak_bytes"].as_u64() <= Some(16 << 10));
        assert_eq!(spilled["recall"], document["recall"]);
    }
    let output = run(&["demo", "--vram-limit", "much"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("KiB"), "{}", stderr(&output));
}

#[test]
fn each_beam_width_has_a_row() {
    let data = Data::new();
    data.truth(DistanceMetric::Cosine, 5)
        .write(Path::new(&data.path("truth.npy")))
        .unwrap();
    let files = [data.path("base.npy"), data.path("queries.npy")];
    let truth = data.path("truth.npy");
    let report = json(&search(
        &files,
        &[
            "--metric", "cosine", "-k", "5", "--ef", "1,20,300", "--truth", &truth, "--json",
        ],
    ));
    let rows = report["rows"].as_array().unwrap();
    let widths: Vec<_> = rows.iter().map(|row| row["ef"].as_u64().unwrap()).collect();
    assert_eq!(widths, [5, 20, 300], "a beam is as wide as k");
    let work: Vec<_> = rows
        .iter()
        .map(|row| row["counters"]["distances"].as_u64().unwrap())
        .collect();
    assert!(work.is_sorted(), "{work:?}");
    assert_eq!(
        rows[2]["recall"], 1.0,
        "a beam as wide as the base finds everything"
    );
    for field in ["ef", "recall", "qps", "search_ms", "path"] {
        assert_eq!(
            report[field], rows[2][field],
            "the last row stands at the top"
        );
    }
    let output = run(&search(
        &files,
        &[
            "--metric", "cosine", "-k", "5", "--ef", "1,20,300", "--truth", &truth,
        ],
    ));
    assert!(output.status.success());
    assert_eq!(stderr(&output), "", "no bars where nobody watches");
    let table: Vec<Vec<&str>> = stdout(&output)
        .lines()
        .map(|line| line.split_whitespace().take(3).collect())
        .collect();
    for row in [["path", "ef", "recall@5"], ["graph", "300", "1.0000"]] {
        assert!(table.iter().any(|line| line == &row), "{}", stdout(&output));
    }
}

#[test]
fn more_neighbours_than_rows_are_all_rows() {
    let data = Data::new();
    let files = [
        data.npy("few.npy", "<f4", &data.base[..3 * DIMENSION]),
        data.path("queries.npy"),
    ];
    let out = data.path("ids.npy");
    for more in [&["--exact"][..], &[]] {
        let mut arguments = search(
            &files,
            &["--metric", "dot", "-k", "50", "--out", &out, "--json"],
        );
        arguments.extend(more);
        assert_eq!(json(&arguments)["k"], 50);
        let ids = truth::read(Path::new(&out), 20, 3, 3).unwrap();
        assert_eq!(ids.width(), 3);
    }
}

#[test]
fn files_of_vecs() {
    let data = Data::new();
    let vecs = |name: &str, rows: &[f32]| {
        let rows = rows.chunks(DIMENSION).map(|row| {
            let numbers = row.iter().flat_map(|number| number.to_le_bytes());
            (DIMENSION as i32)
                .to_le_bytes()
                .into_iter()
                .chain(numbers)
                .collect::<Vec<_>>()
        });
        data.write(name, &rows.collect::<Vec<_>>().concat())
    };
    let files = [vecs("b.fvecs", &data.base), vecs("q.fvecs", &data.queries)];
    let truth = data.truth(DistanceMetric::Euclidean, 4);
    let rows = (0..20).flat_map(|query| {
        [4].into_iter()
            .chain(truth.of(query).iter().map(|id| *id as i32))
    });
    let truth = data.write(
        "t.ivecs",
        &rows.flat_map(i32::to_le_bytes).collect::<Vec<_>>(),
    );
    let report = json(&search(
        &files,
        &[
            "--metric",
            "euclidean",
            "-k",
            "4",
            "--exact",
            "--truth",
            &truth,
            "--json",
        ],
    ));
    assert_eq!(report["recall"], 1.0);
}

#[test]
fn bad_input_is_one_line_and_status_two() {
    let data = Data::new();
    let good = [data.path("base.npy"), data.path("queries.npy")];
    let base = std::fs::read(&good[0]).unwrap();
    let metric = ["--metric", "euclidean"];
    let with_base =
        |base: String, words: &str| refused(&search(&[base, good[1].clone()], &metric), words);
    with_base(data.path("none.npy"), "none.npy: there is no such file");
    with_base(data.write("x.npy", b""), "is empty");
    with_base(
        data.write("x.npy", b"not numpy at all"),
        "is not a .npy file",
    );
    with_base(data.write("x.npy", &base[..50]), "truncated");
    with_base(data.write("x.npy", &base[..base.len() - 1]), "truncated");
    with_base(data.write("x.npy", &[&base[..], &[0]].concat()), "broken");
    with_base(data.npy("x.npy", "<i8", &data.base), "int64");
    with_base(
        data.npy_of("x.npy", "<f4", &data.base, 15),
        "has vectors of 17 components",
    );
    with_base(data.npy_of("x.npy", "<f4", &[], 17), "no numbers");
    let mut holed = data.base.clone();
    holed[DIMENSION + 3] = f32::NAN;
    with_base(
        data.npy("x.npy", "<f4", &holed),
        "component 3 of row 1 is NaN",
    );
    holed[DIMENSION + 3] = 1e30;
    with_base(data.npy("x.npy", "<f4", &holed), "squared length");
    with_base(data.write("x.csv", b"1,2"), "unknown kind");
    with_base(
        data.folder.path().to_str().unwrap().to_owned(),
        "unknown kind",
    );

    let with =
        |more: &[&str], words: &str| refused(&[&search(&good, &metric)[..], more].concat(), words);
    let truth = data.npy_of("t.npy", "<i8", &[0.0; 20 * 9], 9);
    with(
        &["--truth", &truth],
        "9 true neighbours a query; 10 are needed",
    );
    let truth = data.npy_of("t.npy", "<i8", &[1.0; 10], 10);
    with(&["--truth", &truth], "1 rows, but there are 20 queries");
    let truth = data.npy_of("t.npy", "<i8", &[300.0; 20], 1);
    with(
        &["--truth", &truth, "-k", "1"],
        "rows are numbered 0 to 299",
    );
    with(&["--device", "abacus"], "abacus");
    with(&["--out", &data.path("none/ids.npy")], "no such folder");
    with(&["--out", &data.path("ids.txt")], ".npy");
    with(&["--out", &good[0]], "overwrite an input");
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

#[test]
fn a_failed_search_leaves_no_file_and_spoils_none() {
    let data = Data::new();
    let mut holed = data.base.clone();
    *holed.last_mut().unwrap() = f32::INFINITY;
    let files = [
        data.npy("holed.npy", "<f4", &holed),
        data.path("queries.npy"),
    ];
    let out = data.path("ids.npy");
    let before = data.entries();
    refused(
        &search(&files, &["--metric", "dot", "--exact", "--out", &out]),
        "inf",
    );
    assert_eq!(data.entries(), before);
    data.write("ids.npy", b"precious");
    refused(
        &search(&files, &["--metric", "dot", "--exact", "--out", &out]),
        "inf",
    );
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let data = Data::new();
    let files = [data.path("base.npy"), data.path("queries.npy")];
    for arguments in [search(&files, &["--metric", "dot"]), vec!["info"]] {
        let mut child = vectorizer(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    }
}

fn texts() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::fs::write(
        path.join("birds.md"),
        "# Birds\n\nThe kingfisher dives into the river to catch small fish.\nIt nests in tunnels dug into the bank.\n\n\
         Swallows fly south for the winter and come back in spring.\n",
    )
    .unwrap();
    std::fs::write(
        path.join("bread.md"),
        "Knead the dough for ten minutes, then let it rise until doubled.\n",
    )
    .unwrap();
    (folder, path)
}

#[test]
fn demo_finds_the_paragraph_and_says_where() {
    let (_folder, path) = texts();
    let path = path.to_str().unwrap();
    let output = run(&[
        "demo",
        path,
        "--query",
        "how long should dough rise",
        "--query",
        "kingfishers catching fish",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let after = |question: &str| {
        text.lines()
            .skip_while(|line| !line.contains(question))
            .nth(1)
            .unwrap_or_default()
    };
    assert!(
        after("how long should dough rise").contains("bread.md:1"),
        "{text}"
    );
    assert!(
        after("kingfishers catching").contains("birds.md:3"),
        "{text}"
    );
    for words in [
        "3 paragraphs from 2 files",
        "stand-in",
        "recall 1.0000",
        "Memory of CPU",
        "device ",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    refused(&["demo", &format!("{path}/none")], "no such file or folder");
    let plain = run(&["demo", path]);
    assert!(plain.status.success() && stdout(&plain).contains("birds.md:3"));
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

#[test]
fn a_collections_life() {
    let data = Data::new();
    let [base, queries, index] = ["base.npy", "queries.npy", "index"].map(|name| data.path(name));
    let dimension = DIMENSION.to_string();
    let create = [
        "create",
        "--index",
        &index,
        "--dimension",
        &dimension,
        "--metric",
        "euclidean",
        "--m",
        "8",
        "--seed",
        "3",
    ];
    assert!(said(&create).contains("created"));
    refused(&create, "already");
    refused(
        &["add", "--index", &data.path("nothing"), &base],
        "no collection",
    );

    // Each batch is a line, and nothing else is said.
    let lines = said(&["add", "--index", &index, &base, "--batch", "128", "--json"]);
    let counts: Vec<u64> = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["acknowledged"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(counts, [128, 256, 300]);
    refused(
        &["add", "--index", &index, &base],
        "\"0\" is already in the collection",
    );
    let narrow = data.npy_of("narrow.npy", "<f4", &[1.0, 2.0], 2);
    refused(&["add", "--index", &index, &narrow], "components");

    // Ids of rows are their numbers: the same as with a file.
    let truth = data.truth(DistanceMetric::Euclidean, 10);
    truth.write(data.path("truth.npy").as_ref()).unwrap();
    let (truth_file, out) = (data.path("truth.npy"), data.path("out.npy"));
    let search = [
        "search",
        "--index",
        &index,
        "--queries",
        &queries,
        "--truth",
        &truth_file,
        "--out",
        &out,
        "--json",
    ];
    let report = json(&search);
    assert_eq!(
        (&report["recall"], &report["count"], &report["m"]),
        (&1.0.into(), &300.into(), &8.into())
    );
    assert!(report["open_ms"].as_f64().unwrap() > 0.0);
    let file = [
        &search[..1],
        &["--base", &base, "--metric", "euclidean", "--exact"],
        &search[3..5],
        &search[7..],
    ]
    .concat();
    let by_index = std::fs::read(&out).unwrap();
    json(&file);
    assert!(std::fs::read(&out).unwrap() == by_index);
    for (arguments, words) in [
        (
            &[
                "search",
                "--index",
                &index,
                "--queries",
                &queries,
                "--metric",
                "cosine",
            ][..],
            "cannot be used with",
        ),
        (
            &["search", "--queries", &queries, "--metric", "cosine"],
            "required",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    refused(
        &["search", "--index", &index, "--queries", &narrow],
        "components",
    );

    // Names, in text and in numbers.
    let names: Vec<String> = (0..300).map(|row| format!("name {row}")).collect();
    let names_file = data.write("names.txt", names.join("\r\n").as_bytes());
    let words = said(&["add", "--index", &index, &base, "--ids", &names_file]);
    assert!(words.contains("holds 600 vectors"), "{words}");
    let short = data.write("short.txt", b"one\ntwo\n");
    refused(&["add", "--index", &index, &base, "--ids", &short], "2 ids");
    let empty_line = data.write("empty.txt", b"one\n\ntwo\n");
    refused(
        &["delete", "--index", &index, "--ids", &empty_line],
        "empty",
    );
    refused(&search[..9], "is no row number");
    let hits = data.path("hits.jsonl");
    said(&[
        "search",
        "--index",
        &index,
        "--queries",
        &queries,
        "-k",
        "2",
        "--out",
        &hits,
    ]);
    let hits = std::fs::read_to_string(hits).unwrap();
    let first: Value = serde_json::from_str(hits.lines().next().unwrap()).unwrap();
    assert_eq!((hits.lines().count(), &first["query"]), (20, &0.into()));
    // The same vector twice: the one that was there first comes first.
    assert_eq!(
        first["hits"][1]["id"],
        format!("name {}", first["hits"][0]["id"].as_str().unwrap())
    );
    let filter = r#"{"must": [{"has_id": ["name 7", 9]}]}"#;
    let allowed = data.path("allowed.jsonl");
    said(&[
        "search",
        "--index",
        &index,
        "--queries",
        &queries,
        "--filter",
        filter,
        "--out",
        &allowed,
    ]);
    for line in std::fs::read_to_string(allowed).unwrap().lines() {
        let hits = serde_json::from_str::<Value>(line).unwrap();
        let mut ids: Vec<&str> = hits["hits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hit| hit["id"].as_str().unwrap())
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, ["9", "name 7"]);
    }
    refused(
        &[
            "search",
            "--index",
            &index,
            "--queries",
            &queries,
            "--filter",
            "{",
        ],
        "filter",
    );

    // Deleted, replaced, compacted, checked.
    let numbers = data.npy_of(
        "numbers.npy",
        "<i8",
        &(0..100u8).map(f32::from).collect::<Vec<_>>(),
        1,
    );
    let deleted = json(&["delete", "--index", &index, "--ids", &numbers, "--json"]);
    assert_eq!(
        (
            &deleted["deleted"],
            &deleted["missing"],
            &deleted["vectors"]
        ),
        (&100.into(), &0.into(), &500.into())
    );
    let deleted = json(&["delete", "--index", &index, "--ids", &numbers, "--json"]);
    assert_eq!(
        (&deleted["deleted"], &deleted["missing"]),
        (&0.into(), &100.into())
    );
    said(&[
        "add",
        "--index",
        &index,
        &base,
        "--ids",
        &names_file,
        "--replace",
    ]);
    let one = r#"{"must": [{"has_id": ["name 7"]}]}"#;
    let deleted = json(&["delete", "--index", &index, "--filter", one, "--json"]);
    assert_eq!(
        (&deleted["deleted"], &deleted["vectors"]),
        (&1.into(), &499.into())
    );
    let stats = json(&["stats", "--index", &index, "--json"]);
    assert_eq!(
        (&stats["vectors"], &stats["dead"], &stats["metric"]),
        (&499.into(), &401.into(), &"euclidean".into())
    );
    assert!(said(&["stats", "--index", &index]).contains("499 of 17 components"));
    let compacted = json(&["compact", "--index", &index, "--json"]);
    assert_eq!(
        (&compacted["vectors"], &compacted["dropped"]),
        (&499.into(), &401.into())
    );
    let checked = json(&["check", "--index", &index, "--json"]);
    assert_eq!(
        (&checked["linked"], &checked["problems"]),
        (&499.into(), &Value::Array(Vec::new()))
    );
    assert!(said(&["check", "--index", &index]).contains("all is well: 499 vectors"));
}

#[test]
fn check_says_what_is_wrong_and_fails() {
    let data = Data::new();
    let (base, index) = (data.path("base.npy"), data.path("index"));
    let dimension = DIMENSION.to_string();
    said(&[
        "create",
        "--index",
        &index,
        "--dimension",
        &dimension,
        "--metric",
        "cosine",
    ]);
    said(&["add", "--index", &index, &base]);
    said(&["compact", "--index", &index]);
    let fails = |words: &str| {
        let output = run(&["check", "--index", &index]);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        assert!(stdout(&output).contains(words), "{}", stdout(&output));
        assert!(
            stderr(&output).starts_with("error: "),
            "{}",
            stderr(&output)
        );
    };
    let damage = |name: &str, place: usize| {
        let path = Path::new(&index).join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[place] ^= 4;
        std::fs::write(&path, &bytes).unwrap();
        bytes.len()
    };
    damage("graph.snapshot", 700);
    fails("the graph's file cannot be used");
    // Opening builds it again.
    said(&["compact", "--index", &index]);
    said(&["check", "--index", &index]);
    // In the middle of a run of rows: a quarter of the file is nothing else.
    let store = std::fs::read(Path::new(&index).join("collection.redb")).unwrap();
    let row: Vec<u8> = data.base[100 * DIMENSION..101 * DIMENSION]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let place = store
        .windows(row.len())
        .position(|window| window == row)
        .unwrap();
    damage("collection.redb", place);
    fails("damaged");
    let output = run(&["add", "--index", &index, &base]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("damaged"), "{}", stderr(&output));
}
