"""ipcx: a ring, spinning, by send_packed and recv_packed: many records in one object."""

from array import array
from itertools import accumulate
from typing import Any

from contenders.ring_python import Endpoint as Single
from contenders.ring_python import make as make


class Endpoint(Single):
    """A batch is the records back to back, and their boundaries."""

    def __init__(self, shared: Any, is_near: bool) -> None:
        super().__init__(shared, is_near)
        self.send_batch = lambda pack: self.tx.send_packed(*pack)
        self.recv_packed = self.rx.recv_packed

    @staticmethod
    def pack(messages: list[bytes]) -> tuple[bytes, Any]:
        return b"".join(messages), array("Q", accumulate(map(len, messages), initial=0))
