//! Every system call of every operation fails, with each error that it may give. Whatever the operation makes of it: it returns, the
//! same call works when it is made again, no message is lost or comes twice, and no descriptor and no name is left.
//!
//! Each case is a process forked from the test, which traces it.

use crate::child::{descriptors, Child};
use crate::tracer::{trace, traced};
use crate::{errors, has, options, turn, Name, HANG};
use ipcx::{ChildPipes, Deadline, Error, Receiver, Result, Sender, Transport, TransportOptions};
use ipcx_tests::Place;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// Not made to fail: what is about memory ends a process in Rust, closing has no remedy, a queue that is not unlinked stays, and
/// nothing is to be done about the others.
const SPARED: [libc::c_long; 10] = [
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_close,
    libc::SYS_mq_unlink,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
];
const SOON: Duration = Duration::from_secs(5);
const LONG: usize = 100_000;
/// In place of a message's length.
const DESCRIPTOR: usize = usize::MAX;

/// What operations work on.
struct Stage {
    transport: Transport,
    options: TransportOptions,
    name: String,
    file: Rc<File>,
    tx: Option<Sender>,
    rx: Option<Receiver>,
    got: Option<OwnedFd>,
    pipes: Option<ChildPipes>,
    /// Messages under way, by their length.
    sent: Vec<usize>,
}

impl Stage {
    fn new(transport: Transport, name: &str, place: &Place) -> Stage {
        let (options, name) = (options(place), name.to_owned());
        let file = Rc::new(File::open("/proc/self/exe").expect("this program"));
        Stage { transport, options, name, file, tx: None, rx: None, got: None, pipes: None, sent: Vec::new() }
    }

    fn named(&self) -> bool {
        self.transport != Transport::Pipe
    }

    fn tx(&mut self) -> &mut Sender {
        self.tx.as_mut().expect("a sender")
    }

    fn rx(&mut self) -> &mut Receiver {
        self.rx.as_mut().expect("a receiver")
    }

    // ---- Operations ----

    fn receiver(&mut self) -> Result<()> {
        self.rx = Some(self.transport.receiver(&self.name, &self.options)?);
        Ok(())
    }

    fn sender(&mut self) -> Result<()> {
        self.tx = Some(self.transport.sender(&self.name, &self.options)?);
        Ok(())
    }

    fn pair(&mut self) -> Result<()> {
        let (tx, rx) = self.transport.pair(&self.options)?;
        (self.tx, self.rx) = (Some(tx), Some(rx));
        Ok(())
    }

    fn send_of(&mut self, len: usize, deadline: Deadline) -> Result<()> {
        self.tx().send_until(&vec![len as u8; len], deadline)?;
        self.sent.push(len);
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.send_of(100, Deadline::within(SOON))
    }

    /// Part of a message, the rest of which goes when there is room.
    fn send_long(&mut self) -> Result<()> {
        self.send_of(LONG, Deadline::NOW)
    }

    fn send_file(&mut self) -> Result<()> {
        let file = Rc::clone(&self.file);
        let len = self.tx().send_file_until(file.as_fd(), 5, 3000, Deadline::within(SOON))?;
        self.sent.push(len);
        Ok(())
    }

    fn send_fd(&mut self) -> Result<()> {
        let file = Rc::clone(&self.file);
        self.tx().send_fd_until(file.as_fd(), Deadline::within(SOON))?;
        self.sent.push(DESCRIPTOR);
        Ok(())
    }

    fn recv_fd(&mut self) -> Result<()> {
        self.got = Some(self.rx().recv_fd_until(Deadline::within(SOON))?);
        assert_eq!(self.sent.remove(0), DESCRIPTOR);
        Ok(())
    }

    fn recv(&mut self) -> Result<()> {
        let mut buffer = [0; 8192];
        let len = self.rx().recv_timeout(&mut buffer, SOON)?;
        assert_eq!(len, self.sent.remove(0));
        Ok(())
    }

    fn recv_nothing(&mut self) -> Result<()> {
        let nothing = self.rx().recv_timeout(&mut [0; 8192], Duration::from_millis(1));
        match nothing {
            Err(Error::TimedOut(_)) => Ok(()),
            other => other.map(drop),
        }
    }

    fn poll_both(&mut self) -> Result<()> {
        self.rx().poll_fd()?;
        self.tx().poll_fd().map(drop)
    }

    fn signal(&mut self) -> Result<()> {
        self.rx().signal(Some(libc::SIGRTMIN()))
    }

    /// As a receiver whose sender went.
    fn recv_from_the_next(&mut self) -> Result<()> {
        match self.rx().try_recv(&mut [0; 8192]) {
            Err(Error::Closed(_) | Error::WouldBlock(_)) => Ok(()),
            other => other.map(drop),
        }
    }

    fn drop_both(&mut self) -> Result<()> {
        (self.tx, self.rx) = (None, None);
        if self.transport != Transport::MessageQueue {
            self.sent.clear(); // that one keeps it
        }
        Ok(())
    }

    fn unlink(&mut self) -> Result<()> {
        match self.transport.unlink(&self.name, &self.options) {
            Err(Error::NotFound(_)) => Ok(()), // an earlier try took it
            done => done,
        }
    }

    fn child(&mut self) -> Result<()> {
        self.pipes = Some(ChildPipes::new()?.0);
        Ok(())
    }

    // ---- Start states ----

    fn nothing(&mut self) {}

    fn ends(&mut self) {
        if self.named() { self.receiver().and_then(|()| self.sender()) } else { self.pair() }.expect("ends");
    }

    fn a_receiver(&mut self) {
        self.receiver().expect("a receiver");
    }

    fn a_sender_first(&mut self) {
        self.sender().and_then(|()| self.receiver()).expect("ends");
    }

    fn one_message(&mut self) {
        self.ends();
        self.send().expect("room");
    }

    fn watched(&mut self) {
        self.one_message();
        self.poll_both().expect("descriptors");
    }

    fn watched_before(&mut self) {
        self.receiver().expect("a receiver");
        self.rx().poll_fd().expect("a descriptor");
        self.sender().and_then(|()| self.send()).expect("room");
    }

    fn told(&mut self) {
        self.ends();
        // SAFETY: ignores a signal in this process.
        unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
        self.signal().expect("nobody else is told");
    }

    fn one_descriptor(&mut self) {
        self.pair().and_then(|()| self.send_fd()).expect("room");
    }

    fn left(&mut self) {
        self.watched();
        self.recv().expect("a message");
        self.tx = None;
        assert!(matches!(self.rx().recv_timeout(&mut [0; 8], SOON), Err(Error::Closed(_))));
    }

    // ---- And then ----

    /// Everything that was sent comes, and one more message.
    fn finish(mut self) {
        if self.tx.is_some() != self.rx.is_some() || (self.sent.is_empty() && self.tx.is_none()) {
            if self.rx.is_none() && self.named() {
                self.receiver().expect("a receiver");
            }
            if self.tx.is_none() && self.named() {
                self.sender().expect("a sender");
            }
        }
        if self.tx.is_some() && self.rx.is_some() {
            self.exchange();
        }
        let name = self.named().then(|| (self.transport, self.name.clone(), self.options.clone()));
        drop(self);
        if let Some((transport, name, options)) = name {
            let _ = transport.unlink(&name, &options); // Also where there is none.
        }
    }

    fn exchange(&mut self) {
        let (mut tx, mut rx) = (self.tx.take().expect("a sender"), self.rx.take().expect("a receiver"));
        let mut expected = std::mem::take(&mut self.sent);
        if self.transport == Transport::Buffer {
            tx.send(&[77; 77]).expect("a buffer is never full");
            expected.clear(); // The newest is what counts.
        }
        expected.push(77);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Err(error) = tx.send_timeout(&[77; 77], SOON) {
                    assert!(matches!(error, Error::Closed(_)), "{error}");
                }
            });
            let mut buffer = vec![0; LONG];
            for len in expected {
                assert!(is_told(&mut rx), "{}: its descriptor does not tell", self.transport);
                if len == DESCRIPTOR {
                    rx.recv_fd_until(Deadline::within(SOON)).expect("a descriptor");
                    continue;
                }
                let got = (0..4).find_map(|_| match rx.recv_timeout(&mut buffer, SOON) {
                    Err(Error::Closed(_)) => {
                        assert!(is_told(&mut rx), "{}: it does not tell of the next", self.transport);
                        None // of a connection that failed
                    }
                    got => Some(got),
                });
                assert_eq!(got.expect("a sender").expect("a message"), len, "{}", self.transport);
            }
            if self.transport != Transport::Buffer {
                assert!(matches!(rx.try_recv(&mut buffer), Err(Error::WouldBlock(_))), "once");
            }
        });
    }
}

/// Whoever waits for the descriptor hears that there is something.
fn is_told(rx: &mut Receiver) -> bool {
    let fd = rx.poll_fd().expect("a descriptor").as_raw_fd();
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives through the call.
    unsafe { libc::poll(&mut poll, 1, SOON.as_millis() as i32) == 1 }
}

/// What is done, and from where it begins.
struct Scenario {
    transport: Transport,
    name: &'static str,
    begin: fn(&mut Stage),
    run: fn(&mut Stage) -> Result<()>,
}

fn scenarios() -> Vec<Scenario> {
    use Transport::{Buffer, Fifo, MessageQueue, Pipe, Ring, Unix};
    type Line = (&'static str, fn(&mut Stage), fn(&mut Stage) -> Result<()>, &'static [Transport]);
    let lines: &[Line] = &[
        ("pair", Stage::nothing, Stage::pair, &[Pipe, Unix, MessageQueue, Ring, Buffer]),
        ("receiver", Stage::nothing, Stage::receiver, &[Fifo, Unix, MessageQueue, Ring, Buffer]),
        ("sender", Stage::a_receiver, Stage::sender, &[Fifo, Unix, MessageQueue, Ring, Buffer]),
        ("sender first", Stage::nothing, Stage::sender, &[Fifo, Unix]),
        ("send, connecting", Stage::a_sender_first, Stage::send, &[Fifo, Unix]),
        ("send", Stage::one_message, Stage::send, &[Pipe, Fifo, Unix, MessageQueue]),
        ("send of a part", Stage::ends, Stage::send_long, &[Pipe, Fifo]),
        ("send of a file", Stage::ends, Stage::send_file, &[Pipe, Fifo, Unix, MessageQueue, Ring, Buffer]),
        ("send of a descriptor", Stage::pair_only, Stage::send_fd, &[Unix]),
        ("recv", Stage::one_message, Stage::recv, &[Pipe, Fifo, Unix, MessageQueue]),
        ("recv, accepting", Stage::watched_before, Stage::recv, &[Fifo, Unix]),
        ("recv of nothing", Stage::ends, Stage::recv_nothing, &[Pipe, Fifo, Unix, MessageQueue]),
        ("recv of nothing, armed", Stage::told, Stage::recv_nothing, &[MessageQueue]),
        ("recv of a descriptor", Stage::one_descriptor, Stage::recv_fd, &[Unix]),
        ("recv from the next", Stage::left, Stage::recv_from_the_next, &[Fifo, Unix]),
        ("poll_fd", Stage::one_message, Stage::poll_both, &[Pipe, Fifo, Unix, MessageQueue]),
        ("signal", Stage::one_message_ignored, Stage::signal, &[MessageQueue]),
        ("drop", Stage::watched, Stage::drop_both, &[Pipe, Fifo, Unix, MessageQueue]),
        ("unlink", Stage::dropped, Stage::unlink, &[Fifo, Unix]),
        ("child pipes", Stage::nothing, Stage::child, &[Pipe]),
    ];
    lines
        .iter()
        .flat_map(|(name, begin, run, transports)| {
            transports.iter().map(|transport| Scenario {
                transport: *transport,
                name,
                begin: *begin,
                run: *run,
            })
        })
        .filter(|scenario| has(scenario.transport))
        .collect()
}

impl Stage {
    fn pair_only(&mut self) {
        self.pair().expect("a pair");
    }

    fn one_message_ignored(&mut self) {
        self.one_message();
        // SAFETY: ignores a signal in this process.
        unsafe { libc::signal(libc::SIGRTMIN(), libc::SIG_IGN) };
    }

    fn dropped(&mut self) {
        self.ends();
        self.drop_both().expect("no error");
    }
}

/// In the process that is traced.
fn play(scenario: &Scenario, place: &Place, name: &str) {
    // SAFETY: of this process.
    unsafe { libc::alarm(HANG.as_secs() as u32) };
    let before = descriptors();
    let mut stage = Stage::new(scenario.transport, name, place);
    (scenario.begin)(&mut stage);
    let first = traced(|| (scenario.run)(&mut stage));
    again(scenario, &mut stage, first);
    stage.finish();
    assert_eq!(descriptors(), before, "descriptors are left open");
}

/// The same call works when it is made again, or says what it always says.
fn again(scenario: &Scenario, stage: &mut Stage, first: Result<()>) {
    let mut result = first;
    for _ in 0..4 {
        match result {
            Ok(()) => return,
            // What is begun and cannot be finished is lost, and the sender with it, if it has no name.
            Err(Error::Corrupt(_) | Error::Closed(_)) if scenario.name == "send of a file" => {
                let closed = stage.rx().try_recv(&mut [0; 8192]);
                assert!(matches!(closed, Err(Error::PeerDead(_) | Error::Closed(_))), "{closed:?}");
                (stage.tx, stage.rx) = (None, None);
                return;
            }
            // A part is there, now at the latest; the rest goes with the next message.
            Err(Error::WouldBlock(_)) if scenario.name == "send of a part" => {
                assert!(matches!((scenario.run)(stage), Err(Error::WouldBlock(_))));
                return stage.sent.push(LONG);
            }
            Err(_) => result = (scenario.run)(stage),
        }
    }
    panic!("it never works again: {result:?}");
}

#[test]
fn whatever_system_call_fails_the_next_call_works_and_nothing_is_left() {
    let _turn = turn();
    let (scenarios, mut cases) = (scenarios(), 0);
    for scenario in &scenarios {
        let (place, name) = (Place::new(), Name::new());
        let try_it = |fail| {
            let (calls, status) = trace(Child::new(|| play(scenario, &place, &name.0)), fail);
            let what = || format!("{} {}: {fail:?} of {calls:?}", scenario.transport, scenario.name);
            assert_eq!(status, 0, "{}", what());
            assert_eq!(place.files(), [""; 0], "{}", what());
            calls
        };
        for (at, number) in try_it(None).iter().enumerate() {
            if !SPARED.contains(&(*number as libc::c_long)) {
                errors::of(*number).iter().for_each(|errno| drop(try_it(Some((at, *errno)))));
                cases += errors::of(*number).len();
            }
        }
    }
    let operations = scenarios.len();
    println!(
        "figures: transports, failing calls | {operations} operations, {cases} errors of system calls | 0"
    );
}
