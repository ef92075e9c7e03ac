//! Files that the command writes, whatever their paths stand for, and files that change while it reads them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;

use super::*;

/// A folder with rows and a collection of them, in which the command runs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.rows("v.npy", 3);
        folder.run(&[
            "create",
            "--index",
            "c",
            "--dimension",
            "2",
            "--metric",
            "euclidean",
        ]);
        folder.run(&["add", "--index", "c", "v.npy"]);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of so many rows of two components.
    fn rows(&self, name: &str, count: usize) {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, 2), }}");
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{header:<117}\n").into_bytes());
        bytes.extend((0..2 * count).flat_map(|number| (number as f32).to_le_bytes()));
        fs::write(self.path(name), bytes).unwrap();
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = vectorizer(arguments);
        command.current_dir(self.0.path()).output().unwrap()
    }

    /// Runs, and expects success.
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = stderr(&output);
        assert!(output.status.success(), "{arguments:?}: {said}");
        stdout(&output).to_owned()
    }

    /// Runs, and expects that it is refused in one line.
    fn refuses(&self, arguments: &[&str], words: &str) {
        let output = self.output(arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }

    fn export(&self, index: &str, format: &str, file: &str) {
        self.run(&["export", "--index", index, "--format", format, file]);
    }

    fn import(&self, index: &str, format: &str, file: &str, more: &[&str]) -> Output {
        let kind = ["--dimension", "2", "--metric", "euclidean"];
        let arguments = ["import", "--index", index, "--format", format, file];
        self.output(&[&arguments[..], &kind, more].concat())
    }
}

fn formats() -> impl Iterator<Item = &'static str> {
    let parquet = cfg!(feature = "parquet").then_some("parquet");
    ["jsonl", "npy", "fvecs", "hnswlib"]
        .into_iter()
        .chain(parquet)
}

#[test]
fn an_older_file_of_ids_names_nothing_of_a_newer_export() {
    let folder = Folder::new();
    fs::write(folder.path("names"), "red\ngreen\nblue\n").unwrap();
    folder.run(&[
        "create",
        "--index",
        "n",
        "--dimension",
        "2",
        "--metric",
        "euclidean",
    ]);
    folder.run(&["add", "--index", "n", "v.npy", "--ids", "names"]);
    folder.export("n", "hnswlib", "out");
    assert!(folder.path("out.ids").exists());
    folder.export("c", "hnswlib", "out");
    assert!(!folder.path("out.ids").exists());
    let imported = folder.import("back", "hnswlib", "out", &[]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    folder.export("back", "jsonl", "back.jsonl");
    let lines = fs::read_to_string(folder.path("back.jsonl")).unwrap();
    assert!(
        lines.contains("\"id\":\"0\"") && !lines.contains("red"),
        "{lines}"
    );
}

#[test]
fn a_collections_own_files_are_no_outputs() {
    let folder = Folder::new();
    fs::hard_link(folder.path("c/collection.redb"), folder.path("hard.jsonl")).unwrap();
    for format in formats() {
        for file in ["c/collection.redb", "hard.jsonl"] {
            let arguments = ["export", "--index", "c", "--format", format, file];
            folder.refuses(&arguments, "would overwrite");
        }
    }
    let search = [
        "search",
        "--index",
        "c",
        "--queries",
        "v.npy",
        "-k",
        "1",
        "--out",
        "hard.jsonl",
    ];
    folder.refuses(&search, "would overwrite");
    assert!(folder.run(&["check", "--index", "c"]).contains("3"));
    fs::hard_link(folder.path("v.npy"), folder.path("w.npy")).unwrap();
    let search = [
        "search",
        "--index",
        "c",
        "--queries",
        "v.npy",
        "-k",
        "1",
        "--out",
        "w.npy",
    ];
    folder.refuses(&search, "would overwrite an input");
}

#[cfg(unix)]
#[test]
fn modes_links_and_devices_stay_what_they_are() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let folder = Folder::new();
    let mode = |name: &str| {
        fs::metadata(folder.path(name))
            .unwrap()
            .permissions()
            .mode()
    };
    let search = |out: &str| {
        let search = [
            "search",
            "--index",
            "c",
            "--queries",
            "v.npy",
            "-k",
            "1",
            "--out",
            out,
        ];
        folder.output(&search)
    };
    fs::write(folder.path("plain"), "").unwrap();
    for out in ["hits.jsonl", "hits.npy"] {
        assert!(search(out).status.success());
        assert_eq!(mode(out), mode("plain"), "{out}");
        fs::set_permissions(folder.path(out), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(search(out).status.success());
        assert_eq!(mode(out) & 0o777, 0o600, "{out}");
        let link = format!("link-{out}");
        let file = format!("behind-{out}");
        symlink(&file, folder.path(&link)).unwrap();
        assert!(search(&link).status.success());
        assert!(folder.path(&link).is_symlink(), "{out}");
        assert_eq!(
            fs::read(folder.path(&file)).unwrap(),
            fs::read(folder.path(out)).unwrap()
        );
        for (device, works) in [("/dev/null", true), ("/dev/full", false)] {
            let link = format!("{}-{out}", device.trim_start_matches("/dev/"));
            symlink(device, folder.path(&link)).unwrap();
            let output = search(&link);
            assert_eq!(
                output.status.success(),
                works,
                "{link}: {}",
                stderr(&output)
            );
            let there = fs::metadata(folder.path(&link)).unwrap();
            assert!(there.file_type().is_char_device(), "{link}");
        }
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_no_utf8_are_names() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new();
    let name = OsStr::from_bytes(b"caf\xe9");
    for format in formats() {
        let mut command = vectorizer(&["export", "--index", "c", "--json", "--format", format]);
        let output = command
            .current_dir(folder.0.path())
            .arg(name)
            .output()
            .unwrap();
        assert!(output.status.success(), "{format}: {}", stderr(&output));
        let done: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&done["exported"], &done["file"]),
            (&3.into(), &"caf\u{fffd}".into())
        );
        assert!(folder.0.path().join(name).exists());
    }
    // Every command that names a collection or a file says so, and none panics.
    fs::remove_file(folder.0.path().join(name)).unwrap();
    fs::rename(folder.path("c"), folder.0.path().join(name)).unwrap();
    for command in ["stats", "check", "compact"] {
        for json in [&[][..], &["--json"]] {
            let mut command = vectorizer(&[command, "--index"]);
            let command = command.current_dir(folder.0.path()).arg(name).args(json);
            let output = command.output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn an_input_that_is_cut_off_is_an_error() {
    let folder = Folder::new();
    let rows = 50_000;
    folder.rows("long.npy", rows);
    let mut command = vectorizer(&[
        "create",
        "--index",
        "d",
        "--dimension",
        "2",
        "--metric",
        "dot",
    ]);
    assert!(
        command
            .current_dir(folder.0.path())
            .status()
            .unwrap()
            .success()
    );
    let mut command = vectorizer(&["add", "--index", "d", "long.npy", "--batch", "1", "--json"]);
    command.current_dir(folder.0.path());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Whoever does not read on holds the command back long before the end.
    lines.next().unwrap().unwrap();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(folder.path("long.npy"));
    file.unwrap().set_len(200).unwrap();
    let acknowledged = 1 + lines.map(Result::unwrap).count();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("became shorter"),
        "{}",
        stderr(&output)
    );
    assert!(acknowledged < rows);
}

#[test]
fn what_is_empty_goes_out_and_comes_in() {
    let folder = Folder::new();
    folder.run(&[
        "create",
        "--index",
        "e",
        "--dimension",
        "2",
        "--metric",
        "euclidean",
    ]);
    for format in formats() {
        let file = format!("empty.{format}");
        folder.export("e", format, &file);
        let imported = folder.import(&format!("from-{format}"), format, &file, &[]);
        assert!(imported.status.success(), "{format}: {}", stderr(&imported));
        if matches!(format, "npy" | "fvecs") {
            folder.run(&["add", "--index", "c", &file]);
        }
    }
    // Ids that are too many for no rows are still refused.
    fs::write(folder.path("names"), "red\n").unwrap();
    folder.refuses(
        &["add", "--index", "c", "empty.npy", "--ids", "names"],
        "1 id",
    );
}

#[test]
fn a_byte_order_mark_is_no_part_of_an_id() {
    let folder = Folder::new();
    fs::write(
        folder.path("names"),
        b"\xef\xbb\xbfred\r\ngreen\r\nblue\r\n",
    )
    .unwrap();
    folder.run(&[
        "create",
        "--index",
        "n",
        "--dimension",
        "2",
        "--metric",
        "euclidean",
    ]);
    folder.run(&["add", "--index", "n", "v.npy", "--ids", "names"]);
    folder.export("n", "hnswlib", "out");
    let ids = fs::read_to_string(folder.path("out.ids")).unwrap();
    assert_eq!(ids, "red\ngreen\nblue\n");
    // The same where hnswlib's labels are named.
    let imported = folder.import("back", "hnswlib", "out", &["--ids", "names"]);
    assert!(imported.status.success(), "{}", stderr(&imported));
    folder.export("back", "npy", "back.npy");
    assert_eq!(
        fs::read_to_string(folder.path("back.npy.ids")).unwrap(),
        ids
    );
}

#[test]
fn replace_lets_a_second_import_of_hnswlibs_through() {
    let folder = Folder::new();
    folder.export("c", "hnswlib", "out");
    let again = folder.import("c", "hnswlib", "out", &[]);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("--replace"), "{}", stderr(&again));
    let again = folder.import("c", "hnswlib", "out", &["--replace"]);
    assert!(again.status.success(), "{}", stderr(&again));
    assert!(
        stdout(&again).contains("the collection holds 3 vectors"),
        "{}",
        stdout(&again)
    );
}
