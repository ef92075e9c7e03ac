//! The power goes, or the disk refuses, at every single write.

use super::disk::Left;
use super::*;

const STEPS: usize = 14;

/// A disk with an empty store on it.
fn formatted(folder: &Path) -> Disk {
    let disk = Disk::new(Vec::new());
    let store = Store::on(folder, disk.clone(), &header(), Durability::EveryBatch).unwrap();
    store.close().unwrap();
    Disk::new(disk.bytes())
}

/// Runs steps until one fails; how many did not.
fn run(collection: &Collection, steps: &[Step]) -> usize {
    steps
        .iter()
        .position(|step| match step.run(collection) {
            Ok(()) => false,
            Err(VectorizerError::StoreFailed { .. }) => true,
            Err(error) => panic!("{step:?} gave {error}"),
        })
        .unwrap_or(steps.len())
}

/// How many operations the steps and what follows them take when nothing goes wrong.
fn operations(folder: &Path, steps: &[Step], durability: Durability) -> usize {
    let disk = formatted(folder);
    let collection = open(folder, &disk, durability).unwrap();
    disk.refuse(usize::MAX, false);
    assert_eq!(run(&collection, steps), steps.len());
    collection.close().unwrap();
    disk.operations()
}

#[test]
fn a_power_cut_at_every_write_loses_nothing_that_was_acknowledged() {
    let folder = folder();
    let steps = steps(1, STEPS);
    let total = operations(folder.path(), &steps, Durability::EveryBatch);
    assert!(
        total > 2 * STEPS,
        "{total} writes are too few to say anything"
    );
    let formatted = formatted(folder.path());
    for number in 0..=total {
        let disk = Disk::new(formatted.bytes());
        let collection = open(folder.path(), &disk, Durability::EveryBatch).unwrap();
        disk.refuse(number, true);
        let done = run(&collection, &steps);
        let before = model_after(&steps[..done]);
        assert_eq!(
            contents(&collection, &[&before]),
            before,
            "in memory, refused at {number}"
        );
        drop(collection);
        let after = model_after(&steps[..(done + 1).min(steps.len())]);
        for left in [
            Left::Nothing,
            Left::Everything,
            Left::Some(number as u64),
            Left::Some(!number as u64),
        ] {
            let found = disk.after_power_cut(left);
            let collection = open(folder.path(), &found, Durability::EveryBatch)
                .unwrap_or_else(|error| panic!("power cut at {number}, left {left:?}: {error}"));
            let held = contents(&collection, &[&before, &after]);
            assert!(
                held == before || held == after,
                "power cut at {number}, left {left:?}: {} of {} or {}",
                held.len(),
                before.len(),
                after.len()
            );
        }
    }
}

#[test]
fn what_waits_for_a_flush_is_lost_in_whole_steps() {
    let folder = folder();
    let steps = steps(2, STEPS);
    let total = operations(folder.path(), &steps, Durability::OnFlush);
    let formatted = formatted(folder.path());
    for number in 0..=total {
        let disk = Disk::new(formatted.bytes());
        let collection = open(folder.path(), &disk, Durability::OnFlush).unwrap();
        disk.refuse(number, true);
        let done = run(&collection, &steps);
        drop(collection);
        let flushed = steps[..done]
            .iter()
            .rposition(|step| matches!(step, Step::Flush | Step::Compact))
            .map_or(0, |last| last + 1);
        for left in [Left::Nothing, Left::Everything, Left::Some(number as u64)] {
            let found = disk.after_power_cut(left);
            let collection = open(folder.path(), &found, Durability::OnFlush).unwrap();
            let held = contents(&collection, &[]);
            let possible = flushed..=(done + 1).min(steps.len());
            assert!(
                possible
                    .clone()
                    .any(|count| held == model_after(&steps[..count])),
                "power cut at {number}, left {left:?}: none of the states after {possible:?} steps"
            );
        }
    }
}

#[test]
fn a_disk_that_refuses_once_leaves_memory_and_file_at_what_was_acknowledged() {
    let folder = folder();
    let steps = steps(3, STEPS);
    let total = operations(folder.path(), &steps, Durability::EveryBatch);
    let formatted = formatted(folder.path());
    let one_more = Step::Upsert(vec![Vector {
        id: "one more".to_owned(),
        data: vec![50.0; DIMENSION],
        payload: None,
    }]);
    for number in 0..total {
        let disk = Disk::new(formatted.bytes());
        let collection = open(folder.path(), &disk, Durability::EveryBatch).unwrap();
        disk.refuse(number, false);
        let done = run(&collection, &steps);
        let mut before = model_after(&steps[..done]);
        let mut after = model_after(&steps[..(done + 1).min(steps.len())]);
        assert_eq!(
            contents(&collection, &[&before, &after]),
            before,
            "refused at {number}"
        );
        // Either it goes on from there, or it says that it cannot.
        match one_more.run(&collection) {
            Ok(()) => {
                one_more.model(&mut before);
                after = before.clone();
            }
            Err(VectorizerError::StoreFailed { .. }) if done == steps.len() => {
                one_more.model(&mut after)
            }
            Err(VectorizerError::StoreFailed { .. }) => {}
            Err(error) => panic!("refused at {number}, then {error}"),
        }
        assert_eq!(
            contents(&collection, &[&before]),
            before,
            "refused at {number}"
        );
        drop(collection);
        let again = Disk::new(disk.bytes());
        let collection = open(folder.path(), &again, Durability::EveryBatch).unwrap();
        let held = contents(&collection, &[&before, &after]);
        assert!(held == before || held == after, "refused at {number}");
    }
}
