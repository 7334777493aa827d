//! The monotonic clock. Wall-clock time is used for display only.

use nix::time::{clock_gettime, ClockId};

fn nanoseconds(clock: ClockId) -> u64 {
    // Both clocks exist on every Linux; a failure would be a kernel without clocks.
    clock_gettime(clock).map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

/// Monotonic time in nanoseconds. About 25 ns; async-signal-safe.
pub(crate) fn now() -> u64 {
    nanoseconds(ClockId::CLOCK_MONOTONIC)
}

/// The same clock as of the last timer tick (1 to 10 ms ago). About 5 ns; async-signal-safe.
pub(crate) fn coarse() -> u64 {
    nanoseconds(ClockId::CLOCK_MONOTONIC_COARSE)
}

/// Wall-clock time in nanoseconds since 1970, for display.
pub(crate) fn wall() -> u64 {
    nanoseconds(ClockId::CLOCK_REALTIME)
}
