//! Recall and work, held to what is on record in `tests/gates.json`.
//!
//! `scripts/bless-gates` writes the record anew, for a change that is meant: the difference then stands in the commit.

use std::path::Path;
use std::str::FromStr as _;

use vectorizer::gpu::context::{Context, DeviceChoice};
use vectorizer_bench::gate;

#[test]
fn recall_and_work_are_as_recorded() {
    let mut contexts = vec![("cpu", Context::cpu(), false)];
    if cfg!(feature = "gpu") {
        // The record of the GPU engine is that of the software adapter; other devices add in another order, and are near it.
        let wanted = match std::env::var("VECTORIZER_DEVICE").unwrap_or_default() {
            device if ["", "auto", "cpu"].contains(&device.as_str()) => {
                if cfg!(target_os = "macos") {
                    "gpu".to_owned()
                } else {
                    "software".to_owned()
                }
            }
            device => device,
        };
        let context = Context::with_choice(&DeviceChoice::from_str(&wanted).unwrap())
            .unwrap_or_else(|error| {
                panic!("this test needs an adapter: {error}. scripts/test installs one")
            });
        contexts.push(("gpu", context, true));
    }
    let mut now = Vec::new();
    for (engine, context, small) in &contexts {
        for case in gate::cases(*small) {
            now.push(gate::measure(&case, engine, context).unwrap());
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gates.json");
    if std::env::var_os("VECTORIZER_BLESS").is_some() {
        gate::write(&path, &now).unwrap();
        return;
    }
    let worse = gate::worse(&gate::read(&path).unwrap(), &now);
    assert!(
        worse.is_empty(),
        "{}\nIf that is meant: scripts/bless-gates, and say why in the commit.",
        worse.join("\n")
    );
}
