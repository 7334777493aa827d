//! A directory of the test's own in memory, removed whatever happens.
#![allow(dead_code, unreachable_pub, missing_docs)]

use ipcx::{RingOptions, SegmentOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/ipcx-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(format!("ipcx.{name}"))
    }

    pub fn options(&self) -> RingOptions {
        RingOptions { capacity: 4096, segment: self.segment() }
    }

    pub fn segment(&self) -> SegmentOptions {
        SegmentOptions { directory: Some(self.0.clone()), ..Default::default() }
    }

    /// Names in it.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(&self.0)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// For a test that is also its own child: what the parent handed over.
pub fn child_argument() -> Option<String> {
    std::env::var("IPCX_TEST_CHILD").ok()
}

/// A command that runs one test of this binary as a child.
pub fn child(test: &str, argument: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("IPCX_TEST_CHILD", argument);
    command
}

/// A child that was started, and is killed when dropped.
pub struct Started {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Started {
    pub fn new(mut command: Command) -> Started {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Started { child, lines }
    }

    /// Reads what it prints until a line ends with this.
    pub fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.trim_end().ends_with(text) {
            line.clear();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the child ended before it said {text:?}");
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn is_root() -> bool {
    // SAFETY: geteuid touches nothing.
    unsafe { libc::geteuid() == 0 }
}

/// Does this in a forked child, which must find it good. A panic there is not: otherwise the child would end with its one
/// thread, and with success.
pub fn in_child(work: impl FnOnce() -> bool) {
    // SAFETY: the child calls what is under test, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
        // SAFETY: ends the child without running the test harness's exit code.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!(status, 0, "the child's view");
}
