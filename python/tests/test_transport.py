"""What every transport does, whatever carries the messages; and what some of them do besides."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Thread, Way, until

import ipcx

SOON = 30
SHORT = 0.06
LENGTHS = (0, 1, 5, 1000, 4091, 4092, 4093, 4096, 8192, 65_535, 65_536, 65_537, 200_000)


def message(length: int) -> bytes:
    return bytes(index * 31 & 0xFF for index in range(256)) * (length // 256) + bytes(length % 256)


def lengths(tx: ipcx.Sender) -> list[int]:
    """Those that the transport takes."""
    return [length for length in LENGTHS if tx.max_len is None or length <= tx.max_len]


def full(tx: ipcx.Sender) -> int:
    """Sends until there is no room, and says how often."""
    sent = 0
    while True:
        try:
            tx.send(bytes(4000), 0)
        except ipcx.WouldBlock:
            return sent
        sent += 1


def receive(rx: ipcx.Receiver) -> bytes:
    """The next message, also from a successor that is not there yet."""
    received: list[bytes] = []

    def found() -> bool:
        with suppress(ipcx.Closed, ipcx.WouldBlock):
            received.append(rx.recv(0))
        return bool(received)

    until(found, "received")
    return received[0]


def test_messages_of_every_size_arrive_whole_and_in_order(way: Way) -> None:
    tx, rx = way.open(message_size=65_536) if way.word == "buffer" else way.open()
    assert len(lengths(tx)) >= 9
    for length in lengths(tx):
        sending = Thread(lambda length=length: tx.send(message(length), SOON))  # type: ignore[misc]
        assert rx.recv(SOON) == message(length)
        sending.value()
    for data in (bytearray(b"abc"), memoryview(b"abcde")[1:4]):
        tx.send(data)
        assert rx.recv(SOON) == bytes(data)
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)


def test_a_message_is_received_into_a_buffer_that_is_large_enough(way: Way) -> None:
    tx, rx = way.open()
    tx.send(b"0123456789")
    for small in (bytearray(), bytearray(9)):
        with pytest.raises(ipcx.TooBig, match="10 bytes"):
            rx.recv_into(small)
    large = bytearray(11)
    assert rx.recv_into(large) == 10 and large == b"0123456789\0"
    tx.send(b"x")
    with pytest.raises(BufferError):
        rx.recv_into(b"constant")
    assert rx.recv() == b"x"


def test_a_message_that_cannot_fit_is_too_big(way: Way) -> None:
    tx, rx = way.open()
    if tx.max_len is None:
        tx.send(b"connects")
        rx.recv()
    assert tx.max_len is not None
    if tx.max_len < 1 << 24:
        with pytest.raises(ipcx.TooBig):
            tx.send(bytes(tx.max_len + 1), SOON)
        with pytest.raises(ipcx.WouldBlock):
            rx.recv(0)
        if way.word != "unix":  # the kernel keeps room for itself, and does not say exactly how much
            tx.send(bytes(tx.max_len), SOON)
            assert len(rx.recv(SOON)) == tx.max_len


def test_timeouts_are_those_of_every_call(way: Way) -> None:
    tx, rx = way.open()
    calls: list[Callable[[float | None], object]] = [rx.recv, rx.recv_with_priority, lambda t: rx.recv_into(bytearray(9), t)]
    if way.word != "buffer":
        full(tx)
        calls.append(lambda timeout: tx.send(bytes(4000), timeout))
        calls = calls[-1:]
    for call in calls:
        with pytest.raises(BlockingIOError):
            call(0)
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            call(SHORT)
        assert time.monotonic() - begin >= SHORT
        with pytest.raises(ValueError):
            call(-1)
        for no_number in (True, "1"):
            with pytest.raises(TypeError):
                call(no_number)  # type: ignore[arg-type]


def test_a_full_transport_loses_nothing(way: Way) -> None:
    tx, rx = way.open()
    if way.word == "buffer":
        for number in range(10_000):
            tx.send(number.to_bytes(4000), 0)  # it always has room
        assert rx.recv() == number.to_bytes(4000)
        return
    sent = full(tx)

    def send() -> None:
        for number in range(1, 50):
            tx.send(bytes([number]) * 4000)

    sending = Thread(send)
    received = [rx.recv(SOON) for _ in range(sent + 49)]
    sending.value()
    assert received[:sent] == [bytes(4000)] * sent
    assert received[sent:] == [bytes([number]) * 4000 for number in range(1, 50)]


def test_a_long_message_that_timed_out_is_sent_once() -> None:
    tx, rx = ipcx.Transport.pair("pipe")
    long = message(300_000)
    for timeout in (0, 0.01, 0.06):
        with pytest.raises((ipcx.WouldBlock, ipcx.Timeout)):
            tx.send(bytearray(long), timeout)
        with pytest.raises((ipcx.WouldBlock, ipcx.Timeout)):
            rx.recv(timeout)
    sending = Thread(lambda: tx.send(long))
    assert rx.recv(SOON) == long
    sending.value()
    tx.send(b"next")
    assert rx.recv(SOON) == b"next"


def test_a_sender_that_closes_is_told_after_the_last_message(way: Way) -> None:
    tx, rx = way.open()
    if not way.tells:
        tx.close()
        with pytest.raises(ipcx.Timeout):
            rx.recv(SHORT)
        return
    tx.send(b"1")
    tx.send(b"2")
    tx.close()
    assert tx.closed
    assert list(rx) == [b"1", b"2"]
    for timeout in (None, 0, SHORT):
        with pytest.raises(EOFError) as error:
            rx.recv(timeout)
        assert isinstance(error.value, ipcx.Closed)


def test_a_receiver_that_closes_is_told(way: Way) -> None:
    tx, rx = way.open()
    tx.send(b"x")
    rx.recv()
    rx.close()
    if not way.tells:
        tx.send(b"x")
        return
    with pytest.raises(BrokenPipeError) as error:
        for _ in range(100_000):
            tx.send(bytes(1000), SOON)
    assert isinstance(error.value, ipcx.Closed)


def test_an_unused_end_that_closes_is_told_too(way: Way) -> None:
    tx, rx = way.open()
    waiting = Thread(lambda: rx.recv(SOON if way.tells else SHORT))
    tx.close()
    with pytest.raises(ipcx.Closed if way.tells else ipcx.Timeout):
        waiting.value()


@pytest.mark.parametrize("word", ["pipe", "unix", "ring"])
def test_an_end_that_closed_before_the_other_was_used_is_told(word: str) -> None:
    tx, rx = ipcx.Transport.pair(word)
    tx.close()
    with pytest.raises(ipcx.Closed):
        rx.recv(SOON)


def test_a_sender_that_goes_in_the_middle_of_a_message_is_dead() -> None:
    tx, rx = ipcx.Transport.pair("pipe")
    tx.send(b"whole")
    with pytest.raises(ipcx.WouldBlock):
        tx.send(bytes(200_000), 0)
    tx.close()
    assert rx.recv() == b"whole"
    with pytest.raises(ConnectionResetError) as error:
        rx.recv(SOON)
    assert isinstance(error.value, ipcx.PeerDead)


def test_either_end_is_opened_first_and_a_role_once(named: Way) -> None:
    tx = named.sender()
    if named.word in ("fifo", "unix"):
        with pytest.raises(ipcx.WouldBlock):
            tx.send(b"nobody", 0)
        sending = Thread(lambda: tx.send(b"1", SOON))
        rx = named.receiver()
        sending.value()
    else:
        tx.send(b"1")
        rx = named.receiver()
    assert rx.recv(SOON) == b"1"
    if named.tells:
        for again in (named.sender, named.receiver):
            with pytest.raises(ipcx.Busy, match=named.name):
                again()
    tx.close()
    successor = named.sender()
    sending = Thread(lambda: successor.send(b"2", SOON))
    assert receive(rx) == b"2"
    sending.value()


def test_a_name_is_unlinked_once(named: Way) -> None:
    with pytest.raises(ipcx.NotFound):
        ipcx.Transport.unlink(named.word, named.name, named.directory)
    tx, rx = named.open()
    tx.send(b"x")
    ipcx.Transport.unlink(named.word, named.name, directory=named.directory)
    assert rx.recv(SOON) == b"x"
    with pytest.raises(FileNotFoundError):
        ipcx.Transport.unlink(named.word, named.name, named.directory)


def test_what_a_buffer_receives_is_the_newest_message_once() -> None:
    tx, rx = ipcx.Transport.pair("buffer", capacity=300_000)
    for value in (b"", b"old", bytes(100_000), b"new"):
        tx.send(value)
    assert rx.recv() == b"new"
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)
    tx.send(message(300_000))
    assert rx.recv() == message(300_000)


def test_a_queue_gives_higher_priorities_first() -> None:
    tx, rx = ipcx.Transport.pair("mqueue", messages=4, message_size=100)
    assert tx.max_len == 100
    for number, priority in enumerate((0, 32_767, 5, 5)):
        tx.send(bytes([number]), priority=priority)
    received = [rx.recv_with_priority() for _ in range(4)]
    assert received == [(b"\1", 32_767), (b"\2", 5), (b"\3", 5), (b"\0", 0)]
    with pytest.raises(ipcx.Invalid, match="32767"):
        tx.send(b"x", priority=32_768)
    for other in ("pipe", "ring"):
        tx, rx = ipcx.Transport.pair(other)
        with pytest.raises(ipcx.Invalid, match="priorities"):
            tx.send(b"x", 0, 1)
        tx.send(b"x", 0, 0)
        assert rx.recv_with_priority() == (b"x", 0)


def test_a_segment_without_a_name_travels_as_a_descriptor(tmp_path: Path) -> None:
    sender, receiver = ipcx.Transport.pair("unix")
    with ipcx.Ring.anonymous() as ring, ring.producer() as tx:
        fd = ring.share_fd()
        sender.send_fd(fd)
        os.close(fd)
        sender.send(b"bytes")
        with open(tmp_path / "file", "wb") as file:
            sender.send_fd(file, SOON)
        with pytest.raises(ipcx.Mismatch, match="recv_fd"):
            receiver.recv(0)
        fd = receiver.recv_fd(SOON)
        with ipcx.Ring.from_fd(fd) as theirs, theirs.consumer() as rx:
            tx.send(b"through the ring")
            assert rx.recv(SOON) == b"through the ring"
        os.close(fd)
    with pytest.raises(ipcx.Mismatch):
        receiver.recv_fd(0)
    assert receiver.recv() == b"bytes"
    fd = receiver.recv_fd()
    os.write(fd, b"written")
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"written"
    with pytest.raises(ipcx.WouldBlock):
        receiver.recv_fd(0)
    with pytest.raises(OSError):
        sender.send_fd(fd)  # closed
    tx, rx = ipcx.Transport.pair("pipe")  # type: ignore[assignment]
    for call in (lambda: tx.send_fd(0), rx.recv_fd):  # type: ignore[attr-defined]
        with pytest.raises(ipcx.Invalid, match="unix"):
            call()


def test_part_of_a_file_is_one_message(way: Way, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("files") / "contents"
    contents = message(150_000)
    path.write_bytes(contents)
    tx, rx = way.open(message_size=4096) if way.word == "buffer" else way.open()
    with open(path, "rb") as file:
        file.seek(17)
        for offset, count in ((0, 10), (4095, 4000), (149_990, 4000), (149_000, None)):
            sending = Thread(lambda o=offset, c=count: tx.send_file(file, o, c, SOON))  # type: ignore[misc]
            expected = contents[offset:] if count is None else contents[offset : offset + count]
            assert rx.recv(SOON) == expected
            assert sending.value() == len(expected)
        if way.word in ("pipe", "fifo", "ring", "unix"):
            sending = Thread(lambda: tx.send_file(file.fileno(), timeout=SOON))
            assert rx.recv(SOON) == contents and sending.value() == len(contents)
        assert tx.send_file(file, offset=150_000) == 0
        assert file.tell() == 17
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)
    reader, writer = os.pipe()
    with pytest.raises(ipcx.Invalid, match="regular file"):
        tx.send_file(reader)
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError):
        tx.send_file(reader)


def test_an_end_without_a_name_is_handed_over_as_a_descriptor(nameless: Way) -> None:
    tx, rx = nameless.open()
    word = nameless.word
    one, two = tx.into_fd(), rx.share_fd()
    assert tx.closed and not rx.closed
    rx.close()
    with ipcx.Transport.sender_from_fd(word, one) as tx, ipcx.Transport.receiver_from_fd(word, two) as rx:
        assert (tx.transport, tx.name, rx.transport, rx.name) == (word, "anonymous", word, "anonymous")
        tx.send(b"x")
        assert rx.recv(SOON) == b"x"
        if word == "ring":
            for end in (tx, rx):
                with pytest.raises(ipcx.Invalid, match="used"):
                    end.into_fd()
        assert not tx.closed
    for fd in (one, two):
        with pytest.raises(OSError):
            os.fstat(fd)  # closed with its end
    for fd in (one, -1):
        with pytest.raises(OSError):
            ipcx.Transport.sender_from_fd(word, fd)


def test_a_descriptor_of_something_else_stays_the_callers(named: Way) -> None:
    fd = os.open("/dev/null", os.O_RDWR)
    for word in ("mqueue", "unix", "fifo"):
        with pytest.raises(ipcx.Invalid):
            ipcx.Transport.sender_from_fd(word, fd)
        with pytest.raises(ipcx.Invalid):
            ipcx.Transport.receiver_from_fd(word, fd)
    os.close(fd)
    tx, rx = named.open()
    if named.word != "mqueue":
        for end in (tx, rx):
            with pytest.raises(ipcx.Invalid, match="name"):
                end.share_fd()
            with pytest.raises(ipcx.Invalid, match="name"):
                end.into_fd()
            assert not end.closed


def test_after_close_everything_is_a_value_error(way: Way) -> None:
    tx, rx = way.open()
    for end in (tx, rx):
        assert not end.closed and "open" in repr(end) and way.word in repr(end)
        end.close()
        end.close()
        assert end.closed and "closed" in repr(end)
    for call in (
        lambda: tx.send(b"x"),
        lambda: tx.asend(b"x").send(None),
        lambda: tx.send_fd(0),
        lambda: tx.send_file(0),
        lambda: tx.max_len,
        lambda: tx.poll_events,
        tx.fileno,
        tx.share_fd,
        tx.into_fd,
        tx.__enter__,
        rx.recv,
        rx.recv_with_priority,
        lambda: rx.recv_into(bytearray(9)),
        rx.recv_fd,
        lambda: next(rx),
        lambda: rx.arecv().send(None),
        lambda: rx.signal(None),
        rx.fileno,
        rx.share_fd,
        rx.__enter__,
    ):
        with pytest.raises(ValueError, match="closed"):
            call()


def test_bad_arguments_are_told_as_such(tmp_path: Path) -> None:
    nonsense: Any = 5
    Transport = ipcx.Transport
    cases: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (ipcx.Invalid, "carrier-pigeon.*pipe, fifo, mqueue", lambda: Transport.pair("carrier-pigeon")),
        (ipcx.Invalid, "no transport", lambda: Transport.sender("", "x")),
        (ipcx.Invalid, "no transport", lambda: Transport.receiver("PIPE", "x")),
        (ipcx.Invalid, "no transport", lambda: Transport.unlink("ringg", "x")),
        (ipcx.Invalid, "no transport", lambda: Transport.sender_from_fd("x", 0)),
        (TypeError, ".", lambda: Transport.pair(nonsense)),
        (TypeError, ".", lambda: Transport.sender("fifo", nonsense)),
        (TypeError, ".", lambda: Transport.pair("pipe", capacity="1")),  # type: ignore[arg-type]
        (TypeError, ".", lambda: Transport()),
        (TypeError, ".", lambda: ipcx.Sender()),
        (ipcx.Invalid, "FIFO", lambda: Transport.pair("fifo")),
        (ipcx.Invalid, "no name", lambda: Transport.sender("pipe", "x")),
        (ipcx.Invalid, "no name", lambda: Transport.receiver("pipe", "x")),
        (ipcx.Invalid, "no name", lambda: Transport.unlink("pipe", "x")),
        (ipcx.NoSpace, "pipe-max-size", lambda: Transport.pair("pipe", capacity=1 << 40)),
        (ipcx.NoSpace, "msg_max", lambda: Transport.pair("mqueue", messages=1 << 40)),
    ]
    for word in ("fifo", "mqueue", "unix", "ring", "buffer"):
        for bad in ("", "a/b", "..", "x" * 300):
            cases.append((ipcx.Invalid, ".", lambda w=word, b=bad: Transport.sender(w, b, directory=tmp_path)))  # type: ignore[misc]
        if word != "mqueue":
            missing = tmp_path / "missing"
            cases.append((ipcx.NotFound, "missing", lambda w=word: Transport.receiver(w, "x", directory=missing)))  # type: ignore[misc]
    for option in ("capacity", "message_size", "messages"):
        for word in Transport.WORDS:
            cases.append((ValueError, "negative", lambda w=word, o=option: Transport.pair(w, **{o: -1})))  # type: ignore[misc]
    tx, rx = Transport.pair("pipe")
    cases += [
        (TypeError, "bytes-like", lambda: tx.send("text")),  # type: ignore[arg-type]
        (TypeError, "bytes-like", lambda: tx.asend("text")),  # type: ignore[arg-type]
        (ValueError, "negative", lambda: tx.send(b"x", priority=-1)),
        (ValueError, "negative", lambda: tx.send_file(0, offset=-1)),
        (ValueError, "negative", lambda: tx.send_file(0, count=-1)),
        (TypeError, ".", lambda: tx.send_file("name")),  # type: ignore[arg-type]
        (ipcx.Invalid, "no signals", lambda: rx.signal(signal.SIGRTMIN)),
    ]
    for kind, text, call in cases:
        with pytest.raises(kind, match=text):
            call()
    assert list(tmp_path.iterdir()) == []


def test_what_exists_with_other_options_or_of_another_kind_is_a_mismatch(tmp_path: Path, named: Way) -> None:
    if named.word in ("fifo", "unix"):
        suffix = ".fifo" if named.word == "fifo" else ".sock"
        file = tmp_path / f"ipcx.{named.name}{suffix}"
        file.write_bytes(b"")
        with pytest.raises(ipcx.Mismatch, match="remove it"):
            named.receiver()
        file.unlink()
        (tmp_path / f"ipcx.{named.name}{suffix}.lock").unlink(missing_ok=True)
        return
    tx = named.sender(message_size=100) if named.word != "ring" else named.sender(capacity=8192)
    with pytest.raises(ipcx.Mismatch):
        named.receiver(message_size=200) if named.word != "ring" else named.receiver(capacity=65536)
    tx.close()


def test_the_mode_is_as_asked_for(named: Way) -> None:
    rx = named.receiver(mode=0o640)
    if named.word == "mqueue":
        modes = [os.fstat(rx.fileno()).st_mode]
    else:
        modes = [file.stat().st_mode for file in named.directory.iterdir()]
    assert modes and all(mode & 0o777 == 0o640 for mode in modes)
    rx.close()


def test_a_thread_that_closes_an_end_in_use_is_refused(way: Way) -> None:
    tx, rx = way.open()
    waiting = Thread(rx.recv)

    def in_use() -> bool:
        try:
            rx.fileno()
        except ipcx.Busy:
            return True
        return False

    until(in_use, "in use")
    with pytest.raises(ipcx.Busy, match="thread"):
        rx.close()
    tx.send(b"x", SOON)
    assert waiting.value() == b"x"
    rx.close()
