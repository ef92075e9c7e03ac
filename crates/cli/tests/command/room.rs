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
