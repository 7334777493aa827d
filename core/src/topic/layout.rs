//! The topic's part of a segment, to the byte.
//!
//! ```text
//! body                publishers' page    written by publishers only
//! body + page         subscribers' part   events, and in a reliable topic a cursor per participant; written by everybody
//! ...                 data                written by publishers only; `capacity` bytes, a power of two
//! ```
//!
//! Subscribers map what only publishers write read-only. Publishers write it one at a time, as owners of the mutex.
//!
//! A record is a word (see `stream.rs`), the record's number, and the payload padded to a multiple of 8. The word at the tail is
//! always 0. Records are numbered from 0 on without gaps, so whoever skipped some knows how many from the next one. A record
//! with its two words takes at most half of the capacity: the newest one is always there, and leads to the tail.

use crate::event::Event;
use crate::mutex::Mutex;
#[cfg(not(loom))]
use crate::segment::{fnv1a, Parameters, FNV_START};
#[cfg(not(loom))]
use crate::stream::{is_capacity, CAPACITY};
use crate::stream::{padded, WORD};
use crate::sync::AtomicU64;
#[cfg(not(loom))]
use std::mem::offset_of;

/// Index in the header's parameters of what is 1 in a reliable topic, and in one whose subscribers begin with the oldest record.
#[cfg(not(loom))]
pub(crate) const RELIABLE: usize = 1;
#[cfg(not(loom))]
pub(crate) const HISTORY: usize = 2;

/// On the publishers' page. Written by the owner of the mutex.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Publishers {
    pub(crate) mutex: Mutex,
    _apart: [u64; 15],
    /// Position of the newest record, or of one before it if publishers died; 0 if there is none. Never overwritten.
    pub(crate) newest: AtomicU64,
    _apart_too: [u64; 15],
    /// Position of the oldest record that subscribers may begin with. Bytes before it may be overwritten.
    pub(crate) oldest: AtomicU64,
    /// The same as publishers may rely on: bytes before it are not needed by any subscriber of a reliable topic. At most
    /// `oldest`, and that in a lossy one.
    pub(crate) free: AtomicU64,
}

/// At the start of the subscribers' part.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Events {
    /// A record was published; subscribers sleep on it.
    pub(crate) published: Event,
    _apart: [u32; 31],
    /// A subscriber of a reliable topic went on, or came to its end; publishers sleep on it.
    pub(crate) released: Event,
}

/// A subscriber of a reliable topic. Its only writer, but for who has the lease of a dead participant's slot.
///
/// | word | meaning |
/// |---|---|
/// | 0 | none |
/// | position + 1 | it holds that position and all behind it |
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Cursor(pub(crate) AtomicU64);

#[cfg(loom)]
impl Publishers {
    pub(crate) fn new() -> Publishers {
        Publishers {
            mutex: Mutex::new(),
            _apart: [0; 15],
            newest: AtomicU64::new(0),
            _apart_too: [0; 15],
            oldest: AtomicU64::new(0),
            free: AtomicU64::new(0),
        }
    }
}

#[cfg(loom)]
impl Events {
    pub(crate) fn new() -> Events {
        Events { published: Event::new(), _apart: [0; 31], released: Event::new() }
    }
}

#[cfg(not(loom))] // loom's atomics are larger
const _: () = {
    assert!(size_of::<Mutex>() == 8 && offset_of!(Publishers, newest) == 128);
    assert!(offset_of!(Publishers, oldest) == 256 && offset_of!(Publishers, free) == 264);
    assert!(size_of::<Publishers>() == 384);
    assert!(offset_of!(Events, released) == 128 && size_of::<Events>() == 256);
    assert!(size_of::<Cursor>() == 128);
};

/// Hash of the above: two builds that disagree about it refuse each other.
#[cfg(not(loom))]
pub(crate) const LAYOUT: u64 = fnv1a(
    b"topic 1: publishers{owner@0 unlocked@4 newest@128 oldest@256 free@264} subscribers{published@0 released@128 cursor@256*128} \
      data*2 record{length:31 committed:1 kind:8 sequence:24 number:64} kind{data=1}",
    FNV_START,
);

/// Where the parts lie, in bytes from the start of the body; the publishers' page is at 0.
#[cfg(not(loom))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) subscribers: usize,
    /// How many cursors there are.
    pub(crate) cursors: usize,
    pub(crate) data: usize,
    pub(crate) capacity: usize,
}

#[cfg(not(loom))]
impl Parts {
    /// `None` if the parameters are not valid, or the body would be larger than this process can map.
    pub(crate) fn of(parameters: &Parameters, participants: u32, page: u64) -> Option<Parts> {
        let (capacity, reliable) = (parameters[CAPACITY], parameters[RELIABLE]);
        if !is_capacity(capacity, page) || reliable > 1 || parameters[HISTORY] > 1 {
            return None;
        }
        let cursors = reliable * u64::from(participants);
        let shared = size_of::<Events>() as u64 + cursors * size_of::<Cursor>() as u64;
        let data = page + shared.next_multiple_of(page);
        let [subscribers, cursors, data, capacity] =
            [page, cursors, data, capacity].map(|n| usize::try_from(n).ok());
        Some(Parts { subscribers: subscribers?, cursors: cursors?, data: data?, capacity: capacity? })
    }
}

/// Bytes of the body.
#[cfg(not(loom))]
pub(crate) fn body_size(parameters: &Parameters, participants: u32, page: u64) -> Option<u64> {
    let parts = Parts::of(parameters, participants, page)?;
    Some(parts.data as u64 + parts.capacity as u64)
}

/// Bytes that a record with a payload of `len` takes.
#[inline(always)]
pub(crate) fn record_size(len: usize) -> u64 {
    2 * WORD + padded(len)
}

/// Largest payload: two such records and the 0 behind them fit.
pub(crate) fn largest_payload(capacity: u64) -> usize {
    (((capacity - WORD) / 2) & !(WORD - 1)) as usize - 2 * WORD as usize
}
