//! `ipcx trace`: what moves in a segment, as it moves.

use std::io::Write;
use std::time::{Duration, Instant};

use ipcx_bench::signals;
use serde_json::json;

use crate::framing::{seconds, stop};
use crate::outcome::Outcome;
use crate::segment::{self, per_second, Seen};

/// Prints how the counters of a segment move
///
/// Prints a line for each interval: how the counters of a segment moved, how full it is, and who came, went or died. It only looks:
/// nobody is slowed down. Ends when the segment's name is gone (3), or after --count lines
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: ipcx trace feed --interval 0.5")]
pub(crate) struct Arguments {
    /// Name of the segment
    #[arg(value_name = "NAME")]
    name: String,
    /// Time between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// End after so many lines
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// A line of JSON for each interval: all that `ipcx inspect --json` says, on one line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Outcome> {
    signals::install_in_coordinator();
    let start = Instant::now();
    let mut before = segment::one(&arguments.name)?;
    for _ in 0..arguments.count.unwrap_or(u64::MAX) {
        pause(arguments.interval)?;
        let now = segment::one(&arguments.name)?;
        let rate = now.rate(&before);
        let mut out = anstream::stdout();
        match arguments.json {
            true => {
                let mut line = now.json(rate);
                line["seconds"] = json!(start.elapsed().as_secs_f64());
                writeln!(out, "{line}")?;
            }
            false => {
                let rate = rate.map(per_second).unwrap_or_default();
                writeln!(
                    out,
                    "{:9.3} s  {rate:>9}  {}",
                    start.elapsed().as_secs_f64(),
                    moved(&before, &now)
                )?;
            }
        }
        before = now;
    }
    Ok(())
}

/// Longest sleep before it looks whether somebody ended it.
const SLICE: Duration = Duration::from_millis(100);

fn pause(length: Duration) -> Result<(), Outcome> {
    let start = Instant::now();
    while let Some(left) = length.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        stop()?;
        std::thread::sleep(left.min(SLICE));
    }
    stop()
}

/// What is different, in one line.
fn moved(before: &Seen, now: &Seen) -> String {
    let mut parts = vec![now.used()];
    let counters =
        |seen: &Seen| seen.figures.as_ref().map(|figures| figures.counters.clone()).unwrap_or_default();
    for ((name, then), (_, value)) in counters(before).into_iter().zip(counters(now)) {
        if value != then {
            parts.push(format!("{name} {:+}", i128::from(value) - i128::from(then)));
        }
    }
    let names = |seen: &Seen| -> Vec<(String, bool)> {
        let one = |one: &segment::Attached<'_>| {
            (format!("{} {}", one.process.pid, segment::printable(&one.process.command)), one.alive)
        };
        seen.attached().iter().map(one).collect()
    };
    let (then, these) = (names(before), names(now));
    let find = |all: &[(String, bool)], name: &str| {
        all.iter().find(|(other, _)| other == name).map(|(_, alive)| *alive)
    };
    for (name, alive) in &these {
        match (find(&then, name), alive) {
            (None, _) => parts.push(format!("{name} came")),
            (Some(true), false) => parts.push(format!("{name} DIED")),
            _ => {}
        }
    }
    let gone = then.iter().filter(|(name, _)| find(&these, name).is_none());
    parts.extend(gone.map(|(name, _)| format!("{name} went")));
    parts.extend(now.listed.problem.as_ref().map(ToString::to_string));
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}
