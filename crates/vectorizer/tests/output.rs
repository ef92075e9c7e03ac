//! Files that go out: whole or not there, whatever their paths stand for, and read again by who reads that form.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use vectorizer::collection::Collection;
use vectorizer::error::VectorizerError;
use vectorizer::interop::npy::Form;
use vectorizer::interop::{Existing, Moved, WholeFile, hnswlib, ids_beside, jsonl, npy};
use vectorizer::models::DistanceMetric;

const METRIC: DistanceMetric = DistanceMetric::Euclidean;

const fn go(_: Moved) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jsonl,
    Npy,
    Fvecs,
    Hnswlib,
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Format {
    fn all() -> Vec<Self> {
        vec![
            Self::Jsonl,
            Self::Npy,
            Self::Fvecs,
            Self::Hnswlib,
            #[cfg(feature = "parquet")]
            Self::Parquet,
        ]
    }

    fn export(self, collection: &Collection, path: &Path) -> Result<usize, VectorizerError> {
        self.export_with(collection, path, go)
    }

    fn export_with(
        self,
        collection: &Collection,
        path: &Path,
        progress: impl FnMut(Moved) -> ControlFlow<()>,
    ) -> Result<usize, VectorizerError> {
        match self {
            Self::Jsonl => jsonl::export(collection, path, progress),
            Self::Npy => npy::export(collection, path, Form::Npy, progress),
            Self::Fvecs => npy::export(collection, path, Form::Fvecs, progress),
            Self::Hnswlib => {
                hnswlib::export(collection, path, progress).map(|exported| exported.vectors)
            }
            #[cfg(feature = "parquet")]
            Self::Parquet => vectorizer::interop::parquet::export(collection, path, progress),
        }
    }

    /// Whether ids that are names lie beside.
    fn has_ids(self) -> bool {
        matches!(self, Self::Npy | Self::Fvecs | Self::Hnswlib)
    }
}

/// Vectors with names for ids.
fn named(count: u8, name: &str) -> Collection {
    let collection = Collection::new(2, METRIC).unwrap();
    let ids: Vec<String> = (0..count).map(|number| format!("{name}{number}")).collect();
    let rows: Vec<f32> = (0..count).flat_map(|n| [f32::from(n), 1.0]).collect();
    collection.add_rows(&ids, &rows).unwrap();
    collection
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Every name, and what it stands for.
    fn contents(&self) -> Vec<(String, String, Vec<u8>)> {
        let mut contents: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                let bytes = if kind.is_file() {
                    fs::read(entry.path()).unwrap()
                } else {
                    Vec::new()
                };
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, format!("{kind:?}"), bytes)
            })
            .collect();
        contents.sort();
        contents
    }

    fn names(&self) -> Vec<String> {
        let contents = self.contents().into_iter();
        contents.map(|(name, _, _)| name).collect()
    }
}

/// What a plain file of this export holds.
fn plain(format: Format, collection: &Collection) -> Vec<u8> {
    let folder = Folder::new();
    let path = folder.path("plain");
    format.export(collection, &path).unwrap();
    fs::read(path).unwrap()
}

fn refuses(error: &VectorizerError) -> bool {
    matches!(
        error,
        VectorizerError::FileRefused { .. } | VectorizerError::WouldOverwrite { .. }
    )
}

#[test]
fn links_are_followed_and_kept() {
    let collection = named(3, "v");
    for format in Format::all() {
        let folder = Folder::new();
        fs::create_dir(folder.path("real")).unwrap();
        fs::write(folder.path("real/there"), "old").unwrap();
        symlink("real/there", folder.path("there")).unwrap();
        symlink("real/new", folder.path("second")).unwrap();
        symlink("second", folder.path("first")).unwrap();
        let expected = plain(format, &collection);
        for (link, file) in [("there", "real/there"), ("first", "real/new")] {
            format.export(&collection, &folder.path(link)).unwrap();
            assert!(folder.path(link).is_symlink(), "{format:?} {link}");
            assert_eq!(fs::read(folder.path(file)).unwrap(), expected, "{format:?}");
            assert_eq!(ids_beside(folder.path(link)).exists(), format.has_ids());
        }
        assert!(folder.path("second").is_symlink());
        symlink("round", folder.path("about")).unwrap();
        symlink("about", folder.path("round")).unwrap();
        let before = folder.contents();
        format
            .export(&collection, &folder.path("round"))
            .unwrap_err();
        assert_eq!(folder.contents(), before, "{format:?}");
        assert_eq!(
            fs::read_dir(folder.path("real")).unwrap().count(),
            2,
            "nothing else is left"
        );
    }
}

#[test]
fn pipes_and_devices_are_written_into() {
    let collection = named(3, "v");
    for format in Format::all() {
        let folder = Folder::new();
        let pipe = folder.path("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        format.export(&collection, &pipe).unwrap();
        assert_eq!(reader.join().unwrap(), plain(format, &collection));
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        let ids = fs::read_to_string(ids_beside(&pipe)).ok();
        assert_eq!(ids.as_deref(), format.has_ids().then_some("v0\nv1\nv2\n"));
        if format == Format::Hnswlib {
            // Vectors whose ids are numbers: those names are not theirs.
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || fs::read(pipe).unwrap()
            });
            format.export(&named(3, ""), &pipe).unwrap();
            reader.join().unwrap();
            assert!(!ids_beside(&pipe).exists());
        }

        // By links, so that a fault replaces a link and not the device.
        for (device, works) in [("/dev/null", true), ("/dev/full", false)] {
            if !Path::new(device).exists() {
                continue;
            }
            let link = folder.path(device.trim_start_matches("/dev/"));
            symlink(device, &link).unwrap();
            let exported = format.export(&collection, &link);
            assert_eq!(exported.is_ok(), works, "{format:?} {device}: {exported:?}");
            assert!(fs::metadata(&link).unwrap().file_type().is_char_device());
            assert!(link.is_symlink() && !ids_beside(&link).exists());
        }
    }
}

#[test]
fn a_folder_is_refused_and_nothing_is_left() {
    let collection = named(3, "v");
    for format in Format::all() {
        let folder = Folder::new();
        fs::create_dir(folder.path("rows")).unwrap();
        fs::write(folder.path("rows.ids"), "old").unwrap();
        let before = folder.contents();
        for name in ["rows", "rows/", "new/"] {
            let error = format.export(&collection, &folder.path(name)).unwrap_err();
            assert!(refuses(&error), "{format:?} {name}: {error}");
            assert_eq!(folder.contents(), before, "{format:?}");
        }
        let error = format.export(&collection, Path::new("")).unwrap_err();
        assert!(refuses(&error), "{error}");
        if format.has_ids() {
            // The place of the ids is a folder: the vectors of before stay.
            fs::write(folder.path("other"), "old").unwrap();
            fs::create_dir(folder.path("other.ids")).unwrap();
            let before = folder.contents();
            for collection in [&collection, &named(2, "")] {
                let error = format.export(collection, &folder.path("other"));
                assert!(refuses(&error.unwrap_err()));
                assert_eq!(folder.contents(), before, "{format:?}");
            }
        }
    }
}

#[test]
fn the_files_of_collections_are_not_written_over() {
    let folder = Folder::new();
    let create = |name: &str| {
        let collection = Collection::create(folder.path(name), 2, METRIC).unwrap();
        collection
            .add_rows(&["a", "b"], &[0.0, 1.0, 2.0, 3.0])
            .unwrap();
        collection.optimize().unwrap();
        collection
    };
    let (open, other) = (create("open"), create("other"));
    other.close().unwrap();
    let store = folder.path("open/collection.redb");
    fs::hard_link(&store, folder.path("hard")).unwrap();
    symlink(&store, folder.path("link")).unwrap();
    let graph = folder.path("open/graph.snapshot");
    fs::hard_link(&graph, folder.path("hard-graph")).unwrap();
    symlink(&store, folder.path("rows.ids")).unwrap();
    let targets = [
        "open/collection.redb",
        "open/graph.snapshot",
        "open/graph.snapshot.part",
        "open/../open/collection.redb",
        "other/collection.redb",
        "other/graph.snapshot",
        "hard",
        "hard-graph",
        "link",
    ];
    for format in Format::all() {
        for target in targets
            .iter()
            .copied()
            .chain(format.has_ids().then_some("rows"))
        {
            let exported = format.export(&open, &folder.path(target));
            let refused = matches!(exported, Err(VectorizerError::WouldOverwrite { .. }));
            assert!(refused, "{format:?} {target}: {exported:?}");
        }
    }
    // In a collection's folder there is room for others, and elsewhere its names are free.
    jsonl::export(&open, folder.path("graph.snapshot"), go).unwrap();
    jsonl::export(&open, folder.path("open/mine.jsonl"), go).unwrap();
    open.close().unwrap();
    for name in ["open", "other"] {
        assert!(
            Collection::check_files(folder.path(name))
                .unwrap()
                .problems
                .is_empty()
        );
        assert_eq!(
            Collection::open(folder.path(name)).unwrap().vector_count(),
            2
        );
    }
}

#[test]
fn inputs_are_not_written_over_by_whatever_name() {
    let folder = Folder::new();
    let input = folder.path("input");
    fs::write(&input, "read").unwrap();
    fs::hard_link(&input, folder.path("hard")).unwrap();
    symlink("input", folder.path("link")).unwrap();
    for name in ["input", "hard", "link", "./input"] {
        let output = folder.path(name);
        for error in [
            WholeFile::check(&output, &[&input]).unwrap_err(),
            WholeFile::create_apart_from(&output, &[&input]).unwrap_err(),
        ] {
            let refused = matches!(error, VectorizerError::WouldOverwrite { .. });
            assert!(refused, "{name}: {error}");
        }
    }
    WholeFile::check(folder.path("new"), &[&input]).unwrap();
    let error = WholeFile::check(folder.path("none/new"), &[]).unwrap_err();
    assert!(refuses(&error), "{error}");
    assert_eq!(fs::read(&input).unwrap(), b"read");
    // A file is not its own file of ids.
    fs::create_dir(folder.path("below")).unwrap();
    for link in ["rows", "below/../rows"] {
        symlink(link, folder.path("rows.ids")).unwrap();
        let error = npy::export(&named(2, "v"), folder.path("rows"), Form::Npy, go).unwrap_err();
        assert!(
            matches!(error, VectorizerError::WouldOverwrite { .. }),
            "{error}"
        );
        fs::remove_file(folder.path("rows.ids")).unwrap();
    }
}

#[test]
fn a_file_keeps_its_mode_and_a_new_one_has_that_of_new_files() {
    let collection = named(2, "v");
    for format in Format::all() {
        let folder = Folder::new();
        fs::write(folder.path("plain"), "").unwrap();
        let usual = fs::metadata(folder.path("plain")).unwrap().mode();
        let path = folder.path("out");
        format.export(&collection, &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode(), usual, "{format:?}");
        for mode in [0o600, 0o640, 0o666, 0o755] {
            let files = [path.clone(), ids_beside(&path)];
            let files = &files[..1 + usize::from(format.has_ids())];
            for file in files {
                fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
            }
            format.export(&collection, &path).unwrap();
            for file in files {
                let kept = fs::metadata(file).unwrap().mode() & 0o7777;
                assert_eq!(kept, mode, "{format:?} {}", file.display());
            }
        }
        // Where this process may give files away, the owner stays too.
        if std::os::unix::fs::chown(&path, Some(12_345), Some(12_346)).is_ok() {
            format.export(&collection, &path).unwrap();
            let kept = fs::metadata(&path).unwrap();
            assert_eq!((kept.uid(), kept.gid()), (12_345, 12_346), "{format:?}");
        }
    }
}

#[test]
fn nobody_else_reads_what_takes_the_place_of_a_private_file() {
    let folder = Folder::new();
    let path = folder.path("private");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let file = WholeFile::create(&path).unwrap();
    let modes = folder.names().into_iter().map(|name| {
        let there = fs::metadata(folder.path(&name)).unwrap();
        there.mode() & 0o077
    });
    assert_eq!(modes.collect::<Vec<_>>(), [0, 0]);
    drop(file);
    assert_eq!(folder.names(), ["private"]);
}

#[test]
fn an_export_that_ends_early_leaves_the_older_pair() {
    let (old, new) = (named(3, "old"), named(2, "new"));
    for format in Format::all() {
        let folder = Folder::new();
        let path = folder.path("rows");
        format.export(&old, &path).unwrap();
        let before = folder.contents();
        let stop = |_| ControlFlow::Break(());
        let stopped = format.export_with(&new, &path, stop);
        assert_eq!(stopped, Err(VectorizerError::Cancelled));
        assert_eq!(folder.contents(), before, "{format:?}");
        if format.has_ids() {
            new.add_rows(&["a\nb"], &[5.0, 5.0]).unwrap();
            let error = format.export(&new, &path).unwrap_err();
            assert!(refuses(&error), "{error}");
            assert_eq!(folder.contents(), before, "{format:?}");
            new.delete("a\nb").unwrap();
        }
    }
}

#[test]
fn ids_of_an_older_export_are_never_beside_a_newer_one() {
    let numbered = named(4, "");
    let named = named(3, "v");
    let folder = Folder::new();
    let path = folder.path("out");
    for format in [Format::Npy, Format::Fvecs, Format::Hnswlib] {
        for (collection, numbers) in [(&named, false), (&numbered, true), (&named, false)] {
            let count = format.export(collection, &path).unwrap();
            let has_ids = !(numbers && format == Format::Hnswlib);
            assert_eq!(ids_beside(&path).exists(), has_ids, "{format:?}");
            assert_eq!(folder.names().len(), 1 + usize::from(has_ids));
            if has_ids {
                let ids = fs::read_to_string(ids_beside(&path)).unwrap();
                assert_eq!(ids.lines().count(), count);
            }
        }
    }
}

#[test]
fn two_exports_to_one_path_at_once_tear_nothing() {
    // On a disk: in memory they are through before they meet.
    let folder = Folder(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let collections = [named(200, "a"), named(150, "b")];
    for format in Format::all() {
        let path = folder.path("out");
        for _ in 0..8 {
            let exported: Vec<_> = std::thread::scope(|scope| {
                let threads = collections
                    .iter()
                    .map(|one| scope.spawn(|| format.export(one, &path)));
                let threads: Vec<_> = threads.collect();
                threads.into_iter().map(|one| one.join().unwrap()).collect()
            });
            assert_eq!(exported, [Ok(200), Ok(150)], "{format:?}");
            let bytes = fs::read(&path).unwrap();
            let ids = fs::read_to_string(ids_beside(&path)).unwrap_or_default();
            let whole = collections.iter().zip(["a", "b"]).any(|(one, name)| {
                bytes == plain(format, one)
                    && (!format.has_ids() || ids.lines().all(|id| id.starts_with(name)))
            });
            assert!(whole, "{format:?}: neither the one nor the other");
            let names = folder.names();
            assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
        }
        drop(fs::remove_file(ids_beside(&path)));
    }
}

#[test]
fn what_is_empty_goes_out_and_comes_in() {
    let folder = Folder::new();
    let path = folder.path("empty");
    let empty = Collection::new(2, METRIC).unwrap();
    let back = || Collection::new(2, METRIC).unwrap();
    for format in Format::all() {
        assert_eq!(format.export(&empty, &path), Ok(0), "{format:?}");
        let read = match format {
            Format::Jsonl => jsonl::import(&back(), &path, Existing::Refuse, go),
            Format::Hnswlib => {
                hnswlib::import(&back(), &path, None, go).map(|imported| imported.vectors)
            }
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                vectorizer::interop::parquet::import(&back(), &path, Existing::Refuse, go)
            }
            // Their readers are the command's.
            Format::Npy | Format::Fvecs => Ok(0),
        };
        assert_eq!(read, Ok(0), "{format:?}");
    }
}
