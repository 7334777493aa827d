//! What the functions that open a segment share, whatever its kind.

use crate::arguments::{descriptor, invalid, text, Out};
use crate::boundary::{self, Failed};
use crate::handles::{give, shared, Handle};
use crate::options::{convert, Options};
use ipcx_core::Result;
use std::ffi::{c_char, c_int};
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};

/// Opens by name and options, and gives the handle; if the options say that it must exist, in the other way, if there is one.
///
/// # Safety `handle` is NULL or writable; `name` is NULL or zero-terminated; `opts` as for [`convert`].
pub(crate) unsafe fn open<H: Handle, O: Options>(
    name: *const c_char,
    opts: *const O,
    handle: *mut *mut H,
    open: Way<H, O>,
    if_it_must_exist: Option<Way<H, O>>,
) -> c_int {
    boundary::code(|| {
        // SAFETY: as the caller promises.
        let (handle, name, opts) = unsafe { (Out::new(handle)?, text(name, "name")?, convert(opts)?) };
        let open = match opts.must_exist {
            true => if_it_must_exist.ok_or_else(not_to_be_created)?,
            false => open,
        };
        handle.set(give(open(name, &opts.core)?));
        Ok(())
    })
}

/// A way of opening.
type Way<H, O> = fn(&str, &<O as Options>::Core) -> Result<<H as Handle>::Value>;

#[cold]
fn not_to_be_created() -> Failed {
    invalid("IPCX_OPT_MUST_EXIST is for the _open functions")
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
        if opts.must_exist {
            return Err(not_to_be_created());
        }
        handle.set(give(make(&opts.core)?));
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
