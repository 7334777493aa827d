"""Timeouts, other threads, signals."""

import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from conftest import Thread, fill, in_child, until_in_use

import ipcx

WAITS = ("balanced", "spin", "yield", "block")


@pytest.mark.parametrize("bad", [-1, -0.001, math.nan, -math.inf])
def test_a_timeout_is_not_negative(tx: ipcx.Producer, rx: ipcx.Consumer, bad: float) -> None:
    tx.send(b"there")
    for call in (
        lambda: tx.send(b"x", bad),
        lambda: tx.send_many([b"x"], bad),
        lambda: tx.send_packed(b"x", [0, 1], bad),
        lambda: tx.reserve(1, bad),
        lambda: tx.send_file(0, 1, bad),
        lambda: rx.recv(bad),
        lambda: rx.recv_many(1, bad),
        lambda: rx.recv_packed(1, bad),
        lambda: rx.recv_into(bytearray(9), bad),
        lambda: rx.borrow(timeout=bad),
    ):
        with pytest.raises(ValueError, match="timeout"):
            call()
    assert rx.recv(0) == b"there"


def test_a_timeout_is_a_number(rx: ipcx.Consumer) -> None:
    semaphore, buffer = ipcx.Semaphore.anonymous(), ipcx.Buffer.anonymous()
    pool = ipcx.Pool.anonymous(block_size=8)
    calls: list[Callable[[Any], object]] = [
        rx.recv,
        semaphore.acquire,
        pool.acquire,
        buffer.lock,
        lambda timeout: buffer.wait(0, timeout),
        lambda timeout: ipcx.wait_any([rx], timeout),
    ]
    for call in calls:
        for bad in ("1", [], object(), True, False):
            with pytest.raises(TypeError):
                call(bad)
    assert semaphore.value == 1


@pytest.mark.parametrize("wait", WAITS)
def test_zero_never_waits_and_a_timeout_waits_that_long(wait: Any) -> None:
    ring = ipcx.Ring.anonymous(capacity=4096, wait=wait)
    tx, rx = ring.producer(), ring.consumer()
    reading = (rx.recv, rx.borrow, lambda t: rx.recv_many(3, t), lambda t: rx.recv_packed(3, timeout=t))
    for read in (*reading, lambda t: rx.recv_into(bytearray(9), t)):
        for zero in (0, 0.0, -0.0):
            with pytest.raises(BlockingIOError):
                read(zero)
    fill(tx)
    sending = (lambda t: tx.send(bytes(64), t), lambda t: tx.reserve(64, t), lambda t: tx.send_many([bytes(64)], t))
    for send in (*sending, lambda t: tx.send_packed(bytes(64), [0, 64], timeout=t)):
        with pytest.raises(BlockingIOError):
            send(0)
    rx.recv_many(1000)
    for seconds in (1e-12, 0.02, 0.12):
        start = time.monotonic()
        with pytest.raises(TimeoutError) as error:
            rx.recv(seconds)
        assert seconds <= time.monotonic() - start < 5
    assert isinstance(error.value, ipcx.Timeout)
    fill(tx)
    with pytest.raises(ipcx.Timeout):
        tx.send(bytes(64), 0.01)


def test_a_batch_that_does_not_fit_in_time_says_how_much_went(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    assert tx.send_many([bytes(64)] * 1000, 0.01) == (4096 - 8) // 72
    with pytest.raises(ipcx.Timeout):
        tx.send_many([bytes(64)], 0.01)
    rx.recv()


@pytest.mark.parametrize("wait", WAITS)
def test_other_threads_run_while_one_waits(wait: Any) -> None:
    ring = ipcx.Ring.anonymous(capacity=4096, wait=wait)
    tx, rx = ring.producer(), ring.consumer()
    for timeout in (None, 30, math.inf):
        waiting = Thread(lambda: rx.recv(timeout))
        until_in_use(rx)  # This thread runs while the other one waits.
        tx.send(b"wake up")
        assert waiting.value() == b"wake up"
    sent = fill(tx)
    waiting = Thread(lambda: tx.send(b"y" * 64))
    until_in_use(tx)
    assert rx.recv() == b"x" * 64
    waiting.value()
    assert rx.recv_many(1000) == [b"x" * 64] * (sent - 1) + [b"y" * 64]
    waiting = Thread(lambda: tx.send_many([bytes([i % 256]) * 100 for i in range(1000)]))
    received: list[bytes] = []
    while len(received) < 1000:
        received += rx.recv_many(7)
    assert waiting.value() == 1000
    assert received == [bytes([i % 256]) * 100 for i in range(1000)]


def test_data_that_waits_to_be_sent_cannot_be_resized(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    data = bytearray(b"before..")
    fill(tx, bytes(8))
    waiting = Thread(lambda: tx.send(data))
    until_in_use(tx)
    with pytest.raises(BufferError):
        data.clear()
    data[:] = b"after..."
    rx.recv()
    waiting.value()
    assert rx.recv_many(10_000)[-1] == b"after..."


def test_two_threads_at_once_are_an_error(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    waiting = Thread(rx.recv)
    until_in_use(rx)
    for call in (lambda: rx.recv(0), rx.borrow, rx.fileno, rx.close, lambda: rx.recv_many(1), lambda: next(rx)):
        with pytest.raises(ipcx.Busy, match="thread"):
            call()
    assert not rx.closed
    tx.send(b"goes on")
    assert waiting.value() == b"goes on"
    rx.close()


def test_a_child_forked_while_a_thread_waits_knows_it(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    waiting = Thread(rx.recv)
    until_in_use(rx)

    def child() -> None:
        for call in (rx.recv, rx.borrow, rx.close):
            with pytest.raises(ipcx.Forked):
                call()

    in_child(child)
    tx.send(b"goes on")
    assert waiting.value() == b"goes on"


def test_a_thread_that_waits_gets_the_end_when_the_other_side_closes(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    waiting = Thread(lambda: list(rx))
    tx.send_many([b"1", b"2"])
    until_in_use(rx)
    tx.close()
    assert waiting.value() == [b"1", b"2"]


@pytest.fixture
def on_alarm() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Sets what SIGALRM does, every 10 ms."""
    before = signal.getsignal(signal.SIGALRM)

    def set_action(action: Callable[[], object]) -> None:
        def handler(signum: int, frame: FrameType | None) -> None:
            action()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)

    yield set_action
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("wait", WAITS)
def test_handlers_run_and_the_call_goes_on(on_alarm: Any, wait: Any) -> None:
    ring = ipcx.Ring.anonymous(wait=wait)
    tx, rx = ring.producer(), ring.consumer()
    count = 0

    def action() -> None:
        nonlocal count
        count += 1
        if count == 3:
            tx.send(b"from the third handler")

    on_alarm(action)
    assert rx.recv() == b"from the third handler"
    start = time.monotonic()
    with pytest.raises(ipcx.Timeout):
        rx.recv(0.1)
    assert time.monotonic() - start >= 0.1, "signals do not shorten the timeout"


def test_what_a_handler_raises_ends_the_call(on_alarm: Any, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    def action() -> None:
        raise ZeroDivisionError

    reader, writer = os.pipe()
    fill(tx)
    for call in (
        lambda: tx.send(bytes(64)),
        lambda: tx.reserve(64),
        lambda: tx.send_many([bytes(64)]),
        lambda: rx.recv_many(1000) and rx.recv(),
        rx.borrow,
        lambda: rx.recv_packed(5),
        lambda: tx.send_file(reader, 10),
    ):
        with pytest.raises(ZeroDivisionError):
            on_alarm(action)
            call()
        signal.setitimer(signal.ITIMER_REAL, 0)
    os.close(reader)
    os.close(writer)
    tx.send(b"goes on")
    assert rx.recv() == b"goes on"


def test_a_handler_may_close_what_is_waited_on(on_alarm: Any, rx: ipcx.Consumer) -> None:
    on_alarm(rx.close)
    with pytest.raises(ValueError, match="closed"):
        rx.recv()


CTRL_C = """
import sys, threading, time, ipcx
ring = ipcx.Ring.anonymous(capacity=4096, wait=sys.argv[1])
tx, rx = ring.producer(), ring.consumer()
end, call = (rx, rx.recv) if sys.argv[2] == "recv" else (tx, lambda: tx.send_many([bytes(64)] * 1000))

def say_when_waiting():
    while True:
        try:
            end.position
        except ipcx.Busy:
            break
    print("waiting", flush=True)

threading.Thread(target=say_when_waiting, daemon=True).start()
try:
    call()
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("call", ["recv", "send"])
def test_ctrl_c_is_answered_at_once(wait: str, call: str) -> None:
    command = [sys.executable, "-c", CTRL_C, wait, call]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "waiting\n"
            pressed = time.monotonic()
            child.send_signal(signal.SIGINT)
            answered = float(child.stdout.readline())
        finally:
            child.kill()
    assert answered - pressed < 1


def test_the_descriptors_work_with_poll(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)
    poll = select.poll()
    poll.register(rx, select.POLLIN)
    assert poll.poll(0) == []
    tx.send(b"x")
    assert poll.poll(30_000) == [(rx.fileno(), select.POLLIN)]
    rx.recv()
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)
    assert poll.poll(0) == []
    tx.close()
    assert poll.poll(30_000) != []
    with pytest.raises(ipcx.Closed):
        rx.recv(0)


def test_the_producers_descriptor_says_when_there_is_room(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    poll = select.poll()
    poll.register(tx.fileno(), select.POLLIN)
    assert poll.poll(30_000) != []
    fill(tx)
    assert poll.poll(0) == []
    rx.recv_many(1000)
    assert poll.poll(30_000) != []
    tx.send(b"x", 0)
