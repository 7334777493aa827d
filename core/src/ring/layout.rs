//! The ring's part of a segment, to the byte.
//!
//! ```text
//! body                producer's page    written by the producer only
//! body + page         consumer's page    written by the consumer only
//! body + 2 * page     data               written by the producer only; `capacity` bytes, a power of two
//! ```
//!
//! What different sides write lies on different pages, and each side maps the other's read-only. The data is mapped
//! twice in a row, so that a record never wraps. Stream positions are bytes since the ring was made, in 64
//! bits; position `p` lies at data offset `p % capacity`.
//!
//! A record is one header word (see `stream.rs`) and the payload, padded to a multiple of 8. The word at the tail is always 0.

use crate::lease::RoleWord;
#[cfg(not(loom))]
use crate::segment::{fnv1a, Parameters, FNV_START};
#[cfg(not(loom))]
use crate::stream::{is_capacity, CAPACITY};
use crate::stream::{padded, WORD};
use crate::sync::AtomicU64;
use crate::wait::Sleepers;
#[cfg(not(loom))]
use std::mem::offset_of;

/// On the producer's page; its only writer.
///
/// What it stores at every record lies 128 bytes (processors fetch lines in pairs) from what the partner looks at while
/// it waits: otherwise each of them takes the line from the other at every message.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct ProducerPage {
    /// Whether the producer waits for room, and for which position of the consumer; read after each release.
    pub(crate) sleepers: Sleepers,
    /// Who produces; read by a consumer that waits.
    pub(crate) role: RoleWord,
    _apart: [u64; 12],
    /// Records committed, a hint that may be off by those in work when a producer died.
    pub(crate) records: AtomicU64,
    /// Position after the last record committed; a hint likewise (the tail is found by walking).
    pub(crate) tail: AtomicU64,
}

/// On the consumer's page; its only writer. Laid out likewise.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct ConsumerPage {
    /// Position of the first record not released: the truth about what was received.
    pub(crate) position: AtomicU64,
    /// Records released, a hint that may be off by those in work when a consumer died.
    pub(crate) records: AtomicU64,
    _apart: [u64; 14],
    /// Whether the consumer waits for a record, and at which position; read by the producer after each commit.
    pub(crate) sleepers: Sleepers,
    /// Who consumes.
    pub(crate) role: RoleWord,
}

#[cfg(not(loom))] // loom's atomics are larger
const _: () = {
    assert!(offset_of!(ProducerPage, sleepers) == 0 && size_of::<Sleepers>() == 24);
    assert!(offset_of!(ProducerPage, role) == 24);
    assert!(offset_of!(ProducerPage, tail) == 136);
    assert!(offset_of!(ConsumerPage, position) == 0);
    assert!(offset_of!(ConsumerPage, sleepers) == 128);
    assert!(offset_of!(ConsumerPage, role) == 152);
    assert!(size_of::<ProducerPage>() == 192 && size_of::<ConsumerPage>() == 192);
};

#[cfg(loom)]
impl ProducerPage {
    pub(crate) fn new() -> ProducerPage {
        ProducerPage {
            sleepers: Sleepers::new(),
            role: RoleWord,
            _apart: [0; 12],
            records: AtomicU64::new(0),
            tail: AtomicU64::new(0),
        }
    }
}

#[cfg(loom)]
impl ConsumerPage {
    pub(crate) fn new() -> ConsumerPage {
        ConsumerPage {
            position: AtomicU64::new(0),
            records: AtomicU64::new(0),
            _apart: [0; 14],
            sleepers: Sleepers::new(),
            role: RoleWord,
        }
    }
}

/// Hash of the above: two builds that disagree about it refuse each other.
#[cfg(not(loom))]
pub(crate) const LAYOUT: u64 = fnv1a(
    b"ring 1: sleepers{word@0 cpu@4 wanted@8} producer{sleepers@0 role@24 records@128 tail@136} \
      consumer{position@0 records@8 sleepers@128 role@152} data*2 record{length:31 committed:1 kind:8 sequence:24} kind{data=1 block=2}",
    FNV_START,
);

/// Bytes of the body, if the capacity is one that `rounded_capacity` gives.
#[cfg(not(loom))]
pub(crate) fn body_size(parameters: &Parameters, _: u32, page: u64) -> Option<u64> {
    let capacity = parameters[CAPACITY];
    is_capacity(capacity, page).then(|| 2 * page + capacity)
}

/// Bytes that a record with a payload of `len` takes.
#[inline(always)]
pub(crate) fn record_size(len: usize) -> u64 {
    WORD + padded(len)
}

/// Largest payload: the record and the 0 behind it fill the ring.
pub(crate) fn largest_payload(capacity: u64) -> usize {
    (capacity - 2 * WORD) as usize
}
