//! Which cases are tried, by several workers, and the figures of each sweep and scenario.

use crate::errors;
use crate::stage::{Scenario, Workshop};
use crate::sweep::{self, Case, Profile};
use crate::tracee::Nursery;
use ipcx_tests::{Place, Random};
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::unistd::Pid;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What the long run is to reach.
const FREEZES: usize = 1_000_000;
const DOUBLES: usize = 50_000;
/// What the quick share adds to the distinct images.
const QUICK_FREEZES: usize = 1_500;
const QUICK_DOUBLES: usize = 800;
const QUICK_FAILURES: usize = 1_500;
/// Different things that others do while a victim stands still.
const TURNS: u64 = 6;
/// So many failures are enough.
const TOO_MANY: u64 = 10;
/// A case takes milliseconds; one that takes so long hangs where nothing has a limit.
const STUCK: Duration = Duration::from_secs(120);

/// The sweeps, in the order in which they are made.
const SWEEPS: [&str; 4] = ["kill sweep", "frozen partner", "double fault", "failing calls"];

fn sweep_of(case: Case) -> usize {
    match case {
        Case::Kill(_) => 0,
        Case::Freeze { .. } => 1,
        Case::Double { .. } => 2,
        Case::Fail { .. } => 3,
    }
}

fn name(case: Case) -> String {
    match case {
        Case::Kill(at) => format!("kill:{at}"),
        Case::Freeze { at, turn } => format!("freeze:{at}:{turn}"),
        Case::Double { first, second } => format!("double:{first}:{second}"),
        Case::Fail { call, errno } => format!("fail:{call}:{errno}"),
    }
}

fn parse(text: &str) -> Option<Case> {
    let (kind, rest) = text.split_once(':')?;
    let numbers: Vec<u64> = rest.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(match (kind, numbers[..].as_ref()) {
        ("kill", [at]) => Case::Kill(*at),
        ("freeze", [at, turn]) => Case::Freeze { at: *at, turn: *turn },
        ("double", [first, second]) => Case::Double { first: *first, second: *second },
        ("fail", [call, errno]) => Case::Fail { call: *call as usize, errno: *errno as i32 },
        _ => return None,
    })
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What all workers share.
struct Board<'a> {
    scenarios: Vec<&'a Scenario>,
    program: &'a Path,
    failures: [AtomicU64; 4],
    /// Of each scenario.
    failed: Vec<AtomicU64>,
    /// Cases tried since the last look.
    progress: AtomicU64,
}

/// Tries cases until there are none.
type Work<'w> = dyn Fn(&mut Workshop<'_>) + Sync + 'w;

impl<'a> Board<'a> {
    fn new(scenarios: &'a [Scenario], filter: &str, program: &'a Path) -> Board<'a> {
        let scenarios: Vec<_> = scenarios.iter().filter(|scenario| scenario.name.contains(filter)).collect();
        let failed = scenarios.iter().map(|_| AtomicU64::new(0)).collect();
        Board { scenarios, program, failures: Default::default(), failed, progress: AtomicU64::new(0) }
    }

    /// Runs the same work on each processor: tracer, victim and sleepers of a worker never need two at a time.
    fn on_each_processor(&self, seed: u64, work: &Work<'_>) {
        let allowed = sched_getaffinity(Pid::from_raw(0)).expect("own processors");
        let processors = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
        std::thread::scope(|scope| {
            for processor in processors {
                scope.spawn(move || {
                    let mut own = CpuSet::new();
                    own.set(processor).expect("a processor");
                    sched_setaffinity(Pid::from_raw(0), &own).expect("one of the own processors");
                    let place = Place::new();
                    let mut nursery = Nursery::start(self.program, &place);
                    let random = Random::new(seed ^ processor as u64);
                    work(&mut Workshop { place: &place, nursery: &mut nursery, random });
                });
            }
        });
    }

    fn total_failures(&self) -> u64 {
        self.failures.iter().map(|failures| failures.load(Ordering::Relaxed)).sum()
    }

    /// Tries what may panic, and notes if it does.
    fn attempt(
        &self,
        workshop: &mut Workshop<'_>,
        index: usize,
        sweep: usize,
        what: &str,
        run: impl FnOnce(&mut Workshop<'_>),
    ) {
        self.progress.fetch_add(1, Ordering::Relaxed);
        if catch_unwind(AssertUnwindSafe(|| run(workshop))).is_ok() {
            return;
        }
        let scenario = &self.scenarios[index].name;
        println!("FAILED {} {scenario} {what}; again: cargo test --release -p ipcx-tests --test crash -- {scenario} {what}", SWEEPS[sweep]);
        self.failures[sweep].fetch_add(1, Ordering::Relaxed);
        self.failed[index].fetch_add(1, Ordering::Relaxed);
        for file in workshop.place.files() {
            let _ = std::fs::remove_file(workshop.place.path().join(file));
        }
    }

    fn profiles(&self) -> Vec<Option<Profile>> {
        let profiles: Vec<Mutex<Option<Profile>>> = self.scenarios.iter().map(|_| Mutex::new(None)).collect();
        let next = AtomicUsize::new(0);
        self.on_each_processor(1, &|workshop| loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = self.scenarios.get(index) else { return };
            self.attempt(workshop, index, 0, "whole", |workshop| {
                *profiles[index].lock().expect("nobody panics with it") =
                    Some(sweep::profile(workshop, scenario));
            });
        });
        profiles.into_iter().map(|profile| profile.into_inner().expect("nobody panics with it")).collect()
    }

    /// Tries cases in their order, until they are through, time is over, or too much failed. Says how many.
    fn try_all(&self, known: &Known, cases: &[(usize, Case)], until: Option<Instant>) -> u64 {
        let next = AtomicUsize::new(0);
        let tried = AtomicU64::new(0);
        self.on_each_processor(cases.len() as u64, &|workshop| loop {
            let Some((index, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)).copied() else {
                return;
            };
            if until.is_some_and(|until| Instant::now() >= until) || self.total_failures() >= TOO_MANY {
                return;
            }
            let Some(profile) = &known.profiles[index] else { continue };
            let scenario = self.scenarios[index];
            self.attempt(workshop, index, sweep_of(case), &name(case), |workshop| {
                sweep::run(workshop, scenario, profile, known.recovery(scenario), case);
            });
            let tried = tried.fetch_add(1, Ordering::Relaxed) + 1;
            if tried % 10_000 == 0 {
                println!("{}: {} of {}", SWEEPS[sweep_of(case)], grouped(tried), grouped(cases.len() as u64));
            }
        });
        tried.into_inner()
    }
}

/// Random order, the same for the same number of cases.
fn shuffle<T>(cases: &mut [T]) {
    let mut random = Random::new(cases.len() as u64);
    for index in (1..cases.len()).rev() {
        cases.swap(index, random.below(index as u64 + 1) as usize);
    }
}

/// What whole runs showed.
struct Known {
    /// Of each scenario, but for those whose whole run failed.
    profiles: Vec<Option<Profile>>,
    /// Of each operation that takes over.
    recoveries: Vec<(&'static str, Profile)>,
}

impl Known {
    fn recovery(&self, scenario: &Scenario) -> Option<&Profile> {
        let found = self.recoveries.iter().find(|(name, _)| Some(*name) == scenario.recovers);
        found.map(|(_, profile)| profile)
    }
}

/// The cases of each sweep; what is most telling comes first.
struct Plan<'a> {
    known: &'a Known,
    scenarios: &'a [&'a Scenario],
}

impl<'a> Plan<'a> {
    fn each(&self) -> impl Iterator<Item = (usize, &'a Profile)> {
        self.known.profiles.iter().enumerate().filter_map(|(index, profile)| Some((index, profile.as_ref()?)))
    }

    /// All distinct images; `rest` adds every other instruction.
    fn kills(&self, rest: bool) -> Vec<(usize, Case)> {
        let distinct =
            self.each().flat_map(|(index, p)| p.distinct.iter().map(move |at| (index, Case::Kill(*at))));
        let mut cases: Vec<_> = distinct.collect();
        let sure = cases.len();
        if rest {
            let is_other = |p: &Profile, at: &u64| p.distinct.binary_search(at).is_err();
            let others =
                self.each().filter(|(index, _)| !self.scenarios[*index].threads).flat_map(|(index, p)| {
                    let all = 0..p.instructions.len() as u64;
                    all.filter(move |at| is_other(p, at)).map(move |at| (index, Case::Kill(at)))
                });
            cases.extend(others);
            shuffle(&mut cases[sure..]);
        }
        cases
    }

    fn freezes(&self) -> Vec<(usize, Case)> {
        let quick = self.each().filter(|(index, _)| !self.scenarios[*index].threads);
        let mut cases: Vec<_> = quick
            .flat_map(|(index, p)| {
                let all = 0..p.instructions.len() as u64;
                all.flat_map(move |at| (0..TURNS).map(move |turn| (index, Case::Freeze { at, turn })))
            })
            .collect();
        shuffle(&mut cases);
        cases
    }

    /// Deaths at the images of an operation times deaths in taking over after it: at its images as known from one such recovery, and at
    /// random instructions.
    fn doubles(&self, random_ones: usize) -> Vec<(usize, Case)> {
        let mut random = Random::new(7);
        let mut cases = Vec::new();
        for (index, profile) in self.each() {
            let Some(recovery) = self.known.recovery(self.scenarios[index]) else { continue };
            for first in &profile.distinct {
                let at_images = recovery.distinct.iter().copied();
                let elsewhere = (0..random_ones).map(|_| random.below(recovery.instructions.len() as u64));
                cases.extend(
                    at_images.chain(elsewhere).map(|second| (index, Case::Double { first: *first, second })),
                );
            }
        }
        shuffle(&mut cases);
        cases
    }

    fn failures(&self) -> Vec<(usize, Case)> {
        let each = |(index, p): (usize, &'a Profile)| {
            let calls = p.calls.iter().enumerate();
            calls.flat_map(move |(call, number)| {
                errors::of(*number).iter().map(move |errno| (index, Case::Fail { call, errno: *errno }))
            })
        };
        let mut cases: Vec<_> = self.each().flat_map(each).collect();
        shuffle(&mut cases);
        cases
    }
}

/// Whole recoveries, one for each operation that recovers.
fn recoveries(board: &Board<'_>, profiles: &[Option<Profile>]) -> Vec<(&'static str, Profile)> {
    let found = Mutex::new(Vec::new());
    let todo: Mutex<Vec<&str>> = Mutex::new(vec!["take_producer", "take_consumer"]);
    board.on_each_processor(3, &|workshop| loop {
        let Some(recovery) = todo.lock().expect("no panic").pop() else { return };
        let usable =
            |index: &usize| board.scenarios[*index].recovers == Some(recovery) && profiles[*index].is_some();
        let Some(index) = (0..board.scenarios.len()).find(usable) else { continue };
        let known = profiles[index].as_ref().expect("a usable one");
        board.attempt(workshop, index, 2, "whole", |workshop| {
            let first = known.distinct.last().copied().unwrap_or(0);
            let profile = sweep::profile_of_recovery(workshop, board.scenarios[index], known, first);
            found.lock().expect("no panic").push((recovery, profile));
        });
    });
    found.into_inner().expect("no panic")
}

/// Ends the process if no case ends for a long time: the one thing that no limit in a case catches.
fn watch(board: &Board<'_>, over: &AtomicU64) {
    let mut last = Instant::now();
    while over.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(100));
        if board.progress.swap(0, Ordering::Relaxed) > 0 {
            last = Instant::now();
        } else if last.elapsed() > STUCK {
            println!("stuck: no case has ended for {STUCK:?}");
            std::process::abort();
        }
    }
}

fn seconds() -> Option<u64> {
    std::env::var("IPCX_SECONDS").ok().map(|text| text.parse().expect("IPCX_SECONDS is a number"))
}

/// Makes all sweeps, or tries one case.
pub(crate) fn carry_out(scenarios: Vec<Scenario>, filter: &str, case: Option<&str>) -> ExitCode {
    let program = ipcx_tests::compile("tests/crash/victim.c");
    let board = Board::new(&scenarios, filter, &program);
    let over = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&board, &over));
        let profiles = board.profiles();
        let recoveries = recoveries(&board, &profiles);
        let known = Known { profiles, recoveries };
        match case {
            Some(text) => {
                let case = parse(text).unwrap_or_else(|| panic!("{text} is not a case"));
                let cases: Vec<_> = (0..board.scenarios.len()).map(|index| (index, case)).collect();
                board.try_all(&known, &cases, None);
            }
            None => sweep_all(&board, &known),
        }
        over.store(1, Ordering::Relaxed);
    });
    ExitCode::from(u8::from(board.total_failures() > 0))
}

fn sweep_all(board: &Board<'_>, known: &Known) {
    let plan = Plan { known, scenarios: &board.scenarios };
    let seconds = seconds();
    // Shares of the time, by what the figures to reach take.
    let share = |part: u64| seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds * part / 100));
    let long = seconds.is_some();
    let cut = |mut cases: Vec<(usize, Case)>, quick: usize, full: usize| {
        cases.truncate(if long { full } else { quick });
        cases
    };
    let kills = plan.kills(long);
    let kills = board.try_all(known, &cut(kills, usize::MAX, usize::MAX), share(32));
    let freezes = board.try_all(known, &cut(plan.freezes(), QUICK_FREEZES, FREEZES), share(48));
    let doubles = plan.doubles(if long { 400 } else { 1 });
    let doubles = board.try_all(known, &cut(doubles, QUICK_DOUBLES, 2 * DOUBLES), share(15));
    let failures = plan.failures();
    let possible = failures.len() as u64;
    let failures = board.try_all(known, &cut(failures, QUICK_FAILURES, usize::MAX), share(20));
    report(board, &known.profiles, [kills, freezes, doubles, failures], possible);
}

fn report(board: &Board<'_>, profiles: &[Option<Profile>], tried: [u64; 4], possible: u64) {
    let (mut instructions, mut images) = (0, 0);
    println!("{:<28} {:>12} {:>8} {:>9}", "operation/state", "instructions", "images", "failures");
    for ((scenario, profile), failed) in board.scenarios.iter().zip(profiles).zip(&board.failed) {
        let Some(profile) = profile else { continue };
        let (steps, distinct) = (profile.instructions.len() as u64, profile.distinct.len() as u64);
        println!("{:<28} {steps:>12} {distinct:>8} {:>9}", scenario.name, failed.load(Ordering::Relaxed));
        instructions += steps;
        images += distinct;
    }
    let failures = |sweep: usize| board.failures[sweep].load(Ordering::Relaxed);
    let [kills, freezes, doubles, calls] = tried.map(grouped);
    let (instructions, images) = (grouped(instructions), grouped(images));
    let scenarios = board.scenarios.len();
    let figures = [
        format!("{scenarios} operations in states, {instructions} instructions, {images} distinct images, {kills} killed there"),
        format!("{freezes} stops"),
        format!("{doubles} pairs of deaths"),
        format!("{calls} of {} calls and errors", grouped(possible)),
    ];
    for (sweep, figures) in figures.iter().enumerate() {
        println!("figures: {} | {figures} | {}", SWEEPS[sweep], failures(sweep));
    }
}
