//! The table of contenders: floors, peers, and ipcx itself.

use std::os::fd::OwnedFd;

use crate::endpoint::{Endpoint, Link, Side};
use crate::lender::Lender;
use crate::loops::{message_loop, MessageLoop};
use crate::pairs::{pair_loop, PairLoop};
use crate::workload::Workload::{self, *};
use crate::Result;

pub mod block;
pub mod buffer;
pub mod flag;
pub mod free_list;
pub mod futex;
#[cfg(feature = "peers")]
pub mod iceoryx2;
pub mod malloc;
pub mod memcpy;
pub mod pipe;
pub mod pool;
pub mod pthread;
pub mod ring;
#[cfg(feature = "peers")]
pub mod rtrb;
pub mod treiber;

/// How a contender's two sides are started.
#[derive(Clone, Copy)]
pub enum Start {
    /// Two processes of this program.
    Processes(fn(&Link, Side) -> Result<Box<dyn MessageLoop>>),
    /// Two threads of one process of this program.
    Threads(fn(&Link) -> Result<ThreadLoops>),
    /// As many processes of this program as the workload says, which acquire and release blocks.
    Crowd(fn(&Link, usize) -> Result<Box<dyn PairLoop>>),
    /// Processes of another program that speaks the workers' line protocol; its file name.
    Program(&'static str),
    /// Left out of this build: how to get it.
    Absent(&'static str),
}

/// Makes the far side's loop, on the far side's thread.
pub type FarLoop = Box<dyn FnOnce() -> Box<dyn MessageLoop> + Send>;

/// The near side's loop, and what makes the far side's.
pub type ThreadLoops = (Box<dyn MessageLoop>, FarLoop);

/// One contender.
#[derive(Clone, Copy)]
pub struct Adapter {
    /// The name in tables and on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What it can carry.
    pub workloads: &'static [Workload],
    /// How it starts.
    pub start: Start,
    /// [`Endpoint::prepare`].
    pub prepare: fn(&Link) -> Result<Vec<OwnedFd>>,
    /// [`Endpoint::cleanup`].
    pub cleanup: fn(&Link),
}

/// Every contender.
pub const TABLE: &[Adapter] = &[
    processes::<flag::Flag<false>>(
        "flag",
        "floor: flag ping-pong, payload in the flag's line",
        &[RoundTrip64],
    ),
    processes::<flag::Flag<true>>(
        "flag-next",
        "floor: flag ping-pong, payload in the next line",
        &[RoundTrip64],
    ),
    processes::<futex::Futex>("futex", "floor: futex ping-pong", &[Blocking64]),
    processes::<memcpy::Memcpy>("memcpy", "floor: bare memcpy through slots", &[OneWay64K]),
    processes::<pipe::Pipe<false>>("pipe", "two pipes, blocking", &[Blocking64]),
    processes::<pipe::Pipe<true>>("pipe-poll", "two pipes, polled before each read", &[Blocking64]),
    RTRB,
    ICEORYX2,
    processes::<ring::RingEnd<false>>(
        "ring",
        "ipcx ring, Rust",
        &[
            RoundTrip64,
            Blocking64,
            OneWay64,
            Batch64,
            OneWay64K,
            InPlace64,
            InPlace1M,
            RoundTrip1M,
            OneWayInPlace1M,
        ],
    ),
    processes::<ring::RingEnd<true>>("ring-poll", "ipcx ring, Rust, its descriptor polled", &[Blocking64]),
    RING_C,
    processes::<buffer::BufferEnd>(
        "buffer",
        "ipcx buffers, Rust: write; wait, read",
        &[RoundTrip64, Blocking64],
    ),
    crowd::<buffer::Write>("buffer-write", "ipcx buffer, Rust: one write of 64 bytes", &[Pairs1]),
    crowd::<buffer::Read>("buffer-read", "ipcx buffer, Rust: one read of 64 bytes", &[Pairs1]),
    crowd::<buffer::Lock>("buffer-lock", "ipcx buffer, Rust: lock, abandon", LOCKS),
    crowd::<pthread::Robust>("robust-mutex", "the C library's robust process-shared mutex", LOCKS),
    crowd::<buffer::OnePermit>("semaphore", "ipcx semaphore of one permit, Rust", LOCKS),
    crowd::<pthread::OnePermit>("sem_t", "the C library's semaphore of one permit", LOCKS),
    processes::<block::BlockEnd<false>>(
        "block",
        "ipcx pool and rings, Rust: acquire, send; receive, release",
        &[InPlace1M, OneWayInPlace1M],
    ),
    processes::<block::BlockEnd<true>>(
        "block-back",
        "ipcx pool and rings, Rust: the block that arrived goes back",
        &[InPlace1M],
    ),
    crowd::<pool::Raw>("pool", "ipcx pool, Rust, by id", PAIRS),
    crowd::<pool::Guarded>("pool-guard", "ipcx pool, Rust, with the guard", PAIRS),
    POOL_C,
    crowd::<malloc::Malloc>("malloc", "malloc and free, private memory", &[Pairs1, Pairs1Of16]),
    crowd::<free_list::InProcess>(
        "mutex-vec",
        "Mutex<Vec<u32>> of the standard library, private memory",
        &[Pairs1, Pairs1Of16],
    ),
    crowd::<treiber::Treiber>("treiber", "Treiber stack with a 32-bit tag, shared memory", PAIRS),
    crowd::<free_list::Shared>("futex-list", "free list under a futex mutex, shared memory", PAIRS),
];

const LOCKS: &[Workload] = &[Pairs1, Pairs2, Pairs8];
const PAIRS: &[Workload] = &[Pairs1, Pairs2, Pairs8, Pairs1Of16, Pairs2Of16, Pairs8Of16];

const POOL_C: Adapter = Adapter {
    name: "pool-c",
    about: "ipcx pool from C through libipcx.so",
    workloads: &[Pairs1],
    start: Start::Program("ipcx-bench-pool-c"),
    prepare: |_| Ok(Vec::new()),
    cleanup: pool::cleanup,
};

const RING_C: Adapter = Adapter {
    name: "ring-c",
    about: "ipcx ring from C through libipcx.so",
    workloads: &[RoundTrip64, Blocking64, OneWay64, Batch64],
    start: Start::Program("ipcx-bench-ring-c"),
    prepare: |_| Ok(Vec::new()),
    cleanup: ring::cleanup,
};

#[cfg(feature = "peers")]
const RTRB: Adapter = Adapter {
    name: "rtrb",
    about: "rtrb 0.3, two threads",
    workloads: &[OneWay64, Batch64],
    start: Start::Threads(|link| {
        let (near, far) = rtrb::connect(link)?;
        let workload = link.workload;
        let far: FarLoop = Box::new(move || message_loop(far, Side::Far, workload));
        Ok((message_loop(near, Side::Near, workload), far))
    }),
    prepare: rtrb::Near::prepare,
    cleanup: rtrb::Near::cleanup,
};
#[cfg(feature = "peers")]
const ICEORYX2: Adapter = processes::<iceoryx2::Iceoryx2>(
    "iceoryx2",
    "iceoryx2 0.10, publish-subscribe, polled",
    &[RoundTrip64, OneWay64],
);

#[cfg(not(feature = "peers"))]
const RTRB: Adapter = absent("rtrb", "rtrb 0.3, two threads", "build with --features peers");
#[cfg(not(feature = "peers"))]
const ICEORYX2: Adapter = absent("iceoryx2", "iceoryx2 0.10, polled", "build with --features peers");

/// The contender called `name`.
pub fn find(name: &str) -> Option<&'static Adapter> {
    TABLE.iter().find(|adapter| adapter.name == name)
}

const fn processes<E: Endpoint + 'static>(
    name: &'static str,
    about: &'static str,
    workloads: &'static [Workload],
) -> Adapter {
    Adapter {
        name,
        about,
        workloads,
        start: Start::Processes(|link, side| Ok(message_loop(E::connect(link, side)?, side, link.workload))),
        prepare: E::prepare,
        cleanup: E::cleanup,
    }
}

const fn crowd<L: Lender + 'static>(
    name: &'static str,
    about: &'static str,
    workloads: &'static [Workload],
) -> Adapter {
    Adapter {
        name,
        about,
        workloads,
        start: Start::Crowd(|link, number| pair_loop(L::connect(link, number)?, link.workload, number)),
        prepare: L::prepare,
        cleanup: L::cleanup,
    }
}

#[cfg(not(feature = "peers"))]
const fn absent(name: &'static str, about: &'static str, remedy: &'static str) -> Adapter {
    Adapter {
        name,
        about,
        workloads: &[],
        start: Start::Absent(remedy),
        prepare: |_| Ok(Vec::new()),
        cleanup: |_| {},
    }
}
