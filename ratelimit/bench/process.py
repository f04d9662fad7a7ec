"""A measurement in a process of its own: `python -m ratelimit.bench.process MODULE FUNCTION ARGUMENTS`, with JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import ratelimit


def call(function: Callable[..., Any], *arguments: object, interpreter: str | None = None) -> Any:
    """Call a module's function in a new process, and return its result; both go through JSON.

    Args:
        interpreter: another Python, which imports this package from the same place.

    Raises:
        OSError, subprocess.CalledProcessError: the process failed.
    """
    command = [interpreter or sys.executable, "-m", __name__, function.__module__, function.__name__]
    package = {"PYTHONPATH": str(Path(ratelimit.__file__).parents[1])} if interpreter else {}
    done = subprocess.run(
        [*command, json.dumps(arguments)], check=True, stdout=subprocess.PIPE, text=True, env=os.environ | package
    )
    return json.loads(done.stdout)


def main(module: str, function: str, arguments: str) -> None:
    print(json.dumps(getattr(import_module(module), function)(*json.loads(arguments))))


if __name__ == "__main__":
    main(*sys.argv[1:])
