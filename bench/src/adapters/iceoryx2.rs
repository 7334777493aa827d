//! Peer: iceoryx2, publish-subscribe between two processes, polled; the payload is copied into a loaned
//! sample and copied out of the received one.
//!
//! Its files carry this run's label as prefix and lie in a directory of their own, which `cleanup`
//! removes. Nothing is ever dropped: no overflow, and a full subscriber makes the publisher retry; but where one publishes
//! without waiting, the newest replaces the oldest. Many who receive share the memory that one has by itself, and a processor:
//! who finds nothing lets the others run.

use std::path::PathBuf;
use std::time::Duration;

use iceoryx2::port::{publisher::Publisher, subscriber::Subscriber};
use iceoryx2::prelude::*;

use crate::endpoint::{Endpoint, Link, Side};
use crate::workload::Shape;
use crate::{signals, while_doing, Error, Result};

/// One message.
pub(super) type Message = [u8; 64];

/// How many receive, and by how many samples each can lag behind: all together by as many bytes as others have.
fn room(link: &Link) -> Room {
    let subscribers = link.workload.subscribers();
    Room {
        subscribers,
        depth: link.workload.capacity() / size_of::<Message>() / subscribers,
        overflows: matches!(link.workload.shape, Shape::Published(_)),
    }
}

/// What a service provides for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// How many receive.
    pub subscribers: usize,
    /// By how many samples each can lag behind.
    pub depth: usize,
    /// Whether the newest sample then replaces the oldest.
    pub overflows: bool,
}

/// One end: a publisher for one direction, a subscriber for the other.
pub struct Iceoryx2 {
    // Dropped in this order: ports before the node that they belong to.
    out: Publisher<ipc::Service, Message, ()>,
    inward: Subscriber<ipc::Service, Message, ()>,
    _node: Node<ipc::Service>,
    /// Whether others share the processor.
    gives_way: bool,
}

impl Iceoryx2 {
    #[inline(always)]
    fn try_recv(&mut self, payload: &mut [u8]) -> Result<bool> {
        let sample = self.inward.receive().map_err(while_doing("receive"))?;
        if let Some(sample) = &sample {
            payload.copy_from_slice(sample.payload());
        }
        Ok(sample.is_some())
    }
}

impl Endpoint for Iceoryx2 {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let (node, room) = (node(&link.label)?, room(link));
        let gives_way = matches!(link.workload.shape, Shape::ToAll(_));
        let there = service(&node, "there", room)?;
        let back = service(&node, "back", room)?;
        let (out, inward) = if side == Side::Near { (there, back) } else { (back, there) };
        let out = out
            .publisher_builder()
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .map_err(while_doing("publisher"))?;
        let inward = inward
            .subscriber_builder()
            .buffer_size(room.depth)
            .create()
            .map_err(while_doing("subscriber"))?;
        Ok(Iceoryx2 { out, inward, _node: node, gives_way })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        let message: Message = payload.try_into().map_err(|_| "64 bytes only")?;
        let sample = self.out.loan_uninit().map_err(while_doing("loan"))?;
        sample.write_payload(message).send().map_err(while_doing("send"))?;
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        while !self.try_recv(payload)? {
            signals::check()?;
            if self.gives_way {
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
        Ok(())
    }

    #[inline(always)]
    fn recv_before(&mut self, payload: &mut [u8], end: u64) -> Result<bool> {
        if end != 0 {
            return Err("publish-subscribe alone does not wait".into());
        }
        self.try_recv(payload)
    }

    fn cleanup(link: &Link) {
        cleanup(&link.label);
    }
}

/// A node whose files are told apart from everybody else's by `label`.
pub fn node(label: &str) -> Result<Node<ipc::Service>> {
    set_log_level(LogLevel::Fatal);
    let mut config = Config::default();
    config.global.prefix =
        FileName::new(prefix(label).as_bytes()).map_err(|error| Error(format!("{error:?}")))?;
    let root = root(label);
    let root = root.to_str().ok_or("the temporary directory's name is not UTF-8")?;
    config.global.set_root_path(&Path::new(root.as_bytes()).map_err(|error| Error(format!("{error:?}")))?);
    config.global.creation_timeout = Duration::from_secs(5);
    NodeBuilder::new()
        .config(&config)
        .signal_handling_mode(SignalHandlingMode::Disabled)
        .create::<ipc::Service>()
        .map_err(while_doing("node"))
}

type Factory = iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, Message, ()>;

/// A service that carries one direction.
pub fn service(node: &Node<ipc::Service>, name: &str, room: Room) -> Result<Factory> {
    node.service_builder(&name.try_into().map_err(|error| Error(format!("{error:?}")))?)
        .publish_subscribe::<Message>()
        .enable_safe_overflow(room.overflows)
        .subscriber_max_buffer_size(room.depth)
        .history_size(0)
        // Of the direction back, each end that sends one way has one, too.
        .max_publishers(room.subscribers)
        .max_subscribers(room.subscribers)
        .max_nodes(1 + room.subscribers)
        .open_or_create()
        .map_err(while_doing("service"))
}

fn prefix(label: &str) -> String {
    format!("{label}-")
}

fn root(label: &str) -> PathBuf {
    std::env::temp_dir().join(label)
}

/// Every file that `label`'s nodes have at the moment.
pub fn files(label: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root(label)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    let shared = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let prefix = prefix(label);
    found.extend(shared.filter(|e| e.file_name().to_string_lossy().starts_with(&prefix)).map(|e| e.path()));
    found
}

/// Removes what `label`'s nodes left behind.
pub fn cleanup(label: &str) {
    for file in files(label) {
        let _gone = std::fs::remove_file(file);
    }
    let _gone = std::fs::remove_dir_all(root(label));
}
