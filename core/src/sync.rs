//! Atomics, the only ones the crate uses: `std`'s normally, loom's models under `cfg(loom)`.
//!
//! A protocol is written against these names, so that the same lines run in shared memory and in the model
//! checker. `scripts/check-rooms` refuses any other mention of `std::sync::atomic` in the crate.

#[cfg(loom)]
pub(crate) use self::modelled::{AtomicU32, AtomicU64};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{fence, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{compiler_fence, fence, AtomicU32, AtomicU64, Ordering};

/// Loom reorders as the memory model allows, whoever does it: a compiler's fence is nothing to it.
#[cfg(loom)]
pub(crate) fn compiler_fence(_: Ordering) {}

/// Loom's atomics, with a remedy: loom 0.7 does not try a thread's store before another's load if the storing thread
/// had loaded the word itself in between (its issues 166 and 392). Each access here first touches a second word in a way
/// that loom orders against every other touch, so that the accesses to one word are tried in every order.
#[cfg(loom)]
mod modelled {
    use loom::sync::atomic as inner;
    use loom::sync::atomic::Ordering;

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name(inner::$name, inner::AtomicU8);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    $name(inner::$name::new(value), inner::AtomicU8::new(0))
                }
                fn tried_in_every_order(&self) -> &inner::$name {
                    self.1.fetch_add(1, Ordering::Relaxed);
                    &self.0
                }
                pub(crate) fn load(&self, order: Ordering) -> $value {
                    self.tried_in_every_order().load(order)
                }
                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    self.tried_in_every_order().store(value, order)
                }
                pub(crate) fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    self.tried_in_every_order().fetch_or(value, order)
                }
                pub(crate) fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    self.tried_in_every_order().fetch_and(value, order)
                }
                pub(crate) fn compare_exchange(
                    &self,
                    from: $value,
                    to: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.tried_in_every_order().compare_exchange(from, to, success, failure)
                }
                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    self.tried_in_every_order().fetch_add(value, order)
                }
            }
        };
    }
    atomic!(AtomicU32, u32);
    atomic!(AtomicU64, u64);
}
