//! The topic: subscribers that are overtaken, or hold what they have not read; publishers that take turns, and die.

use super::kernel::Futexes;
use super::model;
use crate::event::Kernel;
use crate::stream::WORD;
use crate::sync::{AtomicU64, Ordering};
use crate::topic::layout::{record_size, Cursor, Events, Publishers};
use crate::topic::protocol::{announce, nap_for_record, nap_for_room, Memory};
use crate::topic::reader::{Reader, Received, StartAt};
use crate::topic::writer::Writer;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Two records of a word, and the 0 behind them.
const WORDS: u64 = 7;

struct Words {
    publishers: Publishers,
    events: Events,
    cursors: Vec<Cursor>,
    /// Relaxed atomics, so that a byte of another record is seen as a wrong value.
    data: Vec<AtomicU64>,
    /// In a reliable topic, touched with each payload word, so that loom reports two at one word without order between them.
    payload: Vec<UnsafeCell<()>>,
    kernel: Futexes,
}

type Shared = Arc<Words>;

/// Garbage everywhere but at the tail, which is all that the protocol relies on.
fn topic(words: u64, cursors: usize) -> Shared {
    Arc::new(Words {
        publishers: Publishers::new(),
        events: Events::new(),
        cursors: (0..cursors).map(|_| Cursor(AtomicU64::new(0))).collect(),
        data: (0..words).map(|i| AtomicU64::new(if i == 0 { 0 } else { u64::MAX })).collect(),
        payload: (0..words).map(|_| UnsafeCell::new(())).collect(),
        kernel: Futexes::new(),
    })
}

impl Words {
    fn index(&self, position: u64) -> usize {
        (position / WORD) as usize % self.data.len()
    }

    fn is_reliable(&self) -> bool {
        !self.cursors.is_empty()
    }
}

impl Memory for Shared {
    fn capacity(&self) -> u64 {
        self.data.len() as u64 * WORD
    }
    fn publishers(&self) -> &Publishers {
        &self.publishers
    }
    fn events(&self) -> &Events {
        &self.events
    }
    fn cursors(&self) -> &[Cursor] {
        &self.cursors
    }
    fn word(&self, position: u64) -> &AtomicU64 {
        &self.data[self.index(position)]
    }
    fn write(&self, position: u64, from: &[u8]) {
        if self.is_reliable() {
            // Also the two words before, and the one behind, which are written too.
            let (begin, end) = (position - 2 * WORD, position + from.len() as u64);
            (begin..=end).step_by(8).for_each(|at| self.payload[self.index(at)].with_mut(|_| ()));
        }
        for (i, word) in from.chunks(8).enumerate() {
            let (at, value) = (position + i as u64 * WORD, u64::from_le_bytes(word.try_into().unwrap()));
            self.word(at).store(value, Ordering::Relaxed);
        }
    }
    fn read(&self, position: u64, to: &mut [u8]) {
        for (i, word) in to.chunks_mut(8).enumerate() {
            let at = position + i as u64 * WORD;
            if self.is_reliable() {
                self.payload[self.index(at)].with(|_| ());
            }
            word.copy_from_slice(&self.word(at).load(Ordering::Relaxed).to_le_bytes());
        }
    }
    fn kernel(&self) -> &impl Kernel {
        &self.kernel
    }
}

/// Publishes as the owner of the mutex, without waking anybody; false if there is no room.
fn try_publish(tx: &mut Writer<Shared>, value: u64) -> bool {
    tx.begin().unwrap();
    let room = tx.make_room(8).unwrap();
    if room {
        tx.memory().write(tx.payload(), &value.to_le_bytes());
        tx.commit(8);
    }
    room
}

fn publish(tx: &mut Writer<Shared>, value: u64) {
    while !try_publish(tx, value) {
        nap_for_room(tx.memory(), tx.needed(8), 0);
    }
    announce(tx.memory());
}

fn try_receive(rx: &mut Reader<Shared>) -> Option<u64> {
    let mut bytes = [0; 8];
    match rx.receive(&mut bytes).unwrap() {
        Received::Whole(len) => {
            assert_eq!(len, 8);
            Some(u64::from_le_bytes(bytes))
        }
        Received::Nothing => None,
        Received::TooBig(len) => panic!("{len} bytes"),
    }
}

fn receive(rx: &mut Reader<Shared>) -> u64 {
    loop {
        if let Some(value) = try_receive(rx) {
            return value;
        }
        nap_for_record(rx.memory(), rx.position(), 0);
    }
}

/// Value `n` is published as record `n`: what comes out is a whole record, and every one before it came or was missed.
#[test]
fn a_lossy_subscriber_has_whole_records_and_knows_how_many_it_missed() {
    model(Some(3), || {
        let memory = topic(WORDS, 0);
        let mut rx = Reader::join(memory.clone(), StartAt::Next, 0).unwrap();
        let mut tx = Writer::new(memory);
        let publisher = thread::spawn(move || (0..4).for_each(|value| assert!(try_publish(&mut tx, value))));
        let mut received = 0;
        let mut look = |rx: &mut Reader<Shared>| {
            if let Some(value) = try_receive(rx) {
                assert_eq!(value, received + rx.missed());
                received += 1;
            }
        };
        look(&mut rx);
        look(&mut rx);
        publisher.join().unwrap();
        (0..4).for_each(|_| look(&mut rx));
        assert_eq!(received + rx.missed(), 4);
    });
}

/// It begins while publishers go round and round; `missed` counts from where it began.
#[test]
fn a_lossy_subscriber_begins_at_a_whole_record_wherever_publishers_are() {
    for begin in [StartAt::Next, StartAt::Latest, StartAt::Oldest] {
        model(Some(3), move || {
            let memory = topic(WORDS, 0);
            let mut tx = Writer::new(memory.clone());
            (0..2).for_each(|value| assert!(try_publish(&mut tx, value)));
            let publisher =
                thread::spawn(move || (2..4).for_each(|value| assert!(try_publish(&mut tx, value))));
            let mut rx = Reader::join(memory, begin, 0).unwrap();
            publisher.join().unwrap();
            let (mut first, mut received) = (None, 0);
            while let Some(value) = try_receive(&mut rx) {
                received += 1;
                let first = *first.get_or_insert(value - rx.missed());
                assert_eq!(value + 1, first + received + rx.missed());
            }
            match begin {
                StartAt::Next => assert!(first.is_none_or(|first| first >= 2)),
                StartAt::Latest => assert!(first >= Some(1)),
                StartAt::Oldest => assert!(first.is_some()),
            }
        });
    }
}

/// A publisher stops for ever after any step of its second record, as a killed one does. Its successor goes on, and a
/// subscriber sees neither half a record nor a gap.
#[test]
fn a_successor_of_a_publisher_goes_on_after_the_last_commit() {
    for steps in 0..4 {
        model(Some(4), move || {
            let memory = topic(13, 0);
            let mut rx = Reader::join(memory.clone(), StartAt::Next, 0).unwrap();
            let inner = memory.clone();
            let publishers = thread::spawn(move || {
                let mut first = Writer::new(inner.clone());
                assert!(try_publish(&mut first, 0));
                first.begin().unwrap();
                assert!(first.make_room(8).unwrap());
                let at = first.payload() - 2 * WORD;
                inner.write(first.payload(), &1u64.to_le_bytes());
                if steps >= 1 {
                    inner.word(at + WORD).store(1, Ordering::Relaxed);
                }
                if steps >= 2 {
                    inner.word(at + record_size(8)).store(0, Ordering::Relaxed);
                }
                if steps == 3 {
                    let newest = inner.publishers.newest.load(Ordering::Relaxed);
                    first.commit(8);
                    inner.publishers.newest.store(newest, Ordering::Relaxed); // not done
                }
                drop(first); // dead; whoever locks the mutex next is ordered behind it
                let mut second = Writer::new(inner);
                (if steps == 3 { 2..4 } else { 1..3 })
                    .for_each(|value| assert!(try_publish(&mut second, value)));
            });
            let mut next = 0;
            let mut look = |rx: &mut Reader<Shared>| {
                while let Some(value) = try_receive(rx) {
                    assert_eq!(value, next + rx.missed());
                    next += 1;
                }
            };
            look(&mut rx);
            publishers.join().unwrap();
            look(&mut rx);
            assert_eq!(next + rx.missed(), if steps == 3 { 4 } else { 3 });
        });
    }
}

/// Another publisher made room, wrote into it, and died or gave up: the first one does not walk over what is there now.
#[test]
fn a_publisher_goes_on_after_another_that_made_room_and_published_nothing() {
    model(None, || {
        let memory = topic(WORDS, 0);
        let mut first = Writer::new(memory.clone());
        (0..2).for_each(|value| assert!(try_publish(&mut first, value)));
        let mut second = Writer::new(memory.clone());
        second.begin().unwrap();
        assert!(second.make_room(8).unwrap());
        memory.write(second.payload() - WORD, &[0xff; 16]);
        (2..5).for_each(|value| assert!(try_publish(&mut first, value)));
    });
}

/// Another publisher committed, and died before it said where.
#[test]
fn a_record_committed_by_one_that_died_stays() {
    model(None, || {
        let memory = topic(13, 0);
        let mut rx = Reader::join(memory.clone(), StartAt::Next, 0).unwrap();
        let mut first = Writer::new(memory.clone());
        assert!(try_publish(&mut first, 0));
        let newest = memory.publishers.newest.load(Ordering::Relaxed);
        assert!(try_publish(&mut Writer::new(memory.clone()), 1));
        memory.publishers.newest.store(newest, Ordering::Relaxed);
        assert!(try_publish(&mut first, 2));
        let all: Vec<u64> = std::iter::from_fn(|| try_receive(&mut rx)).collect();
        assert_eq!((all, rx.missed()), (vec![0, 1, 2], 0));
    });
}

/// It begins while a publisher needs the room: what it holds is not touched, and it misses nothing from there on.
#[test]
fn one_that_comes_to_a_reliable_topic_holds_what_it_begins_with() {
    for begin in [StartAt::Oldest, StartAt::Latest, StartAt::Next] {
        model(Some(3), move || {
            let memory = topic(WORDS, 1);
            let mut tx = Writer::new(memory.clone());
            (0..2).for_each(|value| assert!(try_publish(&mut tx, value)));
            let publisher =
                thread::spawn(move || (2..5).take_while(|value| try_publish(&mut tx, *value)).count() as u64);
            let mut rx = Reader::join(memory, begin, 0).unwrap();
            let mut seen: Vec<u64> = (0..2).filter_map(|_| try_receive(&mut rx)).collect();
            let published = 2 + publisher.join().unwrap();
            seen.extend(std::iter::from_fn(|| try_receive(&mut rx)));
            let first = seen.first().copied().unwrap_or(published);
            assert_eq!(seen, (first..published).collect::<Vec<_>>());
            assert!(begin == StartAt::Next || first < published, "there is always a newest record");
            assert_eq!(rx.missed(), 0);
        });
    }
}

/// Room for two records: both sides sleep, nobody sleeps for ever, and nothing is lost.
#[test]
fn a_reliable_publisher_and_a_subscriber_wake_each_other() {
    model(Some(2), || {
        let memory = topic(WORDS, 1);
        let mut rx = Reader::join(memory.clone(), StartAt::Next, 0).unwrap();
        let publisher = thread::spawn(move || {
            let mut tx = Writer::new(memory);
            (0..4).for_each(|value| publish(&mut tx, value));
        });
        for expected in 0..4 {
            assert_eq!(receive(&mut rx), expected);
        }
        publisher.join().unwrap();
        assert_eq!(rx.missed(), 0);
    });
}

/// A publisher that sleeps for room is woken by a subscriber that goes.
#[test]
fn who_leaves_a_reliable_topic_wakes_the_publisher() {
    model(Some(3), || {
        let memory = topic(WORDS, 1);
        let mut rx = Reader::join(memory.clone(), StartAt::Next, 0).unwrap();
        let publisher = thread::spawn(move || {
            let mut tx = Writer::new(memory);
            (0..3).for_each(|value| publish(&mut tx, value));
        });
        rx.leave();
        publisher.join().unwrap();
    });
}

#[test]
fn sleeping_subscribers_are_all_woken() {
    model(Some(2), || {
        let memory = topic(WORDS, 0);
        let subscribers = [0, 1].map(|_| {
            let mut rx = Reader::join(memory.clone(), StartAt::Next, 0).unwrap();
            thread::spawn(move || assert_eq!(receive(&mut rx), 0))
        });
        publish(&mut Writer::new(memory), 0);
        subscribers.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Each as the owner of the mutex. What one wrote the other goes on behind.
#[test]
fn publishers_take_turns() {
    model(Some(3), || {
        let memory = topic(13, 0);
        let mut rx = Reader::join(memory.clone(), StartAt::Next, 0).unwrap();
        let both = [1u64, 2].map(|who| {
            let (memory, slot) = (memory.clone(), who as u32);
            thread::spawn(move || {
                let mut tx = Writer::new(memory.clone());
                for turn in 0..2 {
                    while memory.publishers.mutex.try_lock(slot).is_none() {
                        thread::yield_now();
                    }
                    assert!(try_publish(&mut tx, 10 * who + turn));
                    memory.publishers.mutex.unlock(None, &memory.kernel);
                }
            })
        });
        both.into_iter().for_each(|thread| thread.join().unwrap());
        let seen: Vec<u64> = std::iter::from_fn(|| try_receive(&mut rx)).collect();
        assert_eq!(seen.len() as u64 + rx.missed(), 4);
        for who in [1, 2] {
            assert!(seen.iter().filter(|value| **value / 10 == who).is_sorted());
        }
    });
}
