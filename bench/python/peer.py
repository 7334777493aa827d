"""Contenders in Python: a worker of ipcx-bench that holds the near side and starts the far side itself.

    peer.py worker CONTENDER WORKLOAD both NEAR_CPU,FAR_CPU LABEL FDS

It speaks the line protocol described in ../src/worker.rs. The two sides are two processes, the second one forked by
`multiprocessing`: some queues can only be inherited. A contender is a module in `contenders` with

    make(label, blocks)         what both processes need, made before there are two
    Endpoint(shared, is_near)   one side, with the calls that its workloads use:
        send(message), recv()                     bytes
        send_batch(batch), recv_batch(most)       lists of bytes
        pack(messages), send_batch(pack), recv_packed(most)    records back to back in one object, with their boundaries
    remove(shared)              what would be left; where nothing would, there is no such function

The near side connects first. Sending and receiving wait until they are done.

Messages have numbers, and every byte is compared. In the check before timing each number has a payload of its own, made when
it is needed. In timed rounds payloads come from a table, since making one in Python takes longer than most queues need to
carry it, and each is that of its number modulo TABLE.
"""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import signal
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from typing import Any

SIZE, BATCH, TABLE = 64, 64, 1024
ROUND_LIMIT = 60  # seconds after which a round that hangs ends the worker
PR_SET_PDEATHSIG = 1
# The boundaries of as many messages back to back, as 64-bit integers.
BOUNDS = [struct.pack(f"={n + 1}Q", *range(0, (n + 1) * SIZE, SIZE)) for n in range(BATCH + 1)]
QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


def payload(number: int) -> bytes:
    """Message `number`, as in ../src/payload.rs."""
    words = ((number + 1 + index * 0x9E3779B97F4A7C15) % 2**64 for index in range(SIZE // 8))
    return struct.pack("=8Q", *words)


class Numbered:
    """The messages of the check."""

    @staticmethod
    def single(first: int, count: int) -> Iterable[bytes]:
        """One after the other."""
        return map(payload, range(first, first + count))

    @staticmethod
    def batches(pack: Any, first: int, count: int) -> Iterator[Any]:
        """The same in batches."""
        for at in range(first, first + count, BATCH):
            yield pack([payload(number) for number in range(at, at + BATCH)])

    @staticmethod
    def some(first: int, count: int) -> list[bytes]:
        """A few of them."""
        return [payload(number) for number in range(first, first + count)]

    @staticmethod
    def joined(first: int, count: int) -> bytes:
        """The same back to back."""
        return b"".join(Numbered.some(first, count))


class Tabled:
    """The messages of timed rounds."""

    def __init__(self, pack: Any) -> None:
        self.table = [payload(number) for number in range(TABLE)]
        self.twice = self.table * 2
        self.stream = b"".join(self.twice)
        self.packs = [pack(self.table[at : at + BATCH]) for at in range(0, TABLE, BATCH)] if pack else []

    def single(self, first: int, count: int) -> Iterable[bytes]:
        """One after the other."""
        at = first % TABLE
        return islice(cycle(self.table), at, at + count)

    def batches(self, _pack: Any, first: int, count: int) -> Iterable[Any]:
        """The same in batches, made before; rounds begin with whole ones."""
        at = first % TABLE // BATCH
        return islice(cycle(self.packs), at, at + count // BATCH)

    def some(self, first: int, count: int) -> list[bytes]:
        """A few of them."""
        at = first % TABLE
        return self.twice[at : at + count]

    def joined(self, first: int, count: int) -> bytes:
        """The same back to back."""
        at = first % TABLE * SIZE
        return self.stream[at : at + count * SIZE]


class Damaged(Exception):
    """A message was not what it should have been."""


class Loops:
    """What each side does in a round."""

    def __init__(self, endpoint: Any, is_near: bool, workload: str) -> None:
        self.endpoint, self.is_near, self.workload = endpoint, is_near, workload
        self.pack = getattr(endpoint, "pack", list) if workload.startswith("batch-") else None
        self.tabled = Tabled(self.pack)
        self.next = 0  # the next message's number

    def run(self, verb: str, count: int) -> tuple[int, int]:
        """Carries `count` messages; says from when until when, on the monotonic clock."""
        source: Any = Numbered if verb == "check" else self.tabled
        start = time.monotonic_ns()
        if self.pack:
            if self.is_near:
                self.send_batches(source.batches(self.pack, self.next, count))
            elif hasattr(self.endpoint, "recv_packed"):
                self.receive_packed(source, count)
            else:
                self.receive_batches(source, count)
        else:
            loops = (send, receive) if self.workload.startswith("one-way-") else (ping, pong)
            loops[not self.is_near](self.endpoint, source.single(self.next, count))
        self.next += count
        return start, time.monotonic_ns()

    def sample(self, count: int) -> tuple[int, ...]:
        """Round trips of the near side, each timed by itself: from when until when, and the percentiles."""
        times, start = [], time.monotonic_ns()
        before = start
        for message in self.tabled.single(self.next, count):
            ping(self.endpoint, (message,))
            after = time.monotonic_ns()
            times.append(after - before)
            before = after
        self.next += count
        times.sort()
        return start, before, *(times[int((count - 1) * quantile)] for quantile in QUANTILES)

    def send_batches(self, batches: Iterable[Any]) -> None:
        send_batch = self.endpoint.send_batch
        for batch in batches:
            send_batch(batch)

    def receive_batches(self, source: Any, count: int) -> None:
        recv_batch, at, end = self.endpoint.recv_batch, self.next, self.next + count
        while at < end:
            received = recv_batch(BATCH)
            n = len(received)
            if received != source.some(at, n):
                raise Damaged("a batch did not arrive as it was sent")
            at += n

    def receive_packed(self, source: Any, count: int) -> None:
        recv_packed, joined, at, end = self.endpoint.recv_packed, source.joined, self.next, self.next + count
        while at < end:
            data, offsets = recv_packed(BATCH)
            n = len(offsets) - 1
            if data != joined(at, n) or offsets.tobytes() != BOUNDS[n]:
                raise Damaged("a batch did not arrive as it was sent")
            at += n


def send(endpoint: Any, messages: Iterable[bytes]) -> None:
    send = endpoint.send
    for message in messages:
        send(message)


def receive(endpoint: Any, messages: Iterable[bytes]) -> None:
    recv = endpoint.recv
    for message in messages:
        if recv() != message:
            raise Damaged("a message did not arrive as it was sent")


def ping(endpoint: Any, messages: Iterable[bytes]) -> None:
    send, recv = endpoint.send, endpoint.recv
    for message in messages:
        send(message)
        if recv() != message:
            raise Damaged("an answer did not arrive as it was sent")


def pong(endpoint: Any, messages: Iterable[bytes]) -> None:
    send, recv = endpoint.send, endpoint.recv
    for message in messages:
        received = recv()
        if received != message:
            raise Damaged("a message did not arrive as it was sent")
        send(received)


def answer(*words: object) -> None:
    """To the coordinator."""
    print(*words, flush=True)


def far_side(contender: Any, shared: Any, workload: str, cpu: int, near: Any) -> None:
    """The second process; `near` is the connection to the first."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.sched_setaffinity(0, {cpu})
    try:
        near.recv()  # the near side is connected
        loops = Loops(contender.Endpoint(shared, False), False, workload)
        near.send("ready")
        while True:
            verb, count = near.recv()
            near.send("go")
            signal.alarm(ROUND_LIMIT)
            span = loops.run(verb, count)
            signal.alarm(0)
            near.send(span)
    except EOFError:
        pass  # the near side ended
    except Exception as error:
        answer("fail", f"far side: {type(error).__name__}: {error}")
        raise


def near_side(contender: Any, shared: Any, workload: str, cpu: int, far: Any) -> None:
    """The first process, which the coordinator talks to; `far` is the connection to the second."""
    os.sched_setaffinity(0, {cpu})
    loops = Loops(contender.Endpoint(shared, True), True, workload)
    far.send("connected")
    far.recv()
    answer("ready")
    for line in sys.stdin:
        verb, count = line.split()
        far.send((verb, int(count)))
        far.recv()
        signal.alarm(ROUND_LIMIT)
        start, end, *percentiles = loops.sample(int(count)) if verb == "sample" else loops.run(verb, int(count))
        signal.alarm(0)
        far_end = far.recv()[1]
        one_way = not percentiles and workload.startswith(("one-way-", "batch-"))
        answer("done", start, far_end if one_way else end, *percentiles)


def main() -> None:
    """Starts the far side and becomes the near side."""
    name, workload, _both, cpus, label = sys.argv[2:7]
    contender = importlib.import_module("contenders." + name.replace("-", "_"))
    near_cpu, far_cpu = map(int, cpus.split(","))
    shared = contender.make(label, workload.startswith("blocking-"))
    context = multiprocessing.get_context("fork")
    near, far = context.Pipe()
    process = context.Process(target=far_side, args=(contender, shared, workload, far_cpu, far), daemon=True)
    process.start()
    far.close()
    # The coordinator died, or lost patience.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        near_side(contender, shared, workload, near_cpu, near)
    except Exception as error:
        answer("fail", f"near side: {type(error).__name__}: {error}")
        raise
    finally:
        process.kill()
        process.join()
        getattr(contender, "remove", lambda _shared: None)(shared)


if __name__ == "__main__":
    main()
