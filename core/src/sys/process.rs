//! Facts about this process, for display and for access checks.

use super::fork;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::fs;

/// This process's number in its own PID namespace. For display only: liveness never depends on it.
pub(crate) fn id() -> u32 {
    std::process::id()
}

/// When this process started, in clock ticks since boot (field 22 of `/proc/self/stat`); 0 if unknown. Read once per process:
/// the kernel takes longer over that file than over all else that opening a segment asks of it.
pub(crate) fn start_time() -> u64 {
    static FOUND: AtomicU64 = AtomicU64::new(0);
    /// The fork generation in which it was found, plus 1.
    static WHEN: AtomicU32 = AtomicU32::new(0);
    let now = fork::generation().wrapping_add(1);
    // Acquire: partner of the release below, in this thread or another.
    if WHEN.load(Ordering::Acquire) != now {
        FOUND.store(read_start_time().unwrap_or(0), Ordering::Relaxed);
        WHEN.store(now, Ordering::Release);
    }
    FOUND.load(Ordering::Relaxed)
}

fn read_start_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The command name, in parentheses, may itself contain spaces and parentheses.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The command name as the kernel has it, up to 15 bytes and a zero.
pub(crate) fn command() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: `prctl(PR_GET_NAME, char[16])` writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

/// Effective user.
pub(crate) fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// True if `group` is this process's effective or a supplementary group.
pub(crate) fn in_group(group: u32) -> bool {
    nix::unistd::getegid().as_raw() == group
        || nix::unistd::getgroups().is_ok_and(|groups| groups.iter().any(|g| g.as_raw() == group))
}

/// Fills `bytes` from the kernel's random source: `ssize_t getrandom(void *, size_t, unsigned int)`
pub(crate) fn random(bytes: &mut [u8]) -> super::SysResult<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the kernel writes at most `rest.len()` bytes to `rest`.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match nix::errno::Errno::result(got) {
            Ok(n) => filled += n as usize,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
