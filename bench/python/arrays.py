"""ipcx.mp.Queue beside multiprocessing.Queue: messages of 64 bytes, and arrays of 8 MB, in one interleaved run.

    python bench/python/arrays.py [ROUNDS]

One process puts and another gets; each is pinned to a processor of its own. The contenders alternate, A B B A; what is printed is the median of
the ratios within a round. Of each array the first and last number are written before it is put and checked where it is got: a pass
over 8 MB on both sides would be measured instead of the queue. The third row's arrays are made in shared memory (`empty_array`).
"""

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from ipcx import mp

MESSAGES, ARRAYS, SIZE = 20_000, 10, 1_000_000
AHEAD = 4  # arrays that are put and not yet got, at most


TABLE = [b"%064d" % number for number in range(MESSAGES)]
# multiprocessing pickles an array some time after it was put: none is used twice.
MADE = [numpy.full(SIZE, float(number)) for number in range(ARRAYS)]


def messages(queue: Any) -> Iterator[Any]:
    return iter(TABLE)


def arrays(queue: Any) -> Iterator[Any]:
    return iter(MADE)


def shared_arrays(queue: Any) -> Iterator[Any]:
    for number in range(ARRAYS):
        array = queue.empty_array(SIZE)
        array[0] = array[-1] = number
        yield array


def check_message(number: int, got: Any) -> bool:
    return bool(got == TABLE[number])


def check_array(number: int, got: Any) -> bool:
    return bool(len(got) == SIZE and got[0] == got[-1] == number)


def receive(queue: Any, back: Any, cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    while True:
        count, check, ahead = back.recv()
        for number in range(count):
            got = queue.get()
            if not check(number, got):
                raise ValueError("a message did not arrive as it was sent")
            del got
            if ahead:
                back.send_bytes(b"")
        back.send("done")


class Contender:
    def __init__(self, module: Any, cpu: int) -> None:
        context = module.get_context("fork")
        self.queue, (self.far, theirs) = context.Queue(), multiprocessing.Pipe()
        self.process = context.Process(target=receive, args=(self.queue, theirs, cpu), daemon=True)
        self.process.start()

    def round(self, make: Callable[[Any], Iterator[Any]]) -> float:
        """Seconds for a message or array."""
        small = make is messages
        count = MESSAGES if small else ARRAYS
        self.far.send((count, check_message if small else check_array, not small))
        start, there = time.perf_counter(), 0
        for number, obj in enumerate(make(self.queue)):
            self.queue.put(obj)
            while not small and number - there >= AHEAD:
                self.far.recv_bytes()
                there += 1
        for _ in range(0 if small else count - there):
            self.far.recv_bytes()
        assert self.far.recv() == "done"
        return (time.perf_counter() - start) / count


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    here, there = sorted(os.sched_getaffinity(0))[:2]
    ours, theirs = Contender(mp, there), Contender(multiprocessing, there)
    os.sched_setaffinity(0, {here})
    rows: list[tuple[str, Any, Any, str, float]] = [
        ("64-byte messages", messages, messages, "messages/s", 1),
        ("8 MB arrays, copied once", arrays, arrays, "GB/s", 8e6 / 1e9),
        ("8 MB arrays, made in shared memory", shared_arrays, arrays, "GB/s", 8e6 / 1e9),
    ]
    for name, of_ours, of_theirs, unit, factor in rows:
        both = (ours, of_ours), (theirs, of_theirs)
        times: dict[Contender, list[float]] = {ours: [], theirs: []}
        for contender, make in both:
            contender.round(make)
        for number in range(rounds):
            for contender, make in both if number % 2 else both[::-1]:
                times[contender].append(contender.round(make))
        ratio = statistics.median(b / a for a, b in zip(times[ours], times[theirs], strict=True))
        rate = [factor / statistics.median(times[one]) for one in (ours, theirs)]
        print(f"{name:36} ipcx.mp {rate[0]:12,.2f}  multiprocessing {rate[1]:10,.2f} {unit:11} ratio {ratio:6.1f}", flush=True)


if __name__ == "__main__":
    main()
