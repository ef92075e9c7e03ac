//! The `vectorizer` command: `info` shows the devices, `demo` searches this repository's own texts, `search` searches files
//! of vectors and collections; `create`, `add`, `delete`, `compact`, `stats`, `check` and `salvage` are a collection's life, `export` and
//! `import` its ways to other programs; `bench` measures, `tune` lets a GPU be measured once and remembers what it likes.

mod add;
mod args;
mod bench;
mod check;
mod compact;
mod create;
mod delete;
mod demo;
mod device;
mod export;
mod failure;
mod figures;
mod import;
mod index;
mod info;
mod memory;
mod progress;
mod rows;
mod salvage;
mod search;
mod stats;
mod tune;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Arguments, Command};
use failure::EXIT_STATUS;

fn main() -> ExitCode {
    device::hush_driver();
    let matches = with_exit_status(Arguments::command()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = match arguments.command {
        Command::Info(arguments) => info::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Create(arguments) => create::run(&arguments),
        Command::Add(arguments) => add::run(&arguments),
        Command::Delete(arguments) => delete::run(&arguments),
        Command::Compact(arguments) => compact::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Salvage(arguments) => salvage::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Import(arguments) => import::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Of commands whose work is their output: whoever reads it has seen enough. `vectorizer demo | head` is no failure.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody left to tell if this fails too.
            drop(writeln!(std::io::stderr(), "error: {failure}"));
            failure.exit_code()
        }
    }
}

/// The command with the meaning of the exit status in its help, and in that of every command below it.
fn with_exit_status(command: clap::Command) -> clap::Command {
    let help = match command.get_after_help() {
        Some(help) => format!("{}\n\n{EXIT_STATUS}", help.ansi()),
        None => EXIT_STATUS.to_owned(),
    };
    command.after_help(help).mut_subcommands(with_exit_status)
}
