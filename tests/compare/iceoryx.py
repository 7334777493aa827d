"""iceoryx2, publish-subscribe, by its Python package: polled, without overflow, the record held while it is checked.

A publisher that finds nobody to take a sample tries again, so that it is a queue. Whoever finds nothing to do for
100 ms looks for dead nodes and cleans up after them, as the manual says; a new node does so by itself.
"""

import ctypes
import os
import shutil
import time

import iceoryx2 as iox2
from adapter import LARGEST, Log, main

PATIENCE = 0.1


class Sample(ctypes.Structure):
    """One record."""

    _fields_ = [("length", ctypes.c_uint64), ("data", ctypes.c_uint8 * LARGEST)]

    @staticmethod
    def type_name() -> str:
        """By which both sides know it."""
        return "Sample"


class Endpoint:
    """A node with one port."""

    def __init__(self, name: str, role: str, log: Log) -> None:
        self.log = log
        iox2.set_log_level(iox2.LogLevel.Fatal)
        config = iox2.config.default()
        config.global_cfg.root_path = iox2.Path.new(name)
        config.global_cfg.prefix = iox2.FileName.new(os.path.basename(name) + "-")
        self.node = iox2.NodeBuilder.new().config(config).create(iox2.ServiceType.Ipc)
        service = self.node.service_builder(iox2.ServiceName.new("records")).publish_subscribe(Sample)
        service = service.enable_safe_overflow(False).subscriber_max_buffer_size(64).open_or_create()
        if role == "send":
            strategy = iox2.BackpressureStrategy.DiscardData  # `send` says how many took it
            self.port = service.publisher_builder().backpressure_strategy(strategy).create()
        else:
            self.port = service.subscriber_builder().buffer_size(64).create()
        self.looked = time.monotonic()

    def idle(self) -> None:
        """Nothing to do."""
        time.sleep(0)
        if time.monotonic() - self.looked > PATIENCE:
            self.look()

    def look(self) -> None:
        """For dead nodes."""
        if self.node.try_cleanup_dead_nodes().cleanups > 0:
            self.log.told()
        self.looked = time.monotonic()

    def send(self, record: bytes) -> None:
        sample = Sample(len(record))
        ctypes.memmove(sample.data, record, len(record))
        while self.port.send_copy(sample) == 0:
            self.idle()
        self.looked = time.monotonic()

    def receive(self) -> bytes:
        while (sample := self.port.receive()) is None:
            self.idle()
        self.looked = time.monotonic()
        self.sample = sample
        payload = sample.payload().contents
        return ctypes.string_at(payload.data, min(payload.length, LARGEST))

    def processed(self) -> None:
        del self.sample


def remove(name: str) -> None:
    """Its folder, and what has its name in shared memory."""
    shutil.rmtree(name, ignore_errors=True)
    for file in os.listdir("/dev/shm"):
        if file.startswith(os.path.basename(name) + "-"):
            os.unlink(f"/dev/shm/{file}")


if __name__ == "__main__":
    main(os.mkdir, remove, Endpoint)
