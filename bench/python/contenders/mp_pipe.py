"""multiprocessing.Pipe, one for each direction, of the kind that goes one way: bytes without pickling, asleep while waiting.

A batch is sent as one list.
"""

from multiprocessing import Pipe
from typing import Any


def make(label: str, blocks: bool) -> Any:
    return Pipe(duplex=False), Pipe(duplex=False)


class Endpoint:
    """The reader of one and the writer of the other."""

    def __init__(self, shared: Any, is_near: bool) -> None:
        there, back = shared
        (inward, _), (_, out) = (back, there) if is_near else (there, back)
        self.send, self.recv = out.send_bytes, inward.recv_bytes
        self.send_batch, self.receive = out.send, inward.recv

    def recv_batch(self, most: int) -> Any:
        return self.receive()
