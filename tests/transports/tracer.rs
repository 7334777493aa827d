//! A forked process under ptrace, one system call of which fails.

use crate::child::Child;
use std::mem::{size_of, zeroed};

/// The call that marks: nobody else makes it.
const MARK: u64 = libc::SYS_getppid as u64;

/// In a process that is traced: what is done here is what is looked at.
pub(crate) fn traced<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: ptrace is one system call; the stop is for the tracer to see.
    unsafe {
        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
        libc::raise(libc::SIGSTOP);
    }
    mark();
    let value = work();
    mark();
    value
}

fn mark() {
    // SAFETY: takes nothing.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

/// Traces a process, in which this system call of what is [`traced`] fails with this error. Says which it made there, and how
/// the process ended.
pub(crate) fn trace(child: Child, fail: Option<(usize, i32)>) -> (Vec<u64>, i32) {
    let tracer = Tracer { pid: child.0 };
    assert!(libc::WIFSTOPPED(tracer.wait()), "it stops before it begins");
    tracer.request(
        libc::PTRACE_SETOPTIONS,
        0,
        (libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL) as usize,
    );
    let (mut marks, mut calls, mut signal, mut failing) = (0, Vec::new(), 0, None);
    loop {
        // Behind the second mark nothing is of interest.
        tracer.request(if marks == 2 { libc::PTRACE_CONT } else { libc::PTRACE_SYSCALL }, 0, signal);
        let status = tracer.wait();
        if !libc::WIFSTOPPED(status) {
            return (calls, status);
        }
        signal = 0;
        if libc::WSTOPSIG(status) != libc::SIGTRAP | 0x80 {
            signal = libc::WSTOPSIG(status) as usize;
            continue;
        }
        match tracer.entered() {
            Some(MARK) => marks += 1,
            Some(number) if marks == 1 => {
                calls.push(number);
                failing = fail.filter(|(call, _)| *call == calls.len() - 1).map(|(_, errno)| errno);
                if failing.is_some() {
                    tracer.set_register(ORIG_RAX, u64::MAX); // no such call
                }
            }
            Some(_) => {}
            None => {
                if let Some(errno) = failing.take() {
                    tracer.set_register(RAX, (-i64::from(errno)) as u64);
                }
            }
        }
    }
}

const RAX: usize = 10 * 8;
const ORIG_RAX: usize = 15 * 8;

struct Tracer {
    pid: libc::pid_t,
}

impl Tracer {
    fn wait(&self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: fills `status`.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, 0) };
        assert_eq!(pid, self.pid, "{}", std::io::Error::last_os_error());
        status
    }

    fn request(&self, request: libc::c_uint, at: usize, data: usize) {
        // SAFETY: `data` is a number, or points to a struct of the size in `at` (see `entered`).
        let result = unsafe { libc::ptrace(request, self.pid, at, data) };
        assert!(result >= 0, "ptrace: {}", std::io::Error::last_os_error());
    }

    fn set_register(&self, offset: usize, value: u64) {
        self.request(libc::PTRACE_POKEUSER, offset, value as usize);
    }

    /// The call that it is about to make; `None` if it comes back from one.
    fn entered(&self) -> Option<u64> {
        // SAFETY: numbers, for which zero is a value.
        let mut info: libc::ptrace_syscall_info = unsafe { zeroed() };
        let at = std::ptr::from_mut(&mut info) as usize;
        self.request(libc::PTRACE_GET_SYSCALL_INFO, size_of::<libc::ptrace_syscall_info>(), at);
        // SAFETY: all parts are numbers; it is one of a call only for the `op` asked for.
        let number = unsafe { info.u.entry.nr };
        (info.op == libc::PTRACE_SYSCALL_INFO_ENTRY).then_some(number)
    }
}
