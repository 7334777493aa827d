"""The ring of ipcx, through its Python package."""

import time

import ipcx
from adapter import Log, main


class Endpoint:
    """A role of the ring."""

    def __init__(self, name: str, role: str, log: Log) -> None:
        self.log = log
        ring = ipcx.Ring.open(name)
        self.end = ring.producer() if role == "send" else ring.consumer()
        self.position = 0

    def again(self, call):
        """Makes a call until it works: once the successor of a dead peer came."""
        while True:
            try:
                return call()
            except ipcx.PeerDead:
                self.log.told()
            except ipcx.Closed:
                pass
            time.sleep(0.001)

    def send(self, record: bytes) -> None:
        self.again(lambda: self.end.send(record))

    def receive(self) -> bytes:
        self.borrowed = self.again(self.end.borrow)
        self.position = self.end.position
        return bytes(self.borrowed)

    def processed(self) -> None:
        self.borrowed.release()


if __name__ == "__main__":
    main(lambda name: ipcx.Ring.create(name, capacity=64 << 10), ipcx.unlink, Endpoint)
