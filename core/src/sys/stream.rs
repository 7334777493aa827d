//! Pipes and FIFOs: made, written without SIGPIPE, spliced; and waiting for any descriptor.

use super::signal::without_sigpipe;
use super::{fd, SysResult};
use crate::sync::{AtomicU32, Ordering};
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::poll::PollFlags;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Reading,
    Writing,
}

impl For {
    /// The event as `poll` has it.
    pub(crate) fn events(self) -> i16 {
        match self {
            For::Reading => libc::POLLIN,
            For::Writing => libc::POLLOUT,
        }
    }
}

/// What was found of a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// There is something to read.
    pub(crate) readable: bool,
    /// The other end was there, and is not any more.
    pub(crate) hung_up: bool,
}

/// A pipe: the end to read, and the end to write. `int pipe2(int[2], O_CLOEXEC)`
pub(crate) fn pipe() -> SysResult<(OwnedFd, OwnedFd)> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC)
}

/// Calls on this open file description do not wait any more.
/// `int fcntl(int, F_GETFL)`, `int fcntl(int, F_SETFL, int)`
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>) -> SysResult<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

/// True if it was opened for this. `int fcntl(int, F_GETFL)`
pub(crate) fn is_open_for(fd: BorrowedFd<'_>, what: For) -> SysResult<bool> {
    let flags = fcntl(fd, FcntlArg::F_GETFL)?;
    let own = match what {
        For::Reading => libc::O_RDONLY,
        For::Writing => libc::O_WRONLY,
    };
    Ok(flags & libc::O_PATH == 0 && [own, libc::O_RDWR].contains(&(flags & libc::O_ACCMODE)))
}

/// Gives a pipe room for at least so many bytes. `int fcntl(int, F_SETPIPE_SZ, int)`
pub(crate) fn set_room(fd: BorrowedFd<'_>, bytes: usize) -> SysResult<()> {
    let bytes = libc::c_int::try_from(bytes).map_err(|_| Errno::EINVAL)?;
    fcntl(fd, FcntlArg::F_SETPIPE_SZ(bytes)).map(drop)
}

/// Waits until one of `fds` is ready, has ended, or `nanoseconds` have passed.
pub(crate) fn wait<const N: usize>(
    fds: [(BorrowedFd<'_>, For); N],
    nanoseconds: u64,
) -> SysResult<[Ready; N]> {
    let mut fds = fds.map(|(fd, what)| fd::to_poll(fd, what.events()));
    fd::poll(&mut fds, Some(nanoseconds))?;
    Ok(fds.map(|fd| {
        let events = fd.revents().unwrap_or(PollFlags::empty());
        let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
        Ready { readable: events.contains(PollFlags::POLLIN), hung_up: events.intersects(gone) }
    }))
}

/// True if a read, or a write, may have something to say now.
pub(crate) fn is_ready(fd: BorrowedFd<'_>, what: For) -> SysResult<bool> {
    fd::poll(&mut [fd::to_poll(fd, what.events())], Some(0))
}

/// Bytes that can be read now. `int ioctl(int, FIONREAD, int *)`
pub(crate) fn bytes_to_read(fd: BorrowedFd<'_>) -> SysResult<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one number.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut bytes) })?;
    Ok(bytes as usize)
}

/// `ssize_t read(int, void *, size_t)`
pub(crate) fn read(fd: BorrowedFd<'_>, to: &mut [u8]) -> SysResult<usize> {
    nix::unistd::read(fd, to)
}

/// `ssize_t pread(int, void *, size_t, off_t)`
pub(crate) fn read_at(fd: BorrowedFd<'_>, to: &mut [u8], offset: u64) -> SysResult<usize> {
    nix::sys::uio::pread(fd, to, libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?)
}

/// 1 once the kernel has said that it cannot write without SIGPIPE.
static OLD_KERNEL: AtomicU32 = AtomicU32::new(0);

/// Writes to a pipe without SIGPIPE: two parts, of which the second may be empty; both at once or not at all if they are no
/// longer than PIPE_BUF, 4096 bytes.
pub(crate) fn write(fd: BorrowedFd<'_>, parts: [&[u8]; 2]) -> SysResult<usize> {
    if OLD_KERNEL.load(Ordering::Relaxed) == 0 {
        match write_unsignalled(fd, parts) {
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL) => {
                OLD_KERNEL.store(1, Ordering::Relaxed); // Relaxed: a hint.
            }
            done => return done,
        }
    }
    write_masked(fd, parts)
}

/// `ssize_t pwritev2(int, const struct iovec *, int, -1, RWF_NOSIGNAL)`, since Linux 6.18.
fn write_unsignalled(fd: BorrowedFd<'_>, parts: [&[u8]; 2]) -> SysResult<usize> {
    const RWF_NOSIGNAL: libc::c_int = 0x100;
    const HERE: libc::c_long = -1;
    let parts = parts.map(std::io::IoSlice::new);
    // SAFETY: `IoSlice` is an iovec; both parts live across the call, which only reads them.
    let written = unsafe {
        libc::syscall(
            libc::SYS_pwritev2,
            fd.as_raw_fd() as libc::c_long,
            parts.as_ptr(),
            parts.len() as libc::c_long,
            HERE,
            HERE,
            RWF_NOSIGNAL as libc::c_long,
        )
    };
    Errno::result(written).map(|n| n as usize)
}

/// `ssize_t writev(int, const struct iovec *, int)`, with the signal kept off.
fn write_masked(fd: BorrowedFd<'_>, parts: [&[u8]; 2]) -> SysResult<usize> {
    let parts = parts.map(std::io::IoSlice::new);
    without_sigpipe(|| nix::sys::uio::writev(fd, &parts))
}

/// Moves bytes of a file into a pipe, and `offset` on by as many; 0 at the end of the file.
/// `ssize_t splice(int, off_t *, int, NULL, size_t, SPLICE_F_NONBLOCK)`, with SIGPIPE kept off.
pub(crate) fn splice(
    file: BorrowedFd<'_>,
    offset: &mut u64,
    pipe: BorrowedFd<'_>,
    len: usize,
) -> SysResult<usize> {
    let mut at = libc::loff_t::try_from(*offset).map_err(|_| Errno::EINVAL)?;
    let (from, to, none) = (file.as_raw_fd(), pipe.as_raw_fd(), std::ptr::null_mut());
    let moved = without_sigpipe(|| {
        // SAFETY: `at` lives across the call.
        Errno::result(unsafe { libc::splice(from, &mut at, to, none, len, libc::SPLICE_F_NONBLOCK) })
    })?;
    *offset = at as u64;
    Ok(moved as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    /// A process that a test harness of Rust runs ignores SIGPIPE: these look at what is left pending instead.
    fn sigpipe_ends_a_child_that_writes(write: fn(BorrowedFd<'_>, [&[u8]; 2]) -> SysResult<usize>) -> bool {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        // SAFETY: the child makes system calls only, and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: the default action is restored in the child only.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let told = matches!(write(writer.as_fd(), [b"a", b"b"]), Err(Errno::EPIPE | Errno::EOPNOTSUPP));
            // SAFETY: ends the child.
            unsafe { libc::_exit(if told { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        status != 0
    }

    #[test]
    fn no_way_of_writing_raises_sigpipe() {
        assert!(!sigpipe_ends_a_child_that_writes(write));
        assert!(!sigpipe_ends_a_child_that_writes(write_unsignalled));
        assert!(!sigpipe_ends_a_child_that_writes(write_masked));
    }

    #[test]
    fn a_signal_that_was_pending_before_stays_pending() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        // SAFETY: as above.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut set = nix::sys::signal::SigSet::empty();
            set.add(nix::sys::signal::Signal::SIGPIPE);
            // SAFETY: in the child only.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let blocked = set.thread_block().is_ok();
            // SAFETY: queues it to this thread, which blocks it.
            let raised = unsafe { libc::raise(libc::SIGPIPE) } == 0;
            let told = matches!(write_masked(writer.as_fd(), [b"a", b""]), Err(Errno::EPIPE));
            // SAFETY: a zeroed set is a value, and is filled by the call.
            let pending = unsafe {
                let mut pending: libc::sigset_t = std::mem::zeroed();
                libc::sigpending(&mut pending);
                libc::sigismember(&pending, libc::SIGPIPE) == 1
            };
            // SAFETY: ends the child.
            unsafe { libc::_exit(if blocked && raised && told && pending { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
    }
}
