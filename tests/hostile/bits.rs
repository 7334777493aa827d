//! Every bit of a segment flipped: under ends that are attached, under ends that attach after, and under a new handle.
//!
//! Three things are asked of each flip. What the header checks is refused. What means nothing (the rest of a page, slots,
//! what was received long ago) changes nothing: every call gives what it gives without the flip. For what means
//! something, data or an error.

use crate::calls::{Calls, Outcome};
use crate::exposed::{Exposed, State};
use crate::segment::{field, CONSUMER_WORDS, HEADER, PRODUCER_WORDS, SLOT, WORD};
use crate::tally::{Who, Word};
use crate::worker::{self, grouped};
use ipcx::{Ring, WaitStrategy};
use ipcx_tests::{Place, Random};
use std::ops::Range;

/// Of the bits that matter less, the quick share takes one in so many.
const SHARE: u64 = 100;
/// Offset of the header's field that says how calls wait; little-endian, as everything that ipcx runs on here.
const WAIT: usize = 76;
/// Slots that are taken here: of the ring's handle and of the new one.
const TAKEN: usize = 2;

/// What is attached when the bit is flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Everything.
    Before,
    /// A handle, of which the roles are then taken.
    After,
    /// Nothing.
    Anew,
    /// Nothing, and the header's checksum is made right again.
    Forged,
}

impl Way {
    const ALL: [Way; 4] = [Way::Before, Way::After, Way::Anew, Way::Forged];
}

/// What a bit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Looked at when a handle attaches, and never again.
    Header,
    /// None, as long as everybody keeps to the protocol; or display.
    None,
    /// The part of a record's word that must be right.
    Stamp,
    /// The consumer's position, made one that a producer which has no room must refuse.
    Position,
    /// A word of the protocol's.
    Word,
    /// Payload of a record that was not received.
    Payload,
}

/// A ring, and what its calls give when nothing is flipped.
struct Specimen<'a> {
    state: State,
    exposed: Exposed,
    calls: Calls<'a>,
    expected: [Vec<Outcome>; 4],
    /// Offsets of the words of the first records that are there.
    records: Vec<usize>,
    /// Positions from the first record to the tail.
    live: Range<u64>,
}

impl<'a> Specimen<'a> {
    fn new(state: State, name: &str, calls: Calls<'a>) -> Specimen<'a> {
        let exposed = Exposed::new(name, WaitStrategy::Block, state, false);
        let segment = &exposed.segment;
        let (mut at, tail) = (segment.head(), segment.tail());
        let live = at..tail;
        let mut records = Vec::new();
        while at != tail {
            let offset = segment.data_at(at);
            records.push(offset);
            at += 8 + (segment.load(offset) & 0x7fff_ffff).next_multiple_of(8);
        }
        records.truncate(4); // The calls made here get as far as that.
        let mut specimen = Specimen { state, exposed, calls, expected: Default::default(), records, live };
        specimen.expected = Way::ALL.map(|way| {
            let once = specimen.run(way, None);
            assert_eq!(once, specimen.run(way, None), "the same twice");
            once
        });
        specimen
    }

    /// Restores the ring, flips a bit at the moment that `way` says, and makes every call.
    fn run(&mut self, way: Way, bit: Option<usize>) -> Vec<Outcome> {
        let Specimen { exposed, calls, .. } = self;
        let flip = || bit.iter().for_each(|bit| exposed.segment.flip(*bit));
        exposed.segment.restore(&exposed.image, 0);
        calls.trace = Some(Vec::new());
        let attached;
        let ring = match way {
            Way::Before | Way::After => &exposed.ring,
            Way::Anew | Way::Forged => {
                flip();
                if way == Way::Forged {
                    exposed.segment.seal_header();
                }
                attached = calls.attach(|| Ring::attach(&exposed.name));
                let Some(ring) = &attached else { return calls.trace.take().unwrap_or_default() };
                ring
            }
        };
        if way == Way::After {
            flip();
        }
        let (mut tx, mut rx) = (calls.producer(ring), calls.consumer(ring));
        if way == Way::Before {
            flip();
        }
        calls.use_everything(ring, &mut tx, &mut rx);
        calls.close(tx, rx);
        calls.trace.take().unwrap_or_default()
    }

    /// Makes the calls with a bit flipped, in each way, and looks at what they give.
    fn try_bit(&mut self, bit: usize) {
        let meaning = self.meaning(bit);
        for (way, expected) in Way::ALL.into_iter().zip(self.expected.clone()) {
            if way == Way::Forged && meaning != Meaning::Header {
                continue; // The same as before.
            }
            let outcome = self.run(way, Some(bit));
            let refused = outcome.contains(&Outcome::Failed(libc::EBADMSG));
            let right = match (meaning, way) {
                (Meaning::Header, Way::Anew) => outcome == [Outcome::Failed(refusal(bit / 8))],
                (Meaning::Header, Way::Forged) if is_checked(bit) => {
                    matches!(outcome[..], [Outcome::Failed(_)])
                }
                (Meaning::Header | Meaning::None, _) => outcome == expected,
                (Meaning::Stamp, _) | (Meaning::Position, Way::Before) => refused,
                (Meaning::Position | Meaning::Word | Meaning::Payload, _) => true,
            };
            let place = format_args!("bit {} of byte {}, {:?}, {way:?}", bit % 8, bit / 8, self.state);
            assert!(right, "{place}: {meaning:?}, and this came of it: {outcome:?}");
        }
    }

    fn meaning(&self, bit: usize) -> Meaning {
        let segment = &self.exposed.segment;
        let word = bit / 64 * WORD;
        let in_words = |page: usize, words: [usize; 6]| words.iter().any(|offset| page + offset == word);
        if word < HEADER {
            Meaning::Header
        } else if word == segment.consumer && self.is_refused_position(self.live.start ^ 1 << (bit % 64)) {
            Meaning::Position
        } else if in_words(segment.producer, PRODUCER_WORDS) || in_words(segment.consumer, CONSUMER_WORDS) {
            Meaning::Word
        } else if self.records.contains(&word) && bit % 64 >= 31 {
            Meaning::Stamp
        } else if self.records.contains(&word) || word == segment.data_at(self.live.end) {
            Meaning::Word
        } else if word >= segment.data && self.is_live(word) {
            Meaning::Payload
        } else {
            Meaning::None
        }
    }

    /// True for a position of the consumer's that a producer which looks at it must refuse. It looks if the ring is full.
    fn is_refused_position(&self, position: u64) -> bool {
        let used = self.live.end.wrapping_sub(position);
        self.state == State::Full && (position % 8 != 0 || used > self.exposed.segment.capacity as u64 - 8)
    }

    /// True for an offset in the data between the first record and the tail.
    fn is_live(&self, at: usize) -> bool {
        let behind =
            at.wrapping_sub(self.exposed.segment.data_at(self.live.start)) % self.exposed.segment.capacity;
        (behind as u64) < self.live.end - self.live.start
    }

    /// True for what the quick share leaves to chance: what is for nothing, payload, and in all states but one what does
    /// not depend on the state.
    fn is_minor(&self, bit: usize) -> bool {
        let (page, first) = (self.exposed.segment.page, self.state == State::ALL[0]);
        let is_slot = (page..page + TAKEN * SLOT).contains(&(bit / 8));
        match self.meaning(bit) {
            Meaning::Header => !first,
            Meaning::None => !(is_slot && first),
            Meaning::Payload => true,
            Meaning::Stamp | Meaning::Position | Meaning::Word => false,
        }
    }
}

/// How a header with a wrong bit in this byte is refused: as that of something else, or of another version, where these
/// fields say so, else by its checksum.
fn refusal(at: usize) -> i32 {
    match at {
        8..20 => libc::EPROTONOSUPPORT,
        _ => libc::EBADMSG,
    }
}

/// True for a bit of the header that a right checksum does not make good. The others are the user's, or for display, or of
/// parameters that a ring does not have. Some flips give a header that ipcx could have written: up to 31 more slots in the
/// same page, another way of waiting.
fn is_checked(bit: usize) -> bool {
    let same = match bit / 8 {
        field::PARTICIPANTS => bit % 8 < 5,
        WAIT => bit % 8 < 2,
        _ => false,
    };
    matches!(bit / 8, 0..48 | 64..80 | 88..96) && !same
}

#[test]
fn every_flipped_bit_gives_data_or_an_error_and_an_idle_one_changes_nothing() {
    if let Some(argument) = worker::argument() {
        return work(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "every_flipped_bit_gives_data_or_an_error_and_an_idle_one_changes_nothing";
    let workers = worker::on_each_processor(&place, "bits", test, 20);
    println!(
        "figures: hostile bits | {} of 491,520 flips (each of 163,840 bits in 3 states of the ring), \
         each under ends attached before, after, and by a new handle; {} calls, {} | 0",
        grouped(worker::done(&workers)),
        grouped(Who::ALL.iter().map(|who| worker::calls(&workers, *who, true)).sum()),
        worker::longest(&workers)
    );
}

/// The process that is exposed: every `count`th word of the segment, from the `n`th on.
fn work(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    for state in State::ALL {
        let mut specimen = Specimen::new(state, &format!("bits-{n}-{state:?}"), Calls::new(&tally));
        let words = specimen.exposed.segment.total() / WORD;
        for bit in (0..words * 64).filter(|bit| (bit / 64) as u64 % count == n) {
            if !worker::is_long() && specimen.is_minor(bit) && random.below(SHARE) > 0 {
                continue;
            }
            tally.begin_turn();
            specimen.try_bit(bit);
            tally.add(Word::Done, 1);
            if worker::is_to_stop(&tally) {
                return;
            }
        }
    }
}
