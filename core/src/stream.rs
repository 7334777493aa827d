//! Streams of records in memory that is mapped twice in a row: what ring and topic have in common.
//!
//! Stream positions are bytes since the stream was made, in 64 bits; position `p` lies at data offset `p % capacity`. The data
//! is mapped twice in a row, so that a record never wraps. A record begins at a multiple of 8 with one word:
//!
//! | bits of the word | meaning |
//! |---|---|
//! | 0-30 | payload length in bytes |
//! | 31 | 1: committed (so the lower half, on which a ring's consumer sleeps, is never 0) |
//! | 32-39 | kind: 1 is the user's bytes, 2 hands over a block of a pool |
//! | 40-63 | sequence: low bits of the record's position / 8 |
//!
//! The word at the tail is always 0.

#[cfg(not(loom))]
use crate::segment::Parameters;

/// Bytes of a word, and the alignment of records.
pub(crate) const WORD: u64 = 8;
/// Smallest and largest capacity in bytes.
#[cfg(not(loom))]
pub(crate) const SMALLEST: u64 = 4096;
#[cfg(not(loom))]
pub(crate) const LARGEST: u64 = 1 << 31;
/// Index of the capacity in the header's parameters.
#[cfg(not(loom))]
pub(crate) const CAPACITY: usize = 0;

/// Shared state is not what the protocol writes; says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corruption(pub(crate) &'static str);

pub(crate) const NOT_A_RECORD: Corruption = Corruption("a record's word is not one that ipcx writes there");

/// True if it is one that `rounded_capacity` gives.
#[cfg(not(loom))]
pub(crate) fn is_capacity(capacity: u64, page: u64) -> bool {
    capacity.is_power_of_two() && capacity <= LARGEST && capacity >= page.max(SMALLEST)
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

/// A payload's bytes, rounded up to whole words.
#[inline(always)]
pub(crate) fn padded(len: usize) -> u64 {
    (len as u64 + (WORD - 1)) & !(WORD - 1) // No slice is so long that this overflows.
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
            assert!(!is_capacity(bad, 4096));
        }
    }
}
