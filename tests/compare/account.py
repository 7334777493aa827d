"""What is missing from a record of what was received, and what is in it twice.

A run is three numbers: the first record, the one behind the last, and where the first lay in the stream (0 where the
queue does not say).
"""

from __future__ import annotations

from adapter import PERIOD, length

Range = tuple[int, int]
Run = tuple[int, int, int]
STEPS = [8 + (length(n) + 7) // 8 * 8 for n in range(PERIOD)]  # of ipcx, from one position to the next


def gaps(runs: list[Run], end: int) -> list[Range]:
    """Numbers below `end` that are in no run."""
    found, next_ = [], 0
    for begin, stop, _ in sorted(runs):
        if next_ < min(begin, end):
            found.append((next_, min(begin, end)))
        next_ = max(next_, stop)
    return found + ([(next_, end)] if next_ < end else [])


def without(ranges: list[Range], excused: list[Range]) -> list[Range]:
    """Ranges less other ranges."""
    for begin, end in excused:
        ranges = [
            part
            for first, last in ranges
            for part in ((first, min(last, begin)), (max(first, end), last))
            if part[0] < part[1]
        ]
    return ranges


def total(ranges: list[Range]) -> int:
    """How many numbers."""
    return sum(end - begin for begin, end in ranges)


def position(run: Run, n: int) -> int:
    """Of record n of a run, where records have positions."""
    begin, _, at = run
    whole, rest = divmod(n - begin, PERIOD)
    return at + whole * sum(STEPS) + sum(STEPS[(begin + i) % PERIOD] for i in range(rest))


def repeats(runs: list[Run]) -> tuple[int, int]:
    """Records that came again at the position of before, and records that came again otherwise."""
    again = repeated = 0
    reach: Run = (0, 0, 0)  # the run that goes furthest so far
    for run in sorted(runs):
        both = min(run[1], reach[1]) - run[0]
        if both > 0:
            repeated += both
            again += both if run[2] and position(reach, run[0]) == run[2] else 0
        if run[1] > reach[1]:
            reach = run
    return again, repeated - again
