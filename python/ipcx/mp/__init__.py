"""`multiprocessing` with its queues, pipes and locks in shared memory: `from ipcx import mp as multiprocessing`.

    from ipcx import mp as multiprocessing

    def work(jobs, done):
        while (array := jobs.get()) is not None:
            done.put(array.sum())

    jobs, done = multiprocessing.Queue(), multiprocessing.Queue()
    multiprocessing.Process(target=work, args=(jobs, done)).start()

The interfaces are those of multiprocessing, under each start method; what is not here (Process, Pool, Manager, Value, ...) is its own.
Under each object is one of ipcx, without a name, so that nothing is left behind, also after `kill -9` of everybody:

| | is made of |
|---|---|
| Queue, JoinableQueue, Pipe, SimpleQueue | a work queue, and a pool for what is large |
| Lock, RLock, Semaphore, BoundedSemaphore | a semaphore |
| Condition | its lock, a semaphore of who sleeps, one of who is woken |
| Event | a buffer |
| Barrier | a condition, a semaphore of who is inside, a buffer |

**Messages.** `put` copies an object into shared memory before it returns: whatever becomes of its process then, the object is
there. There is no feeder thread while there is room (4096 objects, of which 1024 larger than 500 bytes). When there is none, a queue with
a maxsize waits, or raises Full; one without keeps what comes then in its process, where a thread sends it on as soon as there is
room: only this is lost if the process is killed. A Pipe has room for 128 objects, and `send` waits.

Large bytes, and the buffers of pickle protocol 5 (NumPy arrays), are copied once, into a block. A block has as much memory as it
needs; it is obtained when it is used, and too little is `ipcx.NoSpace`. One message has at most 1 GiB (`ipcx.TooBig`). The receiver's
array lies in the block, which is free again once the array is collected; while fewer than half of the blocks are free, and below 64 KiB, it is
given a copy instead. `bytes`, `bytearray` and `str` are always copies. An array from `queue.empty_array(shape, dtype)` lies in a block from the start, and
is put without a copy: it is the receiver's then, so do not touch it any more.

**Death.** A lock, and a permit of a semaphore, that a process holds when it is killed goes to the next; a condition forgets its dead
waiters, and a barrier with a dead one inside is broken for the others. A message is either in the queue or was got: one whose receiver is killed inside
`get` may be gone with it. Of a JoinableQueue, a task whose consumer dies counts as done. At the normal end of a process, the permits of a
Semaphore that it acquired stay used up, as in multiprocessing. A Semaphore that begins with 0 signals: its permits are used up when acquired.

**Differences.** An object is pickled by put, in the calling thread; what cannot be pickled goes to `_on_queue_feeder_error`, as there. Queues, pipes and locks
may be sent through queues. `fileno` of a connection is for waiting only. Sending to a connection that nobody has any more is an error once its room is full. A Semaphore rises to 32768 above its initial value. Each
object takes descriptors (a Lock 3, a Queue 6): raise `ulimit -n` for many. An object may be used by 512 processes at once.
"""

import multiprocessing as _multiprocessing
from multiprocessing import (
    Array,
    AuthenticationError,
    BufferTooShort,
    Manager,
    Process,
    ProcessError,
    RawArray,
    RawValue,
    TimeoutError,
    Value,
    active_children,
    allow_connection_pickling,
    cpu_count,
    current_process,
    freeze_support,
    get_all_start_methods,
    get_logger,
    get_start_method,
    log_to_stderr,
    parent_process,
    set_executable,
    set_forkserver_preload,
    set_start_method,
)
from typing import Any

from ipcx.mp import connection as connection
from ipcx.mp import context as context
from ipcx.mp import queues as queues
from ipcx.mp import synchronize as synchronize

_default = context.DefaultContext()

Barrier = _default.Barrier
BoundedSemaphore = _default.BoundedSemaphore
Condition = _default.Condition
Event = _default.Event
JoinableQueue = _default.JoinableQueue
Lock = _default.Lock
Pipe = _default.Pipe
Pool = _default.Pool
Queue = _default.Queue
RLock = _default.RLock
Semaphore = _default.Semaphore
SimpleQueue = _default.SimpleQueue
get_context = _default.get_context

__all__ = [
    "Array",
    "AuthenticationError",
    "Barrier",
    "BoundedSemaphore",
    "BufferTooShort",
    "Condition",
    "Event",
    "JoinableQueue",
    "Lock",
    "Manager",
    "Pipe",
    "Pool",
    "Process",
    "ProcessError",
    "Queue",
    "RLock",
    "RawArray",
    "RawValue",
    "Semaphore",
    "SimpleQueue",
    "TimeoutError",
    "Value",
    "active_children",
    "allow_connection_pickling",
    "cpu_count",
    "current_process",
    "freeze_support",
    "get_all_start_methods",
    "get_context",
    "get_logger",
    "get_start_method",
    "log_to_stderr",
    "parent_process",
    "set_executable",
    "set_forkserver_preload",
    "set_start_method",
]


def __getattr__(name: str) -> Any:
    """Whatever else programs use of multiprocessing: its submodules."""
    return getattr(_multiprocessing, name)
