//! The tables: which variants meet in which group.

use crate::floor::Slots;
use crate::head_tail::HeadTail;
use crate::inline_header::{Fence, Inline, Variant};
use crate::{batches, flags, one_way, round_trip, Group, Idle};

macro_rules! variant {
    ($($name:ident { $($item:ident: $t:ty = $value:expr),* })*) => {
        $(pub struct $name;
        impl Variant for $name { $(const $item: $t = $value;)* })*
    };
}

variant! {
    Plain {}
    ZeroFirst { ZERO_FIRST: bool = true }
    Guess { GUESS: bool = true }
    GuessPf { GUESS: bool = true, PREFETCH: u64 = 256 }
    Memcpy { COPY_INLINE: bool = false }
    Pad64 { ALIGN: u64 = 64 }
    Pf64 { PREFETCH: u64 = 64 }
    Pf256 { PREFETCH: u64 = 256 }
    Pf1024 { PREFETCH: u64 = 1024 }
    Zero256 { ZERO_AHEAD: u64 = 256 }
    Pub8k { PUBLISH: u64 = 8192 }
    FlagOnly { FENCE: Fence = Fence::Compiler }
    FullFence { FENCE: Fence = Fence::Full }
    Fixed { FIXED: usize = 64 }
    Exchange { FENCE: Fence = Fence::Exchange }
}

type A<V> = Inline<V>;
type B = HeadTail;
/// Looks again at once.
type Tight = Idle<0, 0>;
/// Pauses once for about 1.4 us, but only at the end of a run of records.
type Streak = Idle<64, 2>;
const MIB: usize = 1 << 20;
const KIB: usize = 1 << 10;

const NS: fn(f64, f64) -> f64 = |n, s| s / n * 1e9;
const MILLIONS: fn(f64, f64) -> f64 = |n, s| n / s / 1e6;
const GB64K: fn(f64, f64) -> f64 = |n, s| n * 65536.0 / s / 1e9;

pub fn groups() -> Vec<Group> {
    vec![
        Group {
            name: "rtt64: round trip, 64 B",
            unit: "ns",
            figure: NS,
            contenders: vec![
                flags::<false>("floor: flag ping-pong"),
                flags::<true>("floor: flag, 64 B in the next line"),
                round_trip::<A<Plain>, Tight, 64>("A"),
                round_trip::<A<Plain>, Streak, 64>("A, 64 pauses after a streak"),
                round_trip::<A<Plain>, Idle<64, 0>, 64>("A, 64 pauses always"),
                round_trip::<A<ZeroFirst>, Tight, 64>("A, zero first"),
                round_trip::<A<Pf64>, Tight, 64>("A, prefetchw +64"),
                round_trip::<A<Pf256>, Tight, 64>("A, prefetchw +256"),
                round_trip::<A<Pad64>, Tight, 64>("A, padded to 64"),
                round_trip::<A<Memcpy>, Tight, 64>("A, copying by memcpy"),
                round_trip::<B, Tight, 64>("B"),
            ],
        },
        Group {
            name: "rtt56: round trip, 56 B",
            unit: "ns",
            figure: NS,
            contenders: vec![
                flags::<false>("floor: flag ping-pong"),
                round_trip::<A<Plain>, Tight, 56>("A"),
                round_trip::<A<Pf64>, Tight, 56>("A, prefetchw +64"),
                round_trip::<B, Tight, 56>("B"),
            ],
        },
        Group {
            name: "tight64: one way, 64 B, receiver looks again at once",
            unit: "M/s",
            figure: MILLIONS,
            contenders: vec![
                one_way::<Slots<64>, Tight, 64>("fixed 64 B slots", MIB),
                one_way::<B, Tight, 64>("B", MIB),
                one_way::<A<Plain>, Tight, 64>("A", MIB),
                one_way::<A<Guess>, Tight, 64>("A, length guessed", MIB),
                one_way::<A<GuessPf>, Tight, 64>("A, length guessed, prefetchw +256", MIB),
                one_way::<A<ZeroFirst>, Tight, 64>("A, zero first", MIB),
                one_way::<A<Pf64>, Tight, 64>("A, prefetchw +64", MIB),
                one_way::<A<Pf256>, Tight, 64>("A, prefetchw +256", MIB),
                one_way::<A<Pf1024>, Tight, 64>("A, prefetchw +1024", MIB),
                one_way::<A<Zero256>, Tight, 64>("A, zero ahead 256", MIB),
                one_way::<A<Pad64>, Tight, 64>("A, padded to 64", MIB),
                one_way::<A<Memcpy>, Tight, 64>("A, copying by memcpy", MIB),
                one_way::<A<Fixed>, Tight, 64>("A, length fixed at compile time", MIB),
                one_way::<A<Pub8k>, Tight, 64>("A, position every 8 KiB or when empty", MIB),
            ],
        },
        Group {
            name: "streak64: one way, 64 B, receiver pauses after a streak",
            unit: "M/s",
            figure: MILLIONS,
            contenders: vec![
                one_way::<Slots<64>, Streak, 64>("fixed 64 B slots", MIB),
                one_way::<B, Streak, 64>("B", MIB),
                one_way::<A<Plain>, Streak, 64>("A", MIB),
                one_way::<A<Guess>, Streak, 64>("A, length guessed", MIB),
                one_way::<A<GuessPf>, Streak, 64>("A, length guessed, prefetchw +256", MIB),
                one_way::<A<ZeroFirst>, Streak, 64>("A, zero first", MIB),
                one_way::<A<Pf64>, Streak, 64>("A, prefetchw +64", MIB),
                one_way::<A<Pf256>, Streak, 64>("A, prefetchw +256", MIB),
                one_way::<A<Pf1024>, Streak, 64>("A, prefetchw +1024", MIB),
                one_way::<A<Zero256>, Streak, 64>("A, zero ahead 256", MIB),
                one_way::<A<Pad64>, Streak, 64>("A, padded to 64", MIB),
                one_way::<A<Memcpy>, Streak, 64>("A, copying by memcpy", MIB),
                one_way::<A<Fixed>, Streak, 64>("A, length fixed at compile time", MIB),
                one_way::<A<Pub8k>, Streak, 64>("A, position every 8 KiB or when empty", MIB),
            ],
        },
        Group {
            name: "one56: one way, 56 B",
            unit: "M/s",
            figure: MILLIONS,
            contenders: vec![
                one_way::<A<Plain>, Tight, 56>("A, tight", MIB),
                one_way::<B, Tight, 56>("B, tight", MIB),
                one_way::<A<Plain>, Streak, 56>("A, streak", MIB),
                one_way::<A<Pf256>, Streak, 56>("A, streak, prefetchw +256", MIB),
                one_way::<B, Streak, 56>("B, streak", MIB),
            ],
        },
        Group {
            name: "spin: one way, 64 B, A, receiver finds the ring empty",
            unit: "M/s",
            figure: MILLIONS,
            contenders: vec![
                one_way::<A<Plain>, Idle<0, 0>, 64>("look again at once", MIB),
                one_way::<A<Plain>, Idle<1, 0>, 64>("1 pause", MIB),
                one_way::<A<Plain>, Idle<4, 0>, 64>("4 pauses", MIB),
                one_way::<A<Plain>, Idle<16, 0>, 64>("16 pauses", MIB),
                one_way::<A<Plain>, Idle<64, 0>, 64>("64 pauses", MIB),
                one_way::<A<Plain>, Idle<256, 0>, 64>("256 pauses", MIB),
                one_way::<A<Plain>, Idle<16, 2>, 64>("16 pauses, streak of 2", MIB),
                one_way::<A<Plain>, Idle<32, 2>, 64>("32 pauses, streak of 2", MIB),
                one_way::<A<Plain>, Idle<64, 2>, 64>("64 pauses, streak of 2", MIB),
                one_way::<A<Plain>, Idle<128, 2>, 64>("128 pauses, streak of 2", MIB),
                one_way::<A<Plain>, Idle<256, 2>, 64>("256 pauses, streak of 2", MIB),
                one_way::<A<Plain>, Idle<64, 4>, 64>("64 pauses, streak of 4", MIB),
            ],
        },
        Group {
            name: "cap: one way, 64 B, capacity",
            unit: "M/s",
            figure: MILLIONS,
            contenders: vec![
                one_way::<A<Plain>, Tight, 64>("A, tight, 16 KiB", 16 * KIB),
                one_way::<A<Plain>, Tight, 64>("A, tight, 64 KiB", 64 * KIB),
                one_way::<A<Plain>, Tight, 64>("A, tight, 256 KiB", 256 * KIB),
                one_way::<A<Plain>, Tight, 64>("A, tight, 1 MiB", MIB),
                one_way::<A<Plain>, Tight, 64>("A, tight, 4 MiB", 4 * MIB),
                one_way::<A<Plain>, Streak, 64>("A, streak, 16 KiB", 16 * KIB),
                one_way::<A<Plain>, Streak, 64>("A, streak, 64 KiB", 64 * KIB),
                one_way::<A<Plain>, Streak, 64>("A, streak, 256 KiB", 256 * KIB),
                one_way::<A<Plain>, Streak, 64>("A, streak, 1 MiB", MIB),
                one_way::<A<Plain>, Streak, 64>("A, streak, 4 MiB", 4 * MIB),
                one_way::<B, Streak, 64>("B, streak, 64 KiB", 64 * KIB),
                one_way::<B, Streak, 64>("B, streak, 1 MiB", MIB),
            ],
        },
        Group {
            name: "fence: one way, 64 B, sender looks for a sleeper",
            unit: "M/s",
            figure: MILLIONS,
            contenders: vec![
                one_way::<A<Plain>, Streak, 64>("A, no look", MIB),
                one_way::<A<FlagOnly>, Streak, 64>("A, look, compiler fence", MIB),
                one_way::<A<Exchange>, Streak, 64>("A, look, commit by exchange", MIB),
                one_way::<A<FullFence>, Streak, 64>("A, look, full fence", MIB),
            ],
        },
        Group {
            name: "batch: one way, 64 B, batches of 64",
            unit: "M/s",
            figure: MILLIONS,
            contenders: vec![
                one_way::<A<Plain>, Streak, 64>("A, single records", MIB),
                one_way::<B, Streak, 64>("B, single records", MIB),
                batches::<A<ZeroFirst>, Streak, 64>("A, batches, streak, zero first", MIB),
                batches::<A<Guess>, Streak, 64>("A, batches, streak, length guessed", MIB),
                batches::<A<Plain>, Tight, 64>("A, batches, tight", MIB),
                batches::<A<Plain>, Streak, 64>("A, batches, streak", MIB),
                batches::<A<Pf256>, Streak, 64>("A, batches, streak, prefetchw +256", MIB),
                batches::<A<Plain>, Streak, 64>("A, batches, streak, 256 KiB", 256 * KIB),
                batches::<B, Tight, 64>("B, batches, tight", MIB),
                batches::<B, Streak, 64>("B, batches, streak", MIB),
            ],
        },
        Group {
            name: "big: one way, 64 KiB",
            unit: "GB/s",
            figure: GB64K,
            contenders: vec![
                one_way::<Slots<65536>, Tight, 65536>("floor: memcpy in and out, 1 MiB", MIB),
                one_way::<A<Plain>, Tight, 65536>("A, 256 KiB", 256 * KIB),
                one_way::<A<Plain>, Tight, 65536>("A, 1 MiB", MIB),
                one_way::<A<Plain>, Streak, 65536>("A, 1 MiB, streak", MIB),
                one_way::<A<Plain>, Tight, 65536>("A, 4 MiB", 4 * MIB),
                one_way::<B, Tight, 65536>("B, 256 KiB", 256 * KIB),
                one_way::<B, Tight, 65536>("B, 1 MiB", MIB),
            ],
        },
    ]
}
