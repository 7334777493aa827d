//! Victims under ptrace: stepped through one operation, instruction by instruction, and killed where the sweep says.
//!
//! One whole run is stepped, and tells the address of each instruction. From then on a victim gets to instruction n by a breakpoint
//! at the nearest address before it that the run came to seldom, and steps from there: a step costs two
//! exceptions and two switches between processes (32 µs in a virtual machine), a breakpoint the same only once.
//!
//! A [`Nursery`] has the programs `victim.c` and `src/bin/victim`, loaded and linked once; each victim is a fork of one of them, which is
//! quicker than a program's start and leaves the library as a fresh process has it. Addresses are not randomised and
//! nothing runs beside the victim, so the same operation takes the same steps again, but for the clock.

use ipcx_tests::Place;
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{kill, Signal};
use nix::sys::wait::{waitpid, WaitPidFlag, WaitStatus};
use nix::unistd::Pid;
use std::cell::Cell;
use std::io::Write;
use std::marker::PhantomData;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Offsets in the user area of x86-64, in bytes.
const RIP: usize = 16 * 8;
/// A breakpoint in the lowest byte of a word of code.
const INT3: i64 = 0xcc;

fn wait(pid: Pid) -> WaitStatus {
    waitpid(pid, Some(WaitPidFlag::__WALL)).expect("a tracee to wait for")
}

fn peek(pid: Pid, offset: usize) -> u64 {
    ptrace::read_user(pid, offset as ptrace::AddressType).expect("a stopped tracee's register") as u64
}

/// Begins the names of the operations of the program in Rust. All others are in C.
const IN_RUST: [&str; 5] = ["buffer_", "semaphore_", "topic_", "service_", "queue_"];

/// The programs from which victims are forked. ptrace binds them to the thread that made them.
#[derive(Debug)]
pub(crate) struct Nursery {
    c: Program,
    rust: Program,
}

/// One of them.
#[derive(Debug)]
struct Program {
    child: Child,
    input: ChildStdin,
    thread: PhantomData<*const ()>,
}

impl Nursery {
    /// Starts the programs in a place, in which their victims find segments by name.
    ///
    /// # Panics
    /// If tracing is not permitted.
    pub(crate) fn start(place: &Place) -> Nursery {
        let c = ipcx_tests::compile("tests/crash/victim.c");
        let rust = Path::new(env!("CARGO_BIN_EXE_victim"));
        Nursery { c: Program::start(&c, place), rust: Program::start(rust, place) }
    }

    /// A victim, prepared and stopped right before its operation.
    ///
    /// # Panics
    /// If it does not come to its first mark.
    pub(crate) fn victim(&mut self, operation: &str, name: &str) -> Victim<'_> {
        let in_rust = IN_RUST.iter().any(|begins| operation.starts_with(begins));
        let program = if in_rust { &mut self.rust } else { &mut self.c };
        program.victim(operation, name)
    }
}

impl Program {
    fn start(program: &Path, place: &Place) -> Program {
        let mut command = Command::new(program);
        // Functions are looked up now, and not in the middle of an operation.
        command
            .env("IPCX_DIR", place.path())
            .env("LD_BIND_NOW", "1")
            .env("IPCX_TEST_KEY", crate::pool::key().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        // SAFETY: one system call, which a forked child may make.
        unsafe { command.pre_exec(|| Ok(personality::set(Persona::ADDR_NO_RANDOMIZE).map(drop)?)) };
        let mut child = command.spawn().expect("the program of the victims starts");
        let options =
            Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_EXITKILL | Options::PTRACE_O_TRACESYSGOOD;
        ptrace::seize(Pid::from_raw(child.id() as i32), options).expect("permission to trace a child");
        let input = child.stdin.take().expect("a pipe");
        Program { child, input, thread: PhantomData }
    }

    fn victim(&mut self, operation: &str, name: &str) -> Victim<'_> {
        self.input.write_all(format!("{operation} {name}\n").as_bytes()).expect("a living program");
        let own = Pid::from_raw(self.child.id() as i32);
        let status = wait(own);
        assert!(
            matches!(status, WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_FORK as i32),
            "the program forks: {status:?}"
        );
        let pid = Pid::from_raw(ptrace::getevent(own).expect("the child's number") as i32);
        let _ = wait(pid); // its first stop
        ptrace::cont(own, None).expect("a stopped program");
        let mut victim = Victim { pid, first: 0, mark: 0, returned: None, over: false, nursery: PhantomData };
        ptrace::cont(pid, None).expect("a stopped victim");
        victim.expect_trap(operation);
        victim.mark = peek(pid, RIP);
        victim.first = victim.result();
        victim
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // Its victims are gone: each borrowed it.
        let _ = self.child.wait();
    }
}

/// A process in the middle of one operation. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Victim<'a> {
    pid: Pid,
    /// What the first mark said.
    first: i64,
    /// Where the instruction pointer stands after a mark.
    mark: u64,
    /// What the operation returned, once it is behind it.
    returned: Option<i64>,
    over: bool,
    nursery: PhantomData<Cell<&'a ()>>,
}

/// A way to an instruction of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// A breakpoint here is to be reached so many times (0: none is set),
    address: u64,
    visits: u64,
    /// and then so many instructions are to be executed.
    steps: u64,
}

impl Route {
    /// To instruction `n` by single steps only.
    pub(crate) fn steps(n: u64) -> Route {
        Route { address: 0, visits: 0, steps: n }
    }

    /// The quickest to instruction `n` of a run that came to these addresses, each for the so-many-th time.
    pub(crate) fn along(places: &[(u64, u64)], n: u64) -> Route {
        /// How far back to look for a good place.
        const BACK: usize = 400;
        let n = (n as usize).min(places.len() - 1);
        let near = n.saturating_sub(BACK)..=n;
        let by_breakpoint = near.map(|place| {
            let (address, visits) = places[place];
            Route { address, visits, steps: (n - place) as u64 }
        });
        by_breakpoint.chain([Route::steps(n as u64)]).min_by_key(|route| route.cost()).expect("one at least")
    }

    /// About how many steps take as long.
    pub(crate) fn cost(&self) -> u64 {
        2 * self.visits + self.steps
    }
}

/// Where a victim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Before an instruction of its operation.
    Inside,
    /// Behind it, with what it returned.
    End(i64),
}

impl Victim<'_> {
    /// What the first mark said; see the victim's program.
    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    fn result(&self) -> i64 {
        ptrace::getregs(self.pid).expect("a stopped victim").rax as i64
    }

    fn expect_trap(&mut self, during: &str) {
        let status = wait(self.pid);
        self.over = matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
        assert!(matches!(status, WaitStatus::Stopped(_, Signal::SIGTRAP)), "{during}: the victim {status:?}");
    }

    fn at(&mut self) -> At {
        if peek(self.pid, RIP) == self.mark {
            let code = self.result();
            self.returned = Some(code);
            At::End(code)
        } else {
            At::Inside
        }
    }

    /// Executes one instruction; a system call is one.
    pub(crate) fn step(&mut self) -> At {
        ptrace::step(self.pid, None).expect("a stopped victim");
        self.expect_trap("a step");
        self.at()
    }

    /// Executes so many instructions, or to the end if that comes before.
    pub(crate) fn advance(&mut self, instructions: u64) -> At {
        for _ in 0..instructions {
            if let end @ At::End(_) = self.step() {
                return end;
            }
        }
        At::Inside
    }

    /// Follows a route.
    pub(crate) fn follow(&mut self, route: Route) -> At {
        let at = |address: u64| address as ptrace::AddressType;
        for visit in 0..route.visits {
            if visit > 0 {
                if let end @ At::End(_) = self.step() {
                    return end;
                }
            }
            let code = ptrace::read(self.pid, at(route.address)).expect("its code");
            ptrace::write(self.pid, at(route.address), code & !0xff | INT3).expect("its code");
            ptrace::cont(self.pid, None).expect("a stopped victim");
            self.expect_trap("the way to a breakpoint");
            if let end @ At::End(_) = self.at() {
                return end;
            }
            ptrace::write(self.pid, at(route.address), code).expect("its code");
            ptrace::write_user(self.pid, RIP as ptrace::AddressType, route.address as i64)
                .expect("its register");
        }
        self.advance(route.steps)
    }

    /// Address of the next instruction.
    pub(crate) fn address(&self) -> u64 {
        peek(self.pid, RIP)
    }

    /// Lets it finish its operation, and says what that returned.
    pub(crate) fn finish(&mut self) -> i64 {
        if let Some(code) = self.returned {
            return code;
        }
        ptrace::cont(self.pid, None).expect("a stopped victim");
        self.expect_trap("the rest of the operation");
        self.result()
    }

    /// Goes on to its next system call, and says which; `None` at the end of the operation.
    pub(crate) fn next_call(&mut self) -> Option<u64> {
        ptrace::syscall(self.pid, None).expect("a stopped victim");
        match wait(self.pid) {
            WaitStatus::PtraceSyscall(_) => {
                Some(ptrace::getregs(self.pid).expect("a stopped victim").orig_rax)
            }
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                self.returned = Some(self.result());
                None
            }
            status => {
                self.over = true;
                panic!("between system calls: the victim {status:?}")
            }
        }
    }

    /// Lets the call before which it stands happen, or fail with an error in its place. The victim stands behind it.
    pub(crate) fn call(&mut self, error: Option<i32>) {
        let set = |orig_rax: Option<u64>, rax: Option<u64>| {
            let mut registers = ptrace::getregs(self.pid).expect("a stopped victim");
            registers.orig_rax = orig_rax.unwrap_or(registers.orig_rax);
            registers.rax = rax.unwrap_or(registers.rax);
            ptrace::setregs(self.pid, registers).expect("a stopped victim");
        };
        if error.is_some() {
            set(Some(u64::MAX), None); // no such call: nothing happens
        }
        ptrace::syscall(self.pid, None).expect("a stopped victim");
        let status = wait(self.pid);
        assert!(matches!(status, WaitStatus::PtraceSyscall(_)), "behind a call: the victim {status:?}");
        if let Some(error) = error {
            set(None, Some(-i64::from(error) as u64));
        }
    }

    /// Makes the operation that failed again, and says what that returned.
    pub(crate) fn again(&mut self) -> i64 {
        self.returned = None;
        self.finish()
    }

    /// Descriptors that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("a living victim").count()
    }

    /// SIGKILL, here and now.
    pub(crate) fn kill(self) {}
}

impl Drop for Victim<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let _ = kill(self.pid, Signal::SIGKILL);
        while !matches!(wait(self.pid), WaitStatus::Signaled(..) | WaitStatus::Exited(..)) {}
    }
}
