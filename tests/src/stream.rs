//! The stream that peers make and check: record `n` has a length and contents that follow from the seed and `n`, and
//! its stream position follows from the lengths before it. So whoever takes a role over knows from the position alone
//! which record comes next, and a record that is lost, doubled, torn or misplaced is seen at once.

use crate::Random;

/// After so many records the lengths repeat.
const PERIOD: usize = 256;
/// Contents are a window of a table of random bytes, at one of so many offsets.
const OFFSETS: usize = 4096;
/// Lengths at which something might go wrong; first in each period, as far as they are not too long.
const SPECIAL: [usize; 13] = [0, 1, 7, 8, 9, 63, 64, 65, 4087, 4088, 4095, 4096, 4097];

/// A stream of numbered records.
#[derive(Debug)]
pub struct Stream {
    seed: u64,
    table: Vec<u8>,
    lens: Vec<usize>,
    /// Position of each record of a period, and of its end.
    positions: Vec<u64>,
}

impl Stream {
    /// Records of 0 to `largest` bytes.
    pub fn new(seed: u64, largest: usize) -> Stream {
        let mut random = Random::new(seed);
        let words = (largest + OFFSETS).div_ceil(8);
        let table = (0..words).flat_map(|_| random.word().to_le_bytes()).collect();
        let mut random = Random::new(!seed);
        let mut lens: Vec<usize> = SPECIAL.iter().copied().filter(|len| *len < largest).collect();
        lens.push(largest);
        while lens.len() < PERIOD {
            // All magnitudes alike.
            let word = random.word();
            let len = (word >> 8) & ((1 << (word % 21)) - 1);
            lens.push((len as usize).min(largest));
        }
        let mut positions = vec![0];
        for len in &lens {
            positions.push(positions[positions.len() - 1] + 8 + len.next_multiple_of(8) as u64);
        }
        Stream { seed, table, lens, positions }
    }

    /// Length of record `n`.
    pub fn len(&self, n: u64) -> usize {
        self.lens[n as usize % PERIOD]
    }

    /// Length of the longest record.
    pub fn largest(&self) -> usize {
        self.lens.iter().copied().max().unwrap_or(0)
    }

    /// Position of record `n` in the ring's stream.
    pub fn position(&self, n: u64) -> u64 {
        n / PERIOD as u64 * self.positions[PERIOD] + self.positions[n as usize % PERIOD]
    }

    /// The record at a position.
    ///
    /// # Panics
    /// If no record begins there.
    pub fn number(&self, position: u64) -> u64 {
        let (period, rest) = (position / self.positions[PERIOD], position % self.positions[PERIOD]);
        let index = self.positions.binary_search(&rest).expect("a position at which a record begins");
        period * PERIOD as u64 + index as u64
    }

    /// Record `n` but for its number.
    fn window(&self, n: u64) -> &[u8] {
        let offset = Random::new(self.seed.wrapping_add(n)).word() as usize % OFFSETS;
        &self.table[offset..offset + self.len(n)]
    }

    /// Writes record `n` to the first bytes of `to`: its number, if it is 16 bytes or more, and random bytes.
    pub fn fill(&self, n: u64, to: &mut [u8]) {
        let number = number_len(self.len(n));
        to[..self.len(n)].copy_from_slice(self.window(n));
        to[..number].copy_from_slice(&n.to_le_bytes()[..number]);
    }

    /// The number that a record carries, if it is long enough to carry one.
    pub fn number_in(record: &[u8]) -> Option<u64> {
        let number = record.get(..number_len(record.len())).filter(|bytes| !bytes.is_empty())?;
        Some(u64::from_le_bytes(number.try_into().expect("8 bytes")))
    }

    /// Says what is wrong with `record`, if it is not record `n`.
    ///
    /// # Errors
    /// A text for people.
    pub fn check(&self, n: u64, record: &[u8]) -> Result<(), String> {
        let len = self.len(n);
        let number = number_len(len);
        if record.len() == len
            && record[..number] == n.to_le_bytes()[..number]
            && record[number..] == self.window(n)[number..]
        {
            return Ok(());
        }
        let says = record.get(..8).map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")));
        Err(format!(
            "record {n} of {len} bytes was expected; one of {} came, numbered {says:?}",
            record.len()
        ))
    }
}

/// Bytes of the number in a record of `len`. A shorter part of it would be the same in each period.
fn number_len(len: usize) -> usize {
    if len < 16 {
        0
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_numbers_agree() {
        let stream = Stream::new(7, 1000);
        let mut position = 0;
        for n in 0..1000 {
            assert_eq!(stream.position(n), position);
            assert_eq!(stream.number(position), n);
            position += 8 + stream.len(n).next_multiple_of(8) as u64;
        }
    }

    #[test]
    fn another_record_is_told_apart() {
        let stream = Stream::new(7, 1000);
        let mut record = vec![0; 1000];
        for n in 0..600 {
            stream.fill(n, &mut record);
            let len = stream.len(n);
            stream.check(n, &record[..len]).unwrap();
            if len > 0 {
                assert!(stream.check(n, &record[..len - 1]).is_err());
                let other = stream.check(n + 256, &record[..len]);
                assert!(other.is_err() || len < 3, "same length, other number");
                record[len - 1] ^= 1;
                assert!(stream.check(n, &record[..len]).is_err());
            }
        }
    }
}
