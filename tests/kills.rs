//! SIGKILL at random moments, in every language and either role: nothing is lost, doubled, torn or left hanging, and
//! the next process takes the role over. `kills/topic.rs` does the same to publishers and subscribers of a topic.
//!
//! Each victim says in a log what it is about, before and after each call. The ring tells where it really stood when it
//! died; that is between the two, and its successor must go on exactly there. What comes out at the other end is
//! compared with the whole stream, record by record, by a process in which nobody dies, or by victims of their own kind.
//!
//! `IPCX_KILLS` is the number of kills in each language (200), `IPCX_SEED` repeats a run.

#[path = "kills/topic.rs"]
mod topic;

use ipcx::{Consumer, Error, Producer, Ring, WaitStrategy};
use ipcx_tests::{Language, Log, Peer, Place, Random, Role, Stream, Word, LIMIT, MODES};
use std::time::{Duration, Instant};

/// The ring holds about 30 records: both sides often wait.
const CAPACITY: u64 = 4096;
const LARGEST: usize = 1000;
/// A blocked process learns of a death within this.
const NOTICE: Duration = Duration::from_millis(250);
/// Kills come this long after progress was seen, at most.
const DELAY: u64 = 2_000_000;
const RING: &str = "kills";

fn kills() -> u64 {
    std::env::var("IPCX_KILLS").map_or(200, |text| text.parse().expect("IPCX_KILLS is a number"))
}

/// What one victim after another does: a verb of the peers', on a segment.
struct Victims<'a> {
    place: &'a Place,
    what: [&'static str; 2],
    seed: u64,
    log: Log,
    /// Records that are really sent or released: at least, and at most, as far as is known.
    really: (u64, u64),
    /// True once a victim held the role.
    held: bool,
    /// Victims that died before they held it, inside a call, and between two.
    deaths: [u64; 3],
}

impl<'a> Victims<'a> {
    fn new(place: &'a Place, role: Role, seed: u64) -> Victims<'a> {
        Victims::of(place, [role.verb(), RING], seed)
    }

    fn of(place: &'a Place, what: [&'static str; 2], seed: u64) -> Victims<'a> {
        let log = Log::open(&place.path().join(what[0]));
        Victims { place, what, seed, log, really: (0, 0), held: false, deaths: [0; 3] }
    }

    fn start(&self, language: Language, mode: &str, count: u64) -> Peer {
        self.log.clear();
        let log = self.log.path().to_str().expect("a path in ASCII");
        let ([verb, segment], count) = (self.what, count.to_string());
        let (seed, largest) = (self.seed.to_string(), LARGEST.to_string());
        Peer::start(language, self.place, &[verb, mode, segment, &count, &seed, &largest, log])
    }

    /// The one that was started holds the role: it began where its predecessor ended.
    fn look_at_start(&mut self) {
        if self.log.get(Word::Started) == 1 {
            self.found(self.log.get(Word::First));
        }
    }

    /// The one that was started is dead.
    fn look_at_end(&mut self) {
        if self.log.get(Word::Started) == 0 {
            self.deaths[0] += 1;
            return;
        }
        self.look_at_start();
        self.really = (self.log.get(Word::Done), self.log.get(Word::Begun));
        self.held = true;
        self.deaths[if self.really.0 < self.really.1 { 1 } else { 2 }] += 1;
    }

    /// It is known exactly how many records are really sent or released.
    fn found(&mut self, really: u64) {
        let (done, begun) = self.really;
        assert!(
            (done..=begun).contains(&really),
            "{:?} died with {done} records done and {begun} begun, but {really} are there",
            self.what
        );
        self.really = (really, really);
    }

    fn has_progressed(&self) -> bool {
        self.log.get(Word::Started) == 1 && self.log.get(Word::Done) > self.log.get(Word::First)
    }
}

impl std::fmt::Display for Victims<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [early, inside, between] = self.deaths;
        write!(f, "{:?}: {} kills ", self.what[0], early + inside + between)?;
        write!(f, "({early} before it had begun, {inside} inside a call, {between} between calls)")
    }
}

/// Turns until something is so; a hang is a failure.
fn turn_until(what: &str, peer: &Peer, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !so() {
        assert!(!peer.is_over(), "{what}: the peer ended by itself");
        assert!(Instant::now() < until, "{what}: hangs");
    }
}

/// Waits until it is time to kill: at a random moment of the start, or after progress. `turn` does the other side's work.
fn until_the_moment(victims: &Victims, peer: &Peer, random: &mut Random, mut turn: impl FnMut()) {
    let at_start = random.below(4) == 0;
    turn_until("start and progress", peer, || {
        turn();
        if at_start {
            victims.log.get(Word::Ready) == 1
        } else {
            victims.has_progressed()
        }
    });
    let delay = Duration::from_nanos(random.below(if at_start { DELAY / 8 } else { DELAY }));
    if random.below(3) == 0 {
        std::thread::sleep(delay); // the victim finds the ring full or empty, and sleeps
    } else {
        let until = Instant::now() + delay;
        while Instant::now() < until {
            turn();
        }
    }
}

/// A consumer in which nobody dies: takes the stream record by record.
struct Checker<'a> {
    rx: Consumer,
    stream: &'a Stream,
    next: u64,
    buffer: Vec<u8>,
}

impl Checker<'_> {
    fn receive(&mut self, limit: Duration) -> Result<(), Error> {
        assert_eq!(self.rx.position(), self.stream.position(self.next));
        let len = self.rx.recv_timeout(&mut self.buffer, limit)?;
        self.stream.check(self.next, &self.buffer[..len]).unwrap();
        self.next += 1;
        Ok(())
    }

    /// One turn beside a victim, which may be dead.
    fn turn(&mut self) {
        match self.receive(Duration::from_micros(200)) {
            Ok(()) | Err(Error::TimedOut(_) | Error::PeerDead(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Receives what a dead producer left, and learns of its death in time.
    fn drain(&mut self) -> Duration {
        let mut since = Instant::now();
        loop {
            match self.receive(LIMIT) {
                Ok(()) => since = Instant::now(),
                Err(Error::PeerDead(_)) => return since.elapsed(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn kill_producers(language: Language) {
    let mut random = Random::from_environment("kill_producers");
    let (place, seed) = (Place::new(), random.word());
    let stream = Stream::new(seed, LARGEST);
    let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    let rx = ring.consumer().unwrap();
    let mut checker = Checker { rx, stream: &stream, next: 0, buffer: vec![0; LARGEST] };
    let mut victims = Victims::new(&place, Role::Producer, seed);
    let mut slowest = Duration::ZERO;
    for _ in 0..kills().div_ceil(2) {
        let mut victim = victims.start(language, random.pick(&MODES), 0);
        until_the_moment(&victims, &victim, &mut random, || checker.turn());
        victim.kill_and_reap();
        victims.look_at_end();
        if victims.held && random.below(2) == 0 {
            slowest = slowest.max(checker.drain());
            victims.found(checker.next);
        }
    }
    let count = victims.really.1 + 50;
    let mut last = victims.start(language, "wait", count);
    while !matches!(checker.receive(LIMIT), Err(Error::Closed(_))) {}
    last.succeed();
    victims.look_at_start();
    assert_eq!(checker.next, count, "the whole stream, to its end");
    assert!(slowest < NOTICE, "a death was noticed only after {slowest:?}");
    println!("{victims}, {count} records; a death was noticed within {slowest:?}");
}

/// A producer in which nobody dies.
struct Feeder<'a> {
    tx: Producer,
    stream: &'a Stream,
    next: u64,
    buffer: Vec<u8>,
}

impl Feeder<'_> {
    fn send(&mut self, limit: Duration) -> Result<(), Error> {
        assert_eq!(self.tx.position(), self.stream.position(self.next));
        self.stream.fill(self.next, &mut self.buffer);
        self.tx.send_timeout(&self.buffer[..self.stream.len(self.next)], limit)?;
        self.next += 1;
        Ok(())
    }

    fn turn(&mut self) {
        match self.send(Duration::from_micros(200)) {
            Ok(()) | Err(Error::TimedOut(_) | Error::PeerDead(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Fills the ring of a dead consumer, and learns of its death in time.
    fn fill_up(&mut self) -> Duration {
        let mut since = Instant::now();
        loop {
            match self.send(LIMIT) {
                Ok(()) => since = Instant::now(),
                Err(Error::PeerDead(_)) => return since.elapsed(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Records released, as the ring itself says.
fn released(ring: &Ring, stream: &Stream) -> u64 {
    stream.number(ring.stats().unwrap().received_bytes)
}

fn kill_consumers(language: Language) {
    let mut random = Random::from_environment("kill_consumers");
    let (place, seed) = (Place::new(), random.word());
    let stream = Stream::new(seed, LARGEST);
    let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    let tx = ring.producer().unwrap();
    let mut feeder = Feeder { tx, stream: &stream, next: 0, buffer: vec![0; LARGEST] };
    let mut victims = Victims::new(&place, Role::Consumer, seed);
    let mut slowest = Duration::ZERO;
    for _ in 0..kills().div_ceil(2) {
        let mut victim = victims.start(language, random.pick(&MODES), 0);
        until_the_moment(&victims, &victim, &mut random, || feeder.turn());
        victim.kill_and_reap();
        victims.look_at_end();
        victims.found(released(&ring, &stream));
        if victims.held && random.below(2) == 0 {
            slowest = slowest.max(feeder.fill_up());
        }
    }
    let count = feeder.next + 50;
    let mut last = victims.start(language, "wait", count);
    let until = Instant::now() + LIMIT;
    while feeder.next < count {
        assert!(Instant::now() < until, "the last consumer hangs");
        feeder.turn();
    }
    drop(feeder);
    last.succeed();
    victims.look_at_start();
    assert_eq!(released(&ring, &stream), count, "the whole stream, to its end");
    assert!(slowest < NOTICE, "a death was noticed only after {slowest:?}");
    println!("{victims}, {count} records; a death was noticed within {slowest:?}");
}

/// Both sides die, and come back in any language. The consumers check the stream.
#[test]
fn both_sides_killed_in_mixed_languages_go_on_where_they_stood() {
    let mut random = Random::from_environment("both sides");
    let (place, seed) = (Place::new(), random.word());
    let stream = Stream::new(seed, LARGEST);
    let ring = place.ring(RING, CAPACITY, WaitStrategy::Balanced);
    let mut sides = Role::ALL.map(|role| {
        let victims = Victims::new(&place, role, seed);
        let peer = victims.start(random.pick(&Language::ALL), random.pick(&MODES), 0);
        (victims, peer)
    });
    let die = |(victims, peer): &mut (Victims, Peer)| {
        peer.kill_and_reap();
        victims.look_at_end();
        if victims.what[0] == Role::Consumer.verb() {
            victims.found(released(&ring, &stream));
        }
    };
    for _ in 0..kills() {
        let side = random.below(2) as usize;
        let (victims, peer) = &sides[side];
        let seen = victims.log.get(Word::Done);
        turn_until("progress", peer, || {
            assert!(sides.iter().all(|(_, peer)| !peer.is_over()), "a peer ended by itself");
            victims.log.wait_for(Word::Done, seen, Duration::from_millis(1)) && victims.has_progressed()
        });
        std::thread::sleep(Duration::from_nanos(random.below(DELAY)));
        let both = random.below(8) == 0;
        for side in &mut sides[if both { 0..2 } else { side..side + 1 }] {
            die(side);
            side.1 = side.0.start(random.pick(&Language::ALL), random.pick(&MODES), 0);
        }
    }
    sides.iter_mut().for_each(die);
    let [(mut producers, _), (mut consumers, _)] = sides;
    let count = producers.really.1 + 50;
    let mut sender = producers.start(Language::Rust, "place", count);
    let mut receiver = consumers.start(Language::C, "place", count);
    sender.succeed();
    receiver.succeed();
    producers.look_at_start();
    consumers.look_at_start();
    assert_eq!(released(&ring, &stream), count, "the whole stream, to its end");
    println!("{producers}, {consumers}, {count} records");
}

macro_rules! kills {
    ($($name:ident: $kill:ident $language:ident;)*) => {
        $(
            #[test]
            fn $name() {
                $kill(Language::$language);
            }
        )*
    };
}

kills! {
    killed_c_producers_lose_and_double_nothing: kill_producers C;
    killed_c_consumers_lose_and_double_nothing: kill_consumers C;
    killed_rust_producers_lose_and_double_nothing: kill_producers Rust;
    killed_rust_consumers_lose_and_double_nothing: kill_consumers Rust;
    killed_python_producers_lose_and_double_nothing: kill_producers Python;
    killed_python_consumers_lose_and_double_nothing: kill_consumers Python;
}
