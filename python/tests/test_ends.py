"""How things end: closing, dying, taking over, use after close. And which exception says so."""

import os
from typing import Any

import pytest
from conftest import fill, killed

import ipcx


def test_a_consumer_gets_everything_and_then_the_end(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    tx.send_many([b"1", b"2"])
    tx.close()
    assert list(rx) == [b"1", b"2"]
    assert list(rx) == []
    for call in (rx.recv, rx.borrow, lambda: rx.recv_many(3), lambda: rx.recv(0)):
        with pytest.raises(EOFError) as error:
            call()
        assert isinstance(error.value, ipcx.Closed)
        assert isinstance(error.value, BrokenPipeError)


def test_a_successor_goes_on_after_the_end(ring: ipcx.Ring, rx: ipcx.Consumer) -> None:
    for round in (b"1", b"2"):
        with ring.producer() as tx:
            tx.send(round)
        assert list(rx) == [round]


def test_a_producer_whose_consumer_closed_can_fill_the_ring(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    rx.close()
    with pytest.raises(ipcx.Closed):
        while True:
            tx.send(bytes(64))


def test_a_dead_producer_is_said_after_its_records_and_its_successor_goes_on(name: str) -> None:
    ring = ipcx.Ring.create(name)
    rx = ring.consumer()

    def producer() -> Any:
        tx = ipcx.Ring.attach(name).producer()
        tx.send_many([b"1", b"2"])
        tx.reserve(10)[:] = b"never sent"
        return tx

    killed(producer)
    assert ring.stats().producer == "dead"
    received = []
    with pytest.raises(ConnectionResetError) as error:
        for record in rx:
            received.append(record)
    assert received == [b"1", b"2"]
    assert isinstance(error.value, ipcx.PeerDead)
    assert name in str(error.value)
    with ring.producer() as tx:
        tx.send(b"3")
        assert rx.recv() == b"3"
        with pytest.raises(ipcx.WouldBlock):
            rx.recv(0)


def test_what_a_dead_consumer_had_not_released_is_delivered_again(name: str) -> None:
    ring = ipcx.Ring.create(name, capacity=4096)
    tx = ring.producer()
    tx.send_many([b"1", b"2"])

    def consumer() -> Any:
        rx = ipcx.Ring.attach(name).consumer()
        assert rx.recv() == b"1"
        return memoryview(rx.borrow())

    killed(consumer)
    with pytest.raises(ipcx.PeerDead):
        while True:
            tx.send(bytes(64))
    with ring.consumer().borrow() as record:
        assert (bytes(record), record.position) == (b"2", 16)


def test_a_role_is_taken_once_and_the_error_names_the_holder(name: str) -> None:
    ring = ipcx.Ring.create(name)
    tx, rx = ring.producer(), ring.consumer()
    for take in (ring.producer, ring.consumer, ipcx.Ring.attach(name).producer):
        with pytest.raises(ipcx.Busy) as error:
            take()
        assert str(os.getpid()) in str(error.value)
        assert name in str(error.value)
    tx.close()
    ring.producer().close()
    del rx
    ring.consumer().close()


def test_after_close_everything_is_a_value_error(ring: ipcx.Ring) -> None:
    tx, rx = ring.producer(), ring.consumer()
    for end in (tx, rx, ring):
        assert not end.closed
        assert "open" in repr(end)
        end.close()
        end.close()
        assert end.closed
        assert "closed" in repr(end)
        with pytest.raises(ValueError, match="closed"):
            end.__enter__()
    for call in (
        lambda: tx.send(b"x"),
        lambda: tx.send_many([b"x"]),
        lambda: tx.send_packed(b"x", [0, 1]),
        lambda: tx.reserve(1),
        lambda: tx.send_file(0, 1),
        tx.fileno,
        lambda: tx.max_len,
        lambda: tx.position,
        rx.recv,
        lambda: rx.recv_many(1),
        lambda: rx.recv_packed(1),
        lambda: rx.recv_into(bytearray(9)),
        rx.borrow,
        lambda: next(rx),
        rx.fileno,
        lambda: rx.position,
        ring.producer,
        ring.consumer,
        ring.stats,
        ring.share_fd,
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert ring.capacity == 4096


def test_with_closes(name: str) -> None:
    with ipcx.Ring.create(name) as ring, ring.producer() as tx, ring.consumer() as rx:
        tx.send(b"x")
    assert ring.closed and tx.closed and rx.closed
    with pytest.raises(ZeroDivisionError), ipcx.Ring.attach(name).consumer() as rx:
        raise ZeroDivisionError
    assert rx.closed
    assert ipcx.Ring.attach(name).stats().consumer == "closed"


def test_endpoints_outlive_the_handle(ring: ipcx.Ring) -> None:
    tx, rx = ring.producer(), ring.consumer()
    ring.close()
    tx.send(b"x")
    assert rx.recv() == b"x"


def test_objects_are_not_made_or_changed_by_hand(ring: ipcx.Ring) -> None:
    for kind in (ipcx.Ring, ipcx.Producer, ipcx.Consumer, ipcx.Record, ipcx.Reservation, ipcx.RingStats):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            type("Sub", (kind,), {})
    with pytest.raises(AttributeError):
        ring.name = "other"  # type: ignore[misc]


BASES: dict[type[ipcx.Error], tuple[type[BaseException], ...]] = {
    ipcx.WouldBlock: (BlockingIOError,),
    ipcx.Timeout: (TimeoutError,),
    ipcx.Closed: (BrokenPipeError, EOFError),
    ipcx.PeerDead: (ConnectionResetError,),
    ipcx.Exists: (FileExistsError,),
    ipcx.NotFound: (FileNotFoundError,),
    ipcx.Busy: (),
    ipcx.Mismatch: (ValueError,),
    ipcx.Corrupt: (),
    ipcx.TooBig: (ValueError,),
    ipcx.NoSpace: (),
    ipcx.PermissionDenied: (PermissionError,),
    ipcx.RemoteError: (),
    ipcx.Forked: (),
    ipcx.Invalid: (ValueError,),
}


def test_every_exception_is_an_error_and_the_fitting_built_in() -> None:
    for kind, bases in BASES.items():
        assert issubclass(kind, (ipcx.Error,))
        assert issubclass(kind, OSError)
        assert all(issubclass(kind, base) for base in bases)
        assert kind.__module__ == "ipcx"
        assert kind.__doc__
    exported = {kind for name in ipcx.__all__ if isinstance(kind := getattr(ipcx, name), type)}
    assert {kind for kind in exported if issubclass(kind, BaseException)} == {ipcx.Error, *BASES}


def test_errors_have_a_number_and_name_the_segment(name: str) -> None:
    ring = ipcx.Ring.create(name, capacity=4096)
    tx, rx = ring.producer(), ring.consumer()
    errors = []

    def borrow_twice() -> None:
        tx.send(b"x")
        with rx.borrow():
            rx.borrow()

    def send_to_nobody() -> None:
        fill(tx)
        rx.close()
        tx.send(bytes(64))

    for call in (
        lambda: rx.recv(0),
        lambda: rx.recv(0.001),
        lambda: ipcx.Ring.create(name),
        lambda: ipcx.Ring.attach(name, capacity=8192),
        lambda: ipcx.Ring.attach(name + "-other"),
        lambda: tx.send(bytes(5000)),
        ring.producer,
        borrow_twice,
        send_to_nobody,
    ):
        with pytest.raises(ipcx.Error) as error:
            call()
        assert error.value.errno == error.value.args[0] != 0
        assert name in str(error.value)
        errors.append(error.type)
    assert errors == [
        ipcx.WouldBlock,
        ipcx.Timeout,
        ipcx.Exists,
        ipcx.Mismatch,
        ipcx.NotFound,
        ipcx.TooBig,
        ipcx.Busy,
        ipcx.Invalid,
        ipcx.Closed,
    ]


def test_a_scribbled_header_is_corrupt(name: str) -> None:
    ipcx.Ring.create(name).close()
    with open(f"/dev/shm/ipcx.{name}", "r+b") as file:
        file.seek(100)
        file.write(b"scribble")
    with pytest.raises(ipcx.Corrupt):
        ipcx.Ring.attach(name)


def test_a_segment_of_somebody_else_is_refused(name: str) -> None:
    ipcx.Ring.create(name).close()
    path = f"/dev/shm/ipcx.{name}"
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        os.chmod(path, 0)
    with pytest.raises(PermissionError) as error:
        ipcx.Ring.attach(name)
    assert isinstance(error.value, ipcx.PermissionDenied)
    os.unlink(path)


def test_the_package_says_what_it_is() -> None:
    assert ipcx.__version__.count(".") == 2
    assert ipcx.LAYOUT_VERSION >= 1
    assert sorted(ipcx.__all__, key=lambda name: (not name.isupper(), name)) == ipcx.__all__
    assert all(getattr(ipcx, name).__doc__ for name in ipcx.__all__)
