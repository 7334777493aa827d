//! Files in a directory: opened, created complete, named, measured.

use super::SysResult;
use nix::errno::Errno;
use nix::fcntl::{self, AtFlags, OFlag};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What is asked about a file before it is trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) size: u64,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) is_regular: bool,
    pub(crate) is_fifo: bool,
    pub(crate) is_socket: bool,
    /// False if no name leads to it.
    pub(crate) has_name: bool,
}

const OPEN: OFlag = OFlag::O_RDWR.union(OFlag::O_CLOEXEC).union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK);

const LOOK: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_NOCTTY);

const FIFO: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_NOFOLLOW).union(OFlag::O_NONBLOCK);

/// Opens a directory, as the anchor for the calls below. `int open(const char *, O_PATH | O_DIRECTORY)`
pub(crate) fn directory(path: &Path) -> SysResult<OwnedFd> {
    fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens an existing file for reading and writing, not through a symbolic link, and without waiting for anyone
/// if it turns out to be a FIFO. `int openat(int, const char *, int)`
pub(crate) fn open(directory: BorrowedFd<'_>, name: &str) -> SysResult<OwnedFd> {
    fcntl::openat(directory, name, OPEN, Mode::empty())
}

/// Creates a file that has no name. `int openat(int, ".", O_TMPFILE | O_RDWR, 0600)`
///
/// # Errors
/// `EOPNOTSUPP`, `EISDIR` or `ENOENT` where the file system has no such files.
pub(crate) fn create_unnamed(directory: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    fcntl::openat(directory, ".", flags, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// Creates a file under a name that must be new. `int openat(int, const char *, O_CREAT | O_EXCL | O_RDWR, 0600)`
pub(crate) fn create_named(directory: BorrowedFd<'_>, name: &str) -> SysResult<OwnedFd> {
    fcntl::openat(directory, name, OPEN | OFlag::O_CREAT | OFlag::O_EXCL, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// Opens the file behind a descriptor again, for an open file description of one's own.
/// `int open("/proc/thread-self/fd/N", O_RDWR)`
pub(crate) fn reopen(fd: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    let path = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    fcntl::open(path.as_str(), OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK, Mode::empty())
}

/// Gives an unnamed file its name, which must be new. `int linkat(int, const char *, int, const char *, int)`
pub(crate) fn link(fd: BorrowedFd<'_>, directory: BorrowedFd<'_>, name: &str) -> SysResult<()> {
    let path = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    nix::unistd::linkat(fcntl::AT_FDCWD, path.as_str(), directory, name, AtFlags::AT_SYMLINK_FOLLOW)
}

/// Renames a file to a name that must be new.
/// `int renameat2(int, const char *, int, const char *, RENAME_NOREPLACE)`
pub(crate) fn rename_new(directory: BorrowedFd<'_>, from: &str, to: &str) -> SysResult<()> {
    let [from, to] = [from, to].map(|name| std::ffi::CString::new(name).map_err(|_| Errno::EINVAL));
    let (from, to) = (from?, to?);
    let at = directory.as_raw_fd();
    // SAFETY: both names are zero-terminated and live across the call.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_renameat2, at, from.as_ptr(), at, to.as_ptr(), libc::RENAME_NOREPLACE)
    })
    .map(drop)
}

/// Renames a file; one that has the new name is replaced. `int renameat(int, const char *, int, const char *)`
pub(crate) fn rename(directory: BorrowedFd<'_>, from: &str, to: &str) -> SysResult<()> {
    fcntl::renameat(directory, from, directory, to)
}

/// Removes a name. `int unlinkat(int, const char *, 0)`
pub(crate) fn unlink(directory: BorrowedFd<'_>, name: &str) -> SysResult<()> {
    nix::unistd::unlinkat(directory, name, nix::unistd::UnlinkatFlags::NoRemoveDir)
}

/// Bytes obtained by one call: tmpfs (before Linux 6.17) gives everything back when a signal arrives meanwhile, so a call
/// must be short beside the time between two signals; it is halved when one arrives.
const STEP: u64 = 4 << 20;

/// Obtains every byte of the file now, so that no later access can fail for lack of memory.
/// `int fallocate(int fd, 0, off_t offset, off_t len)`; zeros are written where the file system cannot.
///
/// # Errors
/// `EFBIG` beyond the process's limit on files (`ulimit -f`), without the SIGXFSZ that would end it; `ENOSPC` at once for what
/// cannot be had: to try would take the memory of others first, and the kernel might end them, or this process.
pub(crate) fn allocate(fd: BorrowedFd<'_>, len: u64) -> SysResult<()> {
    allocate_part(fd, 0, len)
}

/// The same for `len` bytes from `from` on.
pub(crate) fn allocate_part(fd: BorrowedFd<'_>, from: u64, len: u64) -> SysResult<()> {
    let end = from.checked_add(len).ok_or(Errno::EFBIG)?;
    if !may_have(end)? {
        return Err(Errno::EFBIG);
    }
    if len >= super::memory::LARGE && room(fd)?.is_some_and(|room| len > room) {
        return Err(Errno::ENOSPC);
    }
    let (mut at, mut most) = (from, STEP);
    while at < end {
        let step = most.min(end - at);
        let [start, size] = [at, step].map(|n| libc::off_t::try_from(n).map_err(|_| Errno::EFBIG));
        match fcntl::fallocate(fd, fcntl::FallocateFlags::empty(), start?, size?) {
            Ok(()) => at += step,
            Err(Errno::EINTR) => most = (most / 2).max(1 << 16),
            Err(Errno::EOPNOTSUPP) if from == 0 => return write_zeros(fd, len),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Makes the file so long, with bytes at its end that are not obtained yet. `int ftruncate(int fd, off_t length)`
pub(crate) fn set_size(fd: BorrowedFd<'_>, len: u64) -> SysResult<()> {
    if !may_have(len)? {
        return Err(Errno::EFBIG); // Without the SIGXFSZ that would end this process.
    }
    nix::unistd::ftruncate(fd, libc::off_t::try_from(len).map_err(|_| Errno::EFBIG)?)
}

/// Gives the memory of `len` bytes from `from` on back to the system; they read as zeros.
/// `int fallocate(int fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t offset, off_t len)`
pub(crate) fn let_go(fd: BorrowedFd<'_>, from: u64, len: u64) -> SysResult<()> {
    use fcntl::FallocateFlags as Flags;
    let [from, len] = [from, len].map(|n| libc::off_t::try_from(n).map_err(|_| Errno::EFBIG));
    fcntl::fallocate(fd, Flags::FALLOC_FL_PUNCH_HOLE | Flags::FALLOC_FL_KEEP_SIZE, from?, len?)
}

/// True if a file of this process may have so many bytes. `int getrlimit(RLIMIT_FSIZE, struct rlimit *)`
fn may_have(len: u64) -> SysResult<bool> {
    use nix::sys::resource::{getrlimit, Resource, RLIM_INFINITY};
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    Ok(limit == RLIM_INFINITY || u128::from(len) <= u128::from(limit)) // `rlim_t` has 32 bits on some hosts
}

/// `ssize_t pwrite(int, const void *, size_t, off_t)` over the whole file.
fn write_zeros(fd: BorrowedFd<'_>, len: u64) -> SysResult<()> {
    let zeros = [0u8; 65536];
    let mut at = 0;
    while at < len {
        let part = zeros.len().min((len - at) as usize);
        match nix::sys::uio::pwrite(fd, &zeros[..part], at as libc::off_t) {
            Ok(0) => return Err(Errno::ENOSPC),
            Ok(n) => at += n as u64,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Waits until a file is on the disk, and what was written to it through mappings. `int fsync(int)`
pub(crate) fn write_back(fd: BorrowedFd<'_>) -> SysResult<()> {
    nix::unistd::fsync(fd)
}

/// Waits until the names in a directory are on the disk, where its file system can. `int fsync(int)`
pub(crate) fn write_back_names(directory: &Path) -> SysResult<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match nix::unistd::fsync(fcntl::open(directory, flags, Mode::empty())?) {
        Err(Errno::EINVAL) => Ok(()),
        done => done,
    }
}

/// Sets permission bits, not subject to the umask. `int fchmod(int, mode_t)`
pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> SysResult<()> {
    nix::sys::stat::fchmod(fd, Mode::from_bits_truncate(mode as libc::mode_t))
}

/// Gives the file to a group. `int fchown(int, -1, gid_t)`
pub(crate) fn set_group(fd: BorrowedFd<'_>, group: u32) -> SysResult<()> {
    nix::unistd::fchown(fd, None, Some(nix::unistd::Gid::from_raw(group)))
}

/// `int fstat(int, struct stat *)`
pub(crate) fn facts(fd: BorrowedFd<'_>) -> SysResult<Facts> {
    nix::sys::stat::fstat(fd).map(Facts::of)
}

/// Facts of what is at a name, which is not opened, and not through a symbolic link.
/// `int fstatat(int, const char *, struct stat *, AT_SYMLINK_NOFOLLOW)`
pub(crate) fn facts_at(directory: BorrowedFd<'_>, name: &str) -> SysResult<Facts> {
    nix::sys::stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(Facts::of)
}

impl Facts {
    fn of(stat: libc::stat) -> Facts {
        let kind = stat.st_mode & libc::S_IFMT;
        Facts {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            owner: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            has_name: stat.st_nlink > 0,
            is_regular: kind == libc::S_IFREG,
            is_fifo: kind == libc::S_IFIFO,
            is_socket: kind == libc::S_IFSOCK,
        }
    }
}

/// Makes a FIFO under a name that must be new. `int mkfifoat(int, const char *, 0600)`
pub(crate) fn make_fifo(directory: BorrowedFd<'_>, name: &str) -> SysResult<()> {
    nix::unistd::mkfifoat(directory, name, Mode::S_IRUSR | Mode::S_IWUSR)
}

/// Opens a FIFO to read, without waiting for a writer. `int openat(int, const char *, O_RDONLY | O_NONBLOCK)`
pub(crate) fn open_fifo_to_read(directory: BorrowedFd<'_>, name: &str) -> SysResult<OwnedFd> {
    fcntl::openat(directory, name, OFlag::O_RDONLY | FIFO, Mode::empty())
}

/// Opens a FIFO to write. `int openat(int, const char *, O_WRONLY | O_NONBLOCK)`
///
/// # Errors
/// `ENXIO` if nobody has it open to read.
pub(crate) fn open_fifo_to_write(directory: BorrowedFd<'_>, name: &str) -> SysResult<OwnedFd> {
    fcntl::openat(directory, name, OFlag::O_WRONLY | FIFO, Mode::empty())
}

/// What is at a name, without opening it, and not through a symbolic link. `int openat(int, const char *, O_PATH | O_NOFOLLOW)`
pub(crate) fn path(directory: BorrowedFd<'_>, name: &str) -> SysResult<OwnedFd> {
    fcntl::openat(directory, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// Sets permission bits of what is not open (see [`path`]). `int chmod("/proc/thread-self/fd/N", mode_t)`
pub(crate) fn set_mode_of_path(fd: BorrowedFd<'_>, mode: u32) -> SysResult<()> {
    let path = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    let mode = Mode::from_bits_truncate(mode as libc::mode_t);
    let follow = nix::sys::stat::FchmodatFlags::FollowSymlink;
    nix::sys::stat::fchmodat(fcntl::AT_FDCWD, path.as_str(), mode, follow)
}

/// What kind of file is at a path, which is not opened, and not through a symbolic link: `ENOENT` if there is none.
/// `int lstat(const char *, struct stat *)`
fn is_regular_at(path: &Path) -> SysResult<bool> {
    Ok(nix::sys::stat::lstat(path)?.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// True if there is nothing at a path. `int access(const char *, F_OK)`
pub(crate) fn is_gone(path: &Path) -> bool {
    let there = nix::unistd::access(path, nix::unistd::AccessFlags::F_OK);
    matches!(there, Err(Errno::ENOENT | Errno::ENOTDIR))
}

/// Reads from the start of a file; says how many bytes. `ssize_t pread(int, void *, size_t, 0)`
pub(crate) fn read_start(fd: BorrowedFd<'_>, to: &mut [u8]) -> SysResult<usize> {
    nix::sys::uio::pread(fd, to, 0)
}

/// Reads as much as `to` has room for; false if the file ends before. `ssize_t pread(int, void *, size_t, off_t)`
pub(crate) fn read_at(fd: BorrowedFd<'_>, to: &mut [u8], offset: u64) -> SysResult<bool> {
    let mut read = 0;
    while read < to.len() {
        let at = libc::off_t::try_from(offset + read as u64).map_err(|_| Errno::EOVERFLOW)?;
        match nix::sys::uio::pread(fd, &mut to[read..], at) {
            Ok(0) => return Ok(false),
            Ok(n) => read += n,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

/// Opens whatever regular file is at a path, for reading, and not through a symbolic link.
/// `int open(const char *, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)`
///
/// # Errors
/// `ENOENT` also for what is no regular file: to open it could do something.
pub(crate) fn open_to_read(path: &Path) -> SysResult<OwnedFd> {
    if !is_regular_at(path)? {
        return Err(Errno::ENOENT);
    }
    fcntl::open(path, LOOK, Mode::empty())
}

/// The same of a name in a directory, of whose file the facts were asked before.
/// `int openat(int, const char *, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)`
pub(crate) fn open_at_to_read(directory: BorrowedFd<'_>, name: &str) -> SysResult<OwnedFd> {
    fcntl::openat(directory, name, LOOK, Mode::empty())
}

/// Granularity of mappings of this file: the huge page size on hugetlbfs, else the processor's.
/// `int fstatfs(int, struct statfs *)`
pub(crate) fn mapping_granularity(fd: BorrowedFd<'_>) -> SysResult<usize> {
    let system = nix::sys::statfs::fstatfs(fd)?;
    if system.filesystem_type() == nix::sys::statfs::HUGETLBFS_MAGIC {
        return usize::try_from(system.block_size()).map_err(|_| Errno::EOVERFLOW);
    }
    Ok(super::map::page_size())
}

/// Bytes that an unprivileged process may still allocate in the file system of `fd`; where that lies in memory, no more than
/// there is. `None` if nothing is known.
/// `int fstatvfs(int, struct statvfs *)`
pub(crate) fn room(fd: BorrowedFd<'_>) -> SysResult<Option<u64>> {
    let system = nix::sys::statvfs::fstatvfs(fd)?;
    // One without a size has no limit of its own: that of anonymous files.
    let free = (system.blocks_available() as u64).saturating_mul(system.fragment_size() as u64);
    let free = (system.blocks() > 0).then_some(free);
    let in_memory = nix::sys::statfs::fstatfs(fd)?.filesystem_type() == nix::sys::statfs::TMPFS_MAGIC;
    let memory = if in_memory { super::memory::available() } else { None };
    Ok(free.into_iter().chain(memory).min())
}

/// Names in a directory, as far as they are UTF-8. To look around or clean up, never to find a segment.
/// `ssize_t getdents64(int, void *, size_t)`: what std and nix have around it panics, or leaks, when a call fails.
pub(crate) fn names(directory: BorrowedFd<'_>) -> SysResult<Vec<String>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = fcntl::openat(directory, ".", flags, Mode::empty())?;
    let (mut names, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        // SAFETY: writes at most the buffer's length.
        let read = unsafe {
            libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len())
        };
        let read = Errno::result(read)? as usize;
        let Some(mut entries) = buffer.get(..read).filter(|entries| !entries.is_empty()) else { break };
        while let Some((name, rest)) = first_name(entries) {
            names.extend(name);
            entries = rest;
        }
    }
    Ok(names)
}

/// The name in the first of these `struct linux_dirent64`, if it is in UTF-8, and the entries behind it.
fn first_name(entries: &[u8]) -> Option<(Option<String>, &[u8])> {
    /// Offsets of `d_reclen` and `d_name`.
    const LEN: usize = 16;
    const NAME: usize = 19;
    let len = u16::from_ne_bytes(entries.get(LEN..LEN + 2)?.try_into().ok()?);
    let name = entries.get(NAME..len.into())?.split(|byte| *byte == 0).next()?;
    Some((String::from_utf8(name.to_vec()).ok(), &entries[len.into()..]))
}

/// What a small file of the kernel's says: as much as fits into `buffer`.
pub(crate) fn told<'b>(path: &str, buffer: &'b mut [u8]) -> Option<&'b str> {
    let file = open_to_read(Path::new(path)).ok()?;
    let len = read_start(file.as_fd(), buffer).ok()?;
    std::str::from_utf8(&buffer[..len]).ok()
}

/// The number that it says.
pub(crate) fn told_number(path: &str) -> Option<u64> {
    told(path, &mut [0; 32])?.trim_ascii().parse().ok()
}
