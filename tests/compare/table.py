"""Results of driver.py as a table: table.py FILE..."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

ORDER = (
    "ipcx ipcx-copy ipcx-python mqueue fifo unix zeromq iceoryx2 pthread-polled pthread-robust pthread boost"
    " mp.Pipe mp.SimpleQueue mp.Queue faster-fifo"
).split()
HEAD = "queue | killed | kills (in a call) | could not go on | lost | came again | doubled | torn | survivor told"


def told(figures: dict[str, Any]) -> str:
    """How often, and after how many milliseconds."""
    times = figures["told_ms"]
    if not times:
        return f"0 of {figures['asked']}"
    return f"{len(times)} of {figures['asked']}: {statistics.median(times):.1f} ms, at most {max(times):.1f}"


def lost(figures: dict[str, Any]) -> str:
    """Records that nobody received, and behind the plus those in queues that were given up."""
    text = f"{figures['lost']:,}"
    if figures["gaps"] not in (0, figures["lost"]):
        text += f" in {figures['gaps']} gaps"
    return text + (f" + {figures['given_up']:,}" if figures["given_up"] else "")


def name(figures: dict[str, Any]) -> str:
    """Of the queue, and what it ran under."""
    return f"{figures['rival']}, {figures['label']}" if figures["label"] else str(figures["rival"])


def row(figures: dict[str, Any]) -> str:
    """One queue, one side."""
    hung, kills = figures["hung"], figures["kills"]
    cells = [
        name(figures),
        "producer" if figures["victim"] == "send" else "consumer",
        f"{kills} ({figures['inside']})",
        f"{hung} ({100 * hung / kills:.1f} %)" if hung else "0",
        lost(figures),
        f"{figures['again']}",
        f"{figures['doubled']}",
        f"{figures['torn']}",
        told(figures),
    ]
    return "| " + " | ".join(cells) + " |"


def notes(figures: dict[str, Any]) -> str:
    """What else was seen."""
    survivor = figures["survivor"]
    words = [f"{name(figures)} {figures['victim']}: {figures['records']:,} records"]
    if figures["starting"]:
        words.append(f"{figures['starting']} kills while starting")
    if figures["in_hand"]:
        words.append(f"{figures['in_hand']} of those lost were in the consumer's hands")
    if figures["restarts"]:
        words.append(f"{figures['restarts']} successors gave up")
    if survivor:
        grown = ", ".join(f"{name} {survivor[name]:+}" for name in ("descriptors", "kib", "files"))
        words.append(f"a survivor of {survivor['kills']} kills: {grown}")
    if figures["left"]:
        words.append(f"left behind: {' '.join(figures['left'])}")
    return "; ".join(words + [f"{how} ({n})" for how, n in figures["how"].items()])


def main() -> None:
    """Prints the table and the notes."""
    results = [json.loads(Path(file).read_text()) for file in sys.argv[1:]]
    results.sort(key=lambda figures: (ORDER.index(figures["rival"]), name(figures), figures["victim"] != "send"))
    print(f"| {HEAD} |\n|{'---|' * (HEAD.count('|') + 1)}")
    print("\n".join(map(row, results)) + "\n")
    print("\n".join(map(notes, results)))


main()
