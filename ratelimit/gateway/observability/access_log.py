"""The access log: one line for each request, in a format of `$context` variables."""

import logging
import os
import sys

from ..config.model import AccessLog
from ..exchange import Exchange
from ..templates.transform import Template, in_json

log = logging.getLogger("ratelimit.gateway")


def escaped(text: str) -> str:
    """Text that can neither end a field in quotes nor the line."""
    return "".join(char if char.isprintable() and char not in '"\\' else _escape(char) for char in text)


def _escape(char: str) -> str:
    return f"\\{char}" if char in '"\\' else "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "replace"))


class Line:
    """Writes lines of one format.

    Args:
        to: the file, and the format. A line is written whole, so that several workers can write to one file.

    Raises: OSError when the file cannot be opened.
    """

    def __init__(self, to: AccessLog) -> None:
        as_json = to.format.lstrip().startswith("{")
        self._template = Template(to.format, in_json if as_json else escaped, missing="-")
        where = sys.stdout.fileno() if to.file == "-" else to.file
        self._file = open(where, "ab", 0, closefd=to.file != "-", opener=_private)  # noqa: SIM115  (closed with the Line, so after a reload with the last request that began before it)

    def write(self, exchange: Exchange) -> None:
        """Write the line of a request that is done. That it cannot be written is told, and stops no request."""
        try:
            self._file.write((self._template.fill(exchange) + "\n").encode("utf-8", "replace"))
        except OSError as error:
            log.error("no line in the access log %r: %s", self._file.name, error)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)
