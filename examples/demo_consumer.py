"""Writes a stream of records to a file and says how fast they came.

    demo_consumer.py RING OUT

Each record is a header (offset, time sent, length, checksum: 64-bit little-endian) and a piece of the file. If the
process that sends is killed, its successor may send a piece again: the offset tells. A record of length 0 ends it.
The result is one line of JSON on stdout.
"""

import hashlib
import json
import os
import struct
import sys
import time
from typing import Any

import ipcx

HEADER = struct.Struct("<4Q")
PATIENCE = 30.0  # seconds without a record


def borrow(rx: ipcx.Consumer) -> ipcx.Record:
    """The next record, also if it comes from a successor of a process that died."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return rx.borrow(max(0.0, deadline - time.monotonic()))
        except ipcx.PeerDead:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def receive(rx: ipcx.Consumer, out: int) -> dict[str, Any]:
    """Writes each piece once, and returns the figures."""
    seen: set[int] = set()
    duplicates = 0
    arrivals: list[int] = []
    latencies: list[float] = []
    while True:
        with borrow(rx) as record:
            now = time.monotonic_ns()
            offset, sent, length, _ = HEADER.unpack_from(record)
            if length == 0:
                break
            if offset in seen:
                duplicates += 1
                continue
            with memoryview(record) as whole, whole[HEADER.size :] as piece:
                if len(piece) != length or os.pwrite(out, piece, offset) != length:
                    raise SystemExit(f"demo_consumer: the piece at {offset} is not whole")
        seen.add(offset)
        arrivals.append(now)
        latencies.append((now - sent) / 1e3)
    os.ftruncate(out, offset)
    seconds = (arrivals[-1] - arrivals[0]) / 1e9 if arrivals else 0.0
    gaps = [later - earlier for earlier, later in zip(arrivals, arrivals[1:])]
    return {
        "bytes": offset,
        "records": len(arrivals),
        "duplicates": duplicates,
        "seconds": round(seconds, 6),
        "gb_per_s": round(offset / seconds / 1e9, 3) if seconds else 0.0,
        "latency_us": percentiles(latencies),
        "longest_gap_ms": round(max(gaps, default=0) / 1e6, 3),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """The middle, the slow tenth, the slow hundredth, and the slowest."""
    ranked = sorted(values) or [0.0]
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(ranked[min(len(ranked) - 1, int(part * len(ranked)))], 1) for name, part in at.items()}


def main() -> None:
    """Receives, hashes what is on disk, and prints."""
    if len(sys.argv) != 3:
        raise SystemExit("usage: demo_consumer.py RING OUT")
    out = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
    with ipcx.Ring.open(sys.argv[1]).consumer() as rx:
        figures = receive(rx, out)
    with open(out, "rb") as written:
        figures["sha256"] = hashlib.file_digest(written, "sha256").hexdigest()
    print(json.dumps(figures))


main()
