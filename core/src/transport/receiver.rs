//! The receiving end of a transport.

use super::listen::SocketReceiver;
use super::mqueue::Queue;
use super::nap::{duplicate, named};
use super::shm::{RingReceiver, Value};
use super::stream::Reader;
use super::Transport;
use crate::error::{Error, Result};
use crate::wait::Deadline;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

/// The receiving end of a [`Transport`].
///
/// It belongs to one thread at a time (`Send`, not shared). Dropping it closes it: a sender gets [`Error::Closed`], where its
/// transport tells, and what was not received is lost unless it is kept under a name (ring, buffer, message queue). As for `fork`,
/// see [`Sender`](super::Sender).
///
/// ```
/// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
/// tx.send(b"hello")?;
/// drop(tx);
/// assert_eq!(rx.recv(&mut [0; 64])?, 5);
/// assert!(matches!(rx.recv(&mut [0; 64]), Err(ipcx::Error::Closed(_))));
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Debug)]
pub struct Receiver {
    transport: Transport,
    pub(super) receiving: Receiving,
}

/// By its mechanism.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // one of each program's few ends, not of its messages
pub(super) enum Receiving {
    Stream(Reader),
    Queue(Queue),
    Socket(SocketReceiver),
    Ring(RingReceiver),
    Buffer(Value),
}

impl Receiver {
    pub(super) fn of(transport: Transport, receiving: Receiving) -> Receiver {
        Receiver { transport, receiving }
    }

    /// Through what it receives.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Copies the next message to `buffer`, if there is one now; says how long it is.
    ///
    /// ```
    /// let (_tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// assert!(matches!(rx.try_recv(&mut [0; 64]), Err(ipcx::Error::WouldBlock(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Receiver::recv_until`], less `TimedOut` and `Interrupted`.
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::NOW)
    }

    /// As [`Receiver::recv`], giving up after `timeout` with `TimedOut`.
    ///
    /// ```
    /// let (_tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// let nothing = rx.recv_timeout(&mut [0; 64], std::time::Duration::from_millis(1));
    /// assert!(matches!(nothing, Err(ipcx::Error::TimedOut(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Receiver::recv_until`].
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize> {
        self.recv_until(buffer, Deadline::within(timeout))
    }

    /// Copies the next message to `buffer`, waiting for it as long as it takes.
    ///
    /// ```
    /// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// let sending = std::thread::spawn(move || tx.send(b"hello"));
    /// let mut buffer = [0; 64];
    /// let len = rx.recv(&mut buffer)?;
    /// assert_eq!(&buffer[..len], b"hello");
    /// sending.join().unwrap()?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Receiver::recv_until`], less `WouldBlock` and `TimedOut`.
    pub fn recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::NEVER)
    }

    /// What the three calls above do: copies the next message to `buffer`, waiting for it until `deadline`; says how long it is.
    ///
    /// If the call ends in the middle of a message, what was read of it is kept, and the next call goes on. A buffer receives the
    /// newest message, once; ones before it may have been overwritten unseen.
    ///
    /// Not async-signal-safe, but for rings.
    ///
    /// ```
    /// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// tx.send(b"hello")?;
    /// let short = rx.recv_until(&mut [0; 2], ipcx::Deadline::NOW);
    /// assert!(matches!(short, Err(ipcx::Error::TooBig { needed: 5, .. })));
    /// assert_eq!(rx.recv_until(&mut [0; 64], ipcx::Deadline::NOW)?, 5); // it stayed
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `WouldBlock` if there is none and the deadline is [`Deadline::NOW`]; `TimedOut`; `Interrupted` if a signal handler ran
    /// while it slept; `TooBig` if it does not fit (it is there for the next call, and `needed` says its length); `Closed` if the
    /// sender went and nothing is left; `PeerDead` if it went in the middle of a message, and of a ring if it died; both end when
    /// a successor is there. `Mismatch` if the message is a descriptor (it stays), `Corrupt`, `Forked`, `Os`. A message queue or
    /// buffer does not tell of its sender: give a timeout.
    pub fn recv_until(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        match &mut self.receiving {
            Receiving::Stream(reader) => reader.recv(buffer, deadline),
            Receiving::Queue(queue) => queue.recv(buffer, deadline).map(|(len, _)| len),
            Receiving::Socket(socket) => socket.recv(buffer, deadline),
            Receiving::Ring(end) => end.get()?.recv_until(buffer, deadline),
            Receiving::Buffer(value) => value.recv(buffer, deadline),
        }
    }

    /// As [`Receiver::recv_until`]; says the message's priority too: 0 but from a message queue, which gives those of a higher one
    /// first.
    ///
    /// ```
    /// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// tx.send(b"hello")?;
    /// assert_eq!(rx.recv_with_priority_until(&mut [0; 64], ipcx::Deadline::NEVER)?, (5, 0));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As there.
    pub fn recv_with_priority_until(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<(usize, u32)> {
        match &mut self.receiving {
            Receiving::Queue(queue) => queue.recv(buffer, deadline),
            _ => self.recv_until(buffer, deadline).map(|len| (len, 0)),
        }
    }

    /// Receives a descriptor, closed on exec, which is the caller's from now on. Unix sockets only.
    ///
    /// ```
    /// use {ipcx::Deadline, std::io::Write, std::os::fd::AsFd};
    /// let (mut tx, mut rx) = ipcx::Transport::Unix.pair(&Default::default())?;
    /// tx.send_fd_until(std::io::stderr().as_fd(), Deadline::NEVER)?;
    /// let mut theirs = std::fs::File::from(rx.recv_fd_until(Deadline::NEVER)?);
    /// assert!(theirs.write_all(b"hello\n").is_ok());
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Receiver::recv_until`]; `Mismatch` if the next message is not a descriptor (it stays); `Invalid` from anything
    /// else.
    pub fn recv_fd_until(&mut self, deadline: Deadline) -> Result<OwnedFd> {
        match &mut self.receiving {
            Receiving::Socket(socket) => socket.recv_fd(deadline),
            _ => Err(Error::invalid("descriptors come through a Unix socket only: use `unix`")),
        }
    }

    /// A descriptor that is readable while a call that does not wait may have something to say: a message, or that the sender
    /// went. Level-triggered; do not read it, do not close it. It lives as long as this end.
    ///
    /// Readable does not promise a whole message: of one that is longer than a pipe, the first part may be there. And what this
    /// end keeps itself does not show: after `TooBig`, and while it is readable, receive again.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let (mut tx, mut rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// tx.send(b"hello")?;
    /// let mut poll = libc::pollfd { fd: rx.poll_fd()?.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    /// // SAFETY: one pollfd, of a descriptor that lives as long as its owner.
    /// assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1);
    /// assert_eq!(rx.try_recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Forked`, `Os`.
    pub fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        match &mut self.receiving {
            Receiving::Stream(reader) => reader.poll_fd(),
            Receiving::Queue(queue) => Ok(queue.fd()),
            Receiving::Socket(socket) => socket.poll_fd(),
            Receiving::Ring(end) => end.get()?.poll_fd(),
            Receiving::Buffer(value) => value.buffer()?.poll_fd(),
        }
    }

    /// Queues a real-time signal to this process when there is a message to receive, and once now if there is one; `None` ends that.
    /// Receive until that would block: only then does the next one queue a signal. Through rings, buffers and message queues; for
    /// the others wait for [`Receiver::poll_fd`].
    ///
    /// Of a ring or buffer it is theirs: see [`Consumer::signal`](crate::Consumer::signal) and
    /// [`Buffer::signal`](crate::Buffer::signal). Of a message queue it is the kernel's (`mq_notify`), and its value (`si_value`)
    /// is the number of [`Receiver::poll_fd`]. The kernel tells one process of each queue, and of one end of that process. It forgets
    /// it when that process closes any other descriptor of the same queue: then call this again. A signal may come although the
    /// message has been received already.
    ///
    /// ```
    /// # // SAFETY: ignoring a signal is always allowed; a program would have a handler, or `signalfd`.
    /// # unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    /// let (tx, mut rx) = ipcx::Transport::Ring.pair(&Default::default())?;
    /// rx.signal(Some(libc::SIGRTMIN()))?;
    /// assert!(rx.signal(Some(libc::SIGINT)).is_err(), "not a real-time signal");
    /// rx.signal(None)?;
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it is not a real-time signal, or from anything else; `RoleTaken` if another process is told of this queue's
    /// messages, which receiving may find too, when there is nothing to receive; `NoSpace` if the queue of signals is full (the
    /// kernel tells of nothing while it is); `Forked`, `Os`.
    pub fn signal(&mut self, signal: Option<i32>) -> Result<()> {
        match &mut self.receiving {
            Receiving::Queue(queue) => queue.signal(signal),
            Receiving::Ring(end) => end.get()?.signal(signal),
            Receiving::Buffer(value) => value.buffer()?.signal(signal),
            Receiving::Stream(_) | Receiving::Socket(_) => Err(Error::invalid(format!(
                "no signals come from a {}: wait for poll_fd, or use a ring, buffer or message queue",
                self.transport
            ))),
        }
    }

    /// A descriptor of an end without a name, to hand to another process, which makes it an end again with
    /// [`Transport::receiver_from_fd`]. This process does not have it any more. It is closed on exec until you say otherwise.
    ///
    /// ```
    /// let (mut tx, rx) = ipcx::Transport::Pipe.pair(&Default::default())?;
    /// let fd = rx.into_fd()?; // for `Transport::receiver_from_fd`
    /// drop(fd);
    /// assert!(matches!(tx.send(b"hello"), Err(ipcx::Error::Closed(_))));
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` if it has a name: the other process opens that; or if it keeps a message, or a part of one.
    pub fn into_fd(self) -> Result<OwnedFd> {
        let fd = match self.receiving {
            Receiving::Stream(reader) => reader.into_fd()?,
            Receiving::Queue(queue) if queue.keeps() => return Err(keeps()),
            Receiving::Queue(queue) => Some(queue.into_fd()),
            Receiving::Socket(socket) => socket.into_fd(),
            Receiving::Ring(end) => end.into_fd(),
            Receiving::Buffer(value) => value.into_fd(),
        };
        fd.ok_or_else(named)
    }

    /// A descriptor as [`Receiver::into_fd`] gives, while this end stays open: close it when the other process has its own. Only
    /// one of the two may be used; an end that was shared tells its peer nothing if it is closed without having been used.
    ///
    /// ```
    /// use ipcx::Transport;
    /// let (mut tx, mut rx) = Transport::Pipe.pair(&Default::default())?;
    /// let mut theirs = Transport::Pipe.receiver_from_fd(rx.share_fd()?)?;
    /// drop(rx);
    /// tx.send(b"hello")?;
    /// assert_eq!(theirs.recv(&mut [0; 64])?, 5);
    /// # Ok::<(), ipcx::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Receiver::into_fd`]; `Invalid` of a ring's end that was used, whose role is this process's; `Os`.
    pub fn share_fd(&mut self) -> Result<OwnedFd> {
        duplicate(match &mut self.receiving {
            Receiving::Stream(reader) => reader.share()?,
            Receiving::Queue(queue) if queue.keeps() => return Err(keeps()),
            Receiving::Queue(queue) => Some(queue.fd()),
            Receiving::Socket(socket) => socket.share(),
            Receiving::Ring(end) => end.share_role()?,
            Receiving::Buffer(value) => value.share(),
        })
    }
}

/// What an end has in this process only.
pub(super) fn keeps() -> Error {
    Error::invalid("it keeps a message, or a part of one, which the other process would miss")
}
