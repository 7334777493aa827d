//! Figures of segments.

use crate::arguments::invalid;
use crate::boundary::Result;
use crate::sized::{claimed_size, Sized32};
use ipcx_core::{PoolStats, RingStats, RoleState, ServiceStats};
use std::mem::offset_of;

/// Kind of a segment: a ring.
pub const IPCX_KIND_RING: u32 = 1;
/// Kind of a segment: a pool.
pub const IPCX_KIND_POOL: u32 = 2;
/// Kind of a segment: a service.
pub const IPCX_KIND_SERVICE: u32 = 6;

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
    /// IPCX_KIND_RING, IPCX_KIND_POOL or IPCX_KIND_SERVICE.
    pub kind: u32,
    /// Bytes for records, or in blocks; of a service 0.
    pub capacity: u64,
    /// Bytes taken by records not released, or by blocks that are not free.
    pub used: u64,
    /// Records committed since the segment was made; off by those in work at the death of a producer.
    pub sent: u64,
    /// Records released since the segment was made; off by those in work at the death of a consumer.
    pub received: u64,
    /// Stream position behind the last record committed, in bytes; their length words and padding count.
    pub sent_bytes: u64,
    /// Stream position of the first record not released, in bytes.
    pub received_bytes: u64,
    /// State of the producer's role: IPCX_ROLE_NEVER, _ALIVE, _CLOSED or _DEAD.
    pub producer_state: u32,
    /// State of the consumer's role.
    pub consumer_state: u32,
    /// Who holds the producer's role, or died holding it, in its own PID namespace; 0 for nobody. For display
    /// only.
    pub producer_pid: u32,
    /// Who holds the consumer's role, or died holding it; 0 for nobody.
    pub consumer_pid: u32,
    /// Of a pool: bytes of a block.
    pub block_size: u64,
    /// Of a pool: how many blocks there are. The next three add up to it.
    pub blocks: u64,
    /// Of a pool: blocks that can be acquired.
    pub blocks_free: u64,
    /// Of a pool: blocks that participants own, dead ones among them until they are recovered (see
    /// ipcx_pool_holders()).
    pub blocks_owned: u64,
    /// Of a pool: blocks that were sent and not yet received.
    pub blocks_in_flight: u64,
    /// Of a service: servers that live.
    pub servers: u64,
    /// Of a service: clients that live.
    pub clients: u64,
    /// Of a service: requests of these that no server has taken.
    pub requests_waiting: u64,
    /// Of a service: requests of these that a server has taken, and those whose reply is not received yet.
    pub requests_taken: u64,
}

// SAFETY: integers without padding, as the assertions below show.
unsafe impl Sized32 for ipcx_stats {
    const FIRST: usize = 72;
}

const _: () = {
    assert!(offset_of!(ipcx_stats, struct_size) == 0);
    assert!(offset_of!(ipcx_stats, block_size) == 72 && size_of::<ipcx_stats>() == 144);
};

/// Checks that a struct to be filled says its size.
///
/// # Safety `place` is NULL or points to as many readable and writable bytes as it says in its first field.
pub(crate) unsafe fn check(place: *mut ipcx_stats) -> Result<()> {
    if place.is_null() {
        return Err(invalid("stats is NULL"));
    }
    // SAFETY: as the caller promises.
    unsafe { claimed_size(place) }.map(drop)
}

/// Fills a struct as far as the caller's goes; what this library does not know becomes 0.
///
/// # Safety [`check`] said yes to `place`, and the same still holds.
pub(crate) unsafe fn fill(place: *mut ipcx_stats, figures: ipcx_stats) {
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
    servers: 0,
    clients: 0,
    requests_waiting: 0,
    requests_taken: 0,
};

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
        producer_pid: stats.producer_process.as_ref().map_or(0, |process| process.pid),
        consumer_pid: stats.consumer_process.as_ref().map_or(0, |process| process.pid),
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
        ..NO_FIGURES
    }
}

pub(crate) fn service_figures(stats: &ServiceStats) -> ipcx_stats {
    let clients = || stats.clients.iter().filter(|client| client.alive);
    ipcx_stats {
        kind: IPCX_KIND_SERVICE,
        servers: stats.servers.iter().filter(|server| server.alive).count() as u64,
        clients: clients().count() as u64,
        requests_waiting: clients().map(|client| client.waiting).sum(),
        requests_taken: clients().map(|client| client.taken).sum(),
        ..NO_FIGURES
    }
}

fn role(state: RoleState) -> u32 {
    match state {
        RoleState::Never => IPCX_ROLE_NEVER,
        RoleState::Closed => IPCX_ROLE_CLOSED,
        RoleState::Dead => IPCX_ROLE_DEAD,
        // `Alive`, and whatever a later core tells apart of the living.
        _ => IPCX_ROLE_ALIVE,
    }
}
