//! The receiving end of a topic.

use crate::arguments::{buffer, deadline, set_if_wanted, some_buffer, tell_size, Out};
use crate::boundary;
use crate::error::IPCX_OK;
use crate::handles::{self, exclusive, handle, marked};
use ipcx_core::Subscriber;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

/// An end of a topic that receives what is published. It belongs to one thread at a time.
pub struct ipcx_subscriber {
    _private: [u8; 0],
}
handle!(ipcx_subscriber => Subscriber, b"ipcxSUBS", "not an open ipcx_subscriber (NULL, closed, or something else)");

/// Copies the next record to `buf`, which has `cap` bytes, releases it, and says its length in `*len`; waits
/// for it up to `timeout_ns`.
///
/// If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays the next one: call again with a
/// larger buffer. A subscriber of a topic that is not reliable may be overtaken: then it goes on with the oldest record
/// that is still there, and ipcx_subscriber_missed() says how many it did not get.
///
/// One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
/// interrupted code is inside a call on this subscriber.
/// Ownership: `buf` stays yours. `buf` may be NULL if `cap` is 0.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID
/// (also while a record is borrowed). Nobody is told that publishers went: there may be others.
#[no_mangle]
pub unsafe extern "C" fn ipcx_subscriber_recv(
    subscriber: *mut ipcx_subscriber,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: an open handle of one thread, by the contract.
    if let Some(open) = unsafe { marked(subscriber) } {
        // SAFETY: `cap` writable bytes, by the contract.
        let to = unsafe { some_buffer(buf, cap) }.filter(|_| !len.is_null() && timeout_ns >= -1);
        if let Some(received) = to.and_then(|to| open.recv_at_once(to)) {
            // SAFETY: not NULL, so writable by the contract.
            unsafe { len.write(received) };
            return IPCX_OK;
        }
    }
    // SAFETY: as above.
    unsafe { recv_the_long_way(subscriber, buf, cap, len, timeout_ns) }
}

/// # Safety The contract of [`ipcx_subscriber_recv`].
#[cold]
#[inline(never)]
unsafe fn recv_the_long_way(
    subscriber: *mut ipcx_subscriber,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (subscriber, len) = unsafe { (exclusive(subscriber)?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(buf.cast(), cap) }?;
        match subscriber.recv_the_long_way(to, deadline(timeout_ns)?) {
            Ok(received) => len.set(received),
            Err(failure) => return Err(tell_size(failure, len)),
        }
        Ok(())
    })
}

/// The next record in place: its address in `*data`, its length in `*len`; waits for it up to `timeout_ns`.
///
/// Read it there, then call ipcx_subscriber_release(), or ipcx_subscriber_return() to leave it. The address is
/// aligned to 8, in memory that publishers' processes can write. In a reliable topic they do not while the record is
/// borrowed, if they keep to the protocol. Otherwise it may be overwritten at any time: what you made of its bytes
/// counts only if the release says that it was whole.
///
/// One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_subscriber_recv().
/// Ownership: the bytes may be read until release, return or close. Writing there ends the process.
/// Errors: those of ipcx_subscriber_recv() less IPCX_E_TOO_BIG.
#[no_mangle]
pub unsafe extern "C" fn ipcx_subscriber_borrow(
    subscriber: *mut ipcx_subscriber,
    data: *mut *const c_void,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (subscriber, data, len) = unsafe { (exclusive(subscriber)?, Out::new(data)?, Out::new(len)?) };
        let (address, length) = subscriber.borrow_raw(deadline(timeout_ns)?)?;
        data.set(address.cast());
        len.set(length);
        Ok(())
    })
}

/// Releases the record borrowed: it will not be delivered again. `*whole` becomes 1 if everything that was read of it was
/// the record's, and 0 if it was overwritten meanwhile: then it counts as missed.
///
/// `whole` may be NULL where it does not matter: in a reliable topic it is always 1.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_subscriber_recv().
/// Errors: IPCX_E_INVALID (none is borrowed), IPCX_E_FORKED, IPCX_E_CORRUPT.
#[no_mangle]
pub unsafe extern "C" fn ipcx_subscriber_release(
    subscriber: *mut ipcx_subscriber,
    whole: *mut c_int,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        let was_whole = unsafe { exclusive(subscriber) }?.release_raw()?;
        // SAFETY: NULL or writable, by the contract.
        unsafe { set_if_wanted(whole, was_whole.into()) };
        Ok(())
    })
}

/// Ends a borrow without a release: the next call finds the same record, if it is still there. Nothing happens if none
/// is borrowed.
///
/// One thread at a time. Does not block. Async-signal-safe.
/// Errors: IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_subscriber_return(subscriber: *mut ipcx_subscriber) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        unsafe { exclusive(subscriber) }?.return_raw();
        Ok(())
    })
}

/// How many records were overwritten since this subscriber began, before it had them: as of the last one received,
/// exactly. 0 in a reliable topic, and for what is not an open subscriber.
///
/// One thread at a time. Does not block. Async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_subscriber_missed(subscriber: *mut ipcx_subscriber) -> u64 {
    // SAFETY: an open handle of one thread, by the contract.
    boundary::value(0, || unsafe { exclusive(subscriber) }.map_or(0, |subscriber| subscriber.missed()))
}

/// The descriptor that ipcx_poll_fd() gives of a subscriber, readable (POLLIN) while there is a record; or a
/// negative code.
///
/// Ownership: it stays ipcx's and lives as long as the subscriber; do not read it, do not close it.
/// One thread at a time. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_subscriber_poll_fd(subscriber: *mut ipcx_subscriber) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(subscriber) }?.poll_fd()?.as_raw_fd())
    })
}

/// Gives a subscriber back. NULL is allowed. In a reliable topic publishers do not wait for it any more.
///
/// One thread at a time. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_subscriber_close(subscriber: *mut ipcx_subscriber) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(subscriber) });
}
