"""The arguments that middlewares share: which requests are limited, by what, and at what cost."""

from collections.abc import Callable, Generator, Iterable
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol

from .._core import Limiter
from .._limiter.decision import text_fields
from .._limiter.headers import Style, check_style
from ..language import parse_limits
from ..limiters.composite import All
from ..quota import checked_int
from ._policy import AnyLimiter, Guard, Key, Limiters, Ruling, check_function, resolved


class Request(Protocol):
    """The request of any framework."""

    @property
    def method(self) -> str | None: ...
    @property
    def path(self) -> str: ...


class Counts(NamedTuple):
    """Where an adapter counts, and how it decides and answers."""

    limiters: Limiters
    guard: Guard
    headers: Style

    @classmethod
    def make(
        cls,
        *,
        shared: str | None = None,
        headers: Style = "draft",
        shadow: bool = False,
        fail_open: bool = True,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> "Counts":
        """Check the arguments, which are those of a middleware."""
        check_style(headers, "headers")
        limiters = Limiters(shared, clock=clock, max_keys=max_keys)
        return cls(limiters, Guard(fail_open=fail_open, shadow=shadow), headers)

    def fields(self, ruling: Ruling) -> list[tuple[str, str]]:
        """Return the header fields about a decision."""
        decision = ruling.decision
        return [] if decision is None else text_fields(decision, self.headers)


class Rules:
    """Which requests of a framework are limited, by what, and at what cost.

    Args:
        limit: a text, a limiter, or a function of the request that returns either, or None for no limit.
        key: a function of the request that returns what is limited.
        cost: a whole number, or a function of the request.
        exempt: paths that are not limited (`"/static/*"` is all that begins so), or a function of the request.
        methods: the methods that are limited; by default all.
        scope: separates the keys of this limit from those of other limits with the same text. A limiter that was given
            has the keys as they are.
    """

    def __init__(
        self,
        limit: Any,
        *,
        key: Callable[[Any], Any],
        cost: int | Callable[[Any], Any] = 1,
        exempt: Iterable[str] | Callable[[Any], Any] = (),
        methods: Iterable[str] | None = None,
        scope: str = "",
    ) -> None:
        check_limit(limit)
        check_function("key", key)
        self._limit = limit
        self._limit_of: Callable[[Any], Any] | None = limit if callable(limit) else None
        self._key = key
        self._cost_of = cost if callable(cost) else None
        self._cost = 1 if callable(cost) else checked_int(cost, "cost")
        self._exempt = exempt if callable(exempt) else in_paths(exempt)
        self._methods = None if methods is None else method_set(methods)
        self._scope = scope

    @property
    def limits_all(self) -> bool:
        """Whether no request is exempt by its path, its method or a function."""
        return self._exempt is None and self._methods is None

    def decide(self, request: Request, counts: Counts) -> Ruling | None:
        """Return the decision, or None if the request is not limited.

        Raises:
            TypeError: one of the functions is a coroutine function, which cannot be called here.
        """
        steps = self._question(request, counts)
        value = None
        try:
            while True:
                value = steps.send(value)
                if not isinstance(value, (str, int, bytes)) and isawaitable(value):
                    getattr(value, "close", bool)()
                    raise TypeError("limit, key, cost, exempt: expected functions, got a coroutine function")
        except StopIteration as end:
            return None if end.value is None else counts.guard.decide(*end.value)

    async def decide_async(self, request: Request, counts: Counts) -> Ruling | None:
        """Do as `decide`; the functions may be coroutine functions."""
        steps = self._question(request, counts)
        value = None
        try:
            while True:
                value = await resolved(steps.send(value))
        except StopIteration as end:
            return None if end.value is None else await counts.guard.decide_async(*end.value)

    def _question(self, request: Request, counts: Counts) -> Generator[Any, Any, tuple[AnyLimiter, Key, int] | None]:
        """Return what decides, the key and the cost; None if the request is not limited.

        Each value of a function of the application is yielded, so that the caller can await it.
        """
        if self._methods is not None and request.method not in self._methods:
            return None
        if self._exempt is not None and (yield self._exempt(request)):
            return None
        limit = self._limit if self._limit_of is None else (yield self._limit_of(request))
        if limit is None:
            return None
        limiter = counts.limiters.get(limit)
        key = yield self._key(request)
        if self._scope and limiter is not limit:
            key = scoped(self._scope, key)
        cost = self._cost if self._cost_of is None else (yield self._cost_of(request))
        return limiter, key, cost

    def clear(self) -> None:
        """Forget all keys of a limiter that was given as `limit`."""
        if isinstance(self._limit, (Limiter, All)):
            self._limit.clear()


def check_limit(limit: object) -> None:
    """Raise an error unless this is a limit, or a function that returns one."""
    if isinstance(limit, str):
        parse_limits(limit)
    elif not callable(limit) and not isinstance(limit, (Limiter, All)):
        raise TypeError(f"limit: expected text such as '100/minute', a limiter or a function, got {limit!r}")


def scoped(scope: str, key: Key) -> Key:
    """Return a key that differs from the same key of another scope."""
    if isinstance(key, bytes):
        return scope.encode() + b":" + key
    if not isinstance(key, (str, int)):
        raise TypeError(f"key: expected str, bytes or int, got {key!r}")
    return f"{scope}:{key}"


def method_set(methods: Iterable[str]) -> set[str]:
    given = _texts(methods)
    if given is None:
        raise TypeError(f"methods: expected a list such as ['POST'], got {methods!r}")
    return {method.upper() for method in given}


def _texts(given: object) -> list[str] | None:
    """Return a list of texts; None for anything else, also for one text."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return None
    texts = list(given)
    return texts if all(isinstance(text, str) for text in texts) else None


def in_paths(paths: Iterable[str]) -> Callable[[Any], bool] | None:
    """Return a function that finds out whether a request has one of these paths; None without a path."""
    given = _texts(paths)
    if given is None or not all(path.startswith("/") for path in given):
        raise TypeError(
            f"exempt: expected a list of paths such as ['/health', '/static/*'], or a function, got {paths!r}"
        )
    exact = {path for path in given if not path.endswith("*")}
    beginnings = tuple(path[:-1] for path in given if path.endswith("*"))
    if not given:
        return None
    return lambda request: request.path in exact or request.path.startswith(beginnings)
