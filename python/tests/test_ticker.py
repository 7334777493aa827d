"""The ticker example: nobody misses a quote without knowing, the feed says for whom it waits, and nothing is left."""

import os
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import until

import ipcx

ROOT = Path(__file__).parents[2]
QUOTE = struct.Struct("=Q12sIQ")


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Where segments are; empty after the test."""
    directory = tmp_path / "shm"
    directory.mkdir()
    yield directory
    assert list(directory.iterdir()) == []


def start(directory: Path, *options: object) -> "subprocess.Popen[str]":
    """The example, in a process group of its own."""
    command = [sys.executable, str(ROOT / "scripts/ticker"), *map(str, options)]
    environment = {**os.environ, "IPCX_DIR": str(directory)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


def assert_nobody_is_left(ticker: "subprocess.Popen[str]") -> None:
    with pytest.raises(ProcessLookupError):
        os.killpg(ticker.pid, 0)


def test_a_stopped_subscriber_holds_nobody_up_or_is_named(directory: Path) -> None:
    with start(directory, "--subscribers", 9, "--passes", 4, "--rate", 8000) as ticker:
        out, errors = ticker.communicate(timeout=120)
    assert (ticker.returncode, errors) == (0, "")
    assert_nobody_is_left(ticker)
    assert [line for line in out.splitlines() if len(line) > 80] == []
    assert "9 subscribers: 3 in C, 3 in Python, 3 in Rust" in out

    lossy, reliable = (dict(re.findall(r"^  (\S[\w ,]*?)  +(.*)$", part, re.MULTILINE)) for part in out.split("\nlossy")[1].split("\nreliable"))
    received, missed = (int(number.replace(",", "")) for number in re.findall(r"[\d,]+\d", lossy["the stopped one"]))
    assert received + missed == 4 * 2768 and missed > 0
    assert "(C, pid " in lossy["stopped"] and re.search(r"\d quotes/s while all ran, [\d,]+ while one was stopped", lossy["speed"])
    pid = re.search(r"pid (\d+)", reliable["stopped"])
    assert pid and reliable["the feed said"].startswith(f"waiting for ticker_watch (pid {pid[1]}): ")
    assert reliable["the other 8"] == "have every quote"


def test_every_option_says_what_it_does() -> None:
    help = subprocess.run([sys.executable, str(ROOT / "scripts/ticker"), "--help"], capture_output=True, text=True, check=True)
    for option in ("--subscribers N", "--passes N", "--rate QUOTES", "--file FILE"):
        assert re.search(rf"^  {option}\s+\S", help.stdout, re.MULTILINE), option


def test_a_feed_that_fails_leaves_nothing(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("date,dollars\n2008-07-03,145.31\n2008-07-04,closed\n")
    with start(directory, "--subscribers", 3, "--file", file) as ticker:
        _, errors = ticker.communicate(timeout=120)
    assert ticker.returncode == 1 and "(feed) ended early, with 1" in errors
    assert_nobody_is_left(ticker)


def test_one_that_is_terminated_leaves_nothing(directory: Path) -> None:
    with start(directory, "--subscribers", 3, "--passes", 1000) as ticker:
        until(lambda: bool(list(directory.glob("*/*"))), "a topic")
        ticker.send_signal(signal.SIGTERM)
        ticker.communicate(timeout=120)
    assert ticker.returncode == 128 + signal.SIGTERM
    assert_nobody_is_left(ticker)


@pytest.mark.parametrize(
    ("number", "again", "complaint"),
    [
        (2, 2, None),
        (2, 1, "quote 2 (1) came after 2, and 0 missed"),
        (3, 3, "quote 3 (3) came after 2, and 0 missed"),
        (1, 1, "quote 1 (1) came after 2, and 0 missed"),
    ],
)
def test_a_subscriber_notices_a_torn_or_a_lost_quote(tmp_path: Path, number: int, again: int, complaint: str | None) -> None:
    command = [sys.executable, str(ROOT / "examples/ticker_watch.py"), "prices"]
    environment = {**os.environ, "IPCX_DIR": str(tmp_path)}
    pipe = subprocess.PIPE
    with ipcx.Topic.create("prices", directory=tmp_path) as topic, topic.publisher() as tx:
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as watcher:
            assert watcher.stdout is not None and watcher.stdout.readline() == "watching\n"
            for quote in ((0, 14531, 0), (1, 4515, 1), (number, 9964, again)):
                tx.publish(QUOTE.pack(quote[0], b"2008-07-03", *quote[1:]))
            tx.publish(b"")
            out, errors = watcher.communicate(timeout=30)
    if complaint is None:
        assert (watcher.returncode, errors, out) == (0, "", "received 3 missed 0 cents 29010 low 4515 high 14531\n")
    else:
        assert watcher.returncode == 1 and complaint in errors and out == ""
