//! A work queue in hostile hands: every bit flipped, random words, and a peer that writes without pause, under every
//! call. What is said of a message fits the queue, its bytes are copied from inside it, and a call ends in time.

use crate::tally::{Call, Tally, Who, Word};
use crate::words::Words;
use crate::worker::{self, grouped, Worker};
use crate::{guard, images};
use ipcx::{Deadline, Error, Queue, QueueOptions, Result, SegmentOptions, Taken, WaitStrategy};
use ipcx_tests::{Place, Random};
use std::time::{Duration, Instant};

const DEPTH: u64 = 16;
/// Such that a cell is one line of memory.
const MAX_MESSAGE: usize = 40;
const MAX_DELIVERIES: u32 = 2;
const PARTICIPANTS: u32 = 32;
const LANES: usize = 33;
/// Where the queue's part begins, and what is in it; bytes of the file.
const BODY: usize = 2 * 4096;
const HINTS: usize = BODY + 384;
const ASIDE: usize = HINTS + LANES * 256;
const ENTRIES: usize = ASIDE + 128;
const CELLS: usize = ENTRIES + LANES * DEPTH as usize * 8;
const TOTAL: usize = BODY + 4 * 4096;
/// Of the bits that mean little, the quick share takes one in so many.
const SHARE: u64 = 40;
const QUICK_IMAGES: u64 = 20_000;
const FULL_IMAGES: u64 = 10_000_000;
const FULL_WRITES: u64 = 1_000_000_000;
const SHORT: Duration = Duration::from_micros(30);

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let word = random.word();
    match word & 15 {
        0 | 1 => word,
        2 => 1 << (word >> 8 & 63),
        3 => !0 << (word >> 8 & 63),
        // A cell: some state, a letter or not, some deliveries, some slot, some generation.
        4..=7 => word >> 8 & 15 | (word >> 16 & 3) << 4 | (word >> 24 & 3) << 12 | (word >> 32 & 7) << 24,
        // An entry: some cell, some position.
        8..=11 => word >> 8 & 31 | (word >> 16 & 127) << 20,
        // A place: some position, some lane.
        12 | 13 => word >> 16 & 127 | (word >> 32 & 63) << 44,
        _ => word >> 57,
    }
}

/// One word somewhere behind the header's page, more often where it matters.
fn scribble_on(words: &Words, random: &mut Random) {
    let mut one_of =
        |start: usize, count: usize, stride: usize| start / 8 + random.below(count as u64) as usize * stride;
    let cells = DEPTH as usize;
    let index = match one_of(0, 8, 1) {
        0 => one_of(4096, (TOTAL - 4096) / 8, 1),
        1 => one_of(BODY, 5, 1),           // control
        2 => one_of(HINTS, 2 * LANES, 16), // heads and tails
        3 => ASIDE / 8,
        4 => one_of(ENTRIES, 6 * cells, 1), // lanes that are used
        5 => one_of(CELLS + 8, cells, 8),   // places
        6 => one_of(CELLS + 16, cells, 8),  // lengths
        _ => one_of(CELLS, cells, 8),
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
                    | Error::TooBig { .. }
            );
            assert!(expected, "{call:?}: {error:?}");
        }
        result
    }

    fn attach(&self, name: &str) -> Option<Queue> {
        self.call(Who::Handle, Call::Attach, |_| Queue::attach(name)).ok()
    }

    /// Something was taken: it is what can be taken, and it is acknowledged or put back.
    fn end(&self, queue: &Queue, taken: Taken, done: bool) {
        let Taken { len, priority, deliveries, ticket, .. } = taken;
        assert!(len <= MAX_MESSAGE && priority < 32 && deliveries < 256 && ticket != 0, "{taken:?}");
        let _ = self.call(Who::Consumer, Call::Release, |_| match done {
            true => queue.ack(ticket),
            false => queue.put_back(ticket),
        });
        let _ = self.call(Who::Consumer, Call::Release, |_| queue.deliveries(ticket));
    }

    /// Everything that a handle can do; `disturb` comes in between.
    fn use_everything(&self, queue: &Queue, disturb: &mut impl FnMut()) {
        let mut buffer = [0; MAX_MESSAGE];
        for round in 0..4 {
            let (message, priority) = (&[7; MAX_MESSAGE][..8 * round], 3 * round as u32);
            let _ = self.call(Who::Producer, Call::Send, |until| queue.push_until(message, priority, until));
            disturb();
            let taken = self.call(Who::Consumer, Call::Recv, |until| queue.take_into(&mut buffer, until));
            disturb();
            if let Ok(taken) = taken {
                self.end(queue, taken, round % 2 == 0);
            }
            let room = &mut buffer[..MAX_MESSAGE >> (round % 2)];
            if let Ok(popped) = self.call(Who::Consumer, Call::Read, |until| queue.pop_until(room, until)) {
                assert!(popped.len <= room.len() && popped.priority < 32, "{popped:?}");
            }
        }
        let delivery = self.call(Who::Consumer, Call::Borrow, |until| queue.take_until(until));
        disturb();
        if let Ok(delivery) = delivery {
            assert!(delivery.to_vec().len() <= MAX_MESSAGE);
        }
        if let Ok(taken) = self.call(Who::Consumer, Call::Acquire, |_| queue.take_dead_into(&mut buffer)) {
            self.end(queue, taken, false);
        }
        if let Ok(stats) = self.call(Who::Handle, Call::Stats, |_| queue.stats()) {
            let ready: u64 = stats.ready.iter().sum();
            assert_eq!(
                ready + stats.being_pushed + stats.taken + stats.dead + stats.free,
                DEPTH,
                "{stats:?}"
            );
        }
        let _ = self.call(Who::Handle, Call::Recover, |_| queue.recover());
        disturb();
        let _ = self.call(Who::Producer, Call::Send, |_| queue.try_push(b"", 31));
    }
}

/// A queue, and what its file is like when two handles are attached, some messages wait, two are taken, and one is a
/// dead letter.
struct Exposed {
    name: String,
    _other: Queue,
    words: Words,
    image: Vec<u64>,
}

impl Exposed {
    /// The handle with which everything is done from now on.
    fn new(name: &str) -> (Exposed, Queue) {
        let segment = SegmentOptions {
            wait: WaitStrategy::Block,
            max_participants: PARTICIPANTS,
            ..Default::default()
        };
        let (max_message, max_deliveries) = (MAX_MESSAGE as u64, MAX_DELIVERIES);
        let options =
            QueueOptions { max_message, depth: DEPTH, max_deliveries, segment, ..Default::default() };
        let queue = Queue::create(name, &options).expect("a new queue");
        assert!(guard::is_at_work(), "an access outside the mapping could go unnoticed");
        let other = Queue::attach(name).expect("a second handle");
        for priority in 0..10 {
            queue.push(&[7; MAX_MESSAGE][..4 * priority as usize], priority % 5).expect("there is room");
        }
        let take = |handle: &Queue| handle.take().expect("there are enough").into_ticket();
        take(&queue);
        take(&other);
        let put_back = || queue.put_back(take(&queue)).expect("it is taken");
        (0..3).for_each(|_| put_back()); // one twice, which is a dead letter; another once
        assert_eq!(queue.stats().expect("figures").dead, 1);
        let words = Words::map(name, TOTAL);
        let image = words.image();
        (Exposed { name: name.to_owned(), _other: other, words, image }, queue)
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
    }
}

/// What is for nothing, for display, or of a lane that is not used.
fn is_minor(byte: usize) -> bool {
    match byte {
        0..256 => false,
        256..4096 => true,
        4096..BODY => byte >= 4096 + 3 * 64,
        BODY..HINTS => byte >= BODY + 40,
        HINTS..ASIDE => byte % 128 >= 8 || byte >= HINTS + 7 * 256,
        ASIDE..ENTRIES => byte >= ASIDE + 8,
        ENTRIES..CELLS => byte >= ENTRIES + 7 * 16 * 8,
        _ => byte % 64 >= 24 || byte >= CELLS + DEPTH as usize * 64,
    }
}

#[test]
fn every_flipped_bit_of_a_queue_gives_a_message_or_an_error() {
    if let Some(argument) = worker::argument() {
        return flip(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "every_flipped_bit_of_a_queue_gives_a_message_or_an_error";
    let workers = worker::on_each_processor(&place, "queue", test, 2);
    println!(
        "figures: hostile bits, queue | {} of {} flips, each before and between the calls of a handle that is attached and \
         of a new one; {} | 0",
        grouped(worker::done(&workers)),
        grouped(TOTAL as u64 * 8),
        worker::longest(&workers)
    );
}

fn flip(argument: &str) {
    let [n, count, seed] = images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, queue) = Exposed::new(&format!("bits-{n}"));
    let (calls, words) = (Calls { tally: &tally, patience: Duration::ZERO }, &exposed.words);
    for bit in (0..TOTAL * 8).filter(|bit| (bit / 64) as u64 % count == n) {
        if !worker::is_long() && is_minor(bit / 8) && random.below(SHARE) > 0 {
            continue;
        }
        tally.begin_turn();
        words.restore(&exposed.image);
        words.flip(bit);
        for handle in [Some(&queue), calls.attach(&exposed.name).as_ref()].into_iter().flatten() {
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
fn random_images_of_a_queue_give_a_message_or_an_error() {
    if let Some(argument) = worker::argument() {
        return draw(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "random_images_of_a_queue_give_a_message_or_an_error";
    let workers = worker::on_each_processor(&place, "queue", test, 2);
    // Who pushes finds room as good as always.
    let [good, bad] = [true, false].map(|ok| worker::calls(&workers, Who::Consumer, ok));
    assert!(good > 0 && bad > 0, "{good} calls worked, {bad} failed: too harmless, or too wild");
    println!(
        "figures: hostile images, queue | {} images; {} | 0",
        grouped(worker::done(&workers)),
        worker::longest(&workers)
    );
}

fn draw(argument: &str) {
    let [n, count, seed] = images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let (exposed, queue) = Exposed::new(&format!("images-{n}"));
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
            calls.use_everything(&queue, &mut disturb);
        }
        tally.add(Word::Done, 1);
    }
    words.restore(&exposed.image);
}

#[test]
fn a_queue_under_a_scribbler_gives_a_message_or_an_error() {
    const QUICK: Duration = Duration::from_secs(1);
    if let Some(argument) = worker::argument() {
        let [seed, scribbles] = images::numbers(&argument);
        return if scribbles == 1 { scribble(seed) } else { suffer(seed) };
    }
    let (_turn, place, begin) = (worker::turn(), Place::new(), Instant::now());
    let mut random = Random::from_environment("queue scribbler");
    let test = "queue::a_queue_under_a_scribbler_gives_a_message_or_an_error";
    let start = |name: &str, argument: String| Worker::again(&place, name, test, &argument);
    let mut workers = vec![start("victim", format!("{} 0", random.word()))];
    while workers[0].tally.get(Word::Done) == 0 {
        std::thread::yield_now(); // until there is a queue
        assert!(begin.elapsed() < Duration::from_secs(30), "no queue");
    }
    workers.push(start("scribbler", format!("{} 1", random.word())));
    let time = worker::time(2, QUICK);
    worker::watch(&mut workers, |workers| {
        let full = worker::is_long() && workers[1].tally.get(Word::Done) >= FULL_WRITES;
        full || begin.elapsed() >= time
    });
    println!(
        "figures: live scribbler, queue | {} writes; {} | 0",
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
    let (exposed, queue) = Exposed::new("prey");
    let mut calls = Calls { tally: &tally, patience: Duration::ZERO };
    while !worker::is_to_stop(&tally) {
        tally.begin_turn();
        calls.patience = if random.below(16) == 0 { SHORT } else { Duration::ZERO };
        match calls.attach(&exposed.name) {
            Some(other) if random.below(16) == 0 => calls.use_everything(&other, &mut || ()),
            _ => calls.use_everything(&queue, &mut || ()),
        }
        tally.add(Word::Done, 1);
    }
}
