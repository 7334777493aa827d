//! What it takes to begin: create, attach and close, and how many files that makes.
//!
//! Each contender's cycle runs in a worker process of its own, so that statics it fills do not count for
//! the others and the first, cold cycles can be dropped.

use std::process::Command;
use std::time::Instant;

use crate::stats::Spread;
use crate::{host, signals, while_doing, Error, Result};

/// One cycle: creates, attaches, counts files, closes; returns the microseconds spent without the
/// counting, and the number of files. Its argument is a label that no other cycle uses.
type Cycle = fn(&str) -> Result<(f64, usize)>;

/// Contenders: name, what a cycle does, the cycle.
const TABLE: &[(&str, &str, Cycle)] = &[
    ("ring", "create, attach, close", ring),
    ("ring with endpoints", "create, attach, producer, consumer; close", ring_with_endpoints),
    #[cfg(feature = "peers")]
    ("iceoryx2", "node, service, publisher, subscriber; close", iceoryx2),
];

/// Cycles that are run and not counted.
const COLD: usize = 5;

/// What beginning takes.
#[derive(Clone, Debug)]
pub struct Startup {
    /// The contender.
    pub contender: String,
    /// What a cycle does.
    pub about: String,
    /// Microseconds.
    pub micros: Spread,
    /// Files while it is open.
    pub files: usize,
}

/// What `only` selects by.
const GROUP: &str = if cfg!(feature = "peers") { "peers: startup" } else { "startup" };

/// Measures every contender whose name contains `only`.
pub fn measure(cycles: usize, only: &str, cpu: usize, label: &str) -> Result<Vec<Startup>> {
    let mut found = Vec::new();
    for (name, about, _) in TABLE.iter().filter(|(name, ..)| {
        let text = format!("{GROUP} {name}");
        only.split('|').any(|part| text.contains(part))
    }) {
        signals::check()?;
        let output = Command::new(std::env::current_exe()?)
            .args(["startup", name, &cycles.to_string(), &cpu.to_string(), label])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [p10, median, p90, files] = numbers[..] else {
            return Err(Error(format!("startup of {name}: {}", String::from_utf8_lossy(&output.stderr))));
        };
        let micros = Spread { p10, median, p90 };
        found.push(Startup {
            contender: (*name).to_owned(),
            about: (*about).to_owned(),
            micros,
            files: files as usize,
        });
    }
    Ok(found)
}

/// The worker: `NAME CYCLES CPU LABEL`; prints the spread in microseconds and the number of files.
pub fn main(arguments: &[String]) -> Result<()> {
    signals::install_in_worker();
    let [name, cycles, cpu, label] = arguments else {
        return Err("usage: ipcx-bench startup NAME CYCLES CPU LABEL".into());
    };
    let number = |text: &String| text.parse::<usize>().map_err(|error| Error(error.to_string()));
    host::pin(number(cpu)?)?;
    let (_, _, cycle) = TABLE.iter().find(|(known, ..)| known == name).ok_or("no such contender")?;
    let mut times = Vec::new();
    let mut files = 0;
    for round in 0..COLD + number(cycles)? {
        signals::check()?;
        let (micros, count) = cycle(&format!("{label}-{round}"))?;
        files = count;
        if round >= COLD {
            times.push(micros);
        }
    }
    let spread = Spread::of(times).ok_or("no cycles")?;
    println!("{} {} {} {files}", spread.p10, spread.median, spread.p90);
    Ok(())
}

/// Microseconds that `work` takes, added to `total`.
fn timed<T>(total: &mut f64, work: impl FnOnce() -> T) -> T {
    let before = Instant::now();
    let result = work();
    *total += before.elapsed().as_secs_f64() * 1e6;
    result
}

/// Files whose name tells that they are this label's.
fn ring_files(label: &str) -> usize {
    let shared = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    shared.filter(|entry| entry.file_name().to_string_lossy().contains(label)).count()
}

fn ring(label: &str) -> Result<(f64, usize)> {
    let mut micros = 0.0;
    let open = timed(&mut micros, || {
        let created = ipcx::Ring::create(label, &ipcx::RingOptions::default())?;
        ipcx::Ring::attach(label).map(|attached| (created, attached))
    });
    let files = ring_files(label);
    timed(&mut micros, || drop(open.map_err(while_doing("ring"))));
    ipcx::unlink(label).map_err(while_doing("unlink"))?;
    Ok((micros, files))
}

fn ring_with_endpoints(label: &str) -> Result<(f64, usize)> {
    let mut micros = 0.0;
    let open = timed(&mut micros, || {
        let created = ipcx::Ring::create(label, &ipcx::RingOptions::default())?;
        let attached = ipcx::Ring::attach(label)?;
        Ok((created.producer()?, attached.consumer()?, created, attached))
    });
    let files = ring_files(label);
    timed(&mut micros, || drop(open.map_err(while_doing::<ipcx::Error>("ring"))));
    ipcx::unlink(label).map_err(while_doing("unlink"))?;
    Ok((micros, files))
}

#[cfg(feature = "peers")]
fn iceoryx2(label: &str) -> Result<(f64, usize)> {
    use crate::adapters::iceoryx2 as peer;
    // 64 KiB: more room takes it longer to set up.
    const ROOM: peer::Room = peer::Room { subscribers: 1, depth: 1024, overflows: false };
    let mut micros = 0.0;
    let open = timed(&mut micros, || {
        let node = peer::node(label)?;
        let service = peer::service(&node, "startup", ROOM)?;
        let publisher = service.publisher_builder().create().map_err(while_doing("publisher"))?;
        let subscriber = service.subscriber_builder().create().map_err(while_doing("subscriber"))?;
        Ok::<_, Error>((publisher, subscriber, service, node))
    });
    let files = peer::files(label).len();
    timed(&mut micros, || drop(open));
    peer::cleanup(label);
    Ok((micros, files))
}
