//! Models of the protocols under the loom checker, over the lines that run in production. Compiled into the crate's tests
//! with `--cfg loom`; `scripts/models` runs them.
//!
//! loom explores the schedules of the threads, and every value that a load may return: all of them, or, where that takes
//! too long, those with up to a number of preemptions that the model names. Sleeps have no time limit here, so a lost
//! wake-up, which in production costs a slice, is a deadlock that loom reports.
//!
//! What is not modelled: the asymmetric barrier (both sides fence, which is the protocol where a process could not
//! register).
//!
//! | file | what is in it |
//! |---|---|
//! | `ring` | sending, receiving, batches, sleeping, taking over |
//! | `sleepers` | two sleepers of one side |
//! | `buffer` | reading while writers write, waiting for a version, the condition |
//! | `level` | the state behind a descriptor |
//! | `mutex` | exclusion, and who learns that an owner died |
//! | `event` | any number of sleepers, stale bits |
//! | `pool` | magazines, sleeping, handing blocks over, reclaiming them |
//! | `roles` | who is told to live, to have closed, or to be dead, and what of its records was seen by then |
//! | `service` | asking, taking, answering, giving up, closing, servers and clients that die |
//! | `topic` | publishing, being overtaken, joining, publishers that die, sleeping |
//! | `words`, `kernel` | the memory and the system beneath them |

#![allow(clippy::disallowed_methods)] // tests measure time as users do

mod buffer;
mod event;
mod kernel;
mod level;
mod mutex;
mod pool;
mod ring;
mod roles;
mod service;
mod sleepers;
mod topic;
mod words;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Every schedule.
const ALL: Option<usize> = None;
/// Where not all are explored: so many preemptions in the long run.
const MOST: usize = 5;
/// One model's share of `IPCX_SECONDS`; there are not more models.
const SHARE: u32 = 50;

/// Explores the schedules with up to so many preemptions, or all of them. With `IPCX_SECONDS` set, it goes on with one
/// preemption more at a time, while its share of the time lasts.
fn model(preemptions: Option<usize>, f: impl Fn() + Sync + Send + 'static) {
    let (f, begin) = (Arc::new(f), Instant::now());
    let seconds =
        std::env::var("IPCX_SECONDS").ok().map(|text| text.parse().expect("IPCX_SECONDS is a number"));
    let until = seconds.map(|seconds| begin + Duration::from_secs(seconds) / SHARE);
    let (mut schedules, mut explored) = (explore(preemptions, None, &f), preemptions);
    while let (Some(bound @ ..MOST), Some(until)) = (explored, until) {
        schedules += explore(Some(bound + 1), Some(until), &f);
        if Instant::now() >= until {
            break; // perhaps not all of these
        }
        explored = Some(bound + 1);
    }
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let bound = explored.map_or("all there are".to_owned(), |most| format!("up to {most} preemptions"));
    println!("{name}: {schedules} schedules, {bound}");
}

/// How many schedules were explored. Stops where it is at `until`, if that is given.
fn explore(
    preemptions: Option<usize>,
    until: Option<Instant>,
    f: &Arc<impl Fn() + Sync + Send + 'static>,
) -> u64 {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_duration = until.map(|until| until.saturating_duration_since(Instant::now()));
    builder.checkpoint_interval = 1000; // how often it looks at the clock
    let schedules = Arc::new(AtomicU64::new(0));
    let (counter, f) = (Arc::clone(&schedules), Arc::clone(f));
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed); // Relaxed: a number for display.
        f();
    });
    schedules.load(Ordering::Relaxed)
}
