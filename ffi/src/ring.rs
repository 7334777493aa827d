//! The handle on a ring.

use crate::arguments::Out;
use crate::boundary;
use crate::consumer::ipcx_consumer;
use crate::handles::{self, give, handle, shared};
use crate::opening::{anonymous, from_fd, open, share_fd};
use crate::options::ipcx_ring_options;
use crate::producer::ipcx_producer;
use crate::stats::{self, ipcx_stats, ring_figures};
use ipcx_core::Ring;
use std::ffi::{c_char, c_int};
use std::ptr::null;

/// A handle on a ring: a queue of variable-length records from one producer to one consumer.
///
/// It may be shared between threads. It is one participant of the segment and keeps it mapped.
pub struct ipcx_ring {
    _private: [u8; 0],
}
handle!(ipcx_ring => Ring, b"ipcxRING", "not an open ipcx_ring (NULL, closed, or something else)");

/// Creates a ring that must be new, and gives a handle on it in `*ring`.
///
/// `opts` may be NULL. The ring appears under its name complete or not at all. Its memory is taken now, so
/// that using it never fails for lack of memory.
///
/// Ownership: the handle is yours; give it back with ipcx_ring_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
/// IPCX_E_INVALID (name, options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_create(
    name: *const c_char,
    opts: *const ipcx_ring_options,
    ring: *mut *mut ipcx_ring,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, ring, Ring::create, None) }
}

/// Attaches to a ring, or creates it if there is none, and gives a handle on it in `*ring`.
///
/// `opts` may be NULL. If the ring exists, its capacity, number of participants and schema must be those of
/// the options where these give any (a schema, where both have one); mode, group and wait are only for a new one.
/// With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
///
/// Ownership: the handle is yours; give it back with ipcx_ring_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_ring_create() less IPCX_E_EXISTS, and those of ipcx_ring_attach();
/// IPCX_E_MISMATCH also for other options.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_open(
    name: *const c_char,
    opts: *const ipcx_ring_options,
    ring: *mut *mut ipcx_ring,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, ring, Ring::open, Some(Ring::attach_with)) }
}

/// Attaches to a ring that must exist, and gives a handle on it in `*ring`.
///
/// Ownership: the handle is yours; give it back with ipcx_ring_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
/// IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_attach(name: *const c_char, ring: *mut *mut ipcx_ring) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, null::<ipcx_ring_options>(), ring, Ring::attach_with, None) }
}

/// Creates a ring without a name, in a memfd sealed against resizing, and gives a handle on it in `*ring`.
///
/// Hand ipcx_ring_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
/// ipcx_ring_from_fd(). The options' directory, mode and group mean nothing here.
///
/// Ownership: the handle is yours; give it back with ipcx_ring_close(). The memory goes with the last
/// descriptor and handle.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_anonymous(
    opts: *const ipcx_ring_options,
    ring: *mut *mut ipcx_ring,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { anonymous(opts, ring, Ring::anonymous) }
}

/// Attaches to the ring behind a descriptor, and gives a handle on it in `*ring`.
///
/// Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
/// ipcx_ring_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_ring_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_from_fd(fd: c_int, ring: *mut *mut ipcx_ring) -> c_int {
    // SAFETY: pointers as the contract wants them; the descriptor stays open during the call.
    unsafe { from_fd(fd, ring, Ring::from_fd) }
}

/// A new descriptor of the ring to hand to another process; or a negative code.
///
/// It is closed on exec until you say otherwise. It keeps the memory, but no role and no participant's slot.
///
/// Ownership: the descriptor is yours; close it with close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_share_fd(ring: *mut ipcx_ring) -> c_int {
    // SAFETY: an open handle, by the contract.
    unsafe { share_fd(ring, Ring::share_fd) }
}

/// Takes the producer's role, the first time or after its owner closed or died, and gives the sending end in
/// `*producer`. There is one at a time, over all processes. A successor goes on behind the last committed
/// record.
///
/// Ownership: the producer is yours; give it back with ipcx_producer_close(). It outlives `ring`.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_BUSY (a living process has it; ipcx_last_error() names it), IPCX_E_FORKED, IPCX_E_CORRUPT,
/// IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_producer(
    ring: *mut ipcx_ring,
    producer: *mut *mut ipcx_producer,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (ring, producer) = unsafe { (shared(ring)?, Out::new(producer)?) };
        producer.set(give(ring.producer()?));
        Ok(())
    })
}

/// Takes the consumer's role, the first time or after its owner closed or died, and gives the receiving end
/// in `*consumer`. There is one at a time, over all processes. A successor gets first what its predecessor
/// did not release.
///
/// Ownership: the consumer is yours; give it back with ipcx_consumer_close(). It outlives `ring`.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_ring_producer().
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_consumer(
    ring: *mut ipcx_ring,
    consumer: *mut *mut ipcx_consumer,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (ring, consumer) = unsafe { (shared(ring)?, Out::new(consumer)?) };
        consumer.set(give(ring.consumer()?));
        Ok(())
    })
}

/// What can be seen of the ring from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
///
/// Nobody is stopped for it, so the figures may be apart by what was in work.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_stats(ring: *mut ipcx_ring, stats: *mut ipcx_stats) -> c_int {
    // SAFETY: an open handle; NULL or as large as it says. By the contract.
    unsafe { stats::show(ring, stats, |ring| Ok(ring_figures(&ring.stats()?))) }
}

/// Gives a handle on a ring back. NULL is allowed. The name stays (see ipcx_unlink()), and endpoints taken
/// from it go on working.
///
/// Not while another thread uses the handle. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_ring_close(ring: *mut ipcx_ring) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(ring) });
}
