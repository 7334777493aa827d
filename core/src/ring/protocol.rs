//! The ring's protocol, over any memory: the mapped one, and loom's.
//!
//! Two promises carry everything. *The word at the tail is 0*, so a consumer that has read everything reads 0, and a
//! new producer finds the tail by walking from the consumer's position to the first 0. *One release store commits*: the
//! header word of the (first) record makes it, and all before it, visible; killed before it, the send never
//! happened; killed after it, it happened. Likewise the consumer's position is one release store.
//!
//! | store | ordering | partner |
//! |---|---|---|
//! | 0 at the next header's place | relaxed | ordered by the header's release |
//! | payload, headers of records 2..n of a batch | plain | ordered by the first header's release |
//! | header of the first record | release | consumer's acquire load of the same word |
//! | consumer's position | release | producer's acquire load, before it overwrites what was read |

use super::layout::{largest_payload, record_size, ConsumerPage, ProducerPage};
use crate::stream::{record, record_len, record_word, Content, Corruption, NOT_A_RECORD, WORD};
use crate::sync::{AtomicU64, Ordering};
use crate::wait::{Nap, Sleeper, Waker};

/// How far ahead of the tail a producer asks for the line it will write: measured, see docs/ring-format.md.
const PREFETCH: u64 = 256;

/// What the protocol needs of memory. Cheap to clone; a clone is another view of the same ring.
pub(crate) trait Memory: Clone {
    /// Bytes of data; positions are taken modulo this.
    fn capacity(&self) -> u64;
    fn producer(&self) -> &ProducerPage;
    fn consumer(&self) -> &ConsumerPage;
    /// The word at a position that is a multiple of 8.
    fn word(&self, position: u64) -> &AtomicU64;
    /// Brings the line that holds `position` near for writing; a hint.
    fn prefetch(&self, position: u64);
    /// Copies `from` to the bytes from `position` on. At most a capacity.
    fn write(&self, position: u64, from: &[u8]);
    /// Copies the bytes from `position` on to `to`. At most a capacity.
    fn read(&self, position: u64, to: &mut [u8]);
    /// True if a sleeping partner's barrier reaches this process.
    fn registered(&self) -> bool;
    /// Sleeps while the record at `position` is not committed, until woken or `until`.
    fn sleep_for_record(&self, position: u64, until: u64) -> Nap;
    fn wake_for_record(&self, position: u64);
    /// Sleeps while the consumer's position is `seen`, until woken or `until`.
    fn sleep_for_room(&self, seen: u64, until: u64) -> Nap;
    fn wake_for_room(&self);
}

/// The sending side. One at a time exists, for which the producer's role stands.
#[derive(Debug)]
pub(crate) struct Sender<M> {
    memory: M,
    /// Position of the next record. Private: the shared truth is the records themselves.
    tail: u64,
    /// Consumer position last seen, plus capacity: the first position that may not be written.
    limit: u64,
    waker: Waker,
    records: u64,
}

impl<M: Memory> Sender<M> {
    /// Begins or continues where the records end, whoever wrote them.
    pub(crate) fn take_over(memory: M) -> Result<Self, Corruption> {
        let head = memory.consumer().position.load(Ordering::Acquire); // Partner: `Receiver::release`.
        if head % WORD != 0 {
            return Err(Corruption("the consumer's position is not a multiple of 8"));
        }
        let mut tail = head;
        loop {
            // Acquire: partner of a dead producer's commit; its payload is not looked at here.
            let word = memory.word(tail).load(Ordering::Acquire);
            if word == 0 {
                break;
            }
            let (_, len) = record(word, tail).ok_or(NOT_A_RECORD)?;
            tail = tail.wrapping_add(record_size(len));
            // Each turn adds at least 8, so this also bounds the walk.
            if tail.wrapping_sub(head) > memory.capacity() - WORD {
                return Err(Corruption("the records are longer than the ring"));
            }
        }
        memory.producer().sleepers.reset();
        // Relaxed: hints, written by this side only.
        let records = memory.producer().records.load(Ordering::Relaxed);
        memory.producer().tail.store(tail, Ordering::Relaxed);
        let limit = head.wrapping_add(memory.capacity());
        let waker = Waker::new(memory.registered());
        Ok(Sender { memory, tail, limit, waker, records })
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Position of the next record.
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Largest payload that can ever be sent.
    pub(crate) fn largest(&self) -> usize {
        largest_payload(self.memory.capacity())
    }

    /// True if a record of `len` at `at`, and the 0 behind it, fit as far as is known. `at` is the tail, or follows it in
    /// a batch that fits. A length may be too large for the ring, but not near 2^63, which no slice is in any machine.
    #[inline(always)]
    fn had_room(&self, at: u64, len: usize) -> bool {
        // Wrapping difference: tail and limit are within a capacity of each other.
        self.limit.wrapping_sub(at.wrapping_add(record_size(len) + WORD)) as i64 >= 0
    }

    /// The same after another look, if needed.
    #[inline(always)]
    fn fits(&mut self, at: u64, len: usize) -> Result<bool, Corruption> {
        if self.had_room(at, len) {
            return Ok(true);
        }
        self.look()?;
        Ok(self.had_room(at, len))
    }

    /// Looks at the consumer's position again.
    #[inline(never)]
    fn look(&mut self) -> Result<(), Corruption> {
        // Acquire: what is overwritten next was read before the partner's release (`Receiver::release`).
        let head = self.memory.consumer().position.load(Ordering::Acquire);
        let used = self.tail.wrapping_sub(head);
        if used > self.memory.capacity() - WORD || head % WORD != 0 {
            return Err(Corruption(
                "the consumer's position is not between the oldest record and the newest",
            ));
        }
        self.limit = head.wrapping_add(self.memory.capacity());
        Ok(())
    }

    /// True if there is room for a record of `len`.
    #[inline(always)]
    pub(crate) fn has_room(&mut self, len: usize) -> Result<bool, Corruption> {
        self.fits(self.tail, len)
    }

    /// Position of the payload that [`Sender::commit`] will make visible.
    #[inline(always)]
    pub(crate) fn payload(&self) -> u64 {
        self.tail.wrapping_add(WORD)
    }

    /// Commits the `len` bytes written at [`Sender::payload`]. There was room for them.
    #[inline(always)]
    pub(crate) fn commit(&mut self, content: Content, len: usize) {
        let next = self.tail.wrapping_add(record_size(len));
        self.memory.word(next).store(0, Ordering::Relaxed);
        self.publish(self.tail, record_word(content, len, self.tail), next, 1);
    }

    /// Sends one record, if there was room for it at the last look at the consumer's position.
    #[inline(always)]
    pub(crate) fn send_fast(&mut self, content: Content, data: &[u8]) -> bool {
        let fits = self.had_room(self.tail, data.len());
        if fits {
            self.memory.write(self.payload(), data);
            self.commit(content, data.len());
        }
        fits
    }

    /// Sends one record; false if there is no room.
    pub(crate) fn send(&mut self, content: Content, data: &[u8]) -> Result<bool, Corruption> {
        Ok(self.has_room(data.len())? && self.send_fast(content, data))
    }

    /// Sends as many of the records as there is room for, in one commit; says how many. Each is at most
    /// [`Sender::largest`].
    pub(crate) fn send_many<'a>(
        &mut self,
        records: impl Iterator<Item = &'a [u8]>,
    ) -> Result<usize, Corruption> {
        let tail = self.tail;
        let (mut at, mut count, mut first) = (tail, 0, None);
        for data in records {
            if !self.fits(at, data.len())? {
                break;
            }
            if count == 0 {
                first = Some(data); // Written last, so that its line is the partner's for as long as possible.
            } else {
                self.memory.word(at).store(record_word(Content::Data, data.len(), at), Ordering::Relaxed);
                self.memory.write(at.wrapping_add(WORD), data);
            }
            at = at.wrapping_add(record_size(data.len()));
            count += 1;
        }
        if let Some(data) = first {
            self.memory.word(at).store(0, Ordering::Relaxed);
            self.memory.write(self.payload(), data);
            self.publish(tail, record_word(Content::Data, data.len(), tail), at, count as u64);
        }
        Ok(count)
    }

    /// The one store that commits, and the wake-up after it.
    #[inline(always)]
    fn publish(&mut self, first: u64, header: u64, next: u64, records: u64) {
        self.memory.word(first).store(header, Ordering::Release); // Partner: `Receiver::peek`.
        self.tail = next;
        self.records = self.records.wrapping_add(records);
        let page = self.memory.producer();
        page.records.store(self.records, Ordering::Relaxed); // Hints for display.
        page.tail.store(next, Ordering::Relaxed);
        let memory = &self.memory;
        // A consumer sleeps only at the tail, which was `first`.
        self.waker.notify(&memory.consumer().sleepers, |at| at == first, || memory.wake_for_record(first));
        memory.prefetch(next.wrapping_add(PREFETCH));
    }

    /// What [`nap_for_room`] needs to wait for a record of `len`: the consumer position that makes room.
    pub(crate) fn wanted(&self, len: usize) -> u64 {
        self.tail.wrapping_add(record_size(len) + WORD).wrapping_sub(self.memory.capacity())
    }
}

/// A committed record, seen at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) len: usize,
    pub(crate) content: Content,
}

impl Found {
    /// Position of the payload.
    #[inline(always)]
    pub(crate) fn payload(self) -> u64 {
        self.position.wrapping_add(WORD)
    }

    /// Position of what follows.
    #[inline(always)]
    pub(crate) fn end(self) -> u64 {
        self.position.wrapping_add(record_size(self.len))
    }
}

/// The receiving side. One at a time exists, for which the consumer's role stands.
#[derive(Debug)]
pub(crate) struct Receiver<M> {
    memory: M,
    /// Private copy of the position; the shared one is only ever stored.
    position: u64,
    waker: Waker,
    records: u64,
}

impl<M: Memory> Receiver<M> {
    /// Begins or continues where the position stands, whoever stored it.
    pub(crate) fn take_over(memory: M) -> Result<Self, Corruption> {
        let page = memory.consumer();
        let position = page.position.load(Ordering::Acquire); // Partner: a dead consumer's `release`.
        if position % WORD != 0 {
            return Err(Corruption("the consumer's position is not a multiple of 8"));
        }
        page.sleepers.reset();
        let records = page.records.load(Ordering::Relaxed); // A hint, written by this side only.
        let waker = Waker::new(memory.registered());
        Ok(Receiver { memory, position, waker, records })
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Position of the first record not released.
    #[inline(always)]
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Records released since the ring was made, as far as is known.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The record at the position, if it is committed.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Result<Option<Found>, Corruption> {
        self.peek_at(self.position)
    }

    /// The record at `at`, which is the position or follows records seen from it on.
    #[inline(always)]
    pub(crate) fn peek_at(&self, at: u64) -> Result<Option<Found>, Corruption> {
        match self.found_at(at) {
            Ok(found) => Ok(Some(found)),
            Err(0) => Ok(None),
            Err(_) => Err(NOT_A_RECORD),
        }
    }

    /// As [`Receiver::peek`] for a record of the user's bytes, without saying why there is none.
    #[inline(always)]
    pub(crate) fn peek_fast(&self) -> Option<Found> {
        let (at, content) = (self.position, Content::Data);
        // Acquire: partner of `Sender::publish`; the one load of this word for this decision.
        let len = record_len(content, self.memory.word(at).load(Ordering::Acquire), at)?;
        let found = Found { position: at, len, content };
        (found.end().wrapping_sub(at) <= self.memory.capacity() - WORD).then_some(found)
    }

    /// True if a record may be there now: a hint.
    #[inline(always)]
    pub(crate) fn may_peek(&self) -> bool {
        self.memory.word(self.position).load(Ordering::Relaxed) != 0 // Relaxed: `peek` acquires.
    }

    /// The record whose word is at `at`, or the word, if ipcx does not write that for a record that fits there.
    #[inline(always)]
    fn found_at(&self, at: u64) -> Result<Found, u64> {
        // Acquire: partner of `Sender::publish`; the one load of this word for this decision.
        let word = self.memory.word(at).load(Ordering::Acquire);
        let (content, len) = record(word, at).ok_or(word)?;
        let found = Found { position: at, len, content };
        if found.end().wrapping_sub(self.position) > self.memory.capacity() - WORD {
            return Err(word);
        }
        Ok(found)
    }

    /// Gives `records` records up to `end` back: they will not be delivered again.
    #[inline(always)]
    pub(crate) fn release(&mut self, end: u64, records: u64) {
        let page = self.memory.consumer();
        self.records = self.records.wrapping_add(records);
        page.records.store(self.records, Ordering::Relaxed); // A hint for display.
        page.position.store(end, Ordering::Release); // Partner: `Sender::look`.
        self.position = end;
        let memory = &self.memory;
        let reached = |wanted| end.wrapping_sub(wanted) as i64 >= 0;
        self.waker.notify(&memory.producer().sleepers, reached, || memory.wake_for_room());
    }
}

/// True if no record is there for the next consumer. For who has not taken over yet: any bytes may stand there.
pub(crate) fn is_empty(memory: &impl Memory) -> bool {
    let position = memory.consumer().position.load(Ordering::Acquire) & !(WORD - 1); // Partner: `Receiver::release`.
    memory.word(position).load(Ordering::Acquire) == 0 // Partner: `Sender::publish`.
}

/// Sleeps until a record is committed at `position`, or until `until`. For the consumer's side only.
pub(crate) fn nap_for_record(memory: &impl Memory, position: u64, who: Sleeper, until: u64) -> Nap {
    let nap = match announce_for_record(memory, position, who) {
        true => memory.sleep_for_record(position, until),
        false => Nap::Over,
    };
    memory.consumer().sleepers.withdraw(who);
    nap
}

/// Sleeps until the consumer's position reaches `wanted`, or until `until`. For the producer's side only.
pub(crate) fn nap_for_room(memory: &impl Memory, wanted: u64, who: Sleeper, until: u64) -> Nap {
    let nap = match announce_for_room(memory, wanted, who) {
        Some(seen) => memory.sleep_for_room(seen, until),
        None => Nap::Over,
    };
    memory.producer().sleepers.withdraw(who);
    nap
}

/// Says that `who` of the consumer's side is about to sleep until the record at `position` is committed; false if it was just
/// now. After either, the sleep is withdrawn.
pub(crate) fn announce_for_record(memory: &impl Memory, position: u64, who: Sleeper) -> bool {
    memory.consumer().sleepers.announce(who, position);
    memory.word(position).load(Ordering::Relaxed) == 0 // Relaxed is enough to stay awake; `peek` acquires.
}

/// Says that `who` of the producer's side is about to sleep until the consumer's position reaches `wanted`: the position that it
/// has; `None` if it was reached just now. After either, the sleep is withdrawn.
pub(crate) fn announce_for_room(memory: &impl Memory, wanted: u64, who: Sleeper) -> Option<u64> {
    memory.producer().sleepers.announce(who, wanted);
    // Relaxed is enough to stay awake; `Sender::look` acquires.
    let seen = memory.consumer().position.load(Ordering::Relaxed);
    (seen.wrapping_sub(wanted) as i64).is_negative().then_some(seen)
}
