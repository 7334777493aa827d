//! Peers as processes. Every wait for one has a limit, and one that is dropped is killed and reaped.

use crate::Place;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Longer than anything here may take on a busy machine: what is not over by then hangs.
pub const LIMIT: Duration = Duration::from_secs(60);

/// How a peer sends and receives: blocking, not blocking, in batches, in place.
pub const MODES: [&str; 4] = ["wait", "try", "many", "place"];

/// The language of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Through `ipcx.h` and `libipcx.so`.
    C,
    /// Through the crate.
    Rust,
    /// Through the package.
    Python,
}

/// Which end of the ring a peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sends.
    Producer,
    /// It receives.
    Consumer,
}

/// How a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this status: 0 all is well, 1 it saw something wrong and said what, 5 the other side died.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Ending {
        status.code().map_or_else(|| Ending::Killed(status.signal().unwrap_or(0)), Ending::Exited)
    }
}

/// The monotonic clock in nanoseconds, as peers print it.
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: fills the struct given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the repository")
}

/// Where cargo puts what this build makes: `target/proofs`, or `target/debug`.
fn build_directory() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.parent().and_then(Path::parent).expect("target/PROFILE/deps").to_owned()
}

fn library() -> PathBuf {
    let built = || build_directory().with_file_name("release").join("libipcx.so");
    let library = std::env::var_os("IPCX_LIBRARY").map_or_else(built, PathBuf::from);
    assert!(library.exists(), "{} is missing: run `cargo build-c`, or set IPCX_LIBRARY", library.display());
    library
}

/// Compiles a C program of the repository against the header and the release library, and says where it is.
///
/// # Panics
/// If it does not compile.
pub fn compile(source: &str) -> PathBuf {
    let source = &root().join(source);
    let library = library();
    let directory = library.parent().expect("inside a directory");
    let out = build_directory().with_file_name("tests");
    std::fs::create_dir_all(&out).expect("a directory for programs");
    let name = source.file_stem().expect("a name").to_string_lossy();
    let (program, partial) = (out.join(&*name), out.join(format!("{name}.{}", std::process::id())));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(&compiler)
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("include"))
        .arg(source)
        .arg("-o")
        .arg(&partial)
        .arg(format!("-L{}", directory.display()))
        .arg(format!("-Wl,-rpath,{}", directory.display()))
        .arg("-lipcx")
        .status();
    let status = status.unwrap_or_else(|error| panic!("{compiler:?}, which compiles C: {error}; set CC"));
    assert!(status.success(), "{} does not compile", source.display());
    // Whole or not at all, for tests that run at the same time.
    std::fs::rename(&partial, &program).expect("a program in its place");
    program
}

fn interpreter() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let environment = std::env::var_os("IPCX_PYTHON").map(PathBuf::from);
        let python = environment.unwrap_or_else(|| root().join(".venv/bin/python"));
        let check = Command::new(&python).args(["-c", "import ipcx"]).status();
        assert!(
            check.as_ref().is_ok_and(ExitStatus::success),
            "{} cannot import ipcx ({check:?}): install the package there (`maturin develop --release`), or set \
             IPCX_PYTHON",
            python.display()
        );
        python
    })
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 3] = [Language::C, Language::Rust, Language::Python];

    /// The peer program, with everything made that it needs.
    pub(crate) fn peer(self) -> Command {
        self.program("peer")
    }

    /// A program of `peers`, such as `peer`, with everything made that it needs.
    pub fn program(self, name: &'static str) -> Command {
        static C: Mutex<BTreeMap<&str, PathBuf>> = Mutex::new(BTreeMap::new());
        match self {
            Language::C => {
                let mut compiled = C.lock().unwrap_or_else(PoisonError::into_inner);
                let source = || compile(&format!("tests/peers/{name}.c"));
                Command::new(compiled.entry(name).or_insert_with(source))
            }
            Language::Rust => Command::new(build_directory().join(name)),
            Language::Python => {
                let mut command = Command::new(interpreter());
                command.arg(root().join(format!("tests/peers/{name}.py")));
                command
            }
        }
    }

    /// An example of the repository, such as `hello_send`.
    pub fn example(self, name: &str) -> Command {
        match self {
            Language::C => Command::new(compile(&format!("examples-c/{name}.c"))),
            Language::Rust => Command::new(build_directory().join(name)),
            Language::Python => {
                let mut command = Command::new(interpreter());
                command.arg(root().join(format!("examples/{name}.py")));
                command
            }
        }
    }
}

impl Role {
    /// Both.
    pub const ALL: [Role; 2] = [Role::Producer, Role::Consumer];

    /// The peer's word for it.
    pub fn verb(self) -> &'static str {
        match self {
            Role::Producer => "send",
            Role::Consumer => "recv",
        }
    }
}

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    what: String,
    child: Child,
    /// Kept apart from `child`, whose `wait` would close it.
    input: Option<ChildStdin>,
    pidfd: OwnedFd,
}

impl Peer {
    /// Starts `peer` of a language with these arguments; it finds the place's segments by name.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(language: Language, place: &Place, arguments: &[&str]) -> Peer {
        let mut command = language.peer();
        command.args(arguments);
        Peer::run(format!("{language:?} peer {arguments:?}"), place, command)
    }

    /// As [`Peer::start`], with another program in front, such as `unshare`.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_under(wrapper: &[&str], language: Language, place: &Place, arguments: &[&str]) -> Peer {
        let peer = language.peer();
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(peer.get_program()).args(peer.get_args()).args(arguments);
        Peer::run(format!("{wrapper:?} {language:?} peer {arguments:?}"), place, command)
    }

    /// Starts any program in the place, with pipes for its input and output.
    ///
    /// # Panics
    /// If it does not start.
    pub fn run(what: String, place: &Place, mut command: Command) -> Peer {
        command.env("IPCX_DIR", place.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
        // SAFETY: no memory is involved; the child is not reaped yet, so the number is its own.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.id(), 0) } as i32;
        assert!(fd >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
        // SAFETY: a new descriptor that nobody else has.
        let pidfd = unsafe { OwnedFd::from_raw_fd(fd) };
        let input = child.stdin.take();
        Peer { what, child, input, pidfd }
    }

    /// Process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: libc::c_int) {
        // SAFETY: no memory is involved; the child is not reaped while this value lives unfinished.
        unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
    }

    /// SIGKILL; its end is for [`Peer::wait`] to see.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Stops it, and returns when it has stopped.
    ///
    /// # Panics
    /// If it ended instead.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: fills `status`; with WUNTRACED it returns for a stop as well as for the end.
        unsafe { libc::waitpid(self.child.id() as libc::pid_t, &mut status, libc::WUNTRACED) };
        assert!(libc::WIFSTOPPED(status), "{} ended instead of stopping", self.what);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    /// Closes its input, on which it waits.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Reads the next line of its output, up to its end.
    ///
    /// # Panics
    /// If none comes within the limit.
    pub fn line(&mut self) -> String {
        let output = self.child.stdout.as_mut().expect("a pipe");
        assert!(readable_within(output.as_raw_fd(), LIMIT), "{} says nothing", self.what);
        let mut line = Vec::new();
        // One byte at a time: nothing behind the line may be swallowed.
        BufReader::with_capacity(1, output).read_until(b'\n', &mut line).expect("its output");
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Everything it still says. Call after [`Peer::wait`].
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn rest(&mut self) -> String {
        let mut text = String::new();
        self.child.stdout.as_mut().expect("a pipe").read_to_string(&mut text).expect("its output");
        text
    }

    /// True if it has ended.
    pub fn is_over(&self) -> bool {
        readable_within(self.pidfd.as_raw_fd(), Duration::ZERO)
    }

    /// How it ended.
    ///
    /// # Panics
    /// If it has not within the limit: a hang.
    pub fn wait(&mut self) -> Ending {
        self.wait_within(LIMIT).unwrap_or_else(|| panic!("{} hangs", self.what))
    }

    /// How it ended, if it did within `limit`.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn wait_within(&mut self, limit: Duration) -> Option<Ending> {
        let over = readable_within(self.pidfd.as_raw_fd(), limit);
        over.then(|| Ending::from(self.child.wait().expect("a child to be reaped")))
    }

    /// Kills and reaps it; it must have been alive.
    ///
    /// # Panics
    /// If it had ended by itself: it saw something wrong, and said what.
    pub fn kill_and_reap(&mut self) {
        self.kill();
        assert_eq!(self.wait(), Ending::Killed(libc::SIGKILL), "{} ended by itself", self.what);
    }

    /// Waits for it to exit with 0.
    ///
    /// # Panics
    /// If it ends in any other way.
    pub fn succeed(&mut self) {
        assert_eq!(self.wait(), Ending::Exited(0), "{}", self.what);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a descriptor is readable; a pidfd is when its process has ended.
fn readable_within(fd: i32, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now()).as_millis() as i32;
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which lives through the call.
        match unsafe { libc::poll(&mut poll, 1, left) } {
            0 if left == 0 => return false,
            0 => {}
            1.. => return true,
            _ => assert_eq!(std::io::Error::last_os_error().kind(), std::io::ErrorKind::Interrupted),
        }
    }
}
