"""Handles and endpoints in other processes, as arguments of multiprocessing.Process under spawn and forkserver.

The other process attaches anew: by name, or to a segment without a name by a descriptor that travels along. (Under fork
nothing is pickled, and a handle attaches anew when the child uses it.)
"""

import multiprocessing.reduction
import os
from typing import Any, Literal, TypeAlias

from ipcx._ipcx import Buffer, Consumer, Pool, Producer, Ring, Semaphore

_Handle: TypeAlias = Buffer | Pool | Ring | Semaphore


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
