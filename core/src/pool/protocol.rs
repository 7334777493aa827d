//! The pool's protocol, over any memory: the mapped one, and loom's.
//!
//! *A block's cell is the truth about it*, and every change of hands is one change of that word. Everything else is a hint:
//! the bits that say where a free block may be, and the magazines. A process that dies between a cell and a hint leaves a
//! hint that is wrong, which costs a look, or hides a free block until [`Store::reclaim`] puts it right.
//!
//! *A magazine* holds blocks that its owner released and will acquire next. The owner takes them with plain stores, which is
//! where a few nanoseconds come from. What makes that safe is a handshake in which the rare side pays:
//!
//! | owner, at each use | whoever finds nothing free |
//! |---|---|
//! | `busy` = 1 | `revoked` = its slot + 1 |
//! | (nothing) | a barrier on all processors |
//! | `revoked` is 0, or it leaves | `busy` is 0, or it gives up |
//! | changes cells by plain stores | changes cells by compare-and-swap |
//! | `busy` = 0 | `revoked` = 0 |
//!
//! One of the two sees the other. Only one thread of a handle, the first that uses it, uses its magazine; once there is a
//! second one, none does. A process that the barrier does not reach has none.
//!
//! *Handing over*: sending (the sender's), record committed, in flight (the channel's), owned (the receiver's). The receiver
//! also takes what is still being sent, so that a sender that stops there stops nobody. Its take-over is a new generation, so
//! that a sender that was late to say "in flight" cannot do that to the same block when it comes round. Who dies while
//! sending leaves a record that means nothing once its block was reclaimed: the receiver skips it.

use super::layout::{BlockId, Cell, Magazine, State, MAGAZINE};
use crate::event::{light_fence, Event, Kernel};
use crate::slots::Slots;
use crate::sync::{fence, AtomicU32, AtomicU64, Ordering};
use crate::wait::Nap;

/// More blocks are taken at once only from a pool of at least so many.
const REFILLS: u32 = 64;
/// A magazine has no more than this part of all blocks.
const PART_OF_ALL: u32 = if cfg!(loom) { 1 } else { 8 };
/// How often an owner that is at its magazine is looked at again: it needs a few nanoseconds, unless it was interrupted.
const LOOKS: usize = if cfg!(loom) { 1 } else { 200 };
/// Stands for no thread, when several use the handle.
const SEVERAL: u64 = u64::MAX;

/// What the protocol needs of memory.
pub(crate) trait Memory {
    fn blocks(&self) -> u32;
    fn participants(&self) -> u32;
    fn cell(&self, block: u32) -> &AtomicU64;
    /// The word with the hints about blocks `64 * word` and following.
    fn hints(&self, word: u32) -> &AtomicU64;
    fn magazine(&self, slot: u32) -> &Magazine;
    /// On which acquirers sleep.
    fn freed(&self) -> &Event;
    fn kernel(&self) -> &impl Kernel;
}

/// What a participant that died left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Block,
    Hint,
}

/// One participant's access to a pool. Shared by threads.
#[derive(Debug)]
pub(crate) struct Store<M> {
    memory: M,
    /// This participant's slot.
    slot: u32,
    /// The thread that uses the magazine; 0 before the first, `SEVERAL` after the second, or if there is no magazine.
    thread: AtomicU64,
    /// Blocks in the magazine. Touched only between `enter` and `leave`.
    top: AtomicU32,
    /// And most that it has: few of a small pool, where others would have to fetch them all the time.
    most: u32,
    /// The word of hints to begin with.
    cursor: AtomicU32,
}

impl<M: Memory> Store<M> {
    pub(crate) fn new(memory: M, slot: u32) -> Store<M> {
        let words = memory.blocks().div_ceil(64);
        // Slots are taken from 0 on, and neighbours begin far apart: the golden section, times 2^32.
        let cursor = (u64::from(slot.wrapping_mul(0x9e37_79b9)) * u64::from(words)) >> 32;
        let cursor = cursor as u32;
        // Others could not empty that of a process which their barrier does not reach.
        let most = if memory.kernel().registered() {
            (memory.blocks() / PART_OF_ALL).min(MAGAZINE as u32)
        } else {
            0
        };
        Store {
            slot,
            thread: AtomicU64::new(if most > 0 { 0 } else { SEVERAL }),
            top: AtomicU32::new(0),
            most,
            cursor: AtomicU32::new(cursor % words.max(1)),
            memory,
        }
    }

    /// Without a magazine: what is released is free for everyone at once, and the lowest that is free is taken first.
    pub(crate) fn sharing(self) -> Store<M> {
        Store { thread: AtomicU64::new(SEVERAL), most: 0, cursor: AtomicU32::new(0), ..self }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    #[inline(always)]
    fn cell(&self, block: u32) -> Cell {
        Cell(self.memory.cell(block).load(Ordering::Relaxed))
    }

    /// One cell from one value to another; false if it is not the first.
    #[inline(always)]
    fn change(&self, block: u32, from: Cell, to: Cell) -> bool {
        // AcqRel: whoever gets the block sees what those before it did with it.
        self.memory.cell(block).compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Says that a block may be worth looking at.
    #[inline(always)]
    fn offer(&self, block: u32) {
        // Release: who finds the hint finds the cell free.
        self.memory.hints(block / 64).fetch_and(!(1 << (block % 64)), Ordering::Release);
    }

    /// Begins a use of the own magazine; `None` if that is not possible now. Next comes [`Store::leave`].
    #[inline(always)]
    fn enter(&self, thread: u64) -> Option<&Magazine> {
        let own = self.memory.magazine(self.slot);
        // A signal handler may run inside a use: `busy` is then 1 already.
        if self.thread.load(Ordering::Relaxed) != thread || own.busy.load(Ordering::Relaxed) != 0 {
            return None;
        }
        own.busy.store(1, Ordering::Relaxed);
        // Partner: `revoke`.
        light_fence(self.memory.kernel());
        // Acquire: partner of the 0 with which `gather` ends, whose changes of cells are then seen.
        if own.revoked.load(Ordering::Acquire) != 0 || self.thread.load(Ordering::Relaxed) != thread {
            self.leave(own);
            return None;
        }
        Some(own)
    }

    #[inline(always)]
    fn leave(&self, own: &Magazine) {
        own.busy.store(0, Ordering::Release); // Partner: `revoke`.
    }

    /// Settles which thread uses the magazine; the slow way of every call comes past here.
    #[inline(always)]
    fn note_thread(&self, thread: u64) {
        // Relaxed: a thread knows its own number.
        let noted = self.thread.load(Ordering::Relaxed);
        if noted != thread && noted != SEVERAL {
            self.note_another(thread);
        }
    }

    #[cold]
    fn note_another(&self, thread: u64) {
        match self.thread.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed) {
            Err(other) if other != thread && other != SEVERAL => {
                self.thread.store(SEVERAL, Ordering::Relaxed);
                // The first one is through with its magazine before this one changes a cell: so that a block which both
                // release is refused to one.
                let heard = self.memory.kernel().barrier();
                fence(Ordering::SeqCst); // Partner: `enter`.
                let own = self.memory.magazine(self.slot);
                for _ in 0..LOOKS * LOOKS {
                    if !heard || own.busy.load(Ordering::Acquire) == 0 {
                        break;
                    }
                    std::hint::spin_loop();
                }
            }
            _ => {}
        }
    }

    /// A block for `thread`, from the magazine or from where there is one; `None` if none is found.
    #[inline(always)]
    pub(crate) fn take(&self, thread: u64) -> Option<BlockId> {
        match self.take_ready(thread) {
            Some(id) => Some(id),
            None => self.take_free(thread),
        }
    }

    /// The block that was released last.
    #[inline(always)]
    fn take_ready(&self, thread: u64) -> Option<BlockId> {
        let own = self.enter(thread)?;
        let mut top = self.top.load(Ordering::Relaxed);
        let mut taken = None;
        while let Some(block) = top.checked_sub(1).and_then(|below| own.blocks.get(below as usize)) {
            top -= 1;
            let block = block.load(Ordering::Relaxed);
            if block >= self.memory.blocks() {
                continue; // Not written by us.
            }
            let cell = self.cell(block);
            // Others may have taken it back meanwhile.
            if cell.is(State::Cached, self.slot) {
                // Relaxed: whoever changes it next is this thread, or comes after `leave`.
                self.memory.cell(block).store(cell.to(State::Owned, self.slot).0, Ordering::Relaxed);
                taken = Some(BlockId::new(block, cell));
                break;
            }
        }
        self.top.store(top, Ordering::Relaxed);
        self.leave(own);
        taken
    }

    /// A block that the hints lead to.
    #[inline(never)]
    fn take_free(&self, thread: u64) -> Option<BlockId> {
        self.note_thread(thread);
        let words = self.memory.blocks().div_ceil(64);
        let from = self.cursor.load(Ordering::Relaxed);
        for word in (from..words).chain(0..from.min(words)) {
            if let Some(id) = self.take_from(word, thread) {
                if self.most > 0 {
                    self.cursor.store(word, Ordering::Relaxed);
                }
                return Some(id);
            }
        }
        None
    }

    /// One of the 64 blocks of a word, and more of its neighbours for the magazine.
    fn take_from(&self, word: u32, thread: u64) -> Option<BlockId> {
        let hints = self.memory.hints(word);
        let there = match self.memory.blocks() - word * 64 {
            64.. => u64::MAX,
            some => (1 << some) - 1,
        };
        // Relaxed: the cell decides.
        let mut free = !hints.load(Ordering::Relaxed) & there;
        while free != 0 {
            let first = free.trailing_zeros();
            // Cells of one line go to one participant, as far as possible.
            let line = 0xff << (first / 8 * 8);
            let refills = self.memory.blocks() >= REFILLS;
            let wanted = if refills { free & line } else { 1 << first };
            // Acquire: partner of `offer`.
            let got = wanted & !hints.fetch_or(wanted, Ordering::Acquire);
            if let Some(id) = self.take_claimed(word * 64, got, thread) {
                return Some(id);
            }
            free &= !wanted;
        }
        None
    }

    /// One of the blocks whose hints this thread claimed; what else is free there goes to the magazine.
    fn take_claimed(&self, base: u32, mut claimed: u64, thread: u64) -> Option<BlockId> {
        let mut taken = None;
        while claimed != 0 {
            let block = base + claimed.trailing_zeros();
            claimed &= claimed - 1;
            let cell = self.cell(block);
            if !cell.is(State::Free, 0) {
                continue; // The hint was wrong, and is right now.
            }
            if taken.is_none() {
                let ours = self.change(block, cell, cell.to(State::Owned, self.slot));
                taken = ours.then(|| BlockId::new(block, cell));
            } else if !self.put_by(block, cell, thread) {
                self.offer(block);
                self.notify(1); // Who looked meanwhile did not find it.
            }
        }
        taken
    }

    /// Puts a free block into the magazine, if that is possible now.
    #[inline]
    fn put_by(&self, block: u32, cell: Cell, thread: u64) -> bool {
        let Some(own) = self.enter(thread) else { return false };
        let top = self.top.load(Ordering::Relaxed);
        let place = own.blocks.get(top as usize).filter(|_| top < self.most);
        let ours = place.is_some_and(|place| {
            place.store(block, Ordering::Relaxed);
            self.change(block, cell, cell.to(State::Cached, self.slot))
        });
        if ours {
            self.top.store(top + 1, Ordering::Relaxed);
        }
        self.leave(own);
        // What was put by must be found by who went to sleep meanwhile, as after a release.
        if ours {
            self.notify(1);
        }
        ours
    }

    /// Gives a block back; false, and nothing is done, if this participant does not own it in that generation.
    #[inline(always)]
    pub(crate) fn give(&self, id: BlockId, thread: u64) -> bool {
        let Some(block) = id.number().filter(|block| *block < self.memory.blocks()) else { return false };
        let owned = id.cell(State::Owned, self.slot);
        // Relaxed: a hint; who begins to sleep later is noticed by `notify`.
        let awake = !self.memory.freed().has_sleepers();
        if awake {
            if let Some(own) = self.enter(thread) {
                let top = self.top.load(Ordering::Relaxed);
                if let Some(place) = own.blocks.get(top as usize).filter(|_| top < self.most) {
                    let given = self.cell(block) == owned;
                    if given {
                        place.store(block, Ordering::Relaxed);
                        let ready = owned.released(State::Cached, self.slot);
                        // Release: who takes it back sees what was done with it.
                        self.memory.cell(block).store(ready.0, Ordering::Release);
                        self.top.store(top + 1, Ordering::Relaxed);
                    }
                    self.leave(own);
                    if given {
                        self.notify(1);
                    }
                    return given;
                }
                self.leave(own);
            }
        }
        self.give_freely(block, owned, thread)
    }

    /// Gives a block back to where everyone looks.
    #[inline(never)]
    fn give_freely(&self, block: u32, owned: Cell, thread: u64) -> bool {
        self.note_thread(thread);
        let given = self.change(block, owned, owned.released(State::Free, 0));
        if given {
            self.offer(block);
            self.notify(1);
        }
        given
    }

    /// True if this participant owns the block in that generation.
    pub(crate) fn owns(&self, id: BlockId) -> bool {
        id.number().is_some_and(|block| {
            block < self.memory.blocks() && self.cell(block) == id.cell(State::Owned, self.slot)
        })
    }

    /// After blocks became free: wakes up to `blocks` of those that sleep. No system call while nobody does.
    #[inline(always)]
    fn notify(&self, blocks: u32) {
        self.memory.freed().notify(self.memory.kernel(), blocks);
    }

    /// Sleeps until a block may have become free; see [`Event::nap`].
    pub(crate) fn nap(&self, look: impl FnOnce() -> Option<u64>) -> Nap {
        self.memory.freed().nap(self.memory.kernel(), look)
    }

    /// True if somebody who looks everywhere can have a block, as of now: one that a hint leads to, or that is kept ready by an
    /// owner who is not at it.
    pub(crate) fn has_free(&self) -> bool {
        let memory = &self.memory;
        let by_hint = |word: u32| {
            let mut offered = !memory.hints(word).load(Ordering::Relaxed);
            while offered != 0 {
                let block = word * 64 + offered.trailing_zeros();
                if block < memory.blocks() && self.cell(block).is(State::Free, 0) {
                    return true;
                }
                offered &= offered - 1;
            }
            false
        };
        let ready = |slot: u32| {
            let magazine = memory.magazine(slot);
            let is_ready = |block: &AtomicU32| {
                let block = block.load(Ordering::Relaxed);
                block < memory.blocks() && self.cell(block).is(State::Cached, slot)
            };
            magazine.busy.load(Ordering::Relaxed) == 0
                && magazine.revoked.load(Ordering::Relaxed) == 0
                && magazine.blocks.iter().any(is_ready)
        };
        (0..memory.blocks().div_ceil(64)).any(by_hint) || (0..memory.participants()).any(ready)
    }

    /// Wakes everyone who sleeps, for one of them to look at something else.
    pub(crate) fn wake_all(&self) {
        self.notify(u32::MAX);
    }

    /// Makes what others keep ready free for everyone; says how many blocks, and whether there are more that cannot be had
    /// at this moment.
    pub(crate) fn gather(&self) -> (u32, bool) {
        let (mut gathered, mut more) = (0, false);
        for slot in 0..self.memory.participants() {
            let magazine = self.memory.magazine(slot);
            let ready = || {
                magazine.blocks.iter().map(|block| block.load(Ordering::Relaxed)).filter(|block| {
                    *block < self.memory.blocks() && self.cell(*block).is(State::Cached, slot)
                })
            };
            if ready().next().is_none() {
                continue;
            }
            if !self.revoke(magazine) {
                more = true;
                continue;
            }
            for block in ready() {
                let cell = self.cell(block);
                if cell.is(State::Cached, slot) && self.change(block, cell, cell.to(State::Free, 0)) {
                    self.offer(block);
                    gathered += 1;
                }
            }
            magazine.revoked.store(0, Ordering::Release); // Partner: `enter`.
        }
        (gathered, more)
    }

    /// Keeps a magazine's owner from it. Fails if the owner is at it, or another participant has revoked it.
    fn revoke(&self, magazine: &Magazine) -> bool {
        let revoked = &magazine.revoked;
        if revoked.compare_exchange(0, self.slot + 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        let heard = self.memory.kernel().barrier();
        fence(Ordering::SeqCst); // Partner: `enter`.
        for _ in 0..LOOKS {
            // Acquire: partner of `leave`; what the owner did is seen.
            if heard && magazine.busy.load(Ordering::Acquire) == 0 {
                return true;
            }
            std::hint::spin_loop();
        }
        revoked.store(0, Ordering::Release);
        false
    }

    /// Gives back what participants left that died, or that close; says how many blocks. For the holder of the locks on their
    /// slots. Can be done again, and by another, from any point.
    pub(crate) fn reclaim(&self, slots: &Slots) -> u32 {
        for other in 0..self.memory.participants() {
            let revoked = &self.memory.magazine(other).revoked;
            let by = revoked.load(Ordering::Relaxed);
            if by.checked_sub(1).is_some_and(|slot| slots.has(slot)) {
                let _ = revoked.compare_exchange(by, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        for slot in (0..self.memory.participants()).filter(|slot| slots.has(*slot)) {
            self.memory.magazine(slot).busy.store(0, Ordering::Relaxed);
        }
        self.sweep(|cell| match cell.state() {
            Some(State::Owned | State::Cached | State::Sending) if slots.has(cell.who()) => Left::Block,
            Some(State::Free) => Left::Hint,
            _ => Left::Nothing,
        })
    }

    /// Gives back what is in flight on a channel that carries nothing any more; says how many blocks. For the holder of the
    /// channel's lock.
    pub(crate) fn reclaim_channel(&self, channel: u32) -> u32 {
        self.sweep(|cell| if cell.is(State::InFlight, channel) { Left::Block } else { Left::Nothing })
    }

    fn sweep(&self, left: impl Fn(Cell) -> Left) -> u32 {
        let mut found = 0;
        for block in 0..self.memory.blocks() {
            let cell = self.cell(block);
            let free = match left(cell) {
                Left::Nothing => false,
                Left::Hint => self.memory.hints(block / 64).load(Ordering::Relaxed) & 1 << (block % 64) != 0,
                Left::Block => {
                    let freed = self.change(block, cell, cell.released(State::Free, 0));
                    found += u32::from(freed);
                    freed
                }
            };
            if free {
                self.offer(block);
            }
        }
        if found > 0 {
            self.notify(found);
        }
        found
    }

    /// A block that this participant owns, looking from `from` on.
    #[inline(always)]
    pub(crate) fn find_owned(&self, from: u32) -> Option<BlockId> {
        let blocks = self.memory.blocks();
        for block in (from..blocks).chain(0..from.min(blocks)) {
            let cell = self.cell(block);
            if cell.is(State::Owned, self.slot) {
                return Some(BlockId::new(block, cell));
            }
        }
        None
    }

    /// Takes a block that this participant owns away from everyone.
    pub(crate) fn use_up(&self, id: BlockId) -> bool {
        let from = id.cell(State::Owned, self.slot);
        self.owns(id)
            && id.number().is_some_and(|block| self.change(block, from, from.released(State::Absent, 0)))
    }

    /// Makes a block free that is not there; false if all are.
    pub(crate) fn supply(&self) -> bool {
        let supplied = |block: &u32| {
            let cell = self.cell(*block);
            cell.is(State::Absent, 0) && self.change(*block, cell, cell.to(State::Free, 0))
        };
        let found = (0..self.memory.blocks()).find(supplied);
        if let Some(block) = found {
            self.offer(block);
            self.notify(1);
        }
        found.is_some()
    }

    /// Gives back a block that somebody owns; false if nobody owns one.
    pub(crate) fn give_another(&self) -> bool {
        let given = |block: &u32| {
            let cell = self.cell(*block);
            cell.state() == Some(State::Owned) && self.change(*block, cell, cell.released(State::Free, 0))
        };
        let found = (0..self.memory.blocks()).find(given);
        if let Some(block) = found {
            self.offer(block);
            self.notify(1);
        }
        found.is_some()
    }

    /// Takes the blocks from `from` on away from everyone. Before anybody else has the segment.
    pub(crate) fn begin_with(&self, from: u32) {
        for block in from..self.memory.blocks() {
            self.memory.cell(block).store(Cell(0).to(State::Absent, 0).0, Ordering::Relaxed);
        }
    }

    /// Begins to send a block: nobody else may release it or send it. False if this participant does not own it.
    pub(crate) fn begin_send(&self, id: BlockId) -> bool {
        let from = id.cell(State::Owned, self.slot);
        self.owns(id)
            && id.number().is_some_and(|block| self.change(block, from, from.to(State::Sending, self.slot)))
    }

    /// After [`Store::begin_send`]: the record is committed.
    pub(crate) fn finish_send(&self, id: BlockId, channel: u32) {
        let from = id.cell(State::Sending, self.slot);
        if let Some(block) = id.number() {
            // If it is not, the receiver was faster.
            let _ = self.change(block, from, from.to(State::InFlight, channel));
        }
    }

    /// After [`Store::begin_send`]: there was no room for the record.
    pub(crate) fn cancel_send(&self, id: BlockId) {
        let from = id.cell(State::Sending, self.slot);
        if let Some(block) = id.number() {
            let _ = self.change(block, from, from.to(State::Owned, self.slot));
        }
    }

    /// Takes the block of a record, which has another id from then on: the sender may not have finished, and must not find it
    /// in the same generation when it comes round. `None` if it is not, or no longer, to be had.
    pub(crate) fn receive(&self, id: BlockId, sender: u32, channel: u32) -> Option<BlockId> {
        let block = id.number().filter(|block| *block < self.memory.blocks())?;
        // In this order, which is the sender's: what is in neither state after both looks was not to be had. Most often the
        // sender has finished, and then the first look is spared.
        let states = [id.cell(State::Sending, sender), id.cell(State::InFlight, channel)];
        let finished = self.cell(block) == states[1];
        let taken = |from: &Cell| self.change(block, *from, from.released(State::Owned, self.slot));
        states
            .into_iter()
            .skip(usize::from(finished))
            .find(taken)
            .map(|from| BlockId::new(block, from.released(State::Owned, self.slot)))
    }

    /// What each block is doing, in any order of time.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        (0..self.memory.blocks()).map(|block| self.cell(block))
    }
}
