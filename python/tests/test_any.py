"""Waiting for one of several things."""

import signal
import time
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from conftest import Thread, fill, in_child, until_in_use

import ipcx

Waitable: TypeAlias = ipcx.Consumer | ipcx.Producer | ipcx.Pool | ipcx.Semaphore | ipcx.NewerThan


def test_those_that_are_ready_are_returned(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    semaphore, buffer = ipcx.Semaphore.anonymous(limit=1), ipcx.Buffer.anonymous()
    pool = ipcx.Pool.anonymous(block_size=8, blocks=1)
    version = buffer.newer_than(0)
    assert (version.buffer, version.seen) == (buffer, 0) and "0" in repr(version)
    everything: tuple[Waitable, ...] = (rx, tx, semaphore, pool, version)
    assert ipcx.wait_any(everything, 0) == [tx, semaphore, pool]
    tx.send(b"x")
    buffer.write(b"y")
    assert ipcx.wait_any(everything) == [rx, tx, semaphore, pool, version]
    rx.recv()
    semaphore.acquire()
    block = pool.acquire()
    fill(tx)
    everything = (tx, semaphore, pool, rx, version, buffer.newer_than(1))
    assert ipcx.wait_any(iter(everything), 5) == [rx, version]
    block.release()
    assert ipcx.wait_any({semaphore: 1, pool: 2}) == [pool]
    assert ipcx.wait_any([pool, pool]) == [pool, pool]


def test_the_timeout_is_that_of_every_call(rx: ipcx.Consumer) -> None:
    buffer = ipcx.Buffer.anonymous()
    some: list[list[Waitable]] = [[rx], [rx, buffer.newer_than(0)]]
    for things in some:
        with pytest.raises(ipcx.WouldBlock):
            ipcx.wait_any(things, 0)
        begin = time.monotonic()
        with pytest.raises(ipcx.Timeout):
            ipcx.wait_any(things, timeout=0.12)
        assert time.monotonic() - begin >= 0.12
    for bad in (-1, "1"):
        with pytest.raises((ValueError, TypeError)):
            ipcx.wait_any([rx], bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("many", [0, 200])
def test_whatever_becomes_ready_ends_the_wait(many: int) -> None:
    """Many of them are more than one system call takes."""
    rings = [ipcx.Ring.anonymous(capacity=4096) for _ in range(2)]
    (tx, full), (rx, other) = [ring.producer() for ring in rings], [ring.consumer() for ring in rings]
    semaphore = ipcx.Semaphore.anonymous(limit=1, initial=0)
    pool, buffer = ipcx.Pool.anonymous(block_size=8, blocks=1), ipcx.Buffer.anonymous()
    block = pool.acquire()
    more = [ipcx.Buffer.anonymous(capacity=1) for _ in range(many)]
    fill(full)
    never: list[Any] = [one.newer_than(0) for one in more]
    steps: list[tuple[Any, Callable[[], object], Callable[[], object]]] = [
        (rx, lambda: tx.send(b"x"), rx.recv),
        (full, lambda: other.recv_many(1000), lambda: fill(full)),
        (semaphore, semaphore.release, semaphore.consume),
        (pool, block.release, lambda: None),
    ]
    for thing, make_ready, undo in steps:
        things = [*never, rx, full, semaphore, buffer.newer_than(0), *([pool] if thing is pool else [])]
        waiting = Thread(lambda things=things: ipcx.wait_any(things, 60))  # type: ignore[misc]
        with pytest.raises(ipcx.Timeout):
            ipcx.wait_any([buffer.newer_than(0)], 0.01)  # this thread runs meanwhile
        make_ready()
        assert waiting.value() == [thing]
        undo()


def test_one_whose_peer_went_is_ready(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    buffer = ipcx.Buffer.anonymous()
    waiting = Thread(lambda: ipcx.wait_any([rx, buffer.newer_than(0)], 60))
    tx.close()
    assert waiting.value() == [rx]
    with pytest.raises(ipcx.Closed):
        rx.recv(0)


def test_what_is_no_good_is_refused(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with pytest.raises(ipcx.Invalid, match="nothing"):
        ipcx.wait_any([])
    some: list[list[Waitable]] = [[rx, rx], [tx, rx, tx]]
    for twice in some:
        with pytest.raises(ValueError, match="twice"):
            ipcx.wait_any(twice)
    with pytest.raises(TypeError, match="newer_than"):
        ipcx.wait_any([ipcx.Buffer.anonymous()])  # type: ignore[type-var]
    with pytest.raises(TypeError, match="'int'"):
        ipcx.wait_any([rx, 5])  # type: ignore[type-var]
    rx.close()
    with pytest.raises(ValueError, match="closed"):
        ipcx.wait_any([tx, rx])

    def child() -> None:
        with pytest.raises(ipcx.Forked):
            ipcx.wait_any([tx])

    in_child(child)


def test_handlers_run_while_it_waits_and_may_use_what_is_waited_for(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    count = 0

    def handler(*_: object) -> None:
        nonlocal count
        count += 1
        with pytest.raises(ipcx.WouldBlock):
            rx.recv(0)
        if count == 3:
            tx.send(b"x")

    buffer = ipcx.Buffer.anonymous()
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        assert ipcx.wait_any([rx, buffer.newer_than(0)], 60) == [rx]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_endpoint_is_in_use_while_it_is_waited_for(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    waiting = Thread(lambda: ipcx.wait_any([rx], 60))
    until_in_use(rx)
    tx.send(b"x")
    assert waiting.value() == [rx]
