//! The consumer: receives records.

use super::endpoint::{Endpoint, Peer, EMPTY, STEP_BACK};
use super::memory::{Mapped, Side};
use super::protocol::{nap_for_record, Found, Memory, Receiver};
use super::record::Record;
use crate::error::{Context, Error, Result};
use crate::pool::Use;
use crate::segment::Segment;
use crate::stream::Content;
use crate::sync::Ordering;
use crate::sys::{clock, cpu};
use crate::wait::{wait, Condition, Deadline, Nap, Pauses, Sleeper, LOOKS};
use crate::watch::{Watched, Watcher};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// The receiving end of a [`Ring`](super::Ring). One exists at a time, over all processes.
///
/// It belongs to one thread at a time (`Send`, not shared). A record is received when it is *released*: `recv` copies
/// and releases in one call, a [`Record`] borrowed in place is released when you say so. What was not released
/// when a consumer died is delivered to its successor again, at the same position.
///
/// ```
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
/// tx.send(b"hello")?;
/// let mut buffer = [0; 64];
/// assert_eq!(rx.recv(&mut buffer)?, 5);
/// assert!(matches!(rx.try_recv(&mut buffer), Err(ipcx::Error::WouldBlock(_))));
/// drop(tx);
/// assert!(matches!(rx.recv(&mut buffer), Err(ipcx::Error::Closed(_))));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    pub(super) receiver: Receiver<Mapped>,
    pub(super) end: Endpoint,
    borrowed: Option<Borrowed>,
    /// Records received when the ring was last found empty.
    received_before: u64,
    /// The pools whose blocks were carried to it.
    pub(super) carried: Vec<Use>,
}

/// What was lent without a guard: where it ends, and how many records it is.
#[derive(Clone, Copy, Debug)]
struct Borrowed {
    end: u64,
    records: u64,
}

impl Consumer {
    pub(super) fn take(segment: &Arc<Segment>, capacity: usize) -> Result<Consumer> {
        let end = Endpoint::take(segment, capacity, Side::Consumer)?;
        match Receiver::take_over(end.memory().clone()) {
            Ok(receiver) => {
                end.open();
                Ok(Consumer { receiver, end, borrowed: None, received_before: 0, carried: Vec::new() })
            }
            Err(corruption) => Err(end.refuse(corruption)),
        }
    }

    /// One end of two that were made together: one that closed was this one's peer, also if that was before.
    pub(crate) fn of_pair(mut self) -> Consumer {
        self.end.count_closed();
        self
    }

    /// Stream position of the next record, or of the one borrowed: bytes since the ring was made. A record that is
    /// delivered again, after a consumer died, has the same position again.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let before = rx.position();
    /// rx.recv(&mut [0; 64])?;
    /// assert_eq!(rx.position() - before, 16); // 8, and 5 rounded up to 8
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    #[inline(always)]
    pub fn position(&self) -> u64 {
        self.receiver.position()
    }

    /// Copies the next record to `buffer`, if there is one now, and releases it; says how long it is.
    ///
    /// Makes no allocation, takes no lock, and is async-signal-safe if the interrupted code was not inside a call on
    /// this consumer.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// assert!(matches!(rx.try_recv(&mut [0; 64]), Err(ipcx::Error::WouldBlock(_))));
    /// tx.send(b"hello")?;
    /// let short = rx.try_recv(&mut [0; 2]);
    /// assert!(matches!(short, Err(ipcx::Error::TooBig { needed: 5, available: 2 })));
    /// assert_eq!(rx.try_recv(&mut [0; 64])?, 5); // it stayed
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `Closed` or `PeerDead` if there is none and the producer went, `TooBig` if it does
    /// not fit (it stays, and `needed` says its length), `Mismatch` if it hands over a block (it stays, for
    /// [`Consumer::recv_block`]), `Forked`, `Corrupt`, `Invalid` while a record is borrowed.
    #[inline(always)]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::NOW)
    }

    /// As [`Consumer::recv`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut rx = ring.consumer()?;
    /// let nothing = rx.recv_timeout(&mut [0; 64], Duration::from_millis(1));
    /// assert!(matches!(nothing, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::recv_until`].
    #[inline(always)]
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize> {
        self.recv_until(buffer, Deadline::within(timeout))
    }

    /// Copies the next record to `buffer`, waiting for it as long as it takes.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut rx = ring.consumer()?;
    /// let sending = std::thread::spawn(move || ring.producer()?.send(b"hello"));
    /// let mut buffer = [0; 64];
    /// let len = rx.recv(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// sending.join().unwrap()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::recv_until`], less `WouldBlock` and `TimedOut`.
    #[inline(always)]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::NEVER)
    }

    /// What the three calls above do: copies the next record to `buffer`, waiting for it until `deadline`.
    ///
    /// The release is part of the call: a process killed inside it may have released the record without having done anything
    /// with it. Where each must be dealt with, [`borrow`](Consumer::borrow_until) it, and release it when that is done.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send_many([b"one", b"two"])?;
    /// let deadline = ipcx::Deadline::after(Duration::from_secs(1)); // for both together
    /// let mut buffer = [0; 64];
    /// assert_eq!(rx.recv_until(&mut buffer, deadline)? + rx.recv_until(&mut buffer, deadline)?, 6);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Consumer::try_recv`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept.
    #[inline(always)]
    pub fn recv_until(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        match self.recv_at_once(buffer) {
            Some(len) => Ok(len),
            None => self.recv_the_long_way(buffer, deadline),
        }
    }

    /// The short way of [`Consumer::recv_until`]: receives if that needs no thought. `None` means that nothing was done, and
    /// that the long way, taken next, knows why: refused, nothing there, too small a buffer, or a descriptor to keep true.
    #[doc(hidden)] // for bindings, which have a cheaper way of saying Ok
    #[inline(always)]
    pub fn recv_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if !self.is_plain() {
            return None;
        }
        let found = self.receiver.peek_fast()?;
        self.receiver.memory().read(found.payload(), buffer.get_mut(..found.len)?);
        self.receiver.release(found.end(), 1);
        Some(found.len)
    }

    #[cold]
    #[inline(never)]
    fn recv_the_long_way(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        let found = self.find(deadline)?;
        let Some(part) = buffer.get_mut(..found.len) else {
            return Err(Error::TooBig { needed: found.len, available: buffer.len() });
        };
        self.receiver.memory().read(found.payload(), part);
        self.receiver.release(found.end(), 1);
        self.after();
        Ok(found.len)
    }

    /// Copies records one behind the other to `buffer`, as many as are there, fit, and have a place in `lens`, which
    /// gets their lengths; says how many. Waits for the first until `deadline`, and for no other. They are released
    /// together, by one store, which is part of the call, as in [`Consumer::recv_until`].
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send_many(["one", "three"])?;
    /// let (mut buffer, mut lens) = ([0; 64], [0; 8]);
    /// assert_eq!(rx.recv_many_until(&mut buffer, &mut lens, ipcx::Deadline::NEVER)?, 2);
    /// assert_eq!((&lens[..2], &buffer[..8]), (&[3, 5][..], &b"onethree"[..]));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::recv_until`]; `TooBig` if not even the first fits; `Invalid` if `lens` is empty.
    pub fn recv_many_until(
        &mut self,
        buffer: &mut [u8],
        lens: &mut [usize],
        deadline: Deadline,
    ) -> Result<usize> {
        let count = self.borrow_many_raw(buffer, lens, deadline)?;
        self.release_raw()?;
        Ok(count)
    }

    /// [`Consumer::recv_many_until`] without the release, for bindings to other languages: the copies are there, and
    /// [`Consumer::release_raw`] releases all of them, or [`Consumer::return_raw`] none.
    ///
    /// ```
    /// use ipcx::Deadline;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send_many(["one", "three"])?;
    /// let (mut buffer, mut lens) = ([0; 64], [0; 8]);
    /// assert_eq!(rx.borrow_many_raw(&mut buffer, &mut lens, Deadline::NOW)?, 2);
    /// rx.return_raw(); // none is released: both come again
    /// assert_eq!(rx.borrow_many_raw(&mut buffer, &mut lens, Deadline::NOW)?, 2);
    /// rx.release_raw()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn borrow_many_raw(
        &mut self,
        buffer: &mut [u8],
        lens: &mut [usize],
        deadline: Deadline,
    ) -> Result<usize> {
        if lens.is_empty() {
            return Err(Error::invalid("room for the length of at least one record is needed"));
        }
        let first = self.find(deadline)?;
        if first.len > buffer.len() {
            return Err(Error::TooBig { needed: first.len, available: buffer.len() });
        }
        let (mut next, mut count, mut used, mut end) = (Some(first), 0, 0, first.position);
        while let (Some(found), Some(len)) = (next, lens.get_mut(count)) {
            let Some(part) = buffer.get_mut(used..).and_then(|rest| rest.get_mut(..found.len)) else { break };
            self.receiver.memory().read(found.payload(), part);
            *len = found.len;
            (used, count, end) = (used + found.len, count + 1, found.end());
            // Corruption behind good records is reported by the next call, and a block received by another.
            next = self.receiver.peek_at(end).unwrap_or(None).filter(|found| found.content == Content::Data);
        }
        self.borrowed = Some(Borrowed { end, records: count as u64 });
        Ok(count)
    }

    /// How many records of `len` bytes come next, `most` at most: waits for the first until `deadline`, and for no other. They
    /// stay. For who makes room for exactly these, and receives them by [`Consumer::recv_many_until`].
    ///
    /// Makes no allocation, unless it is refused, and is async-signal-safe as [`Consumer::try_recv`].
    ///
    /// # Errors
    /// As [`Consumer::recv_until`], less `TooBig`; `Mismatch` if the next record has another length.
    #[doc(hidden)]
    pub fn count_of_length(&mut self, len: usize, most: usize, deadline: Deadline) -> Result<usize> {
        let first = self.find(deadline)?;
        if first.len != len {
            return Err(self.of_another_length(first.len, len));
        }
        let (mut next, mut count) = (Some(first), 0);
        while let Some(found) = next.filter(|found| found.len == len && count < most) {
            count += 1;
            // Whatever else comes is for another call.
            next = self.receiver.peek_at(found.end()).unwrap_or(None);
            next = next.filter(|found| found.content == Content::Data);
        }
        Ok(count)
    }

    #[cold]
    fn of_another_length(&self, has: usize, asked: usize) -> Error {
        let text = format!(
            "the next record has {has} bytes where {asked} were asked for; receive it as it is, or skip it"
        );
        Error::Mismatch(self.end.segment().context(text))
    }

    /// [`Consumer::recv_many_until`] without waiting.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let (mut buffer, mut lens) = ([0; 64], [0; 1]);
    /// tx.send_many(["one", "three"])?;
    /// assert_eq!(rx.try_recv_many(&mut buffer, &mut lens)?, 1); // there is one place for a length
    /// assert_eq!((rx.try_recv_many(&mut buffer, &mut lens)?, lens[0]), (1, 5));
    /// assert!(matches!(rx.try_recv_many(&mut buffer, &mut lens), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn try_recv_many(&mut self, buffer: &mut [u8], lens: &mut [usize]) -> Result<usize> {
        self.recv_many_until(buffer, lens, Deadline::NOW)
    }

    /// [`Consumer::recv_many_until`] as long as it takes.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send_many(["one", "three"])?;
    /// let (mut buffer, mut lens) = ([0; 64], [0; 8]);
    /// assert_eq!(rx.recv_many(&mut buffer, &mut lens)?, 2);
    /// let (first, rest) = buffer.split_at(lens[0]);
    /// assert_eq!((first, &rest[..lens[1]]), (&b"one"[..], &b"three"[..]));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn recv_many(&mut self, buffer: &mut [u8], lens: &mut [usize]) -> Result<usize> {
        self.recv_many_until(buffer, lens, Deadline::NEVER)
    }

    /// Releases the next record without looking at what it carries; says whether there was one. Does not wait.
    ///
    /// For a record that cannot be received: it hands over a block of a pool that was unlinked and made anew. The block is
    /// not taken over, but stays in flight. It goes with its pool's memory, where the pool is gone; otherwise
    /// [`Pool::recover`](crate::Pool::recover) gives it back once the ring is gone. Who has a handle on its pool receives the
    /// block, and releases it, instead.
    ///
    /// Async-signal-safe as [`Consumer::try_recv`].
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"whatever it is")?;
    /// assert_eq!((rx.skip()?, rx.skip()?), (true, false));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Corrupt`, `Invalid` while a record is borrowed.
    pub fn skip(&mut self) -> Result<bool> {
        if self.end.is_inherited() || self.borrowed.is_some() {
            return Err(self.refusal());
        }
        let found = self.peek()?;
        if let Some(found) = &found {
            self.receiver.release(found.end(), 1);
        }
        self.after();
        Ok(found.is_some())
    }

    /// The next record in place, waiting for it until `deadline`.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let record = rx.borrow_until(ipcx::Deadline::within(Duration::from_secs(1)))?;
    /// assert_eq!(record.to_vec(), b"hello");
    /// record.release();
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::recv_until`], less `TooBig`.
    #[inline(always)]
    pub fn borrow_until(&mut self, deadline: Deadline) -> Result<Record<'_>> {
        let found = self.find(deadline)?;
        Ok(Record::of(self, found))
    }

    /// [`Consumer::borrow_until`] without waiting.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// assert_eq!(rx.try_borrow()?.len(), 5); // not released
    /// rx.try_borrow()?.release(); // the same again
    /// assert!(matches!(rx.try_borrow(), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn try_borrow(&mut self) -> Result<Record<'_>> {
        self.borrow_until(Deadline::NOW)
    }

    /// [`Consumer::borrow_until`] as long as it takes.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let record = rx.borrow()?;
    /// let mut first = [0; 1];
    /// record.read_at(0, &mut first)?;
    /// assert_eq!(&first, b"h");
    /// record.release();
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn borrow(&mut self) -> Result<Record<'_>> {
        self.borrow_until(Deadline::NEVER)
    }

    /// [`Consumer::borrow_until`] without a guard, for bindings to other languages: address and length of the record's
    /// bytes, valid until [`Consumer::release_raw`] or drop. Borrowing again before that is `Invalid`.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let (bytes, len) = rx.borrow_raw(ipcx::Deadline::NEVER)?;
    /// // SAFETY: borrowed, and the producer keeps to the protocol.
    /// assert_eq!(unsafe { std::slice::from_raw_parts(bytes, len) }, b"hello");
    /// rx.release_raw()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn borrow_raw(&mut self, deadline: Deadline) -> Result<(*const u8, usize)> {
        let found = self.find(deadline)?;
        self.borrowed = Some(Borrowed { end: found.end(), records: 1 });
        Ok((self.receiver.memory().address(found.payload()).as_ptr(), found.len))
    }

    /// Releases what was borrowed: it will not be delivered again.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// rx.borrow_raw(ipcx::Deadline::NOW)?;
    /// rx.release_raw()?;
    /// assert!(rx.release_raw().is_err(), "nothing is borrowed");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is borrowed, `Forked`.
    pub fn release_raw(&mut self) -> Result<()> {
        if self.end.is_inherited() {
            return Err(Error::Forked);
        }
        let borrowed = self.borrowed.take();
        let Borrowed { end, records } =
            borrowed.ok_or_else(|| Error::invalid("release without a borrowed record"))?;
        self.receiver.release(end, records);
        self.after();
        Ok(())
    }

    /// Ends the borrow without a release: the next call finds the same record.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// rx.borrow_raw(ipcx::Deadline::NOW)?;
    /// rx.return_raw();
    /// assert_eq!(rx.try_recv(&mut [0; 64])?, 5); // the same record
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn return_raw(&mut self) {
        self.borrowed = None;
    }

    /// A descriptor that is readable while there is a record, or the producer went. Level-triggered; do not read it, do
    /// not close it; it lives as long as the consumer.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// let mut poll = libc::pollfd { fd: rx.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// assert_eq!(rx.try_recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the consumer has a record to receive, or the producer went, and
    /// once now if there is one; `None` ends that. The signal's value (`si_value`) is this handle's slot, as
    /// [`Participant`](crate::Participant)s are numbered. Receive until that would block: only then does the next one queue a
    /// signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut rx = ring.consumer()?;
    /// rx.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(rx.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// rx.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&mut self, signal: Option<i32>) -> Result<()> {
        let slot = self.end.segment().leases().slot();
        self.watcher()?.signal(signal.unwrap_or(0), slot)
    }

    fn watcher(&mut self) -> Result<&Watcher> {
        if self.end.is_inherited() {
            return Err(Error::Forked);
        }
        let end = &self.end;
        let watched = || {
            Arc::new(Arrival { memory: end.memory().clone(), peer: end.peer().clone() }) as Arc<dyn Watched>
        };
        let (_, first) = end.watcher.start(end.segment().name(), watched)?;
        if first {
            self.after();
        }
        Ok(self.end.watcher.get().expect("just made"))
    }

    /// True if nothing but the ring's own state decides about a receive.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        !self.end.is_inherited() && self.borrowed.is_none() && self.end.watcher.get().is_none()
    }

    /// The next record, which must carry bytes; waits for it until `deadline`.
    #[inline(always)]
    fn find(&mut self, deadline: Deadline) -> Result<Found> {
        let found = self.find_any(deadline)?;
        if found.content != Content::Data {
            return Err(self.not_bytes());
        }
        Ok(found)
    }

    #[cold]
    fn not_bytes(&self) -> Error {
        Error::Mismatch(self.end.segment().context("the next record hands over a block; receive it as such"))
    }

    /// The next record; waits for it until `deadline`.
    #[inline(always)]
    pub(super) fn find_any(&mut self, deadline: Deadline) -> Result<Found> {
        if self.end.is_inherited() || self.borrowed.is_some() {
            return Err(self.refusal());
        }
        match self.peek()? {
            Some(found) => Ok(found),
            None => self.await_record(deadline),
        }
    }

    /// The next record, if it is there.
    #[inline(always)]
    fn peek(&self) -> Result<Option<Found>> {
        self.receiver.peek().map_err(|corruption| self.end.corrupt(corruption))
    }

    /// The next record, which is not there yet: looks for it for a few microseconds, where that was worth it at the last long
    /// wait, and then waits until `deadline`.
    #[inline(never)]
    fn await_record(&mut self, deadline: Deadline) -> Result<Found> {
        if !deadline.is_soon() && self.end.looks() {
            self.look_on();
            if let Some(found) = self.peek()? {
                return Ok(found);
            }
        }
        self.wait_for_record(deadline.started())
    }

    #[cold]
    fn refusal(&self) -> Error {
        if self.end.is_inherited() {
            return Error::Forked;
        }
        Error::invalid("a record is borrowed; release it first")
    }

    /// Waits for a record until `deadline`. The one that it saw is the one that it returns: a peer that takes records back
    /// cannot keep it here.
    #[cold]
    fn wait_for_record(&mut self, deadline: Deadline) -> Result<Found> {
        if !deadline.is_now() {
            self.end.note_cpu();
        }
        let mut next = NextRecord { receiver: &self.receiver, end: &mut self.end, found: None };
        let waited = if deadline.is_now() {
            match next.peer(clock::coarse()) {
                Ok(()) => Err(Error::WouldBlock(EMPTY)),
                // What the producer committed before it went counts.
                Err(gone) => next.ready().and_then(|there| if there { Ok(()) } else { Err(gone) }),
            }
        } else {
            let strategy = next.end.strategy();
            wait(&mut next, strategy, deadline)
        };
        let waited = waited.map(|()| next.found.expect("it is ready"));
        if waited.is_err() && self.end.watcher.get().is_some() {
            // Not asked again whether there is a record: one that came since is for the watcher to tell of.
            self.end.update_watcher(false, self.receiver.position());
        }
        waited
    }

    /// Looks for the next record for a few microseconds.
    ///
    /// A consumer as fast as its producer takes the line that the producer is writing away from it at every record. When
    /// it has received several in a row and then found none, it lets the producer get ahead by a few: several times the
    /// rate (see docs/ring-format.md). After a single record, as in a round trip, it does not.
    fn look_on(&mut self) {
        let (mut pauses, received) = (Pauses::new(), self.receiver.records());
        if received.wrapping_sub(self.received_before) >= 2 {
            cpu::pause(STEP_BACK);
        } else {
            pauses.pause();
        }
        self.received_before = received;
        let (memory, position) = (self.receiver.memory(), self.receiver.position());
        for _ in 0..LOOKS {
            // A small record with its word often lies on two lines: both are asked for at once.
            memory.expect(position.wrapping_add(64));
            if self.receiver.may_peek() {
                return;
            }
            pauses.pause();
        }
    }

    /// Keeps the descriptor true, if there is one.
    #[inline(always)]
    pub(super) fn after(&mut self) {
        if self.end.watcher.get().is_some() {
            let (ready, position) = (self.has_record(), self.receiver.position());
            self.end.update_watcher(ready, position);
        }
    }

    /// True if there is a record, or what is there is corrupt, which a call will report.
    pub(super) fn has_record(&self) -> bool {
        !matches!(self.receiver.peek(), Ok(None))
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.end.is_inherited() {
            return; // The parent's.
        }
        self.end.close();
        self.receiver.memory().wake_for_room();
    }
}

/// A call waits for a record.
struct NextRecord<'a> {
    receiver: &'a Receiver<Mapped>,
    end: &'a mut Endpoint,
    found: Option<Found>,
}

impl Condition for NextRecord<'_> {
    fn ready(&mut self) -> Result<bool> {
        self.found = self.receiver.peek().map_err(|c| self.end.corrupt(c))?;
        Ok(self.found.is_some())
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_record(self.receiver.memory(), self.receiver.position(), Sleeper::Call, until)
    }

    fn peer(&mut self, now: u64) -> Result<()> {
        self.end.check_peer(now)
    }

    fn peer_is_here(&self) -> bool {
        self.end.peer_is_here()
    }

    fn missing(&self) -> Context {
        self.end.segment().context(EMPTY)
    }
}

/// A watcher waits for a record; its target is the position.
#[derive(Debug)]
struct Arrival {
    memory: Mapped,
    peer: Peer,
}

impl Watched for Arrival {
    fn ready(&self, target: u64) -> bool {
        self.memory.word(target).load(Ordering::Relaxed) != 0 // the call acquires
    }

    fn nap(&self, target: u64, until: u64) {
        nap_for_record(&self.memory, target, Sleeper::Watcher, until);
    }

    fn peer_is_gone(&self) -> bool {
        self.peer.is_gone()
    }

    fn wake(&self, target: u64) {
        self.memory.wake_for_record(target);
    }
}
