//! The buffer's memory as it is mapped by one participant.

use super::layout::{Control, Parts, CAPACITY};
use super::protocol::Memory;
use crate::bytes::copy;
use crate::error::{from_errno, Error, Result};
use crate::event::{Kernel, System};
use crate::segment::Segment;
use crate::sys::map::{Access, Map};
use crate::sys::Errno;
use std::ptr::NonNull;

/// One participant's view.
#[derive(Debug)]
pub(crate) struct Mapped {
    control: NonNull<Control>,
    copies: [NonNull<u8>; 2],
    capacity: usize,
    kernel: System,
    _map: Map,
}

// SAFETY: the pointers lead to shared atomics and raw bytes in the mapping that `_map` keeps.
unsafe impl Send for Mapped {}
// SAFETY: as above; the bytes are accessed under the protocol of `protocol.rs`.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the body of a segment whose header was checked.
    pub(crate) fn new(segment: &Segment) -> Result<Mapped> {
        let os = |errno: Errno| from_errno(segment.name(), "mmap", errno);
        let unsound = || Error::Corrupt(segment.context("the header's sizes do not fit together"));
        let parts = Parts::of(segment.parameters(), segment.page() as u64).ok_or_else(unsound)?;
        let capacity = segment.parameters()[CAPACITY] as usize; // `Parts::of` has checked that it fits
        let mut map = Map::reserve(parts.size, segment.page()).map_err(os)?;
        map.place(0, parts.size, segment.fd(), segment.body(), Access::ReadWrite).map_err(os)?;
        Ok(Mapped {
            control: map.at(0, size_of::<Control>()).cast(),
            copies: parts.copies.map(|at| map.at(at, capacity)),
            capacity,
            kernel: System::new(),
            _map: map,
        })
    }

    /// Address of copy 0 or 1.
    pub(crate) fn address(&self, copy: usize) -> NonNull<u8> {
        self.copies[copy]
    }
}

impl Memory for Mapped {
    #[inline(always)]
    fn control(&self) -> &Control {
        // SAFETY: the start of the body in the mapping that `_map` keeps, page-aligned; the struct consists of atomics, for
        // which any bytes are a value.
        unsafe { self.control.as_ref() }
    }

    #[inline(always)]
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }

    #[inline(always)]
    fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline(always)]
    fn read(&self, from: usize, to: &mut [u8]) {
        assert!(to.len() <= self.capacity);
        // SAFETY: at most a copy's bytes, which are mapped. Bytes that a writer changes meanwhile are copied in any state; the
        // protocol finds out.
        unsafe { copy(self.copies[from].as_ptr(), to.as_mut_ptr(), to.len()) };
    }

    #[inline(always)]
    fn write(&self, to: usize, from: &[u8]) {
        assert!(from.len() <= self.capacity);
        // SAFETY: as for `read`; they are this participant's to write by the protocol. Another that writes there all the same
        // damages data, nothing else.
        unsafe { copy(from.as_ptr(), self.copies[to].as_ptr(), from.len()) };
    }

    fn renew(&self, from: usize, len: usize) {
        assert!(len <= self.capacity);
        // SAFETY: as for `read` and `write`; the copies do not overlap.
        unsafe { copy(self.copies[from].as_ptr(), self.copies[1 - from].as_ptr(), len) };
    }
}
