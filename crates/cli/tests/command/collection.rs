//! A collection on disk.

use std::path::Path;

use vectorizer::models::DistanceMetric;

use super::*;

#[test]
fn a_collections_life() {
    let data = Data::new();
    let [base, queries, index] = ["base.npy", "queries.npy", "index"].map(|name| data.path(name));
    let create = create(&index, "euclidean", &["--m", "8", "--seed", "3"]);
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
    let more = ["--truth", &truth_file, "--out", &out, "--json"];
    let search = search_in(&index, &queries, &more);
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
            search_in(&index, &queries, &["--metric", "cosine"]),
            "cannot be used with",
        ),
        (
            vec!["search", "--queries", &queries, "--metric", "cosine"],
            "required",
        ),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
    refused(&search_in(&index, &narrow, &[]), "components");

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
    said(&search_in(&index, &queries, &["-k", "2", "--out", &hits]));
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
    let more = ["--filter", filter, "--out", &allowed];
    said(&search_in(&index, &queries, &more));
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
    refused(&search_in(&index, &queries, &["--filter", "{"]), "filter");

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
    said(&create(&index, "cosine", &[]));
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
