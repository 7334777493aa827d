//! Every system call of the crate, one small file per theme.
//!
//! Each wrapper makes one call, names its C signature, and returns the kernel's error number unchanged: meaning
//! is given to it by the caller, which knows the segment. Nothing here knows what a segment is.

pub(crate) mod barrier;
pub(crate) mod clock;
pub(crate) mod cpu;
pub(crate) mod fd;
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod lock;
pub(crate) mod map;
pub(crate) mod memory;
pub(crate) mod mqueue;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod sysv;
pub(crate) mod thread;

pub(crate) use nix::errno::Errno;

/// What a system call gives: its value or the kernel's error number.
pub(crate) type SysResult<T> = std::result::Result<T, Errno>;

/// What the C library says of an error number, as `strerror` does. (nix has a table of its own, which weighs more than all
/// else that is used of it.)
pub(crate) fn said_of(errno: i32) -> String {
    let said = std::io::Error::from_raw_os_error(errno).to_string();
    said.split(" (os error").next().unwrap_or_default().to_owned()
}
