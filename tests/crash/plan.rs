//! Which cases of its scenarios one worker tries, in which order, and how far it got.

use crate::errors;
use crate::stage::{Scenario, Workshop};
use crate::sweep::{self, Case, Profile};
use crate::tally::{Tally, DOUBLE, FAIL, FREEZE, KILL, SWEEPS};
use crate::ROW;
use ipcx_tests::Random;
use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the long run of all workers is to reach.
const FREEZES: usize = 1_000_000;
const DOUBLES: usize = 50_000;
/// What the quick share of all workers adds to the deaths at each distinct image.
const QUICK_FREEZES: usize = 1_500;
const QUICK_DOUBLES: usize = 800;
const QUICK_FAILURES: usize = 1_500;
/// Different things that others do while a victim stands still.
const TURNS: u64 = 8;
/// How often a worker says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);
/// What a failure of a whole run calls it.
pub(crate) const WHOLE: &str = "whole";
/// So many failures are enough.
const TOO_MANY: u64 = 5;
/// Steps to an instruction that is near.
const NEAR: u64 = 12;

fn sweep_of(case: Case) -> usize {
    match case {
        Case::Kill(_) => KILL,
        Case::Freeze { .. } => FREEZE,
        Case::Double { .. } => DOUBLE,
        Case::Fail { .. } => FAIL,
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

/// A case by the name that a failure printed.
pub(crate) fn parse(text: &str) -> Option<Case> {
    let (kind, rest) = text.split_once(':')?;
    let numbers: Vec<u64> = rest.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(match (kind, &numbers[..]) {
        ("kill", [at]) => Case::Kill(*at),
        ("freeze", [at, turn]) => Case::Freeze { at: *at, turn: *turn },
        ("double", [first, second]) => Case::Double { first: *first, second: *second },
        ("fail", [call, errno]) => Case::Fail { call: *call as usize, errno: *errno as i32 },
        _ => return None,
    })
}

/// One worker's part of the plan.
pub(crate) struct Worker<'w, 'p> {
    pub(crate) workshop: Workshop<'p>,
    pub(crate) scenarios: Vec<Scenario>,
    /// Of each scenario, but for those whose whole run failed.
    profiles: Vec<Option<Profile>>,
    /// Whole take-overs: after each scenario, or, for the quick share, after one with the same role.
    recoveries: HashMap<usize, Profile>,
    tally: Tally,
    /// Of each scenario.
    kills: Vec<u64>,
    failures: Vec<u64>,
    /// Counts attempts, for a watch that ends what hangs.
    beat: &'w AtomicU64,
}

type Cases = Vec<(usize, Case)>;

impl<'w, 'p> Worker<'w, 'p> {
    pub(crate) fn new(
        workshop: Workshop<'p>,
        scenarios: Vec<Scenario>,
        beat: &'w AtomicU64,
    ) -> Worker<'w, 'p> {
        let (kills, failures) = (vec![0; scenarios.len()], vec![0; scenarios.len()]);
        let (profiles, recoveries) = (Vec::new(), HashMap::new());
        Worker { workshop, scenarios, profiles, recoveries, tally: Tally::default(), kills, failures, beat }
    }

    /// What may panic; `None` if it does, which is a failure.
    fn attempt<T>(
        &mut self,
        index: usize,
        sweep: usize,
        what: &str,
        run: impl FnOnce(&mut Workshop<'p>, &Scenario) -> T,
    ) -> Option<T> {
        self.beat.fetch_add(1, Ordering::Relaxed);
        let (workshop, scenario) = (&mut self.workshop, &self.scenarios[index]);
        if let Ok(value) = catch_unwind(AssertUnwindSafe(|| run(workshop, scenario))) {
            return Some(value);
        }
        let (sweep_name, name) = (SWEEPS[sweep], &scenario.name);
        println!("FAILED {sweep_name} {name} {what}; again: cargo test --profile proofs -p ipcx-tests --test crash -- {name} {what}");
        self.tally.failures[sweep] += 1;
        self.failures[index] += 1;
        for file in self.workshop.place.files() {
            let _ = std::fs::remove_file(self.workshop.place.path().join(file));
        }
        None
    }

    /// Whole runs of every operation, and of every take-over.
    pub(crate) fn explore(&mut self, long: bool) {
        for index in 0..self.scenarios.len() {
            let profile = self.attempt(index, KILL, WHOLE, sweep::profile);
            if let (Some(profile), Some(_)) = (&profile, self.scenarios[index].recovers) {
                let known = self.like(index).filter(|_| !long);
                let recovery = known.cloned().or_else(|| {
                    let first = profile.distinct.last().copied().unwrap_or(0);
                    self.attempt(index, DOUBLE, WHOLE, |workshop, scenario| {
                        sweep::profile_of_recovery(workshop, scenario, profile, first)
                    })
                });
                self.recoveries.extend(recovery.map(|profile| (index, profile)));
            }
            self.profiles.push(profile);
        }
    }

    /// A take-over by the same operation after another scenario.
    fn like(&self, index: usize) -> Option<&Profile> {
        let by = self.scenarios[index].recovers;
        self.recoveries
            .iter()
            .find(|(other, _)| self.scenarios[**other].recovers == by)
            .map(|(_, known)| known)
    }

    pub(crate) fn try_one(&mut self, index: usize, case: Case) {
        let Some(profile) = self.profiles[index].clone() else { return };
        let recovery = self.recoveries.get(&index).cloned();
        let reached = self.attempt(index, sweep_of(case), &name(case), |workshop, scenario| {
            sweep::run(workshop, scenario, &profile, recovery.as_ref(), case)
        });
        let reached = u64::from(reached.unwrap_or(true));
        self.tally.tried[sweep_of(case)] += reached;
        if sweep_of(case) == KILL {
            self.kills[index] += reached;
        }
    }

    /// Tries one case and says what came of it; false if it failed or is none of this scenario.
    pub(crate) fn try_and_tell(&mut self, index: usize, case: Case) -> bool {
        let Some(profile) = self.profiles[index].clone() else { return false };
        let (scenario, what) = (self.scenarios[index].name.clone(), name(case));
        if let Some(wrong) = self.out_of_range(index, &profile, case) {
            println!("{scenario} {what}: {wrong}");
            return false;
        }
        let before = self.tally.all_failures();
        self.try_one(index, case);
        let good = self.tally.all_failures() == before;
        if good {
            println!("{scenario} {what}: the survivors finished, nothing was lost, doubled or left");
        }
        good
    }

    fn out_of_range(&self, index: usize, profile: &Profile, case: Case) -> Option<String> {
        let all = profile.instructions.len() as u64;
        match case {
            Case::Kill(at) | Case::Freeze { at, .. } | Case::Double { first: at, .. } if at >= all => {
                Some(format!("it has {all} instructions"))
            }
            Case::Double { .. } if !self.recoveries.contains_key(&index) => {
                Some("nobody takes over after it".to_owned())
            }
            Case::Fail { call, .. } if call >= profile.calls.len() => {
                Some(format!("it has {} system calls", profile.calls.len()))
            }
            _ => None,
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.tally.all_failures() > 0
    }

    /// Tries cases in their order, until they are through, time is over, or too much failed.
    fn try_all(&mut self, cases: Cases, until: Option<Instant>) {
        let (all, mut told) = (cases.len(), Instant::now());
        for (number, (index, case)) in cases.into_iter().enumerate() {
            if told.elapsed() >= PROGRESS {
                println!("{}: {number} of {all} cases of one worker", SWEEPS[sweep_of(case)]);
                told = Instant::now();
            }
            if until.is_some_and(|until| Instant::now() >= until) || self.tally.all_failures() >= TOO_MANY {
                return;
            }
            self.try_one(index, case);
        }
    }

    fn known(&self) -> impl Iterator<Item = (usize, &Profile)> {
        self.profiles.iter().enumerate().filter_map(|(index, profile)| Some((index, profile.as_ref()?)))
    }

    /// Instructions of the operations to which breakpoints lead, in random order: those that are near, and the others.
    fn places(&self) -> [Vec<(usize, u64)>; 2] {
        let mut places: [Vec<_>; 2] = Default::default();
        for (index, profile) in self.known().filter(|(index, _)| !self.scenarios[*index].threads) {
            for at in 0..profile.instructions.len() as u64 {
                places[usize::from(profile.distance(at) > NEAR)].push((index, at));
            }
        }
        places.iter_mut().for_each(|places| shuffle(places));
        places
    }

    /// At each distinct image; then, for a long run, before every other instruction.
    fn kills(&self, long: bool) -> Cases {
        let distinct = self.known().flat_map(|(index, p)| p.distinct.iter().map(move |at| (index, *at)));
        let mut places: Vec<_> = distinct.collect();
        if long {
            let sure: std::collections::HashSet<_> = places.iter().copied().collect();
            places.extend(self.places().concat().into_iter().filter(|place| !sure.contains(place)));
        }
        places.into_iter().map(|(index, at)| (index, Case::Kill(at))).collect()
    }

    fn freezes(&self) -> Cases {
        let in_each_turn = |places: &Vec<(usize, u64)>| {
            let turn = |turn| places.iter().map(move |(index, at)| (*index, Case::Freeze { at: *at, turn }));
            let mut cases: Cases = (0..TURNS).flat_map(turn).collect();
            shuffle(&mut cases);
            cases
        };
        self.places().iter().flat_map(in_each_turn).collect()
    }

    /// Deaths at each image of an operation times deaths in taking over after it: at the images that one take-over
    /// showed, and at random instructions.
    fn doubles(&self, at_random: usize) -> Cases {
        let mut random = Random::new(7);
        let mut cases = Vec::new();
        for (index, profile) in self.known() {
            let Some(recovery) = self.recoveries.get(&index) else { continue };
            let all = recovery.instructions.len() as u64;
            for first in &profile.distinct {
                let elsewhere = (0..at_random).map(|_| random.below(all));
                let near = elsewhere.filter(|at| recovery.distance(*at) <= NEAR);
                let seconds = recovery.distinct.iter().copied().chain(near);
                cases.extend(seconds.map(|second| (index, Case::Double { first: *first, second })));
            }
        }
        shuffle(&mut cases);
        cases
    }

    fn failing(&self) -> Cases {
        let each = |(index, profile): (usize, &Profile)| {
            let calls = profile.calls.clone().into_iter().enumerate();
            calls.flat_map(move |(call, number)| {
                errors::of(number).iter().map(move |errno| (index, Case::Fail { call, errno: *errno }))
            })
        };
        let mut cases: Cases = self.known().flat_map(each).collect();
        shuffle(&mut cases);
        cases
    }

    /// Makes all sweeps: the quick share, or as much as `seconds` allow. It is one of so many workers.
    pub(crate) fn sweep(&mut self, seconds: Option<u64>, workers: usize) -> Tally {
        let long = seconds.is_some();
        // Shares of the time by what the figures to reach take.
        let share =
            |part: u64| seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds * part / 100));
        let cut = |mut cases: Cases, quick: usize, full: usize| {
            cases.truncate(if long { full } else { quick } / workers);
            cases
        };
        let failing = self.failing();
        self.tally.possible = failing.len() as u64;
        self.try_all(self.kills(long), share(25));
        self.try_all(cut(failing, QUICK_FAILURES, usize::MAX), share(10));
        self.try_all(cut(self.doubles(if long { 200 } else { 1 }), QUICK_DOUBLES, 2 * DOUBLES), share(15));
        self.try_all(cut(self.freezes(), QUICK_FREEZES, 2 * FREEZES), share(48));
        for (index, scenario) in self.scenarios.iter().enumerate() {
            let profile = self.profiles[index].as_ref();
            let (instructions, images) =
                profile.map_or((0, 0), |known| (known.instructions.len(), known.distinct.len()));
            let (kills, failures) = (self.kills[index], self.failures[index]);
            println!("{ROW}{:<28} {instructions:>12} {images:>8} {kills:>9} {failures:>9}", scenario.name);
            self.tally.instructions += instructions as u64;
            self.tally.images += images as u64;
        }
        for scenario in self.scenarios.iter().filter(|scenario| scenario.name.ends_with("/recovered")) {
            let held = self.workshop.predecessors.contains(&(scenario.operation, true));
            assert!(held, "{}: no predecessor died while it held the role", scenario.name);
        }
        self.tally.scenarios = self.scenarios.len() as u64;
        self.tally.clone()
    }
}

/// Random order, the same for the same number of things.
fn shuffle<T>(things: &mut [T]) {
    let mut random = Random::new(things.len() as u64);
    for index in (1..things.len()).rev() {
        things.swap(index, random.below(index as u64 + 1) as usize);
    }
}
