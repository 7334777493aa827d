//! Atomics, the only ones the crate uses: `std`'s normally, loom's models under `cfg(loom)`.
//!
//! A protocol is written against these names, so that the same lines run in shared memory and in the model
//! checker. Everything else in the crate that names `std::sync::atomic` is refused by clippy.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
#[allow(clippy::disallowed_types, reason = "this file is the one that may name them")]
pub(crate) use std::sync::atomic::{fence, AtomicU32, AtomicU64, Ordering};
