//! Text files, cut into paragraphs that know where they stand.

use std::fs;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use crate::failure::{Failure, Result};
use crate::figures::bytes;

/// Larger files are data, not text to read.
const MAX_FILE: u64 = 1 << 20;
/// A paragraph that goes on longer is cut.
const MAX_LINES: usize = 24;
/// Shorter ones say nothing.
const MIN_LETTERS: usize = 40;
/// Folders of built and downloaded things, where no ignore file says so.
const SKIPPED: [&str; 4] = ["target", "node_modules", "__pycache__", "venv"];

/// A piece of text without a blank line, and where it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paragraph {
    /// Relative to where the search for files began.
    pub(super) file: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) text: String,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) paragraphs: Vec<Paragraph>,
    pub(super) files: usize,
}

/// Reads all text files under `root`, or the file itself, in the order of their names.
pub(super) fn read(root: &Path, mut progress: impl FnMut(usize)) -> Result<Texts> {
    if !root.exists() {
        return Err(Failure::Input(format!(
            "{}: there is no such file or folder",
            root.display()
        )));
    }
    let mut texts = Texts::default();
    let walk = WalkBuilder::new(root)
        .require_git(false)
        .sort_by_file_path(Path::cmp)
        .filter_entry(|entry| {
            let name = entry.file_name().to_string_lossy();
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            entry.depth() == 0 || !(folder && SKIPPED.contains(&&*name))
        })
        .build();
    // What cannot be listed or read is passed over: this is a look around, not a backup.
    for entry in walk.flatten() {
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        let small = entry.metadata().is_ok_and(|data| data.len() <= MAX_FILE);
        let lock = entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "lock");
        if !is_file || !small || lock {
            continue;
        }
        let Some(text) = text(entry.path()) else {
            continue;
        };
        let name = entry
            .path()
            .strip_prefix(root)
            .ok()
            .filter(|name| !name.as_os_str().is_empty());
        let name = name.map_or_else(
            || root.file_name().map(PathBuf::from).unwrap_or_default(),
            Path::to_path_buf,
        );
        cut(&name.display().to_string(), &text, &mut texts.paragraphs);
        texts.files += 1;
        progress(texts.files);
    }
    if texts.paragraphs.is_empty() {
        return Err(Failure::Input(format!(
            "{}: holds no text to search: no paragraph of at least {MIN_LETTERS} letters in a text file of at most {}",
            root.display(),
            bytes(MAX_FILE)
        )));
    }
    Ok(texts)
}

/// The text of a file, if it is text.
fn text(path: &Path) -> Option<String> {
    let text = String::from_utf8(fs::read(path).ok()?).ok()?;
    (!text.contains('\0')).then_some(text)
}

fn cut(file: &str, text: &str, paragraphs: &mut Vec<Paragraph>) {
    let mut lines: Vec<&str> = Vec::new();
    let mut first = 1;
    for (number, line) in text.lines().chain([""]).enumerate() {
        let blank = line.trim().is_empty();
        if blank || lines.len() == MAX_LINES {
            let text = lines.join("\n");
            if text.chars().filter(|letter| letter.is_alphabetic()).count() >= MIN_LETTERS {
                paragraphs.push(Paragraph {
                    file: file.to_owned(),
                    line: first,
                    text,
                });
            }
            lines.clear();
        }
        if !blank {
            if lines.is_empty() {
                first = number + 1;
            }
            lines.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "A line of more than forty letters, so that it counts as text.";

    #[test]
    fn paragraphs_know_their_lines() {
        let mut found = Vec::new();
        cut(
            "a.md",
            &format!("# Title\n\n\n{LONG}\nand on\n\n{LONG}"),
            &mut found,
        );
        let lines: Vec<_> = found
            .iter()
            .map(|p| (p.line, p.text.lines().count()))
            .collect();
        assert_eq!(lines, [(4, 2), (7, 1)]);
        assert!(found.iter().all(|p| p.file == "a.md"));
    }

    #[test]
    fn endless_paragraphs_are_cut() {
        let mut found = Vec::new();
        cut(
            "a.md",
            &vec![LONG; 2 * MAX_LINES + 1].join("\n"),
            &mut found,
        );
        let lines: Vec<_> = found
            .iter()
            .map(|p| (p.line, p.text.lines().count()))
            .collect();
        assert_eq!(
            lines,
            [
                (1, MAX_LINES),
                (1 + MAX_LINES, MAX_LINES),
                (1 + 2 * MAX_LINES, 1)
            ]
        );
    }

    #[test]
    fn only_text_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("b.txt", LONG.as_bytes());
        write("a/deep.rs", LONG.as_bytes());
        write("nul.txt", format!("{LONG}\0").as_bytes());
        write("latin.txt", &[LONG.as_bytes(), &[0xff]].concat());
        write("target/out.txt", LONG.as_bytes());
        write(".git/config", LONG.as_bytes());
        write("skipped.txt", LONG.as_bytes());
        write(".gitignore", b"skipped.txt");
        write("Cargo.lock", LONG.as_bytes());
        write("huge.txt", &vec![b'a'; 1 + (1 << 20)]);
        let texts = read(folder.path(), |_| {}).unwrap();
        let files: Vec<_> = texts
            .paragraphs
            .iter()
            .map(|p| p.file.replace('\\', "/"))
            .collect();
        assert_eq!(
            (files, texts.files),
            (vec!["a/deep.rs".to_owned(), "b.txt".to_owned()], 2)
        );
        let one = read(&folder.path().join("b.txt"), |_| {}).unwrap();
        assert_eq!(one.paragraphs[0].file, "b.txt");
        for nothing in ["none", "nul.txt"] {
            assert!(read(&folder.path().join(nothing), |_| {}).is_err());
        }
    }
}
