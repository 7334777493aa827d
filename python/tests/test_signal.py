"""Signals that say that something is ready."""

import signal
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from conftest import fill, until

import ipcx

SIGNAL = signal.SIGRTMIN + 4


class Signals(Protocol):
    def signal(self, signo: int | None) -> None: ...


@pytest.fixture
def came() -> Iterator[list[int]]:
    """Grows with each signal."""
    came: list[int] = []
    signal.signal(SIGNAL, lambda signo, frame: came.append(signo))
    yield came
    signal.signal(SIGNAL, signal.SIG_IGN)  # one that is still queued would end the process


Step = Callable[[], object]


def ring_rx() -> tuple[Signals, Step, Step]:
    ring = ipcx.Ring.anonymous(capacity=4096)
    tx, rx = ring.producer(), ring.consumer()
    return rx, lambda: tx.send(b"x"), lambda: drain(lambda: rx.recv(0))


def ring_tx() -> tuple[Signals, Step, Step]:
    ring = ipcx.Ring.anonymous(capacity=4096)
    tx, rx = ring.producer(), ring.consumer()
    fill(tx)
    return tx, lambda: rx.recv_many(1000), lambda: fill(tx)


def pool() -> tuple[Signals, Step, Step]:
    pool = ipcx.Pool.anonymous(block_size=8, blocks=1)
    held = [pool.acquire()]
    return pool, lambda: held.pop().release(), lambda: drain(lambda: held.append(pool.acquire(0)))


def semaphore() -> tuple[Signals, Step, Step]:
    semaphore = ipcx.Semaphore.anonymous(limit=1, initial=0)
    return semaphore, semaphore.release, lambda: drain(lambda: semaphore.consume(0))


def buffer() -> tuple[Signals, Step, Step]:
    buffer = ipcx.Buffer.anonymous()
    buffer.read()
    return buffer, lambda: buffer.write(b"x"), buffer.read


def drain(take: Callable[[], object]) -> None:
    with pytest.raises(ipcx.WouldBlock):
        while True:
            take()


@pytest.mark.parametrize("make", [ring_rx, ring_tx, pool, semaphore, buffer])
def test_each_time_it_becomes_ready_a_signal_comes(make: Callable[[], tuple[Signals, Step, Step]], came: list[int]) -> None:
    thing, make_ready, undo = make()
    undo()
    thing.signal(SIGNAL)
    for number in range(1, 6):
        make_ready()
        until(lambda: len(came) >= number, f"signal {number}")
        undo()
    for off in (None, 0):
        thing.signal(off)
        seen = len(came)
        make_ready()
        undo()
        assert len(came) == seen
        make_ready()
        thing.signal(SIGNAL)
        until(lambda: len(came) > seen, "one for what is there already")
        undo()
    thing.signal(None)


def test_a_handler_may_receive_and_one_signal_may_be_for_several_records(came: list[int]) -> None:
    ring, received = ipcx.Ring.anonymous(), []
    tx, rx = ring.producer(), ring.consumer()

    def handler(*_: object) -> None:
        with pytest.raises(ipcx.WouldBlock):
            while True:
                received.append(rx.recv(0))

    signal.signal(SIGNAL, handler)
    rx.signal(SIGNAL)
    for number in range(1000):
        tx.send(number.to_bytes(2))
    until(lambda: len(received) == 1000, "all received")
    rx.signal(None)
    assert received == [number.to_bytes(2) for number in range(1000)]


@pytest.mark.parametrize("bad", [signal.SIGUSR1, 12345, -1])
def test_only_a_real_time_signal_is_queued(bad: int) -> None:
    for make in (ring_rx, ring_tx, pool, semaphore, buffer):
        with pytest.raises(ipcx.Invalid, match="real-time"):
            make()[0].signal(bad)


def test_a_signal_is_a_number(came: list[int]) -> None:
    nonsense: Any = "SIGRTMIN"
    with pytest.raises(TypeError):
        ipcx.Buffer.anonymous().signal(nonsense)
