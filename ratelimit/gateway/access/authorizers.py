"""Who asks, and whether they may: client addresses, networks and authorizers."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from importlib import import_module
from inspect import isawaitable, iscoroutinefunction
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from ..config.model import Authorizer, check_texts
from ..exchange import Exchange, Refusal

log = logging.getLogger("ratelimit.gateway")
KEPT_ANSWERS = 10_000
THREADS = ThreadPoolExecutor(100, "function")  # apart from the loop's own few, which look names up


class Networks:
    """A list of networks; usable alone.

    Args:
        networks: such as `"10.0.0.0/8"` or `"2001:db8::/32"`. An IPv4 address or network that is mapped into IPv6
            counts as IPv4.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        check_texts("networks", networks)
        self._networks = [_unmapped(ip_network(network)) for network in networks]

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        ip = parse_address(address)
        return ip is not None and any(ip in network for network in self._networks)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    return IPv4Network((mapped, network.prefixlen - 96)) if mapped and network.prefixlen >= 96 else network


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, perhaps with a port; None if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def client_address(peer: str, forwarded: Iterable[str], trusted: Networks) -> str:
    """The address that a request comes from.

    Args:
        peer: the address of the connection.
        forwarded: the X-Forwarded-For headers, in order.
        trusted: proxies that are believed. From the right, the first address that is not one of them is the
            client's; what stands left of it could be written by anyone.

    Returns: an address; empty, and so in no network, when a trusted proxy names none, as in "unknown" or "unix:".
    """
    if peer not in trusted:
        return peer
    client = peer
    for text in reversed(",".join(forwarded).split(",")):
        ip = parse_address(text)
        if ip is None:
            return "" if text.strip() else client  # one that a proxy does not know must not pass for the proxy
        client = str(ip)
        if client not in trusted:
            break
    return client


def load(function: Callable[..., Any] | str) -> Callable[..., Any]:
    """A function, or the one named as `"package.module:name"`."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    try:
        loaded = getattr(import_module(module), name)
    except Exception as error:  # its module runs, and may fail in any way
        raise ValueError(f"function {function!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(loaded):
        raise ValueError(f"function {function!r} is not callable")
    return loaded  # type: ignore[no-any-return]


async def call(function: Callable[..., Any], event: dict[str, Any], timeout: float) -> Any:
    """Call a function of one event; a sync one runs in a thread, so that it holds up nobody else."""
    async with asyncio.timeout(timeout):
        if iscoroutinefunction(function):
            return await function(event)
        run = partial(copy_context().run, function, event)
        result = await asyncio.get_running_loop().run_in_executor(THREADS, run)
        return await result if isawaitable(result) else result


class Authorization:
    """An authorizer and its answers.

    Args:
        authorizer: see there.
        clock: seconds.
    """

    def __init__(self, authorizer: Authorizer, clock: Callable[[], float] = time.monotonic) -> None:
        self.authorizer = authorizer
        self._function = load(authorizer.function)
        self._clock = clock
        self._answers: dict[tuple[str, ...], tuple[float, dict[str, Any]]] = {}

    async def check(self, exchange: Exchange, timeout: float = 10.0) -> dict[str, Any]:
        """The authorizer's answer, or a Refusal."""
        identity = exchange.header(self.authorizer.identity)
        if not identity:
            raise Refusal("UNAUTHORIZED", f"no {self.authorizer.identity} header")
        name = self.authorizer.identity.lower().encode()
        if sum(header == name for header, _ in exchange.scope["headers"]) > 1:
            raise Refusal("BAD_REQUEST", f"{self.authorizer.identity} twice")
        stage, route = exchange.lookup("context.stage"), exchange.route
        label = (identity, stage, route.key if route else "")
        until, answer = self._answers.get(label, (0.0, {}))
        if self._clock() >= until:
            answer = await self._ask(exchange, timeout)
            if self.authorizer.ttl:
                if len(self._answers) >= KEPT_ANSWERS:
                    self._answers.clear()
                self._answers[label] = (self._clock() + self.authorizer.ttl, answer)
        if not answer["isAuthorized"]:
            raise Refusal("ACCESS_DENIED", "the authorizer denies")
        return answer

    async def _ask(self, exchange: Exchange, timeout: float) -> dict[str, Any]:
        try:
            answer = await call(self._function, exchange.event(), timeout)
        except Exception as error:
            log.exception("the authorizer failed")
            raise Refusal("AUTHORIZER_FAILURE", repr(error)) from error
        if isinstance(answer, bool):
            return {"isAuthorized": answer}
        if _is_answer(answer):
            return dict(answer)
        log.error("the authorizer answered neither a bool nor a dict as it must be: %r", answer)
        raise Refusal("AUTHORIZER_FAILURE", "not an answer")


def _is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("isAuthorized"), bool)
        and isinstance(answer.get("context"), dict | None)
        and isinstance(answer.get("usageIdentifierKey"), str | None)
    )
