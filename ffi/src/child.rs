//! Pipes to a child process.

use crate::arguments::{buffer, bytes, deadline, invalid, set_if_wanted, Out};
use crate::boundary;
use crate::handles::{exclusive, give, handle, take};
use ipcx_core::ChildPipes;
use std::ffi::{c_char, c_int, c_void};

/// A child process, and the pipes that are its standard input and output. It belongs to one thread at a time.
pub struct ipcx_child {
    _private: [u8; 0],
}
handle!(ipcx_child => Started, b"ipcxCHLD", "not an open ipcx_child (NULL, closed, or something else)");

/// What is behind the handle.
pub(crate) struct Started {
    pipes: ChildPipes,
    pid: i32,
}

/// Starts a program with pipes as its standard input and output, and gives a handle in `*child`: what popen() does,
/// in both directions, without a shell that would read the words again.
///
/// `argv` is as for execvp(): the program, which is looked for in $PATH unless there is a '/' in it, its arguments, and
/// NULL. Its standard error and its environment are this process's; no signal is blocked, and SIGPIPE does what it does
/// by default. `*pid`, which may be NULL, gets its process id: good for kill() until ipcx_child_close().
///
/// Ownership: the handle is yours; give it back with ipcx_child_close(). `argv` stays yours.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_NOT_FOUND (no such program), IPCX_E_PERMISSION, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_child_start(
    argv: *const *const c_char,
    pid: *mut i32,
    child: *mut *mut ipcx_child,
) -> c_int {
    boundary::code(|| {
        // SAFETY: NULL or writable, by the contract.
        let place = unsafe { Out::new(child) }?;
        // SAFETY: NULL, or an array with NULL behind the last, by the contract.
        if argv.is_null() || unsafe { *argv }.is_null() {
            return Err(invalid("argv is NULL or empty; its first string is the program"));
        }
        // SAFETY: zero-terminated strings with NULL behind the last, by the contract and the check.
        let (pipes, started) = unsafe { ChildPipes::spawn_raw(argv) }?;
        // SAFETY: NULL or writable, by the contract.
        unsafe { set_if_wanted(pid, started) };
        place.set(give(Started { pipes, pid: started }));
        Ok(())
    })
}

/// Writes some of `len` bytes for the child to read, and says in `*written` how many: at least one. Waits for room up to
/// `timeout_ns`. With `data` NULL, ends the child's input instead: its next read finds the end.
///
/// While it waits, it keeps what the child writes, for ipcx_child_read(): so a child that waits for that to be read does
/// not wait for ever. It raises no SIGPIPE.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Ownership: `data` stays yours.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED (the child reads no more, or its input was ended),
/// IPCX_E_NO_SPACE (it does not read while 64 MiB that it wrote are kept: read them), IPCX_E_INVALID, IPCX_E_OS. Nothing was
/// written then.
#[no_mangle]
pub unsafe extern "C" fn ipcx_child_write(
    child: *mut ipcx_child,
    data: *const c_void,
    len: usize,
    timeout_ns: i64,
    written: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable; `len` readable bytes. By the contract.
        let (child, written, bytes) = unsafe { (exclusive(child)?, Out::new(written)?, bytes(data, len)?) };
        written.set(match data.is_null() {
            true => {
                child.pipes.close_input();
                0
            }
            false => child.pipes.write_until(bytes, deadline(timeout_ns)?)?,
        });
        Ok(())
    })
}

/// Reads some of what the child writes to `buf`, which has `cap` bytes, and says in `*len` how many: 0 at the end. Waits
/// for it up to `timeout_ns`.
///
/// A program that reads to the end before it writes, as sort does, needs its input ended first.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Ownership: `buf` stays yours.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_child_read(
    child: *mut ipcx_child,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (child, len) = unsafe { (exclusive(child)?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(buf.cast(), cap) }?;
        len.set(child.pipes.read_until(to, deadline(timeout_ns)?)?);
        Ok(())
    })
}

/// Closes both pipes, waits until the child has ended, and says in `*status`, which may be NULL, how: as waitpid() does,
/// for WIFEXITED() and WEXITSTATUS(). As pclose().
///
/// It waits as long as that takes. Who does not want to wait for a child that does not end kills it first, by the pid
/// that ipcx_child_start() gave.
///
/// Ownership: the handle is gone, also after an error.
/// One thread at a time. Blocks. Not async-signal-safe.
/// Errors: IPCX_E_INVALID; IPCX_E_OS (errno ECHILD) if how it ended is not known: SIGCHLD is ignored, or something else in
/// this process waited for it.
#[no_mangle]
pub unsafe extern "C" fn ipcx_child_close(child: *mut ipcx_child, status: *mut c_int) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread that is not used again, by the contract.
        let Started { pipes, pid } = unsafe { take(child) }?;
        let ended = pipes.wait_raw(pid)?;
        // SAFETY: NULL or writable, by the contract.
        unsafe { set_if_wanted(status, ended) };
        Ok(())
    })
}
