"""All connections of one worker: their number, their time and their end."""

import asyncio
from email.utils import formatdate
from typing import Protocol

from .answers import Answer
from .check import Checks
from .head import HeadReader
from .protocol import Connection

SWEEP = 1.0  # seconds between two looks for connections that take too long


class Answerer(Protocol):
    """Answers requests."""

    @property
    def reader(self) -> HeadReader: ...
    @property
    def checks(self) -> Checks: ...
    def page(self, target: bytes) -> Answer: ...


class Connections:
    """The connections of a worker.

    Attributes:
        site: what answers; a reload replaces it.
        stopping: whether each connection is closed after its next answer.
    """

    def __init__(self, site: Answerer, loop: asyncio.AbstractEventLoop) -> None:
        self.site = site
        self.loop = loop
        self.stopping = False
        self.all: set[Connection] = set()
        self._sweep()

    def _sweep(self) -> None:
        """Close the connections that take too long, and set the time of answers."""
        now = self.loop.time()
        self.date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        self.ending = self.date + b"\r\n"
        for connection in list(self.all):
            connection.look(now)
        self._timer = self.loop.call_later(SWEEP, self._sweep)

    async def stop(self, grace: float) -> None:
        """Answer what has arrived, for at most so many seconds, and close all connections."""
        self.stopping = True
        ends = self.loop.time() + grace
        await asyncio.sleep(0.05)  # what the kernel has already received is read meanwhile
        for connection in list(self.all):
            connection.close_if_idle()
        while self.all and self.loop.time() < ends:
            await asyncio.sleep(0.05)
        self._timer.cancel()
        for connection in list(self.all):
            connection.abort()
