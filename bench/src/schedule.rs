//! The order of things: check, warm up, calibrate, then rounds in A B B A order.
//!
//! In even rounds the cases of a session run first to last, in odd rounds last to first, so that a drift of
//! the machine falls on all of them alike. A ratio is taken between two cases of the same round.
//!
//! A case that fails is over, with its reason, and the others go on. Only Ctrl-C ends a session.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::adapters::{self, Adapter, Start};
use crate::pair::Pair;
use crate::rows::Case;
use crate::stats::Spread;
use crate::workload::{Shape, Workload, BATCH};
use crate::{signals, Error, Result};

/// Where cases run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The CPUs of the near and the far side.
    pub pinned: [usize; 2],
    /// The folder with contenders written in other languages.
    pub programs: PathBuf,
    /// Unique among all runs on this machine; fit for a file name.
    pub label: String,
    /// How long each of the two laps before timing may take.
    pub warm_up: Duration,
    /// How long a round is to take.
    pub round: Duration,
}

/// Why a case has no figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is not in this build, or makes no sense.
    Absent(String),
    /// It failed.
    Failed(String),
}

impl Missing {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Missing::Absent(reason) | Missing::Failed(reason) => reason,
        }
    }
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
    /// How many round trips were timed one by one.
    pub samples: u64,
    /// Their percentiles in nanoseconds: 50, 90, 99, 99.9 and the maximum; empty where messages go one way.
    pub percentiles: Vec<u64>,
    /// The part of what was published that one who receives what it can received, one entry per round; elsewhere empty.
    pub received: Vec<f64>,
    /// Why there is nothing, if there is nothing.
    pub missing: Option<Missing>,
}

impl Measured {
    /// A case that has not been measured, yet or at all.
    pub fn nothing(case: Case, missing: Option<Missing>) -> Measured {
        let about = adapters::find(case.contender).map_or("", |adapter| adapter.about);
        Measured {
            case,
            about,
            rounds: Vec::new(),
            samples: 0,
            percentiles: Vec::new(),
            received: Vec::new(),
            missing,
        }
    }
}

/// Cases that are measured next to each other.
#[derive(Default)]
pub struct Session {
    live: Vec<Live>,
}

/// A case, and its workers if they are up.
struct Live {
    measured: Measured,
    pair: Option<Pair>,
    /// Nanoseconds per message when it was last looked at.
    each: f64,
}

impl Session {
    /// Starts a case's workers, checks them and finds out how long a message takes.
    ///
    /// # Errors
    /// If the run is to end; a case that cannot be measured says why in what is measured of it.
    pub fn add(&mut self, case: Case, setup: &Setup) -> Result<()> {
        let missing = match adapters::find(case.contender) {
            None => Some("no such contender".to_owned()),
            Some(adapter) => absence(adapter, case.workload, setup),
        };
        let measured = Measured::nothing(case, missing.map(Missing::Absent));
        let mut live = Live { measured, pair: None, each: 0.0 };
        if live.measured.missing.is_none() {
            let started = start(case, setup).map(|(pair, each)| (live.pair, live.each) = (Some(pair), each));
            live.note(started)?;
        }
        self.live.push(live);
        Ok(())
    }

    /// A case that is not to be measured, with its reason.
    pub fn leave_out(&mut self, case: Case, reason: &str) {
        let missing = Some(Missing::Absent(reason.to_owned()));
        self.live.push(Live { measured: Measured::nothing(case, missing), pair: None, each: 0.0 });
    }

    /// How many cases have workers.
    pub fn running(&self) -> usize {
        self.live.iter().filter(|live| live.pair.is_some()).count()
    }

    /// One round of every case. Each sets the count of its next, so that rounds keep their length when the
    /// machine changes its speed.
    ///
    /// # Errors
    /// If the run is to end.
    pub fn round(&mut self, number: usize, length: Duration) -> Result<()> {
        let mut order: Vec<&mut Live> = self.live.iter_mut().collect();
        if number % 2 == 1 {
            order.reverse();
        }
        for live in order {
            signals::check()?;
            let Some(pair) = &mut live.pair else { continue };
            let outcome = if live.measured.case.workload.by_the_clock() {
                pair.crowd_round("pairs", part(length, live.measured.case.workload))
            } else {
                pair.round("run", filling(length, live.each))
            };
            let noted = outcome.map(|outcome| {
                live.measured.rounds.push(outcome.each);
                live.each = outcome.each;
                live.measured.received.extend(outcome.received);
            });
            live.note(noted)?;
        }
        Ok(())
    }

    /// One more round, in which each round trip is timed by itself.
    ///
    /// # Errors
    /// If the run is to end.
    pub fn sample(&mut self, length: Duration) -> Result<()> {
        for live in &mut self.live {
            signals::check()?;
            let (Some(pair), true) = (&mut live.pair, live.measured.case.workload.returns()) else {
                continue;
            };
            let each = Spread::of(live.measured.rounds.iter().copied()).map_or(live.each, |each| each.median);
            let count = filling(length, each);
            let outcome = pair.round("sample", count);
            let noted = outcome.map(|outcome| {
                live.measured.percentiles = outcome.percentiles;
                live.measured.samples = count;
            });
            live.note(noted)?;
        }
        Ok(())
    }

    /// What was measured. Ends the workers.
    pub fn finish(self) -> Vec<Measured> {
        self.live.into_iter().map(|live| live.measured).collect()
    }
}

impl Live {
    /// Ends a case that failed; passes on that the run is to end.
    fn note(&mut self, outcome: Result<()>) -> Result<()> {
        if let Err(error) = outcome {
            signals::check()?;
            self.pair = None;
            self.measured.rounds.clear();
            self.measured.missing = Some(Missing::Failed(error.to_string()));
        }
        Ok(())
    }
}

fn absence(adapter: &Adapter, workload: Workload, setup: &Setup) -> Option<String> {
    match adapter.start {
        Start::Absent(remedy) => Some(remedy.to_owned()),
        Start::Program(name) | Start::Couple(name) if !setup.programs.join(name).exists() => {
            Some(adapters::peers::why_missing(&setup.programs, name))
        }
        _ if !(adapter.carries)(workload) => Some("the contender cannot carry this".to_owned()),
        _ => None,
    }
}

/// Processes that acquire and release do so for this part of a round: their pairs are short, and the cases many.
const PART_OF_ROUND: u32 = 3;
/// The shortest check of many who receive, all of whom need a turn.
const AUDIENCE_CHECK: Duration = Duration::from_millis(200);

fn part(round: Duration, workload: Workload) -> Duration {
    match workload.shape {
        Shape::Pairs(_) => round / PART_OF_ROUND,
        _ => round,
    }
}

fn start(case: Case, setup: &Setup) -> Result<(Pair, f64)> {
    let adapter = adapters::find(case.contender).ok_or("no such contender")?;
    // A case may be in several groups, which are there at the same time.
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let number = STARTED.fetch_add(1, Relaxed);
    let label = format!("{}-{number}-{case}", setup.label).replace('/', "-");
    let mut pair = Pair::start(adapter, case.workload, &label, setup.pinned, &setup.programs)?;
    if case.workload.by_the_clock() {
        // No block is lent twice, what is received was published, and every page has been touched.
        let check = if case.workload.subscribers() > 1 { AUDIENCE_CHECK } else { Duration::ZERO };
        let length = part(setup.round, case.workload);
        pair.crowd_round("check-pairs", length.max(check))?;
        pair.crowd_round("pairs", length)?;
        return Ok((pair, 0.0));
    }
    let each = calibrate(&mut pair, case.workload, setup)?;
    Ok((pair, each))
}

/// Carries two laps, or as much as there is time for: one with every byte checked. Then finds out how long a message takes.
fn calibrate(pair: &mut Pair, workload: Workload, setup: &Setup) -> Result<f64> {
    let mut each = pair.round("check", BATCH as u64)?.each;
    let mut count = BATCH as u64;
    for verb in ["check", "run"] {
        count = workload.lap().min(filling(setup.warm_up, each));
        each = pair.round(verb, count)?.each;
    }
    // A trial of a fifth of a round is long enough to trust.
    let fits = |each: f64| setup.round.as_nanos() as f64 / each;
    while (count as f64) * 5.0 < fits(each) {
        count = (count * 4).min(fits(each) as u64 / 2).next_multiple_of(BATCH as u64);
        each = pair.round("run", count)?.each;
    }
    Ok(each)
}

/// How many messages take `length` if each takes `each` nanoseconds: whole batches, one at least.
fn filling(length: Duration, each: f64) -> u64 {
    ((length.as_nanos() as f64 / each) as u64).max(1).next_multiple_of(BATCH as u64)
}

/// The error of a run whose cases failed.
pub fn failures<'a>(measured: impl IntoIterator<Item = &'a Measured>) -> Result<()> {
    let failed = measured.into_iter().filter_map(|measured| match &measured.missing {
        Some(Missing::Failed(reason)) => Some(format!("{}: {reason}", measured.case)),
        _ => None,
    });
    let failed: Vec<String> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error(failed.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_filled_with_whole_batches_and_never_empty() {
        assert_eq!(filling(Duration::from_micros(100), 100.0), 1024);
        assert_eq!(filling(Duration::from_micros(100), 1e9), BATCH as u64);
    }

    #[test]
    fn only_what_failed_is_a_failure() {
        let case = Case { contender: "ring", workload: Workload::ROUND_TRIP_64 };
        let absent = Measured::nothing(case, Some(Missing::Absent("not built".to_owned())));
        let failed = Measured::nothing(case, Some(Missing::Failed("no room".to_owned())));
        assert!(failures([&absent]).is_ok());
        assert_eq!(failures([&absent, &failed]).unwrap_err().to_string(), "ring/round-trip-64: no room");
    }
}
