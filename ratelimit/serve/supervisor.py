"""Several workers on one port: started, restarted when they end by themselves, and stopped together."""

import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from .worker import CANNOT_START

log = logging.getLogger("ratelimit.serve")
QUICK = 1.0  # seconds; a worker that ends sooner is not restarted at once
KILL_AFTER = 5.0  # seconds beyond the grace, after which a worker is killed


class Supervisor:
    """Runs a function in several processes.

    Args:
        target, argument: the function of a worker, and what it receives.
        workers: how many processes.
        grace: seconds that a worker has to stop.
    """

    def __init__(self, target: Callable[[Any], None], argument: Any, workers: int, grace: float) -> None:
        self._target = target
        self._argument = argument
        self._count = workers
        self._grace = grace
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[Any, float] = {}  # and when each was started
        self._stopping = False

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT; return the exit status."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())  # so that a signal ends `wait`
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        failed = False
        while not self._stopping:
            for _ in range(self._count - len(self._workers)):
                self._start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
            wait([ours, *(process.sentinel for process in self._workers)])
            self._drain(ours)
            failed = self._reap()
            self._stopping = self._stopping or failed
        self._end()
        return 1 if failed else 0

    def _start(self) -> None:
        """Start a worker with SIGHUP blocked, which would kill it before it can follow."""
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        process = self._context.Process(target=self._target, args=(self._argument,))
        process.start()
        self._workers[process] = time.monotonic()

    def _reap(self) -> bool:
        """Forget the workers that have ended; return whether one of them can never start."""
        hopeless = False
        for process, started in list(self._workers.items()):
            if process.exitcode is None:
                continue
            del self._workers[process]
            hopeless = hopeless or process.exitcode == CANNOT_START
            if not self._stopping and process.exitcode != CANNOT_START:
                log.error("worker %s ended with %s; another one is started", process.pid, process.exitcode)
                time.sleep(max(0.0, started + QUICK - time.monotonic()))
        return hopeless

    def _end(self) -> None:
        for process in self._workers:
            process.terminate()
        ends = time.monotonic() + self._grace + KILL_AFTER
        for process in self._workers:
            process.join(max(0.0, ends - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _reload(self, *_: object) -> None:
        for process in self._workers:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, signal.SIGHUP)

    def _drain(self, ours: socket.socket) -> None:
        try:
            while ours.recv(4096):
                pass
        except BlockingIOError:
            pass
