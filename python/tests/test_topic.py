"""Topics: every subscriber gets what is published, or knows how much it missed."""

import asyncio
import gc
import multiprocessing
import os
import pickle
import select
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, Thread, in_child, killed, until

import ipcx

# A topic of one page has room for so many records of 64 bytes, and a reliable one keeps none of them for who comes later.
RECORD = b"x" * 64


@pytest.fixture
def topic() -> Iterator[ipcx.Topic]:
    """A lossy topic of one page."""
    with ipcx.Topic.anonymous(capacity=4096) as topic:
        yield topic


@pytest.fixture
def reliable() -> Iterator[ipcx.Topic]:
    """A reliable topic of one page."""
    with ipcx.Topic.anonymous(capacity=4096, reliable=True) as topic:
        yield topic


def fill(publisher: ipcx.Publisher) -> int:
    """Publishes until that would block, and says how often."""
    count = 0
    while True:
        try:
            publisher.publish(RECORD, 0)
        except ipcx.WouldBlock:
            return count
        count += 1


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


def test_every_subscriber_gets_every_record_in_order(topic: ipcx.Topic) -> None:
    subscribers = [topic.subscriber() for _ in range(3)]
    publishers = [topic.publisher() for _ in range(2)]
    for number, record in enumerate(numbers(20)):
        publishers[number % 2].publish(record)
    for subscriber in subscribers:
        assert [subscriber.recv() for _ in range(20)] == numbers(20)
        assert subscriber.missed == 0
        with pytest.raises(ipcx.WouldBlock):
            subscriber.recv(0)
        with pytest.raises(ipcx.Timeout):
            subscriber.recv(0.01)
    assert topic.stats().published == 20


@pytest.mark.parametrize("length", [0, 1, 2024])
def test_records_of_any_length(topic: ipcx.Topic, length: int) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    assert publisher.max_len == 2024
    record = os.urandom(length)
    for data in (record, bytearray(record), memoryview(record)):
        publisher.publish(data)
        assert subscriber.recv() == record
    with pytest.raises(ipcx.TooBig):
        publisher.publish(bytes(2025))


def test_a_large_record_arrives_whole() -> None:
    with ipcx.Topic.anonymous(capacity=4 << 20) as topic:
        subscriber, publisher = topic.subscriber(), topic.publisher()
        record = os.urandom(1 << 20)
        publisher.publish(record)
        assert subscriber.recv() == record
        publisher.publish(record, 0)
        room = bytearray(1 << 20)
        assert subscriber.recv_into(room) == len(record) and room == record


def test_where_a_subscriber_begins(topic: ipcx.Topic) -> None:
    publisher = topic.publisher()
    for record in numbers(3):
        publisher.publish(record)
    oldest, latest, following, default = (topic.subscriber(start) for start in ("oldest", "latest", "next", None))
    publisher.publish(b"3")
    assert [oldest.recv(0) for _ in range(4)] == numbers(4)
    assert [latest.recv(0), latest.recv(0)] == [b"2", b"3"]
    assert following.recv(0) == default.recv(0) == b"3"
    with pytest.raises(ValueError, match="'next', 'latest' or 'oldest', not 'now'"):
        topic.subscriber("now")  # type: ignore[arg-type]


def test_in_a_topic_with_a_history_subscribers_begin_with_the_oldest() -> None:
    with ipcx.Topic.anonymous(history=True) as topic:
        topic.publisher().publish(b"before")
        assert topic.history and topic.subscriber().recv(0) == b"before"
        with pytest.raises(ipcx.WouldBlock):
            topic.subscriber("next").recv(0)


def test_who_is_too_slow_goes_on_and_knows_how_many_it_missed(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    for number in range(1000):
        publisher.publish(b"%d" % number)
    received: list[int] = []
    while len(received) + subscriber.missed < 1000:
        received.append(int(subscriber.recv(0)))
        assert received[-1] == len(received) - 1 + subscriber.missed
    assert 0 < subscriber.missed < 1000
    assert received == list(range(1000 - len(received), 1000))


def test_recv_into_wants_room_and_keeps_what_does_not_fit(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    publisher.publish(b"0123456789")
    with pytest.raises(ipcx.TooBig):
        subscriber.recv_into(bytearray(9))
    with pytest.raises(BufferError):
        subscriber.recv_into(b"0123456789")
    room = bytearray(12)
    assert subscriber.recv_into(room) == 10 and room == b"0123456789\0\0"


def test_a_record_is_looked_at_in_place(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    for text in (b"first", b"second"):
        publisher.publish(text)
    with subscriber.borrow() as record:
        assert (len(record), record[1], record[1:3], bytes(record)) == (5, ord("i"), b"ir", b"first")
        assert record.number == 0 and record.whole and "5 bytes" in repr(record)
        with pytest.raises(ipcx.Invalid):
            subscriber.recv(0)  # one is borrowed
    assert record.whole
    with pytest.raises(ValueError, match="released"):
        record[0]
    with pytest.raises(RuntimeError), subscriber.borrow() as record:
        raise RuntimeError
    with subscriber.borrow() as record:  # it was not released
        assert (record.number, bytes(record)) == (1, b"second")
        assert record.release() is True and record.whole
    with pytest.raises(ipcx.WouldBlock):
        subscriber.borrow(0)


def overtake(publisher: ipcx.Publisher) -> None:
    """Publishes more than there is room for."""
    for _ in range(100):
        publisher.publish(b"other" * 20)


def test_a_record_that_was_overwritten_meanwhile_says_so(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    publisher.publish(RECORD)
    with subscriber.borrow() as record:
        assert record.whole
        overtake(publisher)
        assert not record.whole
    assert record.whole is False
    record = subscriber.borrow()
    overtake(publisher)
    assert record.release() is False
    with subscriber.borrow() as record:
        assert bytes(record) == b"other" * 20
    assert record.whole and subscriber.missed == record.number >= 100


def test_a_view_keeps_its_record(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    publisher.publish(b"seen")
    record = subscriber.borrow()
    view = memoryview(record)
    with pytest.raises(BufferError):
        record.release()
    with pytest.raises(BufferError):
        subscriber.close()
    assert bytes(view) == b"seen" and view.readonly
    view.release()
    assert record.release()
    subscriber.close()


def test_in_place_writing(topic: ipcx.Topic) -> None:
    subscriber, publisher, other = topic.subscriber(), topic.publisher(), topic.publisher()
    with publisher.reserve(8) as room:
        room[:5] = b"hello"
        with pytest.raises(ipcx.WouldBlock):
            other.publish(b"not now", 0)
        holder = topic.stats().publisher
        assert holder is not None and holder.pid == os.getpid()
        room.commit(5)
    with pytest.raises(RuntimeError), publisher.reserve(8) as room:
        raise RuntimeError
    with publisher.reserve(2) as room:
        memoryview(room)[:] = b"ok"
    del room
    assert topic.stats().publisher is None
    assert [subscriber.recv(0), subscriber.recv(0)] == [b"hello", b"ok"]


def test_an_abandoned_reservation_lets_others_publish(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    publisher.reserve(8)
    gc.collect()
    publisher.publish(b"after")
    assert subscriber.recv(0) == b"after"


def test_a_part_of_a_file(topic: ipcx.Topic, tmp_path: Path) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    (tmp_path / "file").write_bytes(b"0123456789")
    with open(tmp_path / "file", "rb") as file:
        assert [publisher.publish_file(file, 6) for _ in range(3)] == [6, 4, 0]
    assert [subscriber.recv(0), subscriber.recv(0)] == [b"012345", b"6789"]
    assert topic.stats().published == 2


def test_a_reliable_publisher_waits_and_stats_name_who_holds_it(reliable: ipcx.Topic) -> None:
    subscriber, publisher = reliable.subscriber(), reliable.publisher()
    count = fill(publisher)
    assert count > 40
    with pytest.raises(ipcx.Timeout):
        publisher.publish(RECORD, 0.05)
    (held,) = reliable.stats().subscribers
    assert held.alive and held.unread == count * 80
    assert held.process is not None and held.process.pid == os.getpid()
    assert held.process.command == Path("/proc/self/comm").read_text().strip()
    assert str(os.getpid()) in repr(reliable.stats())
    waiting = Thread(lambda: publisher.publish(b"last", 30))
    assert [subscriber.recv(30) for _ in range(count + 1)] == [RECORD] * count + [b"last"]
    waiting.value()
    assert subscriber.missed == 0


def test_a_borrowed_record_of_a_reliable_topic_is_not_overwritten(reliable: ipcx.Topic) -> None:
    subscriber, publisher = reliable.subscriber(), reliable.publisher()
    publisher.publish(b"kept")
    with subscriber.borrow() as record:
        fill(publisher)
        assert bytes(record) == b"kept" and record.whole
    assert record.whole


def test_who_closes_or_dies_holds_nothing(name: str) -> None:
    with ipcx.Topic.create(name, capacity=4096, reliable=True) as topic:
        publisher = topic.publisher()
        with topic.subscriber() as subscriber:
            fill(publisher)
            assert len(topic.stats().subscribers) == 1
        assert subscriber.closed and topic.stats().subscribers == []
        publisher.publish(RECORD, 0)

        def work() -> object:
            own = ipcx.Topic.attach(name)
            return own, own.subscriber("next")

        killed(work)
        (dead,) = topic.stats().subscribers
        assert not dead.alive
        for _ in range(100):
            publisher.publish(RECORD, 30)
        assert topic.stats().subscribers == []


def test_options_are_those_of_the_topic(name: str, tmp_path: Path) -> None:
    with ipcx.Topic.create(name, capacity=5000, reliable=True, schema="v1", wait="block", directory=tmp_path) as topic:
        facts = topic.name, topic.capacity, topic.reliable, topic.history, topic.schema, topic.wait, topic.directory
        assert facts == (name, 8192, True, False, "v1", "block", str(tmp_path))
        assert "reliable, 8192 bytes, open" in repr(topic)
        with pytest.raises(FileExistsError):
            ipcx.Topic.create(name, directory=tmp_path)
        for wrong in ({"capacity": 4096}, {"history": True}, {"schema": "v2"}):
            with pytest.raises(ipcx.Mismatch):
                ipcx.Topic.attach(name, directory=tmp_path, **wrong)
        assert ipcx.Topic.attach(name, directory=tmp_path, reliable=True).capacity == 8192
        assert ipcx.Topic.open(name, directory=tmp_path).reliable
        with pytest.raises(ipcx.Mismatch):
            ipcx.Ring.attach(name, directory=tmp_path)
    ipcx.unlink(name, tmp_path)
    with pytest.raises(FileNotFoundError):
        ipcx.Topic.attach(name, directory=tmp_path)
    with pytest.raises(ValueError):
        ipcx.Topic.anonymous(capacity=-1)


def test_after_close_everything_is_a_value_error(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    with subscriber, publisher, topic:
        pass
    uses: list[Callable[[], object]] = [
        subscriber.recv,
        lambda: subscriber.recv_into(bytearray(8)),
        subscriber.borrow,
        lambda: subscriber.missed,
        subscriber.fileno,
        lambda: next(iter(subscriber)),
        lambda: publisher.publish(b""),
        lambda: publisher.reserve(1),
        lambda: publisher.publish_file(0, 1),
        publisher.fileno,
        topic.publisher,
        topic.subscriber,
        topic.stats,
        topic.share_fd,
    ]
    for use in uses:
        with pytest.raises(ValueError, match="closed"):
            use()
    for closed in (subscriber, publisher, topic):
        assert closed.closed and "closed" in repr(closed)
        closed.close()


def test_a_descriptor_is_enough(topic: ipcx.Topic) -> None:
    subscriber = topic.subscriber()
    fd = topic.share_fd()
    try:
        with ipcx.Topic.from_fd(fd) as other:
            assert (other.name, other.directory) == ("anonymous", None)
            other.publisher().publish(b"hello")
    finally:
        os.close(fd)
    assert subscriber.recv(0) == b"hello"


def test_ends_belong_to_one_thread_at_a_time(topic: ipcx.Topic) -> None:
    subscriber = topic.subscriber()
    waiting = Thread(subscriber.recv)

    def in_use() -> bool:
        try:
            subscriber.missed  # noqa: B018
        except ipcx.Busy:
            return True
        return False

    until(in_use, "in use")
    topic.publisher().publish(b"now")
    assert waiting.value() == b"now"


def test_a_signal_handler_runs_while_it_waits(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    before = signal.signal(signal.SIGUSR1, lambda *_: publisher.publish(b"from the handler"))
    try:
        main = threading.main_thread().ident
        assert main is not None
        sender = Thread(lambda: signal.pthread_kill(main, signal.SIGUSR1))
        assert subscriber.recv(30) == b"from the handler"
        sender.value()
    finally:
        signal.signal(signal.SIGUSR1, before)


def is_readable(end: ipcx.Subscriber | ipcx.Publisher, seconds: float = 0) -> bool:
    return bool(select.select([end], [], [], seconds)[0])


def test_a_descriptor_says_when_there_is_a_record(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    assert not is_readable(subscriber)
    publisher.publish(b"one")
    assert is_readable(subscriber, 30)
    assert subscriber.recv(0) == b"one"
    with pytest.raises(ipcx.WouldBlock):
        subscriber.recv(0)
    until(lambda: not is_readable(subscriber), "not readable")
    publisher.publish(b"two")
    assert is_readable(subscriber, 30)


def test_a_publisher_s_descriptor_says_when_there_is_room(reliable: ipcx.Topic) -> None:
    subscriber, publisher = reliable.subscriber(), reliable.publisher()
    assert is_readable(publisher, 30)
    count = fill(publisher)
    until(lambda: not is_readable(publisher), "not readable")
    for _ in range(count):
        subscriber.recv(0)
    assert is_readable(publisher, 30)
    publisher.publish(RECORD, 0)


def test_among_several_things(reliable: ipcx.Topic, topic: ipcx.Topic, rx: ipcx.Consumer) -> None:
    publisher, subscriber, other = reliable.publisher(), reliable.subscriber(), topic.subscriber()
    things: list[Any] = [rx, publisher, subscriber, other]
    assert ipcx.wait_any(things, 0) == [publisher]
    count = fill(publisher)
    assert ipcx.wait_any(things) == [subscriber]
    waiting = Thread(lambda: ipcx.wait_any([rx, other], 30))
    topic.publisher().publish(b"hello")
    assert waiting.value() == [other]
    assert other.recv(0) == b"hello"
    waiting = Thread(lambda: ipcx.wait_any([rx, publisher], 30))
    for _ in range(count):
        subscriber.recv(0)
    assert waiting.value() == [publisher]
    with pytest.raises(ValueError, match="twice"):
        ipcx.wait_any([other, other])


def test_arecv_waits_without_stopping_the_loop(run: Run, topic: ipcx.Topic) -> None:
    async def main() -> None:
        subscriber, publisher = topic.subscriber(), topic.publisher()
        waiting = asyncio.create_task(subscriber.arecv())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        with pytest.raises(ipcx.Busy, match="Subscriber"):
            await subscriber.arecv()
        publisher.publish(b"1")
        assert await waiting == b"1"
        waiting = asyncio.create_task(subscriber.arecv())
        await asyncio.sleep(0)
        waiting.cancel()
        publisher.publish(b"2")
        assert await subscriber.arecv() == b"2"
        waiting = asyncio.create_task(subscriber.arecv())
        await asyncio.sleep(0)
        subscriber.close()
        with pytest.raises(ValueError, match="closed"):
            await waiting

    run(main())


def test_async_for_yields_records_and_lets_others_run(run: Run, topic: ipcx.Topic) -> None:
    async def publish() -> None:
        with topic.publisher() as publisher:
            for record in numbers(100):
                publisher.publish(record)
                await asyncio.sleep(0)

    async def main() -> list[bytes]:
        subscriber = topic.subscriber()
        publishing = asyncio.create_task(publish())
        received = []
        async for record in subscriber:
            received.append(record)
            if len(received) + subscriber.missed == 100:
                break
        await publishing
        return received

    assert run(main()) == numbers(100)


def collect(topic: ipcx.Topic, ring: ipcx.Ring) -> None:
    """In another process: subscribes, and sends back what came."""
    with topic.subscriber() as subscriber, ring.producer() as tx:
        tx.send(b"ready")
        for record in subscriber:
            tx.send(record)
            if record == b"end":
                return


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("named", [False, True])
def test_subscribers_in_other_processes(method: str, named: bool, name: str, tmp_path: Path) -> None:
    make = (lambda **options: ipcx.Topic.create(name, directory=tmp_path, **options)) if named else ipcx.Topic.anonymous
    context: Any = multiprocessing.get_context(method)
    with make(reliable=True) as topic:
        rings = [ipcx.Ring.anonymous() for _ in range(3)]
        consumers = [ring.consumer() for ring in rings]
        processes = [context.Process(target=collect, args=(topic, ring)) for ring in rings]
        for process in processes:
            process.start()
        assert [consumer.recv(60) for consumer in consumers] == [b"ready"] * 3
        pids = {each.process.pid for each in topic.stats().subscribers if each.process}
        assert pids == {process.pid for process in processes}
        with topic.publisher() as publisher:
            for record in (*numbers(50), b"end"):
                publisher.publish(record, 60)
        for process, consumer in zip(processes, consumers, strict=True):
            assert list(consumer) == [*numbers(50), b"end"]
            process.join(60)
            assert process.exitcode == 0


def test_ends_are_their_processs_own(topic: ipcx.Topic) -> None:
    subscriber, publisher = topic.subscriber(), topic.publisher()
    publisher.publish(b"the parent's")
    for end, method in ((subscriber, "subscriber"), (publisher, "publisher")):
        with pytest.raises(TypeError, match=rf"pass the Topic itself, and call {method}\(\) there"):
            pickle.dumps(end)

    def child() -> None:
        for use in (lambda: subscriber.recv(0), lambda: publisher.publish(b"x", 0), subscriber.fileno):
            with pytest.raises(ipcx.Forked):
                use()
        topic.publisher().publish(b"the child's")

    in_child(child)
    assert [subscriber.recv(0), subscriber.recv(0)] == [b"the parent's", b"the child's"]


def test_a_publisher_that_dies_leaves_whole_records(name: str) -> None:
    with ipcx.Topic.create(name) as topic:
        subscriber = topic.subscriber()

        def work() -> object:
            publisher = ipcx.Topic.attach(name).publisher()
            publisher.publish(b"whole")
            room = publisher.reserve(64)
            room[:4] = b"half"
            return publisher, room

        killed(work)
        topic.publisher().publish(b"next", 30)
        assert [subscriber.recv(0), subscriber.recv(0)] == [b"whole", b"next"]
        with pytest.raises(ipcx.WouldBlock):
            subscriber.recv(0)
