//! The protocol between two threads over one ordinary memory: both ends at the same addresses, payload copied without
//! atomics, so that ThreadSanitizer (`scripts/sanitize thread`) reports every byte that the two touch without an order
//! between them.
//!
//! The sanitizer knows the acquires and releases that order the payload. It does not know fences and barriers; those order
//! only the sleep words, which are atomics, and the models check them.

#![allow(clippy::disallowed_methods)] // tests measure time as users do

use super::layout::{ConsumerPage, ProducerPage};
use super::protocol::{nap_for_record, nap_for_room, Memory, Receiver, Sender};
use crate::stream::{Content, WORD};
use crate::sync::AtomicU64;
use crate::sys::barrier;
use crate::wait::{Nap, Sleeper};
use std::cell::UnsafeCell;
use std::mem::zeroed;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Small, so that it is often full, empty, and wrapped.
const CAPACITY: u64 = 1024;
const LONGEST: usize = 200;

struct Heap {
    producer: ProducerPage,
    consumer: ConsumerPage,
    data: [UnsafeCell<u64>; (CAPACITY / WORD) as usize],
    registered: bool,
}

// SAFETY: the pages are atomics; the data is accessed under the protocol, which is what is tested here.
unsafe impl Sync for Heap {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Heap {}

impl Heap {
    fn make(registered: bool) -> Arc<Heap> {
        // SAFETY: atomics and numbers, for which zero is a value.
        let (producer, consumer, data) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Arc::new(Heap { producer, consumer, data, registered })
    }

    /// Address of the byte at a position, and how many follow before the end.
    fn at(&self, position: u64) -> (*mut u8, usize) {
        let offset = (position % CAPACITY) as usize;
        (
            UnsafeCell::raw_get(self.data.as_ptr()).cast::<u8>().wrapping_add(offset),
            CAPACITY as usize - offset,
        )
    }
}

impl Memory for Arc<Heap> {
    fn capacity(&self) -> u64 {
        CAPACITY
    }
    fn producer(&self) -> &ProducerPage {
        &self.producer
    }
    fn consumer(&self) -> &ConsumerPage {
        &self.consumer
    }
    fn word(&self, position: u64) -> &AtomicU64 {
        // SAFETY: inside the data and aligned, for positions are multiples of 8; it lives as long as `self`.
        unsafe { AtomicU64::from_ptr(self.at(position).0.cast()) }
    }
    fn prefetch(&self, _position: u64) {}
    fn write(&self, position: u64, from: &[u8]) {
        let ((to, room), (begin, _)) = (self.at(position), self.at(0));
        let (first, rest) = from.split_at(from.len().min(room));
        // SAFETY: both parts lie inside the data; the protocol gives them to this side.
        unsafe {
            to.copy_from_nonoverlapping(first.as_ptr(), first.len());
            begin.copy_from_nonoverlapping(rest.as_ptr(), rest.len());
        }
    }
    fn read(&self, position: u64, to: &mut [u8]) {
        let ((from, room), (begin, _)) = (self.at(position), self.at(0));
        let (first, rest) = to.split_at_mut(to.len().min(room));
        // SAFETY: as in `write`.
        unsafe {
            from.copy_to_nonoverlapping(first.as_mut_ptr(), first.len());
            begin.copy_to_nonoverlapping(rest.as_mut_ptr(), rest.len());
        }
    }
    fn registered(&self) -> bool {
        self.registered
    }
    // Sleeping is giving way here: the kernel's part is not what is looked at.
    fn sleep_for_record(&self, _position: u64, _until: u64) -> Nap {
        std::thread::yield_now();
        Nap::Over
    }
    fn wake_for_record(&self, _position: u64) {}
    fn sleep_for_room(&self, _seen: u64, _until: u64) -> Nap {
        std::thread::yield_now();
        Nap::Over
    }
    fn wake_for_room(&self) {}
}

/// Record `n`: lengths of 0 to `LONGEST`, contents that follow from the number.
fn record(n: u64) -> Vec<u8> {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let len = (mixed >> 40) as usize % (LONGEST + 1);
    (0..len as u64).map(|i| (mixed >> (i % 8 * 8)) as u8 ^ i as u8).collect()
}

/// Sends records one by one and in batches; each tenth batch, a successor goes on.
fn send_all(memory: &Arc<Heap>, records: u64) {
    let mut tx = Sender::take_over(Arc::clone(memory)).unwrap();
    let mut next = 0;
    while next < records {
        let batch: Vec<_> = (next..records.min(next + 1 + next % 4)).map(record).collect();
        let sent = match &batch[..] {
            [single] => u64::from(tx.send(Content::Data, single).unwrap()),
            several => tx.send_many(several.iter().map(Vec::as_slice)).unwrap() as u64,
        };
        if sent == 0 {
            nap_for_room(memory, tx.wanted(batch[0].len()), Sleeper::Call, 0);
        }
        next += sent;
        if next % 10 == 0 {
            tx = Sender::take_over(Arc::clone(memory)).unwrap();
        }
    }
}

/// Receives records one by one and several at once.
fn receive_all(memory: &Arc<Heap>, records: u64) {
    let mut rx = Receiver::take_over(Arc::clone(memory)).unwrap();
    let (mut next, mut buffer) = (0, [0; LONGEST]);
    while next < records {
        let (mut end, mut count) = (rx.position(), 0);
        while let (Some(found), true) = (rx.peek_at(end).unwrap(), count <= next % 3) {
            memory.read(found.payload(), &mut buffer[..found.len]);
            assert_eq!(buffer[..found.len], record(next + count));
            (end, count) = (found.end(), count + 1);
        }
        match count {
            0 => drop(nap_for_record(memory, end, Sleeper::Call, 0)),
            _ => rx.release(end, count),
        }
        next += count;
        if next % 10 == 0 {
            rx = Receiver::take_over(Arc::clone(memory)).unwrap();
        }
    }
}

/// Both where the partner's barrier reaches a thread and where it fences by itself. `IPCX_SECONDS` is for how long; without
/// it, one round.
#[test]
fn two_threads_over_one_memory_touch_no_byte_at_once() {
    const ROUND: u64 = 50_000;
    const MOST: u64 = 10_000_000;
    let seconds =
        std::env::var("IPCX_SECONDS").map_or(0, |text| text.parse().expect("IPCX_SECONDS is a number"));
    let (until, mut records) = (Instant::now() + Duration::from_secs(seconds), 0);
    while records == 0 || (Instant::now() < until && records < MOST) {
        for registered in [barrier::register(), false] {
            let memory = Heap::make(registered);
            let inner = Arc::clone(&memory);
            let sender = std::thread::spawn(move || send_all(&inner, ROUND));
            receive_all(&memory, ROUND);
            sender.join().unwrap();
            records += ROUND;
        }
    }
    println!("{records} records between two threads over one memory");
}
