"""A coroutine that is cancelled, at whatever point, has done all or nothing: the ledger balances."""

import asyncio
import select
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import Run, Thread

import ipcx

# More turns of the loop than a coroutine takes from its start to its end, once what it waits for is there.
TURNS = 6


@dataclass
class Way:
    """How to send, and how to receive: in a coroutine, and without waiting."""

    send: Callable[[bytes], object]
    receive: Callable[[], Coroutine[Any, Any, bytes]]
    now: Callable[[], bytes]
    fileno: Callable[[], int]


def ring() -> Way:
    ring = ipcx.Ring.anonymous()
    tx, rx = ring.producer(), ring.consumer()
    return Way(tx.send, rx.arecv, lambda: rx.recv(0), rx.fileno)


def topic() -> Way:
    topic = ipcx.Topic.anonymous(reliable=True)
    publisher, subscriber = topic.publisher(), topic.subscriber()
    return Way(publisher.publish, subscriber.arecv, lambda: subscriber.recv(0), subscriber.fileno)


def popped() -> Way:
    queue = ipcx.Queue.anonymous(max_message=8, depth=4)
    return Way(queue.push, queue.apop, lambda: queue.pop(0), queue.fileno)


def taken() -> Way:
    queue = ipcx.Queue.anonymous(max_message=8, depth=4)

    def acknowledged(message: ipcx.Delivery) -> bytes:
        with message:
            return message.data

    async def take() -> bytes:
        return acknowledged(await queue.atake())

    return Way(queue.push, take, lambda: acknowledged(queue.take(0)), queue.fileno)


def requests() -> Way:
    service = ipcx.Service.anonymous(depth=4)
    client, server = service.client(), service.server()

    def answered(request: ipcx.Request) -> bytes:
        request.reply(b"done")
        assert client.recv()[1] == b"done"
        return request.data

    async def receive() -> bytes:
        return answered(await server.arecv())

    return Way(client.send, receive, lambda: answered(server.recv(0)), server.fileno)


def replies() -> Way:
    service = ipcx.Service.anonymous(depth=4)
    client, server = service.client(), service.server()

    def send(data: bytes) -> None:
        client.send(b"please")
        server.recv().reply(data)

    async def receive() -> bytes:
        return (await client.arecv())[1]

    return Way(send, receive, lambda: client.recv(0)[1], client.fileno)


def transport(word: str) -> Callable[[], Way]:
    def make() -> Way:
        tx, rx = ipcx.Transport.pair(word)
        return Way(tx.send, rx.arecv, lambda: rx.recv(0), rx.fileno)

    make.__name__ = word
    return make


WAYS = [ring, topic, popped, taken, requests, replies, *map(transport, ("pipe", "mqueue", "unix", "ring", "buffer"))]


def each_way_to_cancel() -> Iterator[tuple[int, int, bool]]:
    """After how many turns to act and to cancel, and whether to cancel only when the loop is about to be told."""
    for act in range(TURNS):
        for cancel in range(TURNS):
            for told in (False, True):
                yield act, cancel, told


async def cancelled(
    coroutine: Coroutine[Any, Any, Any], act: Callable[[], object], acts: int, cancels: int
) -> "asyncio.Task[Any]":
    """Runs a coroutine for some turns of the loop, in one of which something is done, and in one of which it is cancelled."""
    task = asyncio.create_task(coroutine)
    for turn in range(max(acts, cancels) + 1):
        if turn == acts:
            act()
        if turn == cancels:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("make", WAYS)
def test_what_a_cancelled_receive_did_not_return_is_still_there(run: Run, make: Callable[[], Way]) -> None:
    way = make()

    def send(data: bytes, told: bool) -> None:
        way.send(data)
        if told:
            assert select.select([way.fileno()], [], [], 10)[0]

    async def main() -> tuple[int, int]:
        ends = [0, 0]
        for number, (acts, cancels, told) in enumerate(each_way_to_cancel()):
            data = bytes([number])
            task = await cancelled(way.receive(), lambda: send(data, told), acts, cancels)
            received = way.now() if task.cancelled() else task.result()
            assert received == data, (acts, cancels, told)
            with pytest.raises(ipcx.WouldBlock):
                way.now()
            ends[task.cancelled()] += 1
        return ends[0], ends[1]

    returned, gone = run(main())
    assert returned >= TURNS and gone >= TURNS


@pytest.mark.parametrize("things", [ipcx.Semaphore, ipcx.Pool])
def test_what_a_cancelled_acquire_did_not_return_is_still_there(
    run: Run, things: type[ipcx.Semaphore] | type[ipcx.Pool]
) -> None:
    pool, semaphore = ipcx.Pool.anonymous(block_size=8, blocks=1), ipcx.Semaphore.anonymous(limit=1)
    one = pool if things is ipcx.Pool else semaphore

    def give(had: Any) -> None:
        (had or semaphore).release()

    async def main() -> None:
        for acts, cancels, _ in each_way_to_cancel():
            had = one.acquire(0)
            task = await cancelled(one.aacquire(), lambda: give(had), acts, cancels)
            if not task.cancelled():
                give(task.result())
            assert (semaphore.value, pool.stats().free) == (1, 1), (acts, cancels)

    run(main())


def test_a_cancelled_consume_has_used_up_one_permit_or_none(run: Run) -> None:
    semaphore = ipcx.Semaphore.anonymous(limit=4, initial=0)

    async def main() -> None:
        for acts, cancels, _ in each_way_to_cancel():
            task = await cancelled(semaphore.aconsume(), semaphore.release, acts, cancels)
            assert semaphore.value == (1 if task.cancelled() else 0), (acts, cancels)
            if task.cancelled():
                semaphore.consume(0)

    run(main())


def test_a_cancelled_push_has_pushed_all_or_nothing(run: Run) -> None:
    queue = ipcx.Queue.anonymous(max_message=8, depth=2)

    def make_room(told: bool) -> None:
        queue.pop(0)
        if told:
            assert select.select([queue.room_fileno()], [], [], 10)[0]

    async def main() -> None:
        for acts, cancels, told in each_way_to_cancel():
            queue.push(b"before")
            queue.push(b"before")
            task = await cancelled(queue.apush(b"pushed"), lambda: make_room(told), acts, cancels)
            assert queue.pop(0) == b"before"
            if not task.cancelled():
                assert queue.pop(0) == b"pushed", (acts, cancels, told)
            assert queue.stats().free == 2

    run(main())


def ends(word: str) -> tuple[ipcx.Producer | ipcx.Sender, ipcx.Consumer | ipcx.Receiver]:
    if word == "producer":
        ring = ipcx.Ring.anonymous(capacity=4096)
        return ring.producer(), ring.consumer()
    return ipcx.Transport.pair(word, **({"capacity": 4096} if word in ("pipe", "ring") else {}))


@pytest.mark.parametrize("word", ["producer", "pipe", "mqueue", "unix", "ring"])
def test_a_cancelled_send_has_sent_all_or_nothing(run: Run, word: str) -> None:
    tx, rx = ends(word)

    async def main() -> None:
        for number, (acts, cancels, _) in enumerate(each_way_to_cancel()):
            full = 0
            try:
                while True:
                    tx.send(b"before", 0)
                    full += 1
            except ipcx.WouldBlock:
                pass

            def empty() -> None:
                for _ in range(full):
                    assert rx.recv(0) == b"before"

            data = bytes([number])
            task = await cancelled(tx.asend(data), empty, acts, cancels)
            if not task.cancelled():
                assert rx.recv(0) == data, (acts, cancels)
            with pytest.raises(ipcx.WouldBlock):
                rx.recv(0)

    run(main())


def test_a_cancelled_publish_has_published_all_or_nothing(run: Run) -> None:
    topic = ipcx.Topic.anonymous(capacity=4096, reliable=True)
    publisher, subscriber = topic.publisher(), topic.subscriber()

    async def main() -> None:
        for number, (acts, cancels, _) in enumerate(each_way_to_cancel()):
            full = 0
            try:
                while True:
                    publisher.publish(b"before", 0)
                    full += 1
            except ipcx.WouldBlock:
                pass

            def read() -> None:
                for _ in range(full):
                    assert subscriber.recv(0) == b"before"

            data = bytes([number])
            task = await cancelled(publisher.apublish(data), read, acts, cancels)
            if not task.cancelled():
                assert subscriber.recv(0) == data, (acts, cancels)
            with pytest.raises(ipcx.WouldBlock):
                subscriber.recv(0)

    run(main())


def test_a_cancelled_call_leaves_its_room_and_no_reply_behind(run: Run) -> None:
    service = ipcx.Service.anonymous(depth=2)
    client, server = service.client(), service.server()

    def serve() -> None:
        while (request := server.recv()).data != b"end":
            request.reply(request.data[::-1])
        request.reply(b"ended")

    async def main() -> None:
        for number, (acts, cancels, _) in enumerate(each_way_to_cancel()):
            other: list[asyncio.Task[bytes]] = []
            task = await cancelled(
                client.acall(b"12"), lambda: other.append(asyncio.create_task(client.acall(b"ab"))), acts, cancels
            )
            assert task.cancelled() or task.result() == b"21"
            assert await asyncio.wait_for(other[0], 60) == b"ba"
            assert await asyncio.wait_for(client.acall(b"%d" % number), 60) == (b"%d" % number)[::-1]
        assert await client.acall(b"end") == b"ended"
        with pytest.raises(ipcx.WouldBlock):
            client.recv(0)

    serving = Thread(serve)
    run(main())
    serving.value()


def test_many_tasks_are_cancelled_and_every_message_is_had_once(run: Run) -> None:
    queue, count = ipcx.Queue.anonymous(max_message=8, depth=8), 600
    had: list[int] = []

    async def take() -> None:
        while True:
            had.append(int(await queue.apop()))

    async def push() -> None:
        for number in range(count):
            await queue.apush(b"%d" % number)

    async def main() -> None:
        pushing, takers = asyncio.create_task(push()), [asyncio.create_task(take()) for _ in range(4)]
        for number in range(count):
            for _ in range(number % 3):
                await asyncio.sleep(0)
            takers.pop(number % 4).cancel()
            takers.append(asyncio.create_task(take()))
        await asyncio.wait_for(pushing, 60)
        while len(had) < count:
            await asyncio.sleep(0.001)
        for taker in takers:
            taker.cancel()
        await asyncio.wait(takers)

    run(asyncio.wait_for(main(), 60))
    assert sorted(had) == list(range(count)) and queue.stats().free == 8
