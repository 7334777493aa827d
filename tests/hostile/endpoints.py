"""The exposed side in Python: `endpoints.c` says what it does, and does the same."""

from __future__ import annotations

import asyncio
import functools
import mmap
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import ipcx

T = TypeVar("T")
BEGAN, TIMEOUT, CALL, THREAD, RAN, WAITED, LONGEST, DONE, STOP, COUNTS = range(10)
WORDS = COUNTS + 6
PRODUCER, CONSUMER, HANDLE = range(3)
(
    NONE, ATTACH, STATS, TAKE_PRODUCER, TAKE_CONSUMER, SEND, SEND_MANY, RESERVE, COMMIT, SEND_FILE, RECV, RECV_MANY,
    BORROW, READ, BORROW_RAW, BORROW_MANY_RAW, PRODUCER_FD, CONSUMER_FD, CLOSE_PRODUCER, CLOSE_CONSUMER,
) = range(20)  # fmt: skip
EXPECTED = (
    ipcx.WouldBlock, ipcx.Timeout, ipcx.Closed, ipcx.PeerDead, ipcx.NotFound, ipcx.Busy, ipcx.Mismatch, ipcx.Corrupt,
    ipcx.TooBig, ipcx.NoSpace,
)  # fmt: skip


class Exposed:
    """Makes every call, and says what it is about."""

    def __init__(self) -> None:
        with open(os.environ["IPCX_TEST_TALLY"], "r+b") as file:
            self.words = memoryview(mmap.mmap(file.fileno(), WORDS * 8)).cast("Q")
        schedule = "/proc/thread-self/schedstat"
        self.schedule = os.open(schedule, os.O_RDONLY) if os.path.exists(schedule) else None
        self.zeros = os.open("/dev/zero", os.O_RDONLY)
        self.random = random.Random(os.environ["IPCX_TEST_CHILD"])
        self.patience = 0.0
        self.buffer = bytearray(1 << 20)

    def times(self) -> tuple[int, int]:
        """How long this thread ran, and waited for a processor; 0 where the kernel does not say."""
        if self.schedule is None:
            return 0, 0
        ran, waited, _ = os.pread(self.schedule, 80, 0).split()
        return int(ran), int(waited)

    def begin_turn(self) -> None:
        """Calls are made from here on."""
        self.words[THREAD] = threading.get_native_id()
        self.words[RAN], self.words[WAITED] = self.times()

    def end(self, who: int, failed: bool) -> None:
        """The call is over."""
        words = self.words
        beyond = max(0, time.monotonic_ns() - words[BEGAN] - words[TIMEOUT])
        if beyond > 2_000_000:
            beyond = max(0, beyond - (self.times()[1] - words[WAITED]))
        words[BEGAN] = 0
        words[LONGEST] = max(words[LONGEST], beyond)
        words[COUNTS + 2 * who + failed] += 1

    def call(self, who: int, call: int, work: Callable[[], T]) -> T | None:
        """One call: timed and counted; what cannot be expected of it ends the process."""
        self.words[CALL] = call
        self.words[TIMEOUT] = int(self.patience * 1e9)
        self.words[BEGAN] = time.monotonic_ns()
        try:
            value = work()
        except EXPECTED:
            self.end(who, True)
            return None
        self.end(who, False)
        return value

    def use_producer(self, tx: ipcx.Producer) -> None:
        """Everything that a producer can do."""
        patience = self.patience
        records = [b"one", b"and another of more than a word", bytes(600)]
        self.call(PRODUCER, SEND, lambda: tx.send(b"one", patience))
        sent = self.call(PRODUCER, SEND_MANY, lambda: tx.send_many(records, patience))
        assert sent is None or sent <= 3
        room = self.call(PRODUCER, RESERVE, lambda: tx.reserve(100, patience))
        if room is not None:
            room[:] = bytes(100)
            self.call(PRODUCER, COMMIT, functools.partial(room.commit, 70))
        everything = tx.max_len
        room = self.call(PRODUCER, RESERVE, lambda: tx.reserve(everything, patience))
        if room is not None:
            room[:] = bytes(everything)
            self.call(PRODUCER, COMMIT, room.abort)
        self.call(PRODUCER, SEND_FILE, lambda: tx.send_file(self.zeros, 40, patience))
        self.call(PRODUCER, SEND_MANY, lambda: tx.send_packed(b"onetwo", [0, 3, 6], patience))

    def use_consumer(self, rx: ipcx.Consumer, capacity: int) -> None:
        """Everything that a consumer can do."""
        patience, largest = self.patience, capacity - 16
        record = self.call(CONSUMER, BORROW, lambda: rx.borrow(patience))
        if record is not None:
            with memoryview(record) as view:
                assert len(bytes(view)) <= largest
            self.call(CONSUMER, READ, record.release)
        message = self.call(CONSUMER, RECV, lambda: rx.recv(patience))
        assert message is None or len(message) <= largest
        count = self.call(CONSUMER, RECV, lambda: rx.recv_into(self.buffer, patience))
        assert count is None or count <= largest
        messages = self.call(CONSUMER, RECV_MANY, lambda: rx.recv_many(5, patience))
        assert messages is None or all(len(message) <= largest for message in messages)
        packed = self.call(CONSUMER, RECV_MANY, lambda: rx.recv_packed(5, patience))
        assert packed is None or len(packed[0]) <= largest

    def use_loop(self, rx: ipcx.Consumer) -> None:
        """An event loop that waits for a record, and for no longer than it likes."""

        async def wait() -> None:
            try:
                await asyncio.wait_for(rx.arecv(), 0.002)
            except TimeoutError as timeout:
                raise ipcx.Timeout from timeout

        self.patience = 0.002
        self.call(CONSUMER, CONSUMER_FD, lambda: asyncio.run(wait()))

    def use_handle(self, ring: ipcx.Ring) -> None:
        """What a handle shows."""
        stats = self.call(HANDLE, STATS, ring.stats)
        if stats is not None:
            assert stats.used <= stats.capacity
            for process in (stats.producer_process, stats.consumer_process):
                assert process is None or len(process.command) <= 16

    @contextmanager
    def roles(self, ring: ipcx.Ring) -> Iterator[tuple[ipcx.Producer | None, ipcx.Consumer | None]]:
        """The roles, as far as they can be had."""
        tx = self.call(PRODUCER, TAKE_PRODUCER, ring.producer)
        rx = self.call(CONSUMER, TAKE_CONSUMER, ring.consumer)
        try:
            yield tx, rx
        finally:
            self.call(PRODUCER, CLOSE_PRODUCER, tx.close if tx else lambda: None)
            self.call(CONSUMER, CLOSE_CONSUMER, rx.close if rx else lambda: None)

    def take_roles(self, ring: ipcx.Ring) -> None:
        """Uses them for a while."""
        with self.roles(ring) as (tx, rx):
            watch = self.random.randrange(16)
            if tx and watch == 0:
                self.call(PRODUCER, PRODUCER_FD, tx.fileno)
            for _ in range(self.random.randrange(20)):
                self.begin_turn()
                self.patience = self.random.choice((0.0, 0.0, 50e-6, 2e-3))
                if tx:
                    self.use_producer(tx)
                if rx:
                    self.use_consumer(rx, ring.capacity)
                self.use_handle(ring)
            if rx and watch == 0:
                self.use_loop(rx)

    def run(self) -> None:
        """Until it is told to stop."""
        parent = os.getppid()
        while not self.words[STOP] and os.getppid() == parent:
            self.begin_turn()
            ring = self.call(HANDLE, ATTACH, lambda: ipcx.Ring.attach("prey"))
            if ring is not None:
                for _ in range(20):
                    self.take_roles(ring)
                ring.close()
            self.words[DONE] += 1


Exposed().run()
