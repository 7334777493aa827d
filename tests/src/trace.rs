//! Counts the system calls of a peer between its marks, by ptrace: needs no other program.

use crate::{Language, Peer, Place};
use std::mem::{size_of, zeroed};
use std::os::unix::process::CommandExt;

/// The call that marks: nobody else makes it.
const MARK: u64 = libc::SYS_getppid as u64;

/// Runs a peer to its end, and says for each pair of marks how many system calls were made between them.
///
/// # Panics
/// If tracing is not permitted, or the peer does not exit with 0.
pub fn calls_between_marks(language: Language, place: &Place, arguments: &[&str]) -> Vec<u64> {
    let mut command = language.peer();
    command.args(arguments);
    // SAFETY: ptrace is one system call, which a forked child may make.
    unsafe {
        command.pre_exec(|| match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let peer = Peer::run(format!("traced {language:?} peer {arguments:?}"), place, command);
    let tracer = Tracer { pid: peer.id() as libc::pid_t };
    let mut counts = Counts::default();
    assert!(libc::WIFSTOPPED(tracer.wait()), "it stops at its start");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    tracer.request(libc::PTRACE_SETOPTIONS, 0, options as usize);
    let mut signal = 0;
    loop {
        tracer.request(libc::PTRACE_SYSCALL, 0, signal);
        let status = tracer.wait();
        if !libc::WIFSTOPPED(status) {
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{language:?}: {status:#x}");
            return counts.between;
        }
        signal = 0;
        match libc::WSTOPSIG(status) {
            stop if stop == libc::SIGTRAP | 0x80 => counts.see(tracer.entered()),
            other => signal = other as usize, // its own; let it have it
        }
    }
}

#[derive(Default)]
struct Counts {
    /// True between the first and the second mark of a pair.
    open: bool,
    between: Vec<u64>,
}

impl Counts {
    fn see(&mut self, call: Option<u64>) {
        match call {
            Some(MARK) if self.open => self.open = false,
            Some(MARK) => {
                self.open = true;
                self.between.push(0);
            }
            Some(_) if self.open => *self.between.last_mut().expect("pushed when it was opened") += 1,
            _ => {}
        }
    }
}

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

    fn request(&self, request: libc::c_uint, at: usize, data: usize) -> libc::c_long {
        // SAFETY: `data` is a number, or points to a struct of the size in `at` (see `entered`).
        let result = unsafe { libc::ptrace(request, self.pid, at, data) };
        assert!(result >= 0, "ptrace: {}", std::io::Error::last_os_error());
        result
    }

    /// The call that the stopped peer is about to make; `None` if it comes back from one.
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
