//! Unix sockets that keep messages apart: connections, and the sending end. The receiver listens; each sender has a connection of
//! its own.
//!
//! A message begins with a byte that says what it is: an empty one is thereby none, and can be told from the end.

use super::listen::SocketReceiver;
use super::nap::{anonymous, Descriptor, Patience, NOBODY};
use super::place::{Kind, Lease, Place, Role};
use super::receiver::Receiving;
use super::sender::Sending;
use super::TransportOptions;
use crate::error::{from_errno, Context, Error, Result};
use crate::sys::stream::{self, For};
use crate::sys::{process, socket as sys, Errno};
use crate::wait::Deadline;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

pub(super) const SOCKET: Kind = Kind { suffix: ".sock", what: "socket", is: |facts| facts.is_socket };

/// First byte of a message: bytes follow.
pub(super) const DATA: u8 = 0;
/// First byte of a message: a descriptor comes with it.
pub(super) const DESCRIPTOR: u8 = 1;
/// What the kernel keeps of the room for itself, and the first byte.
const OVERHEAD: usize = 32 + 1;

pub(super) fn pair(options: &TransportOptions) -> Result<(Sending, Receiving)> {
    let (tx, rx) = sys::pair().map_err(|e| from_errno(&anonymous(), "socketpair", e))?;
    let [tx, rx] = [tx, rx].map(|end| Connected::of(anonymous(), Descriptor::Anyones(end)));
    tx.make_room(options)?;
    Ok((Sending::Socket(SocketSender::from(tx)), Receiving::Socket(SocketReceiver::from(rx))))
}

pub(super) fn sender(name: &str, options: &TransportOptions) -> Result<SocketSender> {
    let place = Place::find(name, options, &SOCKET)?;
    let lease = place.take(Role::Sender, options)?;
    let connecting = Connecting { place, lease, options: options.clone() };
    let connected = connecting.try_connect()?;
    Ok(SocketSender::of(connected, Some(connecting)))
}

pub(super) fn too_long() -> Error {
    Error::invalid("a socket's address has 108 bytes, and a name in it at most about 72")
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) name: Arc<str>,
    socket: Descriptor,
    /// Its receiver's watcher watches it.
    pub(super) watched: bool,
}

impl Connected {
    pub(super) fn of(name: Arc<str>, socket: Descriptor) -> Connected {
        Connected { name, socket, watched: false }
    }

    pub(super) fn from_fd(socket: OwnedFd) -> Result<Connected> {
        let name = anonymous();
        match sys::is_of_kind(socket.as_fd()) {
            Ok(true) => {}
            Ok(false) | Err(Errno::ENOTSOCK) => {
                return Err(Error::invalid("the descriptor is no Unix socket that keeps messages apart"))
            }
            Err(errno) => return Err(from_errno(&name, "getsockopt", errno)),
        }
        stream::set_nonblocking(socket.as_fd()).map_err(|e| from_errno(&name, "fcntl(F_SETFL)", e))?;
        Ok(Connected::of(name, Descriptor::Anyones(socket)))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        self.socket.into_fd()
    }

    pub(super) fn share(&self) -> Option<BorrowedFd<'_>> {
        self.socket.share()
    }

    fn error(&self, call: &'static str, errno: Errno) -> Error {
        from_errno(&self.name, call, errno)
    }

    fn make_room(&self, options: &TransportOptions) -> Result<()> {
        let capacity = usize::try_from(options.capacity).unwrap_or(usize::MAX);
        let needed = options.message_size.saturating_add(OVERHEAD);
        let bytes = if self.longest() < options.message_size { capacity.max(needed) } else { capacity };
        if bytes > 0 {
            let most = bytes.min(i32::MAX as usize);
            sys::set_room(self.fd(), most).map_err(|e| self.error("setsockopt(SO_SNDBUF)", e))?;
        }
        if self.longest() < options.message_size {
            let detail = format!(
                "messages of {} bytes are longer than /proc/sys/net/core/wmem_max allows: {}",
                options.message_size,
                self.longest()
            );
            return Err(Error::NoSpace(Context::new(&self.name, detail)));
        }
        Ok(())
    }

    fn longest(&self) -> usize {
        sys::room(self.fd()).map_or(0, |room| room.saturating_sub(OVERHEAD))
    }

    fn send(&self, parts: [&[u8]; 2], fd: Option<BorrowedFd<'_>>, deadline: Deadline) -> Result<()> {
        let patience = Patience::new(&self.name, deadline);
        loop {
            match sys::send(self.fd(), parts, fd) {
                Ok(()) => return Ok(()),
                Err(Errno::EAGAIN) => patience.nap(self.fd(), For::Writing)?,
                Err(Errno::EMSGSIZE) => {
                    return Err(Error::TooBig { needed: parts[1].len(), available: self.longest() })
                }
                Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN) => {
                    return Err(Error::Closed(Context::new(&self.name, "the receiver went")))
                }
                Err(errno) => return Err(self.error("sendmsg", errno)),
            }
        }
    }

    /// Kind and length of the next message, which stays; `None` at the end.
    pub(super) fn peek(&self, patience: &Patience) -> Result<Option<(u8, usize)>> {
        let mut kind = [0];
        loop {
            match sys::peek(self.fd(), &mut kind) {
                Ok(0) | Err(Errno::ECONNRESET) => return Ok(None),
                Ok(len) => return Ok(Some((kind[0], len - 1))),
                Err(Errno::EAGAIN) => patience.nap(self.fd(), For::Reading)?,
                Err(errno) => return Err(self.error("recv", errno)),
            }
        }
    }

    /// The bytes of the next message, which is of that kind. Descriptors that a stranger sent with them are closed.
    pub(super) fn take(&self, to: &mut [u8]) -> Result<usize> {
        let (len, _, _) = sys::receive(self.fd(), &mut [0], to).map_err(|e| self.error("recvmsg", e))?;
        Ok(len.saturating_sub(1))
    }

    /// The descriptor of the next message. If there can be none now, the message stays.
    pub(super) fn take_fd(&self) -> Result<OwnedFd> {
        sys::try_descriptor(self.fd()).map_err(|e| self.error("fcntl(F_DUPFD_CLOEXEC)", e))?;
        let taken = sys::receive(self.fd(), &mut [0], &mut []).map_err(|e| self.error("recvmsg", e))?;
        match taken {
            (_, Some(fd), _) => Ok(fd),
            (_, None, true) => Err(self.error("recvmsg", Errno::EMFILE)), // Another thread took the last.
            (_, None, false) => {
                let lost = "no descriptor came with its message: the sender is no ipcx";
                Err(Error::Corrupt(Context::new(&self.name, lost)))
            }
        }
    }

    pub(super) fn of_another_kind(&self, kind: u8) -> Error {
        let context = |detail: &'static str| Context::new(&self.name, detail);
        match kind {
            DATA => {
                Error::Mismatch(context("the next message has bytes and no descriptor: receive it as such"))
            }
            DESCRIPTOR => {
                Error::Mismatch(context("the next message is a descriptor: receive it with recv_fd"))
            }
            _ => Error::Corrupt(context("the sender is no ipcx")),
        }
    }
}

/// What a sender needs to connect.
#[derive(Debug)]
pub(super) struct Connecting {
    place: Place,
    lease: Lease,
    options: TransportOptions,
}

impl Connecting {
    /// A connection to the receiver; `None` if there is none.
    fn try_connect(&self) -> Result<Option<Connected>> {
        let place = &self.place;
        let Some(facts) = place.look()? else { return Ok(None) };
        let socket = Descriptor::own(sys::new).map_err(|e| place.error("socket", e))?;
        match sys::connect(socket.as_fd(), place.at(), &place.file) {
            Ok(()) => {}
            Err(Errno::ENOENT | Errno::ECONNREFUSED | Errno::EAGAIN) => return Ok(None),
            Err(Errno::ENAMETOOLONG) => return Err(too_long()),
            Err(Errno::EPROTOTYPE) => {
                let detail = "it is a socket of another type, which ipcx did not make";
                return Err(Error::Mismatch(Context::new(&place.name, detail)));
            }
            Err(errno) => return Err(place.error("connect", errno)),
        }
        let user = sys::peer_user(socket.as_fd()).map_err(|e| place.error("getsockopt(SO_PEERCRED)", e))?;
        if ![process::user(), facts.owner, 0].contains(&user) {
            let detail = format!("user {user} listens at a socket of user {}", facts.owner);
            return Err(Error::Permission(Context::new(&place.name, detail)));
        }
        let connected = Connected::of(Arc::clone(&place.name), socket);
        connected.make_room(&self.options)?;
        Ok(Some(connected))
    }
}

/// The sending end.
#[derive(Debug)]
pub(super) struct SocketSender {
    connected: Option<Connected>, // before the role: fields are dropped in order
    connecting: Option<Connecting>,
}

impl From<Connected> for SocketSender {
    fn from(connected: Connected) -> SocketSender {
        SocketSender::of(Some(connected), None)
    }
}

impl SocketSender {
    fn of(connected: Option<Connected>, connecting: Option<Connecting>) -> SocketSender {
        SocketSender { connected, connecting }
    }

    /// The connection, made if a receiver is there before the deadline.
    fn connect(&mut self, deadline: Deadline) -> Result<&Connected> {
        if let Some(connecting) = &self.connecting {
            connecting.lease.check_not_inherited()?;
            let patience = Patience::new(&connecting.place.name, deadline);
            while self.connected.is_none() {
                self.connected = connecting.try_connect()?;
                if self.connected.is_none() {
                    patience.nap_for_nothing()?;
                }
            }
        }
        self.connected.as_ref().ok_or(Error::WouldBlock(NOBODY))
    }

    pub(super) fn send(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        self.send_parts([&[DATA], data], None, deadline)
    }

    pub(super) fn send_fd(&mut self, fd: BorrowedFd<'_>, deadline: Deadline) -> Result<()> {
        self.send_parts([&[DESCRIPTOR], &[]], Some(fd), deadline)
    }

    fn send_parts(
        &mut self,
        parts: [&[u8]; 2],
        fd: Option<BorrowedFd<'_>>,
        deadline: Deadline,
    ) -> Result<()> {
        let deadline = deadline.started();
        let sent = self.connect(deadline)?.send(parts, fd, deadline);
        if matches!(sent, Err(Error::Closed(_))) && self.connecting.is_some() {
            self.connected = None; // The next call connects to a successor.
        }
        sent
    }

    /// Connected, if a receiver is there before the deadline.
    pub(super) fn ready(&mut self, deadline: Deadline) -> Result<()> {
        self.connect(deadline).map(drop)
    }

    pub(super) fn longest(&self) -> Option<usize> {
        self.connected.as_ref().map(Connected::longest)
    }

    pub(super) fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.connect(Deadline::NOW).map(Connected::fd)
    }

    /// Its descriptor, if it has no name.
    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        self.connected.and_then(Connected::into_fd)
    }

    /// For another process, if it has no name.
    pub(super) fn share(&self) -> Option<BorrowedFd<'_>> {
        self.connected.as_ref().and_then(Connected::share)
    }
}
