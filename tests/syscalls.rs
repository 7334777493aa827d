//! While nobody sleeps, sending and receiving make no system call.

use ipcx::{Topic, TopicOptions, WaitStrategy};
use ipcx_tests::{calls_between_marks, Language, Place};

const CALLS: usize = 10_000;

fn assert_quiet(language: Language) {
    let place = Place::new();
    let _ring = place.ring("quiet", 1 << 20, WaitStrategy::Balanced);
    let calls = calls_between_marks(language, &place, &["quiet", "quiet", &CALLS.to_string()]);
    assert_eq!(calls, [0, 0], "system calls of {CALLS} sends, and of as many receives");
}

#[test]
fn ten_thousand_sends_and_receives_make_no_system_call_in_c() {
    assert_quiet(Language::C);
}

#[test]
fn ten_thousand_sends_and_receives_make_no_system_call_in_rust() {
    assert_quiet(Language::Rust);
}

#[test]
fn ten_thousand_sends_and_receives_make_no_system_call_in_python() {
    assert_quiet(Language::Python);
}

#[test]
fn sending_to_a_consumer_that_spins_makes_no_system_call() {
    let place = Place::new();
    let ring = place.ring("quiet", 1 << 20, WaitStrategy::Spin);
    let mut rx = ring.consumer().unwrap();
    let consumer = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        for _ in 0..=CALLS {
            rx.recv(&mut buffer).unwrap();
        }
        rx // kept, so that the peer does not find the role free
    });
    let calls = calls_between_marks(Language::C, &place, &["quiet", "quiet", &CALLS.to_string()]);
    drop(consumer.join().unwrap());
    assert_eq!(calls, [0]);
}

/// Also of a reliable topic, with a subscriber that is not asleep.
fn assert_topic_quiet(language: Language, reliable: bool) {
    let (place, capacity) = (Place::new(), 1 << 20);
    let segment = place.options(capacity, WaitStrategy::Balanced).segment;
    let _topic = Topic::create("quiet", &TopicOptions { capacity, reliable, history: false, segment })
        .expect("a new topic");
    let calls = calls_between_marks(language, &place, &["quiet-topic", "quiet", &CALLS.to_string()]);
    assert_eq!(calls, [0, 0], "system calls of {CALLS} publications, and of as many receives");
}

#[test]
fn ten_thousand_records_through_a_topic_make_no_system_call_in_c() {
    for reliable in [false, true] {
        assert_topic_quiet(Language::C, reliable);
    }
}

#[test]
fn ten_thousand_records_through_a_topic_make_no_system_call_in_rust() {
    for reliable in [false, true] {
        assert_topic_quiet(Language::Rust, reliable);
    }
}
