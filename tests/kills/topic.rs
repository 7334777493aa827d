//! Publishers and subscribers of a reliable topic, killed at random moments: each record that was published reaches the subscriber
//! that lives, once and whole, and who dies holds nobody up.

use super::{kills, until_the_moment, Victims, CAPACITY, LARGEST, NOTICE};
use ipcx::{Error, Publisher, Subscriber, Topic, TopicOptions, WaitStrategy};
use ipcx_tests::{Language, Place, Random, Stream, LIMIT, MODES};
use std::time::{Duration, Instant};

const TOPIC: &str = "kills";

fn topic(place: &Place) -> Topic {
    let segment = place.options(CAPACITY, WaitStrategy::Balanced).segment;
    let options = TopicOptions { capacity: CAPACITY, reliable: true, history: false, segment };
    Topic::create(TOPIC, &options).expect("a new topic")
}

/// A subscriber in which nobody dies.
struct Checker<'a> {
    rx: Subscriber,
    stream: &'a Stream,
    next: u64,
    buffer: Vec<u8>,
}

impl Checker<'_> {
    /// True if it received one within `limit`.
    fn receive(&mut self, limit: Duration) -> bool {
        match self.rx.recv_timeout(&mut self.buffer, limit) {
            Ok(len) => self.stream.check(self.next, &self.buffer[..len]).unwrap(),
            Err(Error::TimedOut(_) | Error::WouldBlock(_)) => return false,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(self.rx.missed(), 0);
        self.next += 1;
        true
    }

    /// Receives all that there is.
    fn drain(&mut self) {
        while self.receive(Duration::ZERO) {}
    }
}

/// A publisher in which nobody dies: publishes record `n`, if it can within `limit`, and says how long that took.
fn publish(tx: &mut Publisher, stream: &Stream, n: u64, limit: Duration) -> Option<Duration> {
    let (mut record, begin) = (vec![0; stream.len(n)], Instant::now());
    stream.fill(n, &mut record);
    match tx.publish_timeout(&record, limit) {
        Ok(()) => Some(begin.elapsed()),
        Err(Error::TimedOut(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn kill_publishers(language: Language) {
    let mut random = Random::from_environment("kill_publishers");
    let (place, seed) = (Place::new(), random.word());
    let (stream, topic) = (Stream::new(seed, LARGEST), topic(&place));
    let (rx, mut tx) = (topic.subscriber().unwrap(), topic.publisher().unwrap());
    let mut checker = Checker { rx, stream: &stream, next: 0, buffer: vec![0; LARGEST] };
    let mut victims = Victims::of(&place, ["publish", TOPIC], seed);
    let mut slowest = Duration::ZERO;
    for _ in 0..kills().div_ceil(2) {
        let mut victim = victims.start(language, random.pick(&MODES), 0);
        until_the_moment(&victims, &victim, &mut random, || {
            checker.receive(Duration::from_micros(200));
        });
        victim.kill_and_reap();
        victims.look_at_end();
        victims.found(topic.stats().unwrap().published);
        checker.drain();
        assert_eq!(checker.next, victims.really.0, "what was published is received");
        if random.below(2) == 0 {
            let took = publish(&mut tx, &stream, checker.next, LIMIT).expect("nobody lives who has the lock");
            slowest = slowest.max(took);
            assert!(checker.receive(LIMIT), "what another publishes is received");
            victims.really = (checker.next, checker.next);
        }
    }
    let count = checker.next + 50;
    let mut last = victims.start(language, "wait", count);
    while checker.next < count {
        assert!(checker.receive(LIMIT), "the last publisher hangs");
    }
    last.succeed();
    victims.look_at_start();
    assert!(slowest < NOTICE, "a death held a publisher up for {slowest:?}");
    println!("{victims}, {count} records; others went on within {slowest:?}");
}

fn kill_subscribers(language: Language) {
    let mut random = Random::from_environment("kill_subscribers");
    let (place, seed) = (Place::new(), random.word());
    let (stream, topic) = (Stream::new(seed, LARGEST), topic(&place));
    let (rx, mut tx) = (topic.subscriber().unwrap(), topic.publisher().unwrap());
    let mut checker = Checker { rx, stream: &stream, next: 0, buffer: vec![0; LARGEST] };
    let mut victims = Victims::of(&place, ["subscribe", TOPIC], seed);
    let (mut next, mut slowest) = (0, Duration::ZERO);
    for _ in 0..kills().div_ceil(2) {
        let mut victim = victims.start(language, random.pick(&MODES), 0);
        until_the_moment(&victims, &victim, &mut random, || {
            next += u64::from(publish(&mut tx, &stream, next, Duration::from_micros(200)).is_some());
            checker.drain();
        });
        victim.kill_and_reap();
        victims.really = (0, u64::MAX); // It begins anywhere.
        victims.look_at_end();
        // Whatever it held is in the way before the topic has gone round.
        for _ in 0..CAPACITY / 16 {
            let took = publish(&mut tx, &stream, next, LIMIT).expect("only the dead hold anything");
            slowest = slowest.max(took);
            next += 1;
            checker.drain();
        }
        assert_eq!(
            (checker.next, topic.stats().unwrap().subscribers.len()),
            (next, 1),
            "the dead one is dropped"
        );
    }
    assert!(slowest < NOTICE, "a death held the publisher up for {slowest:?}");
    println!("{victims}, {next} records; the publisher went on within {slowest:?}");
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
    killed_c_publishers_lose_and_double_nothing: kill_publishers C;
    killed_c_subscribers_hold_nobody_up: kill_subscribers C;
    killed_rust_publishers_lose_and_double_nothing: kill_publishers Rust;
    killed_rust_subscribers_hold_nobody_up: kill_subscribers Rust;
}
