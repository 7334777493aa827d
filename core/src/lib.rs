//! Communication between processes on one Linux host, through shared memory.
//!
//! C, Python and Rust processes use the same segments. There is no daemon: a segment is a file in `/dev/shm` (or a
//! sealed memfd), and everything else is in the library.
//!
//! ```
//! # fn main() -> ipcx::Result<()> {
//! # let name = format!("doc-lib-{}", std::process::id()); let name = name.as_str();
//! # { let _keep = ipcx::Ring::open(name, &Default::default())?;
//! // One process:
//! let mut tx = ipcx::Ring::open(name, &Default::default())?.producer()?;
//! tx.send(b"hello")?;
//!
//! // Another:
//! let mut rx = ipcx::Ring::open(name, &Default::default())?.consumer()?;
//! let record = rx.borrow()?;
//! println!("{}", String::from_utf8_lossy(&record.to_vec()));
//! record.release();
//! # } ipcx::unlink(name) }
//! ```
//!
//! | type | what it is |
//! |---|---|
//! | [`Ring`] | queue of variable-length records from one [`Producer`] to one [`Consumer`] |
//! | [`Buffer`] | a value that one process writes at a time, and any number read without a lock and wait for |
//! | [`Semaphore`] | permits that come back when their holder dies |
//! | [`Pool`] | blocks of one size, filled in place, and handed from process to process through rings |
//! | [`Queue`] | messages with priorities for whoever takes them first; they come back if that process dies |
//! | [`Topic`] | what a [`Publisher`] publishes reaches every [`Subscriber`] |
//! | [`Service`] | what a [`Client`] asks, one of any number of [`Server`]s answers |
//! | [`Transport`] | pipe, FIFO, POSIX message queue, Unix socket, ring or buffer, as one word: a [`Sender`] and a [`Receiver`] |
//! | [`ChildPipes`] | what a child process reads and writes, without a shell |
//!
//! [`list`] says which segments there are, who is attached to each, and who has its roles.
//!
//! # What happens when a process dies
//! SIGKILL at any instruction loses, doubles and hangs nothing. A record whose send returned is delivered; one that was
//! received but not released is delivered again, at the same position. Whoever attaches next takes the dead process's
//! role over. Liveness is a lock that the kernel holds for each process, never a PID and never a timeout.
//!
//! # Whom you trust
//! Another process that may write the segment can put any bytes there. ipcx then returns data or
//! [`Error::Corrupt`]; it does not crash, read elsewhere, or loop. It cannot keep such a process from destroying
//! messages, holding a role, or truncating the file of a named segment (which ends its users with SIGBUS): give
//! untrusted peers an [anonymous](Ring::anonymous) segment, which is sealed against that. Segments are made with mode
//! 0600, and one that belongs to another user is refused unless it is root's or was shared with a group of yours.
//!
//! # Threads, signals, fork
//! Handles such as [`Ring`] may be shared between threads; endpoints belong to one thread at a time. `try_*` calls are
//! async-signal-safe. A signal handler that runs while a call sleeps ends it with [`Error::Interrupted`]. After
//! `fork`, inherited handles and endpoints return [`Error::Forked`] in the child, which attaches anew.

// The models use a part of the crate.
#![cfg_attr(loom, allow(dead_code, unreachable_pub, unused_imports))]

#[cfg(not(target_os = "linux"))]
compile_error!("ipcx needs Linux: futex, memfd, O_TMPFILE and open-file-description locks");
#[cfg(not(target_has_atomic = "64"))]
compile_error!("ipcx needs a processor with atomic instructions on 64 bits");

// The programs in it compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod buffer;
mod event;
mod mutex;
mod pool;
mod queue;
mod ring;
mod role;
mod service;
mod slots;
mod stream;
mod sync;
mod topic;
mod wait;

// The segment's body as the protocols need it under loom: layouts without the system.
#[cfg(loom)]
mod lease {
    //! Stand-in for the model checker: the protocols do not touch leases.
    #[derive(Debug, Default)]
    pub(crate) struct RoleWord;
}
#[cfg(not(loom))]
mod any;
#[cfg(not(loom))]
mod bytes;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod figures;
#[cfg(not(loom))]
mod file;
#[cfg(not(loom))]
mod lease;
#[cfg(loom)]
#[path = "watch/level.rs"]
mod level;
#[cfg(not(loom))]
mod monitor;
#[cfg(not(loom))]
mod name;
#[cfg(not(loom))]
mod owner;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod semaphore;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod transport;
#[cfg(not(loom))]
mod twice;
#[cfg(not(loom))]
mod watch;

#[cfg(all(loom, test))]
#[path = "../../tests/model/mod.rs"]
mod model;

#[cfg(not(loom))]
pub use crate::{
    any::{wait_any, wait_any_by_descriptors, Waitable},
    buffer::{Buffer, BufferGuard, BufferOptions, BufferStats, NewerThan},
    error::{Context, Error, Result},
    figures::{figures, figures_in, Figures},
    lease::{Participant, RoleState},
    monitor::{list, list_in, Listed, ListedParticipant, ListedRole, ListedState},
    pool::{Block, BlockId, BlockNote, Pool, PoolHolder, PoolOptions, PoolStats, NOTE},
    queue::{Delivery, Popped, Queue, QueueHolder, QueueOptions, QueueStats, Taken},
    ring::{Consumer, Producer, Record, Reservation, Ring, RingOptions, RingStats, Unsent},
    segment::{unlink, unlink_in, Backing, Kind, SegmentOptions},
    semaphore::{Permit, Semaphore, SemaphoreOptions, SemaphoreStats},
    service::{
        Client, Reply, Request, Server, Service, ServiceClient, ServiceOptions, ServiceServer, ServiceStats,
    },
    topic::{
        Publication, Publisher, StartAt, Subscriber, Topic, TopicOptions, TopicRecord, TopicStats,
        TopicSubscriber,
    },
    transport::{ChildPipes, Receiver, Sender, Transport, TransportOptions},
    wait::{Deadline, WaitStrategy},
};

/// The library for typed values in a [`Buffer`]: derive its traits with `#[zerocopy(crate = "ipcx::zerocopy")]`.
#[cfg(not(loom))]
pub use zerocopy;

/// Version of the layout of everything in shared memory; processes with different ones refuse each other.
///
/// ```
/// assert_eq!(ipcx::LAYOUT_VERSION, 1);
/// ```
#[cfg(not(loom))]
pub const LAYOUT_VERSION: u32 = segment::LAYOUT_VERSION;
