"""Limits for the routes, blueprints and applications of Flask.

    limiter = Limiter(app, default="100/minute", shared="api")

    @app.get("/search")
    @limiter.limit("5/minute")
    def search(): ...

A route has its own limit; without one that of its blueprint, and without that the default.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

import flask
from werkzeug.exceptions import ServiceUnavailable, TooManyRequests

from .._limiter.headers import Style
from ._addresses import ClientAddress
from ._answers import refusal
from ._policy import Ruling, check_function
from ._rules import Counts, Rules

T = TypeVar("T", bound=Callable[..., Any])

ENTRY = "ratelimit.contrib.flask"  # in the environment of a request
EXTENSION = "ratelimit"  # in app.extensions
EXEMPT, LIMITED = "_ratelimit_exempt", "_ratelimit_limited"  # marks of functions
OPTIONS = ("default", "shared", "trusted_proxies", "headers", "shadow", "fail_open", "enabled", "max_keys")


class RateLimitExceeded(TooManyRequests):
    """A request was refused: the 429, for the application's own error handler.

    Attributes:
        ruling: the Ruling; `ruling.decision.retry_after` is the time to wait in seconds.
    """

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(response=_refusal(ruling))
        self.ruling = ruling


class LimiterFailed(ServiceUnavailable):
    """The limiter failed, and `fail_open` is false: the 503.

    Attributes:
        ruling: the Ruling, whose decision is None.
    """

    def __init__(self, ruling: Ruling) -> None:
        super().__init__(response=_refusal(ruling))
        self.ruling = ruling


class _Limit(NamedTuple):
    rules: Rules
    count_if: Callable[[flask.Request, int], Any] | None
    on_refused: Callable[[flask.Request, Ruling], Any] | None


class _State:
    """The extension of one application."""

    def __init__(self, counts: Counts, default: _Limit | None, addresses: ClientAddress) -> None:
        self.counts = counts
        self.default = default
        self.addresses = addresses
        self.plans: dict[str | None, tuple[_Limit, ...]] = {}  # by endpoint: the limits before the view is called


class _Request:
    """The part of the extension in a request, which is in its environment."""

    def __init__(self, state: _State) -> None:
        self.state = state
        self.rulings: list[tuple[_Limit, Ruling]] = []  # so far


class Limiter:
    """Limit the requests of Flask applications.

    Args:
        app: the application; or call `init_app` later.
        default: the limit of all routes together that do not have one of their own: a text such as "100/minute;
            10/second", a limiter, or a function of the request that returns either, or None for no limit.
        key: a function of the request (`flask.Request`) that returns what is limited: str, bytes or int. By default the
            client's address.
        shared: a name in shared memory. With it, all worker processes of the host count together.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed, and "unix" for a Unix socket.
        headers: "draft", "legacy" or None: the header fields of every answer. Fields that the application set itself
            are kept.
        shadow: admit all, and log what would be refused.
        fail_open: admit requests if the limiter fails; otherwise answer 503.
        enabled: False turns all limits off.
        clock, max_keys: as for every limiter.

    An argument that is not given is read from the application's configuration: RATELIMIT_DEFAULT, RATELIMIT_SHARED,
    RATELIMIT_TRUSTED_PROXIES, RATELIMIT_HEADERS, RATELIMIT_SHADOW, RATELIMIT_FAIL_OPEN, RATELIMIT_ENABLED and
    RATELIMIT_MAX_KEYS.

    Raises:
        TypeError, ValueError: an argument is not possible.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        default: Any = None,
        key: Callable[[flask.Request], Any] | None = None,
        shared: str | None = None,
        trusted_proxies: Iterable[str] | None = None,
        headers: Style | object = ...,
        shadow: bool | None = None,
        fail_open: bool | None = None,
        enabled: bool | None = None,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> None:
        check_function("key", key)
        self._key = key
        self._clock = clock
        given = (default, shared, trusted_proxies, headers, shadow, fail_open, enabled, max_keys)
        self._given = {name: value for name, value in zip(OPTIONS, given, strict=True) if value not in (None, ...)}
        if headers is None:
            self._given["headers"] = None
        self._blueprints: dict[flask.Blueprint, _Limit | None] = {}  # None: exempt
        self._made: WeakKeyDictionary[Any, list[tuple[_Limit, Any]]] = WeakKeyDictionary()  # by the bare view
        self._given_limits: list[Rules] = []
        self._states: WeakSet[_State] = WeakSet()
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Limit the requests of an application."""
        configured = {name: app.config[key] for name in OPTIONS if (key := f"RATELIMIT_{name.upper()}") in app.config}
        options = configured | self._given
        default, proxies = options.pop("default", None), options.pop("trusted_proxies", ())
        if not options.pop("enabled", True):
            return
        limit = None if default is None else self._limit_of(default, {})
        counts = Counts.make(clock=self._clock, **options)
        if isinstance(default, str):
            counts.limiters.get(default)  # attaches to its table now, where an error is seen
        app.extensions[EXTENSION] = state = _State(counts, limit, ClientAddress(proxies))
        self._states.add(state)
        app.before_request(partial(self._before, state))
        app.after_request(_after)
        app.teardown_request(_teardown)

    def limit(
        self,
        limit: Any,
        *,
        key: Callable[[flask.Request], Any] | None = None,
        cost: int | Callable[[flask.Request], int] = 1,
        exempt: Iterable[str] | Callable[[flask.Request], Any] = (),
        methods: Iterable[str] | None = None,
        count_if: Callable[[flask.Request, int], Any] | None = None,
        on_refused: Callable[[flask.Request, Ruling], Any] | None = None,
        scope: str | None = None,
    ) -> Callable[[T], T]:
        """Return a decorator for a view, sync or async, or for a blueprint, whose routes are then limited together.

        Args:
            limit, key: as for Limiter. Without a key, that of the Limiter.
            cost: a whole number, or a function of the request.
            exempt: paths that are not limited, or a function of the request.
            methods: the methods that are limited; by default all.
            count_if: a function of the request and the status of the answer. A request for which it is false counts
                while it runs; after that, its cost is given back.
            on_refused: a function of the request and the Ruling that returns the answer to a refused request. By
                default RateLimitExceeded is raised.
            scope: views with the same scope and limit share it. By default each view has its own; views that are given
                the same limiter as `limit` share it.

        Raises:
            TypeError, ValueError: an argument is not possible.
        """
        check_function("count_if", count_if)
        check_function("on_refused", on_refused)
        options = {"key": key, "cost": cost, "exempt": exempt, "methods": methods}
        self._limit_of(limit, options)  # raises an error here and not at the first request

        def decorate(target: Any) -> Any:
            named = options | {"scope": _scope(target) if scope is None else scope}
            made = self._limit_of(limit, named)._replace(count_if=count_if, on_refused=on_refused)
            if isinstance(target, flask.Blueprint):
                self._blueprints[target] = made
                return target
            limited = _limited(target, made)
            self._made.setdefault(target, []).append((made, limited))
            return limited

        return decorate

    def exempt(self, target: Any) -> Any:
        """Do not apply the default limit, or that of the blueprint, to a view or a blueprint."""
        if isinstance(target, flask.Blueprint):
            self._blueprints[target] = None
        else:
            setattr(target, EXEMPT, True)
        return target

    def clear(self) -> None:
        """Forget all keys, for tests. A limiter that was given as a limit is cleared, too."""
        for state in self._states:
            state.counts.limiters.clear()
        for rules in self._given_limits:
            rules.clear()

    def _limit_of(self, limit: Any, options: dict[str, Any]) -> _Limit:
        rules = Rules(limit, **options | {"key": options.get("key") or self._key or _address})
        self._given_limits.append(rules)
        return _Limit(rules, None, None)

    def _before(self, state: _State) -> Any:
        """Decide about a request before its view."""
        request = _current_request()
        request.environ[ENTRY] = _Request(state)
        plan = state.plans.get(request.endpoint)
        if plan is None:  # all is registered before the first request
            plan = state.plans[request.endpoint] = self._plan(state, request)
        return next((answer for limit in plan if (answer := _enforce(limit, request)) is not None), None)

    def _plan(self, state: _State, request: flask.Request) -> tuple[_Limit, ...]:
        """Return the limits before a view: that of its blueprint or the default, unless it has one of its own."""
        app = flask.current_app
        view: Any = app.view_functions.get(request.endpoint or "")
        if request.endpoint and request.endpoint.rpartition(".")[2] == "static":
            return ()
        if view in self._made:
            # The view was registered without its limit, if the decorator is above that of the route.
            registered = {layer for each in app.view_functions.values() for layer in _layers(each)}
            above = tuple(limit for limit, limited in self._made[view] if limited not in registered)
            if above:
                return above
        if hasattr(view, LIMITED) or hasattr(view, EXEMPT):
            return ()
        for name in request.blueprints:
            if (blueprint := app.blueprints[name]) in self._blueprints:
                limit_of_blueprint = self._blueprints[blueprint]
                return () if limit_of_blueprint is None else (limit_of_blueprint,)
        return () if state.default is None else (state.default,)


def _layers(view: Any) -> Iterator[Any]:
    """Go through a view and what it wraps."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)


def _limited(view: Callable[..., Any], limit: _Limit) -> Callable[..., Any]:
    """Return a view that decides first."""
    if iscoroutinefunction(view):

        @wraps(view)
        async def limited_coroutine(*args: Any, **kwargs: Any) -> Any:
            answer = _enforce(limit, _current_request())
            return await view(*args, **kwargs) if answer is None else answer

        limited: Callable[..., Any] = limited_coroutine
    else:

        @wraps(view)
        def limited_function(*args: Any, **kwargs: Any) -> Any:
            answer = _enforce(limit, _current_request())
            return view(*args, **kwargs) if answer is None else answer

        limited = limited_function
    setattr(limited, LIMITED, True)
    return limited


def _enforce(limit: _Limit, request: flask.Request) -> Any:
    """Decide about a request; return the answer to a refused one, if the application makes one."""
    entry: _Request | None = request.environ.get(ENTRY)
    if entry is None:  # not enabled
        return None
    ruling = limit.rules.decide(request, entry.state.counts)
    if ruling is None:
        return None
    if ruling.allowed:
        entry.rulings.append((limit, ruling))
        return None
    for _, earlier in entry.rulings:  # a request that one limit refuses spends nothing at the others
        earlier.refund()
    entry.rulings = [(limit._replace(count_if=None), ruling)]
    if limit.on_refused is not None:
        return limit.on_refused(request, ruling)
    raise RateLimitExceeded(ruling) if ruling.decision is not None else LimiterFailed(ruling)


def _after(response: flask.Response) -> flask.Response:
    """Add the fields of the last decision, and give back what does not count."""
    request = _current_request()
    entry: _Request | None = request.environ.get(ENTRY)
    if entry is not None and entry.rulings:
        fields = entry.state.counts.fields(entry.rulings[-1][1])
        if fields and fields[0][0] not in response.headers:
            response.headers.extend(fields)
        _settle(request, entry, response.status_code)
    return response


def _teardown(error: BaseException | None) -> None:
    request = _current_request()
    entry: _Request | None = request.environ.get(ENTRY)
    if entry is not None:
        _settle(request, entry, 500)  # a request without an answer


def _settle(request: flask.Request, entry: _Request, status: int) -> None:
    rulings, entry.rulings = entry.rulings, []
    for limit, ruling in rulings:
        if limit.count_if is not None and not limit.count_if(request, status):
            ruling.refund()


def _current_request() -> flask.Request:
    request: flask.Request = cast(Any, flask.request)._get_current_object()
    return request


def _address(request: flask.Request) -> str:
    addresses = cast(_Request, request.environ[ENTRY]).state.addresses
    forwarded = request.headers.getlist("X-Forwarded-For") if addresses.trusts_any else ()
    return addresses(request.remote_addr, forwarded)


def _scope(target: Any) -> str:
    if isinstance(target, flask.Blueprint):
        return target.name
    # All views that View.as_view makes have the same __qualname__.
    name = target.__name__ if "as_view.<locals>" in target.__qualname__ else target.__qualname__
    return f"{target.__module__}.{name}"


def _refusal(ruling: Ruling) -> flask.Response:
    content_type, body = refusal(ruling.status, flask.request.headers.get("Accept", ""))
    return flask.Response(body, ruling.status, content_type=content_type)
