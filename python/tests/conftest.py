"""What the tests share: names that leave nothing behind, and ways to wait for a state instead of for a time."""

import asyncio
import importlib.util
import itertools
import os
import threading
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

import ipcx

PREFIX = f"pytest-{os.getpid()}-"
_numbers = itertools.count()


def new_name() -> str:
    """A name nobody else has."""
    return f"{PREFIX}{next(_numbers)}"


def segments() -> list[Path]:
    """Files of this run in shared memory, and its message queues."""
    return [file for place in ("/dev/shm", "/dev/mqueue") for file in Path(place).glob(f"ipcx.{PREFIX}*")]


@pytest.fixture
def name() -> Iterator[str]:
    """A free name; whatever has it after the test is removed."""
    name = new_name()
    yield name
    Path(f"/dev/shm/ipcx.{name}").unlink(missing_ok=True)


_T = TypeVar("_T")


class Run(Protocol):
    """What asyncio.run is."""

    def __call__(self, main: Coroutine[Any, Any, _T], /) -> _T: ...


def _loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind == "asyncio":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """asyncio.run, with a loop of each kind."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")

    def run(main: Coroutine[Any, Any, _T]) -> _T:
        with asyncio.Runner(loop_factory=lambda: _loop(request.param)) as runner:
            return runner.run(main)

    return run


@dataclass(frozen=True)
class Way:
    """A transport, and whether its ends have a name."""

    word: str
    named: bool
    name: str
    directory: Path

    def sender(self, **options: int) -> ipcx.Sender:
        return ipcx.Transport.sender(self.word, self.name, directory=self.directory, **options)

    def receiver(self, **options: int) -> ipcx.Receiver:
        return ipcx.Transport.receiver(self.word, self.name, directory=self.directory, **options)

    def open(self, **options: int) -> tuple[ipcx.Sender, ipcx.Receiver]:
        if not self.named:
            return ipcx.Transport.pair(self.word, **options)
        rx = self.receiver(**options)
        return self.sender(**options), rx

    @property
    def tells(self) -> bool:
        """True if an end is told that the other one went."""
        return self.word not in ("mqueue", "buffer")


WAYS = [
    (word, named)
    for word in ipcx.Transport.WORDS
    for named in (False, True)
    if (word, named) not in (("pipe", True), ("fifo", False))
]


def make_way(word: str, named: bool, directory: Path) -> Iterator[Way]:
    way = Way(word, named, new_name(), directory)
    yield way
    if named:
        with suppress(ipcx.NotFound):
            ipcx.Transport.unlink(word, way.name, directory)
        assert list(directory.iterdir()) == []


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{'named' if way[1] else 'nameless'}")
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """Each way of each transport, whose name is gone after the test."""
    word, named = request.param
    yield from make_way(word, named, tmp_path)


@pytest.fixture(params=[word for word, named in WAYS if not named])
def nameless(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """Each transport without a name."""
    yield from make_way(request.param, False, tmp_path)


@pytest.fixture(params=[word for word, named in WAYS if named])
def named(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Way]:
    """Each transport with a name, which is gone after the test."""
    yield from make_way(request.param, True, tmp_path)


@pytest.fixture(autouse=True, scope="session")
def nothing_left() -> Iterator[None]:
    """After all tests, no segment of theirs is left."""
    yield
    assert segments() == []


@pytest.fixture
def ring() -> Iterator[ipcx.Ring]:
    """A ring of one page, so that it is soon full."""
    with ipcx.Ring.anonymous(capacity=4096) as ring:
        yield ring


@pytest.fixture
def tx(ring: ipcx.Ring) -> ipcx.Producer:
    """The sending end of `ring`."""
    return ring.producer()


@pytest.fixture
def rx(ring: ipcx.Ring) -> ipcx.Consumer:
    """The receiving end of `ring`."""
    return ring.consumer()


def fill(tx: ipcx.Producer, record: bytes = b"x" * 64) -> int:
    """Sends until the ring is full, and says how often."""
    sent = 0
    while True:
        try:
            tx.send(record, 0)
        except BlockingIOError:
            return sent
        sent += 1


def until(condition: Callable[[], bool], what: str) -> None:
    """Lets other threads run until something is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"never {what}"
        os.sched_yield()


def until_in_use(endpoint: ipcx.Producer | ipcx.Consumer) -> None:
    """Waits until another thread is inside a call on the endpoint."""

    def in_use() -> bool:
        try:
            endpoint.position  # noqa: B018
        except ipcx.Busy:
            return True
        return False

    until(in_use, "in use")


class Thread(threading.Thread):
    """A thread whose result or exception is the join's."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.start()

    def run(self) -> None:
        try:
            self.result, self.error = self.work(), None
        except BaseException as error:
            self.error = error

    def value(self) -> Any:
        self.join(30)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


def in_child(work: Callable[[], object]) -> None:
    """Runs `work` in a forked child; its failure is the test's."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def killed(work: Callable[[], object]) -> None:
    """Runs `work` in a forked child, which is then killed with everything open."""
    child = os.fork()
    if child == 0:
        try:
            keep = work()
            os.kill(os.getpid(), 9)
            del keep
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
