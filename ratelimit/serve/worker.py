"""One process that answers, over HTTP and gRPC."""

import asyncio
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Sequence
from typing import NamedTuple

from .config import Document
from .connections import Connections
from .protocol import Connection
from .site import Site
from .tables import Tables

try:
    import uvloop
except ImportError:  # part of the extra, and not available everywhere
    uvloop = None  # type: ignore[assignment]

log = logging.getLogger("ratelimit.serve")
CANNOT_START = 3  # the exit status of a worker that another start would not help
BACKLOG = 2_048


class Settings(NamedTuple):
    """How a worker serves.

    Attributes:
        files: the configuration.
        tables: where counts are kept, in place of the configuration's.
        http: a socket that listens, or None.
        grpc: an address such as "127.0.0.1:9091", or None.
        grace: seconds for what is under way when it stops.
    """

    files: tuple[str, ...]
    tables: str
    http: socket.socket | None
    grpc: str | None
    grace: float


class Worker:
    """A service with the limits of its file."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._state = _state(settings.files)
        document = Document.read(*settings.files)
        self._first = document.configuration
        self._tables = Tables(settings.tables, document.configuration.max_keys)
        self.site = self._site(document)

    def _site(self, document: Document) -> Site:
        with document.located():
            return Site(document, self._tables)

    def reload(self) -> Site:
        """Read the file again. Counts are kept.

        Raises:
            ConfigurationError, OSError: the file cannot be used; nothing is changed.
        """
        self._state = _state(self.settings.files)
        document = Document.read(*self.settings.files)
        for name in ("tables", "max_keys"):
            value, before = getattr(document.configuration, name), getattr(self._first, name)
            if value != before:
                document.fail((name,), f"expected {before!r} as at the start, got {value!r}; restart to change it")
        self.site = self._site(document)
        return self.site

    async def serve(self) -> None:
        """Answer until SIGTERM or SIGINT, or until the supervisor has ended."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        connections = Connections(self.site, loop)
        server = None
        if self.settings.http is not None:
            server = await loop.create_server(lambda: Connection(connections), sock=self.settings.http, backlog=BACKLOG)
        grpc = None
        if self.settings.grpc is not None:
            from .rls import start  # grpcio is needed for this alone

            grpc = start(self.settings.grpc, lambda: self.site)
        loop.add_signal_handler(signal.SIGHUP, self._follow, connections)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        supervisor = multiprocessing.parent_process()
        if supervisor is not None:
            loop.add_reader(supervisor.sentinel, stop.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        if _state(self.settings.files) != self._state:  # a SIGHUP may have come too early
            self._follow(connections)
        await stop.wait()
        if supervisor is not None:
            loop.remove_reader(supervisor.sentinel)
        if server is not None:
            server.close()
        stopped = None if grpc is None else grpc.stop(self.settings.grace)
        await connections.stop(self.settings.grace)
        if stopped is not None:
            await asyncio.to_thread(stopped.wait)

    def _follow(self, connections: Connections) -> None:
        try:
            connections.site = self.reload()
            log.info("reloaded %s", self.settings.files[0])
        except Exception as error:  # whatever it is: the next change may be right
            log.error("not reloaded: %s", error)


def _state(files: Sequence[str]) -> list[tuple[int, int]]:
    """Return what changes when a file is written."""
    found = map(os.stat, files)
    return [(one.st_mtime_ns, one.st_size) for one in found]


def run(settings: Settings) -> int:
    """Serve in this process; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    try:
        worker = Worker(settings)
    except (ValueError, OSError, MemoryError) as error:
        log.error("%s", error)
        return CANNOT_START
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop is not None else None)
    try:
        with runner:
            runner.run(worker.serve())
    except OSError as error:
        log.error("%s", error)
        return CANNOT_START
    return 0


def run_and_exit(settings: Settings) -> None:
    """Serve as a worker process."""
    raise SystemExit(run(settings))
