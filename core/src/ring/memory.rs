//! The ring's memory as it is mapped by one endpoint.

use super::layout::{ConsumerPage, ProducerPage};
use super::protocol::Memory;
use crate::error::{from_errno, Result};
use crate::segment::Segment;
use crate::sync::AtomicU64;
use crate::sys::map::{Access, Map};
use crate::sys::{barrier, futex, Errno};
use crate::twice::Twice;
use crate::wait::Nap;
use std::ptr::NonNull;
use std::sync::Arc;

/// Which of the parts may be written through a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Producer,
    Consumer,
    /// Looks only.
    Observer,
}

/// One endpoint's view. Clones share the mapping.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    producer: NonNull<ProducerPage>,
    consumer: NonNull<ConsumerPage>,
    data: Twice,
    registered: bool,
    _map: Arc<Map>,
}

// SAFETY: the pointers lead to shared atomics and raw bytes in the mapping that `_map` keeps; the bytes are accessed
// under the protocol of `protocol.rs`.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps the body of a segment whose header was checked: producer's page, consumer's page, data, data again.
    pub(crate) fn new(segment: &Segment, capacity: usize, side: Side) -> Result<Mapped> {
        let os = |errno: Errno| from_errno(segment.name(), "mmap", errno);
        let page = segment.page();
        let access = |writer| if side == writer { Access::ReadWrite } else { Access::Read };
        let data = 2 * page;
        let len = capacity.checked_mul(2).and_then(|twice| twice.checked_add(data));
        let mut map = Map::reserve(len.ok_or(Errno::ENOMEM).map_err(os)?, page).map_err(os)?;
        let fd = segment.fd();
        let body = segment.body();
        map.place(0, page, fd, body, access(Side::Producer)).map_err(os)?;
        map.place(page, page, fd, body + page as u64, access(Side::Consumer)).map_err(os)?;
        let (from, access) = (body + data as u64, access(Side::Producer));
        // SAFETY: the map is kept with it.
        let twice = unsafe { Twice::place(&mut map, data, capacity, fd, from, access) }.map_err(os)?;
        Ok(Mapped {
            producer: map.at(0, size_of::<ProducerPage>()).cast(),
            consumer: map.at(page, size_of::<ConsumerPage>()).cast(),
            data: twice,
            registered: side != Side::Observer && barrier::register(),
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

    /// Address of the half of a 64-bit word that changes with every change, for the kernel to compare.
    fn lower_half(word: &AtomicU64) -> *const u32 {
        let halves: *const u32 = std::ptr::from_ref(word).cast();
        if cfg!(target_endian = "big") {
            halves.wrapping_add(1)
        } else {
            halves
        }
    }

    /// The word on which a consumer sleeps, while it is 0, for the record at a position.
    pub(crate) fn record_word(&self, position: u64) -> *const u32 {
        Self::lower_half(self.word(position))
    }

    /// The word on which a producer sleeps, while it is as it was.
    pub(crate) fn room_word(&self) -> *const u32 {
        Self::lower_half(&self.consumer().position)
    }

    fn sleep(word: &AtomicU64, expected: u32, until: u64) -> Nap {
        // SAFETY: the word lies in the mapping that `self` keeps and is aligned to 8.
        match unsafe { futex::wait(Self::lower_half(word), expected, until) } {
            Err(Errno::EINTR) => Nap::Interrupted,
            _ => Nap::Over,
        }
    }
}

impl Memory for Mapped {
    #[inline(always)]
    fn capacity(&self) -> u64 {
        self.data.capacity()
    }

    #[inline(always)]
    fn producer(&self) -> &ProducerPage {
        // SAFETY: a page of the mapping that `_map` keeps, page-aligned; the struct consists of atomics, for which any
        // bytes are a value. Stores happen only on the side that mapped it writable.
        unsafe { self.producer.as_ref() }
    }

    #[inline(always)]
    fn consumer(&self) -> &ConsumerPage {
        // SAFETY: as for `producer`.
        unsafe { self.consumer.as_ref() }
    }

    #[inline(always)]
    fn word(&self, position: u64) -> &AtomicU64 {
        self.data.word(position)
    }

    #[inline(always)]
    fn prefetch(&self, position: u64) {
        self.data.prefetch(position);
    }

    #[inline(always)]
    fn write(&self, position: u64, from: &[u8]) {
        self.data.write(position, from);
    }

    #[inline(always)]
    fn read(&self, position: u64, to: &mut [u8]) {
        self.data.read(position, to);
    }

    fn registered(&self) -> bool {
        self.registered
    }

    fn sleep_for_record(&self, position: u64, until: u64) -> Nap {
        Self::sleep(self.word(position), 0, until)
    }

    fn wake_for_record(&self, position: u64) {
        // SAFETY: as in `sleep`.
        unsafe { futex::wake(self.record_word(position), u32::MAX) };
    }

    fn sleep_for_room(&self, seen: u64, until: u64) -> Nap {
        Self::sleep(&self.consumer().position, seen as u32, until)
    }

    fn wake_for_room(&self) {
        // SAFETY: as in `sleep`.
        unsafe { futex::wake(self.room_word(), u32::MAX) };
    }
}
