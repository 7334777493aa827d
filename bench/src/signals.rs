//! One flag that ends the run: set by Ctrl-C and SIGTERM, looked at by every loop that waits.
//!
//! Workers ignore Ctrl-C: the coordinator hears it too, finishes the round, and tells them to end, so
//! that every contender closes in order and leaves no file behind. SIGTERM reaches a worker when the
//! coordinator gives up on a round or dies.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::{Error, Result};

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn note_stop(_signal: libc::c_int) {
    // Relaxed: the flag carries no other data.
    STOP.store(true, Relaxed);
}

/// Installs the coordinator's handlers.
pub fn install_in_coordinator() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        handle(signal, note_stop as *const () as libc::sighandler_t);
    }
}

/// Installs a worker's handlers, and asks for SIGTERM when the coordinator dies.
pub fn install_in_worker() {
    handle(libc::SIGTERM, note_stop as *const () as libc::sighandler_t);
    handle(libc::SIGINT, libc::SIG_IGN);
    handle(libc::SIGHUP, libc::SIG_IGN);
    // SAFETY: PR_SET_PDEATHSIG takes a signal number and touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
}

/// Without SA_RESTART, so that a blocking call returns and its loop sees the flag.
fn handle(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: an all-zero sigaction is valid; the handler only stores to an atomic.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

/// Whether the run is to end.
#[inline(always)]
pub fn stopped() -> bool {
    // Relaxed: see `note_stop`.
    STOP.load(Relaxed)
}

/// An error if the run is to end.
#[inline(always)]
pub fn check() -> Result<()> {
    if stopped() {
        return Err(interrupted());
    }
    Ok(())
}

#[cold]
fn interrupted() -> Error {
    Error::from("interrupted")
}

/// Spins until `ready` answers something, or the run is to end.
#[inline(always)]
pub fn spin<T>(mut ready: impl FnMut() -> Option<T>) -> Result<T> {
    loop {
        if let Some(value) = ready() {
            return Ok(value);
        }
        check()?;
        std::hint::spin_loop();
    }
}
