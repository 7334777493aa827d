//! The pool: blocks of one size, acquired by one process, filled, handed over through rings, and released by another.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the words in shared memory |
//! | `protocol` | acquiring, releasing, handing over, reclaiming, sleeping, over any memory |
//! | `memory` | the mapped memory |
//! | `channels` | rings that carry blocks |
//! | `stock` | waiting for a block, burying the dead |
//! | `handle` | `Pool`: opening, acquiring, recovery |
//! | `stats` | who owns what |
//! | `block` | what it lends |
//! | `lending` | blocks handed over by a note, through whatever carries it |
//! | `on_demand` | memory that is obtained when a block is used |
//!
//! A semaphore is made of the same: its permits are blocks without bytes.
//!
//! How a ring hands blocks over is in `ring/handover`, by the same steps as a note.

pub(crate) mod layout;
pub(crate) mod protocol;

#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod channels;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod lending;
#[cfg(not(loom))]
pub(crate) mod memory;
#[cfg(not(loom))]
mod on_demand;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
pub(crate) mod stock;

#[cfg(not(loom))]
pub(crate) use self::channels::Use;
#[cfg(not(loom))]
pub(crate) use self::handle::FORMAT;
#[cfg(not(loom))]
pub use self::{
    block::Block,
    handle::{Pool, PoolOptions},
    layout::BlockId,
    lending::{BlockNote, NOTE},
    stats::{PoolHolder, PoolStats},
};
