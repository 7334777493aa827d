"""Takes what was pushed to a work queue, does it, and acknowledges it: one of the consumers of the jobs example.

    jobs_work.py QUEUE

It says a line about each message: its process number, `take`, `ack` or `back`, how often the message was delivered, and the
message. It ends with the message `closing`. Killed at any moment, it loses nothing: what it had is taken by somebody else.
"""

import os
import sys
import time
from contextlib import suppress

import ipcx

WORK = 0.0005  # seconds that a booking costs


class NoSuchSeat(Exception):
    """The booking cannot be done."""


def work(message: str) -> None:
    """Does what the message says."""
    time.sleep(WORK)
    if message.rpartition(" ")[2] in ("0A", "0B", "0C", "0D"):
        raise NoSuchSeat(message)  # no coach has a row 0


def say(what: str, job: ipcx.Delivery) -> None:
    """A line in one piece: others write to the same pipe."""
    sys.stdout.write(f"{os.getpid()} {what} {job.deliveries} {job.data.decode()}\n")
    sys.stdout.flush()


def main() -> None:
    """Works until it is told that it is closing time."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: jobs_work.py QUEUE")
    jobs = ipcx.Queue.open(sys.argv[1], max_deliveries=3)
    message = ""
    while message != "closing":
        done = "back"
        with suppress(NoSuchSeat), jobs.take() as job:  # an emergency first; then what came back; then the oldest booking
            message = job.data.decode()
            say("take", job)
            work(message)  # what it raises puts the message back: it is taken again, or put aside
            done = "ack"  # the end of the block acknowledges it: now it is gone
        say(done, job)


if __name__ == "__main__":
    main()
