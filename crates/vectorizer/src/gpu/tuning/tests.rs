use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::file::{Place, in_use, write};
use super::*;
use crate::error::VectorizerError;
use crate::gpu::device::{Backend, DeviceInfo};

fn info() -> DeviceInfo {
    DeviceInfo {
        index: Some(0),
        pci_bus_id: None,
        name: "Abacus 3000 / \"Pro\"".to_owned(),
        backend: Backend::Vulkan,
        kind: DeviceKind::Discrete,
        vendor_id: 0x10de,
        device_id: 0x2335,
        driver: "beads 1.2".to_owned(),
        tier: Tier {
            workgroup_bytes: ROOMY,
            ..Tier::cpu()
        },
        memory: None,
        taken: false,
    }
}

fn default() -> Tuning {
    let info = info();
    Tuning::default_for(&info.tier, info.kind)
}

fn other() -> Tuning {
    Tuning {
        walk_threads: 256,
        few_walks: 32,
        dispatch_parts: 1_000_000_000,
        tile_depth: 2,
        ..default()
    }
}

fn opened(path: &Path, info: &DeviceInfo) -> TuningInUse {
    in_use(Place::File(path.to_owned()), info)
}

/// Why a file is refused; the device then has its default.
#[expect(clippy::panic, reason = "what helps a test fails as the test does")]
fn refusal(path: &Path, info: &DeviceInfo) -> TuningRefused {
    let tuning = opened(path, info);
    assert_eq!(tuning.values, Tuning::default_for(&info.tier, info.kind));
    match tuning.source {
        TuningSource::Refused(at, why) => {
            assert_eq!(at, path);
            why
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_is_among_the_choices_of_every_device() {
    for bytes in [16 << 10, ROOMY - 1, ROOMY, 1 << 20] {
        let tier = Tier {
            workgroup_bytes: bytes,
            ..Tier::cpu()
        };
        for kind in [
            DeviceKind::Discrete,
            DeviceKind::Integrated,
            DeviceKind::Virtual,
            DeviceKind::Software,
            DeviceKind::Cpu,
            DeviceKind::Unknown,
        ] {
            let default = Tuning::default_for(&tier, kind);
            default.validate(&tier, kind).unwrap();
            for knob in Knob::ALL {
                let choices = knob.choices(&tier, kind);
                assert!(choices.is_sorted_by(|a, b| a < b), "{knob:?} {choices:?}");
                for value in choices {
                    let tuning = knob.set(default, value);
                    assert_eq!(knob.of(&tuning), value);
                    tuning.validate(&tier, kind).unwrap();
                }
                let wrong = knob.set(default, 3).validate(&tier, kind).unwrap_err();
                assert!(
                    matches!(wrong, TuningRefused::OutOfRange { knob: of, value: 3, .. } if of == knob.name()),
                    "{wrong}"
                );
            }
        }
    }
}

#[test]
fn what_is_remembered_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/tuning.json");
    assert_eq!(opened(&path, &info()).source, TuningSource::Default);
    for tuning in [other(), default(), other()] {
        write(&path, &info(), &tuning).unwrap();
        let read = opened(&path, &info());
        assert_eq!(read.values, tuning);
        assert_eq!(read.source, TuningSource::File(path.clone()));
    }
    // Nothing else is left lying about.
    let there = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(there, 1);
}

#[test]
fn what_a_device_cannot_have_is_not_written_and_leaves_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    write(&path, &info(), &other()).unwrap();
    let wrong = Tuning {
        walk_threads: 65,
        ..default()
    };
    let error = write(&path, &info(), &wrong).unwrap_err();
    assert!(
        matches!(error, VectorizerError::FileRefused { .. }),
        "{error}"
    );
    assert_eq!(opened(&path, &info()).values, other());
    // A folder in the file's place, and a file in the folder's.
    let error = write(folder.path(), &info(), &other()).unwrap_err();
    assert!(
        matches!(error, VectorizerError::FileRefused { .. }),
        "{error}"
    );
    let error = write(&path.join("below"), &info(), &other()).unwrap_err();
    assert!(
        matches!(error, VectorizerError::FileFailed { .. }),
        "{error}"
    );
    let beside = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(beside, 1);
}

#[test]
fn a_file_of_anything_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    write(&path, &info(), &other()).unwrap();
    type Change = fn(&mut DeviceInfo);
    let changes: [(&str, Change); 5] = [
        ("device", |info| info.name.push('!')),
        ("backend", |info| info.backend = Backend::Dx12),
        ("PCI number", |info| info.vendor_id += 1),
        ("PCI number", |info| info.device_id += 1),
        ("driver", |info| info.driver = "beads 1.3".to_owned()),
    ];
    for (what, change) in changes {
        let mut info = info();
        change(&mut info);
        let why = refusal(&path, &info);
        assert!(
            matches!(why, TuningRefused::OfAnother { field, .. } if field == what),
            "{why}"
        );
    }
    let text = std::fs::read_to_string(&path).unwrap();
    for (field, what) in [("version", "version"), ("kernels", "sum of kernels")] {
        let mut record: Value = serde_json::from_str(&text).unwrap();
        record["measured_on"][field] = json!("older");
        std::fs::write(&path, record.to_string()).unwrap();
        let why = refusal(&path, &info());
        assert!(
            matches!(why, TuningRefused::OfAnother { field, .. } if field == what),
            "{why}"
        );
    }
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    write(&path, &info(), &other()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut record = record.clone();
        change(&mut record);
        record.to_string().into_bytes()
    };
    let malformed = [
        Vec::new(),
        b"{".to_vec(),
        b"\xff\xfe".to_vec(),
        b"[1, 2]".to_vec(),
        text.as_bytes()[..text.len() / 2].to_vec(),
        [text.as_bytes(), b"more"].concat(),
        changed(&|record| record["tuning"]["few_walks"] = json!(-1)),
        changed(&|record| record["tuning"]["few_walks"] = json!("16")),
        changed(&|record| record["tuning"]["few_walks"] = json!(1e30)),
        changed(&|record| record["tuning"]["team_width"] = json!(16)),
        changed(&|record| {
            drop(
                record["tuning"]
                    .as_object_mut()
                    .unwrap()
                    .remove("few_walks"),
            )
        }),
        changed(&|record| drop(record.as_object_mut().unwrap().remove("measured_on"))),
        [text.as_bytes(), vec![b' '; 64 << 10].as_slice()].concat(),
    ];
    for bytes in malformed {
        std::fs::write(&path, &bytes).unwrap();
        let why = refusal(&path, &info());
        assert!(
            matches!(why, TuningRefused::Malformed { .. }),
            "{why}: {}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(900)])
        );
    }
    for (field, value) in [
        ("walk_threads", 0u64),
        ("walk_threads", 96),
        ("few_walk_threads", 512),
        ("few_walks", u64::from(u32::MAX)),
        ("dispatch_parts", u64::MAX),
        ("tile_depth", 3),
        ("tile_groups", 0),
        ("scan_groups", 1),
    ] {
        let bytes = changed(&|record| record["tuning"][field] = json!(value));
        std::fs::write(&path, bytes).unwrap();
        let why = refusal(&path, &info());
        assert!(
            matches!(&why, TuningRefused::OutOfRange { knob, value: of, .. } if *knob == field && *of == value),
            "{why}"
        );
    }
    // Four parts at a time are not for a device with little workgroup memory.
    let mut small = info();
    small.tier.workgroup_bytes = ROOMY - 1;
    std::fs::write(
        &path,
        changed(&|record| record["tuning"]["tile_depth"] = json!(4)),
    )
    .unwrap();
    let why = refusal(&path, &small);
    assert!(matches!(why, TuningRefused::OutOfRange { .. }), "{why}");
    // A folder is no file.
    let why = refusal(folder.path(), &info());
    assert!(matches!(why, TuningRefused::Malformed { .. }), "{why}");
}

#[test]
fn a_file_has_its_place_by_the_environment_or_by_what_it_is_for() {
    let cache = || Some(PathBuf::from("/cache"));
    let place = |named: Option<&str>| Place::by(named.map(PathBuf::from), cache, &info());
    assert_eq!(place(Some("off")), Place::Off);
    assert_eq!(place(Some("t.json")), Place::File("t.json".into()));
    assert_eq!(place(Some("")), place(None));
    assert_eq!(Place::by(None, || None, &info()), Place::None);
    let file = place(None).file().unwrap();
    assert_eq!(file.parent(), Some(Path::new("/cache/vectorizer/tuning")));
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("abacus-3000----pro-"), "{name}");
    for place in [Place::Off, Place::None] {
        let error = place.file().unwrap_err();
        assert!(
            matches!(error, VectorizerError::FileRefused { .. }),
            "{error}"
        );
    }
    let mut changed = info();
    changed.driver.push('1');
    let after_an_update = Place::by(None, cache, &changed);
    assert_ne!(after_an_update, Place::File(file));

    assert_eq!(in_use(Place::Off, &info()).source, TuningSource::Off);
    assert_eq!(in_use(Place::None, &info()).source, TuningSource::Default);
}

#[test]
fn where_a_tuning_is_from_is_told() {
    let told = |source| {
        let tuning = TuningInUse {
            values: default(),
            source,
        };
        let json = serde_json::to_value(&tuning).unwrap();
        assert_eq!(json["values"]["tile_depth"], 4);
        (tuning.source.to_string(), json)
    };
    let (text, json) = told(TuningSource::Default);
    assert_eq!(
        (text.as_str(), &json["source"]),
        ("default", &json!("default"))
    );
    assert_eq!(
        (&json["path"], &json["reason"]),
        (&Value::Null, &Value::Null)
    );
    let (text, json) = told(TuningSource::Off);
    assert!(text.contains(TUNING_VARIABLE) && json["source"] == "off");
    let (text, json) = told(TuningSource::File("/t.json".into()));
    assert!(text.contains("/t.json") && json["source"] == "file" && json["path"] == "/t.json");
    let why = TuningRefused::Malformed {
        reason: "EOF".to_owned(),
    };
    let (text, json) = told(TuningSource::Refused("/t.json".into(), why));
    assert!(text.contains("/t.json") && text.contains("EOF"), "{text}");
    assert_eq!(json["source"], "refused");
    assert!(json["reason"].as_str().unwrap().contains("EOF"));
}
