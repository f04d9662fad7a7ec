"""A service in this process, without sockets: bytes in, bytes out."""

import asyncio

from ratelimit.serve.config import Document
from ratelimit.serve.connections import Connections
from ratelimit.serve.protocol import Connection
from ratelimit.serve.site import Site
from ratelimit.serve.tables import Tables
from ratelimit.testing import ManualClock


class Transport(asyncio.Transport):
    """Keeps the bytes that a connection writes."""

    def __init__(self, peer):
        super().__init__({"peername": peer})
        self.sent = b""
        self.closed = self.aborted = False
        self.reading = True

    def write(self, data):
        self.sent += data

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Loop:
    """The time of a worker, and what it does later."""

    def __init__(self):
        self.now = 1000.0

    def time(self):
        return self.now

    def call_later(self, seconds, function):
        pass

    def call_soon(self, function):
        function()


class Service:
    """The limits of a text.

    Attributes:
        clock: of the limits.
        loop: of the connections.
    """

    def __init__(self, folder, text, where="memory"):
        self.clock = ManualClock()
        self._file = folder / "limits.yaml"
        self.tables = None
        self._where = where
        self.site = self._read(text)
        self.loop = Loop()
        self.connections = Connections(self.site, self.loop)

    def _read(self, text):
        self._file.write_text(text)
        document = Document.read(self._file)
        max_keys = document.configuration.max_keys
        self.tables = self.tables or Tables(self._where, min(max_keys, 1_000), clock=self.clock)
        with document.located():
            return Site(document, self.tables)

    def reload(self, text):
        self.site = self.connections.site = self._read(text)

    def connect(self, peer="127.0.0.1"):
        connection = Connection(self.connections)
        connection.connection_made(Transport((peer, 1) if peer else ""))
        return connection

    def ask(self, target, peer="127.0.0.1", method="GET", **headers):
        """Return the status, the fields and the body of an answer."""
        connection = self.connect(peer)
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
        connection.data_received(f"{method} {target} HTTP/1.1\r\nHost: limits\r\n{''.join(lines)}\r\n".encode())
        return answers_in(connection.transport.sent, head_only=method == "HEAD")[0]

    def status(self, target, *args, **kwargs):
        return self.ask(target, *args, **kwargs)[0]


def answers_in(data, head_only=False):
    """Split bytes into answers."""
    answers = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        status = int(line.split()[1])
        length = 0 if head_only or status == 100 else int(fields["content-length"])
        answers.append((status, fields, data[:length].decode()))
        data = data[length:]
    return answers
