"""A value in shared memory: whole, numbered, locked, waited for."""

import ctypes
import gc
import os
import select
import signal
import struct
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Thread, in_child, killed, until

import ipcx


@pytest.fixture
def buffer() -> Iterator[ipcx.Buffer]:
    with ipcx.Buffer.anonymous(capacity=100) as buffer:
        yield buffer


def another(buffer: ipcx.Buffer) -> ipcx.Buffer:
    """Another handle, as another process would have."""
    fd = buffer.share_fd()
    try:
        return ipcx.Buffer.from_fd(fd)
    finally:
        os.close(fd)


def test_the_ways_to_open_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ipcx.Buffer.attach(name)
    with ipcx.Buffer.create(name, capacity=64, schema="price", wait="block") as one:
        with pytest.raises(FileExistsError):
            ipcx.Buffer.create(name)
        with ipcx.Buffer.open(name, capacity=64) as two, ipcx.Buffer.attach(name, schema="price") as three:
            one.write(b"1")
            assert two.read() == three.read() == b"1"
            assert (two.capacity, two.schema, two.wait_strategy, two.name) == (64, "price", "block", name)
            assert (two.directory, two.closed) == ("/dev/shm", False)
        with pytest.raises(ipcx.Mismatch):
            ipcx.Buffer.open(name, capacity=65)
        with pytest.raises(ipcx.Mismatch):
            ipcx.Buffer.attach(name, schema="map")
        with pytest.raises(ipcx.Mismatch):
            ipcx.Ring.attach(name)
    with ipcx.Buffer.open("b", directory=tmp_path) as own:
        assert (own.capacity, own.directory) == (4096, str(tmp_path))
    for bad in (-1, 1 << 62):
        with pytest.raises(ValueError):
            ipcx.Buffer.anonymous(capacity=bad)


def test_closing_ends_the_handle_and_keeps_the_name(name: str) -> None:
    buffer = ipcx.Buffer.create(name)
    buffer.write(b"stays")
    buffer.close()
    buffer.close()
    assert buffer.closed and repr(buffer).endswith("closed>")
    for call in (buffer.read, lambda: buffer.write(b"x"), buffer.lock, lambda: buffer.version, buffer.fileno):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert ipcx.Buffer.attach(name).read() == b"stays"


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 4096, 300_000, 1 << 20])
def test_what_is_written_is_read_whole_and_numbered(size: int) -> None:
    writer = ipcx.Buffer.anonymous(capacity=1 << 20)
    reader = another(writer)
    assert reader.read_versioned() == (b"", 0) and reader.version == 0
    value = os.urandom(size)
    room = bytearray(1 << 20)
    kinds: tuple[Any, ...] = (value, bytearray(value), memoryview(value), np.frombuffer(value, "u1"))
    for number, data in enumerate(kinds, 1):
        assert writer.write(data) == number == reader.version
        assert reader.read() == value
        assert reader.read_versioned() == (value, number)
        assert reader.read_into(room) == (size, number) and room[:size] == value


def test_structs_arrays_and_ctypes_go_in_and_out(buffer: ipcx.Buffer) -> None:
    class Point(ctypes.Structure):
        _fields_ = (("x", ctypes.c_double), ("y", ctypes.c_double))

    buffer.write(struct.pack("<dd", 1.5, -2.5))
    point = Point()
    assert buffer.read_into(point) == (16, 1) and (point.x, point.y) == (1.5, -2.5)
    point.y = 7
    buffer.write(point)
    doubles: Any = np.zeros(2)
    buffer.read_into(doubles)
    assert doubles.tolist() == [1.5, 7] and struct.unpack("<dd", buffer.read()) == (1.5, 7)
    buffer.write(array("i", [1, 2, 3]))
    assert np.frombuffer(buffer.read(), "i4").tolist() == [1, 2, 3]


def test_what_does_not_fit_changes_nothing(buffer: ipcx.Buffer) -> None:
    buffer.write(b"0123456789")
    with pytest.raises(ipcx.TooBig):
        buffer.write(bytes(101))
    with pytest.raises(ipcx.TooBig):
        buffer.write(bytes(1 << 20))
    small = bytearray(b"....")
    with pytest.raises(ipcx.TooBig):
        buffer.read_into(small)
    assert bytes(small) == b"...." and buffer.read_versioned() == (b"0123456789", 1)
    with pytest.raises(BufferError):
        buffer.read_into(bytes(100))
    for bad in (5, "text", None):
        with pytest.raises(TypeError):
            buffer.write(bad)  # type: ignore[arg-type]


def test_readers_never_see_half_a_value() -> None:
    writer = ipcx.Buffer.anonymous(capacity=5000)
    reader, done = another(writer), threading.Event()

    def write() -> None:
        number = 0
        while not done.is_set():
            number += 1
            writer.write(bytes([number % 256]) * (number % 5000))

    thread = Thread(write)
    last = 0
    for _ in range(20_000):
        value, version = reader.read_versioned()
        assert version >= last and value == bytes([version % 256]) * (version % 5000)
        last = version
    done.set()
    thread.value()
    assert last > 0


def test_a_write_waits_for_the_lock_as_long_as_it_is_told(buffer: ipcx.Buffer) -> None:
    other = another(buffer)
    with buffer.lock():
        for data in (b"x", bytearray(b"x")):
            with pytest.raises(ipcx.WouldBlock):
                other.write(data, 0)
            begin = time.monotonic()
            with pytest.raises(ipcx.Timeout):
                other.write(data, 0.12)
            assert time.monotonic() - begin >= 0.12
        with pytest.raises(ipcx.Invalid, match="has the buffer's lock"):
            buffer.write(b"x")  # would wait for itself
        changing = bytearray(b"later")
        waiting = Thread(lambda: other.write(changing))
        with pytest.raises(ipcx.Timeout):
            other.write(b"x", 0.05)
    assert waiting.value() == 2
    assert other.read_versioned() == (b"later", 2)


def test_the_end_of_with_is_the_next_version(buffer: ipcx.Buffer) -> None:
    buffer.write(b"hello")
    with buffer.lock() as value:
        assert (len(value), value.capacity, bytes(value), value[1:3], value[0]) == (5, 100, b"hello", b"el", ord("h"))
        assert not value.recovered and not value.released
        value[0] = ord("J")
        value[1:3] = b"EL"
        with memoryview(value) as view:
            assert not view.readonly
            view[4] = ord("!")
        assert buffer.read() == b"hello", "readers have the old one"
        assert buffer.stats().locked
    assert buffer.read_versioned() == (b"JELl!", 2)
    assert value.released and repr(value).endswith("released>")
    stats = buffer.stats()
    assert (stats.len, stats.version, stats.locked, stats.owner, stats.capacity) == (5, 2, False, None, 100)
    for use in (value.commit, value.abandon, value.publish, value.wait, lambda: value[0], lambda: value.resize(1)):
        with pytest.raises(ValueError, match="released"):
            use()
    with pytest.raises(BufferError, match="released"):
        memoryview(value)


def test_commit_abandon_publish_and_an_exception(buffer: ipcx.Buffer) -> None:
    with buffer.lock() as value:
        value.resize(3)
        value[:] = b"abc"
        assert value.publish() == 1 and buffer.read() == b"abc"
        assert bytes(value) == b"abc"
        value[0] = ord("x")
        assert value.commit() == 2
    assert buffer.read_versioned() == (b"xbc", 2)
    with buffer.lock() as value:
        value[0] = ord("y")
        value.abandon()
    with pytest.raises(KeyError), buffer.lock() as value:
        value[0] = ord("z")
        raise KeyError
    value = buffer.lock()
    value[0] = ord("z")
    del value  # dropped
    assert buffer.read_versioned() == (b"xbc", 2) and not buffer.stats().locked


def test_resizing(buffer: ipcx.Buffer) -> None:
    buffer.write(b"0123456789")
    with buffer.lock() as value:
        value.resize(4)
        assert bytes(value) == b"0123"
        with pytest.raises(ipcx.TooBig):
            value.resize(101)
        with pytest.raises(ValueError):
            value.resize(-1)
        view = memoryview(value)
        with pytest.raises(BufferError):
            value.resize(5)
        view.release()
        value.resize(100)
        value[4:] = bytes(96)
    assert buffer.read() == b"0123" + bytes(96)


def test_an_array_is_the_value_itself(buffer: ipcx.Buffer) -> None:
    buffer.write(np.arange(6, dtype="<u2").tobytes())
    with buffer.lock() as value:
        table = value.as_array("<u2", (2, -1))
        table[1] += 10
        del table
    assert np.frombuffer(buffer.read(), "<u2").tolist() == [0, 1, 2, 13, 14, 15]


def test_a_view_that_is_left_is_a_buffer_error_and_keeps_the_lock(buffer: ipcx.Buffer) -> None:
    other = another(buffer)
    buffer.write(b"old")
    with pytest.raises(BufferError, match="memoryview"), buffer.lock() as value:
        left = memoryview(value)
        for call in (value.commit, value.abandon, value.publish, lambda: value.wait(0)):
            with pytest.raises(BufferError):
                call()
    left[:] = b"new"  # nobody else writes there
    with pytest.raises(BufferError):
        memoryview(value)
    with pytest.raises(ipcx.WouldBlock):
        other.lock(0)
    left.release()
    assert other.write(b"goes on", 0) == 2
    with pytest.raises(ZeroDivisionError), buffer.lock() as value:
        left = memoryview(value)
        raise ZeroDivisionError
    del left, value
    gc.collect()
    assert other.read() == b"goes on" and other.write(b"again", 10) == 3


def test_what_another_thread_drops_gives_the_lock_up(buffer: ipcx.Buffer) -> None:
    kept = [memoryview(Thread(lambda: buffer.lock()).value())]
    with pytest.raises(ipcx.WouldBlock):
        buffer.lock(0)
    kept.clear()
    buffer.lock(0).abandon()


def test_the_lock_belongs_to_its_thread(buffer: ipcx.Buffer) -> None:
    with buffer.lock() as value:
        for call in (value.commit, value.abandon, value.publish, value.wait):
            with pytest.raises(ipcx.Invalid, match="thread"):
                Thread(call).value()
        with pytest.raises(ipcx.WouldBlock):
            Thread(lambda: buffer.lock(0)).value()
        with pytest.raises(ipcx.Invalid, match="already"):
            buffer.lock()
        value.resize(2)
        value[:] = b"ok"
    assert buffer.read() == b"ok"


def test_a_closed_handle_keeps_a_locked_value(buffer: ipcx.Buffer) -> None:
    other = another(buffer)
    with buffer.lock() as value:
        buffer.close()
        value.resize(1)
        value[0] = 65
    assert other.read() == b"A"


@pytest.mark.parametrize("view", [False, True])
def test_the_next_owner_learns_that_the_last_one_died(name: str, view: bool) -> None:
    buffer = ipcx.Buffer.create(name)
    buffer.write(b"whole")

    def work() -> object:
        value = ipcx.Buffer.attach(name).lock()
        value[:] = b"half."
        return memoryview(value) if view else value

    killed(work)
    stats = buffer.stats()
    assert stats.locked and stats.owner is not None and stats.owner.pid > 0
    with buffer.lock(timeout=30) as value:
        assert value.recovered and bytes(value) == b"whole"
        value.publish()
        assert value.recovered
    with buffer.lock() as value:
        assert not value.recovered
    killed(work)
    buffer.write(b"next", timeout=30)  # whoever writes all of it need not ask
    assert buffer.read() == b"next"


def test_waiting_for_a_version(buffer: ipcx.Buffer) -> None:
    other = another(buffer)
    with pytest.raises(ipcx.WouldBlock):
        buffer.wait(0, 0)
    begin = time.monotonic()
    with pytest.raises(ipcx.Timeout):
        buffer.wait(0, timeout=0.12)
    assert time.monotonic() - begin >= 0.12
    waiting = Thread(lambda: buffer.wait(0))
    other.write(b"x")
    assert waiting.value() == 1 and buffer.wait(0) == buffer.wait(7, 0) == 1
    for bad in (-1, 1.5, "1"):
        with pytest.raises((ValueError, TypeError)):
            buffer.wait(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must not be negative, as -1 is"):
        buffer.newer_than(-1)


def test_the_condition(buffer: ipcx.Buffer) -> None:
    """Two sides take turns, each waiting for the other's."""
    buffer.write(b"\0")

    def turns(handle: ipcx.Buffer, mine: int) -> None:
        for _ in range(100):
            with handle.lock(30) as value:
                while value[0] % 2 != mine:
                    value.wait(30)
                value[0] += 1
                value.notify()

    sides = [Thread(lambda: turns(buffer, 0)), Thread(lambda: turns(another(buffer), 1))]
    for side in sides:
        side.value()
    assert buffer.read() == b"\xc8"


def test_a_condition_that_times_out_has_lost_the_lock(buffer: ipcx.Buffer) -> None:
    buffer.write(b"v")
    for timeout, error in ((0, ipcx.WouldBlock), (0.12, ipcx.Timeout)):
        begin = time.monotonic()
        with pytest.raises(error), buffer.lock() as value:
            value[0] = 1
            value.wait(timeout)
        assert value.released and time.monotonic() - begin >= timeout
        assert buffer.read_versioned() == (b"v", 1)
        buffer.lock(0).abandon()
    with buffer.lock() as value:
        with pytest.raises(ipcx.Timeout):
            value.wait(0.01)
        with pytest.raises(ValueError, match="released"):
            value[0]


def test_a_waiter_has_the_value_of_the_moment_it_is_woken(buffer: ipcx.Buffer) -> None:
    other, waits = another(buffer), threading.Event()

    def wait() -> bytes:
        with buffer.lock() as value:
            waits.set()
            while not len(value):
                value.wait()
            seen = bytes(value)
            value.resize(0)
            return seen

    waiting = Thread(wait)
    waits.wait(30)
    with other.lock(30) as value:  # when the other one has begun to wait
        value.resize(4)
        value[:] = b"good"
    other.notify(all=True)
    assert waiting.value() == b"good" and buffer.read_versioned() == (b"", 2)


@pytest.mark.parametrize("how", ["condition", "version", "lock", "write"])
def test_handlers_run_while_it_waits_and_what_they_raise_ends_it(buffer: ipcx.Buffer, how: str) -> None:
    other, count = another(buffer), 0
    held = other.lock() if how in ("lock", "write") else None

    def handler(*_: object) -> None:
        nonlocal count
        count += 1
        if how == "condition":
            buffer.lock(10).commit()  # not held meanwhile
        if count == 3:
            raise ZeroDivisionError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
    try:
        with pytest.raises(ZeroDivisionError):
            if how == "condition":
                with buffer.lock() as value:
                    value.wait()
            elif how == "version":
                buffer.wait(0)
            elif how == "lock":
                buffer.lock()
            else:
                buffer.write(b"x")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert count == 3
    if held is not None:
        held.abandon()
    buffer.lock(10).abandon()


def test_a_notification_between_two_slices_is_not_missed(buffer: ipcx.Buffer) -> None:
    """The waiter's handler, which runs between two slices of its wait, is where it comes from."""
    count = 0

    def handler(*_: object) -> None:
        nonlocal count
        count += 1
        if count == 1:
            buffer.notify()

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with buffer.lock() as value:
            value.wait(30)
            assert count == 1
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_descriptor_says_whether_there_is_another_version(buffer: ipcx.Buffer) -> None:
    other = another(buffer)
    buffer.read()
    poll = select.poll()
    poll.register(buffer, select.POLLIN)
    with pytest.raises(ipcx.WouldBlock):
        buffer.wait(0, 0)
    assert poll.poll(0) == []
    other.write(b"x")
    assert poll.poll(30_000) == [(buffer.fileno(), select.POLLIN)]
    assert buffer.read_versioned() == (b"x", 1)
    assert poll.poll(0) == []
    other.write(b"y")
    assert poll.poll(30_000) != []
    buffer.read_into(bytearray(9))
    until(lambda: poll.poll(0) == [], "armed")


def test_a_forked_child_attaches_anew_when_it_uses_a_handle(name: str) -> None:
    buffer, nameless = ipcx.Buffer.create(name), ipcx.Buffer.anonymous()
    buffer.fileno()

    def work() -> None:
        with pytest.raises(ipcx.WouldBlock):
            buffer.lock(0)
        assert buffer.wait(7, 0) == 0 and nameless.write(b"child") == 1
        assert select.select([buffer], [], [], 0) == ([], [], [])
        assert buffer.stats().locked

    with buffer.lock() as value:
        in_child(work)
        value.resize(1)
    assert buffer.version == 1 and nameless.read() == b"child"
    closed = ipcx.Buffer.anonymous()
    closed.close()

    def refused() -> None:
        with pytest.raises(FileNotFoundError):
            buffer.read()
        with pytest.raises(ValueError, match="closed"):
            closed.read()

    ipcx.unlink(name)
    in_child(refused)


def test_a_value_in_a_forked_child_is_the_parents(buffer: ipcx.Buffer) -> None:
    def work() -> None:
        with pytest.raises(ipcx.Forked):
            with value:
                pass

    with buffer.lock() as value:
        in_child(work)
        value.resize(1)
        value[0] = 65
    assert buffer.read_versioned() == (b"A", 1)
