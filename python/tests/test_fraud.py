"""The fraud example: every payment gets its verdict although servers are killed and stopped."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_every_payment_has_its_verdict_although_servers_die(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts/fraud"), "--kills", "3", "--every", "0.1", "--clients", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "IPCX_DIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    assert max(map(len, done.stdout.splitlines())) <= 80

    rows = dict(re.findall(r"^  (\w[\w ]*?)  +(.*)$", done.stdout, re.MULTILINE))
    number = {name: int(re.split(r"[ :]", value)[0].replace(",", "")) for name, value in rows.items() if name in ROWS}
    assert number["asked"] == number["answered"] + number["refused"] and number["refused"] >= 2
    assert rows["killed"].startswith("3 servers") and "1 more" in rows["killed"]
    assert number["peer dead"] >= 3 and number["timed out"] >= 1
    assert int(rows["called again"].split(",")[0]) >= 4


ROWS = ("asked", "answered", "refused", "peer dead", "timed out")


@pytest.mark.parametrize(
    ("payment", "verdict"),
    [
        (b"1,4929-0001,DE,DE,12.50,9", b"1 approved"),
        (b"2,5301-0666,FR,FR,20.00,16", b"2 denied: the card is reported stolen"),
        (b"3,4000-0102,US,XA,10.00,13", b"3 denied: no payments to XA"),
        (b"4,4929-0003,DE,DE,2300.00,12", b"4 denied: over 2000.00"),
        (b"5,4929-0004,DE,US,640.00,18", b"5 denied: over 500.00 abroad"),
        (b"6,5301-0012,FR,FR,1200.00,1", b"6 denied: over 800.00 at night"),
    ],
)
def test_the_rules(payment: bytes, verdict: bytes) -> None:
    spec = importlib.util.spec_from_file_location("fraud_server", ROOT / "examples/fraud_server.py")
    assert spec is not None and spec.loader is not None
    server = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(server)
    assert server.check(payment) == verdict
    for no_payment, why in ((b"torn line", "has 6 fields"), (b"7,c,DE,DE,-1,9", "no amount"), (b"8,c,DE,DE,x,9", "float")):
        with pytest.raises(ValueError, match=why):
            server.check(no_payment)
