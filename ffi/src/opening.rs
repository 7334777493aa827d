//! What the functions that open a segment share, whatever its kind.

use crate::arguments::{descriptor, text, Out};
use crate::boundary;
use crate::handles::{give, shared, Handle};
use crate::options::{convert, Options};
use ipcx_core::Result;
use std::ffi::{c_char, c_int};
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

/// Opens by name and options, and gives the handle.
///
/// # Safety `handle` is NULL or writable; `name` is NULL or zero-terminated; `opts` as for [`convert`].
pub(crate) unsafe fn open<H: Handle, O: Options>(
    name: *const c_char,
    opts: *const O,
    handle: *mut *mut H,
    open: fn(&str, &O::Core) -> Result<H::Value>,
) -> c_int {
    boundary::code(|| {
        // SAFETY: as the caller promises.
        let (handle, name, opts) = unsafe { (Out::new(handle)?, text(name, "name")?, convert(opts)?) };
        handle.set(give(open(name, &opts)?));
        Ok(())
    })
}

/// Makes what has no name by options, and gives the handle.
///
/// # Safety `handle` is NULL or writable; `opts` as for [`convert`].
pub(crate) unsafe fn anonymous<H: Handle, O: Options>(
    opts: *const O,
    handle: *mut *mut H,
    make: fn(&O::Core) -> Result<H::Value>,
) -> c_int {
    boundary::code(|| {
        // SAFETY: as the caller promises.
        let (handle, opts) = unsafe { (Out::new(handle)?, convert(opts)?) };
        handle.set(give(make(&opts)?));
        Ok(())
    })
}

/// Attaches to what is behind a descriptor, and gives the handle.
///
/// # Safety `handle` is NULL or writable; `fd` stays open during the call.
pub(crate) unsafe fn from_fd<H: Handle>(
    fd: c_int,
    handle: *mut *mut H,
    attach: impl FnOnce(BorrowedFd<'_>) -> Result<H::Value>,
) -> c_int {
    boundary::code(|| {
        // SAFETY: as the caller promises.
        let (handle, fd) = unsafe { (Out::new(handle)?, descriptor(fd)?) };
        handle.set(give(attach(fd)?));
        Ok(())
    })
}

/// A new descriptor, which is the caller's.
///
/// # Safety As for [`shared`].
pub(crate) unsafe fn share_fd<H: Handle>(
    handle: *mut H,
    share: impl FnOnce(&H::Value) -> Result<OwnedFd>,
) -> c_int {
    // SAFETY: as the caller promises.
    boundary::number(|| Ok(share(unsafe { shared(handle) }?)?.into_raw_fd()))
}
