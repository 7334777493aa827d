//! Waiting for one of several: whatever becomes ready ends it, soon, by either way of sleeping.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

use ipcx::{
    wait_any, wait_any_by_descriptors, Buffer, Deadline, Error, Pool, PoolOptions, Ring, RingOptions,
    Semaphore, SemaphoreOptions, Waitable,
};
use std::sync::{mpsc, Mutex};
use std::time::{Duration, Instant};

type Wait = fn(&mut [&mut dyn Waitable], Deadline) -> ipcx::Result<Vec<usize>>;
const WAYS: [Wait; 2] = [wait_any, wait_any_by_descriptors];
const LONG: Duration = Duration::from_secs(20);

fn ring() -> Ring {
    Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap()
}

/// One of each kind, none of them ready.
struct Things {
    rings: [Ring; 2],
    pool: Pool,
    semaphore: Semaphore,
    buffer: Buffer,
}

impl Things {
    fn new() -> Things {
        let pool = Pool::anonymous(&PoolOptions { block_size: 64, blocks: 1, ..Default::default() }).unwrap();
        let options = SemaphoreOptions { limit: 1, initial: Some(0), ..Default::default() };
        let semaphore = Semaphore::anonymous(&options).unwrap();
        Things {
            rings: [ring(), ring()],
            pool,
            semaphore,
            buffer: Buffer::anonymous(&Default::default()).unwrap(),
        }
    }
}

/// Each in turn becomes ready, in another thread, while this one waits; a sleep to the end of a slice each time would take
/// longer than this by far.
#[test]
fn whatever_becomes_ready_ends_the_wait() {
    for wait in WAYS {
        let things = Things::new();
        let (mut tx, mut rx) = (things.rings[0].producer().unwrap(), things.rings[0].consumer().unwrap());
        let (mut full, mut other) =
            (things.rings[1].producer().unwrap(), things.rings[1].consumer().unwrap());
        while full.try_send(&[0; 100]).is_ok() {}
        let (pool, semaphore, buffer) = (&things.pool, &things.semaphore, &things.buffer);
        let held = Mutex::new(Some(pool.acquire().unwrap()));
        const ROUNDS: u64 = 100;
        let mut waited = [Duration::ZERO; 5];
        let (go, gone) = mpsc::channel::<u64>();
        let (did, done) = mpsc::channel();
        std::thread::scope(|scope| {
            let held = &held;
            scope.spawn(move || {
                for round in gone {
                    std::thread::sleep(Duration::from_millis(1)); // so that it usually sleeps; right either way
                    match round % 5 {
                        0 => tx.send(b"record").unwrap(),
                        1 => while other.try_recv(&mut [0; 100]).is_ok() {},
                        2 => drop(held.lock().unwrap().take()),
                        3 => semaphore.release().unwrap(),
                        _ => assert!(buffer.write(b"value").unwrap() > 0),
                    }
                    did.send(()).unwrap();
                }
            });
            let mut seen = 0;
            for round in 0..ROUNDS {
                go.send(round).unwrap();
                let (mut pool, mut semaphore, mut newer) = (pool, semaphore, buffer.newer_than(seen));
                let mut items: [&mut dyn Waitable; 5] =
                    [&mut rx, &mut full, &mut pool, &mut semaphore, &mut newer];
                let begin = Instant::now();
                assert_eq!(wait(&mut items, Deadline::within(LONG)).unwrap(), [(round % 5) as usize]);
                waited[(round % 5) as usize] += begin.elapsed();
                done.recv().unwrap();
                match round % 5 {
                    0 => assert_eq!(rx.try_recv(&mut [0; 8]).unwrap(), 6),
                    1 => while full.try_send(&[0; 100]).is_ok() {},
                    2 => *held.lock().unwrap() = Some(pool.try_acquire().unwrap()),
                    3 => semaphore.try_consume().unwrap(),
                    _ => seen = buffer.version(),
                }
            }
            drop(go);
        });
        assert!(waited.iter().all(|waited| *waited < Duration::from_millis(25 * ROUNDS / 5)), "{waited:?}");
    }
}

#[test]
fn what_is_ready_already_is_told_all_at_once_and_nothing_in_time() {
    for wait in WAYS {
        let things = Things::new();
        let (mut tx, mut rx) = (things.rings[0].producer().unwrap(), things.rings[0].consumer().unwrap());
        let held = things.pool.acquire().unwrap();
        let mut items: [&mut dyn Waitable; 2] = [&mut rx, &mut things.buffer.newer_than(0)];
        assert!(matches!(wait(&mut items, Deadline::NOW), Err(Error::WouldBlock(_))));
        let begin = Instant::now();
        let waited = wait(&mut items, Deadline::within(Duration::from_millis(120)));
        assert!(matches!(waited, Err(Error::TimedOut(_))));
        assert!(begin.elapsed() >= Duration::from_millis(120));
        tx.send(b"x").unwrap();
        things.buffer.write(b"x").unwrap();
        assert_eq!(wait(&mut items, Deadline::NOW).unwrap(), [0, 1]);
        assert_eq!(wait(&mut [&mut &things.pool, items[0]], Deadline::NEVER).unwrap(), [1]);
        drop(held);
        assert!(matches!(wait(&mut [], Deadline::NEVER), Err(Error::Invalid(_))));
    }
}

#[test]
fn a_peer_that_closes_ends_the_wait() {
    for wait in WAYS {
        let ring = ring();
        let (tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(move || drop(tx));
            assert_eq!(wait(&mut [&mut rx], Deadline::within(LONG)).unwrap(), [0]);
        });
        assert!(matches!(rx.try_recv(&mut [0; 8]), Err(Error::Closed(_))));
    }
}

/// More than the kernel takes at once.
#[test]
fn two_hundred_are_waited_for_too() {
    let rings: Vec<_> = (0..200).map(|_| ring()).collect();
    let mut receivers: Vec<_> = rings.iter().map(|ring| ring.consumer().unwrap()).collect();
    let mut tx = rings[177].producer().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| tx.send(b"x").unwrap());
        let mut items: Vec<&mut dyn Waitable> = receivers.iter_mut().map(|rx| rx as _).collect();
        assert_eq!(wait_any(&mut items, Deadline::within(LONG)).unwrap(), [177]);
    });
}
