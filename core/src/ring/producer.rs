//! The producer: sends records.

use super::endpoint::{Endpoint, Peer, FULL, STEP_BACK};
use super::memory::{Mapped, Side};
use super::protocol::{nap_for_room, Memory, Sender};
use super::reservation::Reservation;
use crate::error::{Context, Error, Result};
use crate::file::read_until;
use crate::pool::Use;
use crate::segment::Segment;
use crate::stream::Content;
use crate::sys::{clock, cpu};
use crate::wait::{wait, Condition, Deadline, Nap, Sleeper};
use crate::watch::{Watched, Watcher};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// The sending end of a [`Ring`](super::Ring). One exists at a time, over all processes.
///
/// It belongs to one thread at a time (`Send`, not shared). Dropping it gives the role up in good order: a consumer
/// that has received everything gets [`Error::Closed`]. If the process dies instead, it gets [`Error::PeerDead`], and
/// whoever takes the role next continues after the last committed record.
///
/// A record is sent when the call returned success: from then on it outlives this process.
///
/// ```
/// let ring = ipcx::Ring::anonymous(&Default::default())?;
/// let mut tx = ring.producer()?;
/// assert!(matches!(ring.producer(), Err(ipcx::Error::RoleTaken(_))));
/// tx.send(b"hello")?;
/// drop(tx); // closes: another may have the role
/// ring.producer()?.send(b"again")?;
/// assert_eq!(ring.stats()?.sent, 2);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Producer {
    pub(super) sender: Sender<Mapped>,
    pub(super) end: Endpoint,
    /// Bytes of the open reservation.
    pub(super) reserved: Option<usize>,
    /// Length for which the watcher waits: that of the last record that did not fit.
    watched_len: usize,
    /// The pools whose blocks it has carried.
    pub(super) carried: Vec<Use>,
}

impl Producer {
    pub(super) fn take(segment: &Arc<Segment>, capacity: usize) -> Result<Producer> {
        let end = Endpoint::take(segment, capacity, Side::Producer)?;
        match Sender::take_over(end.memory().clone()) {
            Ok(sender) => {
                end.open();
                Ok(Producer { sender, end, reserved: None, watched_len: 0, carried: Vec::new() })
            }
            Err(corruption) => Err(end.refuse(corruption)),
        }
    }

    /// One end of two that were made together: one that closed was this one's peer, also if that was before.
    pub(crate) fn of_pair(mut self) -> Producer {
        self.end.count_closed();
        self
    }

    /// Largest record that fits into the ring, in bytes: its capacity less 16.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&ipcx::RingOptions { capacity: 4096, ..Default::default() })?;
    /// let mut tx = ring.producer()?;
    /// let too_long = vec![0; tx.max_len() + 1];
    /// assert!(matches!(tx.send(&too_long), Err(ipcx::Error::TooBig { .. })));
    /// tx.send(&too_long[1..])?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn max_len(&self) -> usize {
        self.sender.largest()
    }

    /// Stream position of the next record, in bytes since the ring was made.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// let before = tx.position();
    /// tx.send(b"hello")?;
    /// assert_eq!(tx.position() - before, 16); // 8, and 5 rounded up to 8
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn position(&self) -> u64 {
        self.sender.tail()
    }

    /// Sends a copy of `data` as one record, if there is room now. Zero bytes are a record too.
    ///
    /// Makes no allocation, takes no lock, and is async-signal-safe if the interrupted code was not inside a call on
    /// this producer.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&ipcx::RingOptions { capacity: 4096, ..Default::default() })?;
    /// let mut tx = ring.producer()?;
    /// while tx.try_send(&[7; 1000]).is_ok() {}
    /// assert!(matches!(tx.try_send(&[7; 1000]), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if the ring is full, `Closed` or `PeerDead` if it is full and the consumer went, `TooBig`, `Forked`,
    /// `Corrupt`, `Invalid` while a reservation is open.
    #[inline(always)]
    pub fn try_send(&mut self, data: &[u8]) -> Result<()> {
        self.send_until(data, Deadline::NOW)
    }

    /// As [`Producer::send`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// use std::time::Duration;
    /// let ring = ipcx::Ring::anonymous(&ipcx::RingOptions { capacity: 4096, ..Default::default() })?;
    /// let mut tx = ring.producer()?;
    /// tx.send_timeout(&[7; 4000], Duration::from_secs(1))?;
    /// let full = tx.send_timeout(&[7; 4000], Duration::from_millis(1));
    /// assert!(matches!(full, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Producer::send_until`].
    #[inline]
    pub fn send_timeout(&mut self, data: &[u8], timeout: Duration) -> Result<()> {
        self.send_until(data, Deadline::within(timeout))
    }

    /// Sends a copy of `data` as one record, waiting for room as long as it takes.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// tx.send(b"hello")?;
    /// assert_eq!(rx.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Producer::send_until`], less `WouldBlock` and `TimedOut`.
    #[inline]
    pub fn send(&mut self, data: &[u8]) -> Result<()> {
        self.send_until(data, Deadline::NEVER)
    }

    /// What the three calls above do: sends a copy of `data` as one record, waiting for room until `deadline`.
    ///
    /// ```
    /// use ipcx::Deadline;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// let deadline = Deadline::after(std::time::Duration::from_secs(1)); // for both together
    /// tx.send_until(b"one", deadline)?;
    /// tx.send_until(b"two", deadline)?;
    /// assert_eq!(ring.stats()?.sent, 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Producer::try_send`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept.
    #[inline(always)]
    pub fn send_until(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        if self.send_at_once(data) {
            return Ok(());
        }
        self.send_the_long_way(data, deadline)
    }

    /// The short way of [`Producer::send_until`]: sends if that needs no thought. False means that nothing was done, and
    /// that the long way, taken next, knows why: refused, no room at the last look, or a descriptor to keep true.
    #[doc(hidden)] // for bindings, which have a cheaper way of saying Ok
    #[inline(always)]
    pub fn send_at_once(&mut self, data: &[u8]) -> bool {
        self.is_plain() && self.sender.send_fast(Content::Data, data)
    }

    #[cold]
    #[inline(never)]
    fn send_the_long_way(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        self.send_content(Content::Data, data, deadline)
    }

    /// Sends one record, waiting for room until `deadline`.
    pub(super) fn send_content(&mut self, content: Content, data: &[u8], deadline: Deadline) -> Result<()> {
        self.check(data.len())?;
        let deadline = deadline.started();
        while !self.sender.send(content, data).map_err(|c| self.end.corrupt(c))? {
            self.wait_for_room(data.len(), deadline)?;
        }
        self.after();
        Ok(())
    }

    /// Sends each item as one record, waiting for room until `deadline`, and says how many were sent: all, unless the
    /// deadline passed. Records that fit together are committed together, by one store.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1));
    /// assert_eq!(tx.send_many_until(["one", "two", "three"], deadline)?, 3);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Producer::send_until`], if none was sent. `TooBig` if any is too big, and then none is sent.
    pub fn send_many_until<'a, I, T>(&mut self, records: I, deadline: Deadline) -> Result<usize>
    where
        I: IntoIterator<Item = &'a T>,
        I::IntoIter: Clone,
        T: AsRef<[u8]> + ?Sized + 'a,
    {
        let (mut rest, deadline) = (records.into_iter().map(AsRef::as_ref), deadline.started());
        self.check(rest.clone().map(<[u8]>::len).max().unwrap_or(0))?;
        let mut sent = 0;
        loop {
            let count = match self.sender.send_many(rest.clone()) {
                Ok(count) => count,
                Err(_) if sent > 0 => break, // What was sent counts; the next call meets the error again.
                Err(corruption) => return Err(self.end.corrupt(corruption)),
            };
            sent += count;
            if count > 0 {
                rest.nth(count - 1);
            }
            let Some(next) = rest.clone().next().map(<[u8]>::len) else { break };
            match self.wait_for_room(next, deadline) {
                Ok(()) => {}
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        self.after();
        Ok(sent)
    }

    /// [`Producer::send_many_until`] without waiting.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&ipcx::RingOptions { capacity: 4096, ..Default::default() })?;
    /// let mut tx = ring.producer()?;
    /// let records = vec![[7; 1000]; 10];
    /// assert_eq!(tx.try_send_many(&records)?, 4); // as many as there is room for
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn try_send_many<'a, I, T>(&mut self, records: I) -> Result<usize>
    where
        I: IntoIterator<Item = &'a T>,
        I::IntoIter: Clone,
        T: AsRef<[u8]> + ?Sized + 'a,
    {
        self.send_many_until(records, Deadline::NOW)
    }

    /// [`Producer::send_many_until`] as long as it takes.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// assert_eq!(tx.send_many(["one", "two"])?, 2);
    /// assert_eq!(rx.borrow()?.to_vec(), b"one");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn send_many<'a, I, T>(&mut self, records: I) -> Result<usize>
    where
        I: IntoIterator<Item = &'a T>,
        I::IntoIter: Clone,
        T: AsRef<[u8]> + ?Sized + 'a,
    {
        self.send_many_until(records, Deadline::NEVER)
    }

    /// Room for a record of up to `len` bytes, to be written in place and then committed; waits until `deadline`.
    ///
    /// ```
    /// use std::io::Write;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let mut room = tx.reserve_until(64, ipcx::Deadline::after(std::time::Duration::from_secs(1)))?;
    /// write!(room, "{}", 42).expect("there is room");
    /// room.commit_len(2)?;
    /// assert_eq!(rx.borrow()?.to_vec(), b"42");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Producer::send_until`].
    #[inline(always)]
    pub fn reserve_until(&mut self, len: usize, deadline: Deadline) -> Result<Reservation<'_>> {
        self.reserve_raw(len, deadline)?;
        Ok(Reservation::of(self, len))
    }

    /// [`Producer::reserve_until`] without waiting.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&ipcx::RingOptions { capacity: 4096, ..Default::default() })?;
    /// let mut tx = ring.producer()?;
    /// tx.try_reserve(4000)?.commit();
    /// assert!(matches!(tx.try_reserve(4000), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn try_reserve(&mut self, len: usize) -> Result<Reservation<'_>> {
        self.reserve_until(len, Deadline::NOW)
    }

    /// [`Producer::reserve_until`] as long as it takes.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let mut room = tx.reserve(5)?;
    /// room.write_at(0, b"hello")?;
    /// room.commit();
    /// assert_eq!(rx.borrow()?.to_vec(), b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Reservation<'_>> {
        self.reserve_until(len, Deadline::NEVER)
    }

    /// [`Producer::reserve_until`] without a guard, for bindings to other languages: the address of `len` bytes that
    /// stay valid until [`Producer::commit_raw`], [`Producer::abort_raw`] or drop.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let room = tx.reserve_raw(5, ipcx::Deadline::NEVER)?;
    /// // SAFETY: 5 bytes are reserved.
    /// unsafe { room.copy_from_nonoverlapping(b"hello".as_ptr(), 5) };
    /// tx.commit_raw(5)?;
    /// assert_eq!(rx.borrow()?.to_vec(), b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn reserve_raw(&mut self, len: usize, deadline: Deadline) -> Result<*mut u8> {
        self.check(len)?;
        let deadline = deadline.started();
        while !self.sender.has_room(len).map_err(|c| self.end.corrupt(c))? {
            self.wait_for_room(len, deadline)?;
        }
        self.reserved = Some(len);
        Ok(self.sender.memory().address(self.sender.payload()).as_ptr())
    }

    /// Commits the first `len` bytes of the open reservation as one record.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// tx.reserve_raw(8, ipcx::Deadline::NOW)?;
    /// assert!(tx.commit_raw(9).is_err(), "more than was reserved");
    /// tx.commit_raw(0)?; // an empty record
    /// assert_eq!(ring.stats()?.sent, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is open, or `len` is more than was reserved (it stays open then); `Forked`.
    #[inline]
    pub fn commit_raw(&mut self, len: usize) -> Result<()> {
        if self.end.is_inherited() {
            return Err(Error::Forked);
        }
        match self.reserved {
            None => Err(Error::invalid("commit without a reservation")),
            Some(reserved) if len > reserved => {
                Err(Error::invalid(format!("commit of {len} bytes where {reserved} are reserved")))
            }
            Some(_) => {
                self.reserved = None;
                self.sender.commit(Content::Data, len);
                self.after();
                Ok(())
            }
        }
    }

    /// Gives the open reservation up: nothing is sent.
    ///
    /// ```
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// tx.reserve_raw(8, ipcx::Deadline::NOW)?;
    /// tx.abort_raw()?;
    /// assert_eq!(ring.stats()?.sent, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is open.
    pub fn abort_raw(&mut self) -> Result<()> {
        self.reserved.take().map(drop).ok_or_else(|| Error::invalid("abort without a reservation"))
    }

    /// Sends up to `len` bytes of a file from its current offset as one record, read straight into the ring, and says
    /// how many: fewer at the end of the file, or if the deadline passed while a pipe or socket had no more. At the
    /// end of the file, 0 and no record.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::fd::AsFd;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let (mut tx, mut rx) = (ring.producer()?, ring.consumer()?);
    /// let file = std::fs::File::open("/proc/self/comm")?;
    /// let sent = tx.send_file_until(file.as_fd(), 4096, ipcx::Deadline::NEVER)?;
    /// assert_eq!(rx.borrow()?.to_vec(), std::fs::read("/proc/self/comm")?);
    /// assert!(sent > 0);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Producer::send_until`]; what reading gives, and then nothing is sent (a pipe's bytes are lost).
    pub fn send_file_until(&mut self, file: BorrowedFd<'_>, len: usize, deadline: Deadline) -> Result<usize> {
        let deadline = deadline.started();
        let to = self.reserve_raw(len, deadline)?;
        // SAFETY: `to` is a reservation of `len` bytes.
        let read = unsafe { read_until(self.end.segment().name(), file, to, len, deadline) };
        match read {
            Ok(0) | Err(_) => self.abort_raw()?,
            Ok(read) => self.commit_raw(read)?,
        }
        read
    }

    /// A descriptor that is readable while there is room for the record that last did not fit (at first: for any), or
    /// the consumer went. Level-triggered; do not read it, do not close it; it lives as long as the producer.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// let mut poll = libc::pollfd { fd: tx.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// tx.try_send(b"hello")?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the producer has room for a record, as for the descriptor, or the
    /// consumer went, and once now if it has; `None` ends that. The signal's value (`si_value`) is this handle's slot, as
    /// [`Participant`](crate::Participant)s are numbered. Send until that would block: only then does the next one queue a
    /// signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let ring = ipcx::Ring::anonymous(&Default::default())?;
    /// let mut tx = ring.producer()?;
    /// tx.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(tx.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// tx.signal(None)?;
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
        let watched =
            || Arc::new(Room { memory: end.memory().clone(), peer: end.peer().clone() }) as Arc<dyn Watched>;
        let (_, first) = end.watcher.start(end.segment().name(), watched)?;
        if first {
            self.after();
        }
        Ok(self.end.watcher.get().expect("just made"))
    }

    /// True if nothing but the ring's own state decides about a send.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        !self.end.is_inherited() && self.reserved.is_none() && self.end.watcher.get().is_none()
    }

    /// `Forked`, `TooBig`, or `Invalid` while a reservation is open.
    #[inline(always)]
    pub(super) fn check(&self, len: usize) -> Result<()> {
        if self.end.is_inherited() || self.reserved.is_some() || len > self.max_len() {
            return Err(self.refusal(len));
        }
        Ok(())
    }

    #[cold]
    fn refusal(&self, len: usize) -> Error {
        if self.end.is_inherited() {
            Error::Forked
        } else if self.reserved.is_some() {
            Error::invalid("a reservation is open; commit or abort it first")
        } else {
            Error::TooBig { needed: len, available: self.max_len() }
        }
    }

    /// Waits for room for `len` bytes until `deadline`.
    #[cold]
    fn wait_for_room(&mut self, len: usize, deadline: Deadline) -> Result<()> {
        let waited = if deadline.is_now() {
            self.end.check_peer(clock::coarse()).and(Err(Error::WouldBlock(FULL)))
        } else {
            self.end.note_cpu();
            // A full ring of small records: the consumer has enough to do, and is left alone with its position for a while.
            if self.end.looks() && len <= self.max_len() / 8 && !deadline.is_soon() {
                cpu::pause(STEP_BACK);
            }
            let strategy = self.end.strategy();
            wait(&mut RoomFor { sender: &mut self.sender, end: &mut self.end, len }, strategy, deadline)
        };
        if waited.is_err() {
            self.watched_len = len;
            if self.end.watcher.get().is_some() {
                // Not asked again whether there is room: what came since is for the watcher to tell of.
                self.end.update_watcher(false, self.wanted());
            }
        }
        waited
    }

    /// Keeps the descriptor true, if there is one.
    #[inline(always)]
    pub(super) fn after(&mut self) {
        if self.end.watcher.get().is_some() {
            let (ready, wanted) = (self.has_room(), self.wanted());
            self.end.update_watcher(ready, wanted);
        }
    }

    /// True if there is room for the record that last did not fit, or what is there is corrupt, which a call will report.
    pub(super) fn has_room(&mut self) -> bool {
        self.sender.has_room(self.watched_len).unwrap_or(true)
    }

    /// Position of the consumer at which there is.
    pub(super) fn wanted(&self) -> u64 {
        self.sender.wanted(self.watched_len)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if self.end.is_inherited() {
            return; // The parent's.
        }
        self.end.close();
        self.sender.memory().wake_for_record(self.sender.tail());
    }
}

/// A call waits for room.
struct RoomFor<'a> {
    sender: &'a mut Sender<Mapped>,
    end: &'a mut Endpoint,
    len: usize,
}

impl Condition for RoomFor<'_> {
    fn ready(&mut self) -> Result<bool> {
        self.sender.has_room(self.len).map_err(|c| self.end.corrupt(c))
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_room(self.sender.memory(), self.sender.wanted(self.len), Sleeper::Call, until)
    }

    fn peer(&mut self, now: u64) -> Result<()> {
        self.end.check_peer(now)
    }

    fn peer_is_here(&self) -> bool {
        self.end.peer_is_here()
    }

    fn missing(&self) -> Context {
        self.end.segment().context(FULL)
    }
}

/// A watcher waits for room; its target is the consumer position wanted.
#[derive(Debug)]
struct Room {
    memory: Mapped,
    peer: Peer,
}

impl Watched for Room {
    fn ready(&self, target: u64) -> bool {
        let position = self.memory.consumer().position.load(crate::sync::Ordering::Relaxed); // the call acquires
        position.wrapping_sub(target) as i64 >= 0
    }

    fn nap(&self, target: u64, until: u64) {
        nap_for_room(&self.memory, target, Sleeper::Watcher, until);
    }

    fn peer_is_gone(&self) -> bool {
        self.peer.is_gone()
    }

    fn wake(&self, _target: u64) {
        self.memory.wake_for_room();
    }
}
