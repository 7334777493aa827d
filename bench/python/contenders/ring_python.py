"""ipcx: two rings, one per direction. Spinning unless the workload is a blocking one; batches by send_many and recv_many."""

from typing import Any

import ipcx

CAPACITY = 1 << 20


def make(label: str, blocks: bool) -> Any:
    """The names of the rings there and back, and how to wait."""
    return [f"{label}-there", f"{label}-back"], "block" if blocks else "spin"


def rings(shared: Any, is_near: bool) -> list[ipcx.Ring]:
    """The near side makes both; the far side attaches and removes the names, which nobody needs then."""
    names, wait = shared
    if is_near:
        return [ipcx.Ring.create(name, capacity=CAPACITY, wait=wait) for name in names]
    attached = [ipcx.Ring.attach(name) for name in names]
    for name in names:
        ipcx.unlink(name)
    return attached


class Endpoint:
    """The producer of one ring and the consumer of the other."""

    def __init__(self, shared: Any, is_near: bool) -> None:
        there, back = rings(shared, is_near)
        self.tx = (there if is_near else back).producer()
        self.rx = (back if is_near else there).consumer()
        self.send, self.recv = self.tx.send, self.rx.recv
        self.send_batch: Any = self.tx.send_many
        self.recv_batch = self.rx.recv_many
