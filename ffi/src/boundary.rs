//! The boundary between C and Rust: no panic crosses it, and every failure becomes a code.
//!
//! A panic unwinds to here and becomes `IPCX_E_PANIC`; nothing is paid for that unless one happens. An error of the core
//! becomes a code where `?` meets it, which makes it the thread's last error: so none is carried through this crate, whose
//! functions stay small.

use crate::error::{self, IPCX_OK};
use ipcx_core::Error;
use std::any::Any;
use std::ffi::c_int;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// A failure, which is the thread's last error already: its code.
#[derive(Debug)]
pub(crate) struct Failed(c_int);

impl From<Error> for Failed {
    #[cold]
    #[inline(never)]
    fn from(error: Error) -> Failed {
        Failed(error::report(&error))
    }
}

/// What functions of this crate give.
pub(crate) type Result<T> = std::result::Result<T, Failed>;

/// Runs the body of a function that returns a code.
#[inline(always)]
pub(crate) fn code(body: impl FnOnce() -> Result<()>) -> c_int {
    number(move || body().map(|()| IPCX_OK))
}

/// Runs the body of a function that returns a number that is not negative, or a code.
#[inline(always)]
pub(crate) fn number(body: impl FnOnce() -> Result<c_int>) -> c_int {
    // Unwind safety: what a panic leaves half-done is the handle it was called with, of which the header says that it
    // is only good for closing.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(number)) => number,
        Ok(Err(Failed(code))) => code,
        Err(payload) => panicked(payload),
    }
}

/// Runs the body of a function that cannot fail, and gives `otherwise` if it panics.
#[inline(always)]
pub(crate) fn value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            panicked(payload);
            otherwise
        }
    }
}

#[cold]
#[inline(never)]
fn panicked(payload: Box<dyn Any + Send>) -> c_int {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "no text",
    };
    let code = error::report_panic(text);
    // Its drop could panic again.
    std::mem::forget(payload);
    code
}
