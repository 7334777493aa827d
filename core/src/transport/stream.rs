//! The ends of a pipe or FIFO: framed, without SIGPIPE, connected when the other end is there.

use super::fifo::{Connecting, Made};
use super::frame::{FrameReader, FrameWriter, Sink, Source};
use super::nap::{anonymous, Descriptor, Patience, EMPTY, FULL, NOBODY};
use super::receiver::{keeps, Receiving};
use super::sender::Sending;
use super::TransportOptions;
use crate::error::{from_errno, Context, Error, Result};
use crate::sys::stream::{self as sys, For, Ready};
use crate::sys::{file, socket, Errno};
use crate::wait::Deadline;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Both ends of a new pipe.
pub(super) fn pair(options: &TransportOptions) -> Result<(Sending, Receiving)> {
    let (reader, writer) = sys::pipe().map_err(|e| from_errno(&anonymous(), "pipe2", e))?;
    make_room(&anonymous(), writer.as_fd(), options)?;
    Ok((Sending::Stream(Writer::from_fd(writer)?), Receiving::Stream(Reader::from_fd(reader)?)))
}

/// Gives a pipe the capacity that was asked for.
pub(super) fn make_room(name: &Arc<str>, fd: BorrowedFd<'_>, options: &TransportOptions) -> Result<()> {
    if options.capacity == 0 {
        return Ok(());
    }
    let bytes = usize::try_from(options.capacity).unwrap_or(usize::MAX);
    sys::set_room(fd, bytes).map_err(|errno| match errno {
        Errno::EPERM | Errno::EINVAL | Errno::ENOMEM => Error::NoSpace(Context::new(
            name,
            format!("{bytes} bytes for a pipe are more than /proc/sys/fs/pipe-max-size or pipe-user-pages-soft allow"),
        )),
        errno => from_errno(name, "fcntl(F_SETPIPE_SZ)", errno),
    })
}

/// Of a descriptor that somebody gave: that it is this end of a pipe; from now on, calls on it do not wait.
fn check_is_end(name: &Arc<str>, fd: BorrowedFd<'_>, what: For) -> Result<()> {
    let facts = file::facts(fd).map_err(|e| from_errno(name, "fstat", e))?;
    if !facts.is_fifo || !sys::is_open_for(fd, what).map_err(|e| from_errno(name, "fcntl(F_GETFL)", e))? {
        return Err(Error::invalid("the descriptor is not this end of a pipe"));
    }
    sys::set_nonblocking(fd).map_err(|e| from_errno(name, "fcntl(F_SETFL)", e))
}

/// The end that writes.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) name: Arc<str>,
    /// `None` of a FIFO until a receiver is there.
    pub(super) fd: Option<Descriptor>,
    /// Of a FIFO.
    pub(super) connecting: Option<Connecting>,
    pub(super) frames: FrameWriter,
}

impl Writer {
    pub(super) fn from_fd(fd: OwnedFd) -> Result<Writer> {
        let name = anonymous();
        check_is_end(&name, fd.as_fd(), For::Writing)?;
        let fd = Some(Descriptor::Anyones(fd));
        Ok(Writer { name, fd, connecting: None, frames: FrameWriter::default() })
    }

    pub(super) fn send(&mut self, data: &[u8], deadline: Deadline) -> Result<()> {
        self.with_sink(deadline, |frames, sink| frames.send(sink, data))
    }

    /// Connects, and works on the frames; disconnects if the receiver went.
    pub(super) fn with_sink<T>(
        &mut self,
        deadline: Deadline,
        work: impl FnOnce(&mut FrameWriter, &mut Pipe<'_>) -> Result<T>,
    ) -> Result<T> {
        let patience = Patience::new(&self.name, deadline);
        self.connect(&patience)?;
        let Some(fd) = &self.fd else { return Err(self.went()) };
        let done = work(&mut self.frames, &mut Pipe { fd: fd.as_fd(), patience });
        if matches!(done, Err(Error::Closed(_))) {
            self.disconnect();
        }
        done
    }

    /// Whoever receives next begins with a whole message.
    pub(super) fn disconnect(&mut self) {
        self.frames.forget();
        if self.connecting.is_some() {
            self.fd = None;
        }
    }

    /// Nothing can be sent through this end any more: what it began cannot be finished.
    pub(super) fn break_off(&mut self) {
        self.frames.forget();
        self.fd = None;
    }

    pub(super) fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.connect(&Patience::new(&self.name, Deadline::NOW))?;
        self.fd.as_ref().map(AsFd::as_fd).ok_or_else(|| self.went())
    }

    /// Its descriptor, if it has no name.
    pub(super) fn into_fd(self) -> Result<Option<OwnedFd>> {
        if self.frames.is_begun() {
            return Err(keeps());
        }
        Ok(self.fd.and_then(Descriptor::into_fd))
    }

    /// For another process, if it has no name.
    pub(super) fn share(&self) -> Result<Option<BorrowedFd<'_>>> {
        if self.frames.is_begun() {
            return Err(keeps());
        }
        Ok(self.fd.as_ref().and_then(Descriptor::share))
    }

    fn went(&self) -> Error {
        Error::Closed(Context::new(&self.name, "the sender broke a message off; open it anew"))
    }

    pub(super) fn connect(&mut self, patience: &Patience) -> Result<()> {
        let Some(connecting) = &self.connecting else { return Ok(()) };
        connecting.check_not_inherited()?;
        while self.fd.is_none() {
            match connecting.try_connect()? {
                Some(fd) => self.fd = Some(fd),
                None => patience.nap_for_nothing()?,
            }
        }
        Ok(())
    }
}

/// The end that reads.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) name: Arc<str>,
    pub(super) fd: Descriptor,
    frames: FrameReader,
    /// Of a FIFO.
    made: Option<Made>,
    /// The sender before went, and none came since.
    ended: bool,
    /// Readable when the FIFO is, also the next one; once it was asked for.
    watcher: Option<OwnedFd>,
}

impl Reader {
    pub(super) fn from_fd(fd: OwnedFd) -> Result<Reader> {
        let name = anonymous();
        check_is_end(&name, fd.as_fd(), For::Reading)?;
        Ok(Reader::of(name, Descriptor::Anyones(fd), None))
    }

    pub(super) fn of(name: Arc<str>, fd: Descriptor, made: Option<Made>) -> Reader {
        Reader { name, fd, frames: FrameReader::default(), made, ended: false, watcher: None }
    }

    /// Its descriptor, if it has no name.
    pub(super) fn into_fd(self) -> Result<Option<OwnedFd>> {
        if self.frames.is_begun() {
            return Err(keeps());
        }
        Ok(self.fd.into_fd())
    }

    /// For another process, if it has no name.
    pub(super) fn share(&self) -> Result<Option<BorrowedFd<'_>>> {
        if self.frames.is_begun() {
            return Err(keeps());
        }
        Ok(self.fd.share())
    }

    pub(super) fn recv(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<usize> {
        self.prepare()?;
        let fifo = self.made.is_some();
        let patience = Patience::new(&self.name, deadline);
        let mut feed = Feed { fd: self.fd.as_fd(), patience, fifo, ended: &mut self.ended };
        self.frames.recv(&mut feed, buffer)
    }

    /// Of a FIFO: makes a new one for the next sender, if it is over with this one.
    fn prepare(&mut self) -> Result<()> {
        let Some(made) = &self.made else { return Ok(()) };
        made.check_not_inherited()?;
        if self.ended && made.is_over(self.fd.as_fd())? {
            let next = made.make()?;
            if let Some(watcher) = &self.watcher {
                watch(&self.name, watcher.as_fd(), next.as_fd())?; // Otherwise the next call makes another.
            }
            self.fd = next;
        }
        Ok(())
    }

    pub(super) fn poll_fd(&mut self) -> Result<BorrowedFd<'_>> {
        self.prepare()?;
        if self.made.is_some() && self.watcher.is_none() {
            let watcher = socket::watcher().map_err(|e| from_errno(&self.name, "epoll_create1", e))?;
            watch(&self.name, watcher.as_fd(), self.fd.as_fd())?;
            self.watcher = Some(watcher);
        }
        Ok(self.watcher.as_ref().map_or(self.fd.as_fd(), AsFd::as_fd))
    }
}

pub(super) fn watch(name: &Arc<str>, watcher: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<()> {
    socket::watch(watcher, fd).map_err(|e| from_errno(name, "epoll_ctl", e))
}

/// The descriptor that is written, with the patience of one call.
#[derive(Debug)]
pub(super) struct Pipe<'a> {
    pub(super) fd: BorrowedFd<'a>,
    patience: Patience,
}

impl Pipe<'_> {
    /// What a failed write, or splice, means.
    pub(super) fn failed(&self, call: &'static str, errno: Errno) -> Error {
        match errno {
            Errno::EAGAIN => Error::WouldBlock(FULL),
            Errno::EPIPE => Error::Closed(Context::new(&self.patience.name, "the receiver went")),
            errno => from_errno(&self.patience.name, call, errno),
        }
    }
}

impl Sink for Pipe<'_> {
    fn write(&mut self, parts: [&[u8]; 2]) -> Result<usize> {
        sys::write(self.fd, parts).map_err(|e| self.failed("writev", e))
    }

    fn wait(&mut self) -> Result<()> {
        self.patience.nap(self.fd, For::Writing)
    }
}

/// The descriptor that is read, with the patience of one call.
#[derive(Debug)]
struct Feed<'a> {
    fd: BorrowedFd<'a>,
    patience: Patience,
    /// Reading nothing means that nobody can write any more; of a FIFO, also that nobody came yet.
    fifo: bool,
    ended: &'a mut bool,
}

impl Feed<'_> {
    /// What it means that there is nothing, and nobody who writes.
    fn nobody(&mut self, to: &mut [u8]) -> Result<usize> {
        let ready = state(&self.patience.name, self.fd)?;
        if self.fifo && ready.readable {
            return self.read(to); // Somebody came meanwhile, and wrote.
        }
        if self.fifo && !ready.hung_up && !*self.ended {
            return Err(Error::WouldBlock(NOBODY));
        }
        *self.ended = true;
        Err(self.closed())
    }
}

/// What there is to read, without waiting for it.
pub(super) fn state(name: &Arc<str>, fd: BorrowedFd<'_>) -> Result<Ready> {
    sys::wait([(fd, For::Reading)], 0).map(|[ready]| ready).map_err(|e| from_errno(name, "ppoll", e))
}

impl Source for Feed<'_> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        match sys::read(self.fd, to) {
            Ok(0) => self.nobody(to),
            Ok(bytes) => {
                *self.ended = false;
                Ok(bytes)
            }
            Err(Errno::EAGAIN) => {
                *self.ended = false; // Somebody is there who can write.
                Err(Error::WouldBlock(EMPTY))
            }
            Err(errno) => Err(from_errno(&self.patience.name, "read", errno)),
        }
    }

    fn wait(&mut self) -> Result<()> {
        self.patience.nap(self.fd, For::Reading)
    }

    fn left(&mut self) -> Result<Option<usize>> {
        if !state(&self.patience.name, self.fd)?.hung_up {
            return Ok(None);
        }
        let left = sys::bytes_to_read(self.fd);
        left.map(Some).map_err(|e| from_errno(&self.patience.name, "ioctl(FIONREAD)", e))
    }

    fn closed(&self) -> Error {
        Error::Closed(Context::new(&self.patience.name, "the sender closed and nothing is left"))
    }
}
