//! Anonymous shared memory for the floors: a memfd that both workers inherit and map.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

use crate::{Error, Result};

/// Creates zeroed shared memory of `size` bytes.
pub fn create(size: usize) -> Result<OwnedFd> {
    // SAFETY: the name is a C string; the result is checked before it is owned.
    let fd = unsafe {
        let fd = libc::memfd_create(c"ipcx-bench".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: fallocate takes numbers only.
    if unsafe { libc::fallocate(fd.as_raw_fd(), 0, 0, size as libc::off_t) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(fd)
}

/// A mapping of memory made by [`create`], with every page present.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: the mapping is plain memory that belongs to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps all of `fd`.
    pub fn of(fd: RawFd, size: usize) -> Result<Mapping> {
        // SAFETY: a new mapping at an address that the kernel chooses overlaps nothing.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                fd,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        let start = NonNull::new(start.cast()).ok_or(Error::from("mapped at address 0"))?;
        Ok(Mapping { start, size })
    }

    /// The first byte.
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// A pointer to a `T` at `offset`.
    ///
    /// # Panics
    /// If it would not lie inside the mapping or not be aligned.
    pub fn at<T>(&self, offset: usize) -> *mut T {
        assert!(offset + size_of::<T>() <= self.size && offset % align_of::<T>() == 0);
        // SAFETY: just asserted to be inside the mapping.
        unsafe { self.start.as_ptr().add(offset).cast() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of` with this size and unmapped only here.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}
