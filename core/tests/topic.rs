//! A topic in one host: who gets what, who misses how many, who waits for whom, deaths, and everything that is refused.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, in_child, Scratch, Started};
use ipcx::{
    wait_any, wait_any_by_descriptors, Deadline, Error, Publisher, SegmentOptions, StartAt, Subscriber,
    Topic, TopicOptions, WaitStrategy, Waitable,
};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than any call may need to find out about a death.
const LONG: Duration = Duration::from_secs(20);
/// A blocked process learns of a death within this; with what a busy machine adds.
const NOTICE: Duration = Duration::from_secs(2);
const CAPACITY: u64 = 4096;

fn options(reliable: bool, history: bool) -> TopicOptions {
    TopicOptions { capacity: CAPACITY, reliable, history, segment: SegmentOptions::default() }
}

fn topic(reliable: bool) -> Topic {
    Topic::anonymous(&options(reliable, false)).unwrap()
}

fn named(dir: &Scratch, reliable: bool) -> TopicOptions {
    TopicOptions { segment: dir.segment(), ..options(reliable, false) }
}

/// Another participant.
fn another(topic: &Topic) -> Topic {
    Topic::from_fd(topic.share_fd().unwrap().as_fd()).unwrap()
}

/// Record `n`: its length depends on it, its bytes on it and their place.
fn record(n: u64) -> Vec<u8> {
    let len = 8 + (n * 7 % 90) as usize;
    let mut bytes: Vec<u8> = (0..len).map(|i| (n as usize + i) as u8).collect();
    bytes[..8].copy_from_slice(&n.to_ne_bytes());
    bytes
}

/// The number of a record that is whole.
fn number(bytes: &[u8]) -> u64 {
    let n = u64::from_ne_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, record(n), "record {n} is torn");
    n
}

fn try_recv(rx: &mut Subscriber) -> Option<u64> {
    let mut buffer = [0; 100];
    match rx.try_recv(&mut buffer) {
        Ok(len) => Some(number(&buffer[..len])),
        Err(Error::WouldBlock(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn recv(rx: &mut Subscriber) -> u64 {
    let mut buffer = [0; 100];
    let len = rx.recv_timeout(&mut buffer, LONG).unwrap();
    number(&buffer[..len])
}

fn publish(tx: &mut Publisher, numbers: impl IntoIterator<Item = u64>) {
    numbers.into_iter().for_each(|n| tx.publish_timeout(&record(n), LONG).unwrap());
}

/// Publishes until a subscriber that holds something keeps it from that; says how many.
fn fill(tx: &mut Publisher, from: u64) -> u64 {
    let mut n = from;
    while tx.try_publish(&record(n)).is_ok() {
        n += 1;
    }
    assert!(matches!(tx.try_publish(&record(n)), Err(Error::WouldBlock(_))));
    n
}

#[test]
fn a_publish_that_times_out_says_who_is_in_the_way() {
    let topic = topic(true);
    let (mut tx, _rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    let full = loop {
        if let Err(error) = tx.try_publish(&[0; 500]) {
            break error.to_string();
        }
    };
    assert!(
        full.starts_with("would block: the topic is reliable, and a subscriber has not released"),
        "{full}"
    );
    let publish =
        |tx: &mut Publisher| tx.publish_timeout(&[0; 500], Duration::from_millis(1)).unwrap_err().to_string();
    let me = format!("of process {} (", std::process::id());
    let text = publish(&mut tx);
    assert!(text.starts_with("timed out: the topic is reliable, and the subscriber of process"), "{text}");
    assert!(text.contains(&me) && !text.contains("others"), "{text}");

    // The lock of another.
    let lossy = self::topic(false);
    let (mut first, mut second) = (lossy.publisher().unwrap(), lossy.publisher().unwrap());
    let _reservation = first.try_reserve(8).unwrap();
    let text = publish(&mut second);
    assert!(text.contains(&format!("process {} (", std::process::id())), "{text}");
    assert!(text.contains("is publishing, or has a reservation open"), "{text}");
    let text = second.try_publish(b"").unwrap_err().to_string();
    assert_eq!(text, "would block: another publisher has the topic's lock");
}

#[test]
fn every_subscriber_gets_every_record_whole_and_in_order() {
    for reliable in [false, true] {
        let topic = topic(reliable);
        let mut tx = topic.publisher().unwrap();
        let mut subscribers: Vec<_> = (0..3).map(|_| another(&topic).subscriber().unwrap()).collect();
        for n in 0..1000 {
            publish(&mut tx, [n]);
            subscribers.iter_mut().for_each(|rx| assert_eq!(try_recv(rx), Some(n)));
        }
        assert!(subscribers.iter_mut().all(|rx| try_recv(rx).is_none() && rx.missed() == 0));
    }
}

#[test]
fn records_of_every_size_up_to_the_largest_arrive() {
    for reliable in [false, true] {
        let topic = topic(reliable);
        let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
        assert_eq!(tx.max_len() as u64, CAPACITY / 2 - 24);
        let mut buffer = vec![0; tx.max_len()];
        for len in (0..200).chain(tx.max_len() - 20..=tx.max_len()) {
            let bytes: Vec<u8> = (0..len).map(|i| (i + len) as u8).collect();
            tx.try_publish(&bytes).unwrap();
            assert_eq!(rx.try_recv(&mut buffer).unwrap(), len);
            assert_eq!(buffer[..len], bytes);
        }
        let big = vec![0; tx.max_len() + 1];
        assert!(matches!(tx.try_publish(&big), Err(Error::TooBig { .. })));
        assert!(matches!(tx.try_reserve(big.len()), Err(Error::TooBig { .. })));
        assert_eq!((rx.missed(), topic.stats().unwrap().published), (0, 221));
    }
}

#[test]
fn a_buffer_too_small_leaves_the_record() {
    let topic = topic(false);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    tx.publish(b"hello").unwrap();
    assert!(matches!(rx.try_recv(&mut [0; 4]), Err(Error::TooBig { needed: 5, available: 4 })));
    let mut buffer = [0; 8];
    assert_eq!(rx.recv(&mut buffer).unwrap(), 5);
    assert_eq!(&buffer[..5], b"hello");
}

/// However far publishers are ahead, what came and what was missed are all there were.
#[test]
fn a_subscriber_that_was_overtaken_knows_exactly_how_many_it_missed() {
    let topic = topic(false);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    let (mut next, mut received) = (0, 0);
    for burst in [1, 30, 60, 100, 1000, 7, 5000, 0, 43] {
        publish(&mut tx, next..next + burst);
        next += burst;
        while let Some(n) = try_recv(&mut rx) {
            assert_eq!(n, received + rx.missed());
            received += 1;
        }
        assert_eq!(received + rx.missed(), next);
    }
    assert!(rx.missed() > 5000 && received > 200, "{received} received, {} missed", rx.missed());
}

/// Publishers without pause, subscribers that must never see two records mixed, nor lose count.
#[test]
fn nothing_is_torn_while_publishers_overtake_subscribers() {
    const RECORDS: u64 = 200_000;
    let topic = topic(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut rx = another(&topic).subscriber().unwrap();
            scope.spawn(move || {
                let mut received = 0;
                loop {
                    let n = recv(&mut rx);
                    assert_eq!(n, received + rx.missed());
                    received += 1;
                    if n + 1 == RECORDS {
                        break;
                    }
                }
            });
        }
        let mut tx = topic.publisher().unwrap();
        publish(&mut tx, 0..RECORDS);
    });
}

#[test]
fn a_reliable_topic_loses_nothing_whoever_waits() {
    for wait in [WaitStrategy::Balanced, WaitStrategy::Block, WaitStrategy::Yield] {
        const RECORDS: u64 = 20_000;
        let mut options = options(true, false);
        options.segment.wait = wait;
        let topic = Topic::anonymous(&options).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let mut rx = topic.subscriber().unwrap();
                scope.spawn(move || {
                    (0..RECORDS).for_each(|n| assert_eq!(recv(&mut rx), n));
                    assert_eq!((rx.missed(), try_recv(&mut rx)), (0, None));
                });
            }
            publish(&mut topic.publisher().unwrap(), 0..RECORDS);
        });
        assert_eq!(topic.stats().unwrap().subscribers, []);
    }
}

#[test]
fn several_publishers_take_turns_and_lose_nothing() {
    const EACH: u64 = 10_000;
    let topic = topic(true);
    let mut rx = topic.subscriber().unwrap();
    std::thread::scope(|scope| {
        // Two through one handle, one through another.
        for (who, handle) in [(0, None), (1, None), (2, Some(another(&topic)))] {
            let mut tx = handle.as_ref().unwrap_or(&topic).publisher().unwrap();
            scope.spawn(move || publish(&mut tx, (0..EACH).map(|n| 3 * n + who)));
        }
        let mut next = [0; 3];
        for _ in 0..3 * EACH {
            let n = recv(&mut rx);
            let expected = &mut next[(n % 3) as usize];
            assert_eq!(n / 3, *expected);
            *expected += 1;
        }
    });
    assert_eq!((try_recv(&mut rx), rx.missed()), (None, 0));
}

#[test]
fn a_subscriber_begins_where_it_says() {
    for reliable in [false, true] {
        let topic = topic(reliable);
        let mut early: Vec<_> = [StartAt::Next, StartAt::Latest, StartAt::Oldest]
            .map(|at| topic.subscriber_at(at).unwrap())
            .into();
        let mut tx = topic.publisher().unwrap();
        publish(&mut tx, 0..10);
        let [mut next, mut latest, mut oldest] =
            [StartAt::Next, StartAt::Latest, StartAt::Oldest].map(|at| topic.subscriber_at(at).unwrap());
        publish(&mut tx, [10]);
        early.iter_mut().for_each(|rx| assert_eq!(try_recv(rx), Some(0)));
        assert_eq!(try_recv(&mut next), Some(10));
        assert_eq!(try_recv(&mut latest), Some(9));
        assert_eq!(try_recv(&mut oldest), Some(0));
        drop((early, next, latest, oldest));

        publish(&mut tx, 11..500);
        let (mut latest, mut oldest) =
            (topic.subscriber_at(StartAt::Latest).unwrap(), topic.subscriber_at(StartAt::Oldest).unwrap());
        assert_eq!(try_recv(&mut latest), Some(499));
        let kept: Vec<u64> = std::iter::from_fn(|| try_recv(&mut oldest)).collect();
        assert_eq!(kept, (500 - kept.len() as u64..500).collect::<Vec<_>>());
        assert!(kept.len() > 40, "most of the ring: {}", kept.len());
        assert_eq!((latest.missed(), oldest.missed()), (0, 0));
    }
}

#[test]
fn subscribers_of_a_topic_with_a_history_begin_with_it() {
    let topic = Topic::anonymous(&options(false, true)).unwrap();
    publish(&mut topic.publisher().unwrap(), 0..3);
    let mut rx = another(&topic).subscriber().unwrap();
    assert_eq!([try_recv(&mut rx), try_recv(&mut rx)], [Some(0), Some(1)]);
}

#[test]
fn a_reliable_publisher_waits_for_the_slowest_and_can_say_who_that_is() {
    let topic = topic(true);
    let (mut fast, mut slow) = (topic.subscriber().unwrap(), topic.subscriber().unwrap());
    let mut tx = topic.publisher().unwrap();
    let full = fill(&mut tx, 0);
    (0..full).for_each(|n| assert_eq!(try_recv(&mut fast), Some(n)));
    assert!(matches!(tx.try_publish(&record(full)), Err(Error::WouldBlock(_))), "one still holds all");
    let timeout = Duration::from_millis(20);
    assert!(matches!(tx.publish_timeout(&record(full), timeout), Err(Error::TimedOut(_))));
    let stats = topic.stats().unwrap();
    let most = stats.subscribers.iter().max_by_key(|subscriber| subscriber.unread).unwrap();
    assert!(most.alive && most.unread > CAPACITY / 2);
    assert_eq!(most.process.as_ref().unwrap().pid, std::process::id());
    assert_eq!(stats.subscribers.iter().filter(|subscriber| subscriber.unread == 0).count(), 1);

    std::thread::scope(|scope| {
        scope.spawn(|| publish(&mut tx, full..full + 100));
        scope.spawn(|| (full..full + 100).for_each(|n| assert_eq!(recv(&mut fast), n)));
        (0..full + 100).for_each(|n| assert_eq!(recv(&mut slow), n));
    });
    fill(&mut tx, 0);
    drop(slow);
    assert_eq!(recv(&mut fast), 0);
    while try_recv(&mut fast).is_some() {}
    tx.try_publish(&record(0)).unwrap();
}

#[test]
fn nobody_holds_a_topic_without_subscribers_up() {
    let topic = topic(true);
    publish(&mut topic.publisher().unwrap(), 0..1000);
    drop(topic.subscriber_at(StartAt::Oldest).unwrap());
    publish(&mut topic.publisher().unwrap(), 0..1000);
}

#[test]
fn a_record_in_place_is_released_or_comes_again() {
    for reliable in [false, true] {
        let topic = topic(reliable);
        let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
        publish(&mut tx, 0..2);
        for _ in 0..2 {
            let record = rx.borrow().unwrap();
            assert_eq!((record.number(), number(&record.to_vec().unwrap())), (0, 0));
        }
        let lent = rx.borrow().unwrap();
        let (mut head, mut beyond) = ([0; 8], [0; 2]);
        lent.read_at(0, &mut head).unwrap();
        assert_eq!(head, record(0)[..8]);
        assert!(matches!(lent.read_at(lent.len() - 1, &mut beyond), Err(Error::TooBig { .. })));
        assert!(lent.release().unwrap());
        assert_eq!((try_recv(&mut rx), rx.missed()), (Some(1), 0));
        assert!(matches!(rx.try_borrow().map(drop), Err(Error::WouldBlock(_))));
    }
}

#[test]
fn a_record_that_was_overwritten_while_it_was_lent_counts_as_missed() {
    let topic = topic(false);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    publish(&mut tx, [0]);
    let lent = rx.borrow().unwrap();
    publish(&mut tx, 1..1000);
    assert!(!lent.is_whole() && lent.to_vec().is_none());
    assert!(!lent.release().unwrap());
    let first = try_recv(&mut rx).unwrap();
    assert_eq!(rx.missed(), first);
}

#[test]
fn a_reservation_is_published_or_vanishes_and_keeps_others_out() {
    let topic = topic(true);
    let (mut tx, mut other, mut rx) =
        (topic.publisher().unwrap(), another(&topic).publisher().unwrap(), topic.subscriber().unwrap());
    let mut room = tx.reserve(300).unwrap();
    room.write_all(&record(5)).unwrap();
    assert!(matches!(room.write_at(299, &[1, 2]), Err(Error::TooBig { .. })));
    assert!(matches!(other.try_publish(b""), Err(Error::WouldBlock(_))));
    assert!(matches!(other.publish_timeout(b"", Duration::from_millis(20)), Err(Error::TimedOut(_))));
    assert_eq!(topic.stats().unwrap().publisher.unwrap().pid, std::process::id());
    assert_eq!(try_recv(&mut rx), None);
    room.commit_len(record(5).len()).unwrap();
    other.try_publish(&record(6)).unwrap();
    assert_eq!([try_recv(&mut rx), try_recv(&mut rx)], [Some(5), Some(6)]);

    drop(tx.reserve(300).unwrap());
    let _address = tx.reserve_raw(100, Deadline::NOW).unwrap();
    assert!(matches!(tx.try_publish(b""), Err(Error::Invalid(_))));
    assert!(matches!(tx.commit_raw(101), Err(Error::Invalid(_))));
    drop(tx); // and what it had reserved
    other.try_publish(&record(7)).unwrap();
    assert_eq!(try_recv(&mut rx), Some(7));
    assert!(matches!(other.commit_raw(0), Err(Error::Invalid(_))));
    assert!(matches!(other.abort_raw(), Err(Error::Invalid(_))));
}

#[test]
fn waiting_ends_at_the_deadline_and_with_a_record() {
    for wait in [WaitStrategy::Balanced, WaitStrategy::Spin, WaitStrategy::Yield, WaitStrategy::Block] {
        let mut options = options(false, false);
        options.segment.wait = wait;
        let topic = Topic::anonymous(&options).unwrap();
        let mut subscribers: Vec<_> = (0..4).map(|_| topic.subscriber().unwrap()).collect();
        let begin = Instant::now();
        let waited = subscribers[0].recv_timeout(&mut [0; 8], Duration::from_millis(30));
        assert!(matches!(waited, Err(Error::TimedOut(_))), "{waited:?}");
        assert!((30..2000).contains(&begin.elapsed().as_millis()));
        let ready = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for rx in &mut subscribers {
                scope.spawn(|| {
                    ready.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(recv(rx), 1);
                });
            }
            while ready.load(Ordering::Relaxed) < 4 {
                std::thread::yield_now();
            }
            publish(&mut topic.publisher().unwrap(), [1]);
        });
    }
}

/// A publisher wakes one. Were it for the others to wait for the end of their slice, this would take 50 ms a turn.
#[test]
fn one_that_was_woken_wakes_others() {
    const TURNS: u64 = 20;
    let mut options = options(true, false);
    options.segment.wait = WaitStrategy::Block;
    let topic = Topic::anonymous(&options).unwrap();
    let (said, hears) = std::sync::mpsc::channel();
    let mut woken = Duration::ZERO;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (mut rx, said) = (topic.subscriber().unwrap(), said.clone());
            scope.spawn(move || {
                // SAFETY: no memory is involved.
                let thread = unsafe { libc::gettid() };
                said.send(thread).unwrap();
                for n in 0..TURNS {
                    assert_eq!(recv(&mut rx), n);
                    said.send(thread).unwrap();
                }
            });
        }
        let mut tx = topic.publisher().unwrap();
        for n in 0..TURNS {
            let threads: Vec<i32> = (0..8).map(|_| hears.recv().unwrap()).collect();
            threads.iter().for_each(|thread| until_asleep(*thread));
            let begin = Instant::now();
            publish(&mut tx, [n]);
            // What they said of this record is heard in the next turn; the last of them is awake now.
            while topic.stats().unwrap().subscribers.iter().any(|subscriber| subscriber.unread > 0) {
                std::thread::yield_now();
            }
            woken += begin.elapsed();
        }
    });
    assert!(woken < Duration::from_millis(25 * TURNS), "{woken:?}");
}

/// Waits until a thread of this process sleeps in the kernel.
fn until_asleep(thread: i32) {
    let stat = format!("/proc/self/task/{thread}/stat");
    let asleep = |stat: String| stat.rsplit_once(") ").unwrap().1.starts_with('S');
    let until = Instant::now() + LONG;
    while !asleep(std::fs::read_to_string(&stat).unwrap()) {
        assert!(Instant::now() < until, "it does not go to sleep");
        std::thread::yield_now();
    }
}

/// How often a thread of this process gave up the processor.
fn sleeps(thread: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// Each slice ends with a look, and with nothing else.
#[test]
fn those_that_wait_for_nothing_sleep() {
    let mut options = options(false, false);
    options.segment.wait = WaitStrategy::Block;
    let topic = Topic::anonymous(&options).unwrap();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let mut rx = topic.subscriber().unwrap();
                scope.spawn(move || {
                    let waited = rx.recv_timeout(&mut [0; 8], Duration::from_millis(500));
                    assert!(matches!(waited, Err(Error::TimedOut(_))));
                    // SAFETY: no memory is involved.
                    sleeps(unsafe { libc::gettid() })
                })
            })
            .collect();
        let most = waiting.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
        assert!(most < 100, "{most} sleeps in ten slices");
    });
}

/// Bytes of the topic's file that this process has mapped for writing.
fn writable(dir: &Scratch) -> u64 {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ours = maps.lines().filter(|line| line.contains(&*dir.path().to_string_lossy()));
    let sizes =
        ours.filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.contains('w'))).map(|line| {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            u64::from_str_radix(to, 16).unwrap() - u64::from_str_radix(from, 16).unwrap()
        });
    sizes.sum()
}

#[test]
fn who_only_subscribes_cannot_write_the_data() {
    const PAGE: u64 = 4096;
    let dir = Scratch::new();
    let topic = Topic::create("a", &named(&dir, false)).unwrap();
    let slots = writable(&dir);
    topic.stats().unwrap();
    assert_eq!(writable(&dir), slots, "who looks on writes nothing");
    let _rx = topic.subscriber().unwrap();
    assert_eq!(writable(&dir), slots + PAGE, "a subscriber writes the page with the events");
    let _tx = topic.publisher().unwrap();
    assert_eq!(writable(&dir), slots + 3 * PAGE + 2 * CAPACITY, "a publisher writes everything");
}

/// True if a descriptor becomes readable within so many milliseconds.
fn readable(fd: BorrowedFd<'_>, patience: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one struct, of a descriptor that is open.
    unsafe { libc::poll(&mut poll, 1, patience) == 1 }
}

#[test]
fn a_publishers_descriptor_follows_the_room_and_the_lock() {
    let topic = topic(true);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    let mut other = another(&topic).publisher().unwrap();
    for round in 0..20 {
        assert!(readable(tx.poll_fd().unwrap(), 20_000));
        fill(&mut tx, 0);
        assert!(!readable(tx.poll_fd().unwrap(), if round == 0 { 120 } else { 0 }));
        while try_recv(&mut rx).is_some() {}
        assert!(readable(tx.poll_fd().unwrap(), 20_000), "there is room");
        let reserved = other.try_reserve(8).unwrap();
        assert!(matches!(tx.try_publish(b"1"), Err(Error::WouldBlock(_))));
        assert!(!readable(tx.poll_fd().unwrap(), if round == 0 { 120 } else { 0 }), "another publishes");
        drop(reserved);
        assert!(readable(tx.poll_fd().unwrap(), 20_000), "nobody else does any more");
        assert!(!readable(rx.poll_fd().unwrap(), 0));
    }
}

#[test]
fn a_watcher_that_an_unlock_wakes_wakes_another() {
    let topic = topic(false);
    let mut holder = topic.publisher().unwrap();
    let mut watched = another(&topic).publisher().unwrap();
    let mut blocked = another(&topic).publisher().unwrap();
    watched.poll_fd().unwrap();
    let mut slow = 0;
    for _ in 0..20 {
        let reserved = holder.try_reserve(8).unwrap();
        assert!(matches!(watched.try_publish(b"1"), Err(Error::WouldBlock(_))));
        assert!(!readable(watched.poll_fd().unwrap(), 5));
        let (say, hear) = std::sync::mpsc::channel();
        let waited = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // SAFETY: no memory is involved.
                say.send(unsafe { libc::gettid() }).unwrap();
                blocked.publish(b"2").unwrap();
                Instant::now()
            });
            until_asleep(hear.recv().unwrap());
            let begin = Instant::now();
            drop(reserved);
            thread.join().unwrap() - begin
        });
        assert!(readable(watched.poll_fd().unwrap(), 20_000));
        slow += u32::from(waited > Duration::from_millis(25));
    }
    // A lost wake-up costs half a slice on average.
    assert!(slow < 5, "{slow} of 20 were woken late");
}

#[test]
fn a_publisher_is_one_of_several_things_to_wait_for() {
    type Wait = fn(&mut [&mut dyn Waitable], Deadline) -> ipcx::Result<Vec<usize>>;
    for wait in [wait_any as Wait, wait_any_by_descriptors] {
        let topic = topic(true);
        let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
        assert_eq!(wait(&mut [&mut rx, &mut tx], Deadline::within(LONG)).unwrap(), [1], "there is room");
        fill(&mut tx, 0);
        let none = wait(&mut [&mut tx], Deadline::within(Duration::from_millis(5)));
        assert!(matches!(none, Err(Error::TimedOut(_))));
        std::thread::scope(|scope| {
            scope.spawn(|| while try_recv(&mut rx).is_some() {});
            assert_eq!(wait(&mut [&mut tx], Deadline::within(LONG)).unwrap(), [0], "a subscriber went on");
        });
        let mut other = topic.publisher().unwrap();
        let reserved = other.try_reserve(8).unwrap();
        let none = wait(&mut [&mut tx], Deadline::within(Duration::from_millis(5)));
        assert!(matches!(none, Err(Error::TimedOut(_) | Error::WouldBlock(_))), "another publishes");
        std::thread::scope(|scope| {
            scope.spawn(|| drop(reserved));
            assert_eq!(
                wait(&mut [&mut tx], Deadline::within(LONG)).unwrap(),
                [0],
                "nobody else does any more"
            );
        });
    }
}

#[test]
fn a_subscriber_that_died_makes_the_publishers_descriptor_readable() {
    if let Some(directory) = child_argument() {
        let _rx = attach(&directory, "a").subscriber().unwrap();
        say("ready");
        stay();
    }
    let dir = Scratch::new();
    let topic = Topic::create("a", &named(&dir, true)).unwrap();
    let mut tx = topic.publisher().unwrap();
    let mut dead = silent_subscriber("a_subscriber_that_died_makes_the_publishers_descriptor_readable", &dir);
    fill(&mut tx, 0);
    assert!(!readable(tx.poll_fd().unwrap(), 120), "it lives");
    dead.kill();
    assert!(readable(tx.poll_fd().unwrap(), NOTICE.as_millis() as i32));
    tx.try_publish(b"1").unwrap();
}

#[test]
fn a_file_is_published_by_one_read() {
    let topic = topic(true);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    let (from, mut to) = std::io::pipe().unwrap();
    let mut publish = |len, deadline| tx.publish_file_until(from.as_fd(), len, deadline);
    assert!(matches!(publish(4, Deadline::NOW), Err(Error::WouldBlock(_))));
    to.write_all(b"123456").unwrap();
    assert_eq!(publish(4, Deadline::NEVER).unwrap(), 4);
    assert_eq!(publish(4, Deadline::within(Duration::from_millis(5))).unwrap(), 2);
    assert!(matches!(publish(4, Deadline::within(Duration::from_millis(5))), Err(Error::TimedOut(_))));
    assert!(matches!(publish(CAPACITY as usize, Deadline::NOW), Err(Error::TooBig { .. })));
    drop(to);
    assert_eq!(publish(4, Deadline::NEVER).unwrap(), 0, "the end");
    for expected in [b"1234".as_slice(), b"56"] {
        let record = rx.try_borrow().unwrap();
        assert_eq!(record.to_vec().unwrap(), expected);
        record.release().unwrap();
    }
    assert!(matches!(rx.try_borrow(), Err(Error::WouldBlock(_))), "no record of the rest");
}

#[test]
fn what_is_borrowed_without_a_guard_is_released_or_comes_again() {
    let topic = topic(true);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    publish(&mut tx, [1, 2]);
    assert!(matches!(rx.release_raw(), Err(Error::Invalid(_))));
    assert!(
        matches!(rx.number_raw(), Err(Error::Invalid(_)))
            && matches!(rx.is_whole_raw(), Err(Error::Invalid(_)))
    );
    let (at, len) = rx.borrow_raw(Deadline::NOW).unwrap();
    // SAFETY: the record stays until it is released.
    assert_eq!(number(unsafe { std::slice::from_raw_parts(at, len) }), 1);
    assert!(matches!(rx.borrow_raw(Deadline::NOW), Err(Error::Invalid(_))));
    assert!(matches!(rx.try_recv(&mut [0; 100]), Err(Error::Invalid(_))));
    rx.return_raw();
    assert_eq!(rx.borrow_raw(Deadline::NOW).unwrap(), (at, len));
    assert!(rx.number_raw().unwrap() == 0 && rx.is_whole_raw().unwrap());
    assert!(rx.release_raw().unwrap());
    assert_eq!(try_recv(&mut rx), Some(2));
}

#[test]
fn what_is_borrowed_without_a_guard_says_when_it_was_overwritten() {
    let topic = topic(false);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    publish(&mut tx, [1]);
    rx.borrow_raw(Deadline::NOW).unwrap();
    assert!(rx.is_whole_raw().unwrap());
    publish(&mut tx, 2..2000);
    assert!(!rx.is_whole_raw().unwrap() && !rx.release_raw().unwrap());
    let next = try_recv(&mut rx).unwrap();
    assert_eq!(rx.missed(), next - 1);
}

#[test]
fn a_descriptor_is_readable_while_there_is_a_record() {
    let topic = topic(true);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    for n in 0..50 {
        assert!(!readable(rx.poll_fd().unwrap(), 0));
        publish(&mut tx, [n]);
        assert!(readable(rx.poll_fd().unwrap(), 20_000));
        assert_eq!(try_recv(&mut rx), Some(n));
        assert_eq!(try_recv(&mut rx), None);
    }
}

#[test]
fn a_subscriber_is_one_of_several_things_to_wait_for() {
    let topics = [topic(false), topic(true)];
    let [mut first, mut second] = [topics[0].subscriber().unwrap(), topics[1].subscriber().unwrap()];
    let none = wait_any(&mut [&mut first, &mut second], Deadline::within(Duration::from_millis(5)));
    assert!(matches!(none, Err(Error::TimedOut(_))));
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&mut topics[1].publisher().unwrap(), [4]));
        let ready = wait_any(&mut [&mut first, &mut second], Deadline::within(LONG)).unwrap();
        assert_eq!(ready, [1]);
    });
    assert_eq!(try_recv(&mut second), Some(4));
}

#[test]
fn a_topic_that_exists_must_be_what_was_asked_for() {
    let dir = Scratch::new();
    let topic = Topic::create("a", &named(&dir, false)).unwrap();
    assert!(matches!(Topic::create("a", &named(&dir, false)), Err(Error::Exists(_))));
    assert!(matches!(Topic::open("a", &named(&dir, true)), Err(Error::Mismatch(_))));
    let history = TopicOptions { history: true, ..named(&dir, false) };
    assert!(matches!(Topic::attach_with("a", &history), Err(Error::Mismatch(_))));
    let larger = TopicOptions { capacity: 8192, ..named(&dir, false) };
    assert!(matches!(Topic::attach_with("a", &larger), Err(Error::Mismatch(_))));
    let any = TopicOptions { capacity: 0, ..named(&dir, false) };
    assert_eq!(Topic::open("a", &any).unwrap().capacity(), CAPACITY);
    assert!(!topic.is_reliable() && !topic.has_history() && topic.name() == "a");
    let ring = ipcx::RingOptions { segment: dir.segment(), ..Default::default() };
    assert!(matches!(ipcx::Ring::attach_with("a", &ring), Err(Error::Mismatch(_))));
    // A reliable one that exists may be taken as it is.
    Topic::create("b", &named(&dir, true)).unwrap();
    assert!(Topic::open("b", &named(&dir, false)).unwrap().is_reliable());
    assert!(matches!(
        Topic::anonymous(&TopicOptions { capacity: 1 << 32, ..Default::default() }),
        Err(Error::Invalid(_))
    ));
}

#[test]
fn a_forked_child_has_no_part_in_it() {
    let topic = topic(true);
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    publish(&mut tx, [0]);
    in_child(|| {
        let refused = [
            tx.try_publish(b"").err(),
            tx.try_reserve(1).err(),
            rx.try_recv(&mut [0; 100]).err(),
            rx.try_borrow().err(),
            topic.publisher().err(),
            topic.subscriber().err(),
            topic.stats().err(),
        ];
        rx.poll_fd().is_err() && refused.iter().all(|error| matches!(error, Some(Error::Forked)))
    });
    fill(&mut tx, 1); // It holds what it held.
    assert_eq!((try_recv(&mut rx), rx.missed()), (Some(0), 0));
}

#[test]
fn participants_are_counted_in_a_reliable_topic_and_come_back() {
    let mut options = options(true, false);
    options.segment.max_participants = 3;
    let topic = Topic::anonymous(&options).unwrap();
    for _ in 0..5 {
        let _two = [topic.subscriber().unwrap(), topic.subscriber().unwrap()];
        assert!(matches!(topic.subscriber(), Err(Error::NoSpace(_))));
    }
}

/// What the children of the tests below do with the topic in a directory.
fn attach(directory: &str, name: &str) -> Topic {
    let segment = SegmentOptions { directory: Some(directory.into()), ..Default::default() };
    Topic::attach_with(name, &TopicOptions { segment, ..Default::default() }).unwrap()
}

fn say(what: &str) {
    println!("{what}");
    std::io::stdout().flush().unwrap();
}

/// Until it is killed.
fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

#[test]
fn processes_get_every_record_of_a_reliable_topic() {
    const RECORDS: u64 = 5_000;
    if let Some(directory) = child_argument() {
        let mut rx = attach(&directory, "a").subscriber().unwrap();
        say("ready");
        (0..RECORDS).for_each(|n| assert_eq!(recv(&mut rx), n));
        say("all of them");
        return;
    }
    let dir = Scratch::new();
    let topic = Topic::create("a", &named(&dir, true)).unwrap();
    let mut subscribers: Vec<_> = (0..3)
        .map(|_| {
            Started::new(child(
                "processes_get_every_record_of_a_reliable_topic",
                dir.path().to_str().unwrap(),
            ))
        })
        .collect();
    subscribers.iter_mut().for_each(|child| child.wait_for("ready"));
    publish(&mut topic.publisher().unwrap(), 0..RECORDS);
    subscribers.iter_mut().for_each(|child| child.wait_for("all of them"));
}

/// A child that has subscribed, and stays.
fn silent_subscriber(test: &str, dir: &Scratch) -> Started {
    let mut child = Started::new(child(test, dir.path().to_str().unwrap()));
    child.wait_for("ready");
    child
}

#[test]
fn a_subscriber_that_died_is_dropped_and_its_slot_is_free() {
    if let Some(directory) = child_argument() {
        let _rx = attach(&directory, "a").subscriber().unwrap();
        say("ready");
        stay();
    }
    let dir = Scratch::new();
    let topic = Topic::create("a", &named(&dir, true)).unwrap();
    let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    for way in 0..4 {
        let mut dead = silent_subscriber("a_subscriber_that_died_is_dropped_and_its_slot_is_free", &dir);
        let full = fill(&mut tx, 0);
        (0..full).for_each(|n| assert_eq!(try_recv(&mut rx), Some(n)));
        assert!(matches!(tx.try_publish(&record(full)), Err(Error::WouldBlock(_))));
        dead.kill();
        let begin = Instant::now();
        match way {
            0 => tx.publish(&record(full)).unwrap(),
            1 => {
                while tx.try_publish(&record(full)).is_err() {
                    assert!(begin.elapsed() < NOTICE);
                }
            }
            // Another handle has not asked before, and needs one call.
            2 => another(&topic).publisher().unwrap().try_publish(&record(full)).unwrap(),
            // One that comes gets its slot.
            _ => {
                let comes: Vec<_> = (0..2).map(|_| attach(dir.path().to_str().unwrap(), "a")).collect();
                tx.publish(&record(full)).unwrap();
                drop(comes);
            }
        }
        assert!(begin.elapsed() < NOTICE, "{:?}", begin.elapsed());
        assert_eq!(try_recv(&mut rx), Some(full));
        assert!(topic.stats().unwrap().subscribers.iter().all(|subscriber| subscriber.alive));
    }
}

#[test]
fn a_stopped_subscriber_holds_a_reliable_topic_up_and_no_lossy_one() {
    if let Some(directory) = child_argument() {
        let _both = ["lossy", "reliable"].map(|name| attach(&directory, name).subscriber().unwrap());
        say("ready");
        stay();
    }
    let dir = Scratch::new();
    let lossy = Topic::create("lossy", &named(&dir, false)).unwrap();
    let reliable = Topic::create("reliable", &named(&dir, true)).unwrap();
    let mut stopped =
        silent_subscriber("a_stopped_subscriber_holds_a_reliable_topic_up_and_no_lossy_one", &dir);
    let signal = |signal| {
        // SAFETY: a signal to a child of ours that was not waited for.
        assert_eq!(unsafe { libc::kill(stopped.id() as i32, signal) }, 0);
    };
    signal(libc::SIGSTOP);
    publish(&mut lossy.publisher().unwrap(), 0..10_000);
    let mut tx = reliable.publisher().unwrap();
    let full = fill(&mut tx, 0);
    let patience = Duration::from_millis(400);
    assert!(matches!(tx.publish_timeout(&record(full), patience), Err(Error::TimedOut(_))), "it lives");
    let stats = reliable.stats().unwrap();
    assert!(stats.subscribers.len() == 1 && stats.subscribers[0].alive);
    assert_eq!(stats.subscribers[0].process.as_ref().unwrap().pid, stopped.id());
    stopped.kill();
    tx.publish_timeout(&record(full), NOTICE).unwrap();
}

/// The child dies with the topic's lock, its record half written.
#[test]
fn a_publisher_that_died_leaves_whole_records_and_others_go_on() {
    if let Some(directory) = child_argument() {
        let topic = attach(&directory, "a");
        let mut tx = topic.publisher().unwrap();
        publish(&mut tx, 100..103);
        let mut room = tx.reserve(1000).unwrap();
        room.write_at(0, &[0xff; 1000]).unwrap();
        say("ready");
        stay();
    }
    for reliable in [false, true] {
        let dir = Scratch::new();
        let topic = Topic::create("a", &named(&dir, reliable)).unwrap();
        let (mut tx, mut rx) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
        for turn in 0..20 {
            publish(&mut tx, [1]);
            let test = "a_publisher_that_died_leaves_whole_records_and_others_go_on";
            let mut dead = silent_subscriber(test, &dir);
            assert!(matches!(tx.try_publish(&record(2)), Err(Error::WouldBlock(_))), "it lives");
            dead.kill();
            tx.publish_timeout(&record(2), NOTICE).unwrap();
            let got: Vec<u64> = std::iter::from_fn(|| try_recv(&mut rx)).collect();
            assert_eq!((got, rx.missed()), (vec![1, 100, 101, 102, 2], 0), "turn {turn}");
        }
    }
}

/// Killed anywhere in a publish, without a reservation. Every record is whole, and no publisher's record is lost or doubled.
#[test]
fn publishers_killed_at_random_lose_and_double_nothing() {
    if let Some(argument) = child_argument() {
        let (directory, from) = argument.split_once(':').unwrap();
        let mut tx = attach(directory, "a").publisher().unwrap();
        let mut n: u64 = from.parse().unwrap();
        loop {
            tx.publish(&record(n)).unwrap();
            n += 1;
        }
    }
    let dir = Scratch::new();
    let topic = Topic::create("a", &named(&dir, true)).unwrap();
    let mut rx = topic.subscriber().unwrap();
    let mut next = 0;
    for turn in 0..40u64 {
        let argument = format!("{}:{next}", dir.path().to_str().unwrap());
        let mut victim =
            Started::new(child("publishers_killed_at_random_lose_and_double_nothing", &argument));
        let most = next + 1 + turn * 37 % 500;
        while next < most {
            assert_eq!(recv(&mut rx), next);
            next += 1;
        }
        victim.kill();
        while let Some(n) = try_recv(&mut rx) {
            assert_eq!(n, next);
            next += 1;
        }
        topic.publisher().unwrap().publish_timeout(&record(next), NOTICE).unwrap();
        assert_eq!(recv(&mut rx), next);
        next += 1;
    }
    assert_eq!((rx.missed(), topic.stats().unwrap().published), (0, next));
}

#[test]
fn what_cannot_be_free_is_corrupt_also_to_the_publisher_that_wrote_the_newest_record() {
    const FREE: u64 = 2 * 4096 + 264;
    for free in [3, 9, 0u64.wrapping_sub(1 << 20)] {
        let topic = topic(true);
        let (mut publisher, _subscriber) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
        while publisher.try_publish(&[1; 64]).is_ok() {}
        let file = std::fs::File::from(topic.share_fd().unwrap());
        file.write_all_at(&u64::to_ne_bytes(free), FREE).unwrap();
        let published = publisher.try_publish(&[1; 64]);
        assert!(matches!(published, Err(Error::Corrupt(_))), "{free:#x}: {published:?}");
    }
}

#[test]
fn a_subscriber_between_two_records_is_corrupt_and_keeps_no_publisher() {
    // A page of header, one of slots, one of publishers, the events.
    const CURSORS: u64 = 3 * 4096 + 256;
    let topic = topic(true);
    let (mut publisher, _subscriber) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    while publisher.try_publish(&[1; 64]).is_ok() {}
    let file = std::fs::File::from(topic.share_fd().unwrap());
    let held = |slot: &u64| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, CURSORS + slot * 128).unwrap();
        u64::from_ne_bytes(word) == 1 // the first position
    };
    let slot = (0..32).find(held).expect("the subscriber holds the first record");
    // The first record ends at 80, and what is needed ends at 72: nobody seems to hold it.
    file.write_all_at(&(72u64 + 1).to_ne_bytes(), CURSORS + slot * 128).unwrap();
    for deadline in [Deadline::NOW, Deadline::within(Duration::from_millis(1)), Deadline::NEVER] {
        assert!(matches!(publisher.publish_until(&[1; 64], deadline), Err(Error::Corrupt(_))));
    }
}
