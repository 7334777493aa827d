//! A semaphore in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call. What is
//! said to be there is no more than the limit; a call ends in time. (The protocol beneath is the pool's.)

use crate::attack;
use crate::kind::{self, Calls, Kind, BODY, PARTICIPANTS};
use crate::tally::{Call, Who};
use crate::words::Words;
use ipcx::{Deadline, Error, Semaphore, SemaphoreOptions};
use ipcx_tests::Random;
use std::time::Duration;

/// Such that magazines are in use.
const LIMIT: u64 = 64;
const INITIAL: u64 = 60;
/// Where its hints and its cells are; bytes of the file.
const HINTS: usize = BODY + 128 + PARTICIPANTS * 64;
const CELLS: usize = HINTS + 128;
const TOTAL: usize = BODY + 4096;

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let word = random.word();
    match word & 7 {
        0 => word,
        1 => 1 << (word >> 8 & 63),
        // A cell: some state, some slot, some generation.
        2..=4 => word >> 8 & 7 | (word >> 16 & 3) << 4 | (word >> 24 & 3) << 28,
        5 => word >> 60,
        6 => word >> 32 & 63 | (word >> 40 & 63) << 32,
        _ => !0 << (word >> 8 & 63),
    }
}

#[derive(Clone, Copy)]
struct Prey;

attack::proofs!(Prey:
    every_flipped_bit_of_a_semaphore_gives_a_permit_or_an_error,
    random_images_of_a_semaphore_give_a_permit_or_an_error,
    a_semaphore_under_a_scribbler_gives_a_permit_or_an_error
);

impl Kind for Prey {
    type Ends = Semaphore;
    type Others = Semaphore;

    const NAME: &'static str = "semaphore";
    const SHAPES: &'static [Prey] = &[Prey];
    const SHARE: u64 = 40;
    const IMAGES: u64 = 20_000;
    const LIVE: Duration = Duration::from_secs(1);
    const PERCENT: u32 = 2;
    // A release finds something to release as good as always.
    const SEEN: &'static [(Who, &'static str)] = &[(Who::Consumer, "takers")];

    /// Two handles hold permits.
    fn create(self, name: &str) -> (Semaphore, Semaphore) {
        let options = SemaphoreOptions { limit: LIMIT, initial: Some(INITIAL), segment: kind::options() };
        let semaphore = Semaphore::create(name, &options).expect("a new semaphore");
        let other = Semaphore::attach(name).expect("a second handle");
        for handle in [&semaphore, &other] {
            (0..3).for_each(|_| handle.acquire_raw(Deadline::NOW).expect("there are enough"));
            handle.release().expect("one that is held");
        }
        (semaphore, other)
    }

    fn bytes(self) -> usize {
        TOTAL
    }

    fn is_minor(self, byte: usize) -> bool {
        match byte {
            0..256 => false,
            256..4096 => true,
            4096..BODY => byte >= 4096 + 3 * 64,
            BODY..HINTS => byte >= BODY + 128 + 3 * 64,
            HINTS..CELLS => byte >= HINTS + 8,
            _ => byte >= CELLS + 8 * 8,
        }
    }

    fn scribble(words: &Words, random: &mut Random) {
        let page = 4096 / 8;
        let index = match random.below(4) {
            0 => page + random.below((words.count() - page) as u64) as usize,
            1 => BODY / 8 + random.below(48) as usize, // control and magazines
            2 => HINTS / 8,
            _ => CELLS / 8 + random.below(LIMIT) as usize,
        };
        words.store(index, any_word(random));
    }

    fn is_expected(error: &Error) -> bool {
        matches!(error, Error::Invalid(_))
    }

    fn attach(calls: &Calls<'_>, name: &str, _: &Semaphore) -> Option<Semaphore> {
        calls.call(Who::Handle, Call::Attach, |_| Semaphore::attach(name))
    }

    fn watch(calls: &Calls<'_>, semaphore: &mut Semaphore) {
        calls.call(Who::Handle, Call::PollFd, |_| semaphore.poll_fd().map(drop));
    }

    fn use_everything(calls: &Calls<'_>, semaphore: &mut Semaphore, disturb: &mut dyn FnMut()) {
        for _ in 0..3 {
            calls.call(Who::Consumer, Call::Acquire, |until| semaphore.acquire_raw(until));
            disturb();
            calls.call(Who::Consumer, Call::Recv, |until| semaphore.consume_until(until));
            let permit = calls.call(Who::Consumer, Call::Acquire, |until| semaphore.acquire_until(until));
            disturb();
            drop(permit);
            calls.call(Who::Producer, Call::Release, |_| semaphore.release());
        }
        let value = calls.call(Who::Handle, Call::Stats, |_| semaphore.value()).expect("a number");
        assert!(value <= LIMIT, "{value} permits");
        if let Some(stats) = calls.call(Who::Handle, Call::Stats, |_| semaphore.stats()) {
            let held: u64 = stats.holders.iter().map(|(_, _, held)| held).sum();
            assert!(stats.limit == LIMIT && held <= LIMIT && stats.value <= LIMIT, "{stats:?}");
        }
        calls.call(Who::Handle, Call::Recover, |_| semaphore.recover());
        disturb();
        calls.call(Who::Producer, Call::Release, |_| semaphore.release());
    }
}
