//! The `ipcx` command. One file per subcommand; each says what became of it as an [`Outcome`], which is the exit code.
//!
//! What was asked for goes to standard output, talk to standard error. Colours only where a terminal shows them, and
//! not with `NO_COLOR`.

mod bench;
#[cfg(test)]
mod manual;
mod outcome;
mod worker;

use clap::{Parser, Subcommand};
use outcome::Outcome;

/// Communication between processes on one Linux host
#[derive(Debug, Parser)]
#[command(name = "ipcx", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures which way of communicating is fast on this machine
    Bench(bench::Arguments),
    #[command(hide = true, name = ipcx_bench::worker::SUBCOMMAND)]
    Worker(worker::Arguments),
}

fn main() -> Outcome {
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments).into(),
        Command::Worker(arguments) => worker::run(&arguments).into(),
    }
}
