//! The sending end of a transport.

use super::frame::LONGEST;
use super::mqueue::Queue;
use super::nap::{anonymous, duplicate, named, FULL};
use super::shm::{RingSender, Value};
use super::stream::Writer;
use super::unix::SocketSender;
use super::Transport;
use crate::error::{Error, Result};
use crate::sys::fd::Flag;
use crate::sys::stream::For;
use crate::wait::Deadline;
use crate::watch::level::Flag as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The sending end of a [`Transport`].
///
/// It belongs to one thread at a time (`Send`, not shared). Dropping it closes it: a receiver that has received everything gets
/// [`Error::Closed`], where its transport tells. An end with a name (but of a message queue) is not for a child that inherits it over
/// `fork`, which gets [`Error::Forked`] and opens its own; one without is for the one process that goes on using it.
///
/// None of its calls raises SIGPIPE, whatever the process does with that signal, and none changes what that is.
///
/// ```
/// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
/// tx.send(b"hello")?;
/// tx.send(b"")?; // also empty ones are kept apart
/// assert_eq!((rx.recv(&mut [0; 64])?, rx.recv(&mut [0; 64])?), (5, 0));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Sender {
    transport: Transport,
    sending: Sending,
    /// Raised for ever: a buffer always has room.
    always: Option<Flag>,
}

/// By its mechanism.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one of each program's few ends, not of its messages
pub(super) enum Sending {
    Stream(Writer),
    Queue(Queue),
    Socket(SocketSender),
    Ring(RingSender),
    Buffer(Value),
}

impl Sender {
    pub(super) fn of(transport: Transport, sending: Sending) -> Sender {
        Sender { transport, sending, always: None }
    }

    pub(super) fn sending(&mut self) -> &mut Sending {
        &mut self.sending
    }

    /// For messages about errors.
    pub(super) fn name(&self) -> Arc<str> {
        match &self.sending {
            Sending::Stream(writer) => Arc::clone(&writer.name),
            _ => anonymous(),
        }
    }

    /// Through what it sends.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Longest message that it takes, in bytes. Of a socket that is not connected yet: not known, and `usize::MAX`.
    ///
    /// ```
    /// let (mut tx, mut rx) = ipcx::Transport::Buffer.pair(&Default::default())?;
    /// assert_eq!(tx.max_len()?, 4096);
    /// assert!(matches!(tx.send(&[0; 4097]), Err(ipcx::Error::TooBig { .. })));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Of a ring or buffer without a name, those of taking the role: `RoleTaken`, `Forked`, `Os`.
    pub fn max_len(&mut self) -> Result<usize> {
        Ok(match &mut self.sending {
            Sending::Stream(_) => LONGEST,
            Sending::Queue(queue) => queue.longest(),
            Sending::Socket(socket) => socket.longest().unwrap_or(usize::MAX),
            Sending::Ring(end) => end.get()?.max_len(),
            Sending::Buffer(value) => value.buffer()?.capacity(),
        })
    }

    pub(super) fn check_len(&mut self, needed: usize) -> Result<()> {
        let available = self.max_len()?;
        if needed > available {
            return Err(Error::TooBig { needed, available });
        }
        Ok(())
    }

    /// Sends a copy of `data` as one message, if there is room now.
    ///
    /// ```
    /// let (mut tx, _rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// while tx.try_send(&[7; 1000]).is_ok() {}
    /// assert!(matches!(tx.try_send(&[7; 1000]), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sender::send_until`], less `TimedOut` and `Interrupted`.
    pub fn try_send(&mut self, data: &[u8]) -> Result<()> {
        self.send_until(data, Deadline::NOW)
    }

    /// As [`Sender::send`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// tx.send_timeout(b"hello", std::time::Duration::from_secs(1))?;
    /// assert_eq!(rx.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sender::send_until`].
    pub fn send_timeout(&mut self, data: &[u8], timeout: Duration) -> Result<()> {
        self.send_until(data, Deadline::within(timeout))
    }

    /// Sends a copy of `data` as one message, waiting for room as long as it takes.
    ///
    /// ```
    /// let (mut tx, rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// tx.send(b"hello")?;
    /// drop(rx);
    /// assert!(matches!(tx.send(b"hello"), Err(ipcx::Error::Closed(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Sender::send_until`], less `WouldBlock` and `TimedOut`.
    pub fn send(&mut self, data: &[u8]) -> Result<()> {
        self.send_until(data, Deadline::NEVER)
    }

    /// What the three calls above do: sends a copy of `data` as one message, waiting for room, and of a FIFO or socket for a
    /// receiver, until `deadline`.
    ///
    /// Messages of up to 4092 bytes go into a pipe or FIFO all at once or not at all. Of a longer one, a part may be there when
    /// the call ends with `WouldBlock`, `TimedOut` or `Interrupted`: it is then remembered. Sending the same bytes again goes on
    /// with that message, so that a call that is repeated sends it once; sending others finishes it first. If this end is closed
    /// instead, the receiver gets `PeerDead`.
    ///
    /// Not async-signal-safe, but for rings.
    ///
    /// ```
    /// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// let deadline = ipcx::Deadline::after(std::time::Duration::from_secs(1)); // for both together
    /// tx.send_until(b"one", deadline)?;
    /// tx.send_until(b"two", deadline)?;
    /// assert_eq!((rx.recv(&mut [0; 64])?, rx.recv(&mut [0; 64])?), (3, 3));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is no room, or no receiver yet, and the deadline is [`Deadline::NOW`]; `TimedOut`; `Interrupted` if
    /// a signal handler ran while it slept; `Closed`, of a ring `PeerDead` too, if the receiver went; `TooBig`, `Forked`, `Os`;
    /// those of opening, where connecting to a receiver meets them.
    pub fn send_until(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        match &mut self.sending {
            Sending::Stream(writer) => writer.send(data, deadline),
            Sending::Queue(queue) => queue.send(data, 0, deadline),
            Sending::Socket(socket) => socket.send(data, deadline),
            Sending::Ring(end) => end.get()?.send_until(data, deadline),
            Sending::Buffer(value) => value.buffer()?.write_until(data, deadline).map(drop),
        }
    }

    /// As [`Sender::send_until`], before every message of a lower priority: 0, which other calls send with, to 32767. Message
    /// queues only.
    ///
    /// ```
    /// let (mut tx, _rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// let refused = tx.send_with_priority_until(b"hello", 9, ipcx::Deadline::NEVER);
    /// assert!(matches!(refused, Err(ipcx::Error::Invalid(_))), "message queues have priorities");
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Sender::send_until`]; `Invalid` for a priority out of range, or other than 0 through anything else.
    pub fn send_with_priority_until(&mut self, data: &[u8], priority: u32, deadline: Deadline) -> Result<()> {
        match &mut self.sending {
            Sending::Queue(queue) => queue.send(data, priority, deadline),
            _ if priority == 0 => self.send_until(data, deadline),
            _ => Err(Error::invalid(
                "only a message queue has priorities; every other transport keeps the order",
            )),
        }
    }

    /// Sends a descriptor as one message, for [`Receiver::recv_fd_until`](super::Receiver::recv_fd_until): an anonymous segment's
    /// (`share_fd`), or any. It stays open here too. Unix sockets only.
    ///
    /// ```
    /// use {ipcx::Deadline, std::os::fd::AsFd};
    /// let (mut tx, mut rx) = ipcx::Transport::Unix.pair(&Default::default())?;
    /// let pool = ipcx::Pool::anonymous(&ipcx::PoolOptions { block_size: 64, ..Default::default() })?;
    /// tx.send_fd_until(pool.share_fd()?.as_fd(), Deadline::NEVER)?;
    /// let fd = rx.recv_fd_until(Deadline::NEVER)?;
    /// assert_eq!(ipcx::Pool::from_fd(fd.as_fd())?.block_size(), 64);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Sender::send_until`], less `TooBig`; `Invalid` through anything else.
    pub fn send_fd_until(&mut self, fd: BorrowedFd<'_>, deadline: Deadline) -> Result<()> {
        match &mut self.sending {
            Sending::Socket(socket) => socket.send_fd(fd, deadline),
            _ => Err(Error::invalid("descriptors go through a Unix socket only: use `unix`")),
        }
    }

    /// A descriptor for poll, epoll and select, and what to wait for is [`Sender::poll_events`]: room. Level-triggered; do not
    /// read or write it, do not close it. It lives as long as this end, and of a FIFO or socket until a call says that the
    /// receiver went.
    ///
    /// There may be room for a short message and not for the one to be sent: try, without waiting.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let (mut tx, _rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// let events = tx.poll_events();
    /// let mut poll = libc::pollfd { fd: tx.poll_fd()?.as_raw_fd(), events, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1); // there is room
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` of a FIFO or socket while there is no receiver; `Forked`, `Os`.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        match &mut self.sending {
            Sending::Stream(writer) => writer.poll_fd(),
            Sending::Queue(queue) => Ok(queue.fd()),
            Sending::Socket(socket) => socket.poll_fd(),
            Sending::Ring(end) => end.get()?.poll_fd(),
            Sending::Buffer(_) => {
                if self.always.is_none() {
                    let flag = Flag::new();
                    self.always =
                        Some(flag.map_err(|e| crate::error::from_errno(&anonymous(), "eventfd", e))?);
                }
                let flag = self.always.as_ref().ok_or(Error::WouldBlock(FULL))?;
                flag.raise();
                Ok(flag.as_fd())
            }
        }
    }

    /// What to wait for on [`Sender::poll_fd`]: `POLLOUT` of the kernel's mechanisms, `POLLIN` of ipcx's.
    ///
    /// ```
    /// use ipcx::Transport;
    /// assert_eq!(Transport::Pipe.pair(&Default::default())?.0.poll_events(), libc::POLLOUT);
    /// assert_eq!(Transport::Ring.pair(&Default::default())?.0.poll_events(), libc::POLLIN);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    pub fn poll_events(&self) -> i16 {
        let what = match self.sending {
            Sending::Ring(_) | Sending::Buffer(_) => For::Reading,
            Sending::Stream(_) | Sending::Queue(_) | Sending::Socket(_) => For::Writing,
        };
        what.events()
    }

    /// A descriptor of an end without a name, to hand to another process, which makes it an end again with
    /// [`Transport::sender_from_fd`]. This process does not have it any more. It is closed on exec until you say otherwise.
    ///
    /// ```
    /// let (tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// let fd = tx.into_fd()?; // for `Transport::sender_from_fd`
    /// drop(fd);
    /// assert!(matches!(rx.recv(&mut [0; 64]), Err(ipcx::Error::Closed(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it has a name: the other process opens that; or if it remembers a part of a message.
    pub fn into_fd(self) -> Result<OwnedFd> {
        let fd = match self.sending {
            Sending::Stream(writer) => writer.into_fd()?,
            Sending::Queue(queue) => Some(queue.into_fd()),
            Sending::Socket(socket) => socket.into_fd(),
            Sending::Ring(end) => end.into_fd(),
            Sending::Buffer(value) => value.into_fd(),
        };
        fd.ok_or_else(named)
    }

    /// A descriptor as [`Sender::into_fd`] gives, while this end stays open: close it when the other process has its own. Only
    /// one of the two may be used; an end that was shared tells its peer nothing if it is closed without having been used.
    ///
    /// ```
    /// use ipcx::Transport;
    /// let (mut tx, mut rx) = Transport::Pipe.pair(&Default::default())?;
    /// let mut theirs = Transport::Pipe.sender_from_fd(tx.share_fd()?)?;
    /// drop(tx);
    /// theirs.send(b"hello")?;
    /// assert_eq!(rx.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Sender::into_fd`]; `Invalid` of a ring's end that was used, whose role is this process's; `Os`.
    pub fn share_fd(&mut self) -> Result<OwnedFd> {
        duplicate(match &mut self.sending {
            Sending::Stream(writer) => writer.share()?,
            Sending::Queue(queue) => Some(queue.fd()),
            Sending::Socket(socket) => socket.share(),
            Sending::Ring(end) => end.share_role()?,
            Sending::Buffer(value) => value.share(),
        })
    }
}
