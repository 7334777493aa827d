"""Permits: acquired, released, used up, and back when their holder dies."""

import os
import select
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Thread, in_child, killed

import ipcx


@pytest.fixture
def semaphore() -> ipcx.Semaphore:
    return ipcx.Semaphore.anonymous(limit=2)


def another(semaphore: ipcx.Semaphore) -> ipcx.Semaphore:
    """Another handle, as another process would have."""
    fd = semaphore.share_fd()
    try:
        return ipcx.Semaphore.from_fd(fd)
    finally:
        os.close(fd)


def test_the_ways_to_open_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ipcx.Semaphore.attach(name)
    one = ipcx.Semaphore.create(name, limit=5, initial=3, schema="licences", wait="yield")
    with pytest.raises(FileExistsError):
        ipcx.Semaphore.create(name)
    for two in (ipcx.Semaphore.open(name), ipcx.Semaphore.attach(name, limit=5, schema="licences")):
        assert (two.limit, two.value, two.schema, two.wait_strategy) == (5, 3, "licences", "yield")
        assert (two.name, two.directory, two.closed) == (name, "/dev/shm", False)
    with pytest.raises(ipcx.Mismatch):
        ipcx.Semaphore.open(name, limit=6)
    with pytest.raises(ipcx.Mismatch):
        ipcx.Buffer.attach(name)
    one.close()
    assert one.closed and repr(one).endswith("closed>")
    with pytest.raises(ValueError, match="closed"):
        one.acquire()
    assert ipcx.Semaphore.open("s", directory=tmp_path).directory == str(tmp_path)


def test_how_many_permits_there_are() -> None:
    some: tuple[tuple[dict[str, Any], tuple[int, int]], ...] = (
        ({}, (1, 1)),
        ({"limit": 4}, (4, 4)),
        ({"initial": 3}, (3, 3)),
        ({"limit": 4, "initial": 0}, (4, 0)),
        ({"initial": 0}, (1, 0)),
    )
    for options, expected in some:
        semaphore = ipcx.Semaphore.anonymous(**options)
        assert (semaphore.limit, semaphore.value) == expected
    no_good: tuple[dict[str, Any], ...] = ({"limit": 1, "initial": 2}, {"limit": -1}, {"initial": -1}, {"limit": 1 << 21})
    for bad in no_good:
        with pytest.raises(ValueError):
            ipcx.Semaphore.anonymous(**bad)


def test_acquire_waits_as_long_as_it_is_told(semaphore: ipcx.Semaphore) -> None:
    other = another(semaphore)
    semaphore.acquire()
    semaphore.acquire(timeout=0)
    for take in (other.acquire, other.consume):
        with pytest.raises(ipcx.WouldBlock):
            take(0)
        begin = time.monotonic()
        with pytest.raises(ipcx.Timeout):
            take(0.12)
        assert time.monotonic() - begin >= 0.12
        waiting = Thread(take)
        semaphore.release()
        waiting.value()
    assert other.stats().value == 0
    holders = {holder.process.attached: holder.permits for holder in other.stats().holders if holder.process}
    assert sorted(holders.values()) == [1]
    other.release()
    assert other.value == 1


def test_with_releases_whatever_happens(semaphore: ipcx.Semaphore) -> None:
    with semaphore as same:
        assert same is semaphore and semaphore.value == 1
        with semaphore:
            assert semaphore.value == 0
        assert semaphore.value == 1
    with pytest.raises(KeyError), semaphore:
        raise KeyError
    assert semaphore.value == 2
    with semaphore:
        semaphore.close()


def test_a_release_without_a_permit_makes_one_up_to_the_limit() -> None:
    signals = ipcx.Semaphore.anonymous(limit=2, initial=0)
    other = another(signals)
    signals.release()
    signals.release()
    with pytest.raises(ipcx.Invalid, match="limit"):
        signals.release()
    assert signals.value == 2
    other.consume()
    other.consume()
    with pytest.raises(ipcx.WouldBlock):
        other.consume(0)
    signals.release()
    assert other.value == 1


def test_permits_are_the_handles_whichever_thread_acquired_them(semaphore: ipcx.Semaphore) -> None:
    Thread(semaphore.acquire).value()
    assert semaphore.value == 1
    semaphore.release()
    other = another(semaphore)
    other.acquire()
    other.close()
    assert semaphore.value == 2, "closing gives them back"


def test_threads_exclude_each_other() -> None:
    lock, inside, most = ipcx.Semaphore.anonymous(limit=2), 0, 0
    count = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock:
                with count:
                    inside += 1
                    most = max(most, inside)
                os.sched_yield()
                with count:
                    inside -= 1

    for thread in [Thread(work) for _ in range(5)]:
        thread.value()
    assert most <= 2 and lock.value == 2


def test_what_a_killed_process_held_comes_back(name: str) -> None:
    semaphore = ipcx.Semaphore.create(name, limit=3)

    def work() -> object:
        theirs = ipcx.Semaphore.attach(name)
        theirs.acquire()
        theirs.acquire()
        return theirs

    killed(work)
    stats = semaphore.stats()
    assert (stats.value, stats.limit, len(stats.holders)) == (1, 3, 1)
    holder = stats.holders[0]
    assert (holder.alive, holder.permits) == (False, 2) and holder.process is not None
    assert "permits=2" in repr(stats)
    assert semaphore.recover() == 2 and semaphore.value == 3
    killed(work)
    for _ in range(3):
        semaphore.acquire(timeout=30)  # finds out by itself


def test_handlers_run_while_it_waits(semaphore: ipcx.Semaphore) -> None:
    def handler(*_: object) -> None:
        semaphore.release()

    semaphore.acquire()
    semaphore.acquire()
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        semaphore.acquire(timeout=30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert semaphore.value == 0


def test_the_descriptor_says_whether_there_is_a_permit(semaphore: ipcx.Semaphore) -> None:
    other = another(semaphore)
    other.acquire()
    other.acquire()
    poll = select.poll()
    poll.register(semaphore, select.POLLIN)
    with pytest.raises(ipcx.WouldBlock):
        semaphore.acquire(0)
    assert poll.poll(0) == []
    other.release()
    assert poll.poll(30_000) == [(semaphore.fileno(), select.POLLIN)]
    semaphore.acquire(0)
    assert poll.poll(0) == []


def test_a_forked_child_attaches_anew_and_holds_nothing_of_the_parents(name: str) -> None:
    semaphore = ipcx.Semaphore.create(name, limit=3, initial=2)

    def work() -> None:
        with semaphore:
            assert semaphore.value == 0
            holders = {holder.process.pid for holder in semaphore.stats().holders if holder.process}
            assert holders == {os.getpid(), os.getppid()}
        assert semaphore.value == 1

    def leave() -> None:
        assert semaphore.value == 1
        with pytest.raises(ipcx.Forked):
            semaphore.__exit__()
        semaphore.__exit__(KeyError)
        assert semaphore.value == 1, "the parent's permit is the parent's"

    with semaphore:
        in_child(work)
        in_child(leave)
        assert semaphore.value == 1
    assert semaphore.value == 2
