//! The table of contenders: floors, peers, and ipcx itself.

use std::os::fd::OwnedFd;

use crate::audience;
use crate::endpoint::{Endpoint, Link, Side};
use crate::lender::Lender;
use crate::loops::{message_loop, MessageLoop};
use crate::pairs::{pair_loop, PairLoop};
#[cfg(feature = "peers")]
use crate::workload::Attention;
use crate::workload::{Crowd, Shape, Workload};
use crate::Result;

pub mod block;
pub mod buffer;
pub mod flag;
pub mod free_list;
pub mod futex;
#[cfg(feature = "peers")]
pub mod iceoryx2;
#[cfg(feature = "peers")]
pub mod iceoryx2_call;
pub mod malloc;
pub mod memcpy;
pub mod peers;
pub mod pipe;
pub mod pool;
pub mod posix_mq;
pub mod pthread;
pub mod queue;
pub mod ring;
#[cfg(feature = "peers")]
pub mod rtrb;
pub mod service;
pub mod topic;
pub mod transport;
pub mod treiber;

/// How a contender's two sides are started.
#[derive(Clone, Copy)]
pub enum Start {
    /// Two processes of this program.
    Processes(fn(&Link, Side) -> Result<Box<dyn MessageLoop>>),
    /// Two threads of one process of this program.
    Threads(fn(&Link) -> Result<ThreadLoops>),
    /// As many processes of this program as the workload says, which acquire and release blocks, or publish and receive.
    Crowd(fn(&Link, usize) -> Result<Box<dyn PairLoop>>),
    /// Processes of another program that speaks the workers' line protocol; its file name.
    Program(&'static str),
    /// One process of such a program, which holds the near side and starts the far side itself.
    Couple(&'static str),
    /// Left out of this build: how to get it.
    Absent(&'static str),
}

/// Makes the far side's loop, on the far side's thread.
pub type FarLoop = Box<dyn FnOnce() -> Result<Box<dyn MessageLoop>> + Send>;

/// The near side's loop, and what makes the far side's.
pub type ThreadLoops = (Box<dyn MessageLoop>, FarLoop);

/// One contender.
#[derive(Clone, Copy)]
pub struct Adapter {
    /// The name in tables and on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Whether it can carry this.
    pub carries: fn(Workload) -> bool,
    /// How it starts.
    pub start: Start,
    /// [`Endpoint::prepare`].
    pub prepare: fn(&Link) -> Result<Vec<OwnedFd>>,
    /// [`Endpoint::cleanup`].
    pub cleanup: fn(&Link),
}

/// Every contender but the [`peers`]' programs.
pub const TABLE: &[Adapter] = &[
    processes::<flag::Flag<false>>("flag", "floor: flag ping-pong, payload from the flag's line on", |w| {
        w.shape == Shape::RoundTrip && !w.blocks()
    }),
    processes::<flag::Flag<true>>("flag-next", "floor: flag ping-pong, payload from the next line on", |w| {
        w.shape == Shape::RoundTrip && !w.blocks()
    }),
    processes::<futex::Futex>("futex", "floor: futex ping-pong", blocking_round_trip),
    processes::<memcpy::Memcpy>("memcpy", "floor: bare memcpy through slots", |w| {
        w.shape == Shape::OneWay && !w.blocks()
    }),
    processes::<pipe::Pipe<false>>("pipe", "two pipes, blocking", blocking_round_trip),
    processes::<pipe::Pipe<true>>("pipe-poll", "two pipes, polled before each read", blocking_round_trip),
    RTRB,
    ICEORYX2,
    ICEORYX2_PUBLISHED,
    ICEORYX2_CALL,
    processes::<ring::RingEnd<false>>("ring", "ipcx ring, Rust", |w| {
        !w.by_the_clock() && !matches!(w.shape, Shape::ToAll(_))
    }),
    processes::<ring::RingEnd<true>>(
        "ring-poll",
        "ipcx ring, Rust, its descriptor polled",
        blocking_round_trip,
    ),
    RING_C,
    processes::<buffer::BufferEnd>("buffer", "ipcx buffers, Rust: write; wait, read", |w| {
        w.shape == Shape::RoundTrip
    }),
    processes::<topic::TopicEnd>("topic", "ipcx topics, Rust; one way and to many, reliable", |w| {
        matches!(w.shape, Shape::RoundTrip | Shape::OneWay | Shape::ToAll(_))
    }),
    audience::<topic::TopicEnd>("topic-published", "ipcx topic, Rust, lossy", published),
    processes::<service::ServiceEnd>("service", "ipcx service, Rust: call; recv, reply", |w| {
        w.shape == Shape::RoundTrip
    }),
    processes::<queue::QueueEnd<false>>("queue", "ipcx work queues, Rust: push; take, ack", messages),
    processes::<queue::QueueEnd<true>>("queue-pop", "ipcx work queues, Rust: push; pop", messages),
    processes::<posix_mq::PosixMq>("posix-mq", "POSIX message queues; one way, with blocking calls", |w| {
        messages(w) && w.size <= 8192
    }),
    transport("transport-pipe", "ipcx transport `pipe`", messages),
    transport("transport-fifo", "ipcx transport `fifo`", messages),
    transport("transport-mqueue", "ipcx transport `mqueue`", messages),
    transport("transport-unix", "ipcx transport `unix`", messages),
    transport("transport-ring", "ipcx transport `ring`", messages),
    transport("transport-buffer", "ipcx transport `buffer`", |w| w.shape == Shape::RoundTrip),
    crowd::<buffer::Write>("buffer-write", "ipcx buffer, Rust: one write of 64 bytes", |w| {
        w == Workload::PAIRS_1
    }),
    crowd::<buffer::Read>("buffer-read", "ipcx buffer, Rust: one read of 64 bytes", |w| {
        w == Workload::PAIRS_1
    }),
    crowd::<buffer::Lock>("buffer-lock", "ipcx buffer, Rust: lock, abandon", one_held),
    crowd::<pthread::Robust>("robust-mutex", "the C library's robust process-shared mutex", one_held),
    crowd::<buffer::OnePermit>("semaphore", "ipcx semaphore of one permit, Rust", one_held),
    crowd::<pthread::OnePermit>("sem_t", "the C library's semaphore of one permit", one_held),
    processes::<block::BlockEnd<false>>(
        "block",
        "ipcx pool and rings, Rust: acquire, send; receive, release",
        |w| matches!(w.shape, Shape::InPlace | Shape::OneWayInPlace),
    ),
    processes::<block::BlockEnd<true>>(
        "block-back",
        "ipcx pool and rings, Rust: the block that arrived goes back",
        |w| w.shape == Shape::InPlace,
    ),
    crowd::<pool::Raw>("pool", "ipcx pool, Rust, by id", pairs),
    crowd::<pool::Guarded>("pool-guard", "ipcx pool, Rust, with the guard", pairs),
    POOL_C,
    crowd::<malloc::Malloc>("malloc", "malloc and free, private memory", in_one_process),
    crowd::<free_list::InProcess>(
        "mutex-vec",
        "Mutex<Vec<u32>> of the standard library, private memory",
        in_one_process,
    ),
    crowd::<treiber::Treiber>("treiber", "Treiber stack with a 32-bit tag, shared memory", pairs),
    crowd::<free_list::Shared>("futex-list", "free list under a futex mutex, shared memory", pairs),
];

fn published(workload: Workload) -> bool {
    matches!(workload.shape, Shape::Published(_))
}

/// Buffers cannot carry messages one way: one replaces the other.
fn messages(workload: Workload) -> bool {
    matches!(workload.shape, Shape::RoundTrip | Shape::OneWay)
}

fn blocking_round_trip(workload: Workload) -> bool {
    workload.shape == Shape::RoundTrip && workload.blocks()
}

fn pairs(workload: Workload) -> bool {
    matches!(workload.shape, Shape::Pairs(_))
}

fn one_held(workload: Workload) -> bool {
    matches!(workload.shape, Shape::Pairs(Crowd { held: 1, .. }))
}

fn in_one_process(workload: Workload) -> bool {
    matches!(workload.shape, Shape::Pairs(Crowd { processes: 1, .. }))
}

const POOL_C: Adapter = Adapter {
    name: "pool-c",
    about: "ipcx pool from C through libipcx.so",
    carries: |w| w == Workload::PAIRS_1,
    start: Start::Program("ipcx-bench-pool-c"),
    prepare: |_| Ok(Vec::new()),
    cleanup: pool::cleanup,
};

const RING_C: Adapter = Adapter {
    name: "ring-c",
    about: "ipcx ring from C through libipcx.so",
    carries: |w| {
        [Workload::ROUND_TRIP_64, Workload::BLOCKING_64, Workload::ONE_WAY_64, Workload::BATCH_64]
            .contains(&w)
    },
    start: Start::Program("ipcx-bench-ring-c"),
    prepare: |_| Ok(Vec::new()),
    cleanup: ring::cleanup,
};

#[cfg(feature = "peers")]
const RTRB: Adapter = Adapter {
    name: "rtrb",
    about: "rtrb 0.3, two threads",
    carries: |w| [Workload::ONE_WAY_64, Workload::BATCH_64].contains(&w),
    start: Start::Threads(|link| {
        let (near, far) = rtrb::connect(link)?;
        let workload = link.workload;
        let far: FarLoop = Box::new(move || message_loop(far, Side::Far, workload));
        Ok((message_loop(near, Side::Near, workload)?, far))
    }),
    prepare: rtrb::Near::prepare,
    cleanup: rtrb::Near::cleanup,
};
#[cfg(feature = "peers")]
const ICEORYX2: Adapter =
    processes::<iceoryx2::Iceoryx2>("iceoryx2", "iceoryx2 0.10, publish-subscribe, polled", |w| {
        [Workload::ROUND_TRIP_64, Workload::ONE_WAY_64, Workload::TO_1, Workload::TO_50].contains(&w)
    });
#[cfg(feature = "peers")]
const ICEORYX2_PUBLISHED: Adapter = audience::<iceoryx2::Iceoryx2>(
    "iceoryx2-published",
    "iceoryx2 0.10, publish-subscribe, overflowing",
    |w| matches!(w.shape, Shape::Published(a) if a.attention != Attention::Asleep),
);
#[cfg(feature = "peers")]
const ICEORYX2_CALL: Adapter =
    processes::<iceoryx2_call::Call>("iceoryx2-call", "iceoryx2 0.10, request-response, polled", |w| {
        w == Workload::ROUND_TRIP_64
    });

#[cfg(not(feature = "peers"))]
const RTRB: Adapter = absent("rtrb", "rtrb 0.3, two threads", "make bench-peers");
#[cfg(not(feature = "peers"))]
const ICEORYX2: Adapter = absent("iceoryx2", "iceoryx2 0.10, polled", "make bench-peers");
#[cfg(not(feature = "peers"))]
const ICEORYX2_PUBLISHED: Adapter = absent("iceoryx2-published", "iceoryx2 0.10", "make bench-peers");
#[cfg(not(feature = "peers"))]
const ICEORYX2_CALL: Adapter = absent("iceoryx2-call", "iceoryx2 0.10, polled", "make bench-peers");

/// The contender called `name`.
pub fn find(name: &str) -> Option<&'static Adapter> {
    TABLE.iter().chain(peers::TABLE).find(|adapter| adapter.name == name)
}

const fn transport(name: &'static str, about: &'static str, carries: fn(Workload) -> bool) -> Adapter {
    processes::<transport::TransportEnd>(name, about, carries)
}

const fn processes<E: Endpoint + 'static>(
    name: &'static str,
    about: &'static str,
    carries: fn(Workload) -> bool,
) -> Adapter {
    Adapter {
        name,
        about,
        carries,
        start: Start::Processes(|link, side| message_loop(E::connect(link, side)?, side, link.workload)),
        prepare: E::prepare,
        cleanup: E::cleanup,
    }
}

const fn audience<E: Endpoint + 'static>(
    name: &'static str,
    about: &'static str,
    carries: fn(Workload) -> bool,
) -> Adapter {
    Adapter {
        name,
        about,
        carries,
        start: Start::Crowd(audience::join::<E>),
        prepare: E::prepare,
        cleanup: E::cleanup,
    }
}

const fn crowd<L: Lender + 'static>(
    name: &'static str,
    about: &'static str,
    carries: fn(Workload) -> bool,
) -> Adapter {
    Adapter {
        name,
        about,
        carries,
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
        carries: |_| false,
        start: Start::Absent(remedy),
        prepare: |_| Ok(Vec::new()),
        cleanup: |_| {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_is_a_contender() {
        for transport in ipcx::Transport::ALL {
            assert!(find(&format!("transport-{transport}")).is_some(), "{transport}");
        }
    }

    #[test]
    fn names_are_unique() {
        for (index, adapter) in TABLE.iter().enumerate() {
            assert!(TABLE[..index].iter().all(|other| other.name != adapter.name), "{}", adapter.name);
        }
    }
}
