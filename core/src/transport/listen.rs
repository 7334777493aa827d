//! The receiving end of a socket: it listens under its name, and has one connection at a time.

use super::nap::{Descriptor, Patience, NOBODY};
use super::place::{Lease, Place, Role};
use super::stream::watch;
use super::unix::{too_long, Connected, DATA, DESCRIPTOR, SOCKET};
use super::TransportOptions;
use crate::error::{from_errno, Context, Error, Result};
use crate::sys::stream::For;
use crate::sys::{file, socket as sys, Errno};
use crate::wait::Deadline;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Connections that wait for the one before to end. There is one sender: two, while it is replaced.
const BACKLOG: i32 = 4;

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
        self.connected.as_ref().ok_or(Error::WouldBlock(NOBODY))
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
        let Some(listening) = &mut self.listening else { return Err(Error::WouldBlock(NOBODY)) };
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
        self.connected.and_then(Connected::into_fd)
    }

    /// For another process, if it has no name.
    pub(super) fn share(&self) -> Option<BorrowedFd<'_>> {
        self.connected.as_ref().and_then(Connected::share)
    }
}
