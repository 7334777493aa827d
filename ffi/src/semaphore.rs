//! The semaphore: opening, acquiring, releasing, recovery.

use crate::arguments::{deadline, Out};
use crate::boundary;
use crate::handles::{self, handle, shared};
use crate::opening::{anonymous, from_fd, open, share_fd};
use crate::options::ipcx_semaphore_options;
use crate::stats::{self, ipcx_stats, semaphore_figures};
use ipcx_core::Semaphore;
use std::ffi::{c_char, c_int};
use std::ptr::null;

/// A handle on a semaphore: permits that participants acquire, and that come back when they die.
///
/// It may be shared between threads, and the permits that it holds are the handle's, not a thread's. It is one
/// participant of the segment and keeps it mapped.
pub struct ipcx_semaphore {
    _private: [u8; 0],
}
handle!(ipcx_semaphore => Semaphore, b"ipcxSEMA", "not an open ipcx_semaphore (NULL, closed, or something else)");

/// Creates a semaphore that must be new, and gives a handle on it in `*semaphore`.
///
/// `opts` may be NULL. The semaphore appears under its name complete or not at all. Its memory is taken now, so that
/// using it never fails for lack of memory.
///
/// Ownership: the handle is yours; give it back with ipcx_semaphore_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
/// IPCX_E_INVALID (name, options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_create(
    name: *const c_char,
    opts: *const ipcx_semaphore_options,
    semaphore: *mut *mut ipcx_semaphore,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, semaphore, Semaphore::create, None) }
}

/// Attaches to a semaphore, or creates it if there is none, and gives a handle on it in `*semaphore`.
///
/// `opts` may be NULL. If the semaphore exists, its limit, number of participants and schema must be those of the
/// options where these give any (a schema, where both have one); initial, mode, group and wait are for a new one.
/// With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
///
/// Ownership: the handle is yours; give it back with ipcx_semaphore_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_semaphore_create() less IPCX_E_EXISTS, and those of ipcx_semaphore_attach();
/// IPCX_E_MISMATCH also for other options.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_open(
    name: *const c_char,
    opts: *const ipcx_semaphore_options,
    semaphore: *mut *mut ipcx_semaphore,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, semaphore, Semaphore::open, Some(Semaphore::attach_with)) }
}

/// Attaches to a semaphore that must exist, and gives a handle on it in `*semaphore`.
///
/// Ownership: the handle is yours; give it back with ipcx_semaphore_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
/// IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_attach(
    name: *const c_char,
    semaphore: *mut *mut ipcx_semaphore,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, null::<ipcx_semaphore_options>(), semaphore, Semaphore::attach_with, None) }
}

/// Creates a semaphore without a name, in a memfd sealed against resizing, and gives a handle on it in `*semaphore`.
///
/// Hand ipcx_semaphore_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
/// ipcx_semaphore_from_fd(). The options' directory, mode and group mean nothing here.
///
/// Ownership: the handle is yours; give it back with ipcx_semaphore_close(). The memory goes with the last
/// descriptor and handle.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_anonymous(
    opts: *const ipcx_semaphore_options,
    semaphore: *mut *mut ipcx_semaphore,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { anonymous(opts, semaphore, Semaphore::anonymous) }
}

/// Attaches to the semaphore behind a descriptor, and gives a handle on it in `*semaphore`.
///
/// Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
/// ipcx_semaphore_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_semaphore_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_from_fd(fd: c_int, semaphore: *mut *mut ipcx_semaphore) -> c_int {
    // SAFETY: pointers as the contract wants them; the descriptor stays open during the call.
    unsafe { from_fd(fd, semaphore, Semaphore::from_fd) }
}

/// A new descriptor of the semaphore to hand to another process; or a negative code.
///
/// It is closed on exec until you say otherwise. It keeps the memory, but no permit and no participant's slot.
///
/// Ownership: the descriptor is yours; close it with close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_share_fd(semaphore: *mut ipcx_semaphore) -> c_int {
    // SAFETY: an open handle, by the contract.
    unsafe { share_fd(semaphore, Semaphore::share_fd) }
}

/// Acquires a permit, which this handle then holds; waits for one up to `timeout_ns`. Permits of the dead are found
/// where no other is: a call that waits looks for them, one that does not wait at most every 50 ms.
///
/// Thread-safe. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
/// inside a call on this handle.
/// Ownership: the permit is the handle's, until ipcx_semaphore_release() or ipcx_semaphore_close(). If the process
/// dies, it comes back.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_acquire(semaphore: *mut ipcx_semaphore, timeout_ns: i64) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(semaphore) }?.acquire_raw(deadline(timeout_ns)?)?)
    })
}

/// Gives back a permit that this handle holds; if it holds none, makes one more, up to the limit. Wakes one who
/// waits.
///
/// So a process that only signals releases, and one that only waits for it calls ipcx_semaphore_consume().
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_INVALID (also if this handle holds none and there are as many as the limit says: nothing changes),
/// IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_release(semaphore: *mut ipcx_semaphore) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(semaphore) }?.release()?)
    })
}

/// Uses a permit up, waiting for one up to `timeout_ns`: nobody holds it, and it does not come back, until a release
/// makes one more.
///
/// A process that is killed inside the call may have used it up or not.
///
/// Thread-safe. Blocks up to `timeout_ns`. Async-signal-safe as ipcx_semaphore_acquire().
/// Errors: those of ipcx_semaphore_acquire(), IPCX_E_CORRUPT.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_consume(semaphore: *mut ipcx_semaphore, timeout_ns: i64) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        Ok(unsafe { shared(semaphore) }?.consume_until(deadline(timeout_ns)?)?)
    })
}

/// Permits that can be acquired, as of now, into `*value`. It looks at each permit, so it takes time in proportion to the
/// limit. Those of the dead count once they came back.
///
/// Thread-safe, does not block. Async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_value(semaphore: *mut ipcx_semaphore, value: *mut u32) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (semaphore, value) = unsafe { (shared(semaphore)?, Out::new(value)?) };
        value.set(semaphore.value()? as u32); // at most the limit
        Ok(())
    })
}

/// What can be seen of the semaphore from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
///
/// It looks at each permit. Nobody is stopped for it: one that changes hands meanwhile counts once, somewhere.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_stats(
    semaphore: *mut ipcx_semaphore,
    stats: *mut ipcx_stats,
) -> c_int {
    // SAFETY: an open handle; NULL or as large as it says. By the contract.
    unsafe { stats::show(semaphore, stats, |semaphore| Ok(semaphore_figures(&semaphore.stats()?))) }
}

/// Gives a handle on a semaphore back, and the permits that it holds. NULL is allowed. The name stays (see
/// ipcx_unlink()).
///
/// Not while another thread uses the handle. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_semaphore_close(semaphore: *mut ipcx_semaphore) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(semaphore) });
}
