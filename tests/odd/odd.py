"""What the tests of odd hosts have Python processes do. main.rs lists it; odd.c and bin/odd.rs do the same."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import ipcx


def fail(what: object) -> SystemExit:
    """What goes wrong ends the process with a message."""
    print(f"odd (Python): {what}", file=sys.stderr)
    return SystemExit(1)


def producer_of(name: str) -> ipcx.Producer:
    """A producer that has sent its first record."""
    tx = ipcx.Ring.attach(name).producer()
    tx.send(b"held", 0)
    return tx


def timeouts(verb: str, name: str, milliseconds: str, count: str) -> None:
    """Waits with a timeout, again and again, and says how long it took."""
    ring = ipcx.Ring.attach(name)
    full, timeout = bytes(1000), int(milliseconds) / 1000
    wait: Callable[[], object]
    if verb == "send":
        tx = ring.producer()
        try:
            while True:
                tx.send(full, 0)
        except ipcx.WouldBlock:
            wait = lambda: tx.send(full, timeout)  # noqa: E731
    else:
        rx = ring.consumer()
        wait = lambda: rx.recv(timeout)  # noqa: E731
    for _ in range(int(count)):
        begin = time.monotonic_ns()
        try:
            wait()
            raise fail("it did not wait")
        except ipcx.Timeout:
            print("after", time.monotonic_ns() - begin, flush=True)


def hold(name: str) -> None:
    """Until it is killed."""
    _tx = producer_of(name)
    signal.pause()


def spawn(name: str) -> None:
    """A child that is not ipcx's any more; it ends with the input."""
    _tx = producer_of(name)
    child = subprocess.Popen(["cat"], close_fds=False)
    print("spawned", child.pid, flush=True)
    signal.pause()


def become_another_program(name: str) -> None:
    """The same process, another program."""
    _tx = producer_of(name)
    os.execlp("cat", "cat")


def fork(own: str, other: str) -> None:
    """The child has the endpoint refused, and the role that the handle asks for anew; it closes them, attaches elsewhere, and exits;
    the parent goes on."""
    ring = ipcx.Ring.attach(own)
    tx = ring.producer()
    tx.send(b"before", 0)
    if os.fork() == 0:
        try:
            tx.send(b"stolen", 0)
            raise fail("an inherited endpoint works")
        except ipcx.Forked:
            pass
        try:
            ring.producer()
            raise fail("the parent's role is free")
        except ipcx.Busy:
            pass
        tx.close()
        ring.close()
        try:
            ipcx.Ring.attach(own).producer()
            raise fail("the parent's role is free")
        except ipcx.Busy:
            pass
        with ipcx.Ring.attach(other).producer() as child_tx:
            child_tx.send(b"from the child", 0)
        sys.exit(0)
    if os.wait()[1] != 0:
        raise fail("the child")
    with tx:
        tx.send(b"after", 0)


def limit() -> None:
    """Beyond the limit on files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it
    creators: list[Callable[[], object]] = [lambda: ipcx.Ring.create("large"), ipcx.Ring.anonymous]
    for create in creators:
        try:
            create()
            raise fail("a ring beyond the limit")
        except ipcx.NoSpace as error:
            print(error)


VERBS: dict[str, Callable[..., None]] = {
    "timeouts": timeouts,
    "hold": hold,
    "spawn": spawn,
    "exec": become_another_program,
    "fork": fork,
    "limit": limit,
}
VERBS[sys.argv[1]](*sys.argv[2:])
