//! The answering end of a service.

use crate::arguments::{buffer, bytes, deadline, tell_size, Out};
use crate::boundary;
use crate::handles::{self, exclusive, handle};
use ipcx_core::Server;
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

/// The answering end of a service. It belongs to one thread at a time.
///
/// It may have several requests at once, and answer them in any order. It answers each, by ipcx_server_reply() or
/// ipcx_server_refuse(): a client that gave no timeout waits for it as long as the server lives.
pub struct ipcx_server {
    _private: [u8; 0],
}
handle!(ipcx_server => Server, b"ipcxANSW", "not an open ipcx_server (NULL, closed, or something else)");

/// Takes the next request and copies it to `buf`, which has `cap` bytes; its length is in `*len`, and its number, by which it is
/// answered, in `*id`. Waits for one up to `timeout_ns`.
///
/// From then on the request is this server's: nobody else carries it out, and if the process dies its client is told so. Each
/// client has its turn; of one client's requests the first comes first. Those whose client waits no longer are left out. If the
/// request does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays, for this server or another; a buffer of
/// the service's max_request bytes has room for any.
///
/// One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
/// inside a call on this server.
/// Ownership: `buf` stays yours, and may be NULL if `cap` is 0.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_CORRUPT (a request that ipcx does not write, which
/// is left out), IPCX_E_FORKED, IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_server_recv(
    server: *mut ipcx_server,
    id: *mut u64,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (server, id, len) = unsafe { (exclusive(server)?, Out::new(id)?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(buf.cast(), cap) }?;
        let mut of = 0;
        match server.recv_into(&mut of, to, deadline(timeout_ns)?) {
            Ok(received) => len.set(received),
            Err(failure) => return Err(tell_size(failure, len)),
        }
        id.set(of);
        Ok(())
    })
}

/// Answers a request that this server has with `len` bytes at `data`. It never waits: the room for the reply is there since the
/// request is.
///
/// Once this has returned IPCX_OK the reply outlives this process.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_server_recv().
/// Ownership: `data` stays yours, and may be NULL if `len` is 0.
/// Errors: IPCX_E_INVALID (it has no request with this number: it was answered, or is another server's), IPCX_E_TOO_BIG (more
/// than the service's max_reply: the request stays, to be answered otherwise), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_server_reply(
    server: *mut ipcx_server,
    id: u64,
    data: *const c_void,
    len: usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; `len` readable bytes. By the contract.
        let (server, data) = unsafe { (exclusive(server)?, bytes(data, len)?) };
        Ok(server.reply(id, data)?)
    })
}

/// Refuses a request that this server has: its client gets IPCX_E_REMOTE and the text of `len` bytes at `message`, cut to
/// the service's max_reply.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_server_recv().
/// Ownership: `message` stays yours, and may be NULL if `len` is 0.
/// Errors: IPCX_E_INVALID (as ipcx_server_reply()), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_server_refuse(
    server: *mut ipcx_server,
    id: u64,
    message: *const c_void,
    len: usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; `len` readable bytes. By the contract.
        let (server, message) = unsafe { (exclusive(server)?, bytes(message, len)?) };
        Ok(server.refuse(id, message)?)
    })
}

/// How long the client of a request that this server has will wait for its reply, in nanoseconds, in `*ns`: 0 if it waits no
/// longer, IPCX_FOREVER if it gave no timeout. Work that takes longer need not begin.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_server_recv().
/// Errors: IPCX_E_INVALID (as ipcx_server_reply()), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_server_remaining(server: *mut ipcx_server, id: u64, ns: *mut i64) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (server, ns) = unsafe { (exclusive(server)?, Out::new(ns)?) };
        let remaining = server.remaining(id)?;
        ns.set(remaining.map_or(-1, |left| i64::try_from(left.as_nanos()).unwrap_or(i64::MAX)));
        Ok(())
    })
}

/// The descriptor that ipcx_poll_fd() gives of a server, readable (POLLIN) while there is a request; or a negative
/// code.
///
/// Ownership: it stays ipcx's and lives as long as the server; do not read it, do not close it.
/// One thread at a time. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_server_poll_fd(server: *mut ipcx_server) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(server) }?.poll_fd()?.as_raw_fd())
    })
}

/// Closes the server in good order. NULL is allowed. Requests that it has and did not answer are refused; those that no server has
/// taken stay for the others, and where there is none their clients get IPCX_E_CLOSED.
///
/// One thread at a time. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_server_close(server: *mut ipcx_server) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(server) });
}
