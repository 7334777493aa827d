//! The topic's protocol, over any memory: the mapped one, and loom's.
//!
//! *One release store commits*: the word at the tail is 0 until the record is whole, and nothing else says that it is there. A
//! publisher that dies before that store has published nothing; one that dies behind it has. Whoever owns the mutex next follows
//! the records from the newest one known to the first 0, and goes on there.
//!
//! *Subscribers of a lossy topic write nothing.* They copy, and then ask for the oldest position that is not being overwritten.
//! Publishers move that on before they overwrite anything, a good part of the ring at a time: so what all subscribers read
//! changes rarely, and publishing costs the same for any number of them.
//!
//! *Subscribers of a reliable topic hold what they have not released* by a cursor each. Publishers look at all cursors only when they
//! move the oldest position on. One that comes says that it holds everything, and then looks where the oldest position is: it or
//! the publisher sees the other (Dekker's argument; the models in `tests/model` check it).
//!
//! | store | ordering | partner |
//! |---|---|---|
//! | payload, number, 0 at the next word's place | plain, relaxed | ordered by the word's release |
//! | a record's word | release | a subscriber's acquire load of it |
//! | `newest` | release | one that comes begins there |
//! | `oldest` | release, and a release fence before bytes are overwritten | the acquire fence between a copy and the look at `oldest` |
//! | cursor | release | the publisher's acquire load, before it overwrites what was read |
//! | `free` | as `oldest` | the same for subscribers of a reliable topic |

use super::layout::{largest_payload, record_size, Cursor, Events, Publishers};
use crate::event::Kernel;
use crate::stream::{record_len, record_word, Content, Corruption, NOT_A_RECORD, WORD};
use crate::sync::{fence, AtomicU64, Ordering};
use crate::wait::Nap;

/// The oldest position moves on by at least this part of the capacity, if that is to be had.
const STRIDE: u64 = 16;
/// How often a subscriber that was overtaken goes on at the oldest record, before it takes the newest.
const PATIENCE: u32 = 2;
/// How often it tries at all in one call.
const TRIES: u32 = 64;
/// How many sleepers each one that was woken wakes.
const FAN_OUT: u32 = 2;

/// What the protocol needs of memory. Cheap to clone; a clone is another view of the same topic.
pub(crate) trait Memory: Clone {
    /// Bytes of data; positions are taken modulo this.
    fn capacity(&self) -> u64;
    fn publishers(&self) -> &Publishers;
    fn events(&self) -> &Events;
    /// One per participant in a reliable topic, otherwise none.
    fn cursors(&self) -> &[Cursor];
    /// The word at a position that is a multiple of 8.
    fn word(&self, position: u64) -> &AtomicU64;
    /// Copies `from` to the bytes from `position` on. At most a capacity.
    fn write(&self, position: u64, from: &[u8]);
    /// Copies the bytes from `position` on to `to`; others may be writing there. At most a capacity.
    fn read(&self, position: u64, to: &mut [u8]);
    fn kernel(&self) -> &impl Kernel;
}

/// How far `position` is behind `other`; negative if it is not.
#[inline(always)]
fn behind(position: u64, other: u64) -> i64 {
    other.wrapping_sub(position) as i64
}

/// The length that the record at a position has; `None` if ipcx does not write such a word there.
#[inline(always)]
fn length(memory: &impl Memory, word: u64, position: u64) -> Option<usize> {
    record_len(Content::Data, word, position).filter(|len| *len <= largest_payload(memory.capacity()))
}

fn number_of(memory: &impl Memory, position: u64) -> &AtomicU64 {
    memory.word(position.wrapping_add(WORD))
}

/// Position of the payload of the record at a position.
#[inline(always)]
fn payload_of(position: u64) -> u64 {
    position.wrapping_add(2 * WORD)
}

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
        let (page, capacity) = (self.memory.publishers(), self.memory.capacity());
        let (oldest, free) = (page.oldest.load(Ordering::Relaxed), self.free);
        let ordered = behind(free, oldest) >= 0 && behind(oldest, newest) >= 0;
        if !ordered || (newest | oldest | free) % WORD != 0 || newest.wrapping_sub(free) >= capacity {
            return Err(Corruption("the oldest record and the newest are not where they can be"));
        }
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
        let held = self.held();
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
            let held = self.held();
            if behind(end, held) < 0 {
                end = self.boundary(held, held)?;
            }
        }
        page.free.store(end, Ordering::Release); // Partner: `Reader::boundary`.
        fence(Ordering::Release); // Partner: the fence in `Reader::is_whole`.
        self.free = end;
        Ok(behind(needed, end) >= 0)
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

/// After a commit, by whoever: wakes one who waits for a record, and that one others, so that a publisher pays for one.
#[inline(always)]
pub(crate) fn announce(memory: &impl Memory) {
    memory.events().published.notify(memory.kernel(), 1);
}

/// The participants that hold something before `needed`.
pub(crate) fn holders<M: Memory>(memory: &M, needed: u64) -> impl Iterator<Item = u32> + use<'_, M> {
    let holds = move |cursor: &Cursor| {
        let word = cursor.0.load(Ordering::Relaxed); // Relaxed: `Writer::held` acquires.
        word != 0 && behind(needed, word.wrapping_sub(1)) < 0
    };
    (0..).zip(memory.cursors()).filter(move |(_, cursor)| holds(cursor)).map(|(slot, _)| slot)
}

/// Takes back what the participant in a slot held. For that participant, and for the holder of its lease when it is dead.
pub(crate) fn let_go(memory: &impl Memory, slot: u32) {
    if let Some(cursor) = memory.cursors().get(slot as usize) {
        cursor.0.store(0, Ordering::Release); // Partner: `Writer::held`.
        memory.events().released.notify(memory.kernel(), u32::MAX);
    }
}

/// Where a subscriber begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With what is published from now on.
    Next,
    /// With the newest record, if there is one.
    Latest,
    /// With the oldest record that is still there.
    Oldest,
}

/// A record, seen at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) len: usize,
    pub(crate) number: u64,
}

impl Found {
    /// Position of the payload.
    #[inline(always)]
    pub(crate) fn payload(self) -> u64 {
        payload_of(self.position)
    }
}

/// What a look for the next record gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// This many bytes were copied; the record is done with.
    Whole(usize),
    /// It has so many bytes, and there is no room for them. It stays.
    TooBig(usize),
    Nothing,
}

/// One subscriber.
#[derive(Debug)]
pub(crate) struct Reader<M> {
    memory: M,
    /// Position and number of the next record.
    position: u64,
    number: u64,
    missed: u64,
    /// Of a reliable topic: the slot whose cursor is this one's.
    slot: Option<u32>,
}

impl<M: Memory> Reader<M> {
    /// Begins there. `slot` is the participant's of which this is the only subscriber.
    pub(crate) fn join(memory: M, start: StartAt, slot: u32) -> Result<Reader<M>, Corruption> {
        let slot = (!memory.cursors().is_empty()).then_some(slot);
        let mut reader = Reader { memory, position: 0, number: 0, missed: 0, slot };
        reader.hold();
        let found = reader.find_often(start);
        if found.is_err() {
            reader.leave();
        }
        (reader.position, reader.number) = found?;
        reader.show();
        Ok(reader)
    }

    /// As [`Reader::find`], as often as it takes.
    fn find_often(&self, start: StartAt) -> Result<(u64, u64), Corruption> {
        for _ in 0..TRIES {
            if let Some(found) = self.find(start)? {
                return Ok(found);
            }
        }
        Err(Corruption("the newest record is never where it is said to be"))
    }

    /// In a reliable topic: from here on nothing is overwritten that was not before.
    fn hold(&self) {
        let Some(cursor) = self.cursor() else { return };
        let oldest = self.memory.publishers().oldest.load(Ordering::Acquire); // Partner: `Writer::advance`.
        cursor.0.store(oldest.wrapping_add(1), Ordering::Relaxed);
        // Partner: `Writer::advance`. A publisher that does not see the cursor has said before what it may overwrite, and
        // `find` sees that.
        fence(Ordering::SeqCst);
    }

    /// Position and number of the record to begin with; `None` if it was overwritten meanwhile.
    fn find(&self, start: StartAt) -> Result<Option<(u64, u64)>, Corruption> {
        let page = self.memory.publishers();
        let from = match start {
            StartAt::Oldest => page.oldest.load(Ordering::Acquire), // Partner: `Writer::advance`.
            StartAt::Latest | StartAt::Next => page.newest.load(Ordering::Acquire), // Partner: `Writer::commit`.
        };
        if from % WORD != 0 {
            return Err(Corruption("a position is not a multiple of 8"));
        }
        let (mut at, mut number, mut sound) = (from, 0, true);
        loop {
            let word = self.memory.word(at).load(Ordering::Acquire); // Partner: `Writer::commit`.
            if word == 0 {
                sound &= at != from || from == 0;
                break;
            }
            let Some(len) = length(&self.memory, word, at) else {
                sound = false;
                break;
            };
            number = number_of(&self.memory, at).load(Ordering::Relaxed);
            if start != StartAt::Next {
                break;
            }
            (at, number) = (at.wrapping_add(record_size(len)), number.wrapping_add(1));
            // Also bounds the walk.
            sound = at.wrapping_sub(from) <= self.memory.capacity();
            if !sound {
                break;
            }
        }
        match (self.is_there(from), sound) {
            (false, _) => Ok(None),
            (true, true) => Ok(Some((at, number))),
            (true, false) => Err(NOT_A_RECORD),
        }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Position of the next record.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Records that were overwritten before this subscriber had them, as of the last one that it had.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    fn cursor(&self) -> Option<&Cursor> {
        self.slot.and_then(|slot| self.memory.cursors().get(slot as usize))
    }

    /// Where the cursor is, is where this subscriber is.
    #[inline(always)]
    fn show(&self) {
        if let Some(cursor) = self.cursor() {
            cursor.0.store(self.position.wrapping_add(1), Ordering::Release); // Partner: `Writer::held`.
            self.memory.events().released.notify(self.memory.kernel(), u32::MAX);
        }
    }

    /// The first position that is not being overwritten. In a reliable topic that is not `oldest`, which may be said of records
    /// that are then found to be held.
    #[inline(always)]
    fn boundary(&self) -> u64 {
        let page = self.memory.publishers();
        // Acquire: whoever goes on there sees the record. Partner: `Writer::advance`.
        if self.slot.is_some() { &page.free } else { &page.oldest }.load(Ordering::Acquire)
    }

    /// True if what was read at `position` was not being overwritten.
    #[inline(always)]
    fn is_there(&self, position: u64) -> bool {
        fence(Ordering::Acquire); // Partner: the fence in `Writer::advance`: who saw a new byte sees that it was begun.
        behind(self.boundary(), position) >= 0
    }

    /// True if the bytes of this record, read before, were not being overwritten.
    #[inline(always)]
    pub(crate) fn is_whole(&self, found: Found) -> bool {
        self.is_there(found.position)
    }

    /// The record at the position, if that word is one's; otherwise the word.
    #[inline(always)]
    fn look(&self) -> Result<Found, u64> {
        let position = self.position;
        // Acquire: partner of `Writer::commit`; the one load of this word for this decision.
        let word = self.memory.word(position).load(Ordering::Acquire);
        let len = length(&self.memory, word, position).ok_or(word)?;
        let number = number_of(&self.memory, position).load(Ordering::Relaxed);
        Ok(Found { position, len, number })
    }

    /// The next record. What is found, and what is read of it, counts only if it [is whole](Reader::is_whole) afterwards;
    /// otherwise [`Reader::catch_up`].
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Result<Option<Found>, Corruption> {
        match self.look() {
            Ok(found) => Ok(Some(found)),
            Err(word) => self.peek_again(word),
        }
    }

    #[cold]
    fn peek_again(&mut self, mut word: u64) -> Result<Option<Found>, Corruption> {
        for tries in 0..TRIES {
            if self.is_there(self.position) {
                return if word == 0 { Ok(None) } else { Err(NOT_A_RECORD) };
            }
            self.catch_up(tries)?;
            match self.look() {
                Ok(found) => return Ok(Some(found)),
                Err(other) => word = other,
            }
        }
        Ok(None) // Publishers are faster than that, all the time.
    }

    /// The next record, which was whole at the end of this call.
    pub(crate) fn peek_whole(&mut self) -> Result<Option<Found>, Corruption> {
        for tries in 0..TRIES {
            match self.peek()? {
                Some(found) if !self.is_whole(found) => self.catch_up(tries)?,
                found => return Ok(found),
            }
        }
        Ok(None) // As above.
    }

    /// Copies the next record and is done with it.
    #[inline(always)]
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<Received, Corruption> {
        for tries in 0..TRIES {
            let Some(found) = self.peek()? else { return Ok(Received::Nothing) };
            let part = buffer.get_mut(..found.len);
            let copied = part.map(|part| self.memory.read(found.payload(), part)).is_some();
            if self.is_whole(found) {
                if !copied {
                    return Ok(Received::TooBig(found.len));
                }
                self.take(found)?;
                return Ok(Received::Whole(found.len));
            }
            self.catch_up(tries)?;
        }
        Ok(Received::Nothing) // As above.
    }

    /// Is done with a record that was whole, and counts those that were missed before it.
    #[inline(always)]
    pub(crate) fn take(&mut self, found: Found) -> Result<(), Corruption> {
        let missed = found.number.wrapping_sub(self.number);
        if missed as i64 >= 0 {
            self.missed = self.missed.wrapping_add(missed);
            self.number = found.number.wrapping_add(1);
            self.position = found.position.wrapping_add(record_size(found.len));
            self.show();
            return Ok(());
        }
        Err(Corruption("the records' numbers do not rise"))
    }

    /// Goes on at a record that is still there, after this subscriber was overtaken: at the oldest one, or, if that did not help,
    /// at the newest.
    #[cold]
    pub(crate) fn catch_up(&mut self, tries: u32) -> Result<(), Corruption> {
        let newest = self.memory.publishers().newest.load(Ordering::Acquire); // Partner: `Writer::commit`.
        let to = if tries < PATIENCE { self.boundary() } else { newest };
        if to % WORD != 0 {
            return Err(Corruption("a position is not a multiple of 8"));
        }
        if behind(self.position, to) > 0 {
            self.position = to;
        }
        Ok(())
    }

    /// True if the next record may be there now, or this subscriber was overtaken: a hint.
    #[inline(always)]
    pub(crate) fn may_receive(&self) -> bool {
        may_receive(&self.memory, self.position)
    }

    /// Holds nothing any more.
    pub(crate) fn leave(&mut self) {
        if let Some(slot) = self.slot.take() {
            let_go(&self.memory, slot);
        }
    }
}

/// True if a record may be there now for a subscriber at `position`, or it was overtaken: a hint.
#[inline(always)]
pub(crate) fn may_receive(memory: &impl Memory, position: u64) -> bool {
    // Relaxed: whoever receives acquires.
    memory.word(position).load(Ordering::Relaxed) != 0
        || behind(memory.publishers().oldest.load(Ordering::Relaxed), position) < 0
}

/// Sleeps until a record may be there for a subscriber at `position`, or until `until`.
pub(crate) fn nap_for_record(memory: &impl Memory, position: u64, until: u64) -> Nap {
    let (event, kernel) = (&memory.events().published, memory.kernel());
    let mut slept = false;
    let nap = event.nap(kernel, || {
        slept = !may_receive(memory, position);
        slept.then_some(until)
    });
    if slept {
        pass_on(memory, position);
    }
    nap
}

/// After a sleep for a record: the publisher woke one, which wakes others. Not if there is none: who sleep would wake each other
/// for ever.
pub(crate) fn pass_on(memory: &impl Memory, position: u64) {
    if may_receive(memory, position) {
        memory.kernel().wake(&memory.events().published, FAN_OUT);
    }
}

/// Ends the sleep of all who wait for a record.
pub(crate) fn wake_all(memory: &impl Memory) {
    memory.events().published.notify(memory.kernel(), u32::MAX);
}

/// Position and number of the next record to be published, for who looks on.
pub(crate) fn published<M: Memory>(memory: &M) -> Result<(u64, u64), Corruption> {
    let looker = Reader { memory: memory.clone(), position: 0, number: 0, missed: 0, slot: None };
    looker.find_often(StartAt::Next)
}

/// The subscribers of a reliable topic whose tail is there: their slots, and how many bytes they hold.
pub(crate) fn lags<M: Memory>(memory: &M, tail: u64) -> impl Iterator<Item = (u32, u64)> + use<'_, M> {
    let capacity = memory.capacity();
    let words = memory.cursors().iter().map(|cursor| cursor.0.load(Ordering::Relaxed)); // Relaxed: for display.
    let lag = move |word: u64| behind(word.wrapping_sub(1), tail).clamp(0, capacity as i64) as u64;
    (0..).zip(words).filter(|(_, word)| *word != 0).map(move |(slot, word)| (slot, lag(word)))
}

/// Sleeps until nobody may hold anything before `needed`, or until `until`.
pub(crate) fn nap_for_room(memory: &impl Memory, needed: u64, until: u64) -> Nap {
    let released = &memory.events().released;
    released.nap(memory.kernel(), || holders(memory, needed).next().is_some().then_some(until))
}
