//! The work queue's protocol, over any memory: the mapped one, and loom's.
//!
//! *A cell's word is the truth about its message*, and every change of hands is one change of that word, or, for a push, of the
//! entry by which the cell comes into its lane (`lanes`). Nobody ever waits for another: a message can be taken as soon as it
//! stands in its lane, whatever has become of who put it there.
//!
//! | what | how |
//! |---|---|
//! | push | takes the first cell of the free lane (free to owned), writes it, puts it into the lane of its priority |
//! | take | the first message of the highest lane that has one (owned to taken) |
//! | acknowledge | taken to free, and into the free lane |
//! | put back | taken to returned; it keeps its place, which is before all that still stand in the lane |
//! | too often | taken to dead letter |
//! | bury | what its participant was at is taken back, acknowledged, or put back |
//!
//! *Returned messages* are found by a bit each, which is set before the word says so, and cleared after it says otherwise; and
//! two words say whether there may be any.

use super::lanes::{is_in_lane, take_out, Lane, Visit, NO_CELL};
use super::layout::{
    cell_of_ticket, lane_and_position, lane_of, Cell, Control, Envelope, Hints, State, FREE_LANE, LANES,
};
use crate::event::Kernel;
use crate::slots::Slots;
use crate::stream::Corruption;
use crate::sync::{AtomicU64, Ordering};

/// What the protocol needs of memory.
pub(crate) trait Memory {
    /// How many cells there are.
    fn depth(&self) -> u32;
    /// Entries of a lane: a power of two, at least as many.
    fn entries(&self) -> u32;
    fn control(&self) -> &Control;
    fn hints(&self, lane: u32) -> &Hints;
    fn entry(&self, lane: u32, entry: u32) -> &AtomicU64;
    /// The bits of cells `64 * word` and following.
    fn aside(&self, word: u32) -> &AtomicU64;
    fn cell(&self, index: u32) -> &Envelope;
    /// Bytes of the largest message.
    fn room(&self) -> usize;
    /// Writes a message of at most so many bytes into a cell.
    fn write(&self, index: u32, message: &[u8]);
    /// Copies the first bytes of a cell's message.
    fn read(&self, index: u32, to: &mut [u8]);
    /// Brings a cell near, to change it; a hint.
    fn expect(&self, index: u32);
    fn kernel(&self) -> &impl Kernel;
}

const NOT_A_PLACE: Corruption = Corruption("a message is in no lane of a priority");
const TOO_LONG: Corruption = Corruption("a message is longer than the queue's longest");
const RESTLESS: Corruption = Corruption("what was put back changes hands all the time");
/// How often others may be faster.
const TRIES: u32 = if cfg!(loom) { 8 } else { 10_000 };

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message has so many bytes.
    TooBig(usize),
    Corrupt(Corruption),
}

impl From<Corruption> for Refusal {
    fn from(corruption: Corruption) -> Refusal {
        Refusal::Corrupt(corruption)
    }
}

/// What was taken.
///
/// ```
/// let jobs = ipcx::Queue::anonymous(&Default::default())?;
/// jobs.push(b"tidy up", 3)?;
/// let taken = jobs.take_into(&mut [0; 64], ipcx::Deadline::NEVER)?;
/// assert_eq!((taken.len, taken.priority, taken.deliveries), (7, 3, 1));
/// jobs.ack(taken.ticket)?;
/// # Ok::<(), ipcx::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Taken {
    /// Bytes of the message.
    pub len: usize,
    /// Its priority.
    pub priority: u32,
    /// How often it was delivered, this time counted; 255 stands for that many and more.
    pub deliveries: u32,
    /// Names it for as long as it is taken; never 0.
    pub ticket: u64,
}

/// A message that was put aside, as somebody saw it.
#[derive(Clone, Copy, Debug)]
struct Aside {
    priority: u32,
    position: u64,
    index: u32,
    word: Cell,
}

impl Aside {
    /// Higher priorities come first, then those that were pushed before.
    fn comes_before(&self, other: &Aside) -> bool {
        (other.priority, self.position) < (self.priority, other.position)
    }
}

/// One participant's access to a queue. Shared by threads.
#[derive(Debug)]
pub(crate) struct Store<M> {
    memory: M,
    slot: u32,
    /// Deliveries after which a message that comes back is put aside; 0 for never.
    most: u32,
}

impl<M: Memory> Store<M> {
    pub(crate) fn new(memory: M, slot: u32, max_deliveries: u32) -> Store<M> {
        Store { memory, slot, most: max_deliveries }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    pub(super) fn lane(&self, number: u32) -> Lane<'_, M> {
        Lane { memory: &self.memory, number }
    }

    pub(crate) fn word(&self, index: u32) -> Cell {
        // Acquire: partner of `change`.
        Cell(self.memory.cell(index).word.load(Ordering::Acquire))
    }

    /// One cell from one value to another; false if it is not the first.
    #[inline(always)]
    fn change(&self, index: u32, from: Cell, to: Cell) -> bool {
        // AcqRel: whoever gets the cell sees what those before it did with it. Acquire: who was too late, and goes on, has seen
        // that it was.
        let word = &self.memory.cell(index).word;
        word.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Before anybody else can have it: all cells are free, and in their lane.
    pub(crate) fn begin(&self) -> Result<(), Corruption> {
        self.begin_lanes();
        (0..self.memory.depth()).try_for_each(|index| self.lane(FREE_LANE).append(index))
    }

    /// Where new lanes begin.
    pub(super) fn begin_lanes(&self) {
        let first = u64::from(self.memory.entries());
        for lane in 0..LANES {
            let hints = self.memory.hints(lane);
            hints.head.store(first, Ordering::Relaxed);
            hints.tail.store(first, Ordering::Relaxed);
        }
    }

    /// A free cell, for this participant to write.
    #[inline(always)]
    pub(crate) fn claim(&self) -> Result<Option<u32>, Corruption> {
        self.lane(FREE_LANE).find(State::Free, |index, word| {
            match self.change(index, word, word.fresh(State::Owned, self.slot)) {
                true => Visit::Taken(index),
                false => Visit::Gone,
            }
        })
    }

    /// Writes a message of at most [`Memory::room`] bytes into a cell that was claimed.
    #[inline(always)]
    pub(crate) fn fill(&self, index: u32, message: &[u8]) {
        self.memory.write(index, message);
        // Relaxed: seen by who sees the entry.
        self.memory.cell(index).len.store(message.len() as u32, Ordering::Relaxed);
    }

    /// Puts a cell that was filled into the lane of a priority.
    #[inline(always)]
    pub(crate) fn publish(&self, index: u32, priority: u32) -> Result<(), Corruption> {
        self.use_lane(priority);
        self.lane(lane_of(priority)).append(index)?;
        self.memory.control().pushed.notify(self.memory.kernel(), 1);
        Ok(())
    }

    /// Before a message stands there, takers look there.
    #[inline(always)]
    pub(super) fn use_lane(&self, priority: u32) {
        let used = &self.memory.control().used;
        // Acquire and Release: whoever sees the entry that comes next, or hears of it, sees the bit.
        if used.load(Ordering::Acquire) & 1 << priority == 0 {
            used.fetch_or(1 << priority, Ordering::AcqRel);
        }
    }

    /// The next message, if it has at most so many bytes.
    #[inline(always)]
    pub(crate) fn take(&self, room: usize) -> Result<Option<Taken>, Refusal> {
        let control = self.memory.control();
        // Acquire: partner of `say_returned`.
        let returned = control.returned.load(Ordering::Acquire);
        // Relaxed: who has stored this has found nothing of what was returned before.
        if returned != control.looked.load(Ordering::Relaxed) {
            return self.take_returned(room);
        }
        self.take_above(0, room)
    }

    /// The next message of these priorities that stands in a lane.
    #[inline(always)]
    fn take_above(&self, lowest: u32, room: usize) -> Result<Option<Taken>, Refusal> {
        // Acquire: partner of `use_lane`.
        let used = self.memory.control().used.load(Ordering::Acquire) as u32;
        let mut lanes = u64::from(used) >> lowest << lowest;
        while lanes != 0 {
            let priority = 63 - lanes.leading_zeros();
            lanes &= !(1 << priority);
            let seen = self.lane(lane_of(priority)).find(State::Owned, |index, word| {
                match self.take_this(index, word, priority, room) {
                    Ok(Some(taken)) => Visit::Taken(Ok(taken)),
                    Ok(None) => Visit::Gone,
                    Err(refusal) => Visit::Left(Err(refusal)),
                }
            })?;
            if let Some(taken) = seen {
                return taken.map(Some);
            }
        }
        Ok(None)
    }

    /// A message that this thread saw, unless it changed hands.
    #[inline(always)]
    fn take_this(
        &self,
        index: u32,
        word: Cell,
        priority: u32,
        room: usize,
    ) -> Result<Option<Taken>, Refusal> {
        // Relaxed: of this message, unless the word has changed.
        let len = self.memory.cell(index).len.load(Ordering::Relaxed) as usize;
        if len > room {
            let is_it = self.word(index) == word;
            return if is_it { Err(self.too_big(len)) } else { Ok(None) };
        }
        let taken = word.taken(self.slot);
        if !self.change(index, word, taken) {
            return Ok(None);
        }
        if len > self.memory.room() {
            return Err(TOO_LONG.into());
        }
        Ok(Some(Taken { len, priority, deliveries: taken.deliveries(), ticket: taken.ticket(index) }))
    }

    #[cold]
    fn too_big(&self, len: usize) -> Refusal {
        match len > self.memory.room() {
            true => TOO_LONG.into(),
            false => Refusal::TooBig(len),
        }
    }

    /// As `take`, where there may be returned ones.
    #[cold]
    #[inline(never)]
    fn take_returned(&self, room: usize) -> Result<Option<Taken>, Refusal> {
        let control = self.memory.control();
        for _ in 0..TRIES {
            let returned = control.returned.load(Ordering::Acquire); // Partner: `say_returned`.
            let Some(first) = self.first_aside(State::Returned)? else {
                // Whoever put one back that was not seen has not said so, and will. Relaxed: that number tells all.
                control.looked.store(returned, Ordering::Relaxed);
                return self.take_above(0, room);
            };
            if let Some(taken) = self.take_above(first.priority + 1, room)? {
                return Ok(Some(taken));
            }
            if let Some(taken) = self.take_aside(first, room)? {
                return Ok(Some(taken));
            }
        }
        Err(RESTLESS.into())
    }

    /// The next dead letter, if it has at most so many bytes.
    pub(crate) fn take_dead(&self, room: usize) -> Result<Option<Taken>, Refusal> {
        for _ in 0..TRIES {
            let Some(first) = self.first_aside(State::Dead)? else { return Ok(None) };
            if let Some(taken) = self.take_aside(first, room)? {
                return Ok(Some(taken));
            }
        }
        Err(RESTLESS.into())
    }

    fn take_aside(&self, this: Aside, room: usize) -> Result<Option<Taken>, Refusal> {
        let taken = self.take_this(this.index, this.word, this.priority, room)?;
        if taken.is_some() {
            // Release: who sees the bit cleared sees the message taken.
            self.memory.aside(this.index / 64).fetch_and(!(1 << (this.index % 64)), Ordering::Release);
        }
        Ok(taken)
    }

    /// The first of those that were put aside in this state.
    fn first_aside(&self, state: State) -> Result<Option<Aside>, Corruption> {
        let mut first: Option<Aside> = None;
        for at in 0..self.memory.depth().div_ceil(64) {
            // Acquire: partner of `set_aside`.
            let mut bits = self.memory.aside(at).load(Ordering::Acquire);
            while bits != 0 {
                let index = at * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                let seen = if index < self.memory.depth() { self.aside(index, state)? } else { None };
                first = match (seen, first) {
                    (Some(seen), Some(best)) if !seen.comes_before(&best) => Some(best),
                    (None, best) => best,
                    (seen, _) => seen,
                };
            }
        }
        Ok(first)
    }

    /// A message that was put aside in this state, as of now.
    fn aside(&self, index: u32, state: State) -> Result<Option<Aside>, Corruption> {
        let word = self.word(index);
        if !word.is(state) {
            return Ok(None);
        }
        // Acquire: one that is newer than the word shows in the word. Partner: `Lane::append`.
        let place = lane_and_position(self.memory.cell(index).place.load(Ordering::Acquire));
        match place {
            Some((lane @ 1.., position)) => Ok(Some(Aside { priority: lane - 1, position, index, word })),
            _ if self.word(index) != word => Ok(None), // It is somebody's meanwhile.
            _ => Err(NOT_A_PLACE),
        }
    }

    /// The cell that this participant has taken with a ticket.
    #[inline(always)]
    fn taken(&self, ticket: u64) -> Option<(u32, Cell)> {
        let index = cell_of_ticket(ticket).filter(|index| *index < self.memory.depth())?;
        let word = self.word(index);
        word.has_ticket(self.slot, ticket).then_some((index, word))
    }

    /// True if this participant has taken it.
    pub(crate) fn has(&self, ticket: u64) -> bool {
        self.taken(ticket).is_some()
    }

    /// How often the message with a ticket was delivered, if this participant has taken it.
    pub(crate) fn deliveries(&self, ticket: u64) -> Option<u32> {
        self.taken(ticket).map(|(_, word)| word.deliveries())
    }

    /// Copies the first bytes of a message that was taken; what it copies is of another one if that is not so any more.
    #[inline(always)]
    pub(crate) fn read(&self, ticket: u64, to: &mut [u8]) -> Result<(), Corruption> {
        let index = cell_of_ticket(ticket).filter(|index| *index < self.memory.depth()).ok_or(NO_CELL)?;
        self.memory.read(index, to);
        Ok(())
    }

    /// A message is done; false, and nothing is, if this participant has not taken it.
    #[inline(always)]
    pub(crate) fn acknowledge(&self, ticket: u64) -> Result<bool, Corruption> {
        let Some((index, word)) = self.taken(ticket) else { return Ok(false) };
        if !self.change(index, word, word.fresh(State::Free, self.slot)) {
            return Ok(false);
        }
        self.lane(FREE_LANE).append(index)?;
        self.memory.control().freed.notify(self.memory.kernel(), 1);
        Ok(true)
    }

    /// Dies while it acknowledges.
    #[cfg(loom)]
    pub(crate) fn free_without_the_lane(&self, ticket: u64) -> Option<u32> {
        let (index, word) = self.taken(ticket)?;
        self.change(index, word, word.fresh(State::Free, self.slot)).then_some(index)
    }

    /// A message is to be delivered again, or was so too often; false, and nothing is done, if this participant has not taken
    /// it. A dead letter is tried as if it were new.
    pub(crate) fn put_back(&self, ticket: u64) -> bool {
        let Some((index, word)) = self.taken(ticket) else { return false };
        let next = match word.was_dead() {
            true => word.set_aside(State::Returned, true),
            false => self.failed(word),
        };
        self.set_aside(index, word, next)
    }

    /// What becomes of a message whose delivery came to nothing. A dead letter was delivered too often before.
    pub(super) fn failed(&self, word: Cell) -> Cell {
        let too_often = self.most > 0 && word.deliveries() >= self.most;
        let state = if too_often { State::Dead } else { State::Returned };
        word.set_aside(state, false)
    }

    /// A cell that was claimed is free again, and no message was in it.
    pub(crate) fn discard(&self, index: u32) -> Result<(), Corruption> {
        let word = self.word(index);
        self.free_unused(index, word)?;
        self.memory.control().freed.notify(self.memory.kernel(), 1);
        Ok(())
    }

    /// From owned, in no lane, to free; for who owns it, or has its owner's lease.
    fn free_unused(&self, index: u32, word: Cell) -> Result<bool, Corruption> {
        take_out(&self.memory, index);
        let freed = self.change(index, word, word.unused());
        if freed {
            self.lane(FREE_LANE).append(index)?;
        }
        Ok(freed)
    }

    /// From taken to returned or dead.
    fn set_aside(&self, index: u32, word: Cell, next: Cell) -> bool {
        // Release: before the word says so. Partner: `first_aside`.
        self.memory.aside(index / 64).fetch_or(1 << (index % 64), Ordering::Release);
        let done = self.change(index, word, next);
        if done && next.is(State::Returned) {
            self.say_returned(1);
        }
        done
    }

    /// After messages were returned.
    fn say_returned(&self, messages: u32) {
        let control = self.memory.control();
        control.returned.fetch_add(1, Ordering::AcqRel); // Partner: `take`.
        control.pushed.notify(self.memory.kernel(), messages);
    }

    /// True if there is a message to take, as of now.
    pub(crate) fn has_message(&self) -> Result<bool, Corruption> {
        let control = self.memory.control();
        let returned = control.returned.load(Ordering::Acquire) != control.looked.load(Ordering::Relaxed);
        if returned && self.first_aside(State::Returned)?.is_some() {
            return Ok(true);
        }
        let mut lanes = control.used.load(Ordering::Acquire) as u32;
        while lanes != 0 {
            let priority = lanes.trailing_zeros();
            lanes &= lanes - 1;
            if self.lane(lane_of(priority)).find(State::Owned, |_, _| Visit::Left(()))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if there is a free cell, as of now.
    #[cfg(not(loom))]
    pub(crate) fn has_room(&self) -> Result<bool, Corruption> {
        Ok(self.lane(FREE_LANE).find(State::Free, |_, _| Visit::Left(()))?.is_some())
    }

    /// Recovers what participants left that died, or that close; for the holder of the locks on their slots. Can be done again,
    /// and by another, from any point.
    pub(crate) fn bury(&self, slots: &Slots) -> Result<(), Corruption> {
        let (mut returned, mut freed) = (0, 0);
        for index in 0..self.memory.depth() {
            let word = self.word(index);
            if !slots.has(word.slot()) {
                continue;
            }
            match word.state() {
                Some(State::Free) => freed += u32::from(self.bury_free(index, word)?),
                Some(State::Owned) => freed += u32::from(self.bury_owned(index, word)?),
                Some(State::Taken) => returned += u32::from(self.set_aside(index, word, self.failed(word))),
                Some(State::Returned) => returned += 1, // It may have died before it said so.
                Some(State::Dead) | None => {}
            }
        }
        if returned > 0 {
            self.say_returned(returned);
        }
        if freed > 0 {
            self.memory.control().freed.notify(self.memory.kernel(), freed);
        }
        Ok(())
    }

    /// A free cell, which may not have come into the lane.
    fn bury_free(&self, index: u32, word: Cell) -> Result<bool, Corruption> {
        let is_there = is_in_lane(&self.memory, index, |lane| lane == FREE_LANE);
        // Who took it from the lane meanwhile may have moved it on.
        if is_there || self.word(index) != word {
            return Ok(false);
        }
        self.lane(FREE_LANE).append(index).map(|()| true)
    }

    /// A message that may not have come into its lane: then it was not pushed.
    fn bury_owned(&self, index: u32, word: Cell) -> Result<bool, Corruption> {
        if is_in_lane(&self.memory, index, |lane| lane != FREE_LANE) || self.word(index) != word {
            return Ok(false);
        }
        self.free_unused(index, word)
    }
}
