//! The service's memory as it is mapped by one participant.

use super::layout::{
    Channel, Control, Parts, ReplyCell, RequestCell, DEPTH, MAX_CLIENTS, MAX_REPLY, MAX_REQUEST,
};
use super::protocol::{Memory, Place};
use crate::bytes::{copy, near_for_reading, near_for_writing};
use crate::error::{from_errno, Error, Result};
use crate::event::{Kernel, System};
use crate::segment::Segment;
use crate::sync::AtomicU32;
use crate::sys::clock;
use crate::sys::map::{Access, Map};
use crate::sys::Errno;
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of a cache line: what a processor has to wait for at once.
const LINE: usize = 64;

/// Which of the parts may be written through a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// All but the replies.
    Client,
    /// All.
    Server,
}

/// One participant's view. Clones share the mapping.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    body: NonNull<u8>,
    parts: Parts,
    channels: u32,
    depth: u64,
    participants: u32,
    max_request: usize,
    max_reply: usize,
    kernel: System,
    _map: Arc<Map>,
}

// SAFETY: the pointer leads to shared atomics and raw bytes in the mapping that `_map` keeps; the bytes are accessed under the
// protocol of `protocol.rs`.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the body of a segment whose header was checked.
    pub(crate) fn new(segment: &Segment, side: Side) -> Result<Mapped> {
        let os = |errno: Errno| from_errno(segment.name(), "mmap", errno);
        let unsound = || Error::Corrupt(segment.context("the header's sizes do not fit together"));
        let (page, participants) = (segment.page(), segment.leases().participants());
        let parameters = segment.parameters();
        let parts = Parts::of(parameters, participants, page as u64).ok_or_else(unsound)?;
        let mut map = Map::reserve(parts.size, page).map_err(os)?;
        let (fd, body) = (segment.fd(), segment.body());
        let replies = if side == Side::Server { Access::ReadWrite } else { Access::Read };
        map.place(0, parts.replies, fd, body, Access::ReadWrite).map_err(os)?;
        let size = parts.size - parts.replies;
        map.place(parts.replies, size, fd, body + parts.replies as u64, replies).map_err(os)?;
        Ok(Mapped {
            body: map.at(0, parts.size),
            parts,
            // `Parts::of` has checked that these fit.
            channels: parameters[MAX_CLIENTS] as u32,
            depth: parameters[DEPTH],
            participants,
            max_request: parameters[MAX_REQUEST] as usize,
            max_reply: parameters[MAX_REPLY] as usize,
            kernel: System::new(),
            _map: Arc::new(map),
        })
    }

    /// Item `index` of `count` in a part that begins at `offset`.
    #[inline(always)]
    fn at<T>(&self, offset: usize, index: u32, count: u32) -> &T {
        assert!(index < count, "an index into the service's body");
        // SAFETY: the parts were computed for so many items of this type, and lie in the mapping that `_map` keeps, at
        // multiples of their alignment; all of them consist of atomics, for which any bytes are a value.
        unsafe { self.body.add(offset).cast::<T>().add(index as usize).as_ref() }
    }

    /// Address of a cell of a part that begins at `offset`.
    #[inline(always)]
    fn cell(&self, offset: usize, stride: usize, place: Place) -> NonNull<u8> {
        assert!(place.channel < self.channels && place.cell < self.depth, "a cell of the service's");
        let index = u64::from(place.channel) * self.depth + place.cell;
        // SAFETY: both parts have as many cells as there are places, and lie in the mapping that `_map` keeps.
        unsafe { self.body.add(offset + index as usize * stride) }
    }

    #[inline(always)]
    fn request_at(&self, place: Place) -> NonNull<u8> {
        self.cell(self.parts.requests, self.parts.request, place)
    }

    #[inline(always)]
    fn reply_at(&self, place: Place) -> NonNull<u8> {
        self.cell(self.parts.replies, self.parts.reply, place)
    }

    /// Address of the bytes of a request.
    #[inline(always)]
    pub(crate) fn request_bytes(&self, place: Place) -> NonNull<u8> {
        // SAFETY: a cell has room for its words and more.
        unsafe { self.request_at(place).add(size_of::<RequestCell>()) }
    }

    #[inline(always)]
    fn reply_bytes(&self, place: Place) -> NonNull<u8> {
        // SAFETY: as above.
        unsafe { self.reply_at(place).add(size_of::<ReplyCell>()) }
    }
}

impl Memory for Mapped {
    fn participants(&self) -> u32 {
        self.participants
    }

    #[inline(always)]
    fn channels(&self) -> u32 {
        self.channels
    }

    #[inline(always)]
    fn depth(&self) -> u64 {
        self.depth
    }

    #[inline(always)]
    fn max_request(&self) -> usize {
        self.max_request
    }

    #[inline(always)]
    fn max_reply(&self) -> usize {
        self.max_reply
    }

    #[inline(always)]
    fn control(&self) -> &Control {
        self.at(0, 0, 1)
    }

    fn serves(&self, slot: u32) -> &AtomicU32 {
        self.at(size_of::<Control>(), slot, self.participants)
    }

    #[inline(always)]
    fn channel(&self, channel: u32) -> &Channel {
        self.at(self.parts.channels, channel, self.channels)
    }

    #[inline(always)]
    fn request(&self, place: Place) -> &RequestCell {
        // SAFETY: a cell begins with these atomics, for which any bytes are a value, at a multiple of 128.
        unsafe { self.request_at(place).cast().as_ref() }
    }

    #[inline(always)]
    fn reply(&self, place: Place) -> &ReplyCell {
        // SAFETY: as above. Stores happen only on the side that mapped it writable.
        unsafe { self.reply_at(place).cast().as_ref() }
    }

    #[inline(always)]
    fn write_request(&self, place: Place, from: &[u8]) {
        assert!(from.len() <= self.max_request);
        // SAFETY: a cell has so many bytes behind its words. They are this side's by the protocol; a peer that touches them all
        // the same damages data, nothing else.
        unsafe { copy(from.as_ptr(), self.request_bytes(place).as_ptr(), from.len()) };
    }

    #[inline(always)]
    fn read_request(&self, place: Place, to: &mut [u8]) {
        assert!(to.len() <= self.max_request);
        // SAFETY: as above; bytes that a peer changes meanwhile are copied in any state, as data.
        unsafe { copy(self.request_bytes(place).as_ptr(), to.as_mut_ptr(), to.len()) };
    }

    #[inline(always)]
    fn write_reply(&self, place: Place, from: &[u8]) {
        assert!(from.len() <= self.max_reply);
        // SAFETY: as for `write_request`; called on the side that mapped it writable.
        unsafe { copy(from.as_ptr(), self.reply_bytes(place).as_ptr(), from.len()) };
    }

    #[inline(always)]
    fn read_reply(&self, place: Place, to: &mut [u8]) {
        assert!(to.len() <= self.max_reply);
        // SAFETY: as for `read_request`.
        unsafe { copy(self.reply_bytes(place).as_ptr(), to.as_mut_ptr(), to.len()) };
    }

    #[inline(always)]
    fn prepare_reply(&self, place: Place) {
        near_for_writing(self.reply_at(place).as_ptr());
        near_for_writing(self.reply_at(place).as_ptr().wrapping_add(LINE));
    }

    #[inline(always)]
    fn expect_reply(&self, place: Place) {
        near_for_reading(self.reply_at(place).as_ptr().wrapping_add(LINE));
    }

    #[inline(always)]
    fn expect_request(&self, place: Place) {
        near_for_reading(self.request_at(place).as_ptr().wrapping_add(LINE));
    }

    #[inline(always)]
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }

    fn now(&self) -> u64 {
        clock::now()
    }
}
