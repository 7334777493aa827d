"""Kills one side of a queue again and again, with SIGKILL, and looks what becomes of the other side and of the records.

    driver.py RIVAL send|recv [--kills N] [--seed N] [--under COMMAND --label TEXT] [--look]

One side is the victim, the other survives. A victim is killed after a random delay: three times of four once records
moved through it, else while it starts. A successor then takes its place. If 200 records that were sent after that do
not arrive within 5 s, the exchange could not go on: both are killed, the queue is removed, and a new one made. In every
fifth turn the successor waits until the survivor was told of the death by its queue, up to 1 s.

--under puts a command before the adapter's, such as the loader of another C library, which --label names; --look shows
by gdb where a hang is.

Prints a line of JSON. What the words mean is said in docs/comparison.md.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from account import Range, gaps, repeats, total, without
from adapter import BEGUN, DONE, FIRST, LAST, LOG_BYTES, READY, RUNS, RUNS_AT, STARTED, STOP, TAKEN, TOLD, TORN, Log

HERE = Path(__file__).resolve().parent
BUILT = Path(os.environ.get("IPCX_COMPARE") or HERE.parent.parent / "target/compare")
PATIENCE = 5.0  # seconds in which the exchange must go on
MORE = 200  # records that must arrive by then, beyond those that were sent before
START = 60.0  # seconds in which a process must get as far as its queue
TELLING = 1.0  # seconds that the survivor is given to be told
LONGEST = 0.010  # seconds from progress to the kill, at most
LONGEST_START = 0.002  # the same from the start
PYTHON = [str(BUILT / "venv/bin/python")]
IPCX_PYTHON = [os.environ.get("IPCX_PYTHON", sys.executable)]

# How to start an adapter; whether its name is a path. The others are in inherited.py.
RIVALS: dict[str, tuple[list[str], bool]] = {
    "ipcx": ([str(BUILT / "ipcx")], False),
    "ipcx-copy": ([str(BUILT / "ipcx-copy")], False),
    "ipcx-python": ([*IPCX_PYTHON, str(HERE / "ipcx_python.py")], False),
    "boost": ([str(BUILT / "boost")], False),
    "pthread": ([str(BUILT / "pthread")], False),
    "pthread-robust": ([str(BUILT / "pthread-robust")], False),
    "mqueue": ([str(BUILT / "mqueue")], False),
    "pthread-polled": ([str(BUILT / "pthread-polled")], False),
    "unix": ([str(BUILT / "unix")], True),
    "fifo": ([str(BUILT / "fifo")], True),
    "zeromq": ([*PYTHON, str(HERE / "zeromq.py")], True),
    "iceoryx2": ([*PYTHON, str(HERE / "iceoryx.py")], True),
}
OTHER = {"send": "recv", "recv": "send"}


class Queue:
    """One queue of a rival."""

    def __init__(self, rival: str, folder: Path, number: int, under: list[str]) -> None:
        self.rival, self.inherited = rival, None
        name = f"compare-{os.getpid()}-{number}"
        if rival in RIVALS:
            command, path = RIVALS[rival]
            self.command = [*under, *command]
            self.name = str(folder / name) if path else name
            subprocess.run([*self.command, "make", self.name], check=True)
        else:
            import inherited

            self.module = inherited
            self.inherited = inherited.QUEUES[rival][0]()

    def start(self, role: str, log: Path) -> Any:
        """A process that sends or receives."""
        errors = log.with_suffix(".errors")
        if self.inherited is not None:
            return self.module.Process(self.rival, self.inherited, role, str(log), str(errors))
        with errors.open("a") as file:
            return subprocess.Popen([*self.command, role, self.name, str(log)], stderr=file, stdout=file)

    def remove(self) -> None:
        """As its library has it."""
        if self.inherited is None:
            subprocess.run([*self.command, "remove", self.name], check=True)
        self.inherited = None


@dataclass
class Figures:
    """What one run found."""

    rival: str
    victim: str
    seed: int
    label: str
    kills: int = 0
    starting: int = 0
    inside: int = 0
    hung: int = 0
    restarts: int = 0
    how: dict[str, int] = field(default_factory=dict)
    records: int = 0
    lost: int = 0
    gaps: int = 0
    in_hand: int = 0
    given_up: int = 0
    again: int = 0
    doubled: int = 0
    torn: int = 0
    asked: int = 0
    told_ms: list[float] = field(default_factory=list)
    survivor: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


def wait_until(so: Callable[[], bool], seconds: float) -> bool:
    """False if it is not so in time."""
    end = time.monotonic() + seconds
    while not so():
        if time.monotonic() > end:
            return False
        time.sleep(0.0002)
    return True


class Run:
    """The processes, their logs and the queue between them."""

    def __init__(self, figures: Figures, folder: Path, options: argparse.Namespace) -> None:
        self.figures, self.folder, self.look, self.under = figures, folder, options.look, options.under.split()
        self.victim, self.survivor = figures.victim, OTHER[figures.victim]
        self.paths = {role: folder / role for role in OTHER}
        for path in self.paths.values():
            path.touch()
            os.truncate(path, LOG_BYTES)
        self.logs = {role: Log(str(path)).words for role, path in self.paths.items()}
        self.processes: dict[str, Any] = {}
        self.unsure: set[int] = set()  # records whose sending a death cut short
        self.held: set[int] = set()  # records that a dead receiver had in hand
        self.gone: list[Range] = []  # records in queues that had to be removed
        self.number = 0
        self.queue: Any = None

    def begin(self) -> None:
        """A new queue with both sides."""
        self.number += 1
        self.queue = Queue(self.figures.rival, self.folder, self.number, self.under)
        for role in ("recv", "send"):
            self.start(role)
        self.baseline: dict[str, int] = {}
        self.survived = 0

    def start(self, role: str) -> None:
        """The first or the next process in a role, as far as its first call."""
        log = self.logs[role]
        log[READY] = log[STARTED] = log[TAKEN] = 0
        if role == "send":
            log[FIRST] = log[BEGUN]
        else:
            log[BEGUN] = log[DONE] = 0
        self.processes[role] = process = self.queue.start(role, self.paths[role])
        if not wait_until(lambda: log[READY] == 1 or process.poll() is not None, START):
            raise SystemExit(f"{role} does not start")
        self.target = self.logs["send"][BEGUN] + MORE

    def end(self) -> None:
        """Nothing of it stays."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()
        if self.queue:
            self.queue.remove()
        self.queue = None

    def stop(self, role: str) -> None:
        """SIGKILL, and what the dead process was at."""
        self.processes[role].kill()
        self.processes[role].wait()
        log = self.logs[role]
        if role == "send" and log[BEGUN] > log[DONE]:
            self.unsure.add(log[BEGUN] - 1)
        if role == "recv" and log[TAKEN]:
            self.held.add(log[TAKEN] - 1)

    def goes_on(self) -> bool:
        """True once records arrived that were sent after the last start. A successor that gives up is started again."""

        def so() -> bool:
            if self.logs["recv"][LAST] > self.target:
                return True
            if self.processes[self.victim].poll() is not None:
                self.figures.restarts += 1
                self.stop(self.victim)
                self.start(self.victim)
            return self.processes[self.survivor].poll() is not None

        return wait_until(so, PATIENCE) and self.logs["recv"][LAST] > self.target

    def turn(self, early: bool) -> None:
        """One kill, and the start of a successor."""
        log, told = self.logs[self.victim], self.logs[self.survivor]
        time.sleep(random.random() * (LONGEST_START if early else LONGEST))
        told[TOLD] = 0
        at = time.monotonic_ns()
        self.stop(self.victim)
        self.survived += 1
        self.figures.kills += 1
        if early:
            self.figures.starting += 1
        elif log[BEGUN] > log[DONE]:
            self.figures.inside += 1
        if not early and self.figures.kills % 5 == 0:
            self.figures.asked += 1
            if wait_until(lambda: told[TOLD] != 0, TELLING):
                self.figures.told_ms.append((told[TOLD] - at) / 1e6)
        self.start(self.victim)

    def hung(self) -> None:
        """The exchange could not go on: another queue."""
        self.give_up()
        self.begin()
        if not self.goes_on():
            raise SystemExit(f"{self.figures.rival}: a new queue does not work")

    def give_up(self) -> None:
        """Notes who hangs, ends both, and notes what was sent and not received."""
        self.figures.hung += 1
        if self.look:
            self.show()
        how = self.diagnose()
        self.figures.how[how] = self.figures.how.get(how, 0) + 1
        for role in ("send", "recv"):
            self.stop(role)
        self.end()
        self.gone.append((self.logs["recv"][LAST], self.logs["send"][BEGUN]))

    def diagnose(self) -> str:
        """Who no longer moves."""
        words = []
        for role, process in self.processes.items():
            name = "survivor" if role == self.survivor else "successor"
            name += " sending" if role == "send" else " receiving"
            log = self.logs[role]
            state = "in a call" if log[STARTED] else "opening"
            state = state if process.poll() is None else "ended"
            words.append(f"{name}: {state}")
        return ", ".join(sorted(words, reverse=True))

    def show(self) -> None:
        """Where both are, by gdb, and what they said."""
        for role, process in self.processes.items():
            print(f"== {role}", flush=True)
            subprocess.run(["gdb", "-p", str(process.pid), "-batch", "-ex", "bt"], stderr=subprocess.DEVNULL)
            errors = self.paths[role].with_suffix(".errors")
            if errors.exists():
                print("\n".join(errors.read_text().splitlines()[-5:]))

    def watch(self) -> None:
        """What the survivor, and the queue in files, hold of the system: from the 20th kill on, by how much it grew."""
        if self.survived < 20:
            return
        pid = self.processes[self.survivor].pid
        status = Path(f"/proc/{pid}/status").read_text()
        memory = int(re.search(r"VmRSS:\s+(\d+)", status)[1])  # type: ignore[index]
        files = sum(len(files) for _, _, files in os.walk(self.folder)) + len(shared())
        holds = {"descriptors": len(os.listdir(f"/proc/{pid}/fd")), "kib": memory, "files": files}
        self.baseline = self.baseline or holds
        if self.survived > self.figures.survivor.get("kills", 0):
            grown = {key: holds[key] - self.baseline[key] for key in holds}
            self.figures.survivor = {"kills": self.survived, **grown}

    def finish(self) -> None:
        """The sender stops, the receiver takes what is left."""
        send, recv = self.logs["send"], self.logs["recv"]
        send[STOP] = 1
        over = wait_until(lambda: self.processes["send"].poll() is not None, PATIENCE)
        while over and recv[LAST] < send[DONE]:
            before = recv[LAST]
            over = wait_until(lambda: recv[LAST] > before, PATIENCE)
        if over:
            for role in ("send", "recv"):
                self.stop(role)
            self.end()
        else:
            self.give_up()

    def account(self) -> None:
        """What became of the records."""
        figures, log = self.figures, self.logs["recv"]
        at = range(RUNS_AT, RUNS_AT + 3 * log[RUNS], 3)
        runs = [(log[i], log[i + 1], log[i + 2]) for i in at]
        figures.records, figures.torn = log[LAST], log[TORN]
        missing = without(gaps(runs, self.logs["send"][DONE]), [(n, n + 1) for n in self.unsure])
        whole = total(missing)
        missing = without(missing, self.gone)
        figures.gaps, figures.lost = len(missing), total(missing)
        figures.given_up = whole - figures.lost
        figures.in_hand = sum(1 for n in self.held if any(begin <= n < end for begin, end in missing))
        figures.again, figures.doubled = repeats(runs)


def shared() -> set[str]:
    """What lies in shared memory under the names that this run uses."""
    mine = re.compile(rf"(ipcx\.)?compare-{os.getpid()}-|pym-{os.getpid()}|sem\.")
    return {name for name in os.listdir("/dev/shm") if mine.match(name)}


def measure(options: argparse.Namespace) -> Figures:
    """One rival, one side."""
    figures = Figures(options.rival, options.victim, options.seed, options.label)
    before = shared()
    random.seed(figures.seed)
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        run = Run(figures, Path(folder), options)
        try:
            run.begin()
            if not run.goes_on():
                raise SystemExit(f"{figures.rival}: does not work")
            while figures.kills < options.kills:
                early = figures.kills > 0 and random.random() < 0.25
                if not early:
                    run.watch() if run.goes_on() else run.hung()
                run.turn(early)
            if not run.goes_on():
                run.hung()
            run.finish()
            run.account()
        finally:
            run.end()
        logs = {f"{role}{suffix}" for role in OTHER for suffix in ("", ".errors")}
        figures.left = sorted({*(shared() - before), *(set(os.listdir(folder)) - logs)})
    return figures


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rival")
    parser.add_argument("victim", choices=sorted(OTHER))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--under", default="")
    parser.add_argument("--label", default="")
    parser.add_argument("--look", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    print(json.dumps(vars(measure(options))))


if __name__ == "__main__":
    main()
