//! The power goes at every step of a collection's life: folders, files, the graph and copies with the store, by what passed the door to the file system.

use super::*;
use crate::collection::Opening;
use crate::config::CollectionOptions;
use crate::disk::recorder::{Left, Medium, Operation, Recording};

/// What a life was told, and after how many operations.
#[derive(Debug)]
struct Life {
    before: Medium,
    operations: Vec<Operation>,
    steps: Vec<Step>,
    durability: Durability,
    created: usize,
    /// For each step that was acknowledged.
    done: Vec<usize>,
    copied: usize,
}

const PATH: &str = "new/newer/collection";
const COPY: &str = "copies/of/it";

fn options() -> CollectionOptions {
    CollectionOptions {
        hnsw: header().hnsw,
        seed: 5,
        threads: 1,
        ..CollectionOptions::default()
    }
}

fn create(path: &Path, durability: Durability) -> Collection {
    let (context, metric) = (Context::cpu(), DistanceMetric::Euclidean);
    Collection::create_with(path, &context, DIMENSION, metric, options(), durability).unwrap()
}

fn live(durability: Durability) -> Life {
    let folder = folder();
    let recording = Recording::below(folder.path()).unwrap();
    let collection = create(&folder.path().join(PATH), durability);
    let created = recording.len();
    let steps = steps(7, 14);
    let mut done = Vec::new();
    for step in &steps {
        step.run(&collection).unwrap();
        done.push(recording.len());
    }
    collection.snapshot(folder.path().join(COPY)).unwrap();
    let copied = recording.len();
    collection.close().unwrap();
    Life {
        before: recording.medium(),
        operations: recording.operations(),
        steps,
        durability,
        created,
        done,
        copied,
    }
}

/// What an opened collection holds; what it says of itself is believed here, others look closer.
fn held(path: &Path) -> Result<(Model, usize)> {
    let mut linked_anew = 0;
    let options = OpenOptions {
        threads: 1,
        ..OpenOptions::default()
    };
    let collection = Collection::open_with(path, &Context::cpu(), options, |now| {
        if let Opening::Linking(progress) = now {
            linked_anew = progress.linked;
        }
        ControlFlow::Continue(())
    })?;
    collection.check()?;
    let model = collection.vectors(None).map(|vector| {
        vector.map(|vector| {
            let payload = vector.payload.map(|payload| payload.0);
            (vector.id, (vector.data, payload))
        })
    });
    Ok((model.collect::<Result<Model>>()?, linked_anew))
}

impl Life {
    /// What is wrong with what a power cut leaves after so many operations.
    fn judge(&self, count: usize, tree: &Path) -> std::result::Result<(), String> {
        let said = |error: VectorizerError| error.to_string();
        let done = self.done.iter().filter(|at| **at <= count).count();
        let lasting = match self.durability {
            Durability::EveryBatch => done,
            Durability::OnFlush => self.steps[..done]
                .iter()
                .rposition(|step| matches!(step, Step::Compact | Step::Flush))
                .map_or(0, |last| last + 1),
        };
        let path = tree.join(PATH);
        let copy = tree.join(COPY);
        match Collection::check_files(&path) {
            Err(VectorizerError::StoreMissing { .. }) if count < self.created => {}
            report => {
                let problems = report.map_err(said)?.problems;
                if !problems.is_empty() {
                    return Err(format!("check: {problems:?}"));
                }
                let (model, _) = held(&path).map_err(said)?;
                let mut possible = lasting..=(done + 1).min(self.steps.len());
                if !possible.any(|steps| model == model_after(&self.steps[..steps])) {
                    return Err(format!(
                        "{} vectors are not those after {lasting} to {} steps",
                        model.len(),
                        done + 1
                    ));
                }
            }
        }
        match Collection::check_files(&copy) {
            Err(VectorizerError::StoreMissing { .. }) if count < self.copied => {}
            report => {
                let report = report.map_err(said)?;
                let stale = (report.problems, report.will_be_rebuilt);
                if stale != (Vec::new(), Vec::new()) {
                    return Err(format!("check of the copy: {stale:?}"));
                }
                let (model, _) = held(&copy).map_err(said)?;
                if model != model_after(&self.steps) {
                    return Err("the copy is not whole".to_owned());
                }
            }
        }
        Ok(())
    }

    /// The power goes before every change of names, every sync and some writes, beginning at an operation. The first thing that is wrong, where something is. Operations
    /// that are `ignored` were acknowledged and never happened.
    fn cuts(
        &self,
        from: usize,
        lefts: &[Left],
        ignored: impl Fn(usize, &Operation) -> bool,
    ) -> std::result::Result<usize, String> {
        let folder = folder();
        let mut medium = self.before.clone();
        let mut random = fastrand::Rng::with_seed(3);
        let mut cuts = 0;
        for (number, operation) in self.operations.iter().enumerate() {
            let written = matches!(operation, Operation::Write(..) | Operation::SetLen(..));
            let some = !written || random.u8(..12) == 0;
            if some && number >= from {
                for left in lefts {
                    let tree = folder.path().join(cuts.to_string());
                    medium.cut(*left, &tree).unwrap();
                    self.judge(number, &tree)
                        .map_err(|wrong| format!("at {number} ({left:?}): {wrong}"))?;
                    std::fs::remove_dir_all(tree).unwrap();
                    cuts += 1;
                }
            }
            if !ignored(number, operation) {
                medium.apply(operation);
            }
        }
        let tree = folder.path().join("end");
        medium.cut(Left::Nothing, &tree).unwrap();
        self.judge(self.operations.len(), &tree)
            .map_err(|wrong| format!("at the end: {wrong}"))?;
        Ok(cuts)
    }

    fn is_folder(operation: &Operation, name: &str) -> bool {
        matches!(operation, Operation::SyncFolder(path) if path == Path::new(name))
    }

    /// Files that were made under these names.
    fn files(&self, path: &str) -> Vec<usize> {
        let made = self.operations.iter().filter_map(|made| match made {
            Operation::Create(name, number) if name.as_path() == Path::new(path) => Some(*number),
            _ => None,
        });
        made.collect()
    }
}

#[test]
fn a_power_cut_leaves_what_was_acknowledged_with_its_folders_graph_and_copies() {
    for durability in [Durability::EveryBatch, Durability::OnFlush] {
        let life = live(durability);
        let lefts = [
            Left::Nothing,
            Left::Everything,
            Left::Names,
            Left::Bytes,
            Left::Some(11),
            Left::Some(12),
        ];
        let cuts = life.cuts(0, &lefts, |_, _| false).unwrap();
        assert!(cuts > 200, "{cuts} cuts are too few to say anything");
    }
}

/// So that the test above can fail: whichever sync is left out, it does.
#[test]
fn without_any_one_of_its_syncs_something_is_lost() {
    let life = live(Durability::EveryBatch);
    let lefts = [Left::Nothing, Left::Names];
    let copying = life.done[life.done.len() - 1];
    let fails = |what: &str, ignored: &dyn Fn(usize, &Operation) -> bool| {
        // Nothing of a copy can be lost before it is begun.
        let from = if what.contains("copies") { copying } else { 0 };
        let used = life
            .operations
            .iter()
            .enumerate()
            .any(|(number, operation)| ignored(number, operation));
        assert!(used, "there is no {what}");
        assert!(
            life.cuts(from, &lefts, ignored).is_err(),
            "nothing is lost without {what}"
        );
    };
    fails("any sync", &|_, operation| {
        matches!(operation, Operation::Sync(_) | Operation::SyncFolder(_))
    });
    for folder in ["", "new", "new/newer", PATH, "copies", "copies/of", COPY] {
        fails(
            &format!("sync of the folder {folder:?}"),
            &|_, operation| Life::is_folder(operation, folder),
        );
    }
    for file in [
        format!("{PATH}/collection.redb.part"),
        format!("{PATH}/graph.snapshot.part"),
        format!("{COPY}/collection.redb.part"),
        format!("{COPY}/graph.snapshot.part"),
    ] {
        let numbers = life.files(&file);
        fails(
            &format!("sync of {file}"),
            &|_, operation| matches!(operation, Operation::Sync(number) if numbers.contains(number)),
        );
    }
}

#[test]
fn a_flushed_graph_is_not_replaced_by_one_of_rows_that_are_not_on_the_disk() {
    let folder = folder();
    let mut random = fastrand::Rng::with_seed(8);
    let mut some = |ids: std::ops::Range<u32>| -> Vec<Vector> {
        ids.map(|id| vector(&mut random, id)).collect()
    };
    let path = folder.path().join("collection");
    // What is opened before is not seen.
    let recording = Recording::below(folder.path()).unwrap();
    let collection = create(&path, Durability::OnFlush);
    collection.add_vectors_batch(some(0..60)).unwrap();
    collection.optimize().unwrap();
    collection.flush().unwrap();
    let (mut flushed, before) = (recording.medium(), recording.operations());
    before.iter().for_each(|done| flushed.apply(done));
    collection.add_vectors_batch(some(60..120)).unwrap();
    collection.optimize().unwrap();
    collection.add_vectors_batch(some(120..180)).unwrap();
    collection.optimize().unwrap();
    let operations = recording.operations().split_off(before.len());
    drop(recording);
    let names = |operation: &Operation| matches!(operation, Operation::Rename(..));
    assert_eq!(operations.iter().filter(|done| names(done)).count(), 2);
    let cuts = |ignored: &dyn Fn(&Operation) -> bool| -> std::result::Result<(), String> {
        let mut medium = flushed.clone();
        let trees = self::folder();
        for (number, operation) in operations.iter().enumerate() {
            for left in [Left::Nothing, Left::Names, Left::Some(number as u64)] {
                let tree = trees.path().join(format!("{number} {left:?}"));
                medium.cut(left, &tree).unwrap();
                let (model, linked_anew) = held(&tree.join("collection"))
                    .map_err(|error| format!("at {number} ({left:?}): {error}"))?;
                if linked_anew > 0 || model.len() < 60 {
                    return Err(format!(
                        "at {number} ({left:?}): {} vectors, {linked_anew} linked anew",
                        model.len()
                    ));
                }
                std::fs::remove_dir_all(tree).unwrap();
            }
            if !ignored(operation) {
                medium.apply(operation);
            }
        }
        Ok(())
    };
    cuts(&|_| false).unwrap();
    // The store's syncs, and those of the graph's file, are what this is about.
    let store = operations.iter().find_map(|done| match done {
        Operation::Write(number, ..) => Some(*number),
        _ => None,
    });
    cuts(&|done| matches!(done, Operation::Sync(number) if Some(*number) == store)).unwrap_err();
    cuts(&|done| matches!(done, Operation::Sync(number) if Some(*number) != store)).unwrap_err();
    drop(collection);
}
