//! Hostile peers: whatever bytes another process writes anywhere into a segment, a call of ipcx returns data or an error. It
//! does not crash, touch what lies outside the segment, or take longer than its timeout.
//!
//! | file | what is in it |
//! |---|---|
//! | `bits` | every bit of a segment, flipped |
//! | `images` | random images of a segment |
//! | `live` | a peer that writes without pause, while ends in C, Python and Rust work |
//! | `attack` | the same three of any other kind, as `kind` knows it |
//! | `pool`, `buffer`, `semaphore`, `topic`, `service`, `queue` | what is particular to each of these |
//! | `refused` | a role that cannot be taken over |
//! | `segment`, `mix`, `words` | the hostile side: the segment as mapped words, and what is written there |
//! | `calls`, `exposed`, `endpoints.c`, `endpoints.py` | the exposed side: every call, in three languages |
//! | `guard` | what catches an access outside the mapping |
//! | `worker`, `tally` | exposed processes, watched from outside |
//!
//! Each proof has a quick share. With `IPCX_SECONDS=n` they go on to their full figures, or for n seconds together.

mod attack;
mod bits;
mod buffer;
mod calls;
mod exposed;
mod guard;
mod images;
mod kind;
mod live;
mod mix;
mod pool;
mod queue;
mod refused;
mod segment;
mod semaphore;
mod service;
mod tally;
mod topic;
mod words;
mod worker;
