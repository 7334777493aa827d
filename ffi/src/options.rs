//! Structs that begin with their own size, so that programs and libraries of different age go together.
//!
//! | caller's `struct_size` | meaning |
//! |---|---|
//! | below the first version's size, or absurd | `IPCX_E_INVALID`: the initialiser macro was not used |
//! | smaller than this library's | an older program: the fields it does not have are 0, their default |
//! | larger, and the rest is 0 | a newer program that uses nothing new |
//! | larger, and the rest is not 0 | `IPCX_E_INVALID`: it asks for what this library does not know |

use crate::arguments::{invalid, path, text};
use ipcx_core::{
    Backing, Error, PoolOptions, PoolStats, Result, RingOptions, RingStats, RoleState, SegmentOptions,
    WaitStrategy,
};
use std::borrow::Cow;
use std::ffi::c_char;
use std::mem::{offset_of, MaybeUninit};

/// Wait: spin for about as long as a wake-up costs, then sleep. The default.
pub const IPCX_WAIT_BALANCED: u32 = 0;
/// Wait: never sleep. The lowest latency, at the price of a processor.
pub const IPCX_WAIT_SPIN: u32 = 1;
/// Wait: never sleep, but let other threads run between looks.
pub const IPCX_WAIT_YIELD: u32 = 2;
/// Wait: sleep at once. The least processor time.
pub const IPCX_WAIT_BLOCK: u32 = 3;

/// Backing: a file in a directory. The default.
pub const IPCX_BACKING_DIRECTORY: u32 = 0;
/// Backing: the blocks of a pool in a System V segment with a `key`, everything else in a file in a directory. The
/// blocks begin at the segment's second page.
pub const IPCX_BACKING_SYSTEM_V: u32 = 1;

/// Flag of options: give a new segment to `group`.
pub const IPCX_OPT_GROUP: u32 = 1;

/// Kind of a segment: a ring.
pub const IPCX_KIND_RING: u32 = 1;
/// Kind of a segment: a pool.
pub const IPCX_KIND_POOL: u32 = 2;

/// State of a role: nobody has taken it yet.
pub const IPCX_ROLE_NEVER: u32 = 0;
/// State of a role: its owner lives (it may be stopped, or sleep).
pub const IPCX_ROLE_ALIVE: u32 = 1;
/// State of a role: its owner closed in good order.
pub const IPCX_ROLE_CLOSED: u32 = 2;
/// State of a role: its owner died.
pub const IPCX_ROLE_DEAD: u32 = 3;

/// Larger sizes are no struct of any version, but memory that was not initialised.
const ABSURD: usize = 4096;

/// Options of a ring. Start from IPCX_RING_OPTIONS_INIT; every field that is 0 or NULL means its default.
///
/// The strings are copied. The fields up to `schema` are the same for all kinds of segment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_ring_options {
    /// Set by IPCX_RING_OPTIONS_INIT.
    pub struct_size: u32,
    /// Permission bits of a new segment, not subject to the umask; 0 means 0600. The values are octal.
    pub mode: u32,
    /// Most handles open on it at once, 1 to 4096; 0 means 32. One that exists must have the same, unless 0
    /// is given.
    pub max_participants: u32,
    /// IPCX_BACKING_DIRECTORY; for a new pool with a name also IPCX_BACKING_SYSTEM_V.
    pub backing: u32,
    /// How calls on a new segment wait: IPCX_WAIT_BALANCED, _SPIN, _YIELD or _BLOCK. It is kept in the
    /// segment and used by whoever attaches.
    pub wait: u32,
    /// IPCX_OPT_GROUP, or 0.
    pub flags: u32,
    /// Group that a new segment is given to if `flags` has IPCX_OPT_GROUP. Give it a mode of 0660 as well.
    pub group: u32,
    /// Key of the System V segment, with that backing; else 0.
    pub key: i32,
    /// Directory of the segment; NULL means $IPCX_DIR, else /dev/shm. A path on disk keeps the segment over a
    /// reboot.
    pub directory: *const c_char,
    /// Label of what the messages are, up to 63 bytes of UTF-8. Both sides' must be equal when both give one.
    pub schema: *const c_char,
    /// Bytes for records, rounded up to a power of two (at least a page, at most 2 GiB); 0 means 1 MiB. A
    /// ring that exists must have the same, unless 0 is given. A record takes 8 bytes and its length rounded
    /// up to 8.
    pub capacity: u64,
}

/// Options of a pool. Start from IPCX_POOL_OPTIONS_INIT; every field that is 0 or NULL means its default. A new
/// pool needs a `block_size`.
///
/// The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_pool_options {
    /// Set by IPCX_POOL_OPTIONS_INIT.
    pub struct_size: u32,
    /// As in ipcx_ring_options.
    pub mode: u32,
    /// As in ipcx_ring_options.
    pub max_participants: u32,
    /// As in ipcx_ring_options.
    pub backing: u32,
    /// As in ipcx_ring_options.
    pub wait: u32,
    /// As in ipcx_ring_options.
    pub flags: u32,
    /// As in ipcx_ring_options.
    pub group: u32,
    /// As in ipcx_ring_options.
    pub key: i32,
    /// As in ipcx_ring_options.
    pub directory: *const c_char,
    /// As in ipcx_ring_options.
    pub schema: *const c_char,
    /// Bytes of a block. A pool that exists must have the same, unless 0 is given; a new one needs it.
    pub block_size: u64,
    /// How many blocks, up to 268435454; 0 means 64. A pool that exists must have as many, unless 0 is given.
    pub blocks: u64,
    /// What the address of each block is a multiple of: a power of two from 64 to the page size; 0 means 64. A
    /// pool that exists must have the same, unless 0 is given.
    pub alignment: u64,
}

/// Figures of a segment. Start from IPCX_STATS_INIT. Only the fields inside `struct_size` are written.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_stats {
    /// Set by IPCX_STATS_INIT.
    pub struct_size: u32,
    /// IPCX_KIND_RING or IPCX_KIND_POOL.
    pub kind: u32,
    /// Bytes for records, or in blocks.
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
}

/// A struct of C that begins with its size in a `uint32_t`.
///
/// # Safety `repr(C)`, begins with `struct_size: u32`, has no padding, and all zeroes and any other bytes are
/// a value.
unsafe trait Sized32: Copy {
    /// Its size in the version of ipcx that first had it.
    const FIRST: usize;
}

// SAFETY: integers and raw pointers without padding, as the assertions below show.
unsafe impl Sized32 for ipcx_ring_options {
    const FIRST: usize = size_of::<ipcx_ring_options>();
}

// SAFETY: integers and raw pointers without padding, as the assertions below show.
unsafe impl Sized32 for ipcx_pool_options {
    const FIRST: usize = size_of::<ipcx_pool_options>();
}

// SAFETY: integers without padding, as the assertions below show.
unsafe impl Sized32 for ipcx_stats {
    const FIRST: usize = 72;
}

const _: () = {
    assert!(offset_of!(ipcx_ring_options, struct_size) == 0 && offset_of!(ipcx_stats, struct_size) == 0);
    assert!(offset_of!(ipcx_ring_options, directory) == 32);
    assert!(size_of::<ipcx_ring_options>() == 32 + 2 * size_of::<*const c_char>() + 8);
    assert!(size_of::<ipcx_pool_options>() == 32 + 2 * size_of::<*const c_char>() + 24);
    assert!(offset_of!(ipcx_stats, block_size) == 72 && size_of::<ipcx_stats>() == 112);
};

/// The size that a struct says it has, if it can be true.
///
/// # Safety `given` points to 4 readable bytes.
unsafe fn claimed_size<T: Sized32>(given: *const T) -> Result<usize> {
    // SAFETY: 4 readable bytes, of any alignment.
    let size = unsafe { given.cast::<u32>().read_unaligned() } as usize;
    if !(T::FIRST..=ABSURD).contains(&size) {
        return Err(Error::Invalid(Cow::Owned(format!(
            "struct_size is {size}; start from the struct's _INIT macro, which sets it"
        ))));
    }
    Ok(size)
}

/// A private copy of a struct of any version; what it does not have is 0.
///
/// # Safety `given` points to as many readable bytes as it says in its first field.
unsafe fn read<T: Sized32>(given: *const T) -> Result<T> {
    // SAFETY: as the caller promises.
    let size = unsafe { claimed_size(given) }?;
    let (bytes, known) = (given.cast::<u8>(), size.min(size_of::<T>()));
    // SAFETY: `size` readable bytes by the caller's promise.
    if unsafe { (known..size).any(|at| *bytes.add(at) != 0) } {
        return Err(invalid("a field is set that this version of ipcx does not know; use a newer libipcx"));
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` bytes fit both sides, and any bytes are a value of a `Sized32`.
    unsafe {
        copy.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes, known);
        Ok(copy.assume_init())
    }
}

/// Checks that a struct to be filled says its size.
///
/// # Safety `place` is NULL or points to as many readable and writable bytes as it says in its first field.
pub(crate) unsafe fn check_stats(place: *mut ipcx_stats) -> Result<()> {
    if place.is_null() {
        return Err(invalid("stats is NULL"));
    }
    // SAFETY: as the caller promises.
    unsafe { claimed_size(place) }.map(drop)
}

/// Fills a struct as far as the caller's goes; what this library does not know becomes 0.
///
/// # Safety [`check_stats`] said yes to `place`, and the same still holds.
pub(crate) unsafe fn fill_stats(place: *mut ipcx_stats, figures: ipcx_stats) {
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

fn role(state: RoleState) -> u32 {
    match state {
        RoleState::Never => IPCX_ROLE_NEVER,
        RoleState::Closed => IPCX_ROLE_CLOSED,
        RoleState::Dead => IPCX_ROLE_DEAD,
        // `Alive`, and whatever a later core tells apart of the living.
        _ => IPCX_ROLE_ALIVE,
    }
}

/// What the options of all kinds have in common.
struct Common {
    mode: u32,
    max_participants: u32,
    backing: u32,
    wait: u32,
    flags: u32,
    group: u32,
    key: i32,
    directory: *const c_char,
    schema: *const c_char,
}

/// The [`Common`] part of a struct of options.
macro_rules! common {
    ($given:ident) => {
        Common {
            mode: $given.mode,
            max_participants: $given.max_participants,
            backing: $given.backing,
            wait: $given.wait,
            flags: $given.flags,
            group: $given.group,
            key: $given.key,
            directory: $given.directory,
            schema: $given.schema,
        }
    };
}

/// A ring's options; NULL means the defaults.
///
/// # Safety `given` is NULL, or points to as many readable bytes as it says; its strings are NULL or
/// zero-terminated.
pub(crate) unsafe fn ring_options(given: *const ipcx_ring_options) -> Result<RingOptions> {
    if given.is_null() {
        return Ok(RingOptions::default());
    }
    // SAFETY: as the caller promises.
    let given = unsafe { read(given) }?;
    // SAFETY: as the caller promises.
    let segment = unsafe { segment_options(&common!(given)) }?;
    Ok(RingOptions { capacity: given.capacity, segment })
}

/// A pool's options; NULL means the defaults.
///
/// # Safety As for [`ring_options`].
pub(crate) unsafe fn pool_options(given: *const ipcx_pool_options) -> Result<PoolOptions> {
    if given.is_null() {
        return Ok(PoolOptions::default());
    }
    // SAFETY: as the caller promises.
    let given = unsafe { read(given) }?;
    // SAFETY: as the caller promises.
    let segment = unsafe { segment_options(&common!(given)) }?;
    let ipcx_pool_options { block_size, blocks, alignment, .. } = given;
    Ok(PoolOptions { block_size, blocks, alignment, segment })
}

/// # Safety The strings are NULL or zero-terminated.
unsafe fn segment_options(given: &Common) -> Result<SegmentOptions> {
    let backing = match given.backing {
        IPCX_BACKING_DIRECTORY if given.key == 0 => Backing::Directory,
        IPCX_BACKING_DIRECTORY => {
            return Err(invalid("a key is given without IPCX_BACKING_SYSTEM_V in backing"))
        }
        IPCX_BACKING_SYSTEM_V => Backing::SystemV { key: given.key },
        _ => return Err(invalid("backing is not one of IPCX_BACKING_*")),
    };
    if given.flags & !IPCX_OPT_GROUP != 0 {
        return Err(invalid("flags have bits that this version of ipcx does not know"));
    }
    if given.group != 0 && given.flags & IPCX_OPT_GROUP == 0 {
        return Err(invalid("a group is given without IPCX_OPT_GROUP in flags"));
    }
    let schema = match given.schema.is_null() {
        true => None,
        // SAFETY: zero-terminated by the caller's promise.
        false => Some(unsafe { text(given.schema, "schema") }?.to_owned()),
    };
    Ok(SegmentOptions {
        mode: given.mode,
        group: (given.flags & IPCX_OPT_GROUP != 0).then_some(given.group),
        max_participants: given.max_participants,
        // SAFETY: NULL or zero-terminated by the caller's promise.
        directory: unsafe { path(given.directory) },
        schema,
        wait: WaitStrategy::from_code(given.wait).ok_or_else(|| invalid("wait is not one of IPCX_WAIT_*"))?,
        backing,
    })
}
