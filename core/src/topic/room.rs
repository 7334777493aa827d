//! Waiting for room, and for the lock: of calls, of watchers, and among several things.

use super::handle::Core;
use super::protocol::{holders, nap_for_room, Memory};
use crate::error::{Context, Error, Result};
use crate::event::Kernel;
use crate::owner::{ask, Owner};
use crate::sys::clock;
use crate::wait::{wait, Condition, Deadline, Nap};
use crate::watch::Watched;
use std::borrow::Cow;

/// Why there is no room.
const HELD: &str = "the topic is reliable, and a subscriber has not released what would be overwritten";

/// The same with names.
fn held_by(who: &str, others: usize) -> String {
    let others = if others > 0 { format!(", nor have {others} others") } else { String::new() };
    format!("the topic is reliable, and the subscriber of {who} has not released what would be overwritten{others}; is it stopped, or slow?")
}

/// Waits until no subscriber holds anything before `needed`; drops those that died.
pub(super) fn await_room(core: &Core, needed: u64, deadline: Deadline) -> Result<()> {
    let mut room = Room { core, needed };
    if !deadline.is_now() {
        return wait(&mut room, core.segment.wait_strategy(), deadline);
    }
    // Only who died makes another try worth it: others may go on and back as they like.
    let asked = ask(core, clock::coarse(), holders(&core.memory, needed))?;
    if asked && room.ready()? {
        return Ok(());
    }
    Err(Error::WouldBlock(HELD))
}

/// What a call says that has no room, and no time left.
pub(super) fn no_room(core: &Core, needed: u64, deadline: Deadline) -> Error {
    match deadline.is_now() {
        true => Error::WouldBlock(HELD),
        false => Error::TimedOut(Room { core, needed }.missing()),
    }
}

/// A call waits for room.
struct Room<'a> {
    core: &'a Core,
    needed: u64,
}

impl Condition for Room<'_> {
    fn ready(&mut self) -> Result<bool> {
        Ok(holders(&self.core.memory, self.needed).next().is_none())
    }

    fn nap(&mut self, until: u64) -> Nap {
        nap_for_room(&self.core.memory, self.needed, until)
    }

    /// Asks, once a slice, whether those live that hold something.
    fn peer(&mut self, now: u64) -> Result<()> {
        ask(self.core, now, holders(&self.core.memory, self.needed)).map(drop)
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    /// Names the first of them.
    fn missing(&self) -> Context {
        let Core { memory, segment, .. } = self.core;
        let mut all = holders(memory, self.needed);
        let detail = match all.next() {
            Some(slot) => held_by(&segment.leases().who(slot), all.count()).into(),
            None => Cow::Borrowed(HELD), // It went on just now.
        };
        segment.context(detail)
    }
}

impl Core {
    /// True if a publisher that needs what is before `needed` may have it now, and the lock; or if the lock is not one that
    /// ipcx writes, which a call will report. A hint.
    pub(super) fn may_publish(&self, needed: u64) -> bool {
        !self.is_locked() && holders(&self.memory, needed).next().is_none()
    }

    fn is_locked(&self) -> bool {
        matches!(self.mutex().owner_among(self.segment.leases().participants()), Ok(Some(_)))
    }

    /// Says that this thread is about to sleep until it may publish: the word to sleep on, and its value. `None` if it may now.
    pub(super) fn announce(&self, needed: u64) -> Option<(*const u32, u32)> {
        let locked = self.is_locked();
        let event = if locked { &self.mutex().unlocked } else { &self.memory.events().released };
        let word = event.announce(self.kernel());
        let sleeps = if locked { self.is_locked() } else { !self.may_publish(needed) };
        sleeps.then(|| (event.address(), word))
    }

    /// After such a sleep: an unlock wakes one, and this one does not take the lock by that.
    pub(super) fn pass_on(&self) {
        let unlocked = &self.mutex().unlocked;
        if unlocked.has_sleepers() && !self.is_locked() {
            self.kernel().wake(unlocked, 1);
        }
    }

    /// Drops who died and has the lock, or holds what is before `needed`.
    pub(super) fn drop_dead(&self, now: u64, needed: u64) {
        let owner = self.mutex().owner_among(self.segment.leases().participants());
        // Whatever goes wrong here, a call meets it again.
        let _ = ask(self, now, owner.into_iter().flatten().chain(holders(&self.memory, needed)));
    }
}

/// A publisher's watcher waits until it may publish; its target is what it needs.
impl Watched for Core {
    fn ready(&self, target: u64) -> bool {
        self.may_publish(target)
    }

    fn nap(&self, target: u64, until: u64) {
        self.drop_dead(clock::now(), target);
        if self.is_locked() {
            self.mutex().unlocked.nap(self.kernel(), || self.is_locked().then_some(until));
            self.pass_on();
        } else {
            nap_for_room(&self.memory, target, until);
        }
    }

    fn peer_is_gone(&self) -> bool {
        false
    }

    fn wake(&self, _target: u64) {
        self.mutex().unlocked.notify(self.kernel(), u32::MAX);
        self.memory.events().released.notify(self.kernel(), u32::MAX);
    }
}
