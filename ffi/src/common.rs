//! What belongs to no kind: version, names, timeouts.

use crate::arguments::{path, text};
use crate::boundary;
use crate::transport::transport;
use ipcx_core::TransportOptions;
use std::ffi::{c_char, c_int, CStr};

/// Timeout: do not wait.
pub const IPCX_NOWAIT: i64 = 0;
/// Timeout: wait as long as it takes.
pub const IPCX_FOREVER: i64 = -1;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version has no zero byte"),
};

/// Version of the library that is running, such as "0.1.0". The header's is IPCX_VERSION.
///
/// The text is static. Thread-safe, does not block, async-signal-safe.
#[no_mangle]
pub extern "C" fn ipcx_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Version of the layout of everything in shared memory. Processes whose libraries differ in it refuse each
/// other with IPCX_E_VERSION.
///
/// Thread-safe, does not block, async-signal-safe.
#[no_mangle]
pub extern "C" fn ipcx_layout_version() -> u32 {
    ipcx_core::LAYOUT_VERSION
}

/// Removes a segment's name from the default directory. Who is attached stays attached; the memory goes with
/// the last of them.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND, IPCX_E_PERMISSION, IPCX_E_INVALID (bad name), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_unlink(name: *const c_char) -> c_int {
    boundary::code(|| {
        // SAFETY: NULL or zero-terminated, by the contract.
        Ok(ipcx_core::unlink(unsafe { text(name, "name") }?)?)
    })
}

/// As ipcx_unlink(), in a directory (NULL means the default one), and of what a transport's `word` says (NULL means a
/// segment of any kind): "fifo", "mqueue", "unix", "ring" or "buffer". What was under way in a FIFO, socket or message
/// queue goes with the last who has it open.
///
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: those of ipcx_unlink(); with a word also IPCX_E_MISMATCH (something else has the name) and IPCX_E_INVALID (no
/// such word; a pipe, which has no name).
#[no_mangle]
pub unsafe extern "C" fn ipcx_unlink_in(
    directory: *const c_char,
    word: *const c_char,
    name: *const c_char,
) -> c_int {
    boundary::code(|| {
        // SAFETY: NULL or zero-terminated, by the contract.
        let (directory, name) = unsafe { (path(directory), text(name, "name")?) };
        if word.is_null() {
            return Ok(ipcx_core::unlink_in(directory.as_deref(), name)?);
        }
        // SAFETY: zero-terminated, by the contract.
        let word = unsafe { transport(word) }?;
        Ok(word.unlink(name, &TransportOptions { directory, ..Default::default() })?)
    })
}
