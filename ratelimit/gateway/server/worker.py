"""One worker of the command: the application, and how it follows its file and its supervisor."""

import asyncio
import logging
import multiprocessing
import signal
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..._configuration.addresses import Networks
from ..app import Gateway, background
from ..aws.convert import Options
from ..config.load import Document
from ..config.model import Configuration
from .admission import Admission, max_connections
from .certificates import Certificates
from .peers import Peers
from .slow_clients import SlowClientTimeout
from .uvicorn_compat import BoundedProtocol

log = logging.getLogger("ratelimit.gateway")
State = tuple[int, int] | None  # of a file: when it was changed, and its size


def make_worker(file: str, tables: str, peers: str | None, watch: bool, options: Options | None = None) -> Gateway:
    """Make the application of one worker.

    Args:
        file: the configuration.
        tables: where counts are kept, in place of the configuration's.
        peers: the folder of the workers' sockets; None for a single worker.
        watch: whether to reload when the file changes.
        options: for a template.
    """
    seen = _state(file)
    bound = max_connections()
    BoundedProtocol.admission = Admission(bound, max(1, bound // 2))
    document = _read(file, tables, options)
    with document.located():
        gateway = Gateway(document.configuration)
    _bound(document.configuration)
    if peers is not None:
        gateway.services.append(Peers(gateway.clients, peers))
    gateway.services.append(background(partial(_follow, gateway, file, tables, watch, seen, options)))
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        gateway.services.append(background(partial(_end_with, supervisor.sentinel)))
    return gateway


async def _end_with(sentinel: int) -> None:
    """End when the supervisor has ended, for whatever reason: its successor needs the port."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(sentinel, gone.set)
    await gone.wait()
    loop.remove_reader(sentinel)
    signal.raise_signal(signal.SIGTERM)


def _read(file: str, tables: str, options: Options | None) -> Document:
    """Read the file; the tables stay where they were at first."""
    document = Document.read(file, options)
    return replace(document, configuration=replace(document.configuration, tables=tables))


def _bound(configuration: Configuration) -> None:
    """Set the bounds of connections, once the gateway serves by the configuration."""
    BoundedProtocol.max_head = configuration.max_head
    BoundedProtocol.head_timeout = configuration.head_timeout
    BoundedProtocol.admission.trusted = Networks(configuration.trusted_proxies)
    SlowClientTimeout.send_timeout, SlowClientTimeout.min_rate = configuration.send_timeout, configuration.min_rate


async def _follow(
    gateway: Gateway, file: str, tables: str, watch: bool, seen: State, options: Options | None = None
) -> None:
    """Reload on SIGHUP, and when the file has changed. A wrong file is logged, and changes nothing."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    before = seen
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5 if watch else None):
                await asked.wait()
        now, last = _state(file), before
        before = now
        if not asked.is_set() and (now == seen or now != last):  # it is read once it no longer changes
            continue
        if asked.is_set():
            _renew_certificates()
        asked.clear()
        seen = now
        try:
            document = await asyncio.to_thread(_read, file, tables, options)  # the gateway serves meanwhile
            with document.located():
                await gateway.load(document.configuration)
            _bound(document.configuration)
            for warning in document.warnings:
                log.warning("%s", warning)
            log.info("reloaded %s", file)
        except Exception as error:  # whatever it is: the next change may be right
            log.error("not reloaded: %s", error)


def _renew_certificates() -> None:
    """Serve new connections with the certificates that the files have now."""
    try:
        if Certificates.read_again():
            log.info("read the certificates again")
    except (ValueError, OSError) as error:
        log.error("the certificates stay as they were: %s", error)


def _state(file: str) -> State:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
