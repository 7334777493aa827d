//! Who is alive, who is dead, and how soon the others know: stopped, killed, forked, in other PID namespaces, and under
//! a storm of signals.

use ipcx::{Error, Ring, RoleState, WaitStrategy};
use ipcx_tests::{now, Language, Log, Peer, Place, Random, Role, Stream, Word, LIMIT, MODES};
use std::os::unix::thread::JoinHandleExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const RING: &str = "liveness";
const CAPACITY: u64 = 4096;
const LARGEST: usize = 1000;
/// Several of the slices in which a call sleeps.
const SLICES: Duration = Duration::from_millis(400);
/// A blocked process learns of a death within this.
const NOTICE: Duration = Duration::from_millis(250);
const STRATEGIES: [WaitStrategy; 4] =
    [WaitStrategy::Balanced, WaitStrategy::Block, WaitStrategy::Yield, WaitStrategy::Spin];

/// A peer with a log, and its place's only ring.
fn start(language: Language, place: &Place, role: Role, mode: &str, count: &str) -> (Peer, Log) {
    let log = Log::open(&place.path().join(role.verb()));
    log.clear();
    let path = log.path().to_str().expect("a path in ASCII").to_owned();
    let peer =
        Peer::start(language, place, &[role.verb(), mode, RING, count, "5", &LARGEST.to_string(), &path]);
    (peer, log)
}

fn wait_for(log: &Log, word: Word) {
    assert!(log.wait_for(word, 0, LIMIT), "{word:?} hangs");
}

/// The state of a role.
fn state(ring: &Ring, role: Role) -> RoleState {
    let stats = ring.stats().unwrap();
    match role {
        Role::Producer => stats.producer,
        Role::Consumer => stats.consumer,
    }
}

/// The other end of a peer's ring, in this process.
enum Opposite {
    Producer(ipcx::Producer),
    Consumer(ipcx::Consumer),
}

impl Opposite {
    fn of(role: Role, ring: &Ring) -> Opposite {
        match role {
            Role::Producer => Opposite::Consumer(ring.consumer().unwrap()),
            Role::Consumer => Opposite::Producer(ring.producer().unwrap()),
        }
    }

    /// Calls until one fails, and says how and how long that one took. A consumer drains the ring, a producer fills it.
    fn until_blocked(&mut self, stream: &Stream, limit: Duration) -> (Error, Duration) {
        let mut buffer = [0; LARGEST];
        loop {
            let since = Instant::now();
            let done = match self {
                Opposite::Consumer(rx) => rx.recv_timeout(&mut buffer, limit).map(drop),
                Opposite::Producer(tx) => {
                    let next = stream.number(tx.position());
                    stream.fill(next, &mut buffer);
                    tx.send_timeout(&buffer[..stream.len(next)], limit)
                }
            };
            if let Err(error) = done {
                return (error, since.elapsed());
            }
        }
    }
}

fn stopped_is_alive(language: Language) {
    let stream = Stream::new(5, LARGEST);
    for role in Role::ALL {
        let place = Place::new();
        let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
        let mut own = Opposite::of(role, &ring);
        let (mut peer, log) = start(language, &place, role, "wait", "0");
        wait_for(&log, Word::Started);
        peer.stop();
        let (error, after) = own.until_blocked(&stream, SLICES);
        assert!(matches!(error, Error::TimedOut(_)), "{error}");
        assert!(after >= SLICES, "gave up after {after:?}");
        assert_eq!(state(&ring, role), RoleState::Alive);
        let other = place.attach(RING);
        let taken = match role {
            Role::Producer => other.producer().map(drop),
            Role::Consumer => other.consumer().map(drop),
        };
        let Err(Error::RoleTaken(holder)) = taken else { panic!("{taken:?}") };
        assert!(holder.detail().contains(&format!("process {} ", peer.id())), "{holder}");
        peer.go_on();
        let (before, progress) = (log.get(Word::Done), Instant::now());
        while log.get(Word::Done) == before {
            own.until_blocked(&stream, Duration::from_millis(1));
            assert!(progress.elapsed() < LIMIT, "it goes on where it stood");
        }
        peer.kill_and_reap();
        let (error, _) = own.until_blocked(&stream, SLICES);
        assert!(matches!(error, Error::PeerDead(_)), "{error}");
    }
}

#[test]
fn a_stopped_c_peer_is_never_taken_for_dead() {
    stopped_is_alive(Language::C);
}

#[test]
fn a_stopped_rust_peer_is_never_taken_for_dead() {
    stopped_is_alive(Language::Rust);
}

#[test]
fn a_stopped_python_peer_is_never_taken_for_dead() {
    stopped_is_alive(Language::Python);
}

/// True if the ring is as full or as empty as the side in `role` can make it: that side now waits, or is about to.
fn is_blocked(ring: &Ring, role: Role) -> bool {
    let used = ring.stats().unwrap().used;
    match role {
        Role::Consumer => used == 0,
        Role::Producer => used > CAPACITY - LARGEST as u64 - 16,
    }
}

fn noticed_in_time(language: Language) {
    let mut random = Random::from_environment("noticed in time");
    let mut slowest = Duration::ZERO;
    for (survivor, wait) in Role::ALL.into_iter().flat_map(|role| STRATEGIES.map(|wait| (role, wait))) {
        let victim = if survivor == Role::Producer { Role::Consumer } else { Role::Producer };
        let place = Place::new();
        let ring = place.ring(RING, CAPACITY, wait);
        let (_peer, log) = start(language, &place, survivor, "wait", "0");
        for _ in 0..3 {
            let (mut dies, its_log) =
                start(random.pick(&Language::ALL), &place, victim, random.pick(&MODES), "0");
            wait_for(&its_log, Word::Started);
            dies.stop();
            let until = Instant::now() + LIMIT;
            while !is_blocked(&ring, survivor) {
                assert!(Instant::now() < until, "the ring never becomes full or empty");
                std::thread::yield_now();
            }
            // Anywhere in its slice.
            std::thread::sleep(Duration::from_nanos(random.below(60_000_000)));
            log.set(Word::PeerDead, 0);
            let killed = now();
            dies.kill_and_reap();
            wait_for(&log, Word::PeerDead);
            let noticed = Duration::from_nanos(log.get(Word::PeerDead).saturating_sub(killed));
            slowest = slowest.max(noticed);
            assert!(noticed < NOTICE, "a blocked {survivor:?} ({wait:?}) noticed after {noticed:?}");
        }
    }
    println!("noticed within {slowest:?}");
}

#[test]
fn a_blocked_c_peer_notices_a_death_within_250_ms() {
    noticed_in_time(Language::C);
}

#[test]
fn a_blocked_rust_peer_notices_a_death_within_250_ms() {
    noticed_in_time(Language::Rust);
}

#[test]
fn a_blocked_python_peer_notices_a_death_within_250_ms() {
    noticed_in_time(Language::Python);
}

#[test]
fn a_timeout_is_kept_whether_the_peer_lives_stops_or_dies() {
    let stream = Stream::new(5, LARGEST);
    for role in Role::ALL {
        let place = Place::new();
        let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
        let mut own = Opposite::of(role, &ring);
        for limit in [1, 30, 120].map(Duration::from_millis) {
            let (mut peer, log) = start(Language::Rust, &place, role, "place", "0");
            wait_for(&log, Word::Started);
            peer.stop();
            let (error, after) = own.until_blocked(&stream, limit);
            assert!(matches!(error, Error::TimedOut(_)), "{error}");
            assert!(after >= limit && after < limit + NOTICE, "{limit:?} took {after:?}");
            peer.kill_and_reap();
            let (error, after) = own.until_blocked(&stream, limit);
            assert!(matches!(error, Error::TimedOut(_) | Error::PeerDead(_)), "{error}");
            assert!(after < limit + NOTICE, "{limit:?} took {after:?}");
        }
    }
}

/// Keeps this thread on one processor.
fn stay_on(cpu: usize) {
    // SAFETY: a set of bits, for which zero is a value; CPU_SET stays inside it.
    let only = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        set
    };
    // SAFETY: reads the set.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size_of_val(&only), &only) }, 0);
}

#[test]
fn a_timeout_is_kept_on_a_processor_that_others_keep_busy() {
    // SAFETY: no memory is involved.
    let cpu = unsafe { libc::sched_getcpu() } as usize;
    let over = Arc::new(AtomicBool::new(false));
    let busy = [0; 3].map(|_| {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            stay_on(cpu);
            while !over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
    });
    let waiting = std::thread::spawn(move || {
        stay_on(cpu);
        for wait in STRATEGIES {
            let mut options = ipcx::RingOptions::default();
            options.segment.wait = wait;
            let mut rx = Ring::anonymous(&options).unwrap().consumer().unwrap();
            let since = Instant::now();
            let waited = rx.recv_timeout(&mut [0; 8], Duration::from_millis(10));
            assert!(matches!(waited, Err(Error::TimedOut(_))), "{waited:?}");
            assert!(since.elapsed() < NOTICE, "{wait:?}: 10 ms took {:?}", since.elapsed());
        }
    });
    let result = waiting.join();
    over.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|thread| thread.join().unwrap());
    result.unwrap();
}

/// True if there is such a process, and it has not ended.
fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|line| !line.contains(") Z"))
}

#[test]
fn a_forked_child_has_no_part_in_the_lease_of_its_parent() {
    for language in Language::ALL {
        let place = Place::new();
        let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
        let mut rx = ring.consumer().unwrap();
        let mut parent = Peer::start(language, &place, &["fork", RING]);
        let mut buffer = [0; 64];
        let len = rx.recv_timeout(&mut buffer, LIMIT).unwrap();
        assert_eq!(&buffer[..len], b"from the parent");
        let line = parent.line();
        let child = line.strip_prefix("forked ").expect("the child gets Forked");
        parent.kill_and_reap();
        let dead = rx.recv_timeout(&mut buffer, NOTICE);
        assert!(matches!(dead, Err(Error::PeerDead(_))), "{language:?}: {dead:?}");
        drop(ring.producer().expect("the parent's role is free"));
        assert!(is_alive(child), "all that while the child lived");
        parent.close_input();
        assert_eq!(parent.rest(), "", "the child ends and has sent nothing");
    }
}

/// `unshare` as it is permitted here, if it is.
fn unshare() -> Option<Vec<&'static str>> {
    let ways = [vec!["unshare", "-pf", "--kill-child"], vec!["unshare", "-r", "-pf", "--kill-child"]];
    ways.into_iter().find(|way| {
        let permitted = Command::new(way[0]).args(&way[1..]).arg("true").output();
        permitted.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn processes_with_equal_numbers_in_two_pid_namespaces_are_not_confused() {
    let Some(unshare) = unshare() else {
        println!("not tested: `unshare -pf` is missing or not permitted on this host");
        return;
    };
    let place = Place::new();
    let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    let start = |language, role: Role, count: &str| {
        let log = Log::open(&place.path().join(role.verb()));
        log.clear();
        let path = log.path().to_str().expect("a path in ASCII").to_owned();
        let arguments = [role.verb(), "wait", RING, count, "5", &LARGEST.to_string(), &path];
        let peer = Peer::start_under(&unshare, language, &place, &arguments);
        wait_for(&log, Word::Started);
        (peer, log)
    };
    let (mut producer, _) = start(Language::C, Role::Producer, "0");
    let (mut consumer, log) = start(Language::Python, Role::Consumer, "100000");
    let stats = ring.stats().unwrap();
    let pids = [stats.producer_process, stats.consumer_process].map(|process| process.unwrap().pid);
    assert_eq!(pids, [1, 1], "each is the first of its namespace");
    for language in [Language::Rust, Language::C] {
        producer.kill_and_reap();
        wait_for(&log, Word::PeerDead); // although a process with its number lives
        assert_eq!(state(&ring, Role::Producer), RoleState::Dead);
        assert_eq!(state(&ring, Role::Consumer), RoleState::Alive);
        let successor = start(language, Role::Producer, "0").0;
        log.set(Word::PeerDead, 0);
        assert!(log.wait_for(Word::Done, log.get(Word::Done), LIMIT), "it goes on");
        producer = successor;
    }
    producer.kill_and_reap();
    wait_for(&log, Word::PeerDead);
    let (mut last, _) = start(Language::Rust, Role::Producer, "100000");
    last.succeed();
    consumer.succeed();
}

extern "C" fn nothing(_: libc::c_int) {}

/// A handler that does nothing, for SIGUSR1.
fn handle_signals(flags: libc::c_int) {
    // SAFETY: a struct of numbers, for which zero is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = flags;
    // SAFETY: the handler touches nothing.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) }, 0);
}

/// Sends SIGUSR1 to threads again and again, until all of them are over, and counts.
fn storm<T>(threads: &[JoinHandle<T>], pause: Duration, signals: &AtomicU64) {
    let until = Instant::now() + LIMIT;
    while threads.iter().any(|thread| !thread.is_finished()) {
        for thread in threads.iter().filter(|thread| !thread.is_finished()) {
            // SAFETY: not joined yet, so the handle is of a thread.
            unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) };
            signals.fetch_add(1, Ordering::Relaxed);
        }
        assert!(Instant::now() < until, "hangs under signals");
        std::thread::sleep(pause);
    }
}

/// What a call gives that sleeps in a thread of its own until a signal comes.
fn interrupted<T: Send + 'static>(call: impl FnOnce() -> ipcx::Result<T> + Send + 'static) -> bool {
    let thread = [std::thread::spawn(call)];
    storm(&thread, Duration::from_millis(1), &AtomicU64::new(0));
    thread.into_iter().all(|thread| matches!(thread.join().unwrap(), Err(Error::Interrupted)))
}

#[test]
fn a_signal_ends_a_sleeping_call_with_interrupted_and_a_storm_of_them_loses_nothing() {
    for flags in [0, libc::SA_RESTART] {
        handle_signals(flags);
        let ring = Ring::anonymous(&Default::default()).unwrap();
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        while tx.try_send(&[0; 1000]).is_ok() {}
        assert!(interrupted(move || tx.send(&[0; 1000])));
        while rx.try_recv(&mut [0; 1000]).is_ok() {}
        // The first one closed with its thread: another, so that there is somebody to wait for.
        let _tx = ring.producer().unwrap();
        assert!(interrupted(move || rx.recv(&mut [0; 1000])));
        exchange_in_a_storm();
    }
}

/// Two threads pass a stream through a small ring, with signals at up to 10 kHz.
fn exchange_in_a_storm() {
    const SIGNALS: u64 = 3000;
    let mut options = ipcx::RingOptions { capacity: CAPACITY, ..Default::default() };
    options.segment.wait = WaitStrategy::Block; // sleeps often
    let ring = Ring::anonymous(&options).unwrap();
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let signals = Arc::new(AtomicU64::new(0));
    let so_far = Arc::clone(&signals);
    let sender = std::thread::spawn(move || {
        let stream = Stream::new(5, LARGEST);
        let (mut buffer, mut sent, mut interruptions) = ([0; LARGEST], 0, 0);
        while so_far.load(Ordering::Relaxed) < SIGNALS {
            stream.fill(sent, &mut buffer);
            while let Err(error) = tx.send_timeout(&buffer[..stream.len(sent)], LIMIT) {
                assert!(matches!(error, Error::Interrupted), "{error}");
                interruptions += 1;
            }
            sent += 1;
        }
        (sent, interruptions)
    });
    let receiver = std::thread::spawn(move || {
        let stream = Stream::new(5, LARGEST);
        let (mut buffer, mut received, mut interruptions) = ([0; LARGEST], 0, 0);
        loop {
            match rx.recv_timeout(&mut buffer, LIMIT) {
                Ok(len) => {
                    stream.check(received, &buffer[..len]).unwrap();
                    received += 1;
                }
                Err(Error::Interrupted) => interruptions += 1,
                Err(Error::Closed(_)) => return (received, interruptions),
                Err(error) => panic!("{error}"),
            }
        }
    });
    let threads = [sender, receiver];
    storm(&threads, Duration::from_micros(100), &signals);
    let [(sent, in_send), (received, in_recv)] = threads.map(|thread| thread.join().unwrap());
    assert_eq!(sent, received);
    println!("{sent} records, {signals:?} signals, calls interrupted: {in_send} sends, {in_recv} receives");
}
