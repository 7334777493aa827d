//! The handle on a topic.

use crate::arguments::{invalid, Out};
use crate::boundary;
use crate::handles::{self, give, handle, shared};
use crate::opening::{anonymous, from_fd, open, share_fd};
use crate::options::ipcx_topic_options;
use crate::publisher::ipcx_publisher;
use crate::stats::{self, ipcx_stats, topic_figures};
use crate::subscriber::ipcx_subscriber;
use ipcx_core::{StartAt, Topic};
use std::ffi::{c_char, c_int};

/// Where a subscriber begins: with what is published from now on.
pub const IPCX_START_NEXT: u32 = 0;
/// Where a subscriber begins: with the newest record, if there is one.
pub const IPCX_START_LATEST: u32 = 1;
/// Where a subscriber begins: with the oldest record that is still there.
pub const IPCX_START_OLDEST: u32 = 2;
use std::ptr::null;

/// A handle on a topic: what is published reaches every subscriber.
///
/// It may be shared between threads. It is one participant of the segment and keeps it mapped.
pub struct ipcx_topic {
    _private: [u8; 0],
}
handle!(ipcx_topic => Topic, b"ipcxTOPI", "not an open ipcx_topic (NULL, closed, or something else)");

/// Creates a topic that must be new, and gives a handle on it in `*topic`.
///
/// `opts` may be NULL. The topic appears under its name complete or not at all. Its memory is taken now, so
/// that using it never fails for lack of memory.
///
/// Ownership: the handle is yours; give it back with ipcx_topic_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_EXISTS, IPCX_E_NO_SPACE, IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory),
/// IPCX_E_INVALID (name, options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_create(
    name: *const c_char,
    opts: *const ipcx_topic_options,
    topic: *mut *mut ipcx_topic,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, topic, Topic::create, None) }
}

/// Attaches to a topic, or creates it if there is none, and gives a handle on it in `*topic`.
///
/// `opts` may be NULL. If the topic exists, its capacity, number of participants and schema must be those of
/// the options where these give any (a schema, where both have one), and it must be reliable, or have a history, where
/// they say so; mode, group and wait are only for a new one.
/// With IPCX_OPT_MUST_EXIST among the options' flags it creates none: that is IPCX_E_NOT_FOUND.
///
/// Ownership: the handle is yours; give it back with ipcx_topic_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_topic_create() less IPCX_E_EXISTS, and those of ipcx_topic_attach();
/// IPCX_E_MISMATCH also for other options.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_open(
    name: *const c_char,
    opts: *const ipcx_topic_options,
    topic: *mut *mut ipcx_topic,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, opts, topic, Topic::open, Some(Topic::attach_with)) }
}

/// Attaches to a topic that must exist, and gives a handle on it in `*topic`.
///
/// Ownership: the handle is yours; give it back with ipcx_topic_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_MISMATCH (of another kind), IPCX_E_VERSION, IPCX_E_CORRUPT,
/// IPCX_E_PERMISSION, IPCX_E_NO_SPACE (all participant slots are taken), IPCX_E_INVALID (name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_attach(name: *const c_char, topic: *mut *mut ipcx_topic) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { open(name, null::<ipcx_topic_options>(), topic, Topic::attach_with, None) }
}

/// Creates a topic without a name, in a memfd sealed against resizing, and gives a handle on it in `*topic`.
///
/// Hand ipcx_topic_share_fd() to another process, by inheritance or SCM_RIGHTS; it attaches with
/// ipcx_topic_from_fd(). The options' directory, mode and group mean nothing here.
///
/// Ownership: the handle is yours; give it back with ipcx_topic_close(). The memory goes with the last
/// descriptor and handle.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE, IPCX_E_INVALID (options), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_anonymous(
    opts: *const ipcx_topic_options,
    topic: *mut *mut ipcx_topic,
) -> c_int {
    // SAFETY: pointers as the contract wants them.
    unsafe { anonymous(opts, topic, Topic::anonymous) }
}

/// Attaches to the topic behind a descriptor, and gives a handle on it in `*topic`.
///
/// Ownership: the descriptor stays yours and may be closed at once; the handle is yours, give it back with
/// ipcx_topic_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_topic_attach(); IPCX_E_OS or IPCX_E_CORRUPT for a descriptor of something else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_from_fd(fd: c_int, topic: *mut *mut ipcx_topic) -> c_int {
    // SAFETY: pointers as the contract wants them; the descriptor stays open during the call.
    unsafe { from_fd(fd, topic, Topic::from_fd) }
}

/// A new descriptor of the topic to hand to another process; or a negative code.
///
/// It is closed on exec until you say otherwise. It keeps the memory, but no participant's slot.
///
/// Ownership: the descriptor is yours; close it with close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_share_fd(topic: *mut ipcx_topic) -> c_int {
    // SAFETY: an open handle, by the contract.
    unsafe { share_fd(topic, Topic::share_fd) }
}

/// A publisher, in `*publisher`. There may be any number, over all processes; they publish one at a time.
///
/// Ownership: the publisher is yours; give it back with ipcx_publisher_close(). It outlives `topic`.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_publisher(
    topic: *mut ipcx_topic,
    publisher: *mut *mut ipcx_publisher,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (topic, publisher) = unsafe { (shared(topic)?, Out::new(publisher)?) };
        publisher.set(give(topic.publisher()?));
        Ok(())
    })
}

/// A subscriber, in `*subscriber`, which begins with what is published from now on; in a topic with a history, with the
/// oldest record that is still there.
///
/// There may be any number, over all processes. In a reliable topic each is a participant of its own, beside `topic`.
///
/// Ownership: the subscriber is yours; give it back with ipcx_subscriber_close(). It outlives `topic`.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NO_SPACE (the topic is reliable, and all participant slots are taken), IPCX_E_FORKED,
/// IPCX_E_CORRUPT, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_subscriber(
    topic: *mut ipcx_topic,
    subscriber: *mut *mut ipcx_subscriber,
) -> c_int {
    // SAFETY: the contract is the same.
    unsafe { subscribe(topic, None, subscriber) }
}

/// As ipcx_topic_subscriber(), but begins at `start`: IPCX_START_NEXT, _LATEST or _OLDEST.
///
/// Ownership: the subscriber is yours; give it back with ipcx_subscriber_close(). It outlives `topic`.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_topic_subscriber().
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_subscriber_at(
    topic: *mut ipcx_topic,
    start: u32,
    subscriber: *mut *mut ipcx_subscriber,
) -> c_int {
    // SAFETY: the contract is the same.
    unsafe { subscribe(topic, Some(start), subscriber) }
}

/// # Safety The contract of [`ipcx_topic_subscriber`].
unsafe fn subscribe(
    topic: *mut ipcx_topic,
    start: Option<u32>,
    subscriber: *mut *mut ipcx_subscriber,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle; NULL or writable. By the contract.
        let (topic, subscriber) = unsafe { (shared(topic)?, Out::new(subscriber)?) };
        let start = match start {
            None => None,
            Some(IPCX_START_NEXT) => Some(StartAt::Next),
            Some(IPCX_START_LATEST) => Some(StartAt::Latest),
            Some(IPCX_START_OLDEST) => Some(StartAt::Oldest),
            Some(_) => return Err(invalid("start is not one of IPCX_START_*")),
        };
        let new = start.map_or_else(|| topic.subscriber(), |start| topic.subscriber_at(start))?;
        subscriber.set(give(new));
        Ok(())
    })
}

/// What can be seen of the topic from outside, into `*stats`, which IPCX_STATS_INIT has prepared.
///
/// Nobody is stopped for it, so the figures may be apart by what was in work.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also for a struct_size that cannot be), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_stats(topic: *mut ipcx_topic, stats: *mut ipcx_stats) -> c_int {
    // SAFETY: an open handle; NULL or as large as it says. By the contract.
    unsafe { stats::show(topic, stats, |topic| Ok(topic_figures(&topic.stats()?))) }
}

/// Gives a handle on a topic back. NULL is allowed. The name stays (see ipcx_unlink()), and publishers and
/// subscribers taken from it go on working.
///
/// Not while another thread uses the handle. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_topic_close(topic: *mut ipcx_topic) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(topic) });
}
