"""Looks at frames where they lie in shared memory, and writes one of them to a file.

    frames_view.py POOL RING PICTURE [NUMBER]

Every pixel of each frame must be that of its number, inverted, and the numbers must rise; else this ends with status 1. The
first frame from NUMBER (20) on becomes the PGM file PICTURE. The result is one line of JSON on stdout.
"""

import json
import struct
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

import ipcx

BLOCKS = 8
WIDTH, HEIGHT = 1920, 1080
HEADER = struct.Struct("=4Q2I24x")  # number, time made, id of the block, how many filters, width, height
SEAL = struct.Struct("=Q")  # behind the picture, the number again
SEAL_AT = HEADER.size + WIDTH * HEIGHT
BAR, BARS, PERIOD, SPEED = 4, 256, 512, 7
PATIENCE = 30.0  # seconds without a frame

Image = npt.NDArray[np.uint8]


def stripes() -> Image:
    """What is behind the bars of each row, inverted, and as much more as it moves."""
    x = np.arange(WIDTH - BARS + PERIOD)
    bend = np.arange(HEIGHT) ** 2 // HEIGHT
    at = (x + bend[:, None]) % PERIOD
    up = np.minimum(at, PERIOD - 1 - at)
    inverted: Image = (255 - up * up * (765 - 2 * up) // 255**2).astype(np.uint8)
    return inverted


STRIPES = stripes()


def bars(number: int) -> Image:
    """The number, bit by bit, inverted."""
    bits = np.unpackbits(np.frombuffer(SEAL.pack(number), np.uint8), bitorder="little")
    inverted: Image = (1 - bits) * np.uint8(255)
    return inverted.repeat(BAR)


def check(block: ipcx.Block, image: Image) -> tuple[int, int]:
    """The frame's number and when it was made, if each of its bytes is right."""
    number, made, origin, filters, width, height = HEADER.unpack_from(block)
    (seal,) = SEAL.unpack_from(block, SEAL_AT)
    if (number, filters, width, height) != (seal, 1, WIDTH, HEIGHT):
        raise SystemExit(f"frames_view: frame {number} is torn: seal {seal}, filters {filters}, {width}x{height}")
    if origin != block.id & 0xFFFFFFF:
        raise SystemExit(f"frames_view: frame {number} was made in another block")
    at = number * SPEED % PERIOD
    bad = (image[:, :BARS] != bars(number)).any(axis=1) | (image[:, BARS:] != STRIPES[:, at : at + WIDTH - BARS]).any(axis=1)
    if bad.any():
        raise SystemExit(f"frames_view: {bad.sum()} rows of frame {number} are wrong, the first is {bad.argmax()}")
    return number, made


def write_picture(path: str, image: Image) -> None:
    """A PGM file, straight out of the block."""
    with open(path, "wb", buffering=0) as file:
        file.write(b"P5\n%d %d\n255\n" % (WIDTH, HEIGHT))
        file.write(image.data)


def receive(rx: ipcx.Consumer, pool: ipcx.Pool) -> ipcx.Block | None:
    """The next frame, also if it comes from a successor of a process that died; None after the last one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return rx.recv_block(pool, max(0.0, deadline - time.monotonic()))
        except ipcx.PeerDead:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
        except ipcx.Closed:
            return None


def view(rx: ipcx.Consumer, pool: ipcx.Pool, picture: str, wanted: int) -> dict[str, Any]:
    """Checks each frame, and returns the figures."""
    last, written = -1, None
    arrivals: list[int] = []
    ages: list[float] = []
    while (block := receive(rx, pool)) is not None:
        with block:
            arrived = time.monotonic_ns()
            image = block.as_array("uint8")[HEADER.size : SEAL_AT].reshape(HEIGHT, WIDTH)
            number, made = check(block, image)
            if number <= last:
                raise SystemExit(f"frames_view: frame {number} came after {last}")
            if written is None and number >= wanted:
                write_picture(picture, image)
                written = number
            del image  # a block with arrays on it cannot be given back
        last = number
        arrivals.append(arrived)
        ages.append((arrived - made) / 1e6)
    gaps = np.diff(arrivals) / 1e6 if len(arrivals) > 1 else np.zeros(1)
    return {
        "shown": len(arrivals),
        "last": last,
        "picture": written,
        "seconds": (arrivals[-1] - arrivals[0]) / 1e9 if arrivals else 0.0,
        "longest_gap_ms": float(gaps.max()),
        "age_ms": float(np.median(ages)) if ages else 0.0,
    }


def main() -> None:
    """Looks until the sender closes, and prints."""
    if len(sys.argv) not in (4, 5):
        raise SystemExit("usage: frames_view.py POOL RING PICTURE [NUMBER]")
    name, ring, picture = sys.argv[1:4]
    wanted = int(sys.argv[4]) if len(sys.argv) == 5 else 20
    with (
        ipcx.Pool.open(name, block_size=SEAL_AT + SEAL.size, blocks=BLOCKS) as pool,
        ipcx.Ring.open(ring).consumer() as rx,
    ):
        figures = view(rx, pool, picture, wanted)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
