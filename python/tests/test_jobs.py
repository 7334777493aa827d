"""The jobs example: its ledger balances although a consumer is killed again and again."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOOKINGS, KILLS = 300, 4


def test_the_ledger_balances_although_a_consumer_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/jobs"), "--bookings", str(BOOKINGS), "--kills", str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "IPCX_DIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert max(map(len, done.stdout.splitlines())) <= 80
    rows = {
        name: (int(number.replace(",", "")), words)
        for name, number, words in re.findall(r"^  (\w[\w ]*?)  +([\d,]+)  (.*)$", done.stdout, re.MULTILINE)
    }
    pushed, acknowledged, aside = (rows[name][0] for name in ("pushed", "acknowledged", "put aside"))
    impossible = 3 * len(range(0, BOOKINGS, 40))
    assert pushed == 3 * BOOKINGS + 3 == acknowledged + aside and rows["still there"][0] == 0
    held = int(re.findall(r"\d+", rows["killed"][1])[0])
    assert rows["killed"][0] == KILLS and KILLS // 2 <= held <= KILLS
    assert impossible <= aside <= impossible + held // 3
    assert rows["came again"][0] >= 2 * impossible
    assert rows["overtaken"][0] > 100


def test_every_option_says_what_it_does() -> None:
    help = subprocess.run([sys.executable, str(ROOT / "scripts/jobs"), "--help"], capture_output=True, text=True, check=True)
    for option in ("--bookings N", "--kills N"):
        assert re.search(rf"^  {option}\s+\S", help.stdout, re.MULTILINE), option
