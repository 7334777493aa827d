//! The publisher.

use super::corrupt;
use super::handle::Core;
use super::memory::Mapped;
use super::protocol::{announce, Memory};
use super::publication::Publication;
use super::room::{await_room, no_room};
use super::writer::Writer;
use crate::error::{Context, Error, Result};
use crate::file::read_until;
use crate::owner::{acquire, Owner};
use crate::sys::clock;
use crate::wait::Deadline;
use crate::watch::{OnDemand, Watched, Watcher};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// An end of a [`Topic`](super::Topic) that publishes. Any number exist, over all processes; they publish one at a time.
///
/// It belongs to one thread at a time (`Send`, not shared). A record is published when the call returned success: from then on it
/// outlives this process. A publisher that dies, wherever it is, leaves whole records; others go on behind them.
///
/// One that is *stopped* while it publishes, or while a reservation is open, keeps other publishers waiting, as it lives; it does
/// not hinder subscribers.
///
/// ```
/// let topic = ipcx::Topic::anonymous(&Default::default())?;
/// let mut publisher = topic.publisher()?;
/// let mut subscriber = topic.subscriber()?;
/// publisher.publish(b"hello")?;
/// assert_eq!(subscriber.recv(&mut [0; 64])?, 5);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Publisher {
    watcher: OnDemand, // before what its thread uses: fields are dropped in order
    writer: Writer<Mapped>,
    pub(super) core: Arc<Core>,
    /// Bytes of the open reservation, for as long as which this publisher has the topic's lock.
    pub(super) reserved: Option<usize>,
    /// Length for which the watcher waits: that of the last record that was not published.
    watched_len: usize,
}

impl Publisher {
    pub(super) fn new(core: &Arc<Core>) -> Publisher {
        let (writer, core) = (Writer::new(core.memory.clone()), Arc::clone(core));
        Publisher { watcher: OnDemand::default(), writer, core, reserved: None, watched_len: 0 }
    }

    /// Largest record that can be published, in bytes: half of the topic's capacity, less 24.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&ipcx::TopicOptions { capacity: 4096, ..Default::default() })?;
    /// let mut publisher = topic.publisher()?;
    /// let too_long = vec![0; publisher.max_len() + 1];
    /// assert!(matches!(publisher.publish(&too_long), Err(ipcx::Error::TooBig { .. })));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn max_len(&self) -> usize {
        self.writer.largest()
    }

    /// Publishes a copy of `data` as one record, if that needs no waiting. Zero bytes are a record too.
    ///
    /// Makes no allocation, and is async-signal-safe if the interrupted code was not inside a call on this publisher.
    ///
    /// ```
    /// let options = ipcx::TopicOptions { capacity: 4096, reliable: true, ..Default::default() };
    /// let topic = ipcx::Topic::anonymous(&options)?;
    /// let subscriber = topic.subscriber()?; // does not receive
    /// let mut publisher = topic.publisher()?;
    /// while publisher.try_publish(&[7; 1000]).is_ok() {}
    /// assert!(matches!(publisher.try_publish(&[7; 1000]), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if another publishes at this moment, or if the topic is reliable and a subscriber has not released what would
    /// be overwritten ([`Topic::stats`](super::Topic::stats) says which); `TooBig`, `Forked`, `Corrupt`, `Invalid` while a
    /// reservation is open.
    #[inline(always)]
    pub fn try_publish(&mut self, data: &[u8]) -> Result<()> {
        self.publish_until(data, Deadline::NOW)
    }

    /// As [`Publisher::publish`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// topic.publisher()?.publish_timeout(b"hello", std::time::Duration::from_secs(1))?;
    /// assert_eq!(topic.stats()?.published, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Publisher::publish_until`].
    #[inline]
    pub fn publish_timeout(&mut self, data: &[u8], timeout: Duration) -> Result<()> {
        self.publish_until(data, Deadline::within(timeout))
    }

    /// Publishes a copy of `data` as one record, waiting as long as it takes: for other publishers, and in a reliable topic for
    /// the slowest subscriber.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// assert_eq!(subscriber.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Publisher::publish_until`], less `WouldBlock` and `TimedOut`.
    #[inline]
    pub fn publish(&mut self, data: &[u8]) -> Result<()> {
        self.publish_until(data, Deadline::NEVER)
    }

    /// What the three calls above do: publishes a copy of `data` as one record, waiting until `deadline`. Subscribers that died are
    /// dropped meanwhile.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1)); // for both together
    /// publisher.publish_until(b"one", deadline)?;
    /// publisher.publish_until(b"two", deadline)?;
    /// assert_eq!(topic.stats()?.published, 2);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Publisher::try_publish`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept; nothing is
    /// published then.
    #[inline(always)]
    pub fn publish_until(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        if self.publish_at_once(data) {
            return Ok(());
        }
        self.publish_the_long_way(data, deadline)
    }

    /// The short way of [`Publisher::publish_until`]: publishes if that needs no thought. False means that nothing was done, and
    /// that the long way, taken next, knows why.
    #[doc(hidden)] // for bindings, which have a cheaper way of saying Ok
    #[inline(always)]
    pub fn publish_at_once(&mut self, data: &[u8]) -> bool {
        let locked = self.lock_at_once(data.len());
        if locked {
            self.writer.memory().write(self.writer.payload(), data);
            self.commit_and_unlock(data.len());
        }
        locked
    }

    /// The long way of [`Publisher::publish_until`], whether or not the short one was tried.
    ///
    /// # Errors
    /// As there.
    #[doc(hidden)] // for bindings, which have the short way before it
    #[cold]
    #[inline(never)]
    pub fn publish_the_long_way(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        self.lock_with_room(data.len(), deadline)?;
        self.fill(0, data)?;
        self.commit_and_unlock(data.len());
        Ok(())
    }

    /// Room for a record of up to `len` bytes, to be written in place and then committed; waits until `deadline`. Until then, no
    /// other publisher publishes.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// let mut room = publisher.reserve_until(64, ipcx::Deadline::after(std::time::Duration::from_secs(1)))?;
    /// room.write_at(0, b"hello")?;
    /// room.commit_len(5)?;
    /// assert_eq!(subscriber.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Publisher::publish_until`].
    pub fn reserve_until(&mut self, len: usize, deadline: Deadline) -> Result<Publication<'_>> {
        self.reserve_raw(len, deadline)?;
        Ok(Publication::of(self, len))
    }

    /// [`Publisher::reserve_until`] without waiting.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut one, mut two) = (topic.publisher()?, topic.publisher()?);
    /// let room = one.try_reserve(64)?;
    /// assert!(two.try_reserve(64).is_err(), "they publish one at a time");
    /// room.commit();
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn try_reserve(&mut self, len: usize) -> Result<Publication<'_>> {
        self.reserve_until(len, Deadline::NOW)
    }

    /// [`Publisher::reserve_until`] as long as it takes.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// let mut room = publisher.reserve(5)?;
    /// room.write_at(0, b"hello")?;
    /// room.commit();
    /// assert_eq!(subscriber.borrow()?.to_vec().unwrap(), b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn reserve(&mut self, len: usize) -> Result<Publication<'_>> {
        self.reserve_until(len, Deadline::NEVER)
    }

    /// [`Publisher::reserve_until`] without a guard, for bindings to other languages: the address of `len` bytes that
    /// stay valid until [`Publisher::commit_raw`], [`Publisher::abort_raw`] or drop.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// let room = publisher.reserve_raw(5, ipcx::Deadline::NEVER)?;
    /// // SAFETY: 5 bytes are reserved.
    /// unsafe { room.copy_from_nonoverlapping(b"hello".as_ptr(), 5) };
    /// publisher.commit_raw(5)?;
    /// assert_eq!(topic.stats()?.published, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn reserve_raw(&mut self, len: usize, deadline: Deadline) -> Result<*mut u8> {
        if !self.lock_at_once(len) {
            self.lock_with_room(len, deadline)?;
        }
        self.reserved = Some(len);
        Ok(self.address().as_ptr())
    }

    /// Commits the first `len` bytes of the open reservation as one record.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// publisher.reserve_raw(8, ipcx::Deadline::NOW)?;
    /// assert!(publisher.commit_raw(9).is_err(), "more than was reserved");
    /// publisher.commit_raw(0)?; // an empty record
    /// assert_eq!(topic.stats()?.published, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is open, or `len` is more than was reserved (it stays open then); `Forked`.
    pub fn commit_raw(&mut self, len: usize) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        match self.reserved {
            None => Err(Error::invalid("commit without a reservation")),
            Some(reserved) if len > reserved => {
                Err(Error::invalid(format!("commit of {len} bytes where {reserved} are reserved")))
            }
            Some(_) => {
                self.reserved = None;
                self.commit_and_unlock(len);
                Ok(())
            }
        }
    }

    /// Gives the open reservation up: nothing is published.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// publisher.reserve_raw(8, ipcx::Deadline::NOW)?;
    /// publisher.abort_raw()?;
    /// assert_eq!(topic.stats()?.published, 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is open, `Forked`.
    pub fn abort_raw(&mut self) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        self.reserved.take().ok_or_else(|| Error::invalid("abort without a reservation"))?;
        self.unlock();
        Ok(())
    }

    /// Publishes up to `len` bytes of a file from its current offset as one record, read straight into the topic, and says
    /// how many: fewer at the end of the file, or if the deadline passed while a pipe or socket had no more. At the
    /// end of the file, 0 and no record. While it waits for a pipe or socket, no other publisher publishes.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::os::fd::AsFd;
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// let file = std::fs::File::open("/proc/self/comm")?;
    /// let published = publisher.publish_file_until(file.as_fd(), 4096, ipcx::Deadline::NEVER)?;
    /// assert_eq!(subscriber.recv(&mut [0; 4096])?, published);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Publisher::publish_until`]; what reading gives, and then nothing is published (a pipe's bytes are lost).
    pub fn publish_file_until(
        &mut self,
        file: BorrowedFd<'_>,
        len: usize,
        deadline: Deadline,
    ) -> Result<usize> {
        let deadline = deadline.started();
        let to = self.reserve_raw(len, deadline)?;
        // SAFETY: `to` is a reservation of `len` bytes.
        let read = unsafe { read_until(self.core.segment.name(), file, to, len, deadline) };
        match read {
            Ok(0) | Err(_) => self.abort_raw()?,
            Ok(read) => self.commit_raw(read)?,
        }
        read
    }

    /// A descriptor that is readable while nobody else publishes and there is room for the record that last was not published
    /// (at first: for any). Level-triggered; do not read it, do not close it; it lives as long as the publisher. In a lossy topic
    /// there is always room.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// let mut poll = libc::pollfd { fd: publisher.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// publisher.try_publish(b"hello")?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the publisher can publish, as for the descriptor, and once now if it
    /// can; `None` ends that. The signal's value (`si_value`) is the slot of the participant. Publish until that would block: only
    /// then does the next one queue a signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut publisher = topic.publisher()?;
    /// publisher.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(publisher.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// publisher.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&mut self, signal: Option<i32>) -> Result<()> {
        let slot = self.core.slot();
        self.watcher()?.signal(signal.unwrap_or(0), slot)
    }

    fn watcher(&mut self) -> Result<&Watcher> {
        self.core.segment.check_not_inherited()?;
        let watched = || Arc::clone(&self.core) as Arc<dyn Watched>;
        let (_, first) = self.watcher.start(self.core.segment.name(), watched)?;
        if first {
            self.after();
        }
        Ok(self.watcher.get().expect("just made"))
    }

    /// Keeps the descriptor true, if there is one.
    #[inline(always)]
    pub(super) fn after(&self) {
        if let Some(watcher) = self.watcher.get() {
            let needed = self.needed();
            watcher.update(self.core.may_publish(needed), needed);
        }
    }

    /// What must not be held for the record that last was not published. (Where others have published since, that is too little,
    /// and the next try says so.)
    pub(super) fn needed(&self) -> u64 {
        self.writer.needed(self.watched_len)
    }

    /// Address of the bytes reserved.
    pub(super) fn address(&self) -> std::ptr::NonNull<u8> {
        self.writer.memory().address(self.writer.payload())
    }

    /// Copies `data` to `offset` of the bytes reserved, inside of them.
    pub(super) fn fill(&self, offset: usize, data: &[u8]) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        self.writer.memory().write(self.writer.payload().wrapping_add(offset as u64), data);
        Ok(())
    }

    /// Takes the lock, with room for `len` bytes, if that needs no thought. False means that nothing was done.
    #[inline(always)]
    fn lock_at_once(&mut self, len: usize) -> bool {
        let plain = !self.core.segment.is_inherited() && self.reserved.is_none() && len <= self.max_len();
        if !plain || self.core.mutex().try_lock(self.core.slot()).is_none() {
            return false;
        }
        let ready = self.writer.begin().and_then(|()| self.writer.make_room(len));
        if ready == Ok(true) {
            return true;
        }
        self.unlock();
        false
    }

    /// Takes the lock, with room for `len` bytes, waiting until `deadline`.
    #[cold]
    #[inline(never)]
    fn lock_with_room(&mut self, len: usize, deadline: Deadline) -> Result<()> {
        self.check(len)?;
        let locked = self.await_lock_with_room(len, deadline.started());
        if let Err(Error::WouldBlock(_) | Error::TimedOut(_) | Error::Interrupted) = locked {
            self.watched_len = len;
            if let Some(watcher) = self.watcher.get() {
                // Not asked again whether it could: what came since is for the watcher to tell of.
                watcher.update(false, self.needed());
            }
        }
        locked
    }

    fn await_lock_with_room(&mut self, len: usize, deadline: Deadline) -> Result<()> {
        let mut waited = false;
        loop {
            // Who owned it before may have died: it left whole records, and nothing else of its matters.
            let _ = acquire(&*self.core, deadline).map_err(|error| self.name_publisher(error))?;
            match self.writer.begin().and_then(|()| self.writer.make_room(len)) {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    let needed = self.writer.needed(len);
                    self.unlock();
                    // Others may hold it again whenever it was there, and not only by receiving.
                    if waited && deadline.is_over(clock::now()) {
                        return Err(no_room(&self.core, needed, deadline));
                    }
                    await_room(&self.core, needed, deadline)?;
                    waited = true;
                }
                Err(corruption) => {
                    self.unlock();
                    return Err(corrupt(&self.core.segment, corruption));
                }
            }
        }
    }

    /// Says of a wait for the lock whose it is.
    #[cold]
    fn name_publisher(&self, error: Error) -> Error {
        let leases = self.core.segment.leases();
        match (error, self.core.mutex().owner_among(leases.participants())) {
            (Error::TimedOut(context), Ok(Some(slot))) => {
                let who = leases.who(slot);
                let detail = format!("{who} is publishing, or has a reservation open; is it stopped?");
                Error::TimedOut(Context::of(context, detail))
            }
            (error, _) => error,
        }
    }

    fn check(&self, len: usize) -> Result<()> {
        self.core.segment.check_not_inherited()?;
        if self.reserved.is_some() {
            return Err(Error::invalid("a reservation is open; commit or abort it first"));
        }
        if len > self.max_len() {
            return Err(Error::TooBig { needed: len, available: self.max_len() });
        }
        Ok(())
    }

    #[inline(always)]
    fn commit_and_unlock(&mut self, len: usize) {
        self.writer.commit(len);
        self.unlock();
        announce(self.writer.memory()); // Nobody waits for the lock while others are woken.
        self.after();
    }

    #[inline(always)]
    fn unlock(&self) {
        self.core.mutex().unlock(None, self.core.kernel());
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.abort_raw(); // In a forked child, the parent has the lock.
    }
}
