//! Every call that ipcx has on a ring, on ends whose segment is in hostile hands: each returns data, or one of the errors
//! that a damaged ring may give, and what it returns lies in bounds.

use crate::segment::fnv1a;
use crate::tally::{Call, Tally, Who};
use ipcx::{Consumer, Deadline, Error, Producer, Result, Ring};
use std::fs::File;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

/// Two records for batches, and a larger one.
const SENT: [&[u8]; 3] = [b"one", b"and another of more than a word", &[7; 600]];

/// What came of one call, without what differs from run to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Bytes { len: usize, hash: u64 },
    Number(u64),
    Failed(i32),
}

impl Outcome {
    fn bytes(bytes: &[u8]) -> Outcome {
        Outcome::Bytes { len: bytes.len(), hash: fnv1a(bytes.iter().copied()) }
    }
}

/// Makes the calls.
#[derive(Debug)]
pub(crate) struct Calls<'a> {
    tally: &'a Tally,
    /// How long calls wait that wait.
    pub(crate) patience: Duration,
    /// What came of each call, where that is kept.
    pub(crate) trace: Option<Vec<Outcome>>,
    /// Far larger than the ring: a length that is believed is also read.
    buffer: Vec<u8>,
    zeros: Rc<File>,
}

/// True for what a call may say of a damaged ring.
fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::WouldBlock(_)
            | Error::TimedOut(_)
            | Error::Closed(_)
            | Error::PeerDead(_)
            | Error::NotFound(_)
            | Error::RoleTaken(_)
            | Error::Mismatch(_)
            | Error::Version(_)
            | Error::Corrupt(_)
            | Error::TooBig { .. }
            | Error::NoSpace(_)
    )
}

impl<'a> Calls<'a> {
    pub(crate) fn new(tally: &'a Tally) -> Calls<'a> {
        let zeros = Rc::new(File::open("/dev/zero").expect("a file without end"));
        Calls { tally, patience: Duration::ZERO, trace: None, buffer: vec![0; 1 << 20], zeros }
    }

    /// One call: timed, counted, its error looked at. `outcome` says what came of it.
    fn call<T>(
        &mut self,
        who: Who,
        call: Call,
        work: impl FnOnce(&mut [u8], Deadline) -> Result<T>,
        outcome: impl FnOnce(&T, &[u8]) -> Outcome,
    ) -> Option<T> {
        let began = self.tally.begin(call, self.patience.as_nanos() as u64);
        let result = work(&mut self.buffer, Deadline::within(self.patience));
        self.tally.end(began, who, result.is_ok());
        if let Err(error) = &result {
            assert!(is_expected(error), "{call:?}: {error:?}");
        }
        if let Some(trace) = &mut self.trace {
            trace.push(match &result {
                Ok(value) => outcome(value, &self.buffer),
                Err(error) => Outcome::Failed(error.errno()),
            });
        }
        result.ok()
    }

    /// As [`Calls::call`], for what is done or not.
    fn act<T>(&mut self, who: Who, call: Call, work: impl FnOnce(Deadline) -> Result<T>) -> Option<T> {
        self.call(who, call, |_, until| work(until), |_, _| Outcome::Done)
    }

    /// As [`Calls::call`], for what gives a number.
    fn count(
        &mut self,
        who: Who,
        call: Call,
        work: impl FnOnce(&mut [u8], Deadline) -> Result<usize>,
    ) -> usize {
        self.call(who, call, work, |number, _| Outcome::Number(*number as u64)).unwrap_or(0)
    }

    /// Another handle.
    pub(crate) fn attach(&mut self, attach: impl FnOnce() -> Result<Ring>) -> Option<Ring> {
        self.act(Who::Handle, Call::Attach, |_| attach())
    }

    /// The producer's role.
    pub(crate) fn producer(&mut self, ring: &Ring) -> Option<Producer> {
        self.act(Who::Producer, Call::TakeProducer, |_| ring.producer())
    }

    /// The consumer's role.
    pub(crate) fn consumer(&mut self, ring: &Ring) -> Option<Consumer> {
        self.act(Who::Consumer, Call::TakeConsumer, |_| ring.consumer())
    }

    /// Everything that a handle can do. Figures and names are whatever stands there; but numbers fit together, and a name is a
    /// short text.
    pub(crate) fn use_handle(&mut self, ring: &Ring) {
        let stats = self.call(
            Who::Handle,
            Call::Stats,
            |_, _| ring.stats(),
            |stats, _| Outcome::Number(stats.sent_bytes ^ stats.received_bytes.rotate_left(32)),
        );
        if let Some(stats) = stats {
            assert!(stats.used <= stats.capacity, "{stats:?}");
            let processes = [stats.producer_process, stats.consumer_process];
            assert!(processes.iter().flatten().all(|process| process.command.chars().count() <= 16));
        }
        assert!(ring.schema().is_none_or(|schema| schema.len() <= 64));
    }

    /// Everything that a handle and what it has of its two ends can do.
    pub(crate) fn use_everything(
        &mut self,
        ring: &Ring,
        tx: &mut Option<Producer>,
        rx: &mut Option<Consumer>,
    ) {
        if let Some(tx) = tx {
            self.use_producer(tx);
        }
        if let Some(rx) = rx {
            self.use_consumer(rx, ring.capacity());
        }
        self.use_handle(ring);
    }

    /// Everything that a producer can do.
    pub(crate) fn use_producer(&mut self, tx: &mut Producer) {
        let begin = tx.position();
        self.act(Who::Producer, Call::Send, |until| tx.send_until(SENT[0], until));
        let many = self.count(Who::Producer, Call::SendMany, |_, until| tx.send_many_until(SENT, until));
        assert!(many <= SENT.len());
        if let Some(mut room) = self.act(Who::Producer, Call::Reserve, |until| tx.reserve_until(100, until)) {
            room.write_at(1, &[5; 99]).expect("inside the reservation");
            self.act(Who::Producer, Call::Commit, |_| room.commit_len(70));
        }
        // As much as there can be, written and given up.
        let all = tx.max_len();
        if let Some(mut room) = self.act(Who::Producer, Call::Reserve, |until| tx.reserve_until(all, until)) {
            room.write_at(0, &self.buffer[..all]).expect("inside the reservation");
        }
        let zeros = Rc::clone(&self.zeros);
        self.count(Who::Producer, Call::SendFile, |_, until| tx.send_file_until(zeros.as_fd(), 40, until));
        let sent = tx.position().wrapping_sub(begin);
        assert!(begin % 8 == 0 && sent % 8 == 0 && sent <= 2048, "from {begin} it went on by {sent} bytes");
    }

    /// Everything that a consumer can do.
    pub(crate) fn use_consumer(&mut self, rx: &mut Consumer, capacity: u64) {
        let (begin, largest) = (rx.position(), capacity as usize - 16);
        if let Some(record) = self.act(Who::Consumer, Call::Borrow, |until| rx.borrow_until(until)) {
            assert!(record.len() <= largest, "a record of {} bytes", record.len());
            self.call(Who::Consumer, Call::Read, |_, _| Ok(record.to_vec()), |copy, _| Outcome::bytes(copy));
            if record.position() % 16 == 0 {
                record.release();
            }
        }
        let len = self.call(
            Who::Consumer,
            Call::Recv,
            |buffer, until| rx.recv_until(buffer, until),
            |len, buffer| Outcome::bytes(&buffer[..*len]),
        );
        assert!(len.is_none_or(|len| len <= largest), "a record of {len:?} bytes");
        let mut lens = [0; 5];
        let many = self.count(Who::Consumer, Call::RecvMany, |buffer, until| {
            rx.recv_many_until(buffer, &mut lens, until)
        });
        assert!(lens[..many].iter().sum::<usize>() <= largest, "records of {lens:?} bytes");
        self.borrow_without_guard(rx, largest);
        let received = rx.position().wrapping_sub(begin);
        let near = received <= 4 * capacity;
        assert!(begin % 8 == 0 && received % 8 == 0 && near, "from {begin} it went on by {received} bytes");
    }

    /// What the bindings to other languages are made of.
    fn borrow_without_guard(&mut self, rx: &mut Consumer, largest: usize) {
        let borrowed = self.act(Who::Consumer, Call::BorrowRaw, |until| rx.borrow_raw(until));
        if let Some((at, len)) = borrowed {
            assert!(len <= largest, "a record of {len} bytes");
            // SAFETY: that these bytes are mapped, and stay so while borrowed, is what is tested.
            unsafe { std::ptr::copy_nonoverlapping(at, self.buffer.as_mut_ptr(), len) };
            self.act(Who::Consumer, Call::BorrowRaw, |_| rx.release_raw());
        }
        let mut lens = [0; 3];
        let many = self.count(Who::Consumer, Call::BorrowManyRaw, |buffer, until| {
            rx.borrow_many_raw(buffer, &mut lens, until)
        });
        assert!(lens[..many].iter().sum::<usize>() <= largest, "records of {lens:?} bytes");
        rx.return_raw();
        let alike = self.count(Who::Consumer, Call::BorrowManyRaw, |_, until| {
            rx.count_of_length(lens[0], usize::MAX, until)
        });
        assert!(
            alike <= largest / (8 + lens[0].next_multiple_of(8)) + 1,
            "{alike} records of {} bytes",
            lens[0]
        );
    }

    /// Asks for a role that somebody has: who that is stands in a slot, and may be anything.
    pub(crate) fn contend(&mut self, ring: &Ring) {
        assert!(self.producer(ring).is_none() && self.consumer(ring).is_none(), "there are two of one role");
    }

    /// Gives both ends a watcher, whose threads then look at the segment by themselves.
    pub(crate) fn watch(&mut self, tx: &mut Producer, rx: &mut Consumer) {
        self.act(Who::Producer, Call::ProducerFd, |_| tx.poll_fd().map(drop));
        self.act(Who::Consumer, Call::ConsumerFd, |_| rx.poll_fd().map(drop));
    }

    /// Gives both roles up.
    pub(crate) fn close(&mut self, tx: Option<Producer>, rx: Option<Consumer>) {
        self.act(Who::Producer, Call::CloseProducer, |_| {
            drop(tx);
            Ok(())
        });
        self.act(Who::Consumer, Call::CloseConsumer, |_| {
            drop(rx);
            Ok(())
        });
    }
}
