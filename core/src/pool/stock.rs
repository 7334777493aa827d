//! What participants acquire, and what comes back when they die: the blocks of a pool, the permits of a semaphore.
//!
//! The protocol is in `protocol`; here are waiting, and burying the dead.

use super::layout::BlockId;
use super::memory::Mapped;
use super::protocol::{Memory, Store};
use crate::error::{Context, Error, Result};
use crate::lease::Turn;
use crate::segment::Segment;
use crate::slots::Slots;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::{clock, thread};
use crate::wait::{wait, Condition, Deadline, Nap, SLICE};
use crate::watch::Watched;

/// How soon to look again where a block was seen but could not be had at that moment, in nanoseconds.
const SOON: u64 = 1_000_000;

/// One handle's access. A pool's producers and consumers in this process know it too.
#[derive(Debug)]
pub(crate) struct Stock {
    pub(crate) store: Store<Mapped>,
    /// When it was last asked who is dead; 0 before.
    asked: AtomicU64,
    pub(crate) segment: Segment,
    /// Says that there is none.
    nothing: &'static str,
}

impl Stock {
    pub(crate) fn new(store: Store<Mapped>, segment: Segment, nothing: &'static str) -> Stock {
        Stock { store, asked: AtomicU64::new(0), segment, nothing }
    }

    /// A block, waiting for one until `deadline`.
    #[inline(always)]
    pub(crate) fn acquire(&self, deadline: Deadline) -> Result<BlockId> {
        if !self.segment.is_inherited() {
            if let Some(id) = self.store.take(thread::current()) {
                return Ok(id);
            }
        }
        self.acquire_the_long_way(deadline)
    }

    /// Gives a block back that this handle owns.
    #[inline(always)]
    pub(crate) fn release(&self, id: BlockId) -> Result<()> {
        if !self.segment.is_inherited() && self.store.give(id, thread::current()) {
            return Ok(());
        }
        Err(self.refusal(id))
    }

    /// True if something can be acquired, as of now.
    pub(crate) fn has_free(&self) -> bool {
        self.store.has_free()
    }

    #[cold]
    #[inline(never)]
    fn acquire_the_long_way(&self, deadline: Deadline) -> Result<BlockId> {
        self.segment.check_not_inherited()?;
        if deadline.is_now() {
            return self.look_everywhere(clock::coarse()).0.ok_or(Error::WouldBlock(self.nothing));
        }
        let mut free = FreeBlock { stock: self, found: None, looked: 0 };
        let waited = wait(&mut free, self.segment.wait_strategy(), deadline.started());
        // One that was found as the time ran out is not lost.
        free.found.map_or_else(|| Err(waited.err().unwrap_or(Error::WouldBlock(self.nothing))), Ok)
    }

    /// A block that somebody keeps ready, or that a dead one had; and whether another look soon makes sense.
    fn look_everywhere(&self, now: u64) -> (Option<BlockId>, bool) {
        let take = || self.store.take(thread::current());
        let (gathered, more) = self.store.gather();
        if let Some(id) = take() {
            return (Some(id), false);
        }
        let buried = self.bury_sometimes(now);
        // Also where no block came back: a hint may be right again.
        (if gathered > 0 || buried { take() } else { None }, more)
    }

    /// Looks for dead participants, once a slice; says whether it did. What fails is tried again.
    fn bury_sometimes(&self, now: u64) -> bool {
        // Relaxed: a hint about when.
        let asked = self.asked.load(Ordering::Relaxed);
        if asked != 0 && now.saturating_sub(asked) < SLICE {
            return false;
        }
        let Some(turn) = self.segment.leases().try_turn() else { return false };
        self.asked.store(now.max(1), Ordering::Relaxed);
        self.bury(&turn).is_ok()
    }

    /// Gives back what dead participants owned.
    pub(crate) fn bury(&self, turn: &Turn<'_>) -> Result<u32> {
        let mut found = 0;
        self.segment.leases().each_dead(turn, |dead| found += self.store.reclaim(dead))?;
        Ok(found)
    }

    #[cold]
    pub(crate) fn refusal(&self, id: BlockId) -> Error {
        if self.segment.is_inherited() {
            return Error::Forked;
        }
        Error::invalid(format!(
            "block {:#x} is not this handle's: it was released or sent before, or another has it (segment '{}')",
            id.get(),
            self.segment.name()
        ))
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        if !self.segment.is_inherited() {
            self.store.reclaim(&Slots::one(self.store.slot()));
        }
    }
}

/// A call waits for a block.
struct FreeBlock<'a> {
    stock: &'a Stock,
    found: Option<BlockId>,
    /// When it last looked everywhere; 0 before.
    looked: u64,
}

impl Condition for FreeBlock<'_> {
    fn ready(&mut self) -> Result<bool> {
        // What was found before a sleep is not lost.
        self.found = self.found.or_else(|| self.stock.store.take(thread::current()));
        Ok(self.found.is_some())
    }

    fn nap(&mut self, until: u64) -> Nap {
        if self.found.is_some() {
            return Nap::Over; // `peer` found it.
        }
        let now = clock::now();
        self.stock.store.nap(|| {
            let (found, more) = self.stock.look_everywhere(now);
            self.found = found;
            match found {
                Some(_) => None,
                None if more => Some(until.min(now + SOON)),
                None => Some(until),
            }
        })
    }

    /// For those who do not sleep: there is more to look at than where blocks usually are.
    fn peer(&mut self, now: u64) -> Result<()> {
        if self.found.is_none() && now.saturating_sub(self.looked) >= SOON {
            self.looked = now;
            self.found = self.stock.look_everywhere(now).0;
        }
        Ok(())
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        self.stock.segment.context(self.stock.nothing)
    }
}

/// For who waits for something to be acquired among other things.
impl Stock {
    /// See [`Sleeping::is_ready`](crate::any::Sleeping::is_ready).
    pub(crate) fn is_ready(&self, now: Option<u64>) -> bool {
        self.has_free() || now.is_some_and(|now| self.bury_sometimes(now) && self.has_free())
    }

    /// See [`Sleeping::announce`](crate::any::Sleeping::announce); there is nothing to withdraw.
    pub(crate) fn announce(&self) -> Option<(*const u32, u32)> {
        let (memory, freed) = (self.store.memory(), self.store.memory().freed());
        let word = freed.announce(memory.kernel());
        (!self.has_free()).then(|| (freed.address(), word))
    }
}

/// A watcher waits until something can be acquired.
impl Watched for Stock {
    fn ready(&self, _target: u64) -> bool {
        self.has_free()
    }

    fn nap(&self, _target: u64, until: u64) {
        self.store.nap(|| (!self.has_free()).then_some(until));
    }

    /// What the dead had comes back by this.
    fn peer_is_gone(&self) -> bool {
        self.bury_sometimes(clock::now()) && self.has_free()
    }

    fn wake(&self, _target: u64) {
        self.store.wake_all();
    }
}
