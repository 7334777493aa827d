//! SIGKILL at every instruction of every operation, and what the survivors make of it.
//!
//! ```text
//! cargo test --release -p ipcx-tests --test crash -- [FILTER [CASE]]
//! ```
//!
//! Without the environment variable `IPCX_SECONDS` a share that takes about a minute: each distinct image of each operation, and some
//! of the rest. With it, every case in random order until they are through or so many seconds are over. FILTER is
//! part of a scenario's name, and CASE one that a failure printed. A scenario is an operation in a start state.
//!
//! | file | what is in it |
//! |---|---|
//! | `victim.c` | the operations, between two marks |
//! | `tracee` | a victim as a stopped process: steps, breakpoints, system calls, death |
//! | `image` | what the files are like between two instructions |
//! | `stage` | what a sweep needs to know of an operation |
//! | `ring`, `segment` | start states, and survivors who finish |
//! | `sweep` | single cases |
//! | `errors` | errors that a system call may give |
//! | `plan` | which cases are tried, by how many workers, and the figures |
//!
//! The process of the tests is the survivor; the victims are C programs with the release library.

mod errors;
mod image;
mod plan;
mod ring;
mod segment;
mod stage;
mod sweep;
mod tracee;

fn main() -> std::process::ExitCode {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the tracer steps x86-64 code only");
        return std::process::ExitCode::SUCCESS;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let scenarios = segment::scenarios().into_iter().chain(ring::scenarios()).collect();
    plan::carry_out(scenarios, words.first().map_or("", String::as_str), words.get(1).map(String::as_str))
}
