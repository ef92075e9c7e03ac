//! How much memory is taken, and what happens where there is not enough.

use std::path::Path;

use vectorizer::models::DistanceMetric;

use super::*;

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
        said(&create(&index, "euclidean", &["--precision", precision]));
        said(&["add", "--index", &index, &files[0]]);
        let found = search_in(&index, &files[1], &["--json"]);
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
fn vectors_are_kept_where_they_are_wanted() {
    let data = Data::new();
    let files = [data.path("base.npy"), data.path("queries.npy")];
    let truth = data.path("truth.npy");
    data.truth(DistanceMetric::Euclidean, 10)
        .write(Path::new(&truth))
        .unwrap();
    let on = |place| {
        let more = [
            "--metric",
            "euclidean",
            "--truth",
            &truth,
            "--precision",
            "int8",
            "--device",
            "software",
            "--full-rows",
            place,
            "--json",
        ];
        json(&search(&files, &more))
    };
    let [device, ram] = ["device", "ram"].map(on);
    assert_eq!(device["full_rows"], "device");
    assert_eq!(device["ram_bytes"], 0);
    assert_eq!(ram["full_rows"], "ram");
    assert!(ram["ram_bytes"].as_u64() >= Some(300 * 17 * 4), "{ram}");
    assert!(ram["vram_bytes"].as_u64() < device["vram_bytes"].as_u64());
    assert_eq!(ram["recall"], device["recall"]);

    let index = data.path("words");
    let create = [
        "create",
        "--index",
        &index,
        "--dimension",
        "17",
        "--metric",
        "euclidean",
    ];
    let kind = ["--precision", "int8", "--full-rows", "ram"];
    said(&[&create[..], &kind].concat());
    said(&["add", "--index", &index, &files[0], "--device", "software"]);
    let find = [
        "search",
        "--index",
        &index,
        "--queries",
        &files[1],
        "--device",
        "software",
        "--json",
    ];
    let found = json(&find);
    assert_eq!(found["full_rows"], "ram");
    assert!(found["ram_bytes"].as_u64() > Some(0), "{found}");
    let found = json(&[&find[..], &["--full-rows", "device"]].concat());
    assert_eq!(
        (&found["full_rows"], &found["ram_bytes"]),
        (&"device".into(), &0.into())
    );
    let stats = ["stats", "--index", &index];
    assert!(said(&stats).contains("precision int8, full rows in ram"));
    assert_eq!(
        json(&[&stats[..], &["--json"]].concat())["full_rows"],
        "ram"
    );

    let out = data.path("report");
    let bench = [
        "bench",
        "--base",
        &files[0],
        "--queries",
        &files[1],
        "--metric",
        "euclidean",
        "--out",
        &out,
        "--full-rows",
        "ram",
    ];
    let asked = ["--metric", "euclidean", "--full-rows", "ram"];
    for arguments in [bench.to_vec(), search(&files, &asked)] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("int8"), "{}", stderr(&output));
    }
    assert!(
        !Path::new(&out).exists(),
        "nothing was done before it was refused"
    );
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
