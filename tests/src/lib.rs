//! What the tests across languages share.
//!
//! | file | what is in it |
//! |---|---|
//! | `place` | a private directory for segments, and the check that nothing is left in it |
//! | `stream` | the stream of records that peers of all languages make and check |
//! | `log` | what a peer was about, readable after it was killed |
//! | `process` | peers as processes: started, killed, stopped, waited for within a limit |
//! | `trace` | counting the system calls of a peer |
//! | `bin/peer.rs`, `../peers` | the peer program in Rust, C and Python |
//!
//! Each test runs peers of the three languages with the same command line. The C ones are built against
//! `include/ipcx.h` and the release `libipcx.so`, the Python ones run the interpreter that `IPCX_PYTHON` names, or
//! that of `.venv`. What is missing is a failure that says how to make it.

mod log;
mod place;
mod process;
mod random;
mod stream;
#[cfg(target_env = "gnu")] // what libc says of ptrace; peers for other targets do without
mod trace;

#[cfg(target_env = "gnu")]
pub use crate::trace::calls_between_marks;
pub use crate::{
    log::{Log, Word},
    place::Place,
    process::{compile, now, Ending, Language, Peer, Role, LIMIT, MODES},
    random::Random,
    stream::Stream,
};
