//! Mapping parts of a file at chosen places.

use super::SysResult;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

/// What a mapped part may be used for; the processor enforces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
}

/// A range of addresses of this process, filled part by part from files, given back on drop.
#[derive(Debug)]
pub(crate) struct Map {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a Map is an address range; what is done with the bytes is the business of whoever makes pointers into it.
unsafe impl Send for Map {}
// SAFETY: as above; no method of `&Map` touches the bytes.
unsafe impl Sync for Map {}

impl Map {
    /// Reserves `len` addresses that cannot be accessed yet.
    ///
    /// `void *mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)`
    pub(crate) fn reserve(len: usize, align: usize) -> SysResult<Map> {
        let page = page_size();
        // Over-reserve, then trim, where the parts are to lie at a multiple of more than a page (huge pages).
        let slack = if align > page { align } else { 0 };
        let total = len.checked_add(slack).ok_or(Errno::ENOMEM)?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new anonymous mapping at an address the kernel chooses overlaps nothing.
        let base = unsafe { libc::mmap(ptr::null_mut(), total, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let start = base as usize;
        let aligned = if slack > 0 { start.next_multiple_of(align) } else { start };
        if slack > 0 {
            // SAFETY: both ranges belong to the mapping just made and nothing points into them.
            unsafe {
                if aligned > start {
                    libc::munmap(base, aligned - start);
                }
                let end = aligned + len;
                if start + total > end {
                    libc::munmap(end as *mut libc::c_void, start + total - end);
                }
            }
        }
        NonNull::new(aligned as *mut u8).map(|base| Map { base, len }).ok_or(Errno::ENOMEM)
    }

    /// Puts `len` bytes of the file from `offset` at `at` bytes into this range, shared.
    ///
    /// `void *mmap(base + at, len, prot, MAP_SHARED | MAP_FIXED, fd, offset)`
    pub(crate) fn place(
        &mut self,
        at: usize,
        len: usize,
        fd: BorrowedFd<'_>,
        offset: u64,
        access: Access,
    ) -> SysResult<()> {
        if at.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(Errno::EINVAL);
        }
        let prot = match access {
            Access::Read => libc::PROT_READ,
            Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: MAP_FIXED replaces addresses of our own reservation only (checked above), and `&mut self`
        // says that no pointer into it is in use yet.
        let placed = unsafe {
            libc::mmap(
                self.base.as_ptr().add(at).cast(),
                len,
                prot,
                libc::MAP_SHARED | libc::MAP_FIXED,
                fd.as_raw_fd(),
                offset,
            )
        };
        if placed == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(())
    }

    /// Writes `len` bytes from `at` on to where the file is kept, and waits until they are there.
    ///
    /// `int msync(void *base + at, size_t len, MS_SYNC)`
    pub(crate) fn write_back(&self, at: usize, len: usize) -> SysResult<()> {
        let end = at.checked_add(len).filter(|end| *end <= self.len).ok_or(Errno::EINVAL)?;
        let start = at - at % page_size();
        // SAFETY: inside the range; the call changes no memory.
        let done = unsafe { libc::msync(self.base.as_ptr().add(start).cast(), end - start, libc::MS_SYNC) };
        Errno::result(done).map(drop)
    }

    /// Address `at` bytes into the range, from which `len` bytes lie inside it.
    pub(crate) fn at(&self, at: usize, len: usize) -> NonNull<u8> {
        assert!(at.checked_add(len).is_some_and(|end| end <= self.len), "offset outside the mapping");
        // SAFETY: inside the range, by the assertion.
        unsafe { self.base.add(at) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and whoever made pointers into it keeps the Map for as long as they are used.
        // `int munmap(void *addr, size_t len)`
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// The processor's page size in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: `long sysconf(int)` takes an integer and touches no memory of ours.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
