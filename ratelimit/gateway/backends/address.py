"""The origins of backends, each with its connections and its failures."""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable

from ..observability.meter import Meter
from .pool import Pool

PORTS = {"http": 80, "https": 443}


class Address:
    """One origin of backends. It is kept over reloads.

    Args:
        scheme, host, port: the origin.
        verify: whether the certificate of an https origin is checked.
        meter_of: gives the meter of an origin, which counts answers and failures.

    Attributes:
        name: such as "http://127.0.0.1:9000".
        meter: counts its answers and failures; None where nothing is counted.
        fails: failures in a row.
        down_until: a moment of time.monotonic() until which it gets no requests.
    """

    def __init__(
        self, scheme: str, host: str, port: int, verify: bool, meter_of: Callable[[str], Meter] | None = None
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.context = context = ssl.create_default_context() if scheme == "https" else None
        if context is not None and not verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.pool = Pool(scheme, host, port, context)
        named = f"[{host}]" if ":" in host else host
        self.authority = (named if port == PORTS[scheme] else f"{named}:{port}").encode()
        self.name = f"{scheme}://{self.authority.decode()}"
        self.meter = meter_of(self.name) if meter_of is not None else None
        self.fails = 0
        self.down_until = 0.0

    @property
    def rests(self) -> bool:
        """Whether it gets no requests for a while."""
        return self.down_until > time.monotonic()

    def record(self, began_ns: int, status: int = 0) -> None:
        """Count an answer, or without a status a failure."""
        if self.meter is not None:
            self.meter.record("admitted" if status else "failed", status or 504, began_ns)

    async def close(self) -> None:
        """Close the connections, once no request needs them."""
        while self.pool.busy:
            await asyncio.sleep(1)
        await self.pool.close()


class Addresses:
    """All origins in use, so that a reload finds their connections.

    Args:
        meter_of: gives the meter of an origin; None where nothing is counted.
    """

    def __init__(self, meter_of: Callable[[str], Meter] | None = None) -> None:
        self._meter_of = meter_of
        self._by_origin: dict[tuple[str, str, int, bool], Address] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def of(self, scheme: str, host: str, port: int, verify: bool) -> Address:
        """Return the address of an origin."""
        origin = scheme, host, port, verify
        if origin not in self._by_origin:
            self._by_origin[origin] = Address(*origin, self._meter_of)
        return self._by_origin[origin]

    async def keep(self, used: Iterable[Address]) -> None:
        """Close the addresses that are not used, each when its last request has ended."""
        kept = set(used)
        for origin, address in list(self._by_origin.items()):
            if address not in kept:
                task = asyncio.create_task(self._by_origin.pop(origin).close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections."""
        for address in self._by_origin.values():
            await address.pool.close()
