//! Semaphores: permits are had by one, come back from the dead, and never become more than the limit.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, in_child, Scratch, Started};
use ipcx::{Deadline, Error, SegmentOptions, Semaphore, SemaphoreOptions, WaitStrategy};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

fn make(limit: u64, initial: Option<u64>) -> Semaphore {
    Semaphore::anonymous(&SemaphoreOptions { limit, initial, ..Default::default() }).unwrap()
}

fn another(semaphore: &Semaphore) -> Semaphore {
    Semaphore::from_fd(semaphore.share_fd().unwrap().as_fd()).unwrap()
}

#[test]
fn as_many_as_there_are_can_be_held() {
    for limit in [1, 2, 7, 64, 65, 1000] {
        let (one, two) = (make(limit, None), limit);
        let other = another(&one);
        assert_eq!((one.value().unwrap(), one.limit()), (two, limit));
        let mut held = Vec::new();
        for n in 0..limit {
            held.push(if n % 2 == 0 { &one } else { &other }.try_acquire().unwrap());
            assert_eq!(one.value().unwrap(), limit - n - 1);
        }
        for semaphore in [&one, &other] {
            assert!(matches!(semaphore.try_acquire(), Err(Error::WouldBlock(_))));
            let waited = semaphore.acquire_timeout(Duration::from_millis(2));
            assert!(matches!(waited, Err(Error::TimedOut(_))));
        }
        held.pop();
        assert_eq!(other.value().unwrap(), 1);
        drop(held);
        assert_eq!(other.value().unwrap(), limit);
        assert!(matches!(one.release(), Err(Error::Invalid(_))), "no more than the limit");
        assert_eq!(other.value().unwrap(), limit);
    }
}

#[test]
fn a_release_gives_back_or_makes_one_more() {
    let one = make(3, Some(0));
    let other = another(&one);
    assert_eq!(one.value().unwrap(), 0);
    assert!(matches!(one.try_acquire(), Err(Error::WouldBlock(_))));
    (0..3).for_each(|_| other.release().unwrap());
    assert!(matches!(other.release(), Err(Error::Invalid(_))));
    one.acquire().unwrap().keep();
    one.acquire_raw(Deadline::NOW).unwrap();
    assert_eq!(one.stats().unwrap().holders.iter().map(|(_, _, held)| held).sum::<u64>(), 2);
    assert!(matches!(other.release(), Err(Error::Invalid(_))), "it holds none, and all are there");
    one.release().unwrap();
    one.release().unwrap();
    assert!(matches!(one.release(), Err(Error::Invalid(_))));
    assert_eq!(one.value().unwrap(), 3);
    // What a handle holds ends with it.
    one.acquire().unwrap().keep();
    drop(one);
    assert_eq!(other.value().unwrap(), 3);
}

#[test]
fn whoever_releases_any_gives_back_what_another_holds() {
    let one = make(2, Some(1));
    let other = another(&one);
    one.acquire().unwrap().keep();
    other.release_any().unwrap();
    assert_eq!(one.value().unwrap(), 1, "what the other one held");
    other.release_any().unwrap();
    assert_eq!(one.value().unwrap(), 2, "nobody holds any: one more");
    assert!(matches!(one.release_any(), Err(Error::Invalid(_))), "nobody holds any, and all are there");
    assert!(matches!(other.release_any(), Err(Error::Invalid(_))));
    for _ in 0..100 {
        one.acquire().unwrap().keep();
        other.acquire().unwrap().keep();
        one.release_any().unwrap();
        one.release_any().unwrap();
        assert_eq!(other.value().unwrap(), 2);
    }
}

#[test]
fn what_is_used_up_does_not_come_back() {
    let one = make(3, None);
    let other = another(&one);
    one.acquire().unwrap().keep();
    one.acquire().unwrap().keep();
    one.use_up_held().unwrap();
    drop(one);
    assert_eq!(other.value().unwrap(), 1);
    other.release().unwrap();
    assert_eq!(other.value().unwrap(), 2);
}

/// One side signals, the other one consumes: as often as it was signalled.
#[test]
fn signals_are_consumed_as_often_as_they_were_given() {
    for wait in [WaitStrategy::Balanced, WaitStrategy::Block] {
        let segment = SegmentOptions { wait, ..Default::default() };
        let options = SemaphoreOptions { limit: 8, initial: Some(0), segment };
        let consumer = Semaphore::anonymous(&options).unwrap();
        let producer = another(&consumer);
        const ROUNDS: u64 = 20_000;
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut given = 0;
                while given < ROUNDS {
                    match producer.release() {
                        Ok(()) => given += 1,
                        Err(Error::Invalid(_)) => std::thread::yield_now(), // the limit
                        Err(error) => panic!("{error}"),
                    }
                }
            });
            for _ in 0..ROUNDS {
                consumer.consume_until(Deadline::within(LONG)).unwrap();
            }
        });
        assert!(matches!(consumer.try_consume(), Err(Error::WouldBlock(_))));
        assert_eq!((consumer.value().unwrap(), consumer.stats().unwrap().holders.len()), (0, 0));
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    }
}

#[test]
fn no_more_than_its_permits_are_inside_at_once() {
    for (permits, wait) in [(1, WaitStrategy::Balanced), (2, WaitStrategy::Block), (16, WaitStrategy::Yield)]
    {
        let segment = SegmentOptions { wait, ..Default::default() };
        let shared =
            Semaphore::anonymous(&SemaphoreOptions { limit: permits, initial: None, segment }).unwrap();
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for n in 0..6 {
                let (shared, inside) = (&shared, &inside);
                let own = (n % 2 == 0).then(|| another(shared));
                scope.spawn(move || {
                    let semaphore = own.as_ref().unwrap_or(shared);
                    for _ in 0..2_000 {
                        let permit = semaphore.acquire_timeout(LONG).unwrap();
                        assert!(inside.fetch_add(1, Ordering::AcqRel) < permits);
                        inside.fetch_sub(1, Ordering::AcqRel);
                        permit.release();
                    }
                });
            }
        });
        assert_eq!(shared.value().unwrap(), permits);
    }
}

#[test]
fn guards_and_calls_on_one_handle_keep_the_account() {
    let semaphore = make(2, None);
    semaphore.acquire().unwrap().keep();
    let permit = semaphore.acquire().unwrap();
    semaphore.release().unwrap(); // of the two, any
    drop(permit);
    assert_eq!(semaphore.value().unwrap(), 2);
    assert!(matches!(semaphore.release(), Err(Error::Invalid(_))));
}

/// A permit is its consumer's for a moment, in which a signal must not take it for one to give back.
#[test]
fn consumers_and_signallers_of_one_handle_lose_nothing() {
    const SIGNALS: u64 = 50_000;
    let semaphore = make(64, Some(0));
    let (given, taken) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while given.load(Ordering::Relaxed) < SIGNALS {
                    match semaphore.release() {
                        Ok(()) => _ = given.fetch_add(1, Ordering::Relaxed),
                        Err(Error::Invalid(_)) => std::thread::yield_now(), // the limit
                        Err(error) => panic!("{error}"),
                    }
                }
                given.fetch_add(1 << 32, Ordering::Relaxed);
            });
            scope.spawn(|| loop {
                let over = given.load(Ordering::Relaxed) >> 32 == 2;
                match semaphore.try_consume() {
                    Ok(()) => _ = taken.fetch_add(1, Ordering::Relaxed),
                    Err(Error::WouldBlock(_)) if over => break,
                    Err(Error::WouldBlock(_)) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            });
        }
    });
    let given = given.into_inner() & 0xffff_ffff;
    assert_eq!(taken.into_inner() + semaphore.value().unwrap(), given);
    assert_eq!(semaphore.stats().unwrap().holders.len(), 0);
}

/// The child of the next test.
#[test]
fn child_that_dies_with_permits() {
    let Some(directory) = child_argument() else { return };
    let segment = SegmentOptions { directory: Some(directory.into()), ..Default::default() };
    let semaphore = Semaphore::attach_with("s", &SemaphoreOptions { segment, ..Default::default() }).unwrap();
    (0..3).for_each(|_| semaphore.acquire_raw(Deadline::NOW).unwrap());
    semaphore.try_consume().unwrap();
    println!("ready");
    std::thread::sleep(LONG);
}

#[test]
fn permits_of_the_dead_come_back_and_used_ones_do_not() {
    let dir = Scratch::new();
    let options = SemaphoreOptions { limit: 4, initial: None, segment: dir.segment() };
    let mine = Semaphore::create("s", &options).unwrap();
    for round in 0..3 {
        let mut holder = Started::new(child("child_that_dies_with_permits", dir.path().to_str().unwrap()));
        holder.wait_for("ready");
        assert!(matches!(mine.try_acquire(), Err(Error::WouldBlock(_))), "it lives");
        holder.kill();
        match round {
            0 => assert_eq!(mine.recover().unwrap(), 3),
            1 => drop(mine.acquire_timeout(LONG).unwrap()),
            _ => drop(Semaphore::attach_with("s", &options).unwrap()),
        }
        assert_eq!(mine.value().unwrap(), 3);
        mine.release().unwrap(); // in place of the one that was used up
        assert_eq!(mine.value().unwrap(), 4);
    }
}

#[test]
fn a_descriptor_follows_the_permits() {
    use std::os::fd::AsRawFd;
    let one = make(2, None);
    let other = another(&one);
    let readable = |milliseconds| {
        let mut poll =
            libc::pollfd { fd: one.poll_fd().unwrap().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 && poll.revents == libc::POLLIN }
    };
    assert!(readable(0));
    for _ in 0..500 {
        let (first, second) = (one.try_acquire().unwrap(), other.try_acquire().unwrap());
        assert!(matches!(one.try_acquire(), Err(Error::WouldBlock(_))));
        assert!(!readable(0));
        second.release();
        assert!(readable(5_000));
        first.release();
    }
}

#[test]
fn a_child_of_fork_is_refused_and_gives_nothing_back() {
    use std::os::fd::AsRawFd;
    let semaphore = make(2, None);
    let permit = semaphore.acquire().unwrap();
    let fd = semaphore.poll_fd().unwrap().as_raw_fd();
    let readable = |milliseconds| {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 }
    };
    assert!(readable(5_000));
    in_child(|| {
        assert!(matches!(semaphore.try_acquire(), Err(Error::Forked)));
        assert!(matches!(semaphore.release(), Err(Error::Forked)));
        assert!(matches!(semaphore.value(), Err(Error::Forked)));
        assert!(matches!(semaphore.poll_fd(), Err(Error::Forked)));
        true
    });
    assert_eq!(semaphore.value().unwrap(), 1);
    assert!(readable(0), "the descriptor is the parent's");
    drop(permit);
}

#[test]
fn what_a_semaphore_cannot_be_is_refused() {
    let dir = Scratch::new();
    let make = |limit, initial| {
        Semaphore::create("s", &SemaphoreOptions { limit, initial, segment: dir.segment() }).map(drop)
    };
    for (limit, initial) in [(1 << 20 | 1, None), (u64::MAX, None), (3, Some(4)), (0, Some(u64::MAX))] {
        assert!(matches!(make(limit, initial), Err(Error::Invalid(_))), "{limit} {initial:?}");
    }
    assert_eq!(dir.names(), [""; 0]);
    make(0, Some(5)).unwrap();
    let attach = |limit| {
        Semaphore::attach_with("s", &SemaphoreOptions { limit, initial: None, segment: dir.segment() })
    };
    assert_eq!(attach(0).unwrap().limit(), 5);
    assert!(matches!(attach(4), Err(Error::Mismatch(_))));
}
