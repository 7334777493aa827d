"""Queue, JoinableQueue and SimpleQueue; what they promise is said in `ipcx.mp`."""

import threading
import traceback
from collections import deque
from multiprocessing import util
from queue import Empty, Full
from typing import Any

from ipcx._errors import Timeout, WouldBlock
from ipcx._ipcx import Semaphore
from ipcx.mp import _channel
from ipcx.mp.connection import Pipe
from ipcx.mp.synchronize import Condition

__all__ = ["JoinableQueue", "Queue", "SimpleQueue"]

# How many objects a queue without a maxsize has room for before its processes keep them.
DEPTH = 4096
# A maxsize above this is none.
LARGEST = 1 << 20
# Most tasks of a JoinableQueue that were got and not done.
TASKS = 1 << 16
# How long a put without room waits before it keeps the object.
MOMENT = 0.02
# How long the feeder and a join wait before they look again.
SLICE = 0.25


class Queue:
    """multiprocessing.Queue in shared memory."""

    def __init__(self, maxsize: int = 0, *, ctx: Any = None) -> None:
        self._maxsize = maxsize if 0 < maxsize <= LARGEST else 0
        self._queue, self._pool = _channel.make(self._maxsize or DEPTH)
        self._tasks: Semaphore | None = None
        self._begin()

    def __getstate__(self) -> Any:
        return self._maxsize, self._queue, self._pool, self._tasks

    def __setstate__(self, state: Any) -> None:
        self._maxsize, self._queue, self._pool, self._tasks = state
        self._begin()

    def _begin(self) -> None:
        self._channel = _channel.join(self._queue, self._pool, self._tasks)
        self._try_put, self._get = self._channel.try_put, self._channel.get
        self._closed = False
        self._join_cancelled = False
        self._reset()
        util.register_after_fork(self, Queue._reset)

    def _reset(self) -> None:
        """What waits for room is its process's: a forked child has none of the parent's."""
        self._overflow: deque[tuple[int, list[Any]]] = deque()
        self._changed = threading.Condition()
        self._feeder: threading.Thread | None = None
        self._finalizer: Any = None
        self._made: set[int] = set()

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an object; if there is no room, wait, or raise queue.Full; without a maxsize, keep it here until there is."""
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        if not self._overflow and self._try_put(obj):
            return
        try:
            self._put(obj, 0 if not block else None if timeout is None else max(timeout, 0))
        except (WouldBlock, Timeout):
            raise Full from None

    def _put(self, obj: Any, timeout: float | None) -> None:
        if self._made and self._put_made(obj, timeout):
            return
        try:
            message = _channel.encode(obj)
        except Exception as error:
            self._on_queue_feeder_error(error, obj)
            return
        if self._maxsize:
            self._channel.put(*message, timeout)
            return
        with self._changed:
            if not self._overflow:
                # Where somebody gets, there is room in a moment: waiting is faster than handing over to the feeder.
                try:
                    return self._channel.put(*message, timeout if timeout == 0 else MOMENT)
                except (WouldBlock, Timeout):
                    pass
            # Buffers may change after this call has returned.
            self._keep((message[0], [bytes(part) for part in message[1]]))

    def _put_made(self, obj: Any, timeout: float | None) -> bool:
        """An array from `empty_array`, without a copy."""
        block = _channel.block_of(obj)
        if block is None or block.id not in self._made or self._overflow or not _channel.prepare(obj, block):
            return False
        number = block.id
        try:
            self._channel.put_block(_channel.PARTS, block, timeout if self._maxsize else 0)
        except WouldBlock:
            if self._maxsize:
                raise
            return False  # No room: as any other object.
        self._made.discard(number)
        obj.flags.writeable = False
        return True

    def _keep(self, message: tuple[int, list[Any]]) -> None:
        if self._tasks is not None:
            self._tasks.acquire(0)
        self._overflow.append(message)
        self._changed.notify_all()
        if self._feeder is None:
            self._feeder = threading.Thread(target=self._feed, name="QueueFeederThread", daemon=True)
            self._feeder.start()
            if not self._join_cancelled:
                self._finalizer = util.Finalize(None, self._flush, exitpriority=-5)

    def _feed(self) -> None:
        """Sends what waits for room. Never ends by itself: it is a daemon."""
        while True:
            with self._changed:
                while not self._overflow:
                    if self._closed:
                        self._feeder = None
                        return
                    self._changed.wait(SLICE)
                message = self._overflow[0]
            try:
                self._channel.put(*message, SLICE)
            except (WouldBlock, Timeout):
                continue
            except Exception as error:
                self._on_queue_feeder_error(error, message)
            with self._changed:
                self._overflow.popleft()
                if self._tasks is not None:
                    self._tasks.release()
                self._changed.notify_all()

    def _flush(self) -> None:
        with self._changed:
            while self._overflow and not self._join_cancelled:
                self._changed.wait(SLICE)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Get the next object; if there is none, wait, or raise queue.Empty."""
        if self._closed:
            raise ValueError(f"Queue {self!r} is closed")
        if block and timeout is None:
            return self._get()
        try:
            return self._get(max(timeout, 0) if block and timeout is not None else 0)
        except (WouldBlock, Timeout):
            raise Empty from None

    def put_nowait(self, obj: Any) -> None:
        self.put(obj, False)

    def get_nowait(self) -> Any:
        return self.get(False)

    def empty(self) -> bool:
        return not self._overflow and not _channel.has_message(self._queue)

    def qsize(self) -> int:
        """Objects in the queue, and those that wait in this process for room."""
        stats = self._queue.stats()
        return sum(stats.ready) + stats.being_pushed + len(self._overflow)

    def full(self) -> bool:
        return 0 < self._maxsize <= self.qsize()

    def empty_array(self, shape: Any, dtype: Any = "float64") -> Any:
        """An array in shared memory, for this queue: put without a copy. It is the receiver's then."""
        array, block = _channel.empty(self._channel, shape, dtype)
        self._made.add(block.id)
        return array

    def close(self) -> None:
        """No more puts and gets by this process."""
        self._closed = True

    def join_thread(self) -> None:
        """Wait until what this process kept is in the queue."""
        assert self._closed, f"Queue {self!r} not closed"
        self._flush()

    def cancel_join_thread(self) -> None:
        """Do not wait for that when the process ends: it is lost then."""
        self._join_cancelled = True
        if self._finalizer is not None:
            self._finalizer.cancel()

    @staticmethod
    def _on_queue_feeder_error(e: Exception, obj: Any) -> None:
        """What becomes of an object that cannot be sent; for overloading, as in multiprocessing."""
        traceback.print_exception(e)


class JoinableQueue(Queue):
    """multiprocessing.JoinableQueue in shared memory."""

    def __init__(self, maxsize: int = 0, *, ctx: Any = None) -> None:
        super().__init__(maxsize, ctx=ctx)
        # Who got an object, or keeps one for which there was no room, holds a permit: what is unfinished dies with its process.
        self._tasks = Semaphore.anonymous(limit=TASKS, max_participants=_channel.PARTICIPANTS)
        self._finished = Condition(ctx=ctx)
        self._begin()

    def __getstate__(self) -> Any:
        return super().__getstate__(), self._finished

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state[0])
        self._finished = state[1]

    def task_done(self) -> None:
        """Say that an object that was got is dealt with."""
        assert self._tasks is not None
        try:
            self._tasks.release_any()
        except ValueError:
            raise ValueError("task_done() called too many times") from None
        if self._finished._sleepers() and not self._unfinished():
            with self._finished:
                self._finished.notify_all()

    def _unfinished(self) -> bool:
        # In this order: an object is in the queue until its receiver holds a permit.
        stats = self._queue.stats()
        if self._overflow or sum(stats.ready) + stats.being_pushed + stats.taken:
            return True
        assert self._tasks is not None
        self._tasks.recover()
        return self._tasks.value < self._tasks.limit

    def join(self) -> None:
        """Wait until every object that was put was dealt with."""
        while True:
            with self._finished:
                if not self._unfinished():
                    return
                self._finished.wait(SLICE)


class SimpleQueue:
    """multiprocessing.SimpleQueue in shared memory: a pipe that any number of processes may use at both ends."""

    def __init__(self, *, ctx: Any = None) -> None:
        self._reader, self._writer = Pipe(duplex=False)
        self._open()

    def __getstate__(self) -> Any:
        return self._reader, self._writer

    def __setstate__(self, state: Any) -> None:
        self._reader, self._writer = state
        self._open()

    def _open(self) -> None:
        self.put, self.get = self._writer.send, self._reader.recv
        self._rlock = threading.Lock()  # For multiprocessing.Pool; there is nothing to lock.

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def empty(self) -> bool:
        return not self._reader.poll()
