//! A semaphore in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call. What is
//! said to be there is no more than the limit; a call ends in time. (The protocol beneath is the pool's.)

use crate::tally::{Call, Tally, Who, Word};
use crate::words::Words;
use crate::worker::{self, grouped, Worker};
use crate::{guard, images};
use ipcx::{Deadline, Error, Result, SegmentOptions, Semaphore, SemaphoreOptions, WaitStrategy};
use ipcx_tests::{Place, Random};
use std::time::{Duration, Instant};

/// Such that magazines are in use.
const LIMIT: u64 = 64;
const INITIAL: u64 = 60;
const PARTICIPANTS: u32 = 32;
/// Where the semaphore's part begins, its hints and its cells; bytes of the file.
const BODY: usize = 2 * 4096;
const HINTS: usize = BODY + 128 + PARTICIPANTS as usize * 64;
const CELLS: usize = HINTS + 128;
const TOTAL: usize = BODY + 4096;
/// Of the bits that mean little, the quick share takes one in so many.
const SHARE: u64 = 40;
const QUICK_IMAGES: u64 = 20_000;
const FULL_IMAGES: u64 = 10_000_000;
const FULL_WRITES: u64 = 1_000_000_000;
const SHORT: Duration = Duration::from_micros(30);

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

/// One word somewhere behind the header's page, more often where it matters.
fn scribble_on(words: &Words, random: &mut Random) {
    let page = 4096 / 8;
    let index = match random.below(4) {
        0 => page + random.below((words.count() - page) as u64) as usize,
        1 => BODY / 8 + random.below(48) as usize, // control and magazines
        2 => HINTS / 8,
        _ => CELLS / 8 + random.below(LIMIT) as usize,
    };
    words.store(index, any_word(random));
}

/// Makes the calls.
struct Calls<'a> {
    tally: &'a Tally,
    patience: Duration,
}

impl Calls<'_> {
    fn call<T>(&self, who: Who, call: Call, work: impl FnOnce(Deadline) -> Result<T>) -> Result<T> {
        let began = self.tally.begin(call, self.patience.as_nanos() as u64);
        let result = work(Deadline::within(self.patience));
        self.tally.end(began, who, result.is_ok());
        if let Err(error) = &result {
            let expected = matches!(
                error,
                Error::WouldBlock(_)
                    | Error::TimedOut(_)
                    | Error::Mismatch(_)
                    | Error::Version(_)
                    | Error::Corrupt(_)
                    | Error::Invalid(_)
                    | Error::NoSpace(_)
            );
            assert!(expected, "{call:?}: {error:?}");
        }
        result
    }

    fn attach(&self, name: &str) -> Option<Semaphore> {
        self.call(Who::Handle, Call::Attach, |_| Semaphore::attach(name)).ok()
    }

    /// Everything that a handle can do; `disturb` comes in between.
    fn use_everything(&self, semaphore: &Semaphore, disturb: &mut impl FnMut()) {
        for _ in 0..3 {
            let _ = self.call(Who::Consumer, Call::Acquire, |until| semaphore.acquire_raw(until));
            disturb();
            let _ = self.call(Who::Consumer, Call::Recv, |until| semaphore.consume_until(until));
            let permit = self.call(Who::Consumer, Call::Acquire, |until| semaphore.acquire_until(until));
            disturb();
            drop(permit);
            let _ = self.call(Who::Producer, Call::Release, |_| semaphore.release());
        }
        let value = self.call(Who::Handle, Call::Stats, |_| semaphore.value()).expect("a number");
        assert!(value <= LIMIT, "{value} permits");
        if let Ok(stats) = self.call(Who::Handle, Call::Stats, |_| semaphore.stats()) {
            let held: u64 = stats.holders.iter().map(|(_, _, held)| held).sum();
            assert!(stats.limit == LIMIT && held <= LIMIT && stats.value <= LIMIT, "{stats:?}");
        }
        let _ = self.call(Who::Handle, Call::Recover, |_| semaphore.recover());
        disturb();
        let _ = self.call(Who::Producer, Call::Release, |_| semaphore.release());
    }
}

/// A semaphore, and what its file is like when two handles are attached and hold permits.
struct Exposed {
    name: String,
    _other: Semaphore,
    words: Words,
    image: Vec<u64>,
}

impl Exposed {
    /// The handle with which everything is done from now on.
    fn new(name: &str) -> (Exposed, Semaphore) {
        let segment = SegmentOptions {
            wait: WaitStrategy::Block,
            max_participants: PARTICIPANTS,
            ..Default::default()
        };
        let options = SemaphoreOptions { limit: LIMIT, initial: Some(INITIAL), segment };
        let semaphore = Semaphore::create(name, &options).expect("a new semaphore");
        assert!(guard::is_at_work(), "an access outside the mapping could go unnoticed");
        let other = Semaphore::attach(name).expect("a second handle");
        for handle in [&semaphore, &other] {
            (0..3).for_each(|_| handle.acquire_raw(Deadline::NOW).expect("there are enough"));
            handle.release().expect("one that is held");
        }
        let words = Words::map(name, TOTAL);
        let image = words.image();
        (Exposed { name: name.to_owned(), _other: other, words, image }, semaphore)
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
    }
}

/// What is for nothing, or for display.
fn is_minor(byte: usize) -> bool {
    match byte {
        0..256 => false,
        256..4096 => true,
        4096..BODY => byte >= 4096 + 3 * 64,
        BODY..HINTS => byte >= BODY + 128 + 3 * 64,
        HINTS..CELLS => byte >= HINTS + 8,
        _ => byte >= CELLS + 8 * 8,
    }
}

#[test]
fn every_flipped_bit_of_a_semaphore_gives_a_permit_or_an_error() {
    if let Some(argument) = worker::argument() {
        return flip(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "every_flipped_bit_of_a_semaphore_gives_a_permit_or_an_error";
    let workers = worker::on_each_processor(&place, "semaphore", test, 2);
    println!(
        "figures: hostile bits, semaphore | {} of {} flips, each before and between the calls of a handle that is attached and \
         of a new one; {} | 0",
        grouped(worker::done(&workers)),
        grouped(TOTAL as u64 * 8),
        worker::longest(&workers)
    );
}

fn flip(argument: &str) {
    let [n, count, seed] = images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, semaphore) = Exposed::new(&format!("bits-{n}"));
    let (calls, words) = (Calls { tally: &tally, patience: Duration::ZERO }, &exposed.words);
    for bit in (0..TOTAL * 8).filter(|bit| (bit / 64) as u64 % count == n) {
        if !worker::is_long() && is_minor(bit / 8) && random.below(SHARE) > 0 {
            continue;
        }
        tally.begin_turn();
        words.restore(&exposed.image);
        words.flip(bit);
        for handle in [Some(&semaphore), calls.attach(&exposed.name).as_ref()].into_iter().flatten() {
            words.restore(&exposed.image);
            words.flip(bit);
            calls.use_everything(handle, &mut || ());
            // To and fro between the calls.
            calls.use_everything(handle, &mut || words.flip(bit));
        }
        tally.add(Word::Done, 1);
        if worker::is_to_stop(&tally) {
            break;
        }
    }
    words.restore(&exposed.image);
}

#[test]
fn random_images_of_a_semaphore_give_a_permit_or_an_error() {
    if let Some(argument) = worker::argument() {
        return draw(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "random_images_of_a_semaphore_give_a_permit_or_an_error";
    let workers = worker::on_each_processor(&place, "semaphore", test, 2);
    // A release finds something to release as good as always.
    let [good, bad] = [true, false].map(|ok| worker::calls(&workers, Who::Consumer, ok));
    assert!(good > 0 && bad > 0, "{good} calls worked, {bad} failed: too harmless, or too wild");
    println!(
        "figures: hostile images, semaphore | {} images; {} | 0",
        grouped(worker::done(&workers)),
        worker::longest(&workers)
    );
}

fn draw(argument: &str) {
    let [n, count, seed] = images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, semaphore) = Exposed::new(&format!("images-{n}"));
    let all = if worker::is_long() { FULL_IMAGES } else { QUICK_IMAGES } / count;
    let (mut calls, words) = (Calls { tally: &tally, patience: Duration::ZERO }, &exposed.words);
    while tally.get(Word::Done) < all && !worker::is_to_stop(&tally) {
        tally.begin_turn();
        let choice = random.word();
        calls.patience = if choice & 63 == 0 { SHORT } else { Duration::ZERO };
        if choice >> 8 & 1 == 0 {
            words.restore(&exposed.image);
        }
        for _ in 0..=random.below(if choice >> 10 & 31 == 0 { 2000 } else { 8 }) {
            scribble_on(words, &mut random);
        }
        let mut disturb = || (0..choice >> 20 & 3).for_each(|_| scribble_on(words, &mut random));
        if choice >> 16 & 31 == 0 {
            if let Some(other) = calls.attach(&exposed.name) {
                if choice >> 24 & 15 == 0 {
                    let _ = calls.call(Who::Handle, Call::PollFd, |_| other.poll_fd().map(drop));
                }
                calls.use_everything(&other, &mut disturb);
            }
        } else {
            calls.use_everything(&semaphore, &mut disturb);
        }
        tally.add(Word::Done, 1);
    }
    words.restore(&exposed.image);
}

#[test]
fn a_semaphore_under_a_scribbler_gives_a_permit_or_an_error() {
    const QUICK: Duration = Duration::from_secs(1);
    if let Some(argument) = worker::argument() {
        let [seed, scribbles] = images::numbers(&argument);
        return if scribbles == 1 { scribble(seed) } else { suffer(seed) };
    }
    let (_turn, place, begin) = (worker::turn(), Place::new(), Instant::now());
    let mut random = Random::from_environment("semaphore scribbler");
    let test = "semaphore::a_semaphore_under_a_scribbler_gives_a_permit_or_an_error";
    let start = |name: &str, argument: String| Worker::again(&place, name, test, &argument);
    let mut workers = vec![start("victim", format!("{} 0", random.word()))];
    while workers[0].tally.get(Word::Done) == 0 {
        std::thread::yield_now(); // until there is a semaphore
        assert!(begin.elapsed() < Duration::from_secs(30), "no semaphore");
    }
    workers.push(start("scribbler", format!("{} 1", random.word())));
    let time = worker::time(2, QUICK);
    worker::watch(&mut workers, |workers| {
        let full = worker::is_long() && workers[1].tally.get(Word::Done) >= FULL_WRITES;
        full || begin.elapsed() >= time
    });
    println!(
        "figures: live scribbler, semaphore | {} writes; {} | 0",
        grouped(workers[1].tally.get(Word::Done)),
        worker::longest(&workers[..1])
    );
}

fn scribble(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let words = Words::map("prey", TOTAL);
    while !worker::is_to_stop(&tally) {
        (0..256).for_each(|_| scribble_on(&words, &mut random));
        tally.add(Word::Done, 256);
    }
}

fn suffer(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, semaphore) = Exposed::new("prey");
    let mut calls = Calls { tally: &tally, patience: Duration::ZERO };
    while !worker::is_to_stop(&tally) {
        tally.begin_turn();
        calls.patience = if random.below(16) == 0 { SHORT } else { Duration::ZERO };
        match calls.attach(&exposed.name) {
            Some(other) if random.below(16) == 0 => calls.use_everything(&other, &mut || ()),
            _ => calls.use_everything(&semaphore, &mut || ()),
        }
        tally.add(Word::Done, 1);
    }
}
