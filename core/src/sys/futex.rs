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
