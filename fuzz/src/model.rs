//! The queue that a ring is compared with: what it says about contents, order, room, roles and peers.

use super::image::record_size;
use ipcx::Error;
use std::collections::VecDeque;

/// What a role's word and lock say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Never,
    Alive,
    Closed,
    Dead,
}

/// One side of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    pub role: Role,
    /// How often it was taken.
    taken: u64,
    /// The peer that had closed before and does not count: how often its role had been taken.
    ignores: Option<u64>,
    /// It looked at its peer's lock, and may believe for a while what it saw.
    looked: bool,
}

/// What a call that would wait may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Waits,
    Closed,
    Dead,
    /// The peer died lately: noticed or not.
    DeadOrWaits,
}

impl Refusal {
    pub fn allows(self, error: &Error) -> bool {
        match error {
            // The fuzzer's own timer interrupts what sleeps.
            Error::WouldBlock(_) | Error::TimedOut(_) | Error::Interrupted => {
                matches!(self, Refusal::Waits | Refusal::DeadOrWaits)
            }
            Error::Closed(_) => self == Refusal::Closed,
            Error::PeerDead(_) => matches!(self, Refusal::Dead | Refusal::DeadOrWaits),
            _ => false,
        }
    }
}

/// Index of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Producer = 0,
    Consumer = 1,
}

impl End {
    pub fn other(self) -> End {
        match self {
            End::Producer => End::Consumer,
            End::Consumer => End::Producer,
        }
    }
}

/// A record that is there, and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: u64,
    pub bytes: Vec<u8>,
}

/// The whole ring.
#[derive(Debug)]
pub struct Model {
    capacity: u64,
    pub head: u64,
    pub tail: u64,
    pub records: VecDeque<Entry>,
    pub sent: u64,
    pub received: u64,
    sides: [Side; 2],
}

impl Model {
    pub fn new(capacity: u64, position: u64) -> Model {
        let side = Side { role: Role::Never, taken: 0, ignores: None, looked: false };
        let records = VecDeque::new();
        Model { capacity, head: position, tail: position, records, sent: 0, received: 0, sides: [side; 2] }
    }

    pub fn role(&self, end: End) -> Role {
        self.sides[end as usize].role
    }

    pub fn largest(&self) -> usize {
        self.capacity as usize - 16
    }

    pub fn used(&self) -> u64 {
        self.tail.wrapping_sub(self.head)
    }

    /// True if a record of `len` fits, and the word behind it.
    pub fn fits(&self, len: usize) -> bool {
        self.used() + record_size(len) + 8 <= self.capacity
    }

    pub fn send(&mut self, bytes: &[u8]) {
        assert!(self.fits(bytes.len()));
        self.records.push_back(Entry { position: self.tail, bytes: bytes.to_vec() });
        self.tail = self.tail.wrapping_add(record_size(bytes.len()));
        self.sent += 1;
    }

    pub fn release(&mut self) -> Entry {
        let entry = self.records.pop_front().expect("a record");
        self.head = self.head.wrapping_add(record_size(entry.bytes.len()));
        self.received += 1;
        entry
    }

    /// Somebody takes a role that is free.
    pub fn take(&mut self, end: End) {
        let (own, peer) = (self.sides[end as usize], self.sides[end.other() as usize]);
        assert_ne!(own.role, Role::Alive);
        // The successor of one that died has the peer that one had; and who finds records is told of their producer.
        let counts = end == End::Consumer && !self.records.is_empty();
        let ignores = match own.role {
            Role::Dead => own.ignores,
            _ => (peer.role == Role::Closed && !counts).then_some(peer.taken),
        };
        self.sides[end as usize] = Side { role: Role::Alive, taken: own.taken + 1, ignores, looked: false };
    }

    pub fn leave(&mut self, end: End, role: Role) {
        assert_eq!(self.role(end), Role::Alive);
        self.sides[end as usize].role = role;
    }

    /// The peer of `end` closed or died, as far as it counts.
    pub fn peer_is_gone(&self, end: End) -> bool {
        let peer = self.sides[end.other() as usize];
        match peer.role {
            Role::Closed => self.sides[end as usize].ignores != Some(peer.taken),
            role => role == Role::Dead,
        }
    }

    /// What a call of `end` gives that finds nothing to do; it looks at its peer.
    pub fn refusal(&mut self, end: End) -> Refusal {
        let gone = self.peer_is_gone(end);
        let dead = self.role(end.other()) == Role::Dead;
        let side = &mut self.sides[end as usize];
        match (gone, dead) {
            (true, true) if side.looked => Refusal::DeadOrWaits,
            (true, true) => Refusal::Dead,
            (gone, _) => {
                side.looked = true;
                if gone {
                    Refusal::Closed
                } else {
                    Refusal::Waits
                }
            }
        }
    }
}
