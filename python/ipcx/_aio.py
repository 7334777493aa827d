"""Waiting in coroutines, by the descriptor that an endpoint or a handle gives to event loops."""

import asyncio
import errno
import os
import select
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from ipcx._errors import Busy, Closed, Timeout, WouldBlock
from ipcx._ipcx import (
    Block,
    Buffer,
    Client,
    Consumer,
    Delivery,
    Pool,
    Producer,
    Publisher,
    Queue,
    Receiver,
    Request,
    Semaphore,
    Sender,
    Server,
    Subscriber,
)

_T = TypeVar("_T")
_Thing: TypeAlias = (
    Buffer | Client | Consumer | Pool | Producer | Publisher | Queue | Receiver | Semaphore | Sender | Server | Subscriber
)


class _Room:
    """A queue, for who waits for room in it."""

    def __init__(self, queue: Queue) -> None:
        self.fileno = queue.room_fileno


@dataclass(eq=False)
class _Watch:
    """A descriptor that tasks wait for. A loop has one callback for each, so all of its tasks share it."""

    fd: int
    loop: asyncio.AbstractEventLoop
    # What the descriptor is polled for: to be written, or to be read.
    writing: bool
    # Whose replies are received as soon as the descriptor tells of them.
    client: Client | None
    # Who waits, in this order, and for a buffer which version it has seen.
    tasks: "dict[asyncio.Future[None], int | None]" = field(default_factory=dict)
    # A duplicate for the loop, which is open for as long as the loop has it, in whatever thread the other one is closed.
    own: int = -1

    def begin(self) -> None:
        self.own = os.dup(self.fd)
        _duplicates.add(self.own)
        add = self.loop.add_writer if self.writing else self.loop.add_reader
        add(self.own, _ready, self)

    def end(self) -> None:
        if not self.loop.is_closed():
            remove = self.loop.remove_writer if self.writing else self.loop.remove_reader
            remove(self.own)
        _duplicates.discard(self.own)
        os.close(self.own)


_watches: dict[int, _Watch] = {}
_duplicates: set[int] = set()


def _forget() -> None:
    """In a forked child, which has neither the parent's loops nor, soon, its descriptors."""
    _watches.clear()
    while _duplicates:
        os.close(_duplicates.pop())


os.register_at_fork(after_in_child=_forget)

# How many records `async for` takes before it lets other tasks run, if it never has to wait.
_TURN = 64


# Seconds between two attempts where nothing says when the next one may succeed.
_LOOK_AGAIN = 0.002


async def recv(end: Consumer | Receiver | Subscriber) -> bytes:
    """Receive the next record or message. It is taken only when it is returned, so cancelling loses nothing."""
    return await _until(lambda: end.recv(0), end)


async def send_record(producer: Producer, data: bytes) -> None:
    """Send a record. It is sent only when this returns, so cancelling sends nothing."""
    await _until(lambda: producer.send(data, 0), producer)


async def publish(publisher: Publisher, data: bytes) -> None:
    """Publish a record. It is published only when this returns, so cancelling publishes nothing."""
    await _until(lambda: publisher.publish(data, 0), publisher)


async def send(sender: Sender, data: bytes, priority: int) -> None:
    """Send a message."""
    sender._hold(True)
    try:
        while True:
            with suppress(WouldBlock):
                # A buffer's descriptor does not say when its lock is free.
                if sender.transport == "buffer":
                    return sender._try_send(data, priority)
                return await _until(lambda: sender._try_send(data, priority), sender)
            # There is no descriptor either while nobody receives.
            await asyncio.sleep(_LOOK_AGAIN)
    finally:
        sender._hold(False)


async def records(end: Consumer | Receiver | Subscriber) -> AsyncIterator[bytes]:
    """Yield records or messages until the other end closed and everything was received; of a topic, for ever."""
    taken = 0
    while True:
        try:
            record = await recv(end)
        except Closed:
            return
        yield record
        taken += 1
        if taken % _TURN == 0:
            await asyncio.sleep(0)


async def call(client: Client, data: bytes, timeout: float | None) -> bytes:
    """Send a request and wait for its reply."""
    end = None if timeout is None else time.monotonic() + timeout
    request = None
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                request = await _begin(client, data, end)
                return await _until(lambda: client._end(request), client)
        if request is None:
            raise Timeout(errno.ETIMEDOUT, "timed out: as many requests are open as the client can have")
        return client._late(request)
    finally:
        if request is not None:
            client._give_up(request)  # nothing, once it has ended


async def _begin(client: Client, data: bytes, end: float | None) -> int:
    while True:
        with suppress(WouldBlock):
            return client._begin(data, None if end is None else max(end - time.monotonic(), 0))
        # As a rule another task's reply makes room. There is no descriptor for one that nobody waits for any more.
        with _waiting(client, None) as ready:
            await asyncio.wait([ready], timeout=_LOOK_AGAIN)


async def reply(client: Client) -> tuple[int, bytes]:
    """Receive the next reply. It is taken only when it is returned, so cancelling loses nothing."""
    return await _until(lambda: client.recv(0), client)


async def request(server: Server) -> Request:
    """Take the next request. It is taken only when it is returned, so cancelling loses nothing."""
    return await _until(lambda: server.recv(0), server)


async def requests(server: Server) -> AsyncIterator[Request]:
    """Yield requests for ever."""
    taken = 0
    while True:
        yield await request(server)
        taken += 1
        if taken % _TURN == 0:
            await asyncio.sleep(0)


async def acquire(things: Pool | Semaphore) -> Block | None:
    """Acquire a block or a permit. It is taken only when it is returned, so cancelling loses nothing."""
    return await _until(lambda: things.acquire(0), things)


async def consume(semaphore: Semaphore) -> None:
    """Use a permit up."""
    await _until(lambda: semaphore.consume(0), semaphore)


async def enter(semaphore: Semaphore) -> Semaphore:
    """Begin an `async with`."""
    await acquire(semaphore)
    return semaphore


async def leave(semaphore: Semaphore) -> None:
    """End an `async with`; a handle that was closed inside has given everything back."""
    if not semaphore.closed:
        semaphore.release()


async def pop(queue: Queue) -> bytes:
    """Take the next message and acknowledge it. It is taken only when it is returned, so cancelling loses nothing."""
    return await _until(lambda: queue.pop(0), queue)


async def take(queue: Queue) -> Delivery:
    """Take the next message. It is taken only when it is returned, so cancelling loses nothing."""
    return await _until(lambda: queue.take(0), queue)


async def push(queue: Queue, data: bytes, priority: int) -> None:
    """Push a message. It is pushed only when this returns, so cancelling pushes nothing."""
    await _until(lambda: queue.push(data, priority, 0), _Room(queue))


async def newer(buffer: Buffer, seen: int) -> int:
    """Wait until the version is another than `seen`."""
    return await _until(lambda: buffer.wait(seen, 0), buffer, seen)


async def _until(attempt: Callable[[], _T], thing: _Thing | _Room, seen: int | None = None) -> _T:
    """Repeat what does not wait until it succeeds."""
    while True:
        with suppress(WouldBlock):
            return attempt()
        with _waiting(thing, seen) as ready:
            # Once more: from now on, whoever changes what the descriptor says lets this task look.
            with suppress(WouldBlock):
                return attempt()
            await ready


@contextmanager
def _waiting(thing: _Thing | _Room, seen: int | None) -> Iterator["asyncio.Future[None]"]:
    fd, loop = thing.fileno(), asyncio.get_running_loop()
    watch = _watches.get(fd)
    if watch is None:
        writing = isinstance(thing, Sender) and thing.poll_events == select.POLLOUT
        watch = _watches[fd] = _Watch(fd, loop, writing, thing if isinstance(thing, Client) else None)
        watch.begin()
    elif isinstance(thing, Consumer | Producer | Publisher | Receiver | Server | Subscriber):
        raise Busy(16, f"another task already waits with this {type(thing).__name__}, which belongs to one at a time")
    elif watch.loop is not loop:
        raise Busy(16, "a task of another event loop waits with this handle; each loop needs one of its own")
    ready = loop.create_future()
    watch.tasks[ready] = seen
    try:
        yield ready
    finally:
        del watch.tasks[ready]
        # Not after close(): the number may be another descriptor's by now.
        if not watch.tasks and _watches.get(fd) is watch:
            del _watches[fd]
            watch.end()


def _ready(watch: _Watch) -> None:
    """Let one task look. If there is more, or it is gone, the descriptor is still readable, and the next one is asked.

    Of a client, each waits for something else: all look at what has come.
    """
    if watch.client is not None:
        watch.client._gather()
        _look(watch)
        return
    for ready in watch.tasks:
        if not ready.done():
            ready.set_result(None)
            return


def _look(watch: _Watch, version: int | None = None) -> None:
    """Let all look, but for those who have seen this version."""
    for ready, seen in watch.tasks.items():
        if not ready.done() and (version is None or seen != version):
            ready.set_result(None)


def saw(fd: int, version: int) -> None:
    """A buffer's handle was given this version, so that its descriptor says whether there is another one than that."""
    watch = _watches.get(fd)
    if watch is not None and any(seen != version for seen in list(watch.tasks.values())):
        _in_loop(watch, lambda: _look(watch, version))


def closing(fd: int) -> None:
    """Before a descriptor is closed: let go of it, and let the tasks that wait for it find out."""
    watch = _watches.pop(fd, None)
    if watch is None:
        return
    if watch.loop.is_closed():
        watch.end()
    else:
        _in_loop(watch, lambda: _let_go(watch))


def _let_go(watch: _Watch) -> None:
    watch.end()
    _look(watch)


def _in_loop(watch: _Watch, call: Callable[[], None]) -> None:
    """Call it in the thread of the watch's loop: now, if that is this one."""
    try:
        here = asyncio.get_running_loop() is watch.loop
    except RuntimeError:
        here = False
    if here:
        call()
    elif not watch.loop.is_closed():
        watch.loop.call_soon_threadsafe(call)
