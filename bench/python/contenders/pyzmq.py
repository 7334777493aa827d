"""pyzmq: a PAIR of sockets over ipc://, asleep while waiting; a batch is a message of many parts.

The high-water marks are as many messages as the others have room for, and nothing is dropped.
"""

from typing import Any

import zmq

CAPACITY = (1 << 20) // 64


def make(label: str, blocks: bool) -> Any:
    return f"ipc://@{label}"  # a name without a file


class Endpoint:
    """One of the two sockets; the library's own thread has this side's core too."""

    def __init__(self, shared: Any, is_near: bool) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.PAIR)
        self.socket.hwm = CAPACITY
        self.socket.linger = 0
        (self.socket.bind if is_near else self.socket.connect)(shared)
        self.send, self.recv = self.socket.send, self.socket.recv
        self.send_batch, self.recv_parts = self.socket.send_multipart, self.socket.recv_multipart

    def recv_batch(self, most: int) -> Any:
        return self.recv_parts()
