//! Open-file-description byte locks: the kernel's proof that somebody lives.

use super::SysResult;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

#[cfg(target_pointer_width = "64")]
use libc::flock as Flock;
#[cfg(target_pointer_width = "32")]
use libc::flock64 as Flock;

#[cfg(target_pointer_width = "64")]
const SETLK: libc::c_int = libc::F_OFD_SETLK;
#[cfg(target_pointer_width = "64")]
const GETLK: libc::c_int = libc::F_OFD_GETLK;
#[cfg(target_pointer_width = "32")]
const SETLK: libc::c_int = 37;
#[cfg(target_pointer_width = "32")]
const GETLK: libc::c_int = 36;

/// `int fcntl(int fd, F_OFD_SETLK | F_OFD_GETLK, struct flock *)` for `len` bytes at `offset`.
fn fcntl(
    fd: BorrowedFd<'_>,
    command: libc::c_int,
    kind: libc::c_int,
    offset: u64,
    len: u64,
) -> SysResult<Flock> {
    // SAFETY: flock is plain integers, for which zero is a value; OFD locks require l_pid to be 0.
    let mut lock: Flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as _;
    lock.l_whence = libc::SEEK_SET as _;
    lock.l_start = offset as _;
    lock.l_len = len as _;
    // SAFETY: `lock` is a valid struct flock for the whole call, and the descriptor is borrowed.
    Errno::result(unsafe { libc::fcntl(fd.as_raw_fd(), command, &mut lock) })?;
    Ok(lock)
}

/// Locks the byte at `offset` without waiting; false if another open file description has it.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, offset: u64) -> SysResult<bool> {
    try_set(fd, libc::F_WRLCK, offset)
}

/// As [`try_lock`], together with others that share it. Of a byte that this open file description has locked alone, it
/// gives up being alone, in one step.
pub(crate) fn try_share(fd: BorrowedFd<'_>, offset: u64) -> SysResult<bool> {
    try_set(fd, libc::F_RDLCK, offset)
}

fn try_set(fd: BorrowedFd<'_>, kind: libc::c_int, offset: u64) -> SysResult<bool> {
    match fcntl(fd, SETLK, kind, offset, 1) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Gives the byte at `offset` up.
pub(crate) fn unlock(fd: BorrowedFd<'_>, offset: u64) -> SysResult<()> {
    fcntl(fd, SETLK, libc::F_UNLCK, offset, 1).map(drop)
}

/// True if another open file description has the byte at `offset` locked. Async-signal-safe.
pub(crate) fn is_locked(fd: BorrowedFd<'_>, offset: u64) -> SysResult<bool> {
    is_any_locked(fd, offset, 1)
}

/// True if another open file description has any of `len` bytes at `offset` locked. The descriptor need not be writable.
pub(crate) fn is_any_locked(fd: BorrowedFd<'_>, offset: u64, len: u64) -> SysResult<bool> {
    fcntl(fd, GETLK, libc::F_WRLCK, offset, len).map(|lock| lock.l_type as libc::c_int != libc::F_UNLCK)
}
