"""Ends of transports in other processes: arguments of multiprocessing.Process under each start method, pickles, forks."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Way, in_child, killed

import ipcx

SOON = 60
METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(params=METHODS)
def start(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Starts a process that runs a function of this module."""
    context: Any = multiprocessing.get_context(request.param)

    def start(work: Callable[..., object], *args: object) -> Any:
        process = context.Process(target=work, args=args)
        process.start()
        return process

    return start


def finish(process: Any) -> None:
    process.join(60)
    assert process.exitcode == 0


def work(rx: ipcx.Receiver, tx: ipcx.Sender, count: int) -> None:
    for _ in range(count):
        tx.send(rx.recv(SOON) + b" seen", SOON)


def test_ends_without_a_name_are_arguments(start: Any, nameless: Way) -> None:
    (there, rx), (tx, back) = nameless.open(), nameless.open()
    process = start(work, rx, tx, 3)
    rx.close()
    tx.close()
    for number in range(3):
        there.send(bytes([number]), SOON)
        assert back.recv(SOON) == bytes([number]) + b" seen"
    if nameless.tells:
        with pytest.raises((ipcx.Closed, ipcx.PeerDead)):
            back.recv(SOON)
    finish(process)


def collect(rx: ipcx.Receiver, tx: ipcx.Sender, back: ipcx.Sender) -> None:
    """Given both ends, as a program that may be forked gives them, so that the child can close the one it does not use."""
    tx.close()
    back.send(b",".join(rx))


@pytest.mark.parametrize("word", ["pipe", "unix", "ring"])
def test_a_child_that_closes_the_other_end_gets_everything_and_the_end(start: Any, word: str) -> None:
    (tx, rx), (back, result) = ipcx.Transport.pair(word), ipcx.Transport.pair(word)
    process = start(collect, rx, tx, back)
    rx.close()
    back.close()
    for message in (b"1", b"2", bytes(100_000), b"3"):
        tx.send(message, SOON)
    tx.close()
    assert result.recv(SOON) == b",".join([b"1", b"2", bytes(100_000), b"3"])
    finish(process)


def say_nothing(tx: ipcx.Sender) -> None:
    tx.close()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("word", ["pipe", "unix", "ring"])
def test_a_child_that_closes_its_only_end_unused_is_told(method: str, word: str) -> None:
    tx, rx = ipcx.Transport.pair(word)
    process: Any = multiprocessing.get_context(method).Process(target=say_nothing, args=(tx,))  # type: ignore[attr-defined]
    process.start()
    tx.close()
    with pytest.raises(ipcx.Closed):
        rx.recv(SOON)
    finish(process)


def hold(rx: ipcx.Receiver, back: ipcx.Sender) -> None:
    back.send(rx.recv(SOON))
    signal.pause()


@pytest.mark.parametrize("word", ["pipe", "unix", "ring"])
def test_a_killed_child_is_told(start: Any, word: str) -> None:
    (tx, rx), (back, result) = ipcx.Transport.pair(word), ipcx.Transport.pair(word)
    process = start(hold, rx, back)
    rx.close()
    back.close()
    tx.send(b"ready", SOON)
    assert result.recv(SOON) == b"ready"
    process.kill()
    process.join()
    with pytest.raises((ipcx.Closed, ipcx.PeerDead)):
        result.recv(SOON)
    with pytest.raises((ipcx.Closed, ipcx.PeerDead)):
        while True:
            tx.send(bytes(1000), SOON)


def answer(rx: ipcx.Receiver, tx: ipcx.Sender) -> None:
    with rx, tx:
        tx.send(rx.recv(SOON) + b" by name", SOON)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_ends_with_a_name_are_opened_again_where_they_are_unpickled(method: str, named: Way) -> None:
    back = Way(named.word, True, named.name + "-back", named.directory)
    rx, tx = named.receiver(), back.sender()
    rx.close()
    tx.close()
    process: Any = multiprocessing.get_context(method).Process(target=answer, args=(rx, tx))  # type: ignore[attr-defined]
    process.start()
    result, sender = back.receiver(), named.sender()
    sender.send(b"passed", SOON)
    assert result.recv(SOON) == b"passed by name"
    finish(process)
    ipcx.Transport.unlink(back.word, back.name, back.directory)


def test_an_end_with_a_name_is_pickled_with_its_options(named: Way) -> None:
    rx = named.receiver(mode=0o640, messages=3, message_size=100)
    pickled = pickle.dumps(rx)
    if named.tells:
        with pytest.raises(ipcx.Busy):
            pickle.loads(pickled)
        rx.close()
    with pickle.loads(pickled) as again, named.sender() as tx:
        assert (type(again), again.name, again.transport) == (ipcx.Receiver, named.name, named.word)
        if named.word in ("mqueue", "buffer"):
            assert tx.max_len == 100
        tx.send(b"x", SOON)
        assert again.recv(SOON) == b"x"


def test_what_cannot_be_handed_over_is_not_pickled() -> None:
    tx, rx = ipcx.Transport.pair("ring")
    tx.send(b"x")
    with pytest.raises(ipcx.Invalid, match="used"):
        pickle.dumps(tx)
    tx.close()
    with pytest.raises(ValueError, match="closed"):
        pickle.dumps(tx)
    tx, rx = ipcx.Transport.pair("pipe")
    with pytest.raises(ipcx.WouldBlock):
        tx.send(bytes(200_000), 0)
    with pytest.raises(ipcx.Invalid, match="part"):
        pickle.dumps(tx)
    with ipcx.ChildPipes.spawn(["true"]) as child, pytest.raises(TypeError):
        pickle.dumps(child)


def test_a_forked_child_has_the_ends_without_a_name(nameless: Way) -> None:
    tx, rx = nameless.open()
    in_child(lambda: tx.send(b"from the child", SOON))
    assert rx.recv(SOON) == b"from the child"


def test_a_forked_child_has_none_with_a_name(named: Way) -> None:
    tx, rx = named.open()
    tx.send(b"x", SOON)

    def child() -> None:
        if named.word == "mqueue":
            tx.send(b"a queue is anybody's")
            return
        for call in (lambda: tx.send(b"x"), rx.recv, tx.fileno if named.word != "buffer" else rx.fileno, rx.fileno):
            with pytest.raises(ipcx.Forked, match=f"{named.word} '{named.name}'.*by its name"):
                call()
        with pytest.raises(ipcx.Forked):
            ipcx.wait_any([rx])
        rx.close()

    in_child(child)
    assert rx.recv(SOON) == b"x"


def test_a_used_end_of_a_ring_stays_with_its_process() -> None:
    tx, rx = ipcx.Transport.pair("ring")
    tx.send(b"x")

    def child() -> None:
        with pytest.raises(ipcx.Forked, match="not used yet"):
            tx.send(b"y")
        assert rx.recv() == b"x"

    in_child(child)


def test_a_dead_sender_is_told_after_its_messages(named: Way) -> None:
    rx = named.receiver()

    def sender() -> Any:
        tx = named.sender()
        tx.send(b"last words", SOON)
        return tx

    killed(sender)
    assert rx.recv(SOON) == b"last words"
    with pytest.raises((ipcx.Closed, ipcx.PeerDead) if named.tells else ipcx.Timeout):
        rx.recv(SOON if named.tells else 0.06)


def test_a_program_that_is_executed_gets_an_end_as_a_descriptor(nameless: Way) -> None:
    tx, rx = nameless.open()
    fd = tx.into_fd()
    program = (
        "import ipcx, sys; tx = ipcx.Transport.sender_from_fd(sys.argv[1], int(sys.argv[2])); tx.send(b'from a program', 60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, nameless.word, str(fd)], pass_fds=(fd,)) as process:
        os.close(fd)
        assert rx.recv(SOON) == b"from a program"
    assert process.returncode == 0
