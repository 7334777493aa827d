//! Start states of a ring, and how those who survive a victim finish the exchange.
//!
//! The victim has one role, or none; a partner in the tracer has the other. What is exchanged is the numbered, checked stream
//! of `ipcx_tests::Stream`: positions tell which record is next, so whoever takes over shows what really happened.

use crate::stage::{Scenario, Stage, Toll, Workshop};
use crate::tracee::At;
use ipcx::{Consumer, Error, Producer, Ring, RingOptions, RoleState, WaitStrategy};
use ipcx_tests::{Place, Role, Stream};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The smallest ring: it wraps every few records.
pub(crate) const CAPACITY: u64 = 4096;
pub(crate) const RING: &str = "ring";
/// The codes of `ipcx.h` for "full or empty".
const AGAIN: i64 = -1;
const TIMEDOUT: i64 = -2;
/// What takes longer hangs.
const HANG: Duration = Duration::from_secs(10);
/// A blocked survivor learns of a death within this.
const NOTICE: Duration = Duration::from_millis(250);
const PAGE: u64 = 4096;
/// How far a predecessor gets, at most: about as far as the operation goes.
const CALLS: u64 = 45;
const STEPS: u64 = 120;

/// The same as in `victim.c`.
static STREAM: LazyLock<Stream> = LazyLock::new(|| Stream::new(11, 1000));

/// The same as in `victim.c`.
pub(crate) fn options(place: &Place, wait: WaitStrategy) -> RingOptions {
    let mut options = place.options(CAPACITY, wait);
    options.segment.max_participants = 3; // the tracer, the victim, one more: a slot that leaks is missed at once
    options
}

/// How the ring is when the operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    One,
    Full,
    /// The next record lies across the end of the data.
    Wrap,
    /// The partner sleeps in the kernel until this operation wakes it.
    Contended,
    /// The role's owner before was killed in the middle of the same operation.
    Recovered,
}

use State::{Contended, Empty, Full, One, Recovered, Wrap};

/// An operation of `victim.c`: the role of whoever makes it, the records it moves at most, and the states in which it can begin.
struct Operation {
    name: &'static str,
    role: Role,
    moves: u64,
    /// False while the role is taken or given up.
    holds: bool,
    states: &'static [State],
}

impl Operation {
    /// It sleeps in the kernel in the middle, whatever a step takes.
    fn sleeps(&self) -> bool {
        self.name.ends_with("asleep")
    }

    /// Whether it has to wait in this state, for what no one does; `None` where that depends on what was before.
    fn is_blocked(&self, state: State) -> Option<bool> {
        match (state, self.role) {
            (Recovered, _) => None,
            (Full, Role::Producer) | (Empty, Role::Consumer) => {
                Some(self.holds && !self.name.ends_with("poll_fd"))
            }
            _ => Some(false),
        }
    }
}

const ALL: &[State] = &[Empty, One, Full, Wrap, Contended, Recovered];

const fn sends(name: &'static str, moves: u64, states: &'static [State]) -> Operation {
    Operation { name, role: Role::Producer, moves, holds: true, states }
}

const fn receives(name: &'static str, moves: u64, states: &'static [State]) -> Operation {
    Operation { name, role: Role::Consumer, moves, holds: true, states }
}

const fn takes(name: &'static str, role: Role, states: &'static [State]) -> Operation {
    Operation { name, role, moves: 0, holds: false, states }
}

const OPERATIONS: &[Operation] = &[
    sends("try_send", 1, ALL),
    sends("send", 1, ALL),
    sends("send_asleep", 1, &[Full]),
    sends("send_many", 3, ALL),
    sends("reserve", 0, ALL),
    sends("commit", 1, &[Empty, One, Wrap, Contended, Recovered]),
    sends("abort", 0, &[Empty, One, Wrap, Contended, Recovered]),
    sends("send_file", 1, ALL),
    sends("watched_send", 1, ALL),
    sends("producer_poll_fd", 0, &[Empty, Full]),
    receives("try_recv", 1, ALL),
    receives("recv", 1, ALL),
    receives("recv_asleep", 1, &[Empty]),
    receives("recv_many", 3, ALL),
    receives("borrow", 0, ALL),
    receives("release", 1, &[One, Full, Wrap, Contended, Recovered]),
    receives("return", 0, &[One, Full, Wrap, Contended, Recovered]),
    receives("watched_recv", 1, ALL),
    receives("consumer_poll_fd", 0, &[Empty, Full]),
    takes("take_producer", Role::Producer, ALL),
    takes("close_producer", Role::Producer, ALL),
    takes("take_consumer", Role::Consumer, ALL),
    takes("close_consumer", Role::Consumer, ALL),
    takes("close", Role::Producer, &[One]),
    takes("stats", Role::Producer, &[One]),
    takes("share", Role::Producer, &[One]),
];

/// Every operation in each of its states.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let each = |operation: &'static Operation| {
        operation.states.iter().map(move |state| Scenario {
            name: format!("{}/{state:?}", operation.name).to_lowercase(),
            operation: operation.name,
            target: RING,
            threads: operation.name.ends_with("poll_fd") || operation.name.starts_with("watched"),
            sleeps: operation.sleeps(),
            recovers: Some(if operation.role == Role::Producer { "take_producer" } else { "take_consumer" }),
            stage: Box::new(move |workshop| Box::new(RingStage::make(workshop, operation, *state))),
        })
    };
    OPERATIONS.iter().flat_map(each).collect()
}

/// One end of the ring, and the record it is at.
#[derive(Debug)]
struct End {
    handle: Handle,
    next: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Handle {
    Tx(Producer),
    Rx(Consumer),
}

impl End {
    fn take(ring: &Ring, role: Role) -> Result<End, Error> {
        let handle = match role {
            Role::Producer => Handle::Tx(ring.producer()?),
            Role::Consumer => Handle::Rx(ring.consumer()?),
        };
        let position = match &handle {
            Handle::Tx(tx) => tx.position(),
            Handle::Rx(rx) => rx.position(),
        };
        Ok(End { handle, next: STREAM.number(position), buffer: vec![0; STREAM.largest()] })
    }

    /// Sends or receives one record, and checks it.
    fn turn(&mut self, limit: Duration) -> Result<(), Error> {
        match &mut self.handle {
            Handle::Tx(tx) => {
                STREAM.fill(self.next, &mut self.buffer);
                tx.send_timeout(&self.buffer[..STREAM.len(self.next)], limit)?;
            }
            Handle::Rx(rx) => {
                let len = rx.recv_timeout(&mut self.buffer, limit)?;
                STREAM.check(self.next, &self.buffer[..len]).unwrap();
            }
        }
        self.next += 1;
        Ok(())
    }

    /// One record, if that is possible now.
    fn try_turn(&mut self) -> bool {
        match self.turn(Duration::ZERO) {
            Ok(()) => true,
            Err(Error::WouldBlock(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The first record at or behind `from` that lies across the end of the data.
fn wrapping(from: u64) -> u64 {
    let crosses = |n: &u64| STREAM.position(*n) / CAPACITY != (STREAM.position(*n + 1) - 1) / CAPACITY;
    (from..).find(crosses).expect("records without end")
}

/// A record at or behind `from` whose release makes room for the one that does not fit behind it into a full ring.
fn waking(from: u64) -> u64 {
    /// The 0 behind the last record.
    const WORD: u64 = 8;
    let fits = |first: u64, n: u64| STREAM.position(n + 1) + WORD - STREAM.position(first) <= CAPACITY;
    let wakes = |first: &u64| {
        let blocked = (*first..).find(|n| !fits(*first, *n)).expect("a ring that fills up");
        fits(*first + 1, blocked)
    };
    (from..).find(wakes).expect("records without end")
}

/// The partner: at hand, or asleep in a call in a thread of its own.
#[derive(Debug)]
enum Partner {
    Awake(Box<End>),
    Asleep(JoinHandle<(Box<End>, Result<(), Error>, Instant)>),
    Gone,
}

struct RingStage<'a> {
    place: &'a Place,
    operation: &'static Operation,
    ring: Ring,
    partner: Partner,
    state: State,
    /// When the last one died.
    died: Instant,
    /// Records that the victim's role may be at.
    at: Vec<u64>,
}

fn other(role: Role) -> Role {
    match role {
        Role::Producer => Role::Consumer,
        Role::Consumer => Role::Producer,
    }
}

impl<'a> RingStage<'a> {
    fn make(workshop: &mut Workshop<'a>, operation: &'static Operation, state: State) -> RingStage<'a> {
        let place = workshop.place;
        let sleeps = state == Contended || operation.sleeps();
        let wait = if sleeps { WaitStrategy::Block } else { WaitStrategy::Balanced };
        let ring = Ring::create(RING, &options(place, wait)).expect("a new ring");
        let at = RingStage::fill(&ring, operation.role, state);
        let partner = End::take(&ring, other(operation.role)).expect("the partner's role");
        let partner = Partner::Awake(Box::new(partner));
        let died = Instant::now();
        let mut stage = RingStage { place, operation, ring, partner, state, died, at: vec![at] };
        if state == Recovered {
            stage.lose_one(workshop);
        }
        stage
    }

    /// Brings the ring into the state, and says which record the victim's role is at.
    fn fill(ring: &Ring, role: Role, state: State) -> u64 {
        let (mut tx, mut rx) =
            (End::take(ring, Role::Producer).unwrap(), End::take(ring, Role::Consumer).unwrap());
        let first = match state {
            Wrap => wrapping(0),
            Contended => waking(0),
            _ => 4,
        };
        while rx.next < first {
            tx.turn(Duration::ZERO).unwrap();
            rx.turn(Duration::ZERO).unwrap();
        }
        match (state, role) {
            (Full, _) | (Contended | Recovered, Role::Consumer) => while tx.try_turn() {},
            (One, _) | (Recovered, Role::Producer) | (Wrap, Role::Consumer) => {
                tx.turn(Duration::ZERO).unwrap()
            }
            _ => {}
        }
        if role == Role::Producer {
            tx.next
        } else {
            rx.next
        }
    }

    /// A predecessor of the victim dies in the middle of the same operation.
    fn lose_one(&mut self, workshop: &mut Workshop<'a>) {
        // Taking a role is long, and most of it is system calls: a random one of these, then some steps.
        let takes = self.operation.name.starts_with("take");
        let calls = if takes { workshop.random.below(CALLS) } else { 0 };
        let steps = workshop.random.below(STEPS);
        let mut victim = workshop.nursery.victim(self.operation.name, RING);
        self.begun(victim.first());
        for _ in 0..calls {
            if victim.next_call().is_none() {
                break;
            }
            victim.call(None);
        }
        let at = victim.advance(steps);
        victim.kill();
        self.dead(at, Toll::AtMost);
        workshop.predecessors.insert((self.operation.name, self.state_of_role() == RoleState::Dead));
    }

    fn state_of_role(&self) -> RoleState {
        let stats = self.ring.stats().unwrap();
        if self.operation.role == Role::Producer {
            stats.producer
        } else {
            stats.consumer
        }
    }

    fn successor(&self) -> End {
        // By a handle of its own, as another process would.
        let ring = self.place.attach(RING);
        let state = ring.stats().unwrap();
        let state = if self.operation.role == Role::Producer { state.producer } else { state.consumer };
        assert_ne!(state, RoleState::Alive, "the dead hold nothing");
        End::take(&ring, self.operation.role).expect("the role of the dead")
    }

    /// True once the partner's call sleeps.
    fn partner_sleeps(&self) -> bool {
        let word = match other(self.operation.role) {
            Role::Producer => 2 * PAGE,
            Role::Consumer => 3 * PAGE + 128,
        };
        let file =
            std::fs::File::open(self.place.path().join(format!("ipcx.{RING}"))).expect("the ring's file");
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, word).expect("the word in which it says so");
        u32::from_ne_bytes(bytes) & 1 != 0
    }

    fn put_partner_to_sleep(&mut self) {
        self.partner = match std::mem::replace(&mut self.partner, Partner::Gone) {
            Partner::Awake(mut end) => Partner::Asleep(std::thread::spawn(move || {
                let result = end.turn(HANG);
                (end, result, Instant::now())
            })),
            asleep => return self.partner = asleep,
        };
        let until = Instant::now() + HANG;
        while !self.partner_sleeps() {
            assert!(Instant::now() < until, "the partner does not go to sleep");
            std::thread::yield_now();
        }
    }

    /// The partner, awake again: it got what it waited for, or was told of the death.
    fn wake_partner(&mut self) -> Box<End> {
        match std::mem::replace(&mut self.partner, Partner::Gone) {
            Partner::Awake(end) => end,
            Partner::Asleep(thread) => {
                let (end, result, when) = thread.join().expect("what the partner received was right");
                assert!(matches!(result, Ok(()) | Err(Error::PeerDead(_) | Error::Closed(_))), "{result:?}");
                let told = when.saturating_duration_since(self.died);
                assert!(result.is_ok() || told < NOTICE, "told after {told:?}");
                end
            }
            Partner::Gone => panic!("there is one partner"),
        }
    }

    /// Nobody succeeds the victim: a partner that waits is told so in time.
    fn await_notice(&mut self) {
        let mut end = self.wake_partner();
        let awake = Instant::now();
        let error = loop {
            if let Err(error) = end.turn(HANG) {
                break error;
            }
        };
        assert!(matches!(error, Error::PeerDead(_)), "{error}");
        assert!(awake.elapsed() < NOTICE, "told after {:?}", awake.elapsed());
        self.partner = Partner::Awake(end);
    }
}

impl Stage for RingStage<'_> {
    fn begun(&mut self, first: i64) {
        if let Ok(first) = u64::try_from(first) {
            assert!(self.at.contains(&first), "it took over at record {first}, not one of {:?}", self.at);
            self.at = vec![first];
        }
        if self.state == Contended {
            self.put_partner_to_sleep();
        }
    }

    fn others(&mut self, turn: u64) -> bool {
        let (held, mut whole) = (self.operation.holds, 0);
        let recovered = self.state == Recovered;
        let gone = |error: &Error| match error {
            Error::Closed(_) => !held,
            Error::PeerDead(_) => !held && recovered, // The predecessor, for as long as nobody has taken over.
            _ => false,
        };
        if let Partner::Awake(partner) = &mut self.partner {
            for _ in 0..[1, u64::MAX][turn as usize / 2 % 2] {
                match partner.turn(Duration::ZERO) {
                    Ok(()) => whole += 1,
                    Err(Error::WouldBlock(_)) => break,
                    Err(error) if gone(&error) => break,
                    Err(error) => panic!("while the victim stands still: {error}"),
                }
            }
        }
        let (state, role) = (self.state_of_role(), self.operation.role);
        assert!(!held || state == RoleState::Alive, "a stopped process lives: {state:?}");
        if turn & 4 == 0 {
            whole += 1;
            let taken = End::take(&self.place.attach(RING), role);
            assert!(
                !held || matches!(taken, Err(Error::RoleTaken(_))),
                "the role of a stopped process: {taken:?}"
            );
        }
        whole > 0
    }

    fn returned(&self, code: i64) {
        let blocked = [AGAIN, TIMEDOUT].contains(&code);
        assert!(blocked || code >= 0, "a whole operation returned {code}");
        if let Some(expected) = self.operation.is_blocked(self.state) {
            assert_eq!(blocked, expected, "a whole operation returned {code}");
        }
    }

    fn failed(&self, _code: i64) {}

    fn dead(&mut self, at: At, toll: Toll) {
        self.died = Instant::now();
        let moves = self.operation.moves;
        let possible: Vec<u64> = match (at, toll) {
            (_, Toll::Nothing) => vec![0],
            (At::Inside, Toll::AtMost | Toll::Failed) => (0..=moves).collect(),
            (At::Inside, Toll::AllOrNothing(code)) => vec![0, moved(moves, code)],
            (At::End(code), Toll::Failed) if code < 0 => vec![0],
            (At::End(code), _) => vec![moved(moves, code)],
        };
        self.at = self.at.iter().flat_map(|at| possible.iter().map(move |more| at + more)).collect();
    }

    fn finish(mut self: Box<Self>, _workshop: &mut Workshop<'_>, with_notice: bool) {
        if with_notice && self.operation.holds {
            self.await_notice();
        }
        let mut successor = Box::new(self.successor());
        let (at, expected) = (successor.next, &self.at);
        assert!(expected.contains(&at), "it stood at record {at}, and one of {expected:?} was expected");
        if let Partner::Asleep(thread) = &self.partner {
            // It wakes for what the dead one did, or for what the successor does.
            while !thread.is_finished() && successor.try_turn() {}
        }
        let partner = self.wake_partner();
        let (tx, rx) =
            if self.operation.role == Role::Producer { (successor, partner) } else { (partner, successor) };
        exchange(tx, rx);
        self.place.unlink(RING);
        assert_eq!(self.place.files(), [""; 0], "nothing else is left");
    }
}

/// Records that a whole operation moved, by what it returned.
fn moved(most: u64, code: i64) -> u64 {
    match code {
        AGAIN | TIMEDOUT => 0,
        0 => most,
        1.. if most > 1 => code as u64,
        1.. => most,
        code => panic!("the operation failed with {code}"),
    }
}

/// Twice through the whole ring, to the end of the stream.
fn exchange(mut tx: Box<End>, mut rx: Box<End>) {
    let until = STREAM.position(tx.next.max(rx.next)) + 2 * CAPACITY;
    let goal = (tx.next..).find(|n| STREAM.position(*n) >= until).expect("records without end");
    while rx.next < goal {
        while tx.next < goal && tx.try_turn() {}
        assert!(rx.try_turn(), "record {} is there", rx.next);
    }
    drop(tx);
    let end = rx.turn(HANG);
    assert!(matches!(end, Err(Error::Closed(_))), "the end of the stream: {end:?}");
}

/// A whole exchange over a ring at the beginning of its stream.
pub(crate) fn use_it(ring: &Ring) {
    let [tx, rx] = Role::ALL.map(|role| Box::new(End::take(ring, role).expect("a free role")));
    exchange(tx, rx);
}
