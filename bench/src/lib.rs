//! Benchmarks of ipcx against floors that no software can beat and against what a user would pick
//! instead, in one interleaved run. Two programs are made of it: `ipcx-bench`, the project's own table of figures
//! with targets, and `ipcx bench`, with which a user finds out what is fast on a machine.
//!
//! A figure is a **ratio inside one run**: absolute times drift on shared machines, the quotient of
//! two neighbouring rounds does not. The pieces, from the outside in:
//!
//! | module | what it holds |
//! |---|---|
//! | [`options`], [`rows`], [`report`] | `ipcx-bench`: its command line, every figure with its target, its tables |
//! | [`suite`] | `ipcx bench`: its contenders, its plan, its tables, JSON and chart |
//! | [`schedule`] | warm-up, calibration and the A B B A order of rounds |
//! | [`pair`] | one case: two worker processes, started once and run on command |
//! | [`worker`], [`loops`] | the process side: pinning, the line protocol, the message loops |
//! | [`adapters`] | the table of contenders, one file each |
//! | [`endpoint`] | the interface that a contender implements |
//! | [`audience`] | the loops of a publisher, and of those who receive what they can |
//! | [`lender`], [`pairs`] | the same for contenders that lend blocks: the interface and the loop |
//! | [`table`], [`chart`] | tables of text, and panels of lines as SVG |
//!
//! To add a contender, write one file in `adapters/` that implements [`endpoint::Endpoint`], add its
//! line to [`adapters::TABLE`], and name it in a row of [`rows`]. It is checked for correctness, every
//! byte of every message, before it is timed.

// Floors are made of raw atomics and raw system calls: that is what they are for.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod adapters;
pub mod artifact;
pub mod audience;
pub mod chart;
pub mod endpoint;
pub mod host;
pub mod lender;
pub mod loops;
pub mod memory;
pub mod options;
pub mod pair;
pub mod pairs;
pub mod payload;
pub mod progress;
pub mod report;
pub mod rows;
pub mod schedule;
pub mod signals;
pub mod startup;
pub mod stats;
pub mod suite;
pub mod table;
pub mod worker;
pub mod workload;

/// An error that ends a case or the run, as text for the person who runs the benchmark.
#[derive(Debug)]
pub struct Error(pub String);

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error(error.to_string())
    }
}

impl From<ipcx::Error> for Error {
    fn from(error: ipcx::Error) -> Error {
        Error(error.to_string())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Error {
        Error(text)
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Error {
        Error(text.to_owned())
    }
}

/// Adds what was being done to an error of any type.
pub fn while_doing<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Error + '_ {
    move |error| Error(format!("{what}: {error}"))
}
