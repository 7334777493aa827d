//! The server.

use super::answering::{Aim, Answering, Found, Taken};
use super::corrupt;
use super::layout::Answer;
use super::memory::Mapped;
use super::protocol::{nap_for_request, pass_on, serve, stop_serving, End, Memory};
use super::request::Request;
use crate::error::{Context, Error, Result};
use crate::segment::Segment;
use crate::sys::clock;
use crate::wait::{wait, Condition, Deadline, Nap, Pauses, LOOKS};
use crate::watch::{OnDemand, Watched, Watcher};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a client is told whose request is not answered before its server goes.
const CLOSED: &[u8] = b"the server closed without an answer";

/// What there is none of.
const NOTHING: &str = "no client has sent a request to the service";

/// An end of a [`Service`](super::Service) that answers. Any number exist, over all processes; each takes whatever comes next.
///
/// It belongs to one thread at a time (`Send`, not shared). It may have several requests at a time, and answer them in any order. One
/// that is dropped refuses what it has not answered; if it dies, the clients of those requests are told so.
///
/// ```
/// let service = ipcx::Service::anonymous(&Default::default())?;
/// let (mut server, mut client) = (service.server()?, service.client()?);
/// client.send(b"one")?;
/// client.send(b"two")?;
/// let first = server.recv()?.into_id();
/// let second = server.recv()?.into_id();
/// server.reply(second, b"2")?; // in any order
/// server.reply(first, b"1")?;
/// assert_eq!(client.recv()?.data.len(), 1);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    watcher: OnDemand, // before what its thread uses: fields are dropped in order
    answering: Answering<Mapped>,
    segment: Arc<Segment>,
    /// Whether a wait begins with looking on.
    looks: bool,
}

impl Server {
    pub(super) fn begin(memory: Mapped, segment: Segment) -> Server {
        let (slot, looks) = (segment.leases().slot(), segment.wait_strategy().looks(|| false));
        serve(&memory, slot);
        let answering = Answering::new(memory, slot);
        Server { watcher: OnDemand::default(), answering, segment: Arc::new(segment), looks }
    }

    /// Largest request in bytes.
    pub fn max_request(&self) -> usize {
        self.answering.memory().max_request()
    }

    /// Largest reply in bytes.
    pub fn max_reply(&self) -> usize {
        self.answering.memory().max_reply()
    }

    /// How many requests it did not take because they came too late: their deadline had passed.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let server = service.server()?;
    /// assert_eq!(server.skipped(), 0);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn skipped(&self) -> u64 {
        self.answering.skipped()
    }

    /// The next request, waiting for it as long as it takes. From then on it is this server's.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let request = server.recv()?;
    /// assert_eq!(request.to_vec(), b"hello");
    /// request.reply(b"hello to you")?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Server::recv_until`], less `WouldBlock` and `TimedOut`.
    #[inline]
    pub fn recv(&mut self) -> Result<Request<'_>> {
        self.recv_until(Deadline::NEVER)
    }

    /// The next request, if there is one now.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut server = service.server()?;
    /// assert!(matches!(server.try_recv(), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Server::recv_until`], less `TimedOut` and `Interrupted`.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Request<'_>> {
        self.recv_until(Deadline::NOW)
    }

    /// As [`Server::recv`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut server = service.server()?;
    /// let nothing = server.recv_timeout(std::time::Duration::from_millis(1));
    /// assert!(matches!(nothing, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Server::recv_until`].
    #[inline]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Request<'_>> {
        self.recv_until(Deadline::within(timeout))
    }

    /// What the three calls above do: the next request, waiting for it until `deadline`. Of several clients' each has its turn, and
    /// of one client's the first comes first. What came too late is left out (see [`Server::skipped`]).
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1));
    /// server.recv_until(deadline)?.reply(b"hello to you")?;
    /// assert_eq!(client.recv()?.data, b"hello to you");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock`, `TimedOut`; `Interrupted` if a signal handler ran while it slept; `Corrupt` for a request that ipcx does not
    /// write, which is left out; `Forked`.
    #[inline]
    pub fn recv_until(&mut self, deadline: Deadline) -> Result<Request<'_>> {
        let taken = self.take(usize::MAX, deadline)?;
        Ok(Request::of(self, taken))
    }

    /// The next request, copied to `buffer`; says how long it is, and sets `id`, by which it is [answered](Server::reply).
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let (mut id, mut buffer) = (0, [0; 64]);
    /// let len = server.recv_into(&mut id, &mut buffer, ipcx::Deadline::NEVER)?;
    /// server.reply(id, &buffer[..len])?;
    /// assert_eq!(client.recv()?.data, b"hello");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Server::recv_until`], and `TooBig` if it is longer than the buffer: it stays, for this server or another. `id` is 0 then.
    #[inline]
    pub fn recv_into(&mut self, id: &mut u64, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        *id = 0;
        let taken = self.take(buffer.len(), deadline)?;
        self.answering.read(&taken, &mut buffer[..taken.len]);
        *id = taken.id;
        Ok(taken.len)
    }

    /// Takes the next request, if it has at most so many bytes.
    #[inline(always)]
    fn take(&mut self, room: usize, deadline: Deadline) -> Result<Taken> {
        if !self.segment.is_inherited() && self.watcher.get().is_none() {
            if let Ok(Some(Found::Taken(taken))) = self.answering.find(Aim::Take(room)) {
                return Ok(taken);
            }
        }
        self.take_the_long_way(room, deadline)
    }

    #[inline(never)]
    fn take_the_long_way(&mut self, room: usize, deadline: Deadline) -> Result<Taken> {
        self.segment.check_not_inherited()?;
        let found = self.await_request(room, deadline);
        self.after(matches!(found, Ok(_) | Err(Error::Corrupt(_))));
        if matches!(found, Ok(Found::There(_)) | Err(Error::Corrupt(_))) {
            pass_on(self.answering.memory()); // It may have been woken for what it does not take.
        }
        match found? {
            Found::Taken(taken) => Ok(taken),
            Found::There(needed) => Err(Error::TooBig { needed, available: room }),
        }
    }

    #[inline(always)]
    fn await_request(&mut self, room: usize, deadline: Deadline) -> Result<Found> {
        let aim = Aim::Take(room);
        let mut next = Next { answering: &mut self.answering, segment: &self.segment, aim, found: None };
        let mut looks = if !deadline.is_soon() && self.looks { LOOKS } else { 0 };
        let mut pauses = Pauses::new();
        while !next.ready()? {
            if looks == 0 {
                return Next::sleep(next, deadline);
            }
            looks -= 1;
            pauses.pause();
        }
        next.found.ok_or(Error::WouldBlock(NOTHING))
    }

    /// Answers a request that this server has, by its id. Does not wait.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let id = server.recv()?.into_id();
    /// server.reply(id, b"hello to you")?;
    /// assert!(matches!(server.reply(id, b"again"), Err(ipcx::Error::Invalid(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it has no such request: it was answered, or is another server's. `TooBig` if the reply is longer than replies can
    /// be: the request stays. `Forked`.
    #[inline]
    pub fn reply(&mut self, id: u64, data: &[u8]) -> Result<()> {
        if data.len() > self.max_reply() {
            return Err(Error::TooBig { needed: data.len(), available: self.max_reply() });
        }
        self.answer(id, data, Answer::Reply)
    }

    /// Refuses a request that this server has, by its id: the client's call ends with [`Error::Remote`] and this text, cut to
    /// the longest reply. Does not wait.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let id = server.recv()?.into_id();
    /// server.refuse(id, b"not on Sundays")?;
    /// let error = client.recv().unwrap_err();
    /// assert!(error.to_string().contains("not on Sundays"));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it has no such request: it was answered, or is another server's. `Forked`.
    pub fn refuse(&mut self, id: u64, message: &[u8]) -> Result<()> {
        self.answer(id, &message[..message.len().min(self.max_reply())], Answer::Refusal)
    }

    #[inline(always)]
    fn answer(&mut self, id: u64, data: &[u8], answer: Answer) -> Result<()> {
        match self.answering.holds(id) {
            Some(place) if !self.segment.is_inherited() => {
                self.answering.answer(place, id, data, answer);
                Ok(())
            }
            _ => Err(self.not_held(id)),
        }
    }

    #[cold]
    fn not_held(&self, id: u64) -> Error {
        if self.segment.is_inherited() {
            return Error::Forked;
        }
        Error::invalid(format!(
            "request {id:#x} is not this server's: it was answered, or another has it (segment '{}')",
            self.segment.name()
        ))
    }

    /// How long the client of a request that this server has will wait; `None` for ever.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?; // of no deadline; `call_timeout` gives one
    /// let id = server.recv()?.into_id();
    /// assert_eq!(server.remaining(id)?, None);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it has no such request, `Forked`.
    pub fn remaining(&self, id: u64) -> Result<Option<Duration>> {
        self.segment.check_not_inherited()?;
        let place = self.answering.holds(id).ok_or_else(|| self.not_held(id))?;
        let deadline = self.answering.deadline(place);
        let left = || Duration::from_nanos(deadline.saturating_sub(clock::now()));
        Ok((deadline != u64::MAX).then(left))
    }

    /// Copies a request that this server has.
    pub(super) fn read(&self, taken: &Taken, to: &mut [u8]) {
        self.answering.read(taken, to);
    }

    /// A descriptor that is readable while there is a request, as of this server's last receive. Level-triggered; do not read it, do
    /// not close it; it lives as long as the server. Where there are other servers, a request may be gone when you come: use
    /// [`Server::try_recv`], which arms it again.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// let mut poll = libc::pollfd { fd: server.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// server.try_recv()?.reply(b"hello to you")?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time there is a request, and once now if there is one; `None` ends that. The
    /// signal's value (`si_value`) is the slot of the participant. Receive until that would block: only then does the next one queue a
    /// signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut server = service.server()?;
    /// server.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(server.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// server.signal(None)?;
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
        let memory = self.answering.memory().clone();
        let (_, first) = self.watcher.start(self.segment.name(), || Arc::new(Arrival::new(memory)))?;
        if first {
            self.after(true); // as things are
        }
        Ok(self.watcher.get().expect("just made"))
    }

    /// Keeps the descriptor true, if there is one, after a receive. One that found nothing arms it in any case: what came since is
    /// for the watcher to tell of.
    pub(super) fn after(&mut self, found: bool) {
        if self.watcher.get().is_some() {
            let ready = found && self.has_request();
            self.watcher.get().expect("there").update(ready, 0);
        }
    }

    /// True if there is a request to take, or one that a call will find corrupt.
    pub(super) fn has_request(&mut self) -> bool {
        !matches!(self.answering.find(Aim::Look), Ok(None))
    }

    /// See [`Sleeping::announce`](crate::any::Sleeping::announce).
    pub(super) fn announce(&mut self) -> Option<(*const u32, u32)> {
        let memory = self.answering.memory().clone();
        let requested = &memory.control().requested;
        let word = requested.announce(memory.kernel());
        (!self.has_request()).then(|| (requested.address(), word))
    }

    /// See [`Sleeping::withdraw`](crate::any::Sleeping::withdraw).
    pub(super) fn withdraw(&mut self) {
        if self.has_request() {
            pass_on(self.answering.memory());
        }
    }

    pub(super) fn is_inherited(&self) -> bool {
        self.segment.is_inherited()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // In a forked child, what it has is the parent's.
        if !self.segment.is_inherited() {
            self.answering.refuse_all(CLOSED);
            stop_serving(self.answering.memory(), self.segment.leases().slot(), End::Closed);
        }
    }
}

/// A call waits for a request.
struct Next<'a> {
    answering: &'a mut Answering<Mapped>,
    segment: &'a Segment,
    aim: Aim,
    found: Option<Found>,
}

impl Next<'_> {
    #[cold]
    fn sleep(mut self, deadline: Deadline) -> Result<Found> {
        if deadline.is_now() {
            return Err(Error::WouldBlock(NOTHING));
        }
        let strategy = self.segment.wait_strategy();
        let waited = wait(&mut self, strategy, deadline.started());
        // One that was taken as the time ran out is not lost.
        self.found.map_or_else(|| Err(waited.err().unwrap_or(Error::WouldBlock(NOTHING))), Ok)
    }
}

impl Condition for Next<'_> {
    #[inline(always)]
    fn ready(&mut self) -> Result<bool> {
        // What was found before a sleep is not lost.
        if self.found.is_none() {
            self.found = self.answering.find(self.aim).map_err(|c| corrupt(self.segment, c))?;
        }
        Ok(self.found.is_some())
    }

    fn nap(&mut self, until: u64) -> Nap {
        let memory = self.answering.memory().clone();
        let answering = &mut *self.answering;
        nap_for_request(&memory, until, || !matches!(answering.find(Aim::Look), Ok(None)))
    }

    fn peer(&mut self, _now: u64) -> Result<()> {
        Ok(()) // Anybody may ask.
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        self.segment.context(NOTHING)
    }
}

/// A watcher waits for a request.
#[derive(Debug)]
struct Arrival {
    memory: Mapped,
    /// Used by the watcher's thread only.
    looking: Mutex<Answering<Mapped>>,
}

impl Arrival {
    fn new(memory: Mapped) -> Arrival {
        Arrival { looking: Mutex::new(Answering::new(memory.clone(), u32::MAX)), memory }
    }

    fn look(&self) -> bool {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(looking.find(Aim::Look), Ok(None))
    }
}

impl Watched for Arrival {
    fn ready(&self, _target: u64) -> bool {
        self.look()
    }

    fn nap(&self, _target: u64, until: u64) {
        nap_for_request(&self.memory, until, || self.look());
        // The wake-up was for one server: it may be another that has time.
        if self.look() {
            pass_on(&self.memory);
        }
    }

    fn peer_is_gone(&self) -> bool {
        false
    }

    fn wake(&self, _target: u64) {
        self.memory.control().requested.notify(self.memory.kernel(), u32::MAX);
    }
}
