//! What became of a command: its exit code, and what is said on standard error.

use std::io::ErrorKind;
use std::process::{ExitCode, Termination};

/// 0, or the exit code and what is said.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed(String),
    /// 2: the command line makes no sense.
    Usage(String),
    /// 3: there is no such thing.
    NotFound(String),
    /// 4: the time was over, or there was nothing.
    TimedOut(String),
    /// 5: the peer died, or what is in memory is not what ipcx writes.
    Dead(String),
    /// 130: interrupted.
    Interrupted,
}

impl From<Result<(), Outcome>> for Outcome {
    fn from(result: Result<(), Outcome>) -> Outcome {
        result.err().unwrap_or(Outcome::Done)
    }
}

impl From<ipcx_bench::Error> for Outcome {
    fn from(error: ipcx_bench::Error) -> Outcome {
        match ipcx_bench::signals::stopped() {
            true => Outcome::Interrupted,
            false => Outcome::Failed(error.to_string()),
        }
    }
}

impl From<ipcx::Error> for Outcome {
    fn from(error: ipcx::Error) -> Outcome {
        use ipcx::Error::{Corrupt, Interrupted, Invalid, NotFound, PeerDead, TimedOut, Version, WouldBlock};
        let text = error.to_string();
        match error {
            Interrupted => Outcome::Interrupted,
            Invalid(_) => Outcome::Usage(text),
            NotFound(_) => Outcome::NotFound(text),
            TimedOut(_) | WouldBlock(_) => Outcome::TimedOut(text),
            PeerDead(_) | Corrupt(_) | Version(_) => Outcome::Dead(text),
            _ => Outcome::Failed(text),
        }
    }
}

/// Of standard output and the like: whoever does not read on has seen enough.
impl From<std::io::Error> for Outcome {
    fn from(error: std::io::Error) -> Outcome {
        match error.kind() {
            ErrorKind::BrokenPipe => Outcome::Done,
            ErrorKind::Interrupted => Outcome::Interrupted,
            _ => Outcome::Failed(error.to_string()),
        }
    }
}

impl Termination for Outcome {
    fn report(self) -> ExitCode {
        let (code, text) = match self {
            Outcome::Done => return ExitCode::SUCCESS,
            Outcome::Failed(text) => (1, text),
            Outcome::Usage(text) => (2, text),
            Outcome::NotFound(text) => (3, text),
            Outcome::TimedOut(text) => (4, text),
            Outcome::Dead(text) => (5, text),
            Outcome::Interrupted => (130, "interrupted".to_owned()),
        };
        anstream::eprintln!("ipcx: {text}");
        ExitCode::from(code)
    }
}
