//! The buffer: a value that one participant writes at a time, and any number read without a lock and wait for.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the words in shared memory |
//! | `protocol` | reading, filling, committing, waiting, over any memory |
//! | `memory` | the mapped memory |
//! | `handle` | `Buffer`: opening, reading, writing |
//! | `newer` | waiting for a version, alone and among other things |
//! | `guard` | holding the lock: changing the value in place, the condition |
//!
//! The mutual exclusion itself is in `mutex.rs`.

pub(crate) mod layout;
pub(crate) mod protocol;

#[cfg(not(loom))]
mod guard;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod newer;

#[cfg(not(loom))]
pub(crate) use self::handle::FORMAT;
#[cfg(not(loom))]
pub use self::{
    guard::BufferGuard,
    handle::{Buffer, BufferOptions, BufferStats},
    newer::NewerThan,
};
