"""`ratelimit gateway FILE`: serve a configuration."""

import argparse
import json
import os
import secrets
import signal
import ssl
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from ... import Table
from ..._configuration.problems import ConfigurationError, Problems
from ..aws.convert import Options
from ..backends.address import Addresses
from ..config.load import Document
from ..config.model import Configuration
from ..config.schema import schema
from ..site import Site
from ..throttling.limiters import Limiters
from .admission import raise_open_files
from .certificates import Certificates
from .logs import LEVELS
from .supervisor import run
from .worker import make_worker


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ratelimit gateway", description="Serve an API gateway by a configuration file.")
    parser.add_argument("file", nargs="?", help="the configuration, or a template of SAM, CloudFormation or OpenAPI")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (%(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="port to listen at (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes, which share all limits (%(default)s)")
    _add_template_options(parser)
    parser.add_argument("--check", action="store_true", help="only check the configuration")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the file, for an editor")
    parser.add_argument("--no-watch", action="store_true", help="reload on SIGHUP only, not when the file changes")
    for name, text in (("keyfile", "private key"), ("certfile", "certificate"), ("ca-certs", "clients' CAs")):
        parser.add_argument(f"--ssl-{name}", help=f"file of the {text}, for TLS")
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="lowest level of the log (%(default)s)")
    parser.add_argument("--limit-concurrency", type=int, help="connections beyond which the answer is 503")
    parser.add_argument(
        "--grace", type=float, default=30.0, help="seconds for what is under way when it stops (%(default)g)"
    )
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; return 0, or 1 for a wrong configuration."""
    if arguments[:1] == ["convert"]:
        return convert(arguments[1:])
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.schema:
        print(json.dumps(schema(), indent=2))
        return 0
    if given.file is None:
        parser.error("missing required FILE")
    if given.workers < 1:
        parser.error(f"--workers: expected 1 or more, got {given.workers}")
    _look_beside(given.file)
    try:
        options = _options(given)
        document = Document.read(given.file, options)
        _check_tls(given)
        with document.located():
            _try_out(document.configuration, given.check)
    except (ValueError, OSError, MemoryError) as error:
        return _failed(error)
    for warning in document.warnings:
        print(warning, file=sys.stderr)
    configuration = document.configuration
    if given.check:
        counts = ((len(configuration.apis), "API"), (len(configuration.plans), "plan"))
        print(f"{given.file}: " + ", ".join(f"{count} {what}{'s' * (count != 1)}" for count, what in counts))
        return 0
    if document.value is not None:
        for line in _urls(configuration, given.port):
            print(line, file=sys.stderr)
    return _serve(given, configuration, options)


def convert(arguments: list[str]) -> int:
    """Print the configuration of a template; return 0, or 1 for a wrong template."""
    description = "Print the configuration of a template of SAM, CloudFormation or OpenAPI."
    parser = argparse.ArgumentParser("ratelimit gateway convert", description=description)
    parser.add_argument("file", help="the template")
    _add_template_options(parser)
    given = parser.parse_args(arguments)
    try:
        document = Document.read(given.file, _options(given))
        if document.value is None:
            raise ValueError(f"{given.file} is not a template")
    except (ValueError, OSError, MemoryError) as error:
        return _failed(error)
    for warning in document.warnings:
        print(f"# {warning}")
    print(yaml.safe_dump(document.value, sort_keys=False, allow_unicode=True, width=120), end="")
    return 0


def _failed(error: Exception) -> int:
    """Print what is wrong; return the status of the command."""
    print(error if isinstance(error, ConfigurationError) else f"ratelimit gateway: {error}", file=sys.stderr)
    return 1


def _add_template_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the template"
    )
    parser.add_argument(
        "--function", action="append", default=[], metavar="NAME=URL", help="where a function of the template runs"
    )


def _options(given: argparse.Namespace) -> Options:
    """Return the options for a template; raise a ValueError for one without a value."""
    found: dict[str, dict[str, str]] = {"parameter": {}, "function": {}}
    for kind, pairs in found.items():
        for text in getattr(given, kind):
            name, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"--{kind}: expected NAME=VALUE, got {text!r}")
            pairs[name] = value
    return Options(found["parameter"], found["function"])


def _urls(configuration: Configuration, port: int) -> Iterator[str]:
    """Yield a line for each stage of each API with its address."""
    many = len(configuration.apis) > 1
    for name, api in configuration.apis.items():
        host = f"{name.lower()}.localhost" if many else "127.0.0.1"
        scheme = "ws" if api.type == "websocket" else "http"
        for stage in api.stages:
            path = "/" if stage == "$default" else f"/{stage}" + ("" if api.type == "websocket" else "/")
            yield f"{name}: {scheme}://{host}:{port}{path}"


def _look_beside(file: str) -> None:
    """Find the functions of a configuration in its folder, but only after all else: it must not replace a library."""
    folder = os.path.dirname(os.path.abspath(file))
    sys.path[:] = [one for one in sys.path if os.path.abspath(one) != folder] + [folder]


def _try_out(configuration: Configuration, check: bool) -> None:
    """Make once all that the configuration asks for: what fails here would fail in each worker."""
    problems = Problems()
    with problems.at("max_keys"):
        limiters = Limiters(max_keys=configuration.max_keys)
    problems.raise_any()
    log = configuration.access_log
    if check and log and not os.path.exists(log.file) and os.access(os.path.dirname(log.file) or ".", os.W_OK):
        configuration = replace(configuration, access_log=replace(log, file=os.devnull))  # it is not created
    Site(configuration, limiters, Addresses())
    if not check:
        Limiters(configuration.tables, configuration.max_keys)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 2**16:  # the system would take the rest of a division
        raise argparse.ArgumentTypeError(f"expected from 0 to 65535, got {text}")
    return port


def _check_tls(given: argparse.Namespace) -> None:
    """Raise an OSError or a ValueError that names a missing or wrong file."""
    key, certificate, authorities = given.ssl_keyfile, given.ssl_certfile, given.ssl_ca_certs
    if (key or authorities) and not certificate:
        raise ValueError("--ssl-keyfile and --ssl-ca-certs need --ssl-certfile")
    for file in filter(None, (key, certificate, authorities)):
        Path(file).read_bytes()
    if certificate:
        Certificates(certificate, key, authorities).load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def websocket_bounds(configuration: Configuration) -> tuple[int, int]:
    """Return the most bytes of a WebSocket frame and of a message, over all APIs."""
    limits = [api.limits for api in configuration.apis.values()]
    return max(limit.frame for limit in limits), max(limit.message for limit in limits)


def _serve(given: argparse.Namespace, configuration: Configuration, options: Options) -> int:
    """Alone, or with workers, which find each other in a folder and share tables; both end with them."""
    raise_open_files()
    if given.ssl_certfile:
        os.environ["RATELIMIT_GATEWAY_TLS"] = "1"  # for functions/runner.py
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])  # in the workers too, until they can follow
    frame, message = websocket_bounds(configuration)

    def serve(tables: str, peers: str | None) -> int:
        return run(
            partial(make_worker, os.path.abspath(given.file), tables, peers, not given.no_watch, options),
            given.workers,
            frame=frame,
            message=message,
            log_level=given.log_level,
            host=given.host,
            port=given.port,
            ssl_keyfile=given.ssl_keyfile,
            ssl_certfile=given.ssl_certfile,
            ssl_ca_certs=given.ssl_ca_certs,
            limit_concurrency=given.limit_concurrency,
            timeout_graceful_shutdown=given.grace,
        )

    if given.workers == 1:
        try:
            return serve(configuration.tables, None)
        except KeyboardInterrupt:  # Ctrl-C ends it as SIGTERM does, whatever a function in a thread may still do
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
    with tempfile.TemporaryDirectory(prefix="ratelimit-gateway-") as peers:  # for its owner alone
        own = f"gateway-{os.getpid()}-{secrets.token_hex(4)}"  # another container may have the same process
        try:
            return serve(f"shared:{own}" if configuration.tables == "memory" else configuration.tables, peers)
        finally:
            for name in Table.names():
                if name.startswith(f"{own}."):
                    Table.shared(name).remove()
