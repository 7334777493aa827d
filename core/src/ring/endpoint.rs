//! What producer and consumer have in common: a role, a peer, and a watcher if the descriptor was asked for.

use super::layout::{ConsumerPage, ProducerPage};
use super::memory::{Mapped, Side};
use super::protocol::{is_empty, Memory};
use crate::error::{Error, Result};
use crate::lease::{Role, RolePlace, RoleState, RoleWord};
use crate::segment::Segment;
use crate::stream::Corruption;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::{cpu, fork};
use crate::wait::{WaitStrategy, SLICE};
use crate::watch::OnDemand;
use std::mem::offset_of;
use std::sync::Arc;

pub(crate) const PRODUCER: Role = Role { index: 0, name: "producer" };
pub(crate) const CONSUMER: Role = Role { index: 1, name: "consumer" };

/// Where their words stand.
pub(crate) const ROLES: &[RolePlace] = &[
    RolePlace { role: PRODUCER, page: 0, offset: offset_of!(ProducerPage, role) },
    RolePlace { role: CONSUMER, page: 1, offset: offset_of!(ConsumerPage, role) },
];

/// What a call waits for that finds no record, and no room for one.
pub(crate) const EMPTY: &str = "the ring is empty";
pub(crate) const FULL: &str = "the ring is full";

/// Nanoseconds for which one end leaves the other alone: long enough for that to get some records ahead, measured in
/// docs/ring-format.md and docs/performance.md.
pub(super) const STEP_BACK: u32 = 1_400;

/// The role's word on its owner's page.
fn role_of(memory: &Mapped, role: Role) -> &RoleWord {
    let (producer, consumer): (&ProducerPage, &ConsumerPage) = (memory.producer(), memory.consumer());
    if role.index == PRODUCER.index {
        &producer.role
    } else {
        &consumer.role
    }
}

fn cpu_of(memory: &Mapped, role: Role) -> &AtomicU32 {
    if role.index == PRODUCER.index {
        &memory.producer().sleepers.cpu
    } else {
        &memory.consumer().sleepers.cpu
    }
}

/// The other end, as one end sees it.
///
/// A peer that closed before this end attached is not its peer: this end waits for the next one. With one exception: a
/// consumer that finds records is told, after the last, that their producer closed. The successor of an end that died has the
/// peer that one had.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    segment: Arc<Segment>,
    memory: Mapped,
    role: Role,
    /// Role word of a peer that closed before, and does not count.
    before: Option<u64>,
}

impl Peer {
    fn word(&self) -> &RoleWord {
        role_of(&self.memory, self.role)
    }

    /// True if the peer's word says that it closed: one load.
    #[inline]
    fn has_closed(&self) -> bool {
        self.word().closed().is_some_and(|word| self.before != Some(word))
    }

    /// Its state now; at most one system call.
    fn state(&self) -> RoleState {
        match self.segment.leases().state(self.role, self.word()) {
            RoleState::Closed if !self.has_closed() => RoleState::Never,
            state => state,
        }
    }

    /// True if it closed or died.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state(), RoleState::Closed | RoleState::Dead)
    }
}

/// A role held, and what its holder knows of the other one.
#[derive(Debug)]
pub(crate) struct Endpoint {
    own: Role,
    peer: Peer,
    strategy: WaitStrategy,
    /// Whether a wait begins with looking on.
    looks: bool,
    /// Fork generation of the process it was made in.
    generation: u32,
    /// When the peer's lease was last asked for; 0 to ask at the next turn.
    asked: u64,
    /// The peer had closed or died when it was last looked for.
    is_alone: bool,
    pub(crate) watcher: OnDemand,
}

impl Endpoint {
    /// Maps the ring for one side and takes its role's lock. [`Endpoint::open`] or [`Endpoint::refuse`] follows.
    pub(crate) fn take(segment: &Arc<Segment>, capacity: usize, side: Side) -> Result<Endpoint> {
        segment.check_not_inherited()?;
        let (own, peer) = match side {
            Side::Consumer => (CONSUMER, PRODUCER),
            Side::Producer | Side::Observer => (PRODUCER, CONSUMER),
        };
        let memory = Mapped::new(segment, capacity, side)?;
        segment.leases().take(own, role_of(&memory, own))?;
        let nothing_left = || side != Side::Consumer || is_empty(&memory);
        let before = role_of(&memory, own).peer_before(role_of(&memory, peer), nothing_left);
        let mut endpoint = Endpoint {
            own,
            peer: Peer { segment: Arc::clone(segment), memory, role: peer, before },
            strategy: segment.wait_strategy(),
            looks: false,
            generation: fork::generation(),
            asked: 0,
            is_alone: false,
            watcher: OnDemand::default(),
        };
        endpoint.note_cpu();
        Ok(endpoint)
    }

    /// A peer that closed before counts too: there is no other that could come.
    pub(crate) fn count_closed(&mut self) {
        self.peer.before = None;
    }

    pub(crate) fn memory(&self) -> &Mapped {
        &self.peer.memory
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.peer.segment
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(crate) fn strategy(&self) -> WaitStrategy {
        self.strategy
    }

    /// True in a forked child that inherited this endpoint.
    #[inline(always)]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Whether a wait begins with looking on, as of the last [`Endpoint::note_cpu`].
    #[inline(always)]
    pub(crate) fn looks(&self) -> bool {
        self.looks
    }

    /// Publishes on which processor this side runs, as of now, and looks where the peer does. Relaxed: hints for waiting.
    pub(crate) fn note_cpu(&mut self) {
        let (shown, now) = (cpu_of(self.memory(), self.own), cpu::current());
        // Stored only when it changes: the partner reads this line at every message.
        if shown.load(Ordering::Relaxed) != now {
            shown.store(now, Ordering::Relaxed);
        }
        self.looks = self.strategy.looks(|| self.peer_is_here());
    }

    /// True if the peer was last seen on this thread's processor.
    pub(crate) fn peer_is_here(&self) -> bool {
        cpu_of(self.memory(), self.peer.role).load(Ordering::Relaxed) == cpu::current()
    }

    /// An error if the peer closed or died. Its word is looked at each time, its lease once a slice (`now` is
    /// monotonic nanoseconds).
    pub(crate) fn check_peer(&mut self, now: u64) -> Result<()> {
        let state = if self.peer.has_closed() {
            RoleState::Closed
        } else if self.asked == 0 || now.saturating_sub(self.asked) >= SLICE {
            self.peer.state()
        } else {
            return Ok(());
        };
        self.asked = if state == RoleState::Dead { 0 } else { now };
        self.is_alone = matches!(state, RoleState::Closed | RoleState::Dead);
        let context = |detail: &'static str| self.segment().context(detail);
        let producer = self.peer.role.index == PRODUCER.index;
        match state {
            RoleState::Closed if producer => {
                Err(Error::Closed(context("the producer closed and nothing is left to receive")))
            }
            RoleState::Closed => Err(Error::Closed(context("the consumer closed and the ring is full"))),
            RoleState::Dead if producer => Err(Error::PeerDead(context(
                "the producer died and nothing is left to receive; start it again, and go on here",
            ))),
            RoleState::Dead => Err(Error::PeerDead(context(
                "the consumer died and the ring is full; start it again, and go on here",
            ))),
            RoleState::Never | RoleState::Alive => Ok(()),
        }
    }

    /// After an operation: makes the descriptor, if there is one, say whether this end is `ready` for `target`. An end whose peer is
    /// gone stays ready: it has been told, and is not told again before a successor has come and there is something to wait for.
    #[cold]
    pub(crate) fn update_watcher(&mut self, ready: bool, target: u64) {
        let ready = ready || self.is_alone;
        if let Some(watcher) = self.watcher.get() {
            watcher.update(ready, target);
        }
        if !ready {
            self.asked = 0; // The next call that finds nothing asks for the peer, as the watcher will have done.
        }
    }

    #[cold]
    pub(crate) fn corrupt(&self, Corruption(what): Corruption) -> Error {
        Error::Corrupt(self.segment().context(what))
    }

    /// The role is this end's, which is ready for it.
    pub(crate) fn open(&self) {
        let peer = &self.peer;
        peer.segment.leases().open(role_of(&peer.memory, self.own), peer.before);
    }

    /// The ring is not fit to be used: the role is as it was before.
    pub(crate) fn refuse(self, corruption: Corruption) -> Error {
        self.peer.segment.leases().put_back(self.own);
        self.corrupt(corruption)
    }

    /// Gives the role up in good order. Wake the peer after it.
    pub(crate) fn close(&mut self) {
        self.watcher = OnDemand::default();
        let peer = &self.peer;
        peer.segment.leases().give_up(self.own, role_of(&peer.memory, self.own));
    }
}
