//! `search` on files.

use std::path::Path;

use vectorizer::models::DistanceMetric;
use vectorizer_bench::truth;

use super::*;

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
fn more_threads_than_are_of_use_are_refused_with_words() {
    let data = Data::new();
    let good = [data.path("base.npy"), data.path("queries.npy")];
    let with = |threads: &str| {
        let more = ["--metric", "euclidean", "--threads", threads];
        run(&search(&good, &more))
    };
    for threads in ["1024000", "-1", "many"] {
        let output = with(threads);
        assert_eq!(output.status.code(), Some(2), "{threads}");
        assert_eq!(stdout(&output), "");
    }
    let output = with("1024000");
    assert!(
        stderr(&output).contains("four for each core"),
        "{}",
        stderr(&output)
    );
    assert!(with("64").status.success());
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

/// Runs a command whose output nobody reads, and says how it ended.
fn unheard(arguments: &[&str]) -> Option<i32> {
    let mut child = vectorizer(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.wait_with_output().unwrap().status.code()
}

#[test]
fn work_goes_on_where_nobody_listens_and_the_status_tells_how_it_ended() {
    let data = Data::new();
    let (base, index) = (data.path("base.npy"), data.path("index"));
    assert_eq!(unheard(&create(&index, "euclidean", &[])), Some(0));
    let add = ["add", "--index", &index, &base, "--batch", "1", "--json"];
    assert_eq!(unheard(&add), Some(0));
    let vectors = || json(&["stats", "--index", &index, "--json"])["vectors"].clone();
    assert_eq!(vectors(), 300);
    // What fails fails, whoever listens.
    assert_eq!(unheard(&add), Some(2));
    assert_eq!(unheard(&["info", "--device", "abacus"]), Some(2));
    let out = data.path("out.jsonl");
    let export = ["export", "--index", &index, "--format", "jsonl", &out];
    assert_eq!(unheard(&export), Some(0));
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), 300);
    let import = ["import", "--index", &index, "--format", "jsonl", &out];
    assert_eq!(unheard(&[&import[..], &["--replace"]].concat()), Some(0));
    assert_eq!(unheard(&["compact", "--index", &index]), Some(0));
    assert_eq!(unheard(&["check", "--index", &index]), Some(0));
    let path = Path::new(&index).join("collection.redb");
    let store = std::fs::read(&path).unwrap();
    let row: Vec<u8> = data.base[100 * DIMENSION..101 * DIMENSION]
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    let place = store.windows(row.len()).position(|window| window == row);
    let mut damaged = store.clone();
    damaged[place.unwrap()] ^= 4;
    std::fs::write(&path, damaged).unwrap();
    assert_eq!(unheard(&["check", "--index", &index]), Some(1));
    std::fs::write(&path, store).unwrap();
    assert_eq!(
        unheard(&["delete", "--index", &index, "--all", "--json"]),
        Some(0)
    );
    assert_eq!(vectors(), 0);
}
