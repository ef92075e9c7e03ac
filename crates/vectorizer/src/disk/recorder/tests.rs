//! What a replay leaves.

use std::io::Write as _;

use super::*;
use crate::disk::{self, File};

fn left(medium: &Medium, left: Left) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    medium.cut(left, &tree).unwrap();
    let mut log = Log::default();
    log.take_in(&tree, &tree).unwrap();
    log.before.into_iter().collect()
}

#[test]
fn what_was_not_synced_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old"), "old").unwrap();
    let recording = Recording::below(folder.path()).unwrap();
    assert!(recording.is_empty());
    let (part, whole) = (folder.path().join("part"), folder.path().join("old"));
    let mut file = File::create_new(&part).unwrap();
    file.write_all(b"ne").unwrap();
    file.write_all(b"w").unwrap();
    let unsynced = recording.len();
    file.sync().unwrap();
    disk::rename(&part, &whole).unwrap();
    let renamed = recording.len();
    disk::sync_folder(folder.path()).unwrap();
    let other = tempfile::tempdir().unwrap();
    disk::make_folders(&other.path().join("elsewhere")).unwrap();

    let operations = recording.operations();
    assert_eq!(operations.len(), renamed + 1);
    let at = |count: usize| {
        let mut medium = recording.medium();
        operations[..count]
            .iter()
            .for_each(|done| medium.apply(done));
        medium
    };
    let tree = |files: &[(&str, &str)]| -> BTreeMap<PathBuf, Vec<u8>> {
        let own = |(name, text): &(&str, &str)| (name.into(), text.as_bytes().to_vec());
        files.iter().map(own).collect()
    };
    let old = tree(&[("old", "old")]);
    assert_eq!(left(&at(unsynced), Left::Nothing), old);
    assert_eq!(
        left(&at(unsynced), Left::Names),
        tree(&[("old", "old"), ("part", "")])
    );
    assert_eq!(left(&at(renamed), Left::Nothing), old);
    assert_eq!(left(&at(renamed), Left::Names), tree(&[("old", "new")]));
    assert_eq!(
        left(&at(renamed + 1), Left::Nothing),
        tree(&[("old", "new")])
    );
    let without_sync: Vec<&Operation> = operations
        .iter()
        .filter(|done| !matches!(done, Operation::Sync(_)))
        .collect();
    let mut medium = recording.medium();
    without_sync.into_iter().for_each(|done| medium.apply(done));
    assert_eq!(left(&medium, Left::Nothing), tree(&[("old", "")]));
}

#[test]
fn every_new_folder_is_synced_in_the_one_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Recording::below(folder.path()).unwrap();
    disk::make_folders(&folder.path().join("a/b/c")).unwrap();
    let mut medium = recording.medium();
    recording
        .operations()
        .iter()
        .for_each(|done| medium.apply(done));
    let tree = tempfile::tempdir().unwrap();
    let left = tree.path().join("left");
    medium.cut(Left::Nothing, &left).unwrap();
    assert!(left.join("a/b/c").is_dir());
}
