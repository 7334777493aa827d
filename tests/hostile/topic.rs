//! A topic in hostile hands, lossy and reliable: every bit flipped, random words, and a peer that writes without pause, under every
//! call that publishes, receives, comes and goes. What a call gives fits into the topic; it ends in time.

use crate::guard;
use crate::tally::{Call, Tally, Who, Word};
use crate::words::Words;
use crate::worker::{self, grouped, Worker};
use ipcx::{
    Deadline, Error, Publisher, Result, SegmentOptions, StartAt, Subscriber, Topic, TopicOptions,
    WaitStrategy,
};
use ipcx_tests::{Place, Random};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const CAPACITY: usize = 4096;
/// Largest record: two of them with their words, and the 0 behind.
const LARGEST: usize = CAPACITY / 2 - 24;
const PARTICIPANTS: usize = 32;
/// Where the topic's part begins: behind the header's page and the slots'.
const BODY: usize = 2 * 4096;
/// Offsets in it: the publishers' page, the subscribers' part.
const LOCK: usize = BODY;
const NEWEST: usize = BODY + 128;
const OLDEST: usize = BODY + 256;
const FREE: usize = OLDEST + 8;
const PUBLISHED: usize = BODY + 4096;
const RELEASED: usize = PUBLISHED + 128;
const CURSORS: usize = PUBLISHED + 256;
/// Records that were published before, how many of them were received, and their length.
const RECORDS: u64 = 300;
const RECEIVED: u64 = RECORDS - 40;
const LEN: usize = 40;
/// Slots that are taken here: of the handle, of a reliable topic's subscriber, and of those that come for a while.
const TAKEN: usize = 4;
/// Of the bits that mean little, the quick share takes one in so many.
const SHARE: u64 = 60;
const QUICK_IMAGES: u64 = 15_000;
const FULL_IMAGES: u64 = 10_000_000;
const FULL_WRITES: u64 = 1_000_000_000;
const SHORT: Duration = Duration::from_micros(30);

/// Where what is.
#[derive(Clone, Copy)]
struct Shape {
    reliable: bool,
    data: usize,
}

impl Shape {
    const BOTH: [Shape; 2] = [
        Shape { reliable: false, data: PUBLISHED + 4096 },
        Shape { reliable: true, data: PUBLISHED + 2 * 4096 },
    ];

    /// Bytes of the file.
    fn total(self) -> usize {
        self.data + CAPACITY
    }

    /// In the data: the words of the records where the subscriber and the publisher are.
    fn is_looked_at(offset: usize) -> bool {
        let records = [RECEIVED, RECORDS - 1, RECORDS];
        records.iter().any(|n| (offset + CAPACITY - (*n as usize * (16 + LEN)) % CAPACITY) % CAPACITY < 16)
    }

    /// What is for nothing, or for display, or payload.
    fn is_minor(self, byte: usize) -> bool {
        match byte {
            0..256 => false,
            256..4096 => true,
            4096..BODY => byte >= 4096 + TAKEN * 64,
            BODY..PUBLISHED => ![LOCK, NEWEST, OLDEST, FREE].contains(&(byte & !7)),
            _ if byte >= self.data => !Shape::is_looked_at(byte - self.data),
            _ => ![PUBLISHED, RELEASED, CURSORS, CURSORS + 128, CURSORS + 256].contains(&(byte & !7)),
        }
    }
}

/// A word that some field may have, or any.
fn any_word(random: &mut Random) -> u64 {
    let (word, now) = (random.word(), RECORDS * (16 + LEN as u64));
    match word & 7 {
        0 => word,
        1 => 1 << (word >> 8 & 63),
        2 => word >> 40,
        // A position hereabouts, aligned or not; a cursor is one more.
        3 | 4 => now.wrapping_add(word >> 8 & 0x1fff).wrapping_sub(word >> 24 & 0x1fff) & !(word >> 40 & 7),
        // A record's word of this lap or another: length, committed, kind, lap.
        5 => (word >> 8 & 0xfff) | 1 << 31 | 1 << 32 | (now / CAPACITY as u64 + (word >> 32 & 3)) << 40,
        // The mutex: of one who lives, of nobody, of no participant; abandoned or not; an event above it.
        6 => word >> 40 << 32 | (word >> 8 & 1) << 31 | (word >> 9 & 63),
        _ => !0 << (word >> 8 & 63),
    }
}

/// One word somewhere behind the header's page, more often where it matters.
fn scribble_on(words: &Words, random: &mut Random) {
    const CONTROL: [usize; 7] = [LOCK, NEWEST, OLDEST, FREE, PUBLISHED, RELEASED, CURSORS];
    let page = 4096 / 8;
    let index = match random.below(5) {
        0 => page + random.below((words.count() - page) as u64) as usize,
        1 => page + random.below(32) as usize, // slots
        2 => CURSORS / 8 + 16 * random.below(6) as usize,
        _ => random.pick(&CONTROL) / 8,
    };
    words.store(index, any_word(random));
}

/// Makes the calls.
struct Calls<'a> {
    tally: &'a Tally,
    patience: Duration,
    room: Vec<u8>,
    file: std::fs::File,
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
        // Far larger than the topic: a length that is believed is also read.
        let file = std::fs::File::open("/dev/zero").expect("zeroes");
        Calls { tally, patience: Duration::ZERO, room: vec![0; 1 << 16], file }
    }

    fn call<T>(&self, who: Who, call: Call, work: impl FnOnce(Deadline) -> Result<T>) -> Option<T> {
        let began = self.tally.begin(call, self.patience.as_nanos() as u64);
        let result = work(Deadline::within(self.patience));
        self.tally.end(began, who, result.is_ok());
        if let Err(error) = &result {
            assert!(is_expected(error), "{call:?}: {error:?}");
            if let Error::TooBig { needed, .. } = error {
                assert!((1..=LARGEST).contains(needed), "a record of {needed} bytes");
            }
        }
        result.ok()
    }

    fn use_publisher(&self, tx: &mut Publisher, disturb: &mut impl FnMut()) {
        assert_eq!(tx.max_len(), LARGEST);
        for len in [LEN, 0, 500, LARGEST] {
            self.call(Who::Producer, Call::Publish, |until| tx.publish_until(&[7; LARGEST][..len], until));
            disturb();
        }
        for len in [LARGEST, 9] {
            let Some(at) = self.call(Who::Producer, Call::Reserve, |until| tx.reserve_raw(len, until)) else {
                continue;
            };
            disturb();
            // SAFETY: that these bytes are mapped is what is tested.
            unsafe { at.write_bytes(len as u8, len) };
            let done = if len == 9 { tx.abort_raw() } else { tx.commit_raw(len / 2) };
            done.expect("the reservation is this publisher's");
        }
        self.call(Who::Producer, Call::SendFile, |until| {
            tx.publish_file_until(self.file.as_fd(), 300, until)
        });
    }

    fn use_subscriber(&mut self, rx: &mut Subscriber, disturb: &mut impl FnMut()) {
        let mut room = std::mem::take(&mut self.room);
        for _ in 0..3 {
            let received = self.call(Who::Consumer, Call::Recv, |until| rx.recv_until(&mut room, until));
            assert!(received.is_none_or(|len| len <= LARGEST), "a record of {received:?} bytes");
            self.call(Who::Consumer, Call::Recv, |until| rx.recv_until(&mut room[..1], until));
            let borrowed = self.call(Who::Consumer, Call::BorrowRaw, |until| rx.borrow_raw(until));
            let Some((at, len)) = borrowed else { continue };
            disturb();
            assert!(len <= LARGEST, "a record of {len} bytes");
            // SAFETY: that these bytes are mapped is what is tested.
            unsafe { at.copy_to(room.as_mut_ptr(), len) };
            self.call(Who::Consumer, Call::Release, |_| rx.release_raw());
        }
        self.room = room;
    }

    /// Everything that can be done with a handle, an end of each kind, and ones that come and go.
    fn use_everything(&mut self, ends: &mut Ends, disturb: &mut impl FnMut()) {
        self.use_publisher(&mut ends.tx, disturb);
        self.use_subscriber(&mut ends.rx, disturb);
        for start in [StartAt::Oldest, StartAt::Latest, StartAt::Next] {
            let new = self.call(Who::Handle, Call::TakeConsumer, |_| ends.topic.subscriber_at(start));
            if let Some(mut rx) = new {
                self.call(Who::Consumer, Call::Recv, |until| rx.recv_until(&mut [0; LEN], until));
                let began = self.tally.begin(Call::CloseConsumer, 0);
                drop(rx);
                self.tally.end(began, Who::Consumer, true);
            }
        }
        if let Some(mut tx) = self.call(Who::Handle, Call::TakeProducer, |_| ends.topic.publisher()) {
            self.call(Who::Producer, Call::Publish, |until| tx.publish_until(b"another", until));
        }
        if let Some(stats) = self.call(Who::Handle, Call::Stats, |_| ends.topic.stats()) {
            assert!(stats.subscribers.len() <= PARTICIPANTS, "{stats:?}");
            assert!(stats.subscribers.iter().all(|one| one.unread <= CAPACITY as u64), "{stats:?}");
        }
        self.use_subscriber(&mut ends.rx, disturb);
    }

    /// Another handle with its ends, which come and go.
    fn attach(&self, name: &str) -> Option<Ends> {
        let topic = self.call(Who::Handle, Call::Attach, |_| Topic::attach(name))?;
        let tx = self.call(Who::Handle, Call::TakeProducer, |_| topic.publisher())?;
        let rx = self.call(Who::Handle, Call::TakeConsumer, |_| topic.subscriber())?;
        Some(Ends { topic, tx, rx })
    }

    /// Ends with descriptors, and the threads behind them.
    fn watch(&self, ends: &mut Ends) {
        self.call(Who::Producer, Call::ProducerFd, |_| ends.tx.poll_fd().map(drop));
        self.call(Who::Consumer, Call::ConsumerFd, |_| ends.rx.poll_fd().map(drop));
    }
}

struct Ends {
    topic: Topic,
    tx: Publisher,
    rx: Subscriber,
}

/// A topic that went round, with some records to be received, and what its file is like.
struct Exposed {
    name: String,
    words: Words,
    image: Vec<u64>,
}

impl Exposed {
    /// The handle and the ends with which everything is done from now on.
    fn new(name: &str, shape: Shape) -> (Exposed, Ends) {
        let segment = SegmentOptions {
            wait: WaitStrategy::Block,
            max_participants: PARTICIPANTS as u32,
            ..Default::default()
        };
        let options =
            TopicOptions { capacity: CAPACITY as u64, reliable: shape.reliable, history: true, segment };
        let topic = Topic::create(name, &options).expect("a new topic");
        assert!(guard::is_at_work(), "an access outside the mapping could go unnoticed");
        let (mut tx, mut rx) = (topic.publisher().expect("a publisher"), topic.subscriber().expect("a slot"));
        for n in 0..RECORDS {
            tx.try_publish(&[n as u8; LEN]).expect("room");
            if n < RECEIVED {
                rx.try_recv(&mut [0; LEN]).expect("a record");
            }
        }
        let words = Words::map(name, shape.total());
        let image = words.image();
        (Exposed { name: name.to_owned(), words, image }, Ends { topic, tx, rx })
    }
}

impl Drop for Exposed {
    fn drop(&mut self) {
        let _ = ipcx::unlink(&self.name); // The test removes what is left.
    }
}

#[test]
fn every_flipped_bit_of_a_topic_gives_a_record_or_an_error() {
    if let Some(argument) = worker::argument() {
        return flip(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "every_flipped_bit_of_a_topic_gives_a_record_or_an_error";
    let workers = worker::on_each_processor(&place, "topic", test, 4);
    println!(
        "figures: hostile bits, topic | {} of {} flips in a lossy and a reliable topic, each under ends that are attached and \
         under new ones; {} | 0",
        grouped(worker::done(&workers)),
        grouped(Shape::BOTH.map(|shape| shape.total() as u64 * 8).iter().sum()),
        worker::longest(&workers)
    );
}

fn flip(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let mut calls = Calls::new(&tally);
    for shape in Shape::BOTH {
        let name = format!("bits-{n}-{}", shape.reliable);
        let (exposed, mut ends) = Exposed::new(&name, shape);
        for bit in (0..shape.total() * 8).filter(|bit| (bit / 64) as u64 % count == n) {
            if !worker::is_long() && shape.is_minor(bit / 8) && random.below(SHARE) > 0 {
                continue;
            }
            tally.begin_turn();
            exposed.words.restore(&exposed.image);
            exposed.words.flip(bit);
            calls.use_everything(&mut ends, &mut || ());
            exposed.words.restore(&exposed.image);
            exposed.words.flip(bit);
            if let Some(mut other) = calls.attach(&exposed.name) {
                // To and fro between the calls.
                calls.use_everything(&mut other, &mut || exposed.words.flip(bit));
            }
            tally.add(Word::Done, 1);
            if worker::is_to_stop(&tally) {
                break;
            }
        }
        exposed.words.restore(&exposed.image);
    }
}

#[test]
fn random_images_of_a_topic_give_a_record_or_an_error() {
    if let Some(argument) = worker::argument() {
        return draw(&argument);
    }
    let (_turn, place) = (worker::turn(), Place::new());
    let test = "random_images_of_a_topic_give_a_record_or_an_error";
    let workers = worker::on_each_processor(&place, "topic", test, 4);
    for who in Who::ALL {
        let [good, bad] = [true, false].map(|ok| worker::calls(&workers, who, ok));
        assert!(good > 0 && bad > 0, "{who:?}: {good} calls worked, {bad} failed: too harmless, or too wild");
    }
    println!(
        "figures: hostile images, topic | {} images; {} | 0",
        grouped(worker::done(&workers)),
        worker::longest(&workers)
    );
}

fn draw(argument: &str) {
    let [n, count, seed] = crate::images::numbers(argument);
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let all = if worker::is_long() { FULL_IMAGES } else { QUICK_IMAGES } / count;
    let mut calls = Calls::new(&tally);
    for (turn, shape) in (1..).zip(Shape::BOTH) {
        let (exposed, mut ends) = Exposed::new(&format!("images-{n}-{turn}"), shape);
        while tally.get(Word::Done) < all * turn / 2 && !worker::is_to_stop(&tally) {
            draw_one(&mut calls, &exposed, &mut ends, &mut random);
        }
        exposed.words.restore(&exposed.image);
    }
}

fn draw_one(calls: &mut Calls<'_>, exposed: &Exposed, ends: &mut Ends, random: &mut Random) {
    let (tally, words, choice) = (calls.tally, &exposed.words, random.word());
    tally.begin_turn();
    calls.patience = if choice & 63 == 0 { SHORT } else { Duration::ZERO };
    if choice >> 8 & 1 == 0 {
        words.restore(&exposed.image);
    }
    for _ in 0..=random.below(if choice >> 10 & 31 == 0 { 2000 } else { 8 }) {
        scribble_on(words, random);
    }
    let mut disturb = || (0..choice >> 20 & 3).for_each(|_| scribble_on(words, random));
    if choice >> 16 & 15 == 0 {
        if let Some(mut other) = calls.attach(&exposed.name) {
            if choice >> 24 & 15 == 0 {
                calls.watch(&mut other);
            }
            calls.use_everything(&mut other, &mut disturb);
        }
    } else {
        calls.use_everything(ends, &mut disturb);
    }
    tally.add(Word::Done, 1);
}

#[test]
fn a_topic_under_a_scribbler_gives_a_record_or_an_error() {
    const QUICK: Duration = Duration::from_secs(2);
    if let Some(argument) = worker::argument() {
        let [seed, scribbles] = crate::images::numbers(&argument);
        return if scribbles == 1 { scribble(seed) } else { suffer(seed) };
    }
    let (_turn, place, begin) = (worker::turn(), Place::new(), Instant::now());
    let mut random = Random::from_environment("topic scribbler");
    let test = "topic::a_topic_under_a_scribbler_gives_a_record_or_an_error";
    let start = |name: &str, argument: String| Worker::again(&place, name, test, &argument);
    let mut workers = vec![start("victim", format!("{} 0", random.word()))];
    while workers[0].tally.get(Word::Done) == 0 {
        std::thread::yield_now(); // until there is a topic
        assert!(begin.elapsed() < Duration::from_secs(30), "no topic");
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
        "figures: live scribbler, topic | {} writes; calls that gave data / an error: publisher {}, subscriber {}, others {}; \
         {} | 0",
        grouped(workers[1].tally.get(Word::Done)),
        text[0],
        text[1],
        text[2],
        worker::longest(&workers[..1])
    );
}

fn scribble(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let both = Shape::BOTH.map(|shape| Words::map(&format!("prey-{}", shape.reliable), shape.total()));
    while !worker::is_to_stop(&tally) {
        for words in &both {
            (0..128).for_each(|_| scribble_on(words, &mut random));
        }
        tally.add(Word::Done, 256);
    }
}

fn suffer(seed: u64) {
    let (tally, mut random) = (worker::tally(), Random::new(seed));
    let mut both = Shape::BOTH.map(|shape| Exposed::new(&format!("prey-{}", shape.reliable), shape));
    let mut calls = Calls::new(&tally);
    while !worker::is_to_stop(&tally) {
        for (exposed, ends) in &mut both {
            tally.begin_turn();
            calls.patience = if random.below(16) == 0 { SHORT } else { Duration::ZERO };
            if random.below(4) == 0 {
                exposed.words.restore(&exposed.image); // or nothing would be left that works
            }
            match calls.attach(&exposed.name) {
                Some(mut other) if random.below(4) == 0 => {
                    if random.below(16) == 0 {
                        calls.watch(&mut other);
                    }
                    calls.use_everything(&mut other, &mut || ());
                }
                _ => calls.use_everything(ends, &mut || ()),
            }
        }
        tally.add(Word::Done, 1);
    }
}
