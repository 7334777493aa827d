"""Pipes to child processes."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Thread, in_child, until

import ipcx

SOON = 30
SHORT = 0.06
spawn = ipcx.ChildPipes.spawn


def test_a_child_is_fed_and_read_at_once() -> None:
    data = bytes(range(256)) * 4096
    with spawn(["cat"]) as child:
        assert child.exchange(data, SOON) == data
        assert child.exchange(timeout=SOON) == b""
        with pytest.raises(ipcx.Closed):
            child.write(b"x")
    assert child.returncode == 0 and child.wait() == 0 and child.closed


def test_no_shell_takes_arguments_apart(tmp_path: Path) -> None:
    argv: list[Any] = ["printf", "%s|", "$HOME; `id`", b"\xff'\"", tmp_path, ""]
    with spawn(argv) as child:
        assert child.exchange() == b"$HOME; `id`|\xff'\"|" + os.fsencode(tmp_path) + b"||"
    with spawn(iter(["true"])) as child:
        pass
    assert child.returncode == 0


def test_step_by_step() -> None:
    with spawn(["cat"]) as child:
        assert child.write(b"") == 0
        assert child.write(bytearray(b"hello"), SOON) == 5
        assert child.read(2, SOON) == b"he"
        assert child.read(timeout=SOON) == b"llo"
        with pytest.raises(ipcx.WouldBlock):
            child.read(timeout=0)
        with pytest.raises(ipcx.Timeout):
            child.read(timeout=SHORT)
        child.close_input()
        child.close_input()
        assert child.read() == b"" and child.read() == b""
        with pytest.raises(ipcx.Closed, match="closed"):
            child.write(b"x")
        assert child.wait(SOON) == 0


def test_what_was_written_in_time_is_said() -> None:
    with spawn(["sleep", "60"]) as child:
        written = child.write(bytes(1 << 20), SHORT)
        assert 0 < written < 1 << 20
        with pytest.raises(ipcx.Timeout):
            child.write(b"x", SHORT)
        with pytest.raises(ipcx.WouldBlock):
            child.write(b"x", 0)
        with pytest.raises(ipcx.WouldBlock):
            child.wait(0)
        begin = time.monotonic()
        with pytest.raises(ipcx.Timeout):
            child.wait(SHORT)
        assert time.monotonic() - begin >= SHORT
        assert child.returncode is None
        child.kill()
    assert child.returncode == -signal.SIGKILL
    child.kill()


def test_an_exchange_goes_on_after_a_timeout() -> None:
    program = "import sys; sys.stdout.write('early'); sys.stdout.flush(); sys.stdout.write(str(len(sys.stdin.read())))"
    with spawn([sys.executable, "-c", program]) as child:
        assert child.read(1, SOON) == b"e"
        os.kill(child.pid, signal.SIGSTOP)
        data = b"x" * (1 << 20)
        for timeout, error in ((0, ipcx.WouldBlock), (SHORT, ipcx.Timeout)):
            with pytest.raises(error):
                child.exchange(None if timeout else data, timeout)
        with pytest.raises(ValueError, match="not over"):
            child.exchange(b"more")
        os.kill(child.pid, signal.SIGCONT)
        assert child.exchange(timeout=SOON) == b"arly" + str(1 << 20).encode()


def test_a_child_that_does_not_read_is_no_error() -> None:
    with spawn(["echo", "done"]) as child:
        assert child.exchange(bytes(1 << 20), SOON) == b"done\n"
    with spawn(["true"]) as child:
        child.wait(SOON)
        with pytest.raises(ipcx.Closed):
            while True:
                child.write(bytes(4096), SOON)


@pytest.mark.parametrize("status", [0, 1, 255])
def test_the_exit_status_is_told(status: int) -> None:
    with spawn([sys.executable, "-c", f"raise SystemExit({status})"]) as child:
        until(lambda: child.returncode is not None, "ended")
        assert child.returncode == status == child.wait(0)


def test_control_c_ends_a_call() -> None:
    with spawn(["sleep", "60"]) as child:
        for call in (child.wait, child.read, child.exchange):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                call()
        child.kill()


def test_several_threads_may_wait_for_the_end() -> None:
    with spawn(["cat"]) as child:
        waiting = Thread(lambda: child.wait(SOON))
        assert child.exchange() == b""
        assert waiting.value() == 0


def test_a_child_has_the_signals_that_a_program_expects() -> None:
    program = "import signal; print(signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN)"  # Python itself sets that
    with spawn([sys.executable, "-c", program]) as child:
        assert child.exchange() == b"True\n"
    with spawn(["sh", "-c", "kill -PIPE $$; echo survived"]) as child:
        assert child.exchange() == b""
    assert child.returncode == -signal.SIGPIPE


def test_bad_arguments_are_told_as_such(tmp_path: Path) -> None:
    nonsense: Any = 5
    with pytest.raises(ipcx.NotFound, match="no-such-program"):
        spawn(["no-such-program"])
    with pytest.raises(ipcx.PermissionDenied):
        spawn([tmp_path])
    no_list: Any
    for no_list in ("ls -l", b"ls"):
        with pytest.raises(TypeError, match="list"):
            spawn(no_list)
    for no_list in (nonsense, [nonsense], [None]):
        with pytest.raises(TypeError):
            spawn(no_list)
    with pytest.raises(ValueError, match="empty"):
        spawn([])
    with pytest.raises(ValueError, match="null"):
        spawn(["echo", "a\0b"])
    with spawn(["true"]) as child:
        for call in (lambda: child.read(0), lambda: child.read(-1), lambda: child.wait(-1)):
            with pytest.raises(ValueError):
                call()
        with pytest.raises(TypeError):
            child.write("text")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            child.wait(True)
    for closed in (child.read, lambda: child.write(b"x"), child.exchange, child.close_input, child.__enter__):
        with pytest.raises(ValueError, match="closed"):
            closed()
    with pytest.raises(TypeError):
        ipcx.ChildPipes()


def test_what_a_forked_child_inherited_is_not_its_own() -> None:
    with spawn(["cat"]) as child:

        def inherited() -> None:
            calls: list[Callable[[], object]] = [child.wait, child.kill, lambda: child.returncode]
            for call in calls:
                with pytest.raises(ipcx.Forked):
                    call()

        in_child(inherited)
        assert child.exchange(b"x") == b"x"


def test_a_forgotten_child_leaves_no_zombie() -> None:
    child = spawn(["cat"])
    pid = child.pid
    del child

    def reaped() -> bool:
        with spawn(["true"]):
            pass
        return not Path(f"/proc/{pid}").exists()

    until(reaped, "reaped")
