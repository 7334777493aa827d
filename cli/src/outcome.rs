//! What became of a command: its exit code, and what is said on standard error.

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

impl From<std::io::Error> for Outcome {
    fn from(error: std::io::Error) -> Outcome {
        Outcome::Failed(error.to_string())
    }
}

impl Termination for Outcome {
    fn report(self) -> ExitCode {
        let (code, text) = match self {
            Outcome::Done => return ExitCode::SUCCESS,
            Outcome::Failed(text) => (1, text),
            Outcome::Usage(text) => (2, text),
            Outcome::Interrupted => (130, "interrupted".to_owned()),
        };
        anstream::eprintln!("ipcx: {text}");
        ExitCode::from(code)
    }
}
