"""Requests and replies: between processes, with deadlines, when servers die, in coroutines; functions as servers."""

import asyncio
import multiprocessing
import os
import pickle
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkProcess, SpawnProcess
from pathlib import Path

import pytest
from conftest import Run, Thread, in_child, killed, until

import ipcx

SOON = 10.0


@pytest.fixture
def service() -> Iterator[ipcx.Service]:
    with ipcx.Service.anonymous(max_request=64, max_reply=64, depth=4) as service:
        yield service


@pytest.fixture
def client(service: ipcx.Service) -> ipcx.Client:
    return service.client()


@pytest.fixture
def server(service: ipcx.Service) -> ipcx.Server:
    return service.server()


def reverse(request: bytes) -> bytes:
    """What the servers of these tests do."""
    match request:
        case b"die":
            os.kill(os.getpid(), signal.SIGKILL)
        case b"pid":
            return str(os.getpid()).encode()
        case b"stop":
            os.kill(os.getpid(), signal.SIGSTOP)
            return str(os.getpid()).encode()
        case b"too long":
            return request * 10
        case b"no bytes":
            return None  # type: ignore[return-value]
        case b"bad":
            raise ValueError("not this one")
    return request[::-1]


def serve(service: ipcx.Service) -> None:
    service.handler(reverse).run()


async def slowly(request: bytes) -> bytes:
    if request == b"bad":
        raise KeyError("none")
    await asyncio.sleep(float(request))
    return request


def serve_slowly(service: ipcx.Service) -> None:
    service.handler(slowly).run()


@contextmanager
def serving(
    service: ipcx.Service, method: str = "fork", target: Callable[[ipcx.Service], None] = serve
) -> Iterator[ForkProcess | SpawnProcess]:
    """A process that serves until it is told to end."""
    before = len(service.stats().servers)
    context = multiprocessing.get_context("fork") if method == "fork" else multiprocessing.get_context("spawn")
    process = context.Process(target=target, args=(service,))
    process.start()
    until(lambda: len(service.stats().servers) > before, "serving")
    try:
        yield process
    finally:
        process.terminate()
        process.join(SOON)
        assert process.exitcode in (0, -signal.SIGKILL)


def test_the_ways_to_open_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ipcx.Service.attach(name)
    one = ipcx.Service.create(name, max_request=100, max_clients=3, depth=5, schema="kv", wait="yield")
    with pytest.raises(FileExistsError):
        ipcx.Service.create(name)
    for two in (ipcx.Service.open(name), ipcx.Service.attach(name, max_request=100, depth=8, schema="kv")):
        assert (two.max_request, two.max_reply, two.max_clients, two.depth) == (100, 1024, 3, 8)
        assert (two.name, two.directory, two.schema, two.wait, two.closed) == (name, "/dev/shm", "kv", "yield", False)
    with pytest.raises(ipcx.Mismatch):
        ipcx.Service.open(name, max_reply=7)
    with pytest.raises(ValueError):
        ipcx.Service.open(name, depth=-1)
    client, server = one.client(), one.server()
    one.close()
    assert one.closed and repr(one).endswith("closed>")
    with pytest.raises(ValueError, match="closed"):
        one.client()
    client.send(b"they go on")
    assert server.recv().data == b"they go on"
    assert ipcx.Service.open("s", directory=tmp_path).directory == str(tmp_path)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_answers(service: ipcx.Service, client: ipcx.Client, method: str) -> None:
    with serving(service, method) as process:
        assert client.call(b"hello") == b"olleh"
        assert client.call(bytearray(b"ab"), timeout=SOON) == b"ba"
        assert client.call(b"") == b""
        assert int(client.call(b"pid")) == process.pid
        (served,), (asking,) = service.stats().servers, service.stats().clients
        assert (served.alive, served.taken, asking.alive, asking.waiting, asking.taken) == (True, 0, True, 0, 0)
        assert served.process is not None and served.process.pid == process.pid
    with pytest.raises(ipcx.Closed):
        client.call(b"more", SOON)


def test_what_a_function_raises_goes_to_the_client(service: ipcx.Service, client: ipcx.Client) -> None:
    with serving(service):
        for request, said in (
            (b"bad", "ValueError: not this one"),
            (b"no bytes", "TypeError: a bytes-like object is needed, not 'NoneType'"),
            (b"too long", "TooBig: "),
        ):
            with pytest.raises(ipcx.RemoteError, match="refused by the server: ") as caught:
                client.call(request, SOON)
            assert said.startswith(caught.value.text[: len(said)]) and caught.value.text.startswith(said[:6])
            assert caught.value.request is not None and isinstance(caught.value, ipcx.Error)
        assert client.call(b"it goes on") == b"no seog ti"


def test_requests_are_answered_in_any_order(client: ipcx.Client, server: ipcx.Server) -> None:
    ids = [client.send(data) for data in (b"a", b"b", b"c", b"d")]
    with pytest.raises(ipcx.WouldBlock):
        client.send(b"one more", SOON)  # Replies are to be received first.
    requests = [server.recv(0) for _ in ids]
    assert [bytes(request) for request in requests] == [b"a", b"b", b"c", b"d"]
    assert [len(request) for request in requests] == [1] * 4 and len({request.id for request in requests}) == 4
    with pytest.raises(ipcx.WouldBlock):
        server.recv(0)
    with pytest.raises(ipcx.WouldBlock):
        client.recv(0)
    requests[2].reply(b"C")
    assert client.recv() == (ids[2], b"C")
    server.reply(requests[0].id, memoryview(b"A"))
    assert client.recv(0) == (ids[0], b"A")
    requests[3].refuse("not you: \N{SNOWMAN}")
    with pytest.raises(ipcx.RemoteError) as caught:
        client.recv(SOON)
    assert (caught.value.request, caught.value.text) == (ids[3], "not you: \N{SNOWMAN}")
    client.forget(ids[1])
    requests[1].reply(b"nobody waits for it")
    with pytest.raises(ipcx.Invalid):
        client.recv(SOON)
    for again in (requests[1].reply, lambda data: server.reply(requests[2].id, data)):
        with pytest.raises(ipcx.Invalid, match="answered"):
            again(b"twice")


def test_sizes(service: ipcx.Service, client: ipcx.Client, server: ipcx.Server) -> None:
    assert (client.max_request, client.max_reply, server.max_request, server.max_reply) == (64, 64, 64, 64)
    for ask in (client.call, client.send):
        with pytest.raises(ipcx.TooBig):
            ask(bytes(65))
    id = client.send(bytes(64))
    request = server.recv()
    with pytest.raises(ipcx.TooBig):
        request.reply(bytes(65))
    request.reply(bytes(64))
    assert client.recv() == (id, bytes(64))
    with ipcx.Service.anonymous(max_request=1 << 20, max_reply=1 << 20, depth=1, max_clients=1) as large:
        data = os.urandom(1 << 20)
        with serving(large):
            assert large.client().call(data, SOON) == data[::-1]


def test_nobody_waits_longer_than_it_said(service: ipcx.Service, client: ipcx.Client) -> None:
    with pytest.raises(ipcx.WouldBlock):
        client.call(b"x", 0)
    for reason in ("no server has attached", "no server has taken the request"):
        begin = time.monotonic()
        with pytest.raises(ipcx.Timeout, match=reason) as error:
            client.call(b"x", 0.12)
        assert error.value.taken is False
        assert 0.12 <= time.monotonic() - begin < SOON
        server = service.server()
    with pytest.raises(ipcx.Timeout):
        server.recv(0.06)  # They were withdrawn.
    calling = Thread(lambda: client.call(b"how long?", 0.5))
    request = server.recv()
    assert request.remaining is not None and 0 < request.remaining <= 0.5
    with pytest.raises(ipcx.Timeout, match=f"the server of process {os.getpid()} .* has not answered it") as error:
        calling.value()
    assert error.value.taken is True
    assert request.remaining == 0.0 == server.remaining(request.id)
    request.reply(b"too late")
    id = client.send(b"no hurry")
    request = server.recv()
    assert request.remaining is None and server.skipped == 0
    request.reply(b"right")
    assert client.recv() == (id, b"right")


def test_a_killed_servers_client_is_told_at_once_and_another_goes_on(service: ipcx.Service, client: ipcx.Client) -> None:
    with serving(service), serving(service):
        assert len(service.stats().servers) == 2
        begin = time.monotonic()
        with pytest.raises(ipcx.PeerDead, match="may have been carried out") as error:
            client.call(b"die")
        assert error.value.taken is True
        assert time.monotonic() - begin < 2
        assert client.call(b"abc", SOON) == b"cba"
        with pytest.raises(ipcx.PeerDead):
            client.call(b"die", SOON)
        with pytest.raises(ipcx.PeerDead, match="start a server") as error:
            client.call(b"abc", SOON)
        assert isinstance(error.value, ConnectionResetError) and error.value.taken is False
    with serving(service):
        assert client.call(b"abc", SOON) == b"cba"


def test_of_several_the_id_tells_which_was_lost(service: ipcx.Service, client: ipcx.Client) -> None:
    ids = {client.send(data): data for data in (b"ab", b"die", b"cd")}
    ended: dict[bytes, object] = {}
    with serving(service):
        for _ in ids:
            try:
                id, reply = client.recv(SOON)
                ended[ids[id]] = reply
            except ipcx.PeerDead as error:
                assert error.request is not None
                ended[ids[error.request]] = "dead"
    assert ended == {b"ab": b"ba", b"die": "dead", b"cd": "dead"}


def is_stopped(pid: int | None) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_what_one_server_does_not_come_to_the_other_does(service: ipcx.Service, client: ipcx.Client) -> None:
    with serving(service) as one, serving(service) as two:
        id = client.send(b"stop")
        until(lambda: is_stopped(one.pid) or is_stopped(two.pid), "stopped")
        stopped, other = (one.pid, two.pid) if is_stopped(one.pid) else (two.pid, one.pid)
        assert stopped is not None
        for _ in range(100):
            assert int(service.client().call(b"pid", SOON)) == other
        os.kill(stopped, signal.SIGCONT)
        assert client.recv(SOON) == (id, str(stopped).encode())


def test_a_server_that_closes_refuses_what_it_has(service: ipcx.Service, client: ipcx.Client) -> None:
    with service.server() as server, service.server() as other:
        ids = [client.send(b"taken"), client.send(b"waiting")]
        request = server.recv()
        server.close()
        assert server.closed and "closed" in repr(server)
        with pytest.raises(ipcx.RemoteError, match="closed") as caught:
            client.recv()
        assert caught.value.request == ids[0]
        with pytest.raises(ValueError, match="closed"):
            request.reply(b"too late")
        other.recv().reply(b"here")
        assert client.recv() == (ids[1], b"here")


def test_a_client_that_closes_or_dies_leaves_nothing_to_do(service: ipcx.Service, server: ipcx.Server) -> None:
    with service.client() as client:
        client.send(b"x")
    assert client.closed
    killed(lambda: [asking := service.client(), asking.send(b"y")])
    clients = [service.client() for _ in range(32)]
    with pytest.raises(ipcx.NoSpace, match="max_clients"):
        service.client()
    with pytest.raises(ipcx.WouldBlock):
        server.recv(0)
    assert len(clients) == len(service.stats().clients)


def test_a_forked_child_has_ends_of_its_own(service: ipcx.Service, client: ipcx.Client, server: ipcx.Server) -> None:
    id = client.send(b"hello")
    request = server.recv()

    def child() -> None:
        for call in (
            lambda: client.call(b"x"),
            lambda: client.send(b"x"),
            lambda: client.recv(0),
            client.fileno,
            lambda: server.recv(0),
            lambda: request.reply(b"x"),
            lambda: request.refuse("x"),
            lambda: request.remaining,
            server.fileno,
        ):
            with pytest.raises(ipcx.Forked):
                call()
        client.close()
        server.close()
        own, other = service.client(), service.server()  # of a handle that attaches anew
        mine = own.send(b"from the child")
        other.recv(SOON).reply(b"to the child")
        assert own.recv(SOON) == (mine, b"to the child")

    in_child(child)
    request.reply(b"to the parent")
    assert client.recv(SOON) == (id, b"to the parent")


def test_signal_handlers_run_and_may_end_a_wait(service: ipcx.Service, client: ipcx.Client, server: ipcx.Server) -> None:
    def answer(*_: object) -> None:
        with suppress(ipcx.WouldBlock):
            server.recv(0).reply(b"by a handler")

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, answer)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert client.call(b"x", SOON) == b"by a handler"
        signal.signal(signal.SIGALRM, end)
        for wait in (lambda: client.call(b"y"), server.recv):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(KeyboardInterrupt):
                wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ipcx.WouldBlock):
        server.recv(0)  # The call that was ended is withdrawn.


def test_an_end_is_one_threads_at_a_time(client: ipcx.Client, server: ipcx.Server) -> None:
    def busy(call: Callable[[], object]) -> bool:
        try:
            call()
        except ipcx.Busy:
            return True
        return False

    calling = Thread(lambda: client.call(b"x"))
    until(lambda: busy(lambda: client.max_reply), "in use")
    server.recv(SOON).reply(b"y")
    assert calling.value() == b"y"


@pytest.fixture
def numbers() -> Iterator[tuple[int, int]]:
    """Two signals that wait to be asked for, and are gone afterwards."""
    numbers = (signal.SIGRTMIN + 3, signal.SIGRTMIN + 4)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    yield numbers
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)  # one that is still queued would end the process
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_descriptors_and_signals(client: ipcx.Client, server: ipcx.Server, numbers: tuple[int, int]) -> None:
    poll = select.poll()
    ends: list[ipcx.Client | ipcx.Server] = [server, client]
    for end, number in zip(ends, numbers, strict=True):
        poll.register(end, select.POLLIN)
        with pytest.raises(ipcx.Invalid):
            end.signal(signal.SIGUSR1)
        end.signal(number)

    def is_told(end: ipcx.Client | ipcx.Server) -> bool:
        told = signal.sigtimedwait(numbers, SOON)
        return told is not None and told.si_signo == numbers[end is client] and poll.poll(2000) == [(end.fileno(), select.POLLIN)]

    for _ in range(10):
        assert poll.poll(0) == []
        id = client.send(b"x")
        assert is_told(server)
        server.recv(0).reply(b"y")
        with pytest.raises(ipcx.WouldBlock):
            server.recv(0)
        assert is_told(client)
        assert client.recv(0) == (id, b"y")
        with pytest.raises(ipcx.WouldBlock):
            client.recv(0)
    client.signal(None)
    server.signal(0)


def test_ends_are_waited_for_among_other_things(client: ipcx.Client, server: ipcx.Server) -> None:
    semaphore = ipcx.Semaphore.anonymous(initial=0)
    things: list[ipcx.Semaphore | ipcx.Client | ipcx.Server] = [semaphore, client, server]
    with pytest.raises(ipcx.Timeout):
        ipcx.wait_any(things, 0.02)
    client.send(b"x")
    assert ipcx.wait_any(things, SOON) == [server]
    server.recv(0).reply(b"y")
    assert ipcx.wait_any(things) == [client]
    with pytest.raises(ValueError, match="twice"):
        ipcx.wait_any([client, client])


def test_many_tasks_call_at_once(run: Run, service: ipcx.Service, client: ipcx.Client) -> None:
    async def main() -> None:
        numbers = [f"{number}".encode() for number in range(200)]
        replies = await asyncio.gather(*(client.acall(number, SOON) for number in numbers))  # 4 at a time
        assert replies == [number[::-1] for number in numbers]
        results = await asyncio.gather(client.acall(b"ab"), client.acall(b"bad"), return_exceptions=True)
        assert results[0] == b"ba" and isinstance(results[1], ipcx.RemoteError)

    with serving(service):
        run(main())


def test_tasks_send_and_receive_beside_calls(run: Run, service: ipcx.Service, client: ipcx.Client, server: ipcx.Server) -> None:
    async def main() -> None:
        receiving = asyncio.create_task(client.arecv())
        calling = asyncio.create_task(client.acall(b"call"))
        asked = await server.arecv()
        sent = client.send(b"send")
        (await server.arecv()).reply(b"sent")
        assert await receiving == (sent, b"sent")
        asked.reply(b"called")
        assert await calling == b"called"
        calling = asyncio.create_task(client.acall(b"call"))
        asked = await server.arecv()
        client.send(b"send")
        (await server.arecv()).reply(b"for later")
        await asyncio.sleep(0.02)  # The task that waits receives it, which is not lost.
        asked.reply(b"called")
        assert await calling == b"called"
        assert client.recv(0)[1] == b"for later"

    run(main())


def test_calls_of_tasks_end_in_time_or_are_cancelled(run: Run, service: ipcx.Service, client: ipcx.Client, server: ipcx.Server) -> None:
    async def main() -> None:
        begin = time.monotonic()
        results = await asyncio.gather(*(client.acall(b"x", 0.1) for _ in range(6)), return_exceptions=True)
        assert all(isinstance(result, ipcx.Timeout) for result in results)
        taken = [result.taken for result in results if isinstance(result, ipcx.Timeout)]
        assert taken[:4] == [False] * 4
        assert set(taken[4:]) <= {False, None}  # They found no room, or only when the others gave theirs up.
        assert "no server has taken the request" in str(results[0])
        assert time.monotonic() - begin < SOON
        calling = asyncio.create_task(client.acall(b"y"))
        await asyncio.sleep(0.01)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        with pytest.raises(ipcx.WouldBlock):
            server.recv(0)  # All were withdrawn.
        waiting = asyncio.create_task(server.arecv())
        await asyncio.sleep(0)
        with pytest.raises(ipcx.Busy):
            await server.arecv()
        waiting.cancel()
        with pytest.raises(TypeError):
            await client.acall(b"x", True)

    run(main())


def test_a_servers_death_ends_a_tasks_call(run: Run, service: ipcx.Service, client: ipcx.Client) -> None:
    async def main() -> None:
        with pytest.raises(ipcx.PeerDead):
            await client.acall(b"die", SOON)

    with serving(service):
        run(main())


def test_a_server_in_a_coroutine(run: Run, service: ipcx.Service, client: ipcx.Client, server: ipcx.Server) -> None:
    async def main() -> None:
        calling = [asyncio.create_task(client.acall(data)) for data in (b"ab", b"cd", b"ef")]
        answered = 0
        async for request in server:
            request.reply(bytes(request)[::-1])
            answered += 1
            if answered == 3:
                break
        assert await asyncio.gather(*calling) == [b"ba", b"dc", b"fe"]

    run(main())


def test_a_coroutine_serves_many_at_once(run: Run, service: ipcx.Service) -> None:
    async def main() -> float:
        client = service.client()
        begin = time.monotonic()
        replies = await asyncio.gather(*(client.acall(b"0.5", SOON) for _ in range(4)))
        assert replies == [b"0.5"] * 4
        with pytest.raises(ipcx.RemoteError, match="KeyError: 'none'"):
            await client.acall(b"bad", SOON)
        return time.monotonic() - begin

    with serving(service, target=serve_slowly):
        assert run(main()) < 4 * 0.5


def test_a_function_is_still_a_function(name: str) -> None:
    @ipcx.serve(name, max_request=10)
    def answer(request: bytes) -> bytes:
        """Says hello."""
        if request == b"last":
            answer.stop()
        return b"hello " + request

    assert answer(b"you") == b"hello you" and answer.__doc__ == "Says hello." and "answer" in repr(answer)
    assert not Path(f"/dev/shm/ipcx.{name}").exists()  # made by run()
    assert answer.run(timeout=0.05) == 0
    service = ipcx.Service.attach(name, max_request=10)
    client = service.client()

    def call() -> tuple[bytes, bytes]:
        until(lambda: len(service.stats().servers) == 1, "serving")
        return client.call(b"me", SOON), client.call(b"last", SOON)

    calling = Thread(call)
    assert answer.run(timeout=SOON) == 2
    assert calling.value() == (b"hello me", b"hello last")
    with pytest.raises(ipcx.Closed):
        client.call(b"anybody", SOON)


module_server = ipcx.serve("some-service")(reverse)
module_server.__qualname__ = "module_server"


def test_a_server_is_an_argument_of_a_process() -> None:
    assert pickle.loads(pickle.dumps(module_server)) is module_server
    assert pickle.loads(pickle.dumps(module_server.run)).__self__ is module_server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("target", [serve, serve_slowly])
def test_a_signal_ends_a_server_in_good_order(
    service: ipcx.Service, client: ipcx.Client, number: signal.Signals, target: Callable[[ipcx.Service], None]
) -> None:
    with serving(service, target=target) as process:
        assert process.pid is not None
        assert len(client.call(b"0.0")) == 3
        for _ in range(2):  # to the process and to its group, say
            os.kill(process.pid, number)
        process.join(SOON)
        assert process.exitcode == 0
    with pytest.raises(ipcx.Closed):
        client.call(b"0.0", SOON)


def test_a_server_in_another_thread(service: ipcx.Service, client: ipcx.Client) -> None:
    answer = service.handler(reverse)
    thread = threading.Thread(target=answer.run)
    thread.start()
    assert client.call(b"abc", SOON) == b"cba"
    answer.stop()
    thread.join(SOON)
    assert not thread.is_alive()
