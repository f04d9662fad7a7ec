"""The access log: one line for each request, in a format of `$context` variables."""

import logging
import os
import sys

from ..templates.template import Scope, Template, in_json

log = logging.getLogger("ratelimit.gateway")


class AccessLogWriter:
    """Writes lines of one format.

    Args:
        file: a path, or "-" for standard output.
        format: of a line; when it begins with `{`, values are escaped for JSON.

    A line is one write, so that several workers can append to one file. The file is closed with the writer: after a
    reload, when the last request that began before it has ended.

    Raises: OSError when the file cannot be opened.
    """

    def __init__(self, file: str, format: str) -> None:
        as_json = format.lstrip().startswith("{")
        self._template = Template(format, in_json if as_json else escape, missing="-")
        where = sys.stdout.fileno() if file == "-" else file
        self._file = open(where, "ab", 0, closefd=file != "-", opener=_open_private)  # noqa: SIM115

    def write(self, exchange: Scope) -> None:
        """Write the line of a request that has ended; one that cannot be written is logged as an error."""
        try:
            self._file.write((self._template.fill(exchange) + "\n").encode("utf-8", "replace"))
        except OSError as error:
            log.error("a line of the access log %r was not written: %s", self._file.name, error)


def escape(text: str) -> str:
    """Escape a text so that it ends neither a quoted field nor the line."""
    return "".join(char if char.isprintable() and char not in '"\\' else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return f"\\{char}" if char in '"\\' else "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "replace"))


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)
