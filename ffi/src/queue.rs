//! The work queue: opening, pushing, taking, acknowledging.

use crate::arguments::{buffer, bytes, deadline, set_if_wanted, tell_size, Out};
use crate::boundary::{self, Result};
use crate::handles::{self, handle, shared};
use crate::opening::{anonymous, from_fd, open, share_fd};
use crate::options::ipcx_queue_options;
use crate::stats::{self, ipcx_stats, queue_figures};
use ipcx_core::{Queue, Taken};
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::os::fd::AsRawFd;
use std::ptr::null;

/// A handle on a work queue: messages with priorities for whoever takes them first, which come back if that process
/// dies.
///
/// It may be shared between threads, and the messages that it has taken are the handle's, not a thread's. It is one
/// participant of the segment and keeps it mapped.
pub struct ipcx_queue {
    _private: [u8; 0],
}
handle!(ipcx_queue => Queue, b"ipcxWORK", "not an open ipcx_queue (NULL, closed, or something else)");

/// Creates a queue that must be new, and gives a handle on it in `*queue`.
///
/// `opts` may be NULL. The queue appears under its name complete or not at all. Its memory is taken now, so that
/// using it never fails for lack of memory.
///
/// Ownership: the handle is yours; give it back with ipcx_queue_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
/// IPCX_E_INVALID (name, options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_create(
    name: *const c_char,
    opts: *const ipcx_queue_options,
    queue: *mut *mut ipcx_queue,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, queue, Queue::create, None) }
}

/// Attaches to a queue, or creates it if there is none, and gives a handle on it in `*queue`.
///
/// `opts` may be NULL. If the queue exists, max_message, depth, max_deliveries, sync, the number of participants and
/// the schema must be those of the options where these give any (a schema, where both have one); mode, group and wait
/// are for a new one.
/// With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
///
/// Ownership: the handle is yours; give it back with ipcx_queue_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_queue_create() less IPCX_E_EXISTS, and those of ipcx_queue_attach();
/// IPCX_E_MISMATCH also for other options.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_open(
    name: *const c_char,
    opts: *const ipcx_queue_options,
    queue: *mut *mut ipcx_queue,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, queue, Queue::open, Some(Queue::attach_with)) }
}

/// Attaches to a queue that must exist, and gives a handle on it in `*queue`.
///
/// Ownership: the handle is yours; give it back with ipcx_queue_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
/// IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_attach(name: *const c_char, queue: *mut *mut ipcx_queue) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, null::<ipcx_queue_options>(), queue, Queue::attach_with, None) }
}

/// Creates a queue without a name, in a memfd sealed against resizing, and gives a handle on it in `*queue`.
///
/// Hand ipcx_queue_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
/// ipcx_queue_from_fd(). The options' directory, mode and group mean nothing here.
///
/// Ownership: the handle is yours; give it back with ipcx_queue_close(). The memory goes with the last
/// descriptor and handle.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_anonymous(
    opts: *const ipcx_queue_options,
    queue: *mut *mut ipcx_queue,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { anonymous(opts, queue, Queue::anonymous) }
}

/// Attaches to the queue behind a descriptor, and gives a handle on it in `*queue`.
///
/// Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
/// ipcx_queue_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_queue_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_from_fd(fd: c_int, queue: *mut *mut ipcx_queue) -> c_int {
    // SAFETY: pointers as the contract wants them; the descriptor stays open during the call.
    unsafe { from_fd(fd, queue, Queue::from_fd) }
}

/// A new descriptor of the queue to hand to another process; or a negative code.
///
/// It is closed on exec until you say otherwise. It keeps the memory, but nothing that was taken, and no
/// participant's slot.
///
/// Ownership: the descriptor is yours; close it with close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_share_fd(queue: *mut ipcx_queue) -> c_int {
    // SAFETY: an open handle, by the contract.
    unsafe { share_fd(queue, Queue::share_fd) }
}

/// Pushes a copy of `len` bytes as one message of a priority, 0 to 31; waits for room up to `timeout_ns`.
///
/// The message of the highest priority is taken first, and of these the one that was pushed first. Once this returned
/// IPCX_OK, the message is there, whatever becomes of this process.
///
/// Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
/// inside a call on this handle.
/// Ownership: `data` stays yours. It may be NULL if `len` is 0.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG (longer than max_message), IPCX_E_FORKED,
/// IPCX_E_CORRUPT, IPCX_E_INVALID (also another priority): nothing is pushed. IPCX_E_OS, if the queue has `sync` and
/// the disk failed: it may have been pushed.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_push(
    queue: *mut ipcx_queue,
    data: *const c_void,
    len: usize,
    priority: c_uint,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; `len` readable bytes. By the contract.
        let (queue, data) = unsafe { (shared(queue)?, bytes(data, len)?) };
        Ok(queue.push_until(data, priority, deadline(timeout_ns)?)?)
    })
}

/// Copies the next message to `buf`, which has `cap` bytes, and it is gone; its length is in `*len`, and its priority
/// in `*priority`, which may be NULL. Waits for one up to `timeout_ns`.
///
/// If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays: call again with a larger buffer.
///
/// A process killed inside the call may have removed the message without having done anything with it. Where each
/// must be dealt with, call ipcx_queue_take(), and ipcx_queue_ack() when that is done.
///
/// Thread-safe. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_queue_push().
/// Ownership: `buf` stays yours. `buf` may be NULL if `cap` is 0.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID;
/// IPCX_E_OS as ipcx_queue_ack().
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_pop(
    queue: *mut ipcx_queue,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    priority: *mut c_uint,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (queue, len) = unsafe { (shared(queue)?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(buf.cast(), cap) }?;
        match queue.pop_until(to, deadline(timeout_ns)?) {
            Ok(popped) => {
                len.set(popped.len);
                // SAFETY: NULL or writable, by the contract.
                unsafe { set_if_wanted(priority, popped.priority) };
                Ok(())
            }
            Err(failure) => Err(tell_size(failure, len)),
        }
    })
}

/// Copies the next message to `buf`, which has `cap` bytes, and takes it: from now on this handle has it, and nobody
/// else gets it. Its length is in `*len`, its priority in `*priority`, which may be NULL, and what names it in
/// `*ticket`, never 0. Waits for one up to `timeout_ns`.
///
/// When you are done with it, call ipcx_queue_ack(); to have it taken again, ipcx_queue_return(). If this process
/// dies, or closes the handle, before either, it comes back. If it does not fit, the code is IPCX_E_TOO_BIG, `*len`
/// is its length, and it is not taken: call again with a larger buffer. What dead processes had is found where
/// nothing else is: a call that waits looks for it, one that does not wait at most every 50 ms.
///
/// Thread-safe. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_queue_push().
/// Ownership: `buf` stays yours, and may be NULL if `cap` is 0. The message is the handle's until it is acknowledged
/// or returned.
/// Errors: those of ipcx_queue_pop() less IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_take(
    queue: *mut ipcx_queue,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    priority: *mut c_uint,
    ticket: *mut u64,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe {
        take(queue, buf, cap, (len, priority, ticket), |queue, to| {
            Ok(queue.take_into(to, deadline(timeout_ns)?))
        })
    }
}

/// Takes the next dead letter, as ipcx_queue_take() takes a message: the one of the highest priority, and of these
/// the one that was pushed first. Dead letters are the messages that came back after their last delivery (see
/// max_deliveries).
///
/// ipcx_queue_ack() discards it, and ipcx_queue_return() has it delivered again as if it were new. If this process
/// dies, or closes the handle, before either, it is a dead letter as before.
///
/// Thread-safe, does not block. Async-signal-safe as ipcx_queue_push().
/// Ownership: as ipcx_queue_take().
/// Errors: IPCX_E_AGAIN (there is none), IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_take_dead(
    queue: *mut ipcx_queue,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    priority: *mut c_uint,
    ticket: *mut u64,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { take(queue, buf, cap, (len, priority, ticket), |queue, to| Ok(queue.take_dead_into(to))) }
}

/// What is written about a message that was taken: its length, priority and ticket.
type Outputs = (*mut usize, *mut c_uint, *mut u64);

/// # Safety The contract of [`ipcx_queue_take`].
unsafe fn take(
    queue: *mut ipcx_queue,
    buf: *mut c_void,
    cap: usize,
    (len, priority, ticket): Outputs,
    take: impl FnOnce(&Queue, &mut [u8]) -> Result<ipcx_core::Result<Taken>>,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (queue, len, ticket) = unsafe { (shared(queue)?, Out::new(len)?, Out::new(ticket)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(buf.cast(), cap) }?;
        match take(queue, to)? {
            Ok(taken) => {
                len.set(taken.len);
                // SAFETY: NULL or writable, by the contract.
                unsafe { set_if_wanted(priority, taken.priority) };
                ticket.set(taken.ticket);
                Ok(())
            }
            Err(failure) => Err(tell_size(failure, len)),
        }
    })
}

/// The message with this ticket is done, and gone. Wakes one who waits for room.
///
/// Thread-safe, does not block. Async-signal-safe as ipcx_queue_push(), unless it is refused with IPCX_E_INVALID.
/// Errors: IPCX_E_INVALID (also if this handle has not taken it, or has acknowledged or returned it: nothing
/// changes), IPCX_E_FORKED, IPCX_E_CORRUPT. IPCX_E_OS, if the queue has `sync` and the disk failed: it is gone, but a
/// power cut may bring it back.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_ack(queue: *mut ipcx_queue, ticket: u64) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(queue) }?.ack(ticket)?)
    })
}

/// The message with this ticket is not done: it is taken again, before those of its priority that were pushed later;
/// or it becomes a dead letter, if that was its last delivery (see max_deliveries). Wakes one who waits for a
/// message.
///
/// Thread-safe, does not block. Async-signal-safe as ipcx_queue_ack().
/// Errors: those of ipcx_queue_ack() less IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_return(queue: *mut ipcx_queue, ticket: u64) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(queue) }?.put_back(ticket)?)
    })
}

/// How often the message with this ticket was delivered, this time counted, into `*deliveries`: 1 unless it came back
/// before; 255 stands for that many and more.
///
/// Thread-safe, does not block. Async-signal-safe as ipcx_queue_ack().
/// Errors: IPCX_E_INVALID (also if this handle has not taken it, or has acknowledged or returned it), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_deliveries(
    queue: *mut ipcx_queue,
    ticket: u64,
    deliveries: *mut c_uint,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (queue, deliveries) = unsafe { (shared(queue)?, Out::new(deliveries)?) };
        deliveries.set(queue.deliveries(ticket)?);
        Ok(())
    })
}

/// Figures of the queue into `*stats`, as of now: how many messages there are to take, taken, and dead, and for how
/// many more there is room. Takes time in proportion to the depth.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID (also if `stats` does not begin as IPCX_STATS_INIT), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_stats(queue: *mut ipcx_queue, stats: *mut ipcx_stats) -> c_int {
    // SAFETY: an open handle; NULL or as large as it says. By the contract.
    unsafe { stats::show(queue, stats, |queue| Ok(queue_figures(&queue.stats()?))) }
}

/// The descriptor that ipcx_poll_fd() gives of a queue, readable (POLLIN) while there is a message to take; or a
/// negative code.
///
/// Ownership: it stays ipcx's and lives as long as the queue; do not read it, do not close it.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_poll_fd(queue: *mut ipcx_queue) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(queue) }?.poll_fd()?.as_raw_fd())
    })
}

/// Gives a handle on a queue back; what it has taken comes back. NULL is allowed. The name stays, and the messages (see
/// ipcx_unlink()).
///
/// Not while another thread uses the handle. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_queue_close(queue: *mut ipcx_queue) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(queue) });
}
