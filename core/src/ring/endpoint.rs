//! What producer and consumer have in common: a role, a peer, and a watcher if the descriptor was asked for.

use super::layout::{ConsumerPage, ProducerPage};
use super::memory::{Mapped, Side};
use super::protocol::{Corruption, Memory};
use crate::error::{Error, Result};
use crate::lease::{Leases, Role, RoleState, RoleWord};
use crate::segment::Segment;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::{cpu, fork};
use crate::wait::{WaitStrategy, SLICE};
use crate::watch::Watcher;
use std::sync::Arc;

pub(crate) const PRODUCER: Role = Role { index: 0, name: "producer" };
pub(crate) const CONSUMER: Role = Role { index: 1, name: "consumer" };

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

/// A role held, and what its holder knows of the other one.
#[derive(Debug)]
pub(crate) struct Endpoint {
    segment: Arc<Segment>,
    memory: Mapped,
    own: Role,
    peer: Role,
    strategy: WaitStrategy,
    /// Fork generation of the process it was made in.
    generation: u32,
    /// When the peer's lease was last asked for; 0 to ask at the next turn.
    asked: u64,
    pub(crate) watcher: Option<Watcher>,
}

impl Endpoint {
    /// Maps the ring for one side and takes its role.
    pub(crate) fn take(segment: &Arc<Segment>, capacity: usize, side: Side) -> Result<Endpoint> {
        segment.check_not_inherited()?;
        let (own, peer) = match side {
            Side::Consumer => (CONSUMER, PRODUCER),
            Side::Producer | Side::Observer => (PRODUCER, CONSUMER),
        };
        let memory = Mapped::new(segment, capacity, side)?;
        segment.leases().take(own, role_of(&memory, own))?;
        let endpoint = Endpoint {
            segment: Arc::clone(segment),
            memory,
            own,
            peer,
            strategy: segment.wait_strategy(),
            generation: fork::generation(),
            asked: 0,
            watcher: None,
        };
        endpoint.note_cpu();
        Ok(endpoint)
    }

    pub(crate) fn memory(&self) -> &Mapped {
        &self.memory
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    pub(crate) fn strategy(&self) -> WaitStrategy {
        self.strategy
    }

    /// True in a forked child that inherited this endpoint.
    #[inline(always)]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Publishes on which processor this side runs, as of now. Relaxed: a hint for the partner's waiting.
    pub(crate) fn note_cpu(&self) {
        cpu_of(&self.memory, self.own).store(cpu::current(), Ordering::Relaxed);
    }

    /// True if the peer was last seen on this thread's processor.
    pub(crate) fn peer_is_here(&self) -> bool {
        cpu_of(&self.memory, self.peer).load(Ordering::Relaxed) == cpu::current()
    }

    /// An error if the peer closed or died. Its word is looked at each time, its lease once a slice (`now` is
    /// monotonic nanoseconds).
    pub(crate) fn check_peer(&mut self, now: u64) -> Result<()> {
        let word = role_of(&self.memory, self.peer);
        let state = if Leases::is_closed(word) {
            RoleState::Closed
        } else if self.asked == 0 || now.saturating_sub(self.asked) >= SLICE {
            self.segment.leases().state(self.peer, word)
        } else {
            return Ok(());
        };
        self.asked = if state == RoleState::Dead { 0 } else { now };
        let context = |detail: &'static str| self.segment.context(detail);
        let producer = self.peer.index == PRODUCER.index;
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

    /// As [`Endpoint::check_peer`], for a watcher: the state now, in at most one system call.
    pub(crate) fn peer_is_gone(segment: &Segment, memory: &Mapped, peer: Role) -> bool {
        matches!(segment.leases().state(peer, role_of(memory, peer)), RoleState::Closed | RoleState::Dead)
    }

    #[cold]
    pub(crate) fn corrupt(&self, Corruption(what): Corruption) -> Error {
        Error::Corrupt(self.segment.context(what))
    }

    /// Gives the role up in good order. Wake the peer after it.
    pub(crate) fn close(&mut self) {
        self.watcher = None;
        self.segment.leases().give_up(self.own, role_of(&self.memory, self.own));
    }
}
