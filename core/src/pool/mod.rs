//! The pool: blocks of one size, acquired by one process, filled, handed over through rings, and released by another.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the words in shared memory |
//! | `protocol` | acquiring, releasing, handing over, reclaiming, sleeping, over any memory |
//! | `memory` | the mapped memory |
//! | `channels` | rings that carry blocks |
//! | `handle` | `Pool`: opening, acquiring, recovery, statistics |
//! | `block` | what it lends |
//!
//! How a ring hands blocks over is in `ring/handover`.

pub(crate) mod layout;
pub(crate) mod protocol;

#[cfg(not(loom))]
mod block;
#[cfg(not(loom))]
mod channels;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod memory;

#[cfg(not(loom))]
pub(crate) use self::channels::Use;
#[cfg(not(loom))]
pub use self::{
    block::Block,
    handle::{Pool, PoolHolder, PoolOptions, PoolStats},
    layout::BlockId,
};
