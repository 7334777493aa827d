//! Facts about this process, for display and for access checks; and child processes.

use super::{file, fork, SysResult};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// This process's number in its own PID namespace. For display only: liveness never depends on it.
pub(crate) fn id() -> u32 {
    std::process::id()
}

/// When this process started, in clock ticks since boot (field 22 of `/proc/self/stat`); 0 if unknown now. Read once per process:
/// it takes some microseconds.
pub(crate) fn start_time() -> u64 {
    static FOUND: AtomicU64 = AtomicU64::new(0);
    /// The fork generation in which it was found, plus 1.
    static WHEN: AtomicU32 = AtomicU32::new(0);
    let now = fork::generation().wrapping_add(1);
    // Acquire: partner of the release below, in this thread or another.
    if WHEN.load(Ordering::Acquire) != now {
        let Some(found) = read_start_time() else { return 0 }; // The next call may have a descriptor to read with.
        FOUND.store(found, Ordering::Relaxed);
        WHEN.store(now, Ordering::Release);
    }
    FOUND.load(Ordering::Relaxed)
}

fn read_start_time() -> Option<u64> {
    let mut buffer = [0; 1024];
    let stat = file::told("/proc/self/stat", &mut buffer)?;
    // The command name, in parentheses, may itself contain spaces and parentheses.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Names the time since the machine was started, up to its next start: two numbers that are not 0; `None` if unknown.
pub(crate) fn boot() -> Option<[u64; 2]> {
    let mut buffer = [0; 64];
    let digits: String = file::told("/proc/sys/kernel/random/boot_id", &mut buffer)?
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    let half = |at: usize| u64::from_str_radix(digits.get(at..at + 16)?, 16).ok().map(|half| half.max(1));
    Some([half(0)?, half(16)?])
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
pub(crate) fn random(bytes: &mut [u8]) -> SysResult<()> {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: the kernel writes at most `rest.len()` bytes to `rest`.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match Errno::result(got) {
            Ok(n) => filled += n as usize,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Starts a program: words that end with NULL, descriptors that become its standard input and output, this process's
/// environment, no signal blocked, and SIGPIPE as it is by default. Gives its process id.
///
/// `int posix_spawnp(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[],
/// char *const[])`
///
/// # Safety `words` is an array of zero-terminated strings, of which there is one at least, with NULL behind the last.
pub(crate) unsafe fn spawn(
    words: *const *const libc::c_char,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> SysResult<i32> {
    // SAFETY: the C library has it, of this type.
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    let (input, output) = (not_standard(input)?, not_standard(output)?);
    let (mut actions, mut attributes) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    let (actions, attributes) = (actions.as_mut_ptr(), attributes.as_mut_ptr());
    let mut pid = 0;
    // SAFETY: both objects are initialised before they are used, and destroyed after; glibc's initialisation cannot fail.
    // The words are as the caller promises, and the environment is the process's.
    let errno = unsafe {
        libc::posix_spawn_file_actions_init(actions);
        libc::posix_spawnattr_init(attributes);
        let mut signals = MaybeUninit::uninit();
        libc::sigemptyset(signals.as_mut_ptr());
        libc::posix_spawnattr_setsigmask(attributes, signals.as_ptr());
        libc::sigaddset(signals.as_mut_ptr(), libc::SIGPIPE);
        libc::posix_spawnattr_setsigdefault(attributes, signals.as_ptr());
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        libc::posix_spawnattr_setflags(attributes, flags as libc::c_short);
        let mut errno =
            libc::posix_spawn_file_actions_adddup2(actions, input.as_raw_fd(), libc::STDIN_FILENO);
        if errno == 0 {
            errno = libc::posix_spawn_file_actions_adddup2(actions, output.as_raw_fd(), libc::STDOUT_FILENO);
        }
        if errno == 0 {
            errno = libc::posix_spawnp(&mut pid, *words, actions, attributes, words.cast(), environ);
        }
        libc::posix_spawn_file_actions_destroy(actions);
        libc::posix_spawnattr_destroy(attributes);
        errno
    };
    match errno {
        0 => Ok(pid),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// The same, above those of standard input, output and errors, which would be overwritten one by the other.
/// `int fcntl(int, F_DUPFD_CLOEXEC, int)`
fn not_standard(fd: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    let fd = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(libc::STDERR_FILENO + 1))?;
    // SAFETY: new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until a child has ended; says how, in the words of `waitpid`. `pid_t waitpid(pid_t, int *, int)`
pub(crate) fn wait(pid: i32) -> SysResult<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status lives across the call.
        match Errno::result(unsafe { libc::waitpid(pid, &mut status, 0) }) {
            Ok(_) => return Ok(status),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
