"""iceoryx2's Python package: publish-subscribe, polled; bytes are copied into a loaned sample and out of the received one.

Nothing is dropped: no overflow, and a full subscriber makes the publisher retry. What its files are called and where they
lie is as in ../../src/adapters/iceoryx2.rs.
"""

import ctypes
import os
import shutil
import tempfile
from typing import Any

import iceoryx2 as iox2

SIZE = 64
DEPTH = (1 << 20) // SIZE  # as many bytes as others have


class Message(ctypes.Structure):
    """One message."""

    _fields_ = [("data", ctypes.c_uint8 * SIZE)]


def make(label: str, blocks: bool) -> Any:
    folder = os.path.join(tempfile.gettempdir(), label)
    os.mkdir(folder)
    return folder, f"{label}-"


def remove(shared: Any) -> None:
    """Its folder, and what has its prefix in shared memory."""
    folder, prefix = shared
    shutil.rmtree(folder, ignore_errors=True)
    for file in os.listdir("/dev/shm"):
        if file.startswith(prefix):
            os.unlink(f"/dev/shm/{file}")


class Endpoint:
    """A publisher for one direction and a subscriber for the other."""

    def __init__(self, shared: Any, is_near: bool) -> None:
        folder, prefix = shared
        iox2.set_log_level(iox2.LogLevel.Fatal)
        config = iox2.config.default()
        config.global_cfg.root_path = iox2.Path.new(folder)
        config.global_cfg.prefix = iox2.FileName.new(prefix)
        builder = iox2.NodeBuilder.new().config(config).signal_handling_mode(iox2.SignalHandlingMode.Disabled)
        self.node = builder.create(iox2.ServiceType.Ipc)
        there, back = self.service("there"), self.service("back")
        out, inward = (there, back) if is_near else (back, there)
        strategy = iox2.BackpressureStrategy.RetryUntilDelivered
        self.loan = out.publisher_builder().backpressure_strategy(strategy).create().loan_uninit
        self.receive = inward.subscriber_builder().buffer_size(DEPTH).create().receive

    def service(self, name: str) -> Any:
        builder = self.node.service_builder(iox2.ServiceName.new(name)).publish_subscribe(Message)
        builder = builder.enable_safe_overflow(False).subscriber_max_buffer_size(DEPTH).history_size(0)
        return builder.max_publishers(1).max_subscribers(1).open_or_create()

    def send(self, message: bytes, copy: Any = ctypes.memmove) -> None:
        sample = self.loan()
        copy(sample.payload_ptr, message, SIZE)
        sample.assume_init().send()

    def recv(self, copy: Any = ctypes.string_at) -> bytes:
        receive = self.receive
        while (sample := receive()) is None:
            pass
        return copy(sample.payload_ptr, SIZE)  # type: ignore[no-any-return]
