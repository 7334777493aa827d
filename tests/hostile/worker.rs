//! What is exposed to hostile bytes runs in a process of its own: the test that this binary is starts itself again for
//! one of its tests, and watches from outside. A crash is then the end of a process by a signal, a hang is a call
//! whose beginning lies too far back, and both are told with the place where they happened.

use crate::tally::{Tally, Who, Word};
use ipcx_tests::{Ending, Peer, Place, Random};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Names the environment variable that carries the argument of a worker, and makes a process one.
const ARGUMENT: &str = "IPCX_TEST_CHILD";

/// One process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) name: String,
    peer: Peer,
    pub(crate) tally: Tally,
    over: bool,
}

impl Worker {
    /// This binary again, for one of its tests, which finds `argument` by [`argument`].
    pub(crate) fn again(place: &Place, name: &str, test: &str, argument: &str) -> Worker {
        let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        Worker::start(place, name, command, argument)
    }

    /// Any program; it finds the file of its tally and its argument in the environment.
    pub(crate) fn start(place: &Place, name: &str, mut command: Command, argument: &str) -> Worker {
        let path = place.path().join(format!("tally-{name}"));
        let tally = Tally::open(&path);
        command.env(ARGUMENT, argument).env("IPCX_TEST_TALLY", &path);
        Worker { name: name.to_owned(), peer: Peer::run(name.to_owned(), place, command), tally, over: false }
    }

    /// True once it has ended well. Anything wrong with it fails the test.
    fn look(&mut self) -> bool {
        if self.over {
            return true;
        }
        let ending = self.peer.wait_within(Duration::ZERO);
        let (name, place) = (&self.name, self.tally.whereabouts());
        match ending {
            None => assert!(!self.tally.hangs(self.peer.id()), "{name} hangs {place}"),
            Some(Ending::Exited(0)) => self.over = true,
            Some(Ending::Killed(signal)) => panic!("signal {signal} ended {name} {place}"),
            Some(Ending::Exited(status)) => panic!("{name} exited with {status} {place}"),
        }
        self.over
    }

    /// Tells it to end.
    pub(crate) fn stop(&self) {
        self.tally.set(Word::Stop, 1);
    }
}

/// Watches the workers until all have ended well; once `enough`, they are told to.
pub(crate) fn watch(workers: &mut [Worker], mut enough: impl FnMut(&[Worker]) -> bool) {
    let mut told = false;
    loop {
        let ended = workers.iter_mut().map(Worker::look).filter(|over| *over).count();
        if ended == workers.len() {
            return;
        }
        if !told && enough(workers) {
            told = true;
            workers.iter().for_each(Worker::stop);
        }
        std::thread::sleep(Duration::from_millis(5)); // A look at the tallies costs the workers a cache line each.
    }
}

/// Starts a worker for each processor in the named test of a module, with its number, their number and a seed, and waits for all,
/// for a time of so many percent at most.
pub(crate) fn on_each_processor(place: &Place, module: &str, test: &str, percent: u32) -> Vec<Worker> {
    let (begin, count) = (Instant::now(), processors());
    let mut random = Random::from_environment(test);
    let start = |n: u64| {
        let argument = format!("{n} {count} {}", random.word());
        Worker::again(place, &format!("{module}-{n}"), &format!("{module}::{test}"), &argument)
    };
    let mut workers: Vec<Worker> = (0..count).map(start).collect();
    let time = time(percent, Duration::MAX);
    watch(&mut workers, |_| begin.elapsed() >= time);
    workers
}

/// Calls of one kind over all workers.
pub(crate) fn calls(workers: &[Worker], who: Who, worked: bool) -> u64 {
    workers.iter().map(|worker| worker.tally.count(who, worked)).sum()
}

/// How many calls gave data, and how many an error, for people. Each of these must have had both, or what was written
/// is too harmless or too wild.
pub(crate) fn both(workers: &[Worker], all: &[(Who, &str)]) -> String {
    let counts = all.iter().map(|(who, name)| {
        let [good, bad] = [true, false].map(|ok| calls(workers, *who, ok));
        assert!(good > 0 && bad > 0, "{name}: {good} calls worked, {bad} failed");
        format!("{name} {} / {}", grouped(good), grouped(bad))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// What the workers have done, over all.
pub(crate) fn done(workers: &[Worker]) -> u64 {
    workers.iter().map(|worker| worker.tally.get(Word::Done)).sum()
}

/// The longest that a call took beyond its timeout, for people. It is more than a wait for a thread that ends, and less than
/// anybody would call a hang.
pub(crate) fn longest(workers: &[Worker]) -> String {
    /// Ten slices.
    const MOST: u64 = 500_000_000;
    let longest = workers.iter().map(|worker| worker.tally.get(Word::Longest)).max().unwrap_or(0);
    assert!(longest < MOST, "a call took {longest} ns beyond its timeout");
    format!("longest call {:.1} ms beyond its timeout", longest as f64 / 1e6)
}

/// In a worker: what it was given.
pub(crate) fn argument() -> Option<String> {
    std::env::var(ARGUMENT).ok()
}

/// In a worker: its tally.
pub(crate) fn tally() -> Tally {
    Tally::open(Path::new(&std::env::var_os("IPCX_TEST_TALLY").expect("set by the test")))
}

/// In a worker: true once it is to end, because it was told to or because nobody is left to tell it.
pub(crate) fn is_to_stop(tally: &Tally) -> bool {
    static PARENT: OnceLock<u32> = OnceLock::new();
    let parent = std::os::unix::process::parent_id();
    tally.get(Word::Stop) != 0 || parent != *PARENT.get_or_init(|| parent)
}

/// In a worker: the file of a segment with this name.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("IPCX_DIR").expect("set by the test")).join(format!("ipcx.{name}"))
}

/// True if the proofs are to go on to their full figures.
pub(crate) fn is_long() -> bool {
    seconds().is_some()
}

fn seconds() -> Option<u32> {
    std::env::var("IPCX_SECONDS").ok().map(|text| text.parse().expect("IPCX_SECONDS is a number"))
}

/// How long a proof may take that has so many percent of the time that is given; `quick` if none is.
pub(crate) fn time(percent: u32, quick: Duration) -> Duration {
    seconds().map_or(quick, |seconds| Duration::from_secs(1) * seconds * percent / 100)
}

/// One proof at a time: each keeps the machine busy, and is timed.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Processors of this machine, up to what a proof makes use of.
pub(crate) fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get().min(8) as u64)
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
