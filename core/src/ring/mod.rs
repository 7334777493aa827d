//! The ring: a queue of variable-length records from one producer to one consumer.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the pages and words in shared memory |
//! | `protocol` | sending, receiving, taking over, sleeping, over any memory |
//! | `memory` | the mapped memory |
//! | `endpoint` | role, peer and watcher of either end |
//! | `handle` | `Ring`: opening, roles, statistics |
//! | `producer`, `consumer` | the public ends |
//! | `reservation`, `record` | what they lend in place |
//! | `handover` | sending and receiving blocks of a pool |
//! | `waitable` | the ends among several things to wait for |
//!
//! Loom models of `protocol` are in `tests/model`; `threads` runs it over memory that two threads share.

pub(crate) mod layout;
pub(crate) mod protocol;

#[cfg(not(loom))]
mod consumer;
#[cfg(not(loom))]
mod endpoint;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod handover;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod producer;
#[cfg(not(loom))]
mod record;
#[cfg(not(loom))]
mod reservation;
#[cfg(all(test, not(loom)))]
mod threads;
#[cfg(not(loom))]
mod waitable;

#[cfg(not(loom))]
pub use self::{
    consumer::Consumer,
    handle::{Ring, RingOptions, RingStats},
    handover::Unsent,
    producer::Producer,
    record::Record,
    reservation::Reservation,
};
#[cfg(not(loom))]
pub(crate) use self::{endpoint::ROLES, handle::FORMAT};
