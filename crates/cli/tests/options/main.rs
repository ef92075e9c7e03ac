//! A table of every option of every command, with every format where there are formats: it is used, and that can be seen, or it is refused by name.
//!
//! The options are those that the command's own help lists. One without a row here fails, as does a row without an option.
#![expect(
    clippy::unwrap_used,
    reason = "what helps a test fails as the test does"
)]

mod table;
mod world;

use std::collections::BTreeSet;

use table::{Expect, Row, rows};
use world::{World, help};

/// The options that a command's help lists, as `--name` or, without a long name, `-n`.
fn options(command: &str) -> BTreeSet<String> {
    let arguments: Vec<&str> = command.split(' ').collect();
    let help = help(&arguments);
    let (_, list) = help.split_once("Options:\n").unwrap();
    list.lines()
        // What follows begins at the margin.
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        // Text about an option is indented further.
        .filter(|line| line.starts_with("  -") || line.starts_with("      --"))
        .map(|line| {
            let words = line.trim_start().split([' ', ',']);
            let mut names = words.filter(|word| word.starts_with('-'));
            let first = names.next().unwrap();
            let long = names.find(|name| name.starts_with("--"));
            long.unwrap_or(first).to_owned()
        })
        .filter(|name| name != "--help" && name != "--version")
        .collect()
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = help(&[]);
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// The formats that an option's help lists.
fn formats(command: &str) -> BTreeSet<String> {
    let help = help(&[command]);
    let (_, list) = help.split_once("--format <FORMAT>").unwrap();
    let lines = list
        .lines()
        .skip_while(|line| !line.contains("Possible values:"));
    let names = lines.skip(1).map(str::trim);
    let names = names.take_while(|line| line.starts_with("- "));
    names
        .map(|line| line[2..].split(':').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_option_of_every_command_has_a_row() {
    let rows = rows();
    let mut commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    commands.push("bench compare".to_owned());
    for command in &commands {
        let of_command = || rows.iter().filter(|row| row.command == *command);
        let in_table: BTreeSet<String> = of_command().map(|row| row.option.to_owned()).collect();
        assert_eq!(in_table, options(command), "{command}");
        if options(command).contains("--format") {
            for option in options(command) {
                let rows = of_command().filter(|row| row.option == option);
                let in_table: BTreeSet<String> = rows.map(|row| row.format.to_owned()).collect();
                assert_eq!(in_table, formats(command), "{command} {option}");
            }
        }
    }
    for row in &rows {
        assert!(commands.contains(&row.command.to_owned()), "{row:?}");
    }
}

#[test]
fn every_option_is_used_or_refused_by_name() {
    let world = World::new();
    let mut wrong = Vec::new();
    for row in rows() {
        if let Err(what) = holds(&world, &row) {
            wrong.push(format!(
                "{} {} {}: {what}",
                row.command, row.format, row.option
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn holds(world: &World, row: &Row) -> Result<(), String> {
    if let Expect::Elsewhere(test) = row.expect {
        let path = format!("{}/tests/{test}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let option = format!("\"{}\"", row.option);
        return (text.contains(&option) && text.contains(&format!("\"{}\"", row.command)))
            .then_some(())
            .ok_or_else(|| format!("{path} does not have {option}"));
    }
    let with = world.run(&[&row.base[..], &row.given].concat());
    match row.expect {
        Expect::Refused => {
            let named = with.stderr.contains(row.option);
            let refused = with.status == 2 && named && with.stderr.starts_with("error: ");
            refused
                .then_some(())
                .ok_or_else(|| format!("expected it to be refused by name: {with:?}"))
        }
        Expect::Says(status, words) => {
            let without = world.run(&row.base);
            let says = with.status == status && with.stderr.contains(words);
            (says && !without.stderr.contains(words))
                .then_some(())
                .ok_or_else(|| format!("expected {status}, {words:?}: {with:?}"))
        }
        Expect::Required => {
            let without = world.run(&row.base);
            let named = without.status == 2 && without.stderr.contains(row.option);
            (named && with.status == 0)
                .then_some(())
                .ok_or_else(|| format!("expected it to be required: {without:?}, {with:?}"))
        }
        Expect::Used => {
            let without = world.run(&row.base);
            if with.status != 0 {
                return Err(format!("failed: {with:?}"));
            }
            (with != without)
                .then_some(())
                .ok_or_else(|| format!("nothing can be seen of it: {with:?}"))
        }
        Expect::Otherwise => (with != world.run(&row.base))
            .then_some(())
            .ok_or_else(|| format!("nothing can be seen of it: {with:?}")),
        Expect::OnScreen => (with.status == 0)
            .then_some(())
            .ok_or_else(|| format!("failed: {with:?}")),
        Expect::Elsewhere(_) => Ok(()),
    }
}
