//! A process that adds, replaces and deletes is killed at random moments. What it had said was done has to be there, and nothing by halves.
//!
//! `VECTORIZER_KILLS` says how often; without it, a hundred times.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a child process reports on its standard output"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vectorizer::collection::{Collection, OpenOptions};
use vectorizer::config::{CollectionOptions, HnswConfig};
use vectorizer::error::VectorizerError;
use vectorizer::gpu::context::Context;
use vectorizer::models::{DistanceMetric, Vector};
use vectorizer::store::Durability;

const DIMENSION: usize = 5;
const FOLDER: &str = "VECTORIZER_CRASH_FOLDER";
const FIRST: &str = "VECTORIZER_CRASH_FIRST";
/// Changes to one collection before a new one is made.
const CHANGES: usize = 100;
/// How long a child lives on average once it has the collection open, and the longest life of one in four that is not let to.
const LIFE: Duration = Duration::from_millis(50);
const SHORT_LIFE: Duration = Duration::from_millis(20);

/// What a collection should hold: id to vector and payload.
type Model = BTreeMap<String, (Vec<f32>, Option<Value>)>;

#[derive(Debug)]
enum Change {
    Add(Vec<Vector>),
    Upsert(Vec<Vector>),
    Delete(Vec<String>),
    SetPayload(String, Option<Value>),
    Optimize,
    Compact,
}

fn vector(random: &mut fastrand::Rng, id: usize) -> Vector {
    Vector {
        id: format!("id {id}"),
        data: (0..DIMENSION).map(|_| random.f32() - 0.5).collect(),
        payload: random
            .bool()
            .then(|| json!({ "id": id, "drawn": random.u32(..) }).into()),
    }
}

/// The change of this number, which depends on it and on what is there alone: parent and child agree on it without a word.
fn change(number: usize, model: &Model) -> Change {
    let mut random = fastrand::Rng::with_seed(number as u64);
    let ids: Vec<&String> = model.keys().collect();
    let some = |random: &mut fastrand::Rng, most: usize| {
        let chosen: Vec<String> = random
            .choose_multiple(ids.iter(), most)
            .into_iter()
            .map(|id| (*id).clone())
            .collect();
        chosen
    };
    let fresh = number * 64..number * 64 + random.usize(1..64);
    match (number % 8, ids.len()) {
        (0 | 3 | 6, _) | (_, 0) => Change::Add(fresh.map(|id| vector(&mut random, id)).collect()),
        (1, _) => {
            let old = some(&mut random, 10);
            let new = fresh.take(5).map(|id| format!("id {id}"));
            let vectors = old.into_iter().chain(new).map(|id| Vector {
                id,
                ..vector(&mut random, 0)
            });
            Change::Upsert(vectors.collect())
        }
        (2 | 5, _) => Change::Delete(some(&mut random, 12)),
        (4, _) => Change::SetPayload(
            some(&mut random, 1).remove(0),
            random.bool().then(|| json!([number])),
        ),
        (_, _) if number % 32 == 31 => Change::Compact,
        _ => Change::Optimize,
    }
}

impl Change {
    fn apply(self, collection: &Collection) -> Result<(), VectorizerError> {
        match self {
            Self::Add(vectors) => collection.add_vectors_batch(vectors),
            Self::Upsert(vectors) => collection.upsert_vectors_batch(vectors),
            Self::Delete(ids) => collection.delete_batch(&ids),
            Self::SetPayload(id, payload) => collection.set_payload(&id, payload.map(Into::into)),
            Self::Optimize => collection.optimize(),
            Self::Compact => collection.compact().map(drop),
        }
    }

    fn model(self, model: &mut Model) {
        match self {
            Self::Add(vectors) | Self::Upsert(vectors) => {
                for Vector { id, data, payload } in vectors {
                    model.insert(id, (data, payload.map(|payload| payload.0)));
                }
            }
            Self::Delete(ids) => ids.iter().for_each(|id| drop(model.remove(id))),
            Self::SetPayload(id, payload) => model.get_mut(&id).unwrap().1 = payload,
            Self::Optimize | Self::Compact => {}
        }
    }
}

/// What there is after so many changes.
fn model_after(changes: usize) -> Model {
    let mut model = Model::new();
    for number in 0..changes {
        change(number, &model).model(&mut model);
    }
    model
}

fn open(path: &Path) -> Result<Collection, VectorizerError> {
    let options = OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    };
    Collection::open_with(
        path,
        &Context::cpu(),
        options,
        |_| ControlFlow::Continue(()),
    )
}

fn open_or_create(path: &Path) -> Collection {
    match open(path) {
        Err(VectorizerError::StoreMissing { .. }) => {
            let options = CollectionOptions {
                hnsw: HnswConfig {
                    max_connections: 4,
                    ef_construction: 10,
                    ..HnswConfig::default()
                },
                threads: 1,
                ..CollectionOptions::default()
            };
            let metric = DistanceMetric::Cosine;
            Collection::create_with(
                path,
                &Context::cpu(),
                DIMENSION,
                metric,
                options,
                Durability::EveryBatch,
            )
            .unwrap()
        }
        opened => opened.unwrap(),
    }
}

/// Not a test by itself: what runs in the child. It goes on until it is killed.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let first: usize = std::env::var(FIRST).unwrap().parse().unwrap();
    let mut model = model_after(first);
    let collection = open_or_create(Path::new(&folder));
    say("open");
    for number in first..CHANGES {
        change(number, &model).apply(&collection).unwrap();
        say(&format!("acknowledged {number}"));
        change(number, &model).model(&mut model);
    }
}

/// Whole and at once: the parent believes lines that end.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Lets a child make changes from `first` on, kills it at a random moment, and says how many changes it had acknowledged by then.
/// Most lives are short, some long: whatever takes a while is finished now and then.
fn live(folder: &Path, first: usize, mean: Duration, random: &mut fastrand::Rng) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (opened, is_open) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut last = None;
        for line in output.lines().map_while(Result::ok) {
            if line == "open" {
                // The parent may not have waited for it.
                let _ = opened.send(());
            } else if let Some(number) = line.strip_prefix("acknowledged ") {
                last = number.parse::<usize>().ok();
            }
        }
        last
    });
    let life = if random.u8(..4) == 0 {
        SHORT_LIFE.mul_f64(random.f64())
    } else {
        // An error says that it ended before.
        let _ = is_open.recv();
        mean.mul_f64(-(1.0 - random.f64()).ln())
    };
    let born = Instant::now();
    while born.elapsed() < life && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    // It was killed, or there was nothing left to do: anything else is a failure of its own.
    assert!(
        status.code().is_none_or(|code| code == 0),
        "the child ended by itself: {status}"
    );
    reader.join().unwrap().map_or(first, |last| last + 1)
}

/// Opens what a killed child left and holds it against what it acknowledged, and against the one change that may have become durable in
/// the moment before it could be acknowledged. Whether that is there.
fn inspect(folder: &Path, acknowledged: &Model, one_more: &Model) -> bool {
    let collection = match open(folder) {
        Ok(collection) => collection,
        // Killed before there was one.
        Err(VectorizerError::StoreMissing { .. }) if acknowledged.is_empty() => return false,
        Err(error) => panic!("it does not open: {error}"),
    };
    let held: Model = (0..CHANGES * 64 + 64)
        .map(|id| format!("id {id}"))
        .filter_map(|id| collection.get_vector(&id).ok())
        .map(|vector| {
            (
                vector.id,
                (vector.data, vector.payload.map(|payload| payload.0)),
            )
        })
        .collect();
    assert_eq!(held.len(), collection.vector_count());
    let count = held.len();
    if let Some((_, (query, _))) = held.first_key_value() {
        assert_eq!(collection.search(query, count + 1).unwrap().len(), count);
    }
    collection.close().unwrap();
    let report = Collection::check_files(folder).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(
        held == *acknowledged || held == *one_more,
        "{} vectors are neither the {} acknowledged nor those after one more change",
        held.len(),
        acknowledged.len()
    );
    held != *acknowledged
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_there_by_halves() {
    let kills = std::env::var("VECTORIZER_KILLS").map_or(100, |kills| kills.parse().unwrap());
    let seed = std::env::var("VECTORIZER_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    println!("VECTORIZER_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let mut folder = tempfile::tempdir_in(&root).unwrap();
    let collection = |folder: &tempfile::TempDir| -> PathBuf { folder.path().join("collection") };
    let (mut there, mut changes) = (0, 0);
    let mut model = Model::new();
    let mut mean = LIFE;
    for _ in 0..kills {
        let acknowledged = live(&collection(&folder), there, mean, &mut random);
        let before = there;
        while there < acknowledged {
            change(there, &model).model(&mut model);
            there += 1;
        }
        let mut one_more = model.clone();
        if there < CHANGES {
            change(there, &model).model(&mut one_more);
        }
        if inspect(&collection(&folder), &model, &one_more) {
            model = one_more;
            there += 1;
        }
        changes += there - before;
        // A machine that is busy elsewhere gets its time.
        mean = if there == before { mean * 2 } else { LIFE };
        if there + 8 > CHANGES {
            folder = tempfile::tempdir_in(&root).unwrap();
            (there, model) = (0, Model::new());
        }
    }
    println!("{kills} kills, {changes} changes");
    assert!(
        changes > kills,
        "{changes} changes in {kills} lives: too few to say anything"
    );
}
