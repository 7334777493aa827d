"""What every adapter in Python shares; adapter.hpp says what it is, and is the same in C++."""

from __future__ import annotations

import mmap
import struct
import sys
import time
from typing import Any, Protocol

LARGEST = 1024
BEGUN, DONE, READY, STARTED, TOLD, TORN, TAKEN, LAST, FIRST, STOP, RUNS = range(11)
RUNS_AT = 16
LOG_BYTES = 8 << 20
PERIOD = 985  # of the lengths of records
ENOUGH = 1000  # failed calls one after the other, after which a receiver gives up


class Log:
    """Words in a file that is mapped; they stay when the process is killed."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), LOG_BYTES)
        self.words = memoryview(self.map).cast("Q")
        self.run = 0

    def told(self) -> None:
        """The queue said that the other side died."""
        if self.words[TOLD] == 0:
            self.words[TOLD] = time.monotonic_ns()

    def received(self, n: int, position: int) -> None:
        """Record n, which adds to a run of numbers or begins one."""
        words = self.words
        if self.run and words[self.run + 1] == n:
            words[self.run + 1] = n + 1
        else:
            self.run = RUNS_AT + 3 * words[RUNS]
            words[self.run], words[self.run + 1], words[self.run + 2] = n, n + 1, position
            words[RUNS] += 1
        words[LAST] = n + 1


class Records:
    """Record n: its number, then bytes that follow from it."""

    def __init__(self) -> None:
        x, table = 1, bytearray()
        for _ in range(8192):
            x = (x * 1103515245 + 12345) % 2**32
            table.append(x >> 24)
        self.table = bytes(table)

    def record(self, n: int) -> bytes:
        """Its bytes."""
        at = n * 61 % 4096
        return n.to_bytes(8, "little") + self.table[at : at + length(n) - 8]

    def check(self, record: bytes) -> int:
        """Its number, or -1 if the bytes are not those of a whole record."""
        if len(record) < 16:
            return -1
        (n,) = struct.unpack_from("<Q", record)
        return n if n < 2**40 and record == self.record(n) else -1


def length(n: int) -> int:
    """Of record n."""
    return 16 + n * 37 % PERIOD


class Endpoint(Protocol):
    """What an adapter is to the loops."""

    def send(self, record: bytes) -> object:
        """Returns when the library says that it is sent."""

    def receive(self) -> Any:
        """The next record."""


def loop(role: str, log: Log, endpoint: Endpoint) -> None:
    """Sends until it is told to stop, or receives for ever."""
    words, records = log.words, Records()
    words[STARTED] = 1
    if role == "send":
        n = words[FIRST]
        while not words[STOP]:
            record = records.record(n)
            n += 1
            words[BEGUN] = n
            endpoint.send(record)
            words[DONE] = n
        return
    calls = failed = 0
    while failed < ENOUGH:
        calls += 1
        words[BEGUN] = calls
        try:
            received = endpoint.receive()
        except Exception as error:  # whatever a library raises when it reads what a dead process left
            print(f"receive: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            words[TORN] += 1
            failed += 1
            continue
        failed = 0
        words[DONE] = calls
        n = records.check(received if isinstance(received, bytes) else b"")
        if n >= 0:
            words[TAKEN] = n + 1
            log.received(n, getattr(endpoint, "position", 0))
        else:
            words[TORN] += 1
        processed = getattr(endpoint, "processed", None)
        if processed:
            processed()
    raise SystemExit(f"{ENOUGH} calls failed one after the other")


def main(make: Any, remove: Any, attach: Any) -> None:
    """Command line: make|remove NAME, send|recv NAME LOG."""
    verb, name = sys.argv[1:3]
    if verb == "make":
        make(name)
    elif verb == "remove":
        remove(name)
    else:
        log = Log(sys.argv[3])
        log.words[READY] = 1
        loop(verb, log, attach(name, verb, log))
