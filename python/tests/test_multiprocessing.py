"""Handles as arguments of processes, under each start method; and what is left when such a process is killed."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import in_child

import ipcx

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(params=METHODS)
def start(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Starts a process that runs a function of this module."""
    context: Any = multiprocessing.get_context(request.param)

    def start(work: Callable[..., object], *args: object) -> Any:
        process = context.Process(target=work, args=args)
        process.start()
        return process

    return start


def finish(process: Any) -> None:
    process.join(60)
    assert process.exitcode == 0


def take_the_consumer(ring: ipcx.Ring, back: ipcx.Ring) -> None:
    with ring.consumer() as rx, back.producer() as tx:
        for record in rx:
            tx.send(record + b" seen")


def write(buffer: ipcx.Buffer, value: bytes) -> None:
    with buffer.lock(60) as locked:
        locked.resize(len(value))
        locked[:] = value
        locked.notify()


def acquire(semaphore: ipcx.Semaphore, buffer: ipcx.Buffer) -> None:
    with semaphore:
        version = buffer.write(str(semaphore.value).encode())
        buffer.wait(version, 60)


def fill(pool: ipcx.Pool, ring: ipcx.Ring) -> None:
    with ring.producer() as tx, pool.acquire(60) as block:
        block[:4] = b"full"
        tx.send_block(block, 4)


def hold_everything(buffer: ipcx.Buffer, semaphore: ipcx.Semaphore, ring: ipcx.Ring) -> None:
    semaphore.acquire()
    value = buffer.lock()
    value[:] = b"half"
    with ring.producer() as tx:
        tx.send(b"ready")
        signal.pause()


@pytest.fixture(params=["named", "nameless"])
def options(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> Callable[[Any, str], Callable[..., Any]]:
    """Makes segments with a name, in a directory that only the handle knows, or without one."""

    def maker(kind: Any, suffix: str) -> Callable[..., Any]:
        if request.param == "nameless":
            return kind.anonymous  # type: ignore[no-any-return]
        return lambda **options: kind.create(name + suffix, directory=tmp_path, **options)

    return maker


def test_a_ring(start: Any, options: Any) -> None:
    there, back = options(ipcx.Ring, "-there")(), options(ipcx.Ring, "-back")()
    process = start(take_the_consumer, there, back)
    with there.producer() as tx:
        tx.send_many([b"one", b"two"])
    assert list(back.consumer()) == [b"one seen", b"two seen"]
    finish(process)


def test_a_buffer(start: Any, options: Any) -> None:
    buffer = options(ipcx.Buffer, "")()
    process = start(write, buffer, b"from a child")
    with buffer.lock() as value:
        while not len(value):
            value.wait(60)
        assert bytes(value) == b"from a child"
    finish(process)
    assert buffer.version == 2


def test_a_semaphore(start: Any, options: Any) -> None:
    semaphore, buffer = options(ipcx.Semaphore, "-s")(limit=3), options(ipcx.Buffer, "-b")()
    with semaphore:
        process = start(acquire, semaphore, buffer)
        assert buffer.wait(0, 60) == 1 and buffer.read() == b"1"
        holders = semaphore.stats().holders
        assert sorted(holder.permits for holder in holders) == [1, 1]
        buffer.write(b"go on")
        finish(process)
        assert semaphore.value == 2
    assert semaphore.value == 3


def test_a_pool(start: Any, options: Any) -> None:
    pool, ring = options(ipcx.Pool, "-p")(block_size=64, blocks=2), options(ipcx.Ring, "-r")()
    process = start(fill, pool, ring)
    with ring.consumer() as rx, rx.recv_block(pool, 60) as block:
        assert bytes(block) == b"full"
    finish(process)
    assert pool.stats().free == 2


def test_a_killed_process_holds_nothing(start: Any, options: Any) -> None:
    buffer, semaphore = options(ipcx.Buffer, "-b")(), options(ipcx.Semaphore, "-s")(limit=1)
    ring = options(ipcx.Ring, "-r")()
    buffer.write(b"full")
    process = start(hold_everything, buffer, semaphore, ring)
    with ring.consumer() as rx:
        assert rx.recv(60) == b"ready"
    with pytest.raises(ipcx.WouldBlock):
        semaphore.acquire(0)
    with pytest.raises(ipcx.WouldBlock):
        buffer.lock(0)
    process.kill()
    process.join()
    with buffer.lock(60) as value:
        assert value.recovered and bytes(value) == b"full"
    semaphore.acquire(60)
    assert ring.stats().producer == "dead"


def pass_on(rx: ipcx.Consumer, tx: ipcx.Producer) -> None:
    with rx, tx:
        for record in rx:
            tx.send(record)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_endpoints_that_were_closed_hand_their_role_over(name: str, tmp_path: Path, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    one = ipcx.Ring.create(name, directory=tmp_path)
    two = ipcx.Ring.create(name + "-2", directory=tmp_path)
    rx, tx = one.consumer(), two.producer()
    rx.close()
    tx.close()
    process = context.Process(target=pass_on, args=(rx, tx))
    process.start()
    with one.producer() as producer:
        producer.send(b"passed on")
    assert two.consumer().recv(60) == b"passed on"
    process.join(60)
    assert process.exitcode == 0


def test_an_endpoint_is_pickled_by_name_and_role(name: str) -> None:
    with ipcx.Ring.create(name) as ring:
        tx, rx = ring.producer(), ring.consumer()
        for end in (tx, rx):
            pickled = pickle.dumps(end)
            with pytest.raises(ipcx.Busy):
                pickle.loads(pickled)  # its role is not free
            end.close()
            with pickle.loads(pickled) as own, pytest.raises(ipcx.Busy):
                assert type(own) is type(end) and repr(own) == repr(end).replace("closed", "open")
                pickle.loads(pickle.dumps(end))
    nameless = ipcx.Ring.anonymous()
    for end in (nameless.producer(), nameless.consumer()):
        with pytest.raises(TypeError, match="share_fd"):
            pickle.dumps(end)


def test_a_closed_handle_is_not_pickled(name: str) -> None:
    for handle in (
        ipcx.Ring.create(name),
        ipcx.Pool.create(name + "-p", block_size=8),
        ipcx.Buffer.create(name + "-b"),
        ipcx.Semaphore.create(name + "-s"),
    ):
        again = pickle.loads(pickle.dumps(handle))
        assert (type(again), again.name, again.directory) == (type(handle), handle.name, "/dev/shm")
        handle.close()
        with pytest.raises(ValueError, match="closed"):
            pickle.dumps(handle)
        ipcx.unlink(handle.name)


def test_a_block_and_a_value_are_not_pickled() -> None:
    pool, buffer = ipcx.Pool.anonymous(block_size=8), ipcx.Buffer.anonymous()
    for owned in (pool.acquire(), buffer.lock(), buffer.newer_than(0)):
        with pytest.raises(TypeError):
            pickle.dumps(owned)


def test_in_a_forked_child_handles_attach_anew_and_endpoints_do_not(name: str) -> None:
    ring = ipcx.Ring.create(name)
    tx = ring.producer()

    def child() -> None:
        with pytest.raises(ipcx.Forked):
            tx.send(b"x")
        with pytest.raises(ipcx.Busy):
            ring.producer()
        with ring.consumer():
            in_child(grandchild)
            stats = ring.stats()
            assert stats.consumer_process is not None and stats.consumer_process.pid == os.getpid()

    def grandchild() -> None:
        with pytest.raises(ipcx.Busy):
            ring.consumer()
        assert ring.stats().producer == "alive"

    in_child(child)
    tx.send(b"still the parent's")
    assert ring.consumer().recv(0) == b"still the parent's"
