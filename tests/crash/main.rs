//! SIGKILL at every instruction of every operation, and what the survivors make of it.
//!
//! ```text
//! cargo test --profile proofs -p ipcx-tests --test crash -- [FILTER [CASE]]
//! ```
//!
//! Without the environment variable `IPCX_SECONDS` a share that takes less than a minute: each distinct image of each operation,
//! and some of the rest. With it, every case in random order until they are through or so many seconds are over. FILTER is a
//! scenario's name, `operation/state`, or part of some. CASE is one that a failure printed:
//!
//! | case | what happens |
//! |---|---|
//! | `whole` | nothing: the whole operation |
//! | `kill:N` | the victim dies before instruction N |
//! | `freeze:N:T` | it stands still there during what others do in turn T (0 to 7) |
//! | `double:N:M` | it dies before instruction N, and whoever takes over before instruction M of that |
//! | `fail:C:E` | system call C of the operation fails with error number E |
//!
//! | file | what is in it |
//! |---|---|
//! | `victim.c`, `../src/bin/victim` | the operations, between two marks |
//! | `tracee` | a victim as a stopped process: steps, breakpoints, system calls, death |
//! | `image` | what the files are like between two instructions |
//! | `stage` | what a sweep needs to know of an operation |
//! | `ring`, `segment`, `pool`, `buffer`, `semaphore`, `topic`, `service`, `queue` | start states, and survivors who finish |
//! | `sweep` | single cases |
//! | `errors` | errors that a system call may give |
//! | `plan` | which cases a worker tries |
//! | `tally` | how far it got |
//!
//! The process of the tests is the survivor; the victims are C programs with the release library, and Rust programs for buffers,
//! semaphores, topics, services and queues. One worker, a process of its own, runs on each processor: its tracer, victims and sleepers
//! need two at a time.

mod buffer;
mod errors;
mod image;
mod plan;
mod pool;
mod queue;
mod ring;
mod segment;
mod semaphore;
mod service;
mod stage;
mod sweep;
mod tally;
mod topic;
mod tracee;

use crate::plan::Worker;
use crate::stage::{Scenario, Workshop};
use crate::tally::Tally;
use crate::tracee::Nursery;
use ipcx_tests::{Place, Random};
use nix::sched::{sched_getaffinity, sched_setaffinity, CpuSet};
use nix::unistd::Pid;
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// To a worker: `NUMBER WORKERS PROCESSOR`.
const WORKER: &str = "IPCX_CRASH_WORKER";
/// Begins a worker's line for the table.
const ROW: &str = "row:";
/// A case takes milliseconds; one that takes so long hangs where nothing has a limit.
const STUCK: Duration = Duration::from_secs(30);

/// The one of this name, or those whose names have it in them.
fn scenarios(filter: &str) -> Vec<Scenario> {
    let all = || {
        let first = segment::scenarios().into_iter().chain(ring::scenarios());
        first
            .chain(pool::scenarios())
            .chain(buffer::scenarios())
            .chain(semaphore::scenarios())
            .chain(topic::scenarios())
            .chain(queue::scenarios())
            .chain(service::scenarios())
    };
    let exact: Vec<_> = all().filter(|scenario| scenario.name == filter).collect();
    if exact.is_empty() {
        return all().filter(|scenario| scenario.name.contains(filter)).collect();
    }
    exact
}

/// Ends the process if nothing moves for a long time: the one thing that no limit in a case catches.
fn watch(beat: &AtomicU64) -> ! {
    let (mut last, mut seen) = (Instant::now(), 0);
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = beat.load(Ordering::Relaxed);
        if now != seen {
            (last, seen) = (Instant::now(), now);
        } else if last.elapsed() > STUCK {
            println!("FAILED stuck: no case has ended for {STUCK:?}");
            std::process::abort();
        }
    }
}

/// Works with a workshop of its own.
fn with_worker<T>(scenarios: Vec<Scenario>, seed: u64, work: impl FnOnce(&mut Worker<'_, '_>) -> T) -> T {
    static BEAT: AtomicU64 = AtomicU64::new(0);
    std::thread::spawn(|| watch(&BEAT));
    let place = Place::new();
    let mut nursery = Nursery::start(&place);
    let workshop = Workshop {
        place: &place,
        nursery: &mut nursery,
        random: Random::new(seed),
        predecessors: HashSet::new(),
    };
    let mut worker = Worker::new(workshop, scenarios, &BEAT);
    worker.explore(seconds().is_some());
    work(&mut worker)
}

fn seconds() -> Option<u64> {
    std::env::var("IPCX_SECONDS").ok().map(|text| text.parse().expect("IPCX_SECONDS is a number"))
}

fn be_a_worker(orders: &str, filter: &str) {
    let numbers: Vec<usize> = orders.split(' ').map(|word| word.parse().expect("a number")).collect();
    let [number, workers, processor] = numbers[..] else { panic!("{WORKER}={orders}") };
    let mut own = CpuSet::new();
    own.set(processor).expect("a processor");
    sched_setaffinity(Pid::from_raw(0), &own).expect("one of the own processors");
    let begin = Instant::now();
    let part = scenarios(filter).into_iter().skip(number).step_by(workers).collect();
    let mut tally = with_worker(part, number as u64, |worker| {
        // The whole runs have taken their part of the time.
        let left = seconds().map(|seconds| seconds.saturating_sub(begin.elapsed().as_secs()));
        worker.sweep(left, workers)
    });
    println!("{}", tally.line());
}

/// Everything, on each processor.
fn sweep_all(filter: &str) -> bool {
    ipcx_tests::compile("tests/crash/victim.c"); // before the workers need it
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("own processors");
    let processors: Vec<_> =
        (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect();
    let start = |(number, processor): (usize, &usize)| {
        Command::new(std::env::current_exe().expect("own path"))
            .arg(filter)
            .env(WORKER, format!("{number} {} {processor}", processors.len()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a worker starts")
    };
    let mut workers: Vec<Child> = processors.iter().enumerate().map(start).collect();
    let (mut tally, mut good, mut rows) = (Tally::default(), true, Vec::new());
    std::thread::scope(|scope| {
        let outputs = workers.iter_mut().map(|worker| BufReader::new(worker.stdout.take().expect("a pipe")));
        let read: Vec<_> = outputs
            .map(|output| {
                scope.spawn(move || {
                    let (mut sum, mut rows) = (Tally::default(), Vec::new());
                    for line in output.lines().map_while(Result::ok) {
                        if let Some(row) = line.strip_prefix(ROW) {
                            rows.push(row.to_owned());
                        } else if !sum.add(&line) {
                            println!("{line}");
                        }
                    }
                    (sum, rows)
                })
            })
            .collect();
        for thread in read {
            let (mut sum, part) = thread.join().expect("a reader");
            tally.add(&sum.line());
            rows.extend(part);
        }
    });
    for mut worker in workers {
        good &= worker.wait().expect("a worker to wait for").success();
    }
    rows.sort();
    println!(
        "{:<28} {:>12} {:>8} {:>9} {:>9}",
        "operation/state", "instructions", "images", "kills", "failures"
    );
    rows.iter().for_each(|row| println!("{row}"));
    tally.print();
    good && tally.all_failures() == 0
}

/// One case of each scenario that fits the filter.
fn try_case(filter: &str, text: &str) -> bool {
    let case = plan::parse(text);
    let scenarios = scenarios(filter);
    let count = scenarios.len();
    with_worker(scenarios, 0, |worker| {
        // Without a case, the whole runs that come before all others were it.
        (0..count).all(|index| match case {
            Some(case) => worker.try_and_tell(index, case),
            None => !worker.has_failed(),
        })
    })
}

/// What is wrong with the words of the command line.
fn misuse(words: &[String]) -> Option<String> {
    let [filter, rest @ ..] = words else { return None };
    if scenarios(filter).is_empty() {
        let names = scenarios("").into_iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(" ");
        return Some(format!("no scenario has {filter} in its name; there are: {names}"));
    }
    match rest {
        [] => None,
        [case] if case == plan::WHOLE || plan::parse(case).is_some() => None,
        [case] => Some(format!("{case} is not a case; see the head of tests/crash/main.rs")),
        _ => Some("more than a filter and a case".to_owned()),
    }
}

fn main() -> ExitCode {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the tracer steps x86-64 code only");
        return ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let filter = words.first().map_or("", String::as_str);
    if let Some(what) = misuse(&words) {
        eprintln!("crash [FILTER [CASE]]: {what}");
        return ExitCode::from(2);
    }
    let good = match (std::env::var(WORKER), words.get(1)) {
        (Ok(orders), _) => {
            be_a_worker(&orders, filter);
            true
        }
        (_, Some(case)) => try_case(filter, case),
        _ => sweep_all(filter),
    };
    ExitCode::from(u8::from(!good))
}
