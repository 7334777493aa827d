//! The numbered payload that every contender carries.
//!
//! A payload is an array of 64-bit words derived from the message's number, so that a lost, repeated,
//! reordered or torn message is noticed by the receiver. A payload of one cache line is written and
//! checked in full for every message. In a larger one the timed rounds stamp and check one word in each
//! page and the last word (the copies still move every byte); the correctness check before timing writes
//! and compares every word.

/// Words between two stamps in a large payload: one page.
const STRIDE: usize = 512;
/// Multiplier that makes neighbouring words and numbers differ in many bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// How much of a payload is written and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// Every word: the correctness check.
    Full,
    /// Every word of a small payload, one word per page of a large one: timed rounds.
    Stamps,
}

/// A payload of `WORDS` 64-bit words, starting on a cache line.
#[derive(Clone)]
#[repr(C, align(64))]
pub struct Payload<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Payload<WORDS> {
    /// Length in bytes.
    pub const BYTES: usize = WORDS * 8;

    /// A zeroed payload on the heap.
    pub fn boxed() -> Box<Payload<WORDS>> {
        Box::new(Payload([0; WORDS]))
    }

    /// Writes message `number`.
    #[inline(always)]
    pub fn fill(&mut self, number: u64, care: Care) {
        if WORDS <= STRIDE || care == Care::Full {
            for (index, word) in self.0.iter_mut().enumerate() {
                *word = expected(number, index);
            }
        } else {
            for index in (0..WORDS).step_by(STRIDE).chain([WORDS - 1]) {
                self.0[index] = expected(number, index);
            }
        }
    }

    /// Whether this is message `number`, undamaged.
    #[inline(always)]
    pub fn is(&self, number: u64, care: Care) -> bool {
        let mut difference = 0;
        if WORDS <= STRIDE || care == Care::Full {
            for (index, word) in self.0.iter().enumerate() {
                difference |= *word ^ expected(number, index);
            }
        } else {
            for index in (0..WORDS).step_by(STRIDE).chain([WORDS - 1]) {
                difference |= self.0[index] ^ expected(number, index);
            }
        }
        difference == 0
    }

    /// The payload as bytes.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: u64 has no padding and every byte of it is initialised; the length is the array's size.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), Self::BYTES) }
    }

    /// The payload as bytes to be overwritten.
    #[inline(always)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as `bytes`; any bit pattern is a valid u64.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), Self::BYTES) }
    }
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
        let mut payload = Payload::<8>::boxed();
        payload.fill(7, Care::Stamps);
        assert!(payload.is(7, Care::Full));
        assert!(!payload.is(8, Care::Stamps));
        payload.bytes_mut()[63] ^= 1;
        assert!(!payload.is(7, Care::Stamps));
    }

    #[test]
    fn a_large_payload_is_compared_in_full_on_request() {
        let mut payload = Payload::<8192>::boxed();
        payload.fill(7, Care::Full);
        assert!(payload.is(7, Care::Full));
        payload.bytes_mut()[9] ^= 1;
        assert!(payload.is(7, Care::Stamps));
        assert!(!payload.is(7, Care::Full));
    }
}
