//! The receiving end of a ring.

use crate::arguments::{buffer, deadline, some_buffer, tell_size, Out};
use crate::boundary;
use crate::error::IPCX_OK;
use crate::handles::{self, exclusive, handle, marked, shared};
use crate::pool::{ipcx_block, ipcx_pool};
use ipcx_core::{Consumer, Error};
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

/// The receiving end of a ring. It belongs to one thread at a time.
pub struct ipcx_consumer {
    _private: [u8; 0],
}
handle!(ipcx_consumer => Consumer, b"ipcxRECV", "not an open ipcx_consumer (NULL, closed, or something else)");

/// Copies the next record to `buf`, which has `cap` bytes, releases it, and says its length in `*len`; waits
/// for it up to `timeout_ns`.
///
/// If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays: call again with a
/// larger buffer.
///
/// A process killed inside the call may have released the record without having done anything with it. Where
/// each must be dealt with, call ipcx_consumer_borrow(), and ipcx_consumer_release() when that is done.
///
/// One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the
/// interrupted code is inside a call on this consumer.
/// Ownership: `buf` stays yours. `buf` may be NULL if `cap` is 0.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED and IPCX_E_PEER_DEAD (there is none and
/// the producer went), IPCX_E_TOO_BIG, IPCX_E_MISMATCH (it hands over a block: it stays, for
/// ipcx_consumer_recv_block()), IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also while a record is borrowed).
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_recv(
    consumer: *mut ipcx_consumer,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    // SAFETY: an open handle of one thread, by the contract.
    if let Some(open) = unsafe { marked(consumer) } {
        // SAFETY: `cap` writable bytes, by the contract.
        let to = unsafe { some_buffer(buf, cap) }.filter(|_| !len.is_null() && timeout_ns >= -1);
        if let Some(received) = to.and_then(|to| open.recv_at_once(to)) {
            // SAFETY: not NULL, so writable by the contract.
            unsafe { len.write(received) };
            return IPCX_OK;
        }
    }
    // SAFETY: as above.
    unsafe { recv_the_long_way(consumer, buf, cap, len, timeout_ns) }
}

/// # Safety The contract of [`ipcx_consumer_recv`].
#[cold]
#[inline(never)]
unsafe fn recv_the_long_way(
    consumer: *mut ipcx_consumer,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (consumer, len) = unsafe { (exclusive(consumer)?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(buf.cast(), cap) }?;
        match consumer.recv_until(to, deadline(timeout_ns)?) {
            Ok(received) => len.set(received),
            Err(failure) => return Err(tell_size(failure, len)),
        }
        Ok(())
    })
}

/// Copies records one behind the other to `buf`, as many as are there, fit into `cap` bytes and into `max`
/// lengths, and releases them together; a process killed inside the call may have released them already, as in
/// ipcx_consumer_recv(). `lens[i]` gets the length of record i, and `*n` their number, at least 1.
///
/// Waits up to `timeout_ns` for the first, and for no other. If not even the first fits, the code is
/// IPCX_E_TOO_BIG, `lens[0]` is its length, and it stays.
///
/// One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_consumer_recv().
/// Ownership: `buf` and `lens` stay yours. Their contents are undefined beyond what was received.
/// Errors: those of ipcx_consumer_recv(); IPCX_E_INVALID if `max` is 0.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_recv_many(
    consumer: *mut ipcx_consumer,
    buf: *mut c_void,
    cap: usize,
    lens: *mut usize,
    max: usize,
    n: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (consumer, n) = unsafe { (exclusive(consumer)?, Out::new(n)?) };
        // SAFETY: `cap` writable bytes and `max` writable lengths, by the contract; the core only writes there.
        let (to, lens) = unsafe { (buffer(buf.cast(), cap)?, buffer(lens, max)?) };
        match consumer.recv_many_until(to, lens, deadline(timeout_ns)?) {
            Ok(received) => n.set(received),
            Err(failure) => {
                if let (Error::TooBig { needed, .. }, Some(first)) = (&failure, lens.first_mut()) {
                    *first = *needed;
                }
                return Err(failure.into());
            }
        }
        Ok(())
    })
}

/// The next record in place: its address in `*data`, its length in `*len`; waits for it up to `timeout_ns`.
///
/// Read it there, then call ipcx_consumer_release(), or ipcx_consumer_return() to leave it. The address is
/// aligned to 8, in memory that the producer's process can write: it does not while the record is borrowed,
/// if it keeps to the protocol. Where the peer is not trusted, copy first and look at the copy.
///
/// One thread at a time. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_consumer_recv().
/// Ownership: the bytes may be read until release, return or close. Writing there ends the process.
/// Errors: those of ipcx_consumer_recv() less IPCX_E_TOO_BIG.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_borrow(
    consumer: *mut ipcx_consumer,
    data: *mut *const c_void,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (consumer, data, len) = unsafe { (exclusive(consumer)?, Out::new(data)?, Out::new(len)?) };
        let (address, length) = consumer.borrow_raw(deadline(timeout_ns)?)?;
        data.set(address.cast());
        len.set(length);
        Ok(())
    })
}

/// Releases the record borrowed: it will not be delivered again.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_consumer_recv().
/// Errors: IPCX_E_INVALID (none is borrowed), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_release(consumer: *mut ipcx_consumer) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(consumer) }?.release_raw()?)
    })
}

/// Ends a borrow without a release: the next call finds the same record, at the same position. Nothing
/// happens if none is borrowed.
///
/// One thread at a time. Does not block. Async-signal-safe.
/// Errors: IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_return(consumer: *mut ipcx_consumer) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        unsafe { exclusive(consumer) }?.return_raw();
        Ok(())
    })
}

/// Takes over the block that the next record hands over, into `*block`, and releases the record; `*len` says how
/// many of its bytes are used. Waits up to `timeout_ns`.
///
/// `pool` is a handle on the pool that the block is of. From then on the block is that handle's: release it, or
/// send it on. If the process dies, the block goes back to the pool. If its pool was unlinked and made anew, the
/// new one cannot receive it: ipcx_consumer_skip() gets past it.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Errors: those of ipcx_consumer_recv() less IPCX_E_TOO_BIG; IPCX_E_MISMATCH (the next record carries bytes, or a
/// block of another pool: it stays), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_recv_block(
    consumer: *mut ipcx_consumer,
    pool: *mut ipcx_pool,
    block: *mut ipcx_block,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: open handles, the consumer of one thread; NULL or writable. By the contract.
        let (consumer, pool, block, len) =
            unsafe { (exclusive(consumer)?, shared(pool)?, Out::new(block)?, Out::new(len)?) };
        let (id, used) = consumer.recv_block_raw(pool, deadline(timeout_ns)?)?;
        block.set(ipcx_block::of(pool, id));
        len.set(used);
        Ok(())
    })
}

/// Releases the next record without looking at what it carries.
///
/// For a record that cannot be received: it hands over a block of a pool that was unlinked and made anew. The
/// block is not taken over, but stays in flight. It goes with its pool's memory, where the pool is gone; otherwise
/// ipcx_pool_recover() gives it back once the ring is gone. Who has a handle on its pool receives the block, and
/// releases it, instead.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_consumer_recv().
/// Errors: IPCX_E_AGAIN (there is none, whether the producer went or not), IPCX_E_FORKED, IPCX_E_CORRUPT,
/// IPCX_E_INVALID (also while a record is borrowed).
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_skip(consumer: *mut ipcx_consumer) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        match unsafe { exclusive(consumer) }?.skip()? {
            true => Ok(()),
            false => Err(Error::WouldBlock("the ring is empty").into()),
        }
    })
}

/// Stream position of the next record, or of the one borrowed: bytes since the ring was made. UINT64_MAX for
/// what is not an open consumer.
///
/// A record that is delivered again, after a consumer died, has the same position again.
///
/// One thread at a time. Does not block. Async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_position(consumer: *mut ipcx_consumer) -> u64 {
    // SAFETY: an open handle of one thread, by the contract.
    boundary::value(u64::MAX, || unsafe { exclusive(consumer) }.map_or(u64::MAX, |c| c.position()))
}

/// The descriptor that ipcx_poll_fd() gives of a consumer, readable (POLLIN) while there is a record, or the
/// producer went; or a negative code.
///
/// Ownership: it stays ipcx's and lives as long as the consumer; do not read it, do not close it.
/// One thread at a time. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_poll_fd(consumer: *mut ipcx_consumer) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(consumer) }?.poll_fd()?.as_raw_fd())
    })
}

/// Gives the consumer's role up in good order. NULL is allowed. What was not released is delivered to the
/// next consumer.
///
/// One thread at a time. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_consumer_close(consumer: *mut ipcx_consumer) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(consumer) });
}
