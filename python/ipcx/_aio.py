"""Waiting in coroutines, by the descriptor that an endpoint or a handle gives to event loops."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from ipcx._errors import Busy, Closed, WouldBlock
from ipcx._ipcx import Block, Buffer, Consumer, Pool, Semaphore

_T = TypeVar("_T")
_Thing: TypeAlias = Buffer | Consumer | Pool | Semaphore


@dataclass(eq=False)
class _Watch:
    """A descriptor that tasks wait for. A loop has one callback for each, so all of its tasks share it."""

    fd: int
    loop: asyncio.AbstractEventLoop
    # Who waits, in this order, and for a buffer which version it has seen.
    tasks: "dict[asyncio.Future[None], int | None]" = field(default_factory=dict)


_watches: dict[int, _Watch] = {}

# The child has neither the parent's loops nor, soon, its descriptors.
os.register_at_fork(after_in_child=_watches.clear)

# How many records `async for` takes before it lets other tasks run, if it never has to wait.
_TURN = 64


async def recv(consumer: Consumer) -> bytes:
    """Receive the next record. A record is taken only when it is returned, so cancelling loses nothing."""
    return await _until(lambda: consumer.recv(0), consumer)


async def records(consumer: Consumer) -> AsyncIterator[bytes]:
    """Yield records until the producer closed and everything was received."""
    taken = 0
    while True:
        try:
            record = await recv(consumer)
        except Closed:
            return
        yield record
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


async def newer(buffer: Buffer, seen: int) -> int:
    """Wait until the version is another than `seen`."""
    return await _until(lambda: buffer.wait(seen, 0), buffer, seen)


async def _until(attempt: Callable[[], _T], thing: _Thing, seen: int | None = None) -> _T:
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
def _waiting(thing: _Thing, seen: int | None) -> Iterator["asyncio.Future[None]"]:
    fd, loop = thing.fileno(), asyncio.get_running_loop()
    watch = _watches.get(fd)
    if watch is None:
        watch = _watches[fd] = _Watch(fd, loop)
        loop.add_reader(fd, _ready, watch)
    elif isinstance(thing, Consumer):
        raise Busy(16, "another task already waits for a record of this consumer")
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
            loop.remove_reader(fd)


def _ready(watch: _Watch) -> None:
    """Let one task look. If there is more, or it is gone, the descriptor is still readable, and the next one is asked."""
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
    if watch is not None:
        _in_loop(watch, lambda: _let_go(watch))


def _let_go(watch: _Watch) -> None:
    # From another thread this comes late: the number may be another's by now.
    if watch.fd not in _watches:
        watch.loop.remove_reader(watch.fd)
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
