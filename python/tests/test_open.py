"""Making, opening, attaching, naming."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import in_child

import ipcx


def test_open_makes_a_ring_and_then_attaches_to_it(name: str) -> None:
    with ipcx.Ring.open(name) as one, ipcx.Ring.open(name) as two:
        one.producer().send(b"hello")
        assert two.consumer().recv(0) == b"hello"
        assert (one.name, one.capacity, one.schema, one.wait) == (name, 1 << 20, None, "balanced")
        assert one.directory == "/dev/shm"


def test_create_is_for_new_names_and_attach_for_old_ones(name: str) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        ipcx.Ring.attach(name)
    assert name in str(missing.value)
    with ipcx.Ring.create(name, capacity=5000) as ring:
        assert ring.capacity == 8192
        with pytest.raises(FileExistsError) as exists:
            ipcx.Ring.create(name)
        assert name in str(exists.value)
        assert ipcx.Ring.attach(name).capacity == 8192


def test_a_segment_of_another_layout_version_is_refused_and_says_so(name: str) -> None:
    ipcx.Ring.create(name).close()
    with Path(f"/dev/shm/ipcx.{name}").open("r+b") as file:
        file.seek(16)
        file.write((ipcx.LAYOUT_VERSION + 1).to_bytes(4, sys.byteorder))
    said = f"its layout version is {ipcx.LAYOUT_VERSION + 1}, and this ipcx has {ipcx.LAYOUT_VERSION}"
    for opening in (ipcx.Ring.attach, ipcx.Ring.open):
        with pytest.raises(ipcx.Mismatch, match=said):
            opening(name)


def test_closing_keeps_the_name_and_unlink_removes_it(name: str) -> None:
    ipcx.Ring.create(name).close()
    ring = ipcx.Ring.attach(name)
    ipcx.unlink(name)
    with pytest.raises(FileNotFoundError):
        ipcx.unlink(name)
    ring.producer().send(b"who has it open goes on")
    assert ring.consumer().recv(0) == b"who has it open goes on"


@pytest.mark.parametrize("bad", ["", "a/b", "/a", "../a", "a b", ".a", "x" * 201, "nul\0"])
def test_a_bad_name_is_a_value_error(bad: str) -> None:
    for call in (ipcx.Ring.create, ipcx.Ring.open, ipcx.Ring.attach, ipcx.unlink):
        with pytest.raises(ValueError) as error:
            call(bad)
        assert isinstance(error.value, ipcx.Invalid)


def test_the_mode_is_private_unless_the_options_say_otherwise(name: str) -> None:
    path = f"/dev/shm/ipcx.{name}"
    ipcx.Ring.create(name).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    ipcx.unlink(name)
    ipcx.Ring.create(name, mode=0o640, group=os.getgid()).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_the_directory_is_an_option_and_ipcx_dir(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ipcx.Ring.create(name, directory=tmp_path) as ring:
        assert ring.directory == str(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"ipcx.{name}"]
    ipcx.Ring.attach(name, directory=str(tmp_path)).close()
    with pytest.raises(FileNotFoundError):
        ipcx.Ring.attach(name)
    monkeypatch.setenv("IPCX_DIR", str(tmp_path))
    assert ipcx.Ring.attach(name).directory == str(tmp_path)
    monkeypatch.delenv("IPCX_DIR")
    ipcx.unlink(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_schema_and_capacity_are_checked_when_both_sides_give_them(name: str) -> None:
    with ipcx.Ring.create(name, schema="ticks v1", capacity=4096) as ring:
        assert ring.schema == "ticks v1"
        assert ipcx.Ring.attach(name).schema == "ticks v1"
        ipcx.Ring.attach(name, schema="ticks v1", capacity=4096).close()
        for options in ({"schema": "ticks v2"}, {"capacity": 8192}):
            with pytest.raises(ipcx.Mismatch) as mismatch:
                ipcx.Ring.attach(name, **options)
            assert isinstance(mismatch.value, ValueError)
            with pytest.raises(ipcx.Mismatch):
                ipcx.Ring.open(name, **options)
    with pytest.raises(ipcx.Invalid):
        ipcx.Ring.anonymous(schema="x" * 64)


def test_the_wait_strategy_is_kept_in_the_ring(name: str) -> None:
    for wait in ("balanced", "spin", "yield", "block"):
        with ipcx.Ring.create(name, wait=wait):
            assert ipcx.Ring.attach(name).wait == wait
        ipcx.unlink(name)
    with pytest.raises(ValueError, match="hover"):
        ipcx.Ring.create(name, wait="hover")  # type: ignore[arg-type]


def test_the_number_of_participants_is_an_option(name: str) -> None:
    with ipcx.Ring.create(name, max_participants=1):
        with pytest.raises(ipcx.NoSpace):
            ipcx.Ring.attach(name)
    ipcx.Ring.attach(name).close()
    for bad in (5000, -1, 1 << 40):
        with pytest.raises((ValueError, OverflowError)):
            ipcx.Ring.anonymous(max_participants=bad)


def test_a_ring_without_a_name_goes_by_descriptor() -> None:
    ring = ipcx.Ring.anonymous(capacity=4096, schema="s")
    assert (ring.name, ring.directory) == ("anonymous", None)
    fd = ring.share_fd()
    try:
        other = ipcx.Ring.from_fd(fd)
        assert (other.capacity, other.schema) == (4096, "s")
        script = f"import ipcx; ipcx.Ring.from_fd({fd}).producer().send(b'from a child')"
        subprocess.run([sys.executable, "-c", script], pass_fds=[fd], check=True)
        assert other.consumer().recv(0) == b"from a child"
    finally:
        os.close(fd)
    with open("/dev/null", "rb") as file, pytest.raises(ipcx.Error):
        ipcx.Ring.from_fd(file)
    with pytest.raises(OSError):
        ipcx.Ring.from_fd(fd)
    with pytest.raises(TypeError):
        ipcx.Ring.from_fd("3")  # type: ignore[arg-type]


def test_after_fork_endpoints_are_the_parents(name: str) -> None:
    ring = ipcx.Ring.create(name)
    tx, rx = ring.producer(), ring.consumer()
    reservation = tx.reserve(8)
    room = ipcx.Ring.anonymous().producer()

    def child() -> None:
        for call in (
            rx.recv,
            rx.borrow,
            rx.fileno,
            reservation.commit,
            lambda: tx.send(b"x"),
            lambda: tx.reserve(1),
            lambda: next(iter(rx)),
            lambda: room.send_many([b"x"]),
        ):
            with pytest.raises(ipcx.Forked):
                call()
        tx.close()
        rx.close()
        ring.close()
        assert ipcx.Ring.attach(name).stats().producer == "alive"

    in_child(child)
    reservation.commit(0)
    assert rx.recv(0) == b""
    assert ring.stats().consumer == "alive"
