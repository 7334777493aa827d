//! The process that is stepped and killed by `crash/buffer.rs`, `semaphore.rs`, `topic.rs`, `service.rs` and `queue.rs`. It keeps to
//! the protocol of `crash/victim.c`: for each line of its input, `OPERATION NAME`, it forks; the child prepares the operation on the
//! segment NAME, and runs it between two marks. The first mark says the child's process number, the second what the operation
//! returned: a version or 0, or an error's number below 0.

use ipcx::{
    Buffer, BufferOptions, Client, Deadline, Error, Publisher, Queue, QueueOptions, Result, SegmentOptions,
    Semaphore, SemaphoreOptions, Server, Service, ServiceOptions, Subscriber, Topic, TopicOptions,
};
use ipcx_tests::Stream;
use std::time::Duration;

/// The stream from which values are taken, and the number of what it writes.
const SEED: u64 = 13;
const LARGEST: usize = 200;
const NUMBER: u64 = 1 << 20 | 8;
/// More than stepping to the sleep takes, and two slices.
const TO_SLEEP: Duration = Duration::from_millis(100);
/// What is woken does not wait so long.
const TO_BE_WOKEN: Duration = Duration::from_secs(10);

/// Stops for the tracer, which finds `code` in rax. One place for all marks: the tracer knows it by its address.
#[inline(never)]
fn mark(code: i64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a trap for the tracer, which leaves everything as it is.
    unsafe {
        std::arch::asm!("int3", inout("rax") std::hint::black_box(code) => _);
    }
    #[cfg(not(target_arch = "x86_64"))]
    fail(format!("{code}: the tracer knows the marks and the steps of x86-64 only"));
}

/// What goes wrong ends the process with a message.
fn fail(what: impl std::fmt::Display) -> ! {
    eprintln!("victim (Rust): {what}");
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(1) }
}

fn must<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| fail(error))
}

/// What an operation is made with.
struct Victim {
    name: String,
    /// Once it has attached.
    buffer: Option<Buffer>,
    semaphore: Option<Semaphore>,
    subscriber: Option<Subscriber>,
    publisher: Option<Publisher>,
    topic: Option<Topic>,
    queue: Option<Queue>,
    /// What it has taken from the queue.
    tickets: Vec<u64>,
    client: Option<Client>,
    server: Option<Server>,
    service: Option<Service>,
    /// Of the request that it sent or took.
    id: u64,
    /// What it writes.
    value: Vec<u8>,
    /// Where it reads to.
    room: Vec<u8>,
    /// The version before the operation.
    seen: u64,
    /// It was told that somebody else has the lock.
    refused: bool,
}

impl Victim {
    fn open(&self) -> Result<Buffer> {
        let segment = SegmentOptions { max_participants: 4, ..Default::default() };
        Buffer::attach_with(&self.name, &BufferOptions { capacity: 0, segment })
    }

    /// To have the lock by. Who was told that its owner lives (here, by a system call that failed) does not ask again for a slice.
    fn soon(&self) -> Deadline {
        if self.refused {
            Deadline::within(TO_SLEEP)
        } else {
            Deadline::NOW
        }
    }

    fn buffer(&self) -> &Buffer {
        self.buffer.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn open_semaphore(&self) -> Result<Semaphore> {
        let segment = SegmentOptions { max_participants: 4, ..Default::default() };
        Semaphore::attach_with(&self.name, &SemaphoreOptions { segment, ..Default::default() })
    }

    fn semaphore(&self) -> &Semaphore {
        self.semaphore.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn open_topic(&self) -> Result<Topic> {
        let segment = SegmentOptions { max_participants: 6, ..Default::default() };
        Topic::attach_with(&self.name, &TopicOptions { segment, ..Default::default() })
    }

    fn topic(&self) -> &Topic {
        self.topic.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn open_queue(&self) -> Result<Queue> {
        let segment = SegmentOptions { max_participants: 4, ..Default::default() };
        Queue::attach_with(&self.name, &QueueOptions { segment, ..Default::default() })
    }

    fn queue(&self) -> &Queue {
        self.queue.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    /// The message that it has, for what it does with it once.
    fn ticket(&self) -> u64 {
        *self.tickets.first().unwrap_or_else(|| fail("nothing was taken"))
    }

    fn open_service(&self) -> Result<Service> {
        let segment = SegmentOptions { max_participants: 6, ..Default::default() };
        Service::attach_with(&self.name, &ServiceOptions { segment, ..Default::default() })
    }

    fn service(&self) -> &Service {
        self.service.as_ref().unwrap_or_else(|| fail("not attached"))
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().unwrap_or_else(|| fail("no client"))
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap_or_else(|| fail("no server"))
    }

    // ---- Before the first mark ----

    fn nothing(&mut self) {}

    fn prepare_attached(&mut self) {
        self.buffer = Some(must(self.open()));
        self.seen = self.buffer().version();
    }

    fn prepare_locked(&mut self) {
        self.prepare_attached();
        must(self.buffer().lock_raw(Deadline::NOW));
    }

    fn prepare_edited(&mut self) {
        self.prepare_locked();
        must(self.edit());
    }

    /// Changes the value in place, by halves.
    fn edit(&self) -> Result<usize> {
        let (at, _, capacity) = self.buffer().locked_raw()?;
        let (first, second) = self.value.split_at(self.value.len() / 2);
        assert!(self.value.len() <= capacity);
        // SAFETY: inside the copy that this thread fills.
        unsafe {
            at.copy_from_nonoverlapping(first.as_ptr(), first.len());
            at.add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        Ok(self.value.len())
    }

    fn prepare_waiting(&mut self) {
        self.semaphore = Some(must(self.open_semaphore()));
    }

    fn prepare_holding(&mut self) {
        self.prepare_waiting();
        must(self.semaphore().acquire_raw(Deadline::NOW));
    }

    fn prepare_holding_two(&mut self) {
        self.prepare_holding();
        must(self.semaphore().acquire_raw(Deadline::NOW));
    }

    fn prepare_topic(&mut self) {
        self.topic = Some(must(self.open_topic()));
    }

    fn prepare_publishing(&mut self) {
        self.prepare_topic();
        self.publisher = Some(must(self.topic().publisher()));
    }

    fn prepare_reserved(&mut self) {
        self.prepare_publishing();
        must(self.reserve());
    }

    fn prepare_subscribed(&mut self) {
        self.prepare_topic();
        self.subscriber = Some(must(self.topic().subscriber()));
    }

    fn prepare_queue(&mut self) {
        self.queue = Some(must(self.open_queue()));
    }

    fn prepare_taken(&mut self) {
        self.prepare_queue();
        must(self.take_message());
    }

    fn prepare_taken_two(&mut self) {
        self.prepare_taken();
        must(self.take_message());
    }

    fn prepare_letter(&mut self) {
        self.prepare_queue();
        must(self.take_letter());
    }

    fn prepare_service(&mut self) {
        self.service = Some(must(self.open_service()));
    }

    fn prepare_asking(&mut self) {
        self.prepare_service();
        self.client = Some(must(self.service().client()));
    }

    fn prepare_asked(&mut self) {
        self.prepare_asking();
        must(self.ask());
    }

    fn prepare_serving(&mut self) {
        self.prepare_service();
        self.server = Some(must(self.service().server()));
    }

    fn prepare_took(&mut self) {
        self.prepare_serving();
        must(self.take_request());
    }

    // ---- Between the marks ----

    fn attach(&mut self) -> Result<u64> {
        self.buffer = Some(self.open()?);
        Ok(0)
    }

    fn close(&mut self) -> Result<u64> {
        self.buffer = None;
        Ok(0)
    }

    fn write(&mut self) -> Result<u64> {
        self.buffer().write_until(&self.value, self.soon())
    }

    fn commit(&mut self) -> Result<u64> {
        self.buffer().lock_raw(self.soon())?;
        let len = self.edit()?;
        self.buffer().unlock_raw(len)
    }

    fn abandon(&mut self) -> Result<u64> {
        self.buffer().lock_raw(self.soon())?;
        self.edit()?;
        self.buffer().abandon_raw().map(|()| 0)
    }

    fn publish(&mut self) -> Result<u64> {
        self.buffer().publish_raw(self.value.len())
    }

    fn lock_woken(&mut self) -> Result<u64> {
        self.buffer().lock_raw(Deadline::within(TO_BE_WOKEN)).map(|()| 0)
    }

    fn read(&mut self) -> Result<u64> {
        let mut room = std::mem::take(&mut self.room);
        let read = self.buffer().read(&mut room);
        self.room = room;
        read.map(|(_, version)| version)
    }

    /// There is another version than that.
    fn wait(&mut self) -> Result<u64> {
        self.buffer().wait_until(self.seen.wrapping_sub(1), Deadline::NOW)
    }

    fn wait_woken(&mut self) -> Result<u64> {
        self.buffer().wait_timeout(self.seen, TO_BE_WOKEN)
    }

    fn wait_locked(&mut self, timeout: Duration) -> Result<u64> {
        if self.buffer().locked_raw().is_err() {
            self.buffer().lock_raw(Deadline::within(TO_BE_WOKEN))?; // After an error it does not have it.
        }
        self.buffer().wait_locked_raw(Deadline::within(timeout)).map(|()| 0)
    }

    fn wait_locked_asleep(&mut self) -> Result<u64> {
        self.wait_locked(TO_SLEEP)
    }

    fn wait_locked_woken(&mut self) -> Result<u64> {
        self.wait_locked(TO_BE_WOKEN)
    }

    fn notify_one(&mut self) -> Result<u64> {
        self.buffer().notify(false).map(|()| 0)
    }

    fn notify_all(&mut self) -> Result<u64> {
        self.buffer().notify(true).map(|()| 0)
    }

    /// As whoever finds the dead does it: attaches, and takes the lock.
    fn recover(&mut self) -> Result<u64> {
        let buffer = self.open()?;
        buffer.lock_raw(self.soon())?;
        let recovered = buffer.recovered_raw()?;
        buffer.abandon_raw()?;
        self.buffer = Some(buffer);
        Ok(recovered.into())
    }

    /// The same of a semaphore from here on.
    fn attach_semaphore(&mut self) -> Result<u64> {
        self.semaphore = Some(self.open_semaphore()?);
        Ok(0)
    }

    fn close_semaphore(&mut self) -> Result<u64> {
        self.semaphore = None;
        Ok(0)
    }

    fn acquire(&mut self) -> Result<u64> {
        self.semaphore().acquire_raw(self.soon()).map(|()| 0)
    }

    fn acquire_asleep(&mut self) -> Result<u64> {
        self.semaphore().acquire_raw(Deadline::within(TO_SLEEP)).map(|()| 0)
    }

    fn release(&mut self) -> Result<u64> {
        self.semaphore().release().map(|()| 0)
    }

    fn consume(&mut self) -> Result<u64> {
        self.semaphore().consume_until(self.soon()).map(|()| 0)
    }

    /// As whoever finds the dead does it: attaches, and gives back what they held.
    fn recover_permits(&mut self) -> Result<u64> {
        let semaphore = self.open_semaphore()?;
        semaphore.recover()?;
        self.semaphore = Some(semaphore);
        Ok(0)
    }

    /// The same of a topic from here on.
    fn attach_topic(&mut self) -> Result<u64> {
        self.topic = Some(self.open_topic()?);
        Ok(0)
    }

    fn publish_record(&mut self) -> Result<u64> {
        let deadline = self.soon();
        let publisher = self.publisher.as_mut().unwrap_or_else(|| fail("no publisher"));
        publisher.publish_until(&self.value, deadline).map(|()| 0)
    }

    /// In place, by halves.
    fn reserve(&mut self) -> Result<()> {
        let deadline = self.soon();
        let publisher = self.publisher.as_mut().unwrap_or_else(|| fail("no publisher"));
        let at = publisher.reserve_raw(self.value.len(), deadline)?;
        let (first, second) = self.value.split_at(self.value.len() / 2);
        // SAFETY: inside the reservation.
        unsafe {
            at.copy_from_nonoverlapping(first.as_ptr(), first.len());
            at.add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        Ok(())
    }

    fn commit_record(&mut self) -> Result<u64> {
        self.reserve()?;
        let publisher = self.publisher.as_mut().unwrap_or_else(|| fail("no publisher"));
        publisher.commit_raw(self.value.len()).map(|()| 0)
    }

    fn abort_record(&mut self) -> Result<u64> {
        self.reserve()?;
        let publisher = self.publisher.as_mut().unwrap_or_else(|| fail("no publisher"));
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

    fn receive_record(&mut self) -> Result<u64> {
        let subscriber = self.subscriber.as_mut().unwrap_or_else(|| fail("no subscriber"));
        subscriber.try_recv(&mut self.room).map(|_| 0)
    }

    fn leave(&mut self) -> Result<u64> {
        self.subscriber = None;
        Ok(0)
    }

    /// As whoever finds the dead does it: attaches, and takes the lock and makes room.
    fn recover_topic(&mut self) -> Result<u64> {
        let topic = self.open_topic()?;
        self.publisher = Some(topic.publisher()?);
        let aborted = self.abort_record();
        self.topic = aborted.is_ok().then_some(topic);
        if aborted.is_err() {
            self.publisher = None; // It is tried again from the beginning.
        }
        aborted
    }
}

/// The same of a queue from here on.
impl Victim {
    fn attach_queue(&mut self) -> Result<u64> {
        self.queue = Some(self.open_queue()?);
        Ok(0)
    }

    fn close_queue(&mut self) -> Result<u64> {
        self.queue = None;
        Ok(0)
    }

    fn push_message(&mut self) -> Result<u64> {
        self.queue().push_until(&self.value, 3, self.soon()).map(|()| 0)
    }

    fn push_asleep(&mut self) -> Result<u64> {
        self.queue().push_until(&self.value, 3, Deadline::within(TO_SLEEP)).map(|()| 0)
    }

    fn take_message(&mut self) -> Result<u64> {
        let (mut room, deadline) = (std::mem::take(&mut self.room), self.soon());
        let taken = self.queue().take_into(&mut room, deadline);
        self.room = room;
        self.tickets.push(taken?.ticket);
        Ok(0)
    }

    fn take_asleep(&mut self) -> Result<u64> {
        let taken = self.queue().take_timeout(TO_SLEEP)?;
        let _ = taken.into_ticket();
        Ok(0)
    }

    fn pop_message(&mut self) -> Result<u64> {
        let (mut room, deadline) = (std::mem::take(&mut self.room), self.soon());
        let popped = self.queue().pop_until(&mut room, deadline);
        self.room = room;
        popped.map(|_| 0)
    }

    fn acknowledge(&mut self) -> Result<u64> {
        self.queue().ack(self.ticket()).map(|()| 0)
    }

    fn put_message_back(&mut self) -> Result<u64> {
        self.queue().put_back(self.ticket()).map(|()| 0)
    }

    fn take_letter(&mut self) -> Result<u64> {
        let mut room = std::mem::take(&mut self.room);
        let taken = self.queue().take_dead_into(&mut room);
        self.room = room;
        self.tickets.push(taken?.ticket);
        Ok(0)
    }

    /// As whoever finds the dead does it: attaches, and brings back what they had.
    fn recover_queue(&mut self) -> Result<u64> {
        let queue = self.open_queue()?;
        queue.recover()?;
        self.queue = Some(queue);
        Ok(0)
    }
}

/// The same of a service.
impl Victim {
    fn attach_service(&mut self) -> Result<u64> {
        self.service = Some(self.open_service()?);
        Ok(0)
    }

    fn become_client(&mut self) -> Result<u64> {
        self.client = Some(self.service().client()?);
        Ok(0)
    }

    fn leave_service(&mut self) -> Result<u64> {
        self.client = None;
        Ok(0)
    }

    fn ask(&mut self) -> Result<u64> {
        let value = std::mem::take(&mut self.value);
        let sent = self.client().try_send(&value);
        self.value = value;
        self.id = sent?;
        Ok(0)
    }

    fn receive_reply(&mut self) -> Result<u64> {
        let (mut id, mut room) = (0, std::mem::take(&mut self.room));
        let received = self.client().recv_into(&mut id, &mut room, Deadline::NOW);
        self.room = room;
        received.map(|_| 0)
    }

    /// Looks for a reply, which has not come unless others have gone on meanwhile.
    fn look_for_reply(&mut self) -> Result<u64> {
        match self.receive_reply() {
            Err(Error::WouldBlock(_)) => Ok(0),
            other => other,
        }
    }

    fn forget(&mut self) -> Result<u64> {
        let id = self.id;
        self.client().forget(id).map(|_| 0)
    }

    fn become_server(&mut self) -> Result<u64> {
        self.server = Some(self.service().server()?);
        Ok(0)
    }

    fn take_request(&mut self) -> Result<u64> {
        let (mut id, mut room) = (0, std::mem::take(&mut self.room));
        let taken = self.server().recv_into(&mut id, &mut room, Deadline::NOW);
        room.truncate(*taken.as_ref().unwrap_or(&0));
        (self.id, self.room) = (id, room);
        taken.map(|_| 0)
    }

    fn reply(&mut self) -> Result<u64> {
        let (id, data) = (self.id, self.room.iter().map(|byte| byte ^ 2).collect::<Vec<_>>());
        self.server().reply(id, &data).map(|()| 0)
    }

    fn stop_serving(&mut self) -> Result<u64> {
        self.server = None;
        Ok(0)
    }

    /// As whoever finds the dead does it: attaches, serves and asks, in whatever place is to be had.
    fn recover_service(&mut self) -> Result<u64> {
        let service = self.open_service()?;
        drop(service.server()?);
        drop(service.client()?);
        self.service = Some(service);
        Ok(0)
    }
}

type Operation = (&'static str, fn(&mut Victim), fn(&mut Victim) -> Result<u64>);

const OPERATIONS: &[Operation] = &[
    ("buffer_attach", Victim::nothing, Victim::attach),
    ("buffer_close", Victim::prepare_attached, Victim::close),
    ("buffer_close_locked", Victim::prepare_edited, Victim::close),
    ("buffer_write", Victim::prepare_attached, Victim::write),
    ("buffer_commit", Victim::prepare_attached, Victim::commit),
    ("buffer_abandon", Victim::prepare_attached, Victim::abandon),
    ("buffer_publish", Victim::prepare_edited, Victim::publish),
    ("buffer_lock_woken", Victim::prepare_attached, Victim::lock_woken),
    ("buffer_read", Victim::prepare_attached, Victim::read),
    ("buffer_wait", Victim::prepare_attached, Victim::wait),
    ("buffer_wait_woken", Victim::prepare_attached, Victim::wait_woken),
    ("buffer_wait_locked_asleep", Victim::prepare_locked, Victim::wait_locked_asleep),
    ("buffer_wait_locked_woken", Victim::prepare_locked, Victim::wait_locked_woken),
    ("buffer_notify_one", Victim::prepare_attached, Victim::notify_one),
    ("buffer_notify_all", Victim::prepare_attached, Victim::notify_all),
    ("buffer_recover", Victim::nothing, Victim::recover),
    ("semaphore_attach", Victim::nothing, Victim::attach_semaphore),
    ("semaphore_close", Victim::prepare_holding_two, Victim::close_semaphore),
    ("semaphore_acquire", Victim::prepare_waiting, Victim::acquire),
    ("semaphore_acquire_asleep", Victim::prepare_waiting, Victim::acquire_asleep),
    ("semaphore_release", Victim::prepare_holding, Victim::release),
    ("semaphore_supply", Victim::prepare_waiting, Victim::release),
    ("semaphore_consume", Victim::prepare_waiting, Victim::consume),
    ("semaphore_recover", Victim::nothing, Victim::recover_permits),
    ("topic_attach", Victim::nothing, Victim::attach_topic),
    ("topic_publish", Victim::prepare_publishing, Victim::publish_record),
    ("topic_commit", Victim::prepare_publishing, Victim::commit_record),
    ("topic_abort", Victim::prepare_publishing, Victim::abort_record),
    ("topic_stop", Victim::prepare_reserved, Victim::stop_publishing),
    ("topic_subscribe", Victim::prepare_topic, Victim::subscribe),
    ("topic_recv", Victim::prepare_subscribed, Victim::receive_record),
    ("topic_leave", Victim::prepare_subscribed, Victim::leave),
    ("topic_recover", Victim::nothing, Victim::recover_topic),
    ("queue_attach", Victim::nothing, Victim::attach_queue),
    ("queue_close", Victim::prepare_taken_two, Victim::close_queue),
    ("queue_push", Victim::prepare_queue, Victim::push_message),
    ("queue_push_asleep", Victim::prepare_queue, Victim::push_asleep),
    ("queue_take", Victim::prepare_queue, Victim::take_message),
    ("queue_take_asleep", Victim::prepare_queue, Victim::take_asleep),
    ("queue_pop", Victim::prepare_queue, Victim::pop_message),
    ("queue_ack", Victim::prepare_taken, Victim::acknowledge),
    ("queue_put_back", Victim::prepare_taken, Victim::put_message_back),
    ("queue_take_dead", Victim::prepare_queue, Victim::take_letter),
    ("queue_discard", Victim::prepare_letter, Victim::acknowledge),
    ("queue_revive", Victim::prepare_letter, Victim::put_message_back),
    ("queue_recover", Victim::nothing, Victim::recover_queue),
    ("service_attach", Victim::nothing, Victim::attach_service),
    ("service_client", Victim::prepare_service, Victim::become_client),
    ("service_leave", Victim::prepare_asked, Victim::leave_service),
    ("service_send", Victim::prepare_asking, Victim::ask),
    ("service_recv", Victim::prepare_asked, Victim::receive_reply),
    ("service_look", Victim::prepare_asked, Victim::look_for_reply),
    ("service_forget", Victim::prepare_asked, Victim::forget),
    ("service_serve", Victim::prepare_service, Victim::become_server),
    ("service_take", Victim::prepare_serving, Victim::take_request),
    ("service_reply", Victim::prepare_took, Victim::reply),
    ("service_close", Victim::prepare_took, Victim::stop_serving),
    ("service_recover", Victim::nothing, Victim::recover_service),
];

/// In the child: everything between the marks is what the tracer steps through.
fn be_the_victim(operation: &str, name: &str) -> ! {
    let found = OPERATIONS.iter().find(|(known, ..)| *known == operation);
    let Some((_, prepare, run)) = found else { fail(format!("no operation {operation}")) };
    let stream = Stream::new(SEED, LARGEST);
    let mut value = vec![0; stream.len(NUMBER)];
    stream.fill(NUMBER, &mut value);
    let mut victim = Victim {
        name: name.to_owned(),
        buffer: None,
        semaphore: None,
        subscriber: None,
        publisher: None,
        topic: None,
        queue: None,
        tickets: Vec::with_capacity(4),
        client: None,
        server: None,
        service: None,
        id: 0,
        value,
        room: vec![0; LARGEST],
        seen: 0,
        refused: false,
    };
    prepare(&mut victim);
    mark(std::process::id().into());
    loop {
        // Made again only where it failed.
        mark(match run(&mut victim) {
            Ok(code) => code as i64,
            Err(error) => {
                victim.refused = matches!(error, Error::WouldBlock(_));
                -i64::from(error.errno())
            }
        });
    }
}

fn main() {
    // SAFETY: nobody but the tracer waits for the victims.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    for line in std::io::stdin().lines() {
        let line = line.unwrap_or_else(|error| fail(error));
        let Some((operation, name)) = line.split_once(' ') else { fail(format!("not a command: {line}")) };
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            -1 => fail("no process"),
            0 => be_the_victim(operation, name),
            _ => {}
        }
    }
}
