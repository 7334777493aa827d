//! Processes forked from a test. They end when it does.

use std::io::Write;
use std::sync::atomic::AtomicU64;

/// Numbers that a test and the processes forked from it share.
pub(crate) fn shared<const N: usize>() -> &'static [AtomicU64; N] {
    let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of zeros, which stays.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), N * 8, access, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        &*at.cast()
    }
}

/// A forked process.
#[derive(Debug)]
pub(crate) struct Child(pub(crate) libc::pid_t);

impl Child {
    /// Does this in a process of its own, which exits with 0, or, after a panic, with 1.
    pub(crate) fn new(work: impl FnOnce()) -> Child {
        let _ = std::io::stdout().flush();
        // SAFETY: the child does what is under test, and exits. What other threads held is not used there.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: takes numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok();
            // SAFETY: ends the child without running the test harness's exit code.
            unsafe { libc::_exit(if good { 0 } else { 1 }) };
        }
        assert!(pid > 0, "{}", std::io::Error::last_os_error());
        Child(pid)
    }

    /// Kills and reaps it; it must have been alive.
    pub(crate) fn kill(self) {
        // SAFETY: a child that is not reaped.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        let status = self.reap(0).expect("waited for");
        assert!(libc::WIFSIGNALED(status), "a process saw something wrong, and said what");
    }

    /// How it ended, if it has.
    pub(crate) fn over(&self) -> Option<i32> {
        self.reap(libc::WNOHANG)
    }

    fn reap(&self, how: i32) -> Option<i32> {
        let mut status = 0;
        // SAFETY: a child that is not reaped.
        (unsafe { libc::waitpid(self.0, &mut status, how) } == self.0).then_some(status)
    }
}

/// Open descriptors of this process.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}
