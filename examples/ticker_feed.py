"""Publishes recorded prices on a topic, pass after pass over a file, and says how fast it was and whom it waits for.

    ticker_feed.py TOPIC FILE [--passes N] [--rate QUOTES] [--reliable]

FILE has a date and a price on each line, `2008-07-03,145.31`, after one line of names. So many quotes are published a second, those
of 5 ms together; 0 is as many as it can. A record without bytes says that it is over.
"""

import argparse
import csv
import struct
import time

import ipcx

QUOTE = struct.Struct("=Q12sIQ")  # number of the quote, date, price in cents, the number again
CAPACITY = 128 << 10
SUBSCRIBERS = 128  # a subscriber of a reliable topic takes two
TICK = 0.005  # seconds from one batch of quotes to the next
PATIENCE = 0.25  # seconds until it says for whom it waits


def publish(tx: ipcx.Publisher, topic: ipcx.Topic, quote: bytes) -> None:
    """Publishes a quote. In a reliable topic that waits for the slowest subscriber, and this says which that is."""
    waits = False
    while True:
        try:
            tx.publish(quote, timeout=PATIENCE)
            break
        except ipcx.Timeout:
            waits = True
            slowest = max(topic.stats().subscribers, key=lambda each: each.unread, default=None)
            if slowest and slowest.process:
                who = f"{slowest.process.command} (pid {slowest.process.pid})"
                print(f"waiting for {who}: {slowest.unread:,} bytes unread", flush=True)
    if waits:
        print("going on", flush=True)


def prices(file: str) -> list[tuple[bytes, int]]:
    """Dates and cents."""
    with open(file, newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    return [(date.encode(), round(float(price) * 100)) for date, price in rows]


def feed(tx: ipcx.Publisher, topic: ipcx.Topic, file: list[tuple[bytes, int]], passes: int, rate: int) -> None:
    """Publishes, and prints a line for each pass: when it began, how long that took, and of the processor, and how many quotes."""
    batch = max(1, round(rate * TICK)) if rate else len(file)
    number, due = 0, time.monotonic()
    for count in range(passes):
        began, used = time.monotonic(), time.process_time()
        for at in range(0, len(file), batch):
            for date, cents in file[at : at + batch]:
                publish(tx, topic, QUOTE.pack(number, date, cents, number))
                number += 1
            if rate:
                due = max(due + batch / rate, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
        took, used = time.monotonic() - began, time.process_time() - used
        print(f"pass {count + 1} began {began:.6f} took {took:.6f} used {used:.6f} quotes {len(file)}", flush=True)


def main() -> None:
    """Publishes all passes, and says that it is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("topic")
    parser.add_argument("file")
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--rate", type=int, default=4_000)
    parser.add_argument("--reliable", action="store_true")
    given = parser.parse_args()
    topic = ipcx.Topic.open(given.topic, capacity=CAPACITY, reliable=given.reliable, max_participants=SUBSCRIBERS)
    with topic, topic.publisher() as tx:
        feed(tx, topic, prices(given.file), given.passes, given.rate)
        publish(tx, topic, b"")


if __name__ == "__main__":
    main()
