"""A peer for the tests, in Python. tests/src/bin/peer.rs says what it does, and does the same."""

from __future__ import annotations

import bisect
import itertools
import mmap
import os
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import ipcx

T = TypeVar("T")
MASK = (1 << 64) - 1
PERIOD = 256
OFFSETS = 4096
BATCH = 8
SPECIAL = (0, 1, 7, 8, 9, 63, 64, 65, 4087, 4088, 4095, 4096, 4097)
BEGUN, DONE, READY, STARTED, FIRST, PEER_DEAD = range(6)
OTHER_SIDE_DIED = 5


def fail(what: object) -> SystemExit:
    """What goes wrong ends the process with a message."""
    print(f"peer (Python): {what}", file=sys.stderr)
    return SystemExit(1)


class Random:
    """splitmix64."""

    def __init__(self, seed: int) -> None:
        self.state = seed & MASK

    def word(self) -> int:
        """The next number."""
        self.state = word = (self.state + 0x9E3779B97F4A7C15) & MASK
        word = ((word ^ word >> 30) * 0xBF58476D1CE4E5B9) & MASK
        word = ((word ^ word >> 27) * 0x94D049BB133111EB) & MASK
        return word ^ word >> 31


class Stream:
    """Numbered records."""

    def __init__(self, seed: int, largest: int) -> None:
        self.seed = seed
        self.largest = largest
        random = Random(seed)
        words = (largest + OFFSETS + 7) // 8
        self.table = b"".join(random.word().to_bytes(8, "little") for _ in range(words))
        random = Random(~seed)
        self.lens = [length for length in SPECIAL if length < largest] + [largest]
        while len(self.lens) < PERIOD:
            word = random.word()
            self.lens.append(min(word >> 8 & ((1 << word % 21) - 1), largest))
        self.positions = [0]
        for length in self.lens:
            self.positions.append(self.positions[-1] + 8 + (length + 7) // 8 * 8)

    def position(self, n: int) -> int:
        """Position of record n."""
        return n // PERIOD * self.positions[PERIOD] + self.positions[n % PERIOD]

    def number(self, position: int) -> int:
        """The record at a position."""
        periods, rest = divmod(position, self.positions[PERIOD])
        index = bisect.bisect_left(self.positions, rest)
        if self.positions[index] != rest:
            raise fail(f"no record begins at position {position}")
        return periods * PERIOD + index

    def record(self, n: int) -> bytes:
        """Contents of record n."""
        length = self.lens[n % PERIOD]
        offset = Random(self.seed + n).word() % OFFSETS
        if length < 16:
            return self.table[offset : offset + length]
        return n.to_bytes(8, "little") + self.table[offset + 8 : offset + length]

    def check(self, n: int, record: bytes | memoryview) -> None:
        """Ends the process if it is not record n."""
        expected = self.record(n)
        if record != expected:
            raise fail(f"record {n} of {len(expected)} bytes was expected; another of {len(record)} came")


class Peer:
    """One turn of sending or receiving."""

    def __init__(self, mode: str, count: int, stream: Stream, log: str | None) -> None:
        self.mode = mode
        self.count = count
        self.stream = stream
        self.words: memoryview | None = None
        if log is not None:
            with open(log, "r+b") as file:
                self.words = memoryview(mmap.mmap(file.fileno(), 64)).cast("Q")
        self.timeout = 0 if mode == "try" else None

    def set(self, word: int, value: int) -> None:
        """Says what the peer is about."""
        if self.words is not None:
            self.words[word] = value

    def start_at(self, first: int) -> None:
        """The role is taken."""
        self.set(FIRST, first)
        self.set(BEGUN, first)
        self.set(DONE, first)
        self.set(STARTED, 1)

    def until_done(self, call: Callable[[], T]) -> T:
        """Calls until it works: what only takes time is waited for."""
        while True:
            try:
                return call()
            except ipcx.WouldBlock:
                os.sched_yield()
            except ipcx.PeerDead:
                self.set(PEER_DEAD, time.monotonic_ns())
                if self.words is None:
                    print(time.monotonic_ns(), flush=True)
                    sys.exit(OTHER_SIDE_DIED)
                time.sleep(0.001)  # until it has a successor

    def batch(self, n: int) -> int:
        """Records of a call that begins with record n."""
        batch = BATCH if self.mode == "many" else 1
        return min(batch, self.count - n) if self.count else batch

    def send_from(self, tx: ipcx.Producer, n: int) -> int:
        """Sends from record n on, and says how many."""
        records = [self.stream.record(n + i) for i in range(self.batch(n))]
        if self.mode == "place":
            with self.until_done(lambda: tx.reserve(len(records[0]))) as view:
                view[:] = records[0]
                self.set(BEGUN, n + 1)
            return 1
        self.set(BEGUN, n + len(records))
        if self.mode == "many":
            return self.until_done(lambda: tx.send_many(records))
        self.until_done(lambda: tx.send(records[0], self.timeout))
        return 1

    def send(self, tx: ipcx.Producer) -> None:
        """Sends the stream."""
        n = self.stream.number(tx.position)
        self.start_at(n)
        while not self.count or n < self.count:
            n += self.send_from(tx, n)
            self.set(DONE, n)

    def receive_from(self, rx: ipcx.Consumer, n: int) -> int:
        """Receives from record n on, and says how many."""
        if self.mode == "place":
            with self.until_done(rx.borrow) as borrowed:
                with memoryview(borrowed) as view:
                    self.stream.check(n, view)
                self.set(BEGUN, n + 1)
            return 1
        self.set(BEGUN, n + self.batch(n))
        if self.mode == "many":
            records = self.until_done(lambda: rx.recv_many(self.batch(n)))
        else:
            records = [self.until_done(lambda: rx.recv(self.timeout))]
        for i, record in enumerate(records):
            self.stream.check(n + i, record)
        return len(records)

    def receive(self, rx: ipcx.Consumer) -> None:
        """Receives the stream."""
        n = self.stream.number(rx.position)
        self.start_at(n)
        while not self.count or n < self.count:
            n += self.receive_from(rx, n)
            self.set(DONE, n)
            if rx.position != self.stream.position(n):
                raise fail(f"record {n} is at position {rx.position}")
        try:
            self.until_done(rx.recv)
        except ipcx.Closed:
            return  # The end of the stream is seen as such.
        raise fail("a record behind the last")


def stream(verb: str, mode: str, ring: str, count: str, seed: str, largest: str, log: str | None = None) -> None:
    """Sends or receives."""
    peer = Peer(mode, int(count), Stream(int(seed), int(largest)), log)
    peer.set(READY, 1)
    with ipcx.Ring.attach(ring) as handle:
        if verb == "send":
            with handle.producer() as tx:
                peer.send(tx)
        else:
            with handle.consumer() as rx:
                peer.receive(rx)


def fork(ring: str) -> None:
    """The child outlives the parent, which the test kills; it ends with its input."""
    tx = ipcx.Ring.attach(ring).producer()
    tx.send(b"from the parent")
    if os.fork() == 0:
        try:
            tx.send(b"from the child", 0)
            print("sent", os.getpid(), flush=True)
        except ipcx.Forked:
            print("forked", os.getpid(), flush=True)
    sys.stdin.read()


def quiet(ring: str, count: str) -> None:
    """Sends and receives between calls of getppid."""
    calls = range(int(count))
    handle = ipcx.Ring.attach(ring)
    tx = handle.producer()
    record = bytes(64)
    tx.send(b"whatever is only done once", 0)
    os.getppid()
    for _ in calls:
        tx.send(record, 0)
    os.getppid()
    try:
        rx = handle.consumer()
    except ipcx.Busy:
        return  # the test has it
    received = bytearray(64)
    rx.recv_into(received, 0)
    os.getppid()
    for _ in calls:
        rx.recv_into(received, 0)
    os.getppid()


def create() -> None:
    """Creates for ever, and unlinks the one before."""
    for number in itertools.count():
        ipcx.Ring.create(f"made-{number}").close()
        if number:
            ipcx.unlink(f"made-{number - 1}")
        else:
            print("created", flush=True)


def message_of(number: int) -> bytes:
    """Its number and up to 49 bytes that depend on it."""
    return number.to_bytes(8, sys.byteorder) + bytes([number & 255]) * (number % 50)


def push(name: str, path: str, first: str) -> None:
    """Pushes numbers for ever. The first of a number's two bytes in the ledger says what is known of its push."""
    queue, ledger = ipcx.Queue.attach(name), os.open(path, os.O_RDWR)
    for number in itertools.count(int(first)):
        os.pwrite(ledger, b"b", 2 * number)
        queue.push(message_of(number), number % 4)
        os.pwrite(ledger, b"p", 2 * number)
        if number == int(first):
            print("at work", flush=True)


def work(name: str, path: str) -> None:
    """Works on what was pushed, up to the last. The second of a number's bytes says what is known of that."""
    queue, ledger, said = ipcx.Queue.attach(name), os.open(path, os.O_RDWR), False
    number = 0
    while number != MASK:
        with queue.take() as message:
            number = int.from_bytes(message.data[:8], sys.byteorder)
            if number == MASK:
                continue  # which acknowledges it
            if message.data != message_of(number):
                raise fail(f"message {number} is torn")
            if os.pread(ledger, 1, 2 * number + 1) == b"A":
                raise fail(f"message {number} was acknowledged before")
            if number % 11 == 0 and message.deliveries == 1:
                message.put_back()
                continue
            os.pwrite(ledger, b"t", 2 * number + 1)
        os.pwrite(ledger, b"A", 2 * number + 1)
        if not said:
            print("at work", flush=True)
            said = True


def main() -> None:
    """Does what the arguments say."""
    verbs: dict[str, Callable[..., None]] = {"fork": fork, "quiet": quiet, "create": create, "push": push, "work": work}
    verb, *arguments = sys.argv[1:]
    if verb in verbs:
        verbs[verb](*arguments)
    else:
        stream(verb, *arguments)


main()
