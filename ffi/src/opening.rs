//! What the functions that open a segment share, whatever its kind.

use crate::arguments::{descriptor, Out};
use crate::boundary;
use crate::handles::{give, shared, Handle};
use crate::options::{convert, Options};
use ipcx_core::Result;
use std::ffi::c_int;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

/// Opens by options, and gives the handle. Once in the library for each kind, not for each way of opening: that is what its size
/// is made of.
///
/// # Safety `handle` is NULL or writable; `opts` as for [`convert`].
#[inline(never)]
pub(crate) unsafe fn open<H: Handle, O: Options>(
    opts: *const O,
    handle: *mut *mut H,
    open: &dyn Fn(&O::Core) -> Result<H::Value>,
) -> c_int {
    boundary::code(|| {
        // SAFETY: as the caller promises.
        let (handle, opts) = unsafe { (Out::new(handle)?, convert(opts)?) };
        handle.set(give(open(&opts)?));
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
