//! Time: signals neither lengthen nor shorten a timeout and lose nothing, the wall clock is nobody's business, and each
//! process may have a monotonic clock of its own.

use super::*;
use ipcx_tests::{now, MODES};
use std::path::Path;

/// Signals per second that a process gets, if it can be had.
const STORM: &str = "10000";
/// So many at least, or it was no storm.
const SIGNALS: u64 = 500;

/// The library that makes the weather.
fn weather() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("odd/weather.c");
        // Beside the programs that `compile` makes.
        let library = compile("tests/odd/odd.c").with_file_name(format!("weather.{}.so", std::process::id()));
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let arguments = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
        let status =
            Command::new(compiler).args(arguments).arg(source).arg("-o").arg(&library).arg("-ldl").status();
        assert!(status.is_ok_and(|status| status.success()), "weather.c does not compile");
        library
    })
}

/// What a process had of it.
#[derive(Clone, Copy, Debug, Default)]
struct Had {
    signals: u64,
    rate: u64,
    looks: u64,
}

/// Weather for one process.
struct Weather {
    variables: Vec<String>,
    file: PathBuf,
}

impl Weather {
    fn new(place: &Place, of: &str, kind: &str) -> Weather {
        let file = place.path().join(format!("weather.{of}"));
        let preload = format!("LD_PRELOAD={}", weather().display());
        Weather {
            variables: vec![preload, format!("IPCX_TEST_WEATHER={}", file.display()), kind.to_owned()],
            file,
        }
    }

    fn storm(place: &Place, of: &str) -> Weather {
        Weather::new(place, of, &format!("IPCX_TEST_STORM={STORM}"))
    }

    fn jumps(place: &Place, of: &str) -> Weather {
        Weather::new(place, of, "IPCX_TEST_CLOCK=10")
    }

    /// A command to put in front of another.
    fn wrapper(&self) -> Vec<&str> {
        std::iter::once("env").chain(self.variables.iter().map(String::as_str)).collect()
    }

    fn start(&self, language: Language, place: &Place, arguments: &[&str]) -> Peer {
        let mut command = program(language);
        command.args(arguments).envs(self.variables.iter().filter_map(|pair| pair.split_once('=')));
        Peer::run(format!("{language:?} {arguments:?} in {:?}", self.variables), place, command)
    }

    fn had(&self) -> Had {
        let bytes = std::fs::read(&self.file).expect("what the process had");
        let word = |i: usize| u64::from_ne_bytes(bytes[8 * i..8 * i + 8].try_into().expect("8 bytes"));
        let lasted = (word(2) - word(1)).max(1);
        Had {
            signals: word(0),
            rate: (u128::from(word(0)) * 1_000_000_000 / u128::from(lasted)) as u64,
            looks: word(3),
        }
    }
}

/// Two peers pass a checked stream through a small ring, each in its weather.
fn exchange(make: fn(&Place, &str) -> Weather, ends: [(Language, &str); 2], count: u64) -> [Had; 2] {
    let place = Place::new();
    let _ring = place.ring(RING, CAPACITY, WaitStrategy::Block); // sleeps often
    let weather = ["send", "recv"].map(|of| make(&place, of));
    let mut peers = [0, 1].map(|i| {
        let (language, mode) = ends[i];
        start_peer(&weather[i].wrapper(), language, &place, (Role::ALL[i], mode), count)
    });
    peers.iter_mut().for_each(|(peer, _)| peer.succeed());
    assert!(peers.iter().all(|(_, log)| log.get(Word::Done) == count));
    weather.map(|weather| weather.had())
}

/// A stream from each language to the next, in all modes.
fn pairs(turn: u64) -> [[(Language, &'static str); 2]; 3] {
    let mode = |i: usize| MODES[(turn as usize + i) % MODES.len()];
    [0, 1, 2]
        .map(|i| [(Language::ALL[i], mode(i)), (Language::ALL[(i + 1 + turn as usize % 2) % 3], mode(i + 1))])
}

#[test]
fn a_storm_of_signals_loses_nothing() {
    let (mut records, mut signals, mut rates) = (0, 0, Vec::new());
    for turn in turns(1) {
        for ends in pairs(turn) {
            let count = if turn == 0 { 30_000 } else { 100_000 };
            let mut most = [0, 0];
            // A fast machine is through with them before there were many signals.
            while most.iter().any(|signals| *signals < SIGNALS) {
                let had = exchange(Weather::storm, ends, count);
                assert!(had.iter().all(|had| had.signals > 0), "no storm: {had:?}");
                records += count;
                signals += had[0].signals + had[1].signals;
                most = [0, 1].map(|i| most[i] + had[i].signals);
                rates.extend(had.map(|had| had.rate));
            }
        }
    }
    let (least, most) = (rates.iter().min().expect("one"), rates.iter().max().expect("one"));
    println!(
        "figures: odd hosts, signals | {} records between C, Rust and Python under {} signals, {} to {} a second \
         in each process | 0",
        with_commas(records),
        with_commas(signals),
        with_commas(*least),
        with_commas(*most)
    );
}

/// Each timeout is at least what was asked for, and not much more.
fn assert_kept(language: Language, verb: &str, make: fn(&Place, &str) -> Weather) -> Had {
    const MILLISECONDS: u64 = 70;
    const COUNT: usize = 4;
    let place = Place::new();
    let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    let _opposite = (verb == "recv").then(|| ring.producer().expect("free"));
    let weather = make(&place, verb);
    let (milliseconds, count) = (MILLISECONDS.to_string(), COUNT.to_string());
    let mut peer = weather.start(language, &place, &["timeouts", verb, RING, &milliseconds, &count]);
    for _ in 0..COUNT {
        let line = peer.line();
        let after = line.strip_prefix("after ").and_then(|text| text.parse().ok()).expect("a number");
        let (asked, after) = (Duration::from_millis(MILLISECONDS), Duration::from_nanos(after));
        assert!(after >= asked && after < asked + NOTICE, "{language:?} {verb}: {asked:?} took {after:?}");
    }
    peer.succeed();
    weather.had()
}

#[test]
fn a_storm_of_signals_changes_no_timeout() {
    for language in Language::ALL {
        for role in Role::ALL {
            let had = assert_kept(language, role.verb(), Weather::storm);
            assert!(had.signals > 50, "no storm: {had:?}");
        }
    }
}

/// Only waiting calls may end with a signal; nothing else lets one out.
#[test]
fn a_storm_of_signals_is_no_error_while_segments_are_made() {
    for language in Language::ALL {
        let place = Place::new();
        let weather = Weather::storm(&place, "create");
        let mut creator = Peer::start_under(&weather.wrapper(), language, &place, &["create"]);
        assert_eq!(creator.line(), "created");
        let until = Instant::now() + LIMIT;
        while weather.had().signals < SIGNALS {
            assert!(!creator.is_over(), "{language:?}: it failed");
            assert!(Instant::now() < until, "no storm");
            std::thread::yield_now();
        }
        creator.kill_and_reap();
    }
}

#[test]
fn jumps_of_the_wall_clock_change_nothing() {
    for language in Language::ALL {
        for role in Role::ALL {
            let had = assert_kept(language, role.verb(), Weather::jumps);
            assert!(had.looks > 0, "{language:?} looked at the clock that jumps, for what it displays");
        }
    }
    for ends in pairs(0) {
        let had = exchange(Weather::jumps, ends, 20_000);
        assert!(had.iter().all(|had| had.looks > 0));
    }
    for language in Language::ALL {
        let place = Place::new();
        let _ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
        let (weather, none) = (Weather::jumps(&place, "survivor"), ["env"]);
        let (_survivor, log) = start_peer(&weather.wrapper(), language, &place, (Role::Consumer, "wait"), 0);
        let (mut victim, its_log) = start_peer(&none, Language::C, &place, (Role::Producer, "wait"), 0);
        wait_for(&its_log, Word::Done);
        wait_for(&log, Word::Done);
        let killed = now();
        victim.kill_and_reap();
        wait_for(&log, Word::PeerDead);
        let noticed = Duration::from_nanos(log.get(Word::PeerDead).saturating_sub(killed));
        assert!(noticed < NOTICE, "{language:?} noticed after {noticed:?}");
    }
    println!("figures: odd hosts, wall clock | 20 years at each look, C, Rust and Python: timeouts, streams, deaths | 0");
}

/// `unshare` into a time namespace in which the monotonic clock is ahead by so many seconds, if that is permitted here.
fn ahead(seconds: &'static str) -> Option<Vec<&'static str>> {
    let clocks = ["--time", "--monotonic", seconds, "--boottime", seconds, "--fork", "--kill-child"];
    let as_root = [&["unshare"][..], &clocks].concat();
    let as_user = [&["unshare", "--map-root-user"][..], &clocks].concat();
    permitted(&[&as_root, &as_user])
}

#[test]
fn processes_whose_monotonic_clocks_differ_by_days_get_along() {
    let (Some(ten_days), Some(two_years)) = (ahead("864000"), ahead("63072000")) else {
        return println!("not tested: `unshare --time` is missing or not permitted on this host");
    };
    for (producer, consumer) in
        [(Language::C, Language::Python), (Language::Python, Language::Rust), (Language::Rust, Language::C)]
    {
        let place = Place::new();
        let _ring = place.ring(RING, CAPACITY, WaitStrategy::Block);
        let (mut sends, _) = start_peer(&ten_days, producer, &place, (Role::Producer, "wait"), 20_000);
        let (mut receives, log) = start_peer(&two_years, consumer, &place, (Role::Consumer, "wait"), 20_000);
        sends.succeed();
        receives.succeed();
        assert_eq!(log.get(Word::Done), 20_000);

        let (mut victim, its_log) = start_peer(&ten_days, producer, &place, (Role::Producer, "wait"), 0);
        let (_survivor, log) = start_peer(&two_years, consumer, &place, (Role::Consumer, "wait"), 0);
        wait_for(&its_log, Word::Done);
        wait_for(&log, Word::Started);
        let since = Instant::now();
        victim.kill_and_reap();
        wait_for(&log, Word::PeerDead); // a moment on its own clock: compared with none of ours
        let noticed = since.elapsed();
        assert!(noticed < NOTICE, "{consumer:?} noticed after {noticed:?}");
        assert!(log.get(Word::PeerDead) > now() + 60_000_000 * 1_000_000_000, "its clock is ahead");
        timeout_is_kept(&two_years, consumer);
    }
    println!("figures: odd hosts, time namespaces | clocks 10 days and 2 years ahead: streams, timeouts, deaths | 0");
}

/// A timeout of a process under `unshare`, whose peer is in another time namespace.
fn timeout_is_kept(unshare: &[&str], language: Language) {
    let place = Place::new();
    let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    let _tx = ring.producer().expect("free");
    let mut command = Command::new(unshare[0]);
    let inner = program(language);
    command
        .args(&unshare[1..])
        .arg(inner.get_program())
        .args(inner.get_args())
        .args(["timeouts", "recv", RING, "120", "2"]);
    let mut peer = Peer::run(format!("{language:?} in a time namespace"), &place, command);
    for _ in 0..2 {
        let line = peer.line();
        let after: u64 = line.strip_prefix("after ").and_then(|text| text.parse().ok()).expect("a number");
        assert!((120_000_000..370_000_000).contains(&after), "{language:?}: 120 ms took {after} ns");
    }
    peer.succeed();
}
