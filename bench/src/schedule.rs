//! The order of things: check, warm up, calibrate, then rounds in A B B A order.
//!
//! In even rounds the cases of a group run first to last, in odd rounds last to first, so that a drift of
//! the machine falls on all of them alike. A ratio is taken between two cases of the same round.

use std::path::PathBuf;
use std::time::Duration;

use crate::adapters::{self, Adapter};
use crate::host::Host;
use crate::pair::Pair;
use crate::rows::{self, Case, Row};
use crate::workload::{Shape, BATCH};
use crate::{signals, Error, Result};

/// How much to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds of every case.
    pub rounds: usize,
    /// How long a round is to take.
    pub round: Duration,
    /// Which rows: a part of a name, or nothing for all.
    pub only: String,
    /// The folder with contenders written in other languages.
    pub programs: PathBuf,
}

/// What was measured of one case.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which case.
    pub case: Case,
    /// What the contender is.
    pub about: &'static str,
    /// Nanoseconds per message or round trip, one entry per round.
    pub rounds: Vec<f64>,
    /// Percentiles of single round trips, in nanoseconds; empty where messages go one way.
    pub percentiles: Vec<u64>,
    /// Why there is nothing, if there is nothing.
    pub missing: Option<String>,
}

/// One group: its name, its rows, and its cases as measured.
#[derive(Clone, Debug)]
pub struct Group {
    /// The group's name.
    pub name: &'static str,
    /// The comparisons to make.
    pub rows: Vec<Row>,
    /// The cases, each once.
    pub cases: Vec<Measured>,
}

/// A case whose workers are up.
struct Live {
    measured: Measured,
    pair: Option<Pair>,
    count: u64,
}

/// Measures everything that `plan` selects.
pub fn run(plan: &Plan, host: &Host, run_label: &str) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for (name, rows) in rows::selected(&plan.only) {
        let mut live = Vec::new();
        for case in rows::cases(&rows) {
            signals::check()?;
            eprintln!("  {name}: {case}");
            live.push(start(case, plan, host, &format!("{run_label}-{}", label_part(case)))?);
        }
        groups.push((name, rows, live));
    }
    for round in 0..plan.rounds {
        eprint!("\r  round {} of {} ", round + 1, plan.rounds);
        for (_, _, live) in &mut groups {
            run_group(live, round, plan.round)?;
        }
    }
    eprintln!();
    for live in groups.iter_mut().flat_map(|(_, _, live)| live) {
        sample(live)?;
    }
    let finished = groups.into_iter().map(|(name, rows, live)| Group {
        name,
        rows,
        cases: live.into_iter().map(|live| live.measured).collect(),
    });
    Ok(finished.collect())
}

fn label_part(case: Case) -> String {
    format!("{}-{}", case.contender, case.workload)
}

/// Starts a case's workers, checks them and finds out how many messages fill a round. A contender that
/// is not in this build is noted; one that fails ends the run.
fn start(case: Case, plan: &Plan, host: &Host, label: &str) -> Result<Live> {
    let mut live = Live {
        measured: Measured {
            case,
            about: "",
            rounds: Vec::new(),
            percentiles: Vec::new(),
            missing: Some("no such contender".to_owned()),
        },
        pair: None,
        count: 0,
    };
    let Some(adapter) = adapters::find(case.contender) else { return Ok(live) };
    live.measured.about = adapter.about;
    live.measured.missing = absence(adapter, plan);
    if live.measured.missing.is_some() {
        return Ok(live);
    }
    if !(adapter.carries)(case.workload) {
        return Err(Error(format!("{case}: the contender cannot carry this")));
    }
    let name = |error: Error| Error(format!("{case}: {error}"));
    let mut pair = Pair::start(adapter, case.workload, label, host.pinned, &plan.programs).map_err(name)?;
    if let Shape::Pairs(_) = case.workload.shape {
        // No block is lent twice, and every page has been touched.
        for verb in ["check-pairs", "pairs"] {
            pair.crowd_round(verb, plan.round / PART_OF_ROUND).map_err(name)?;
        }
    } else {
        live.count = calibrate(&mut pair, case, plan.round).map_err(name)?;
    }
    live.pair = Some(pair);
    Ok(live)
}

fn absence(adapter: &Adapter, plan: &Plan) -> Option<String> {
    match adapter.start {
        adapters::Start::Absent(remedy) => Some(remedy.to_owned()),
        adapters::Start::Program(name) if !plan.programs.join(name).exists() => {
            Some(format!("{name} has not been built"))
        }
        _ => None,
    }
}

/// Processes that acquire and release do so for this part of a round: their pairs are short, and the cases many.
const PART_OF_ROUND: u32 = 3;

/// Carries at least two laps, every byte checked, then finds the count that fills a round.
fn calibrate(pair: &mut Pair, case: Case, round: Duration) -> Result<u64> {
    let lap = case.workload.lap();
    pair.round("check", lap)?;
    let mut count = lap;
    loop {
        let each = pair.round("run", count)?.each;
        let fits = round.as_nanos() as f64 / each;
        // A trial of a fifth of a round is long enough to trust.
        if count as f64 * 5.0 >= fits {
            return Ok(filling(round, each));
        }
        count = (count * 4).min(fits as u64 / 2).next_multiple_of(64);
    }
}

/// How many messages fill a round if each takes `each` nanoseconds: whole batches.
fn filling(round: Duration, each: f64) -> u64 {
    ((round.as_nanos() as f64 / each) as u64).next_multiple_of(BATCH as u64)
}

/// One round of every case. Each sets the count of its next, so that rounds keep their length when the
/// machine changes its speed.
fn run_group(live: &mut [Live], round: usize, length: Duration) -> Result<()> {
    let mut order: Vec<usize> = (0..live.len()).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    for index in order {
        signals::check()?;
        let live = &mut live[index];
        if let Some(pair) = &mut live.pair {
            let name = |error: Error| Error(format!("{}: {error}", live.measured.case));
            let each = if let Shape::Pairs(_) = live.measured.case.workload.shape {
                pair.crowd_round("pairs", length / PART_OF_ROUND).map_err(name)?.each
            } else {
                pair.round("run", live.count).map_err(name)?.each
            };
            live.measured.rounds.push(each);
            live.count = filling(length, each);
        }
    }
    Ok(())
}

/// One more round in which each round trip is timed by itself.
fn sample(live: &mut Live) -> Result<()> {
    if let (Some(pair), Shape::RoundTrip | Shape::InPlace) =
        (&mut live.pair, live.measured.case.workload.shape)
    {
        live.measured.percentiles = pair.round("sample", live.count)?.percentiles;
    }
    Ok(())
}
