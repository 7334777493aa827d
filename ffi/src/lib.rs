//! The C interface: libipcx.so and libipcx.a. `include/ipcx.h` is generated from these sources and is the manual.
//!
//! | file | what is in it |
//! |---|---|
//! | `handles` | every cast between a handle of C and the value behind it |
//! | `boundary` | the panic boundary, and the one place where a result becomes a code |
//! | `error` | codes, the thread's last error |
//! | `arguments` | strings, buffers, outputs and timeouts of C |
//! | `sized` | structs that begin with their size |
//! | `options`, `stats` | those of them that there are |
//! | `opening` | what the functions that open a segment share |
//! | `common` | version, names |
//! | `ring`, `producer`, `consumer`, `pool`, `buffer`, `semaphore`, `service`, `client`, `server`, `queue`, `topic`, `publisher`, `subscriber` | one type each |
//! | `any` | waiting for one of several |
//! | `list` | which segments there are |
//! | `transport`, `message` | ends of transports, and what goes through them |
//! | `child` | pipes to a child process |
//!
//! Each function does three things: it casts its handle, converts its arguments, and makes one call of the core.
//! Outputs are written last and only on success.

// The types are named as C names them.
#![allow(non_camel_case_types)]
// What C has to keep to is in each function's contract, and what holds for all of them in the header's introduction.
#![allow(clippy::missing_safety_doc)]

mod arguments;
mod boundary;
mod handles;
mod opening;
mod sized;

pub mod any;
pub mod buffer;
pub mod child;
pub mod client;
pub mod common;
pub mod consumer;
pub mod error;
pub mod list;
pub mod message;
pub mod options;
pub mod pool;
pub mod producer;
pub mod publisher;
pub mod queue;
pub mod ring;
pub mod semaphore;
pub mod server;
pub mod service;
pub mod stats;
pub mod subscriber;
pub mod topic;
pub mod transport;
