//! The table.

/// What an option does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expect {
    /// The command ends well, and something else can be seen than without the option.
    Used,
    /// Without it the command is refused, by its name; with it the command ends well.
    Required,
    /// Exit status 2, and the option's name.
    Refused,
    /// This exit status and these words, which are not said without the option: what was given has come to where it counts.
    Says(i32, &'static str),
    /// The command ends in another way than without the option.
    Otherwise,
    /// It is about what is drawn at a terminal alone: that cannot be seen here.
    OnScreen,
    /// A test of its own shows it: the file, below `tests`.
    Elsewhere(&'static str),
}

use Expect::{Elsewhere, OnScreen, Otherwise, Refused, Required, Says, Used};

/// An option of a command, and for one format where the command has formats.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) command: &'static str,
    pub(crate) format: &'static str,
    pub(crate) option: &'static str,
    /// The command without the option.
    pub(crate) base: Vec<&'static str>,
    /// The option as it is given.
    pub(crate) given: Vec<&'static str>,
    pub(crate) expect: Expect,
}

/// The rows of one command.
struct Of<'r> {
    command: &'static str,
    format: &'static str,
    rows: &'r mut Vec<Row>,
}

impl Of<'_> {
    fn row(&mut self, base: &str, given: &str, expect: Expect) {
        fn words(text: &str) -> Vec<&'static str> {
            // A quoted argument has a blank in it that is written so.
            let words = text
                .split_whitespace()
                .map(|word| &*word.replace('~', " ").leak());
            words.collect()
        }
        let given = words(given);
        self.rows.push(Row {
            command: self.command,
            format: self.format,
            option: given[0],
            base: [self.command]
                .into_iter()
                .flat_map(|c| c.split(' '))
                .chain(words(base))
                .collect(),
            given,
            expect,
        });
    }

    /// The options of every command that opens a collection.
    fn opens(&mut self, base: &str) {
        self.row(base, "--device abacus", Says(2, "abacus"));
        self.row(base, "--vram-limit 16", Says(1, "room"));
        let little = format!("{base} --vram-limit 16");
        self.row(&little, "--fallback forbid", Says(1, "16 allowed"));
        self.row(&format!("{base} --json"), "--threads 3", Used);
        self.row(base, "--full-rows ram", Says(2, "full_rows"));
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let all: Vec<fn(&mut Vec<Row>)> = vec![devices, search, life, bench, tune, exports, imports];
    for part in all {
        part(&mut rows);
    }
    rows
}

fn of<'r>(rows: &'r mut Vec<Row>, command: &'static str, format: &'static str) -> Of<'r> {
    Of {
        command,
        format,
        rows,
    }
}

fn devices(rows: &mut Vec<Row>) {
    let mut info = of(rows, "info", "");
    info.row("", "--device abacus", Says(2, "abacus"));
    info.row("", "--json", Used);
    let mut demo = of(rows, "demo", "");
    demo.row("text", "--query kingfisher", Used);
    demo.row("text", "--device abacus", Says(2, "abacus"));
    demo.row("text", "--vram-limit 16", Says(1, "room"));
    demo.row(
        "text --vram-limit 16",
        "--fallback forbid",
        Says(1, "16 allowed"),
    );
}

fn search(rows: &mut Vec<Row>) {
    let mut file = of(rows, "search", "");
    let base = "--base rows.npy --queries rows.npy --metric euclidean --json";
    file.row(
        "--queries rows.npy --metric euclidean",
        "--base rows.npy",
        Required,
    );
    file.row(
        "--base rows.npy --metric euclidean",
        "--queries rows.npy",
        Required,
    );
    file.row(
        "--base rows.npy --queries rows.npy",
        "--metric euclidean",
        Required,
    );
    file.row(base, "--index c", Refused);
    file.row(base, "--filter {}", Refused);
    file.row(base, "-k 3", Used);
    file.row(base, "--exact", Used);
    file.row(base, "--truth truth.npy", Used);
    file.row(base, "--out out.npy", Used);
    file.row(base, "--device abacus", Says(2, "abacus"));
    file.row(base, "--vram-limit 16", Says(1, "16 allowed"));
    file.row(
        &format!("{base} --vram-limit 16"),
        "--fallback forbid",
        Otherwise,
    );
    file.row(base, "--threads 3", Used);
    file.row(base, "--m 5", Used);
    file.row(base, "--ef-construction 7", Used);
    file.row(base, "--ef 20,30", Used);
    file.row(base, "--seed 9", Used);
    file.row(base, "--precision int8", Used);
    file.row(base, "--full-rows ram", Says(2, "full_rows"));
    file.row(
        "--base rows.npy --queries rows.npy --metric euclidean",
        "--json",
        Used,
    );
    let exact = format!("{base} --exact");
    for given in ["--ef 20", "--m 5", "--ef-construction 7", "--seed 9"] {
        file.row(&exact, given, Refused);
    }
    file.row(&exact, "--precision int8", Used);

    let base = "--index c --queries rows.npy --json";
    for given in [
        "--metric euclidean",
        "--m 5",
        "--ef-construction 7",
        "--seed 9",
        "--precision int8",
        "--base rows.npy",
    ] {
        file.row(base, given, Refused);
    }
    file.row(base, "--filter {\"must\":[{\"has_id\":[1]}]}", Used);
    file.row(base, "-k 3", Used);
    file.row(base, "--exact", Used);
    file.row(&format!("{base} --exact"), "--ef 20", Refused);
    file.row(base, "--truth truth.npy", Used);
    file.row(base, "--out out.jsonl", Used);
    file.row(base, "--out out.npy", Used);
    file.row(base, "--ef 20,30", Used);
    file.opens("--index c --queries rows.npy");
    file.row("--index c --queries rows.npy", "--json", Used);
}

/// A collection's life.
fn life(rows: &mut Vec<Row>) {
    let mut create = of(rows, "create", "");
    let base = "--index new --dimension 2 --metric euclidean";
    create.row("--dimension 2 --metric euclidean", "--index new", Required);
    create.row("--index new --metric euclidean", "--dimension 2", Required);
    create.row("--index new --dimension 2", "--metric euclidean", Required);
    create.row(base, "--json", Used);
    create.row(base, "--m 5", Used);
    create.row(base, "--ef-construction 7", Used);
    create.row(base, "--seed 9", Used);
    create.row(base, "--precision int8", Used);
    create.row(base, "--device abacus", Says(2, "abacus"));
    create.row(base, "--full-rows ram", Says(2, "full_rows"));
    create.row(&format!("{base} --precision int8"), "--full-rows ram", Used);

    let mut add = of(rows, "add", "");
    let base = "--index c rows.npy --first-id 100";
    add.row("rows.npy --ids ids", "--index c", Required);
    add.row(base, "--json", Used);
    add.row("--index c rows.npy --replace", "--ids ids", Used);
    add.row("--index c rows.npy --replace", "--first-id 100", Used);
    add.row("--index c rows.npy --ids ids", "--first-id 100", Refused);
    add.row(&format!("{base} --json"), "--batch 7", Used);
    add.row("--index c rows.npy", "--replace", Used);
    add.opens(base);

    let mut delete = of(rows, "delete", "");
    delete.row("--all", "--index c", Required);
    delete.row("--index c --all", "--json", Used);
    delete.row("--index c", "--ids some", Required);
    delete.row(
        "--index c",
        "--filter {\"must\":[{\"has_id\":[1]}]}",
        Required,
    );
    delete.row("--index c", "--all", Required);
    delete.row("--index c", "--filter {}", Refused);
    delete.row("--index c", "--filter {\"must\":[{\"must\":[]}]}", Refused);
    delete.row("--index c --all", "--ids some", Refused);
    delete.opens("--index c --ids some");

    let mut compact = of(rows, "compact", "");
    compact.row("", "--index c", Required);
    compact.row("--index c", "--json", Used);
    compact.opens("--index c");
    for command in ["stats", "check"] {
        let mut of = of(rows, command, "");
        of.row("", "--index c", Required);
        of.row("--index c", "--json", Used);
    }
    let mut salvage = of(rows, "salvage", "");
    salvage.row("--out saved", "--index c", Required);
    salvage.row("--index c", "--out saved", Required);
    salvage.row("--index c --out saved", "--json", Used);
}

fn bench(rows: &mut Vec<Row>) {
    let mut bench = of(rows, "bench", "");
    let rest =
        "--metric euclidean --out report --rounds 1 --ef 16 --at 0.5 --batch 1 --threads 1 --quiet";
    let base = &format!("--base rows.npy --queries rows.npy {rest}");
    bench.row(
        &format!("--queries rows.npy {rest}"),
        "--base rows.npy",
        Required,
    );
    bench.row(
        &format!("--base rows.npy {rest}"),
        "--queries rows.npy",
        Required,
    );
    bench.row(
        &format!("--generate sift-like:1000 {rest}"),
        "--queries rows.npy",
        Refused,
    );
    bench.row(base, "--generate sift-like:1000", Refused);
    let of_rest = |option: &str| {
        let words: Vec<&str> = base.split(' ').collect();
        let at = words.iter().position(|word| *word == option).unwrap();
        [&words[..at], &words[at + 2..]].concat().join(" ")
    };
    bench.row(&of_rest("--metric"), "--metric euclidean", Required);
    bench.row(&of_rest("--out"), "--out report", Required);
    bench.row(base, "--truth ids", Says(2, "ids"));
    bench.row(base, "--device abacus", Says(2, "abacus"));
    bench.row(base, "-k 3", Used);
    bench.row(&of_rest("--ef"), "--ef 16,20", Used);
    bench.row(&of_rest("--at"), "--at 0.5,0.6", Used);
    bench.row(base, "--m 5", Used);
    bench.row(base, "--ef-construction 7", Used);
    bench.row(base, "--precision int8", Used);
    bench.row(base, "--full-rows ram", Says(2, "full_rows"));
    bench.row(&of_rest("--threads"), "--threads 2", Used);
    bench.row(&of_rest("--batch"), "--batch 3,4", Used);
    bench.row(&of_rest("--rounds"), "--rounds 2", Used);
    bench.row(base, "--no-exact", Used);
    bench.row(base, "--with ./ids", Used);
    bench.row(base, "--seed 9", Used);
    bench.row(base.trim_end_matches(" --quiet"), "--quiet", OnScreen);
    of(rows, "bench compare", "").row("lines lines", "--all", Used);
}

fn tune(rows: &mut Vec<Row>) {
    let mut tune = of(rows, "tune", "");
    tune.row("", "--device software", Elsewhere("command/tune.rs"));
    for given in [
        "--rows 1",
        "--queries 1",
        "--rounds 1",
        "--dry-run",
        "--json",
    ] {
        tune.row("", given, Elsewhere("command/tune.rs"));
    }
}

const FORMATS: [(&str, &str); 5] = [
    ("jsonl", "rows.jsonl"),
    ("parquet", "rows.parquet"),
    ("npy", "rows.npy"),
    ("fvecs", "rows.fvecs"),
    ("hnswlib", "rows.bin"),
];

fn formats() -> impl Iterator<Item = (&'static str, &'static str)> {
    let parquet = cfg!(feature = "parquet");
    FORMATS
        .into_iter()
        .filter(move |(format, _)| parquet || *format != "parquet")
}

fn exports(rows: &mut Vec<Row>) {
    for (format, _) in formats() {
        let mut export = of(rows, "export", format);
        let base = &format!("--index c --format {format} out");
        export.row(&format!("--format {format} out"), "--index c", Required);
        export.row("--index c out", &format!("--format {format}"), Required);
        export.row(base, "--json", Used);
        export.opens(base);
    }
}

fn imports(rows: &mut Vec<Row>) {
    for (format, file) in formats() {
        let mut import = of(rows, "import", format);
        let read = &format!("--format {format} {file}");
        let new = &format!("--index new {read} --dimension 2 --metric euclidean");
        let there = &format!("--index c {read} --replace");
        let rows_alone = ["npy", "fvecs"].contains(&format);
        let brings_ids = ["jsonl", "parquet"].contains(&format);
        import.row(
            &format!("{read} --dimension 2 --metric euclidean"),
            "--index new",
            Required,
        );
        import.row(
            &format!("--index new {file} --dimension 2 --metric euclidean"),
            &format!("--format {format}"),
            Required,
        );
        import.row(
            &format!("--index new {read} --metric euclidean"),
            "--dimension 2",
            Required,
        );
        import.row(
            &format!("--index new {read} --dimension 2"),
            "--metric euclidean",
            Required,
        );
        import.row(there, "--dimension 3", Refused);
        import.row(there, "--metric dot", Refused);
        import.row(there, "--m 48", Refused);
        import.row(there, "--precision int8", Refused);
        import.row(new, "--json", Used);
        import.row(new, "--ids ids", if brings_ids { Refused } else { Used });
        import.row(
            new,
            "--first-id 100",
            if rows_alone { Used } else { Refused },
        );
        import.row(new, "--m 5", Used);
        import.row(new, "--precision int8", Used);
        import.row(&format!("--index c {read}"), "--replace", Used);
        if cfg!(feature = "parquet") {
            let of_parquet = |expect| if format == "parquet" { expect } else { Refused };
            import.row(new, "--id-column s", of_parquet(Used));
            import.row(
                new,
                "--vector-column s",
                of_parquet(Says(2, "column \"s\"")),
            );
            import.row(new, "--columns s", of_parquet(Used));
        }
        import.opens(new);
    }
}
