//! Lanes: in which order cells come, over any memory.
//!
//! A lane is a ring of entries. *Putting a cell there is one change of one entry*, and nothing is ever taken out: a cell whose word
//! or place has changed since is *done*, for ever, and is walked over. So nobody waits for anybody, and whoever dies leaves nothing
//! half done. Where to begin is a hint.
//!
//! The entry of a lap before may be overwritten: there are no more cells than entries, and who looks for one takes the first
//! that is not done, so that all before the first of them are.
//!
//! Before each attempt, the cell's owner writes in the cell where it puts it: place and entry tell together, at any time later,
//! whether the cell is there.

use super::layout::{lane_and_position, place, At, Cell, Entry, State, NOWHERE};
use super::protocol::Memory;
use crate::stream::Corruption;
use crate::sync::{AtomicU64, Ordering};

const NOT_AN_ENTRY: Corruption = Corruption("an entry of a lane is not one that ipcx writes there");
const NO_END: Corruption = Corruption("a lane has no end");
pub(crate) const NO_CELL: Corruption = Corruption("an entry of a lane names a cell that is not there");
/// How far ahead cells are brought near.
const AHEAD: u64 = 2;
/// Steps along a lane that others' progress may cost, beside a lap.
const OTHERS: u32 = if cfg!(loom) { 64 } else { 1 << 16 };

/// What becomes of a cell that somebody was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit<T> {
    /// Its word has changed meanwhile.
    Gone,
    /// This was made of it, and it is done.
    Taken(T),
    /// This was made of it, and it stays where it is.
    Left(T),
}

/// One lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane<'m, M> {
    pub(crate) memory: &'m M,
    pub(crate) number: u32,
}

impl<'m, M: Memory> Lane<'m, M> {
    #[inline(always)]
    fn entry(&self, position: u64) -> &'m AtomicU64 {
        let mask = self.memory.entries() - 1;
        self.memory.entry(self.number, position as u32 & mask)
    }

    /// What stands at a position.
    #[inline(always)]
    fn at(&self, position: u64) -> Result<(Entry, At), Corruption> {
        // Acquire: partner of `append`; what the cell's owner did before is seen.
        let entry = Entry(self.entry(position).load(Ordering::Acquire));
        let at = entry.at(position, self.memory.entries().into()).ok_or(NOT_AN_ENTRY)?;
        Ok((entry, at))
    }

    fn most_steps(&self) -> u32 {
        self.memory.entries().saturating_add(OTHERS)
    }

    /// Raises a hint from what it was; whoever raised it meanwhile has done as well. Not one change: an older value costs who comes
    /// next a walk, and an instruction that locks the line costs everybody more.
    #[inline(always)]
    fn raise(hint: &AtomicU64, from: u64, to: u64) {
        if to != from && hint.load(Ordering::Relaxed) == from {
            hint.store(to, Ordering::Release); // Who begins there sees what stands before. Partner: `find`, `append`.
        }
    }

    /// Puts a cell behind all others, by its owner.
    #[inline(always)]
    pub(crate) fn append(&self, index: u32) -> Result<(), Corruption> {
        let tail = &self.memory.hints(self.number).tail;
        let cell = self.memory.cell(index);
        let from = tail.load(Ordering::Acquire); // Partner: `raise`.
        let mut position = from;
        for _ in 0..self.most_steps() {
            match self.at(position)? {
                (_, At::Cell(_)) => position = position.wrapping_add(1),
                (_, At::Passed(newer)) => position = newer.wrapping_add(1),
                (old, At::End) => {
                    // Release: who sees it sees that the word has changed. Partner: `stands`, `is_in_lane`.
                    cell.place.store(place(self.number, position), Ordering::Release);
                    let new = Entry::new(position, index);
                    // AcqRel: partner of `at`; and who appends next sees this one, and all before.
                    let put = self.entry(position).compare_exchange(
                        old.0,
                        new.0,
                        Ordering::AcqRel,
                        Ordering::Relaxed,
                    );
                    if put.is_ok() {
                        Self::raise(tail, from, position.wrapping_add(1));
                        return Ok(());
                    }
                }
            }
        }
        Err(NO_END)
    }

    /// Shows `visit` the cells in this state that stand in the lane, the oldest first, until it has what it wants.
    #[inline(always)]
    pub(crate) fn find<T>(
        &self,
        state: State,
        mut visit: impl FnMut(u32, Cell) -> Visit<T>,
    ) -> Result<Option<T>, Corruption> {
        let head = &self.memory.hints(self.number).head;
        let from = head.load(Ordering::Acquire); // Partner: `raise`.
        let mut position = from;
        for _ in 0..self.most_steps() {
            let index = match self.at(position)?.1 {
                At::Cell(index) => index,
                At::End => {
                    Self::raise(head, from, position);
                    return Ok(None);
                }
                // When that entry was overwritten, all before the one of the last lap was done.
                At::Passed(newer) => {
                    position = newer.wrapping_sub(self.memory.entries().into()).wrapping_add(1);
                    continue;
                }
            };
            if let Some(cell) = self.stands(index, position, state)? {
                match visit(index, cell) {
                    Visit::Gone => {}
                    Visit::Left(found) => {
                        Self::raise(head, from, position);
                        return Ok(Some(found));
                    }
                    Visit::Taken(found) => {
                        Self::raise(head, from, position.wrapping_add(1));
                        self.expect(position.wrapping_add(AHEAD));
                        return Ok(Some(found));
                    }
                }
            }
            position = position.wrapping_add(1);
        }
        // All that was there as this call began is done. Relaxed: it only tells of others that take, who are faster.
        let others_take = head.load(Ordering::Relaxed) != from;
        if others_take {
            Ok(None)
        } else {
            Err(NO_END)
        }
    }

    /// The cell's word, if it is in this state and was put at this position, which the entry there says.
    #[inline(always)]
    fn stands(&self, index: u32, position: u64, state: State) -> Result<Option<Cell>, Corruption> {
        if index >= self.memory.depth() {
            return Err(NO_CELL);
        }
        let cell = self.memory.cell(index);
        // Acquire: partner of every change of the word; the place is of this generation, or of a later.
        let word = Cell(cell.word.load(Ordering::Acquire));
        // Acquire: partner of `append`; who goes on from here has seen that this one is done.
        let is_here = cell.place.load(Ordering::Acquire) == place(self.number, position);
        Ok((is_here && word.is(state)).then_some(word))
    }

    /// Brings the cell at a position near, if it is there already.
    #[inline(always)]
    fn expect(&self, position: u64) {
        let entry = Entry(self.entry(position).load(Ordering::Relaxed)); // Relaxed: a hint.
        if let Some(At::Cell(index)) = entry.at(position, self.memory.entries().into()) {
            self.memory.expect(index);
        }
    }
}

/// True if a cell stands in a lane, as place and entry tell, or did until now. If not, and its word is still the same, nobody
/// else moves it.
pub(crate) fn is_in_lane(memory: &impl Memory, index: u32, is_lane: impl Fn(u32) -> bool) -> bool {
    // Acquire, both: what is newer than the word that was read shows in the word. Partner: `append`.
    let written = memory.cell(index).place.load(Ordering::Acquire);
    let Some((number, position)) = lane_and_position(written).filter(|(lane, _)| is_lane(*lane)) else {
        return false;
    };
    let lane = Lane { memory, number };
    lane.entry(position).load(Ordering::Acquire) == Entry::new(position, index).0
}

/// Says that a cell is in no lane, by its owner: before it becomes free again without having been taken, when the entry it had
/// there would not be done any more.
pub(crate) fn take_out(memory: &impl Memory, index: u32) {
    memory.cell(index).place.store(NOWHERE, Ordering::Relaxed); // Relaxed: the change of the word releases it.
}
