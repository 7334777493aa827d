//! Peer: POSIX message queues, one for each direction, by the C library's calls.
//!
//! Each message is given the same priority, since the receiver checks that they come in order. As deep as the others if the host
//! allows it (a privileged process may), else as deep as it does. Spinning, both sides try again and again; blocking, and one
//! way, they make calls that wait.

use std::ffi::CString;

use crate::endpoint::{Endpoint, Link, Side};
use crate::workload::Shape;
use crate::{signals, Error, Result};

/// Of every message; anything but the lowest.
const PRIORITY: libc::c_uint = 1;

/// One end: both queues.
pub struct PosixMq {
    out: libc::mqd_t,
    inward: libc::mqd_t,
    size: usize,
}

/// The names of the queues there and back.
fn names(link: &Link) -> [CString; 2] {
    let name = |direction: &str| CString::new(format!("/{}-{direction}", link.label));
    ["there", "back"].map(|direction| name(direction).unwrap_or_default())
}

fn failed(call: &str) -> Error {
    Error(format!("{call}: {}", std::io::Error::last_os_error()))
}

/// Has the kernel give this process's user as much as queues of `bytes` need, if it may.
fn raise_limit(bytes: usize) {
    let all = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: bytes as libc::rlim_t };
    // SAFETY: reads one rlimit. Where it is refused, queues are as deep as they can be without.
    unsafe { libc::setrlimit(libc::RLIMIT_MSGQUEUE, &all) };
}

fn create(name: &CString, messages: usize, size: usize, flags: libc::c_int) -> libc::mqd_t {
    // SAFETY: an all-zero mq_attr is valid; the call reads it and the name.
    unsafe {
        let mut attributes: libc::mq_attr = std::mem::zeroed();
        attributes.mq_maxmsg = messages as _;
        attributes.mq_msgsize = size as _;
        libc::mq_open(name.as_ptr(), flags | libc::O_CREAT | libc::O_EXCL, 0o600, &attributes)
    }
}

fn open(link: &Link, side: Side, name: &CString) -> Result<libc::mqd_t> {
    let size = link.workload.size;
    let waits = link.workload.blocks() || link.workload.shape == Shape::OneWay;
    let flags = libc::O_RDWR | libc::O_CLOEXEC | if waits { 0 } else { libc::O_NONBLOCK };
    if side == Side::Far {
        // SAFETY: the call reads the name.
        let queue = unsafe { libc::mq_open(name.as_ptr(), flags) };
        return if queue < 0 { Err(failed("mq_open")) } else { Ok(queue) };
    }
    let limit = std::fs::read_to_string("/proc/sys/fs/mqueue/msg_max").unwrap_or_default();
    let depths = [link.workload.capacity() / size, limit.trim().parse().unwrap_or(10)];
    raise_limit(8 * link.workload.capacity());
    let queue = depths.map(|messages| messages.max(1)).into_iter().find_map(|messages| {
        let queue = create(name, messages, size, flags);
        (queue >= 0).then_some(queue)
    });
    queue.ok_or_else(|| failed("mq_open"))
}

/// The outcome of a call that moves a message: nothing yet if it would have to wait.
fn moved(outcome: isize, call: &str) -> Option<Result<usize>> {
    if outcome >= 0 {
        return Some(Ok(outcome as usize));
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => None,
        _ => Some(Err(failed(call))),
    }
}

impl Endpoint for PosixMq {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let [there, back] = names(link);
        let (there, back) = (open(link, side, &there)?, open(link, side, &back)?);
        if side == Side::Far {
            Self::cleanup(link);
        }
        let (out, inward) = if side == Side::Near { (there, back) } else { (back, there) };
        Ok(PosixMq { out, inward, size: link.workload.size })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        signals::spin(|| {
            // SAFETY: the call reads the payload.
            let outcome =
                unsafe { libc::mq_send(self.out, payload.as_ptr().cast(), payload.len(), PRIORITY) };
            moved(outcome as isize, "mq_send")
        })??;
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let mut priority = 0;
        let len = signals::spin(|| {
            let buffer = payload.as_mut_ptr().cast();
            // SAFETY: the call writes into the payload, and the priority.
            let outcome = unsafe { libc::mq_receive(self.inward, buffer, payload.len(), &mut priority) };
            moved(outcome, "mq_receive")
        })??;
        if len != self.size || priority != PRIORITY {
            return Err("a message had another length or priority".into());
        }
        Ok(())
    }

    fn cleanup(link: &Link) {
        for name in names(link) {
            // SAFETY: the call reads the name.
            let _gone_already = unsafe { libc::mq_unlink(name.as_ptr()) };
        }
    }
}

impl Drop for PosixMq {
    fn drop(&mut self) {
        for queue in [self.out, self.inward] {
            // SAFETY: opened by `connect` and closed only here.
            unsafe { libc::mq_close(queue) };
        }
    }
}
