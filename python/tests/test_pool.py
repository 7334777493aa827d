"""Blocks of a pool: buffers, arrays, hand-over, and what is refused."""

import gc
import os
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import in_child, killed

import ipcx


@pytest.fixture
def pool(name: str) -> Iterator[ipcx.Pool]:
    pool = ipcx.Pool.create(name + "-pool", block_size=1000, blocks=4)
    yield pool
    ipcx.unlink(name + "-pool")


def counts(pool: ipcx.Pool) -> tuple[int, int, int]:
    stats = pool.stats()
    assert stats.free + stats.owned + stats.in_flight == stats.blocks
    return stats.free, stats.owned, stats.in_flight


def test_a_block_is_a_buffer_and_goes_back_at_the_end_of_with(pool: ipcx.Pool) -> None:
    with pool.acquire() as block:
        assert len(block) == 1000 and counts(pool) == (3, 1, 0)
        block[0:5] = b"hello"
        assert bytes(block)[:5] == block[:5] == b"hello" and block[1] == ord("e")
        with memoryview(block) as view:
            assert view.nbytes == 1000 and not view.readonly
    assert counts(pool) == (4, 0, 0)
    assert block.released
    for use in (lambda: block[0], lambda: memoryview(block), block.release, lambda: block.as_array("u1"), block.__enter__):
        with pytest.raises((ValueError, BufferError), match="released"):
            use()


def test_a_block_goes_back_when_nobody_has_it_any_more(pool: ipcx.Pool) -> None:
    block = pool.acquire()
    array = block.as_array("u1")
    del block
    gc.collect()
    assert counts(pool) == (3, 1, 0), "the array keeps it"
    array[:] = 7
    del array
    assert counts(pool) == (4, 0, 0)


def test_release_with_a_view_is_a_buffer_error_and_changes_nothing(pool: ipcx.Pool) -> None:
    block = pool.acquire()
    view = memoryview(block)
    with pytest.raises(BufferError, match="memoryview"):
        block.release()
    view[0] = 1
    view.release()
    block.release()
    assert counts(pool) == (4, 0, 0)


def test_a_view_that_outlives_with_is_a_buffer_error_and_keeps_the_block(pool: ipcx.Pool) -> None:
    with pytest.raises(BufferError, match="memoryview"), pool.acquire() as block:
        view = memoryview(block)
    assert counts(pool) == (3, 1, 0)
    view[0] = 1  # still its owner's
    with pytest.raises((ValueError, BufferError), match="released"):
        memoryview(block)
    view.release()
    assert counts(pool) == (4, 0, 0)


def test_an_exception_is_not_hidden_by_a_view(pool: ipcx.Pool) -> None:
    with pytest.raises(KeyError), pool.acquire() as block:
        view = memoryview(block)
        raise KeyError
    view.release()
    assert counts(pool) == (4, 0, 0)


def test_an_array_is_the_memory_itself(pool: ipcx.Pool) -> None:
    block = pool.acquire()
    image = block.as_array("uint8", (20, 40))
    assert image.shape == (20, 40) and image.flags.writeable
    image[3, 4] = 200
    assert block[3 * 40 + 4] == 200
    assert block.as_array(np.float64).shape == (125,)
    assert block.as_array("<u2", 10).shape == (10,)
    with pytest.raises(ValueError, match="smaller"):
        block.as_array("uint8", (1001,))
    with pytest.raises(BufferError):
        block.release()
    del image
    block.release()


def test_one_size_of_an_array_is_what_fits(pool: ipcx.Pool) -> None:
    block = pool.acquire()
    assert block.as_array("u1", (2, -1)).shape == (2, 500)
    assert block.as_array("<u4", (-1, 3)).shape == (83, 3), "250 items; one is left over"
    assert block.as_array("<f8", -1).shape == (125,)
    for shape in ((-1, -1), (-1, 0), (-2, 5), -3, (2, -2)):
        with pytest.raises(ValueError, match="-1"):
            block.as_array("u1", shape)
    block.release()


def test_without_numpy_an_array_says_how_to_get_it(pool: ipcx.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pool.acquire() as block, pytest.raises(ImportError, match="pip install numpy"):
        block.as_array("u1")


def test_acquire_waits_as_long_as_it_is_told(pool: ipcx.Pool) -> None:
    held = [pool.acquire() for _ in range(4)]
    with pytest.raises(ipcx.WouldBlock):
        pool.acquire(timeout=0)
    begin = time.monotonic()
    with pytest.raises(ipcx.Timeout):
        pool.acquire(timeout=0.12)
    assert time.monotonic() - begin >= 0.12
    thread = threading.Timer(0.05, held.pop().release)
    thread.start()
    pool.acquire(timeout=10).release()
    thread.join()


def test_a_block_goes_through_a_ring(pool: ipcx.Pool, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    for number in range(20):
        block = pool.acquire()
        block[:3] = b"%03d" % number
        tx.send_block(block, 3)
        assert block.released and counts(pool) == (3, 0, 1)
        with pytest.raises(ValueError):
            tx.send_block(block)
        with pytest.raises(ipcx.Mismatch, match="block"):
            rx.recv(timeout=0)
        with rx.recv_block(pool) as got:
            assert bytes(got) == b"%03d" % number and got.id != block.id
    with pytest.raises(ipcx.WouldBlock):
        rx.recv_block(pool, timeout=0)
    with pytest.raises(ipcx.Timeout):
        rx.recv_block(pool, timeout=0.01)
    tx.send(b"bytes")
    with pytest.raises(ipcx.Mismatch, match="bytes"):
        rx.recv_block(pool)
    assert rx.recv() == b"bytes"


def test_a_received_block_has_what_was_sent_and_can_be_sent_with_more(
    pool: ipcx.Pool, tx: ipcx.Producer, rx: ipcx.Consumer
) -> None:
    block = pool.acquire()
    block[:] = b"x" * 999 + b"y"
    assert len(block) == block.capacity == 1000
    tx.send_block(block, 3)
    block = rx.recv_block(pool)
    assert (len(block), block.capacity, memoryview(block).nbytes) == (3, 1000, 3)
    with pytest.raises(ValueError, match="1001 bytes of a block that has 1000"):
        tx.send_block(block, 1001)
    with pytest.raises(ValueError, match="negative"):
        tx.send_block(block, -1)
    tx.send_block(block, 1000)
    block = rx.recv_block(pool)
    assert bytes(block) == b"x" * 999 + b"y"
    tx.send_block(block, 0)
    block = rx.recv_block(pool)
    tx.send_block(block)
    assert len(rx.recv_block(pool)) == 0, "all that was sent"


def test_a_block_of_a_pool_that_was_made_anew_is_skipped(pool: ipcx.Pool, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    assert rx.skip() is False
    tx.send_block(pool.acquire())
    tx.send(b"behind it")
    ipcx.unlink(pool.name)
    anew = ipcx.Pool.create(pool.name, block_size=1000, blocks=4)
    with pytest.raises(ipcx.Mismatch, match="another pool"):
        rx.recv_block(anew)
    assert rx.skip() is True
    assert counts(pool) == (3, 0, 1), "nobody has it"
    with rx.borrow() as record:
        with pytest.raises(ipcx.Invalid):
            rx.skip()
        assert bytes(record) == b"behind it"
    assert rx.skip() is False


def test_a_block_with_a_view_is_not_sent(pool: ipcx.Pool, tx: ipcx.Producer) -> None:
    block = pool.acquire()
    array = block.as_array("u1")
    with pytest.raises(BufferError):
        tx.send_block(block)
    del array
    with pytest.raises(ValueError, match="1001"):
        tx.send_block(block, 1001)
    tx.send_block(block)
    assert counts(pool) == (3, 0, 1)


def test_a_block_that_was_not_sent_is_still_there(name: str, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with ipcx.Pool.anonymous(block_size=8, blocks=200_000) as pool:
        with pytest.raises(ipcx.WouldBlock):
            while True:
                block = pool.acquire()
                tx.send_block(block, timeout=0)
        with pytest.raises(ipcx.Timeout):
            tx.send_block(block, timeout=0.01)
        block[0] = 5
        rx.recv_block(pool).release()
        tx.send_block(block)
        with pytest.raises(ValueError):
            block.release()


def test_what_a_killed_process_owned_comes_back(pool: ipcx.Pool) -> None:
    def work() -> object:
        theirs = ipcx.Pool.attach(pool.name)
        return [theirs.acquire() for _ in range(3)]

    killed(work)
    stats = pool.stats()
    assert stats.owned == 3 and "holders=[PoolHolder(" in repr(stats) and "alive=False, blocks=3)]" in repr(stats)
    holder = stats.holders[0]
    assert (holder.alive, holder.blocks) == (False, 3) and holder.process is not None
    assert pool.recover() == 3
    killed(work)
    blocks = [pool.acquire(timeout=10) for _ in range(4)]  # finds out by itself
    assert counts(pool) == (0, 4, 0)
    del blocks


def test_a_forked_child_attaches_anew(pool: ipcx.Pool) -> None:
    block = pool.acquire()

    def work() -> None:
        with pool.acquire():
            assert counts(pool) == (2, 2, 0)
        with pytest.raises(ipcx.Forked):
            block.release()

    in_child(work)
    assert counts(pool) == (3, 1, 0), "the parent's block is the parent's"
    block.release()


def test_a_pool_without_a_block_size_is_one_that_exists(name: str) -> None:
    with pytest.raises(ValueError, match="block_size"):
        ipcx.Pool.open(name)
    with ipcx.Pool.open(name, block_size=64) as pool, ipcx.Pool.open(name) as same:
        assert same.block_size == 64 and same.blocks == 64
        with same.acquire():
            assert counts(pool) == (63, 1, 0)
    ipcx.unlink(name)


def test_bad_options_are_refused(name: str) -> None:
    for block_size, blocks, alignment in ((-1, 0, 0), (64, -1, 0), (64, 0, -64)):
        with pytest.raises(ValueError, match="negative"):
            ipcx.Pool.create(name, block_size=block_size, blocks=blocks, alignment=alignment)
    with pytest.raises(ValueError, match="block_size"):
        ipcx.Pool.create(name, block_size=0)
    with pytest.raises(ipcx.NoSpace, match="bytes are needed"):
        ipcx.Pool.create(name, block_size=1 << 40, blocks=1000)
    with pytest.raises(FileNotFoundError):
        ipcx.Pool.attach(name)
    assert not os.path.exists(f"/dev/shm/ipcx.{name}")


def test_a_closed_pool_is_a_value_error_and_its_blocks_stay(pool: ipcx.Pool) -> None:
    theirs = ipcx.Pool.attach(pool.name, block_size=1000)
    block = theirs.acquire()
    theirs.close()
    assert theirs.closed and repr(theirs).endswith("closed>")
    with pytest.raises(ValueError, match="closed"):
        theirs.acquire()
    block[0] = 1
    assert counts(pool) == (3, 1, 0)
    block.release()
    assert counts(pool) == (4, 0, 0)


def test_blocks_can_be_in_system_v_memory(name: str) -> None:
    key = 0x69700000 ^ (os.getpid() & 0xFFF) << 4 | 9
    pool = ipcx.Pool.create(name, block_size=64, blocks=2, key=key)
    try:
        assert f" {key} " in open("/proc/sysvipc/shm").read().replace("\n", " ")
        with pool.acquire() as block:
            block[0] = 1
    finally:
        ipcx.unlink(name)
    pool.close()
    assert f" {key} " not in open("/proc/sysvipc/shm").read().replace("\n", " ")
    with pytest.raises(ValueError, match="key"):
        ipcx.Pool.create(name, block_size=64, key=0)


def test_what_takes_dlpack_shares_the_memory_and_keeps_the_block(pool: ipcx.Pool) -> None:
    block = pool.acquire()
    other = np.from_dlpack(block.as_array("u4"))
    other[:] = 7
    assert block[0:8] == b"\7\0\0\0" * 2 and np.shares_memory(other, block.as_array("u1"))
    with pytest.raises(BufferError):
        block.release()
    del block
    gc.collect()
    assert counts(pool) == (3, 1, 0) and (other == 7).all()
    del other
    gc.collect()
    assert counts(pool) == (4, 0, 0)


def test_dlpack_of_a_record_cannot_be_written(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    tx.send(bytes(range(16)))
    with rx.borrow() as record:
        there = np.from_dlpack(np.frombuffer(memoryview(record), "u1"))
        assert there.tolist() == list(range(16)) and not there.flags.writeable
        del there
