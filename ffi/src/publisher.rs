//! The publishing end of a topic.

use crate::arguments::{bytes, deadline, descriptor, some_bytes, Out};
use crate::boundary;
use crate::error::IPCX_OK;
use crate::handles::{self, exclusive, handle, marked};
use ipcx_core::Publisher;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

/// An end of a topic that publishes. It belongs to one thread at a time.
pub struct ipcx_publisher {
    _private: [u8; 0],
}
handle!(ipcx_publisher => Publisher, b"ipcxPUBL", "not an open ipcx_publisher (NULL, closed, or something else)");

/// Publishes a copy of `len` bytes at `data` as one record, waiting up to `timeout_ns`: while others publish, and in a
/// reliable topic for room, which the slowest subscriber makes.
///
/// Zero bytes are a record too, and then `data` may be NULL. Once this has returned IPCX_OK the record outlives this
/// process. Subscribers that died are dropped meanwhile.
///
/// One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
/// interrupted code is inside a call on this publisher.
/// Ownership: `data` stays yours.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG (more than half of the capacity less 24),
/// IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also while a reservation is open). Nothing is published then.
#[no_mangle]
pub unsafe extern "C" fn ipcx_publisher_publish(
    publisher: *mut ipcx_publisher,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: an open handle of one thread, by the contract.
    if let Some(open) = unsafe { marked(publisher) } {
        // SAFETY: `len` readable bytes, by the contract.
        let data = unsafe { some_bytes(data, len) }.filter(|_| timeout_ns >= -1);
        if data.is_some_and(|data| open.publish_at_once(data)) {
            return IPCX_OK;
        }
    }
    // SAFETY: as above.
    unsafe { publish_the_long_way(publisher, data, len, timeout_ns) }
}

/// # Safety The contract of [`ipcx_publisher_publish`].
#[cold]
#[inline(never)]
unsafe fn publish_the_long_way(
    publisher: *mut ipcx_publisher,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; `len` readable bytes. By the contract.
        let (publisher, data) = unsafe { (exclusive(publisher)?, bytes(data, len)?) };
        Ok(publisher.publish_the_long_way(data, deadline(timeout_ns)?)?)
    })
}

/// Publishes up to `len` bytes of a file from its current offset as one record, read straight into the topic, and
/// says in `*sent` how many.
///
/// They are fewer at the end of the file, or if the deadline passed while a pipe or socket had no more. At
/// the end of the file `*sent` is 0 and there is no record. While it waits for a pipe or socket, no other publisher
/// publishes.
///
/// One thread at a time. Blocks up to `timeout_ns` for room and for data; reading a file on disk may take as
/// long as it takes. Not async-signal-safe.
/// Ownership: the descriptor stays yours.
/// Errors: those of ipcx_publisher_publish(); what reading gives as IPCX_E_OS, and then nothing is published.
#[no_mangle]
pub unsafe extern "C" fn ipcx_publisher_publish_file(
    publisher: *mut ipcx_publisher,
    fd: c_int,
    len: usize,
    timeout_ns: i64,
    sent: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (publisher, sent) = unsafe { (exclusive(publisher)?, Out::new(sent)?) };
        // SAFETY: the contract says that it stays open during the call.
        let file = unsafe { descriptor(fd) }?;
        sent.set(publisher.publish_file_until(file, len, deadline(timeout_ns)?)?);
        Ok(())
    })
}

/// Room for a record of up to `len` bytes, to be written in place, in `*data`; waits for it up to
/// `timeout_ns`. Until it is committed or aborted, no other publisher publishes.
///
/// Write there, then call ipcx_publisher_commit() or ipcx_publisher_abort(). The address is aligned to 8; what
/// is there before you write is whatever was there. Nothing is published before the commit: if the process dies,
/// it never happened, and others go on.
///
/// One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_publisher_publish().
/// Ownership: the `len` bytes are yours to write until commit, abort or close.
/// Errors: those of ipcx_publisher_publish().
#[no_mangle]
pub unsafe extern "C" fn ipcx_publisher_reserve(
    publisher: *mut ipcx_publisher,
    len: usize,
    timeout_ns: i64,
    data: *mut *mut c_void,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (publisher, data) = unsafe { (exclusive(publisher)?, Out::new(data)?) };
        let address = publisher.reserve_raw(len, deadline(timeout_ns)?)?;
        data.set(address.cast());
        Ok(())
    })
}

/// Publishes the first `len` bytes of the open reservation as one record.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_publisher_publish(), unless it fails.
/// Errors: IPCX_E_INVALID (none is open; or `len` is more than was reserved, and then it stays open),
/// IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_publisher_commit(publisher: *mut ipcx_publisher, len: usize) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(publisher) }?.commit_raw(len)?)
    })
}

/// Gives the open reservation up: nothing is published.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_publisher_publish(), unless it fails.
/// Errors: IPCX_E_INVALID (none is open), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_publisher_abort(publisher: *mut ipcx_publisher) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(publisher) }?.abort_raw()?)
    })
}

/// The descriptor that ipcx_poll_fd() gives of a publisher, readable (POLLIN) while nobody else publishes and there
/// is room for the record that last was not published (at first: for any), as there always is in a topic that is
/// not reliable; or a negative code.
///
/// Ownership: it stays ipcx's and lives as long as the publisher; do not read it, do not close it.
/// One thread at a time. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_publisher_poll_fd(publisher: *mut ipcx_publisher) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(publisher) }?.poll_fd()?.as_raw_fd())
    })
}

/// Gives a publisher back. NULL is allowed. What was committed stays; an open reservation vanishes.
///
/// One thread at a time. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_publisher_close(publisher: *mut ipcx_publisher) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(publisher) });
}
