"""Pipe and its connections; Listener, Client and wait are those of multiprocessing.

A connection has a work queue for each direction, and one end of a socket pair, through which nothing is sent: the kernel ends it
when the last process that has the other end has closed it, or died.
"""

import multiprocessing.connection
import multiprocessing.reduction
import os
import select
import socket
from collections.abc import Callable
from multiprocessing import BufferTooShort
from multiprocessing.connection import Client, Listener, answer_challenge, deliver_challenge, wait
from types import TracebackType
from typing import Any, Self

from ipcx._errors import Timeout, WouldBlock
from ipcx._ipcx import Pool, Queue
from ipcx.mp import _channel

__all__ = ["Client", "Connection", "Listener", "Pipe", "answer_challenge", "deliver_challenge", "wait"]

# Objects that a pipe has room for.
DEPTH = 128
# How often a call that waits looks whether the other end is still there.
SLICE = 0.05


def Pipe(duplex: bool = True) -> tuple["Connection", "Connection"]:
    """Two connections to each other; without duplex, the first one receives and the second one sends."""
    one, other = (end.detach() for end in socket.socketpair())
    pool = _channel.make_pool()
    there, back = _queue(), _queue() if duplex else None
    return Connection(one, pool, there, back), Connection(other, pool, back, there)


def _queue() -> Queue:
    return Queue.anonymous(max_message=_channel.INLINE, depth=DEPTH, max_participants=_channel.PARTICIPANTS)


class Connection:
    """One end of a pipe. Any number of processes may have it."""

    def __init__(self, life: int, pool: Pool, inward: Queue | None, outward: Queue | None) -> None:
        self._life: int | None = life
        self._pool, self._inward, self._outward = pool, inward, outward
        if outward is not None:
            sender = _channel.join(outward, pool)
            self._try_put, self._put = sender.try_put, sender.put
        if inward is not None:
            receiver = _channel.join(inward, pool)
            self._get, self._get_bytes = receiver.get, receiver.get_bytes
        # To wait for both, made when it is asked for: in which process, and what.
        self._either: tuple[int, select.epoll] | None = None
        self._asked = select.poll()
        self._asked.register(life, select.POLLIN)

    def __reduce__(self) -> tuple[Any, ...]:
        self._check_closed()
        assert self._life is not None
        duplicate = multiprocessing.reduction.DupFd(self._life)
        return _rebuilt, (duplicate, self._pool, self._inward, self._outward)

    def __del__(self) -> None:
        if getattr(self, "_life", None) is not None:
            self.close()

    def close(self) -> None:
        """Close this end, of this process."""
        if self._life is None:
            return
        os.close(self._life)
        self._life = None
        if self._either is not None:
            self._either[1].close()
            self._either = None
        # Not closed, but let go of: the other end may be in this process, too.
        for method in ("_get", "_get_bytes", "_try_put", "_put"):
            self.__dict__.pop(method, None)

    @property
    def closed(self) -> bool:
        return self._life is None

    @property
    def readable(self) -> bool:
        return self._inward is not None

    @property
    def writable(self) -> bool:
        return self._outward is not None

    def _check_closed(self) -> None:
        if self._life is None:
            raise OSError("handle is closed")

    def _check(self, able: bool, only: str) -> None:
        self._check_closed()
        if not able:
            raise OSError(f"connection is {only}")

    def _is_alone(self) -> bool:
        """True if nobody has the other end."""
        return bool(self._asked.poll(0))

    def send(self, obj: Any) -> None:
        """Send an object; wait while there is no room."""
        try:
            if self._try_put(obj):
                return
        except AttributeError:
            self._check(self.writable, "read-only")
            raise
        self._send(_channel.encode(obj))

    def _send(self, message: tuple[int, list[Any]]) -> None:
        while True:
            try:
                return self._put(*message, SLICE)
            except Timeout:
                if self._is_alone():
                    raise BrokenPipeError("nobody has the other end of this connection") from None

    def send_bytes(self, buf: Any, offset: int = 0, size: int | None = None) -> None:
        """Send bytes; wait while there is no room."""
        self._check(self.writable, "read-only")
        data = memoryview(buf).cast("B")
        most = data.nbytes - offset
        if offset < 0:
            raise ValueError("offset is negative")
        if most < 0:
            raise ValueError("buffer length < offset")
        if size is not None and size < 0:
            raise ValueError("size is negative")
        if size is not None and size > most:
            raise ValueError("buffer length < offset + size")
        self._send((_channel.RAW, [data[offset : offset + (most if size is None else size)]]))

    def recv(self) -> Any:
        """Receive the next object; EOFError if there is none, and nobody has the other end."""
        try:
            get = self._get
        except AttributeError:
            self._check(self.readable, "write-only")
            raise
        return self._receive(get)

    def _receive(self, get: Callable[[float], Any]) -> Any:
        while True:
            try:
                return get(SLICE)
            except Timeout:
                if self._is_alone():
                    break
        try:
            return get(0)
        except WouldBlock:
            raise EOFError from None

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        """Receive the next bytes, or the pickle of an object; an OSError, and the connection is closed, if that is longer."""
        self._check(self.readable, "write-only")
        if maxlength is not None and maxlength < 0:
            raise ValueError("negative maxlength")
        data: bytes = self._receive(self._get_bytes)
        if maxlength is not None and len(data) > maxlength:
            self.close()
            raise OSError("bad message length")
        return data

    def recv_bytes_into(self, buf: Any, offset: int = 0) -> int:
        """Receive the next bytes into a buffer; says how many."""
        with memoryview(buf) as whole, whole.cast("B") as room:
            if offset < 0:
                raise ValueError("negative offset")
            if offset > room.nbytes:
                raise ValueError("offset too large")
            data = self.recv_bytes()
            if len(data) > room.nbytes - offset:
                raise BufferTooShort(data)
            room[offset : offset + len(data)] = data
            return len(data)

    def poll(self, timeout: float | None = 0.0) -> bool:
        """True if there is something to receive, or the end of it."""
        self._check(self.readable, "write-only")
        return bool(wait([self.fileno()], timeout))

    def fileno(self) -> int:
        """A descriptor that is readable while there is something to receive, or the end of it. For waiting only."""
        self._check_closed()
        if self._either is None or self._either[0] != os.getpid():
            assert self._life is not None
            either = select.epoll()
            either.register(self._life, select.EPOLLIN)
            if self._inward is not None:
                either.register(self._inward.fileno(), select.EPOLLIN)
            self._either = os.getpid(), either
        either = self._either[1]
        # A thread raises it: what is there already is told of at once.
        if self._inward is not None and _channel.has_message(self._inward):
            either.poll(SLICE)
        return either.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def __getattr__(name: str) -> Any:
    """Whatever else programs use of multiprocessing.connection."""
    return getattr(multiprocessing.connection, name)


def _rebuilt(duplicate: Any, pool: Pool, inward: Queue | None, outward: Queue | None) -> Connection:
    return Connection(duplicate.detach(), pool, inward, outward)
