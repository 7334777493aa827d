//! A buffer in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call that
//! reads, writes, locks and waits. What a call gives fits into the buffer; it ends in time.

use crate::guard;
use crate::tally::{Call, Tally, Who, Word};
use crate::words::Words;
use crate::worker::{self, grouped, Worker};
use ipcx::{Buffer, BufferOptions, Deadline, Error, Result, SegmentOptions, WaitStrategy};
use ipcx_tests::{Place, Random};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Such that the second copy ends with a page, behind which nothing is mapped.
const CAPACITY: usize = 1920;
const PARTICIPANTS: usize = 32;
/// Where the buffer's part begins: behind the header's page and the slots'.
const BODY: usize = 2 * 4096;
/// Offsets in it.
const LOCK: usize = BODY;
const UNLOCKED: usize = BODY + 4;
const VALUE: usize = BODY + 128;
const VERSION: usize = VALUE;
const BEGUN: usize = VALUE + 8;
const LENS: usize = VALUE + 16;
const CHANGED: usize = VALUE + 32;
const FIRST_COPY: usize = BODY + 256;
const COPIES: [usize; 2] = [FIRST_COPY, FIRST_COPY + CAPACITY];
/// Bytes of the file.
const TOTAL: usize = COPIES[1] + CAPACITY;
/// Bytes of the value that is there.
const LEN: usize = 700;
/// Its version.
const SEEN: u64 = 5;
/// Slots that are taken here: of the handle with which everything is done, and of another.
const TAKEN: usize = 2;
/// Of the bits that mean little, the quick share takes one in so many.
const SHARE: u64 = 40;
const QUICK_IMAGES: u64 = 40_000;
const FULL_IMAGES: u64 = 10_000_000;
const FULL_WRITES: u64 = 1_000_000_000;
const SHORT: Duration = Duration::from_micros(30);
/// A read waits so long at most for writers that are too fast, or for the lock of one that never ends.
const PATIENCE: Duration = Duration::from_millis(100);

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let word = random.word();
    match word & 7 {
        0 => word,
        1 => 1 << (word >> 8 & 63),
        2 => word >> 40,
        3 => word >> 60,
        4 => SEEN.wrapping_add(word >> 8 & 3).wrapping_sub(1),
        5 => CAPACITY as u64 + (word >> 8 & 7) - 4,
        // The mutex: of one who lives, of nobody, of no participant; abandoned or not; an event above it.
        6 => word >> 40 << 32 | (word >> 8 & 1) << 31 | (word >> 9 & 63),
        _ => !0 << (word >> 8 & 63),
    }
}

/// One word somewhere behind the header's page, more often where it matters.
fn scribble_on(words: &Words, random: &mut Random) {
    const CONTROL: [usize; 7] = [LOCK, LOCK + 8, VERSION, BEGUN, LENS, LENS + 8, CHANGED];
    let page = 4096 / 8;
    let index = match random.below(4) {
        0 => page + random.below((words.count() - page) as u64) as usize,
        1 => page + random.below(32) as usize, // slots
        _ => random.pick(&CONTROL) / 8,
    };
    words.store(index, any_word(random));
}

/// As [`scribble_on`]. But a read waits for the lock's owner where the versions do not fit together; that makes few images of
/// many, and most of them free the lock.
fn disturb(words: &Words, random: &mut Random) {
    const SELDOM: u64 = 256;
    scribble_on(words, random);
    let versions = [VERSION, BEGUN].map(|at| words.at(at / 8).load(Ordering::Relaxed));
    if versions[1].wrapping_sub(versions[0]) > 1 && random.below(SELDOM) > 0 {
        words.at(LOCK / 8).fetch_and(!0x7fff_ffff, Ordering::Relaxed);
    }
}

/// Two words that belong together, made so again: or nobody would read anything for long.
fn calm(words: &Words, random: &mut Random) {
    let version = any_word(random);
    words.store(BEGUN / 8, version.wrapping_add(random.below(2)));
    words.store(VERSION / 8, version);
    words.store(LOCK / 8, random.below(2) << 31);
    for len in [LENS, LENS + 8] {
        words.store(len / 8, random.below(CAPACITY as u64 + 1));
    }
}

/// Makes the calls.
struct Calls<'a> {
    tally: &'a Tally,
    patience: Duration,
    room: Vec<u8>,
}

fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::WouldBlock(_)
            | Error::TimedOut(_)
            | Error::Mismatch(_)
            | Error::Version(_)
            | Error::Corrupt(_)
            | Error::TooBig { .. }
            | Error::NoSpace(_)
    )
}

impl<'a> Calls<'a> {
    fn new(tally: &'a Tally) -> Calls<'a> {
        // Far larger than the buffer: a length that is believed is also read.
        Calls { tally, patience: Duration::ZERO, room: vec![0; 1 << 16] }
    }

    fn timed<T>(
        &self,
        who: Who,
        call: Call,
        timeout: Duration,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let began = self.tally.begin(call, timeout.as_nanos() as u64);
        let result = work();
        self.tally.end(began, who, result.is_ok());
        if let Err(error) = &result {
            assert!(is_expected(error), "{call:?}: {error:?}");
        }
        result
    }

    fn call<T>(&self, who: Who, call: Call, work: impl FnOnce(Deadline) -> Result<T>) -> Result<T> {
        self.timed(who, call, self.patience, || work(Deadline::within(self.patience)))
    }

    /// Reads the value; says which version it is.
    fn read(&mut self, buffer: &Buffer) -> Result<(usize, u64)> {
        let mut room = std::mem::take(&mut self.room);
        let read = self.timed(Who::Consumer, Call::Read, PATIENCE, || buffer.read(&mut room));
        self.room = room;
        if let Ok((len, _)) = read {
            assert!(len <= CAPACITY, "{len} bytes of a value");
        }
        read
    }

    fn use_reader(&mut self, buffer: &Buffer) {
        let seen = match self.read(buffer) {
            Ok((_, version)) => version,
            Err(Error::WouldBlock(_)) => return, // The others would wait as long.
            Err(_) => SEEN,
        };
        let small = self.timed(Who::Consumer, Call::Read, PATIENCE, || buffer.read(&mut [0; 3]));
        if let Err(Error::TooBig { needed, available }) = small {
            assert!((4..=CAPACITY).contains(&needed) && available == 3, "{needed} bytes of a value");
        }
        // Looks for its length first, and then again for each length that is not the same any more.
        if let Ok((bytes, _)) = self.timed(Who::Consumer, Call::Read, 20 * PATIENCE, || buffer.read_vec()) {
            assert!(bytes.len() <= CAPACITY);
        }
        let _ = self.call(Who::Consumer, Call::Wait, |until| buffer.wait_until(seen, until));
        if let Ok(stats) = self.timed(Who::Handle, Call::Stats, PATIENCE, || buffer.stats()) {
            assert!(stats.len <= CAPACITY as u64, "{stats:?}");
            let command = stats.owner.map_or(0, |owner| owner.command.chars().count());
            assert!(command <= 16);
        }
    }

    /// `disturb` comes between a lock and what is done with it.
    fn use_writer(&mut self, buffer: &Buffer, disturb: &mut impl FnMut()) {
        for len in [LEN, CAPACITY] {
            let _ = self
                .call(Who::Producer, Call::Write, |until| buffer.write_until(&[7; CAPACITY][..len], until));
            disturb();
        }
        for turn in 0..3 {
            if self.call(Who::Producer, Call::Lock, |until| buffer.lock_raw(until)).is_err() {
                return;
            }
            disturb();
            let (at, len, capacity) = buffer.locked_raw().expect("this thread has the lock");
            assert!(len <= capacity && capacity == CAPACITY);
            // SAFETY: that these bytes are mapped is what is tested.
            unsafe { at.write_bytes(turn, capacity) };
            if self.call(Who::Producer, Call::Publish, |_| buffer.publish_raw(len)).is_err() {
                continue; // It is given up.
            }
            disturb();
            let done = match turn {
                0 => self.call(Who::Producer, Call::Unlock, |_| buffer.unlock_raw(capacity).map(drop)),
                1 => self.call(Who::Producer, Call::WaitLocked, |until| buffer.wait_locked_raw(until)),
                _ => self.call(Who::Producer, Call::Unlock, |_| buffer.abandon_raw()),
            };
            if turn == 1 && done.is_ok() {
                buffer.abandon_raw().expect("notified, it has the lock again");
            }
            assert!(buffer.locked_raw().is_err(), "the lock is given up");
        }
    }

    /// Everything that a handle can do.
    fn use_everything(&mut self, buffer: &Buffer, disturb: &mut impl FnMut()) {
        self.use_reader(buffer);
        disturb();
        self.use_writer(buffer, disturb);
        for all in [false, true] {
            let _ = self.call(Who::Handle, Call::Notify, |_| buffer.notify(all));
        }
        self.use_reader(buffer);
    }

    /// Another handle, which comes and goes.
    fn attach(&self, name: &str) -> Option<Buffer> {
        self.call(Who::Handle, Call::Attach, |_| Buffer::attach(name)).ok()
    }

    /// A handle with a descriptor, and the thread behind it.
    fn watch(&self, buffer: &Buffer) {
        let _ = self.call(Who::Handle, Call::PollFd, |_| buffer.poll_fd().map(drop));
    }
}

/// A buffer with a value, and what its file is like when two handles are attached.
struct Exposed {
    name: String,
    _other: Buffer,
    words: Words,
    image: Vec<u64>,
}

impl Exposed {
    /// The handle with which everything is done from now on.
    fn new(name: &str) -> (Exposed, Buffer) {
        let segment = SegmentOptions {
            wait: WaitStrategy::Block,
            max_participants: PARTICIPANTS as u32,
            ..Default::default()
        };
        let options = BufferOptions { capacity: CAPACITY as u64, segment };
        let buffer = Buffer::create(name, &options).expect("a new buffer");
        assert!(guard::is_at_work(), "an access outside the mapping could go unnoticed");
        let other = Buffer::attach(name).expect("a second handle");
        let words = Words::map(name, TOTAL);
        for version in 1..=SEEN {
            assert_eq!(buffer.try_write(&[version as u8; LEN]).expect("nobody has the lock"), version);
        }
        let image = words.image();
        (Exposed { name: name.to_owned(), _other: other, words, image }, buffer)
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
    }
}

/// What is read of the value: its version, its length, its bytes.
fn is_of_value(byte: usize) -> bool {
    let copy = SEEN as usize % 2;
    (VERSION..BEGUN + 8).contains(&byte)
        || (LENS + 8 * copy..LENS + 8 * copy + 8).contains(&byte)
        || (COPIES[copy]..COPIES[copy] + LEN).contains(&byte)
}

/// Whether the lock must be had with a bit flipped, or must not. `None` if it is that of a participant that is not there, of whom it
/// is not asked each time; or if the lock is given up again, for a wrong length.
fn is_free(bit: usize) -> Option<bool> {
    match (bit / 8, bit % 64) {
        (LENS..CHANGED, _) => None,
        (LOCK..UNLOCKED, bit @ 0..16) => {
            let owner = (1 << bit) - 1;
            (!(TAKEN..PARTICIPANTS).contains(&owner)).then_some(false)
        }
        (LOCK..UNLOCKED, 16..31) => Some(false),
        _ => Some(true),
    }
}

/// What is for nothing, or for display, or payload.
fn is_minor(byte: usize) -> bool {
    match byte {
        0..256 => false,
        256..4096 => true,
        4096..BODY => byte >= 4096 + (TAKEN + 1) * 64,
        BODY..VALUE => byte >= LOCK + 16,
        VALUE..FIRST_COPY => byte >= CHANGED + 8,
        _ => true,
    }
}

#[test]
fn every_flipped_bit_of_a_buffer_gives_a_value_or_an_error() {
    if let Some(argument) = worker::argument() {
        return flip(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "every_flipped_bit_of_a_buffer_gives_a_value_or_an_error";
    let workers = worker::on_each_processor(&place, "buffer", test, 4);
    println!(
        "figures: hostile bits, buffer | {} of {} flips, each before and between the calls of a handle that is attached and \
         of a new one; {} | 0",
        grouped(worker::done(&workers)),
        grouped(TOTAL as u64 * 8),
        worker::longest(&workers)
    );
}

fn flip(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, buffer) = Exposed::new(&format!("bits-{n}"));
    let (mut calls, words) = (Calls::new(&tally), &exposed.words);
    for bit in (0..TOTAL * 8).filter(|bit| (bit / 64) as u64 % count == n) {
        if !worker::is_long() && is_minor(bit / 8) && random.below(SHARE) > 0 {
            continue;
        }
        tally.begin_turn();
        words.restore(&exposed.image);
        words.flip(bit);
        // What it is not read from does not change what is read; and who has the lock stands in one word.
        let value = calls.read(&buffer).map_err(|error| error.errno());
        if !is_of_value(bit / 8) {
            assert_eq!(value, Ok((LEN, SEEN)), "bit {} of byte {}", bit % 8, bit / 8);
            assert!(calls.room[..LEN].iter().all(|byte| *byte == SEEN as u8));
        }
        let locked = calls.call(Who::Producer, Call::Lock, |until| buffer.lock_raw(until)).is_ok();
        if let Some(free) = is_free(bit) {
            assert_eq!(locked, free, "the lock, with bit {} of byte {}", bit % 8, bit / 8);
        }
        if locked {
            buffer.abandon_raw().expect("this thread has the lock");
        }
        for handle in [Some(&buffer), calls.attach(&exposed.name).as_ref()].into_iter().flatten() {
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
fn random_images_of_a_buffer_give_a_value_or_an_error() {
    if let Some(argument) = worker::argument() {
        return draw(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "random_images_of_a_buffer_give_a_value_or_an_error";
    let workers = worker::on_each_processor(&place, "buffer", test, 4);
    for who in Who::ALL {
        let [good, bad] = [true, false].map(|ok| worker::calls(&workers, who, ok));
        assert!(good > 0 && bad > 0, "{who:?}: {good} calls worked, {bad} failed: too harmless, or too wild");
    }
    println!(
        "figures: hostile images, buffer | {} images; {} | 0",
        grouped(worker::done(&workers)),
        worker::longest(&workers)
    );
}

fn draw(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, buffer) = Exposed::new(&format!("images-{n}"));
    let all = if worker::is_long() { FULL_IMAGES } else { QUICK_IMAGES } / count;
    let (mut calls, words) = (Calls::new(&tally), &exposed.words);
    while tally.get(Word::Done) < all && !worker::is_to_stop(&tally) {
        tally.begin_turn();
        let choice = random.word();
        calls.patience = if choice & 63 == 0 { SHORT } else { Duration::ZERO };
        match choice >> 8 & 3 {
            0 => words.restore(&exposed.image),
            1 => calm(words, &mut random),
            _ => {}
        }
        for _ in 0..=random.below(if choice >> 10 & 31 == 0 { 2000 } else { 8 }) {
            disturb(words, &mut random);
        }
        let mut disturb = || (0..choice >> 20 & 3).for_each(|_| disturb(words, &mut random));
        if choice >> 16 & 31 == 0 {
            if let Some(other) = calls.attach(&exposed.name) {
                if choice >> 24 & 15 == 0 {
                    calls.watch(&other);
                }
                calls.use_everything(&other, &mut disturb);
            }
        } else {
            calls.use_everything(&buffer, &mut disturb);
        }
        tally.add(Word::Done, 1);
    }
    words.restore(&exposed.image);
}

#[test]
fn a_buffer_under_a_scribbler_gives_a_value_or_an_error() {
    const QUICK: Duration = Duration::from_secs(2);
    if let Some(argument) = worker::argument() {
        let [seed, scribbles] = crate::images::numbers(&argument);
        return if scribbles == 1 { scribble(seed) } else { suffer(seed) };
    }
    let (_turn, place, begin) = (worker::turn(), Place::new(), Instant::now());
    let mut random = Random::from_environment("buffer scribbler");
    let test = "buffer::a_buffer_under_a_scribbler_gives_a_value_or_an_error";
    let start = |name: &str, argument: String| Worker::again(&place, name, test, &argument);
    let mut workers = vec![start("victim", format!("{} 0", random.word()))];
    while workers[0].tally.get(Word::Done) == 0 {
        std::thread::yield_now(); // until there is a buffer
        assert!(begin.elapsed() < Duration::from_secs(30), "no buffer");
    }
    workers.push(start("scribbler", format!("{} 1", random.word())));
    let time = worker::time(4, QUICK);
    worker::watch(&mut workers, |workers| {
        let full = worker::is_long() && workers[1].tally.get(Word::Done) >= FULL_WRITES;
        full || begin.elapsed() >= time
    });
    let mut text = Vec::new();
    for who in Who::ALL {
        let [good, bad] = [true, false].map(|ok| worker::calls(&workers[..1], who, ok));
        assert!(good > 0 && bad > 0, "{who:?}: {good} calls worked, {bad} failed");
        text.push(format!("{} / {}", grouped(good), grouped(bad)));
    }
    println!(
        "figures: live scribbler, buffer | {} writes; calls that gave data / an error: writer {}, reader {}, others {}; {} | 0",
        grouped(workers[1].tally.get(Word::Done)),
        text[0],
        text[1],
        text[2],
        worker::longest(&workers[..1])
    );
}

fn scribble(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let words = Words::map("prey", TOTAL);
    while !worker::is_to_stop(&tally) {
        for turn in 0..256 {
            if turn % 32 == 0 {
                calm(&words, &mut random);
            }
            scribble_on(&words, &mut random);
        }
        tally.add(Word::Done, 256);
    }
}

fn suffer(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, buffer) = Exposed::new("prey");
    let mut calls = Calls::new(&tally);
    while !worker::is_to_stop(&tally) {
        tally.begin_turn();
        calls.patience = if random.below(16) == 0 { SHORT } else { Duration::ZERO };
        match calls.attach(&exposed.name) {
            Some(other) if random.below(16) == 0 => {
                if random.below(16) == 0 {
                    calls.watch(&other);
                }
                calls.use_everything(&other, &mut || ());
            }
            _ => calls.use_everything(&buffer, &mut || ()),
        }
        tally.add(Word::Done, 1);
    }
}
