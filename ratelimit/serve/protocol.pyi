import asyncio
from typing import Any, Final, final

from .answers import Answer
from .head import Head

MAX_BODY: Final = 1_048_576
MAX_CONNECTIONS: int
REQUEST_TIMEOUT: Final = 10.0
IDLE_TIMEOUT: Final = 120.0
LINGER: Final = 2.0
CONTINUE: Final[bytes]

@final
class Connection(asyncio.Protocol):
    """One connection, as the protocol of an asyncio transport. Requests that were sent together are answered in order.

    Args:
        connections: those of the worker.
    """

    transport: asyncio.Transport
    def __init__(self, connections: Any) -> None: ...
    def answered(self, head: Head, last: bool, task: asyncio.Task[Answer]) -> None:
        """Answer with what an engine decided, and go on with what has arrived meanwhile."""

    def close(self) -> None:
        """Close when all answers are sent."""

    def close_if_idle(self) -> None:
        """Close unless a request is under way."""

    def abort(self) -> None:
        """Close at once."""

    def look(self, now: float) -> None:
        """End what takes too long.

        Args:
            now: the time of the event loop.
        """
