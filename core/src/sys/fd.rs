//! Descriptors that are not files in a directory: memfd, eventfd, and reading from what a user hands in.

use super::SysResult;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::MFdFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A file that lives in memory and has no name. `int memfd_create(const char *, unsigned int)`
pub(crate) fn memory(label: &str) -> SysResult<OwnedFd> {
    nix::sys::memfd::memfd_create(label, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)
}

/// Another descriptor of the same. `int fcntl(int, F_DUPFD_CLOEXEC, 0)`
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    fd.try_clone_to_owned().map_err(|error| error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw))
}

/// Forbids for ever that anybody resizes the file. `int fcntl(int, F_ADD_SEALS, int)`
pub(crate) fn seal_size(fd: BorrowedFd<'_>) -> SysResult<()> {
    use nix::fcntl::{fcntl, FcntlArg, SealFlag};
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(fd, FcntlArg::F_ADD_SEALS(seals)).map(drop)
}

/// True if nobody can ever shorten the file. `int fcntl(int, F_GET_SEALS)`
pub(crate) fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    use nix::fcntl::{fcntl, FcntlArg, SealFlag};
    fcntl(fd, FcntlArg::F_GET_SEALS).is_ok_and(|seals| seals & SealFlag::F_SEAL_SHRINK.bits() != 0)
}

/// A level-triggered flag that poll, epoll and select can watch.
#[derive(Debug)]
pub(crate) struct Flag(EventFd);

impl Flag {
    /// A lowered flag. `int eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)`
    pub(crate) fn new() -> SysResult<Flag> {
        EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map(Flag)
    }
}

impl crate::watch::level::Flag for Flag {
    /// Makes the descriptor readable. `ssize_t write(int, const void *, size_t)`
    fn raise(&self) {
        let _ = self.0.write(1); // EAGAIN only at 2^64 - 1, when it is raised anyway.
    }

    /// Makes the descriptor unreadable. `ssize_t read(int, void *, size_t)`
    fn lower(&self) {
        let _ = self.0.read(); // EAGAIN when it is lowered already.
    }
}

impl AsFd for Flag {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until `fd` can be read, has ended, or `nanoseconds` have passed (none: for ever); false if they passed.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, nanoseconds: Option<u64>) -> SysResult<bool> {
    poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], nanoseconds)
}

/// A descriptor to be polled for these events (`POLLIN`, `POLLOUT`).
pub(crate) fn to_poll(fd: BorrowedFd<'_>, events: i16) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::from_bits_truncate(events))
}

/// Waits until something is to be said of one of `fds`, or `nanoseconds` have passed (none: for ever); false if they passed.
/// `int ppoll(struct pollfd *, nfds_t, const struct timespec *, NULL)`
pub(crate) fn poll(fds: &mut [PollFd<'_>], nanoseconds: Option<u64>) -> SysResult<bool> {
    let timeout =
        nanoseconds.map(std::time::Duration::from_nanos).map(nix::sys::time::TimeSpec::from_duration);
    nix::poll::ppoll(fds, timeout, None).map(|ready| ready > 0)
}

/// Reads up to `len` bytes to `to`; 0 at the end. `ssize_t read(int, void *, size_t)`
///
/// # Safety
/// `to` is valid for writing `len` bytes. Other processes may look at them meanwhile.
pub(crate) unsafe fn read_to(fd: BorrowedFd<'_>, to: *mut u8, len: usize) -> SysResult<usize> {
    use std::os::fd::AsRawFd;
    // SAFETY: the kernel writes at most `len` bytes to `to`, valid by the caller's promise.
    Errno::result(unsafe { libc::read(fd.as_raw_fd(), to.cast(), len) }).map(|n| n as usize)
}

/// Reads up to `len` bytes from `offset` on to `to`; 0 at the end. `ssize_t pread(int, void *, size_t, off_t)`
///
/// # Safety
/// As for [`read_to`].
pub(crate) unsafe fn read_at_to(
    fd: BorrowedFd<'_>,
    to: *mut u8,
    len: usize,
    offset: u64,
) -> SysResult<usize> {
    use std::os::fd::AsRawFd;
    let offset = libc::off_t::try_from(offset).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel writes at most `len` bytes to `to`, valid by the caller's promise.
    Errno::result(unsafe { libc::pread(fd.as_raw_fd(), to.cast(), len, offset) }).map(|n| n as usize)
}
