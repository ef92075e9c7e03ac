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
mod salvage;
mod search;
mod stats;
mod tune;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};

fn main() -> ExitCode {
    device::hush_driver();
    let result = match Arguments::parse().command {
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
        // Whoever reads our output has seen enough: `vectorizer demo | head` is no failure.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody left to tell if this fails too.
            drop(writeln!(std::io::stderr(), "error: {failure}"));
            failure.exit_code()
        }
    }
}
