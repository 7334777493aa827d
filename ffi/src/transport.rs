//! Ends of transports: opening, handing over, event loops, closing.

use crate::arguments::{descriptor, invalid, text, Out};
use crate::boundary::{self, Result};
use crate::handles::{self, give, handle, take};
use crate::options::{convert, ipcx_transport_options};
use ipcx_core::{Receiver, Sender, Transport};
use std::ffi::{c_char, c_int};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// Direction: the end that sends.
pub const IPCX_SEND: u32 = 1;
/// Direction: the end that receives.
pub const IPCX_RECV: u32 = 2;

/// One end of a transport: it sends messages, or receives them. It belongs to one thread at a time.
pub struct ipcx_transport {
    _private: [u8; 0],
}
handle!(ipcx_transport => End, b"ipcxTRAN", "not an open ipcx_transport (NULL, closed, or something else)");

/// Either end.
pub(crate) enum End {
    Sender(Sender),
    Receiver(Receiver),
}

impl End {
    pub(crate) fn sender(&mut self) -> Result<&mut Sender> {
        match self {
            End::Sender(sender) => Ok(sender),
            End::Receiver(_) => Err(invalid("this is a receiving end, which cannot send")),
        }
    }

    pub(crate) fn receiver(&mut self) -> Result<&mut Receiver> {
        match self {
            End::Receiver(receiver) => Ok(receiver),
            End::Sender(_) => Err(invalid("this is a sending end, which cannot receive")),
        }
    }
}

fn is_sender(direction: u32) -> Result<bool> {
    match direction {
        IPCX_SEND => Ok(true),
        IPCX_RECV => Ok(false),
        _ => Err(invalid("direction is neither IPCX_SEND nor IPCX_RECV")),
    }
}

/// # Safety `word` is NULL or zero-terminated.
pub(crate) unsafe fn transport(word: *const c_char) -> Result<Transport> {
    // SAFETY: as the caller promises.
    Ok(unsafe { text(word, "word") }?.parse()?)
}

/// Opens one end of a transport under a name, and gives it in `*transport`. `word` says what carries the messages:
/// "fifo", "mqueue", "unix", "ring" or "buffer" ("Transports" above says what each is); `direction` is IPCX_SEND or
/// IPCX_RECV.
///
/// `opts` may be NULL. Either end may be opened first; this does not wait for the other. What a ring, buffer or queue is
/// sent before there is a receiver waits for it there. A FIFO and a socket are the receiver's, which makes anew what one
/// left that closed or died: until there is a receiver, sending waits, or says IPCX_E_AGAIN, and again after one that
/// went (which is first told by IPCX_E_CLOSED).
///
/// Ownership: the end is yours; give it back with ipcx_transport_close(), which does not remove the name.
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_BUSY (a living process has this end; not of a queue or buffer, which any number may open),
/// IPCX_E_MISMATCH (something else has the name, or it has other options), IPCX_E_INVALID (no such word; a pipe, which
/// has no name; name, direction, options), IPCX_E_PERMISSION, IPCX_E_NOT_FOUND (no such directory), IPCX_E_NO_SPACE,
/// IPCX_E_EXISTS (others unlink it all the time), IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_open(
    word: *const c_char,
    name: *const c_char,
    direction: u32,
    opts: *const ipcx_transport_options,
    transport: *mut *mut ipcx_transport,
) -> c_int {
    boundary::code(|| {
        // SAFETY: NULL or writable; pointers as the contract wants them.
        let (place, word, name, opts) = unsafe {
            (Out::new(transport)?, self::transport(word)?, text(name, "name")?, convert(opts)?.core)
        };
        place.set(give(match is_sender(direction)? {
            true => End::Sender(word.sender(name, &opts)?),
            false => End::Receiver(word.receiver(name, &opts)?),
        }));
        Ok(())
    })
}

/// Makes both ends of a transport without a name, for threads, for a child made by fork() (each process closes the end
/// that it does not use), or to be handed over with ipcx_transport_into_fd(): "pipe", "mqueue", "unix", "ring" or
/// "buffer".
///
/// `opts` may be NULL. An end of a ring takes its role at the first call that uses it, in whichever process that is.
///
/// Ownership: both ends are yours; give them back with ipcx_transport_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_INVALID (no such word; a FIFO, which has a name; options), IPCX_E_NO_SPACE, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_pair(
    word: *const c_char,
    opts: *const ipcx_transport_options,
    sender: *mut *mut ipcx_transport,
    receiver: *mut *mut ipcx_transport,
) -> c_int {
    boundary::code(|| {
        // SAFETY: NULL or writable; pointers as the contract wants them.
        let (sender, receiver, word, opts) =
            unsafe { (Out::new(sender)?, Out::new(receiver)?, transport(word)?, convert(opts)?.core) };
        let (tx, rx) = word.pair(&opts)?;
        sender.set(give(End::Sender(tx)));
        receiver.set(give(End::Receiver(rx)));
        Ok(())
    })
}

/// Makes an end again of a descriptor that ipcx_transport_into_fd() gave, in this process or another, and gives it in
/// `*transport`. Word and direction must be those of that end.
///
/// Ownership: on success the descriptor is the end's (as with fdopen()); on failure it stays yours. The end is yours;
/// give it back with ipcx_transport_close().
/// Thread-safe, does not block. Not async-signal-safe.
/// Errors: IPCX_E_INVALID (no such word or direction; a FIFO, which is opened by its name; a descriptor of something
/// else), IPCX_E_PERMISSION, IPCX_E_OS. What is wrong with a ring's or buffer's is said by the first call that uses it.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_from_fd(
    word: *const c_char,
    direction: u32,
    fd: c_int,
    transport: *mut *mut ipcx_transport,
) -> c_int {
    boundary::code(|| {
        // SAFETY: NULL or writable; zero-terminated. By the contract.
        let (place, word) = unsafe { (Out::new(transport)?, self::transport(word)?) };
        let sends = is_sender(direction)?;
        // SAFETY: the contract says that it is open.
        let given = unsafe { descriptor(fd) }?;
        // One of its own until everything has succeeded.
        let own = given.try_clone_to_owned();
        let own =
            own.map_err(|_| invalid("fd is not open, or there are too many open files (`ulimit -n`)"))?;
        let end = match sends {
            true => End::Sender(word.sender_from_fd(own)?),
            false => End::Receiver(word.receiver_from_fd(own)?),
        };
        // SAFETY: the caller's, who gives it away, by the contract.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        place.set(give(end));
        Ok(())
    })
}

/// The descriptor of an end without a name, to hand to another process, which makes it an end again with
/// ipcx_transport_from_fd(); or a negative code. This process does not have the end any more: it is closed by this call,
/// also if that fails.
///
/// It is closed on exec until you say otherwise. Hand it over by inheritance, or with ipcx_transport_send_fd().
///
/// Ownership: the descriptor is yours; close it with close().
/// One thread at a time. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_INVALID (it has a name, and is no queue's: the other process opens that; or it keeps a message, or a part
/// of one).
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_into_fd(transport: *mut ipcx_transport) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle of one thread that is not used again, by the contract.
        let fd = match unsafe { take(transport) }? {
            End::Sender(sender) => sender.into_fd()?,
            End::Receiver(receiver) => receiver.into_fd()?,
        };
        Ok(fd.into_raw_fd())
    })
}

/// Closes an end. NULL is allowed. The other end learns it, where its transport tells; what a name keeps, it keeps.
///
/// What was sent and not received is lost with the last end of a pipe, and with the receiver of a FIFO or socket.
///
/// One thread at a time. Does not block. Not async-signal-safe.
#[no_mangle]
pub unsafe extern "C" fn ipcx_transport_close(transport: *mut ipcx_transport) {
    // SAFETY: NULL or an open handle that is not used again, by the contract.
    boundary::value((), || unsafe { handles::close(transport) });
}
