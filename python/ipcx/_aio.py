"""Receiving in coroutines, by the descriptor that a consumer gives to event loops."""

import asyncio
from collections.abc import AsyncIterator

from ipcx._errors import Busy, Closed, WouldBlock
from ipcx._ipcx import Consumer

# Descriptors that a task waits for. A loop has one callback for each, so a second task would silence the first.
_waiting: set[int] = set()

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
    ready = loop.create_future()
    _waiting.add(fd)
    loop.add_reader(fd, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(fd)
        _waiting.discard(fd)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
