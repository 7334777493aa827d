"""Watches the prices on a topic until the feed says that it is over, and sums up what it saw.

    ticker_watch.py TOPIC

A quote is 32 bytes: its number, a date, a price in cents, the number again. Numbers have no gaps but those that the subscriber knows
of: this ends with status 1 if a quote is torn, or comes where another one was due.
"""

import struct
import sys

import ipcx

QUOTE = struct.Struct("=Q12sIQ")


def watch(quotes: ipcx.Subscriber) -> str:
    """Sums up what came."""
    received, total, low, high, began = 0, 0, 0, 0, 0
    for message in quotes:
        if not message:  # it is over
            break
        number, _date, cents, again = QUOTE.unpack(message)
        if received == 0:
            began, low, high = number - quotes.missed, cents, cents
        if number != again or number != began + received + quotes.missed:
            raise SystemExit(f"ticker_watch: quote {number} ({again}) came after {received}, and {quotes.missed} missed")
        received += 1
        total += cents
        low, high = min(low, cents), max(high, cents)
    return f"received {received} missed {quotes.missed} cents {total} low {low} high {high}"


def main() -> None:
    """Says when it is ready, and what it saw."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: ticker_watch.py TOPIC")
    with ipcx.Topic.attach(sys.argv[1]).subscriber() as quotes:
        print("watching", flush=True)
        print(watch(quotes))


if __name__ == "__main__":
    main()
