//! Reading a file of the user straight into shared memory.

use crate::error::{from_errno, Context, Error, Result};
use crate::sys::fd;
use crate::wait::Deadline;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// What there is nothing of.
const NOTHING: &str = "there is nothing to read from the file";

/// Reads up to `len` bytes from the file's current offset to `to`, and says how many: fewer at its end, or if the deadline passed
/// or a signal came while a pipe or socket had no more. `segment` is for what is said of errors.
///
/// # Safety
/// `to` is valid for writing `len` bytes. Other processes may look at them meanwhile.
pub(crate) unsafe fn read_until(
    segment: &Arc<str>,
    file: BorrowedFd<'_>,
    to: *mut u8,
    len: usize,
    deadline: Deadline,
) -> Result<usize> {
    let failed = |call, errno| from_errno(segment, call, errno);
    let mut filled = 0;
    while filled < len {
        let left = if deadline.is_now() { Some(Duration::ZERO) } else { deadline.remaining() };
        let left = left.map(|left| u64::try_from(left.as_nanos()).unwrap_or(u64::MAX));
        match fd::wait_readable(file, left) {
            Ok(true) => {}
            Ok(false) if filled > 0 => break,
            Ok(false) if deadline.is_now() => return Err(Error::WouldBlock(NOTHING)),
            Ok(false) => return Err(Error::TimedOut(Context::new(segment, NOTHING))),
            Err(_) if filled > 0 => break, // a signal: what there is goes out
            Err(errno) => return Err(failed("poll", errno)),
        }
        // SAFETY: `len` bytes at `to` are writable by the caller's promise, `filled` of which are done.
        match unsafe { fd::read_to(file, to.add(filled), len - filled) } {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(_) if filled > 0 => break,
            Err(errno) => return Err(failed("read", errno)),
        }
    }
    Ok(filled)
}
