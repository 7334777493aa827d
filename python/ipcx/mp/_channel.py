"""Objects through a work queue and a pool: how they are pickled, and what a queue or pipe is opened with."""

import copyreg
import pickle
import struct
from collections.abc import Callable
from io import BytesIO
from multiprocessing.reduction import ForkingPickler
from typing import Any

from ipcx._errors import Timeout, WouldBlock
from ipcx._ipcx import Block, Channel, Pool, Queue, Semaphore, wait_any

# What a message is: see the table in bindings/src/channel.rs.
BYTES, PICKLE, RAW, BYTEARRAY, PARTS = 0, 2, 5, 17, 18
# Longest message that lies in the queue: a message of so many bytes and its place take 512.
INLINE = 480
# Blocks for what is longer. Each has so many addresses, and as much memory as is put into it.
BLOCK_SIZE, BLOCKS = 1 << 30, 1024
PARTICIPANTS = 512
# Buffers below this are part of the pickle.
APART = 4096
# Of an array that was made in a block: where its bytes begin. The pickle is before them.
ARRAY_AT, PICKLE_AT = 4096, 64


# How objects are reduced: as multiprocessing does it, and otherwise as copyreg says. Both may be added to at any time.
_extra: dict[type, Any] = ForkingPickler._extra_reducers  # type: ignore[attr-defined]
_known = -1, -1
_reducers: dict[type, Any] = {}


def _pickled(obj: Any, apart: Callable[[pickle.PickleBuffer], Any]) -> bytes:
    """The pickle of an object, from which `apart` may keep buffers."""
    global _known, _reducers
    known = len(copyreg.dispatch_table), len(_extra)
    if known != _known:
        _known, _reducers = known, {**copyreg.dispatch_table, **_extra}
    file = BytesIO()
    pickler = pickle.Pickler(file, 5, buffer_callback=apart)
    pickler.dispatch_table = _reducers
    pickler.dump(obj)
    return file.getvalue()


def encode(obj: Any) -> tuple[int, list[Any]]:
    """What kind of message an object is, and its parts."""
    kind = type(obj)
    if kind is bytes:
        return BYTES, [obj]
    if kind is bytearray and len(obj) >= APART:
        return BYTEARRAY, [obj]
    buffers: list[Any] = []

    def apart(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < APART:
            return True
        buffers.append(raw)
        return False

    stream = _pickled(obj, apart)
    return PICKLE, [stream, *buffers]


def load_parts(block: Any) -> Any:
    """The object of a block with parts; what it has of the block's memory keeps the block."""
    view = memoryview(block)
    (count,) = struct.unpack_from("=Q", view)
    lengths = struct.unpack_from(f"={count}Q", view, 8)
    parts, end = [], 8 * (1 + count)
    for length in lengths:
        start = -(-end // 64) * 64
        end = start + length
        parts.append(view[start:end])
    return pickle.loads(parts[0], buffers=parts[1:])


def make(depth: int) -> tuple[Queue, Pool]:
    """A work queue of so many messages, and the pool for what is large."""
    queue = Queue.anonymous(max_message=INLINE, depth=depth, max_participants=PARTICIPANTS)
    return queue, make_pool()


def make_pool() -> Pool:
    return Pool.anonymous(block_size=BLOCK_SIZE, blocks=BLOCKS, on_demand=True, max_participants=PARTICIPANTS)


def has_message(queue: Queue) -> bool:
    """True if there is something to get, as of now."""
    try:
        return bool(wait_any([queue], 0))
    except (WouldBlock, Timeout):
        return False


def join(queue: Queue, pool: Pool, tasks: Semaphore | None = None) -> Channel:
    """What puts objects into both, and gets them."""
    return Channel(queue, pool, tasks, pickle.loads, load_parts)


def empty(channel: Channel, shape: Any, dtype: Any) -> tuple[Any, Block]:
    """An array in a block of the channel, and the block."""
    import numpy

    dtype = numpy.dtype(dtype)
    if dtype.hasobject:
        raise TypeError("an array of Python objects cannot lie in shared memory")
    count = int(numpy.prod(shape, dtype="int64"))
    block = channel.block(ARRAY_AT + count * dtype.itemsize)
    array = numpy.frombuffer(memoryview(block), dtype, count, ARRAY_AT) if count else numpy.empty(0, dtype)
    return array.reshape(shape), block


def block_of(obj: Any) -> Block | None:
    """The block in which an array lies."""
    base = getattr(obj, "base", None)
    while base is not None and type(base) is not memoryview:
        base = getattr(base, "base", None)
    owner = base.obj if base is not None else None
    return owner if type(owner) is Block else None


def prepare(array: Any, block: Block) -> bool:
    """Writes the pickle of an array before it into its block; False if that does not describe it."""
    buffers: list[pickle.PickleBuffer] = []
    stream = _pickled(array, buffers.append)
    if len(buffers) != 1 or len(stream) > ARRAY_AT - PICKLE_AT:
        return False
    at = array.__array_interface__["data"][0]
    whole = memoryview(block)
    start = _address(whole) + ARRAY_AT
    length = buffers[0].raw().nbytes
    if at != start:
        return False
    struct.pack_into("=3Q", whole, 0, 2, ARRAY_AT - PICKLE_AT, length)
    whole[PICKLE_AT : PICKLE_AT + len(stream)] = stream
    return True


def _address(view: memoryview) -> int:
    import numpy

    return int(numpy.frombuffer(view, "uint8").__array_interface__["data"][0])
