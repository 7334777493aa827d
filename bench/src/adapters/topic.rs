//! ipcx: a topic for each direction that is used, as a Rust program uses it.
//!
//! Where messages are counted the topic is reliable, so that none is missed; there and back, and where one publishes and waits for
//! nobody, it is lossy, as it is by itself. The coordinator removes the names in the end: nobody knows who attaches last.

use ipcx::{Deadline, Publisher, SegmentOptions, Subscriber, Topic, TopicOptions, WaitStrategy};

use crate::endpoint::{Endpoint, Link, Side};
use crate::loops::monotonic;
use crate::workload::{Attention, Audience, Shape, Workload};
use crate::{while_doing, Result};

/// One end: the publisher of one topic and the subscriber of the other, if there is another.
pub struct TopicEnd {
    out: Option<Publisher>,
    inward: Option<Subscriber>,
    /// Bytes in a message; opaque to the compiler.
    size: usize,
}

/// The names of the topics there and back.
fn names(link: &Link) -> [String; 2] {
    ["there", "back"].map(|direction| format!("{}-{direction}", link.label))
}

/// How calls wait: as the workload says, but by the default strategy where many share a processor and none may keep it.
fn wait(workload: Workload) -> WaitStrategy {
    match workload.shape {
        Shape::Published(Audience { attention: Attention::Asleep, .. }) => WaitStrategy::Block,
        Shape::ToAll(_) | Shape::Published(_) => WaitStrategy::Balanced,
        _ if workload.blocks() => WaitStrategy::Block,
        _ => WaitStrategy::Spin,
    }
}

fn options(link: &Link) -> TopicOptions {
    TopicOptions {
        capacity: link.workload.capacity() as u64,
        reliable: matches!(link.workload.shape, Shape::OneWay | Shape::ToAll(_)),
        segment: SegmentOptions {
            wait: wait(link.workload),
            // A handle for each process, and in a reliable topic a subscriber.
            max_participants: 2 * (1 + link.workload.subscribers()) as u32,
            ..SegmentOptions::default()
        },
        ..TopicOptions::default()
    }
}

fn topic(link: &Link, side: Side, name: &str) -> Result<Topic> {
    match side {
        Side::Near => Topic::create(name, &options(link)).map_err(while_doing("create")),
        Side::Far => Topic::attach(name).map_err(while_doing("attach")),
    }
}

impl Endpoint for TopicEnd {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let [there, back] = names(link);
        let mut end = TopicEnd { out: None, inward: None, size: std::hint::black_box(link.workload.size) };
        for (name, away) in [(there, Side::Near), (back, Side::Far)] {
            if away == Side::Far && !link.workload.returns() {
                continue;
            }
            let topic = topic(link, side, &name)?;
            if side == away {
                end.out = Some(topic.publisher().map_err(while_doing("publisher"))?);
            } else {
                end.inward = Some(topic.subscriber().map_err(while_doing("subscriber"))?);
            }
        }
        Ok(end)
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        let out = self.out.as_mut().ok_or("this side does not publish")?;
        out.publish(&payload[..self.size]).map_err(while_doing("publish"))
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let inward = self.inward.as_mut().ok_or("this side does not subscribe")?;
        let len = inward.recv(&mut payload[..self.size]).map_err(while_doing("recv"))?;
        whole(len, self.size)
    }

    #[inline(always)]
    fn recv_before(&mut self, payload: &mut [u8], end: u64) -> Result<bool> {
        let inward = self.inward.as_mut().ok_or("this side does not subscribe")?;
        let deadline = match end {
            0 => Deadline::NOW,
            end => Deadline::after(std::time::Duration::from_nanos(end.saturating_sub(monotonic()))),
        };
        match inward.recv_until(&mut payload[..self.size], deadline) {
            Ok(len) => whole(len, self.size).map(|()| true),
            Err(ipcx::Error::WouldBlock(_) | ipcx::Error::TimedOut(_)) => Ok(false),
            Err(error) => Err(while_doing("recv")(error)),
        }
    }

    fn cleanup(link: &Link) {
        for name in names(link) {
            let _gone_already = ipcx::unlink(&name);
        }
    }
}

#[inline(always)]
fn whole(len: usize, size: usize) -> Result<()> {
    if len != size {
        return Err("a message had another length".into());
    }
    Ok(())
}
