//! Atomics, the only ones the crate uses: `std`'s normally, loom's models under `cfg(loom)`.
//!
//! A protocol is written against these names, so that the same lines run in shared memory and in the model
//! checker. `scripts/check-rooms` refuses any other mention of `std::sync::atomic` in the crate.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{compiler_fence, fence, AtomicU32, AtomicU64, Ordering};

/// Loom reorders as the memory model allows, whoever does it: a compiler's fence is nothing to it.
#[cfg(loom)]
pub(crate) fn compiler_fence(_: Ordering) {}
