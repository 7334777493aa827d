"""Messages between processes on one Linux host, through shared memory.

C, Python and Rust processes use the same segments. There is no daemon: a
segment is a file in /dev/shm.

    # One process:
    tx = ipcx.Ring.open("feed").producer()
    tx.send(b"hello")

    # Another:
    rx = ipcx.Ring.open("feed").consumer()
    print(rx.recv())

A ring carries records of any length from one producer to one consumer. A
pool has blocks for what is large: filled once, handed from process to
process through rings, and read in place.

    pool = ipcx.Pool.open("frames", block_size=1920 * 1080 * 3)
    block = pool.acquire()
    block.as_array("uint8", (1080, 1920, 3))[:] = 0
    tx.send_block(block)

    with rx.recv_block(pool) as block:
        print(block.as_array("uint8").mean())

A buffer is a value that one process writes at a time, and any number read
and wait for; a semaphore has permits that come back when their holder dies.

    price = ipcx.Buffer.open("price")
    version = price.write(b"1234.50")
    while True:
        price.wait(version)
        value, version = price.read_versioned()
        print(value)

    with price.lock() as value:
        value[0:4] = b"1235"

    with ipcx.Semaphore.open("licences", limit=4):
        ...

What is published on a topic reaches every subscriber. Publishers never wait
for them, and who is too slow knows how many records it missed; or, with
reliable=True, publishers wait for the slowest, and topic.stats() says which
process that is.

    ipcx.Topic.open("prices").publisher().publish(b"1234.50")

    with ipcx.Topic.open("prices").subscriber() as prices:
        for price in prices:
            print(price, prices.missed)

A work queue has messages with priorities for whoever takes them first; one
that is not acknowledged, because its taker failed or died, is taken again.

    jobs = ipcx.Queue.open("jobs")
    jobs.push(b"put the fire out", priority=9)

    with jobs.take() as job:
        print(job.data)

A service answers requests: any number of processes serve, each request is
carried out at most once, and a client is told if the server that had it
died.

    @ipcx.serve("shout")
    def answer(request):
        return request.upper()

    answer.run()

    client = ipcx.Service.open("shout").client()
    print(client.call(b"hello", timeout=0.5))

Messages also go through what the kernel has: a transport is one word, of
'pipe', 'fifo', 'mqueue', 'unix', 'ring', 'buffer'.

    tx, rx = ipcx.Transport.pair("pipe")
    multiprocessing.Process(target=work, args=(rx,)).start()
    tx.send(b"hello")

    with ipcx.ChildPipes.spawn(["sort", "-n"]) as child:
        print(child.exchange(b"10\\n9\\n"))

Calls that wait take `timeout`: seconds, 0 not to wait, None (the default)
for ever. While they wait, other threads run, and Ctrl-C ends them.
`wait_any` waits for one of several things.

In coroutines, under asyncio and uvloop, the same calls begin with an a:
`await rx.arecv()` and `async for message in rx` (of consumers, subscribers,
receivers, servers), `tx.asend(data)`, `publisher.apublish(data)`,
`queue.apush(data)`, `queue.atake()`, `client.acall(data)`,
`pool.aacquire()`, `semaphore.aacquire()`; and
`buffer.await_newer(version)`. One that is cancelled has taken and sent
nothing, but for a request that a server had already begun with. For other
event loops there is `fileno()`, and `signal(signo)` has a real-time signal
queued.

Many small records at once: `send_many`, `recv_many`; back to back in one
object, `send_packed`, `recv_packed`; of one size, as a NumPy array,
`rx.recv_fixed(dtype)`. This and `as_array` need NumPy; nothing else does.

If a process is killed, nothing is lost: a record whose send returned is
delivered; one that was received but not released is delivered again, at
the same position; and whoever attaches next takes the dead process's role
over. A value that was being written stays as it was, and its lock and the
permits go to the next. A request that a server had taken ends with
`PeerDead`. A message that was taken and not acknowledged is taken again.

What goes wrong with a segment or a peer is an `ipcx.Error`, and also the
built-in that fits (TimeoutError, FileNotFoundError, ...). A wrong argument,
or the use of something closed, is a plain ValueError or TypeError.

`ipcx.list()` says which segments there are, who is attached to each, and
who has its roles.

Handles (Ring, Pool, Buffer, Semaphore, Topic, Service, Queue) may be used
by several threads; endpoints (Producer, Consumer, Publisher, Subscriber,
Client, Server, Sender, Receiver) belong to one thread at a time. Handles
are arguments of a multiprocessing.Process under every start method: in the
other process they attach anew, under fork when it uses them, and so are
ends of transports that have no name. Another endpoint, a block or a locked
value is its process's, and raises `Forked` in a forked child. Pass the ring
and take the role there, or the topic and publish or subscribe there; or,
under spawn and forkserver, pass an endpoint of a ring that you have closed,
whose role the other process takes.
"""

from ipcx._errors import (
    Busy,
    Closed,
    Corrupt,
    Error,
    Exists,
    Forked,
    Invalid,
    Mismatch,
    NoSpace,
    NotFound,
    PeerDead,
    PermissionDenied,
    RemoteError,
    Timeout,
    TooBig,
    WouldBlock,
)
from ipcx._ipcx import (
    LAYOUT_VERSION,
    Block,
    Buffer,
    BufferStats,
    ChildPipes,
    Client,
    Consumer,
    Delivery,
    Listed,
    ListedParticipant,
    ListedRole,
    LockedValue,
    NewerThan,
    Participant,
    Pool,
    PoolHolder,
    PoolStats,
    Producer,
    Publisher,
    Queue,
    QueueHolder,
    QueueStats,
    Receiver,
    Record,
    Request,
    Reservation,
    Ring,
    RingStats,
    Semaphore,
    SemaphoreHolder,
    SemaphoreStats,
    Sender,
    Server,
    Service,
    ServiceClient,
    ServiceServer,
    ServiceStats,
    Subscriber,
    Topic,
    TopicRecord,
    TopicStats,
    TopicSubscriber,
    Transport,
    __version__,
    unlink,
    wait_any,
)
from ipcx._serving import Handler, serve

# Not in `__all__`: `import *` would hide the built-in.
from ipcx._ipcx import list as list

__all__ = [
    "LAYOUT_VERSION",
    "Block",
    "Buffer",
    "BufferStats",
    "Busy",
    "ChildPipes",
    "Client",
    "Closed",
    "Consumer",
    "Corrupt",
    "Delivery",
    "Error",
    "Exists",
    "Forked",
    "Handler",
    "Invalid",
    "Listed",
    "ListedParticipant",
    "ListedRole",
    "LockedValue",
    "Mismatch",
    "NewerThan",
    "NoSpace",
    "NotFound",
    "Participant",
    "PeerDead",
    "PermissionDenied",
    "Pool",
    "PoolHolder",
    "PoolStats",
    "Producer",
    "Publisher",
    "Queue",
    "QueueHolder",
    "QueueStats",
    "Receiver",
    "Record",
    "RemoteError",
    "Request",
    "Reservation",
    "Ring",
    "RingStats",
    "Semaphore",
    "SemaphoreHolder",
    "SemaphoreStats",
    "Sender",
    "Server",
    "Service",
    "ServiceClient",
    "ServiceServer",
    "ServiceStats",
    "Subscriber",
    "Timeout",
    "TooBig",
    "Topic",
    "TopicRecord",
    "TopicStats",
    "TopicSubscriber",
    "Transport",
    "WouldBlock",
    "__version__",
    "serve",
    "unlink",
    "wait_any",
]
