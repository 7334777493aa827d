//! Threads of the library's own.

use super::SysResult;
use crate::sync::{AtomicU64, Ordering};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use std::cell::Cell;
use std::ffi::{c_void, CStr};
use std::mem::MaybeUninit;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr;

/// A number that no other living thread of this process has, and not 0; one that ended may have had it.
/// `pthread_t pthread_self(void)`
#[inline(always)]
pub(crate) fn current() -> u64 {
    // SAFETY: takes nothing and touches no memory of ours.
    unsafe { libc::pthread_self() as usize as u64 }
}

/// A number that no other thread of this process has or had, and not 0. Async-signal-safe.
pub(crate) fn number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(LAST.fetch_add(1, Ordering::Relaxed) + 1); // Relaxed: the number is all there is.
        }
        number.get()
    })
}

/// A thread, joined when it has ended. In a forked child it does not exist, and this is to be left alone.
#[derive(Debug)]
pub(crate) struct Thread(libc::pthread_t);

type Work = Box<dyn FnOnce() + Send>;

/// Bytes of its stack, which also has the program's thread-local variables.
const STACK: usize = 256 * 1024;

/// Starts a thread that no signal is delivered to, so that the user's handlers run on the user's threads. A panic ends it.
/// (`std::thread` has what this does not need, and is 12 kB of the C library.)
///
/// `int pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)`
pub(crate) fn spawn_quiet(name: &'static CStr, work: impl FnOnce() + Send + 'static) -> SysResult<Thread> {
    let work: Work = Box::new(move || {
        // SAFETY: `prctl(PR_SET_NAME, const char *)` reads up to the zero behind the name.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
        work();
    });
    // A thread inherits the mask of the one that makes it: `int pthread_sigmask(SIG_SETMASK, ...)`.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let work = Box::into_raw(Box::new(work));
    let (mut thread, mut attributes) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both objects live across the calls, the attributes are initialised first, and `run` takes the work over.
    let errno = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK);
        let mut errno = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, work.cast());
        if errno == libc::EINVAL {
            // Too small for the thread-local variables of this program: the stack that its own threads have.
            errno = libc::pthread_create(thread.as_mut_ptr(), ptr::null(), run, work.cast());
        }
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        errno
    };
    let restored = mask.thread_set_mask();
    if errno != 0 {
        // SAFETY: it came out of a box above, and no thread has it.
        drop(unsafe { Box::from_raw(work) });
        return Err(Errno::from_raw(errno));
    }
    // SAFETY: written by the call that succeeded.
    restored.map(|()| Thread(unsafe { thread.assume_init() }))
}

extern "C" fn run(work: *mut c_void) -> *mut c_void {
    // SAFETY: the box that `spawn_quiet` gave to this thread alone.
    let work: Box<Work> = unsafe { Box::from_raw(work.cast()) };
    let _ = catch_unwind(AssertUnwindSafe(work)); // Nothing is looked at after a panic.
    ptr::null_mut()
}

impl Thread {
    /// True once it has ended; it is joined then, and this is not called again. `int pthread_tryjoin_np(pthread_t, void **)`
    pub(crate) fn has_ended(&self) -> bool {
        // SAFETY: a thread of this process that was not joined before.
        unsafe { libc::pthread_tryjoin_np(self.0, ptr::null_mut()) == 0 }
    }
}
