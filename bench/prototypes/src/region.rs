//! Shared memory for one ring, and the two small operations every design uses.
//!
//! Page 0 is written by the consumer, page 1 by the producer, and the data region follows, mapped
//! twice in a row: a record that starts anywhere in the first copy is contiguous.

use core::arch::{asm, x86_64 as arch};
use core::ptr;
use core::sync::atomic::AtomicU64;

pub const PAGE: usize = 4096;

/// One mapped region. Never unmapped: the program is short-lived.
#[derive(Clone, Copy)]
pub struct Region {
    base: *mut u8,
    pub cap: u64,
}

impl Region {
    /// Makes and maps a region with `cap` bytes of data (a power of two, a multiple of the page).
    pub fn new(cap: usize) -> Region {
        assert!(cap.is_power_of_two() && cap >= PAGE);
        let (rw, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: plain system calls; the fixed mappings replace parts of the reservation just made.
        unsafe {
            let fd = libc::memfd_create(c"ring".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0 && libc::ftruncate(fd, (2 * PAGE + cap) as i64) == 0);
            let len = 2 * PAGE + 2 * cap;
            let base = libc::mmap(ptr::null_mut(), len, 0, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
            assert!(base != libc::MAP_FAILED);
            let second = base.byte_add(2 * PAGE + cap);
            let a = libc::mmap(base, 2 * PAGE + cap, rw, shared | libc::MAP_FIXED, fd, 0);
            let b = libc::mmap(second, cap, rw, shared | libc::MAP_FIXED, fd, 2 * PAGE as i64);
            assert!(a == base && b == second);
            libc::close(fd);
            Region { base: base.cast(), cap: cap as u64 }
        }
    }

    /// The word at `offset` in the two control pages.
    pub fn control(&self, offset: usize) -> &'static AtomicU64 {
        assert!(offset + 8 <= 2 * PAGE && offset % 8 == 0);
        // SAFETY: in bounds, aligned, never unmapped.
        unsafe { AtomicU64::from_ptr(self.base.add(offset).cast()) }
    }

    /// Start of the data region; valid for `2 * cap` bytes.
    pub fn data(&self) -> *mut u8 {
        // SAFETY: within the mapping.
        unsafe { self.base.add(2 * PAGE) }
    }
}

/// Asks for ownership of the line at `p`, without waiting. A hint: any address will do.
#[inline(always)]
pub fn prefetch_write(p: *const u8) {
    // SAFETY: a prefetch never faults and changes nothing a program can see.
    unsafe { asm!("prefetchw [{0}]", in(reg) p, options(nostack, preserves_flags)) }
}

/// Copies `len` bytes; up to 128 in line, as pairs of overlapping 16-byte moves.
///
/// # Safety
/// As for `ptr::copy_nonoverlapping`.
#[inline(always)]
pub unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
    // SAFETY: every access below lies in `0..len`, as each branch makes sure.
    unsafe {
        let x = |at: usize| arch::_mm_loadu_si128(src.add(at).cast());
        let put = |at: usize, v| arch::_mm_storeu_si128(dst.add(at).cast(), v);
        if !(16..=128).contains(&len) {
            ptr::copy_nonoverlapping(src, dst, len);
        } else if len > 64 {
            let v = [x(0), x(16), x(32), x(48), x(len - 64), x(len - 48), x(len - 32), x(len - 16)];
            put(0, v[0]);
            put(16, v[1]);
            put(32, v[2]);
            put(48, v[3]);
            put(len - 64, v[4]);
            put(len - 48, v[5]);
            put(len - 32, v[6]);
            put(len - 16, v[7]);
        } else if len >= 32 {
            let v = [x(0), x(16), x(len - 32), x(len - 16)];
            put(0, v[0]);
            put(16, v[1]);
            put(len - 32, v[2]);
            put(len - 16, v[3]);
        } else {
            let v = [x(0), x(len - 16)];
            put(0, v[0]);
            put(len - 16, v[1]);
        }
    }
}
