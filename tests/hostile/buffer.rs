//! A buffer in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call that
//! reads, writes, locks and waits. What a call gives fits into the buffer; it ends in time.

use crate::attack;
use crate::kind::{self, Calls, Kind, BODY, PARTICIPANTS};
use crate::tally::{Call, Who};
use crate::words::Words;
use ipcx::{Buffer, BufferOptions, Error, Result};
use ipcx_tests::Random;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Such that the second copy ends with a page, behind which nothing is mapped.
const CAPACITY: usize = 1920;
/// Where what is in its part; bytes of the file.
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

#[derive(Clone, Copy)]
struct Prey;

attack::proofs!(Prey:
    every_flipped_bit_of_a_buffer_gives_a_value_or_an_error,
    random_images_of_a_buffer_give_a_value_or_an_error,
    a_buffer_under_a_scribbler_gives_a_value_or_an_error
);

impl Kind for Prey {
    type Ends = Buffer;
    type Others = Buffer;

    const NAME: &'static str = "buffer";
    const SHAPES: &'static [Prey] = &[Prey];
    const SHARE: u64 = 40;
    const IMAGES: u64 = 40_000;
    const LIVE: Duration = Duration::from_secs(2);
    const PERCENT: u32 = 4;
    const SEEN: &'static [(Who, &'static str)] =
        &[(Who::Producer, "writer"), (Who::Consumer, "reader"), (Who::Handle, "others")];

    /// Two handles are attached, and there is a value.
    fn create(self, name: &str) -> (Buffer, Buffer) {
        let options = BufferOptions { capacity: CAPACITY as u64, segment: kind::options() };
        let buffer = Buffer::create(name, &options).expect("a new buffer");
        let other = Buffer::attach(name).expect("a second handle");
        for version in 1..=SEEN {
            assert_eq!(buffer.try_write(&[version as u8; LEN]).expect("nobody has the lock"), version);
        }
        (buffer, other)
    }

    fn bytes(self) -> usize {
        TOTAL
    }

    fn is_minor(self, byte: usize) -> bool {
        match byte {
            0..256 => false,
            256..4096 => true,
            4096..BODY => byte >= 4096 + (TAKEN + 1) * 64,
            BODY..VALUE => byte >= LOCK + 16,
            VALUE..FIRST_COPY => byte >= CHANGED + 8,
            _ => true,
        }
    }

    fn scribble(words: &Words, random: &mut Random) {
        disturb(words, random);
    }

    fn scribble_live(words: &Words, random: &mut Random) {
        if random.below(32) == 0 {
            calm(words, random);
        }
        scribble_on(words, random);
    }

    fn calm(words: &Words, _: &[u64], random: &mut Random) {
        calm(words, random);
    }

    fn is_expected(error: &Error) -> bool {
        matches!(error, Error::TooBig { .. })
    }

    fn attach(calls: &Calls<'_>, name: &str, _: &Buffer) -> Option<Buffer> {
        calls.call(Who::Handle, Call::Attach, |_| Buffer::attach(name))
    }

    fn watch(calls: &Calls<'_>, buffer: &mut Buffer) {
        calls.call(Who::Handle, Call::PollFd, |_| buffer.poll_fd().map(drop));
    }

    fn use_everything(calls: &Calls<'_>, buffer: &mut Buffer, disturb: &mut dyn FnMut()) {
        use_reader(calls, buffer);
        disturb();
        use_writer(calls, buffer, disturb);
        for all in [false, true] {
            calls.call(Who::Handle, Call::Notify, |_| buffer.notify(all));
        }
        use_reader(calls, buffer);
    }

    /// What it is not read from does not change what is read; and who has the lock stands in one word.
    fn look(calls: &Calls<'_>, buffer: &mut Buffer, bit: usize) {
        let value = read(calls, buffer).map_err(|error| error.errno());
        if !is_of_value(bit / 8) {
            assert_eq!(value, Ok((LEN, SEEN)), "bit {} of byte {}", bit % 8, bit / 8);
            assert!(calls.room.borrow()[..LEN].iter().all(|byte| *byte == SEEN as u8));
        }
        let locked = calls.call(Who::Producer, Call::Lock, |until| buffer.lock_raw(until)).is_some();
        if let Some(free) = is_free(bit) {
            assert_eq!(locked, free, "the lock, with bit {} of byte {}", bit % 8, bit / 8);
        }
        if locked {
            buffer.abandon_raw().expect("this thread has the lock");
        }
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

/// Reads the value; says which version it is.
fn read(calls: &Calls<'_>, buffer: &Buffer) -> Result<(usize, u64)> {
    let read = calls.timed(Who::Consumer, Call::Read, PATIENCE, || buffer.read(&mut calls.room.borrow_mut()));
    if let Ok((len, _)) = read {
        assert!(len <= CAPACITY, "{len} bytes of a value");
    }
    read
}

fn use_reader(calls: &Calls<'_>, buffer: &Buffer) {
    let seen = match read(calls, buffer) {
        Ok((_, version)) => version,
        Err(Error::WouldBlock(_)) => return, // The others would wait as long.
        Err(_) => SEEN,
    };
    let small = calls.timed(Who::Consumer, Call::Read, PATIENCE, || buffer.read(&mut [0; 3]));
    if let Err(Error::TooBig { needed, available }) = small {
        assert!((4..=CAPACITY).contains(&needed) && available == 3, "{needed} bytes of a value");
    }
    // Looks for its length first, and then again for each length that is not the same any more.
    if let Ok((bytes, _)) = calls.timed(Who::Consumer, Call::Read, 20 * PATIENCE, || buffer.read_vec()) {
        assert!(bytes.len() <= CAPACITY);
    }
    calls.call(Who::Consumer, Call::Wait, |until| buffer.wait_until(seen, until));
    if let Ok(stats) = calls.timed(Who::Handle, Call::Stats, PATIENCE, || buffer.stats()) {
        assert!(stats.len <= CAPACITY as u64, "{stats:?}");
        let command = stats.owner.map_or(0, |owner| owner.command.chars().count());
        assert!(command <= 16);
    }
}

fn use_writer(calls: &Calls<'_>, buffer: &Buffer, disturb: &mut dyn FnMut()) {
    for len in [LEN, CAPACITY] {
        calls.call(Who::Producer, Call::Write, |until| buffer.write_until(&[7; CAPACITY][..len], until));
        disturb();
    }
    for turn in 0..3 {
        if calls.call(Who::Producer, Call::Lock, |until| buffer.lock_raw(until)).is_none() {
            return;
        }
        disturb();
        let (at, len, capacity) = buffer.locked_raw().expect("this thread has the lock");
        assert!(len <= capacity && capacity == CAPACITY);
        // SAFETY: that these bytes are mapped is what is tested.
        unsafe { at.write_bytes(turn, capacity) };
        if calls.call(Who::Producer, Call::Publish, |_| buffer.publish_raw(len)).is_none() {
            continue; // It is given up.
        }
        disturb();
        let done = match turn {
            0 => calls.call(Who::Producer, Call::Unlock, |_| buffer.unlock_raw(capacity).map(drop)),
            1 => calls.call(Who::Producer, Call::WaitLocked, |until| buffer.wait_locked_raw(until)),
            _ => calls.call(Who::Producer, Call::Unlock, |_| buffer.abandon_raw()),
        };
        if turn == 1 && done.is_some() {
            buffer.abandon_raw().expect("notified, it has the lock again");
        }
        assert!(buffer.locked_raw().is_err(), "the lock is given up");
    }
}
