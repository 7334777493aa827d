"""Pushes seat bookings to a work queue: one of the producers of the jobs example.

    jobs_push.py QUEUE COUNT

Every fortieth is of row 0, which no coach has: whoever takes it puts it back, until it is put aside.
"""

import sys

import ipcx

ROWS = 40


def main() -> None:
    """Once a push returned, the booking is in the queue, whatever becomes of this process."""
    if len(sys.argv) != 3:
        raise SystemExit("usage: jobs_push.py QUEUE COUNT")
    with ipcx.Queue.open(sys.argv[1], max_deliveries=3) as jobs:
        for number in range(int(sys.argv[2])):
            jobs.push(f"Python {number} {number % ROWS}{'ABCD'[number % 4]}".encode())  # waits while the queue is full


if __name__ == "__main__":
    main()
