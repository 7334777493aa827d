//! The work queue: what any number push, any number take, acknowledge or put back; a message comes back if its taker dies.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the words in shared memory |
//! | `lanes` | lanes: in which order cells come, over any memory |
//! | `protocol` | pushing, taking, acknowledging, putting back, burying, over any memory |
//! | `memory` | the mapped memory |
//! | `depot` | waiting, and burying the dead |
//! | `handle` | `Queue`: opening, pushing, taking |
//! | `delivery` | a message that was taken |
//! | `restore` | what is made of a queue on disk after a reboot |
//! | `stats` | figures |
//! | `waitable` | a queue among several things to wait for |
//!
//! Loom models of `protocol` are in `tests/model`.

pub(crate) mod lanes;
pub(crate) mod layout;
pub(crate) mod protocol;

#[cfg(not(loom))]
mod delivery;
#[cfg(not(loom))]
mod depot;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod restore;
#[cfg(not(loom))]
mod stats;
#[cfg(all(test, not(loom)))]
mod tests;
#[cfg(not(loom))]
mod waitable;

#[cfg(not(loom))]
pub(crate) use self::handle::FORMAT;
#[cfg(not(loom))]
pub use self::{
    delivery::Delivery,
    handle::{Popped, Queue, QueueOptions},
    protocol::Taken,
    stats::{QueueHolder, QueueStats},
};
