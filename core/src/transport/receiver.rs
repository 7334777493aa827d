//! The receiving end of a transport.

use super::mqueue::Queue;
use super::shm::{RingReceiver, Value};
use super::stream::Reader;
use super::unix::SocketReceiver;
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
#[derive(Debug)]
pub struct Receiver {
    transport: Transport,
    receiving: Receiving,
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
    /// # Errors
    /// As [`Receiver::recv_until`], less `TimedOut` and `Interrupted`.
    pub fn try_recv(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.recv_until(buffer, Deadline::NOW)
    }

    /// As [`Receiver::recv`], giving up after `timeout` with `TimedOut`.
    ///
    /// # Errors
    /// As [`Receiver::recv_until`].
    pub fn recv_timeout(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize> {
        self.recv_until(buffer, Deadline::within(timeout))
    }

    /// Copies the next message to `buffer`, waiting for it as long as it takes.
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
        fd.ok_or_else(|| Error::invalid("an end with a name is opened by it in the other process"))
    }
}

/// What an end has in this process only.
pub(super) fn keeps() -> Error {
    Error::invalid("it keeps a message, or a part of one, which the other process would miss")
}
