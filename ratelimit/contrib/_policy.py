"""A limit as an adapter receives it: text, a limiter, or a function of the request; and the decision by it."""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from inspect import isawaitable
from math import inf
from typing import Any

from .._core import Limiter
from .._limiter.decision import Decision
from ..language import LimitSpec, make_limiter, parse_limits
from ..limiters.composite import All
from ..quota import checked_int
from ..table import Table

log = logging.getLogger("ratelimit.contrib")
MAX_TEXTS = 1_024  # limits with different texts that a function of the request may return
LONGEST_SUFFIX = 120  # characters of a table's name that describe the limit
PAUSE = 60  # seconds between two reports of a limiter that fails
AnyLimiter = Limiter | All
Key = str | bytes | int


class Limiters:
    """The limiters of an adapter, each made once.

    Args:
        shared: a name for tables in the host's shared memory. With it, all worker processes count together. The name
            of a table is this name and the limit, so different limits never meet in a table, and a limit that is
            changed by a deployment starts with a new one. Or the URL of a Valkey or Redis server with such a name,
            `valkey://host:6379/0?name=api`, where all hosts count together.
        clock, max_keys: as for every limiter.

    A limiter that is made here raises TableFull, so that the adapter decides what happens then.
    """

    def __init__(self, shared: str | None = None, *, clock: Any = None, max_keys: int | None = None) -> None:
        if shared is not None and not isinstance(shared, str):
            raise TypeError(f"shared: expected a name, got {shared!r}")
        self._is_on_engine = shared is not None and "://" in shared
        if shared is not None:
            try:
                self._named(shared)
            except ValueError as error:
                raise ValueError(f"shared: {error}") from None
        if clock is not None and not callable(getattr(clock, "now_ns", None)):
            raise TypeError(f"clock: expected a method now_ns(), integer nanoseconds since the epoch, got {clock!r}")
        if self._is_on_engine and max_keys is not None:
            raise ValueError(f"max_keys: expected none, since the engine's memory is the bound, got {max_keys}")
        if max_keys is not None:
            checked_int(max_keys, "max_keys")
        self._shared = shared
        self._clock = clock
        self._max_keys = max_keys
        self._by_text: dict[tuple[str, str], AnyLimiter] = {}
        self._by_limit: dict[tuple[str, str], AnyLimiter] = {}

    def get(self, limit: object, purpose: str = "") -> AnyLimiter:
        """Return the limiter for a text, or the limiter itself.

        Args:
            limit: a text in the language of limits, a Limiter or an All.
            purpose: separates limits of the same text.

        Raises:
            TypeError, ValueError: the text does not describe a limit, or is one too many.
        """
        if isinstance(limit, (Limiter, All)):
            return limit
        if not isinstance(limit, str):
            raise TypeError(f"limit: expected text such as '100/minute', a limiter or a function, got {limit!r}")
        made = self._by_text.get((purpose, limit))
        if made is None:
            if len(self._by_text) >= MAX_TEXTS:
                raise ValueError(f"limit: expected at most {MAX_TEXTS} different texts, got one more: {limit!r}")
            made = self._by_text[purpose, limit] = self._make(limit, purpose)
        return made

    def _make(self, text: str, purpose: str) -> AnyLimiter:
        specs = parse_limits(text)
        canonical = "; ".join(map(str, specs))
        made = self._by_limit.get((purpose, canonical))
        if made is None:
            made = self._attach(specs, f"{purpose} {canonical}".strip())
            made = self._by_limit.setdefault((purpose, canonical), made)
        return made

    def _attach(self, specs: Sequence[LimitSpec], description: str) -> AnyLimiter:
        options: dict[str, Any] = {"on_full": "raise", "clock": self._clock}
        if self._shared is None:
            return make_limiter(specs, max_keys=self._max_keys, **options)
        suffix = _suffix(description)
        if self._is_on_engine:
            return make_limiter(specs, table=self._named(self._shared, suffix), **options)
        name = f"{self._shared}.{suffix}"
        # An operator may have changed the limit by `ratelimit table change`.
        return make_limiter(specs, table=Table.shared(name, max_keys=self._max_keys, if_changed="keep"), **options)

    def _named(self, shared: str, suffix: str = "") -> Table:
        """Name a table. While its engine does not answer, the limiter fails, so that the Guard decides."""
        if self._is_on_engine:
            return Table.at(shared, suffix, unreachable="raise")
        return Table.shared(shared)

    def clear(self) -> None:
        """Forget all keys of all limits that were made here; for tests."""
        for limiter in list(self._by_limit.values()):
            limiter.clear()


def _suffix(description: str) -> str:
    """Return the part of a table's name that a limit is."""
    suffix = re.sub(r"[^A-Za-z0-9_]+", "-", description)
    return suffix if len(suffix) <= LONGEST_SUFFIX else blake2b(description.encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Ruling:
    """The decision of a limit about one request.

    Attributes:
        decision: None if the limiter failed.
        allowed: whether the request is served, which it also is in shadow mode.
    """

    limiter: AnyLimiter
    key: Key
    cost: int
    decision: Decision | None
    allowed: bool

    @property
    def status(self) -> int:
        """The status of a refusal: 503 if the limiter failed or its engine is away: the client is not at fault."""
        return 503 if self.decision is None or self.decision.source == "fallback" else 429

    def refund(self) -> None:
        """Give back what the request spent."""
        if self.decision is not None and self.decision.allowed:
            self.limiter.refund(self.key, self.cost)

    async def refund_async(self) -> None:
        """Give back what the request spent."""
        if self.decision is not None and self.decision.allowed:
            await self.limiter.refund_async(self.key, self.cost)


class Guard:
    """Decides by a limiter, and goes on if it fails.

    Args:
        fail_open: admit a request if its limiter raises an error, such as TableFull; otherwise answer 503. The error
            is logged at most once a minute.
        shadow: admit all requests, and log those that would have been refused.
    """

    def __init__(self, *, fail_open: bool = True, shadow: bool = False) -> None:
        for name, value in (("fail_open", fail_open), ("shadow", shadow)):
            if not isinstance(value, bool):  # a text such as "no" would count as true
                raise TypeError(f"{name}: expected True or False, got {value!r}")
        self.fail_open = fail_open
        self.shadow = shadow
        self._logged = float("-inf")

    def decide(
        self, limiter: AnyLimiter, key: Key, cost: int = 1, hit: Callable[[int], Decision] | None = None
    ) -> Ruling:
        """Spend `cost`, by `hit` if the limiter has several keys.

        Raises:
            TypeError, ValueError: the key or the cost is not possible, which is an error of the application.
        """
        return self.judge(limiter, key, cost, self.spend(limiter, key, cost, hit))

    def spend(
        self, limiter: AnyLimiter, key: Key, cost: int, hit: Callable[[int], Decision] | None = None
    ) -> Decision | None:
        """Do as `decide`; return None if the limiter failed."""
        try:
            return limiter.hit(key, cost) if hit is None else hit(cost)
        except (TypeError, ValueError):
            raise
        except Exception:
            self.report(limiter)
            return None

    async def decide_async(
        self, limiter: AnyLimiter, key: Key, cost: int = 1, hit: Callable[[int], Awaitable[Decision]] | None = None
    ) -> Ruling:
        """Do as `decide`, without blocking the event loop while an engine decides."""
        if hit is None and not limiter._is_remote:
            return self.decide(limiter, key, cost)
        try:
            decision = await (limiter.hit_async(key, cost) if hit is None else hit(cost))
        except (TypeError, ValueError):
            raise
        except Exception:
            self.report(limiter)
            decision = None
        return self.judge(limiter, key, cost, decision)

    def judge(self, limiter: AnyLimiter, key: Key, cost: int, decision: Decision | None) -> Ruling:
        """Return what follows from a decision; None is that of a limiter that failed."""
        if decision is None:
            return Ruling(limiter, key, cost, None, self.fail_open)
        if self.shadow and not decision.allowed:
            log.warning("%s would refuse key %.100r (shadow mode)", decision.limiter, key)
            return Ruling(limiter, key, cost, decision, True)
        return Ruling(limiter, key, cost, decision, decision.allowed)

    def report(self, limiter: AnyLimiter) -> None:
        """Log the error of a limiter, at most once a minute."""
        if time.monotonic() - self._logged >= PAUSE:
            self._logged = time.monotonic()
            log.exception("%s failed; its requests are %s", limiter, "admitted" if self.fail_open else "refused")


def check_own(limit: object, **options: object) -> None:
    """Refuse options of tables beside a limit that has its own; they would have no effect.

    Args:
        limit: as an adapter received it.
        options: `shared`, `clock` and the like; None is an option that was not given.
    """
    if isinstance(limit, str) or callable(limit):
        return
    first = limit.limiters[0] if isinstance(limit, All) else limit
    for name, value in options.items():
        if value is not None and getattr(first, name, None) is not value:
            raise ValueError(f"{name}: expected none beside a {type(limit).__name__}, which has its own, got {value!r}")


def checked_seconds(value: float | None, name: str) -> float | None:
    """Return seconds from 0, or None."""
    if value is None or (isinstance(value, (int, float)) and 0 <= value < inf):
        return value
    raise ValueError(f"{name}: expected seconds, from 0, or None, got {value!r}")


def check_function(name: str, function: object) -> None:
    if function is not None and not callable(function):
        raise TypeError(f"{name}: expected a function, got {function!r}")


async def resolved(value: Any) -> Any:
    """Await what an asynchronous function returned."""
    if isinstance(value, (str, int, bytes)) or value is None:  # quicker than to ask whether it can be awaited
        return value
    return await value if isawaitable(value) else value
