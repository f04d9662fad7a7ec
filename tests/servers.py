"""Applications in the servers that people run them with."""

import contextlib
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from waiting import PATIENCE, until

import ratelimit

EXAMPLES = Path(__file__).parents[1] / "examples" / "contrib"
PACKAGE = Path(ratelimit.__file__).parents[1]
SERVERS = {
    "uvicorn": ["uvicorn", "--workers", "{workers}", "--port", "{port}", "--log-level", "warning", "{app}"],
    "gunicorn": ["gunicorn", "-w", "{workers}", "-b", "127.0.0.1:{port}", "--log-level", "warning", "{app}"],
}


class Server:
    """A running server.

    Attributes:
        address, port: where it listens.
    """

    def __init__(self, port, address="127.0.0.1"):
        self.address, self.port = address, port

    def is_open(self):
        """Whether it accepts connections."""
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), PATIENCE):
            return True
        return False

    def get(self, path="/", headers=None):
        """Return the status and the header fields of an answer, on a connection of its own, so any worker may answer."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE)
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    def statuses(self, requests, path="/", headers=None):
        """Return the statuses of many requests, 16 at a time."""
        with ThreadPoolExecutor(16) as clients:
            return [status for status, _ in clients.map(lambda _: self.get(path, headers), range(requests))]


def exactly(limit, server, path="/", headers=None):
    """Check that a multitude of requests over all workers gets the status 200 exactly `limit` times."""
    seen = []

    def enough():
        seen.extend(server.statuses(limit, path, headers))
        return len(seen) >= 3 * limit

    until(enough)
    assert sorted(set(seen)) == [200, 429]
    assert seen.count(200) == limit
