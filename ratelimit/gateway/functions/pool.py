"""A bound on the calls of Python functions."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from queue import SimpleQueue
from threading import BoundedSemaphore, Lock, Semaphore, Thread
from typing import Any

from ..http.errors import Refusal


class FunctionPool:
    """Calls functions, with a bound on those that run or wait; sync ones run in threads of the pool.

    Args:
        name: of the threads.
        threads: how many sync functions run at a time.
        max_calls: how many calls may run or wait. A call counts until its function has returned, also after a timeout.
    """

    def __init__(self, name: str, threads: int = 100, max_calls: int = 1_000) -> None:
        self._name = name
        self._threads = DaemonThreads(threads, name)
        self._free = BoundedSemaphore(max_calls)

    async def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], timeout: float) -> Any:
        """Call a function, so that other requests go on.

        Raises: TimeoutError after so many seconds; Refusal when too many calls run or wait; what the function raises.
        """
        if iscoroutinefunction(function):
            with self.place():
                async with asyncio.timeout(timeout):
                    return await function(*arguments)
        self._take_place()
        try:
            running = self._threads.submit(partial(copy_context().run, function, *arguments))
        except RuntimeError as error:  # the system has no more threads
            self._free.release()
            raise Refusal("OVERLOADED", str(error)) from error
        running.add_done_callback(lambda _: self._free.release())
        async with asyncio.timeout(timeout):
            result = await asyncio.wrap_future(running)
            return await result if isawaitable(result) else result

    @contextmanager
    def place(self) -> Iterator[None]:
        """Count a call that runs elsewhere; raise a Refusal when too many calls run or wait."""
        self._take_place()
        try:
            yield
        finally:
            self._free.release()

    def _take_place(self) -> None:
        if not self._free.acquire(blocking=False):
            raise Refusal("OVERLOADED", f"too many calls of a {self._name} run or wait")


class DaemonThreads:
    """Runs calls in threads that are made when they are needed, and kept.

    The threads of concurrent.futures would be joined when the interpreter ends, so one function that never returns
    would keep the process.

    Args:
        most: how many threads there may be.
        name: of the threads.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = Semaphore(0)  # as many as there are threads that wait for a call
        self._lock = Lock()
        self._count = 0

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a call as soon as a thread is free."""
        future: Future[Any] = Future()
        if not self._idle.acquire(blocking=False):
            with self._lock:
                if self._count < self._most:
                    Thread(target=self._run, name=f"{self._name}_{self._count}", daemon=True).start()
                    self._count += 1
        self._calls.put((future, call))
        return future

    def _run(self) -> None:
        # As the main thread of a Lambda function has: Mangum and others ask for it.
        asyncio.set_event_loop(asyncio.new_event_loop())
        while True:
            future, call = self._calls.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del future, call
            self._idle.release()


# Each has its own, so that slow authorizers do not stop the functions, nor the other way round.
AUTHORIZERS = FunctionPool("authorizer")
FUNCTIONS = FunctionPool("function")
