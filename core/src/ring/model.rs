//! Loom models of the ring's protocol: `protocol.rs` and the sleep word of `wait.rs`, line for line, over loom's memory.
//!
//! Run with `make loom`. Loom explores every schedule of two threads and every value that a load may return; where that
//! takes too long, up to a number of preemptions that the model names. The kernel's futex is modelled as what it guarantees: comparing the word and going
//! to sleep is one step with respect to waking. Sleeps have no time limit here, so a lost wake-up, which in
//! production would cost a slice, is a deadlock that loom reports.
//!
//! What is not modelled: the asymmetric barrier (both sides fence, which is the protocol where a process could not
//! register), and payload words are relaxed atomics, so that a stale one is seen as a wrong value; a cell beside each
//! shows accesses that nothing orders.

use super::layout::{ConsumerPage, ProducerPage, WORD};
use super::protocol::{nap_for_record, nap_for_room, Corruption, Memory, Receiver, Sender};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::{Nap, Sleeper};
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// The kernel's side of one futex word: waking one does not wake those who sleep on another.
struct Futex {
    bucket: Mutex<()>,
    sleepers: Condvar,
}

impl Futex {
    fn new() -> Futex {
        Futex { bucket: Mutex::new(()), sleepers: Condvar::new() }
    }

    fn wait(&self, unchanged: impl Fn() -> bool) -> Nap {
        let bucket = self.bucket.lock().unwrap();
        if unchanged() {
            drop(self.sleepers.wait(bucket).unwrap());
        }
        Nap::Over
    }

    fn wake(&self) {
        let _bucket = self.bucket.lock().unwrap();
        self.sleepers.notify_all();
    }
}

/// Memory with as many words of data as the model needs.
struct Words {
    producer: ProducerPage,
    consumer: ConsumerPage,
    data: Vec<AtomicU64>,
    /// Touched with each payload word, so that loom reports two sides at one word without order between them.
    payload: Vec<UnsafeCell<()>>,
    /// One for each word of data.
    record: Vec<Futex>,
    room: Futex,
    registered: bool,
}

type Shared = Arc<Words>;

/// A ring of `words` words; garbage everywhere but at the tail, which is all that the protocol relies on.
fn ring(words: u64) -> Shared {
    make(words, false)
}

/// The same where senders do not fence, for models in which nobody sleeps: there, nothing but the protocol's own
/// acquires and releases makes order.
fn ring_without_fences(words: u64) -> Shared {
    make(words, true)
}

fn make(words: u64, registered: bool) -> Shared {
    let data = (0..words).map(|i| AtomicU64::new(if i == 0 { 0 } else { u64::MAX })).collect();
    Arc::new(Words {
        producer: ProducerPage::new(),
        consumer: ConsumerPage::new(),
        data,
        payload: (0..words).map(|_| UnsafeCell::new(())).collect(),
        record: (0..words).map(|_| Futex::new()).collect(),
        room: Futex::new(),
        registered,
    })
}

impl Words {
    fn index(&self, position: u64) -> usize {
        (position / WORD) as usize % self.data.len()
    }
}

impl Memory for Shared {
    fn capacity(&self) -> u64 {
        self.data.len() as u64 * WORD
    }
    fn producer(&self) -> &ProducerPage {
        &self.producer
    }
    fn consumer(&self) -> &ConsumerPage {
        &self.consumer
    }
    fn word(&self, position: u64) -> &AtomicU64 {
        &self.data[self.index(position)]
    }
    fn prefetch(&self, _position: u64) {}
    fn write(&self, position: u64, from: &[u8]) {
        for (i, word) in from.chunks(8).enumerate() {
            let (at, value) = (position + i as u64 * WORD, u64::from_le_bytes(word.try_into().unwrap()));
            self.payload[self.index(at)].with_mut(|_| ());
            self.word(at).store(value, Ordering::Relaxed);
        }
    }
    fn read(&self, position: u64, to: &mut [u8]) {
        for (i, word) in to.chunks_mut(8).enumerate() {
            let at = position + i as u64 * WORD;
            self.payload[self.index(at)].with(|_| ());
            word.copy_from_slice(&self.word(at).load(Ordering::Relaxed).to_le_bytes());
        }
    }
    fn registered(&self) -> bool {
        self.registered
    }
    fn sleep_for_record(&self, position: u64, _until: u64) -> Nap {
        self.record[self.index(position)].wait(|| self.word(position).load(Ordering::Relaxed) == 0)
    }
    fn wake_for_record(&self, position: u64) {
        self.record[self.index(position)].wake();
    }
    fn sleep_for_room(&self, seen: u64, _until: u64) -> Nap {
        self.room.wait(|| self.consumer.position.load(Ordering::Relaxed) == seen)
    }
    fn wake_for_room(&self) {
        self.room.wake();
    }
}

fn try_receive(rx: &mut Receiver<Shared>) -> Result<Option<u64>, Corruption> {
    let Some(found) = rx.peek()? else { return Ok(None) };
    assert_eq!(found.len, 8);
    let mut bytes = [0; 8];
    rx.memory().read(found.payload(), &mut bytes);
    rx.release(found.end(), 1);
    Ok(Some(u64::from_le_bytes(bytes)))
}

fn receive(rx: &mut Receiver<Shared>) -> u64 {
    loop {
        if let Some(value) = try_receive(rx).unwrap() {
            return value;
        }
        nap_for_record(rx.memory(), rx.position(), Sleeper::Call, 0);
    }
}

fn send(tx: &mut Sender<Shared>, value: u64) {
    while !tx.send(&value.to_le_bytes()).unwrap() {
        nap_for_room(tx.memory(), tx.wanted(8), Sleeper::Call, 0);
    }
}

/// Explores the schedules with up to so many preemptions (`LOOM_MAX_PREEMPTIONS` overrides), or all of them.
fn model(preemptions: Option<usize>, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.check(f);
}

/// The third record lies where the first was.
#[test]
fn what_is_received_is_what_was_sent_without_waiting() {
    model(Some(5), || {
        let memory = ring_without_fences(4);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let sender = thread::spawn(move || {
            (1..=3u64).filter(|value| tx.send(&value.to_le_bytes()).unwrap()).collect::<Vec<_>>()
        });
        let mut rx = Receiver::take_over(memory).unwrap();
        let mut got: Vec<u64> = (0..3).filter_map(|_| try_receive(&mut rx).unwrap()).collect();
        let sent = sender.join().unwrap();
        got.extend(std::iter::from_fn(|| try_receive(&mut rx).unwrap()));
        assert_eq!(got, sent);
    });
}

/// Three records through room for two: the ring wraps, both sides sleep, nobody sleeps for ever.
#[test]
fn both_sides_sleep_and_are_woken_while_the_ring_wraps() {
    model(Some(3), || {
        let memory = ring(5);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let sender = thread::spawn(move || (1..=3).for_each(|value| send(&mut tx, value)));
        let mut rx = Receiver::take_over(memory).unwrap();
        for expected in 1..=3 {
            assert_eq!(receive(&mut rx), expected);
        }
        sender.join().unwrap();
    });
}

/// Room for one record only (the 0 behind a second one would lie on the first): every send after the first needs the
/// consumer.
#[test]
fn a_sleeping_producer_is_woken_by_the_release_it_wants() {
    model(Some(4), || {
        let memory = ring(4);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let sender = thread::spawn(move || (1..=2).for_each(|value| send(&mut tx, value)));
        let mut rx = Receiver::take_over(memory).unwrap();
        for expected in 1..=2 {
            assert_eq!(receive(&mut rx), expected);
        }
        sender.join().unwrap();
    });
}

#[test]
fn a_sleeping_consumer_is_woken_by_the_commit() {
    model(None, || {
        let memory = ring(5);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let sender = thread::spawn(move || send(&mut tx, 1));
        let mut rx = Receiver::take_over(memory).unwrap();
        assert_eq!(receive(&mut rx), 1);
        sender.join().unwrap();
    });
}

/// The consumer sees all of a batch or nothing of it, whatever order the payloads are written in.
#[test]
fn a_batch_is_committed_by_one_store() {
    model(None, || {
        let memory = ring_without_fences(7);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let sender = thread::spawn(move || {
            let batch = [1u64.to_le_bytes(), 2u64.to_le_bytes(), 3u64.to_le_bytes()];
            assert_eq!(tx.send_many(batch.iter().map(|record| &record[..])).unwrap(), 3);
        });
        let rx = Receiver::take_over(memory.clone()).unwrap();
        let mut seen = Vec::new();
        let mut at = rx.position();
        while let Some(found) = rx.peek_at(at).unwrap() {
            let mut bytes = [0; 8];
            memory.read(found.payload(), &mut bytes);
            seen.push(u64::from_le_bytes(bytes));
            at = found.end();
        }
        assert!(seen.is_empty() || seen == [1, 2, 3], "{seen:?}");
        sender.join().unwrap();
    });
}

/// A producer stops for ever after any step of its second send (as a killed one does), a successor takes over while
/// the consumer receives. Stopping is modelled at the points between the stores of a send.
#[test]
fn a_successor_of_the_producer_continues_after_the_last_commit() {
    for stop in 0..3 {
        model(Some(4), move || {
            let memory = ring(7);
            let inner = memory.clone();
            let producers = thread::spawn(move || {
                let mut first = Sender::take_over(inner.clone()).unwrap();
                send(&mut first, 1);
                let tail = first.tail();
                if stop >= 1 {
                    inner.word(tail + 2 * WORD).store(0, Ordering::Relaxed);
                }
                if stop >= 2 {
                    inner.write(tail + WORD, &u64::MAX.to_le_bytes());
                }
                drop(first); // dead
                let mut second = Sender::take_over(inner).unwrap();
                send(&mut second, 2);
            });
            let mut rx = Receiver::take_over(memory).unwrap();
            assert_eq!((receive(&mut rx), receive(&mut rx)), (1, 2));
            producers.join().unwrap();
        });
    }
}

/// A consumer dies before, or after, its release, asleep or awake; its successor finds what was not released.
#[test]
fn a_successor_of_the_consumer_continues_at_the_position() {
    for released in [false, true] {
        model(Some(4), move || {
            let memory = ring(5);
            let inner = memory.clone();
            let consumers = thread::spawn(move || {
                let mut first = Receiver::take_over(inner.clone()).unwrap();
                let found = loop {
                    match first.peek().unwrap() {
                        Some(found) => break found,
                        None => drop(nap_for_record(&inner, first.position(), Sleeper::Call, 0)),
                    }
                };
                if released {
                    first.release(found.end(), 1);
                }
                inner.consumer().sleepers.announce(Sleeper::Call, first.position()); // dies on its way to sleep
                drop(first);
                let mut second = Receiver::take_over(inner).unwrap();
                if !released {
                    assert_eq!(receive(&mut second), 1);
                }
                assert_eq!(receive(&mut second), 2);
            });
            let mut tx = Sender::take_over(memory).unwrap();
            send(&mut tx, 1);
            send(&mut tx, 2);
            consumers.join().unwrap();
        });
    }
}
