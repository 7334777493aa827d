//! The `ipcx-bench` program: coordinator, or, with a first argument of `worker` or `startup`, one of the
//! processes that the coordinator starts.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ipcx_bench::artifact::Artifact;
use ipcx_bench::host::Host;
use ipcx_bench::options::Options;
use ipcx_bench::report::{self, Report};
use ipcx_bench::schedule::{self, Setup};
use ipcx_bench::{signals, startup, worker, Result};

/// Cycles of create, attach and close.
const STARTUP_CYCLES: usize = 200;
/// Long enough for two laps of every case, on a machine that does nothing else.
const WARM_UP: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some(worker::SUBCOMMAND) => worker::main(&arguments[1..]).map(|()| true),
        Some("startup") => startup::main(&arguments[1..]).map(|()| true),
        _ => coordinate(&Options::parse()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ipcx-bench: {error}");
            ExitCode::from(if signals::stopped() { 130 } else { 1 })
        }
    }
}

/// Measures and reports; false if a target was missed and the caller wants to know.
fn coordinate(options: &Options) -> Result<bool> {
    signals::install_in_coordinator();
    let host = Host::look()?;
    if !host.has_two_cores() {
        return Err("two cores are needed to measure: this process may use only one".into());
    }
    let (rounds, round_ms) = options.effort();
    let setup = Setup {
        pinned: host.pinned,
        programs: options.programs()?,
        label: format!("ipcx-bench-{}", std::process::id()),
        warm_up: WARM_UP,
        round: Duration::from_millis(round_ms.into()),
    };
    eprintln!("{}", host.line());
    let groups = report::measure(&options.only, rounds, &setup)?;
    let startups = startup::measure(STARTUP_CYCLES, &options.only, host.pinned[0], &setup.label)?;
    let artifact = Artifact::describe(&options.library()?)?;
    let report = Report { host, rounds, round: setup.round, groups, startups, artifact };
    print!("{}", report.plain());
    if let Some(file) = &options.json {
        std::fs::write(file, format!("{:#}\n", report.json()))?;
    }
    if let Some(file) = &options.markdown {
        std::fs::write(file, report.markdown())?;
    }
    schedule::failures(report.groups.iter().flat_map(|group| &group.cases))?;
    Ok(!options.strict || report.shortfalls() == 0)
}
