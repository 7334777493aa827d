//! What the tests of odd hosts have Rust processes do. `odd/main.rs` lists it; `odd/odd.c` and `odd/odd.py` do the same, but for what
//! is about buffers.

use ipcx::{Buffer, Deadline, Error, Producer, Result, Ring};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// What goes wrong ends the process with a message.
fn fail(what: impl std::fmt::Display) -> ! {
    eprintln!("odd (Rust): {what}");
    std::process::exit(1)
}

/// A producer that has sent its first record.
fn producer_of(name: &str) -> Result<Producer> {
    let mut tx = Ring::attach(name)?.producer()?;
    tx.try_send(b"held")?;
    Ok(tx)
}

/// Waits with a timeout, again and again, and says how long it took. A signal only takes time.
fn timeouts(verb: &str, name: &str, milliseconds: u64, count: usize) -> Result<()> {
    let (ring, mut full) = (Ring::attach(name)?, [0; 1000]);
    let mut tx = if verb == "send" { Some(ring.producer()?) } else { None };
    let mut rx = if verb == "recv" { Some(ring.consumer()?) } else { None };
    while tx.as_mut().is_some_and(|tx| tx.try_send(&full).is_ok()) {}
    for _ in 0..count {
        let begin = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(milliseconds));
        loop {
            let waited = match (&mut tx, &mut rx) {
                (Some(tx), _) => tx.send_until(&full, deadline),
                (_, Some(rx)) => rx.recv_until(&mut full, deadline).map(drop),
                _ => fail("send or recv"),
            };
            match waited {
                Err(Error::Interrupted) => {}
                Err(Error::TimedOut(_)) => break println!("after {}", begin.elapsed().as_nanos()),
                other => fail(format!("{other:?}")),
            }
        }
    }
    Ok(())
}

fn pause() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn hold(name: &str) -> Result<()> {
    let _tx = producer_of(name)?;
    pause()
}

/// A child that is not ipcx's any more; it ends with the input.
fn spawn(name: &str) -> Result<()> {
    let _tx = producer_of(name)?;
    let mut child = Command::new("cat").spawn().unwrap_or_else(|error| fail(error));
    println!("spawned {}", child.id());
    fail(format!("the child ended before its parent: {:?}", child.wait()))
}

fn become_another_program(name: &str) -> Result<()> {
    let _tx = producer_of(name)?;
    fail(Command::new("cat").exec())
}

/// The child has its handles refused, closes them, attaches anew elsewhere, and exits; the parent goes on.
fn fork(own: &str, other: &str) -> Result<()> {
    let ring = Ring::attach(own)?;
    let mut tx = ring.producer()?;
    tx.try_send(b"before")?;
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        if !matches!((tx.try_send(b"stolen"), ring.producer()), (Err(Error::Forked), Err(Error::Forked))) {
            fail("an inherited handle works");
        }
        drop((tx, ring));
        if !matches!(Ring::attach(own)?.producer(), Err(Error::RoleTaken(_))) {
            fail("the parent's role is free");
        }
        Ring::attach(other)?.producer()?.try_send(b"from the child")?;
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    if status != 0 {
        fail(format!("the child ended with {status:#x}"));
    }
    tx.try_send(b"after")
}

/// Waits for notifications of a buffer's condition, again and again; says so before, with the lock, and after.
fn condition(name: &str) -> Result<()> {
    let buffer = Buffer::attach(name)?;
    let mut guard = buffer.lock()?;
    loop {
        println!("waiting");
        guard = guard.wait()?;
        println!("{}", if guard.recovered() { "recovered" } else { "notified" });
    }
}

/// Dies half-way through a change.
fn lock(name: &str) -> Result<()> {
    let buffer = Buffer::attach(name)?;
    let mut guard = buffer.lock()?;
    guard.write_at(0, b"half")?;
    println!("locked");
    pause()
}

/// Beyond the limit on files.
fn limit() -> Result<()> {
    let limit = libc::rlimit { rlim_cur: 100_000, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: reads the struct.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
    for created in [Ring::create("large", &Default::default()), Ring::anonymous(&Default::default())] {
        match created {
            Err(Error::NoSpace(why)) => println!("{why}"),
            other => fail(format!("a ring beyond the limit: {other:?}")),
        }
    }
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|error| fail(error));
    let done = match words[..] {
        ["timeouts", verb, ring, milliseconds, count] => {
            timeouts(verb, ring, number(milliseconds), number(count) as usize)
        }
        ["hold", ring] => hold(ring),
        ["spawn", ring] => spawn(ring),
        ["exec", ring] => become_another_program(ring),
        ["fork", own, other] => fork(own, other),
        ["condition", buffer] => condition(buffer),
        ["lock", buffer] => lock(buffer),
        ["limit"] => limit(),
        _ => fail(format!("what is {words:?}")),
    };
    if let Err(error) = done {
        fail(error);
    }
}
