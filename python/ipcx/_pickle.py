"""Rings as arguments of multiprocessing.Process under the start methods spawn and forkserver.

The other process attaches anew: by name, or for a ring without a name by a descriptor that travels along.
"""

import multiprocessing.reduction
import os
import weakref
from typing import Any

from ipcx._ipcx import Ring

# A descriptor that is to travel must be open until the other process has started, and nothing says when that is; so
# it stays as long as the ring.
_descriptors: weakref.WeakKeyDictionary[Ring, int] = weakref.WeakKeyDictionary()


def reduce(ring: Ring) -> tuple[Any, ...]:
    """What `Ring.__reduce__` returns."""
    if ring.closed:
        raise ValueError("a closed Ring cannot be pickled")
    if ring.directory is not None:
        return _attach, (ring.name, ring.directory)
    return _from_duplicate, (multiprocessing.reduction.DupFd(_descriptor(ring)),)


def _descriptor(ring: Ring) -> int:
    if ring not in _descriptors:
        fd = ring.share_fd()
        weakref.finalize(ring, os.close, fd)
        _descriptors[ring] = fd
    return _descriptors[ring]


def _attach(name: str, directory: str) -> Ring:
    return Ring.attach(name, directory=directory)


def _from_duplicate(duplicate: Any) -> Ring:
    fd = duplicate.detach()
    try:
        return Ring.from_fd(fd)
    finally:
        os.close(fd)
