"""Receiving in coroutines."""

import asyncio
import os
from contextlib import suppress

import pytest
from conftest import Run, Thread, fill, in_child

import ipcx


def test_arecv_waits_without_stopping_the_loop(run: Run, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(rx.arecv())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        tx.send(b"1")
        assert await waiting == b"1"
        tx.send_many([b"2", b"3"])
        assert [await rx.arecv(), await rx.arecv()] == [b"2", b"3"]

    run(main())


def test_cancelling_loses_nothing(run: Run, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        for number in range(50):
            waiting = asyncio.create_task(rx.arecv())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            tx.send(bytes([number]))
            if number % 3:
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                received = await waiting
            except asyncio.CancelledError:
                received = rx.recv(0)
            assert received == bytes([number])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await rx.arecv()
        tx.send(b"last")
        assert await rx.arecv() == b"last"

    run(main())


def test_async_for_ends_when_the_producer_closes(run: Run, rx: ipcx.Consumer, tx: ipcx.Producer) -> None:
    async def send() -> None:
        for number in range(10):
            tx.send(bytes([number]))
            await asyncio.sleep(0)
        tx.close()

    async def main() -> list[bytes]:
        sending = asyncio.create_task(send())
        received = [record async for record in rx]
        await sending
        return received

    assert run(main()) == [bytes([number]) for number in range(10)]


def test_async_for_lets_other_tasks_run(run: Run, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        tx.send_many([b"x"] * 200)
        other = asyncio.create_task(asyncio.sleep(0))
        async for _ in rx:
            if other.done():
                return
        pytest.fail("the other task never ran")

    run(main())


def test_a_dead_producer_is_an_error(run: Run, name: str) -> None:
    rx = ipcx.Ring.create(name).consumer()
    child = os.fork()
    if child == 0:
        keep = ipcx.Ring.attach(name).producer()
        keep.send(b"last words")
        os.kill(os.getpid(), 9)

    async def main() -> None:
        assert await rx.arecv() == b"last words"
        with pytest.raises(ipcx.PeerDead):
            await rx.arecv()

    run(main())
    os.waitpid(child, 0)


def test_asend_waits_for_room_without_stopping_the_loop(run: Run, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    sent = fill(tx)

    async def main() -> None:
        data = bytearray(b"as it was" * 9)
        sending = asyncio.create_task(tx.asend(data))
        for _ in range(10):
            await asyncio.sleep(0)
        data[:] = b"otherwise" * 9
        assert not sending.done()
        with pytest.raises(ipcx.Busy, match="task"):
            await tx.asend(bytes(81))
        received = [await rx.arecv() for _ in range(sent + 1)]
        await asyncio.wait_for(sending, 60)
        assert received[-1] == b"as it was" * 9
        for number in range(1000):
            await asyncio.gather(tx.asend(b"%d" % number), rx.arecv())
        with pytest.raises(TypeError):
            tx.asend("text")  # type: ignore[arg-type,unused-coroutine]
        fill(tx)
        for end in (rx, tx):
            sending = asyncio.create_task(tx.asend(bytes(81)))
            await asyncio.sleep(0.01)
            end.close()
            with pytest.raises((ipcx.Closed, ValueError), match="closed"):
                await asyncio.wait_for(sending, 60)

    run(main())


def test_a_second_task_is_refused(run: Run, tx: ipcx.Producer, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        first = asyncio.create_task(rx.arecv())
        await asyncio.sleep(0)
        with pytest.raises(ipcx.Busy, match="task"):
            await rx.arecv()
        tx.send(b"for the first")
        assert await first == b"for the first"

    run(main())


def test_after_close_arecv_is_a_value_error(run: Run, rx: ipcx.Consumer) -> None:
    rx.close()

    async def main() -> None:
        with pytest.raises(ValueError, match="closed"):
            await rx.arecv()

    run(main())


def test_closing_a_consumer_wakes_the_task_that_waits_for_it(run: Run, rx: ipcx.Consumer) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(rx.arecv())
        await asyncio.sleep(0)  # lets it begin to wait
        rx.close()
        with pytest.raises(ValueError, match="closed"):
            await asyncio.wait_for(waiting, 10)

    run(main())


def test_a_forked_child_can_poll_after_it_lost_what_it_inherited(rx: ipcx.Consumer) -> None:
    rx.fileno()

    def child() -> None:
        rx.close()
        ring = ipcx.Ring.anonymous()
        for _ in range(3):
            with ring.consumer() as own:
                own.fileno()

    in_child(child)


def test_tasks_take_turns_with_the_blocks_of_a_pool(run: Run) -> None:
    pool = ipcx.Pool.anonymous(block_size=8, blocks=2)
    done = []

    async def work(number: int) -> None:
        with await pool.aacquire() as block:
            block[0] = number
            await asyncio.sleep(0)
            assert block[0] == number
        done.append(number)

    async def main() -> None:
        await asyncio.wait_for(asyncio.gather(*(work(number) for number in range(50))), 60)

    run(main())
    assert sorted(done) == list(range(50)) and pool.stats().free == 2


def test_a_semaphore_in_async_with(run: Run) -> None:
    semaphore, inside, most = ipcx.Semaphore.anonymous(limit=2), 0, 0

    async def work() -> None:
        nonlocal inside, most
        for _ in range(10):
            async with semaphore as same:
                assert same is semaphore
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

    async def main() -> None:
        await asyncio.wait_for(asyncio.gather(*(work() for _ in range(10))), 60)
        async with semaphore, semaphore:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await semaphore.aacquire()
            waiting = asyncio.create_task(semaphore.aconsume())
            await asyncio.sleep(0)
            semaphore.release()
            await waiting
            assert semaphore.value == 0

    run(main())
    assert most == 2


def test_cancelling_loses_no_permit_and_no_block(run: Run) -> None:
    semaphore, pool = ipcx.Semaphore.anonymous(limit=1), ipcx.Pool.anonymous(block_size=8, blocks=1)

    async def main() -> None:
        for number in range(50):
            semaphore.acquire()
            block = pool.acquire()
            waiting = [asyncio.create_task(semaphore.aacquire()) for _ in range(3)]
            blocks = [asyncio.create_task(pool.aacquire()) for _ in range(3)]
            for _ in range(number % 4):
                await asyncio.sleep(0)
            semaphore.release()
            block.release()
            for _ in range(number % 3):
                await asyncio.sleep(0)
            waiting[0].cancel()
            blocks[0].cancel()
            for task in waiting:
                with suppress(asyncio.CancelledError):
                    await asyncio.wait_for(task, 60)
                    semaphore.release()
            for other in blocks:
                with suppress(asyncio.CancelledError):
                    (await asyncio.wait_for(other, 60)).release()
            assert (semaphore.value, pool.stats().free) == (1, 1)

    run(main())


def test_all_tasks_learn_of_a_new_version(run: Run) -> None:
    buffer = ipcx.Buffer.anonymous()
    fd = buffer.share_fd()
    other = ipcx.Buffer.from_fd(fd)
    os.close(fd)

    async def main() -> None:
        for version in range(1, 50):
            waiting = [asyncio.create_task(buffer.await_newer(version - 1)) for _ in range(5)]
            for _ in range(version % 4):
                await asyncio.sleep(0)
            other.write(b"x")
            if version % 2:
                await asyncio.to_thread(buffer.read)  # lowers the descriptor before the loop has looked
            else:
                buffer.read()
            assert await asyncio.wait_for(asyncio.gather(*waiting), 60) == [version] * 5
        assert await buffer.await_newer(7) == 49
        late = [asyncio.create_task(buffer.await_newer(49)) for _ in range(2)]
        await asyncio.sleep(0)
        late[0].cancel()
        other.write(b"y")
        assert await asyncio.wait_for(late[1], 60) == 50

    run(main())


def test_closing_a_handle_wakes_the_tasks_that_wait_with_it(run: Run) -> None:
    semaphore, pool = ipcx.Semaphore.anonymous(initial=0), ipcx.Pool.anonymous(block_size=8, blocks=1)
    buffer, block = ipcx.Buffer.anonymous(), pool.acquire()

    async def main() -> None:
        waiting: list[asyncio.Task[object]] = []
        for _ in range(3):
            waiting.append(asyncio.create_task(semaphore.aacquire()))
            waiting.append(asyncio.create_task(pool.aacquire()))
            waiting.append(asyncio.create_task(buffer.await_newer(0)))
        await asyncio.sleep(0)
        for handle in (semaphore, pool, buffer):
            await asyncio.to_thread(handle.close)
        for task in waiting:
            with pytest.raises(ValueError, match="closed"):
                await asyncio.wait_for(task, 60)
        # A new handle, whose descriptor may have the same number.
        with ipcx.Buffer.anonymous() as new:
            task = asyncio.create_task(new.await_newer(0))
            await asyncio.sleep(0)
            await asyncio.to_thread(new.write, b"x")
            assert await asyncio.wait_for(task, 60) == 1

    run(main())
    block.release()


def test_a_handle_is_closed_in_another_thread_again_and_again(run: Run) -> None:
    """The number of the descriptor that the loop was told of is soon another's."""

    async def main() -> None:
        for _ in range(200):
            old = ipcx.Semaphore.anonymous(initial=0)
            waiting = asyncio.create_task(old.aacquire())
            await asyncio.sleep(0)
            Thread(old.close).value()
            new = ipcx.Semaphore.anonymous(initial=0)
            other = asyncio.create_task(new.aacquire())
            await asyncio.sleep(0)
            Thread(new.release).value()
            await asyncio.wait_for(other, 60)
            new.close()
            with pytest.raises(ValueError, match="closed"):
                await asyncio.wait_for(waiting, 60)

    run(main())


def test_a_forked_child_keeps_nothing_open_that_a_task_waits_for(run: Run) -> None:
    tx, rx = ipcx.Transport.pair("unix")
    told, tell = os.pipe()
    closed, say_closed = os.pipe()

    async def main() -> None:
        waiting = asyncio.create_task(rx.arecv())
        await asyncio.sleep(0)
        child = os.fork()
        if child == 0:
            tx.close()
            rx.close()
            os.close(tell)
            os.write(say_closed, b"x")
            os.read(told, 1)
            os._exit(0)
        assert os.read(closed, 1) == b"x"
        rx.close()
        with pytest.raises(ValueError, match="closed"):
            await waiting
        with pytest.raises(ipcx.Closed):
            tx.send(b"to nobody")
        os.close(tell)
        assert os.waitpid(child, 0)[1] == 0
        for fd in (told, closed, say_closed):
            os.close(fd)

    run(main())


def test_each_loop_needs_a_handle_of_its_own(run: Run) -> None:
    semaphore = ipcx.Semaphore.anonymous(initial=0)

    async def refused() -> None:
        with pytest.raises(ipcx.Busy, match="loop"):
            await semaphore.aacquire()

    async def main() -> None:
        first = asyncio.create_task(semaphore.aacquire())
        await asyncio.sleep(0)
        await asyncio.to_thread(asyncio.run, refused())
        semaphore.release()
        await first

    run(main())
