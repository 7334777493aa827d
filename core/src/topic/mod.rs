//! The topic: what is published reaches every subscriber, through one ring for all of them.
//!
//! | file | what is in it |
//! |---|---|
//! | `layout` | the pages and words in shared memory |
//! | `protocol` | what both ends have to know, and sleeping, over any memory |
//! | `writer`, `reader` | publishing; subscribing, and being overtaken |
//! | `memory` | the mapped memory |
//! | `handle` | `Topic`: opening, publishers and subscribers, statistics |
//! | `publisher`, `subscriber` | the public ends |
//! | `publication`, `record` | what they lend in place |
//! | `room` | waiting for the lock and for room |
//! | `waitable` | both ends among several things to wait for |
//!
//! Publishers exclude each other by `mutex.rs`. Loom models of the protocol are in `tests/model`.

pub(crate) mod layout;
pub(crate) mod protocol;
pub(crate) mod reader;
pub(crate) mod writer;

#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod publication;
#[cfg(not(loom))]
mod publisher;
#[cfg(not(loom))]
mod record;
#[cfg(not(loom))]
mod room;
#[cfg(not(loom))]
mod subscriber;
#[cfg(not(loom))]
mod waitable;

#[cfg(not(loom))]
use crate::{error::Error, segment::Segment, stream::Corruption};

#[cfg(not(loom))]
pub(crate) use self::handle::{roles, FORMAT};
#[cfg(not(loom))]
pub use self::{
    handle::{Topic, TopicOptions, TopicStats, TopicSubscriber},
    publication::Publication,
    publisher::Publisher,
    reader::StartAt,
    record::TopicRecord,
    subscriber::Subscriber,
};

#[cfg(not(loom))]
#[cold]
fn corrupt(segment: &Segment, Corruption(what): Corruption) -> Error {
    Error::Corrupt(segment.context(what))
}
