//! Start states of a work queue, and how those who survive a victim keep the account: each message that was pushed was done, or is
//! there once, whole; what a call that returned pushed is there, and what it acknowledged is not; and all the room is there.
//!
//! Messages are records of a stream, each with a number of its own. The victim pushes one, or is done with one.

use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{Deadline, Error, Queue, QueueOptions, SegmentOptions, WaitStrategy};
use ipcx_tests::{Place, Stream};
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const QUEUE: &str = "queue";
/// The tracer, the victim, one that died, and one more. The same as in `src/bin/victim`.
const PARTICIPANTS: u32 = 4;
const DEPTH: u64 = 4;
/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(10);
/// What a dead process had is there, and who sleeps is awake, within this.
const LATE: Duration = Duration::from_secs(2);

/// The same as in `src/bin/victim`.
const SEED: u64 = 13;
const LARGEST: usize = 200;
const NUMBER: u64 = 1 << 20 | 8;
static STREAM: LazyLock<Stream> = LazyLock::new(|| Stream::new(SEED, LARGEST));

/// How the queue is when the operation begins. What the victim takes before that is there beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is in it.
    Empty,
    /// One message is in its lane, which has been once round.
    One,
    /// Messages of several priorities, of which one was put back.
    Mixed,
    /// There is no room.
    Full,
    /// What is put back becomes a dead letter; one is there.
    Letters,
    /// A dead one had taken two.
    Dead,
    /// The survivor sleeps until there is a message.
    Awaited,
    /// There is no room, and the survivor sleeps until there is.
    Crowded,
}

use State::{Awaited, Crowded, Dead, Empty, Full, Letters, Mixed, One};

/// An operation of `src/bin/victim`.
struct Operation {
    name: &'static str,
    /// Messages that it takes before it begins.
    needs: u64,
    /// Messages that it pushes, and that it is done with, if it was completed.
    pushes: u64,
    does: u64,
    states: &'static [State],
}

const fn operation(
    name: &'static str,
    needs: u64,
    [pushes, does]: [u64; 2],
    states: &'static [State],
) -> Operation {
    Operation { name, needs, pushes, does, states }
}

const RECOVER: &str = "queue_recover";

const OPERATIONS: &[Operation] = &[
    operation("queue_attach", 0, [0, 0], &[One, Dead]),
    operation("queue_close", 2, [0, 0], &[Empty, Letters]),
    operation("queue_push", 0, [1, 0], &[Empty, One, Mixed, Full, Dead, Awaited]),
    operation("queue_push_asleep", 0, [1, 0], &[Full]),
    operation("queue_take", 0, [0, 0], &[Empty, One, Mixed, Full, Dead]),
    operation("queue_take_asleep", 0, [0, 0], &[Empty]),
    operation("queue_pop", 0, [0, 1], &[One, Mixed, Crowded]),
    operation("queue_ack", 1, [0, 1], &[Empty, Mixed, Crowded]),
    operation("queue_put_back", 1, [0, 0], &[Empty, Mixed, Letters, Awaited]),
    operation("queue_take_dead", 0, [0, 0], &[Letters, One]),
    operation("queue_discard", 0, [0, 1], &[Letters]),
    operation("queue_revive", 0, [0, 0], &[Letters]),
    operation(RECOVER, 0, [0, 0], &[One, Full, Letters, Dead]),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| {
        operation.states.iter().map(move |state| Scenario {
            name: format!("{}/{state:?}", operation.name).to_lowercase(),
            operation: operation.name,
            target: QUEUE,
            threads: false,
            sleeps: operation.name.ends_with("asleep"),
            recovers: Some(RECOVER),
            stage: Box::new(move |workshop| Box::new(QueueStage::make(workshop, operation, *state))),
        })
    };
    OPERATIONS.iter().flat_map(each).collect()
}

fn options(place: &Place) -> QueueOptions {
    let segment = SegmentOptions {
        directory: Some(place.path().to_owned()),
        max_participants: PARTICIPANTS,
        wait: WaitStrategy::Block,
        ..Default::default()
    };
    QueueOptions { segment, ..Default::default() }
}

fn attach(place: &Place) -> Queue {
    Queue::attach_with(QUEUE, &options(place)).expect("the queue of the test, and a free slot")
}

fn message(n: u64) -> Vec<u8> {
    let mut bytes = vec![0; STREAM.len(n)];
    STREAM.fill(n, &mut bytes);
    bytes
}

/// The survivors' books.
#[derive(Default)]
struct Ledger {
    /// Numbers of messages that survivors pushed and that nobody is known to be done with.
    open: BTreeSet<u64>,
    next: u64,
    /// The victim's messages that survivors were done with.
    found: u64,
}

impl Ledger {
    /// A message with a number of its own; it counts once it is noted as pushed.
    fn new_message(&mut self) -> (u64, Vec<u8>) {
        self.next += 1;
        (self.next, message(self.next))
    }

    /// A survivor is done with a message.
    fn done(&mut self, bytes: &[u8]) {
        if let Some(n) = self.open.iter().find(|n| message(**n) == bytes) {
            let n = *n;
            self.open.remove(&n);
        } else {
            assert_eq!(bytes, message(NUMBER), "a message that is not there, or was done before");
            self.found += 1;
        }
    }
}

struct QueueStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
    state: State,
    queue: Arc<Queue>,
    ledger: Ledger,
    /// How many messages the victims may have pushed, and may have done.
    pushed: BTreeSet<u64>,
    did: BTreeSet<u64>,
    /// Takes one and is done with it, or pushes one; says when it had it, and what.
    waiter: Option<JoinHandle<(Instant, Vec<u8>)>>,
    begun: bool,
    dead_before: bool,
    died: Instant,
}

impl<'a> QueueStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation, state: State) -> QueueStage<'a> {
        let place = workshop.place;
        let max_deliveries = if state == Letters { 1 } else { 0 };
        let options =
            QueueOptions { max_message: LARGEST as u64, depth: DEPTH, max_deliveries, ..options(place) };
        let queue = Arc::new(Queue::create(QUEUE, &options).expect("a new queue"));
        let mut stage = QueueStage {
            place,
            operation,
            state,
            queue,
            ledger: Ledger::default(),
            pushed: BTreeSet::from([0]),
            did: BTreeSet::from([0]),
            waiter: None,
            begun: false,
            dead_before: false,
            died: Instant::now(),
        };
        stage.set(workshop);
        stage
    }

    fn set(&mut self, workshop: &mut Workshop<'a>) {
        match self.state {
            Empty | Awaited => {}
            One => {
                for _ in 0..20 {
                    assert!(self.push(3) && self.pop());
                }
                assert!(self.push(3));
            }
            Mixed => {
                assert!(self.push(31) && self.push(0));
                self.queue.try_take().expect("one of them").put_back().expect("it was taken");
            }
            Full | Crowded => while self.push(3) {},
            Letters => {
                assert!(self.push(3));
                self.queue.try_take().expect("it").put_back().expect("it was taken");
            }
            Dead => {
                assert!(self.push(3) && self.push(3) && self.push(7));
                workshop.nursery.victim("queue_close", QUEUE).kill();
            }
        }
        // For the victim to take.
        (0..self.operation.needs).for_each(|_| assert!(self.push(9) || self.state == Crowded));
    }

    /// False if there is no room.
    fn push(&mut self, priority: u32) -> bool {
        let (n, bytes) = self.ledger.new_message();
        match self.queue.try_push(&bytes, priority) {
            Ok(()) => self.ledger.open.insert(n),
            Err(Error::WouldBlock(_)) => false,
            Err(error) => panic!("message {n}: {error}"),
        }
    }

    /// Is done with one; false if there is none.
    fn pop(&mut self) -> bool {
        let mut buffer = [0; LARGEST];
        match self.queue.try_pop(&mut buffer) {
            Ok(popped) => self.ledger.done(&buffer[..popped.len]),
            Err(Error::WouldBlock(_)) => return false,
            Err(error) => panic!("a message: {error}"),
        }
        true
    }

    fn wait(&mut self) -> JoinHandle<(Instant, Vec<u8>)> {
        let (queue, (said, hears)) = (Arc::clone(&self.queue), std::sync::mpsc::channel());
        let pushes = (self.state == Crowded).then(|| self.ledger.new_message());
        self.ledger.open.extend(pushes.iter().map(|(n, _)| *n));
        let waiter = std::thread::spawn(move || {
            // SAFETY: no memory is involved.
            said.send(unsafe { libc::gettid() }).expect("somebody listens");
            let mut buffer = [0; LARGEST];
            let deadline = Deadline::within(HANG);
            let len = match pushes {
                Some((_, bytes)) => queue.push_until(&bytes, 0, deadline).map(|()| 0).expect("room comes"),
                None => queue.pop_until(&mut buffer, deadline).expect("a message comes").len,
            };
            (Instant::now(), buffer[..len].to_vec())
        });
        let stat = format!("/proc/self/task/{}/stat", hears.recv().expect("it began"));
        let until = Instant::now() + HANG;
        let asleep = |stat: String| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'));
        while !std::fs::read_to_string(&stat).is_ok_and(asleep) {
            assert!(Instant::now() < until, "the survivor does not go to sleep");
            std::thread::yield_now();
        }
        waiter
    }

    /// The one that slept was woken, or is, by what a survivor does if the victim may have done nothing.
    fn finish_waiting(&mut self, waiter: JoinHandle<(Instant, Vec<u8>)>) {
        let perhaps_nothing = match self.state {
            Awaited => self.operation.pushes > 0 && self.pushed.contains(&0),
            _ => self.did.contains(&0),
        };
        if perhaps_nothing {
            assert!(if self.state == Awaited { self.push(3) } else { self.pop() }, "for the one that waits");
        }
        let (when, bytes) = waiter.join().expect("what it waited for");
        if self.state == Awaited {
            self.ledger.done(&bytes);
        }
        let told = when.saturating_duration_since(self.died);
        assert!(told < LATE, "it slept for {told:?}");
    }

    /// Messages that are there, wherever.
    fn account(&self) -> u64 {
        let stats = self.queue.stats().expect("figures");
        let there = stats.ready.iter().sum::<u64>() + stats.taken + stats.dead;
        assert_eq!(there + stats.free + stats.being_pushed, DEPTH, "{stats:?}");
        there
    }
}

impl Stage for QueueStage<'_> {
    fn begun(&mut self, _victim: i64) {
        if !std::mem::replace(&mut self.begun, true) && matches!(self.state, Awaited | Crowded) {
            self.waiter = Some(self.wait());
        }
    }

    fn others(&mut self, turn: u64) -> bool {
        let mut whole = 0;
        for n in 0..if turn & 2 == 0 { 1 } else { 40 } {
            whole += u64::from(self.push(if n % 3 == 0 { 3 } else { 8 }));
            if self.state != Letters && n % 4 == 3 {
                // Delivered again, to who comes next.
                if let Ok(delivery) = self.queue.try_take() {
                    delivery.put_back().expect("it was taken");
                }
            }
            whole += u64::from(self.pop());
        }
        if turn & 4 == 0 && self.state != Dead {
            let rival = attach(self.place);
            rival.recover().expect("a stopped process lives");
            whole += 1;
        }
        assert!(whole > 0 || self.waiter.is_some(), "a stopped process keeps others out");
        self.account();
        true
    }

    fn returned(&self, code: i64) {
        let blocked = match (self.operation.name, self.state) {
            ("queue_push", Full) => true,
            ("queue_take", Empty) | ("queue_take_dead", One) => true,
            (name, _) => name.ends_with("asleep"),
        };
        let said = [libc::EAGAIN, libc::ETIMEDOUT].map(|errno| -i64::from(errno)).contains(&code);
        assert!(if blocked { said } else { code == 0 }, "what a whole operation returns: {code}");
    }

    fn failed(&self, code: i64) {
        if self.waiter.is_none() {
            let there = self.ledger.open.len() as u64;
            assert_eq!(self.account(), there, "an error ({code}) pushes nothing, and is done with nothing");
        }
    }

    fn dead(&mut self, at: At, toll: Toll) {
        self.died = Instant::now();
        let possible: &[u64] = match (at, toll) {
            (_, Toll::Nothing) => &[0],
            (At::End(0..), _) => &[1],
            (At::End(_), _) => &[0],
            (At::Inside, _) => &[0, 1],
        };
        // Who dies after the first was recovering.
        let first = u64::from(!std::mem::replace(&mut self.dead_before, true));
        let add = |before: &BTreeSet<u64>, each: u64| {
            before.iter().flat_map(|n| possible.iter().map(move |times| n + times * each * first)).collect()
        };
        self.pushed = add(&self.pushed, self.operation.pushes);
        self.did = add(&self.did, self.operation.does);
    }

    fn finish(mut self: Box<Self>, _workshop: &mut Workshop<'_>, _with_notice: bool) {
        let survivor = attach(self.place);
        if let Some(waiter) = self.waiter.take() {
            self.finish_waiting(waiter);
        }
        survivor.recover().expect("whoever is left");
        let stats = survivor.stats().expect("figures");
        assert_eq!((stats.taken, stats.being_pushed), (0, 0), "the dead have nothing: {stats:?}");
        // All that is there, dead letters as well, is there once.
        let there = self.account();
        let mut buffer = [0; LARGEST];
        for _ in 0..there {
            if !self.pop() {
                let letter = survivor.take_dead_into(&mut buffer).expect("a dead letter");
                survivor.ack(letter.ticket).expect("it was taken");
                self.ledger.done(&buffer[..letter.len]);
            }
        }
        assert!(
            !self.pop() && matches!(survivor.take_dead(), Err(Error::WouldBlock(_))),
            "no more than that"
        );
        let (found, missing) = (self.ledger.found, self.ledger.open.len() as u64);
        let fits = |pushed: &u64| found <= *pushed && self.did.contains(&(missing + pushed - found));
        assert!(
            self.pushed.iter().any(fits),
            "{found} messages of the victim's, of {:?}, and without {:?}, of {:?} done",
            self.pushed,
            self.ledger.open,
            self.did
        );

        // All the room is there, and who sleeps is woken.
        self.ledger.open.clear();
        (0..DEPTH).for_each(|_| assert!(self.push(5), "room"));
        assert!(!self.push(5), "no more than that");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| survivor.push_timeout(&message(NUMBER), 0, HANG).expect("room"));
            assert!(self.pop());
            waiter.join().expect("it was woken");
        });
        (0..DEPTH).for_each(|_| assert!(self.pop()));
        assert_eq!((self.ledger.open.len(), self.ledger.found), (0, found + 1));
        drop((survivor, self.queue));
        self.place.unlink(QUEUE);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}
