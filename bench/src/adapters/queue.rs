//! ipcx: a work queue for each direction that is used, as a Rust program uses it. All messages have one priority, since the
//! receiver checks that they come in order.

use ipcx::{Deadline, Queue, QueueOptions, SegmentOptions, WaitStrategy};

use crate::endpoint::{Endpoint, Link, Side};
use crate::{while_doing, Result};

/// Of every message; anything but the lowest.
const PRIORITY: u32 = 1;

/// One end: it pushes to one queue and takes from the other. `POPS`: by `pop`, otherwise it takes, copies and acknowledges.
pub struct QueueEnd<const POPS: bool> {
    out: Queue,
    inward: Queue,
    /// Bytes in a message; opaque to the compiler.
    size: usize,
}

/// The names of the queues there and back.
fn names(link: &Link) -> [String; 2] {
    ["there", "back"].map(|direction| format!("{}-{direction}", link.label))
}

fn options(link: &Link) -> QueueOptions {
    let wait = if link.workload.blocks() { WaitStrategy::Block } else { WaitStrategy::Spin };
    QueueOptions {
        max_message: link.workload.size as u64,
        depth: (link.workload.capacity() / link.workload.size) as u64,
        segment: SegmentOptions { wait, ..SegmentOptions::default() },
        ..QueueOptions::default()
    }
}

fn queue(link: &Link, side: Side, name: &str) -> Result<Queue> {
    if side == Side::Near {
        return Queue::create(name, &options(link)).map_err(while_doing("create"));
    }
    let queue = Queue::attach(name).map_err(while_doing("attach"))?;
    ipcx::unlink(name).map_err(while_doing("unlink"))?;
    Ok(queue)
}

impl<const POPS: bool> Endpoint for QueueEnd<POPS> {
    fn connect(link: &Link, side: Side) -> Result<Self> {
        let [there, back] = names(link);
        let (there, back) = (queue(link, side, &there)?, queue(link, side, &back)?);
        let (out, inward) = if side == Side::Near { (there, back) } else { (back, there) };
        Ok(QueueEnd { out, inward, size: std::hint::black_box(link.workload.size) })
    }

    #[inline(always)]
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.out.push(&payload[..self.size], PRIORITY).map_err(while_doing("push"))
    }

    #[inline(always)]
    fn recv(&mut self, payload: &mut [u8]) -> Result<()> {
        let payload = &mut payload[..self.size];
        let (len, priority) = if POPS {
            let popped = self.inward.pop(payload).map_err(while_doing("pop"))?;
            (popped.len, popped.priority)
        } else {
            let taken = self.inward.take_into(payload, Deadline::NEVER).map_err(while_doing("take_into"))?;
            self.inward.ack(taken.ticket).map_err(while_doing("ack"))?;
            (taken.len, taken.priority)
        };
        if len != self.size || priority != PRIORITY {
            return Err("a message had another length or priority".into());
        }
        Ok(())
    }

    fn cleanup(link: &Link) {
        for name in names(link) {
            let _gone_already = ipcx::unlink(&name);
        }
    }
}
