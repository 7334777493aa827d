"""Work queues: what is taken first, what comes back, and what becomes of it when its taker dies."""

import asyncio
import gc
import multiprocessing
import os
import pickle
import select
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Thread, in_child, killed, until

import ipcx


@pytest.fixture
def queue() -> ipcx.Queue:
    return ipcx.Queue.anonymous(max_message=64, depth=4)


def another(queue: ipcx.Queue) -> ipcx.Queue:
    """Another handle, as another process would have."""
    fd = queue.share_fd()
    try:
        return ipcx.Queue.from_fd(fd)
    finally:
        os.close(fd)


def rest(queue: ipcx.Queue) -> list[bytes]:
    """Everything that can be taken."""
    messages = []
    with suppress(ipcx.WouldBlock):
        while True:
            messages.append(queue.pop(0))
    return messages


def test_the_ways_to_open_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ipcx.Queue.attach(name)
    one = ipcx.Queue.create(name, max_message=100, depth=5, max_deliveries=3, schema="jobs", wait="yield")
    with pytest.raises(FileExistsError):
        ipcx.Queue.create(name)
    for two in (ipcx.Queue.open(name), ipcx.Queue.attach(name, max_message=100, depth=5, max_deliveries=3, schema="jobs")):
        assert (two.max_message, two.depth, two.max_deliveries, two.schema, two.wait) == (100, 5, 3, "jobs", "yield")
        assert (two.name, two.directory, two.closed) == (name, "/dev/shm", False)
    others: tuple[dict[str, Any], ...] = ({"max_message": 101}, {"depth": 6}, {"max_deliveries": 2}, {"sync": True})
    for other in others:
        with pytest.raises(ipcx.Mismatch):
            ipcx.Queue.open(name, **other)
    with pytest.raises(ipcx.Mismatch):
        ipcx.Ring.attach(name)
    with one as same:
        assert same is one and repr(one) == f"<ipcx.Queue '{name}', 5 messages of 100 bytes, open>"
    assert one.closed and repr(one).endswith("closed>")
    with pytest.raises(ValueError, match="closed"):
        one.push(b"")
    assert ipcx.Queue.open("q", directory=tmp_path).directory == str(tmp_path)
    default = ipcx.Queue.anonymous()
    assert (default.max_message, default.depth, default.max_deliveries) == (1024, 1024, 0)
    no_good: tuple[dict[str, Any], ...] = ({"max_message": 1 << 31}, {"depth": (1 << 20) + 1}, {"max_deliveries": 255}, {"depth": -1})
    for bad in no_good:
        with pytest.raises(ValueError):
            ipcx.Queue.anonymous(**bad)


def test_the_most_urgent_comes_first_and_the_oldest_of_these() -> None:
    queue = ipcx.Queue.anonymous(depth=64)
    pushed = [(str(number).encode(), number * 7 % 32) for number in range(64)]
    for data, priority in pushed:
        queue.push(data, priority)
    expected = [data for data, _ in sorted(pushed, key=lambda each: -each[1])]
    assert rest(another(queue)) == expected


def test_messages_of_any_kind_and_length(queue: ipcx.Queue) -> None:
    for data in (b"", bytearray(b"bytearray"), memoryview(b"a view")[2:], b"x" * 64):
        queue.push(data)
    assert rest(queue) == [b"", b"bytearray", b"view", b"x" * 64]
    with pytest.raises(ipcx.TooBig):
        queue.push(b"x" * 65)
    for priority in (32, -1):
        with pytest.raises(ValueError):
            queue.push(b"", priority)
    with pytest.raises(TypeError):
        queue.push("text")  # type: ignore[arg-type]
    assert queue.stats().free == 4
    large = ipcx.Queue.anonymous(max_message=1 << 20, depth=2)
    data = os.urandom(1 << 20)
    large.push(data)
    assert large.pop() == data
    with pytest.raises(ipcx.TooBig):
        large.push(data + b"x")


def test_the_end_of_with_acknowledges_and_an_exception_puts_back(queue: ipcx.Queue) -> None:
    queue.push(b"first", 3)
    queue.push(b"second", 3)
    with pytest.raises(KeyError), queue.take() as message:
        assert (message.data, message.priority, message.deliveries) == (b"first", 3, 1)
        assert queue.stats().taken == 1
        raise KeyError
    with queue.take() as message:
        assert (message.data, message.deliveries) == (b"first", 2), "it comes before what was pushed later"
        assert repr(message) == "<ipcx.Delivery of 5 bytes from 'anonymous', priority 3, deliveries 2>"
    assert message.data == b"first" and repr(message).endswith("over>")
    with queue.take() as message:
        message.put_back()
    with queue.take() as message:
        assert (message.data, message.deliveries) == (b"second", 2)
        message.ack()
    for end in (message.ack, message.put_back, message.__enter__):
        with pytest.raises(ValueError, match="already"):
            end()
    assert queue.stats().free == 4


def test_a_delivery_that_is_dropped_is_put_back(queue: ipcx.Queue) -> None:
    queue.push(b"job")
    queue.take()
    message = queue.take()
    assert message.deliveries == 2
    queue.close()
    message.ack()  # it keeps the handle
    with pytest.raises(ValueError, match="closed"):
        queue.take()


def test_what_comes_back_too_often_is_put_aside() -> None:
    queue = ipcx.Queue.anonymous(depth=4, max_deliveries=2)
    queue.push(b"poison", 7)
    queue.push(b"wholesome")
    with pytest.raises(ipcx.WouldBlock, match="the queue has no dead letter"):
        queue.take_dead()
    for deliveries in (1, 2):
        with pytest.raises(KeyError), queue.take() as message:
            assert message.deliveries == deliveries
            raise KeyError
    assert queue.pop(0) == b"wholesome" and queue.stats().dead == 1
    dead = queue.take_dead()
    assert (dead.data, dead.priority) == (b"poison", 7)
    with pytest.raises(ipcx.WouldBlock):
        queue.take_dead()
    dead.put_back()  # tried again
    with queue.take() as message:
        assert (message.data, message.deliveries) == (b"poison", 1)
        message.put_back()
    queue.take().put_back()
    with queue.take_dead():
        pass  # discarded
    with pytest.raises(ipcx.WouldBlock):
        queue.take_dead()
    assert queue.stats().free == 4


def test_calls_wait_as_long_as_they_are_told(queue: ipcx.Queue) -> None:
    other = another(queue)
    for take in (other.take, other.pop):
        with pytest.raises(ipcx.WouldBlock):
            take(0)
        begin = time.monotonic()
        with pytest.raises(ipcx.Timeout):
            take(timeout=0.12)
        assert time.monotonic() - begin >= 0.12
    waiting = Thread(other.pop)
    queue.push(b"for you")
    assert waiting.value() == b"for you"
    for _ in range(4):
        queue.push(b"full", timeout=0)
    with pytest.raises(ipcx.WouldBlock):
        queue.push(b"no room", timeout=0)
    with pytest.raises(ipcx.Timeout):
        queue.push(b"no room", timeout=0.06)
    waiting = Thread(lambda: queue.push(b"room", 1))
    message = other.take()
    message.ack()
    waiting.value()
    assert rest(other) == [b"room", b"full", b"full", b"full"]


def test_handlers_run_while_it_waits(queue: ipcx.Queue) -> None:
    def handler(*_: object) -> None:
        if not queue.stats().free:
            raise KeyboardInterrupt
        queue.push(b"from the handler")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert queue.pop(timeout=30) == b"from the handler"
        for _ in range(4):
            queue.push(b"full")
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            queue.push(b"no room")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert rest(queue) == [b"full"] * 4, "nothing was pushed by the call that was interrupted"


def test_what_a_killed_consumer_had_is_taken_again(name: str) -> None:
    queue = ipcx.Queue.create(name, max_deliveries=3)
    for number in range(3):
        queue.push(b"booking %d" % number)

    def work() -> object:
        theirs = ipcx.Queue.attach(name)
        return theirs, theirs.take(0), theirs.take(0)

    killed(work)
    stats = queue.stats()
    assert (stats.taken, sum(stats.ready), len(stats.holders)) == (2, 1, 1)
    holder = stats.holders[0]
    assert (holder.alive, holder.taken) == (False, 2) and holder.process is not None
    assert "taken=2" in repr(stats) and stats == stats
    queue.recover()
    assert queue.stats().ready[0] == 3
    killed(work)
    with queue.take(30) as message:  # finds out by itself
        assert (message.data, message.deliveries) == (b"booking 2", 1) or message.deliveries == 3
        message.put_back()
    queue.recover()
    killed(work)
    queue.recover()
    dead = []
    with suppress(ipcx.WouldBlock):
        while True:
            with queue.take_dead() as letter:
                dead.append(letter.data)
    assert set(dead) <= {b"booking 0", b"booking 1"} and sorted(dead + rest(queue)) == [b"booking %d" % number for number in range(3)]


def test_the_descriptor_says_whether_there_is_a_message(queue: ipcx.Queue) -> None:
    other = another(queue)
    poll = select.poll()
    poll.register(queue, select.POLLIN)
    with pytest.raises(ipcx.WouldBlock):
        queue.take(0)
    assert poll.poll(0) == []
    other.push(b"news")
    assert poll.poll(30_000) == [(queue.fileno(), select.POLLIN)]
    queue.take(0).ack()
    assert poll.poll(0) == []
    with pytest.raises(ipcx.Timeout):
        ipcx.wait_any([queue, ipcx.Semaphore.anonymous(initial=0)], timeout=0.01)
    other.push(b"news")
    assert ipcx.wait_any([ipcx.Semaphore.anonymous(initial=0), queue]) == [queue]


def test_a_signal_tells_of_a_message(queue: ipcx.Queue) -> None:
    number = signal.SIGRTMIN + 2
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        queue.signal(number)
        another(queue).push(b"news")
        assert signal.sigtimedwait([number], 30) is not None
        assert queue.pop(0) == b"news"
        queue.signal(None)
        with pytest.raises(ipcx.Invalid):
            queue.signal(signal.SIGUSR1)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])


def test_a_forked_child_attaches_anew_and_has_nothing_of_the_parents(name: str) -> None:
    queue = ipcx.Queue.create(name)
    queue.push(b"parent's")
    queue.push(b"child's")
    message = queue.take()

    def work() -> None:
        for end in (message.ack, message.put_back, message.__exit__):
            with pytest.raises(ipcx.Forked):
                end()
        message.__exit__(KeyError)
        with queue.take(0) as theirs:
            assert theirs.data == b"child's"
            holders = {holder.process.pid for holder in queue.stats().holders if holder.process}
            assert holders == {os.getpid(), os.getppid()}
        with pytest.raises(ipcx.WouldBlock):
            queue.take(0)

    def leave() -> None:
        nonlocal message
        del message
        gc.collect()

    in_child(work)
    in_child(leave)
    assert queue.stats().taken == 1, "the parent's message is the parent's"
    message.ack()
    assert queue.stats().free == queue.depth


def push_all(queue: ipcx.Queue, first: int, count: int) -> None:
    for number in range(first, first + count):
        queue.push(b"%d" % number, number % 32)


def take_all(queue: ipcx.Queue, done: ipcx.Queue) -> None:
    while True:
        with queue.take(60) as message:
            if message.data == b"end":
                return
            done.push(message.data)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("named", [False, True])
def test_several_processes_share_the_work(method: str, named: bool, name: str, tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context(method)
    if named:
        queue = ipcx.Queue.create(name, depth=8, directory=tmp_path)
    else:
        queue = ipcx.Queue.anonymous(depth=8)
    done = ipcx.Queue.anonymous(depth=512)
    pushing = [context.Process(target=push_all, args=(queue, first, 100)) for first in (0, 100)]
    taking = [context.Process(target=take_all, args=(queue, done)) for _ in range(2)]
    for process in pushing + taking:
        process.start()
    for process in pushing:
        process.join(60)
    for _ in taking:
        queue.push(b"end")
    for process in taking:
        process.join(60)
    assert [process.exitcode for process in pushing + taking] == [0] * 4
    assert Counter(rest(done)) == Counter(b"%d" % number for number in range(200))
    assert queue.stats().free == 8


def take_and_stall(queue: ipcx.Queue) -> None:
    with queue.take():
        signal.pause()


def test_a_consumer_is_killed_again_and_again(name: str) -> None:
    context: Any = multiprocessing.get_context("fork")
    queue = ipcx.Queue.create(name, max_deliveries=3)
    queue.push(b"seat 12A")
    for deliveries in (1, 2, 3):
        process = context.Process(target=take_and_stall, args=(queue,))
        process.start()
        until(lambda: queue.stats().taken == 1, "taken")
        process.kill()
        process.join()
        queue.recover()
        assert queue.stats().dead == (deliveries == 3)
    dead = queue.take_dead()
    assert dead.data == b"seat 12A"
    dead.ack()


def test_a_handle_is_pickled_and_a_delivery_is_not(name: str) -> None:
    with ipcx.Queue.create(name) as queue:
        queue.push(b"x")
        with pickle.loads(pickle.dumps(queue)) as other:
            assert other.name == name and other.stats().ready[0] == 1
        with pytest.raises(TypeError):
            pickle.dumps(queue.take())


def test_coroutines(run: Run, queue: ipcx.Queue) -> None:
    other = another(queue)

    async def consume(count: int) -> list[bytes]:
        taken = []
        for _ in range(count):
            with await other.atake() as message:
                taken.append(message.data)
        return taken

    async def main() -> list[list[bytes]]:
        consumers = [asyncio.create_task(consume(50)) for _ in range(3)]
        for number in range(150):
            await queue.apush(b"%d" % number, priority=number % 3)
        return await asyncio.wait_for(asyncio.gather(*consumers), 60)

    taken = sum(run(main()), [])
    assert sorted(map(int, taken)) == list(range(150))


def test_cancelling_loses_nothing_and_pushes_nothing(run: Run, queue: ipcx.Queue) -> None:
    async def main() -> None:
        for number in range(50):
            waiting = [asyncio.create_task(queue.apop()) for _ in range(3)]
            for _ in range(number % 4):
                await asyncio.sleep(0)
            queue.push(b"x")
            for _ in range(number % 3):
                await asyncio.sleep(0)
            waiting[0].cancel()
            waiting[1].cancel()
            popped = await asyncio.wait_for(asyncio.gather(*waiting[:2], return_exceptions=True), 60)
            if b"x" not in popped:
                assert await asyncio.wait_for(waiting[2], 60) == b"x"
            waiting[2].cancel()
            await asyncio.gather(waiting[2], return_exceptions=True)
            assert queue.stats().free == 4
        for _ in range(4):
            queue.push(b"full")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await queue.apush(b"no room")
        data = bytearray(b"as it was")
        pushing = asyncio.create_task(queue.apush(data, 9))
        await asyncio.sleep(0)
        data[:] = b"otherwise"
        assert await queue.apop() == b"full"
        await asyncio.wait_for(pushing, 60)
        assert await queue.apop() == b"as it was"
        with pytest.raises(TypeError):
            queue.apush("text")  # type: ignore[arg-type,unused-coroutine]

    run(main())
    assert rest(queue) == [b"full"] * 3


def test_closing_ends_a_coroutine_that_waits(run: Run, queue: ipcx.Queue) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(queue.atake())
        await asyncio.sleep(0.01)
        queue.close()
        with pytest.raises(ValueError, match="closed"):
            await asyncio.wait_for(waiting, 60)

    run(main())
