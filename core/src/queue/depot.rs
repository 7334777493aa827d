//! Waiting for a message, or for room for one; and burying the dead. The protocol is in `protocol`.

use super::layout::{cell_of_ticket, State, SYNC};
use super::memory::Mapped;
use super::protocol::{Memory, Refusal, Store, Taken};
use crate::error::{from_errno, Context, Error, Result};
use crate::event::{Event, Kernel};
use crate::lease::Turn;
use crate::segment::Segment;
use crate::slots::Slots;
use crate::stream::Corruption;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::clock;
use crate::wait::{wait, Condition, Deadline, Nap, SLICE};
use crate::watch::Watched;
use std::borrow::Cow;
use std::sync::Arc;

/// So many of its messages are looked at to say what a queue is full of.
const COUNTED: u32 = 1024;

/// One handle's access.
#[derive(Debug)]
pub(super) struct Depot {
    pub(super) store: Store<Mapped>,
    /// When it was last asked who is dead; 0 before.
    asked: AtomicU64,
    /// What was pushed and acknowledged is on the disk before a call returns.
    pub(super) sync: bool,
    pub(super) segment: Segment,
}

impl Depot {
    pub(super) fn new(store: Store<Mapped>, segment: Segment) -> Depot {
        let sync = segment.parameters()[SYNC] != 0;
        Depot { store, asked: AtomicU64::new(0), sync, segment }
    }

    /// Puts a message into its lane once it is on the disk, and waits until that is there as well.
    #[cold]
    #[inline(never)]
    pub(super) fn publish_on_disk(&self, cell: u32, len: usize, priority: u32) -> Result<()> {
        let corrupt = |corruption| self.corrupt(corruption);
        if let Err(error) = self.keep(cell, len) {
            self.store.discard(cell).map_err(corrupt)?;
            return Err(error);
        }
        self.store.publish(cell, priority).map_err(corrupt)?;
        // The cell says in which lane it is. What others have made of it since is as good.
        self.keep(cell, 0)
    }

    /// Waits until it is on the disk that a message was acknowledged.
    #[cold]
    #[inline(never)]
    pub(super) fn keep_acknowledged(&self, ticket: u64) -> Result<()> {
        cell_of_ticket(ticket).map_or(Ok(()), |cell| self.keep(cell, 0))
    }

    fn keep(&self, cell: u32, len: usize) -> Result<()> {
        let kept = self.store.memory().write_back(cell, len);
        kept.map_err(|errno| from_errno(self.segment.name(), "msync", errno))
    }

    #[cold]
    pub(super) fn corrupt(&self, Corruption(what): Corruption) -> Error {
        Error::Corrupt(self.segment.context(what))
    }

    #[cold]
    fn refused(&self, refusal: Refusal, available: usize) -> Error {
        match refusal {
            Refusal::TooBig(needed) => {
                // Who was woken for it leaves it to another.
                let memory = self.store.memory();
                memory.control().pushed.notify(memory.kernel(), 1);
                Error::TooBig { needed, available }
            }
            Refusal::Corrupt(corruption) => self.corrupt(corruption),
        }
    }

    /// A cell to write a message in, waiting for one until `deadline`.
    #[inline(always)]
    pub(super) fn claim(&self, deadline: Deadline) -> Result<u32> {
        match self.store.claim() {
            Ok(Some(index)) => Ok(index),
            _ => self.get(&FreeCell(self), deadline),
        }
    }

    /// The next message, if it has at most so many bytes, waiting for one until `deadline`.
    #[inline(always)]
    pub(super) fn take(&self, room: usize, deadline: Deadline) -> Result<Taken> {
        match self.store.take(room) {
            Ok(Some(taken)) => Ok(taken),
            _ => self.get(&Message { depot: self, room }, deadline),
        }
    }

    /// The next dead letter, if there is one.
    pub(super) fn take_dead(&self, room: usize) -> Result<Taken> {
        let taken = self.store.take_dead(room).map_err(|refusal| self.refused(refusal, room))?;
        if let Some(taken) = taken {
            return Ok(taken);
        }
        let buried = self.bury_sometimes(clock::coarse());
        let again = if buried { self.store.take_dead(room) } else { Ok(None) };
        again
            .map_err(|refusal| self.refused(refusal, room))?
            .ok_or(Error::WouldBlock("the queue has no dead letter"))
    }

    #[cold]
    #[inline(never)]
    fn get<W: Wanted>(&self, wanted: &W, deadline: Deadline) -> Result<W::Thing> {
        if let Some(found) = wanted.look()? {
            return Ok(found);
        }
        if deadline.is_now() {
            let buried = self.bury_sometimes(clock::coarse());
            return if buried { wanted.look()? } else { None }.ok_or(Error::WouldBlock(W::NOTHING));
        }
        let mut waiting = Waiting { depot: self, wanted, found: None };
        let waited = wait(&mut waiting, self.segment.wait_strategy(), deadline.started());
        // One that was found as the time ran out is not lost.
        waiting.found.map_or_else(|| Err(waited.err().unwrap_or(Error::WouldBlock(W::NOTHING))), Ok)
    }

    /// Looks for dead participants, for one who waits: of all who do, one looks once a slice, as it costs a system call for each
    /// participant. Says whether it did.
    fn bury_in_turn(&self, now: u64) -> bool {
        // Relaxed: a hint about when. What is later than now is of another clock.
        let asked = &self.store.memory().control().asked;
        let since = now.checked_sub(asked.load(Ordering::Relaxed));
        if since.is_some_and(|since| since < SLICE) {
            return false;
        }
        asked.store(now, Ordering::Relaxed);
        self.bury_sometimes(now)
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

    /// Recovers what dead participants left. What is corrupt is told by the calls that come upon it.
    pub(super) fn bury(&self, turn: &Turn<'_>) -> Result<()> {
        self.segment.leases().each_dead(turn, |dead| {
            let _ = self.store.bury(dead);
        })
    }

    /// What a full queue is full of.
    fn full(&self) -> String {
        let (mut waiting, mut taken, mut dead, mut holder) = (0, 0, 0, None);
        let depth = self.store.memory().depth();
        for word in (0..depth.min(COUNTED)).map(|index| self.store.word(index)) {
            match word.state() {
                Some(State::Taken) => {
                    taken += 1;
                    holder = holder.or(Some(word.slot()));
                }
                Some(State::Dead) => dead += 1,
                Some(State::Owned | State::Returned) => waiting += 1,
                _ => {}
            }
        }
        let of = if depth > COUNTED { format!("the first {COUNTED} of ") } else { String::new() };
        let who = holder.map_or_else(String::new, |slot| {
            format!(
                " by {}{}",
                self.segment.leases().who(slot),
                if taken > 1 { " and maybe others" } else { "" }
            )
        });
        format!(
            "the queue is full: of {of}its {depth} messages, {waiting} wait to be taken, {taken} are taken{who} and not \
             acknowledged, and {dead} are dead letters"
        )
    }

    /// True if there is a message, or a call will say why not.
    pub(super) fn has_message(&self) -> bool {
        self.store.has_message().unwrap_or(true)
    }

    /// True if there is room for a message, or a call will say why not.
    pub(super) fn has_room(&self) -> bool {
        self.store.has_room().unwrap_or(true)
    }

    /// For who waits for a message among other things: see [`Sleeping`](crate::any::Sleeping).
    pub(super) fn is_ready(&self, now: Option<u64>) -> bool {
        self.has_message() || now.is_some_and(|now| self.bury_in_turn(now) && self.has_message())
    }

    pub(super) fn announce(&self) -> Option<(*const u32, u32)> {
        let memory = self.store.memory();
        let pushed = &memory.control().pushed;
        let word = pushed.announce(memory.kernel());
        (!self.has_message()).then(|| (pushed.address(), word))
    }

    /// After a sleep of one who does not take: a message wakes one, and it may be another that has time.
    pub(super) fn pass_on(&self) {
        if self.has_message() {
            let memory = self.store.memory();
            memory.kernel().wake(&memory.control().pushed, 1);
        }
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        if !self.segment.is_inherited() {
            let _ = self.store.bury(&Slots::one(self.store.slot()));
        }
    }
}

/// What a call waits for.
trait Wanted {
    type Thing;
    /// Says that there is none.
    const NOTHING: &'static str;
    /// One look; it is had if it is found.
    fn look(&self) -> Result<Option<Self::Thing>>;
    /// What is notified when it may be there.
    fn event(&self) -> &Event;
    /// Why there was none for long.
    fn missing(&self) -> Cow<'static, str> {
        Cow::Borrowed(Self::NOTHING)
    }
}

struct FreeCell<'d>(&'d Depot);

impl Wanted for FreeCell<'_> {
    type Thing = u32;
    const NOTHING: &'static str = "the queue is full";

    fn look(&self) -> Result<Option<u32>> {
        self.0.store.claim().map_err(|corruption| self.0.corrupt(corruption))
    }

    fn event(&self) -> &Event {
        &self.0.store.memory().control().freed
    }

    fn missing(&self) -> Cow<'static, str> {
        self.0.full().into()
    }
}

struct Message<'d> {
    depot: &'d Depot,
    room: usize,
}

impl Wanted for Message<'_> {
    type Thing = Taken;
    const NOTHING: &'static str = "the queue has no message to take";

    fn look(&self) -> Result<Option<Taken>> {
        self.depot.store.take(self.room).map_err(|refusal| self.depot.refused(refusal, self.room))
    }

    fn event(&self) -> &Event {
        &self.depot.store.memory().control().pushed
    }
}

/// A call waits.
struct Waiting<'d, 'w, W: Wanted> {
    depot: &'d Depot,
    wanted: &'w W,
    found: Option<W::Thing>,
}

impl<W: Wanted> Condition for Waiting<'_, '_, W> {
    fn ready(&mut self) -> Result<bool> {
        // What was found before a sleep is not lost.
        if self.found.is_none() {
            self.found = self.wanted.look()?;
        }
        Ok(self.found.is_some())
    }

    fn nap(&mut self, until: u64) -> Nap {
        let (mut found, mut failed) = (None, false);
        let nap = self.wanted.event().nap(self.depot.store.memory().kernel(), || {
            // What fails is told by the next look.
            match self.wanted.look() {
                Ok(thing) => found = thing,
                Err(_) => failed = true,
            }
            (found.is_none() && !failed).then_some(until)
        });
        self.found = found;
        nap
    }

    /// Asks now and then who died: what it had comes back.
    fn peer(&mut self, now: u64) -> Result<()> {
        self.depot.bury_in_turn(now);
        Ok(())
    }

    fn peer_is_here(&self) -> bool {
        false
    }

    fn missing(&self) -> Context {
        self.depot.segment.context(self.wanted.missing())
    }
}

/// A watcher waits until there is a message.
impl Watched for Depot {
    fn ready(&self, _target: u64) -> bool {
        self.has_message()
    }

    fn nap(&self, _target: u64, until: u64) {
        let memory = self.store.memory();
        memory.control().pushed.nap(memory.kernel(), || (!self.has_message()).then_some(until));
        self.pass_on();
    }

    /// What the dead had comes back by this.
    fn peer_is_gone(&self) -> bool {
        self.bury_in_turn(clock::now()) && self.has_message()
    }

    fn wake(&self, _target: u64) {
        let memory = self.store.memory();
        memory.control().pushed.notify(memory.kernel(), u32::MAX);
    }
}

/// A watcher waits until there is room for a message.
#[derive(Debug)]
pub(super) struct Room(pub(super) Arc<Depot>);

impl Watched for Room {
    fn ready(&self, _target: u64) -> bool {
        self.0.has_room()
    }

    fn nap(&self, _target: u64, until: u64) {
        let memory = self.0.store.memory();
        let freed = &memory.control().freed;
        freed.nap(memory.kernel(), || (!self.0.has_room()).then_some(until));
        // A free cell wakes one, and it may be another that has something to push.
        if self.0.has_room() {
            memory.kernel().wake(freed, 1);
        }
    }

    /// What the dead were pushing gives its room back by this.
    fn peer_is_gone(&self) -> bool {
        self.0.bury_in_turn(clock::now()) && self.0.has_room()
    }

    fn wake(&self, _target: u64) {
        let memory = self.0.store.memory();
        memory.control().freed.notify(memory.kernel(), u32::MAX);
    }
}
