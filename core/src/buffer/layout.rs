//! The buffer's part of a segment, to the byte.
//!
//! ```text
//! body                lock        the mutex, and the condition of `wait_locked`
//! + 128               value       which copy is the value, which is being filled, their lengths
//! + 256               copy 0      `capacity` bytes, rounded up to a multiple of 64
//! ...                 copy 1      the same
//! ```
//!
//! A new segment is all zeroes: version 0, which is empty. Version `v` lies in copy `v % 2`.

use crate::event::Event;
use crate::mutex::Mutex;
#[cfg(not(loom))]
use crate::segment::{fnv1a, Parameters, FNV_START};
use crate::sync::{AtomicU32, AtomicU64};
#[cfg(not(loom))]
use std::mem::offset_of;

/// Largest capacity in bytes.
#[cfg(not(loom))]
pub(crate) const LARGEST: u64 = 1 << 40;
/// Index of the capacity in the header's parameters.
#[cfg(not(loom))]
pub(crate) const CAPACITY: usize = 0;

/// Both parts before the copies, on lines that processors do not fetch together.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Control {
    /// Whoever has it may write everything else here, but the events.
    pub(crate) mutex: Mutex,
    /// How often the condition was notified, modulo 2^32; written by any participant.
    pub(crate) notified: AtomicU32,
    /// It was.
    pub(crate) condition: Event,
    _apart: [u64; 14],
    pub(crate) value: Value,
}

/// Read by everyone, written by the owner of the mutex.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Value {
    /// Writes committed since the buffer was made. Release; partner: the acquire in `look`.
    pub(crate) version: AtomicU64,
    /// The version whose copy was last begun to be filled: `version`, or one more. Written before the copy is touched (partner:
    /// the fence in `look`).
    pub(crate) begun: AtomicU64,
    /// Bytes used of each copy, at most the capacity.
    pub(crate) len: [AtomicU64; 2],
    /// A version was committed.
    pub(crate) changed: Event,
}

#[cfg(loom)]
impl Control {
    pub(crate) fn new() -> Control {
        let value = Value {
            version: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            len: [AtomicU64::new(0), AtomicU64::new(0)],
            changed: Event::new(),
        };
        let (mutex, notified, condition) = (Mutex::new(), AtomicU32::new(0), Event::new());
        Control { mutex, notified, condition, _apart: [0; 14], value }
    }
}

#[cfg(not(loom))] // loom's atomics are larger
const _: () = {
    assert!(size_of::<Mutex>() == 8 && offset_of!(Control, notified) == 8);
    assert!(offset_of!(Control, condition) == 12 && offset_of!(Control, value) == 128);
    assert!(offset_of!(Value, len) == 16 && offset_of!(Value, changed) == 32);
    assert!(size_of::<Control>() == 256);
};

/// Hash of the above: two builds that disagree about it refuse each other.
#[cfg(not(loom))]
pub(crate) const LAYOUT: u64 = fnv1a(
    b"buffer 1: lock{owner@0 unlocked@4 notified@8 condition@12} value@128{version@0 begun@8 len@16*2 changed@32} copy@256*2",
    FNV_START,
);

/// Where copies lie, in bytes from the start of the body.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) copies: [usize; 2],
    /// Of the whole body.
    pub(crate) size: usize,
}

#[cfg(not(loom))]
impl Parts {
    /// `None` if the parameters are not valid, or the body would be larger than this process can map.
    pub(crate) fn of(parameters: &Parameters, page: u64) -> Option<Parts> {
        let capacity = parameters[CAPACITY];
        if !(1..=LARGEST).contains(&capacity) {
            return None;
        }
        let first = size_of::<Control>() as u64;
        let second = first + capacity.next_multiple_of(64);
        let size = (second + capacity).checked_next_multiple_of(page)?;
        let [first, second, size] = [first, second, size].map(|n| usize::try_from(n).ok());
        Some(Parts { copies: [first?, second?], size: size? })
    }
}

/// Bytes of the body.
#[cfg(not(loom))]
pub(crate) fn body_size(parameters: &Parameters, _participants: u32, page: u64) -> Option<u64> {
    Parts::of(parameters, page).map(|parts| parts.size as u64)
}
