"""Handles and endpoints in other processes, as arguments of multiprocessing.Process under spawn and forkserver.

The other process attaches anew: by name, or to a segment without a name by a descriptor that travels along. (Under fork
nothing is pickled, and a handle attaches anew when the child uses it.)
"""

import multiprocessing.reduction
import os
from contextlib import suppress
from typing import Any, Literal, TypeAlias
from weakref import WeakValueDictionary

from ipcx._ipcx import Buffer, Consumer, Pool, Producer, Queue, Receiver, Ring, Semaphore, Sender, Service, Topic, Transport

_Handle: TypeAlias = Buffer | Pool | Queue | Ring | Semaphore | Service | Topic
_End: TypeAlias = Sender | Receiver


def reduce(kind: type[_Handle], name: str, directory: str | None, fd: int | None) -> tuple[Any, ...]:
    """What `__reduce__` of a handle returns. The descriptor is the handle's, and open as long as it."""
    if fd is None:
        return _attach, (kind, name, directory)
    return _from_duplicate, (kind, multiprocessing.reduction.DupFd(fd))


def reduce_end(role: Literal["producer", "consumer"], name: str, directory: str) -> tuple[Any, ...]:
    """What `__reduce__` of an endpoint returns."""
    return _take, (role, name, directory)


def _attach(kind: type[_Handle], name: str, directory: str) -> _Handle:
    return kind.attach(name, directory=directory)


def _from_duplicate(kind: type[_Handle], duplicate: Any) -> _Handle:
    fd = duplicate.detach()
    try:
        return kind.from_fd(fd)
    finally:
        os.close(fd)


def _take(role: Literal["producer", "consumer"], name: str, directory: str) -> Producer | Consumer:
    with Ring.attach(name, directory=directory) as ring:
        return ring.producer() if role == "producer" else ring.consumer()


def reduce_named(role: Literal["sender", "receiver"], transport: str, name: str, options: dict[str, Any]) -> tuple[Any, ...]:
    """What `__reduce__` of a transport's end with a name returns."""
    return _open, (role, transport, name, options)


def reduce_nameless(role: Literal["sender", "receiver"], transport: str, fd: int) -> tuple[Any, ...]:
    """What `__reduce__` of one without a name returns. The descriptor is the end's, and open as long as it."""
    return _from_descriptor, (role, transport, multiprocessing.reduction.DupFd(fd))


def _open(role: Literal["sender", "receiver"], transport: str, name: str, options: dict[str, Any]) -> _End:
    opened = Transport.sender if role == "sender" else Transport.receiver
    return opened(transport, name, **options)


# The latest end of each ring without a name that came to this process, by the file that both of its ends are.
_rings: "WeakValueDictionary[tuple[int, int], _End]" = WeakValueDictionary()


def _from_descriptor(role: Literal["sender", "receiver"], transport: str, duplicate: Any) -> _End:
    fd = duplicate.detach()
    file = os.fstat(fd)
    made = Transport.sender_from_fd if role == "sender" else Transport.receiver_from_fd
    try:
        end = made(transport, fd)
    except BaseException:
        os.close(fd)
        raise
    if transport == "ring":
        key = (file.st_dev, file.st_ino)
        other = _rings.get(key)
        _rings[key] = end
        if other is not None:
            # A process that was given both closes the one that it does not use, which is none of the other process's business.
            for one in (end, other):
                with suppress(ValueError):  # closed, or used
                    os.close(one.share_fd())
    return end
