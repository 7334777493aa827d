"""Messages between processes on one Linux host, through shared memory.

C, Python and Rust processes use the same segments. There is no daemon: a segment is a file in /dev/shm.

    # One process:
    tx = ipcx.Ring.open("feed").producer()
    tx.send(b"hello")

    # Another:
    rx = ipcx.Ring.open("feed").consumer()
    print(rx.recv())

A ring carries records of any length from one producer to one consumer. A pool has blocks for what is large: filled once,
handed from process to process through rings, and read in place.

    pool = ipcx.Pool.open("frames", block_size=1920 * 1080 * 3)
    block = pool.acquire()
    block.as_array("uint8", (1080, 1920, 3))[:] = 0
    tx.send_block(block)

    with rx.recv_block(pool) as block:
        print(block.as_array("uint8").mean())

Arrays (as_array) need NumPy; nothing else does.

Calls that wait take `timeout`: seconds, 0 not
to wait, None (the default) for ever. While they wait, other threads run, and Ctrl-C ends them.

If a process is killed, nothing is lost: a record whose send returned is delivered; one that was received but not
released is delivered again, at the same position; and whoever attaches next takes the dead process's role over.

What goes wrong with a segment or a peer is an `ipcx.Error`, and also the built-in that fits (TimeoutError,
FileNotFoundError, ...). A wrong argument, or the use of something closed, is a plain ValueError or TypeError.

Handles may be used by several threads; endpoints (Producer, Consumer) belong to one thread at a time. After fork, the
child attaches anew; inherited objects raise `Forked`. The memory of an inherited block stays reachable: do not touch it.
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
    Timeout,
    TooBig,
    WouldBlock,
)
from ipcx._ipcx import (
    LAYOUT_VERSION,
    Block,
    Consumer,
    Participant,
    Pool,
    PoolHolder,
    PoolStats,
    Producer,
    Record,
    Reservation,
    Ring,
    RingStats,
    __version__,
    unlink,
)

__all__ = [
    "LAYOUT_VERSION",
    "Block",
    "Busy",
    "Closed",
    "Consumer",
    "Corrupt",
    "Error",
    "Exists",
    "Forked",
    "Invalid",
    "Mismatch",
    "NoSpace",
    "NotFound",
    "Participant",
    "PeerDead",
    "PermissionDenied",
    "Pool",
    "PoolHolder",
    "PoolStats",
    "Producer",
    "Record",
    "Reservation",
    "Ring",
    "RingStats",
    "Timeout",
    "TooBig",
    "WouldBlock",
    "__version__",
    "unlink",
]
