"""CPython's own tests of multiprocessing, with the queues, pipes and locks of ipcx.mp in their places: under fork, and, by
`make test-mp` (IPCX_START_METHODS), under spawn and forkserver as well, which takes two minutes.

They are in CPython's package `test`, which some distributions leave out (Debian: libpython3-testsuite).
"""

import multiprocessing
import os
import unittest
from typing import Any

import pytest

from ipcx import mp

cpython = pytest.importorskip(
    "test._test_multiprocessing", reason="this Python has no package `test`: on Debian, install libpython3-testsuite"
)

BASES = [
    "_TestQueue",
    "_TestLock",
    "_TestSemaphore",
    "_TestCondition",
    "_TestEvent",
    "_TestBarrier",
    "_TestConnection",
    "_TestPoll",
    "_TestPicklingConnections",
    "TestSimpleQueue",
    "TestWait",
]

# What is not asked of ipcx.mp, and why.
SKIPPED = {
    "_TestConnection.test_fd_transfer": "fileno() is for waiting: descriptors are sent through a socket",
    "_TestConnection.test_large_fd_transfer": "fileno() is for waiting: descriptors are sent through a socket",
    "_TestConnection.test_missing_fd_transfer": "fileno() is for waiting: descriptors are sent through a socket",
}


class _Ours(cpython.ProcessesMixin):  # type: ignore[name-defined,misc]
    """What the tests find as self.Queue, self.Lock, ..."""

    connection = mp.connection
    METHOD = ""

    @classmethod
    def setUpClass(cls) -> None:
        cls._before = multiprocessing.get_start_method(allow_none=True)
        multiprocessing.set_start_method(cls.METHOD, force=True)
        cpython.multiprocessing = mp
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cpython.multiprocessing = multiprocessing
        multiprocessing.set_start_method(cls._before, force=True)

    def check_invariant(self, cond: Any) -> None:
        """Of a condition on which nobody sleeps."""
        self.assertEqual((cond._sleepers(), cond._woken.value), (0, 0))


def _attributes(method: str) -> dict[str, Any]:
    context = mp.get_context(method)
    names = ["Process", "Pool", "Pipe", "Queue", "JoinableQueue", "Lock", "RLock", "Semaphore", "BoundedSemaphore"]
    names += ["Condition", "Event", "Barrier", "Value", "Array", "RawValue", "RawArray"]
    return {name: staticmethod(getattr(context, name)) for name in names}


def _install(method: str, base: str) -> None:
    tests = getattr(cpython, base)
    name = f"{method.capitalize()}{base.lstrip('_')}"
    body = _attributes(method) | {"METHOD": method, "__module__": __name__, "__qualname__": name}
    for skipped, reason in SKIPPED.items():
        of, test = skipped.split(".")
        if of == base:
            body[test] = unittest.skip(reason)(getattr(tests, test))
    parents = (_Ours, tests) if issubclass(tests, unittest.TestCase) else (_Ours, tests, unittest.TestCase)
    globals()[name] = type(name, parents, body)


for _method in os.environ.get("IPCX_START_METHODS", "fork").split():
    for _base in BASES:
        _install(_method, _base)
