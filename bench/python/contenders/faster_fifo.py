"""faster-fifo, a queue for each direction: bytes without pickling, asleep while waiting; batches by put_many and get_many."""

from typing import Any

import faster_fifo

CAPACITY = 1 << 20


def make(label: str, blocks: bool) -> Any:
    return [faster_fifo.Queue(CAPACITY, loads=bytes, dumps=bytes) for _ in range(2)]


class Endpoint:
    """One end of each. Its calls give up after 10 seconds, which is longer than any round."""

    def __init__(self, shared: Any, is_near: bool) -> None:
        there, back = shared
        out, inward = (there, back) if is_near else (back, there)
        self.send, self.send_batch = out.put, out.put_many
        self.recv, self.get_many = inward.get, inward.get_many

    def recv_batch(self, most: int) -> Any:
        return self.get_many(max_messages_to_get=most)
