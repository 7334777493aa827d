//! Error codes, and the last error of each thread.
//!
//! The last error lives in a fixed buffer of the thread, without destructor. Failures of calls that do not wait store
//! a code and at most two numbers, or a static text; the words are found when somebody asks. So failing is as cheap and as
//! async-signal-safe as succeeding.

use ipcx_core::Error;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{c_char, c_int, CStr};
use std::fmt::Write;

/// Success.
pub const IPCX_OK: c_int = 0;
/// Nothing to receive or acquire, no room to send, or locked; and the call does not wait.
pub const IPCX_E_AGAIN: c_int = -1;
/// The deadline passed. Nothing happened (but see ipcx_buffer_wait_locked()).
pub const IPCX_E_TIMEDOUT: c_int = -2;
/// A signal handler ran while the call slept. Nothing happened (but see ipcx_buffer_wait_locked()); call again to go on.
pub const IPCX_E_INTR: c_int = -3;
/// The peer closed in good order and nothing is left.
/// A peer that had closed before you attached, with nothing left, does not count: you wait for the next one.
pub const IPCX_E_CLOSED: c_int = -4;
/// The peer died and nothing is left. Ends when a successor attaches.
pub const IPCX_E_PEER_DEAD: c_int = -5;
/// The name is in use.
pub const IPCX_E_EXISTS: c_int = -6;
/// No segment has this name.
pub const IPCX_E_NOT_FOUND: c_int = -7;
/// A living process holds the role; ipcx_last_error() names it.
pub const IPCX_E_BUSY: c_int = -8;
/// The segment is of another kind, or has other options or another schema.
pub const IPCX_E_MISMATCH: c_int = -9;
/// The segment has the layout of another version of ipcx.
pub const IPCX_E_VERSION: c_int = -10;
/// Shared state is not what ipcx wrote.
pub const IPCX_E_CORRUPT: c_int = -11;
/// The message cannot fit, or the buffer is too small for it. Nothing is lost.
pub const IPCX_E_TOO_BIG: c_int = -12;
/// The file system, or the segment, lacks room.
pub const IPCX_E_NO_SPACE: c_int = -13;
/// Access denied, or the segment belongs to somebody who is not trusted.
pub const IPCX_E_PERMISSION: c_int = -14;
/// The handle was inherited over fork; attach anew in the child.
pub const IPCX_E_FORKED: c_int = -15;
/// A bad argument: NULL, a bad name, a bad option, a call out of order.
pub const IPCX_E_INVALID: c_int = -16;
/// Anything else from the system; errno says what.
pub const IPCX_E_OS: c_int = -17;
/// A bug in ipcx, caught. Close the handle, which is good for nothing else.
pub const IPCX_E_PANIC: c_int = -18;
/// The server of a service answered with an error, whose text is in ipcx_last_error().
pub const IPCX_E_REMOTE: c_int = -19;

/// Bytes for the words of the last error, with the zero behind them.
const LONGEST: usize = 512;

struct Last {
    /// 0 before the first failure.
    code: Cell<c_int>,
    /// Numbers of `IPCX_E_TOO_BIG`.
    needed: Cell<usize>,
    available: Cell<usize>,
    /// What there was none of, of `IPCX_E_AGAIN`.
    nothing: Static,
    /// What `ipcx_last_taken` gives.
    taken: Cell<c_int>,
    /// The text is that of `code`.
    worded: Cell<bool>,
    /// The last byte is never written: the text ends at any moment, also for a signal handler.
    text: UnsafeCell<[u8; LONGEST]>,
}

/// A static text, in one word, so that it is one whole text whenever a signal handler's call sets another: its address, and its
/// length in the topmost 16 bits. 0 if there is none.
struct Static(Cell<u64>);

const ADDRESS: u32 = 48;

impl Static {
    fn set(&self, text: &'static str) {
        let (address, len) = (text.as_ptr().expose_provenance() as u64, text.len() as u64);
        // What a program is made of lies below; should it not, only the words are lost.
        let fits = address >> ADDRESS == 0 && len >> (u64::BITS - ADDRESS) == 0;
        self.0.set(if fits { len << ADDRESS | address } else { 0 });
    }

    fn get(&self) -> Option<&'static str> {
        let word = self.0.get();
        if word == 0 {
            return None;
        }
        let start = std::ptr::with_exposed_provenance((word & ((1 << ADDRESS) - 1)) as usize);
        // SAFETY: `set` made the word of a text that lives as long as the program.
        Some(unsafe {
            std::str::from_utf8_unchecked(std::slice::from_raw_parts(start, (word >> ADDRESS) as usize))
        })
    }
}

thread_local! {
    static LAST: Last = const {
        Last {
            code: Cell::new(0),
            needed: Cell::new(0),
            available: Cell::new(0),
            nothing: Static(Cell::new(0)),
            taken: Cell::new(-1),
            worded: Cell::new(true),
            text: UnsafeCell::new([0; LONGEST]),
        }
    };
}

/// Writes to the thread's text and cuts off what is too long.
struct Writer<'a> {
    text: &'a UnsafeCell<[u8; LONGEST]>,
    used: usize,
}

impl Write for Writer<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let start: *mut u8 = self.text.get().cast();
        for byte in part.bytes().filter(|byte| *byte != 0).take(LONGEST - 1 - self.used) {
            // SAFETY: `used` is below LONGEST - 1. Only this thread has the address, and it makes no reference to it.
            unsafe { start.add(self.used).write(byte) };
            self.used += 1;
        }
        Ok(())
    }
}

impl Last {
    fn say(&self, error: &dyn std::fmt::Display) {
        let mut writer = Writer { text: &self.text, used: 0 };
        let _ = write!(writer, "{error}");
        // SAFETY: `used` is at most LONGEST - 1; as in `Writer`.
        unsafe { self.text.get().cast::<u8>().add(writer.used).write(0) };
        self.worded.set(true);
    }

    /// Finds the words that `report` put off.
    fn find_words(&self) {
        match self.code.get() {
            IPCX_E_AGAIN => {
                self.say(&Error::WouldBlock(self.nothing.get().unwrap_or("what is waited for is not there")))
            }
            IPCX_E_INTR => self.say(&Error::Interrupted),
            IPCX_E_TOO_BIG => {
                self.say(&Error::TooBig { needed: self.needed.get(), available: self.available.get() })
            }
            code => self.say(&describe(code).to_string_lossy()),
        }
    }
}

pub(crate) fn code_of(error: &Error) -> c_int {
    match error {
        Error::WouldBlock(_) => IPCX_E_AGAIN,
        Error::TimedOut(_) => IPCX_E_TIMEDOUT,
        Error::Interrupted => IPCX_E_INTR,
        Error::Closed(_) => IPCX_E_CLOSED,
        Error::PeerDead(_) => IPCX_E_PEER_DEAD,
        Error::Exists(_) => IPCX_E_EXISTS,
        Error::NotFound(_) => IPCX_E_NOT_FOUND,
        Error::RoleTaken(_) => IPCX_E_BUSY,
        Error::Mismatch(_) => IPCX_E_MISMATCH,
        Error::Version(_) => IPCX_E_VERSION,
        Error::Corrupt(_) => IPCX_E_CORRUPT,
        Error::TooBig { .. } => IPCX_E_TOO_BIG,
        Error::NoSpace(_) => IPCX_E_NO_SPACE,
        Error::Permission(_) => IPCX_E_PERMISSION,
        Error::Forked => IPCX_E_FORKED,
        Error::Invalid(_) => IPCX_E_INVALID,
        Error::Remote(_) => IPCX_E_REMOTE,
        // `Os`, and whatever a later core adds before it has a code here.
        _ => IPCX_E_OS,
    }
}

/// Makes an error the thread's last one, sets errno, and gives its code.
pub(crate) fn report(error: &Error) -> c_int {
    let code = code_of(error);
    LAST.with(|last| {
        last.code.set(code);
        last.taken.set(error.taken().map_or(-1, c_int::from));
        match error {
            Error::WouldBlock(nothing) => {
                last.nothing.set(nothing);
                last.worded.set(false);
            }
            Error::Interrupted => last.worded.set(false),
            Error::TooBig { needed, available } => {
                last.needed.set(*needed);
                last.available.set(*available);
                last.worded.set(false);
            }
            other => last.say(other),
        }
    });
    // Last, because finding words may change it.
    set_errno(error.errno());
    code
}

/// Makes a panic the thread's last error.
pub(crate) fn report_panic(text: &str) -> c_int {
    LAST.with(|last| {
        last.code.set(IPCX_E_PANIC);
        last.taken.set(-1);
        last.say(&format_args!("a bug in ipcx, please report it: {text}"));
    });
    set_errno(libc::ENOTRECOVERABLE);
    IPCX_E_PANIC
}

fn set_errno(value: c_int) {
    // SAFETY: the address of this thread's errno, which is always writable.
    unsafe { *libc::__errno_location() = value };
}

fn describe(code: c_int) -> &'static CStr {
    match code {
        IPCX_OK => c"success",
        IPCX_E_AGAIN => c"would block",
        IPCX_E_TIMEDOUT => c"timed out",
        IPCX_E_INTR => c"interrupted by a signal",
        IPCX_E_CLOSED => c"the peer closed",
        IPCX_E_PEER_DEAD => c"the peer died",
        IPCX_E_EXISTS => c"the name is in use",
        IPCX_E_NOT_FOUND => c"no segment has this name",
        IPCX_E_BUSY => c"a living process holds the role",
        IPCX_E_MISMATCH => c"another kind, other options or another schema",
        IPCX_E_VERSION => c"the layout of another version",
        IPCX_E_CORRUPT => c"shared state is corrupt",
        IPCX_E_TOO_BIG => c"too big",
        IPCX_E_NO_SPACE => c"no space",
        IPCX_E_PERMISSION => c"permission denied",
        IPCX_E_FORKED => c"the handle was inherited over fork",
        IPCX_E_INVALID => c"invalid argument",
        IPCX_E_OS => c"a system call failed",
        IPCX_E_PANIC => c"a bug in ipcx",
        IPCX_E_REMOTE => c"refused by the server",
        _ => c"not a code of ipcx",
    }
}

/// What a code means, in a few words.
///
/// The text is static and never NULL, also for a number that is no code.
///
/// Thread-safe, does not block, async-signal-safe.
#[no_mangle]
pub extern "C" fn ipcx_strerror(code: c_int) -> *const c_char {
    describe(code).as_ptr()
}

/// What went wrong in this thread's last call that failed: what, on which segment, and what to do about it.
///
/// Never NULL; empty before the first failure. A call that succeeds leaves it as it is. The text belongs to
/// ipcx and stays until this thread's next failing call; another thread must not be given the pointer.
///
/// Thread-safe, does not block. Not async-signal-safe (it finds words); what a handler's calls report
/// replaces what the interrupted code would have read.
#[no_mangle]
pub extern "C" fn ipcx_last_error() -> *const c_char {
    crate::boundary::value(c"".as_ptr(), || {
        LAST.with(|last| {
            if !last.worded.get() {
                last.find_words();
            }
            last.text.get().cast_const().cast()
        })
    })
}

/// Whether the request of a client with which this thread's last failing call ended may have been carried out.
///
/// 1 if a server had taken it: it may have been carried out, in part or in full. 0 if none had: it was not carried out and will
/// not be, and to ask again does nothing twice. -1 if the last failure was no end of a request. It is told of
/// IPCX_E_PEER_DEAD, IPCX_E_CLOSED and IPCX_E_REMOTE, and of IPCX_E_TIMEDOUT of ipcx_client_call(); after IPCX_E_INTR of that,
/// the request was not taken.
///
/// Thread-safe, does not block, async-signal-safe.
#[no_mangle]
pub extern "C" fn ipcx_last_taken() -> c_int {
    LAST.with(|last| last.taken.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_text_is_kept_in_one_word() {
        let word = Static(Cell::new(0));
        assert_eq!(word.get(), None);
        for text in ["the ring is empty", "", "the ring is full"] {
            word.set(text);
            assert_eq!(word.get(), Some(text));
        }
        assert!(size_of::<Static>() == 8);
        word.set(Box::leak("x".repeat(1 << 16).into_boxed_str()));
        assert_eq!(word.get(), None, "longer than any that there is");
    }
}
