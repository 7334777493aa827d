//! The ring's protocol, `protocol.rs` and the sleep word of `wait.rs`: sending, receiving, batches, sleeping, taking over.

use super::words::{receive, ring, ring_without_fences, send, try_receive, wait_for_position};
use super::{model, ALL};
use crate::ring::protocol::{nap_for_record, Memory, Receiver, Sender};
use crate::stream::{Content, WORD};
use crate::sync::Ordering;
use crate::wait::Sleeper;
use loom::thread;

/// The third record lies where the first was.
#[test]
fn what_is_received_is_what_was_sent_without_waiting() {
    model(Some(4), || {
        let memory = ring_without_fences(4);
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let sender = thread::spawn(move || {
            (1..=3u64)
                .filter(|value| tx.send(Content::Data, &value.to_le_bytes()).unwrap())
                .collect::<Vec<_>>()
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
    model(Some(2), || {
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
    model(Some(2), || {
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
    model(Some(4), || {
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
    model(ALL, || {
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
        model(Some(3), move || {
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
        model(Some(3), move || {
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

/// A producer is killed in its sleep; its successor waits for more room than it did.
#[test]
fn a_successor_of_a_sleeping_producer_is_woken_by_the_release_it_wants() {
    model(Some(2), || {
        let memory = ring(7);
        let mut rx = Receiver::take_over(memory.clone()).unwrap();
        let mut first = Sender::take_over(memory.clone()).unwrap();
        (1..=3).for_each(|value| send(&mut first, value));
        memory.producer().sleepers.announce(Sleeper::Call, first.wanted(8));
        drop(first); // dead
        let successor = thread::spawn(move || {
            let second = Sender::take_over(memory.clone()).unwrap();
            wait_for_position(&memory, second.wanted(24), Sleeper::Call);
        });
        assert_eq!((receive(&mut rx), receive(&mut rx)), (1, 2));
        successor.join().unwrap();
    });
}
