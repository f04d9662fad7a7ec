"""The command line `ratelimit COMMAND ...`: finds the command, imports it and runs it."""

import os
import signal
import sys
from importlib import import_module

from .._limiter.installation import find_conflict
from ..errors import unknown

# Each module has `main(arguments: list[str]) -> int`. It is imported only when its command runs, with what it needs.
COMMANDS: dict[str, tuple[str, str]] = {
    "gateway": ("ratelimit.gateway.server.command", "serve an API gateway from a configuration file"),
    "serve": ("ratelimit.serve.command", "answer questions about limits: for nginx, Envoy, Caddy, Traefik and HAProxy"),
    "table": ("ratelimit._cli.table", "list, inspect, change and remove shared tables"),
    "bench": ("ratelimit.bench.command", "measure the cost of a decision on this machine, beside other libraries"),
    "replay": ("ratelimit.replay.cli.replay", "replay a log through limits and report the refused requests"),
    "suggest": ("ratelimit.replay.cli.suggest", "find the smallest limits that refuse at most a given share of a log"),
}


def main() -> int:
    """Run the command that the arguments name, and return its exit status."""
    conflict = find_conflict()
    if conflict is not None:
        print(f"ratelimit: {conflict}", file=sys.stderr)
        return 2
    command, *arguments = sys.argv[1:] or ["--help"]
    status = 0
    try:
        status = run(command, arguments) if command in COMMANDS else about(command)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"ratelimit {command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        discard_output()
        if not status:  # otherwise the command has said so
            print(f"ratelimit {command}: {error}", file=sys.stderr)
        return 2
    return status


def discard_output() -> None:
    """Discard what could not be written: Python would try again at its end, and print a traceback."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def about(command: str) -> int:
    """Print help or the version, or report an unknown command."""
    usage = ["usage: ratelimit COMMAND ...", "", *(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items())]
    if command in ("-h", "--help"):
        print("\n".join(usage))
        return 0
    if command in ("-V", "--version"):
        from .. import __version__

        print(f"ratelimit {__version__}")
        return 0
    print(f"ratelimit: {unknown('command', command, COMMANDS)}", file=sys.stderr)
    return 2


def run(command: str, arguments: list[str]) -> int:
    """Import a command and run it; return its exit status."""
    module, _ = COMMANDS[command]
    search_last(os.getcwd(), *(os.path.dirname(os.path.abspath(one)) for one in arguments if os.path.isfile(one)))
    try:
        program = import_module(module)
    except ModuleNotFoundError as error:
        extra = f"requires the extra `{command}`: pip install 'ratelimit-core[{command}]' ({error})"
        print(f"ratelimit {command}: {extra}", file=sys.stderr)
        return 2
    try:
        return int(program.main(arguments))
    except SystemExit as end:  # of argparse, after it has printed something
        if not isinstance(end.code, int):
            raise
        return end.code


def search_last(*folders: str) -> None:
    """Search folders for modules after all others, so that a file beside a log or a configuration replaces no library.

    With `python -m`, Python searches the working directory first.
    """
    last = [one for one in sys.path if os.path.abspath(one) in folders]
    sys.path[:] = [one for one in sys.path if one not in last] + last
