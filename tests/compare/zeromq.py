"""ZeroMQ: PUSH and PULL over ipc://. The receiver binds, the sender connects and is connected again by the library.

ZMQ_IMMEDIATE, as the manual advises where messages must not pile up for a peer that is not there. A socket monitor
says when a connection goes.
"""

import os

import zmq
from adapter import Log, main
from zmq.utils.monitor import recv_monitor_message


class Endpoint:
    """A socket and its monitor."""

    def __init__(self, name: str, role: str, log: Log) -> None:
        self.log = log
        self.socket = zmq.Context.instance().socket(zmq.PUSH if role == "send" else zmq.PULL)
        self.monitor = self.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.socket.immediate = True
        self.socket.hwm = 64
        self.poller = zmq.Poller()
        self.poller.register(self.monitor, zmq.POLLIN)
        if role == "send":
            self.socket.connect(f"ipc://{name}")
            self.poller.register(self.socket, zmq.POLLOUT)
        else:
            self.socket.bind(f"ipc://{name}")
            self.poller.register(self.socket, zmq.POLLIN)

    def wait(self) -> None:
        """Until the socket can do its work."""
        while True:
            ready = dict(self.poller.poll())
            if self.monitor in ready:
                recv_monitor_message(self.monitor)
                self.log.told()
            if self.socket in ready:
                return

    def send(self, record: bytes) -> None:
        self.wait()
        self.socket.send(record)

    def receive(self) -> bytes:
        self.wait()
        return self.socket.recv()


def remove(name: str) -> None:
    """The socket's file."""
    if os.path.exists(name):
        os.unlink(name)


if __name__ == "__main__":
    main(lambda name: None, remove, Endpoint)
