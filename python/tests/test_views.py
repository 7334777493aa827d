"""Records and reservations in place: nothing can touch the memory after it was given back."""

import struct

import pytest

import ipcx


def test_a_reservation_is_sent_at_the_end_of_the_block(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with tx.reserve(8) as view:
        assert len(view) == 8
        view[:] = b"????????"
        struct.pack_into("<H", view, 0, 0x4241)
        view[2] = ord("C")
        view[3:5] = b"DE"
        assert (view[0], view[-8], view[0:5], view[2:0:-1]) == (65, 65, b"ABCDE", b"CB")
        with memoryview(view) as window:
            assert not window.readonly
            window[5:] = b"FGH"
        with pytest.raises(ipcx.WouldBlock):
            rx.recv(0)
    assert rx.recv(0) == b"ABCDEFGH"


def test_a_commit_may_be_shorter_and_is_at_once(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with tx.reserve(100) as view:
        view[:3] = b"abc"
        with pytest.raises(ValueError):
            view.commit(101)
        view.commit(3)
        assert rx.recv(0) == b"abc"
        with pytest.raises(ValueError):
            view.commit(3)
    room = tx.reserve(4)
    room[:] = b"1234"
    room.commit()
    assert rx.recv(0) == b"1234"
    with pytest.raises(ValueError):
        room.abort()
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)


def test_an_exception_or_an_abort_sends_nothing(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with pytest.raises(ZeroDivisionError), tx.reserve(8) as view:
        view[:] = b"nothing!"
        raise ZeroDivisionError
    with tx.reserve(8) as view:
        view.abort()
    tx.reserve(8)  # dropped
    assert tx.position == 0
    tx.send(b"next")
    assert rx.recv(0) == b"next"


def test_one_reservation_at_a_time(tx: ipcx.Producer) -> None:
    with tx.reserve(8) as view:
        for call in (lambda: tx.send(b"x"), lambda: tx.reserve(1), lambda: tx.send_many([b"x"])):
            with pytest.raises(ipcx.Invalid, match="reservation"):
                call()
        view.abort()
    tx.send(b"x")


def test_after_the_end_the_memory_cannot_be_touched(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with tx.reserve(8) as view:
        view[:] = b"12345678"
    with rx.borrow() as record:
        pass
    for ended in (view, record):
        with pytest.raises(BufferError):
            memoryview(ended)
        with pytest.raises(ValueError):
            ended[0]
        with pytest.raises(ValueError):
            ended.__enter__()
    with pytest.raises(ValueError):
        view[0] = 1
    with pytest.raises(ValueError):
        view.commit()
    with pytest.raises(ValueError):
        record.release()


def test_a_view_that_is_left_keeps_a_reservation_from_being_sent(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    with pytest.raises(BufferError), tx.reserve(8) as view:
        left = memoryview(view)
    with pytest.raises(BufferError):
        memoryview(view)
    for call in (lambda: tx.send(b"x"), lambda: tx.reserve(1), tx.close):
        with pytest.raises(BufferError):
            call()
    left[:] = b"harmless"
    left.release()
    tx.send(b"goes on")
    assert rx.recv(0) == b"goes on"
    room = tx.reserve(8)
    left = memoryview(room)[:5]
    with pytest.raises(BufferError):
        room.commit(5)
    left[:] = b"later"
    left.release()
    room.commit(5)
    assert rx.recv(0) == b"later"


def test_a_borrowed_record_is_released_at_the_end_of_the_block(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    tx.send_many([b"one", b"two"])
    with rx.borrow() as record:
        assert (len(record), record.position, bytes(record), record[1:], record[0]) == (3, 0, b"one", b"ne", 111)
        with memoryview(record) as view:
            assert view.readonly
            assert view.tobytes() == b"one"
        with pytest.raises(TypeError):
            record[0] = 1  # type: ignore[index]
        with pytest.raises(TypeError):
            struct.pack_into("B", record, 0, 1)
        with pytest.raises(ipcx.Invalid, match="borrowed"):
            rx.recv(0)
    with rx.borrow() as record:
        assert (bytes(record), record.position) == (b"two", 16)
        record.release()
        with pytest.raises(ipcx.WouldBlock):
            rx.borrow(0)


def test_after_an_exception_the_record_is_delivered_again(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    tx.send(b"again")
    with pytest.raises(ZeroDivisionError), rx.borrow() as record:
        position = record.position
        raise ZeroDivisionError
    rx.borrow()  # dropped
    with rx.borrow(0) as record:
        assert (bytes(record), record.position) == (b"again", position)
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)


def test_a_view_that_is_left_keeps_the_record(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    tx.send(b"kept")
    with pytest.raises(BufferError), rx.borrow() as record:
        left = memoryview(record)
    for call in (rx.recv, rx.borrow, rx.close):
        with pytest.raises(BufferError):
            call()
    assert left.tobytes() == b"kept"
    left.release()
    assert rx.recv(0) == b"kept"
    tx.send(b"release")
    record = rx.borrow()
    left = memoryview(record)
    with pytest.raises(BufferError):
        record.release()
    left.release()
    record.release()
    with pytest.raises(ipcx.WouldBlock):
        rx.recv(0)


def test_an_exception_is_not_hidden_by_a_view_that_is_left(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    tx.send(b"kept")
    with pytest.raises(ZeroDivisionError), rx.borrow() as record:
        left = memoryview(record)
        raise ZeroDivisionError
    with pytest.raises(BufferError):
        rx.recv(0)
    del left
    assert rx.recv(0) == b"kept"
    with pytest.raises(ZeroDivisionError), tx.reserve(4) as view:
        left = memoryview(view)
        raise ZeroDivisionError
    with pytest.raises(BufferError):
        tx.send(b"x")
    left[0] = 1
    del left
    tx.send(b"x")
    assert rx.recv(0) == b"x"


def test_closing_ends_what_is_lent(tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    tx.send(b"x")
    record, room = rx.borrow(), tx.reserve(4)
    rx.close()
    tx.close()
    for call in (record.release, room.commit, room.abort, lambda: record[0]):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(BufferError):
        memoryview(record)


def test_a_view_keeps_the_ring_mapped(tx: ipcx.Producer, ring: ipcx.Ring) -> None:
    tx.send(b"still here")
    view = memoryview(ring.consumer().borrow())
    ring.close()
    assert view.tobytes() == b"still here"


def test_a_record_can_be_forwarded_without_a_copy_in_between() -> None:
    one, two = ipcx.Ring.anonymous(), ipcx.Ring.anonymous()
    rx = one.consumer()
    one.producer().send(b"forward")
    with rx.borrow() as record:
        two.producer().send(record)
    assert two.consumer().recv(0) == b"forward"
