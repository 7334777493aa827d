//! The numbered payload that every contender carries.
//!
//! A payload is an array of 64-bit words derived from the message's number, so that a lost, repeated,
//! reordered or torn message is noticed by the receiver. A payload of up to a page is written and
//! checked in full for every message. In a larger one the timed rounds stamp and check one word in each
//! page and the last word (the copies still move every byte); the correctness check before timing writes
//! and compares every byte.

/// Words between two stamps in a large payload: one page.
const STRIDE: usize = 512;
/// Multiplier that makes neighbouring words and numbers differ in many bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// How much of a payload is written and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Every byte: the correctness check.
    Full,
    /// Every byte of a small payload, one word per page of a large one: timed rounds.
    Stamps,
}

/// Bytes that begin on a cache line and are looked at as words.
pub trait Payload {
    /// Length in bytes.
    fn size(&self) -> usize;

    /// As many words as it takes to hold them.
    fn words(&self) -> &[u64];

    /// The same, to be written.
    fn words_mut(&mut self) -> &mut [u64];

    /// Writes message `number`.
    #[inline(always)]
    fn fill(&mut self, number: u64, care: Care) {
        let words = self.words_mut();
        if words.len() <= STRIDE || care == Care::Full {
            for (index, word) in words.iter_mut().enumerate() {
                *word = expected(number, index);
            }
        } else {
            for index in stamps(words.len()) {
                words[index] = expected(number, index);
            }
        }
    }

    /// The number of the message, if it is undamaged.
    #[inline(always)]
    fn number(&self) -> u64 {
        self.words()[0].wrapping_sub(1)
    }

    /// Whether this is message `number`, undamaged.
    #[inline(always)]
    fn is(&self, number: u64, care: Care) -> bool {
        let words = self.words();
        let spare = size_of_val(words) - self.size();
        let whole = words.len() - usize::from(spare > 0);
        let mut difference = 0;
        if words.len() <= STRIDE || care == Care::Full {
            for (index, word) in words[..whole].iter().enumerate() {
                difference |= *word ^ expected(number, index);
            }
        } else {
            for index in stamps(words.len()).filter(|&index| index < whole) {
                difference |= words[index] ^ expected(number, index);
            }
        }
        if spare > 0 {
            // Of the last word, only the bytes in front are the payload's.
            difference |= (words[whole] ^ expected(number, whole)).to_le() << (8 * spare);
        }
        difference == 0
    }

    /// The payload as bytes.
    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        let words = self.words();
        assert!(self.size() <= size_of_val(words));
        // SAFETY: u64 has no padding and every byte of it is initialised; just asserted to be inside.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), self.size()) }
    }

    /// The payload as bytes to be overwritten.
    #[inline(always)]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let size = self.size();
        let words = self.words_mut();
        assert!(size <= size_of_val(words));
        // SAFETY: as `bytes`; any bit pattern is a valid u64.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size) }
    }
}

/// A payload of one cache line, whose length the compiler knows.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Line([u64; 8]);

impl Payload for Line {
    #[inline(always)]
    fn size(&self) -> usize {
        size_of::<Line>()
    }

    #[inline(always)]
    fn words(&self) -> &[u64] {
        &self.0
    }

    #[inline(always)]
    fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

/// A payload of any length from 8 bytes.
#[derive(Clone, Debug)]
pub struct Lines {
    lines: Vec<Line>,
    size: usize,
}

impl Lines {
    /// `size` zero bytes.
    pub fn new(size: usize) -> Lines {
        Lines { lines: vec![Line::default(); size.div_ceil(size_of::<Line>())], size }
    }
}

impl Payload for Lines {
    #[inline(always)]
    fn size(&self) -> usize {
        self.size
    }

    #[inline(always)]
    fn words(&self) -> &[u64] {
        // SAFETY: lines are arrays of u64 without padding, and hold `size` bytes rounded up to whole lines.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.size.div_ceil(8)) }
    }

    #[inline(always)]
    fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: as `words`; any bit pattern is a valid u64.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.size.div_ceil(8)) }
    }
}

/// The words that are stamped of so many.
#[inline(always)]
fn stamps(words: usize) -> impl Iterator<Item = usize> {
    (0..words).step_by(STRIDE).chain([words - 1])
}

/// The word at `index` of message `number`. Word 0 is different for every message.
#[inline(always)]
fn expected(number: u64, index: usize) -> u64 {
    number.wrapping_add(1).wrapping_add((index as u64).wrapping_mul(MIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_the_message_it_was_filled_with_and_no_other() {
        let mut payload = Line::default();
        payload.fill(7, Care::Stamps);
        assert!(payload.is(7, Care::Full));
        assert_eq!(payload.number(), 7);
        assert!(!payload.is(8, Care::Stamps));
        payload.bytes_mut()[63] ^= 1;
        assert!(!payload.is(7, Care::Stamps));
    }

    #[test]
    fn a_large_payload_is_compared_in_full_on_request() {
        let mut payload = Lines::new(65_536);
        payload.fill(7, Care::Full);
        assert!(payload.is(7, Care::Full));
        payload.bytes_mut()[9] ^= 1;
        assert!(payload.is(7, Care::Stamps));
        assert!(!payload.is(7, Care::Full));
    }

    #[test]
    fn stamps_of_any_length_are_found_where_they_were_written() {
        for size in [4097, 8192, 8193, 12_345, 65_536] {
            let mut payload = Lines::new(size);
            for number in 0..5 {
                payload.fill(number, Care::Stamps);
                assert!(payload.is(number, Care::Stamps), "{size}");
                assert!(!payload.is(number + 1, Care::Stamps), "{size}");
            }
        }
    }

    #[test]
    fn every_byte_of_any_length_counts_and_none_behind_it() {
        for size in [8, 9, 15, 63, 64, 65, 1000, 4097] {
            let mut sent = Lines::new(size);
            sent.fill(7, Care::Full);
            let mut received = Lines::new(size);
            assert!(!received.is(7, Care::Full), "{size}");
            received.bytes_mut().copy_from_slice(sent.bytes());
            assert!(received.is(7, Care::Full), "{size}");
            for byte in 0..size {
                received.bytes_mut()[byte] ^= 0x80;
                assert!(!received.is(7, Care::Full), "{size}: byte {byte}");
                received.bytes_mut()[byte] ^= 0x80;
            }
        }
    }
}
