//! Hostile bytes, of kinds that get past the first check as well as ones that do not.
//!
//! | kind | what is written |
//! |---|---|
//! | flood | any words over everything behind the header |
//! | drops | any words at a few places behind the header |
//! | records | words of records that belong where they are, with lengths that do not, and with or without the 0 behind them |
//! | positions | the consumer's position, and the hints, near where they are, or a capacity away |
//! | roles | who has a role, who sleeps and for what, and what stands in the slots |
//! | flicker | one of those words, to and fro |
//! | calm | a ring that works: without it nobody would get far |
//! | header | any words, or a header that is right in itself and does not fit the file |
//!
//! "Any words" are random ones, small ones, ones with a single bit, ones with all upper bits, and those of records.

use crate::segment::{
    field, halves, record_word, whole, Geometry, Segment, CONSUMER_WORDS, HEADER, PRODUCER_WORDS, WORD,
};
use ipcx_tests::Random;

/// Where the two ends are, as far as the peer knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) head: u64,
    pub(crate) tail: u64,
}

impl Ends {
    /// What stands in the segment.
    pub(crate) fn of(segment: &Segment) -> Ends {
        Ends { head: segment.head() & !7, tail: segment.tail() & !7 }
    }
}

/// Writes a segment full.
#[derive(Debug)]
pub(crate) struct Mix<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) random: Random,
    /// Words written.
    pub(crate) writes: u64,
}

impl<'a> Mix<'a> {
    pub(crate) fn new(segment: &'a Segment, random: Random) -> Mix<'a> {
        Mix { segment, random, writes: 0 }
    }

    #[inline(always)]
    fn store(&mut self, at: usize, value: u64) {
        self.segment.store(at, value);
        self.writes += 1;
    }

    /// One of any words, for an offset.
    #[inline(always)]
    fn any_word(&mut self, at: usize) -> u64 {
        let word = self.random.word();
        let value = word >> 8;
        match word & 7 {
            0 | 1 => self.random.word(),
            2 => value % 8192,
            3 => 1 << (value % 64),
            4 => u64::MAX << (value % 64),
            5 => (value % 8192).wrapping_neg(),
            6 => record_word(value % 8192, at as u64),
            _ => 0,
        }
    }

    /// A length: near the largest that fits, small, so large that the record behind is this one again, or any.
    fn any_len(&mut self) -> u64 {
        let (word, capacity) = (self.random.word(), self.segment.capacity as u64);
        let value = word >> 8;
        match word & 7 {
            0 | 1 => value % 64,
            2 => capacity - 32 + value % 64,
            3 => (value % 4) * capacity + value / 4 % 64,
            4 => ((value % 16 + 1) << 27) - 8, // The sequence in its word is the same again too.
            5 => 0x7fff_ffff - value % 64,
            6 => value % (1 << 20),
            _ => value,
        }
    }

    /// A position some steps from one that means something, a capacity or half of all positions away at times.
    fn near(&mut self, position: u64) -> u64 {
        let (word, capacity) = (self.random.word(), self.segment.capacity as u64);
        let step = (word >> 8 & 7).wrapping_sub(4).wrapping_mul(if word & 1 == 0 { 8 } else { 1 });
        let far = match word >> 16 & 7 {
            0 => capacity,
            1 => capacity.wrapping_neg(),
            2 => 1 << 63,
            3 => 1 << 27, // where the sequence in a record's word begins again
            4 => (word >> 20) % capacity,
            _ => 0,
        };
        position.wrapping_add(step).wrapping_add(far)
    }

    pub(crate) fn flood(&mut self) {
        for at in (self.segment.page..self.segment.len()).step_by(WORD) {
            let word = self.any_word(at);
            self.store(at, word);
        }
    }

    pub(crate) fn drops(&mut self) {
        let places = (self.segment.len() - self.segment.page) / WORD;
        for _ in 0..=self.random.below(20) {
            let at = self.segment.page + self.random.below(places as u64) as usize * WORD;
            let word = self.any_word(at);
            self.store(at, word);
        }
    }

    /// A chain of records from a position on, of which at least the last is wrong, or has no end.
    pub(crate) fn records(&mut self, from: u64) {
        let mut position = from;
        for _ in 0..self.random.below(4) {
            let len = self.random.below(200);
            self.store(self.segment.data_at(position), record_word(len, position));
            position = position.wrapping_add(8 + len.next_multiple_of(8));
        }
        let len = self.any_len();
        let behind = position.wrapping_add(8 + (len & 0x7fff_ffff).next_multiple_of(8));
        let at = self.segment.data_at(behind);
        let word = if self.random.below(2) == 0 { 0 } else { self.any_word(at) };
        self.store(at, word);
        self.store(self.segment.data_at(position), record_word(len, position)); // Maybe in place of that.
    }

    pub(crate) fn positions(&mut self, ends: Ends) {
        let (producer, consumer) = (self.segment.producer, self.segment.consumer);
        let origin = if self.random.below(2) == 0 { ends.head } else { ends.tail };
        let (position, hint) = (self.near(origin), self.near(ends.tail));
        self.store(consumer, position);
        self.store(producer + PRODUCER_WORDS[5], hint);
    }

    pub(crate) fn roles(&mut self, ends: Ends) {
        let places = [(self.segment.producer, PRODUCER_WORDS), (self.segment.consumer, CONSUMER_WORDS)];
        for (page, words) in places {
            let at = page + self.random.pick(&words);
            let word = self.random.word();
            let value = match word & 3 {
                0 => self.any_word(at),
                1 => self.near(ends.tail),
                // A role's: open or closed, of slots that are and are not there; or a sleeper's.
                _ => (word >> 2 & 3) | ((word >> 4) % 40) << 8 | (word >> 16) << 32,
            };
            if at != self.segment.consumer {
                self.store(at, value);
            }
        }
        let at = self.segment.page + self.random.below(32) as usize * WORD;
        let word = self.any_word(at);
        self.store(at, word);
    }

    /// One word that decides something, to and fro, for whoever looks at it twice.
    pub(crate) fn flicker(&mut self, ends: Ends) {
        let segment = self.segment;
        let (at, right) = match self.random.below(8) {
            0 => (segment.consumer, ends.head),
            1 => (segment.producer + PRODUCER_WORDS[3], 1),
            2 => (segment.consumer + CONSUMER_WORDS[5], 1),
            _ => (segment.data_at(ends.head), record_word(8, ends.head)),
        };
        let long = record_word(self.any_len(), ends.head);
        let wrong = if at < segment.data { self.near(right) } else { long };
        for _ in 0..self.random.below(300) {
            self.store(at, right);
            self.store(at, wrong);
        }
    }

    /// A ring that works, with some records, for whoever attaches next. These writes do not count.
    pub(crate) fn calm(&mut self) {
        let segment = self.segment;
        for at in (segment.data..segment.data + segment.capacity).step_by(WORD) {
            segment.store(at, 0);
        }
        let start = self.random.word() & !7;
        let mut position = start;
        for _ in 0..self.random.below(4) {
            let len = self.random.below(200);
            segment.store(segment.data_at(position), record_word(len, position));
            position = position.wrapping_add(8 + len.next_multiple_of(8));
        }
        segment.store(segment.consumer, start);
        segment.store(segment.producer + PRODUCER_WORDS[5], position);
    }

    /// One image: one kind or several, of a peer that believes the two ends to be there.
    pub(crate) fn image(&mut self, ends: Ends) {
        let (kinds, before) = (self.random.word(), self.writes);
        if kinds & 15 == 0 {
            self.flood();
        }
        if kinds >> 4 & 3 == 0 {
            self.drops();
        }
        if kinds >> 6 & 1 == 0 {
            self.records(ends.head);
        }
        if kinds >> 7 & 3 == 0 {
            self.records(ends.tail);
        }
        if kinds >> 9 & 3 == 0 {
            self.positions(ends);
        }
        if kinds >> 11 & 1 == 0 || self.writes == before {
            self.roles(ends);
        }
    }

    /// Damages the header.
    pub(crate) fn header(&mut self) {
        if self.random.below(4) == 0 {
            for _ in 0..=self.random.below(3) {
                let at = self.random.below((HEADER / WORD) as u64) as usize * WORD;
                let word = self.any_word(at);
                self.store(at, word);
            }
        } else {
            self.plausible_header();
        }
    }

    /// Lets calls of who attaches next wait in another way, under a right checksum.
    pub(crate) fn choose_waiting(&mut self) {
        let [participants, _] = halves(self.segment.load(field::PARTICIPANTS));
        let wait = self.random.below(4) as u32;
        self.store(field::PARTICIPANTS, whole([participants, wait]));
        self.segment.seal_header();
    }

    /// A header with a right checksum and other sizes: such as ipcx makes and such as it does not, which fit together, or
    /// with one that does not fit the others.
    fn plausible_header(&mut self) {
        let geometry = Geometry {
            page: self.random.pick(&[4096, 4096, 4096, 4096, 8192, 16384, 2048, 12288]),
            participants: self.random.pick(&[32, 32, 32, 1, 2, 65, 128, 4096, 0, 4097]),
            capacity: self.random.pick(&[4096, 4096, 8192, 16384, 1 << 31, 0, 8, 6144, 12288, 1 << 32]),
        };
        self.store(field::PAGE, geometry.page);
        self.store(field::BODY, geometry.body());
        self.store(field::TOTAL, geometry.total());
        self.store(field::CAPACITY, geometry.capacity);
        self.store(field::PARTICIPANTS, whole([geometry.participants as u32, 0]));
        self.choose_waiting();
        let fields = [field::TOTAL, field::PAGE, field::BODY, field::PARTICIPANTS, field::CAPACITY];
        if self.random.below(2) == 0 {
            let at = self.random.pick(&fields);
            let old = self.segment.load(at);
            let [first, second] = halves(old);
            let word = match self.random.below(4) {
                0 => self.any_word(at),
                1 => old ^ 1 << self.random.below(64),
                2 => old.wrapping_mul(self.random.below(8)),
                _ => whole([first.wrapping_add(self.random.word() as u32), second]),
            };
            self.store(at, word);
        }
        self.segment.seal_header();
    }
}
