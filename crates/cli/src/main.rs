//! The `vectorizer` command: `info` shows the devices, `demo` searches this repository's own texts, `search` searches files
//! of vectors.

mod args;
mod demo;
mod device;
mod failure;
mod figures;
mod info;
mod progress;
mod search;

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
