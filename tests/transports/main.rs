//! What can go wrong around a transport: system calls that fail, ends that are killed, peers that are no ipcx.
//!
//! | file | what is in it |
//! |---|---|
//! | `failing`, `tracer` | every system call of every operation fails |
//! | `kills` | senders and receivers are killed at random moments, and others take their roles |
//! | `hostile` | strangers at the other end of a pipe, FIFO, socket or queue |
//! | `child` | processes forked from a test, which share numbers with it |
//!
//! Each proof has a quick share. With `IPCX_SECONDS=n` they go on for n seconds together.

mod child;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
#[path = "../crash/errors.rs"]
mod errors;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod failing;
mod hostile;
mod kills;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod tracer;

use ipcx::{Error, Transport, TransportOptions};
use ipcx_tests::Place;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is not over by then hangs.
const HANG: Duration = Duration::from_secs(20);

/// One test at a time: a forked process has what the others have open.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until when a proof that is given this share of the time goes on, if it is the long one.
fn until(percent: u64) -> Option<Instant> {
    let seconds: u64 = std::env::var("IPCX_SECONDS").ok()?.parse().expect("IPCX_SECONDS is a number");
    Some(Instant::now() + Duration::from_millis(seconds * 10 * percent))
}

/// True if the host has this transport. If not, that is said.
fn has(transport: Transport) -> bool {
    match transport.pair(&Default::default()) {
        Err(error @ Error::Os { errno: libc::ENOSYS, .. }) => {
            println!("skipped: {error}");
            false
        }
        _ => true,
    }
}

fn options(place: &Place) -> TransportOptions {
    TransportOptions { directory: Some(place.path().to_owned()), ..Default::default() }
}

/// A name that no other process uses: queues have no directory, and a test that fails leaves none.
struct Name(String);

impl Name {
    fn new() -> Name {
        Name(format!("transports-test-{}", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Transport::MessageQueue.unlink(&self.0, &Default::default());
    }
}
