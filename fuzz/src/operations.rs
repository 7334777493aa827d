//! Any sequence of calls on both ends of a ring, against a queue in private memory: contents, order and positions; refused
//! exactly when the queue is full or empty; roles that are closed, die, and are taken over through other handles.
//!
//! The input: where the stream begins (a byte), then calls, each a byte and what it needs. A death is what the format calls
//! one: the role's word says open, nobody holds its lock, and behind the tail lies whatever was in work.

use super::image::{template, Bench};
use super::input::Input;
use super::model::{End, Entry, Model, Refusal, Role};
use super::reader::under_watchers;
use ipcx::{Consumer, Deadline, Error, Producer, Ring, RoleState};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

/// No input does more: a call is cheap, a watcher is a thread.
const MOST_CALLS: usize = 400;
const MOST_WATCHERS: usize = 2;
const HANDLES: usize = 2;

/// The target.
pub fn operations(data: &[u8]) {
    run(&mut Input::new(data), 0);
}

/// The same calls with descriptors, and descriptors of endpoints under which the ring is damaged. A target of its own: each
/// is a thread, which takes time, and makes coverage differ from run to run.
pub fn descriptors(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() & 3 {
        0 => under_watchers(&mut input),
        _ => run(&mut input, MOST_WATCHERS),
    }
}

fn run(input: &mut Input<'_>, watchers: usize) {
    Bench::lend(|bench| {
        let mut run = Run::new(bench, begin(bench, input.u8()), watchers);
        for _ in 0..MOST_CALLS {
            if input.is_empty() {
                break;
            }
            run.step(input);
        }
        run.drain();
    });
}

/// Where the stream begins: also just before its position needs another bit.
fn begin(bench: &Bench, place: u8) -> u64 {
    let edge = [0, 4096, 1 << 27, 1 << 31, 1 << 32, 1 << 40, 1 << 48, 1 << 63][usize::from(place & 7)];
    let position = u64::saturating_sub(edge, u64::from(place >> 3) * 8);
    let (template, layout) = template();
    let mut image = template.clone();
    for at in [layout.consumer(), layout.producer_tail()] {
        image[at..at + 8].copy_from_slice(&position.to_ne_bytes());
    }
    bench.fill(&image);
    position
}

pub(super) struct Run<'a> {
    pub(super) bench: &'a Bench,
    pub(super) model: Model,
    handles: [Option<Ring>; HANDLES],
    pub(super) tx: Option<Producer>,
    pub(super) rx: Option<Consumer>,
    /// Bytes of the open reservation, and records borrowed, through the raw calls.
    pub(super) reserved: Option<usize>,
    pub(super) borrowed: Option<usize>,
    /// Length that did not fit last, which a producer's descriptor is about.
    pub(super) misfit: usize,
    watched: [bool; 2],
    /// How many more may be made.
    watchers: usize,
}

/// Bytes of a record.
pub(super) fn content(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| seed.wrapping_add((i * 7) as u8)).collect()
}

impl<'a> Run<'a> {
    fn new(bench: &'a Bench, position: u64, watchers: usize) -> Run<'a> {
        let model = Model::new(bench.layout.capacity, position);
        let handles = [const { None }; HANDLES];
        let (tx, rx, reserved, borrowed) = (None, None, None, None);
        let (misfit, watched) = (0, [false; 2]);
        Run { bench, model, handles, tx, rx, reserved, borrowed, misfit, watched, watchers }
    }

    fn step(&mut self, input: &mut Input) {
        let call = input.u8();
        match call % 20 {
            0..=2 => self.send(input),
            3 => self.send_many(input),
            4 => self.reserve(input),
            5 => self.reserve_raw(input),
            6 => self.commit_or_abort(input),
            7..=9 => self.recv(input),
            10 => self.recv_many(input),
            11 => self.borrow(call & 32 != 0),
            12 => self.borrow_raw(),
            13 => self.release_or_return(call & 32 != 0),
            14 => self.take_producer(input),
            15 => self.take_consumer(input),
            16 => self.leave(input),
            17 => self.handle(input),
            18 => self.stats(),
            _ => self.watch(input),
        }
        if let Some(tx) = &self.tx {
            assert_eq!((tx.position(), tx.max_len()), (self.model.tail, self.model.largest()));
        }
        if let Some(rx) = &self.rx {
            assert_eq!(rx.position(), self.model.head);
        }
        self.check_descriptors();
    }

    /// Most lengths are small, a few near the largest or beyond.
    pub(super) fn len(&self, input: &mut Input) -> usize {
        let len = usize::from(input.u16());
        match len >> 13 {
            0..=4 => len % 200,
            5 => len % 2000,
            6 => self.model.largest() - len % 40,
            _ => self.model.largest() + 1 + len % 5000,
        }
    }

    pub(super) fn deadline(&self, input: &mut Input) -> Deadline {
        match input.u8() {
            247 => Deadline::within(Duration::from_micros(1)),
            _ => Deadline::NOW,
        }
    }

    pub(super) fn refused(&mut self, end: End, error: &Error) {
        let refusal = self.model.refusal(end);
        assert!(refusal.allows(error), "{end:?}: {error}, and not {refusal:?}");
    }

    // ---- Roles and handles ----

    /// One of the handles that are open.
    fn ring(&self, which: u8) -> &Ring {
        self.handles[usize::from(which) % HANDLES].as_ref().unwrap_or(&self.bench.ring)
    }

    fn take_producer(&mut self, input: &mut Input) {
        match self.ring(input.u8()).producer() {
            Ok(tx) => {
                self.model.take(End::Producer);
                self.tx = Some(tx);
            }
            Err(Error::RoleTaken(_)) => assert!(self.tx.is_some()),
            Err(error) => panic!("{error}"),
        }
    }

    fn take_consumer(&mut self, input: &mut Input) {
        match self.ring(input.u8()).consumer() {
            Ok(rx) => {
                self.model.take(End::Consumer);
                self.rx = Some(rx);
            }
            Err(Error::RoleTaken(_)) => assert!(self.rx.is_some()),
            Err(error) => panic!("{error}"),
        }
    }

    /// An end closes, or dies with something in work.
    fn leave(&mut self, input: &mut Input) {
        let how = input.u8();
        let end = if how & 1 == 0 { End::Producer } else { End::Consumer };
        let layout = self.bench.layout;
        if self.model.role(end) != Role::Alive {
            return;
        }
        let dies = how & 2 != 0;
        let role = if end == End::Producer { layout.producer_role() } else { layout.consumer_role() };
        let word = self.bench.word(role);
        match end {
            End::Producer => self.tx = None,
            End::Consumer => self.rx = None,
        }
        if dies {
            self.bench.set_word(role, word);
        }
        self.model.leave(end, if dies { Role::Dead } else { Role::Closed });
        self.watched[end as usize] = false;
        match end {
            End::Producer => {
                (self.reserved, self.misfit) = (None, 0);
                if dies {
                    self.leave_garbage(how);
                }
            }
            End::Consumer => self.borrowed = None,
        }
    }

    /// What a producer that dies had written behind the tail, whose word stays 0.
    fn leave_garbage(&self, seed: u8) {
        let room = self.bench.layout.capacity - self.model.used() - 8;
        let garbage = content(room as usize, seed);
        self.write_data(self.bench.layout.at(self.model.tail.wrapping_add(8)), &garbage);
    }

    fn handle(&mut self, input: &mut Input) {
        let which = usize::from(input.u8()) % HANDLES;
        self.handles[which] = match self.handles[which].take() {
            Some(_) => None, // Its endpoints go on.
            None => Some(Ring::from_fd(self.bench.file.as_fd()).expect("a slot is free")),
        };
    }

    fn stats(&mut self) {
        let stats = self.ring(0).stats().expect("statistics");
        let model = &self.model;
        assert_eq!((stats.used, stats.sent, stats.received), (model.used(), model.sent, model.received));
        assert_eq!((stats.sent_bytes, stats.received_bytes), (model.tail, model.head));
        for (state, end) in [(stats.producer, End::Producer), (stats.consumer, End::Consumer)] {
            let expected = match model.role(end) {
                Role::Never => RoleState::Never,
                Role::Alive => RoleState::Alive,
                Role::Closed => RoleState::Closed,
                Role::Dead => RoleState::Dead,
            };
            assert_eq!(state, expected);
        }
    }

    // ---- Descriptors ----

    fn watch(&mut self, input: &mut Input) {
        let end = if input.u8() & 1 == 0 { End::Producer } else { End::Consumer };
        if self.watchers == 0 {
            return;
        }
        let made = match end {
            End::Producer => self.tx.as_mut().map(|tx| tx.poll_fd().map(drop)),
            End::Consumer => self.rx.as_mut().map(|rx| rx.poll_fd().map(drop)),
        };
        if let Some(made) = made {
            made.expect("a descriptor");
            self.watchers -= usize::from(!self.watched[end as usize]);
            self.watched[end as usize] = true;
        }
    }

    /// A descriptor becomes readable when its end is ready. (Also when its peer died, but that takes a while.)
    fn check_descriptors(&mut self) {
        for end in [End::Producer, End::Consumer] {
            let ready = match end {
                End::Producer => self.model.fits(self.misfit),
                End::Consumer => !self.model.records.is_empty(),
            };
            let gone = self.model.role(end.other()) == Role::Closed && self.model.peer_is_gone(end);
            if self.watched[end as usize] && (ready || gone) {
                let fd = match end {
                    End::Producer => self.tx.as_mut().expect("watched").poll_fd(),
                    End::Consumer => self.rx.as_mut().expect("watched").poll_fd(),
                };
                assert!(
                    is_readable(fd.expect("it is there")),
                    "{end:?} is ready, and its descriptor does not say so"
                );
            }
        }
    }

    /// At the end everything that was sent is received, in order.
    fn drain(&mut self) {
        (self.reserved, self.borrowed, self.watched) = (None, None, [false; 2]);
        (self.tx, self.rx) = (None, None);
        let mut rx = self.ring(0).consumer().expect("free");
        let mut buffer = vec![0; self.model.largest()];
        while !self.model.records.is_empty() {
            let Entry { position, bytes } = self.model.release();
            assert_eq!(rx.position(), position);
            let len = rx.try_recv(&mut buffer).expect("a record");
            assert!(buffer[..len] == bytes);
        }
        let nothing = rx.try_recv(&mut buffer).expect_err("nothing is left");
        assert!([Refusal::Waits, Refusal::Closed, Refusal::Dead]
            .iter()
            .any(|refusal| refusal.allows(&nothing)));
    }
}

/// Within a second.
fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    unsafe { libc::poll(&mut poll, 1, 1000) == 1 }
}
