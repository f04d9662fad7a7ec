"""An independent, strict reading of the bytes of a connection by RFC 9110 and RFC 9112.

It is the oracle of the differential test: slow, and only as large as what that test sends.
"""

import re
from dataclasses import dataclass

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/(\d)\.(\d)")
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[!-~\x80-\xff](?:[ \t!-~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*")
HOST = re.compile(rb"(?:[A-Za-z0-9._~-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;" + TOKEN + rb"(?:=(?:" + TOKEN + rb'|"[!#-~]*"))?)*')
TARGET = re.compile(rb"(?:[Hh][Tt][Tt][Pp][Ss]?://([^/?#]+))?(/[^?#]*)?(\?[^#]*)?")
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
UNROUTED = (b"TRACE", b"PURGE")  # methods that the parser knows and no route has; others are refused
SINGLE = (b"host", b"content-length", b"transfer-encoding", b"x-api-key", b"authorization")


class Refused(Exception):
    """The bytes are not a request: the connection must end, with at most one answer."""


class Incomplete(Exception):
    """The bytes end before the request does."""


@dataclass
class Reading:
    """A request as the bytes say it.

    Args:
        served: whether a gateway that passes everything on passes it on.
        last: whether the connection ends after its answer.
    """

    method: bytes
    target: bytes
    body: bytes
    served: bool
    last: bool
    id: bytes

    def content(self):
        return self.method, self.target, self.body

    def passes(self):
        """Whether the gateway passes it on: its method has a route, and its path can be read in one way only."""
        path = self.target.partition(b"?")[0]
        return self.served and path.isascii() and b"//" not in path and b"/." not in path


def read_all(data):
    """The requests of a connection, and how it ends: "closed", "open", "refused" or "incomplete"."""
    readings = []
    while True:
        data = data.lstrip(b"\r\n")  # RFC 9112, 2.2: blank lines before a request are ignored, and LF may end one
        if not data:
            return readings, "open"
        try:
            reading, data = read_one(data)
        except Refused:
            return readings, "refused"
        except Incomplete:
            return readings, "incomplete"
        readings.append(reading)
        if reading.last:
            return readings, "closed"


def read_one(data):
    """The first request, and what is behind it."""
    head, end, rest = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    if end and any(b"\r" in line or b"\n" in line for line in lines):
        raise Refused
    found = REQUEST_LINE.fullmatch(lines[0])
    fields = [FIELD.fullmatch(line) for line in lines[1:]]
    if not end:
        raise Incomplete
    if found is None or None in fields or len(fields) > 128 or len(head) + 4 >= 65_536:
        raise Refused
    method, target, major, minor = found.groups()
    fields = [(field[1].lower(), field[2]) for field in fields]
    values = {name: [value for one, value in fields if one == name] for name, _ in fields}
    if major + minor not in (b"10", b"11") or method not in METHODS + UNROUTED:
        raise Refused
    old = minor == b"0"
    connection = tokens(values.get(b"connection", []))
    if (
        not old
        and method == b"GET"
        and b"upgrade" in connection
        and tokens(values.get(b"upgrade", [])) == [b"websocket"]
    ):
        raise Refused  # a handshake for which this gateway has no API ends the connection, too
    coding, length = values.get(b"transfer-encoding"), values.get(b"content-length")
    if any(len(values.get(name, [])) > 1 for name in SINGLE):
        raise Refused
    host = values.get(b"host")
    if (host is None and not old) or (host and not valid_host(host[0])):
        raise Refused
    if coding is not None:
        if coding[0].lower() != b"chunked" or length is not None or old:
            raise Refused
        body, rest, closing = read_chunks(rest)
        connection += closing
    elif length is not None:
        if not re.fullmatch(rb"\d{1,18}", length[0]):
            raise Refused
        size = int(length[0])
        if len(rest) < size:
            raise Incomplete
        body, rest = rest[:size], rest[size:]
    else:
        body = b""
    path = read_target(target)
    served = method in METHODS
    id = values.get(b"x-id", [b""])[-1]
    return Reading(method, path, body, served, old or b"close" in connection, id), rest


def tokens(values):
    found = (token.strip(b" \t") for value in values for token in value.lower().split(b","))
    return [token for token in found if token]


def valid_host(value):
    return (
        HOST.fullmatch(value) is not None
        and int(value.rpartition(b":")[2] or 0 if b":" in value and value[-1:] != b"]" else 0) < 65_536
    )


def read_target(target):
    """The path and query of a target in origin or absolute form."""
    found = TARGET.fullmatch(target)
    if found is None or (found[1] is None and not found[2]):
        raise Refused
    if found[1] is not None and not valid_host(found[1]):
        raise Refused
    return (found[2] or b"/") + (found[3] if found[3] not in (None, b"?") else b"")


def read_chunks(data):
    """A chunked body, what is behind it, and the connection options in its trailers."""
    body, closing = b"", []
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            raise Incomplete
        size = CHUNK.fullmatch(line)
        if size is None:
            raise Refused
        size = int(size[1], 16)
        if size == 0:
            break
        if len(data) < size + 2:
            raise Incomplete if data[size : size + 1] in (b"", b"\r") else Refused
        if data[size : size + 2] != b"\r\n":
            raise Refused
        body, data = body + data[:size], data[size + 2 :]
    while True:
        line, end, data = data.partition(b"\r\n")
        if not end:
            raise Incomplete
        if not line:
            return body, data, closing
        found = FIELD.fullmatch(line)
        if found is None or found[1].lower() in (b"content-length", b"transfer-encoding"):
            raise Refused
        if found[1].lower() == b"connection":
            closing += tokens([found[2]])
