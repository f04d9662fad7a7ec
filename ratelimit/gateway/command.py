"""`ratelimit gateway FILE`: serve a configuration."""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from .. import Table
from .app import Gateway
from .config import read_file
from .model import Configuration
from .server import BoundedProtocol, run
from .throttle import Limiters

log = logging.getLogger("uvicorn.error")


def main(arguments: list[str]) -> int:
    """The exit status: 0 when all went well, 1 for a wrong configuration."""
    parser = argparse.ArgumentParser("ratelimit gateway", description="Serve an API gateway by a configuration file.")
    parser.add_argument("file", help="the configuration, .yaml or .toml")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen at (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes, which share all limits (%(default)s)")
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    parser.add_argument("--no-watch", action="store_true", help="reload on SIGHUP only, not when the file changes")
    for name, text in (("keyfile", "private key"), ("certfile", "certificate"), ("ca-certs", "clients' CAs")):
        parser.add_argument(f"--ssl-{name}", help=f"file of the {text}, for TLS")
    parser.add_argument("--limit-concurrency", type=int, help="connections beyond which the answer is 503")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error(f"--workers must be 1 or more, not {given.workers}")
    sys.path.insert(0, os.path.dirname(os.path.abspath(given.file)))  # where its functions are looked for first
    try:
        configuration = read_file(given.file)
        if not given.check:
            Limiters(configuration.tables, configuration.max_keys)  # what fails here would fail in each worker
    except (ValueError, OSError, MemoryError) as error:
        print(f"ratelimit gateway: {error}", file=sys.stderr)
        return 1
    if given.check:
        print(f"{given.file}: {len(configuration.apis)} APIs, {len(configuration.plans)} plans")
        return 0
    return _serve(given, configuration)


def _serve(given: argparse.Namespace, configuration: Configuration) -> int:
    peers = tempfile.mkdtemp(prefix="ratelimit-gateway-")  # for its owner alone
    own = f"gateway-{os.getpid()}"  # tables that are shared by the workers, and end with them
    alone = given.workers == 1 or configuration.tables != "memory"
    tables = configuration.tables if alone else f"shared:{own}"
    limits = [api.limits for api in configuration.apis.values()]
    try:
        return run(
            partial(served, os.path.abspath(given.file), tables, peers, not given.no_watch),
            given.workers,
            frame=max(limit.frame for limit in limits),
            message=max(limit.message for limit in limits),
            host=given.host,
            port=given.port,
            ssl_keyfile=given.ssl_keyfile,
            ssl_certfile=given.ssl_certfile,
            ssl_ca_certs=given.ssl_ca_certs,
            limit_concurrency=given.limit_concurrency,
        )
    finally:
        shutil.rmtree(peers, ignore_errors=True)
        for name in Table.names():
            if name.startswith(f"{own}."):
                Table.shared(name).remove()


def served(file: str, tables: str, peers: str, watch: bool) -> Gateway:
    """The application of one worker."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it can follow: what it reads now is new enough
    gateway = Gateway(_configuration(file, tables), peers=peers)
    gateway.on_start.append(partial(_follow, gateway, file, tables, watch))
    return gateway


def _configuration(file: str, tables: str) -> Configuration:
    """What the file says now; the tables stay where they were at first."""
    configuration = replace(read_file(file), tables=tables)
    BoundedProtocol.max_head = configuration.max_head
    BoundedProtocol.head_timeout = configuration.head_timeout
    return configuration


async def _follow(gateway: Gateway, file: str, tables: str, watch: bool) -> None:
    """Reload on SIGHUP, and when the file changes. A wrong file is logged, and changes nothing."""
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    seen = _state(file)
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5 if watch else None):
                await asked.wait()
        now = _state(file)
        if not asked.is_set() and now == seen:
            continue
        asked.clear()
        seen = now
        try:
            await gateway.load(_configuration(file, tables))
            log.info("reloaded %s", file)
        except Exception as error:  # whatever it is: the next change may be right
            log.error("not reloaded: %s", error)


def _state(file: str) -> tuple[int, int] | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
