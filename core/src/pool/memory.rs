//! The pool's memory as it is mapped by one participant.

use super::layout::{Channel, Control, Magazine, Parts};
use super::protocol::Memory;
use crate::bytes::{near_for_reading, near_for_writing};
use crate::error::{from_errno, Error, Result};
use crate::event::{Event, Kernel, System};
use crate::segment::Segment;
use crate::sync::AtomicU64;
use crate::sys::map::{Access, Map};
use crate::sys::sysv::Attached;
use crate::sys::Errno;
use std::ptr::NonNull;

/// One participant's view.
#[derive(Debug)]
pub(crate) struct Mapped {
    body: NonNull<u8>,
    data: NonNull<u8>,
    parts: Parts,
    blocks: u32,
    participants: u32,
    kernel: System,
    _map: Map,
    _outside: Option<Attached>,
}

// SAFETY: the pointers lead to shared atomics and raw bytes in the mappings that `_map` and `_outside` keep.
unsafe impl Send for Mapped {}
// SAFETY: as above; the bytes of blocks are only handed out as addresses.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the body of a pool's segment, whose header was checked.
    pub(crate) fn new(segment: &Segment) -> Result<Mapped> {
        let parts = Parts::of(segment.parameters(), segment.leases().participants(), segment.page() as u64);
        let blocks = segment.parameters()[super::layout::BLOCKS] as u32; // `Parts::of` has checked that it fits
        Mapped::of(segment, parts, blocks)
    }

    /// Maps a body of these parts, with so many blocks.
    pub(crate) fn of(segment: &Segment, parts: Option<Parts>, blocks: u32) -> Result<Mapped> {
        let unsound = || Error::Corrupt(segment.context("the header's sizes do not fit together"));
        let parts = parts.ok_or_else(unsound)?;
        let os = |errno: Errno| from_errno(segment.name(), "mmap", errno);
        let participants = segment.leases().participants();
        let mut map = Map::reserve(parts.size, segment.page()).map_err(os)?;
        map.place(0, parts.size, segment.fd(), segment.body(), Access::ReadWrite).map_err(os)?;
        let outside = parts.outside.map(|size| segment.attach_outside(size)).transpose()?;
        Ok(Mapped {
            body: map.at(0, parts.data),
            data: match &outside {
                Some(outside) => outside.at(segment.page(), blocks as usize * parts.stride),
                None => map.at(parts.data, blocks as usize * parts.stride),
            },
            parts,
            blocks,
            participants,
            kernel: System::new(),
            _map: map,
            _outside: outside,
        })
    }

    /// Address of a block, which is one of this pool's.
    #[inline(always)]
    pub(crate) fn address(&self, block: u32) -> NonNull<u8> {
        debug_assert!(block < self.blocks);
        // SAFETY: inside the data, which has `blocks` strides.
        unsafe { self.data.add(block as usize * self.parts.stride) }
    }

    /// How far behind the start of the body a block begins, and bytes from one block to the next.
    pub(crate) fn offset(&self, block: u32) -> (u64, u64) {
        let (data, stride) = (self.parts.data as u64, self.parts.stride as u64);
        (data + u64::from(block) * stride, stride)
    }

    /// Brings a block's cell near for a change, and its first line for reading; a hint, for any number.
    #[inline(always)]
    pub(crate) fn expect(&self, block: u32) {
        if block < self.blocks {
            near_for_writing(self.cell(block).as_ptr().cast());
            near_for_reading(self.address(block).as_ptr());
        }
    }

    pub(crate) fn channel(&self, channel: u32) -> &Channel {
        self.at(self.parts.channels, channel, super::layout::CHANNELS)
    }

    /// Item `index` of `count` in a part that begins at `offset`.
    #[inline(always)]
    fn at<T>(&self, offset: usize, index: u32, count: u32) -> &T {
        assert!(index < count, "an index into the pool's body");
        // SAFETY: the parts were computed for so many items of this type, and lie in the mapping that `_map` keeps, at
        // multiples of 128; all of them consist of atomics, for which any bytes are a value.
        unsafe { self.body.add(offset).cast::<T>().add(index as usize).as_ref() }
    }
}

impl Memory for Mapped {
    #[inline(always)]
    fn blocks(&self) -> u32 {
        self.blocks
    }

    #[inline(always)]
    fn participants(&self) -> u32 {
        self.participants
    }

    #[inline(always)]
    fn cell(&self, block: u32) -> &AtomicU64 {
        self.at(self.parts.cells, block, self.blocks)
    }

    #[inline(always)]
    fn hints(&self, word: u32) -> &AtomicU64 {
        self.at(self.parts.hints, word, self.blocks.div_ceil(64))
    }

    #[inline(always)]
    fn magazine(&self, slot: u32) -> &Magazine {
        self.at(self.parts.magazines, slot, self.participants)
    }

    #[inline(always)]
    fn freed(&self) -> &Event {
        &self.at::<Control>(0, 0, 1).freed
    }

    #[inline(always)]
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
}
