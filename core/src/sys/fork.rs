//! What `fork` must not duplicate: the child closes the lease descriptors it inherited, so that the parent's
//! leases end with the parent, and learns that its handles are not its own. (Nothing may be mapped through such a
//! descriptor: a mapping, which the child inherits too, holds its open file description.)
//!
//! Only children made by `fork` are covered. One made by `vfork` or `posix_spawn` has the leases until its exec, which
//! closes them; one made by a raw `clone` system call, until it ends.

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use nix::sys::signal::{SigSet, SigmaskHow};
use std::cell::UnsafeCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Moves on with every fork: in the child, not in the parent. Only writer: the atfork handler of a child, while it has one
/// thread.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How often this process, and those it was forked from, forked. Moves on before each fork.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The lease descriptors of this process, under a mutex that is held across every fork, so that a child never
/// inherits one that is not listed.
struct Registry {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    open: UnsafeCell<Vec<RawFd>>,
}

// SAFETY: `open` is touched only between lock() and unlock() of `mutex`, which is made for concurrent use.
unsafe impl Sync for Registry {}

static REGISTRY: Registry =
    Registry { mutex: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER), open: UnsafeCell::new(Vec::new()) };

impl Registry {
    fn lock(&self) {
        // SAFETY: a statically initialised mutex that is never moved or destroyed.
        unsafe { libc::pthread_mutex_lock(self.mutex.get()) };
    }

    fn unlock(&self) {
        // SAFETY: as above; called by the thread that locked it (in a child: by its copy).
        unsafe { libc::pthread_mutex_unlock(self.mutex.get()) };
    }

    /// Has the list, until the answer is dropped.
    #[inline(never)]
    fn hold(&self) -> Held<'_> {
        // No signal handler runs on this thread meanwhile: one that forks would wait for the mutex that it interrupts.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        self.lock();
        Held { registry: self, mask }
    }
}

/// The registry, held by this thread. Dropped before it comes back here.
struct Held<'r> {
    registry: &'r Registry,
    /// The thread's signal mask before.
    mask: nix::Result<SigSet>,
}

impl Held<'_> {
    fn list(&mut self) -> &mut Vec<RawFd> {
        // SAFETY: the mutex is held, and `self` is the only way to the list meanwhile.
        unsafe { &mut *self.registry.open.get() }
    }
}

impl Drop for Held<'_> {
    #[inline(never)]
    fn drop(&mut self) {
        self.registry.unlock();
        let _ = self.mask.and_then(|mask| mask.thread_set_mask());
    }
}

/// The thread that holds the registry's mutex over a fork; 0 if none does. A thread that finds itself here put itself here.
static FORKING: AtomicU64 = AtomicU64::new(0);
/// How often its handlers before the fork ran. Only that thread touches it.
static NESTED: AtomicU32 = AtomicU32::new(0);

extern "C" fn before() {
    let this = super::thread::current();
    // Relaxed, here and below: of use only to the thread that stored it, or under the mutex.
    if FORKING.load(Ordering::Relaxed) != this {
        REGISTRY.lock();
        FORKING.store(this, Ordering::Relaxed);
        FORKS.fetch_add(1, Ordering::Relaxed); // Relaxed: only whether it is the same as before.
    }
    NESTED.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn in_parent() {
    if NESTED.fetch_sub(1, Ordering::Relaxed) == 1 {
        FORKING.store(0, Ordering::Relaxed);
        REGISTRY.unlock();
    }
}

extern "C" fn in_child() {
    // SAFETY: the child has one thread, which holds the mutex since before(). Closing is async-signal-safe, and
    // truncating the list frees nothing.
    unsafe {
        let open = &mut *REGISTRY.open.get();
        for fd in open.iter() {
            libc::close(*fd);
        }
        open.set_len(0);
    }
    GENERATION.fetch_add(1, Ordering::Relaxed); // Relaxed: one thread.
    in_parent();
}

/// 1 once the handlers are registered.
static HANDLERS: AtomicU32 = AtomicU32::new(0);

/// Registers the handlers, unless that was done. Several threads may find that it was not, and all do it: the handlers nest.
/// (One of them doing it for the others would be a lock. A child that is forked meanwhile inherits it locked by a thread that
/// it does not have; and it cannot tell so by the process's number, which in a new PID namespace may be the same.)
fn register_handlers() {
    // Acquire and release: who sees the 1 forks with the handlers.
    if HANDLERS.load(Ordering::Acquire) == 0 {
        // SAFETY: the handlers are functions without state of the caller.
        let failed = unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        // For lack of memory only: the next one tries again. A fork until then is not noticed, as with a raw clone.
        HANDLERS.store(u32::from(failed == 0), Ordering::Release);
    }
}

/// The current fork generation: a handle made under another one is inherited.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed) // Relaxed: changes only in a child that has one thread.
}

/// The same for who has no descriptor that is listed: from now on, a fork is noticed.
pub(crate) fn watched_generation() -> u32 {
    register_handlers();
    generation()
}

/// Two moments are the same if no process was forked between them, and this is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(u32, u32);

/// Now. From now on, forks are noticed.
pub(crate) fn moment() -> Moment {
    Moment(watched_generation(), FORKS.load(Ordering::Relaxed))
}

/// A descriptor that a forked child closes at once.
#[derive(Debug)]
pub(crate) struct NotInherited {
    /// Taken out only on drop.
    fd: Option<OwnedFd>,
    generation: u32,
}

impl NotInherited {
    /// Opens and lists a descriptor as one step with respect to fork.
    pub(crate) fn open<E>(open: impl FnOnce() -> Result<OwnedFd, E>) -> Result<NotInherited, E> {
        register_handlers();
        let mut held = REGISTRY.hold();
        let fd = open()?;
        held.list().push(fd.as_raw_fd());
        Ok(NotInherited { fd: Some(fd), generation: generation() })
    }

    /// True in a child that inherited this: the descriptor is closed and its number may be somebody else's.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != generation()
    }
}

impl AsFd for NotInherited {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("present until drop").as_fd()
    }
}

impl Drop for NotInherited {
    fn drop(&mut self) {
        let fd = self.fd.take().expect("dropped once");
        if self.is_inherited() {
            std::mem::forget(fd);
            return;
        }
        let mut held = REGISTRY.hold();
        let list = held.list();
        list.retain(|listed| *listed != fd.as_raw_fd());
        if list.is_empty() {
            list.shrink_to_fit(); // Whoever has closed everything has nothing left.
        }
        drop(fd);
    }
}

/// Tests of this file run `fork` from a process with several threads, as users do.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_the_descriptor_closed_and_knows_it() {
        let held = NotInherited::open(|| std::fs::File::open("/dev/null").map(OwnedFd::from)).unwrap();
        // SAFETY: the child calls only fcntl and _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: async-signal-safe calls in the child.
            unsafe {
                let closed = libc::fcntl(held.as_fd().as_raw_fd(), libc::F_GETFD) == -1;
                libc::_exit(if closed && held.is_inherited() { 0 } else { 1 });
            }
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        assert!(!held.is_inherited());
    }

    #[test]
    fn handlers_that_several_threads_registered_nest() {
        for _ in 0..3 {
            HANDLERS.store(0, Ordering::Relaxed);
            register_handlers();
        }
        let open = || NotInherited::open(|| std::fs::File::open("/dev/null").map(OwnedFd::from));
        let held = open().unwrap();
        // SAFETY: the child does what a first use does, and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let good = held.is_inherited() && open().is_ok_and(|own| !own.is_inherited());
            // SAFETY: ends the child without running the test harness's exit code.
            unsafe { libc::_exit(if good { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(status, 0);
        assert!(open().is_ok_and(|own| !own.is_inherited()) && !held.is_inherited());
    }
}
