//! Waiting: what is sent before a peer goes is received, wherever the call stood; and sleepers are woken, not left to the clock.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

use ipcx::{Consumer, Deadline, Error, Producer, Ring, RingOptions, SegmentOptions, WaitStrategy};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn ring(wait: WaitStrategy) -> Ring {
    let segment = SegmentOptions { wait, ..Default::default() };
    Ring::anonymous(&RingOptions { capacity: 4096, segment }).unwrap()
}

/// The round whose producer has attached.
static ATTACHED: AtomicU64 = AtomicU64::new(0);
/// The round in which the consumer is stopped, and the one in which it may go on.
static STOPPED: AtomicU64 = AtomicU64::new(0);
static GO_ON: AtomicU64 = AtomicU64::new(0);
/// The round in which it has heard that the producer closed.
static HEARD: AtomicU64 = AtomicU64::new(0);

fn spin_until(word: &AtomicU64, round: u64) {
    while word.load(Ordering::Acquire) < round {
        std::hint::spin_loop();
    }
}

/// Keeps a thread where it is while another does something.
extern "C" fn stand_still(_signal: libc::c_int) {
    let round = ATTACHED.load(Ordering::Acquire);
    STOPPED.store(round, Ordering::Release);
    spin_until(&GO_ON, round);
}

/// Calls until it hears that the producer closed; says how many records came before.
fn records_before_closed(rx: &mut Consumer, deadline: Deadline) -> u64 {
    let (mut records, mut buffer) = (0, [0; 8]);
    loop {
        match rx.recv_until(&mut buffer, deadline) {
            Ok(_) => records += 1,
            Err(Error::WouldBlock(_)) => {}
            Err(Error::Closed(_)) => return records,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A signal stops the consumer anywhere in its call, often between its look at the ring and its look at the producer. By the
/// time it goes on, the producer has sent a record and closed.
#[test]
fn closed_is_heard_after_the_last_record_wherever_the_call_stood() {
    const ROUNDS: u64 = 1000;
    // SAFETY: the handler touches atomics only.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = stand_still as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
    let ring = ring(WaitStrategy::Spin);
    let mut rx = ring.consumer().unwrap();
    // SAFETY: no memory is involved.
    let consumer = unsafe { libc::pthread_self() };
    let producer = thread::spawn(move || {
        for round in 1..=ROUNDS {
            let mut tx = ring.producer().unwrap();
            ATTACHED.store(round, Ordering::Release);
            (0..round * 7 % 500).for_each(|_| std::hint::spin_loop());
            // SAFETY: that thread waits for this one.
            assert_eq!(unsafe { libc::pthread_kill(consumer, libc::SIGUSR1) }, 0);
            spin_until(&STOPPED, round);
            tx.try_send(b"the last").unwrap();
            drop(tx);
            GO_ON.store(round, Ordering::Release);
            // Not before the consumer has heard it: the next one would be its peer.
            spin_until(&HEARD, round);
        }
    });
    for round in 1..=ROUNDS {
        spin_until(&ATTACHED, round);
        let deadline = if round % 2 == 0 { Deadline::NEVER } else { Deadline::NOW };
        assert_eq!(records_before_closed(&mut rx, deadline), 1, "round {round}, {deadline:?}");
        HEARD.store(round, Ordering::Release);
    }
    producer.join().unwrap();
}

fn round_trips(count: u32, tx: &mut Producer, rx: &mut Consumer) {
    for number in 0..count {
        tx.send(&number.to_le_bytes()).unwrap();
        let mut back = [0; 4];
        rx.recv(&mut back).unwrap();
        assert_eq!(u32::from_le_bytes(back), number);
    }
}

/// A lost wake-up costs 50 ms, which nothing but a measurement of many shows.
#[test]
fn sleepers_are_woken_and_not_left_to_the_clock() {
    const COUNT: u32 = 400;
    for wait in [WaitStrategy::Block, WaitStrategy::Balanced] {
        let (there, back) = (ring(wait), ring(wait));
        let (mut tx, mut rx) = (there.producer().unwrap(), back.consumer().unwrap());
        let (mut other_rx, mut other_tx) = (there.consumer().unwrap(), back.producer().unwrap());
        let echo = thread::spawn(move || {
            let mut buffer = [0; 4];
            while other_rx.recv(&mut buffer).is_ok() {
                other_tx.send(&buffer).unwrap();
            }
        });
        let begin = Instant::now();
        round_trips(COUNT, &mut tx, &mut rx);
        let took = begin.elapsed();
        drop(tx);
        echo.join().unwrap();
        // Were a tenth of them lost: 4 s.
        assert!(took < Duration::from_secs(4), "{wait:?}: {COUNT} round trips took {took:?}");
    }
}

/// The same for a producer: each send but the first few waits for room.
#[test]
fn a_producer_that_waits_for_room_is_woken_when_there_is() {
    const COUNT: u32 = 400;
    let ring = ring(WaitStrategy::Block);
    let (mut tx, mut rx) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let begin = Instant::now();
    let sender = thread::spawn(move || (0..COUNT).for_each(|_| tx.send(&[0; 3000]).unwrap()));
    for _ in 0..COUNT {
        rx.recv(&mut [0; 3000]).unwrap();
    }
    sender.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(4), "{COUNT} records took {:?}", begin.elapsed());
}
