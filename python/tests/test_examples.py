"""The examples do what they say."""

import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import killed

import ipcx

EXAMPLES = Path(__file__).parents[2] / "examples"


def start(example: str, *arguments: object, directory: Path) -> "subprocess.Popen[str]":
    """Runs an example whose rings are in `directory`."""
    command = [sys.executable, str(EXAMPLES / example), *map(str, arguments)]
    environment = {**os.environ, "IPCX_DIR": str(directory)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("first", ["hello_send.py", "hello_recv.py"])
def test_hello(tmp_path: Path, first: str) -> None:
    with start("hello_recv.py", directory=tmp_path) as recv:
        with start("hello_send.py", directory=tmp_path) as send:
            pass
        out, _ = recv.communicate(timeout=30)
    assert (send.returncode, recv.returncode, out) == (0, 0, "hello from Python\n")
    assert list(tmp_path.iterdir()) == []


def piece(offset: int, data: bytes) -> bytes:
    """A record of the demo."""
    return struct.pack("<4Q", offset, time.monotonic_ns(), len(data), 0) + data


def test_the_demo_survives_a_killed_sender_and_drops_what_comes_twice(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    out = tmp_path / "out"
    rings = tmp_path / "rings"
    rings.mkdir()
    pieces = [(at, data[at : at + 65536]) for at in range(0, len(data), 65536)]

    def first_sender() -> ipcx.Producer:
        tx = ipcx.Ring.open("demo", directory=rings).producer()
        tx.send_many([piece(*each) for each in pieces[:3]])
        return tx

    with start("demo_consumer.py", "demo", out, directory=rings) as consumer:
        killed(first_sender)
        with ipcx.Ring.attach("demo", directory=rings).producer() as tx:
            tx.send_many([piece(*each) for each in pieces[2:]])
            tx.send(piece(len(data), b""))
        printed, _ = consumer.communicate(timeout=60)
    assert consumer.returncode == 0
    figures = json.loads(printed)
    assert out.read_bytes() == data
    assert figures["sha256"] == hashlib.sha256(data).hexdigest()
    assert (figures["bytes"], figures["records"], figures["duplicates"]) == (300_000, 5, 1)
    assert set(figures["latency_us"]) == {"p50", "p90", "p99", "max"}
    assert figures["gb_per_s"] > 0
