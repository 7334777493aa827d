//! One handle in several threads: roles go from thread to thread, and each record arrives once.
//!
//! The threads share nothing but handles and atomics: ThreadSanitizer, under which these tests run too, does not see what
//! happens inside the locks of the standard library.

use ipcx::{Error, Ring, RingOptions};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::thread;

const THREADS: u64 = 3;
const EACH: u64 = 100;

/// Calls until the role is free.
fn patiently<T>(mut take: impl FnMut() -> ipcx::Result<T>) -> T {
    loop {
        match take() {
            Ok(end) => return end,
            Err(Error::RoleTaken(_)) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn send(ring: &Ring, records: std::ops::Range<u64>) {
    for record in records {
        patiently(|| ring.producer()).try_send(&record.to_le_bytes()).unwrap();
    }
}

/// Receives until all threads together have everything.
fn receive(ring: &Ring, received: &AtomicU64) -> Vec<u64> {
    let (mut got, mut bytes) = (Vec::new(), [0; 8]);
    while received.load(Ordering::Relaxed) < THREADS * EACH {
        let mut rx = patiently(|| ring.consumer());
        while let Ok(8) = rx.try_recv(&mut bytes) {
            got.push(u64::from_le_bytes(bytes));
            received.fetch_add(1, Ordering::Relaxed);
        }
        drop(rx);
        ring.stats().unwrap();
    }
    got
}

#[test]
fn roles_pass_between_threads_that_share_a_handle() {
    // Room for all records: a role without an owner, while the ring is full, would be an error.
    let ring = Arc::new(Ring::anonymous(&RingOptions { capacity: 8192, ..Default::default() }).unwrap());
    ring.stats().unwrap(); // The first call maps what it looks at, under such a lock.
    let received = Arc::new(AtomicU64::new(0));
    let senders = [0, 1, 2].map(|number| {
        let ring = Arc::clone(&ring);
        thread::spawn(move || send(&ring, number * EACH..(number + 1) * EACH))
    });
    let receivers = [(); THREADS as usize].map(|()| {
        let (ring, received) = (Arc::clone(&ring), Arc::clone(&received));
        thread::spawn(move || receive(&ring, &received))
    });
    senders.into_iter().for_each(|thread| thread.join().unwrap());
    let mut got: Vec<u64> = receivers.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    got.sort_unstable();
    assert!(got.into_iter().eq(0..THREADS * EACH), "each comes, and comes once");
    assert_eq!(ring.stats().unwrap().received, THREADS * EACH);
}

/// Handles come and go in all threads at once: participants' slots, and the list of what a fork must close.
#[test]
fn threads_open_and_close_handles_at_the_same_time() {
    let ring = Arc::new(Ring::anonymous(&RingOptions { capacity: 4096, ..Default::default() }).unwrap());
    let threads = [(); THREADS as usize].map(|()| {
        let ring = Arc::clone(&ring);
        thread::spawn(move || {
            let shared = ring.share_fd().unwrap();
            for _ in 0..EACH {
                let other = Ring::from_fd(shared.as_fd()).unwrap();
                assert_eq!(other.stats().unwrap().sent, 0);
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
