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
//! | `model` | loom models of `protocol` |

pub(crate) mod layout;
pub(crate) mod protocol;

#[cfg(not(loom))]
mod consumer;
#[cfg(not(loom))]
mod endpoint;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod memory;
#[cfg(all(loom, test))]
mod model;
#[cfg(not(loom))]
mod producer;
#[cfg(not(loom))]
mod record;
#[cfg(not(loom))]
mod reservation;

#[cfg(not(loom))]
pub use self::{
    consumer::Consumer,
    handle::{Ring, RingOptions, RingStats},
    producer::Producer,
    record::Record,
    reservation::Reservation,
};
