"""Receiving in coroutines."""

import asyncio
import os

import pytest
from conftest import in_child

import ipcx


def test_arecv_waits_without_stopping_the_loop(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(rx.arecv())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        tx.send(b"1")
        assert await waiting == b"1"
        tx.send_many([b"2", b"3"])
        assert [await rx.arecv(), await rx.arecv()] == [b"2", b"3"]

    asyncio.run(main())


def test_cancelling_loses_nothing(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        for number in range(50):
            waiting = asyncio.create_task(rx.arecv())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            tx.send(bytes([number]))
            if number % 3:
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                received = await waiting
            except asyncio.CancelledError:
                received = rx.recv(0)
            assert received == bytes([number])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await rx.arecv()
        tx.send(b"last")
        assert await rx.arecv() == b"last"

    asyncio.run(main())


def test_async_for_ends_when_the_producer_closes(rx: ipcx.Consumer, tx: ipcx.Producer) -> None:
    async def send() -> None:
        for number in range(10):
            tx.send(bytes([number]))
            await asyncio.sleep(0)
        tx.close()

    async def main() -> list[bytes]:
        sending = asyncio.create_task(send())
        received = [record async for record in rx]
        await sending
        return received

    assert asyncio.run(main()) == [bytes([number]) for number in range(10)]


def test_async_for_lets_other_tasks_run(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        tx.send_many([b"x"] * 200)
        other = asyncio.create_task(asyncio.sleep(0))
        async for _ in rx:
            if other.done():
                return
        pytest.fail("the other task never ran")

    asyncio.run(main())


def test_a_dead_producer_is_an_error(name: str) -> None:
    rx = ipcx.Ring.create(name).consumer()
    child = os.fork()
    if child == 0:
        keep = ipcx.Ring.attach(name).producer()
        keep.send(b"last words")
        os.kill(os.getpid(), 9)

    async def main() -> None:
        assert await rx.arecv() == b"last words"
        with pytest.raises(ipcx.PeerDead):
            await rx.arecv()

    asyncio.run(main())
    os.waitpid(child, 0)


def test_a_second_task_is_refused(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        first = asyncio.create_task(rx.arecv())
        await asyncio.sleep(0)
        with pytest.raises(ipcx.Busy, match="task"):
            await rx.arecv()
        tx.send(b"for the first")
        assert await first == b"for the first"

    asyncio.run(main())


def test_after_close_arecv_is_a_value_error(rx: ipcx.Consumer) -> None:
    rx.close()

    async def main() -> None:
        with pytest.raises(ValueError, match="closed"):
            await rx.arecv()

    asyncio.run(main())


def test_closing_a_consumer_wakes_the_task_that_waits_for_it(rx: ipcx.Consumer) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(rx.arecv())
        await asyncio.sleep(0)  # lets it begin to wait
        rx.close()
        with pytest.raises(ValueError, match="closed"):
            await asyncio.wait_for(waiting, 10)

    asyncio.run(main())


def test_a_forked_child_can_poll_after_it_lost_what_it_inherited(rx: ipcx.Consumer) -> None:
    rx.fileno()

    def child() -> None:
        rx.close()
        ring = ipcx.Ring.anonymous()
        for _ in range(3):
            with ring.consumer() as own:
                own.fileno()

    in_child(child)
