"""The limit of an HTTP client: requests wait for their turn, and for as long as the server asks."""

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from .._engine.constants import NS_PER_SECOND
from ..quota import checked_int
from ._policy import AnyLimiter, Key, Limiters, check_function, check_own, checked_seconds
from .budget import REQUESTS, Budget, Call

LONGEST = 86_400.0  # seconds; no server makes a client wait for more
BUSY = (429, 503)  # statuses whose Retry-After is obeyed, and whose requests may be sent again
Cost = int | Mapping[str, int]
EPOCH = 1_000_000_000  # a reset from here on is a moment and no time to wait
_ITEM = re.compile(r'"(?:[^"\\]|\\.)*"((?:\s*;\s*[a-z]+=[^;,\s]+)*)')  # of the field RateLimit
_PARAMETER = re.compile(r";\s*([rt])=(\d{1,10})(?![^;\s])")
_NUMBER = re.compile(r"\d{1,12}(?:\.\d{1,9})?")
_REMAINING = (("ratelimit-remaining", "ratelimit-reset"), ("x-ratelimit-remaining", "x-ratelimit-reset"))


class Outgoing:
    """The limit of one HTTP client.

    Args:
        limit: a text, a limiter, a Budget, or a function of the request that returns one of them, or None for no limit.
        key: a function of the request; by default `host`.
        cost: a whole number, or for a Budget a mapping of estimates; or a function of the request that returns it.
        used: a function of the answer that returns what a request used of a Budget, or None if that is not known.
        timeout: seconds that a request may have to wait for its turn.
        retries: how often a request is sent again that the server refused with 429 or 503 and Retry-After.
        obey: whether to wait as long as the server asks.
        shared, clock, max_keys: as for the middlewares.
    """

    def __init__(
        self,
        limit: Any,
        host: Callable[[Any], str],
        *,
        key: Callable[[Any], Key] | None,
        cost: Cost | Callable[[Any], Cost],
        used: Callable[[Any], Mapping[str, int] | None] | None,
        timeout: float | None,
        retries: int,
        obey: bool,
        shared: str | None,
        clock: Any,
        max_keys: int | None,
    ) -> None:
        check_function("key", key)
        check_function("used", used)
        check_own(limit, shared=shared, clock=clock, max_keys=max_keys)
        if isinstance(limit, Budget):
            check_own(limit, timeout=timeout)
        elif used is not None and not callable(limit):
            raise ValueError(f"used: expected a Budget as limit, got {limit!r}")
        self._retries = checked_int(retries, "retries", least=0)
        self._timeout = checked_seconds(timeout, "timeout")
        self._limiters = Limiters(shared, clock=clock, max_keys=max_keys)
        self._limit_of: Callable[[Any], Any] | None = limit if callable(limit) else None
        self._limit = None if callable(limit) else self._found(limit)
        self._key = host if key is None else key
        self._cost_of = cost if callable(cost) else None
        self._cost: Cost = 1 if callable(cost) else self._checked(cost)
        self._used = used
        self._obey = obey

    def _found(self, limit: Any) -> AnyLimiter | Budget:
        return limit if isinstance(limit, Budget) else self._limiters.get(limit)

    def _checked(self, cost: Cost) -> Cost:
        if isinstance(self._limit, Budget):
            self._limit.spend("", **estimates(cost))
        elif not isinstance(cost, Mapping) or self._limit_of is None:
            _number(cost)
        return cost

    def turn(self, request: Any) -> "Turn":
        """Return what a request has to wait for."""
        limit = self._limit
        if self._limit_of is not None:
            found = self._limit_of(request)
            limit = None if found is None else self._found(found)
        if limit is None:
            return Turn(None, "", 1, None, None, 0, False)
        cost = self._cost if self._cost_of is None else self._cost_of(request)
        return Turn(limit, self._key(request), cost, self._used, self._timeout, self._retries, self._obey)

    def clear(self) -> None:
        """Forget all keys, for tests."""
        self._limiters.clear()
        if self._limit is not None:
            self._limit.clear()


class Turn:
    """A request that waits for its turn, and again if it is sent again. Without a limit there is nothing to do."""

    def __init__(
        self,
        limit: AnyLimiter | Budget | None,
        key: Key,
        cost: Cost,
        used: Callable[[Any], Mapping[str, int] | None] | None,
        timeout: float | None,
        retries: int,
        obey: bool,
    ) -> None:
        self._limit = limit
        self._key = key
        self._cost = cost
        self._used = used
        self._timeout = timeout
        self._retries = retries
        self._obey = obey
        self._call: Call | None = None

    def wait(self) -> None:
        """Block until the turn; the errors are those of `Limiter.wait`."""
        if isinstance(self._limit, Budget):
            self._call = self._limit.spend(self._key, **estimates(self._cost)).__enter__()
        elif self._limit is not None:
            self._limit.wait(self._key, _number(self._cost), self._timeout)

    async def wait_async(self) -> None:
        """Do the same without blocking the event loop."""
        if isinstance(self._limit, Budget):
            self._call = await self._limit.spend(self._key, **estimates(self._cost)).__aenter__()
        elif self._limit is not None:
            await self._limit.wait_async(self._key, _number(self._cost), self._timeout)

    def settles(self, headers: Mapping[str, str]) -> bool:
        """Return whether `settle` needs an answer with its body; a stream of events is not read to its end."""
        is_stream = "text/event-stream" in headers.get("content-type", "")
        return self._call is not None and self._used is not None and not is_stream

    def settle(self, answer: Any) -> None:
        """Correct the estimates of the request by what it used, before a block: within that, nothing is given back."""
        used = None if self._used is None else self._used(answer)
        if self._call is not None and used is not None:
            self._call.used(**used)

    def comes_again(self, status: int, headers: Mapping[str, str], repeatable: bool) -> bool:
        """Block the key for as long as an answer asks; return whether the request was refused and is to be sent again.

        Args:
            status: of the answer.
            headers: its fields; names are looked up in lower case.
            repeatable: whether the body of the request can be sent again.
        """
        if self._limit is None or not self._obey:
            return False
        seconds, refused = pause(status, headers, self._limit.now_ns() / NS_PER_SECOND)
        if seconds > 0:
            self._limit.block(self._key, min(seconds, LONGEST))
        if not refused or self._retries == 0 or not repeatable:
            return False
        self._retries -= 1
        return True


def estimates(cost: Cost) -> Mapping[str, int]:
    """Return the numbers that a request reserves of a Budget."""
    if isinstance(cost, Mapping):
        return cost
    return {} if cost == 1 else {REQUESTS: cost}


def _number(cost: Cost) -> int:
    """Return the cost of a request that has no Budget."""
    if isinstance(cost, Mapping):
        raise TypeError(f"cost: expected a whole number without a Budget, got {cost!r}")
    return checked_int(cost, "cost")


def pause(status: int, headers: Mapping[str, str], now: float) -> tuple[float, bool]:
    """Return for how many seconds a server wants no request, and whether it refused this one for a time that it named.

    Retry-After of a refusal has precedence. Then come RateLimit (draft-ietf-httpapi-ratelimit-headers-10) and the older
    RateLimit-Reset and X-RateLimit-Reset, if nothing remains.
    """
    if status in BUSY:
        seconds = _retry_after(headers.get("retry-after", ""), now)
        if seconds is not None:
            return seconds, True
    found = [0.0]
    for item in _ITEM.finditer(headers.get("ratelimit", "")[:4_000]):
        parameters = dict(_PARAMETER.findall(item[1]))
        if parameters.get("r") == "0":
            found.append(float(parameters.get("t", 0)))
    for remaining, reset in _REMAINING:
        moment = headers.get(reset, "").strip()
        if headers.get(remaining, "").strip() == "0" and _NUMBER.fullmatch(moment):
            found.append(float(moment) - now if float(moment) >= EPOCH else float(moment))
    return max(found), False


def _retry_after(text: str, now: float) -> float | None:
    """Read Retry-After, a number of seconds or a date; None for anything else."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
