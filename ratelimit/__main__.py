"""The command line: `ratelimit COMMAND ...`, or `python -m ratelimit COMMAND ...`."""

import os
import signal
import sys
from importlib import import_module

from . import __version__

# Each module has `main(arguments: list[str]) -> int`; it is imported when it is asked for, with what it needs.
COMMANDS: dict[str, tuple[str, str]] = {
    "gateway": ("ratelimit.gateway.server.command", "serve an API gateway by a configuration file"),
    "table": ("ratelimit.tables", "list, inspect, change and remove shared tables"),
    "bench": ("ratelimit.bench", "measure the cost of a decision on this machine, beside other libraries"),
    "replay": ("ratelimit.replay.cli.replay", "replay a log through limits: who would have been refused?"),
    "suggest": ("ratelimit.replay.cli.suggest", "the smallest limits that refuse no more than a given share of a log"),
}


def main() -> int:
    """Run the command that the arguments name; its exit status."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in COMMANDS:
        return run(command, arguments)
    usage = ["usage: ratelimit COMMAND ...", "", *(f"  {name:10} {text}" for name, (_, text) in COMMANDS.items())]
    if command in ("-h", "--help"):
        print("\n".join(usage))
        return 0
    if command in ("-V", "--version"):
        print(f"ratelimit {__version__}")
        return 0
    print(f"ratelimit: {command!r} is none of {', '.join(COMMANDS)}", file=sys.stderr)
    return 2


def run(command: str, arguments: list[str]) -> int:
    """A command that is interrupted where it has nothing to tell, or to which nobody listens any more, just ends."""
    module, _ = COMMANDS[command]
    try:
        try:
            program = import_module(module)
        except ModuleNotFoundError as error:
            extra = f"takes the extra `{command}`: pip install 'ratelimit-core[{command}]' ({error})"
            print(f"ratelimit {command}: {extra}", file=sys.stderr)
            return 2
        status = int(program.main(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"ratelimit {command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to flush goes nowhere
        return 128 + signal.SIGPIPE
    return status


if __name__ == "__main__":
    sys.exit(main())
