"""A server or a client for the tests of services, in Python. tests/src/bin/service.rs says what it does, and does the same."""

from __future__ import annotations

import os
import sys
import time

import ipcx

LANGUAGE = 3 << 4
AT_ONCE = 4
LIMIT = 30.0
ANSWERED, REFUSED, DIED, CLOSED = range(1, 5)
INVERTED = bytes(255 - byte for byte in range(256))


def request_of(number: int) -> bytes:
    """Contents of a request."""
    return number.to_bytes(8, "little") + bytes((number + at) & 255 for at in range(number % 900))


def reply_to(number: int) -> bytes:
    """Contents of its reply."""
    request = request_of(number)
    return request[:8] + request[8:].translate(INVERTED)


class Peer:
    """One of the two, with the ledger."""

    def __init__(self, ledger: int) -> None:
        self.ledger = ledger

    def carry_out(self, request: ipcx.Request) -> int:
        """The number of a request that was taken."""
        number = int.from_bytes(request.data[:8], "little")
        assert request.data == request_of(number), number
        (byte,) = os.pread(self.ledger, 1, number * 2)
        os.pwrite(self.ledger, bytes([((byte & 15) + 1) | LANGUAGE]), number * 2)
        return number

    def answer(self, request: ipcx.Request, number: int) -> None:
        """Answers or refuses it."""
        if number % 11 == 0:
            time.sleep(0.001)
        if number % 7 == 0:
            request.refuse(f"refused {number}")
        else:
            request.reply(reply_to(number))

    def serve(self, server: ipcx.Server) -> None:
        """Serves until it is killed."""
        for request in server:
            number = self.carry_out(request)
            if number % 5 == 0:
                try:
                    other = server.recv(0)
                except ipcx.WouldBlock:
                    pass
                else:
                    self.answer(other, self.carry_out(other))
            self.answer(request, number)

    def end(self, number: int, how: int) -> None:
        """Says how a request ended."""
        os.pwrite(self.ledger, bytes([how]), number * 2 + 1)

    def ended_by(self, number: int, error: ipcx.Error) -> None:
        """The same of one without a reply."""
        if isinstance(error, ipcx.RemoteError):
            assert error.text == f"refused {number}" and number % 7 == 0, error
            self.end(number, REFUSED)
        else:
            self.end(number, DIED if isinstance(error, ipcx.PeerDead) else CLOSED)

    def ended_well(self, number: int, reply: bytes) -> None:
        """The same of one with a reply."""
        assert reply == reply_to(number), number
        self.end(number, ANSWERED)

    def ask_together(self, client: ipcx.Client, first: int) -> None:
        """Several requests at once."""
        sent = {client.send(request_of(number)): number for number in range(first, first + AT_ONCE)}
        for _ in range(AT_ONCE):
            try:
                id, reply = client.recv(LIMIT)
                self.ended_well(sent[id], reply)
            except (ipcx.RemoteError, ipcx.PeerDead, ipcx.Closed) as error:
                assert error.request is not None
                self.ended_by(sent[error.request], error)

    def ask(self, client: ipcx.Client, first: int, count: int) -> None:
        """Asks with so many numbers."""
        for at in range(first, first + count, AT_ONCE):
            if at // AT_ONCE % 2 == 0:
                self.ask_together(client, at)
                continue
            for number in range(at, at + AT_ONCE):
                try:
                    self.ended_well(number, client.call(request_of(number), LIMIT))
                except (ipcx.RemoteError, ipcx.PeerDead, ipcx.Closed) as error:
                    self.ended_by(number, error)


def main() -> None:
    """Does what the command line says."""
    what, name, ledger = sys.argv[1:4]
    peer = Peer(os.open(ledger, os.O_RDWR))
    with ipcx.Service.attach(name) as service:
        if what == "serve":
            peer.serve(service.server())
        else:
            peer.ask(service.client(), int(sys.argv[4]), int(sys.argv[5]))


main()
