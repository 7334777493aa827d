//! The structs of options, one for each kind of segment and one for transports, and what they mean to the core.

use crate::arguments::{invalid, path, text};
use crate::boundary::Result;
use crate::sized::{read, Sized32};
use ipcx_core::{
    Backing, BufferOptions, PoolOptions, QueueOptions, RingOptions, SegmentOptions, SemaphoreOptions,
    ServiceOptions, TopicOptions, TransportOptions, WaitStrategy,
};
use std::ffi::c_char;
use std::mem::offset_of;

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
/// Flag of options, for the _open functions: create nothing. So they attach as the _attach functions do, but in the options'
/// directory, and only to what has the sizes and the schema that the options give.
pub const IPCX_OPT_MUST_EXIST: u32 = 2;

/// Initially: a semaphore that has no permit to be acquired, until one is released.
pub const IPCX_SEMAPHORE_EMPTY: u32 = u32::MAX;

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
    /// IPCX_OPT_GROUP and IPCX_OPT_MUST_EXIST, or 0.
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

/// Options of a buffer. Start from IPCX_BUFFER_OPTIONS_INIT; every field that is 0 or NULL means its default.
///
/// The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_buffer_options {
    /// Set by IPCX_BUFFER_OPTIONS_INIT.
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
    /// Bytes that a value has at most, up to 2^40; 0 means 4096. A buffer that exists must have the same, unless 0
    /// is given.
    pub capacity: u64,
}

/// Options of a semaphore. Start from IPCX_SEMAPHORE_OPTIONS_INIT; every field that is 0 or NULL means its default.
///
/// The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_semaphore_options {
    /// Set by IPCX_SEMAPHORE_OPTIONS_INIT.
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
    /// Permits that a new one has to be acquired; 0 means its limit, IPCX_SEMAPHORE_EMPTY none.
    pub initial: u32,
    /// Most permits there can be, up to 1048576; 0 means as many as there are initially, or 1 where neither is given. A
    /// semaphore that exists must have the same, unless 0 is given.
    pub limit: u32,
}

/// Options of a topic. Start from IPCX_TOPIC_OPTIONS_INIT; every field that is 0 or NULL means its default.
///
/// The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_topic_options {
    /// Set by IPCX_TOPIC_OPTIONS_INIT.
    pub struct_size: u32,
    /// As in ipcx_ring_options.
    pub mode: u32,
    /// As in ipcx_ring_options. In a reliable topic, each subscriber is one more.
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
    /// Bytes for records, rounded up to a power of two (at least a page, at most 2 GiB); 0 means 1 MiB. A topic that
    /// exists must have the same, unless 0 is given. A record takes 16 bytes and its length rounded up to 8, and at most
    /// half of it.
    pub capacity: u64,
    /// 1: publishers wait for the slowest subscriber, and nothing is missed. 0: they never wait for subscribers, and who is too
    /// slow misses the oldest records. A topic that exists must be reliable if this is 1.
    pub reliable: u32,
    /// 1: subscribers begin with the oldest record that is still there, unless they say otherwise. 0: with what is
    /// published from then on. A topic that exists must have been made so if this is 1.
    pub history: u32,
}

/// Options of a work queue. Start from IPCX_QUEUE_OPTIONS_INIT; every field that is 0 or NULL means its default.
///
/// The strings are copied. The fields up to `schema` are as in ipcx_ring_options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_queue_options {
    /// Set by IPCX_QUEUE_OPTIONS_INIT.
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
    /// Bytes of the largest message, up to 2^31 - 1; 0 means 1024. A queue that exists must have the same, unless 0
    /// is given.
    pub max_message: u64,
    /// How many messages there can be, up to 2^20, those that are taken and dead letters among them; 0 means 1024. A
    /// queue that exists must have the same, unless 0 is given.
    pub depth: u64,
    /// After how many deliveries a message that comes back becomes a dead letter, up to 254; 0 means never. A queue
    /// that exists must have the same, unless 0 is given.
    pub max_deliveries: u32,
    /// 1: in a directory on disk, a push returns once its message is on the disk, and an acknowledgement once that
    /// is, so that a power cut loses none of it. 0: a power cut, or a crash of the system, may lose messages, bring
    /// back some that were acknowledged, or leave some with bytes that were not written; the death of a process does
    /// none of that in either case. A queue that exists must have been made so if this is 1.
    pub sync: u32,
}

/// Options of a service. Start from IPCX_SERVICE_OPTIONS_INIT; every field that is 0 or NULL means its default.
///
/// The strings are copied. The fields up to `schema` are as in ipcx_ring_options; each server is one participant, and so is
/// each handle, whatever the number of its clients.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_service_options {
    /// Set by IPCX_SERVICE_OPTIONS_INIT.
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
    /// Bytes of the largest request, at most 1 GiB; 0 means 1024. A service that exists must have the same, unless 0 is given;
    /// so it is with the next three.
    pub max_request: u64,
    /// Bytes of the largest reply, at most 1 GiB; 0 means 1024.
    pub max_reply: u64,
    /// Most clients at once, at most 1024; 0 means 32.
    pub max_clients: u64,
    /// Most requests that a client can have open, at most 1024, rounded up to a power of two; 0 means 16.
    pub depth: u64,
}

/// Options of a transport. Start from IPCX_TRANSPORT_OPTIONS_INIT; every field that is 0 or NULL means its default.
///
/// The string is copied.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_transport_options {
    /// Set by IPCX_TRANSPORT_OPTIONS_INIT.
    pub struct_size: u32,
    /// Permission bits of what is made, not subject to the umask; 0 means 0600. The values are octal.
    pub mode: u32,
    /// Bytes under way at most; 0 means the mechanism's own default. Of a pipe, FIFO or socket it is asked for from the
    /// kernel, which rounds it up and has limits; a message queue has `messages` instead.
    pub capacity: u64,
    /// Bytes of the longest message that must be possible. A queue or buffer that is made takes no longer ones, and one
    /// that exists must have the same; 0 means that of one that exists, or else the default (the host's, 8 KiB as a
    /// rule; 4 KiB).
    pub message_size: u64,
    /// How many messages a queue holds; 0 means that of one that exists, or else the host's default, 10 as a rule.
    pub messages: usize,
    /// Directory of the name; NULL means $IPCX_DIR, else /dev/shm. Message queues have no directory.
    pub directory: *const c_char,
}

/// A struct of options, and the core's options that it becomes.
pub(crate) trait Options: Sized32 {
    /// Those of the core.
    type Core: Default;

    /// # Safety The strings are NULL or zero-terminated.
    unsafe fn core(&self) -> Result<Self::Core>;

    /// Whether nothing is to be created.
    fn must_exist(&self) -> bool {
        false
    }
}

/// What the options of all kinds of segment have in common.
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

/// Declares a segment's struct of options: how many bytes its own fields have, the core's options, and how these have them.
macro_rules! options {
    ($name:ident, $own:literal => $core:ident, |$given:ident, $segment:ident| $convert:expr) => {
        // SAFETY: integers and raw pointers, without padding as the assertion shows.
        unsafe impl Sized32 for $name {
            const FIRST: usize = size_of::<$name>();
        }

        const _: () = {
            assert!(offset_of!($name, struct_size) == 0 && offset_of!($name, directory) == 32);
            assert!(size_of::<$name>() == 32 + 2 * size_of::<*const c_char>() + $own);
        };

        impl Options for $name {
            type Core = $core;

            unsafe fn core(&self) -> Result<$core> {
                let &$name {
                    mode,
                    max_participants,
                    backing,
                    wait,
                    flags,
                    group,
                    key,
                    directory,
                    schema,
                    ..
                } = self;
                let common =
                    Common { mode, max_participants, backing, wait, flags, group, key, directory, schema };
                // SAFETY: as the caller promises.
                let ($given, $segment) = (self, unsafe { segment_options(&common) }?);
                Ok($convert)
            }

            fn must_exist(&self) -> bool {
                self.flags & IPCX_OPT_MUST_EXIST != 0
            }
        }
    };
}

options!(ipcx_ring_options, 8 => RingOptions, |given, segment| RingOptions {
    capacity: given.capacity,
    segment,
});

options!(ipcx_pool_options, 24 => PoolOptions, |given, segment| PoolOptions {
    block_size: given.block_size,
    blocks: given.blocks,
    alignment: given.alignment,
    segment,
    on_demand: false,
});

options!(ipcx_buffer_options, 8 => BufferOptions, |given, segment| BufferOptions {
    capacity: given.capacity,
    segment,
});

options!(ipcx_semaphore_options, 8 => SemaphoreOptions, |given, segment| SemaphoreOptions {
    limit: given.limit.into(),
    initial: match given.initial {
        0 => None,
        IPCX_SEMAPHORE_EMPTY => Some(0),
        permits => Some(permits.into()),
    },
    segment,
});

options!(ipcx_service_options, 32 => ServiceOptions, |given, segment| ServiceOptions {
    max_request: given.max_request,
    max_reply: given.max_reply,
    max_clients: given.max_clients,
    depth: given.depth,
    segment,
});

options!(ipcx_topic_options, 16 => TopicOptions, |given, segment| TopicOptions {
    capacity: given.capacity,
    reliable: yes_or_no(given.reliable, "reliable is not 0 or 1")?,
    history: yes_or_no(given.history, "history is not 0 or 1")?,
    segment,
});

options!(ipcx_queue_options, 24 => QueueOptions, |given, segment| QueueOptions {
    max_message: given.max_message,
    depth: given.depth,
    max_deliveries: given.max_deliveries,
    sync: yes_or_no(given.sync, "sync is not 0 or 1")?,
    segment,
});

fn yes_or_no(given: u32, wrong: &'static str) -> Result<bool> {
    if given > 1 {
        return Err(invalid(wrong));
    }
    Ok(given == 1)
}

// SAFETY: integers and a raw pointer, without padding as the assertion shows.
unsafe impl Sized32 for ipcx_transport_options {
    const FIRST: usize = size_of::<ipcx_transport_options>();
}

const _: () = assert!(size_of::<ipcx_transport_options>() == 24 + 2 * size_of::<usize>());

impl Options for ipcx_transport_options {
    type Core = TransportOptions;

    unsafe fn core(&self) -> Result<TransportOptions> {
        Ok(TransportOptions {
            capacity: self.capacity,
            message_size: usize::try_from(self.message_size).unwrap_or(usize::MAX),
            messages: self.messages,
            // SAFETY: NULL or zero-terminated by the caller's promise.
            directory: unsafe { path(self.directory) },
            mode: self.mode,
        })
    }
}

/// Options of any version, as the core has them.
pub(crate) struct Converted<T> {
    pub(crate) core: T,
    /// Whether nothing is to be created.
    pub(crate) must_exist: bool,
}

/// The core's options; NULL means the defaults.
///
/// # Safety `given` is NULL, or points to as many readable bytes as it says; its strings are NULL or
/// zero-terminated.
pub(crate) unsafe fn convert<O: Options>(given: *const O) -> Result<Converted<O::Core>> {
    if given.is_null() {
        return Ok(Converted { core: O::Core::default(), must_exist: false });
    }
    // SAFETY: as the caller promises.
    let given = unsafe { read(given) }?;
    // SAFETY: as the caller promises.
    Ok(Converted { core: unsafe { given.core() }?, must_exist: given.must_exist() })
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
    if given.flags & !(IPCX_OPT_GROUP | IPCX_OPT_MUST_EXIST) != 0 {
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
