//! A pool in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every call that
//! acquires, releases, hands over and recovers. What a call gives lies inside the pool; it ends in time.

use crate::tally::{Call, Tally, Who, Word};
use crate::words::Words;
use crate::worker::{self, grouped, Worker};
use ipcx::{
    BlockId, Consumer, Deadline, Error, Pool, PoolOptions, Producer, Result, Ring, RingOptions,
    SegmentOptions, WaitStrategy,
};
use ipcx_tests::{Place, Random};
use std::time::{Duration, Instant};

const BLOCKS: u64 = 128;
const BLOCK: usize = 64;
/// Where the pool's part begins: behind the header's page and the slots'.
const BODY: usize = 2 * 4096;
/// Offset of the first block.
const DATA: usize = BODY + 5 * 4096;
/// Bytes of the file.
const TOTAL: usize = DATA + BLOCKS as usize * BLOCK;
/// Of the bits that mean little, the quick share takes one in so many.
const SHARE: u64 = 40;
const QUICK_IMAGES: u64 = 40_000;
const FULL_IMAGES: u64 = 10_000_000;
const FULL_WRITES: u64 = 1_000_000_000;
const SHORT: Duration = Duration::from_micros(30);

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let word = random.word();
    match word & 7 {
        0 => word,
        1 => 1 << (word >> 8 & 63),
        2 => word >> 40,
        3 => word >> 60,
        // A cell: some generation, a slot or channel, a state.
        4 | 5 => (word >> 8 & 3) << 28 | (word >> 16 & 7) << 4 | ((word >> 24) % 6),
        6 => ((word >> 8) % 130) << 32 | ((word >> 20) % 130),
        _ => !0 << (word >> 8 & 63),
    }
}

/// One word somewhere behind the header's page, more often where it matters.
fn scribble_on(words: &Words, random: &mut Random) {
    let page = 4096 / 8;
    let index = match random.below(4) {
        0 => page + random.below((TOTAL / 8 - page) as u64) as usize,
        1 => BODY / 8 + random.below(48) as usize, // waiters, the first magazines
        2 => (DATA - 1920) / 8 + random.below(144) as usize, // hints and cells
        _ => page + random.below(32) as usize,     // slots
    };
    words.store(index, any_word(random));
}

/// Makes the calls.
struct Calls<'a> {
    tally: &'a Tally,
    patience: Duration,
}

fn is_expected(error: &Error) -> bool {
    matches!(
        error,
        Error::WouldBlock(_)
            | Error::TimedOut(_)
            | Error::Mismatch(_)
            | Error::Version(_)
            | Error::Corrupt(_)
            | Error::NoSpace(_)
            | Error::Invalid(_)
    )
}

impl Calls<'_> {
    fn call<T>(&self, who: Who, call: Call, work: impl FnOnce(Deadline) -> Result<T>) -> Option<T> {
        let began = self.tally.begin(call, self.patience.as_nanos() as u64);
        let result = work(Deadline::within(self.patience));
        self.tally.end(began, who, result.is_ok());
        if let Err(error) = &result {
            assert!(is_expected(error), "{call:?}: {error:?}");
        }
        result.ok()
    }

    /// Everything that a handle and the ends of a ring can do with blocks.
    /// `disturb` comes between an acquire and what is done with the block.
    fn use_everything(&self, pool: &Pool, tx: &mut Producer, rx: &mut Consumer, mut disturb: impl FnMut()) {
        let blocks: Vec<BlockId> = (0..20)
            .map_while(|_| self.call(Who::Handle, Call::Acquire, |until| pool.acquire_raw(until)))
            .collect();
        for id in &blocks {
            let at = pool.address(*id).expect("a block of the pool").as_ptr();
            // SAFETY: that these bytes are mapped is what is tested.
            unsafe { at.write_bytes(7, BLOCK) };
        }
        for (n, id) in blocks.iter().enumerate() {
            disturb();
            if n % 4 == 0 {
                self.call(Who::Producer, Call::SendBlock, |until| tx.send_block_raw(pool, *id, n, until));
            } else {
                self.call(Who::Handle, Call::Release, |_| pool.release_raw(*id));
            }
        }
        while let Some((id, len)) =
            self.call(Who::Consumer, Call::RecvBlock, |until| rx.recv_block_raw(pool, until))
        {
            assert!(len <= BLOCK);
            let at = pool.address(id).expect("a block of the pool").as_ptr();
            // SAFETY: that these bytes are mapped is what is tested.
            unsafe { at.read_volatile() };
            self.call(Who::Handle, Call::Release, |_| pool.release_raw(id));
        }
        if let Some(stats) = self.call(Who::Handle, Call::Stats, |_| pool.stats()) {
            assert!(stats.free + stats.owned + stats.in_flight <= BLOCKS, "{stats:?}");
        }
        self.call(Who::Handle, Call::Recover, |_| pool.recover());
    }

    /// Another handle, which comes and goes.
    fn attach(&self, name: &str) -> Option<Pool> {
        self.call(Who::Handle, Call::Attach, |_| Pool::attach(name))
    }
}

/// A pool, a ring, and what the pool's file is like when both are in use.
struct Exposed {
    name: String,
    ring: Ring,
    words: Words,
    image: Vec<u64>,
}

impl Exposed {
    /// The handle with which everything is done from now on, and the two ends.
    fn new(name: &str) -> (Exposed, Pool, Producer, Consumer) {
        let segment = SegmentOptions { wait: WaitStrategy::Block, ..Default::default() };
        let options = PoolOptions {
            block_size: BLOCK as u64,
            blocks: BLOCKS,
            segment: segment.clone(),
            ..Default::default()
        };
        let pool = Pool::create(name, &options).expect("a new pool");
        let carrier = format!("{name}-carrier");
        let ring = Ring::create(&carrier, &RingOptions { capacity: 4096, segment }).expect("a new ring");
        let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        // Some of everything: owned, kept ready, in flight, a channel that is taken.
        let blocks: Vec<_> = (0..30).map(|_| pool.acquire_raw(Deadline::NOW).unwrap()).collect();
        blocks[..20].iter().for_each(|id| pool.release_raw(*id).unwrap());
        tx.send_block_raw(&pool, blocks[29], 1, Deadline::NOW).unwrap();
        tx.send_block_raw(&pool, blocks[28], 1, Deadline::NOW).unwrap();
        rx.recv_block_raw(&pool, Deadline::NOW).unwrap();
        let words = Words::map(name, TOTAL);
        let image = words.image();
        (Exposed { name: name.to_owned(), ring, words, image }, pool, tx, rx)
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
        let _ = ipcx::unlink(self.ring.name());
    }
}

/// What is for nothing, or for display, or a block's own bytes.
fn is_minor(byte: usize) -> bool {
    match byte {
        0..256 => false,
        256..4096 => true,
        4096..BODY => byte >= 4096 + 3 * 64, // slots that are taken here
        BODY..DATA => {
            let at = byte - BODY;
            (128 + 3 * 64..18_560).contains(&at) && !(2176..2176 + 256).contains(&at)
        }
        _ => true,
    }
}

#[test]
fn every_flipped_bit_of_a_pool_gives_a_block_or_an_error() {
    if let Some(argument) = worker::argument() {
        return flip(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let workers =
        worker::on_each_processor(&place, "pool", "every_flipped_bit_of_a_pool_gives_a_block_or_an_error", 6);
    println!(
        "figures: hostile bits, pool | {} of {} flips, each under a handle that is attached and under a new one; {} | 0",
        grouped(worker::done(&workers)),
        grouped(TOTAL as u64 * 8),
        worker::longest(&workers)
    );
}

fn flip(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, pool, mut tx, mut rx) = Exposed::new(&format!("bits-{n}"));
    let calls = Calls { tally: &tally, patience: Duration::ZERO };
    for bit in (0..TOTAL * 8).filter(|bit| (bit / 64) as u64 % count == n) {
        if !worker::is_long() && is_minor(bit / 8) && random.below(SHARE) > 0 {
            continue;
        }
        tally.begin_turn();
        exposed.words.restore(&exposed.image);
        exposed.words.flip(bit);
        calls.use_everything(&pool, &mut tx, &mut rx, || ());
        if let Some(other) = calls.attach(&exposed.name) {
            calls.use_everything(&other, &mut tx, &mut rx, || ());
        }
        tally.add(Word::Done, 1);
        if worker::is_to_stop(&tally) {
            break;
        }
    }
    exposed.words.restore(&exposed.image);
}

#[test]
fn random_images_of_a_pool_give_a_block_or_an_error() {
    if let Some(argument) = worker::argument() {
        return draw(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let workers =
        worker::on_each_processor(&place, "pool", "random_images_of_a_pool_give_a_block_or_an_error", 6);
    for who in Who::ALL {
        let [good, bad] = [true, false].map(|ok| worker::calls(&workers, who, ok));
        assert!(good > 0 && bad > 0, "{who:?}: {good} calls worked, {bad} failed: too harmless, or too wild");
    }
    println!(
        "figures: hostile images, pool | {} images; {} | 0",
        grouped(worker::done(&workers)),
        worker::longest(&workers)
    );
}

fn draw(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, pool, mut tx, mut rx) = Exposed::new(&format!("images-{n}"));
    let all = if worker::is_long() { FULL_IMAGES } else { QUICK_IMAGES } / count;
    let mut calls = Calls { tally: &tally, patience: Duration::ZERO };
    while tally.get(Word::Done) < all && !worker::is_to_stop(&tally) {
        tally.begin_turn();
        let choice = random.word();
        calls.patience = if choice & 63 == 0 { SHORT } else { Duration::ZERO };
        if choice >> 8 & 3 == 0 {
            exposed.words.restore(&exposed.image);
        }
        for _ in 0..=random.below(if choice >> 10 & 31 == 0 { 4000 } else { 30 }) {
            scribble_on(&exposed.words, &mut random);
        }
        let disturb = || (0..choice >> 20 & 3).for_each(|_| scribble_on(&exposed.words, &mut random));
        if choice >> 16 & 31 == 0 {
            if let Some(other) = calls.attach(&exposed.name) {
                calls.use_everything(&other, &mut tx, &mut rx, disturb);
            }
        } else {
            calls.use_everything(&pool, &mut tx, &mut rx, disturb);
        }
        tally.add(Word::Done, 1);
    }
    exposed.words.restore(&exposed.image);
}

#[test]
fn a_pool_under_a_scribbler_gives_a_block_or_an_error() {
    const QUICK: Duration = Duration::from_secs(2);
    if let Some(argument) = worker::argument() {
        let [seed, scribbles] = crate::images::numbers(&argument);
        return if scribbles == 1 { scribble(seed) } else { suffer(seed) };
    }
    let (_turn, place, begin) = (worker::turn(), Place::new(), Instant::now());
    let mut random = Random::from_environment("pool scribbler");
    let test = "pool::a_pool_under_a_scribbler_gives_a_block_or_an_error";
    let start = |name: &str, argument: String| Worker::again(&place, name, test, &argument);
    let mut workers = vec![start("victim", format!("{} 0", random.word()))];
    while workers[0].tally.get(Word::Done) == 0 {
        std::thread::yield_now(); // until there is a pool
        assert!(begin.elapsed() < Duration::from_secs(30), "no pool");
    }
    workers.push(start("scribbler", format!("{} 1", random.word())));
    let time = worker::time(6, QUICK);
    worker::watch(&mut workers, |workers| {
        let full = worker::is_long() && workers[1].tally.get(Word::Done) >= FULL_WRITES;
        full || begin.elapsed() >= time
    });
    let [good, bad] = [true, false].map(|ok| worker::calls(&workers[..1], Who::Handle, ok));
    assert!(good > 0 && bad > 0, "{good} calls worked, {bad} failed");
    println!(
        "figures: live scribbler, pool | {} writes; calls that gave data / an error: {} / {}; {} | 0",
        grouped(workers[1].tally.get(Word::Done)),
        grouped(good),
        grouped(bad),
        worker::longest(&workers[..1])
    );
}

fn scribble(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let words = Words::map("prey", TOTAL);
    while !worker::is_to_stop(&tally) {
        for _ in 0..256 {
            scribble_on(&words, &mut random);
        }
        tally.add(Word::Done, 256);
    }
}

fn suffer(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, pool, mut tx, mut rx) = Exposed::new("prey");
    let mut calls = Calls { tally: &tally, patience: Duration::ZERO };
    while !worker::is_to_stop(&tally) {
        tally.begin_turn();
        calls.patience = if random.below(16) == 0 { SHORT } else { Duration::ZERO };
        if random.below(50) == 0 {
            exposed.words.restore(&exposed.image); // or nothing would be left that works
        }
        match calls.attach(&exposed.name) {
            Some(other) if random.below(16) == 0 => calls.use_everything(&other, &mut tx, &mut rx, || ()),
            _ => calls.use_everything(&pool, &mut tx, &mut rx, || ()),
        }
        tally.add(Word::Done, 1);
    }
}
