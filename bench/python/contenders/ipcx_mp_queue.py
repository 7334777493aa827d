"""ipcx.mp.Queue, one for each direction, unbounded. A batch is put as one list."""

from typing import Any

from contenders.mp_queue import Endpoint
from ipcx import mp

__all__ = ["Endpoint", "make"]


def make(label: str, blocks: bool) -> Any:
    context = mp.get_context("fork")
    return context.Queue(), context.Queue()
