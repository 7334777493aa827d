"""The frames example: whole frames arrive, in the block they were drawn in, and damaged ones are noticed."""

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import ipcx

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 1920, 1080
SEAL_AT = 64 + WIDTH * HEIGHT


def drawn(number: int) -> npt.NDArray[np.uint8]:
    """What the camera draws, pixel by pixel, by another way than that of the viewer."""
    bars = [255 if number >> (x // 4) & 1 else 0 for x in range(256)]
    rise = [up * up * (765 - 2 * up) // 65025 for up in range(256)]
    stripes = np.array((rise + rise[::-1]) * 5, np.uint8)
    starts = [(y * y // HEIGHT + 7 * number) % 512 for y in range(HEIGHT)]
    rows = [np.append(np.array(bars, np.uint8), stripes[start : start + WIDTH - 256]) for start in starts]
    return np.stack(rows)


def picture(path: Path) -> npt.NDArray[np.uint8]:
    """The pixels of a PGM file."""
    head, pixels = path.read_bytes().split(b"\n255\n", 1)
    assert head == b"P5\n1920 1080" and len(pixels) == WIDTH * HEIGHT
    return np.frombuffer(pixels, np.uint8).reshape(HEIGHT, WIDTH)


def test_frames_pass_a_filter_that_is_killed_again_and_again(tmp_path: Path) -> None:
    directory, image = tmp_path / "shm", tmp_path / "frame.pgm"
    directory.mkdir()
    command = [sys.executable, str(ROOT / "scripts/frames"), "--kills", "3", "--every", "0", "--picture", str(image)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "IPCX_DIR": str(directory)})
    assert (done.returncode, done.stderr) == (0, "")
    assert list(directory.iterdir()) == []

    rows = dict(re.findall(r"^  (\w[\w ]*?)  +(.*)$", done.stdout, re.MULTILINE))
    made, shown = (int(rows[name].split(" ")[0].strip(",").replace(",", "")) for name in ("frames made", "shown"))
    lost, owned = map(int, re.findall(r"\d+", rows["lost"]))
    assert made == shown + lost and shown >= 4 * 25
    assert 2 <= owned <= 3 and lost <= owned, "the first and the third filter owned a frame each"
    assert rows["pool at the end"].startswith("8 of 8 blocks free")

    written = int(rows["picture"].rsplit(" ", 1)[1])
    assert 20 <= written < made
    assert (picture(image) == 255 - drawn(written)).all()


def test_every_option_says_what_it_does() -> None:
    help = subprocess.run([sys.executable, str(ROOT / "scripts/frames"), "--help"], capture_output=True, text=True, check=True)
    for option in ("--kills N", "--every SECONDS", "--rate FRAMES", "--picture FILE"):
        assert re.search(rf"^  {option}\s+\S", help.stdout, re.MULTILINE), option


def intact(frame: npt.NDArray[np.uint8]) -> None:
    pass


def half_filtered(frame: npt.NDArray[np.uint8]) -> None:
    lower = frame[64:SEAL_AT].reshape(HEIGHT, WIDTH)[HEIGHT // 2 :]
    np.invert(lower, out=lower)


def one_pixel_wrong(frame: npt.NDArray[np.uint8]) -> None:
    frame[SEAL_AT - 1] ^= 1


def sealed_with_another_number(frame: npt.NDArray[np.uint8]) -> None:
    frame[SEAL_AT] += 1


def of_another_block(frame: npt.NDArray[np.uint8]) -> None:
    frame[16] += 1


def older_than_the_one_before(frame: npt.NDArray[np.uint8]) -> None:
    number = struct.pack("=Q", 3)
    frame[:8] = frame[SEAL_AT:] = np.frombuffer(number, np.uint8)
    frame[64:SEAL_AT] = 255 - drawn(3).reshape(-1)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (intact, None),
        (half_filtered, "540 rows of frame 5 are wrong, the first is 540"),
        (one_pixel_wrong, "1 rows of frame 5 are wrong, the first is 1079"),
        (sealed_with_another_number, "frame 5 is torn: seal 6"),
        (of_another_block, "frame 5 was made in another block"),
        (older_than_the_one_before, "frame 3 came after 4"),
    ],
)
def test_the_viewer_notices_a_damaged_frame(
    tmp_path: Path, damage: Callable[[npt.NDArray[np.uint8]], None], complaint: str | None
) -> None:
    command = [sys.executable, str(ROOT / "examples/frames_view.py"), "pool", "ring", str(tmp_path / "frame.pgm"), "4"]
    pool = ipcx.Pool.create("pool", block_size=SEAL_AT + 8, blocks=8, directory=tmp_path)
    with pool, ipcx.Ring.create("ring", directory=tmp_path) as ring, ring.producer() as tx:
        for number in (4, 5):
            block = pool.acquire()
            frame = block.as_array("uint8")
            frame[:64] = np.frombuffer(struct.pack("=4Q2I24x", number, 0, block.id & 0xFFFFFFF, 1, WIDTH, HEIGHT), np.uint8)
            frame[64:SEAL_AT] = 255 - drawn(number).reshape(-1)
            frame[SEAL_AT:] = np.frombuffer(struct.pack("=Q", number), np.uint8)
            if number == 5:
                damage(frame)
            del frame
            tx.send_block(block)
        environment = {**os.environ, "IPCX_DIR": str(tmp_path)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as viewer:
            try:
                if complaint is None:
                    while ring.stats().received < 2:
                        assert viewer.poll() is None
                        os.sched_yield()
                    tx.close()
                out, errors = viewer.communicate(timeout=30)
            finally:
                viewer.kill()
    if complaint is None:
        assert (viewer.returncode, errors) == (0, "") and json.loads(out)["shown"] == 2
        assert (picture(tmp_path / "frame.pgm") == 255 - drawn(4)).all()
    else:
        assert viewer.returncode == 1 and complaint in errors and out == ""
