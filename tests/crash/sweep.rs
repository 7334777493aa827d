//! The sweeps. Each takes a scenario apart into single deaths and tries them.
//!
//! | sweep | a case is |
//! |---|---|
//! | kill | the victim dies before instruction n |
//! | frozen | it stands still there while others complete whole operations; then it dies, or goes on |
//! | double fault | it dies there, and whoever takes over dies before instruction m of that |
//! | failing call | system call n of the operation fails with an error; it says so, and works when made again |

use crate::image::Images;
use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::{At, Route};
use std::collections::HashMap;

/// What the survivors are told of a death without help takes a slice: not after each one.
const NOTICES: u64 = 256;

/// Before and announced, at least; that it went to the kernel is seen by its calls.
const IMAGES_OF_A_SLEEP: usize = 2;

/// One death, or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The victim dies before this instruction.
    Kill(u64),
    /// It stands still before this instruction during others' `turn`; every other time it goes on and ends.
    Freeze { at: u64, turn: u64 },
    /// It dies before instruction `first`, and its successor before instruction `second` of taking over.
    Double { first: u64, second: u64 },
    /// System call `call` of the operation fails with `errno`.
    Fail { call: usize, errno: i32 },
}

/// What one whole run showed.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// Of each instruction: its address, and the how-many-th visit there it was.
    pub(crate) instructions: Vec<(u64, u64)>,
    /// Before which instruction the files are as they were not before.
    pub(crate) distinct: Vec<u64>,
    /// Numbers of its system calls.
    pub(crate) calls: Vec<u64>,
    /// What it returned.
    pub(crate) code: i64,
}

impl Profile {
    /// How to get to instruction `n`.
    fn route(&self, n: u64) -> Route {
        Route::along(&self.instructions, n)
    }

    /// What it costs to get there, in steps.
    pub(crate) fn distance(&self, n: u64) -> u64 {
        self.route(n).cost()
    }
}

/// The code of `ipcx.h` for a panic that was caught.
const PANIC: i64 = -18;

/// Steps through an operation from a stage, and looks at the files before each instruction.
fn look_through(
    workshop: &mut Workshop<'_>,
    scenario: &Scenario,
    operation: &str,
    stage: &mut dyn Stage,
) -> Profile {
    let (mut images, place) = (Images::default(), workshop.place);
    let (mut instructions, mut distinct, mut visits) = (Vec::new(), Vec::new(), HashMap::new());
    let mut victim = workshop.nursery.victim(operation, scenario.target);
    stage.begun(victim.first());
    loop {
        if images.is_new(place) {
            distinct.push(instructions.len() as u64);
        }
        let address = victim.address();
        let visit = visits.entry(address).and_modify(|visits| *visits += 1).or_insert(1);
        instructions.push((address, *visit));
        if let At::End(code) = victim.step() {
            victim.kill();
            return Profile { instructions, distinct, calls: Vec::new(), code };
        }
    }
}

/// The whole operation, to which nothing happens.
pub(crate) fn profile(workshop: &mut Workshop<'_>, scenario: &Scenario) -> Profile {
    let mut stage = (scenario.stage)(workshop);
    let mut profile = look_through(workshop, scenario, scenario.operation, &mut *stage);
    let images = profile.distinct.len();
    assert!(!scenario.sleeps || images >= IMAGES_OF_A_SLEEP, "a run with {images} images has not slept");
    stage.returned(profile.code);
    stage.dead(At::End(profile.code), Toll::AtMost);
    stage.finish(workshop, false);
    profile.calls = calls(workshop, scenario);
    // Otherwise a partner that does not fence may not notice.
    if scenario.sleeps {
        let before: Vec<_> = profile.calls.split(|call| *call == libc::SYS_futex as u64).collect();
        let ordered = |calls: &&[u64]| calls.contains(&(libc::SYS_membarrier as u64));
        let (_, before) = before.split_last().expect("one part at least");
        assert!(
            !before.is_empty() && before.iter().all(ordered),
            "no barrier before a sleep: {:?}",
            profile.calls
        );
    }
    profile
}

/// The system calls of the whole operation.
fn calls(workshop: &mut Workshop<'_>, scenario: &Scenario) -> Vec<u64> {
    let mut stage = (scenario.stage)(workshop);
    let mut victim = workshop.nursery.victim(scenario.operation, scenario.target);
    stage.begun(victim.first());
    let mut calls = Vec::new();
    while let Some(call) = victim.next_call() {
        calls.push(call);
        victim.call(None);
    }
    let code = victim.finish();
    victim.kill();
    stage.returned(code);
    stage.dead(At::End(code), Toll::AtMost);
    stage.finish(workshop, false);
    calls
}

/// Lets a system call fail. Whatever the operation makes of it: an error changes nothing, leaves no descriptor open, and does not
/// keep the same call from working.
fn fail(workshop: &mut Workshop<'_>, scenario: &Scenario, call: usize, errno: i32, stage: &mut dyn Stage) {
    let mut victim = workshop.nursery.victim(scenario.operation, scenario.target);
    stage.begun(victim.first());
    let (before, mut closes) = (victim.descriptors(), false);
    for n in 0..=call {
        let Some(number) = victim.next_call() else { break };
        victim.call((n == call).then_some(errno));
        closes = number == libc::SYS_close as u64;
    }
    let mut code = victim.finish();
    assert_ne!(code, PANIC, "a system call that fails is no reason to panic");
    if code < 0 {
        // A close that only seems to fail leaves one: the kernel's own would not.
        assert!(closes || victim.descriptors() <= before, "an error ({code}) left a descriptor open");
        stage.failed(code);
        code = victim.again();
        stage.returned(code);
    }
    victim.kill();
    stage.dead(At::End(code), Toll::Failed);
}

/// The whole operation by which a successor takes over from a victim that died before instruction `first`.
pub(crate) fn profile_of_recovery(
    workshop: &mut Workshop<'_>,
    scenario: &Scenario,
    known: &Profile,
    first: u64,
) -> Profile {
    let mut stage = (scenario.stage)(workshop);
    die(workshop, scenario, known, first, &mut *stage);
    let recovery = scenario.recovers.expect("a scenario with a recovery");
    let profile = look_through(workshop, scenario, recovery, &mut *stage);
    stage.dead(At::End(profile.code), Toll::Nothing);
    stage.finish(workshop, false);
    profile
}

/// How to get to instruction `n` of a scenario's operation.
fn way(scenario: &Scenario, known: &Profile, n: u64) -> Route {
    if scenario.threads {
        Route::steps(n)
    } else {
        known.route(n)
    }
}

/// True if it died inside the operation.
fn die(
    workshop: &mut Workshop<'_>,
    scenario: &Scenario,
    known: &Profile,
    at: u64,
    stage: &mut dyn Stage,
) -> bool {
    let mut victim = workshop.nursery.victim(scenario.operation, scenario.target);
    stage.begun(victim.first());
    let at = victim.follow(way(scenario, known, at));
    victim.kill();
    stage.dead(at, Toll::AllOrNothing(known.code));
    at == At::Inside
}

/// Tries one case, and says whether it came to the place: what depends on chance and time may take another way. A failure is a
/// panic. `recovery` is a whole one after such an operation, for cases of two deaths.
pub(crate) fn run(
    workshop: &mut Workshop<'_>,
    scenario: &Scenario,
    known: &Profile,
    recovery: Option<&Profile>,
    case: Case,
) -> bool {
    let mut stage = (scenario.stage)(workshop);
    let reached = match case {
        Case::Kill(at) => die(workshop, scenario, known, at, &mut *stage),
        Case::Freeze { at, turn } => {
            let mut victim = workshop.nursery.victim(scenario.operation, scenario.target);
            stage.begun(victim.first());
            let mut at = victim.follow(way(scenario, known, at));
            let reached = stage.others(turn) && at == At::Inside;
            if turn % 2 == 1 {
                at = At::End(victim.finish());
            }
            victim.kill();
            stage.dead(at, Toll::AtMost);
            reached
        }
        Case::Double { first, second } => {
            let reached = die(workshop, scenario, known, first, &mut *stage);
            let operation = scenario.recovers.expect("a scenario with a recovery");
            let mut victim = workshop.nursery.victim(operation, scenario.target);
            stage.begun(victim.first());
            let at = victim.follow(recovery.map_or(Route::steps(second), |known| known.route(second)));
            victim.kill();
            stage.dead(At::Inside, Toll::Nothing);
            reached && at == At::Inside
        }
        Case::Fail { call, errno } => {
            fail(workshop, scenario, call, errno, &mut *stage);
            true
        }
    };
    let with_notice = workshop.random.below(NOTICES) == 0;
    stage.finish(workshop, with_notice);
    reached
}
