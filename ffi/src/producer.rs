//! The sending end of a ring.

use crate::arguments::{bytes, deadline, descriptor, invalid, some_bytes, Out};
use crate::boundary::{self, Result};
use crate::error::IPCX_OK;
use crate::handles::{self, exclusive, handle, marked, shared};
use crate::pool::{ipcx_block, ipcx_pool};
use ipcx_core::Producer;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

/// The sending end of a ring. It belongs to one thread at a time.
pub struct ipcx_producer {
    _private: [u8; 0],
}
handle!(ipcx_producer => Producer, b"ipcxSEND", "not an open ipcx_producer (NULL, closed, or something else)");

/// Sends a copy of `len` bytes at `data` as one record, waiting for room up to `timeout_ns`.
///
/// Zero bytes are a record too, and then `data` may be NULL. Once this has returned IPCX_OK the record
/// outlives this process.
///
/// One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
/// interrupted code is inside a call on this producer.
/// Ownership: `data` stays yours.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED and IPCX_E_PEER_DEAD (the ring is full
/// and the consumer went), IPCX_E_TOO_BIG (more than the capacity less 16), IPCX_E_FORKED, IPCX_E_CORRUPT,
/// IPCX_E_INVALID (also while a reservation is open).
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_send(
    producer: *mut ipcx_producer,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: an open handle of one thread, by the contract.
    if let Some(open) = unsafe { marked(producer) } {
        // SAFETY: `len` readable bytes, by the contract.
        let data = unsafe { some_bytes(data, len) }.filter(|_| timeout_ns >= -1);
        if data.is_some_and(|data| open.send_at_once(data)) {
            return IPCX_OK;
        }
    }
    // SAFETY: as above.
    unsafe { send_the_long_way(producer, data, len, timeout_ns) }
}

/// # Safety The contract of [`ipcx_producer_send`].
#[cold]
#[inline(never)]
unsafe fn send_the_long_way(
    producer: *mut ipcx_producer,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; `len` readable bytes. By the contract.
        let (producer, data) = unsafe { (exclusive(producer)?, bytes(data, len)?) };
        Ok(producer.send_until(data, deadline(timeout_ns)?)?)
    })
}

/// The buffers of an array, each checked.
///
/// # Safety `n` items at `iov` are readable, and so is each buffer, for as long as `'a`; nobody writes them
/// meanwhile.
unsafe fn parts<'a>(iov: *const libc::iovec, n: usize) -> Result<impl Iterator<Item = &'a [u8]> + Clone> {
    if n > isize::MAX as usize / size_of::<libc::iovec>() || (iov.is_null() && n > 0) {
        return Err(invalid("the array of buffers is NULL, or longer than an array can be"));
    }
    let iov: &'a [libc::iovec] = match n {
        0 => &[],
        // SAFETY: readable by the caller's promise, not NULL, and not longer than a slice may be.
        _ => unsafe { std::slice::from_raw_parts(iov, n) },
    };
    for part in iov {
        // SAFETY: as the caller promises.
        unsafe { bytes(part.iov_base, part.iov_len) }?;
    }
    // SAFETY: the same call succeeded above.
    Ok(iov.iter().map(|part| unsafe { bytes(part.iov_base, part.iov_len) }.unwrap_or(&[])))
}

/// Sends each of `n` buffers as one record, waiting for room up to `timeout_ns`, and says in `*sent` how many
/// were sent.
///
/// Records that fit together are committed together, by one store. On IPCX_OK `*sent` is `n` unless the wait
/// ended early (deadline, signal, peer gone): then the records behind were not sent, and calling again with
/// them says why.
///
/// One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_producer_send().
/// Ownership: the buffers stay yours.
/// Errors: those of ipcx_producer_send(), if none was sent; IPCX_E_TOO_BIG if any is too big, and then none
/// is sent.
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_send_many(
    producer: *mut ipcx_producer,
    iov: *const libc::iovec,
    n: usize,
    timeout_ns: i64,
    sent: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (producer, sent) = unsafe { (exclusive(producer)?, Out::new(sent)?) };
        // SAFETY: `n` readable buffers, by the contract.
        let parts = unsafe { parts(iov, n) }?;
        sent.set(producer.send_many_until(parts, deadline(timeout_ns)?)?);
        Ok(())
    })
}

/// Room for a record of up to `len` bytes, to be written in place, in `*data`; waits for it up to
/// `timeout_ns`.
///
/// Write there, then call ipcx_producer_commit() or ipcx_producer_abort(). The address is aligned to 8; what
/// is there before you write is whatever was there. Nothing is sent before the commit: if the process dies,
/// it never happened.
///
/// One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_producer_send().
/// Ownership: the `len` bytes are yours to write until commit, abort or close.
/// Errors: those of ipcx_producer_send().
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_reserve(
    producer: *mut ipcx_producer,
    len: usize,
    timeout_ns: i64,
    data: *mut *mut c_void,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (producer, data) = unsafe { (exclusive(producer)?, Out::new(data)?) };
        let address = producer.reserve_raw(len, deadline(timeout_ns)?)?;
        data.set(address.cast());
        Ok(())
    })
}

/// Sends the first `len` bytes of the open reservation as one record.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_producer_send(), unless it fails.
/// Errors: IPCX_E_INVALID (none is open; or `len` is more than was reserved, and then it stays open),
/// IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_commit(producer: *mut ipcx_producer, len: usize) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(producer) }?.commit_raw(len)?)
    })
}

/// Gives the open reservation up: nothing is sent.
///
/// One thread at a time. Does not block. Async-signal-safe.
/// Errors: IPCX_E_INVALID (none is open).
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_abort(producer: *mut ipcx_producer) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(producer) }?.abort_raw()?)
    })
}

/// Sends up to `len` bytes of a file from its current offset as one record, read straight into the ring, and
/// says in `*sent` how many.
///
/// They are fewer at the end of the file, or if the deadline passed while a pipe or socket had no more. At
/// the end of the file `*sent` is 0 and there is no record.
///
/// One thread at a time. Blocks up to `timeout_ns` for room and for data; reading a file on disk may take as
/// long as it takes. Not async-signal-safe.
/// Ownership: the descriptor stays yours.
/// Errors: those of ipcx_producer_send(); what reading gives as IPCX_E_OS, and then nothing is sent.
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_send_file(
    producer: *mut ipcx_producer,
    fd: c_int,
    len: usize,
    timeout_ns: i64,
    sent: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (producer, sent) = unsafe { (exclusive(producer)?, Out::new(sent)?) };
        // SAFETY: the contract says that it stays open during the call.
        let file = unsafe { descriptor(fd) }?;
        sent.set(producer.send_file_until(file, len, deadline(timeout_ns)?)?);
        Ok(())
    })
}

/// Hands a block over to the consumer, without a copy, with `len` of its bytes used; waits for room in the ring up
/// to `timeout_ns`. On success `*block` is set to zeroes.
///
/// `pool` is the handle that owns the block; the consumer needs a handle on the same pool. The record takes 40
/// bytes of the ring. When the call has returned, the block is the ring's: neither this process's death nor the
/// consumer's loses it.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Errors: those of ipcx_producer_send(); IPCX_E_INVALID (not this handle's block), IPCX_E_TOO_BIG (`len` is more
/// than the block has), IPCX_E_NO_SPACE (64 rings carry blocks of the pool), IPCX_E_OS. The block stays the
/// handle's then.
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_send_block(
    producer: *mut ipcx_producer,
    pool: *mut ipcx_pool,
    block: *mut ipcx_block,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: open handles, the producer of one thread, by the contract.
        let (producer, pool) = unsafe { (exclusive(producer)?, shared(pool)?) };
        let deadline = deadline(timeout_ns)?;
        // SAFETY: NULL, or the caller's, by the contract.
        unsafe { ipcx_block::take(pool, block, |id| producer.send_block_raw(pool, id, len, deadline)) }
    })
}

/// The descriptor that ipcx_poll_fd() gives of a producer, readable (POLLIN) while there is room for the record
/// that last did not fit (at first: for any), or the consumer went; or a negative code.
///
/// Ownership: it stays ipcx's and lives as long as the producer; do not read it, do not close it.
/// One thread at a time. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_poll_fd(producer: *mut ipcx_producer) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(producer) }?.poll_fd()?.as_raw_fd())
    })
}

/// Gives the producer's role up in good order. NULL is allowed. What was committed stays; an open reservation
/// vanishes. A consumer that has received everything gets IPCX_E_CLOSED.
///
/// One thread at a time. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_producer_close(producer: *mut ipcx_producer) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(producer) });
}
