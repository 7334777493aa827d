//! Taking a mutex of a segment: waiting for it, and burying an owner that died.

use crate::error::{Context, Error, Result};
use crate::event::Kernel;
use crate::mutex::{Locked, Mutex};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::clock;
use crate::wait::{wait, Condition, Deadline, Nap, SLICE};

/// A participant that takes it.
pub(crate) trait Owner: Heir {
    /// Says that another has it.
    const LOCKED: &'static str;
    fn mutex(&self) -> &Mutex;
    fn kernel(&self) -> &impl Kernel;
}

/// A participant that recovers what others left which died.
pub(crate) trait Heir {
    fn segment(&self) -> &Segment;
    /// When this handle last asked whether others live; 0 before.
    fn asked(&self) -> &AtomicU64;
    /// Recovers what the dead participant in a slot left, all of it: the slot is free afterwards. For the holder of its lease.
    fn bury(&self, slot: u32);
}

/// Buries those of the participants in these slots that died, unless it asked within the last slice; says whether it asked.
pub(crate) fn ask(heir: &impl Heir, now: u64, slots: impl Iterator<Item = u32>) -> Result<bool> {
    let (leases, asked) = (heir.segment().leases(), heir.asked());
    let last = asked.load(Ordering::Relaxed); // Relaxed: a hint about when.
    if last != 0 && now.saturating_sub(last) < SLICE {
        return Ok(false);
    }
    let Some(turn) = leases.try_turn() else { return Ok(false) };
    for slot in slots {
        leases.bury(&turn, slot, |slot| heir.bury(slot))?;
        asked.store(now.max(1), Ordering::Relaxed); // Who got no answer may ask again at once.
    }
    Ok(true)
}

/// Takes the mutex, waiting for it until `deadline`.
///
/// # Errors
/// `WouldBlock`, `TimedOut`, `Interrupted`, `Corrupt`, `Os`.
#[cold]
pub(crate) fn acquire<O: Owner>(owner: &O, deadline: Deadline) -> Result<Locked> {
    let mut free = FreeMutex { owner, found: None };
    if deadline.is_now() {
        if !free.ready()? {
            free.peer(clock::coarse())?;
        }
        return free.found.ok_or(Error::WouldBlock(O::LOCKED));
    }
    let waited = wait(&mut free, owner.segment().wait_strategy(), deadline.started());
    // One that was found as the time ran out is not lost.
    free.found.map_or_else(|| Err(waited.err().unwrap_or(Error::WouldBlock(O::LOCKED))), Ok)
}

/// A call waits for the mutex.
struct FreeMutex<'a, O> {
    owner: &'a O,
    found: Option<Locked>,
}

impl<O: Owner> FreeMutex<'_, O> {
    fn slot(&self) -> u32 {
        self.owner.segment().leases().slot()
    }
}

impl<O: Owner> Condition for FreeMutex<'_, O> {
    fn ready(&mut self) -> Result<bool> {
        // What was found before a sleep is not lost.
        let mutex = self.owner.mutex();
        if self.found.is_none() && mutex.owner().is_none() {
            self.found = mutex.try_lock(self.slot()); // Looked first: whoever spins leaves the line to the owner.
        }
        Ok(self.found.is_some())
    }

    fn nap(&mut self, until: u64) -> Nap {
        if self.found.is_some() {
            return Nap::Over; // `peer` found it.
        }
        self.owner.mutex().nap(self.owner.kernel(), self.slot(), until, &mut self.found)
    }

    /// Asks, once a slice, whether the owner lives; if it does not, the mutex is freed.
    fn peer(&mut self, now: u64) -> Result<()> {
        let (segment, mutex) = (self.owner.segment(), self.owner.mutex());
        let owner = mutex.owner_among(segment.leases().participants());
        let unsound = |_| Error::Corrupt(segment.context("the lock is not in a state that ipcx writes"));
        if ask(self.owner, now, owner.map_err(unsound)?.into_iter())? {
            self.found = mutex.try_lock(self.slot());
        }
        Ok(())
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    /// Without a name, which would be an allocation: reads take the mutex too.
    fn missing(&self) -> Context {
        self.owner.segment().context(O::LOCKED)
    }
}
