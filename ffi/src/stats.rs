//! Figures of segments.

use crate::arguments::invalid;
use crate::boundary::{self, Result};
use crate::handles::{shared, Handle};
use crate::sized::{claimed_size, Sized32};
use ipcx_core::{
    BufferStats, Participant, PoolStats, QueueStats, RingStats, RoleState, SemaphoreStats, ServiceStats,
    TopicStats,
};
use std::ffi::{c_char, c_int};
use std::mem::offset_of;

/// Kind of a segment: a ring.
pub const IPCX_KIND_RING: u32 = 1;
/// Kind of a segment: a pool.
pub const IPCX_KIND_POOL: u32 = 2;
/// Kind of a segment: a buffer.
pub const IPCX_KIND_BUFFER: u32 = 3;
/// Kind of a segment: a semaphore.
pub const IPCX_KIND_SEMAPHORE: u32 = 4;
/// Kind of a segment: a topic.
pub const IPCX_KIND_TOPIC: u32 = 5;
/// Kind of a segment: a service.
pub const IPCX_KIND_SERVICE: u32 = 6;
/// Kind of a segment: a work queue.
pub const IPCX_KIND_QUEUE: u32 = 7;

/// State of a role: nobody has taken it yet.
pub const IPCX_ROLE_NEVER: u32 = 0;
/// State of a role: its owner lives (it may be stopped, or sleep).
pub const IPCX_ROLE_ALIVE: u32 = 1;
/// State of a role: its owner closed in good order.
pub const IPCX_ROLE_CLOSED: u32 = 2;
/// State of a role: its owner died.
pub const IPCX_ROLE_DEAD: u32 = 3;

/// Figures of a segment. Start from IPCX_STATS_INIT. Only the fields inside `struct_size` are written.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_stats {
    /// Set by IPCX_STATS_INIT.
    pub struct_size: u32,
    /// IPCX_KIND_RING, ...
    pub kind: u32,
    /// Bytes for records, in blocks, for messages, or that a value has at most; of a service and a semaphore 0.
    pub capacity: u64,
    /// Bytes taken by records not released, or by blocks or messages that are not free, or that the value of a buffer has. Of a
    /// reliable topic: by those that the slowest subscriber has not released.
    pub used: u64,
    /// Records committed since the segment was made; of a ring, off by those in work at the death of a producer. Of a buffer: its
    /// version.
    pub sent: u64,
    /// Records released since the segment was made; off by those in work at the death of a consumer.
    pub received: u64,
    /// Stream position behind the last record committed, in bytes; their length words and padding count. A producer that takes the
    /// role over from a dead one finds here how much of its work was sent.
    pub sent_bytes: u64,
    /// Stream position of the first record not released, in bytes.
    pub received_bytes: u64,
    /// State of the producer's role: IPCX_ROLE_NEVER, _ALIVE, _CLOSED or _DEAD.
    pub producer_state: u32,
    /// State of the consumer's role.
    pub consumer_state: u32,
    /// Who holds the producer's role, or died holding it, in its own PID namespace; 0 for nobody. For display only. Of
    /// a topic: who publishes at this moment, has a reservation open, or died so. Of a buffer: who has its lock, or
    /// died having it.
    pub producer_pid: u32,
    /// Who holds the consumer's role, or died holding it; 0 for nobody. Of a reliable topic: the slowest subscriber, for which
    /// publishers wait if there is no room.
    pub consumer_pid: u32,
    /// Of a pool: bytes of a block.
    pub block_size: u64,
    /// Of a pool: how many blocks there are. The next three add up to it.
    pub blocks: u64,
    /// Of a pool: blocks that can be acquired.
    pub blocks_free: u64,
    /// Of a pool: blocks that participants own, dead ones among them until they are recovered.
    pub blocks_owned: u64,
    /// Of a pool: blocks that were sent and not yet received.
    pub blocks_in_flight: u64,
    /// Of a reliable topic: its subscribers, dead ones among them until publishers that wait for them drop them. Those of
    /// another are not known.
    pub subscribers: u64,
    /// Of a queue: how many messages there can be. The next four, and those that are being pushed at this moment, add
    /// up to it. Of a semaphore: how many permits there can be, so too.
    pub depth: u64,
    /// Of a queue: messages to take. Of a semaphore: permits to acquire. Of a service: requests of living clients that no server
    /// has taken.
    pub ready: u64,
    /// Of a queue and a semaphore: messages and permits that participants have, dead ones among them until they are recovered. Of
    /// a service: requests of living clients that a server has taken, and those whose reply is not received yet.
    pub taken: u64,
    /// Of a queue: dead letters.
    pub dead: u64,
    /// Of a queue: messages for which there is room. Of a semaphore: permits that releases can still make.
    pub free: u64,
    /// Of a service: servers that live.
    pub servers: u64,
    /// Of a service: clients that live.
    pub clients: u64,
    /// Bytes of the longest record, message or request; of a pool, buffer and semaphore 0.
    pub max_message: u64,
    /// Of a service: bytes of the longest reply.
    pub max_reply: u64,
    /// Of a pool, a queue and a semaphore: how many participants have blocks, messages or permits.
    pub holders: u64,
    /// State of the one that has most: IPCX_ROLE_ALIVE, or _DEAD until it is recovered; _NEVER if there is none.
    pub holder_state: u32,
    /// Who that is; 0 for nobody. For display only.
    pub holder_pid: u32,
}

// SAFETY: integers without padding, as the assertions below show.
unsafe impl Sized32 for ipcx_stats {
    const FIRST: usize = 72;
}

const _: () = {
    assert!(offset_of!(ipcx_stats, struct_size) == 0);
    assert!(offset_of!(ipcx_stats, block_size) == 72 && size_of::<ipcx_stats>() == 208);
};

/// Fills a struct with what `look` sees of a segment.
///
/// # Safety `handle` as for [`shared`]; `place` as for [`check`].
pub(crate) unsafe fn show<H: Handle>(
    handle: *mut H,
    place: *mut ipcx_stats,
    look: impl FnOnce(&H::Value) -> Result<ipcx_stats>,
) -> c_int {
    boundary::code(|| {
        // SAFETY: as the caller promises.
        let segment = unsafe { shared(handle) }?;
        // SAFETY: as the caller promises.
        unsafe { check(place) }?;
        let figures = look(segment)?;
        // SAFETY: checked above.
        unsafe { fill(place, figures) };
        Ok(())
    })
}

/// Checks that a struct to be filled says its size.
///
/// # Safety `place` is NULL or points to as many readable and writable bytes as it says in its first field.
unsafe fn check(place: *mut ipcx_stats) -> Result<()> {
    if place.is_null() {
        return Err(invalid("stats is NULL"));
    }
    // SAFETY: as the caller promises.
    unsafe { claimed_size(place) }.map(drop)
}

/// Fills a struct as far as the caller's goes; what this library does not know becomes 0.
///
/// # Safety [`check`] said yes to `place`, and the same still holds.
unsafe fn fill(place: *mut ipcx_stats, figures: ipcx_stats) {
    // SAFETY: as the caller promises.
    let size = unsafe { place.cast::<u32>().read_unaligned() };
    let filled = ipcx_stats { struct_size: size, ..figures };
    let (bytes, size) = (place.cast::<u8>(), size as usize);
    let known = size.min(size_of::<ipcx_stats>());
    // SAFETY: `size` writable bytes by the caller's promise, of which the source has `known`.
    unsafe {
        bytes.copy_from_nonoverlapping((&raw const filled).cast(), known);
        bytes.add(known).write_bytes(0, size - known);
    }
}

/// All zeroes.
const NO_FIGURES: ipcx_stats = ipcx_stats {
    struct_size: 0,
    kind: 0,
    capacity: 0,
    used: 0,
    sent: 0,
    received: 0,
    sent_bytes: 0,
    received_bytes: 0,
    producer_state: 0,
    consumer_state: 0,
    producer_pid: 0,
    consumer_pid: 0,
    block_size: 0,
    blocks: 0,
    blocks_free: 0,
    blocks_owned: 0,
    blocks_in_flight: 0,
    subscribers: 0,
    depth: 0,
    ready: 0,
    taken: 0,
    dead: 0,
    free: 0,
    servers: 0,
    clients: 0,
    max_message: 0,
    max_reply: 0,
    holders: 0,
    holder_state: IPCX_ROLE_NEVER,
    holder_pid: 0,
};

/// Figures of those who have some of what there is: of each, who it is, whether it lives, and how much.
fn held<'a>(holders: impl Iterator<Item = (&'a Option<Participant>, bool, u64)> + Clone) -> ipcx_stats {
    let most = holders.clone().max_by_key(|(_, _, amount)| *amount);
    ipcx_stats {
        holders: holders.count() as u64,
        holder_state: match most {
            None => IPCX_ROLE_NEVER,
            Some((_, true, _)) => IPCX_ROLE_ALIVE,
            Some((_, false, _)) => IPCX_ROLE_DEAD,
        },
        holder_pid: pid(most.and_then(|(process, ..)| process.as_ref())),
        ..NO_FIGURES
    }
}

fn pid(process: Option<&Participant>) -> u32 {
    process.map_or(0, |process| process.pid)
}

pub(crate) fn ring_figures(stats: &RingStats) -> ipcx_stats {
    ipcx_stats {
        kind: IPCX_KIND_RING,
        capacity: stats.capacity,
        used: stats.used,
        sent: stats.sent,
        received: stats.received,
        sent_bytes: stats.sent_bytes,
        received_bytes: stats.received_bytes,
        producer_state: role(stats.producer),
        consumer_state: role(stats.consumer),
        producer_pid: pid(stats.producer_process.as_ref()),
        consumer_pid: pid(stats.consumer_process.as_ref()),
        max_message: stats.max_len,
        ..NO_FIGURES
    }
}

pub(crate) fn pool_figures(stats: &PoolStats) -> ipcx_stats {
    ipcx_stats {
        kind: IPCX_KIND_POOL,
        capacity: stats.blocks * stats.block_size,
        used: (stats.owned + stats.in_flight) * stats.block_size,
        block_size: stats.block_size,
        blocks: stats.blocks,
        blocks_free: stats.free,
        blocks_owned: stats.owned,
        blocks_in_flight: stats.in_flight,
        ..held(stats.holders.iter().map(|holder| (&holder.process, holder.alive, holder.blocks)))
    }
}

pub(crate) fn buffer_figures(stats: &BufferStats) -> ipcx_stats {
    ipcx_stats {
        kind: IPCX_KIND_BUFFER,
        capacity: stats.capacity,
        used: stats.len,
        sent: stats.version,
        producer_pid: pid(stats.owner.as_ref()),
        ..NO_FIGURES
    }
}

pub(crate) fn semaphore_figures(stats: &SemaphoreStats) -> ipcx_stats {
    let taken = stats.holders.iter().map(|(_, _, permits)| permits).sum();
    ipcx_stats {
        kind: IPCX_KIND_SEMAPHORE,
        depth: stats.limit,
        ready: stats.value,
        taken,
        free: stats.limit.saturating_sub(stats.value + taken), // They may change hands between two looks.
        ..held(stats.holders.iter().map(|(process, alive, permits)| (process, *alive, *permits)))
    }
}

pub(crate) fn topic_figures(stats: &TopicStats) -> ipcx_stats {
    let slowest = stats.subscribers.iter().max_by_key(|subscriber| subscriber.unread);
    let process = slowest.and_then(|subscriber| subscriber.process.as_ref());
    ipcx_stats {
        kind: IPCX_KIND_TOPIC,
        capacity: stats.capacity,
        used: slowest.map_or(0, |subscriber| subscriber.unread),
        consumer_pid: pid(process),
        sent: stats.published,
        producer_pid: pid(stats.publisher.as_ref()),
        subscribers: stats.subscribers.len() as u64,
        max_message: stats.max_len,
        ..NO_FIGURES
    }
}

pub(crate) fn service_figures(stats: &ServiceStats) -> ipcx_stats {
    let clients = || stats.clients.iter().filter(|client| client.alive);
    ipcx_stats {
        kind: IPCX_KIND_SERVICE,
        servers: stats.servers.iter().filter(|server| server.alive).count() as u64,
        clients: clients().count() as u64,
        ready: clients().map(|client| client.waiting).sum(),
        taken: clients().map(|client| client.taken).sum(),
        max_message: stats.max_request,
        max_reply: stats.max_reply,
        ..NO_FIGURES
    }
}

pub(crate) fn queue_figures(stats: &QueueStats) -> ipcx_stats {
    ipcx_stats {
        kind: IPCX_KIND_QUEUE,
        capacity: stats.depth * stats.max_message,
        used: (stats.depth - stats.free) * stats.max_message,
        depth: stats.depth,
        ready: stats.ready.iter().sum(),
        taken: stats.taken,
        dead: stats.dead,
        free: stats.free,
        max_message: stats.max_message,
        ..held(stats.holders.iter().map(|holder| (&holder.process, holder.alive, holder.taken)))
    }
}

pub(crate) fn role(state: RoleState) -> u32 {
    match state {
        RoleState::Never => IPCX_ROLE_NEVER,
        RoleState::Closed => IPCX_ROLE_CLOSED,
        RoleState::Dead => IPCX_ROLE_DEAD,
        // `Alive`, and whatever a later core tells apart of the living.
        _ => IPCX_ROLE_ALIVE,
    }
}

/// A command's name as C sees it, with a zero behind it.
pub(crate) fn command(name: &str) -> [c_char; 16] {
    let mut command = [0; 16];
    command[..15].iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as c_char);
    command
}
