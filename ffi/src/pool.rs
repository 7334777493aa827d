//! The pool: opening, acquiring, releasing, recovery, figures.

use crate::arguments::{deadline, invalid, invalid_because, set_if_wanted, Out};
use crate::boundary::{self, Failed, Result};
use crate::handles::{self, handle, shared};
use crate::opening::{anonymous, from_fd, open, share_fd};
use crate::options::ipcx_pool_options;
use crate::stats::{self, ipcx_stats, pool_figures};
use ipcx_core::{BlockId, Pool};
use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};

/// A handle on a pool: blocks of one size that processes acquire, fill, hand to each other, and release.
///
/// It may be shared between threads; it keeps a few blocks ready for the thread that used it first, and a thread
/// that wants the same opens a handle of its own. It is one participant of the segment and keeps it mapped.
pub struct ipcx_pool {
    _private: [u8; 0],
}
handle!(ipcx_pool => Pool, b"ipcxPOOL", "not an open ipcx_pool (NULL, closed, or something else)");

/// A block that a pool's handle owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_block {
    /// Names it for as long as this handle owns it; the lowest 28 bits say which block it is, whoever owns it. 0 is none.
    pub id: u64,
    /// Its bytes, aligned as the pool's options say. Leave it as it is: with the id, it tells which pool's the block is.
    pub data: *mut c_void,
    /// How many they are: the pool's block size.
    pub size: usize,
}

impl ipcx_block {
    /// What is left of one that was given away.
    const NONE: ipcx_block = ipcx_block { id: 0, data: null_mut(), size: 0 };

    /// The block with an id, which the handle owns.
    pub(crate) fn of(pool: &Pool, id: BlockId) -> ipcx_block {
        let data = pool.address(id).map_or(null_mut(), |address| address.as_ptr().cast());
        ipcx_block { id: id.get(), data, size: pool.block_size() }
    }

    /// Takes a block away from the caller's variable, if `take` succeeds.
    ///
    /// An id may be good for a block of each of two pools; the address tells them apart, and one handle from another.
    ///
    /// # Safety `block` is NULL, or readable and writable.
    pub(crate) unsafe fn take(
        pool: &Pool,
        block: *mut ipcx_block,
        take: impl FnOnce(BlockId) -> ipcx_core::Result<()>,
    ) -> Result<()> {
        if block.is_null() {
            return Err(invalid("block is NULL"));
        }
        // SAFETY: not NULL, so readable by the caller's promise.
        let (id, data) = unsafe { (BlockId::from_raw((*block).id), (*block).data) };
        if pool.address(id).is_none_or(|address| address.as_ptr().cast() != data) {
            return Err(not_of(pool));
        }
        take(id)?;
        // SAFETY: as above, and writable.
        unsafe { block.write(ipcx_block::NONE) };
        Ok(())
    }
}

#[cold]
#[inline(never)]
fn not_of(pool: &Pool) -> Failed {
    invalid_because(format!(
        "the block is not this handle's: it was released or sent before, or is of another pool or handle (segment '{}')",
        pool.name()
    ))
}

/// Creates a pool that must be new, and gives a handle on it in `*pool`.
///
/// `opts` says the block size at least. The pool appears under its name complete or not at all. Its memory is taken
/// now, so that using it never fails for lack of memory.
///
/// Ownership: the handle is yours; give it back with ipcx_pool_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
/// IPCX_E_INVALID (name, options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_create(
    name: *const c_char,
    opts: *const ipcx_pool_options,
    pool: *mut *mut ipcx_pool,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, pool, Pool::create, None) }
}

/// Attaches to a pool, or creates it if there is none, and gives a handle on it in `*pool`. A new one needs a block
/// size.
///
/// If the pool exists, its sizes, number of participants and schema must be those of the options where these give
/// any; mode, group and wait are only for a new one.
/// With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
///
/// Ownership: the handle is yours; give it back with ipcx_pool_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_pool_create() less IPCX_E_EXISTS, and those of ipcx_pool_attach();
/// IPCX_E_MISMATCH also for other options.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_open(
    name: *const c_char,
    opts: *const ipcx_pool_options,
    pool: *mut *mut ipcx_pool,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, pool, Pool::open, Some(Pool::attach_with)) }
}

/// Attaches to a pool that must exist, and gives a handle on it in `*pool`.
///
/// Ownership: the handle is yours; give it back with ipcx_pool_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
/// IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_attach(name: *const c_char, pool: *mut *mut ipcx_pool) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, null::<ipcx_pool_options>(), pool, Pool::attach_with, None) }
}

/// Creates a pool without a name, in a memfd sealed against resizing, and gives a handle on it in `*pool`.
///
/// Hand ipcx_pool_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
/// ipcx_pool_from_fd(). The options' directory, mode and group mean nothing here.
///
/// Ownership: the handle is yours; give it back with ipcx_pool_close(). The memory goes with the last
/// descriptor and handle.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_anonymous(
    opts: *const ipcx_pool_options,
    pool: *mut *mut ipcx_pool,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { anonymous(opts, pool, Pool::anonymous) }
}

/// Attaches to the pool behind a descriptor, and gives a handle on it in `*pool`.
///
/// Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
/// ipcx_pool_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_pool_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_from_fd(fd: c_int, pool: *mut *mut ipcx_pool) -> c_int {
    // SAFETY: pointers as the contract wants them; the descriptor stays open during the call.
    unsafe { from_fd(fd, pool, Pool::from_fd) }
}

/// A new descriptor of the pool to hand to another process; or a negative code.
///
/// It is closed on exec until you say otherwise. It keeps the memory, but no block and no participant's slot.
///
/// Ownership: the descriptor is yours; close it with close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_share_fd(pool: *mut ipcx_pool) -> c_int {
    // SAFETY: an open handle, by the contract.
    unsafe { share_fd(pool, Pool::share_fd) }
}

/// A block, in `*block`; waits up to `timeout_ns` for one to be released. What is in it is whatever was there.
///
/// A few nanoseconds and no system call where this handle has released a block before. A call that waits gives
/// the blocks of the dead back; one that does not wait looks for the dead at most every 50 ms.
///
/// Ownership: the block is the handle's, until ipcx_pool_release(), ipcx_producer_send_block() or
/// ipcx_pool_close(). If the process dies, it goes back to the pool.
/// Thread-safe. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_FORKED, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_acquire(
    pool: *mut ipcx_pool,
    timeout_ns: i64,
    block: *mut ipcx_block,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (pool, block) = unsafe { (shared(pool)?, Out::new(block)?) };
        let id = pool.acquire_raw(deadline(timeout_ns)?)?;
        block.set(ipcx_block::of(pool, id));
        Ok(())
    })
}

/// Gives a block back, and sets `*block` to zeroes.
///
/// What is not this handle's block, because it was released or sent before, was acquired by another handle, is
/// of another pool, or never existed, is an error that changes nothing.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_INVALID, IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_release(pool: *mut ipcx_pool, block: *mut ipcx_block) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        let pool = unsafe { shared(pool) }?;
        // SAFETY: NULL, or the caller's, by the contract.
        unsafe { ipcx_block::take(pool, block, |id| pool.release_raw(id)) }
    })
}

/// Gives back what dead participants owned, and what is in flight on rings that are gone: that no name leads to,
/// and through which no living process has sent or received blocks. `*reclaimed`, which may be NULL, gets the
/// number of blocks.
///
/// Only the second needs this call: an acquire that finds nothing free does the first by itself. One that waits
/// does it while it waits; one that does not wait looks for the dead at most every 50 ms. This call looks at once.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_recover(pool: *mut ipcx_pool, reclaimed: *mut usize) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, by the contract.
        let found = unsafe { shared(pool) }?.recover()?;
        // SAFETY: NULL or writable, by the contract.
        unsafe { set_if_wanted(reclaimed, found as usize) };
        Ok(())
    })
}

/// What can be seen of the pool from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
///
/// It looks at each block. Nobody is stopped for it: a block that changes hands meanwhile counts once, somewhere.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_stats(pool: *mut ipcx_pool, stats: *mut ipcx_stats) -> c_int {
    // SAFETY: an open handle; NULL or as large as it says. By the contract.
    unsafe { stats::show(pool, stats, |pool| Ok(pool_figures(&pool.stats()?))) }
}

/// Gives a handle on a pool back, and the blocks that it owns. NULL is allowed. The name stays (see
/// ipcx_unlink()).
///
/// Not while another thread uses the handle or its blocks. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_pool_close(pool: *mut ipcx_pool) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(pool) });
}
