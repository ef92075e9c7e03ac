//! `demo`.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn texts() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::fs::write(
        path.join("birds.md"),
        "# Birds\n\nThe kingfisher dives into the river to catch small fish.\nIt nests in tunnels dug into the bank.\n\n\
         Swallows fly south for the winter and come back in spring.\n",
    )
    .unwrap();
    std::fs::write(
        path.join("bread.md"),
        "Knead the dough for ten minutes, then let it rise until doubled.\n",
    )
    .unwrap();
    (folder, path)
}

#[test]
fn demo_finds_the_paragraph_and_says_where() {
    let (_folder, path) = texts();
    let path = path.to_str().unwrap();
    let output = run(&[
        "demo",
        path,
        "--query",
        "how long should dough rise",
        "--query",
        "kingfishers catching fish",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    let after = |question: &str| {
        text.lines()
            .skip_while(|line| !line.contains(question))
            .nth(1)
            .unwrap_or_default()
    };
    assert!(
        after("how long should dough rise").contains("bread.md:1"),
        "{text}"
    );
    assert!(
        after("kingfishers catching").contains("birds.md:3"),
        "{text}"
    );
    for words in [
        "3 paragraphs from 2 files",
        "stand-in",
        "recall 1.0000",
        "Memory of CPU",
        "device ",
    ] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    refused(&["demo", &format!("{path}/none")], "no such file or folder");
    // Texts that are too short are not called none.
    std::fs::create_dir(format!("{path}/short")).unwrap();
    std::fs::write(format!("{path}/short/a.txt"), "The cat sat.\n").unwrap();
    refused(
        &["demo", &format!("{path}/short")],
        "no paragraph of at least 40 letters",
    );
    let plain = run(&["demo", path]);
    assert!(plain.status.success() && stdout(&plain).contains("birds.md:3"));
}
