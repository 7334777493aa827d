//! The work queue's memory as it is mapped by one participant.

use super::layout::{Control, Envelope, Hints, Parts, LANES};
use super::protocol::Memory;
use crate::bytes::{copy, near_for_writing};
use crate::error::{from_errno, Error, Result};
use crate::event::{Kernel, System};
use crate::segment::Segment;
use crate::sync::AtomicU64;
use crate::sys::map::{Access, Map};
use crate::sys::Errno;
use std::ptr::NonNull;

/// Where a cell's message begins.
const DATA: usize = size_of::<Envelope>();

/// One participant's view.
#[derive(Debug)]
pub(crate) struct Mapped {
    body: NonNull<u8>,
    parts: Parts,
    kernel: System,
    _map: Map,
}

// SAFETY: the pointer leads to shared atomics and raw bytes in the mapping that `_map` keeps; the bytes are accessed under the
// protocol of `protocol.rs`.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the body of a queue's segment, whose header was checked.
    pub(crate) fn new(segment: &Segment) -> Result<Mapped> {
        let unsound = || Error::Corrupt(segment.context("the header's sizes do not fit together"));
        let parts = Parts::of(segment.parameters(), segment.page() as u64).ok_or_else(unsound)?;
        let os = |errno: Errno| from_errno(segment.name(), "mmap", errno);
        let mut map = Map::reserve(parts.size, segment.page()).map_err(os)?;
        map.place(0, parts.size, segment.fd(), segment.body(), Access::ReadWrite).map_err(os)?;
        Ok(Mapped { body: map.at(0, parts.size), parts, kernel: System::new(), _map: map })
    }

    /// Item `index` of `count` in a part that begins at `offset`.
    #[inline(always)]
    fn at<T>(&self, offset: usize, index: u32, count: u32) -> &T {
        assert!(index < count, "an index into the queue's body");
        // SAFETY: the parts were computed for so many items of this type, and lie in the mapping that `_map` keeps, at
        // multiples of 128; all of them consist of atomics, for which any bytes are a value.
        unsafe { self.body.add(offset).cast::<T>().add(index as usize).as_ref() }
    }

    /// Where a cell begins.
    #[inline(always)]
    fn start(&self, index: u32) -> NonNull<u8> {
        assert!(index < self.parts.depth, "a cell's number");
        // SAFETY: inside the mapping, by the assertion: so many strides lie behind the offset.
        unsafe { self.body.add(self.parts.cells + index as usize * self.parts.stride) }
    }

    /// Where a cell's message begins, of at most so many bytes.
    #[inline(always)]
    fn data(&self, index: u32, len: usize) -> *mut u8 {
        assert!(len <= self.parts.room as usize, "a message's length");
        // SAFETY: a stride holds an envelope and the largest message.
        unsafe { self.start(index).as_ptr().add(DATA) }
    }
}

impl Memory for Mapped {
    #[inline(always)]
    fn depth(&self) -> u32 {
        self.parts.depth
    }

    #[inline(always)]
    fn entries(&self) -> u32 {
        self.parts.entries
    }

    #[inline(always)]
    fn control(&self) -> &Control {
        self.at(0, 0, 1)
    }

    #[inline(always)]
    fn hints(&self, lane: u32) -> &Hints {
        self.at(self.parts.hints, lane, LANES)
    }

    #[inline(always)]
    fn entry(&self, lane: u32, entry: u32) -> &AtomicU64 {
        assert!(lane < LANES && entry < self.parts.entries, "an entry of a lane");
        // 33 times a million at most.
        self.at(self.parts.lanes, lane * self.parts.entries + entry, LANES * self.parts.entries)
    }

    #[inline(always)]
    fn aside(&self, word: u32) -> &AtomicU64 {
        self.at(self.parts.aside, word, self.parts.depth.div_ceil(64))
    }

    #[inline(always)]
    fn cell(&self, index: u32) -> &Envelope {
        // SAFETY: an envelope lies there, aligned to 64, in the mapping that `_map` keeps; it consists of atomics.
        unsafe { self.start(index).cast().as_ref() }
    }

    #[inline(always)]
    fn room(&self) -> usize {
        self.parts.room as usize
    }

    #[inline(always)]
    fn write(&self, index: u32, message: &[u8]) {
        let to = self.data(index, message.len());
        // SAFETY: so many bytes of the mapping. They are this participant's by the protocol; another that touches them all the
        // same damages data, nothing else.
        unsafe { copy(message.as_ptr(), to, message.len()) };
    }

    #[inline(always)]
    fn read(&self, index: u32, to: &mut [u8]) {
        let from = self.data(index, to.len());
        // SAFETY: as for `write`; bytes that another changes meanwhile are copied in any state, as data.
        unsafe { copy(from, to.as_mut_ptr(), to.len()) };
    }

    #[inline(always)]
    fn expect(&self, index: u32) {
        if index < self.parts.depth {
            let start = self.start(index).as_ptr();
            near_for_writing(start);
            // The next line as well: a hint for any address.
            near_for_writing(start.wrapping_add(64));
        }
    }

    #[inline(always)]
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
}
