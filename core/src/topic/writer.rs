//! The protocol's publishing half: finding the tail, making room, committing.

use super::layout::{largest_payload, record_size};
use super::protocol::{behind, length, number_of, payload_of, Memory};
use crate::stream::{record_word, Content, Corruption, NOT_A_RECORD, WORD};
use crate::sync::{fence, Ordering};

/// The oldest position moves on by at least this part of the capacity, if that is to be had.
const STRIDE: u64 = 16;

/// One publisher's private half. All of its calls but [`Writer::largest`] are for the owner of the mutex.
#[derive(Debug)]
pub(crate) struct Writer<M> {
    memory: M,
    /// Position of the newest record, and whether this publisher wrote it: then what follows is true.
    newest: u64,
    is_ours: bool,
    /// Position and number of the next record.
    tail: u64,
    number: u64,
    /// Bytes before this may be overwritten.
    free: u64,
}

impl<M: Memory> Writer<M> {
    pub(crate) fn new(memory: M) -> Writer<M> {
        Writer { memory, newest: 0, is_ours: false, tail: 0, number: 0, free: 0 }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Largest payload that can ever be published.
    pub(crate) fn largest(&self) -> usize {
        largest_payload(self.memory.capacity())
    }

    /// Position of the payload that [`Writer::commit`] will make visible.
    #[inline(always)]
    pub(crate) fn payload(&self) -> u64 {
        payload_of(self.tail)
    }

    /// Finds the tail, whoever wrote the last record. Comes first whenever the mutex was taken.
    #[inline(always)]
    pub(crate) fn begin(&mut self) -> Result<(), Corruption> {
        // Relaxed: the mutex orders this behind who owned it before.
        let page = self.memory.publishers();
        let newest = page.newest.load(Ordering::Relaxed);
        self.free = page.free.load(Ordering::Relaxed); // Another may have made room, and published nothing.
        let goes_on = self.is_ours
            && newest == self.newest
            // One that died may have committed here, and no more.
            && self.memory.word(self.tail).load(Ordering::Relaxed) == 0;
        if goes_on {
            return Ok(());
        }
        self.find_tail(newest)
    }

    #[cold]
    #[inline(never)]
    fn find_tail(&mut self, newest: u64) -> Result<(), Corruption> {
        self.check(newest)?;
        let (page, capacity, free) = (self.memory.publishers(), self.memory.capacity(), self.free);
        let (mut at, mut last, mut number) = (newest, newest, 0);
        loop {
            let word = self.memory.word(at).load(Ordering::Relaxed); // Relaxed: as in `begin`.
            if word == 0 && (at != newest || newest == 0) {
                break;
            }
            let len = length(&self.memory, word, at).ok_or(NOT_A_RECORD)?;
            number = number_of(&self.memory, at).load(Ordering::Relaxed).wrapping_add(1);
            (last, at) = (at, at.wrapping_add(record_size(len)));
            // Each turn adds at least 16, so this also bounds the walk.
            if at.wrapping_sub(free) > capacity - WORD {
                return Err(Corruption("the records are longer than the ring"));
            }
        }
        // For who comes: the dead one did not say so.
        page.newest.store(last, Ordering::Release); // Partner: `Reader::join`.
        (self.newest, self.is_ours, self.tail, self.number) = (last, true, at, number);
        Ok(())
    }

    /// That `free`, the oldest position and the newest are where they can be. Walks from one to another rely on it.
    fn check(&self, newest: u64) -> Result<(), Corruption> {
        let (oldest, free) = (self.memory.publishers().oldest.load(Ordering::Relaxed), self.free); // Relaxed: as in `begin`.
        let ordered = behind(free, oldest) >= 0 && behind(oldest, newest) >= 0;
        if !ordered
            || (newest | oldest | free) % WORD != 0
            || newest.wrapping_sub(free) >= self.memory.capacity()
        {
            return Err(Corruption("the oldest record and the newest are not where they can be"));
        }
        Ok(())
    }

    /// What `free` must be for a record of `len` and the 0 behind it. The length is at most [`Writer::largest`].
    pub(crate) fn needed(&self, len: usize) -> u64 {
        self.tail.wrapping_add(record_size(len) + WORD).wrapping_sub(self.memory.capacity())
    }

    /// Makes room for a record of `len`; false if a subscriber holds what would be overwritten.
    #[inline(always)]
    pub(crate) fn make_room(&mut self, len: usize) -> Result<bool, Corruption> {
        let needed = self.needed(len);
        if behind(needed, self.free) >= 0 {
            return Ok(true);
        }
        self.advance(needed)
    }

    /// Moves the oldest position on to `needed` at least; false if a subscriber holds a record before that.
    #[cold]
    #[inline(never)]
    fn advance(&mut self, needed: u64) -> Result<bool, Corruption> {
        self.check(self.newest)?; // `begin` takes `free` as it is.
        let mut held = self.held();
        if behind(needed, held) < 0 {
            return Ok(false);
        }
        let wanted = needed.wrapping_add(self.memory.capacity() / STRIDE);
        let mut end = self.boundary(wanted, held)?;
        let page = self.memory.publishers();
        // Relaxed: written by owners of the mutex only. A dead one may have said more than it could have.
        if behind(page.oldest.load(Ordering::Relaxed), end) > 0 {
            page.oldest.store(end, Ordering::Release); // Partner: `Reader::boundary`.
        }
        if !self.memory.cursors().is_empty() {
            fence(Ordering::SeqCst); // Partner: `Reader::hold`.
            held = self.held();
            if behind(end, held) < 0 {
                end = self.boundary(held, held)?;
            }
        }
        page.free.store(end, Ordering::Release); // Partner: `Reader::boundary`.
        fence(Ordering::Release); // Partner: the fence in `Reader::is_whole`.
        self.free = end;
        let is_enough = behind(needed, end) >= 0;
        if !is_enough && behind(needed, held) >= 0 {
            // Nobody holds it, and nobody would be waited for.
            return Err(Corruption("a subscriber is where no record begins"));
        }
        Ok(is_enough)
    }

    /// The first boundary of records at or behind `wanted`, or, if that is behind `limit`, the last one that is not.
    fn boundary(&self, wanted: u64, limit: u64) -> Result<u64, Corruption> {
        let mut at = self.free;
        // Bounded: the newest record is less than a capacity away, and each turn adds at least 16.
        while behind(at, wanted) > 0 {
            let word = self.memory.word(at).load(Ordering::Relaxed); // Relaxed: as in `begin`.
            let len = length(&self.memory, word, at).ok_or(NOT_A_RECORD)?;
            let next = at.wrapping_add(record_size(len));
            if behind(next, limit) < 0 {
                break;
            }
            at = next;
        }
        Ok(at)
    }

    /// The position up to which nobody holds anything: at most the newest record.
    fn held(&self) -> u64 {
        let mut held = self.newest;
        for cursor in self.memory.cursors() {
            // Acquire: what is overwritten next was read before. Partner: `Reader::take`.
            let word = cursor.0.load(Ordering::Acquire);
            if word == 0 {
                continue;
            }
            let position = word.wrapping_sub(1);
            // One that comes may hold what was given up before: that is everything. Whatever it says, no less is free than was.
            if behind(position, held) > 0 {
                held = if behind(self.free, position) < 0 { self.free } else { position };
            }
        }
        held
    }

    /// Commits the `len` bytes written at [`Writer::payload`], for which room was made. [`announce`] comes next.
    #[inline(always)]
    pub(crate) fn commit(&mut self, len: usize) {
        let (at, memory) = (self.tail, &self.memory);
        let next = at.wrapping_add(record_size(len));
        number_of(memory, at).store(self.number, Ordering::Relaxed);
        memory.word(next).store(0, Ordering::Relaxed);
        memory.word(at).store(record_word(Content::Data, len, at), Ordering::Release); // Partner: `Reader::look`.
        memory.publishers().newest.store(at, Ordering::Release); // Partner: `Reader::join`.
        (self.newest, self.tail, self.number) = (at, next, self.number.wrapping_add(1));
    }
}
