//! Whatever can be waited for: one of several, by descriptor, by signal.

use crate::arguments::{buffer, deadline, invalid, set_if_wanted, signal, Out};
use crate::boundary::{self, Result};
use crate::buffer::ipcx_buffer;
use crate::client::ipcx_client;
use crate::consumer::ipcx_consumer;
use crate::handles::{exclusive, shared};
use crate::pool::ipcx_pool;
use crate::producer::ipcx_producer;
use crate::publisher::ipcx_publisher;
use crate::queue::ipcx_queue;
use crate::semaphore::ipcx_semaphore;
use crate::server::ipcx_server;
use crate::subscriber::ipcx_subscriber;
use crate::transport::{ipcx_transport, End};
use ipcx_core::{
    wait_any, Buffer, Client, Consumer, NewerThan, Pool, Producer, Publisher, Queue, Semaphore, Server,
    Subscriber, Waitable,
};
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;

/// Can be waited for: an ipcx_consumer that has a record to receive, or whose producer went.
pub const IPCX_WAIT_FOR_CONSUMER: u32 = 1;
/// Can be waited for: an ipcx_producer that has room for the record that last did not fit (at first: for any),
/// or whose consumer went.
pub const IPCX_WAIT_FOR_PRODUCER: u32 = 2;
/// Can be waited for: an ipcx_pool that has a block to acquire.
pub const IPCX_WAIT_FOR_POOL: u32 = 3;
/// Can be waited for: an ipcx_semaphore that has a permit to acquire.
pub const IPCX_WAIT_FOR_SEMAPHORE: u32 = 4;
/// Can be waited for: an ipcx_buffer whose version is another than `seen`.
pub const IPCX_WAIT_FOR_BUFFER: u32 = 5;

/// Can be waited for: an ipcx_transport that receives and has a message or the end of its sender to tell of, or that
/// sends and has room. As of its descriptor: of a message longer than a pipe, a part may be there, and one of a FIFO or socket that
/// has told of the end of its sender waits for the next sender. Where such a one is among
/// them, all are waited for through their descriptors.
pub const IPCX_WAIT_FOR_TRANSPORT: u32 = 6;
/// Can be waited for: an ipcx_publisher that can publish: nobody else does, and there is room for the record that last
/// was not published (at first: for any).
pub const IPCX_WAIT_FOR_PUBLISHER: u32 = 7;
/// Can be waited for: an ipcx_subscriber that has a record to receive.
pub const IPCX_WAIT_FOR_SUBSCRIBER: u32 = 8;
/// Can be waited for: an ipcx_queue that has a message to take.
pub const IPCX_WAIT_FOR_QUEUE: u32 = 9;
/// Can be waited for: an ipcx_client that has a reply to receive, or a request that ended without one.
pub const IPCX_WAIT_FOR_CLIENT: u32 = 10;
/// Can be waited for: an ipcx_server that has a request to receive.
pub const IPCX_WAIT_FOR_SERVER: u32 = 11;

/// One of the things that ipcx_wait_any() waits for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ipcx_waitable {
    /// What `object` is, and what of it is waited for: one of IPCX_WAIT_FOR_*.
    pub kind: u32,
    /// Set by ipcx_wait_any(): 1 if it is ready, else 0.
    pub ready: u32,
    /// The handle.
    pub object: *mut c_void,
    /// Of a buffer: the version that is known. Of others: nothing.
    pub seen: u64,
}

/// What the core waits for.
enum Item<'a> {
    Consumer(&'a mut Consumer),
    Producer(&'a mut Producer),
    Pool(&'a Pool),
    Semaphore(&'a Semaphore),
    Buffer(&'a Buffer, NewerThan<'a>),
    Transport(&'a mut End),
    Publisher(&'a mut Publisher),
    Subscriber(&'a mut Subscriber),
    Queue(&'a Queue),
    Client(&'a mut Client),
    Server(&'a mut Server),
}

/// Does the same with whatever a kind's handle leads to, but a transport's end.
macro_rules! with_each {
    ($item:expr, $of:ident => $work:expr, $transport:ident => $other:expr) => {
        match $item {
            Item::Consumer($of) => $work,
            Item::Producer($of) => $work,
            Item::Pool($of) => $work,
            Item::Semaphore($of) => $work,
            Item::Buffer($of, _) => $work,
            Item::Publisher($of) => $work,
            Item::Subscriber($of) => $work,
            Item::Queue($of) => $work,
            Item::Client($of) => $work,
            Item::Server($of) => $work,
            Item::Transport($transport) => $other,
        }
    };
}

impl<'a> Item<'a> {
    /// # Safety As [`exclusive`] for an endpoint, as [`shared`] for another handle, whatever it is.
    unsafe fn of(kind: u32, object: *mut c_void, seen: u64) -> Result<Item<'a>> {
        // SAFETY: as the caller promises; the handle's mark says whether it is of this kind.
        unsafe {
            Ok(match kind {
                IPCX_WAIT_FOR_CONSUMER => Item::Consumer(exclusive(object.cast::<ipcx_consumer>())?),
                IPCX_WAIT_FOR_PRODUCER => Item::Producer(exclusive(object.cast::<ipcx_producer>())?),
                IPCX_WAIT_FOR_POOL => Item::Pool(shared(object.cast::<ipcx_pool>())?),
                IPCX_WAIT_FOR_SEMAPHORE => Item::Semaphore(shared(object.cast::<ipcx_semaphore>())?),
                IPCX_WAIT_FOR_BUFFER => {
                    let buffer = shared(object.cast::<ipcx_buffer>())?;
                    Item::Buffer(buffer, buffer.newer_than(seen))
                }
                IPCX_WAIT_FOR_TRANSPORT => Item::Transport(exclusive(object.cast::<ipcx_transport>())?),
                IPCX_WAIT_FOR_PUBLISHER => Item::Publisher(exclusive(object.cast::<ipcx_publisher>())?),
                IPCX_WAIT_FOR_SUBSCRIBER => Item::Subscriber(exclusive(object.cast::<ipcx_subscriber>())?),
                IPCX_WAIT_FOR_QUEUE => Item::Queue(shared(object.cast::<ipcx_queue>())?),
                IPCX_WAIT_FOR_CLIENT => Item::Client(exclusive(object.cast::<ipcx_client>())?),
                IPCX_WAIT_FOR_SERVER => Item::Server(exclusive(object.cast::<ipcx_server>())?),
                _ => return Err(invalid("kind is not one of IPCX_WAIT_FOR_*")),
            })
        }
    }

    /// Its descriptor, and what to poll that for.
    fn poll_fd(self) -> Result<(c_int, i16)> {
        with_each!(self,
            of => Ok((of.poll_fd()?.as_raw_fd(), libc::POLLIN)),
            end => match end {
                End::Sender(sender) => {
                    let events = sender.poll_events();
                    Ok((sender.poll_fd()?.as_raw_fd(), events))
                }
                End::Receiver(receiver) => Ok((receiver.poll_fd()?.as_raw_fd(), libc::POLLIN)),
            }
        )
    }

    fn signal(self, signo: Option<c_int>) -> Result<()> {
        with_each!(self, of => Ok(of.signal(signo)?), end => Ok(end.receiver()?.signal(signo)?))
    }

    fn waitable(&mut self) -> &mut dyn Waitable {
        match self {
            Item::Consumer(consumer) => *consumer,
            Item::Producer(producer) => *producer,
            Item::Pool(pool) => pool,
            Item::Semaphore(semaphore) => semaphore,
            Item::Buffer(_, newer) => newer,
            Item::Transport(End::Sender(sender)) => sender,
            Item::Transport(End::Receiver(receiver)) => receiver,
            Item::Publisher(publisher) => *publisher,
            Item::Subscriber(subscriber) => *subscriber,
            Item::Queue(queue) => queue,
            Item::Client(client) => *client,
            Item::Server(server) => *server,
        }
    }
}

/// Endpoints are used by one at a time, also inside this call.
fn check_none_twice(items: &[ipcx_waitable]) -> Result<()> {
    let is_endpoint = |item: &ipcx_waitable| {
        !matches!(
            item.kind,
            IPCX_WAIT_FOR_POOL | IPCX_WAIT_FOR_SEMAPHORE | IPCX_WAIT_FOR_BUFFER | IPCX_WAIT_FOR_QUEUE
        )
    };
    // They are few.
    let is_new =
        |at: usize, item: &ipcx_waitable| items[..at].iter().all(|other| other.object != item.object);
    match items.iter().enumerate().all(|(at, item)| !is_endpoint(item) || is_new(at, item)) {
        true => Ok(()),
        false => Err(invalid("an endpoint is given twice")),
    }
}

/// Waits up to `timeout_ns` until at least one of `n` things is ready. Sets each one's `ready` to 1 or 0, and `*ready` to
/// the number of those that are.
///
/// Ready is what a call with IPCX_NOWAIT would not answer with IPCX_E_AGAIN; so also an endpoint whose peer closed or
/// died, and the call then says so. Nothing is received or acquired by waiting: where others may be faster, try with
/// IPCX_NOWAIT. Kinds may be mixed. A pool, semaphore, buffer or queue may be given several times, any other once.
///
/// It costs one system call to sleep on up to 128 things. On a kernel before Linux 5.16, and for more of them, their
/// descriptors are polled, for each of which a thread is started the first time, as by ipcx_poll_fd().
///
/// Blocks up to `timeout_ns`. In the thread that the endpoints belong to; otherwise thread-safe. Not
/// async-signal-safe.
/// Ownership: `items` stay yours; `ready` in them is written only on success.
/// Errors: IPCX_E_AGAIN, IPCX_E_TIMEDOUT, IPCX_E_INTR, IPCX_E_INVALID (also if `n` is 0, for a kind that is none, for a
/// handle of another kind, and for an endpoint that is given twice), IPCX_E_FORKED, IPCX_E_OS.
#[no_mangle]
pub unsafe extern "C" fn ipcx_wait_any(
    items: *mut ipcx_waitable,
    n: usize,
    timeout_ns: i64,
    ready: *mut usize,
) -> c_int {
    boundary::code(|| {
        // SAFETY: `n` structs, readable and writable; NULL or writable. By the contract.
        let (given, number) = unsafe { (buffer(items, n)?, Out::new(ready)?) };
        check_none_twice(given)?;
        // SAFETY: open handles, endpoints of this thread, and each of these once, by the contract and the check.
        let items = given
            .iter()
            .map(|item| unsafe { Item::of(item.kind, item.object, item.seen) })
            .collect::<Result<Vec<_>>>();
        let mut items = items?;
        let mut waitables: Vec<_> = items.iter_mut().map(Item::waitable).collect();
        let found = wait_any(&mut waitables, deadline(timeout_ns)?)?;
        given.iter_mut().for_each(|item| item.ready = 0);
        found.iter().for_each(|at| given[*at].ready = 1);
        number.set(found.len());
        Ok(())
    })
}

/// A descriptor for poll(), select() and epoll that is ready while what IPCX_WAIT_FOR_* says of the `kind` is so; or a
/// negative code. `*events`, which may be NULL, gets what to poll it for: POLLIN, but POLLOUT with some transports that
/// send.
///
/// It is level-triggered: do not read or write it. Once it is ready, call with IPCX_NOWAIT until IPCX_E_AGAIN, which
/// arms it again; of a buffer, read the value: it is ready while the version is another than this handle last gave, by
/// ipcx_buffer_read() or ipcx_buffer_wait(). Where others were faster, the first call may give IPCX_E_AGAIN. The first
/// call starts a thread that waits on the handle's behalf.
///
/// A pipe, FIFO, socket or message queue is its own descriptor, without a thread. Then of a long message only a part may
/// be there, or room for a short one only. What a receiving end keeps itself does not show: after IPCX_E_TOO_BIG, and
/// while the descriptor is ready, receive again, until IPCX_E_AGAIN.
///
/// Ownership: it stays ipcx's and lives as long as the handle (of a FIFO or socket that sends, until a call says that
/// the receiver went); do not close it.
/// Endpoints and transports in one thread at a time; otherwise thread-safe. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_INVALID (also for a kind that is none, and for a handle of another kind), IPCX_E_FORKED, IPCX_E_OS;
/// of transports IPCX_E_AGAIN (the sending end of a FIFO or socket: there is no receiver yet), and those of the first use
/// of a ring's or buffer's end.
#[no_mangle]
pub unsafe extern "C" fn ipcx_poll_fd(kind: u32, object: *mut c_void, events: *mut i16) -> c_int {
    boundary::number(|| {
        // SAFETY: an open handle, an endpoint of this thread. By the contract.
        let (fd, wanted) = unsafe { Item::of(kind, object, 0) }?.poll_fd()?;
        // SAFETY: NULL or writable, by the contract.
        unsafe { set_if_wanted(events, wanted) };
        Ok(fd)
    })
}

/// Queues the real-time signal `signo` to this process each time what IPCX_WAIT_FOR_* says of the `kind` becomes so, as
/// with ipcx_poll_fd(), and once now if it is so; 0 ends that.
///
/// Call with IPCX_NOWAIT until IPCX_E_AGAIN, or read the buffer: only then is the next signal queued. See "Signals" above.
///
/// Of transports, receiving ends of rings, buffers and message queues only. Of a message queue it is the kernel's own
/// notification (mq_notify()): one process of each queue gets it, si_value.sival_int is the number of ipcx_poll_fd(), and
/// it ends when the process closes another descriptor of the same queue. A signal may come although the message has been
/// received already.
///
/// Endpoints and transports in one thread at a time; otherwise thread-safe. Does not block. Not async-signal-safe.
/// Errors: IPCX_E_INVALID (also for what is no real-time signal, for a kind that is none, for a handle of another kind, and
/// of other transports), IPCX_E_FORKED, IPCX_E_OS; of a message queue IPCX_E_BUSY (another process is told of its messages;
/// receiving may find this too, when there is nothing to receive) and IPCX_E_NO_SPACE (the queue of signals is full).
#[no_mangle]
pub unsafe extern "C" fn ipcx_signal(kind: u32, object: *mut c_void, signo: c_int) -> c_int {
    boundary::code(|| {
        // SAFETY: an open handle, an endpoint of this thread. By the contract.
        unsafe { Item::of(kind, object, 0) }?.signal(signal(signo))
    })
}
