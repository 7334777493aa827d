//! Sleeping on a word of shared memory.

use super::SysResult;
use nix::errno::Errno;
use std::ptr;

/// Sleeps while `*word == expected`, until woken or until `deadline` (monotonic nanoseconds).
///
/// `long futex(uint32_t *uaddr, FUTEX_WAIT_BITSET, uint32_t val, const struct timespec *timeout, NULL, mask)`
///
/// # Errors
/// `EAGAIN` if the word has another value, `ETIMEDOUT`, `EINTR`.
///
/// # Safety
/// `word` is aligned to 4 and lies in a mapping that stays while the call lasts. Only the kernel reads it.
pub(crate) unsafe fn wait(word: *const u32, expected: u32, deadline: u64) -> SysResult<()> {
    let timeout =
        libc::timespec { tv_sec: (deadline / 1_000_000_000) as _, tv_nsec: (deadline % 1_000_000_000) as _ };
    // SAFETY: `word` is valid by the caller's promise; `timeout` lives across the call.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAIT_BITSET,
            expected,
            &timeout as *const libc::timespec,
            ptr::null::<u32>(),
            u32::MAX,
        )
    })
    .map(drop)
}

/// Wakes up to `most` threads that sleep on `word`, and says how many. Async-signal-safe; a failure has no remedy and is
/// ignored, since sleepers look again by themselves.
///
/// `long futex(uint32_t *uaddr, FUTEX_WAKE, uint32_t val)`
///
/// # Safety
/// As for [`wait`].
pub(crate) unsafe fn wake(word: *const u32, most: u32) -> u32 {
    let most = i32::try_from(most).unwrap_or(i32::MAX);
    // SAFETY: `word` is valid by the caller's promise; the kernel only computes its key.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, most) };
    u32::try_from(woken).unwrap_or(0)
}

/// One of several words to sleep on. `struct futex_waitv`
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Waiter {
    value: u64,
    word: u64,
    flags: u32,
    _reserved: u32,
}

/// Words of 32 bits, which other processes may have mapped. `FUTEX2_SIZE_U32`
const SIZE_U32: u32 = 2;
/// Most words that one call sleeps on. `FUTEX_WAITV_MAX`
pub(crate) const MOST_WAITERS: usize = 128;

impl Waiter {
    pub(crate) fn new(word: *const u32, value: u32) -> Waiter {
        Waiter { value: value.into(), word: word as usize as u64, flags: SIZE_U32, _reserved: 0 }
    }
}

/// Sleeps while every word has its value, until woken on one of them or until `deadline` (monotonic nanoseconds).
///
/// `long futex_waitv(struct futex_waitv *, unsigned int, unsigned int flags, struct timespec *, clockid_t)`
///
/// # Errors
/// `EAGAIN` if a word has another value, `ETIMEDOUT`, `EINTR`, `ENOSYS` before Linux 5.16.
///
/// # Safety
/// Each word is aligned to 4 and lies in a mapping that stays while the call lasts. Only the kernel reads them.
pub(crate) unsafe fn wait_any(words: &[Waiter], deadline: u64) -> SysResult<()> {
    let timeout = [(deadline / 1_000_000_000) as i64, (deadline % 1_000_000_000) as i64]; // 64 bits on every processor
                                                                                          // SAFETY: the list and the words are valid by the caller's promise; `timeout` lives across the call.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            words.as_ptr(),
            words.len() as libc::c_uint,
            0 as libc::c_uint,
            timeout.as_ptr(),
            libc::CLOCK_MONOTONIC,
        )
    })
    .map(drop)
}
