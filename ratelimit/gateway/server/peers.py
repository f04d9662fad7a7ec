"""The workers of one gateway, and the clients that are connected to each."""

import asyncio
import base64
import json
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..websocket import Connection

log = logging.getLogger("ratelimit.gateway")
Reply = tuple[int, Any]  # a status and a JSON value


class Connections:
    """The WebSocket clients of this worker, and how to reach those of the others.

    Each worker listens at a Unix socket in a folder that all know; a connection's id begins with the name of its
    worker. A question and its reply are each one line of JSON.

    Args:
        folder: of the sockets; without one there is only this worker.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.worker = secrets.token_hex(4)
        self._here: dict[str, Connection] = {}
        self._folder = Path(folder) if folder else None
        self._server: asyncio.Server | None = None
        self.on_order: Callable[[dict[str, Any]], Awaitable[Reply]] | None = None

    def __len__(self) -> int:
        return len(self._here)

    def add(self, connection: "Connection") -> None:
        self._here[connection.id] = connection

    def remove(self, connection: "Connection") -> None:
        self._here.pop(connection.id, None)

    async def start(self) -> None:
        """Listen to the other workers."""
        if self._folder is not None:
            path = self._folder / f"{self.worker}.sock"
            try:
                self._server = await asyncio.start_unix_server(self._asked, path, limit=2**24)
            except OSError as error:
                raise OSError(f"no socket for the other workers at {str(path)!r}: {error}") from error

    async def stop(self) -> None:
        if self._server is not None and self._folder is not None:
            self._server.close()
            (self._folder / f"{self.worker}.sock").unlink(missing_ok=True)

    # --- @connections

    async def request(self, method: str, id: str, body: bytes) -> Reply:
        """POST a message to a client, GET its status, or DELETE it; 410 when it is gone."""
        order = {"method": method, "id": id, "body": base64.b64encode(body).decode()}
        worker = id.partition("-")[0]
        if worker == self.worker or self._folder is None:
            return await self.perform(order)
        return await self._ask(worker, order) or (410, {"message": "Gone"})

    async def perform(self, order: dict[str, Any]) -> Reply:
        """Do what was asked of this worker."""
        if "id" not in order:
            return await self.on_order(order) if self.on_order else (404, None)
        connection = self._here.get(order["id"])
        if connection is None:
            return 410, {"message": "Gone"}
        if order["method"] == "GET":
            return 200, connection.described()
        try:
            if order["method"] == "DELETE":
                await connection.close()
                return 204, None
            if order["method"] != "POST":
                return 405, {"message": "Method Not Allowed"}
            body = base64.b64decode(order["body"])
            if len(body) > connection.side.stage.api.api.limits.message:
                return 413, {"message": "Request Too Long"}
            await connection.send_body(body)
        except OSError:  # it has just left
            return 410, {"message": "Gone"}
        return 200, {}

    # --- between workers

    async def all(self, order: dict[str, Any]) -> list[Reply]:
        """The replies of all workers, this one's first."""
        others = [path.stem for path in self._folder.glob("*.sock")] if self._folder else []
        asked = [self._ask(worker, order) for worker in others if worker != self.worker]
        return [await self.perform(order), *(reply for reply in await asyncio.gather(*asked) if reply)]

    async def _ask(self, worker: str, order: dict[str, Any]) -> Reply | None:
        assert self._folder is not None
        path = self._folder / f"{worker}.sock"
        if not worker.isalnum() or not os.path.exists(path):
            return None
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_unix_connection(path, limit=2**24)
                try:
                    writer.write(json.dumps(order).encode() + b"\n")
                    status, value = json.loads(await reader.readline())
                finally:
                    writer.close()
        except ConnectionRefusedError:  # it was killed, and nobody will have its name again
            path.unlink(missing_ok=True)
            return None
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            log.warning("worker %s cannot be reached: %r", worker, error)
            return None
        return status, value

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(json.dumps(await self.perform(json.loads(await reader.readline()))).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("another worker asked in vain: %r", error)
        finally:
            writer.close()
