//! Arguments of C: strings, buffers, outputs and timeouts.

use crate::boundary::{Failed, Result};
use ipcx_core::{Deadline, Error};
use std::borrow::Cow;
use std::ffi::{c_char, c_int, c_void, CStr, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::time::Duration;

/// `IPCX_E_INVALID` with this text.
#[cold]
#[inline(never)]
pub(crate) fn invalid(text: &'static str) -> Failed {
    Error::Invalid(Cow::Borrowed(text)).into()
}

/// `IPCX_E_INVALID` with this text.
#[cold]
#[inline(never)]
pub(crate) fn invalid_because(text: String) -> Failed {
    Error::Invalid(Cow::Owned(text)).into()
}

/// A place for an output. Checked before anything is done, written after everything succeeded.
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// # Safety `place` is NULL, or writable until [`Out::set`].
    #[inline(always)]
    pub(crate) unsafe fn new(place: *mut T) -> Result<Out<T>> {
        NonNull::new(place).map(Out).ok_or_else(|| invalid("an output pointer is NULL"))
    }

    #[inline(always)]
    pub(crate) fn set(self, value: T) {
        // SAFETY: writable by the promise made to `new`; `T` is a number or a pointer, so nothing old is dropped.
        unsafe { self.0.as_ptr().write(value) };
    }
}

/// Writes an output that may be NULL.
///
/// # Safety `place` is NULL or writable.
#[inline(always)]
pub(crate) unsafe fn set_if_wanted<T>(place: *mut T, value: T) {
    if let Some(place) = NonNull::new(place) {
        Out(place).set(value);
    }
}

/// The one output that is written on failure: the size that a buffer must have.
#[cold]
pub(crate) fn tell_size(failure: Error, len: Out<usize>) -> Failed {
    if let Error::TooBig { needed, .. } = failure {
        len.set(needed);
    }
    failure.into()
}

/// A string that must be given.
///
/// # Safety `string` is NULL, or zero-terminated and unchanged for as long as `'a`.
pub(crate) unsafe fn text<'a>(string: *const c_char, what: &'static str) -> Result<&'a str> {
    if string.is_null() {
        return Err(invalid_because(format!("{what} is NULL")));
    }
    // SAFETY: zero-terminated by the caller's promise.
    let bytes = unsafe { CStr::from_ptr(string) };
    bytes.to_str().map_err(|_| invalid_because(format!("{what} is not UTF-8")))
}

/// A path, or `None` for NULL.
///
/// # Safety As for [`text`].
pub(crate) unsafe fn path(string: *const c_char) -> Option<PathBuf> {
    // SAFETY: zero-terminated by the caller's promise.
    let bytes = (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) })?;
    Some(PathBuf::from(OsStr::from_bytes(bytes.to_bytes())))
}

/// More bytes than any object has, and so few that adding to them does not overflow.
const LONGEST: usize = isize::MAX as usize / 2;

/// The bytes to send; NULL is none.
///
/// # Safety `len` bytes at `data` are readable for as long as `'a` and nobody writes them meanwhile.
#[inline(always)]
pub(crate) unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    if data.is_null() {
        return if len == 0 { Ok(&[]) } else { Err(invalid("data is NULL and its length is not 0")) };
    }
    if len > LONGEST {
        return Err(too_big(len));
    }
    // SAFETY: readable by the caller's promise, not NULL, and not longer than a slice may be.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// As [`bytes`], for short ways: `None` for what is not plainly some bytes.
///
/// # Safety As for [`bytes`].
#[inline(always)]
pub(crate) unsafe fn some_bytes<'a>(data: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: readable by the caller's promise, not NULL, and not longer than a slice may be.
    (!data.is_null() && len <= LONGEST).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// As [`buffer`], for short ways: `None` for what is not plainly a buffer.
///
/// # Safety As for [`buffer`].
#[inline(always)]
pub(crate) unsafe fn some_buffer<'a>(place: *mut c_void, count: usize) -> Option<&'a mut [u8]> {
    let sound = !place.is_null() && count <= isize::MAX as usize;
    // SAFETY: writable by the caller's promise, not NULL, and not longer than a slice may be.
    sound.then(|| unsafe { std::slice::from_raw_parts_mut(place.cast(), count) })
}

#[cold]
fn too_big(needed: usize) -> Failed {
    Error::TooBig { needed, available: LONGEST }.into()
}

/// A place for `count` items; NULL is one for none.
///
/// # Safety `count` items at `place` are writable for as long as `'a` and nobody else uses them meanwhile.
/// They may be uninitialised if the slice is only written, never read.
#[inline(always)]
pub(crate) unsafe fn buffer<'a, T>(place: *mut T, count: usize) -> Result<&'a mut [T]> {
    if place.is_null() {
        return if count == 0 { Ok(&mut []) } else { Err(invalid("a buffer is NULL and its size is not 0")) };
    }
    // No object is larger than this, so what a caller claims beyond it is not there.
    let count = count.min(isize::MAX as usize / size_of::<T>());
    // SAFETY: writable by the caller's promise, not NULL, and not longer than a slice may be.
    Ok(unsafe { std::slice::from_raw_parts_mut(place, count) })
}

/// The deadline of a timeout. The clock is read only by a call that waits.
#[inline(always)]
pub(crate) fn deadline(timeout_ns: i64) -> Result<Deadline> {
    match timeout_ns {
        -1 => Ok(Deadline::NEVER),
        0.. => Ok(Deadline::within(Duration::from_nanos(timeout_ns as u64))),
        _ => Err(bad_timeout()),
    }
}

#[cold]
fn bad_timeout() -> Failed {
    invalid("a timeout is IPCX_NOWAIT, IPCX_FOREVER, or nanoseconds; this one is below -1")
}

/// A descriptor of the caller.
///
/// # Safety It stays open for as long as `'a`. Where it is not, the system says `EBADF`.
pub(crate) unsafe fn descriptor<'a>(fd: c_int) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        return Err(invalid("fd is negative"));
    }
    // SAFETY: not -1, and open by the caller's promise.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A signal to be queued; 0 is none.
pub(crate) fn signal(number: c_int) -> Option<c_int> {
    (number != 0).then_some(number)
}
