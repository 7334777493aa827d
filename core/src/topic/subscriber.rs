//! The subscriber.

use super::corrupt;
use super::memory::{Mapped, Side};
use super::protocol::{may_receive, nap_for_record, wake_all};
use super::reader::{Found, Reader, Received, StartAt};
use super::record::TopicRecord;
use crate::error::{Context, Error, Result};
use crate::segment::Segment;
use crate::stream::Corruption;
use crate::wait::{wait, Condition, Deadline, Nap};
use crate::watch::{OnDemand, Watched, Watcher};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// What there is none of.
const NOTHING: &str = "nobody has published a record that this subscriber has not received";

/// An end of a [`Topic`](super::Topic) that receives what is published. Any number exist, over all processes.
///
/// It belongs to one thread at a time (`Send`, not shared).
///
/// In a lossy topic it writes nothing but that it sleeps: publishers do not know of it. It may be overtaken: then it goes on with
/// the oldest record that is still there, and [`Subscriber::missed`] tells how many it did not get. In a reliable topic it holds
/// every record until it has *released* it: `recv` copies and releases in one call, a [`TopicRecord`] borrowed in place is released when
/// you say so. One that is dropped, or dies, holds nothing any more.
///
/// ```
/// let topic = ipcx::Topic::anonymous(&Default::default())?;
/// let (mut first, mut second) = (topic.subscriber()?, topic.subscriber()?);
/// topic.publisher()?.publish(b"hello")?;
/// assert_eq!(first.recv(&mut [0; 64])?, 5);
/// assert_eq!(second.recv(&mut [0; 64])?, 5);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Subscriber {
    watcher: OnDemand, // before what its thread uses: fields are dropped in order
    pub(super) reader: Reader<Mapped>,
    pub(super) segment: Arc<Segment>,
    /// What was borrowed without a guard.
    borrowed: Option<Found>,
}

impl Subscriber {
    pub(super) fn join(segment: &Arc<Segment>, start: StartAt) -> Result<Subscriber> {
        let memory = Mapped::new(segment, Side::Subscriber)?;
        let reader = Reader::join(memory, start, segment.leases().slot());
        let reader = reader.map_err(|corruption| corrupt(segment, corruption))?;
        let segment = Arc::clone(segment);
        Ok(Subscriber { watcher: OnDemand::default(), reader, segment, borrowed: None })
    }

    /// How many records were overwritten since this subscriber began, before it had them: as of the last one received, exactly.
    /// Always 0 in a reliable topic.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&ipcx::TopicOptions { capacity: 4096, ..Default::default() })?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// for _ in 0..10 {
    ///     publisher.publish(&[7; 1000])?; // there is not room for ten
    /// }
    /// subscriber.recv(&mut [0; 1000])?;
    /// assert!(subscriber.missed() > 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn missed(&self) -> u64 {
        self.reader.missed()
    }

    /// Copies the next record to `buffer`, if there is one now, and releases it; says how long it is.
    ///
    /// Makes no allocation, takes no lock, and is async-signal-safe if the interrupted code was not inside a call on this
    /// subscriber.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let (mut publisher, mut subscriber) = (topic.publisher()?, topic.subscriber()?);
    /// assert!(matches!(subscriber.try_recv(&mut [0; 64]), Err(ipcx::Error::WouldBlock(_))));
    /// publisher.publish(b"hello")?;
    /// assert_eq!(subscriber.try_recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is none (or publishers overtook it dozens of times in this call), `TooBig` if it does not fit (it stays
    /// the next one, and `needed` says its length), `Forked`, `Corrupt`, `Invalid` while one is borrowed without a guard.
    #[inline(always)]
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::NOW)
    }

    /// As [`Subscriber::recv`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let nothing = topic.subscriber()?.recv_timeout(&mut [0; 64], std::time::Duration::from_millis(1));
    /// assert!(matches!(nothing, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Subscriber::recv_until`].
    #[inline(always)]
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize> {
        self.recv_until(buffer, Deadline::within(timeout))
    }

    /// Copies the next record to `buffer`, waiting for it as long as it takes.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// let publishing = std::thread::spawn(move || topic.publisher()?.publish(b"hello"));
    /// let mut buffer = [0; 64];
    /// let len = subscriber.recv(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// publishing.join().unwrap()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Subscriber::recv_until`], less `WouldBlock` and `TimedOut`.
    #[inline(always)]
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::NEVER)
    }

    /// What the three calls above do: copies the next record to `buffer`, waiting for it until `deadline`.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// let short = subscriber.recv_until(&mut [0; 2], ipcx::Deadline::NOW);
    /// assert!(matches!(short, Err(ipcx::Error::TooBig { needed: 5, .. })));
    /// assert_eq!(subscriber.recv_until(&mut [0; 64], ipcx::Deadline::NOW)?, 5); // it stayed
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Subscriber::try_recv`], `TimedOut`, and `Interrupted` if a signal handler ran while it slept.
    #[inline(always)]
    pub fn recv_until(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        match self.recv_at_once(buffer) {
            Some(len) => Ok(len),
            None => self.recv_the_long_way(buffer, deadline),
        }
    }

    /// The short way of [`Subscriber::recv_until`]: receives if that needs no thought. `None` means that nothing was done, and
    /// that the long way, taken next, knows why.
    #[doc(hidden)] // for bindings, which have a cheaper way of saying Ok
    #[inline(always)]
    pub fn recv_at_once(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.segment.is_inherited() || self.watcher.get().is_some() || self.borrowed.is_some() {
            return None;
        }
        match self.reader.receive(buffer) {
            Ok(Received::Whole(len)) => Some(len),
            _ => None,
        }
    }

    /// The long way of [`Subscriber::recv_until`], whether or not the short one was tried.
    ///
    /// # Errors
    /// As there.
    #[doc(hidden)] // for bindings, which have the short way before it
    #[cold]
    #[inline(never)]
    pub fn recv_the_long_way(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        let available = buffer.len();
        let received = self.await_record(deadline, |reader| {
            let received = reader.receive(buffer)?;
            Ok((received != Received::Nothing).then_some(received))
        });
        self.after();
        match received? {
            Received::Whole(len) => Ok(len),
            Received::TooBig(needed) => Err(Error::TooBig { needed, available }),
            Received::Nothing => Err(Error::WouldBlock(NOTHING)),
        }
    }

    /// The next record in place, waiting for it until `deadline`. In a reliable topic it stays until it is released. In a lossy one
    /// it may be overwritten meanwhile: its release says whether it was.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// let record = subscriber.borrow_until(ipcx::Deadline::NEVER)?;
    /// assert_eq!(record.to_vec().unwrap(), b"hello");
    /// assert!(record.release()?, "it was not overwritten meanwhile");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Subscriber::recv_until`], less `TooBig`.
    pub fn borrow_until(&mut self, deadline: Deadline) -> Result<TopicRecord<'_>> {
        let found = self.find(deadline)?;
        Ok(TopicRecord::of(self, found))
    }

    /// [`Subscriber::borrow_until`] without waiting.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// assert_eq!(subscriber.try_borrow()?.len(), 5); // not released
    /// subscriber.try_borrow()?.release()?; // the same again
    /// assert!(matches!(subscriber.try_borrow(), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn try_borrow(&mut self) -> Result<TopicRecord<'_>> {
        self.borrow_until(Deadline::NOW)
    }

    /// [`Subscriber::borrow_until`] as long as it takes.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// let (record, mut first) = (subscriber.borrow()?, [0; 1]);
    /// record.read_at(0, &mut first)?;
    /// assert!(record.release()?);
    /// assert_eq!(&first, b"h");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn borrow(&mut self) -> Result<TopicRecord<'_>> {
        self.borrow_until(Deadline::NEVER)
    }

    /// [`Subscriber::borrow_until`] without a guard, for bindings to other languages: address and length of the record's
    /// bytes, valid until [`Subscriber::release_raw`] or drop. Borrowing again before that is `Invalid`.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&ipcx::TopicOptions { reliable: true, ..Default::default() })?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// let (bytes, len) = subscriber.borrow_raw(ipcx::Deadline::NEVER)?;
    /// // SAFETY: borrowed; the topic is reliable, and its publishers keep to the protocol.
    /// assert_eq!(unsafe { std::slice::from_raw_parts(bytes, len) }, b"hello");
    /// subscriber.release_raw()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn borrow_raw(&mut self, deadline: Deadline) -> Result<(*const u8, usize)> {
        let found = self.find(deadline)?;
        self.borrowed = Some(found);
        Ok((self.reader.memory().address(found.payload()).as_ptr(), found.len))
    }

    /// Releases what was borrowed: it will not be delivered again. As [`TopicRecord::release`], says whether it was whole.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// subscriber.borrow_raw(ipcx::Deadline::NOW)?;
    /// assert!(subscriber.release_raw()?, "it was whole");
    /// assert!(subscriber.release_raw().is_err(), "nothing is borrowed");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is borrowed, `Forked`, `Corrupt`.
    pub fn release_raw(&mut self) -> Result<bool> {
        self.segment.check_not_inherited()?;
        let found = self.borrowed.take();
        self.finish(found.ok_or_else(|| Error::invalid("release without a borrowed record"))?)
    }

    /// Ends the borrow without a release: the next call finds the same record, if it is still there.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// subscriber.borrow_raw(ipcx::Deadline::NOW)?;
    /// subscriber.return_raw();
    /// assert_eq!(subscriber.try_recv(&mut [0; 64])?, 5); // the same record
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn return_raw(&mut self) {
        self.borrowed = None;
    }

    /// [`TopicRecord::number`] of what is borrowed.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// subscriber.borrow_raw(ipcx::Deadline::NOW)?;
    /// assert_eq!(subscriber.number_raw()?, 0); // the first
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is borrowed.
    pub fn number_raw(&self) -> Result<u64> {
        self.borrowed().map(|found| found.number)
    }

    /// [`TopicRecord::is_whole`] of what is borrowed.
    ///
    /// ```
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// subscriber.borrow_raw(ipcx::Deadline::NOW)?;
    /// assert!(subscriber.is_whole_raw()?);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if none is borrowed, `Forked`.
    pub fn is_whole_raw(&self) -> Result<bool> {
        self.segment.check_not_inherited()?;
        self.borrowed().map(|found| self.reader.is_whole(found))
    }

    fn borrowed(&self) -> Result<Found> {
        self.borrowed.ok_or_else(|| Error::invalid("no record is borrowed"))
    }

    /// Is done with a record that was lent; true if it was whole until now.
    pub(super) fn finish(&mut self, found: Found) -> Result<bool> {
        self.segment.check_not_inherited()?;
        let whole = self.reader.is_whole(found);
        let done = if whole { self.reader.take(found) } else { self.reader.catch_up(0) };
        self.after();
        done.map(|()| whole).map_err(|corruption| corrupt(&self.segment, corruption))
    }

    fn find(&mut self, deadline: Deadline) -> Result<Found> {
        let found = self.await_record(deadline, Reader::peek_whole);
        if found.is_err() {
            self.after();
        }
        found
    }

    /// What `look` finds, waiting for it until `deadline`.
    fn await_record<T>(
        &mut self,
        deadline: Deadline,
        look: impl FnMut(&mut Reader<Mapped>) -> std::result::Result<Option<T>, Corruption>,
    ) -> Result<T> {
        self.segment.check_not_inherited()?;
        if self.borrowed.is_some() {
            return Err(Error::invalid("a record is borrowed; release it first"));
        }
        let mut arrival = Arrival { reader: &mut self.reader, segment: &self.segment, look, found: None };
        if !arrival.ready()? {
            if deadline.is_now() {
                return Err(Error::WouldBlock(NOTHING));
            }
            wait(&mut arrival, self.segment.wait_strategy(), deadline.started())?;
        }
        arrival.found.ok_or(Error::WouldBlock(NOTHING))
    }

    /// A descriptor that is readable while there is a record. Level-triggered; do not read it, do not close it; it lives as long as
    /// the subscriber.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// topic.publisher()?.publish(b"hello")?;
    /// let mut poll = libc::pollfd { fd: subscriber.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// assert_eq!(subscriber.try_recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the subscriber has a record to receive, and once now if there is one;
    /// `None` ends that. The signal's value (`si_value`) is the slot of the participant. Receive until that would block: only then
    /// does the next one queue a signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let topic = ipcx::Topic::anonymous(&Default::default())?;
    /// let mut subscriber = topic.subscriber()?;
    /// subscriber.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(subscriber.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// subscriber.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&mut self, signal: Option<i32>) -> Result<()> {
        let slot = self.segment.leases().slot();
        self.watcher()?.signal(signal.unwrap_or(0), slot)
    }

    fn watcher(&mut self) -> Result<&Watcher> {
        self.segment.check_not_inherited()?;
        let memory = self.reader.memory().clone();
        let (_, first) = self.watcher.start(self.segment.name(), || Arc::new(memory))?;
        if first {
            self.after();
        }
        Ok(self.watcher.get().expect("just made"))
    }

    /// Keeps the descriptor true, if there is one.
    #[inline(always)]
    pub(super) fn after(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher.update(self.reader.may_receive(), self.reader.position());
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        // In a forked child, what it holds is the parent's.
        if !self.segment.is_inherited() {
            self.reader.leave();
        }
    }
}

/// A call waits for a record.
struct Arrival<'a, T, F> {
    reader: &'a mut Reader<Mapped>,
    segment: &'a Segment,
    look: F,
    found: Option<T>,
}

impl<T, F> Condition for Arrival<'_, T, F>
where
    F: FnMut(&mut Reader<Mapped>) -> std::result::Result<Option<T>, Corruption>,
{
    fn ready(&mut self) -> Result<bool> {
        // A small record with its words lies on two lines: both are asked for at once.
        self.reader.memory().expect(self.reader.position().wrapping_add(64));
        if !self.reader.may_receive() {
            return Ok(false);
        }
        let found = (self.look)(self.reader).map_err(|corruption| corrupt(self.segment, corruption))?;
        self.found = found;
        Ok(self.found.is_some())
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_record(self.reader.memory(), self.reader.position(), until)
    }

    fn peer(&mut self, _now: u64) -> Result<()> {
        Ok(()) // Anybody may publish.
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        self.segment.context(NOTHING)
    }
}

/// A watcher waits for a record; its target is the subscriber's position.
impl Watched for Mapped {
    fn ready(&self, target: u64) -> bool {
        may_receive(self, target)
    }

    fn nap(&self, target: u64, until: u64) {
        nap_for_record(self, target, until);
    }

    fn peer_is_gone(&self) -> bool {
        false
    }

    fn wake(&self, _target: u64) {
        wake_all(self);
    }
}
