//! A file's bytes mapped twice in a row, for a stream of records: from any position a whole capacity is addressable.

use crate::bytes::{copy, near_for_reading, near_for_writing};
use crate::stream::WORD;
use crate::sync::AtomicU64;
use crate::sys::map::{Access, Map};
use crate::sys::SysResult;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

/// Where they are mapped. Valid while the map is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Twice {
    start: NonNull<u8>,
    /// Capacity - 1.
    mask: u64,
}

impl Twice {
    /// Puts `capacity` bytes of the file, a power of two, from `offset` twice into the map, at `at`.
    ///
    /// # Safety
    /// The map is kept for as long as the value is used, and its bytes are accessed under the protocol of their kind.
    pub(crate) unsafe fn place(
        map: &mut Map,
        at: usize,
        capacity: usize,
        fd: BorrowedFd<'_>,
        offset: u64,
        access: Access,
    ) -> SysResult<Twice> {
        for at in [at, at + capacity] {
            map.place(at, capacity, fd, offset, access)?;
        }
        Ok(Twice { start: map.at(at, 2 * capacity), mask: capacity as u64 - 1 })
    }

    #[inline(always)]
    pub(crate) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Address of the byte at a position, from which a whole capacity is addressable.
    #[inline(always)]
    pub(crate) fn address(&self, position: u64) -> NonNull<u8> {
        // SAFETY: the masked offset is below the capacity, and the data is mapped twice in a row.
        unsafe { self.start.add((position & self.mask) as usize) }
    }

    /// The word at a position that is a multiple of 8.
    #[inline(always)]
    pub(crate) fn word(&self, position: u64) -> &AtomicU64 {
        debug_assert!(position % WORD == 0);
        // SAFETY: 8 bytes inside the mapping (see `address`); positions are multiples of 8, so it is aligned.
        unsafe { self.address(position).cast::<AtomicU64>().as_ref() }
    }

    /// Copies `from` to the bytes from `position` on. At most a capacity.
    #[inline(always)]
    pub(crate) fn write(&self, position: u64, from: &[u8]) {
        debug_assert!(from.len() as u64 <= self.capacity());
        // SAFETY: at most a capacity, which is addressable from any position. The bytes are free for this side by the
        // protocol; a peer that touches them all the same damages data, nothing else.
        unsafe { copy(from.as_ptr(), self.address(position).as_ptr(), from.len()) };
    }

    /// Copies the bytes from `position` on to `to`. At most a capacity.
    #[inline(always)]
    pub(crate) fn read(&self, position: u64, to: &mut [u8]) {
        debug_assert!(to.len() as u64 <= self.capacity());
        // SAFETY: as for `write`; bytes that a peer changes meanwhile are copied in any state, as data.
        unsafe { copy(self.address(position).as_ptr(), to.as_mut_ptr(), to.len()) };
    }

    /// Brings the line that holds `position` near for reading; a hint.
    #[inline(always)]
    pub(crate) fn expect(&self, position: u64) {
        near_for_reading(self.address(position).as_ptr());
    }

    /// Brings the line that holds `position` near for writing; a hint.
    #[inline(always)]
    pub(crate) fn prefetch(&self, position: u64) {
        near_for_writing(self.address(position).as_ptr());
    }
}
