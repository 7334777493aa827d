//! A topic in hostile hands, lossy and reliable: every bit flipped, random words, and a peer that writes without pause, under every
//! call that publishes, receives, comes and goes. What a call gives fits into the topic; it ends in time.

use crate::attack;
use crate::kind::{self, Calls, Kind, BODY, PARTICIPANTS};
use crate::tally::{Call, Who};
use crate::words::Words;
use ipcx::{Error, Publisher, StartAt, Subscriber, Topic, TopicOptions};
use ipcx_tests::Random;
use std::fs::File;
use std::os::fd::AsFd;
use std::sync::LazyLock;
use std::time::Duration;

const CAPACITY: usize = 4096;
/// Largest record: two of them with their words, and the 0 behind.
const LARGEST: usize = CAPACITY / 2 - 24;
/// Where what is in its part: the publishers' page, the subscribers'.
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
/// What files are published from.
static ZEROS: LazyLock<File> = LazyLock::new(|| File::open("/dev/zero").expect("a file without end"));

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

/// A handle, an end of each kind.
struct Ends {
    topic: Topic,
    tx: Publisher,
    rx: Subscriber,
}

/// Where what is.
#[derive(Clone, Copy)]
struct Prey {
    reliable: bool,
    data: usize,
}

impl Prey {
    /// In the data: the words of the records where the subscriber and the publisher are.
    fn is_looked_at(offset: usize) -> bool {
        let records = [RECEIVED, RECORDS - 1, RECORDS];
        records.iter().any(|n| (offset + CAPACITY - (*n as usize * (16 + LEN)) % CAPACITY) % CAPACITY < 16)
    }
}

attack::proofs!(Prey:
    every_flipped_bit_of_a_topic_gives_a_record_or_an_error,
    random_images_of_a_topic_give_a_record_or_an_error,
    a_topic_under_a_scribbler_gives_a_record_or_an_error
);

impl Kind for Prey {
    type Ends = Ends;
    type Others = ();

    const NAME: &'static str = "topic";
    const SHAPES: &'static [Prey] = &[
        Prey { reliable: false, data: PUBLISHED + 4096 },
        Prey { reliable: true, data: PUBLISHED + 2 * 4096 },
    ];
    const SHARE: u64 = 60;
    const IMAGES: u64 = 15_000;
    const LIVE: Duration = Duration::from_secs(2);
    const PERCENT: u32 = 4;
    const SEEN: &'static [(Who, &'static str)] =
        &[(Who::Producer, "publisher"), (Who::Consumer, "subscriber"), (Who::Handle, "others")];

    /// It went round, and some records are still to be received.
    fn create(self, name: &str) -> (Ends, ()) {
        let (capacity, reliable, segment) = (CAPACITY as u64, self.reliable, kind::options());
        let options = TopicOptions { capacity, reliable, history: true, segment };
        let topic = Topic::create(name, &options).expect("a new topic");
        let (mut tx, mut rx) = (topic.publisher().expect("a publisher"), topic.subscriber().expect("a slot"));
        for n in 0..RECORDS {
            tx.try_publish(&[n as u8; LEN]).expect("room");
            if n < RECEIVED {
                rx.try_recv(&mut [0; LEN]).expect("a record");
            }
        }
        (Ends { topic, tx, rx }, ())
    }

    fn bytes(self) -> usize {
        self.data + CAPACITY
    }

    fn is_minor(self, byte: usize) -> bool {
        match byte {
            0..256 => false,
            256..4096 => true,
            4096..BODY => byte >= 4096 + TAKEN * 64,
            BODY..PUBLISHED => ![LOCK, NEWEST, OLDEST, FREE].contains(&(byte & !7)),
            _ if byte >= self.data => !Prey::is_looked_at(byte - self.data),
            _ => ![PUBLISHED, RELEASED, CURSORS, CURSORS + 128, CURSORS + 256].contains(&(byte & !7)),
        }
    }

    fn scribble(words: &Words, random: &mut Random) {
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

    fn is_expected(error: &Error) -> bool {
        matches!(error, Error::TooBig { needed, .. } if (1..=LARGEST).contains(needed))
    }

    fn attach(calls: &Calls<'_>, name: &str, _: &Ends) -> Option<Ends> {
        let topic = calls.call(Who::Handle, Call::Attach, |_| Topic::attach(name))?;
        let tx = calls.call(Who::Handle, Call::TakeProducer, |_| topic.publisher())?;
        let rx = calls.call(Who::Handle, Call::TakeConsumer, |_| topic.subscriber())?;
        Some(Ends { topic, tx, rx })
    }

    fn watch(calls: &Calls<'_>, ends: &mut Ends) {
        calls.call(Who::Producer, Call::ProducerFd, |_| ends.tx.poll_fd().map(drop));
        calls.call(Who::Consumer, Call::ConsumerFd, |_| ends.rx.poll_fd().map(drop));
    }

    /// Also with ends that come and go.
    fn use_everything(calls: &Calls<'_>, ends: &mut Ends, disturb: &mut dyn FnMut()) {
        use_publisher(calls, &mut ends.tx, disturb);
        use_subscriber(calls, &mut ends.rx, disturb);
        for start in [StartAt::Oldest, StartAt::Latest, StartAt::Next] {
            let new = calls.call(Who::Handle, Call::TakeConsumer, |_| ends.topic.subscriber_at(start));
            if let Some(mut rx) = new {
                calls.call(Who::Consumer, Call::Recv, |until| rx.recv_until(&mut [0; LEN], until));
                calls.close(Who::Consumer, Call::CloseConsumer, rx);
            }
        }
        if let Some(mut tx) = calls.call(Who::Handle, Call::TakeProducer, |_| ends.topic.publisher()) {
            calls.call(Who::Producer, Call::Publish, |until| tx.publish_until(b"another", until));
        }
        if let Some(stats) = calls.call(Who::Handle, Call::Stats, |_| ends.topic.stats()) {
            assert!(stats.subscribers.len() <= PARTICIPANTS, "{stats:?}");
            assert!(stats.subscribers.iter().all(|one| one.unread <= CAPACITY as u64), "{stats:?}");
        }
        use_subscriber(calls, &mut ends.rx, disturb);
    }
}

fn use_publisher(calls: &Calls<'_>, tx: &mut Publisher, disturb: &mut dyn FnMut()) {
    assert_eq!(tx.max_len(), LARGEST);
    for len in [LEN, 0, 500, LARGEST] {
        calls.call(Who::Producer, Call::Publish, |until| tx.publish_until(&[7; LARGEST][..len], until));
        disturb();
    }
    for len in [LARGEST, 9] {
        let Some(at) = calls.call(Who::Producer, Call::Reserve, |until| tx.reserve_raw(len, until)) else {
            continue;
        };
        disturb();
        // SAFETY: that these bytes are mapped is what is tested.
        unsafe { at.write_bytes(len as u8, len) };
        let done = if len == 9 { tx.abort_raw() } else { tx.commit_raw(len / 2) };
        done.expect("the reservation is this publisher's");
    }
    calls.call(Who::Producer, Call::SendFile, |until| tx.publish_file_until(ZEROS.as_fd(), 300, until));
}

fn use_subscriber(calls: &Calls<'_>, rx: &mut Subscriber, disturb: &mut dyn FnMut()) {
    let mut room = calls.room.borrow_mut();
    for _ in 0..3 {
        let received = calls.call(Who::Consumer, Call::Recv, |until| rx.recv_until(&mut room, until));
        assert!(received.is_none_or(|len| len <= LARGEST), "a record of {received:?} bytes");
        calls.call(Who::Consumer, Call::Recv, |until| rx.recv_until(&mut room[..1], until));
        let borrowed = calls.call(Who::Consumer, Call::BorrowRaw, |until| rx.borrow_raw(until));
        let Some((at, len)) = borrowed else { continue };
        disturb();
        assert!(len <= LARGEST, "a record of {len} bytes");
        // SAFETY: that these bytes are mapped is what is tested.
        unsafe { at.copy_to(room.as_mut_ptr(), len) };
        calls.call(Who::Consumer, Call::Release, |_| rx.release_raw());
    }
}
