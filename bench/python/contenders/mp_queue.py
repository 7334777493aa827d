"""multiprocessing.Queue, one for each direction, unbounded: it has no other way of waiting than to sleep.

A batch is put as one list.
"""

from multiprocessing import get_context
from typing import Any


def make(label: str, blocks: bool) -> Any:
    context = get_context("fork")
    return context.Queue(), context.Queue()


class Endpoint:
    """One end of each."""

    def __init__(self, shared: Any, is_near: bool) -> None:
        there, back = shared
        out, inward = (there, back) if is_near else (back, there)
        self.send = self.send_batch = out.put
        self.recv = inward.get

    def recv_batch(self, most: int) -> Any:
        return self.recv()
