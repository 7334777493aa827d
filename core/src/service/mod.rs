//! Request and reply: clients call, servers answer, and a request is executed at most once.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the pages and words in shared memory |
//! | `protocol` | the memory, a cell's words, who serves, and what the dead leave |
//! | `asking`, `answering` | a client's and a server's side of it, over any memory |
//! | `memory` | the mapped memory |
//! | `handle` | `Service`: opening, clients and servers, statistics |
//! | `client`, `server` | the public ends |
//! | `request` | a request that a server has |
//! | `waitable` | both among several things to wait for |
//!
//! Loom models of the protocol are in `tests/model`.

pub(crate) mod answering;
pub(crate) mod asking;
pub(crate) mod layout;
pub(crate) mod protocol;

#[cfg(not(loom))]
mod client;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod request;
#[cfg(not(loom))]
mod server;
#[cfg(not(loom))]
mod waitable;

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(not(loom))]
use crate::{error::Error, segment::Segment, stream::Corruption};

#[cfg(not(loom))]
pub(crate) use self::handle::{roles, FORMAT};
#[cfg(not(loom))]
pub use self::{
    client::{Client, Reply},
    handle::{Service, ServiceClient, ServiceOptions, ServiceServer, ServiceStats},
    request::Request,
    server::Server,
};

#[cfg(not(loom))]
#[cold]
fn corrupt(segment: &Segment, Corruption(what): Corruption) -> Error {
    Error::Corrupt(segment.context(what))
}
