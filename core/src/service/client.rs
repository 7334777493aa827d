//! The client.

use super::asking::{announce, has_outcome, Asking, Open, Outcome, Which};
use super::corrupt;
use super::handle::Core;
use super::layout::Answer;
use super::memory::Mapped;
use super::protocol::{nap_for_reply, servers, End, Memory};
use crate::error::{Context, Error, Result};
use crate::sys::clock;
use crate::wait::{wait, Condition, Deadline, Nap, Pauses, LOOKS};
use crate::watch::{OnDemand, Watched, Watcher};
use std::borrow::Cow;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// Why a call does not go on.
const NOTHING: &str = "no reply has come";
const NO_TIME: &str = "a call that does not wait has no reply; send the request and receive its reply later";
const ALL_OPEN: &str = "as many requests are open as the client can have; receive a reply first";
const GIVEN_UP: &str =
    "as many requests are open as the client can have, and no server has answered one that was given up";

/// An end of a [`Service`](super::Service) that asks. There are as many as the service has room for, over all processes.
///
/// It belongs to one thread at a time (`Send`, not shared). Either it [calls](Client::call) and waits for the reply, or it
/// [sends](Client::send) several requests and [receives](Client::recv) the replies as they come, each with the id of its request;
/// it may do both. Each request that was sent ends once: by a reply; [`Error::Remote`], if the server refused it;
/// [`Error::PeerDead`], if the server that had taken it died, when it may have been carried out in part; or, when there is no
/// server and none has taken it, by `PeerDead` or [`Error::Closed`], as the last server died or closed. Whether a server had taken it
/// is told by [`Error::taken`]: where none had, to ask again does nothing twice.
///
/// While no server has ever come, a client waits for one. When a client is dropped, its requests that no server has taken are not
/// executed any more, and replies to the others are dropped. What a client asked that dies may still be executed, until its place
/// is another's or its participant's slot is.
///
/// ```
/// let service = ipcx::Service::anonymous(&Default::default())?;
/// let (mut server, mut client) = (service.server()?, service.client()?);
/// let (one, two) = (client.send(b"one")?, client.send(b"two")?); // several at a time
/// for _ in 0..2 {
///     let request = server.recv()?;
///     let copy = request.to_vec();
///     request.reply(&copy)?;
/// }
/// let mut ids = [client.recv()?.id, client.recv()?.id];
/// ids.sort();
/// assert_eq!(ids, [one.min(two), one.max(two)]);
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Client {
    watcher: OnDemand, // before what its thread uses: fields are dropped in order
    asking: Asking<Mapped>,
    core: Arc<Core>,
    /// Whether a wait begins with looking on.
    looks: bool,
}

/// A reply that came, and to which request.
///
/// ```
/// let service = ipcx::Service::anonymous(&Default::default())?;
/// let (mut server, mut client) = (service.server()?, service.client()?);
/// let id = client.send(b"hello")?;
/// server.recv()?.reply(b"hello to you")?;
/// let reply = client.recv()?;
/// assert_eq!((reply.id, &reply.data[..]), (id, &b"hello to you"[..]));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// What [`Client::send`] gave.
    pub id: u64,
    /// What the server answered.
    pub data: Vec<u8>,
}

impl Client {
    pub(super) fn of(asking: Asking<Mapped>, core: &Arc<Core>) -> Client {
        let looks = core.segment.wait_strategy().looks(|| false);
        Client { watcher: OnDemand::default(), asking, core: Arc::clone(core), looks }
    }

    /// Largest request in bytes.
    pub fn max_request(&self) -> usize {
        self.core.memory.max_request()
    }

    /// Largest reply in bytes.
    pub fn max_reply(&self) -> usize {
        self.core.memory.max_reply()
    }

    /// Sends a request and waits for its reply as long as it takes.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// let answering = std::thread::spawn(move || server.recv()?.reply(b"hello to you"));
    /// assert_eq!(client.call(b"hello")?, b"hello to you");
    /// answering.join().unwrap()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::call_until`], less `TimedOut`.
    #[inline]
    pub fn call(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.call_until(request, Deadline::NEVER)
    }

    /// As [`Client::call`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?); // which does not answer
    /// let error = client.call_timeout(b"hello", std::time::Duration::from_millis(1)).unwrap_err();
    /// assert!(matches!(error, ipcx::Error::TimedOut(_)));
    /// assert_eq!(error.taken(), Some(false)); // it was not carried out, and will not be
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::call_until`].
    #[inline]
    pub fn call_timeout(&mut self, request: &[u8], timeout: Duration) -> Result<Vec<u8>> {
        self.call_until(request, Deadline::within(timeout))
    }

    /// What the two calls above do: sends a request and waits for its reply until `deadline`, which the server knows too: it
    /// does not take what comes too late (see [`Request::remaining`](super::Request::remaining)).
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// let answering = std::thread::spawn(move || server.recv()?.refuse(b"not on Sundays"));
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(10));
    /// assert!(matches!(client.call_until(b"hello", deadline), Err(ipcx::Error::Remote(_))));
    /// answering.join().unwrap()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `TimedOut`: if a server has [taken](Error::taken) the request, it may be carried out all the same, and its reply is dropped. `Remote`,
    /// `PeerDead` and `Closed`, as [`Client`] says. `Interrupted` if a signal handler ran while it slept and no server had taken the
    /// request, which is withdrawn. `WouldBlock` if all requests that a client can have open are, and are waited for by
    /// [`Client::recv`]; also if the deadline is [`Deadline::NOW`], for a call that does not wait has no reply. `TooBig`, `Forked`,
    /// `Corrupt`, `Os`.
    #[inline]
    pub fn call_until(&mut self, request: &[u8], deadline: Deadline) -> Result<Vec<u8>> {
        let ended = self.call_to_end(request, deadline.started())?;
        self.receive(ended)
    }

    /// [`Client::call_until`] into a buffer, without an allocation; says how long the reply is.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// let answering = std::thread::spawn(move || server.recv()?.reply(b"hello to you"));
    /// let mut reply = [0; 64];
    /// let len = client.call_into(b"hello", &mut reply, ipcx::Deadline::NEVER)?;
    /// assert_eq!(&reply[..len], b"hello to you");
    /// answering.join().unwrap()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there. With `TooBig` for a reply longer than the buffer, it stays, and is the next that [`Client::recv_into`] receives.
    #[inline]
    pub fn call_into(&mut self, request: &[u8], reply: &mut [u8], deadline: Deadline) -> Result<usize> {
        let ended = self.call_to_end(request, deadline.started())?;
        self.receive_into(ended, reply)
    }

    #[inline(always)]
    fn call_to_end(&mut self, request: &[u8], deadline: Deadline) -> Result<(u64, Outcome)> {
        let id = self.begin_call(request, deadline, deadline)?;
        loop {
            match self.await_outcome(Which::One(id), deadline) {
                Err(error) => {
                    let taken = !self.asking.forget(id);
                    if taken && matches!(error, Error::Interrupted) {
                        self.asking.want_again(id); // It is not for a signal to say that nothing happened.
                        continue;
                    }
                    return Err(match error {
                        Error::TimedOut(context) => Error::TimedOut(context.of_request(taken)),
                        error => error,
                    });
                }
                ended => return ended,
            }
        }
    }

    /// The first half of [`Client::call_until`], for bindings to other languages: sends a request that no server takes after
    /// `deadline`, waiting until `room` where it must for one that was given up. [`Client::end_call`] is the second, or
    /// [`Client::forget`]. One that no server has taken by then stays open until that.
    ///
    /// ```
    /// use ipcx::Deadline;
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// let id = client.begin_call(b"hello", Deadline::NEVER, Deadline::NOW)?;
    /// server.recv()?.reply(b"hello to you")?;
    /// assert_eq!(client.end_call(id, &mut [0; 64], Deadline::NEVER)?, 12);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn begin_call(&mut self, request: &[u8], deadline: Deadline, room: Deadline) -> Result<u64> {
        if deadline.is_now() {
            return Err(Error::WouldBlock(NO_TIME));
        }
        self.ask(request, deadline.started().at_most(u64::MAX), room).map_err(not_sent)
    }

    /// The second half of [`Client::call_until`], for bindings to other languages: waits for the reply to the request with this id,
    /// which must be open. With `TimedOut`, `Interrupted` and `WouldBlock`, and `TooBig`, it stays open.
    ///
    /// ```
    /// use ipcx::Deadline;
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// let id = client.begin_call(b"hello", Deadline::NEVER, Deadline::NOW)?;
    /// assert!(client.end_call(id, &mut [0; 64], Deadline::NOW).is_err(), "nobody has answered");
    /// assert!(client.forget(id)?);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there, and `Invalid` if no such request is open.
    pub fn end_call(&mut self, id: u64, reply: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.core.segment.check_not_inherited()?;
        if !self.asking.wants(id) {
            return Err(Error::invalid(format!("no request with id {id} is open")));
        }
        let ended = self.await_outcome(Which::One(id), deadline)?;
        self.receive_into(ended, reply)
    }

    /// Gives up on a request that is open. True if it is withdrawn, and not carried out; false if a server has taken it, and its reply
    /// will be dropped. Does not wait.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// let id = client.send(b"hello")?;
    /// assert!(client.forget(id)?, "no server had taken it");
    /// assert!(server.try_recv().is_err(), "and none will");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if no such request is open, `Forked`.
    pub fn forget(&mut self, id: u64) -> Result<bool> {
        self.core.segment.check_not_inherited()?;
        if !self.asking.wants(id) {
            return Err(Error::invalid(format!("no request with id {id} is open")));
        }
        let withdrawn = self.asking.forget(id);
        self.after();
        Ok(withdrawn)
    }

    /// Sends a request, whose reply [`Client::recv`] will receive, and gives its id. Waits, as long as it takes, only where all
    /// requests that this client can have open are, and one of them was given up: until its reply has come, to be dropped.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// let id = client.send(b"hello")?;
    /// server.recv()?.reply(b"hello to you")?;
    /// assert_eq!(client.recv()?.id, id);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::send_until`], less `TimedOut`.
    #[inline]
    pub fn send(&mut self, request: &[u8]) -> Result<u64> {
        self.send_until(request, Deadline::NEVER)
    }

    /// As [`Client::send`], without waiting.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&ipcx::ServiceOptions { depth: 1, ..Default::default() })?;
    /// let mut client = service.client()?;
    /// client.try_send(b"one")?;
    /// assert!(matches!(client.try_send(b"two"), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::send_until`], less `TimedOut` and `Interrupted`.
    #[inline]
    pub fn try_send(&mut self, request: &[u8]) -> Result<u64> {
        self.send_until(request, Deadline::NOW)
    }

    /// As [`Client::send`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// client.send_timeout(b"hello", std::time::Duration::from_secs(1))?;
    /// assert_eq!(service.stats()?.clients[0].waiting, 1);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::send_until`].
    #[inline]
    pub fn send_timeout(&mut self, request: &[u8], timeout: Duration) -> Result<u64> {
        self.send_until(request, Deadline::within(timeout))
    }

    /// What the three calls above do. The deadline is for this call: the request has none.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// client.send_until(b"hello", ipcx::Deadline::NOW)?;
    /// let too_long = vec![0; client.max_request() + 1];
    /// assert!(matches!(client.send_until(&too_long, ipcx::Deadline::NOW), Err(ipcx::Error::TooBig { .. })));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if all requests that the client can have open are, and their replies are to be received first, which no waiting
    /// replaces; or if it would have to wait and must not. `TimedOut`; `Interrupted` if a signal handler ran while it slept;
    /// `TooBig`, `Forked`, `Os`. Nothing is sent then.
    #[inline(always)]
    pub fn send_until(&mut self, request: &[u8], deadline: Deadline) -> Result<u64> {
        self.ask(request, u64::MAX, deadline)
    }

    #[inline(always)]
    fn ask(&mut self, request: &[u8], until: u64, deadline: Deadline) -> Result<u64> {
        if !self.core.segment.is_inherited() && request.len() <= self.max_request() {
            if let Some(id) = self.asking.ask(request, until) {
                announce(self.asking.memory());
                return Ok(id);
            }
        }
        self.ask_the_long_way(request, until, deadline)
    }

    #[cold]
    #[inline(never)]
    fn ask_the_long_way(&mut self, request: &[u8], until: u64, deadline: Deadline) -> Result<u64> {
        self.core.segment.check_not_inherited()?;
        if request.len() > self.max_request() {
            return Err(Error::TooBig { needed: request.len(), available: self.max_request() });
        }
        if self.asking.wanted() == self.core.memory.depth() {
            return Err(Error::WouldBlock(ALL_OPEN));
        }
        let mut room = Room { asking: &self.asking, core: &self.core };
        if deadline.is_now() {
            self.core.ask_for_servers(clock::coarse())?;
        } else {
            wait(&mut room, self.core.segment.wait_strategy(), deadline.started())?;
        }
        let id = self.asking.ask(request, until).ok_or(Error::WouldBlock(GIVEN_UP))?;
        announce(self.asking.memory());
        Ok(id)
    }

    /// Receives a reply, of whichever request has one, waiting for it as long as it takes.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// server.recv()?.reply(b"hello to you")?;
    /// assert_eq!(client.recv()?.data, b"hello to you");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::recv_until`], less `TimedOut` and `WouldBlock`.
    #[inline]
    pub fn recv(&mut self) -> Result<Reply> {
        self.recv_until(Deadline::NEVER)
    }

    /// As [`Client::recv`], without waiting.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// client.send(b"hello")?;
    /// assert!(matches!(client.try_recv(), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::recv_until`], less `TimedOut` and `Interrupted`.
    #[inline]
    pub fn try_recv(&mut self) -> Result<Reply> {
        self.recv_until(Deadline::NOW)
    }

    /// As [`Client::recv`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// client.send(b"hello")?;
    /// let nothing = client.recv_timeout(std::time::Duration::from_millis(1));
    /// assert!(matches!(nothing, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Client::recv_until`].
    #[inline]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Reply> {
        self.recv_until(Deadline::within(timeout))
    }

    /// What the three calls above do: receives the reply to a request that was sent, of whichever has one. Of several, not the same
    /// request's is always first.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// let nothing = client.recv_until(ipcx::Deadline::NEVER);
    /// assert!(matches!(nothing, Err(ipcx::Error::Invalid(_))), "no request is open");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Remote`, `PeerDead` and `Closed` of one request, as [`Client`] says: that one has ended; [`Client::recv_into`] says which it
    /// was. `WouldBlock`, `TimedOut`; `Interrupted` if a signal handler ran while it slept; `Invalid` for a call that waits while no
    /// request is open; `Forked`, `Corrupt`, `Os`.
    pub fn recv_until(&mut self, deadline: Deadline) -> Result<Reply> {
        let ended = self.await_any(deadline)?;
        self.receive(ended).map(|data| Reply { id: ended.0, data })
    }

    /// [`Client::recv_until`] into a buffer, without an allocation; says how long the reply is. `id` is set to that of the request
    /// also if the result is `Remote`, `PeerDead`, `Closed`, `TooBig` or `Corrupt`, and to 0 otherwise.
    ///
    /// ```
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// let sent = client.send(b"hello")?;
    /// server.recv()?.refuse(b"not on Sundays")?;
    /// let mut id = 0;
    /// let refused = client.recv_into(&mut id, &mut [0; 64], ipcx::Deadline::NEVER);
    /// assert!(matches!(refused, Err(ipcx::Error::Remote(_))) && id == sent);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there, and `TooBig` if the reply is longer than the buffer: it stays, and is the next to be received.
    pub fn recv_into(&mut self, id: &mut u64, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        *id = 0;
        let ended = self.await_any(deadline)?;
        *id = ended.0;
        self.receive_into(ended, buffer)
    }

    fn await_any(&mut self, deadline: Deadline) -> Result<(u64, Outcome)> {
        self.core.segment.check_not_inherited()?;
        if self.asking.wanted() == 0 && !deadline.is_now() {
            return Err(Error::invalid("nothing to wait for: no request is open"));
        }
        let ended = self.await_outcome(Which::Any, deadline);
        if ended.is_err() {
            self.after();
        }
        ended
    }

    /// How the request, or one of them, ended; waits for that until `deadline`.
    #[inline(always)]
    fn await_outcome(&mut self, which: Which, deadline: Deadline) -> Result<(u64, Outcome)> {
        match self.asking.look(which) {
            Some(ended) => Ok(ended),
            None => self.await_outcome_the_long_way(which, deadline),
        }
    }

    #[inline(never)]
    fn await_outcome_the_long_way(&mut self, which: Which, deadline: Deadline) -> Result<(u64, Outcome)> {
        if !deadline.is_soon() && self.looks {
            let mut pauses = Pauses::new();
            for _ in 0..LOOKS {
                if let Some(ended) = self.asking.look(which) {
                    return Ok(ended);
                }
                pauses.pause();
            }
        }
        self.sleep_for_outcome(which, deadline)
    }

    #[cold]
    fn sleep_for_outcome(&mut self, which: Which, deadline: Deadline) -> Result<(u64, Outcome)> {
        let mut coming = Coming { asking: &self.asking, core: &self.core, which, found: None };
        let waited = if deadline.is_now() {
            coming.peer(clock::coarse()).and(Err(Error::WouldBlock(NOTHING)))
        } else {
            wait(&mut coming, self.core.segment.wait_strategy(), deadline.started())
        };
        // One that was found as the time ran out is not lost.
        let found = coming.found.or_else(|| self.asking.look(which));
        found.map_or_else(|| Err(waited.err().unwrap_or(Error::WouldBlock(NOTHING))), Ok)
    }

    fn receive(&mut self, (id, outcome): (u64, Outcome)) -> Result<Vec<u8>> {
        let mut data = match outcome {
            Outcome::Answered(Answer::Reply) => vec![0; self.asking.len(id).unwrap_or(0)],
            _ => Vec::new(),
        };
        self.receive_into((id, outcome), &mut data)?;
        Ok(data)
    }

    #[inline(always)]
    fn receive_into(&mut self, (id, outcome): (u64, Outcome), buffer: &mut [u8]) -> Result<usize> {
        let Outcome::Answered(Answer::Reply) = outcome else {
            return Err(self.end_without_reply(id, outcome));
        };
        let available = buffer.len();
        let len = match self.asking.len(id) {
            Ok(len) if len <= available => len,
            Ok(needed) => {
                self.asking.is_next(id);
                self.after();
                return Err(Error::TooBig { needed, available });
            }
            Err(corruption) => {
                self.end(id, outcome);
                return Err(corrupt(&self.core.segment, corruption));
            }
        };
        self.asking.read(id, &mut buffer[..len]);
        self.end(id, outcome);
        Ok(len)
    }

    #[cold]
    fn end_without_reply(&mut self, id: u64, outcome: Outcome) -> Error {
        let taken = outcome.was_taken();
        let context = |detail: &'static str| self.core.segment.context(detail).of_request(taken);
        let error = match outcome {
            Outcome::Answered(_) => {
                let mut text = vec![0; self.asking.len(id).unwrap_or(0)];
                self.asking.read(id, &mut text);
                let text = String::from_utf8_lossy(&text).into_owned();
                Error::Remote(self.core.segment.context(text).of_request(taken))
            }
            Outcome::Lost => Error::PeerDead(context(
                "the server that had taken the request died without a reply; it may have been carried out in part",
            )),
            Outcome::Unserved(End::Closed) => Error::Closed(context(
                "the last server closed and there is no other; the request was not carried out",
            )),
            Outcome::Unserved(End::Died) => Error::PeerDead(context(
                "the last server died and there is no other; the request was not carried out; start a server again",
            )),
        };
        self.end(id, outcome);
        error
    }

    #[inline(always)]
    fn end(&mut self, id: u64, outcome: Outcome) {
        self.asking.end(id, outcome);
        self.after();
    }

    /// A descriptor that is readable while [`Client::try_recv`] has something to say. Level-triggered; do not read it, do not
    /// close it; it lives as long as the client.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let (mut server, mut client) = (service.server()?, service.client()?);
    /// client.send(b"hello")?;
    /// server.recv()?.reply(b"hello to you")?;
    /// let mut poll = libc::pollfd { fd: client.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// assert_eq!(client.try_recv()?.data, b"hello to you");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.watcher().map(Watcher::fd)
    }

    /// Queues a real-time signal to this process each time the client has something to receive, and once now if it has; `None` ends
    /// that. The signal's value (`si_value`) is the slot of the participant. Receive until that would block: only then does the next
    /// one queue a signal.
    ///
    /// The first call starts a thread of this process that waits on its behalf.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let service = ipcx::Service::anonymous(&Default::default())?;
    /// let mut client = service.client()?;
    /// client.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(client.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// client.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, `Forked`; `Os` if the system has no descriptor or thread left.
    pub fn signal(&mut self, signal: Option<i32>) -> Result<()> {
        let slot = self.core.segment.leases().slot();
        self.watcher()?.signal(signal.unwrap_or(0), slot)
    }

    fn watcher(&mut self) -> Result<&Watcher> {
        self.core.segment.check_not_inherited()?;
        let watched = || {
            let (core, open) = (Arc::clone(&self.core), Arc::clone(self.asking.open()));
            Arc::new(Arrival { core, channel: self.asking.channel(), open }) as Arc<dyn Watched>
        };
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
            watcher.update(self.has_outcome(false), 0);
        }
    }

    fn has_outcome(&self, also_ends: bool) -> bool {
        has_outcome(&self.core.memory, self.asking.channel(), self.asking.open(), also_ends)
    }

    /// See [`Sleeping::is_ready`](crate::any::Sleeping::is_ready).
    pub(super) fn is_ready(&self, now: Option<u64>) -> bool {
        // One that cannot be asked for now is asked for at the next turn.
        now.is_some_and(|now| self.core.ask_for_servers(now).is_err()) || self.has_outcome(now.is_some())
    }

    /// See [`Sleeping::announce`](crate::any::Sleeping::announce).
    pub(super) fn announce(&self) -> Option<(*const u32, u32)> {
        let memory = &self.core.memory;
        let replied = &memory.channel(self.asking.channel()).replied;
        let word = replied.announce(memory.kernel());
        (!self.has_outcome(true)).then(|| (replied.address(), word))
    }

    pub(super) fn is_inherited(&self) -> bool {
        self.core.segment.is_inherited()
    }
}

/// What a call says that did not come to send its request: nobody took it.
#[cold]
fn not_sent(error: Error) -> Error {
    match error {
        Error::TimedOut(context) => Error::TimedOut(context.of_request(false)),
        error => error,
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // In a forked child, the channel is the parent's.
        if !self.core.segment.is_inherited() {
            self.asking.leave();
        }
    }
}

/// A call waits for the end of a request.
struct Coming<'a> {
    asking: &'a Asking<Mapped>,
    core: &'a Core,
    which: Which,
    found: Option<(u64, Outcome)>,
}

impl Condition for Coming<'_> {
    fn ready(&mut self) -> Result<bool> {
        // What `peer` found is not lost.
        self.found = self.found.or_else(|| self.asking.look(self.which));
        Ok(self.found.is_some())
    }

    fn nap(&mut self, until: u64) -> Nap {
        if self.found.is_some() {
            return Nap::Over;
        }
        let look = || {
            self.found = self.asking.look(self.which).or_else(|| self.asking.look_for_end(self.which));
            self.found.is_some()
        };
        nap_for_reply(&self.core.memory, self.asking.channel(), until, look)
    }

    /// Asks, once a slice, whether the servers live, and looks whether there will be a reply.
    fn peer(&mut self, now: u64) -> Result<()> {
        if self.found.is_none() {
            self.core.ask_for_servers(now)?;
            self.found = self.asking.look_for_end(self.which);
        }
        Ok(())
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        let Core { memory, segment, .. } = self.core;
        let mut all = servers(memory);
        let detail = match (self.asking.taker(self.which), all.next()) {
            (Some(slot), _) => {
                let who = segment.leases().who(slot);
                format!("the server of {who} has taken the request, and has not answered it; is it at work, or stopped?").into()
            }
            (None, Some(slot)) => {
                let (who, others) = (segment.leases().who(slot), all.count());
                format!("no server has taken the request: not that of {who}, nor {others} others; are they at work, or stopped?").into()
            }
            (None, None) => Cow::Borrowed("no server has attached to the service; start one"),
        };
        segment.context(detail)
    }
}

/// A call waits for a reply that nobody wants any more, for its cell.
struct Room<'a> {
    asking: &'a Asking<Mapped>,
    core: &'a Core,
}

impl Condition for Room<'_> {
    fn ready(&mut self) -> Result<bool> {
        Ok(self.asking.may_ask())
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_reply(&self.core.memory, self.asking.channel(), until, || self.asking.may_ask())
    }

    fn peer(&mut self, now: u64) -> Result<()> {
        self.core.ask_for_servers(now)
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        self.core.segment.context(GIVEN_UP)
    }
}

/// A watcher waits for the end of a request.
#[derive(Debug)]
struct Arrival {
    core: Arc<Core>,
    channel: u32,
    open: Arc<Open>,
}

impl Arrival {
    fn look(&self, also_ends: bool) -> bool {
        has_outcome(&self.core.memory, self.channel, &self.open, also_ends)
    }
}

impl Watched for Arrival {
    fn ready(&self, _target: u64) -> bool {
        self.look(false)
    }

    fn nap(&self, _target: u64, until: u64) {
        nap_for_reply(&self.core.memory, self.channel, until, || self.look(true));
    }

    fn peer_is_gone(&self) -> bool {
        // What cannot be asked now is asked again.
        let _ = self.core.ask_for_servers(clock::now());
        self.look(true)
    }

    fn wake(&self, _target: u64) {
        let memory = &self.core.memory;
        memory.channel(self.channel).replied.notify(memory.kernel(), u32::MAX);
    }
}
