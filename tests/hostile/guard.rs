//! What catches an access outside a segment's mapping: the kernel, by SIGSEGV. No sanitizer does, since what `mmap`
//! gives is all alike to it.
//!
//! The kernel likes to put one mapping right behind another, though, and then an access a little outside meets the
//! neighbour and nobody notices. So in this program the function `mmap` puts a page that nobody can access on
//! either side of what ipcx reserves. (The linker prefers this one to that of the C library, for ipcx as for everybody here.)

use libc::{c_int, c_void, off_t, size_t};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes on either side: a page, wherever pages are up to 64 KiB.
const GUARD: usize = 1 << 16;
/// Addresses between guards, and 0 for none. More than one process here has reservations.
static GUARDED: [AtomicUsize; 256] = [const { AtomicUsize::new(0) }; 256];

/// Replaces an address in the table; false if it is not there.
fn exchange(old: usize, new: usize) -> bool {
    let taken =
        |slot: &AtomicUsize| slot.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed).is_ok();
    GUARDED.iter().any(taken)
}

/// True if there is a reservation with guards.
pub(crate) fn is_at_work() -> bool {
    GUARDED.iter().any(|slot| slot.load(Ordering::Relaxed) != 0)
}

/// `void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)`, with guards around a reservation.
///
/// # Safety
/// As that of the C library.
#[no_mangle]
pub(crate) unsafe extern "C" fn mmap(
    at: *mut c_void,
    len: size_t,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the caller's promise, passed on.
    let map = |len: size_t| unsafe { libc::syscall(libc::SYS_mmap, at, len, prot, flags, fd, offset) }
        as *mut c_void;
    let reserves = at.is_null() && prot == libc::PROT_NONE && flags & libc::MAP_NORESERVE != 0;
    let Some(guarded) = len.checked_add(2 * GUARD).filter(|_| reserves) else { return map(len) };
    let base = map(guarded);
    if base == libc::MAP_FAILED {
        return base;
    }
    let inside = base.wrapping_byte_add(GUARD);
    assert!(exchange(0, inside as usize), "no room for another reservation");
    inside
}

/// `int munmap(void *addr, size_t len)`, with the guards where there are any.
///
/// # Safety
/// As that of the C library.
#[no_mangle]
pub(crate) unsafe extern "C" fn munmap(at: *mut c_void, len: size_t) -> c_int {
    let (at, len) = match exchange(at as usize, 0) && !at.is_null() {
        true => (at.wrapping_byte_sub(GUARD), len + 2 * GUARD),
        false => (at, len),
    };
    // SAFETY: the caller's promise; the guards belong to nobody else.
    unsafe { libc::syscall(libc::SYS_munmap, at, len) as c_int }
}
