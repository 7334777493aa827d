"""Handles as arguments of multiprocessing.Process under the start methods spawn and forkserver.

The other process attaches anew: by name, or for a segment without a name by a descriptor that travels along.
"""

import multiprocessing.reduction
import os
import weakref
from typing import Any

from ipcx._ipcx import Pool, Ring

# A descriptor that is to travel must be open until the other process has started, and nothing says when that is; so
# it stays as long as the handle.
_descriptors: weakref.WeakKeyDictionary[Ring | Pool, int] = weakref.WeakKeyDictionary()


def reduce(handle: Ring | Pool) -> tuple[Any, ...]:
    """What `__reduce__` returns."""
    kind = type(handle)
    if handle.closed:
        raise ValueError(f"a closed {kind.__name__} cannot be pickled")
    if handle.directory is not None:
        return _attach, (kind, handle.name, handle.directory)
    return _from_duplicate, (kind, multiprocessing.reduction.DupFd(_descriptor(handle)))


def _descriptor(handle: Ring | Pool) -> int:
    if handle not in _descriptors:
        fd = handle.share_fd()
        weakref.finalize(handle, os.close, fd)
        _descriptors[handle] = fd
    return _descriptors[handle]


def _attach(kind: type[Ring] | type[Pool], name: str, directory: str) -> Ring | Pool:
    return kind.attach(name, directory=directory)


def _from_duplicate(kind: type[Ring] | type[Pool], duplicate: Any) -> Ring | Pool:
    fd = duplicate.detach()
    try:
        return kind.from_fd(fd)
    finally:
        os.close(fd)
