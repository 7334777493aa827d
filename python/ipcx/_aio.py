"""Receiving in coroutines, by the descriptor that a consumer gives to event loops."""

import asyncio
from collections.abc import AsyncIterator

from ipcx._errors import Busy, Closed, WouldBlock
from ipcx._ipcx import Consumer

_Wait = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]

# Descriptors that a task waits for. A loop has one callback for each, so a second task would silence the first.
_waiting: dict[int, _Wait] = {}

# How many records `async for` takes before it lets other tasks run, if it never has to wait.
_TURN = 64


async def recv(consumer: Consumer) -> bytes:
    """Receive the next record. A record is taken only when it is returned, so cancelling loses nothing."""
    while True:
        try:
            return consumer.recv(0)
        except WouldBlock:
            await _readable(consumer)


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


async def _readable(consumer: Consumer) -> None:
    fd = consumer.fileno()
    if fd in _waiting:
        raise Busy(16, "another task already waits for a record of this consumer")
    loop = asyncio.get_running_loop()
    wait = (loop, loop.create_future())
    _waiting[fd] = wait
    loop.add_reader(fd, _wake, wait[1])
    try:
        await wait[1]
    finally:
        # Not after close(): the number may be another descriptor's by now.
        if _waiting.get(fd) is wait:
            del _waiting[fd]
            loop.remove_reader(fd)


def closing(fd: int) -> None:
    """Before a descriptor is closed: let go of it, and let the task that waits for it find out."""
    wait = _waiting.pop(fd, None)
    if wait is None or wait[0].is_closed():
        return
    loop, ready = wait
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    if here:
        loop.remove_reader(fd)
        _wake(ready)
    else:
        loop.call_soon_threadsafe(_wake, ready)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
