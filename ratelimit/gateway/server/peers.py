"""How the workers of one gateway reach each other's WebSocket clients."""

import asyncio
import json
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from ..clients import Clients, Reply

log = logging.getLogger("ratelimit.gateway")
MAX_LINE = 2**24  # bytes
TIMEOUT = 5.0  # seconds


class Peers:
    """Sends commands to other workers and performs theirs; a service of a Gateway.

    Each worker listens at a Unix socket with its name, in a folder of the gateway's. A command and its reply are each
    one line of JSON.

    Args:
        clients: those of this worker.
        folder: of the sockets.
    """

    def __init__(self, clients: Clients, folder: str) -> None:
        self._clients = clients
        self._folder = Path(folder)
        self._server: asyncio.Server | None = None

    def _socket(self, worker: str) -> Path:
        return self._folder / f"{worker}.sock"

    async def __aenter__(self) -> None:
        """Listen to the other workers."""
        path = self._socket(self._clients.worker)
        try:
            self._server = await asyncio.start_unix_server(self._answer, path, limit=MAX_LINE)
        except OSError as error:
            raise OSError(f"no socket for the other workers at {str(path)!r}: {error}") from error
        self._clients.ask_worker, self._clients.other_workers = self.ask, self.others

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            self._socket(self._clients.worker).unlink(missing_ok=True)

    def others(self) -> list[str]:
        """Return the names of the other workers, as far as they listen."""
        return [path.stem for path in self._folder.glob("*.sock") if path.stem != self._clients.worker]

    async def ask(self, worker: str, command: dict[str, Any]) -> Reply | None:
        """Return the reply of another worker, or None if it cannot be reached."""
        path = self._socket(worker)
        if not worker.isalnum() or not os.path.exists(path):
            return None
        try:
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
                try:
                    writer.write(json.dumps(command).encode() + b"\n")
                    status, value = json.loads(await reader.readline())
                finally:
                    writer.close()
        except ConnectionRefusedError:  # it was killed, and no other worker will have its name
            path.unlink(missing_ok=True)
            return None
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            log.warning("worker %s cannot be reached: %r", worker, error)
            return None
        return status, value

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(json.dumps(await self._clients.perform(json.loads(await reader.readline()))).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("the command of another worker failed: %r", error)
        finally:
            writer.close()
