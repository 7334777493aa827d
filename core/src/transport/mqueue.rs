//! POSIX message queues. The kernel's own timeouts are on the wall clock; these descriptors do not wait, and are polled with a
//! deadline on the monotonic one.

use super::nap::{anonymous, Patience, EMPTY};
use super::receiver::Receiving;
use super::sender::Sending;
use super::TransportOptions;
use crate::error::{from_errno, Context, Error, Result};
use crate::name;
use crate::segment::Segment;
use crate::sys::mqueue::{self as sys, Attributes};
use crate::sys::stream::{self, For};
use crate::sys::{file, fork, process, signal, Errno};
use crate::wait::Deadline;
use crate::watch::check_signal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// How often others may get between two steps of an opening before it gives up.
const ATTEMPTS: usize = 64;

/// An open queue: either end.
#[derive(Debug)]
pub(super) struct Queue {
    name: Arc<str>,
    fd: OwnedFd,
    attributes: Attributes,
    /// A message that was received and did not fit into the buffer, and its priority.
    kept: Option<(Vec<u8>, u32)>,
    notice: Option<Notice>,
}

/// A signal that this end's process is to get when there is a message.
#[derive(Clone, Copy, Debug)]
struct Notice {
    signal: i32,
    /// Of the process that asked for it: not a forked child.
    generation: u32,
}

/// Both ends of a queue whose name is removed at once.
pub(super) fn pair(options: &TransportOptions) -> Result<(Sending, Receiving)> {
    let name = anonymous();
    let mut random = [0; 8];
    process::random(&mut random).map_err(|e| from_errno(&name, "getrandom", e))?;
    let temporary = format!("{}new.{:016x}", name::PREFIX, u64::from_ne_bytes(random));
    let tx = create(&name, &temporary, options)?;
    let rx = sys::open(&temporary);
    sys::unlink(&temporary).map_err(|e| failed(&name, "mq_unlink", e))?;
    let rx = rx.map_err(|e| failed(&name, "mq_open", e))?;
    Ok((Sending::Queue(Queue::of(name.clone(), tx)?), Receiving::Queue(Queue::of(name, rx)?)))
}

/// The queue of this name, made if there is none.
pub(super) fn named(name: &str, options: &TransportOptions) -> Result<Queue> {
    let (file, name) = (name::file_name(name)?, Arc::from(name));
    for _ in 0..ATTEMPTS {
        match sys::open(&file) {
            Ok(fd) => return Queue::of(name, fd)?.agreed(options),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(failed(&name, "mq_open", errno)),
        }
        match create(&name, &file, options) {
            Err(Error::Exists(_)) => {}
            made => return Queue::of(name, made?),
        }
    }
    Err(Error::Exists(Context::new(&name, "other processes create and unlink it all the time; give up")))
}

pub(super) fn unlink(name: &str) -> Result<()> {
    let file = name::file_name(name)?;
    let name = Arc::from(name);
    sys::unlink(&file).map_err(|errno| match errno {
        Errno::ENOENT => Error::NotFound(Context::new(&name, "no such message queue: nothing to unlink")),
        errno => failed(&name, "mq_unlink", errno),
    })
}

fn create(name: &Arc<str>, file: &str, options: &TransportOptions) -> Result<OwnedFd> {
    let or = |asked: usize, limit: &str, most: usize| match asked {
        0 => crate::sys::mqueue::host(limit).unwrap_or(most),
        asked => asked,
    };
    let wanted = Attributes {
        messages: or(options.messages, "msg_default", 10),
        size: or(options.message_size, "msgsize_default", 8192),
    };
    let fd = sys::create(file, wanted).map_err(|errno| refused(name, wanted, errno))?;
    let done = file::set_mode(fd.as_fd(), options.mode());
    done.map(|()| fd).map_err(|errno| {
        let _ = sys::unlink(file); // What is half made is nobody's.
        from_errno(name, "fchmod", errno)
    })
}

/// A queue that could not be made.
fn refused(name: &Arc<str>, wanted: Attributes, errno: Errno) -> Error {
    let limit = |file: &str| sys::host(file).map_or("unknown".to_owned(), |n| n.to_string());
    let Attributes { messages, size } = wanted;
    let asked = format!("a queue of {messages} messages of {size} bytes was asked for");
    let detail = match errno {
        Errno::EINVAL | Errno::EOVERFLOW => format!(
            "{asked}; /proc/sys/fs/mqueue allows msg_max {} and msgsize_max {}: ask for less, or raise them",
            limit("msg_max"),
            limit("msgsize_max")
        ),
        Errno::ENOSPC => format!(
            "the host has its {} queues (/proc/sys/fs/mqueue/queues_max); unlink some, or raise it",
            limit("queues_max")
        ),
        Errno::EMFILE | Errno::ENOMEM => {
            format!(
                "{asked}: more than `ulimit -q` allows for all queues of the user, or too many open files"
            )
        }
        errno => return failed(name, "mq_open", errno),
    };
    Error::NoSpace(Context::new(name, detail))
}

fn failed(name: &Arc<str>, call: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::ENOSYS => Error::Os {
            errno: errno as i32,
            call,
            context: Box::new(Context::new(
                name,
                "this kernel has no POSIX message queues; choose another transport",
            )),
        },
        errno => from_errno(name, call, errno),
    }
}

impl Queue {
    fn of(name: Arc<str>, fd: OwnedFd) -> Result<Queue> {
        let facts = file::facts(fd.as_fd()).map_err(|e| from_errno(&name, "fstat", e))?;
        Segment::check_trust(&name, facts.owner, facts.group, facts.mode)?;
        let attributes = sys::attributes(fd.as_fd()).map_err(|e| failed(&name, "mq_getattr", e))?;
        Ok(Queue { name, fd, attributes, kept: None, notice: None })
    }

    pub(super) fn from_fd(fd: OwnedFd) -> Result<Queue> {
        if let Err(Errno::EBADF) = sys::attributes(fd.as_fd()) {
            return Err(Error::invalid("the descriptor is no message queue"));
        }
        let queue = Queue::of(anonymous(), fd)?;
        // Last: what is refused stays as it was, for whoever else has it.
        stream::set_nonblocking(queue.fd()).map_err(|e| from_errno(&queue.name, "fcntl(F_SETFL)", e))?;
        Ok(queue)
    }

    /// Itself, if it is as the options ask.
    fn agreed(self, options: &TransportOptions) -> Result<Queue> {
        let Attributes { messages, size } = self.attributes;
        let differs = |asked: usize, has: usize| asked != 0 && asked != has;
        if differs(options.messages, messages) || differs(options.message_size, size) {
            let detail = format!(
                "the queue exists, for {messages} messages of {size} bytes; {} of {} were asked for (0: any)",
                options.messages, options.message_size
            );
            return Err(Error::Mismatch(Context::new(&self.name, detail)));
        }
        Ok(self)
    }

    pub(super) fn longest(&self) -> usize {
        self.attributes.size
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// True if it has taken a message that nobody has received.
    pub(super) fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn into_fd(mut self) -> OwnedFd {
        self.forget_notice();
        self.fd
    }

    /// See [`Receiver::signal`](super::Receiver::signal).
    pub(super) fn signal(&mut self, signal: Option<i32>) -> Result<()> {
        if let Some(signal) = signal {
            check_signal(signal)?;
        }
        self.forget_notice();
        let Some(signal) = signal else { return Ok(()) };
        self.notice = Some(Notice { signal, generation: fork::watched_generation() });
        let told = self.arm().and_then(|_| self.tell_now(signal));
        if told.is_err() {
            self.forget_notice();
        }
        told
    }

    /// Has the kernel tell of the next message, if that is asked for; it does so once, and only of one that finds the queue empty.
    /// So this comes before a look that finds nothing: what came between a look and this is told of by nobody.
    fn arm(&self) -> Result<bool> {
        let Some(notice) = self.notice.filter(|notice| notice.generation == fork::generation()) else {
            return Ok(false);
        };
        // First without: the kernel refuses also where it is this process that is told.
        let armed = sys::notify(self.fd(), None)
            .and_then(|()| sys::notify(self.fd(), Some((notice.signal, self.fd.as_raw_fd() as u32))));
        armed.map(|()| true).map_err(|errno| match errno {
            Errno::EBUSY => Error::RoleTaken(Context::new(
                &self.name,
                "another process is told of this queue's messages (mq_notify), and only one can be",
            )),
            errno => failed(&self.name, "mq_notify", errno),
        })
    }

    /// Queues the signal if there is a message already.
    fn tell_now(&self, signal: i32) -> Result<()> {
        let [ready] =
            stream::wait([(self.fd(), For::Reading)], 0).map_err(|e| from_errno(&self.name, "ppoll", e))?;
        if (ready.readable || self.keeps()) && !signal::queue(signal, self.fd.as_raw_fd() as u32) {
            let detail = "the user's queue of signals is full (`ulimit -i`)";
            return Err(Error::NoSpace(Context::new(&self.name, detail)));
        }
        Ok(())
    }

    fn forget_notice(&mut self) {
        if self.notice.take().is_some_and(|notice| notice.generation == fork::generation()) {
            let _ = sys::notify(self.fd(), None); // There is no error that another try would mend.
        }
    }

    pub(super) fn send(&self, data: &[u8], priority: u32, deadline: Deadline) -> Result<()> {
        let patience = Patience::new(&self.name, deadline);
        loop {
            match sys::send(self.fd(), data, priority) {
                Ok(()) => return Ok(()),
                Err(Errno::EAGAIN) => patience.nap(self.fd(), For::Writing)?,
                Err(Errno::EMSGSIZE) => {
                    return Err(Error::TooBig { needed: data.len(), available: self.longest() })
                }
                Err(Errno::EINVAL) => {
                    return Err(Error::invalid(format!("priority {priority}: the highest is 32767")))
                }
                Err(errno) => return Err(failed(&self.name, "mq_send", errno)),
            }
        }
    }

    /// The next message and its priority. The kernel takes it out whole: one that does not fit is kept here.
    pub(super) fn recv(&mut self, buffer: &mut [u8], deadline: Deadline) -> Result<(usize, u32)> {
        if self.kept.is_none() && buffer.len() >= self.longest() {
            return self.take(Some(buffer), deadline);
        }
        if self.kept.is_none() {
            self.take(None, deadline)?;
        }
        let Some((message, priority)) = self.kept.take() else { return Err(Error::WouldBlock(EMPTY)) };
        match buffer.get_mut(..message.len()) {
            Some(to) => {
                to.copy_from_slice(&message);
                Ok((message.len(), priority))
            }
            None => {
                let needed = message.len();
                self.kept = Some((message, priority));
                Err(Error::TooBig { needed, available: buffer.len() })
            }
        }
    }

    /// Takes the next message, into a buffer that has room for any, or to be kept.
    fn take(&mut self, buffer: Option<&mut [u8]>, deadline: Deadline) -> Result<(usize, u32)> {
        let mut own = if buffer.is_none() { vec![0; self.longest()] } else { Vec::new() };
        let keep = buffer.is_none();
        let to = buffer.unwrap_or(&mut own);
        let patience = Patience::new(&self.name, deadline);
        let (len, priority) = loop {
            if let Some(received) = self.look(to)? {
                break received;
            }
            let Err(nothing) = patience.nap(self.fd(), For::Reading) else { continue };
            // Armed first, then looked: what comes after the look is told of.
            match if self.arm()? { self.look(to)? } else { None } {
                Some(received) => break received,
                None => return Err(nothing),
            }
        };
        if keep {
            own.truncate(len);
            self.kept = Some((own, priority));
        }
        Ok((len, priority))
    }

    /// The next message, if there is one now.
    fn look(&self, to: &mut [u8]) -> Result<Option<(usize, u32)>> {
        match sys::receive(self.fd(), to) {
            Ok(received) => Ok(Some(received)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(failed(&self.name, "mq_receive", errno)),
        }
    }
}
