//! The topic's memory as it is mapped by one participant.

use super::layout::{Cursor, Events, Parts, Publishers};
use super::protocol::Memory;
use crate::error::{from_errno, Error, Result};
use crate::event::{Kernel, System};
use crate::segment::Segment;
use crate::sync::AtomicU64;
use crate::sys::map::{Access, Map};
use crate::sys::Errno;
use crate::twice::Twice;
use std::ptr::NonNull;
use std::sync::Arc;

/// Which of the parts may be written through a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// All.
    Publisher,
    /// Events and cursors.
    Subscriber,
    /// Looks only.
    Observer,
}

/// One participant's view. Clones share the mapping.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    publishers: NonNull<Publishers>,
    events: NonNull<Events>,
    cursors: NonNull<[Cursor]>,
    data: Twice,
    kernel: System,
    _map: Arc<Map>,
}

// SAFETY: the pointers lead to shared atomics and raw bytes in the mapping that `_map` keeps; the bytes are accessed
// under the protocol of `protocol.rs`.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the body of a segment whose header was checked: publishers' page, subscribers' part, data, data again.
    pub(crate) fn new(segment: &Segment, side: Side) -> Result<Mapped> {
        let os = |errno: Errno| from_errno(segment.name(), "mmap", errno);
        let unsound = || Error::Corrupt(segment.context("the header's sizes do not fit together"));
        let (page, participants) = (segment.page(), segment.leases().participants());
        let parts = Parts::of(segment.parameters(), participants, page as u64).ok_or_else(unsound)?;
        let access = |writes| if writes { Access::ReadWrite } else { Access::Read };
        let (publishes, takes_part) = (access(side == Side::Publisher), access(side != Side::Observer));
        let len = parts.capacity.checked_mul(2).and_then(|twice| twice.checked_add(parts.data));
        let mut map = Map::reserve(len.ok_or(Errno::ENOMEM).map_err(os)?, page).map_err(os)?;
        let (fd, body) = (segment.fd(), segment.body());
        let (shared, size) = (parts.subscribers, parts.data - parts.subscribers);
        map.place(0, shared, fd, body, publishes).map_err(os)?;
        map.place(shared, size, fd, body + shared as u64, takes_part).map_err(os)?;
        let from = body + parts.data as u64;
        // SAFETY: the map is kept with it.
        let data =
            unsafe { Twice::place(&mut map, parts.data, parts.capacity, fd, from, publishes) }.map_err(os)?;
        let cursors = map.at(shared + size_of::<Events>(), parts.cursors * size_of::<Cursor>()).cast();
        Ok(Mapped {
            publishers: map.at(0, size_of::<Publishers>()).cast(),
            events: map.at(shared, size_of::<Events>()).cast(),
            cursors: NonNull::slice_from_raw_parts(cursors, parts.cursors),
            data,
            kernel: System::new(),
            _map: Arc::new(map),
        })
    }

    /// Address of the byte at a position, from which a whole capacity is addressable.
    #[inline(always)]
    pub(crate) fn address(&self, position: u64) -> NonNull<u8> {
        self.data.address(position)
    }

    /// Brings the line that holds `position` near for reading; a hint.
    #[inline(always)]
    pub(crate) fn expect(&self, position: u64) {
        self.data.expect(position);
    }
}

impl Memory for Mapped {
    #[inline(always)]
    fn capacity(&self) -> u64 {
        self.data.capacity()
    }

    #[inline(always)]
    fn publishers(&self) -> &Publishers {
        // SAFETY: a page of the mapping that `_map` keeps, page-aligned; the struct consists of atomics, for which any
        // bytes are a value. Stores happen only on a side that mapped it writable.
        unsafe { self.publishers.as_ref() }
    }

    #[inline(always)]
    fn events(&self) -> &Events {
        // SAFETY: as for `publishers`.
        unsafe { self.events.as_ref() }
    }

    #[inline(always)]
    fn cursors(&self) -> &[Cursor] {
        // SAFETY: as for `publishers`; so many are mapped, aligned to 128 behind a page and the events.
        unsafe { self.cursors.as_ref() }
    }

    #[inline(always)]
    fn word(&self, position: u64) -> &AtomicU64 {
        self.data.word(position)
    }

    #[inline(always)]
    fn write(&self, position: u64, from: &[u8]) {
        self.data.write(position, from);
    }

    #[inline(always)]
    fn read(&self, position: u64, to: &mut [u8]) {
        self.data.read(position, to);
    }

    #[inline(always)]
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
}
