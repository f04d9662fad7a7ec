"""The WebSocket clients of this process, and commands for them by their ids (`@connections`)."""

import asyncio
import base64
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

Reply = tuple[int, Any]  # a status and a JSON value
GONE: Reply = (410, {"message": "Gone"})


COUNT = "count clients"  # a command between workers, which no request has as its method


class Client(Protocol):
    """A connected WebSocket client."""

    id: str

    @property
    def place(self) -> str:
        """Its API and stage, such as "chat/prod"."""

    @property
    def max_message(self) -> int:
        """Bytes of a message."""

    def describe(self) -> dict[str, Any]: ...
    async def send_body(self, body: bytes) -> None: ...
    async def close(self) -> None: ...


class Clients:
    """The clients of this process by id.

    Attributes:
        worker: the name of this process, with which the ids of its clients begin.
        ask_worker: sends a command to the worker of a name, and returns its reply, or None if it cannot be reached;
            None where there is only this process.
        other_workers: gives the names of the other workers.
    """

    def __init__(self) -> None:
        self.worker = secrets.token_hex(4)
        self.ask_worker: Callable[[str, dict[str, Any]], Awaitable[Reply | None]] | None = None
        self.other_workers: Callable[[], Iterable[str]] = tuple
        self._by_id: dict[str, Client] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def new_id(self) -> str:
        return f"{self.worker}-{secrets.token_urlsafe(12)}"

    def add(self, client: Client) -> None:
        self._by_id[client.id] = client

    def remove(self, client: Client) -> None:
        self._by_id.pop(client.id, None)

    def own_count(self) -> Counter[str]:
        """Return the number of clients of this process by API and stage."""
        return Counter(client.place for client in self._by_id.values())

    async def count(self) -> Counter[str]:
        """Return the number of clients of all workers by API and stage."""
        total = self.own_count()
        if self.ask_worker is not None:
            asked = (self.ask_worker(name, {"method": COUNT}) for name in self.other_workers())
            for reply in await asyncio.gather(*asked):
                total.update(reply[1] if reply is not None else {})
        return total

    async def command(self, method: str, id: str, body: bytes) -> Reply:
        """POST a message to a client of any worker, GET its state, or DELETE it; 410 when it is gone."""
        command = {"method": method, "id": id, "body": base64.b64encode(body).decode()}
        worker = id.partition("-")[0]
        if worker == self.worker or self.ask_worker is None:
            return await self.perform(command)
        return await self.ask_worker(worker, command) or GONE

    async def perform(self, command: dict[str, Any]) -> Reply:
        """Perform a command for a client of this process."""
        if command["method"] == COUNT:
            return 200, self.own_count()
        client = self._by_id.get(command["id"])
        if client is None:
            return GONE
        if command["method"] == "GET":
            return 200, client.describe()
        try:
            if command["method"] == "DELETE":
                await client.close()
                return 204, None
            if command["method"] != "POST":
                return 405, {"message": "Method Not Allowed"}
            body = base64.b64decode(command["body"])
            if len(body) > client.max_message:
                return 413, {"message": "Request Too Long"}
            await client.send_body(body)
        except OSError:  # it has just disconnected
            return GONE
        return 200, {}
