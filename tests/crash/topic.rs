//! Start states of a topic, and how those who survive a victim show that no record is lost, doubled or torn, and that nobody is held
//! up by the dead.
//!
//! Records are those of a stream. The survivor publishes and receives; what it receives must be what it published, in that
//! order, and the victim's one record at most once, as the victim's death allows.

use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{Error, Publisher, SegmentOptions, Subscriber, Topic, TopicOptions, WaitStrategy};
use ipcx_tests::{Place, Stream};
use std::collections::VecDeque;
use std::sync::LazyLock;
use std::time::Duration;

const TOPIC: &str = "topic";
/// The tracer and its subscriber, the victim and its subscriber, and two more. The same as in `src/bin/victim`.
const PARTICIPANTS: u32 = 6;
const CAPACITY: u64 = 4096;
/// What a dead process holds is had within this.
const LATE: Duration = Duration::from_secs(2);

/// The same as in `src/bin/victim`.
const SEED: u64 = 13;
const LARGEST: usize = 200;
const NUMBER: u64 = 1 << 20 | 8;
static STREAM: LazyLock<Stream> = LazyLock::new(|| Stream::new(SEED, LARGEST));
/// A record of the same length.
const AS_LONG: u64 = 8;

/// How the topic is when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Lossy, and nothing was published.
    New,
    /// Lossy, and a publish must make room.
    Lossy,
    /// Reliable, and there is room.
    Roomy,
    /// Reliable, and a publish must make room, which is to be had.
    Full,
    /// Lossy, and somebody died with the lock.
    Dead,
    /// Reliable, and one that died holds all there is.
    Held,
}

use State::{Dead, Full, Held, Lossy, New, Roomy};

impl State {
    fn is_reliable(self) -> bool {
        matches!(self, Roomy | Full | Held)
    }
}

/// An operation of `src/bin/victim`.
struct Operation {
    name: &'static str,
    /// It publishes a record.
    publishes: bool,
    states: &'static [State],
}

const fn operation(name: &'static str, publishes: bool, states: &'static [State]) -> Operation {
    Operation { name, publishes, states }
}

const RECOVER: &str = "topic_recover";

const OPERATIONS: &[Operation] = &[
    operation("topic_attach", false, &[Roomy, Dead, Held]),
    operation("topic_publish", true, &[New, Lossy, Roomy, Full, Dead, Held]),
    operation("topic_commit", true, &[Lossy, Full, Dead]),
    operation("topic_abort", false, &[Lossy, Full]),
    operation("topic_stop", false, &[Roomy]),
    operation("topic_subscribe", false, &[New, Lossy, Roomy, Full]),
    operation("topic_recv", false, &[Lossy, Roomy, Full]),
    operation("topic_leave", false, &[Lossy, Roomy]),
    operation(RECOVER, false, &[Lossy, Full, Dead, Held]),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| {
        operation.states.iter().map(move |state| Scenario {
            name: format!("{}/{state:?}", operation.name).to_lowercase(),
            operation: operation.name,
            target: TOPIC,
            threads: false,
            sleeps: false,
            recovers: Some(RECOVER),
            stage: Box::new(move |workshop| Box::new(TopicStage::make(workshop, operation, *state))),
        })
    };
    OPERATIONS.iter().flat_map(each).collect()
}

fn options(place: &Place, reliable: bool) -> TopicOptions {
    let segment = SegmentOptions {
        directory: Some(place.path().to_owned()),
        max_participants: PARTICIPANTS,
        wait: WaitStrategy::Block,
        ..Default::default()
    };
    TopicOptions { capacity: CAPACITY, reliable, history: false, segment }
}

fn record(n: u64) -> Vec<u8> {
    let mut bytes = vec![0; STREAM.len(n)];
    STREAM.fill(n, &mut bytes);
    bytes
}

struct TopicStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
    state: State,
    topic: Topic,
    publisher: Publisher,
    subscriber: Subscriber,
    /// Published by the survivor, and not received yet.
    expected: VecDeque<u64>,
    /// How many of the victim's records there may be.
    possible: Vec<u64>,
    /// How many were received.
    found: u64,
    next: u64,
    begun: bool,
    dead_before: bool,
}

impl<'a> TopicStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation, state: State) -> TopicStage<'a> {
        let place = workshop.place;
        let topic = Topic::create(TOPIC, &options(place, state.is_reliable())).expect("a new topic");
        let (publisher, subscriber) =
            (topic.publisher().expect("a publisher"), topic.subscriber().expect("a subscriber"));
        let mut stage = TopicStage {
            place,
            operation,
            state,
            topic,
            publisher,
            subscriber,
            expected: VecDeque::new(),
            possible: vec![0],
            found: 0,
            next: 0,
            begun: false,
            dead_before: false,
        };
        stage.set(workshop);
        stage
    }

    fn set(&mut self, workshop: &mut Workshop<'a>) {
        match self.state {
            New => {}
            Roomy => (0..3).for_each(|_| assert!(self.publish())),
            // As far as the first record that needs room, which the victim's does too.
            Lossy | Full => {
                (0..CAPACITY / 216 - 1).for_each(|_| assert!(self.publish_record(AS_LONG)));
                self.receive_all();
            }
            Dead => {
                assert!(self.publish());
                workshop.nursery.victim("topic_stop", TOPIC).kill();
            }
            Held => {
                let holder = workshop.nursery.victim("topic_leave", TOPIC);
                while self.publish_record(AS_LONG) {
                    self.receive_all();
                }
                holder.kill();
            }
        }
    }

    /// False if another has the lock, or holds what would be overwritten.
    fn publish_record(&mut self, n: u64) -> bool {
        match self.publisher.try_publish(&record(n)) {
            Ok(()) => {
                self.expected.push_back(n);
                true
            }
            Err(Error::WouldBlock(_)) => false,
            Err(error) => panic!("record {n}: {error}"),
        }
    }

    fn publish(&mut self) -> bool {
        self.next += 1;
        self.publish_record(self.next)
    }

    fn receive(&mut self) -> bool {
        let mut buffer = [0; LARGEST];
        let len = match self.subscriber.try_recv(&mut buffer) {
            Ok(len) => len,
            Err(Error::WouldBlock(_)) => return false,
            Err(error) => panic!("a record: {error}"),
        };
        if self.expected.front().is_some_and(|n| record(*n) == buffer[..len]) {
            self.expected.pop_front();
        } else {
            assert_eq!(buffer[..len], record(NUMBER), "a record that nobody published there");
            self.found += 1;
        }
        true
    }

    fn receive_all(&mut self) {
        while self.receive() {}
    }
}

impl Stage for TopicStage<'_> {
    fn begun(&mut self, _victim: i64) {
        if !std::mem::replace(&mut self.begun, true) && self.operation.name == "topic_recv" {
            assert!(self.publish(), "something to receive");
        }
    }

    fn others(&mut self, turn: u64) -> bool {
        for _ in 0..if turn & 2 == 0 { 1 } else { 40 } {
            self.publish();
            self.receive_all();
        }
        if turn & 4 == 0 {
            drop(self.topic.subscriber().expect("a slot for one more"));
        }
        self.topic.stats().expect("figures");
        true
    }

    fn returned(&self, code: i64) {
        assert_eq!(code, 0, "what a whole operation returns");
    }

    fn failed(&self, _code: i64) {}

    fn dead(&mut self, at: At, toll: Toll) {
        let times: &[u64] = match (at, toll) {
            (_, Toll::Nothing) => &[0],
            (At::End(0..), _) => &[1],
            (At::End(_), _) => &[0],
            (At::Inside, _) => &[0, 1],
        };
        // Who dies after the first was recovering.
        let publishes = u64::from(self.operation.publishes && !self.dead_before);
        self.dead_before = true;
        let each = self.possible.iter().flat_map(|before| times.iter().map(move |n| before + n * publishes));
        self.possible = each.collect();
    }

    fn finish(mut self: Box<Self>, _workshop: &mut Workshop<'_>, _with_notice: bool) {
        self.receive_all();
        // Nobody dead holds the lock, nor a record, wherever in the ring: once round.
        for _ in 0..CAPACITY / 216 + 2 {
            self.publisher.publish_timeout(&record(AS_LONG), LATE).expect("nobody alive is in the way");
            self.expected.push_back(AS_LONG);
            self.receive_all();
        }
        assert_eq!(self.expected, [], "every record of the survivor's came");
        assert!(self.possible.contains(&self.found), "{} of {:?} records", self.found, self.possible);
        assert_eq!(self.subscriber.missed(), 0);
        let (stats, reliable) = (self.topic.stats().expect("figures"), self.state.is_reliable());
        assert_eq!(stats.subscribers.len(), usize::from(reliable), "{:?}", stats.subscribers);
        assert!(stats.publisher.is_none(), "{:?}", stats.publisher);

        // One that comes gets what is published next, and no slot is lost.
        let others: Vec<_> =
            std::iter::from_fn(|| Topic::attach_with(TOPIC, &options(self.place, reliable)).ok()).collect();
        assert_eq!(others.len() as u32, PARTICIPANTS - 1 - u32::from(reliable));
        drop(others);
        let mut comes = self.topic.subscriber().expect("one more");
        self.publisher.try_publish(&record(1)).expect("room");
        let mut buffer = [0; LARGEST];
        let len = comes.try_recv(&mut buffer).expect("what was just published");
        assert_eq!(buffer[..len], record(1));
        drop((comes, self.publisher, self.subscriber, self.topic));
        self.place.unlink(TOPIC);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}
