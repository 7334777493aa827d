//! Atomics, the only ones the crate uses: `std`'s normally, loom's models under `cfg(loom)`.
//!
//! A protocol is written against these names, so that the same lines run in shared memory and in the model
//! checker. `scripts/check-rooms` refuses any other mention of `std::sync::atomic` in the crate.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
