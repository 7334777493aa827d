//! The asking end of a service.

use crate::arguments::{buffer, bytes, deadline, tell_size, Out};
use crate::boundary::{self, Failed};
use crate::handles::{self, exclusive, handle};
use ipcx_core::{Client, Error};
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

/// The asking end of a service. It belongs to one thread at a time.
///
/// Each request that was sent ends once: by a reply, or by one of
///
/// - IPCX_E_REMOTE: the server refused it. Its text is in ipcx_last_error(), and, cut to its size, in the reply's buffer.
/// - IPCX_E_PEER_DEAD: the server that had taken it died, and it may have been carried out in part; or no server had taken
///   it, there is none, and the last one died.
/// - IPCX_E_CLOSED: no server had taken it, there is none, and the last one closed.
///
/// ipcx_last_taken() tells by number whether a server had taken it. Before the first server came, clients wait for it.
pub struct ipcx_client {
    _private: [u8; 0],
}
handle!(ipcx_client => Client, b"ipcxCLNT", "not an open ipcx_client (NULL, closed, or something else)");

/// Says why there is no reply: the size that it needs, or the text of a refusal.
#[cold]
fn tell(failure: Error, reply: &mut [u8], len: Out<usize>) -> Failed {
    let Error::Remote(refusal) = &failure else {
        return tell_size(failure, len);
    };
    let text = refusal.detail().as_bytes();
    let fits = text.len().min(reply.len());
    reply[..fits].copy_from_slice(&text[..fits]);
    len.set(fits);
    failure.into()
}

/// Sends a request of `len` bytes at `req`, waits for its reply up to `timeout_ns`, and copies that to `reply`, which has
/// `cap` bytes; its length is in `*reply_len`.
///
/// The server knows until when the call waits. One that comes to the request later leaves it out; where one has taken it
/// already, the call ends all the same when the time is over, and the late reply is dropped. So after IPCX_E_TIMEDOUT, and
/// after IPCX_E_PEER_DEAD, the request may have been carried out, unless ipcx_last_taken() is 0: it is for you to know whether
/// it may be asked again.
///
/// With IPCX_E_REMOTE, `reply` has as much of the server's text as fits and `*reply_len` says how much. If the reply does not
/// fit, the code is IPCX_E_TOO_BIG, `*reply_len` is its length, and it stays, and is the next that ipcx_client_recv() receives.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Ownership: both buffers stay yours. `req` may be NULL if `len` is 0, `reply` if `cap` is 0.
/// Errors: IPCX_E_REMOTE, IPCX_E_PEER_DEAD and IPCX_E_CLOSED, as ipcx_client says; IPCX_E_TIMEDOUT; IPCX_E_INTR (no server had
/// taken the request, and it is withdrawn); IPCX_E_AGAIN (`timeout_ns` is IPCX_NOWAIT, with which no reply can come; or as many
/// requests are open as can be, whose replies are to be received first), IPCX_E_TOO_BIG (also a request of more than
/// the service's max_request: nothing was sent, and `*reply_len` is not written), IPCX_E_FORKED, IPCX_E_CORRUPT,
/// IPCX_E_INVALID.
#[no_mangle]
pub unsafe extern "C" fn ipcx_client_call(
    client: *mut ipcx_client,
    req: *const c_void,
    len: usize,
    reply: *mut c_void,
    cap: usize,
    reply_len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (client, reply_len) = unsafe { (exclusive(client)?, Out::new(reply_len)?) };
        // SAFETY: `len` readable and `cap` writable bytes, by the contract; the core only writes to the latter.
        let (request, to) = unsafe { (bytes(req, len)?, buffer(reply.cast(), cap)?) };
        match client.call_into(request, to, deadline(timeout_ns)?) {
            Ok(received) => reply_len.set(received),
            Err(failure) if request.len() > client.max_request() => return Err(failure.into()),
            Err(failure) => return Err(tell(failure, to, reply_len)),
        }
        Ok(())
    })
}

/// Sends a request of `len` bytes at `req`, whose reply ipcx_client_recv() will receive, and gives its number in `*id`.
///
/// A client may have as many requests open as the service's depth says. It waits, up to `timeout_ns`, only for one that was
/// given up to make room. The time is for this call: the request itself has no end.
///
/// One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
/// inside a call on this client.
/// Ownership: `req` stays yours, and may be NULL if `len` is 0.
/// Errors: IPCX_E_AGAIN (also with a timeout, where all that can be open are, and their replies are to be received first),
/// IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG (more than the service's max_request), IPCX_E_FORKED, IPCX_E_INVALID. Nothing
/// was sent then.
#[no_mangle]
pub unsafe extern "C" fn ipcx_client_send(
    client: *mut ipcx_client,
    req: *const c_void,
    len: usize,
    id: *mut u64,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable; `len` readable bytes. By the contract.
        let (client, id, request) = unsafe { (exclusive(client)?, Out::new(id)?, bytes(req, len)?) };
        id.set(client.send_until(request, deadline(timeout_ns)?)?);
        Ok(())
    })
}

/// Receives a reply, of whichever request that was sent has one: the request's number in `*id`, the reply in `reply`, which has
/// `cap` bytes, its length in `*len`. Waits for one up to `timeout_ns`.
///
/// With IPCX_E_REMOTE, IPCX_E_PEER_DEAD, IPCX_E_CLOSED and IPCX_E_CORRUPT a request has ended without a reply, and `*id` says
/// which; it is 0 with other errors. With IPCX_E_REMOTE, `reply` and `*len` have the text, as in ipcx_client_call(). With IPCX_E_TOO_BIG,
/// `*id` and `*len` say which reply it is and how long, and it stays, and is the next to be received.
///
/// One thread at a time. Blocks up to `timeout_ns`. With IPCX_NOWAIT it is async-signal-safe, unless the interrupted code is
/// inside a call on this client, or a server may refuse a request.
/// Ownership: `reply` stays yours, and may be NULL if `cap` is 0.
/// Errors: IPCX_E_REMOTE, IPCX_E_PEER_DEAD and IPCX_E_CLOSED, as ipcx_client says; IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR,
/// IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_CORRUPT, IPCX_E_INVALID (also where it would wait and no request is open).
#[no_mangle]
pub unsafe extern "C" fn ipcx_client_recv(
    client: *mut ipcx_client,
    id: *mut u64,
    reply: *mut c_void,
    cap: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (client, id, len) = unsafe { (exclusive(client)?, Out::new(id)?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(reply.cast(), cap) }?;
        let mut of = 0;
        let received = client.recv_into(&mut of, to, deadline(timeout_ns)?);
        id.set(of);
        match received {
            Ok(received) => len.set(received),
            Err(failure) => return Err(tell(failure, to, len)),
        }
        Ok(())
    })
}

/// Gives up on a request that was sent: it is withdrawn if no server has taken it, and otherwise its reply will be dropped.
///
/// One thread at a time. Does not block. Async-signal-safe as ipcx_client_send().
/// Errors: IPCX_E_INVALID (no request with this number is open), IPCX_E_FORKED.
#[no_mangle]
pub unsafe extern "C" fn ipcx_client_forget(client: *mut ipcx_client, id: u64) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread, by the contract.
        unsafe { exclusive(client) }?.forget(id)?;
        Ok(())
    })
}

/// The descriptor that ipcx_poll_fd() gives of a client, readable (POLLIN) while ipcx_client_recv() has something
/// to say: a reply, or that a request ended without one; or a negative code.
///
/// Ownership: it stays ipcx's and lives as long as the client; do not read it, do not close it.
/// One thread at a time. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_FORKED, IPCX_E_INVALID, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_client_poll_fd(client: *mut ipcx_client) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread, by the contract.
        Ok(unsafe { exclusive(client) }?.poll_fd()?.as_raw_fd())
    })
}

/// Closes the client in good order. NULL is allowed. Its requests that no server has taken are not carried out any more, and
/// the replies to the others are dropped.
///
/// One thread at a time. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_client_close(client: *mut ipcx_client) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(client) });
}
