//! The process side of a case: connects one side of a contender and runs rounds on command.
//!
//! Commands arrive on standard input and answers leave on standard output, one line each, so that a
//! worker can be written in any language:
//!
//! | line | meaning |
//! |---|---|
//! | `ready` | (worker, once) connected, memory mapped |
//! | `run N` | carry N messages, checking stamps |
//! | `check N` | carry N messages, checking every byte |
//! | `sample N` | carry N messages; the near side times each round trip |
//! | `pairs START END` | acquire and release from START to END on the monotonic clock |
//! | `check-pairs START END` | the same, making sure that nobody else has the block |
//! | | the same two, where one publishes: publish, or receive, from START to END; in the check, to get nothing is a failure |
//! | `go` | (far side) about to receive; the near side is told to start only now |
//! | `done START END [P50 P90 P99 P999 MAX]` | nanoseconds on the monotonic clock; percentiles in ns |
//! | `done START END PAIRS` | after `pairs`: how many in that time; whoever publishes adds the processor time that it used to START |
//! | `fail TEXT` | the case is over |
//!
//! End of input ends the worker. While it waits for a command it sleeps. Where one worker holds both sides, in threads or with
//! the far side as a process of its own, it says `ready` and `done` for both.

use std::io::{BufRead, Write};
use std::sync::mpsc;

use hdrhistogram::Histogram;

use crate::adapters::{self, Adapter, Start};
use crate::endpoint::{Link, Side};
use crate::loops::{MessageLoop, Span};
use crate::pairs::PairLoop;
use crate::payload::Care;
use crate::{host, signals, Error, Result};

/// What the first argument of a worker is, whichever program it is; the others follow.
pub const SUBCOMMAND: &str = "worker";

/// Seconds after which a round that hangs ends the worker.
const ROUND_LIMIT: libc::c_uint = 60;

/// What a worker is told on its command line.
struct Orders {
    adapter: &'static Adapter,
    link: Link,
    place: Place,
    cpus: Vec<usize>,
}

/// What a worker is in its case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One side of a channel.
    Side(Side),
    /// Both sides, as threads.
    Both,
    /// One of a crowd, by its number. The first comes first, the others when it is ready.
    Member(usize),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Side(Side::Near) => f.write_str("near"),
            Place::Side(Side::Far) => f.write_str("far"),
            Place::Both => f.write_str("both"),
            Place::Member(number) => write!(f, "{number}"),
        }
    }
}

impl std::str::FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Place> {
        match text {
            "near" => Ok(Place::Side(Side::Near)),
            "far" => Ok(Place::Side(Side::Far)),
            "both" => Ok(Place::Both),
            number => number.parse().map(Place::Member).map_err(|_| Error(format!("no place: '{number}'"))),
        }
    }
}

/// A command from the coordinator.
#[derive(Clone, Copy)]
enum Command {
    Run(u64, Care),
    Sample(u64),
    Pairs(Span, Care),
}

/// Runs a worker to its end. `arguments` are those that [`arguments`] made.
pub fn main(arguments: &[String]) -> Result<()> {
    signals::install_in_worker();
    let parent = parent();
    let orders = orders(arguments)?;
    let outcome = match (orders.adapter.start, orders.place) {
        (Start::Processes(connect), Place::Side(side)) => one_side(&orders, connect, side),
        (Start::Threads(connect), Place::Both) => both_sides(&orders, connect),
        (Start::Crowd(connect), Place::Member(number)) => one_of_a_crowd(&orders, connect, number),
        _ => Err("this contender does not start like that".into()),
    };
    if self::parent() != parent {
        // The coordinator died and cannot clean up after us.
        (orders.adapter.cleanup)(&orders.link);
    } else if let Err(error) = &outcome {
        answer(&format!("fail {error}"))?;
    }
    outcome
}

/// The command line that starts a worker of `link`.
pub fn arguments(adapter: &Adapter, link: &Link, place: Place, cpus: &[usize]) -> Vec<String> {
    let list = |numbers: Vec<String>| if numbers.is_empty() { "-".to_owned() } else { numbers.join(",") };
    vec![
        SUBCOMMAND.to_owned(),
        adapter.name.to_owned(),
        link.workload.to_string(),
        place.to_string(),
        list(cpus.iter().map(ToString::to_string).collect()),
        link.label.clone(),
        list(link.fds.iter().map(ToString::to_string).collect()),
    ]
}

fn orders(arguments: &[String]) -> Result<Orders> {
    let [adapter, workload, place, cpus, label, fds] = arguments else {
        return Err("usage: worker ADAPTER WORKLOAD PLACE CPUS LABEL FDS".into());
    };
    Ok(Orders {
        adapter: adapters::find(adapter).ok_or("no such contender")?,
        link: Link {
            contender: adapter.clone(),
            label: label.clone(),
            workload: workload.parse()?,
            fds: numbers(fds)?,
        },
        place: place.parse()?,
        cpus: numbers(cpus)?,
    })
}

fn numbers<T: std::str::FromStr>(list: &str) -> Result<Vec<T>> {
    let items = list.split(',').filter(|item| *item != "-");
    items.map(|item| item.parse().map_err(|_| Error(format!("'{item}' is not a number")))).collect()
}

type Connect = fn(&Link, Side) -> Result<Box<dyn MessageLoop>>;

fn one_side(orders: &Orders, connect: Connect, side: Side) -> Result<()> {
    host::pin(orders.cpus[0])?;
    let mut messages = connect(&orders.link, side)?;
    answer("ready")?;
    while let Some(command) = next_command()? {
        if side == Side::Far {
            answer("go")?;
        }
        let _limit = RoundLimit::new();
        let mut times = no_times()?;
        let span = match command {
            Command::Sample(count) if side == Side::Near => messages.sample(count, &mut times)?,
            Command::Sample(count) => messages.run(count, Care::Stamps)?,
            Command::Run(count, care) => messages.run(count, care)?,
            Command::Pairs(..) => return Err("a channel lends nothing".into()),
        };
        done(span, &times)?;
    }
    Ok(())
}

type ConnectMember = fn(&Link, usize) -> Result<Box<dyn PairLoop>>;

fn one_of_a_crowd(orders: &Orders, connect: ConnectMember, number: usize) -> Result<()> {
    host::pin(orders.cpus[0])?;
    let mut blocks = connect(&orders.link, number)?;
    answer("ready")?;
    while let Some(command) = next_command()? {
        let Command::Pairs(span, care) = command else {
            return Err("blocks carry no messages".into());
        };
        let _limit = RoundLimit::new();
        let (end, pairs) = blocks.run(span, care)?;
        answer(&format!("done {} {end} {pairs}", span.start))?;
    }
    Ok(())
}

type ConnectThreads = fn(&Link) -> Result<adapters::ThreadLoops>;

fn both_sides(orders: &Orders, connect: ConnectThreads) -> Result<()> {
    let (mut near, far) = connect(&orders.link)?;
    let far_cpu = orders.cpus[1];
    let (orders_out, orders_in) = mpsc::channel::<(u64, Care)>();
    let (answers_out, answers_in) = mpsc::channel::<Option<Result<Span>>>();
    let thread = std::thread::spawn(move || {
        let mut far = host::pin(far_cpu).and_then(|()| far()).expect("pinned to the far CPU");
        while let Ok((count, care)) = orders_in.recv() {
            let _near_ended = answers_out.send(None);
            let _near_ended = answers_out.send(Some(far.run(count, care)));
        }
    });
    host::pin(orders.cpus[0])?;
    answer("ready")?;
    let lost = |_| Error::from("the far thread ended");
    while let Some(command) = next_command()? {
        let Command::Run(count, care) = command else {
            return Err("threads are not sampled".into());
        };
        let _limit = RoundLimit::new();
        orders_out.send((count, care)).map_err(|_| Error::from("the far thread ended"))?;
        answers_in.recv().map_err(lost)?;
        let start = near.run(count, care)?.start;
        let end = answers_in.recv().map_err(lost)?.ok_or("the far thread did not answer")??.end;
        done(Span { start, end }, &no_times()?)?;
    }
    drop(orders_out);
    thread.join().map_err(|_| Error::from("the far thread panicked"))
}

/// Ends the process if a round hangs, even when there is no coordinator left to do it.
struct RoundLimit;

impl RoundLimit {
    fn new() -> RoundLimit {
        // SAFETY: alarm takes a number of seconds.
        unsafe { libc::alarm(ROUND_LIMIT) };
        RoundLimit
    }
}

impl Drop for RoundLimit {
    fn drop(&mut self) {
        // SAFETY: as above; 0 cancels.
        unsafe { libc::alarm(0) };
    }
}

fn parent() -> libc::pid_t {
    // SAFETY: getppid cannot fail and touches no memory.
    unsafe { libc::getppid() }
}

fn next_command() -> Result<Option<Command>> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let unknown = || Error(format!("unknown command '{}'", line.trim()));
    let (verb, count) = line.trim().split_once(' ').ok_or_else(unknown)?;
    if let "pairs" | "check-pairs" = verb {
        let (start, end) = count.split_once(' ').ok_or_else(unknown)?;
        let moment = |text: &str| text.parse().map_err(|_| unknown());
        let care = if verb == "pairs" { Care::Stamps } else { Care::Full };
        return Ok(Some(Command::Pairs(Span { start: moment(start)?, end: moment(end)? }, care)));
    }
    let count = count.parse().map_err(|_| unknown())?;
    match verb {
        "run" => Ok(Some(Command::Run(count, Care::Stamps))),
        "check" => Ok(Some(Command::Run(count, Care::Full))),
        "sample" => Ok(Some(Command::Sample(count))),
        _ => Err(unknown()),
    }
}

fn done(span: Span, times: &Histogram<u64>) -> Result<()> {
    let mut line = format!("done {} {}", span.start, span.end);
    if !times.is_empty() {
        for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
            line += &format!(" {}", times.value_at_quantile(quantile));
        }
    }
    answer(&line)
}

fn answer(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// An empty histogram of nanoseconds, up to a minute, to three digits.
fn no_times() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(|error| Error(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for place in [Place::Side(Side::Near), Place::Side(Side::Far), Place::Both, Place::Member(7)] {
            assert_eq!(place.to_string().parse::<Place>().expect("a place"), place);
        }
        assert!("beside".parse::<Place>().is_err());
    }
}
