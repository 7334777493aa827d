//! The `ipcx` command. One file per subcommand; each says what became of it as an [`Outcome`], which is the exit code.
//!
//! What was asked for goes to standard output, talk to standard error. Colours only where a terminal shows them, and
//! not with `NO_COLOR`.

mod bench;
mod call;
mod completions;
mod doctor;
mod framing;
mod gc;
mod inspect;
mod kernel;
mod ls;
#[cfg(test)]
mod manual;
mod outcome;
mod output;
mod publish;
mod push;
mod recv;
mod rm;
mod segment;
mod send;
mod subscribe;
mod take;
mod top;
mod trace;
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
    Ls(ls::Arguments),
    Inspect(inspect::Arguments),
    Rm(rm::Arguments),
    Gc(gc::Arguments),
    Doctor(doctor::Arguments),
    Send(send::Arguments),
    Recv(recv::Arguments),
    Pub(publish::Arguments),
    Sub(subscribe::Arguments),
    Call(call::Arguments),
    Push(push::Arguments),
    Take(take::Arguments),
    Top(top::Arguments),
    Trace(trace::Arguments),
    Bench(bench::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true, name = ipcx_bench::worker::SUBCOMMAND)]
    Worker(worker::Arguments),
}

fn main() -> Outcome {
    match Arguments::parse().command {
        Command::Ls(arguments) => ls::run(&arguments).into(),
        Command::Inspect(arguments) => inspect::run(&arguments).into(),
        Command::Rm(arguments) => rm::run(&arguments).into(),
        Command::Gc(arguments) => gc::run(&arguments).into(),
        Command::Doctor(arguments) => doctor::run(&arguments).into(),
        Command::Send(arguments) => send::run(&arguments).into(),
        Command::Recv(arguments) => recv::run(&arguments).into(),
        Command::Pub(arguments) => publish::run(&arguments).into(),
        Command::Sub(arguments) => subscribe::run(&arguments).into(),
        Command::Call(arguments) => call::run(&arguments).into(),
        Command::Push(arguments) => push::run(&arguments).into(),
        Command::Take(arguments) => take::run(&arguments).into(),
        Command::Top(arguments) => top::run(&arguments).into(),
        Command::Trace(arguments) => trace::run(&arguments).into(),
        Command::Bench(arguments) => bench::run(&arguments).into(),
        Command::Completions(arguments) => completions::run(&arguments).into(),
        Command::Worker(arguments) => worker::run(&arguments).into(),
    }
}
