//! What is left of a file, and of a pair, whatever happens on the way.

use std::fs;
use std::path::Path;

use super::*;
use crate::disk::recorder::{Left, Recording};

/// A folder where nothing waits for a disk, if there is one: thousands of files are made here.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// What a power cut may leave of what was not synced.
fn leftovers() -> impl Iterator<Item = Left> {
    let named = [Left::Nothing, Left::Everything, Left::Names, Left::Bytes];
    named.into_iter().chain((0..12).map(Left::Some))
}

/// Calls `look` with what every power cut may leave, and with whether it came after everything.
fn cut_everywhere(recording: &Recording, mut look: impl FnMut(&Path, bool, String)) {
    let operations = recording.operations();
    let mut medium = recording.medium();
    for count in 0..=operations.len() {
        if let Some(last) = count.checked_sub(1) {
            medium.apply(&operations[last]);
        }
        for left in leftovers() {
            let folder = folder();
            let tree = folder.path().join("tree");
            medium.cut(left, &tree).unwrap();
            let moment = format!("{left:?} after {:?}", &operations[..count]);
            look(&tree, count == operations.len(), moment);
        }
    }
}

fn text(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_power_cut_leaves_the_old_file_or_the_new_one() {
    for old in [None, Some("old")] {
        let folder = folder();
        let path = folder.path().join("file");
        if let Some(old) = old {
            fs::write(&path, old).unwrap();
        }
        let recording = Recording::below(folder.path()).unwrap();
        WholeFile::write(&path, b"new").unwrap();
        cut_everywhere(&recording, |tree, at_the_end, moment| {
            let found = text(&tree.join("file"));
            let is_new = found.as_deref() == Some("new");
            assert!(
                is_new || (!at_the_end && found.as_deref() == old),
                "{found:?}: {moment}"
            );
        });
        assert_eq!(names(folder.path()), ["file"]);
    }
}

fn write_pair(main: &Path, beside: &Path, with: bool) -> Pair {
    let mut pair = Pair::create(main, beside, with).unwrap();
    pair.main().put(b"new").unwrap();
    if let Some(beside) = pair.beside() {
        beside.put(b"new").unwrap();
    }
    pair
}

#[test]
fn a_power_cut_leaves_no_file_beside_that_of_another_pair() {
    for case in 0..16 {
        let [old_main, old_beside, with, apart] = [1, 2, 4, 8].map(|bit| case & bit != 0);
        let folder = folder();
        let main = folder.path().join("rows");
        let beside = folder.path().join("rows.ids");
        // What the second name stands for may be in another folder.
        let place = if apart && cfg!(unix) && with {
            fs::create_dir(folder.path().join("elsewhere")).unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink("elsewhere/ids", &beside).unwrap();
            "elsewhere/ids"
        } else {
            "rows.ids"
        };
        if old_main {
            fs::write(&main, "old").unwrap();
        }
        if old_beside {
            fs::write(folder.path().join(place), "old").unwrap();
        }
        // The recorder knows files alone.
        let link = fs::read_link(&beside).ok();
        if link.is_some() {
            fs::remove_file(&beside).unwrap();
        }
        let recording = Recording::below(folder.path()).unwrap();
        #[cfg(unix)]
        if let Some(link) = link {
            std::os::unix::fs::symlink(link, &beside).unwrap();
        }
        write_pair(&main, &beside, with).finish().unwrap();
        cut_everywhere(&recording, |tree, at_the_end, moment| {
            let [main, beside] = ["rows", place].map(|name| text(&tree.join(name)));
            let old = old_beside.then_some("old");
            let new = with.then_some("new");
            match main.as_deref() {
                Some("new") => assert_eq!(beside.as_deref(), new, "{moment}"),
                Some("old") => assert_eq!(beside.as_deref(), old, "{moment}"),
                Some(torn) => panic!("{torn:?}: {moment}"),
                None => {}
            }
            assert!(!at_the_end || main.as_deref() == Some("new"), "{moment}");
        });
        let left: Vec<String> = names(folder.path())
            .into_iter()
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_failure_puts_the_old_pair_back() {
    for with in [true, false] {
        for old_beside in [true, false] {
            let folder = folder();
            let main = folder.path().join("rows");
            let beside = folder.path().join("rows.ids");
            fs::write(&main, "old").unwrap();
            if old_beside {
                fs::write(&beside, "old").unwrap();
            }
            let before = names(folder.path());
            let mut pair = write_pair(&main, &beside, with);
            // The last step has nothing to rename.
            fs::remove_file(pair.main().part.as_ref().unwrap()).unwrap();
            let error = pair.finish().unwrap_err();
            assert!(matches!(error, VectorizerError::FileFailed { .. }));
            assert_eq!(names(folder.path()), before);
            assert_eq!(text(&main).as_deref(), Some("old"));
            assert_eq!(text(&beside).as_deref(), old_beside.then_some("old"));
            // What is given up changes nothing either.
            drop(write_pair(&main, &beside, with));
            assert_eq!(names(folder.path()), before);
        }
    }
}

#[test]
fn what_a_stopped_program_left_goes_with_the_next_file() {
    let folder = folder();
    let path = folder.path().join("file");
    let target = Target::of(&path, &[]).unwrap();
    let live = WholeFile::create(&path).unwrap();
    let dead = part::new_name(&target, ".part").unwrap();
    let moved = part::new_name(&target, ".old").unwrap();
    let other = Target::of(&folder.path().join("other"), &[]).unwrap();
    let of_another = part::new_name(&other, ".part").unwrap();
    for path in [&dead, &moved, &of_another] {
        fs::write(path, "half").unwrap();
    }
    WholeFile::write(&path, b"second").unwrap();
    assert!(!dead.exists() && !moved.exists() && of_another.exists());
    // Of a writer that is still at work nothing is taken.
    live.finish().unwrap();
    assert_eq!(text(&path).as_deref(), Some(""));
    fs::remove_file(of_another).unwrap();
    assert_eq!(names(folder.path()), ["file"]);
    // A pair takes away what was moved from both of its places.
    let beside = folder.path().join("file.ids");
    for target in [target, Target::of(&beside, &[]).unwrap()] {
        fs::write(part::new_name(&target, ".old").unwrap(), "old").unwrap();
    }
    write_pair(&path, &beside, true).finish().unwrap();
    assert_eq!(names(folder.path()), ["file", "file.ids"]);
}

#[test]
fn names_beside_a_file_are_short_and_its_own() {
    let folder = folder();
    for length in [1, 250, 255] {
        let path = folder.path().join("n".repeat(length));
        WholeFile::write(&path, b"x").unwrap();
        assert_eq!(text(&path).as_deref(), Some("x"));
    }
    let target = Target::of(&folder.path().join("n"), &[]).unwrap();
    let [one, other] = [(); 2].map(|()| part::new_name(&target, ".part").unwrap());
    assert_ne!(one, other);
}
