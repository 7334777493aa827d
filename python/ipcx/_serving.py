"""Servers that are functions: `@ipcx.serve("name")`."""

import asyncio
import functools
import inspect
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ipcx._errors import Timeout
from ipcx._ipcx import Request, Server, Service

__all__ = ["Handler", "serve"]

# At level INFO it shows what functions raised, which went to the clients.
_log = logging.getLogger("ipcx.serve")

# Longest time in seconds that stop() can go unnoticed.
_SLICE = 0.1
# For so many seconds after the first, another signal is taken for the same one: of a process and of its group, say.
_SAME = 1.0


class Handler:
    """A function from a request to its reply, as a server; `ipcx.serve` and
    `service.handler` make one.

    It can still be called. `run` serves, and where several processes do,
    they share the requests:

        multiprocessing.Process(target=answer.run).start()

    What the function raises goes to the client, as RemoteError("ValueError:
    ...").
    """

    def __init__(self, function: Callable[[bytes], Any], server: Callable[[], Server]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._server = server
        self._ends: list[Callable[[], object]] = []  # of the runs on their way

    def __call__(self, request: bytes) -> Any:
        return self._function(request)

    def __reduce__(self) -> str:
        return self.__qualname__  # the name under which its module has it, as for a function

    def __repr__(self) -> str:
        return f"<ipcx server {self.__qualname__}>"

    __qualname__: str

    def run(self, timeout: float | None = None) -> int:
        """Serve until SIGINT, SIGTERM or stop(), or for `timeout` seconds.
        Return how many requests were dealt with.

        The request in work is answered before; a second signal, a second
        later or more, ends that, too. An `async def` deals with many at
        once, in an event loop of its own (in one of yours, `await
        answer.arun()`).
        """
        if inspect.iscoroutinefunction(self._function):
            return asyncio.run(self.arun(timeout))
        ended, done = threading.Event(), 0
        end = None if timeout is None else time.monotonic() + timeout
        with self._server() as server, self._ended_by(ended.set):
            while not ended.is_set():
                left = _SLICE if end is None else min(_SLICE, end - time.monotonic())
                if left <= 0:
                    break
                with suppress(Timeout):
                    self._deal_with(server.recv(left))
                    done += 1
        return done

    async def arun(self, timeout: float | None = None) -> int:
        """What run() does for an `async def`, as a coroutine."""
        loop, done = asyncio.get_running_loop(), 0
        tasks: set[asyncio.Task[None]] = set()

        async def take(server: Server) -> None:
            nonlocal done
            async for request in server:
                task = loop.create_task(self._deal_with_later(request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                done += 1

        with self._server() as server:
            taking = loop.create_task(take(server))
            with self._ended_by(lambda: loop.call_soon_threadsafe(taking.cancel)):
                await asyncio.wait([taking], timeout=timeout)
                taking.cancel()
                with suppress(asyncio.CancelledError):
                    await taking
                await asyncio.gather(*tasks)
        return done

    def stop(self) -> None:
        """End run() in this process, from another thread, a signal handler or
        the function itself.
        """
        for end in list(self._ends):
            end()

    def _deal_with(self, request: Request) -> None:
        try:
            request.reply(self._function(request.data))
        except BaseException as error:
            _refuse(request, error)

    async def _deal_with_later(self, request: Request) -> None:
        try:
            request.reply(await self._function(request.data))
        except BaseException as error:
            _refuse(request, error)

    @contextmanager
    def _ended_by(self, end: Callable[[], object]) -> Iterator[None]:
        """Let stop(), and the first SIGINT or SIGTERM, call `end`. Only the main thread is told of signals."""
        before: dict[int, Any] = {}
        first: float | None = None

        def restore() -> None:
            while before:
                signal.signal(*before.popitem())

        def stop(number: int, _: object) -> None:
            nonlocal first
            first = first or time.monotonic()
            if time.monotonic() - first > _SAME:
                restore()
                signal.raise_signal(number)
            end()

        if threading.current_thread() is threading.main_thread():
            before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        self._ends.append(end)
        try:
            yield
        finally:
            self._ends.remove(end)
            restore()


def _refuse(request: Request, error: BaseException) -> None:
    """Send an exception to the client; those that end a program go on here."""
    request.refuse(f"{type(error).__name__}: {error}")
    if not isinstance(error, Exception):
        raise error
    _log.info("a request was refused", exc_info=error)


def serve(name: str, **options: Any) -> Callable[[Callable[[bytes], Any]], Handler]:
    """A decorator that makes a server of a function from bytes to bytes.

        @ipcx.serve("shout")
        def answer(request: bytes) -> bytes:
            return request.upper()

        answer.run()

    The options are those of Service.open, which run() calls; the
    function may be an `async def`.
    """

    def server() -> Server:
        with Service.open(name, **options) as service:
            return service.server()

    return lambda function: Handler(function, server)


def of_service(service: Service, function: Callable[[bytes], Any]) -> Handler:
    """What service.handler returns."""
    return Handler(function, service.server)


for _name in __all__:
    globals()[_name].__module__ = "ipcx"
del _name
