"""Contexts: those of multiprocessing, with the queues, pipes and locks of ipcx."""

import multiprocessing.context
from collections.abc import Callable
from typing import Any

from ipcx.mp import connection, queues, synchronize

__all__ = ["DefaultContext", "ForkContext", "ForkServerContext", "SpawnContext"]


class _Made:
    """What is made here."""

    def get_context(self, method: str | None = None) -> Any:
        return self if method is None else _context(method)

    def Queue(self, maxsize: int = 0) -> queues.Queue:
        return queues.Queue(maxsize, ctx=self.get_context())

    def JoinableQueue(self, maxsize: int = 0) -> queues.JoinableQueue:
        return queues.JoinableQueue(maxsize, ctx=self.get_context())

    def SimpleQueue(self) -> queues.SimpleQueue:
        return queues.SimpleQueue(ctx=self.get_context())

    def Pipe(self, duplex: bool = True) -> tuple[connection.Connection, connection.Connection]:
        return connection.Pipe(duplex)

    def Lock(self) -> synchronize.Lock:
        return synchronize.Lock(ctx=self.get_context())

    def RLock(self) -> synchronize.RLock:
        return synchronize.RLock(ctx=self.get_context())

    def Semaphore(self, value: int = 1) -> synchronize.Semaphore:
        return synchronize.Semaphore(value, ctx=self.get_context())

    def BoundedSemaphore(self, value: int = 1) -> synchronize.BoundedSemaphore:
        return synchronize.BoundedSemaphore(value, ctx=self.get_context())

    def Condition(self, lock: Any = None) -> synchronize.Condition:
        return synchronize.Condition(lock, ctx=self.get_context())

    def Event(self) -> synchronize.Event:
        return synchronize.Event(ctx=self.get_context())

    def Barrier(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> synchronize.Barrier:
        return synchronize.Barrier(parties, action, timeout, ctx=self.get_context())


class ForkContext(_Made, multiprocessing.context.ForkContext):  # type: ignore[misc]
    """fork"""


class SpawnContext(_Made, multiprocessing.context.SpawnContext):  # type: ignore[misc]
    """spawn"""


class ForkServerContext(_Made, multiprocessing.context.ForkServerContext):  # type: ignore[misc]
    """forkserver"""


class DefaultContext(_Made, multiprocessing.context.BaseContext):  # type: ignore[misc]
    """The start method that was set in multiprocessing, or its default."""

    Process = multiprocessing.Process

    def get_context(self, method: str | None = None) -> Any:
        return _context(method or multiprocessing.get_start_method())


_contexts: dict[str, Any] = {
    "fork": ForkContext(),
    "spawn": SpawnContext(),
    "forkserver": ForkServerContext(),
}


def _context(method: str) -> Any:
    try:
        found = _contexts[method]
    except KeyError:
        raise ValueError(f"cannot find context for {method!r}") from None
    found._check_available()
    return found
