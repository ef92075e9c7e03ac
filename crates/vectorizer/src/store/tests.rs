//! The store on disks that fail, lose power, and rot.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::collection::{Collection, OpenOptions};
use crate::config::HnswConfig;
use crate::gpu::context::Context;
use crate::json::READ_DEPTH;
use crate::models::{DistanceMetric, Payload, Vector};

mod damage;
mod disk;
mod merge;
mod payloads;
mod power;
mod torn;

use disk::Disk;

const DIMENSION: usize = 3;

/// What a collection should hold.
type Model = BTreeMap<String, (Vec<f32>, Option<Value>)>;

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<Vector>),
    Upsert(Vec<Vector>),
    Delete(Vec<String>),
    SetPayload(String, Option<Value>),
    Compact,
    Flush,
}

impl Step {
    fn run(&self, collection: &Collection) -> Result<()> {
        match self {
            Self::Add(vectors) => collection.add_vectors_batch(vectors),
            Self::Upsert(vectors) => collection.upsert_vectors_batch(vectors),
            Self::Delete(ids) => collection.delete_batch(ids),
            Self::SetPayload(id, payload) => {
                collection.set_payload(id, payload.clone().map(Payload))
            }
            Self::Compact => collection.compact().map(drop),
            Self::Flush => collection.flush(),
        }
    }

    fn model(&self, model: &mut Model) {
        match self {
            Self::Add(vectors) | Self::Upsert(vectors) => {
                for vector in vectors {
                    let payload = vector.payload.clone().map(|payload| payload.0);
                    model.insert(vector.id.clone(), (vector.data.clone(), payload));
                }
            }
            Self::Delete(ids) => ids.iter().for_each(|id| drop(model.remove(id))),
            Self::SetPayload(id, payload) => {
                model.get_mut(id).unwrap().1.clone_from(payload);
            }
            Self::Compact | Self::Flush => {}
        }
    }
}

fn vector(random: &mut fastrand::Rng, id: u32) -> Vector {
    let value = random.u32(..1000);
    Vector {
        id: format!("id-{id}"),
        data: (0..DIMENSION)
            .map(|_| random.i32(-9..9) as f32 + 0.25)
            .collect(),
        payload: random
            .bool()
            .then(|| json!({ "value": value, "of": id }).into()),
    }
}

/// Every kind of change, some of them large enough for more than a page.
fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = Model::new();
    let mut fresh = 0;
    let mut steps = Vec::new();
    while steps.len() < count {
        let ids: Vec<String> = model.keys().cloned().collect();
        let mut some = |most: usize| {
            let mut some = random.choose_multiple(ids.iter().cloned(), most.min(ids.len()));
            some.sort_unstable();
            some
        };
        let step = match steps.len() % 7 {
            0 | 3 => {
                let vectors = (fresh..fresh + 40)
                    .map(|id| vector(&mut random, id))
                    .collect();
                fresh += 40;
                Step::Add(vectors)
            }
            1 => {
                let number = |id: &String| id[3..].parse().unwrap();
                let old: Vec<u32> = some(9).iter().map(number).collect();
                let ids = old.into_iter().chain(fresh..fresh + 4);
                let vectors = ids.map(|id| vector(&mut random, id)).collect();
                fresh += 4;
                Step::Upsert(vectors)
            }
            2 => Step::Delete(some(13)),
            4 => Step::SetPayload(some(1).remove(0), random.bool().then(|| json!([1, "two"]))),
            5 => Step::Compact,
            _ => Step::Flush,
        };
        step.model(&mut model);
        steps.push(step);
    }
    steps
}

fn header() -> Header {
    Header {
        format: FIRST_FORMAT,
        uuid: "0123456789abcdef0123456789abcdef".to_owned(),
        dimension: DIMENSION,
        metric: DistanceMetric::Euclidean,
        hnsw: HnswConfig {
            max_connections: 2,
            ef_construction: 20,
            ..HnswConfig::default()
        },
        seed: 5,
        precision: crate::config::Precision::F32,
        full_rows: crate::config::FullRows::Device,
    }
}

fn open(folder: &Path, disk: &Disk, durability: Durability) -> Result<Collection> {
    let store = Store::on(folder, disk.clone(), &header(), durability)?;
    let options = OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    };
    Collection::of_store(store, &Context::cpu(), options, |_| {
        ControlFlow::Continue(())
    })
}

/// What a collection holds, by all ways in: each vector by id, and all by an exact search, nearest first.
fn contents(collection: &Collection, known: &[&Model]) -> Model {
    let count = collection.vector_count();
    let hits = collection
        .search(&[0.0; DIMENSION], count + 1)
        .unwrap_or_default();
    assert_eq!(hits.len(), count);
    assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance));
    let mut model = Model::new();
    for hit in hits {
        let vector = collection.get_vector(&hit.id).unwrap();
        let length = vector.data.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!(
            (length - hit.distance).abs() <= 1e-4 * length,
            "{hit:?} is no {vector:?}"
        );
        model.insert(
            hit.id,
            (vector.data, vector.payload.map(|payload| payload.0)),
        );
    }
    for id in known.iter().flat_map(|model| model.keys()) {
        assert_eq!(collection.contains(id), model.contains_key(id));
    }
    model
}

fn model_after(steps: &[Step]) -> Model {
    let mut model = Model::new();
    for step in steps {
        step.model(&mut model);
    }
    model
}

/// A folder where nothing waits for a disk, if there is one.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}
