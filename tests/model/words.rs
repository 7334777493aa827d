//! The ring's memory in the model checker: as many words of data as a model needs.
//!
//! Payload words are relaxed atomics, so that a stale one is seen as a wrong value; a cell beside each shows accesses that
//! nothing orders.

use super::kernel::Futex;
use crate::ring::layout::{ConsumerPage, ProducerPage};
use crate::ring::protocol::{nap_for_record, nap_for_room, Memory, Receiver, Sender};
use crate::stream::{Content, Corruption, WORD};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::{Nap, Sleeper};
use loom::cell::UnsafeCell;
use loom::sync::Arc;

/// Memory with as many words of data as the model needs.
pub(super) struct Words {
    producer: ProducerPage,
    consumer: ConsumerPage,
    data: Vec<AtomicU64>,
    /// Touched with each payload word, so that loom reports two sides at one word without order between them.
    payload: Vec<UnsafeCell<()>>,
    /// One for each word of data.
    record: Vec<Futex>,
    room: Futex,
    registered: bool,
}

pub(super) type Shared = Arc<Words>;

/// A ring of `words` words; garbage everywhere but at the tail, which is all that the protocol relies on.
pub(super) fn ring(words: u64) -> Shared {
    make(words, false)
}

/// The same where senders do not fence, for models in which nobody sleeps: there, nothing but the protocol's own
/// acquires and releases makes order.
pub(super) fn ring_without_fences(words: u64) -> Shared {
    make(words, true)
}

fn make(words: u64, registered: bool) -> Shared {
    let data = (0..words).map(|i| AtomicU64::new(if i == 0 { 0 } else { u64::MAX })).collect();
    Arc::new(Words {
        producer: ProducerPage::new(),
        consumer: ConsumerPage::new(),
        data,
        payload: (0..words).map(|_| UnsafeCell::new(())).collect(),
        record: (0..words).map(|_| Futex::new()).collect(),
        room: Futex::new(),
        registered,
    })
}

impl Words {
    fn index(&self, position: u64) -> usize {
        (position / WORD) as usize % self.data.len()
    }
}

impl Memory for Shared {
    fn capacity(&self) -> u64 {
        self.data.len() as u64 * WORD
    }
    fn producer(&self) -> &ProducerPage {
        &self.producer
    }
    fn consumer(&self) -> &ConsumerPage {
        &self.consumer
    }
    fn word(&self, position: u64) -> &AtomicU64 {
        &self.data[self.index(position)]
    }
    fn prefetch(&self, _position: u64) {}
    fn write(&self, position: u64, from: &[u8]) {
        for (i, word) in from.chunks(8).enumerate() {
            let (at, value) = (position + i as u64 * WORD, u64::from_le_bytes(word.try_into().unwrap()));
            self.payload[self.index(at)].with_mut(|_| ());
            self.word(at).store(value, Ordering::Relaxed);
        }
    }
    fn read(&self, position: u64, to: &mut [u8]) {
        for (i, word) in to.chunks_mut(8).enumerate() {
            let at = position + i as u64 * WORD;
            self.payload[self.index(at)].with(|_| ());
            word.copy_from_slice(&self.word(at).load(Ordering::Relaxed).to_le_bytes());
        }
    }
    fn registered(&self) -> bool {
        self.registered
    }
    fn sleep_for_record(&self, position: u64, _until: u64) -> Nap {
        self.record[self.index(position)].wait(|| self.word(position).load(Ordering::Relaxed) == 0)
    }
    fn wake_for_record(&self, position: u64) {
        self.record[self.index(position)].wake();
    }
    fn sleep_for_room(&self, seen: u64, _until: u64) -> Nap {
        self.room.wait(|| self.consumer.position.load(Ordering::Relaxed) == seen)
    }
    fn wake_for_room(&self) {
        self.room.wake();
    }
}

pub(super) fn try_receive(rx: &mut Receiver<Shared>) -> Result<Option<u64>, Corruption> {
    let Some(found) = rx.peek()? else { return Ok(None) };
    assert_eq!(found.len, 8);
    let mut bytes = [0; 8];
    rx.memory().read(found.payload(), &mut bytes);
    rx.release(found.end(), 1);
    Ok(Some(u64::from_le_bytes(bytes)))
}

pub(super) fn receive(rx: &mut Receiver<Shared>) -> u64 {
    loop {
        if let Some(value) = try_receive(rx).unwrap() {
            return value;
        }
        nap_for_record(rx.memory(), rx.position(), Sleeper::Call, 0);
    }
}

pub(super) fn send(tx: &mut Sender<Shared>, value: u64) {
    while !tx.send(Content::Data, &value.to_le_bytes()).unwrap() {
        nap_for_room(tx.memory(), tx.wanted(8), Sleeper::Call, 0);
    }
}

/// As `Room` in `producer.rs`, and as a call that waits for room.
pub(super) fn wait_for_position(memory: &Shared, wanted: u64, who: Sleeper) {
    while memory.consumer().position.load(Ordering::Relaxed) < wanted {
        nap_for_room(memory, wanted, who, 0);
    }
}
