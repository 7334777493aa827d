"""Waiting for messages: signal handlers, other threads, event loops, coroutines, several things at once."""

import asyncio
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from conftest import Run, Thread, Way, until

import ipcx

SOON = 30
SHORT = 0.06
SIGNAL = signal.SIGRTMIN + 5


@contextmanager
def alarms(handler: Callable[..., object]) -> Iterator[None]:
    """Calls it every 20 ms."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fill(tx: ipcx.Sender) -> None:
    with suppress(ipcx.WouldBlock):
        while True:
            tx.send(bytes(4000), 0)


def test_handlers_run_while_a_call_waits_and_it_goes_on(way: Way) -> None:
    tx, rx = way.open()
    count = 0

    def handler(*_: object) -> None:
        nonlocal count
        count += 1
        with pytest.raises(ipcx.WouldBlock):
            rx.recv(0)
        if count == 3:
            tx.send(b"from the handler", 0)

    with alarms(handler):
        assert rx.recv(SOON) == b"from the handler"


def test_control_c_ends_a_call(way: Way) -> None:
    tx, rx = way.open()
    calls: list[Callable[[], object]] = [rx.recv, lambda: rx.recv_into(bytearray(9)), lambda: next(rx), lambda: ipcx.wait_any([rx])]
    for call in calls:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            call()
    if way.word != "buffer":
        fill(tx)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            tx.send(bytes(4000))


def test_a_handler_cannot_send_into_the_middle_of_a_message() -> None:
    tx, rx = ipcx.Transport.pair("pipe")
    refused = threading.Event()

    def handler(*_: object) -> None:
        with pytest.raises(ipcx.Busy, match="interrupts"):
            tx.send(b"from the handler", 0)
        refused.set()

    def receive() -> list[bytes]:
        assert refused.wait(SOON)
        return [rx.recv(SOON), rx.recv(SOON)]

    receiving = Thread(receive)
    with alarms(handler):
        tx.send(bytes(200_000), SOON)
    tx.send(b"next", SOON)
    assert receiving.value() == [bytes(200_000), b"next"]


def test_a_handler_may_close_the_end_that_waits(way: Way) -> None:
    _, rx = way.open()
    with alarms(lambda *_: rx.close()), pytest.raises(ValueError, match="closed"):
        rx.recv(SOON)


def test_other_threads_run_while_a_call_waits(way: Way) -> None:
    tx, rx = way.open()
    waiting = Thread(lambda: rx.recv(SOON))
    time.sleep(0)
    tx.send(b"x", SOON)
    assert waiting.value() == b"x"


@pytest.mark.parametrize("into", [False, True])
def test_other_threads_run_while_a_long_message_is_copied(into: bool) -> None:
    tx, rx = ipcx.Transport.pair("buffer", message_size=32 << 20)
    room, message = bytearray(32 << 20), bytes(32 << 20)
    ticks, over = 0, threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not over.is_set():
            ticks += 1
            time.sleep(0)

    # No thread runs but where another one lets it.
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    ticking, seen = Thread(tick), 0
    try:
        for _ in range(10):
            tx.send(message)
            at = ticks
            assert (rx.recv_into(room, 0) if into else len(rx.recv(0))) == len(message)
            seen += ticks - at
    finally:
        over.set()
        sys.setswitchinterval(before)
    ticking.value()
    assert seen > 0


def test_descriptors_follow_messages_room_and_the_end(way: Way) -> None:
    tx, rx = way.open()
    incoming, room = select.poll(), select.poll()
    incoming.register(rx, select.POLLIN)
    room.register(tx, tx.poll_events)
    assert tx.poll_events == (select.POLLIN if way.word in ("ring", "buffer") else select.POLLOUT)
    assert not incoming.poll(0) and room.poll(0)
    tx.send(b"x")
    assert incoming.poll(SOON * 1000)
    rx.recv(0)
    assert not incoming.poll(0)
    if way.word != "buffer":
        fill(tx)
        assert not room.poll(0)
        with suppress(ipcx.WouldBlock):
            while True:
                rx.recv(0)
        assert room.poll(SOON * 1000)
    if way.tells:
        tx.close()
        assert incoming.poll(SOON * 1000)
        with pytest.raises(ipcx.Closed):
            rx.recv(0)


def test_ends_are_among_several_things(way: Way) -> None:
    tx, rx = way.open()
    semaphore = ipcx.Semaphore.anonymous(initial=0)
    things: list[Any] = [rx, semaphore]
    with pytest.raises(ipcx.WouldBlock):
        ipcx.wait_any(things, 0)
    begin = time.monotonic()
    with pytest.raises(ipcx.Timeout):
        ipcx.wait_any(things, SHORT)
    assert time.monotonic() - begin >= SHORT
    assert ipcx.wait_any([tx, *things], 0) == [tx]
    waiting = Thread(lambda: ipcx.wait_any(things, SOON))
    with pytest.raises(ipcx.Timeout):
        ipcx.wait_any([ipcx.Buffer.anonymous().newer_than(0)], 0.01)  # that one waits meanwhile
    tx.send(b"x", SOON)
    assert waiting.value() == [rx]
    assert rx.recv(0) == b"x"
    with pytest.raises(ValueError, match="twice"):
        ipcx.wait_any([rx, semaphore, rx], 0)
    if way.tells:
        tx.close()
        assert ipcx.wait_any(things, SOON) == [rx]


def test_coroutines_receive_and_send(run: Run, way: Way) -> None:
    async def send(tx: ipcx.Sender, count: int) -> None:
        for number in range(count):
            await tx.asend(bytes([number]) * 4000)
        tx.close()

    async def main() -> None:
        tx, rx = way.open()
        waiting = asyncio.create_task(rx.arecv())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        await tx.asend(bytearray(b"first"))
        assert await asyncio.wait_for(waiting, SOON) == b"first"
        if way.word == "buffer":
            return
        sending = asyncio.create_task(send(tx, 100))
        if way.tells:
            received = [message async for message in rx]
        else:
            received = [await rx.arecv() for _ in range(100)]
        await sending
        assert received == [bytes([number]) * 4000 for number in range(100)]

    run(asyncio.wait_for(main(), SOON * 2))


def test_a_long_message_of_a_coroutine_is_sent_once(run: Run) -> None:
    async def main() -> None:
        tx, rx = ipcx.Transport.pair("pipe")
        first = asyncio.create_task(tx.asend(bytes(300_000)))
        await asyncio.sleep(0)
        with pytest.raises(ipcx.Busy, match="task"):
            await tx.asend(b"between")
        for call in (lambda: tx.send(b"between", 0), lambda: tx.send_file(0, timeout=0), lambda: ipcx.wait_any([tx], 0)):
            with pytest.raises(ipcx.Busy, match="task"):
                call()
        assert await asyncio.wait_for(rx.arecv(), SOON) == bytes(300_000)
        await first
        tx.send(b"next", 0)
        assert await rx.arecv() == b"next"
        fill(tx)
        late = asyncio.create_task(tx.asend(b"c" * 4000))
        await asyncio.sleep(0)
        late.cancel()
        with suppress(asyncio.CancelledError):
            await late
        with pytest.raises(ipcx.WouldBlock):
            tx.send(bytes(4000), 0)
        with suppress(ipcx.WouldBlock):
            while True:
                assert rx.recv(0) == bytes(4000)

    run(main())


def test_cancelling_a_receive_loses_nothing(run: Run, way: Way) -> None:
    async def main() -> None:
        tx, rx = way.open()
        for number in range(30):
            waiting = asyncio.create_task(rx.arecv())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            tx.send(bytes([number]), SOON)
            if number % 3:
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                received = await waiting
            except asyncio.CancelledError:
                received = rx.recv(SOON)
            assert received == bytes([number])

    run(main())


@pytest.mark.parametrize("word", ["fifo", "unix"])
def test_a_coroutine_that_sends_waits_for_a_receiver_and_learns_that_it_went(run: Run, word: str, tmp_path: Any) -> None:
    async def main() -> None:
        tx = ipcx.Transport.sender(word, "x", directory=tmp_path)
        sending = asyncio.create_task(tx.asend(b"1"))
        await asyncio.sleep(0.01)
        assert not sending.done()
        with ipcx.Transport.receiver(word, "x", directory=tmp_path) as rx:
            await asyncio.wait_for(sending, SOON)
            assert rx.recv(0) == b"1"
            fill(tx)
            late = asyncio.create_task(tx.asend(bytes(4000)))
            await asyncio.sleep(0)
        with pytest.raises(ipcx.Closed):
            await asyncio.wait_for(late, SOON)
        with ipcx.Transport.receiver(word, "x", directory=tmp_path) as rx:
            await asyncio.wait_for(tx.asend(b"2"), SOON)
            assert await rx.arecv() == b"2"

    run(main())


def test_closing_an_end_wakes_the_task_that_waits_for_it(run: Run, way: Way) -> None:
    async def main() -> None:
        tx, rx = way.open()
        receiving = asyncio.create_task(rx.arecv())
        await asyncio.sleep(0)
        with pytest.raises(ipcx.Busy, match="task"):
            await rx.arecv()
        rx.close()
        with pytest.raises(ValueError, match="closed"):
            await asyncio.wait_for(receiving, SOON)

    run(main())


def test_closing_a_full_sender_wakes_the_task_that_waits_for_room(run: Run) -> None:
    for word in ("pipe", "mqueue", "unix", "ring"):

        async def main(word: str = word) -> None:
            tx, rx = ipcx.Transport.pair(word)
            fill(tx)
            sending = asyncio.create_task(tx.asend(bytes(4000)))
            await asyncio.sleep(0)
            tx.close()
            with pytest.raises(ValueError, match="closed"):
                await asyncio.wait_for(sending, SOON)
            rx.close()

        run(main())


@pytest.mark.parametrize("word", ["mqueue", "ring", "buffer"])
def test_each_message_that_finds_nothing_before_it_queues_a_signal(word: str) -> None:
    came: list[int] = []
    signal.signal(SIGNAL, lambda signo, frame: came.append(signo))
    tx, rx = ipcx.Transport.pair(word)
    try:
        rx.signal(SIGNAL)
        for number in range(1, 6):
            with pytest.raises(ipcx.WouldBlock):
                rx.recv(0)
            tx.send(bytes([number]))
            until(lambda number=number: len(came) >= number, f"signal {number}")  # type: ignore[misc]
            assert rx.recv(0) == bytes([number])
        for off in (None, 0):
            rx.signal(off)
        with pytest.raises(ipcx.Invalid, match="real-time"):
            rx.signal(signal.SIGUSR1)
    finally:
        rx.close()
        signal.signal(SIGNAL, signal.SIG_IGN)  # one that is still queued would end the process
