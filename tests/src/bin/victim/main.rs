//! The process that is stepped and killed by `crash/buffer.rs`, `semaphore.rs`, `topic.rs`, `service.rs` and `queue.rs`. It keeps to
//! the protocol of `crash/victim.c`: for each line of its input, `OPERATION NAME`, it forks; the child prepares the operation on the
//! segment NAME, and runs it between two marks. The first mark says the child's process number, the second what the operation
//! returned: a version or 0, or an error's number below 0.
//!
//! OPERATION is `KIND_WHAT`, and each kind has a file here.

mod buffer;
mod queue;
mod semaphore;
mod service;
mod topic;

use ipcx::{Deadline, Error, Result, SegmentOptions};
use ipcx_tests::Stream;
use std::time::Duration;

/// The stream from which values are taken, and the number of what it writes.
const SEED: u64 = 13;
const LARGEST: usize = 200;
const NUMBER: u64 = 1 << 20 | 8;
/// More than stepping to the sleep takes, and two slices.
const TO_SLEEP: Duration = Duration::from_millis(100);

/// Stops for the tracer, which finds `code` in rax. One place for all marks: the tracer knows it by its address.
#[inline(never)]
fn mark(code: i64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a trap for the tracer, which leaves everything as it is.
    unsafe {
        std::arch::asm!("int3", inout("rax") std::hint::black_box(code) => _);
    }
    #[cfg(not(target_arch = "x86_64"))]
    fail(format!("{code}: the tracer knows the marks and the steps of x86-64 only"));
}

/// What goes wrong ends the process with a message.
fn fail(what: impl std::fmt::Display) -> ! {
    eprintln!("victim (Rust): {what}");
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(1) }
}

fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| fail(error))
}

/// Of a segment with so many slots.
fn options(max_participants: u32) -> SegmentOptions {
    SegmentOptions { max_participants, ..Default::default() }
}

/// What the operations on every kind are made with.
struct Common {
    /// The segment's.
    name: String,
    /// What it writes.
    value: Vec<u8>,
    /// Where it reads to.
    room: Vec<u8>,
    /// It was told that somebody else has the lock.
    refused: bool,
}

impl Common {
    fn new(name: &str) -> Common {
        let stream = Stream::new(SEED, LARGEST);
        let mut value = vec![0; stream.len(NUMBER)];
        stream.fill(NUMBER, &mut value);
        Common { name: name.to_owned(), value, room: vec![0; LARGEST], refused: false }
    }

    /// To have the lock by. Who was told that its owner lives (here, by a system call that failed) does not ask again for a slice.
    fn soon(&self) -> Deadline {
        if self.refused {
            Deadline::within(TO_SLEEP)
        } else {
            Deadline::NOW
        }
    }
}

/// What it is called behind its kind's name, what comes before it, and itself.
type Operation<V> = (&'static str, fn(&mut V), fn(&mut V) -> Result<u64>);

/// A victim of a kind.
trait Kind: Sized + 'static {
    const OPERATIONS: &'static [Operation<Self>];

    fn new(common: Common) -> Self;

    fn common(&mut self) -> &mut Common;

    fn nothing(&mut self) {}
}

/// In the child: everything between the marks is what the tracer steps through.
fn be_the_victim<V: Kind>(what: &str, name: &str) -> ! {
    let found = V::OPERATIONS.iter().find(|(known, ..)| *known == what);
    let Some((_, prepare, run)) = found else { fail(format!("no operation {what}")) };
    let mut victim = V::new(Common::new(name));
    prepare(&mut victim);
    mark(std::process::id().into());
    loop {
        // Made again only where it failed.
        mark(match run(&mut victim) {
            Ok(code) => code as i64,
            Err(error) => {
                victim.common().refused = matches!(error, Error::WouldBlock(_));
                -i64::from(error.errno())
            }
        });
    }
}

fn of_its_kind(operation: &str, name: &str) -> ! {
    match operation.split_once('_') {
        Some(("buffer", what)) => be_the_victim::<buffer::Victim>(what, name),
        Some(("semaphore", what)) => be_the_victim::<semaphore::Victim>(what, name),
        Some(("topic", what)) => be_the_victim::<topic::Victim>(what, name),
        Some(("queue", what)) => be_the_victim::<queue::Victim>(what, name),
        Some(("service", what)) => be_the_victim::<service::Victim>(what, name),
        _ => fail(format!("no operation {operation}")),
    }
}

fn main() {
    // SAFETY: nobody but the tracer waits for the victims.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    for line in std::io::stdin().lines() {
        let line = line.unwrap_or_else(|error| fail(error));
        let Some((operation, name)) = line.split_once(' ') else { fail(format!("not a command: {line}")) };
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            -1 => fail("no process"),
            0 => of_its_kind(operation, name),
            _ => {}
        }
    }
}
