//! The protocol's subscribing half: beginning, receiving, being overtaken, letting go.

use super::layout::{record_size, Cursor};
use super::protocol::{behind, length, let_go, may_receive, number_of, payload_of, Memory};
use crate::stream::{Corruption, NOT_A_RECORD, WORD};
use crate::sync::{fence, Ordering};

/// How often a subscriber that was overtaken goes on at the oldest record, before it takes the newest.
const PATIENCE: u32 = 2;
/// How often it tries at all in one call.
const TRIES: u32 = 64;

/// Where a subscriber begins.
///
/// ```
/// let topic = ipcx::Topic::anonymous(&Default::default())?;
/// let mut publisher = topic.publisher()?;
/// publisher.publish(b"one")?;
/// publisher.publish(b"two")?;
/// let first = |start| topic.subscriber_at(start)?.try_borrow().map(|record| record.number());
/// assert_eq!(first(ipcx::StartAt::Oldest)?, 0);
/// assert_eq!(first(ipcx::StartAt::Latest)?, 1);
/// assert!(first(ipcx::StartAt::Next).is_err(), "nothing was published since");
/// # Ok::<(), ipcx::Error>(())
/// ```
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

/// Position and number of the next record to be published, for who looks on.
pub(crate) fn published<M: Memory>(memory: &M) -> Result<(u64, u64), Corruption> {
    let looker = Reader { memory: memory.clone(), position: 0, number: 0, missed: 0, slot: None };
    looker.find_often(StartAt::Next)
}
