//! The `ipcx-bench` program: coordinator, or, with a first argument of `worker` or `startup`, one of the
//! processes that the coordinator starts.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::process::ExitCode;

use ipcx_bench::artifact::Artifact;
use ipcx_bench::host::Host;
use ipcx_bench::options::{Options, USAGE};
use ipcx_bench::report::Report;
use ipcx_bench::{schedule, signals, startup, worker, Result};

/// Cycles of create, attach and close.
const STARTUP_CYCLES: usize = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("worker") => worker::main(&arguments[1..]).map(|()| true),
        Some("startup") => startup::main(&arguments[1..]).map(|()| true),
        _ => coordinate(&arguments),
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
fn coordinate(arguments: &[String]) -> Result<bool> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{USAGE}");
        return Ok(true);
    };
    signals::install_in_coordinator();
    let host = Host::look()?;
    let label = format!("ipcx-bench-{}", std::process::id());
    eprintln!("{}", host.line());
    let groups = schedule::run(&options.plan, &host, &label)?;
    let startups = startup::measure(STARTUP_CYCLES, &options.plan.only, host.pinned[0], &label)?;
    let artifact = Artifact::describe(&options.library)?;
    let report = Report { host, plan: options.plan, groups, startups, artifact };
    print!("{}", report.plain());
    if let Some(file) = options.json {
        std::fs::write(file, format!("{}\n", report.json()))?;
    }
    if let Some(file) = options.markdown {
        std::fs::write(file, report.markdown())?;
    }
    Ok(!options.strict || report.shortfalls() == 0)
}
