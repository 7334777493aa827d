//! A victim that publishes and receives.

use crate::{fail, must, options, Common, Kind, Operation};
use ipcx::{Publisher, Result, Subscriber, Topic, TopicOptions};

fn there<T>(end: &mut Option<T>) -> &mut T {
    end.as_mut().unwrap_or_else(|| fail("no such end"))
}

pub(crate) struct Victim {
    common: Common,
    subscriber: Option<Subscriber>,
    publisher: Option<Publisher>,
    topic: Option<Topic>,
}

impl Kind for Victim {
    const OPERATIONS: &'static [Operation<Victim>] = &[
        ("attach", Victim::nothing, Victim::attach),
        ("publish", Victim::prepare_publishing, Victim::publish),
        ("commit", Victim::prepare_publishing, Victim::commit),
        ("abort", Victim::prepare_publishing, Victim::abort),
        ("stop", Victim::prepare_reserved, Victim::stop_publishing),
        ("subscribe", Victim::prepare_attached, Victim::subscribe),
        ("recv", Victim::prepare_subscribed, Victim::receive),
        ("leave", Victim::prepare_subscribed, Victim::leave),
        ("recover", Victim::nothing, Victim::recover),
    ];

    fn new(common: Common) -> Victim {
        Victim { common, subscriber: None, publisher: None, topic: None }
    }

    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// Before the first mark.
impl Victim {
    fn open(&self) -> Result<Topic> {
        let segment = options(6);
        Topic::attach_with(&self.common.name, &TopicOptions { segment, ..Default::default() })
    }

    fn topic(&self) -> &Topic {
        self.topic.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn prepare_attached(&mut self) {
        self.topic = Some(must(self.open()));
    }

    fn prepare_publishing(&mut self) {
        self.prepare_attached();
        self.publisher = Some(must(self.topic().publisher()));
    }

    fn prepare_reserved(&mut self) {
        self.prepare_publishing();
        must(self.reserve());
    }

    fn prepare_subscribed(&mut self) {
        self.prepare_attached();
        self.subscriber = Some(must(self.topic().subscriber()));
    }
}

/// Between the marks.
impl Victim {
    fn attach(&mut self) -> Result<u64> {
        self.topic = Some(self.open()?);
        Ok(0)
    }

    fn publish(&mut self) -> Result<u64> {
        let deadline = self.common.soon();
        let publisher = there(&mut self.publisher);
        publisher.publish_until(&self.common.value, deadline).map(|()| 0)
    }

    /// In place, by halves.
    fn reserve(&mut self) -> Result<()> {
        let deadline = self.common.soon();
        let publisher = there(&mut self.publisher);
        let at = publisher.reserve_raw(self.common.value.len(), deadline)?;
        let (first, second) = self.common.value.split_at(self.common.value.len() / 2);
        // SAFETY: inside the reservation.
        unsafe {
            at.copy_from_nonoverlapping(first.as_ptr(), first.len());
            at.add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<u64> {
        self.reserve()?;
        let publisher = there(&mut self.publisher);
        publisher.commit_raw(self.common.value.len()).map(|()| 0)
    }

    fn abort(&mut self) -> Result<u64> {
        self.reserve()?;
        let publisher = there(&mut self.publisher);
        publisher.abort_raw().map(|()| 0)
    }

    fn stop_publishing(&mut self) -> Result<u64> {
        self.publisher = None;
        Ok(0)
    }

    fn subscribe(&mut self) -> Result<u64> {
        self.subscriber = Some(self.topic().subscriber()?);
        Ok(0)
    }

    fn receive(&mut self) -> Result<u64> {
        let subscriber = there(&mut self.subscriber);
        subscriber.try_recv(&mut self.common.room).map(|_| 0)
    }

    fn leave(&mut self) -> Result<u64> {
        self.subscriber = None;
        Ok(0)
    }

    /// As whoever finds the dead does it: attaches, and takes the lock and makes room.
    fn recover(&mut self) -> Result<u64> {
        let topic = self.open()?;
        self.publisher = Some(topic.publisher()?);
        let aborted = self.abort();
        self.topic = aborted.is_ok().then_some(topic);
        if aborted.is_err() {
            self.publisher = None; // It is tried again from the beginning.
        }
        aborted
    }
}
