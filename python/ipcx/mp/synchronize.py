"""Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event and Barrier; what they promise is said in `ipcx.mp`."""

import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import util
from typing import Any

import ipcx._ipcx as _ipcx
from ipcx._errors import Timeout, WouldBlock

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]

PARTICIPANTS = 512
# How far a Semaphore can rise above its initial value.
RISE = 1 << 15
# Most threads that wait for a condition, or are in a barrier.
SLEEPERS = 1 << 10
# How long notify waits for those that it woke.
PATIENCE = 0.1
# How often a barrier looks for the dead.
SLICE = 0.25


def _semaphore(limit: int, initial: int) -> _ipcx.Semaphore:
    return _ipcx.Semaphore.anonymous(limit=limit, initial=initial, max_participants=PARTICIPANTS)


def _taken(take: Callable[[float | None], None], block: bool, timeout: float | None) -> bool:
    try:
        take(0 if not block else None if timeout is None else max(timeout, 0))
    except (WouldBlock, Timeout):
        return False
    return True


class Semaphore:
    """multiprocessing.Semaphore: permits come back when their holder is killed. With 0 permits at first, it signals: those are used
    up when they are acquired."""

    _semaphore: _ipcx.Semaphore

    def __init__(self, value: int = 1, *, ctx: Any = None) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._make(value, value + RISE, value > 0)

    def _make(self, value: int, limit: int, holds: bool) -> None:
        self.__setstate__((_semaphore(limit, value), holds))

    def __getstate__(self) -> Any:
        return self._semaphore, self._holds

    def __setstate__(self, state: Any) -> None:
        self._semaphore, self._holds = state
        self._take = self._semaphore.acquire if self._holds else self._semaphore.consume
        self._release = self._semaphore.release_any if self._holds else self._semaphore.release
        self._used_by = 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquire a permit; False if there is none, or none in time."""
        if self._holds and self._used_by != os.getpid():
            self._used_by = os.getpid()
            util.Finalize(self, _use_up, [self._semaphore], exitpriority=0)
        return _taken(self._take, block, timeout)

    def release(self) -> None:
        """Give a permit back, or make one more."""
        self._release()

    def get_value(self) -> int:
        """Permits that there are."""
        return self._semaphore.value

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}(value={self.get_value()})>"


def _use_up(semaphore: _ipcx.Semaphore) -> None:
    """At the normal end of a process, or of the object in it, as in multiprocessing."""
    if not semaphore.closed:
        semaphore.use_up_held()


class BoundedSemaphore(Semaphore):
    """multiprocessing.BoundedSemaphore."""

    def __init__(self, value: int = 1, *, ctx: Any = None) -> None:
        if value < 0:
            raise ValueError("semaphore initial value must be >= 0")
        self._make(value, max(value, 1), True)


class Lock:
    """multiprocessing.Lock: goes to the next when its holder dies. Whoever may release it."""

    _semaphore: _ipcx.Semaphore

    def __init__(self, *, ctx: Any = None) -> None:
        self.__setstate__(_semaphore(1, 1))

    def __getstate__(self) -> Any:
        return self._semaphore

    def __setstate__(self, state: Any) -> None:
        self._semaphore = state
        self._take, self._give = state.acquire, state.release_any
        self._owner: tuple[int, int] | None = None
        self._count = 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquire it; False if somebody has it, or has it too long."""
        if not _taken(self._take, block, timeout):
            return False
        self._owner, self._count = (os.getpid(), threading.get_ident()), 1
        return True

    def release(self) -> None:
        """Release it; ValueError if nobody has it."""
        self._owner, self._count = None, 0
        self._give()

    def locked(self) -> bool:
        """True if somebody has it."""
        return self._semaphore.value == 0

    def _is_mine(self) -> bool:
        return self._owner == (os.getpid(), threading.get_ident())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        owner = self._owner
        if not self.locked():
            who = "None"
        elif owner is None or owner[0] != os.getpid():
            who = "SomeOtherProcess"
        else:
            who = "this thread" if self._is_mine() else "SomeOtherThread"
        return f"<{type(self).__name__}(owner={who})>"


class RLock(Lock):
    """multiprocessing.RLock: goes to the next when its holder dies. Only the thread that has it may release it."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Acquire it, once more if this thread has it; False if another has it, or has it too long."""
        if self._is_mine():
            self._count += 1
            return True
        return super().acquire(block, timeout)

    def release(self) -> None:
        """Release it as often as it was acquired."""
        if not self._is_mine():
            raise AssertionError("attempt to release recursive lock not owned by thread")
        if self._count > 1:
            self._count -= 1
        else:
            super().release()


class Condition:
    """multiprocessing.Condition: a waiter that dies is forgotten, and so is whoever dies with the lock.

    Who sleeps holds a permit, which comes back when it dies: so it is known how many there are. A notification makes permits of
    another semaphore, which sleepers use up; all of it with the lock held.
    """

    _sleeping: _ipcx.Semaphore
    _woken: _ipcx.Semaphore

    def __init__(self, lock: Any = None, *, ctx: Any = None) -> None:
        self.__setstate__((RLock() if lock is None else lock, _semaphore(SLEEPERS, SLEEPERS), _semaphore(SLEEPERS, 0)))

    def __getstate__(self) -> Any:
        return self._lock, self._sleeping, self._woken

    def __setstate__(self, state: Any) -> None:
        self._lock, self._sleeping, self._woken = state
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> Any:
        return self._lock.__enter__()

    def __exit__(self, *args: object) -> None:
        self._lock.__exit__(*args)

    def _sleepers(self) -> int:
        return self._sleeping.limit - self._sleeping.value

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait to be notified, and acquire it again; False if nobody did in time."""
        assert self._lock._is_mine(), "must acquire() condition before using wait()"
        self._sleeping.acquire()
        count = self._lock._count
        for _ in range(count):
            self._lock.release()
        try:
            return _taken(self._woken.consume, True, timeout)
        finally:
            self._sleeping.release()
            for _ in range(count):
                self._lock.acquire()

    def notify(self, n: int = 1) -> None:
        """Wake n of those that wait."""
        assert self._lock._is_mine(), "lock is not owned"
        if self._sleeping.value == self._sleeping.limit:
            return
        self._sleeping.recover()
        # Those that were woken before and have not run yet are not woken again.
        before = self._sleepers()
        waking = min(n, before - self._woken.value)
        for _ in range(waking):
            self._woken.release()
        if waking > 0:
            self._settle(before - waking)

    def _settle(self, left: int) -> None:
        """Waits until those that were woken run, so that the next notification counts whom it finds; the dead do not, and one that
        is stopped is not waited for long."""
        began = time.monotonic()
        while self._sleepers() > left:
            passed = time.monotonic() - began
            if passed > PATIENCE:
                break
            time.sleep(0 if passed < 0.001 else 0.001)
            self._sleeping.recover()
        # Left over by those whose time was over at the same moment.
        while self._woken.value > self._sleepers() and _taken(self._woken.consume, False, None):
            pass

    def notify_all(self) -> None:
        """Wake all that wait."""
        self.notify(sys.maxsize)

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until this is true, or the time is over; returns what it returned."""
        end = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._lock!r}, {self._sleepers()})>"


class Event:
    """multiprocessing.Event: a flag in shared memory, which is read without a lock."""

    def __init__(self, *, ctx: Any = None) -> None:
        self._buffer = _ipcx.Buffer.anonymous(capacity=8, max_participants=PARTICIPANTS)

    def is_set(self) -> bool:
        return self._buffer.read() == b"1"

    def set(self) -> None:
        """Set it, and wake all that wait."""
        self._buffer.write(b"1")

    def clear(self) -> None:
        self._buffer.write(b"0")

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; False if it is not in time."""
        end = None if timeout is None else time.monotonic() + max(timeout, 0)
        while True:
            value, version = self._buffer.read_versioned()
            left = None if end is None else max(end - time.monotonic(), 0)
            if value == b"1":
                return True
            try:
                self._buffer.wait(version, left)
            except (WouldBlock, Timeout):
                return self.is_set()

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__qualname__} at {id(self):#x} {state}>"


class Barrier(threading.Barrier):
    """multiprocessing.Barrier: broken for the others when one that waits in it dies."""

    def __init__(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None, *, ctx: Any = None
    ) -> None:
        if parties < 1:
            raise ValueError("parties must be > 0")
        words = _ipcx.Buffer.anonymous(capacity=8, max_participants=PARTICIPANTS)
        words.write(struct.pack("=2i", 0, 0))
        self.__setstate__((parties, action, timeout, Condition(), _semaphore(SLEEPERS, SLEEPERS), words))

    def __getstate__(self) -> Any:
        return self._parties, self._action, self._timeout, self._cond, self._inside, self._words

    def __setstate__(self, state: Any) -> None:
        self._parties, self._action, self._timeout, self._cond, self._inside, self._words = state

    # Of threading.Barrier, and written with the condition's lock held.
    @property
    def _state(self) -> int:
        return int(struct.unpack("=2i", self._words.read())[0])

    @_state.setter
    def _state(self, value: int) -> None:
        self._words.write(struct.pack("=2i", value, self._count))

    @property
    def _count(self) -> int:
        return int(struct.unpack("=2i", self._words.read())[1])

    @_count.setter
    def _count(self, value: int) -> None:
        self._words.write(struct.pack("=2i", self._state, value))

    def _enter(self) -> None:
        super()._enter()  # type: ignore[misc]
        self._inside.acquire()

    def _exit(self) -> None:
        self._inside.release()
        super()._exit()  # type: ignore[misc]

    def _wait(self, timeout: float | None) -> None:
        end = None if timeout is None else time.monotonic() + timeout
        while self._state == 0:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                self._break()  # type: ignore[attr-defined]
                break
            self._cond.wait(SLICE if left is None else min(left, SLICE))
            self._forget_the_dead()
        if self._state < 0:
            raise threading.BrokenBarrierError

    def _forget_the_dead(self) -> None:
        self._inside.recover()
        alive = self._inside.limit - self._inside.value
        if self._state == 0 and alive < self._count:
            self._count = alive
            self._break()  # type: ignore[attr-defined]
