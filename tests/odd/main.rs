//! Odd hosts: what may be strange about the machine, the system's settings, or the company that a process keeps, and changes
//! nothing. `../liveness.rs` has the part of it that is about stopped and killed processes in the first place.
//!
//! | file | what is in it |
//! |---|---|
//! | `clocks` | a storm of signals, a wall clock that jumps, monotonic clocks that differ by days |
//! | `weather.c` | the first two of these, for any process |
//! | `forks` | fork with handles open, in the first use of the library, into PID namespaces; spawned and cloned children |
//! | `deaths` | deaths that look odd, and processes that look dead |
//! | `waiters` | waiters of a condition that die in great number; equal process numbers |
//! | `foreign` | processes with another C library, and with 32 bits |
//! | `limits` | the limit on files |
//! | `odd.c`, `odd.py`, `../src/bin/odd.rs` | what the tests have processes do |
//!
//! With `IPCX_SECONDS` the parts that are a matter of chance are repeated for so long, together. What cannot be tested on a
//! host says so, and why.

mod clocks;
mod deaths;
mod foreign;
mod forks;
mod limits;
mod waiters;

use ipcx::{Error, Ring, RoleState, WaitStrategy};
use ipcx_tests::{compile, Language, Log, Peer, Place, Role, Word, LIMIT};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const RING: &str = "odd";
const CAPACITY: u64 = 4096;
const LARGEST: usize = 1000;
/// A blocked process learns of a death within this.
const NOTICE: Duration = Duration::from_millis(250);

/// The program of a language that does odd things.
fn program(language: Language) -> Command {
    static C: OnceLock<PathBuf> = OnceLock::new();
    match language {
        Language::C => Command::new(C.get_or_init(|| compile("tests/odd/odd.c"))),
        Language::Rust => Command::new(env!("CARGO_BIN_EXE_odd")),
        Language::Python => language.example("../tests/odd/odd"),
    }
}

fn start(language: Language, place: &Place, arguments: &[&str]) -> Peer {
    let mut command = program(language);
    command.args(arguments);
    Peer::run(format!("{language:?} {arguments:?}"), place, command)
}

/// An ordinary peer under another program, and its log.
fn start_peer(
    wrapper: &[&str],
    language: Language,
    place: &Place,
    (role, mode): (Role, &str),
    count: u64,
) -> (Peer, Log) {
    let log = Log::open(&place.path().join(role.verb()));
    log.clear();
    let (path, count) = (log.path().to_str().expect("a path in ASCII").to_owned(), count.to_string());
    let arguments = [role.verb(), mode, RING, &count, "5", &LARGEST.to_string(), &path];
    (Peer::start_under(wrapper, language, place, &arguments), log)
}

fn wait_for(log: &Log, word: Word) {
    assert!(log.wait_for(word, 0, LIMIT), "{word:?} hangs");
}

/// The first of these commands that is permitted here.
fn permitted(ways: &[&[&'static str]]) -> Option<Vec<&'static str>> {
    let works = |way: &&&[&str]| {
        let tried = Command::new(way[0]).args(&way[1..]).arg("true").output();
        tried.is_ok_and(|output| output.status.success())
    };
    ways.iter().find(works).map(|way| way.to_vec())
}

/// How often something is done that is a matter of chance: `quick` times, or until this test's part of IPCX_SECONDS is over.
fn turns(quick: u64) -> impl Iterator<Item = u64> {
    const PARTS: u64 = 4;
    let seconds =
        std::env::var("IPCX_SECONDS").ok().map(|text| text.parse().expect("IPCX_SECONDS is a number"));
    let until = seconds.map(|all: u64| Instant::now() + Duration::from_secs(all / PARTS));
    (0..).take_while(move |turn| until.map_or(*turn < quick, |until| *turn < quick || Instant::now() < until))
}

/// 1234567 as 1,234,567.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group));
    groups.collect::<Vec<_>>().join(",")
}

/// What a peer's end looks like from the other one: a consumer that has received `held`, and waits.
struct Survivor {
    place: Place,
    ring: Ring,
    rx: ipcx::Consumer,
}

impl Survivor {
    fn new() -> Survivor {
        let place = Place::new();
        let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
        let rx = ring.consumer().expect("free");
        Survivor { place, ring, rx }
    }

    fn expects(&mut self, text: &str) {
        let mut buffer = [0; 64];
        let len = self.rx.recv_timeout(&mut buffer, LIMIT).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(String::from_utf8_lossy(&buffer[..len]), text);
    }

    /// The producer counts as alive, in each way in which that shows.
    fn sees_life(&mut self) {
        let waited = self.rx.recv_timeout(&mut [0; 64], Duration::from_millis(120));
        assert!(matches!(waited, Err(Error::TimedOut(_))), "{waited:?}");
        assert_eq!(self.ring.stats().expect("statistics").producer, RoleState::Alive);
        let taken = self.place.attach(RING).producer();
        assert!(matches!(taken, Err(Error::RoleTaken(_))), "{taken:?}");
    }

    /// The producer counts as dead within the time promised, and its role is free. Says how long it took.
    fn sees_death(&mut self) -> Duration {
        let since = Instant::now();
        let dead = self.rx.recv_timeout(&mut [0; 64], LIMIT);
        let after = since.elapsed();
        assert!(matches!(dead, Err(Error::PeerDead(_))), "{dead:?}");
        assert!(after < NOTICE, "noticed after {after:?}");
        drop(self.ring.producer().expect("the role is free"));
        after
    }
}

/// State of a process as the system shows it; `None` if there is none.
fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
