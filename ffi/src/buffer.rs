//! The buffer: opening, writing, reading, waiting for a version, the lock and its condition.

use crate::arguments::{self, bytes, deadline, set_if_wanted, tell_size, Out};
use crate::boundary::{self, Result};
use crate::handles::{self, handle, shared};
use crate::opening::{anonymous, from_fd, open, share_fd};
use crate::options::ipcx_buffer_options;
use crate::stats::{self, buffer_figures, ipcx_stats};
use ipcx_core::Buffer;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::null;

/// A handle on a buffer: a value that one thread writes at a time, and that any number read without a lock, and
/// wait for.
///
/// It may be shared between threads. It is one participant of the segment and keeps it mapped. The lock that
/// ipcx_buffer_lock() takes is not the handle's but the thread's.
pub struct ipcx_buffer {
    _private: [u8; 0],
}
handle!(ipcx_buffer => Buffer, b"ipcxBUFF", "not an open ipcx_buffer (NULL, closed, or something else)");

/// Creates a buffer that must be new, and gives a handle on it in `*buffer`. Its value is empty, of version 0.
///
/// `opts` may be NULL. The buffer appears under its name complete or not at all. Its memory is taken now, so that
/// using it never fails for lack of memory.
///
/// Ownership: the handle is yours; give it back with ipcx_buffer_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
/// IPCX_E_INVALID (name, options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_create(
    name: *const c_char,
    opts: *const ipcx_buffer_options,
    buffer: *mut *mut ipcx_buffer,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, buffer, Buffer::create, None) }
}

/// Attaches to a buffer, or creates it if there is none, and gives a handle on it in `*buffer`.
///
/// `opts` may be NULL. If the buffer exists, its capacity, number of participants and schema must be those of the
/// options where these give any (a schema, where both have one); mode, group and wait are only for a new one.
/// With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
///
/// Ownership: the handle is yours; give it back with ipcx_buffer_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_buffer_create() less IPCX_E_EXISTS, and those of ipcx_buffer_attach();
/// IPCX_E_MISMATCH also for other options.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_open(
    name: *const c_char,
    opts: *const ipcx_buffer_options,
    buffer: *mut *mut ipcx_buffer,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, buffer, Buffer::open, Some(Buffer::attach_with)) }
}

/// Attaches to a buffer that must exist, and gives a handle on it in `*buffer`.
///
/// Ownership: the handle is yours; give it back with ipcx_buffer_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
/// IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_attach(name: *const c_char, buffer: *mut *mut ipcx_buffer) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, null::<ipcx_buffer_options>(), buffer, Buffer::attach_with, None) }
}

/// Creates a buffer without a name, in a memfd sealed against resizing, and gives a handle on it in `*buffer`.
///
/// Hand ipcx_buffer_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
/// ipcx_buffer_from_fd(). The options' directory, mode and group mean nothing here.
///
/// Ownership: the handle is yours; give it back with ipcx_buffer_close(). The memory goes with the last
/// descriptor and handle.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_anonymous(
    opts: *const ipcx_buffer_options,
    buffer: *mut *mut ipcx_buffer,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { anonymous(opts, buffer, Buffer::anonymous) }
}

/// Attaches to the buffer behind a descriptor, and gives a handle on it in `*buffer`.
///
/// Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
/// ipcx_buffer_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_buffer_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_from_fd(fd: c_int, buffer: *mut *mut ipcx_buffer) -> c_int {
    // SAFETY: pointers as the contract wants them; the descriptor stays open during the call.
    unsafe { from_fd(fd, buffer, Buffer::from_fd) }
}

/// A new descriptor of the buffer to hand to another process; or a negative code.
///
/// It is closed on exec until you say otherwise. It keeps the memory, but no lock and no participant's slot.
///
/// Ownership: the descriptor is yours; close it with close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_share_fd(buffer: *mut ipcx_buffer) -> c_int {
    // SAFETY: an open handle, by the contract.
    unsafe { share_fd(buffer, Buffer::share_fd) }
}

/// Makes a copy of `len` bytes at `data` the value, and wakes who waits for one in ipcx_buffer_wait(); waits for
/// the lock up to `timeout_ns`.
///
/// Zero bytes are a value too, and then `data` may be NULL. A process killed inside the call leaves the old value or
/// the new one, whole. Who has to know whether the owner before died takes the lock with ipcx_buffer_lock()
/// and asks ipcx_buffer_recovered(): a write does not keep that for the next one.
///
/// Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe.
/// Ownership: `data` stays yours.
/// Errors: IPCX_E_AGAIN and IPCX_E_TIMEDOUT (somebody else has the lock), IPCX_E_INTR, IPCX_E_TOO_BIG (more than
/// the capacity), IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also if this thread has the lock). The value is
/// then as it was.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_write(
    buffer: *mut ipcx_buffer,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; `len` readable bytes. By the contract.
        let (buffer, data) = unsafe { (shared(buffer)?, bytes(data, len)?) };
        Ok(buffer.write_until(data, deadline(timeout_ns)?).map(drop)?)
    })
}

/// Copies the value to `buf`, which has `cap` bytes; `*len` says how many bytes it has, and `*version`, which may be
/// NULL, which version it is. Version 0 is that of a buffer into which nothing was written; it is empty.
///
/// If it does not fit, the code is IPCX_E_TOO_BIG, and `*len` is its length.
///
/// Takes no lock, and is not kept out by those who have it: while one changes the value, others read the one
/// before. Only where writers follow each other so fast that none of many looks found the value unchanged, it takes
/// the lock for a moment.
///
/// Thread-safe, does not block (but see IPCX_E_AGAIN). Async-signal-safe.
/// Ownership: `buf` stays yours. It may be NULL if `cap` is 0. Its contents are undefined beyond the value, and after
/// an error.
/// Errors: IPCX_E_TOO_BIG, IPCX_E_AGAIN (writers are too fast, and did not let it in for 100 ms), IPCX_E_FORKED,
/// IPCX_E_CORRUPT, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_read(
    buffer: *mut ipcx_buffer,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    version: *mut u64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (buffer, len) = unsafe { (shared(buffer)?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { arguments::buffer(buf.cast(), cap) }?;
        match buffer.read(to) {
            Ok((read, of)) => {
                len.set(read);
                // SAFETY: NULL or writable, by the contract.
                unsafe { set_if_wanted(version, of) };
                Ok(())
            }
            Err(failure) => Err(tell_size(failure, len)),
        }
    })
}

/// Waits up to `timeout_ns` until the version is another than `seen`, and says in `*version`, which may be NULL,
/// which it is. With IPCX_NOWAIT it asks whether it is.
///
/// Every commit makes a version, that of ipcx_buffer_write() as well as that of ipcx_buffer_unlock(). Who is slow
/// misses versions, and gets the last: this is a value, not a queue.
///
/// Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_wait(
    buffer: *mut ipcx_buffer,
    seen: u64,
    version: *mut u64,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        let now = unsafe { shared(buffer) }?.wait_until(seen, deadline(timeout_ns)?)?;
        // SAFETY: NULL or writable, by the contract.
        unsafe { set_if_wanted(version, now) };
        Ok(())
    })
}

/// Takes the lock, to change the value in place and to use the condition; waits for it up to `timeout_ns`. Gives the
/// address of a copy of the value in `*data`, its length in `*len`, and how many bytes there are in `*cap`.
///
/// Readers have the old value until ipcx_buffer_unlock() makes the copy the value; ipcx_buffer_abandon() leaves it. The
/// lock excludes the threads of one process as well as processes. It belongs to the thread that took it: another one
/// cannot unlock it, and the same one cannot take it twice (by another handle on the buffer it would wait for itself).
/// If the owner's process dies, the lock goes to the next one, the value is the one that was committed last, and
/// ipcx_buffer_recovered() says so. A thread that merely ends keeps it, until the handle is closed.
///
/// Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe.
/// Ownership: the bytes at `*data`, aligned to 64, are yours until the lock is given up. What is behind the value's has
/// any content. Errors: those of ipcx_buffer_write() less IPCX_E_TOO_BIG.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_lock(
    buffer: *mut ipcx_buffer,
    timeout_ns: i64,
    data: *mut *mut c_void,
    len: *mut usize,
    cap: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (buffer, copy) = unsafe { (shared(buffer)?, Copy::new(data, len, cap)?) };
        buffer.lock_raw(deadline(timeout_ns)?)?;
        copy.tell(buffer)
    })
}

/// Where the copy is that this thread may change, after ipcx_buffer_wait_locked(), which changes its address and its
/// length. As ipcx_buffer_lock() says it in the first place.
///
/// Thread-safe, does not block. Async-signal-safe.
/// Ownership: as with ipcx_buffer_lock().
/// Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_locked(
    buffer: *mut ipcx_buffer,
    data: *mut *mut c_void,
    len: *mut usize,
    cap: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (buffer, copy) = unsafe { (shared(buffer)?, Copy::new(data, len, cap)?) };
        copy.tell(buffer)
    })
}

/// The outputs that say where the copy is.
struct Copy {
    data: Out<*mut c_void>,
    len: Out<usize>,
    cap: Out<usize>,
}

impl Copy {
    /// # Safety Each is NULL, or writable until [`Copy::tell`].
    #[inline(always)]
    unsafe fn new(data: *mut *mut c_void, len: *mut usize, cap: *mut usize) -> Result<Copy> {
        // SAFETY: as the caller promises.
        unsafe { Ok(Copy { data: Out::new(data)?, len: Out::new(len)?, cap: Out::new(cap)? }) }
    }

    #[inline(always)]
    fn tell(self, buffer: &Buffer) -> Result<()> {
        let (data, len, cap) = buffer.locked_raw()?;
        self.data.set(data.cast());
        self.len.set(len);
        self.cap.set(cap);
        Ok(())
    }
}

/// Makes the first `new_len` bytes of the copy the value, wakes who waits for one in ipcx_buffer_wait(), and unlocks.
///
/// Thread-safe, does not block. Async-signal-safe.
/// Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_TOO_BIG (`new_len` is more than the
/// capacity), IPCX_E_FORKED. The lock then stays as it was.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_unlock(buffer: *mut ipcx_buffer, new_len: usize) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(buffer) }?.unlock_raw(new_len).map(drop)?)
    })
}

/// Unlocks, and leaves the value as it was.
///
/// Thread-safe, does not block. Async-signal-safe.
/// Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_abandon(buffer: *mut ipcx_buffer) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(buffer) }?.abandon_raw()?)
    })
}

/// Unlocks without a commit, waits until somebody calls ipcx_buffer_notify(), and locks again; both within
/// `timeout_ns`. ipcx_buffer_locked() then says where the copy is; it is one of the value of that moment.
///
/// With an error other than IPCX_E_INVALID, the thread does not have the lock any more. This differs from
/// pthread_cond_timedwait(), which locks again whatever happens, and then waits for that without an end. IPCX_E_INVALID
/// changes nothing.
///
/// A notification between unlocking and sleeping is not missed. The call may return without one of its own: ask
/// again for what you wait for. A commit notifies nobody here: it wakes those in ipcx_buffer_wait().
///
/// Thread-safe. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Errors: IPCX_E_AGAIN (with IPCX_NOWAIT, always), IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_CORRUPT,
/// IPCX_E_INVALID (also if this thread does not have the lock).
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_wait_locked(buffer: *mut ipcx_buffer, timeout_ns: i64) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(buffer) }?.wait_locked_raw(deadline(timeout_ns)?)?)
    })
}

/// Wakes one of those in ipcx_buffer_wait_locked(), or all of them if `all` is not 0. Nothing is kept for who comes
/// later.
///
/// The lock is not needed. Who has it is best to notify: what was changed by then is seen by who is woken. A change
/// of the value itself is seen once it is committed, so notify after ipcx_buffer_unlock().
///
/// Thread-safe, does not block. Async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_notify(buffer: *mut ipcx_buffer, all: c_int) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(buffer) }?.notify(all != 0)?)
    })
}

/// 1 if the lock's owner before this thread died while it had it, 0 if not; or a negative code.
///
/// The value is whole all the same: it is the one that was committed last. What else the lock guards may need repair.
/// Whoever takes the lock next is told nothing of it any more.
///
/// Thread-safe, does not block. Async-signal-safe.
/// Errors: IPCX_E_INVALID (also if this thread does not have the lock), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_recovered(buffer: *mut ipcx_buffer) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(buffer) }?.recovered_raw().map(c_int::from)?)
    })
}

/// What can be seen of the buffer from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
///
/// Nobody is stopped for it.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_stats(buffer: *mut ipcx_buffer, stats: *mut ipcx_stats) -> c_int {
    // SAFETY: an open handle; NULL or as large as it says. By the contract.
    unsafe { stats::show(buffer, stats, |buffer| Ok(buffer_figures(&buffer.stats()?))) }
}

/// Gives a handle on a buffer back. NULL is allowed. The name stays (see ipcx_unlink()). If a thread has the lock by
/// this handle, it is given up, and the value is as it was.
///
/// Not while another thread uses the handle. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_buffer_close(buffer: *mut ipcx_buffer) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(buffer) });
}
