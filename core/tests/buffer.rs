//! A buffer in one host: whole values, the lock, the condition, deaths, and everything that is refused.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod common;

use common::{child, child_argument, in_child, Scratch, Started};
use ipcx::zerocopy::{FromBytes, Immutable, IntoBytes};
use ipcx::{Buffer, BufferOptions, Deadline, Error, SegmentOptions, WaitStrategy};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longer than any call may need to find out about a death.
const LONG: Duration = Duration::from_secs(20);

fn buffer(capacity: u64, wait: WaitStrategy) -> Buffer {
    let segment = SegmentOptions { wait, ..Default::default() };
    Buffer::anonymous(&BufferOptions { capacity, segment }).unwrap()
}

fn options(dir: &Scratch, capacity: u64) -> BufferOptions {
    BufferOptions { capacity, segment: dir.segment() }
}

/// Another participant.
fn another(buffer: &Buffer) -> Buffer {
    Buffer::from_fd(buffer.share_fd().unwrap().as_fd()).unwrap()
}

#[test]
fn what_is_written_is_read_whole_and_numbered() {
    let writer = buffer(300, WaitStrategy::Balanced);
    let reader = another(&writer);
    let mut bytes = [7; 300];
    assert_eq!(reader.read(&mut bytes).unwrap(), (0, 0));
    assert!(reader.is_empty().unwrap());
    for len in (0..300).chain([300, 0, 1]) {
        let value: Vec<u8> = (0..len).map(|i| (i + len) as u8).collect();
        let version = writer.write(&value).unwrap();
        assert_eq!(reader.version(), version);
        assert_eq!(reader.read(&mut bytes).unwrap(), (len, version));
        assert_eq!(bytes[..len], value);
        assert_eq!(reader.read_vec().unwrap(), (value, version));
    }
    assert_eq!(reader.version(), 303);
}

#[test]
fn too_large_a_value_or_too_small_a_place_changes_nothing() {
    let buffer = buffer(10, WaitStrategy::Balanced);
    buffer.write(b"0123456789").unwrap();
    assert!(matches!(buffer.write(b"0123456789a"), Err(Error::TooBig { needed: 11, available: 10 })));
    let mut small = [9; 4];
    assert!(matches!(buffer.read(&mut small), Err(Error::TooBig { needed: 10, available: 4 })));
    assert_eq!((small, buffer.version()), ([9; 4], 1));
}

#[derive(FromBytes, IntoBytes, Immutable, Debug, PartialEq, Clone, Copy)]
#[zerocopy(crate = "ipcx::zerocopy")]
#[repr(C)]
struct Price {
    cents: u64,
    volume: u64,
}

#[test]
fn a_type_of_its_size_is_read_and_another_refused() {
    let buffer = buffer(64, WaitStrategy::Balanced);
    assert_eq!(buffer.read_value::<Price>().unwrap(), None);
    let price = Price { cents: 1, volume: 2 };
    buffer.write_value(&price).unwrap();
    assert_eq!(buffer.read_value::<Price>().unwrap(), Some((price, 1)));
    for size in [buffer.read_value::<u64>().map(|_| ()), buffer.read_value::<[u64; 3]>().map(|_| ())] {
        assert!(matches!(size, Err(Error::Mismatch(_))), "{size:?}");
    }
}

/// Writers without pause, readers that must never see two writes mixed.
#[test]
fn no_reader_sees_half_a_value() {
    let shared = buffer(4096, WaitStrategy::Balanced);
    let stop = AtomicU64::new(0);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for writer in 0..2u8 {
            let (buffer, stop) = (another(&shared), &stop);
            scope.spawn(move || {
                let mut n = writer;
                while stop.load(Ordering::Relaxed) == 0 {
                    n = n.wrapping_add(2);
                    let len = [8, 64, 1000, 4096][usize::from(n / 2 % 4)];
                    buffer.write(&vec![n; len]).unwrap();
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (buffer, reads) = (another(&shared), &reads);
                scope.spawn(move || {
                    let (mut bytes, mut last) = (vec![0; 4096], 0);
                    while reads.load(Ordering::Relaxed) < 100_000 {
                        match buffer.read(&mut bytes) {
                            Ok((len, version)) => {
                                assert!(version >= last, "{version} after {last}");
                                last = version;
                                let value = &bytes[..len];
                                let whole =
                                    len == 0 || len == [8, 64, 1000, 4096][usize::from(value[0] / 2 % 4)];
                                assert!(whole && value.iter().all(|byte| *byte == value[0]), "{value:?}");
                                reads.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(Error::WouldBlock(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        stop.store(1, Ordering::Relaxed);
    });
}

#[test]
fn the_lock_excludes_threads_and_participants() {
    for strategy in [WaitStrategy::Balanced, WaitStrategy::Block, WaitStrategy::Yield] {
        let shared = buffer(8, strategy);
        shared.write(&0u64.to_ne_bytes()).unwrap();
        const ROUNDS: u64 = 2_000;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let (one, same) = (another(&shared), &shared);
                for buffer in [None, Some(one)] {
                    scope.spawn(move || {
                        let buffer = buffer.as_ref().unwrap_or(same);
                        for _ in 0..ROUNDS {
                            let mut guard = buffer.lock_timeout(LONG).unwrap();
                            let mut bytes = [0; 8];
                            guard.read_at(0, &mut bytes).unwrap();
                            guard.write_at(0, &(u64::from_ne_bytes(bytes) + 1).to_ne_bytes()).unwrap();
                            guard.commit().unwrap();
                        }
                    });
                }
            }
        });
        assert_eq!(shared.read_value::<u64>().unwrap(), Some((4 * ROUNDS, 4 * ROUNDS + 1)));
    }
}

#[test]
fn a_guard_commits_publishes_or_leaves_the_value() {
    let (buffer, mut bytes) = (buffer(16, WaitStrategy::Balanced), [0; 16]);
    buffer.write(b"old").unwrap();
    let reader = another(&buffer);

    let mut guard = buffer.lock().unwrap();
    assert_eq!((guard.len(), guard.capacity(), guard.recovered()), (3, 16, false));
    guard.write_at(3, b"er").unwrap();
    assert_eq!(guard.len(), 5);
    assert_eq!(reader.read(&mut bytes).unwrap(), (3, 1), "nothing is seen before the commit");
    assert_eq!(guard.publish().unwrap(), 2);
    assert_eq!(reader.read(&mut bytes).unwrap(), (5, 2));
    assert_eq!(&bytes[..5], b"older");
    guard.set_len(2).unwrap();
    assert!(matches!(guard.set_len(17), Err(Error::TooBig { .. })));
    assert!(matches!(guard.write_at(15, b"ab"), Err(Error::TooBig { .. })));
    assert!(matches!(guard.read_at(1, &mut [0; 2]), Err(Error::TooBig { .. })));
    assert_eq!(guard.commit().unwrap(), 3);
    assert_eq!(reader.read_vec().unwrap(), (b"ol".to_vec(), 3));

    let mut guard = buffer.lock().unwrap();
    guard.write_at(0, b"XX").unwrap();
    drop(guard);
    assert_eq!(reader.read_vec().unwrap(), (b"ol".to_vec(), 3));
    buffer.lock().unwrap().abandon();
    assert_eq!(buffer.version(), 3);
}

#[test]
fn a_lock_that_is_held_is_refused_in_time_and_to_its_own_thread() {
    let mine = buffer(8, WaitStrategy::Block);
    let other = another(&mine);
    let guard = mine.lock().unwrap();
    for busy in [other.try_lock().map(drop), other.try_write(b"x").map(drop)] {
        assert!(matches!(busy, Err(Error::WouldBlock(_))));
    }
    let begin = Instant::now();
    assert!(matches!(other.write_timeout(b"x", Duration::from_millis(120)), Err(Error::TimedOut(_))));
    assert!(begin.elapsed() >= Duration::from_millis(120));
    for again in [mine.lock().map(drop), mine.write(b"x").map(drop), mine.try_lock().map(drop)] {
        assert!(matches!(again, Err(Error::Invalid(_))), "it would wait for itself");
    }
    // Another thread of the same handle may wait, and may not unlock.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(matches!(mine.try_write(b"x"), Err(Error::WouldBlock(_))));
            assert!(matches!(mine.unlock_raw(1), Err(Error::Invalid(_))));
            assert!(matches!(mine.abandon_raw(), Err(Error::Invalid(_))));
            assert!(matches!(mine.wait_locked_raw(Deadline::NOW), Err(Error::Invalid(_))));
        });
    });
    assert_eq!(other.read(&mut [0; 8]).unwrap(), (0, 0), "readers need no lock");
    drop(guard);
    other.write(b"x").unwrap();
    assert!(matches!(other.unlock_raw(1), Err(Error::Invalid(_))), "nobody has it");
}

#[test]
fn who_waits_for_a_version_is_woken_by_it() {
    for strategy in [WaitStrategy::Balanced, WaitStrategy::Block, WaitStrategy::Spin] {
        let writer = buffer(8, strategy);
        let reader = another(&writer);
        assert!(matches!(reader.wait_until(0, Deadline::NOW), Err(Error::WouldBlock(_))));
        assert!(matches!(reader.wait_timeout(0, Duration::from_millis(1)), Err(Error::TimedOut(_))));
        // A sleep to the end of a slice each time would take longer than this by far.
        const ROUNDS: u64 = 1_000;
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for seen in 0..ROUNDS {
                    assert_eq!(reader.wait_timeout(2 * seen, LONG).unwrap(), 2 * seen + 1);
                    reader.write(b"back").unwrap();
                }
            });
            for seen in 0..ROUNDS {
                writer.write(b"there").unwrap();
                assert_eq!(writer.wait_timeout(2 * seen + 1, LONG).unwrap(), 2 * seen + 2);
            }
        });
        assert!(begin.elapsed() < Duration::from_millis(25 * ROUNDS), "{:?}", begin.elapsed());
        assert_eq!(reader.wait(5).unwrap(), 2 * ROUNDS, "another version than an old one is there at once");
    }
}

/// What a binding does that has to come back to its interpreter now and then.
#[test]
fn who_waits_in_several_turns_misses_no_notification_between_them() {
    let mine = buffer(8, WaitStrategy::Balanced);
    let other = another(&mine);
    assert!(matches!(mine.unlock_to_wait_raw(), Err(Error::Invalid(_))), "nobody has it");
    mine.lock_raw(Deadline::NOW).unwrap();
    let seen = mine.unlock_to_wait_raw().unwrap();
    let short = Deadline::within(Duration::from_millis(1));
    assert!(matches!(mine.wait_notified_raw(seen, short), Err(Error::TimedOut(_))));
    assert!(matches!(mine.wait_notified_raw(seen, Deadline::NOW), Err(Error::WouldBlock(_))));
    other.notify(false).unwrap();
    mine.wait_notified_raw(seen, short).unwrap();
    mine.lock_raw(Deadline::NOW).unwrap();
    mine.abandon_raw().unwrap();
}

#[test]
fn a_finalizer_gives_the_lock_up_from_any_thread() {
    let mine = buffer(8, WaitStrategy::Balanced);
    std::thread::scope(|scope| {
        scope.spawn(|| mine.lock_raw(Deadline::NOW).unwrap());
    });
    assert!(
        matches!(another(&mine).try_write(b"x"), Err(Error::WouldBlock(_))),
        "a thread's end does not unlock"
    );
    mine.abandon_from_any_thread_raw().unwrap();
    assert!(matches!(mine.abandon_from_any_thread_raw(), Err(Error::Invalid(_))));
    assert_eq!(mine.try_write(b"x").unwrap(), 1);
}

/// A queue of one place: each side waits on the condition until it can go on.
#[test]
fn the_condition_wakes_who_waits_for_it() {
    let shared = buffer(8, WaitStrategy::Block);
    const ROUNDS: u64 = 1_000;
    let step = |buffer: &Buffer, turn: u64| {
        let mut guard = buffer.lock_timeout(LONG).unwrap();
        loop {
            let mut bytes = [0; 8];
            let value = if guard.is_empty() {
                0
            } else {
                guard.read_at(0, &mut bytes).unwrap();
                u64::from_ne_bytes(bytes)
            };
            if value % 2 == turn {
                guard.write_at(0, &(value + 1).to_ne_bytes()).unwrap();
                guard.notify_all();
                return guard.commit().unwrap();
            }
            guard = guard.wait_timeout(LONG).unwrap();
        }
    };
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let other = another(&shared);
        scope.spawn(move || (0..ROUNDS).for_each(|_| assert_eq!(step(&other, 1) % 2, 0)));
        (0..ROUNDS).for_each(|_| assert_eq!(step(&shared, 0) % 2, 1));
    });
    assert_eq!(shared.read_value::<u64>().unwrap().unwrap().0, 2 * ROUNDS);
    assert!(begin.elapsed() < Duration::from_millis(25 * ROUNDS), "{:?}", begin.elapsed());
}

#[test]
fn a_wait_for_the_condition_ends_in_time_without_the_lock() {
    let mine = buffer(8, WaitStrategy::Block);
    let other = another(&mine);
    let guard = mine.lock().unwrap();
    assert!(matches!(guard.wait_timeout(Duration::from_millis(20)), Err(Error::TimedOut(_))));
    drop(other.try_lock().unwrap());
    let guard = mine.lock().unwrap();
    assert!(matches!(guard.wait_until(Deadline::NOW), Err(Error::WouldBlock(_))));
    drop(other.try_lock().unwrap());
    // Notified, but the lock is not to be had again.
    let (locked, done) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    let (other, locked, done) = (&other, &locked, &done);
    std::thread::scope(|scope| {
        let guard = mine.lock().unwrap();
        scope.spawn(move || {
            let guard = other.lock().unwrap();
            guard.notify_one();
            locked.wait();
            done.wait();
        });
        let waited = guard.wait_timeout(Duration::from_millis(300));
        assert!(matches!(waited, Err(Error::TimedOut(_))));
        locked.wait();
        done.wait();
    });
    drop(mine.lock().unwrap());
}

fn start(dir: &Scratch, wait: &str) -> Started {
    Started::new(child("child_that_dies_with_the_lock", &format!("{} {wait}", dir.path().display())))
}

/// The child of the two tests below.
#[test]
fn child_that_dies_with_the_lock() {
    let Some(argument) = child_argument() else { return };
    let (directory, wait) = argument.split_once(' ').unwrap();
    let segment = SegmentOptions { directory: Some(directory.into()), ..Default::default() };
    let buffer = Buffer::attach_with("b", &BufferOptions { segment, ..Default::default() }).unwrap();
    let mut guard = buffer.lock().unwrap();
    guard.write_at(0, b"half").unwrap();
    if wait == "waiting" {
        println!("ready");
        let _ = guard.wait();
        return;
    }
    println!("ready");
    std::thread::sleep(LONG);
    drop(guard);
}

#[test]
fn a_lock_whose_owner_died_goes_to_the_next_who_learns_of_it() {
    let dir = Scratch::new();
    let mine = Buffer::create("b", &options(&dir, 16)).unwrap();
    mine.write(b"whole").unwrap();
    for attempt in 0..3 {
        let mut owner = start(&dir, "locked");
        owner.wait_for("ready");
        assert!(matches!(mine.try_lock().map(drop), Err(Error::WouldBlock(_))), "it lives");
        assert_eq!(mine.stats().unwrap().owner.unwrap().pid, owner.id());
        owner.kill();
        let begin = Instant::now();
        match attempt {
            0 => {
                let guard = mine.lock_timeout(LONG).unwrap();
                assert!(guard.recovered() && guard.len() == 5);
                drop(guard);
                assert!(!mine.lock().unwrap().recovered(), "once");
            }
            1 => {
                // Whoever gets the slot of the dead owner has freed the lock before anything else.
                let late = Buffer::attach_with("b", &options(&dir, 0)).unwrap();
                let guard = late.try_lock().unwrap();
                assert!(guard.recovered());
                guard.commit().unwrap();
            }
            _ => {
                mine.write_timeout(b"next", LONG).unwrap();
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        assert!(matches!(&mine.read_vec().unwrap().0[..], b"whole" | b"next"), "half a value is never seen");
    }
}

#[test]
fn a_waiter_that_died_keeps_nobody_from_being_notified() {
    let dir = Scratch::new();
    let mine = Buffer::create("b", &options(&dir, 16)).unwrap();
    let mut waiters: Vec<_> = (0..5)
        .map(|_| {
            let mut waiter = start(&dir, "waiting");
            waiter.wait_for("ready");
            waiter
        })
        .collect();
    let alive = waiters.pop().unwrap();
    waiters.iter_mut().for_each(|waiter| waiter.kill());
    let begin = Instant::now();
    let mut alive = alive;
    while alive.is_running() {
        mine.lock_timeout(LONG).unwrap().notify_one();
        assert!(begin.elapsed() < LONG, "the one that lives is notified");
        std::thread::yield_now();
    }
}

#[test]
fn a_descriptor_follows_the_version() {
    let writer = buffer(8, WaitStrategy::Balanced);
    let reader = another(&writer);
    let readable = |milliseconds| {
        use std::os::fd::AsRawFd;
        let fd = reader.poll_fd().unwrap().as_raw_fd();
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 && poll.revents == libc::POLLIN }
    };
    writer.write(b"early").unwrap();
    assert!(readable(0), "version 1 was not read yet");
    for _ in 0..1000 {
        reader.read(&mut [0; 8]).unwrap();
        assert!(!readable(0));
        writer.write(b"x").unwrap();
        assert!(readable(5_000));
        assert!(readable(0), "level-triggered");
        assert_eq!(reader.wait(0).unwrap(), writer.version());
        assert!(!readable(0));
        writer.write(b"y").unwrap();
        assert!(readable(5_000));
    }
}

#[test]
fn a_child_of_fork_is_refused_and_does_not_unlock() {
    let buffer = buffer(8, WaitStrategy::Balanced);
    let mut guard = buffer.lock().unwrap();
    in_child(|| {
        assert!(matches!(buffer.read(&mut [0; 8]), Err(Error::Forked)));
        assert!(matches!(buffer.try_write(b"x"), Err(Error::Forked)));
        assert!(matches!(buffer.wait_timeout(1, LONG), Err(Error::Forked)));
        assert!(matches!(buffer.notify(true), Err(Error::Forked)));
        assert!(matches!(buffer.unlock_raw(1), Err(Error::Forked)));
        assert!(matches!(buffer.share_fd(), Err(Error::Forked)));
        assert!(matches!(buffer.poll_fd(), Err(Error::Forked)));
        true
    });
    guard.write_at(0, b"mine").unwrap();
    assert_eq!(guard.commit().unwrap(), 1);
}

#[test]
fn what_a_buffer_cannot_be_is_refused() {
    let dir = Scratch::new();
    let make = |capacity| Buffer::create("b", &options(&dir, capacity)).map(drop);
    assert!(matches!(make(u64::MAX), Err(Error::Invalid(_))));
    assert!(matches!(make(1 << 40), Err(Error::NoSpace(_) | Error::Os { .. })), "a terabyte");
    let system_v = SegmentOptions { backing: ipcx::Backing::SystemV { key: 7 }, ..dir.segment() };
    let refused = Buffer::create("b", &BufferOptions { capacity: 8, segment: system_v });
    assert!(matches!(refused, Err(Error::Invalid(_))));
    assert_eq!(dir.names(), [""; 0]);

    make(0).unwrap();
    assert_eq!(Buffer::attach_with("b", &options(&dir, 0)).unwrap().capacity(), 4096);
    assert!(matches!(Buffer::attach_with("b", &options(&dir, 8)), Err(Error::Mismatch(_))));
    assert!(matches!(make(8), Err(Error::Exists(_))));
    let ring = ipcx::RingOptions { segment: dir.segment(), ..Default::default() };
    assert!(matches!(ipcx::Ring::attach_with("b", &ring), Err(Error::Mismatch(_))));
}

#[test]
fn figures_are_no_read_and_a_later_thread_not_the_owner() {
    use std::os::fd::AsRawFd;
    let writer = buffer(8, WaitStrategy::Balanced);
    let reader = another(&writer);
    let fd = reader.poll_fd().unwrap().as_raw_fd();
    let readable = |milliseconds| {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 }
    };
    writer.write(b"").unwrap();
    assert!(readable(5_000));
    assert!(reader.is_empty().unwrap() && reader.stats().unwrap().len == 0 && reader.len().unwrap() == 0);
    assert!(readable(0), "nobody has read the empty value");

    // A thread locks, and ends; the next one may get its number from the system.
    std::thread::spawn({
        let writer = another(&writer);
        move || {
            writer.lock_raw(Deadline::NOW).unwrap();
            writer
        }
    })
    .join()
    .map(|writer| {
        std::thread::spawn(move || {
            assert!(matches!(writer.try_write(b"x"), Err(Error::WouldBlock(_))));
            assert!(matches!(writer.unlock_raw(0), Err(Error::Invalid(_))));
        })
        .join()
        .unwrap();
    })
    .unwrap();
    assert_eq!(writer.write_timeout(b"free", LONG).unwrap(), 2, "the handle is closed");
}
