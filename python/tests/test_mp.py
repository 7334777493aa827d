"""ipcx.mp beyond what CPython's tests ask of it: large data without copies, kills, and nothing left behind."""

import os
import pickle
import queue as standard
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

import ipcx
from ipcx import mp

METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    return mp.get_context(request.param)


@pytest.fixture(autouse=True)
def no_new_names() -> Iterator[None]:
    """Nothing of these tests has a name."""
    before = set(Path("/dev/shm").glob("ipcx.anonymous*"))
    yield
    assert set(Path("/dev/shm").glob("ipcx.anonymous*")) == before


def until(true: Any, seconds: float = 30) -> None:
    """Waits for a state that comes."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def kill(process: Any) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def double(jobs: Any, done: Any) -> None:
    while (array := jobs.get()) is not None:
        done.put(array * 2)


def test_arrays_cross_under_each_start_method(context: Any) -> None:
    jobs, done = context.Queue(), context.Queue()
    worker = context.Process(daemon=True, target=double, args=(jobs, done))
    worker.start()
    for n in (0, 1, 1000, 10_000, 1_000_000):
        jobs.put(numpy.arange(n, dtype="float64"))
        assert (done.get() == 2 * numpy.arange(n)).all()
    jobs.put(None)
    worker.join()
    assert worker.exitcode == 0


@pytest.mark.parametrize(
    "obj",
    [b"", b"x" * 64, b"x" * 480, b"x" * 10_000_000, bytearray(5_000_000), "", "ä\udc80", "s" * 100_000, 7, 2**200, None]
    + [{"a": [1, 2.5, (b"y" * 1000,)]}, [b"z" * 100_000, bytearray(100_000)]],
    ids=lambda obj: f"{type(obj).__name__}-{len(obj) if hasattr(obj, '__len__') else obj}"[:30],
)
def test_what_is_put_is_what_is_got(obj: Any) -> None:
    queue = mp.Queue()
    queue.put(obj)
    got = queue.get()
    assert got == obj
    assert type(got) is type(obj)
    assert queue._pool.stats().owned == 0


def test_a_large_array_lies_in_shared_memory_until_it_is_collected() -> None:
    queue = mp.Queue()
    queue.put({"first": numpy.ones(1 << 20), "second": numpy.zeros((1000, 1000), "uint8")})
    got = queue.get()
    assert queue._pool.stats().owned == 1
    got["first"][:] = 3  # it is the receiver's own
    one = got["first"][5:7]
    del got
    assert queue._pool.stats().owned == 1
    assert one.tolist() == [3, 3]
    del one
    assert queue._pool.stats().owned == 0


def test_a_receiver_that_keeps_everything_starves_nobody() -> None:
    queue = mp.Queue()
    kept = []
    for n in range(1500):
        queue.put(numpy.full(10_000, n))
        kept.append(queue.get())
    assert queue._pool.stats().owned == queue._pool.blocks // 2
    assert all((array == n).all() for n, array in enumerate(kept))


def test_an_array_made_for_the_queue_is_put_without_a_copy() -> None:
    queue = mp.Queue()
    array = queue.empty_array((1000, 1000))
    array[:] = 7
    address = array.__array_interface__["data"][0]
    queue.put(array)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1  # the receiver's now
    got = queue.get()
    assert got.__array_interface__["data"][0] == address
    assert got.shape == (1000, 1000)
    assert (got == 7).all()
    del array
    assert queue._pool.stats().owned == 1
    del got
    assert queue._pool.stats().owned == 0


def test_a_part_of_such_an_array_is_copied() -> None:
    queue = mp.Queue()
    array = queue.empty_array(10_000, "int64")
    array[:] = range(10_000)
    queue.put(array[5000:])
    queue.put(array[::2])
    assert queue.get().tolist() == list(range(5000, 10_000))
    assert queue.get().tolist() == list(range(0, 10_000, 2))
    array[0] = 1  # still this process's


def test_more_than_there_is_room_for_waits_in_the_process() -> None:
    queue = mp.Queue()
    for n in range(10_000):
        queue.put(n)
    assert queue.qsize() == 10_000
    assert [queue.get() for _ in range(10_000)] == list(range(10_000))
    queue.close()
    queue.join_thread()


def fill(queue: Any, n: int) -> None:
    for i in range(n):
        queue.put(i)


def test_a_process_ends_once_what_it_kept_was_sent(context: Any) -> None:
    queue = context.Queue()
    process = context.Process(daemon=True, target=fill, args=(queue, 9000))
    process.start()
    assert [queue.get(timeout=30) for _ in range(9000)] == list(range(9000))
    process.join()
    assert process.exitcode == 0


def test_more_than_a_gibibyte_is_refused() -> None:
    queue = mp.Queue(1)
    with pytest.raises(ipcx.TooBig):
        queue.put(numpy.empty((1 << 30) + 1, "uint8"))
    assert queue.empty()


def put_numbers(queue: Any, first: int, told: Any) -> None:
    for number in range(first, first + 1_000_000):
        queue.put(number if number % 10 else numpy.full(10_000, number))
        told.value = number


def get_numbers(queue: Any, seen: Any) -> None:
    while True:
        got = queue.get()
        seen.put(number_of(got))
        del got


def number_of(got: Any) -> int:
    return got if isinstance(got, int) else int(got[-1])


def test_the_ledger_balances_whoever_is_killed() -> None:
    context = mp.get_context("fork")
    queue, seen = context.Queue(500), context.Queue()
    rounds, got, put = 8, [], set()
    for number in range(rounds):
        first = 1_000_000 * number
        told = context.RawValue("q", first - 1)
        producer = context.Process(daemon=True, target=put_numbers, args=(queue, first, told))
        consumer = context.Process(daemon=True, target=get_numbers, args=(queue, seen))
        producer.start()
        consumer.start()
        got += [seen.get(timeout=30) for _ in range(200)]
        # Whoever is killed, the queue stays usable for the other.
        if number % 2:
            kill(producer)
            more = range(first + 900_000, first + 900_100)
            for item in more:
                queue.put(item)
            put |= set(more)
            got += [seen.get(timeout=30) for _ in more]
            kill(consumer)
        else:
            kill(consumer)
            got += [number_of(queue.get(timeout=30)) for _ in range(200)]
            kill(producer)
        put |= set(range(first, told.value + 1))
    for one in (seen, queue):
        while not one.empty():
            got.append(number_of(one.get(timeout=30)))
    assert len(got) == len(set(got)), "something came twice"
    # What was put and did not come: at most the one that each killed consumer had in its hands. What came and was not put: at most
    # the one that each killed producer was about to count.
    assert len(put - set(got)) <= rounds
    assert len(set(got) - put) <= rounds
    queue._pool.recover()
    assert queue._pool.stats().free == queue._pool.blocks


def hold(lock: Any, told: Any) -> None:
    lock.acquire()
    told.set()
    time.sleep(1000)


@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition"])
def test_what_a_killed_process_holds_goes_to_the_next(kind: str, context: Any) -> None:
    lock, told = getattr(context, kind)(), context.Event()
    process = context.Process(daemon=True, target=hold, args=(lock, told))
    process.start()
    assert told.wait(30)
    assert not lock.acquire(False)
    kill(process)
    assert lock.acquire(timeout=5)
    lock.release()


def sleep_on(condition: Any, asleep: Any) -> None:
    with condition:
        asleep.release()
        condition.wait()


def test_a_notification_is_not_lost_on_a_waiter_that_was_killed(context: Any) -> None:
    condition, asleep = context.Condition(), context.Semaphore(0)
    processes = [context.Process(daemon=True, target=sleep_on, args=(condition, asleep)) for _ in range(2)]
    for process in processes:
        process.start()
        assert asleep.acquire(timeout=30)
    until(lambda: condition._sleepers() == 2)
    kill(processes[0])
    with condition:
        condition.notify()
    processes[1].join(30)
    assert processes[1].exitcode == 0


def be_inside(barrier: Any) -> None:
    barrier.wait()


def test_a_barrier_with_a_dead_one_inside_is_broken() -> None:
    context = mp.get_context("fork")
    barrier = context.Barrier(3)
    process = context.Process(daemon=True, target=be_inside, args=(barrier,))
    process.start()
    until(lambda: barrier.n_waiting == 1)
    kill(process)
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait(30)
    barrier.reset()
    assert not barrier.broken


def take_and_hang(queue: Any, told: Any) -> None:
    queue.get()
    told.set()
    time.sleep(1000)


def test_a_task_of_a_dead_consumer_counts_as_done() -> None:
    context = mp.get_context("fork")
    queue, told = context.JoinableQueue(), context.Event()
    queue.put("work")
    process = context.Process(daemon=True, target=take_and_hang, args=(queue, told))
    process.start()
    assert told.wait(30)
    assert queue._unfinished()
    kill(process)
    queue.join()
    with pytest.raises(ValueError, match="too many"):
        queue.task_done()


def acquire_and_end(semaphore: Any) -> None:
    semaphore.acquire()


def test_a_permit_stays_used_up_at_a_normal_end(context: Any) -> None:
    semaphore = context.Semaphore(2)
    process = context.Process(daemon=True, target=acquire_and_end, args=(semaphore,))
    process.start()
    process.join()
    assert semaphore.get_value() == 1
    semaphore.release()
    assert semaphore.get_value() == 2


def give(lock: Any) -> None:
    lock.release()


def test_a_lock_may_be_released_by_another_process(context: Any) -> None:
    lock = context.Lock()
    for _ in range(3):
        lock.acquire()
        process = context.Process(daemon=True, target=give, args=(lock,))
        process.start()
        process.join()
        assert lock.acquire(False)
        lock.release()
    with pytest.raises(ValueError):
        lock.release()


def end_at_once(connection: Any) -> None:
    pass


def test_a_connection_ends_with_the_last_process_that_has_the_other_end(context: Any) -> None:
    ours, theirs = context.Pipe()
    process = context.Process(daemon=True, target=end_at_once, args=(theirs,))
    process.start()
    theirs.close()
    with pytest.raises(EOFError):
        ours.recv()
    with pytest.raises(BrokenPipeError):
        for _ in range(1000):
            ours.send(1)
    process.join()


def test_a_queue_can_be_sent_through_a_queue(context: Any) -> None:
    jobs, inner = context.Queue(), context.Queue()
    jobs.put(inner)
    jobs.get().put(5)
    assert inner.get(timeout=5) == 5


def square(x: Any) -> Any:
    return x * x


def test_a_pool_works_with_arrays(context: Any) -> None:
    with context.Pool(2) as pool:
        results = pool.map(square, [numpy.full(100_000, n) for n in range(10)])
    assert [int(array[0]) for array in results] == [n * n for n in range(10)]


def pass_on(queue: Any, done: Any, n: int) -> None:
    for _ in range(n):
        done.put(queue.get())


def test_threads_of_a_process_share_a_queue() -> None:
    queue, done = mp.Queue(), mp.Queue()
    threads = [threading.Thread(target=fill, args=(queue, 1000)) for _ in range(3)]
    threads += [threading.Thread(target=pass_on, args=(queue, done, 1000)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done.get() for _ in range(3000)) == sorted([*range(1000)] * 3)


def test_reducers_of_multiprocessing_are_used() -> None:
    queue = mp.Queue()
    ours, theirs = mp.Pipe()
    queue.put(theirs)
    theirs.close()
    queue.get().send("through a pipe that came through a queue")
    assert ours.recv().startswith("through")
    assert pickle.loads(pickle.dumps(os.getpid())) == os.getpid()
