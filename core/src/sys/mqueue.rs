//! POSIX message queues. A queue's descriptor is a file descriptor on Linux: it is polled, inherited and closed as one.

use super::SysResult;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// How many messages a queue holds, and how long each may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) messages: usize,
    pub(crate) size: usize,
}

fn name_of(name: &str) -> SysResult<CString> {
    CString::new(format!("/{name}")).map_err(|_| Errno::EINVAL)
}

fn owned(queue: libc::mqd_t) -> SysResult<OwnedFd> {
    // SAFETY: on Linux a queue's descriptor is a file descriptor; this one was just made and is nobody else's.
    Errno::result(queue).map(|queue| unsafe { OwnedFd::from_raw_fd(queue) })
}

const OPEN: libc::c_int = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;

/// Opens a queue that exists. `mqd_t mq_open(const char *, O_RDWR | O_NONBLOCK)`
pub(crate) fn open(name: &str) -> SysResult<OwnedFd> {
    let name = name_of(name)?;
    // SAFETY: the name is zero-terminated and lives across the call.
    owned(unsafe { libc::mq_open(name.as_ptr(), OPEN) })
}

/// Makes a queue that must be new.
/// `mqd_t mq_open(const char *, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, struct mq_attr *)`
pub(crate) fn create(name: &str, wanted: Attributes) -> SysResult<OwnedFd> {
    let name = name_of(name)?;
    // SAFETY: plain integers, for which zero is a value.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    attributes.mq_maxmsg = wanted.messages.try_into().map_err(|_| Errno::EINVAL)?;
    attributes.mq_msgsize = wanted.size.try_into().map_err(|_| Errno::EINVAL)?;
    let (flags, mode) = (OPEN | libc::O_CREAT | libc::O_EXCL, 0o600 as libc::c_uint);
    // SAFETY: name and attributes live across the call; the arguments behind the flags are those of O_CREAT.
    owned(unsafe { libc::mq_open(name.as_ptr(), flags, mode, &mut attributes as *mut libc::mq_attr) })
}

/// `int mq_unlink(const char *)`
pub(crate) fn unlink(name: &str) -> SysResult<()> {
    let name = name_of(name)?;
    // SAFETY: the name is zero-terminated and lives across the call.
    Errno::result(unsafe { libc::mq_unlink(name.as_ptr()) }).map(drop)
}

/// `int mq_getattr(mqd_t, struct mq_attr *)`
pub(crate) fn attributes(queue: BorrowedFd<'_>) -> SysResult<Attributes> {
    // SAFETY: plain integers, for which zero is a value.
    let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills the structure.
    Errno::result(unsafe { libc::mq_getattr(queue.as_raw_fd(), &mut attributes) })?;
    let [messages, size] = [attributes.mq_maxmsg, attributes.mq_msgsize].map(|n| n as usize);
    Ok(Attributes { messages, size })
}

/// Puts a message into the queue, which does not wait. `int mq_send(mqd_t, const char *, size_t, unsigned int)`
pub(crate) fn send(queue: BorrowedFd<'_>, message: &[u8], priority: u32) -> SysResult<()> {
    // SAFETY: reads `message.len()` bytes of the message.
    let sent = unsafe { libc::mq_send(queue.as_raw_fd(), message.as_ptr().cast(), message.len(), priority) };
    Errno::result(sent).map(drop)
}

/// Takes the oldest message of the highest priority: its length and priority. The buffer has room for the queue's longest.
/// `ssize_t mq_receive(mqd_t, char *, size_t, unsigned int *)`
pub(crate) fn receive(queue: BorrowedFd<'_>, to: &mut [u8]) -> SysResult<(usize, u32)> {
    let mut priority = 0;
    // SAFETY: the kernel writes at most `to.len()` bytes to `to`.
    let received =
        unsafe { libc::mq_receive(queue.as_raw_fd(), to.as_mut_ptr().cast(), to.len(), &mut priority) };
    Errno::result(received).map(|len| (len as usize, priority))
}

/// Has this process told, once, of the next message that comes when the queue is empty: by a signal with a value. `None` ends
/// that, if it was this process. `int mq_notify(mqd_t, const struct sigevent *)`
///
/// # Errors
/// `EBUSY` if a process is to be told, also if it is this one.
pub(crate) fn notify(queue: BorrowedFd<'_>, signal: Option<(i32, u32)>) -> SysResult<()> {
    let event = signal.map(|(signal, value)| {
        // SAFETY: plain integers and pointers, for which zero is a value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signal;
        event.sigev_value = libc::sigval { sival_ptr: value as usize as *mut libc::c_void };
        event
    });
    let event = event.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the event, if there is one, lives across the call.
    Errno::result(unsafe { libc::mq_notify(queue.as_raw_fd(), event) }).map(drop)
}

/// A limit or default of the host, by its name in `/proc/sys/fs/mqueue`, if it is told.
pub(crate) fn host(limit: &str) -> Option<usize> {
    super::file::told_number(&format!("/proc/sys/fs/mqueue/{limit}"))?.try_into().ok()
}
