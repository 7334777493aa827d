//! One case, from the coordinator's view: its worker processes, started once and run on command.
//!
//! Starting a process is never part of a figure. Between rounds the workers of every case sleep on their
//! standard input, so that only the two of the current round use the cores.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::adapters::{Adapter, Start};
use crate::endpoint::{Link, Side};
use crate::loops::{monotonic, Span};
use crate::worker::Place;
use crate::workload::{Shape, Workload};
use crate::{signals, worker, Error, Result};

/// How long a worker may take to answer; rounds are far shorter.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a worker may take to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long each member of a crowd has to wake up before the round begins.
const GATHERING: Duration = Duration::from_millis(1);

/// What a round took.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Nanoseconds per message, or per round trip.
    pub each: f64,
    /// Percentiles of a sampled round, in nanoseconds: 50, 90, 99, 99.9 and the maximum.
    pub percentiles: Vec<u64>,
    /// The part of what was published that one who receives what it can received, as the mean over all.
    pub received: Option<f64>,
}

/// The workers of one case.
pub struct Pair {
    adapter: &'static Adapter,
    link: Link,
    /// Near and far, or several far; a single worker that holds both sides if the contender runs in threads; or a crowd.
    workers: Vec<Worker>,
    /// Kept open for as long as workers may start.
    _shared: Vec<OwnedFd>,
}

impl Pair {
    /// Starts the workers and waits until they are connected. `programs` is the folder where
    /// contenders written in other languages lie.
    pub fn start(
        adapter: &'static Adapter,
        workload: Workload,
        label: &str,
        cpus: [usize; 2],
        programs: &Path,
    ) -> Result<Pair> {
        let (contender, label) = (adapter.name.to_owned(), label.to_owned());
        let mut link = Link { contender, label, workload, fds: Vec::new() };
        let shared = (adapter.prepare)(&link)?;
        link.fds = shared.iter().map(AsRawFd::as_raw_fd).collect();
        let this = std::env::current_exe()?;
        let sides = match workload.shape {
            Shape::Pairs(crowd) => (0..crowd.processes).map(Place::Member).collect(),
            Shape::Published(audience) => (0..=audience.subscribers).map(Place::Member).collect(),
            _ => {
                let far = std::iter::repeat_n(Place::Side(Side::Far), workload.subscribers());
                std::iter::once(Place::Side(Side::Near)).chain(far).collect()
            }
        };
        let (program, places) = match adapter.start {
            Start::Processes(_) | Start::Crowd(_) => (this, sides),
            Start::Threads(_) => (this, vec![Place::Both]),
            Start::Program(name) => (programs.join(name), sides),
            Start::Couple(name) => (programs.join(name), vec![Place::Both]),
            Start::Absent(remedy) => return Err(Error(format!("not in this build: {remedy}"))),
        };
        let mut pair = Pair { adapter, link, workers: Vec::new(), _shared: shared };
        for place in places {
            let cpus = match place {
                Place::Side(Side::Near) => vec![cpus[0]],
                Place::Side(Side::Far) => vec![cpus[1]],
                // A publisher has its processor for itself.
                Place::Member(number) if matches!(workload.shape, Shape::Published(_)) => {
                    vec![cpus[number.min(1)]]
                }
                Place::Member(number) => vec![cpus[number % cpus.len()]],
                Place::Both => cpus.to_vec(),
            };
            let arguments = worker::arguments(adapter, &pair.link, place, &cpus);
            pair.workers.push(Worker::start(&program, &arguments, &pair.link.fds)?);
            let newest = pair.workers.len() - 1;
            pair.expect(newest, "ready")?;
        }
        Ok(pair)
    }

    /// Runs one round: `verb` is `run`, `check` or `sample`.
    pub fn round(&mut self, verb: &str, count: u64) -> Result<Outcome> {
        for far in 1..self.workers.len() {
            self.workers[far].say(&format!("{verb} {count}"))?;
            self.expect(far, "go")?;
        }
        self.workers[0].say(&format!("{verb} {count}"))?;
        let (near, percentiles) = parse_done(&self.expect(0, "done")?)?;
        let mut end = near.end;
        for far in 1..self.workers.len() {
            let far = parse_done(&self.expect(far, "done")?)?.0;
            if !self.link.workload.returns() {
                end = end.max(far.end);
            }
        }
        Ok(Outcome { each: (end - near.start) as f64 / count as f64, percentiles, received: None })
    }

    /// Has every worker work by the clock for `length`, all at the same time: `verb` is `pairs` or `check-pairs`. The outcome
    /// is the time for one pair of all processes together, or what one message costs who publishes it.
    pub fn crowd_round(&mut self, verb: &str, length: Duration) -> Result<Outcome> {
        let gathering = GATHERING * self.workers.len() as u32;
        let start = monotonic() + gathering.as_nanos() as u64;
        let length = length.as_nanos() as u64;
        for worker in &mut self.workers {
            worker.say(&format!("{verb} {start} {}", start + length))?;
        }
        let audience = matches!(self.link.workload.shape, Shape::Published(_));
        let (mut rate, mut counts) = (0.0, Vec::new());
        for index in 0..self.workers.len() {
            let (span, pairs) = parse_done(&self.expect(index, "done")?)?;
            let pairs = *pairs.first().ok_or("a worker did not say how many pairs it did")?;
            counts.push(pairs);
            if audience && index > 0 {
                continue;
            }
            // One that was off its processor when the round ended took longer.
            rate += pairs as f64 / (span.end - span.start) as f64;
        }
        let received = counts[1..].iter().sum::<u64>() as f64 / (counts.len() - 1).max(1) as f64;
        let received = audience.then(|| received / counts[0] as f64);
        Ok(Outcome { each: 1.0 / rate, percentiles: Vec::new(), received })
    }

    /// Waits for a line that starts with `verb` from one worker, watching the other for failure.
    fn expect(&mut self, from: usize, verb: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for worker in &mut self.workers {
                if let Some(reason) = worker.failure() {
                    return Err(reason);
                }
            }
            if let Some(line) = self.workers[from].lines.pop_front() {
                return line
                    .strip_prefix(verb)
                    .map(|rest| rest.trim().to_owned())
                    .ok_or_else(|| Error(format!("expected '{verb}', got '{line}'")));
            }
            signals::check()?;
            if Instant::now() > deadline {
                return Err(Error(format!(
                    "no '{verb}' within {PATIENCE:?}: is the machine busy with something else?"
                )));
            }
            self.listen()?;
        }
    }

    /// Reads what workers have said, sleeping until one says something.
    fn listen(&mut self) -> Result<()> {
        let open = self.workers.iter().map(|worker| libc::pollfd {
            fd: if worker.ended { -1 } else { worker.stdout.as_raw_fd() },
            events: libc::POLLIN,
            revents: 0,
        });
        let mut polled: Vec<libc::pollfd> = open.collect();
        // SAFETY: an array of pollfd and its length.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 500) };
        if ready <= 0 {
            return Ok(()); // A timeout or a signal: the caller looks at the clock and at the flag.
        }
        for (worker, poll) in self.workers.iter_mut().zip(&polled) {
            if poll.revents != 0 {
                worker.read()?;
            }
        }
        Ok(())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            worker.stdin = None;
        }
        let calm = Instant::now() + if signals::stopped() { Duration::ZERO } else { FAREWELL / 10 };
        let deadline = Instant::now() + FAREWELL;
        for worker in &mut self.workers {
            worker.end(calm, deadline);
        }
        (self.adapter.cleanup)(&self.link);
    }
}

/// One worker process.
struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    unread: Vec<u8>,
    lines: VecDeque<String>,
    ended: bool,
}

impl Worker {
    fn start(program: &Path, arguments: &[String], inherited: &[RawFd]) -> Result<Worker> {
        let inherited = inherited.to_vec();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let prepare_child = move || {
            for &fd in &inherited {
                // SAFETY: fcntl on a descriptor of ours; async-signal-safe.
                unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
            }
            // SAFETY: both calls take numbers only and are async-signal-safe. Ctrl-C is for the
            // coordinator; a worker gets SIGTERM when the coordinator dies.
            unsafe {
                libc::signal(libc::SIGINT, libc::SIG_IGN);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            }
            Ok(())
        };
        // SAFETY: the closure makes async-signal-safe calls only and does not allocate.
        unsafe { command.pre_exec(prepare_child) };
        let mut child =
            command.spawn().map_err(|error| Error(format!("starting {}: {error}", program.display())))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.ok_or("the worker has no standard output")?;
        Ok(Worker { child, stdin, stdout, unread: Vec::new(), lines: VecDeque::new(), ended: false })
    }

    fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().ok_or("the worker is ending")?;
        Ok(stdin.write_all(format!("{line}\n").as_bytes())?)
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 1024];
        let count = self.stdout.read(&mut buffer)?;
        self.ended = count == 0;
        self.unread.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            self.lines.push_back(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        Ok(())
    }

    fn failure(&self) -> Option<Error> {
        let failed = self.lines.iter().find_map(|line| line.strip_prefix("fail "));
        let ended = (self.ended && self.lines.is_empty()).then_some("a worker ended without a word");
        failed.or(ended).map(Error::from)
    }

    /// Waits for the worker to end by itself until `calm`, then asks it to, then kills it.
    fn end(&mut self, calm: Instant, deadline: Instant) {
        let pid = self.child.id() as libc::pid_t;
        let mut asked = false;
        while let Ok(None) = self.child.try_wait() {
            let now = Instant::now();
            if now > deadline {
                let _already_ended = self.child.kill();
                let _reaped = self.child.wait();
                return;
            }
            if now > calm && !asked {
                // SAFETY: a child of ours that has not been waited for, so the number is still its own.
                unsafe { libc::kill(pid, libc::SIGTERM) };
                asked = true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The span and the percentiles in `START END [P50 ...]`.
fn parse_done(rest: &str) -> Result<(Span, Vec<u64>)> {
    let numbers: Vec<u64> = rest.split(' ').map_while(|word| word.parse().ok()).collect();
    match numbers[..] {
        [start, end, ref percentiles @ ..] => Ok((Span { start, end }, percentiles.to_vec())),
        _ => Err(Error(format!("'done {rest}' lacks its times"))),
    }
}
