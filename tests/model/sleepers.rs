//! Two sleepers of one side, a call and the watcher behind its descriptor, and one waker: neither sleeps for ever.

use super::model;
use super::words::{receive, ring, send, wait_for_position, Shared};
use crate::ring::protocol::{nap_for_record, Memory, Receiver, Sender};
use crate::sync::Ordering;
use crate::wait::Sleeper;
use loom::thread;

/// As `Arrival` in `consumer.rs`.
fn watch_for_record(memory: &Shared, target: u64) {
    while memory.word(target).load(Ordering::Relaxed) == 0 {
        nap_for_record(memory, target, Sleeper::Watcher, 0);
    }
}

#[test]
fn a_call_and_a_watcher_of_the_consumer_are_woken_by_one_commit() {
    model(Some(2), || {
        let memory = ring(5);
        let mut rx = Receiver::take_over(memory.clone()).unwrap();
        let mut tx = Sender::take_over(memory.clone()).unwrap();
        let watcher = thread::spawn(move || watch_for_record(&memory, 0));
        let sender = thread::spawn(move || send(&mut tx, 1));
        assert_eq!(receive(&mut rx), 1);
        sender.join().unwrap();
        watcher.join().unwrap();
    });
}

/// They wait for different positions: the wake-up for the nearer one must not count for the farther one.
#[test]
fn a_call_and_a_watcher_of_the_producer_are_woken_by_the_release_that_each_wants() {
    for (call, watcher) in [(16, 32), (32, 16)] {
        model(Some(2), move || {
            let memory = ring(7);
            let mut rx = Receiver::take_over(memory.clone()).unwrap();
            let mut tx = Sender::take_over(memory.clone()).unwrap();
            (1..=3).for_each(|value| send(&mut tx, value));
            let (one, other) = (memory.clone(), memory);
            let call = thread::spawn(move || wait_for_position(&one, call, Sleeper::Call));
            let watcher = thread::spawn(move || wait_for_position(&other, watcher, Sleeper::Watcher));
            assert_eq!((receive(&mut rx), receive(&mut rx)), (1, 2));
            call.join().unwrap();
            watcher.join().unwrap();
        });
    }
}
