//! Unix sockets that keep messages apart. The receiver listens; each sender has a connection of its own.
//!
//! A message begins with a byte that says what it is: an empty one is thereby none, and can be told from the end.

use super::nap::{anonymous, Descriptor, Patience};
use super::place::{Kind, Lease, Place, Role};
use super::receiver::Receiving;
use super::sender::Sending;
use super::stream::watch;
use super::TransportOptions;
use crate::error::{from_errno, Context, Error, Result};
use crate::sys::stream::{self, For};
use crate::sys::{file, process, socket as sys, Errno};
use crate::wait::Deadline;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

pub(super) const SOCKET: Kind = Kind { suffix: ".sock", what: "socket", is: |facts| facts.is_socket };

/// First byte of a message: bytes follow.
const DATA: u8 = 0;
/// First byte of a message: a descriptor comes with it.
const DESCRIPTOR: u8 = 1;
/// What the kernel keeps of the room for itself, and the first byte.
const OVERHEAD: usize = 32 + 1;
/// Connections that wait for the one before to end. There is one sender: two, while it is replaced.
const BACKLOG: i32 = 4;

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

pub(super) fn receiver(name: &str, options: &TransportOptions) -> Result<SocketReceiver> {
    let place = Place::find(name, options, &SOCKET)?;
    let lease = place.take(Role::Receiver, options)?;
    let socket = listen(&place, options)?;
    let listening = Listening { name: Arc::clone(&place.name), socket, watcher: None, lease };
    Ok(SocketReceiver { connected: None, listening: Some(listening), ended: false })
}

/// A socket that gets its name when it is complete.
fn listen(place: &Place, options: &TransportOptions) -> Result<Descriptor> {
    let new = place.new_file();
    place.make_way()?;
    let socket = Descriptor::own(sys::new).map_err(|e| place.error("socket", e))?;
    sys::bind(socket.as_fd(), place.at(), &new).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => too_long(),
        errno => place.error("bind", errno),
    })?;
    let made = file::path(place.at(), &new).map_err(|e| place.not_opened(&new, e))?;
    place.check_opened(made.as_fd(), &new)?;
    file::set_mode_of_path(made.as_fd(), options.mode()).map_err(|e| place.error("chmod", e))?;
    sys::listen(socket.as_fd(), BACKLOG).map_err(|e| place.error("listen", e))?;
    place.publish()?;
    Ok(socket)
}

fn too_long() -> Error {
    Error::invalid("a socket's address has 108 bytes, and a name in it at most about 72")
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connected {
    name: Arc<str>,
    socket: Descriptor,
    /// Its receiver's watcher watches it.
    watched: bool,
}

impl Connected {
    fn of(name: Arc<str>, socket: Descriptor) -> Connected {
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

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
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
    fn peek(&self, patience: &Patience) -> Result<Option<(u8, usize)>> {
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
    fn take(&self, to: &mut [u8]) -> Result<usize> {
        let (len, _, _) = sys::receive(self.fd(), &mut [0], to).map_err(|e| self.error("recvmsg", e))?;
        Ok(len.saturating_sub(1))
    }

    /// The descriptor of the next message. If there can be none now, the message stays.
    fn take_fd(&self) -> Result<OwnedFd> {
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

    fn of_another_kind(&self, kind: u8) -> Error {
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
        self.connected.as_ref().ok_or(Error::WouldBlock)
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
        self.connected.and_then(|connected| connected.socket.into_fd())
    }

    /// For another process, if it has no name.
    pub(super) fn share(&self) -> Option<BorrowedFd<'_>> {
        self.connected.as_ref().and_then(|connected| connected.socket.share())
    }
}

/// Where a receiver is called.
#[derive(Debug)]
struct Listening {
    name: Arc<str>,
    socket: Descriptor,
    /// Readable when this or the connection is; once it was asked for.
    watcher: Option<OwnedFd>,
    lease: Lease,
}

impl Listening {
    fn try_accept(&self) -> Result<Option<Connected>> {
        let socket = match Descriptor::own(|| sys::accept(self.socket.as_fd())) {
            Ok(socket) => socket,
            Err(Errno::EAGAIN | Errno::ECONNABORTED) => return Ok(None),
            Err(errno) => return Err(from_errno(&self.name, "accept4", errno)),
        };
        Ok(Some(Connected::of(Arc::clone(&self.name), socket)))
    }

    /// Has the watcher, if there is one, watch a connection.
    fn see_to(&self, connected: &mut Connected) -> Result<()> {
        if let Some(watcher) = self.watcher.as_ref().filter(|_| !connected.watched) {
            watch(&self.name, watcher.as_fd(), connected.fd())?;
            connected.watched = true;
        }
        Ok(())
    }
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct SocketReceiver {
    connected: Option<Connected>,
    listening: Option<Listening>,
    /// The sender before went, and none came since.
    ended: bool,
}

impl From<Connected> for SocketReceiver {
    fn from(connected: Connected) -> SocketReceiver {
        SocketReceiver { connected: Some(connected), listening: None, ended: false }
    }
}

impl SocketReceiver {
    pub(super) fn recv(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        let len = self.find(DATA, deadline)?;
        let connected = self.connected()?;
        let available = buffer.len();
        let to = buffer.get_mut(..len).ok_or(Error::TooBig { needed: len, available })?;
        connected.take(to)
    }

    pub(super) fn recv_fd(&mut self, deadline: Deadline) -> Result<OwnedFd> {
        self.find(DESCRIPTOR, deadline)?;
        self.connected()?.take_fd()
    }

    fn connected(&self) -> Result<&Connected> {
        self.connected.as_ref().ok_or(Error::WouldBlock)
    }

    /// Length of the next message, which must be of this kind, from this sender or the next one.
    fn find(&mut self, kind: u8, deadline: Deadline) -> Result<usize> {
        if let Some(listening) = &self.listening {
            listening.lease.check_not_inherited()?;
        }
        let deadline = deadline.started();
        let connected = self.accept(deadline)?;
        let (name, patience) = (Arc::clone(&connected.name), Patience::new(&connected.name, deadline));
        let error = match connected.peek(&patience)? {
            Some((found, len)) if found == kind => return Ok(len),
            Some((other, _)) => connected.of_another_kind(other),
            None => Error::Closed(Context::new(&name, "the sender closed and nothing is left")),
        };
        // It went, or is a stranger: neither keeps the next one out.
        if self.listening.is_some() && !matches!(error, Error::Mismatch(_)) {
            (self.connected, self.ended) = (None, true);
        }
        Err(error)
    }

    /// The connection, or the next one.
    fn accept(&mut self, deadline: Deadline) -> Result<&Connected> {
        if let Some(listening) = &self.listening {
            let patience = Patience::new(&listening.name, deadline);
            while self.connected.is_none() {
                self.connected = listening.try_accept()?;
                match self.connected {
                    Some(_) => self.ended = false,
                    None if self.ended => {
                        let detail = "the sender closed and nothing is left; no other came yet";
                        return Err(Error::Closed(Context::new(&listening.name, detail)));
                    }
                    None => patience.nap(listening.socket.as_fd(), For::Reading)?,
                }
            }
            self.connected.as_mut().map_or(Ok(()), |connected| listening.see_to(connected))?;
        }
        self.connected()
    }

    pub(super) fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        if self.listening.is_none() {
            return self.connected().map(Connected::fd);
        }
        let Some(listening) = &mut self.listening else { return Err(Error::WouldBlock) };
        listening.lease.check_not_inherited()?;
        if listening.watcher.is_none() {
            let watcher = sys::watcher().map_err(|e| from_errno(&listening.name, "epoll_create1", e))?;
            watch(&listening.name, watcher.as_fd(), listening.socket.as_fd())?;
            listening.watcher = Some(watcher);
        }
        if self.connected.is_none() {
            // A connection is nothing to receive yet.
            self.connected = listening.try_accept()?;
            self.ended &= self.connected.is_none();
        }
        self.connected.as_mut().map_or(Ok(()), |connected| listening.see_to(connected))?;
        Ok(listening.watcher.as_ref().map_or(listening.socket.as_fd(), AsFd::as_fd))
    }

    /// Its descriptor, if it has no name.
    pub(super) fn into_fd(self) -> Option<OwnedFd> {
        self.connected.and_then(|connected| connected.socket.into_fd())
    }

    /// For another process, if it has no name.
    pub(super) fn share(&self) -> Option<BorrowedFd<'_>> {
        self.connected.as_ref().and_then(|connected| connected.socket.share())
    }
}
