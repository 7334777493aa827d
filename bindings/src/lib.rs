//! The extension module `ipcx._ipcx`: thin frozen classes around the crate `ipcx`.
//!
//! | file | what is in it |
//! |---|---|
//! | `fork` | in which process this is |
//! | `errors` | how an error of the core becomes a Python exception |
//! | `exclusive` | state that one thread at a time may use |
//! | `wait` | timeouts, letting go of the interpreter, signals |
//! | `payload` | bytes in and out of Python objects |
//! | `views` | memory of a segment behind the buffer protocol |
//! | `array` | NumPy arrays over it |
//! | `segment` | what belongs to every kind |
//! | `ring`, `producer`, `consumer`, `pool`, `block`, `buffer`, `locked`, `semaphore`, `queue`, `delivery`, `service`, `client`, `server` | the classes |
//! | `topic`, `publisher`, `subscriber`, `topic_record` | the classes of topics |
//! | `sending` | what a producer and a publisher have in common |
//! | `transport`, `sender`, `receiver` | transports and their ends |
//! | `child` | pipes to a child process |
//! | `channel` | objects through a work queue and a pool, for `ipcx.mp` |
//! | `any` | waiting for one of several things |
//! | `list` | which segments there are |

mod any;
mod array;
mod block;
mod buffer;
mod channel;
mod child;
mod client;
mod consumer;
mod delivery;
mod errors;
mod exclusive;
mod fork;
mod list;
mod locked;
mod payload;
mod pool;
mod producer;
mod publisher;
mod queue;
mod receiver;
mod ring;
mod segment;
mod semaphore;
mod sender;
mod sending;
mod server;
mod service;
mod subscriber;
mod topic;
mod topic_record;
mod transport;
mod views;
mod wait;

use pyo3::prelude::*;

/// The compiled part of ipcx; use the package `ipcx`.
#[pymodule(gil_used = true)]
mod _ipcx {
    use super::{errors, fork, Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_export]
    use super::{
        any::wait_any,
        block::Block,
        buffer::{Buffer, BufferStats, NewerThan},
        channel::Channel,
        child::ChildPipes,
        client::Client,
        consumer::Consumer,
        delivery::Delivery,
        list::{list, Listed, ListedParticipant, ListedRole},
        locked::LockedValue,
        pool::{Pool, PoolHolder, PoolStats},
        producer::Producer,
        publisher::Publisher,
        queue::{Queue, QueueHolder, QueueStats},
        receiver::Receiver,
        ring::{Ring, RingStats},
        segment::{unlink, Participant},
        semaphore::{Semaphore, SemaphoreHolder, SemaphoreStats},
        sender::Sender,
        server::{Request, Server},
        service::{Service, ServiceClient, ServiceServer, ServiceStats},
        subscriber::Subscriber,
        topic::{Topic, TopicStats, TopicSubscriber},
        topic_record::TopicRecord,
        transport::Transport,
        views::{Record, Reservation},
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        errors::load(module.py())?;
        fork::count();
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("LAYOUT_VERSION", ipcx::LAYOUT_VERSION)
    }
}
