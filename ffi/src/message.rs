//! Messages through transports: bytes, priorities, descriptors, files.

use crate::arguments::{buffer, bytes, deadline, descriptor, set_if_wanted, tell_size, Out};
use crate::boundary;
use crate::handles::exclusive;
use crate::transport::ipcx_transport;
use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::IntoRawFd;

/// Sends a copy of `len` bytes as one message; waits for room, and of a FIFO or socket for a receiver, up to
/// `timeout_ns`. A message queue gives it before every message of a lower `priority`, 0 to 32767; all others keep the
/// order, and take 0.
///
/// Messages of up to 4092 bytes go into a pipe or FIFO all at once or not at all. Of a longer one a part may be there
/// when the call ends with IPCX_E_AGAIN, IPCX_E_TIMEDOUT or IPCX_E_INTR: it is then remembered. Sending the same bytes
/// again goes on with that message, so that a call that is repeated sends it once; sending others finishes it first. If
/// the end is closed instead, the receiver gets IPCX_E_PEER_DEAD.
///
/// No transport raises SIGPIPE, whatever the process does with that signal.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Ownership: `data` stays yours. It may be NULL if `len` is 0.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_CLOSED, of a ring IPCX_E_PEER_DEAD too (the receiver went),
/// IPCX_E_TOO_BIG, IPCX_E_FORKED, IPCX_E_INVALID (also of a receiving end, and for another priority), IPCX_E_OS; those of
/// opening, where connecting to a receiver meets them.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_send(
    transport: *mut ipcx_transport,
    data: *const c_void,
    len: usize,
    priority: c_uint,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; `len` readable bytes. By the contract.
        let (sender, data) = unsafe { (exclusive(transport)?.sender()?, bytes(data, len)?) };
        Ok(sender.send_with_priority_until(data, priority, deadline(timeout_ns)?)?)
    })
}

/// Copies the next message to `buf`, which has `cap` bytes, and says its length in `*len`, and its priority, which is 0
/// but from a message queue, in `*priority`, which may be NULL. Waits for it up to `timeout_ns`.
///
/// If it does not fit, the code is IPCX_E_TOO_BIG, `*len` is its length, and it stays: call again with a larger buffer.
/// If the call ends in the middle of a message, what came of it is kept, and the next call goes on. A buffer gives the
/// newest message, once; ones before it may have been overwritten unseen.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Ownership: `buf` stays yours. It may be NULL if `cap` is 0.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_TOO_BIG, IPCX_E_CLOSED (the sender went and nothing is
/// left), IPCX_E_PEER_DEAD (it went in the middle of a message, or of a ring, died; both end when a successor is there),
/// IPCX_E_MISMATCH (it is a descriptor, for ipcx_transport_recv_fd(): it stays), IPCX_E_FORKED, IPCX_E_CORRUPT,
/// IPCX_E_INVALID (also of a sending end), IPCX_E_OS. A message queue or buffer does not tell of its sender: give a timeout.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_recv(
    transport: *mut ipcx_transport,
    buf: *mut c_void,
    cap: usize,
    len: *mut usize,
    priority: *mut c_uint,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (receiver, len) = unsafe { (exclusive(transport)?.receiver()?, Out::new(len)?) };
        // SAFETY: `cap` writable bytes, by the contract; the core only writes there.
        let to = unsafe { buffer(buf.cast(), cap) }?;
        match receiver.recv_with_priority_until(to, deadline(timeout_ns)?) {
            Ok((received, of)) => {
                len.set(received);
                // SAFETY: NULL or writable, by the contract.
                unsafe { set_if_wanted(priority, of) };
                Ok(())
            }
            Err(failure) => Err(tell_size(failure, len)),
        }
    })
}

/// Sends a descriptor as one message, for ipcx_transport_recv_fd(): of an anonymous segment (ipcx_ring_share_fd()), or
/// any. Unix sockets only.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Ownership: the descriptor stays yours, and open here.
/// Errors: those of ipcx_transport_send() less IPCX_E_TOO_BIG; IPCX_E_INVALID also through anything else.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_send_fd(
    transport: *mut ipcx_transport,
    fd: c_int,
    timeout_ns: i64,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; the descriptor stays open during the call. By the contract.
        let (sender, fd) = unsafe { (exclusive(transport)?.sender()?, descriptor(fd)?) };
        Ok(sender.send_fd_until(fd, deadline(timeout_ns)?)?)
    })
}

/// Receives a descriptor, or gives a negative code; waits for it up to `timeout_ns`. Unix sockets only.
///
/// It is closed on exec until you say otherwise.
///
/// One thread at a time. Blocks up to `timeout_ns`. Not async-signal-safe.
/// Ownership: the descriptor is yours; close it with close().
/// Errors: those of ipcx_transport_recv() less IPCX_E_TOO_BIG; IPCX_E_MISMATCH (the next message is bytes: it stays),
/// IPCX_E_INVALID also from anything else, IPCX_E_CORRUPT also if it was lost because there are too many open files.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_recv_fd(transport: *mut ipcx_transport, timeout_ns: i64) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread, by the contract.
        let receiver = unsafe { exclusive(transport) }?.receiver()?;
        Ok(receiver.recv_fd_until(deadline(timeout_ns)?)?.into_raw_fd())
    })
}

/// Sends up to `len` bytes of a file from `offset` on as one message, and says in `*sent` how many: fewer at the end of
/// the file. At the end, `*sent` is 0 and there is no message. The file's own offset stays as it is.
///
/// A pipe or FIFO gets the pages of the file themselves, without a copy (splice()): what is written to the file before
/// the message is received may be in it. A ring gets them with one read. Where the call ends in the middle of a message,
/// as ipcx_transport_send() describes, the same descriptor, offset and length mean the same message.
///
/// One thread at a time. Blocks up to `timeout_ns`; reading a file on disk may take as long as it takes. Not
/// async-signal-safe.
/// Ownership: the descriptor stays yours.
/// Errors: those of ipcx_transport_send(); IPCX_E_INVALID also if it is no regular file; IPCX_E_CORRUPT if the file was
/// shortened meanwhile: a message that was begun cannot be finished then, and the receiver gets IPCX_E_PEER_DEAD.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_send_file(
    transport: *mut ipcx_transport,
    fd: c_int,
    offset: u64,
    len: usize,
    timeout_ns: i64,
    sent: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle of one thread; NULL or writable. By the contract.
        let (sender, sent) = unsafe { (exclusive(transport)?.sender()?, Out::new(sent)?) };
        // SAFETY: the contract says that it stays open during the call.
        let file = unsafe { descriptor(fd) }?;
        sent.set(sender.send_file_until(file, offset, len, deadline(timeout_ns)?)?);
        Ok(())
    })
}
