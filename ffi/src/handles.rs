//! Every cast between a handle of C and the value behind it.
//!
//! A handle is the address of a heap object that begins with a mark of its type. The mark is checked at every call: NULL,
//! a misaligned address, a handle of another type, and most foreign addresses are `IPCX_E_INVALID`. Closing wipes the
//! mark before it frees, which catches the use of a closed handle only as long as nobody else got its memory.

use crate::arguments::invalid;
use crate::boundary::{Failed, Result};

/// A handle type of C: what lies behind it, and its mark.
pub(crate) trait Handle {
    type Value;
    const MARK: u64;
    /// What to say where something else is given.
    const WRONG: &'static str;
}

/// What a handle points to.
#[repr(C)]
struct Object<T> {
    mark: u64,
    value: T,
}

/// Declares the opaque type and its mark.
macro_rules! handle {
    ($name:ident => $value:ty, $mark:literal, $wrong:literal) => {
        impl $crate::handles::Handle for $name {
            type Value = $value;
            const MARK: u64 = u64::from_be_bytes(*$mark);
            const WRONG: &'static str = $wrong;
        }
    };
}
pub(crate) use handle;

/// A new handle for a value, freed by [`close`].
pub(crate) fn give<H: Handle>(value: H::Value) -> *mut H {
    Box::into_raw(Box::new(Object { mark: H::MARK, value })).cast()
}

/// The value behind a handle that threads may share.
///
/// # Safety `handle` is NULL, or points to 8 readable bytes. If those are the mark of `H`, it is a handle
/// from [`give`] that is open for as long as `'a`, and nobody has it exclusively.
#[inline(always)]
pub(crate) unsafe fn shared<'a, H: Handle>(handle: *mut H) -> Result<&'a H::Value> {
    let object: *mut Object<H::Value> = handle.cast();
    if object.is_aligned() && !object.is_null() {
        // SAFETY: not NULL and aligned, so 8 readable bytes by the caller's promise; an open handle if it is marked.
        if unsafe { (*object).mark } == H::MARK {
            // SAFETY: as above, and nobody has a `&mut` by the caller's promise.
            return Ok(unsafe { &(*object).value });
        }
    }
    Err(wrong::<H>())
}

/// The value behind a handle that one thread uses at a time.
///
/// # Safety As for [`shared`], and no other reference to the value exists meanwhile.
#[inline(always)]
pub(crate) unsafe fn exclusive<'a, H: Handle>(handle: *mut H) -> Result<&'a mut H::Value> {
    // SAFETY: the caller's promise.
    unsafe { marked(handle) }.ok_or_else(wrong::<H>)
}

/// As [`exclusive`], for short ways that leave it to a long way to say what is wrong.
///
/// # Safety As for [`exclusive`].
#[inline(always)]
pub(crate) unsafe fn marked<'a, H: Handle>(handle: *mut H) -> Option<&'a mut H::Value> {
    let object: *mut Object<H::Value> = handle.cast();
    // SAFETY: if it is not NULL, 8 readable bytes by the caller's promise.
    if !object.is_null() && unsafe { (&raw const (*object).mark).read_unaligned() } == H::MARK {
        // SAFETY: an open handle, as it is marked, and the only reference by the caller's promise.
        return Some(unsafe { &mut (*object).value });
    }
    None
}

/// Drops the value and frees the handle. NULL, and what is not an open handle of this type, is left alone.
///
/// # Safety As for [`exclusive`], and the handle is not used again.
pub(crate) unsafe fn close<H: Handle>(handle: *mut H) {
    // SAFETY: the caller's promise is that of `exclusive`.
    if unsafe { marked(handle) }.is_some() {
        // SAFETY: as the caller promises, and marked.
        drop(unsafe { unmark(handle) });
    }
}

/// The value behind a handle, which is freed.
///
/// # Safety As for [`close`].
pub(crate) unsafe fn take<H: Handle>(handle: *mut H) -> Result<H::Value> {
    // SAFETY: the caller's promise is that of `exclusive`.
    unsafe { exclusive(handle) }?;
    // SAFETY: as the caller promises, and marked.
    Ok(unsafe { unmark(handle) }.value)
}

/// # Safety As for [`close`], and it is marked.
unsafe fn unmark<H: Handle>(handle: *mut H) -> Box<Object<H::Value>> {
    let object: *mut Object<H::Value> = handle.cast();
    // SAFETY: a marked object came out of the box in `give` and is closed once. The volatile store is not dropped
    // although the memory is freed next.
    unsafe {
        std::ptr::write_volatile(&raw mut (*object).mark, 0);
        Box::from_raw(object)
    }
}

#[cold]
#[inline(never)]
fn wrong<H: Handle>() -> Failed {
    invalid(H::WRONG)
}
