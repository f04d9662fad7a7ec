"""`ratelimit serve FILE`: answer questions about limits."""

import argparse
import logging
import os
import re
import secrets
import signal
import socket
import stat
import sys
from resource import RLIMIT_NOFILE, getrlimit, setrlimit

from .._configuration.problems import ConfigurationError
from ..table import Table
from .config import Document
from .site import Site
from .supervisor import Supervisor
from .tables import Tables
from .worker import BACKLOG, Settings, run, run_and_exit

ADDRESS = re.compile(r"(?:(?P<host>[^:\[\]/]*|\[[0-9a-fA-F:.]+\]):)?(?P<port>\d{1,5})")
LOOPBACK = "127.0.0.1"
DEFAULT = ":9090"


def main(arguments: list[str]) -> int:
    """Run the command; return 0, or 1 if it cannot start."""
    parser = argparse.ArgumentParser("ratelimit serve", description="Answer questions about the limits of a file.")
    parser.add_argument("file", help="the limits, a YAML file")
    parser.add_argument("further", nargs="*", metavar="file", help="further domains with descriptors")
    parser.add_argument(
        "--http", metavar="ADDRESS", help=f"HOST:PORT, :PORT of {LOOPBACK}, or unix:PATH (by default {DEFAULT})"
    )
    parser.add_argument("--grpc", metavar="ADDRESS", help="HOST:PORT for Envoy's rate limit service")
    parser.add_argument("--workers", type=int, default=1, help="processes, which share all limits (%(default)s)")
    parser.add_argument(
        "--grace", type=float, default=10.0, help="seconds for what is under way at the end (%(default)g)"
    )
    parser.add_argument("--check", action="store_true", help="only check the file")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error(f"--workers: expected 1 or more, got {given.workers}")
    try:
        document = Document.read(given.file, *given.further)
        with document.located():
            Site(document, Tables("memory", document.configuration.max_keys))
        if given.check:
            limits, descriptors = len(document.configuration.limits), sum(map(len, document.domains.values()))
            print(f"{given.file}: {limits} limits, {descriptors} descriptors")
            return 0
        if document.domains and given.grpc is None:
            document.fail((), "expected --grpc ADDRESS, by which descriptors are asked for")
        if given.grpc is not None and not document.domains:
            document.fail((), "expected domain and descriptors for --grpc")
        return _serve(given, document)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
    except (ValueError, OSError, MemoryError) as error:
        print(f"ratelimit serve: {error}", file=sys.stderr)
    return 1


def _serve(given: argparse.Namespace, document: Document) -> int:
    """Serve alone or with workers, for which counts in memory are in tables that are removed at the end."""
    http_address = given.http or (None if given.grpc else DEFAULT)
    http = None if http_address is None else listen(http_address)
    grpc = None if given.grpc is None else _grpc_address(given.grpc)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until a worker can follow
    _, hard = getrlimit(RLIMIT_NOFILE)
    setrlimit(RLIMIT_NOFILE, (hard, hard))
    tables = document.configuration.tables
    own = f"serve-{os.getpid()}-{secrets.token_hex(4)}"  # another container may have the same process
    if tables == "memory" and given.workers > 1:
        tables = f"shared:{own}"
    settings = Settings(tuple(map(os.path.abspath, (given.file, *given.further))), tables, http, grpc, given.grace)
    places = [f"{name} on {at}" for name, at in (("HTTP", http_address), ("gRPC", given.grpc)) if at]
    logging.getLogger("ratelimit.serve").info("%s, workers: %d", ", ".join(places), given.workers)
    if given.workers == 1:
        return 1 if run(settings) else 0
    try:
        return Supervisor(run_and_exit, settings, given.workers, given.grace).run()
    finally:
        for name in Table.names():
            if name.startswith(f"{own}."):
                Table.shared(name).remove()


def listen(address: str) -> socket.socket:
    """Return a socket that listens at an address.

    Raises:
        ValueError: it is not an address.
        OSError: the system does not permit it.
    """
    try:
        if address.startswith("unix:"):
            return _listen_at_path(address.removeprefix("unix:"))
        host, port = split(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise OSError(f"cannot listen at {address}: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


def _grpc_address(address: str) -> str:
    """Return an address as gRPC reads it, at which no other program listens: gRPC itself would share it."""
    host, port = split(address)
    try:
        import grpc  # noqa: F401
        from envoy.service.ratelimit.v3 import rls_pb2  # noqa: F401

        listen(address).close()
    except ImportError as error:
        raise ValueError(f"--grpc requires the extra `serve`: pip install 'ratelimit-core[serve]' ({error})") from None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(address: str) -> tuple[str, int]:
    """Return the host and the port of an address such as ":9090", "0.0.0.0:9090" or "[::1]:9090"."""
    found = ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > 65_535:
        raise ValueError(f"address: expected HOST:PORT, :PORT or unix:PATH, got {address!r}")
    return (found["host"] or LOOPBACK).strip("[]"), int(found["port"])


def _listen_at_path(path: str) -> socket.socket:
    """Listen at a Unix socket; one that an ended process left behind is replaced."""
    listening = socket.socket(socket.AF_UNIX)
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        with socket.socket(socket.AF_UNIX) as other:
            if other.connect_ex(path):
                os.unlink(path)
    listening.bind(path)
    listening.listen(BACKLOG)
    listening.setblocking(False)
    return listening
