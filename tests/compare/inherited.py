"""Queues that have no name: processes inherit them from the one that made them, which is the driver."""

import functools
import multiprocessing
import os
from typing import Any

from adapter import LARGEST, READY, Log, loop

context = multiprocessing.get_context("fork")


class Endpoint:
    """Either side of a queue with `put` and `get`."""

    def __init__(self, queue: Any, role: str, log: Log) -> None:
        self.send = queue.put
        self.receive = queue.get


class PipeEndpoint:
    """Either side of a pipe. Both ends stay open in the driver, who hands them on to successors."""

    def __init__(self, pipe: Any, role: str, log: Log) -> None:
        reader, writer = pipe
        self.send = writer.send_bytes
        self.receive = reader.recv_bytes


class FifoEndpoint:
    """Either side of a faster-fifo, whose calls give up after 10 s unless told otherwise."""

    def __init__(self, queue: Any, role: str, log: Log) -> None:
        self.send = functools.partial(queue.put, timeout=3600)
        self.receive = functools.partial(queue.get, timeout=3600)


def fifo() -> Any:
    """A faster-fifo with the room that 64 of the largest records take."""
    import faster_fifo
    import faster_fifo_reduction  # noqa: F401

    return faster_fifo.Queue(64 * LARGEST)


# How to make one, and what its sides are.
QUEUES: dict[str, tuple[Any, Any]] = {
    "mp.Queue": (lambda: context.Queue(64), Endpoint),
    "mp.SimpleQueue": (context.SimpleQueue, Endpoint),
    "mp.Pipe": (lambda: context.Pipe(duplex=False), PipeEndpoint),
    "faster-fifo": (fifo, FifoEndpoint),
}


class Process:
    """One side of a queue in a process of its own, as subprocess.Popen has it."""

    def __init__(self, kind: str, queue: Any, role: str, log: str, errors: str) -> None:
        self.process = context.Process(target=run, args=(kind, queue, role, log, errors))
        self.process.start()
        self.pid = self.process.pid
        self.kill = self.process.kill

    def wait(self, timeout: float | None = None) -> None:
        """Until it is over."""
        self.process.join(timeout)

    def poll(self) -> int | None:
        """Its exit status, if it is over."""
        return self.process.exitcode


def run(kind: str, queue: Any, role: str, path: str, errors: str) -> None:
    """In the new process."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    log = Log(path)
    log.words[READY] = 1
    loop(role, log, QUEUES[kind][1](queue, role, log))
