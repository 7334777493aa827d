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
//! A record is one header word and the payload, padded to a multiple of 8:
//!
//! | bits of the header word | meaning |
//! |---|---|
//! | 0-30 | payload length in bytes |
//! | 31 | 1: committed (so the lower half, on which a consumer sleeps, is never 0) |
//! | 32-39 | kind: 1 is the user's bytes, 2 hands over a block of a pool |
//! | 40-63 | sequence: low bits of the record's position / 8 |
//!
//! The word at the tail is always 0.

use crate::lease::RoleWord;
#[cfg(not(loom))]
use crate::segment::{fnv1a, Parameters, FNV_START};
use crate::sync::AtomicU64;
use crate::wait::Sleepers;
#[cfg(not(loom))]
use std::mem::offset_of;

/// Bytes of a header word, and the alignment of records.
pub(crate) const WORD: u64 = 8;
/// Smallest and largest capacity in bytes.
#[cfg(not(loom))]
pub(crate) const SMALLEST: u64 = 4096;
#[cfg(not(loom))]
pub(crate) const LARGEST: u64 = 1 << 31;
/// Index of the capacity in the header's parameters.
#[cfg(not(loom))]
pub(crate) const CAPACITY: usize = 0;

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
    let sound = capacity.is_power_of_two() && capacity <= LARGEST && capacity >= page.max(SMALLEST);
    sound.then(|| 2 * page + capacity)
}

/// The capacity that is made for one asked for, if it is not too large.
#[cfg(not(loom))]
pub(crate) fn rounded_capacity(asked: u64, page: u64) -> Option<u64> {
    asked.max(SMALLEST).max(page).checked_next_power_of_two().filter(|capacity| *capacity <= LARGEST)
}

/// The parameters with a capacity of at least a page, if one is given.
#[cfg(not(loom))]
pub(crate) fn round_capacity(mut parameters: Parameters, page: u64) -> Parameters {
    if parameters[CAPACITY] != 0 {
        parameters[CAPACITY] = parameters[CAPACITY].max(page);
    }
    parameters
}

const COMMITTED: u64 = 1 << 31;

/// What a record carries. A number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Content {
    /// The user's bytes.
    Data = 1,
    /// A block of a pool: a note that says which.
    Block = 2,
}

/// What a record's word at a position is, but for the length.
#[inline(always)]
fn stamp(content: Content, position: u64) -> u64 {
    (position / WORD) << 40 | (content as u64) << 32 | COMMITTED
}

/// The word of a record at a position. `len` is below 2^31.
#[inline(always)]
pub(crate) fn record_word(content: Content, len: usize, position: u64) -> u64 {
    stamp(content, position) | len as u64
}

/// The length that a word tells of a record with such content; `None` if ipcx cannot have written it at that position, or
/// has not yet (0).
#[inline(always)]
pub(crate) fn record_len(content: Content, word: u64, position: u64) -> Option<usize> {
    // Whatever bit of the stamp is wrong makes this at least 2^31.
    let len = word ^ stamp(content, position);
    (len < COMMITTED).then_some(len as usize)
}

/// What a word tells of a record, whatever that carries.
#[inline(always)]
pub(crate) fn record(word: u64, position: u64) -> Option<(Content, usize)> {
    let of = |content| record_len(content, word, position).map(|len| (content, len));
    of(Content::Data).or_else(|| of(Content::Block))
}

/// Bytes that a record with a payload of `len` takes.
#[inline(always)]
pub(crate) fn record_size(len: usize) -> u64 {
    WORD + ((len as u64 + (WORD - 1)) & !(WORD - 1)) // No slice is so long that this overflows.
}

/// Largest payload: the record and the 0 behind it fill the ring.
pub(crate) fn largest_payload(capacity: u64) -> usize {
    (capacity - 2 * WORD) as usize
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_record_word_is_never_zero_and_reads_back_only_at_its_position() {
        for position in [0, 8, 4096, 1 << 27, (1 << 40) + 64] {
            assert_eq!(record(0, position), None);
            for len in [0usize, 1, 7, 8, 64, (1 << 31) - 16] {
                for content in [Content::Data, Content::Block] {
                    let word = record_word(content, len, position);
                    assert_ne!(word as u32, 0, "the lower half tells sleepers that it is there");
                    assert_eq!(record(word, position), Some((content, len)));
                    assert_eq!(record_len(content, word, position), Some(len));
                    assert_eq!(record(word, position + 8), None);
                    for bit in 31..64 {
                        assert_eq!(record(word ^ 1 << bit, position), None, "bit {bit}");
                    }
                }
            }
        }
    }

    #[test]
    fn capacities_are_powers_of_two_in_range() {
        assert_eq!(rounded_capacity(0, 4096), Some(4096));
        assert_eq!(rounded_capacity(4097, 4096), Some(8192));
        assert_eq!(rounded_capacity(100, 65536), Some(65536));
        assert_eq!(rounded_capacity(LARGEST, 4096), Some(LARGEST));
        assert_eq!(rounded_capacity(LARGEST + 1, 4096), None);
        assert_eq!(rounded_capacity(u64::MAX, 4096), None);
        for bad in [0, 1, 4095, 6144, 2048, LARGEST * 2, u64::MAX] {
            assert_eq!(body_size(&[bad, 0, 0, 0, 0, 0, 0, 0], 32, 4096), None);
        }
    }
}
