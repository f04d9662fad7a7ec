"""The access log: one line for each request, in a format of `$context` variables."""

import os
import sys

from .exchange import Exchange
from .mapping import Template, in_json
from .model import AccessLog


def escaped(text: str) -> str:
    """Text that can neither end a field in quotes nor the line."""
    return "".join(char if char.isprintable() and char not in '"\\' else _escape(char) for char in text)


def _escape(char: str) -> str:
    return f"\\{char}" if char in '"\\' else "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "replace"))


class Line:
    """Writes lines of one format; usable alone.

    Args:
        log: where to, and the format. A line is written whole, so that several workers can write to one file.
    """

    def __init__(self, log: AccessLog) -> None:
        as_json = log.format.lstrip().startswith("{")
        self._template = Template(log.format, in_json if as_json else escaped, missing="-")
        self._file = log.file
        self._descriptor = sys.stdout.fileno() if log.file == "-" else -1

    def write(self, exchange: Exchange) -> None:
        """Write the line of a request that is done."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        os.write(self._descriptor, (self._template.fill(exchange) + "\n").encode("utf-8", "replace"))

    def close(self) -> None:
        if self._descriptor > 2:
            os.close(self._descriptor)
            self._descriptor = -1
