"""Sending and receiving, one record and many."""

import array
import gc
import os
import sys
import tracemalloc
from pathlib import Path

import pytest
from conftest import fill

import ipcx


def test_records_of_every_size_arrive_whole_and_in_order() -> None:
    ring = ipcx.Ring.anonymous(capacity=1 << 20)
    tx, rx = ring.producer(), ring.consumer()
    assert tx.max_len == (1 << 20) - 16
    for size in [*range(300), 4096, 65536, (256 << 10) - 1, 256 << 10, tx.max_len]:
        data = os.urandom(size)
        tx.send(data)
        assert rx.recv() == data
        buffer = bytearray(size + 3)
        tx.send(data)
        assert rx.recv_into(buffer) == size
        assert buffer == data + b"\0\0\0"


def test_any_contiguous_buffer_is_data(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    numbers = array.array("I", [1, 2, 3])
    for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")[3:], numbers, bytearray()):
        tx.send(data)
        assert rx.recv() == memoryview(data).tobytes()
    for bad in ("text", 5, None, [1]):
        with pytest.raises(TypeError, match="bytes-like"):
            tx.send(bad)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        tx.send(memoryview(b"abcdef")[::2])
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)


def test_numpy_arrays_are_buffers(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    numpy = pytest.importorskip("numpy")
    values = numpy.arange(12, dtype="f8").reshape(3, 4)
    tx.send(values)
    into = numpy.zeros((3, 4))
    assert rx.recv_into(into) == 96
    assert (into == values).all()
    with pytest.raises(BufferError):
        tx.send(values.T)
    with tx.reserve(96) as view:
        there = numpy.frombuffer(view).reshape(3, 4)
        there[:] = values
        del there
    with rx.borrow() as record:
        there = numpy.frombuffer(record).reshape(3, 4)
        assert (there == values).all()
        assert not there.flags.writeable
        del there
    assert tx.send_packed(values, numpy.array([0, 8, 96])) == 2
    assert tx.send_packed(values, numpy.array([0, 8], dtype="i4")) == 1
    data, offsets = rx.recv_packed(10)
    assert numpy.frombuffer(offsets, "u8").tolist() == [0, 8, 96, 104]
    assert len(data) == 104


def test_a_full_ring_refuses_and_loses_nothing(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    sent = fill(tx)
    assert sent == (4096 - 8) // 72
    assert len(rx.recv_many(1000)) == sent
    tx.send(b"goes on")
    assert rx.recv() == b"goes on"


def test_too_big_loses_nothing(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with pytest.raises(ipcx.TooBig) as error:
        tx.send(bytes(tx.max_len + 1))
    assert isinstance(error.value, ValueError)
    with pytest.raises(ipcx.TooBig):
        tx.reserve(tx.max_len + 1)
    with pytest.raises(ipcx.TooBig):
        tx.send_many([b"small", bytes(5000)])
    tx.send(b"twelve bytes")
    with pytest.raises(ipcx.TooBig, match="12 bytes do not fit into 11"):
        rx.recv_into(bytearray(11))
    assert rx.recv(0) == b"twelve bytes"
    with pytest.raises(BufferError):
        rx.recv_into(b"read-only")


def test_many_are_sent_as_far_as_they_fit(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    records = [bytes([i % 256]) * 20 for i in range(1000)]
    sent = tx.send_many(records, 0)
    assert sent == (4096 - 8) // 32
    with pytest.raises(ipcx.WouldBlock):
        tx.send_many(records, 0)
    assert rx.recv_many(5) == records[:5]
    assert rx.recv_many(1000) == records[5:sent]
    assert tx.send_many([]) == 0
    assert tx.send_many(iter(records[:3])) == 3
    with pytest.raises(TypeError):
        tx.send_many([b"x", "text"])  # type: ignore[list-item]
    assert rx.recv_many(9) == records[:3]
    for max in (0, -1):
        with pytest.raises(ValueError):
            rx.recv_many(max)
        with pytest.raises(ValueError):
            rx.recv_packed(max)


def test_packed_records_travel_with_their_boundaries(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    data = b"onetwothree"
    for offsets in ([0, 3, 6, 11], array.array("Q", [0, 3, 6, 11]), array.array("q", [0, 3, 6, 11])):
        assert tx.send_packed(data, offsets) == 3
        packed, bounds = rx.recv_packed(10)
        assert (packed, bounds.tolist(), bounds.format, bounds.readonly) == (data, [0, 3, 6, 11], "Q", True)
    assert tx.send_packed(data, memoryview(array.array("Q", [3, 3, 6]))) == 2
    assert rx.recv_many(10) == [b"", b"two"]
    assert tx.send_packed(data, bounds) == 3
    assert rx.recv_packed(2)[1].tolist() == [0, 3, 6]
    assert rx.recv_packed(2)[0] == b"three"
    assert tx.send_packed(data, [5]) == 0
    for bad in ([], [3, 2], [0, 12], array.array("q", [-1, 3]), array.array("q", [0, -1])):
        with pytest.raises(ValueError):
            tx.send_packed(data, bad)
    with pytest.raises(OverflowError):
        tx.send_packed(data, [-1, 3])
    with pytest.raises(TypeError):
        tx.send_packed(data, ["0"])  # type: ignore[list-item]


def test_a_packed_record_larger_than_a_pack_comes_alone() -> None:
    ring = ipcx.Ring.anonymous(capacity=4 << 20)
    tx, rx = ring.producer(), ring.consumer()
    large = os.urandom(1 << 20)
    tx.send_many([b"small", large, b"small again"])
    assert rx.recv_packed(10)[1].tolist() == [0, 5]
    data, offsets = rx.recv_packed(10)
    assert data[: offsets[1]] == large
    assert b"".join([data[offsets[1] :], *rx.recv_many(1)] if len(offsets) == 2 else [data[offsets[1] :]]) == b"small again"


TICK = [("at", "u8"), ("price", "f8")]


def test_records_of_one_size_become_an_array(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    numpy = pytest.importorskip("numpy")
    ticks = numpy.array([(n, n / 8) for n in range(100)], TICK)
    tx.send_packed(ticks, range(0, 1601, 16))
    first = rx.recv_fixed(TICK, 3)
    assert (first == ticks[:3]).all() and first.dtype == ticks.dtype and first.flags.aligned
    first["price"] = 0  # it is the caller's own
    rest = rx.recv_fixed(numpy.dtype(TICK), timeout=0)
    assert (rest == ticks[3:]).all() and rest.base.flags.owndata and rest.base.nbytes == rest.nbytes
    with pytest.raises(ipcx.WouldBlock):
        rx.recv_fixed(TICK, timeout=0)
    with pytest.raises(ipcx.Timeout):
        rx.recv_fixed(TICK, timeout=0.001)
    for dtype, shape in (("f8", (4,)), ("S8", (4,)), ("M8[ns]", (4,)), ("V8", (4,)), (("f4", (2,)), (4, 2))):
        tx.send_packed(bytes(32), [0, 8, 16, 24, 32])
        assert rx.recv_fixed(dtype).shape == shape


def test_a_record_of_another_size_stays_and_ends_the_array(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    pytest.importorskip("numpy")
    tx.send_many([b"12345678", b"12345678", b"1234567", b"", b"12345678"])
    assert len(rx.recv_fixed("u8", 1)) == 1
    assert len(rx.recv_fixed("u8")) == 1
    for _ in range(2):
        with pytest.raises(ipcx.Mismatch, match="7 bytes where 8") as error:
            rx.recv_fixed("u8")
        assert isinstance(error.value, ValueError)
    assert rx.recv() == b"1234567" and rx.skip()
    for bad in (0, -1):
        with pytest.raises(ValueError):
            rx.recv_fixed("u8", bad)
    for dtype in ("O", [("a", "O")], "V0", []):
        with pytest.raises(ValueError, match="items"):
            rx.recv_fixed(dtype)
    with pytest.raises(TypeError):
        rx.recv_fixed("nothing")
    with ipcx.Pool.anonymous(block_size=8, blocks=1) as pool:
        tx.send_block(pool.acquire())
        assert len(rx.recv_fixed("u8")) == 1
        with pytest.raises(ipcx.Mismatch, match="block"):
            rx.recv_fixed("u8")
        rx.recv_block(pool).release()
    tx.close()
    with pytest.raises(ipcx.Closed):
        rx.recv_fixed("u8")


def test_a_large_array_comes_whole() -> None:
    numpy = pytest.importorskip("numpy")
    ring = ipcx.Ring.anonymous(capacity=4 << 20)
    tx, rx = ring.producer(), ring.consumer()
    values = numpy.random.default_rng(1).random((1000, 400))
    for _ in range(3):  # past the end of the ring
        tx.send_many(values)
        assert (rx.recv_fixed(("f8", (400,))) == values).all()


def test_a_file_goes_straight_into_the_ring(tx: ipcx.Producer, rx: ipcx.Consumer, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 10)
    with path.open("rb", buffering=0) as file:
        assert tx.send_file(file, 2000) == 2000
        assert tx.send_file(file.fileno(), 2000) == 560
        assert rx.recv(0) + rx.recv(0) == path.read_bytes()
        assert tx.send_file(file, 2000) == 0
        with pytest.raises(ipcx.WouldBlock):
            rx.recv(0)
        closed = file.fileno()
    with pytest.raises(OSError):
        tx.send_file(closed, 10)
    tx.send(b"the ring goes on")
    assert rx.recv(0) == b"the ring goes on"


def test_a_pipe_gives_what_it_has_until_the_time_is_over(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(ipcx.WouldBlock):
            tx.send_file(reader, 10, 0)
        with pytest.raises(ipcx.Timeout):
            tx.send_file(reader, 10, 0.001)
        os.write(writer, b"abc")
        assert tx.send_file(reader, 10, 0.001) == 3
        os.write(writer, b"0123456789abc")
        assert tx.send_file(reader, 10) == 10
    finally:
        os.close(writer)
    assert tx.send_file(reader, 10) == 3
    assert tx.send_file(reader, 10) == 0
    os.close(reader)
    assert rx.recv_many(9) == [b"abc", b"0123456789", b"abc"]


def test_positions_are_bytes_since_the_ring_was_made(ring: ipcx.Ring) -> None:
    tx, rx = ring.producer(), ring.consumer()
    assert (tx.position, rx.position) == (0, 0)
    tx.send(b"12345678")
    tx.send(b"")
    assert (tx.position, rx.position) == (24, 0)
    rx.recv()
    assert rx.position == 16
    tx.close()
    assert ring.producer().position == 24


def test_stats_show_what_is_there(name: str) -> None:
    ring = ipcx.Ring.create(name, capacity=4096)
    before = ring.stats()
    assert (before.capacity, before.used, before.sent, before.received) == (4096, 0, 0, 0)
    assert (before.producer, before.consumer, before.producer_process) == ("never", "never", None)
    tx, rx = ring.producer(), ring.consumer()
    tx.send_many([b"12345678"] * 3)
    rx.recv()
    stats = ring.stats()
    assert (stats.used, stats.sent, stats.received, stats.sent_bytes, stats.received_bytes) == (32, 3, 1, 48, 16)
    assert (stats.producer, stats.consumer) == ("alive", "alive")
    assert stats.producer_process is not None
    assert stats.producer_process.pid == os.getpid()
    assert stats.producer_process.command
    assert stats.producer_process.attached > 0
    assert stats.consumer_process == stats.producer_process
    tx.close()
    assert ring.stats().producer == "closed"
    assert "sent=3" in repr(stats)
    with pytest.raises(AttributeError):
        stats.sent = 5  # type: ignore[misc]


def test_nothing_leaks() -> None:
    ring = ipcx.Ring.anonymous(capacity=1 << 16)
    tx, rx = ring.producer(), ring.consumer()
    data, into = bytes(100), bytearray(100)

    def work(rounds: int) -> None:
        for _ in range(rounds):
            tx.send(data)
            rx.recv()

    def work_on_everything(rounds: int) -> None:
        for _ in range(rounds):
            tx.send(into, 1.0)
            rx.recv_into(into, timeout=1)
            tx.send_many([data, into])
            rx.recv_many(2)
            tx.send_packed(data, [0, 5, 10])
            rx.recv_packed(2)
            tx.send_packed(data, [0, 8, 16])
            rx.recv_fixed("u8")
            with tx.reserve(10) as view:
                view[:] = b"0123456789"
            with rx.borrow() as record:
                bytes(memoryview(record))
            try:
                rx.recv(0)
            except ipcx.WouldBlock:
                pass

    for job, rounds in ((work, 100_000), (work_on_everything, 5_000)):
        job(100)
        references = sys.getrefcount(data), sys.getrefcount(into), sys.getrefcount(tx), sys.getrefcount(rx)
        gc.collect()
        blocks = sys.getallocatedblocks()
        tracemalloc.start()
        job(rounds)
        gc.collect()
        traced, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sys.getallocatedblocks() - blocks < 200
        assert traced < 20_000
        now = sys.getrefcount(data), sys.getrefcount(into), sys.getrefcount(tx), sys.getrefcount(rx)
        assert now == references
