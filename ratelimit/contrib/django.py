"""Limits for all requests of a Django project, and for its views, sync and async.

MIDDLEWARE = ["ratelimit.contrib.django.RateLimitMiddleware", ...]
RATELIMIT = {"limit": "100/minute", "shared": "api"}

@ratelimit("5/minute")
def search(request): ...
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import lru_cache, wraps
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakSet

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed, PermissionDenied
from django.core.signals import setting_changed
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from ._addresses import ClientAddress
from ._answers import refusal
from ._applications import application_name
from ._policy import Limiters, Ruling, check_function, resolved
from ._rules import Counts, Rules

View = TypeVar("View", bound=Callable[..., Any])

FUNCTIONS = ("key", "cost", "exempt", "count_if", "on_refused")  # may be dotted paths in the settings
LIMIT_OPTIONS = ("limit", *FUNCTIONS, "methods")
COUNTS_OPTIONS = ("shared", "headers", "shadow", "fail_open", "clock", "max_keys")
OPTIONS = (*LIMIT_OPTIONS, *COUNTS_OPTIONS, "trusted_proxies", "enabled")
_RULINGS = "_ratelimit_rulings"  # on a request: the decisions that admitted it

_given: WeakSet["_Limit"] = WeakSet()
_counted: WeakSet[Limiters] = WeakSet()


class Settings(NamedTuple):
    """The setting RATELIMIT, checked."""

    counts: Counts
    addresses: ClientAddress
    enabled: bool
    limit: dict[str, Any]


@lru_cache(1)
def configured() -> Settings:
    """Return the setting RATELIMIT, with the limiters of all decorators.

    Raises:
        ImproperlyConfigured: it has an option that does not exist.
        TypeError, ValueError: a value is not possible.
    """
    options = dict(getattr(settings, "RATELIMIT", {}))
    for name in options:
        if name not in OPTIONS:
            raise ImproperlyConfigured(f"RATELIMIT: unknown option {name!r} (choose from {', '.join(OPTIONS)})")
    counts = Counts.make(**{name: options[name] for name in COUNTS_OPTIONS if name in options})
    _counted.add(counts.limiters)
    limit = {name: options[name] for name in LIMIT_OPTIONS if name in options}
    for name in FUNCTIONS:
        if isinstance(limit.get(name), str):
            with suppress(ImportError):  # the check of the function names the option
                limit[name] = import_string(limit[name])
    return Settings(counts, ClientAddress(options.get("trusted_proxies", ())), options.get("enabled", True), limit)


@lru_cache(1)
def configured_for_drop_ins() -> Counts:
    """Return the limiters of modules that replace others: in shared memory, unless the setting RATELIMIT has a name."""
    options = dict(getattr(settings, "RATELIMIT", {}))
    if "shared" in options or "clock" in options:
        return configured().counts
    configured()  # checks the setting
    counts = Counts.make(
        shared=application_name(_project()), **{name: options[name] for name in COUNTS_OPTIONS if name in options}
    )
    _counted.add(counts.limiters)
    return counts


def _project() -> str:
    """Return the name of a module that only this project has."""
    modules = (getattr(settings, name, None) for name in ("SETTINGS_MODULE", "ROOT_URLCONF"))
    return next((module for module in modules if isinstance(module, str)), "__main__")


def _forget_settings(*, setting: str, **_: Any) -> None:
    if setting == "RATELIMIT":
        configured.cache_clear()
        configured_for_drop_ins.cache_clear()


setting_changed.connect(_forget_settings)


class RateLimitMiddleware:
    """Limit the requests of a Django project, under WSGI and ASGI. The arguments are in the dictionary RATELIMIT.

    Args:
        limit: a text such as "100/minute; 10/second", a limiter, or a function of the HttpRequest that returns either,
            or None for no limit. Only this one is required.
        key: a function of the request that returns what is limited: str, bytes or int. By default the client's address.
        cost: a whole number, or a function of the request.
        exempt: paths that are not limited (`"/static/*"` is all that begins so), or a function of the request.
        methods: the methods that are limited; by default all.
        shared: a name in shared memory. With it, all worker processes of the host count together.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed, and "unix" for a Unix socket.
        count_if: a function of the request and the status of the answer. A request for which it is false counts while
            it runs; after that, its cost is given back.
        on_refused: a function of the request and the Ruling that returns the HttpResponse to a refused request.
        headers: "draft", "legacy" or None: the header fields of every answer. Fields that the application set itself,
            such as those of a limit of one view, are kept.
        shadow: admit all, and log what would be refused.
        fail_open: admit requests if the limiter fails; otherwise answer 503.
        enabled: False turns all limits off.
        clock, max_keys: as for every limiter.

    A function may be given by its dotted path. Under ASGI it may be a coroutine function.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        found = configured()
        if not found.enabled:
            raise MiddlewareNotUsed
        if "limit" not in found.limit:
            raise ImproperlyConfigured("RATELIMIT: missing required option 'limit'")
        self._get_response = get_response
        self._limit = _Limit(**found.limit)
        self._found = found
        if isinstance(found.limit["limit"], str):
            found.counts.limiters.get(found.limit["limit"])  # attaches to its table now, where an error is seen
        self._asynchronous = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self._asynchronous:
            return self._limit.serve_async(request, lambda: self._get_response(request), self._found.counts)
        return self._limit.serve(request, lambda: self._get_response(request), self._found.counts)


def ratelimit(
    limit: Any,
    *,
    key: Callable[[HttpRequest], Any] | None = None,
    cost: int | Callable[[HttpRequest], Any] = 1,
    exempt: Iterable[str] | Callable[[HttpRequest], Any] = (),
    methods: Iterable[str] | None = None,
    count_if: Callable[[HttpRequest, int], Any] | None = None,
    on_refused: Callable[[HttpRequest, Ruling], Any] | None = None,
    scope: str | None = None,
) -> Callable[[View], View]:
    """Return a decorator that limits a view, sync or async.

    Args:
        limit, key, cost, exempt, methods, count_if, on_refused: as in the setting RATELIMIT. The functions of an async
            view may be coroutine functions.
        scope: views with the same scope and limit share it. By default each view has its own; views that are given the
            same limiter as `limit` share it.

    Raises:
        TypeError, ValueError: an argument is not possible.

    The other options are those of the setting RATELIMIT. A view of a class is decorated by Django's method_decorator.
    """
    arguments: dict[str, Any] = {"key": key, "cost": cost, "exempt": exempt, "methods": methods}
    arguments |= {"count_if": count_if, "on_refused": on_refused}
    _Limit(limit, **arguments)  # raises an error here and not at the first request
    if settings.configured:
        configured()
    limits: dict[str, _Limit] = {}  # by scope: method_decorator decorates a method for each request

    def decorate(view: Any) -> Any:
        name = view_name(view) if scope is None else scope
        limited = limits.get(name)
        if limited is None:
            limited = limits[name] = _Limit(limit, scope=name, **arguments)

        if is_async(view):

            @wraps(view)
            async def asynchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                found = configured()
                if not found.enabled:
                    return await view(request, *args, **kwargs)
                return await limited.serve_async(request, lambda: view(request, *args, **kwargs), found.counts)

            return asynchronous

        @wraps(view)
        def synchronous(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            found = configured()
            if not found.enabled:
                return view(request, *args, **kwargs)
            return limited.serve(request, lambda: view(request, *args, **kwargs), found.counts)

        return synchronous

    return decorate


def _instance(view: Any) -> Any:
    """Return the instance of a class-based view whose method this is, also as method_decorator binds it; or None."""
    return getattr(getattr(view, "func", view), "__self__", None)


def view_name(view: Any) -> str:
    owner = _instance(view)
    if owner is None:
        return f"{view.__module__}.{view.__qualname__}"
    return f"{type(owner).__module__}.{type(owner).__qualname__}.{view.__name__}"


def is_async(view: Any) -> bool:
    """Find out whether a view returns something to await. The method `dispatch` does not look so."""
    return iscoroutinefunction(view) or (
        getattr(view, "__name__", "") == "dispatch" and getattr(_instance(view), "view_is_async", False)
    )


def clear() -> None:
    """Forget all keys of the middleware and of all decorators, for tests."""
    for limiters in _counted:
        limiters.clear()
    for limit in _given:
        limit.rules.clear()


class _Limit:
    """A limit, and what the application wants to know of it."""

    def __init__(
        self,
        limit: Any,
        *,
        key: Callable[[HttpRequest], Any] | None = None,
        count_if: Callable[[HttpRequest, int], Any] | None = None,
        on_refused: Callable[[HttpRequest, Ruling], Any] | None = None,
        **options: Any,
    ) -> None:
        for name, function in (("key", key), ("count_if", count_if), ("on_refused", on_refused)):
            check_function(name, function)
        self.rules = Rules(limit, key=client_address if key is None else key, **options)
        self._count_if, self._on_refused = count_if, on_refused
        _given.add(self)

    def serve(self, request: HttpRequest, view: Callable[[], HttpResponse], counts: Counts) -> HttpResponse:
        ruling = self.rules.decide(request, counts)
        if ruling is None:
            return view()
        if not _admitted(request, ruling):
            answer = _refused(request, ruling) if self._on_refused is None else self._on_refused(request, ruling)
            return _with_fields(answer, counts, ruling)
        status = 500
        try:
            answer = view()
            status = answer.status_code
        except Exception as error:
            status = _status(error)
            raise
        finally:
            if self._count_if is not None and not self._count_if(request, status):
                _give_back(request, ruling)
        return _with_fields(answer, counts, ruling)

    async def serve_async(
        self, request: HttpRequest, view: Callable[[], Awaitable[HttpResponse]], counts: Counts
    ) -> HttpResponse:
        ruling = await self.rules.decide_async(request, counts)
        if ruling is None:
            return await view()
        if not _admitted(request, ruling):
            own = self._on_refused
            answer = _refused(request, ruling) if own is None else await resolved(own(request, ruling))
            return _with_fields(answer, counts, ruling)
        status = 500
        try:
            answer = await view()
            status = answer.status_code
        except Exception as error:
            status = _status(error)
            raise
        finally:
            if self._count_if is not None and not await resolved(self._count_if(request, status)):
                _give_back(request, ruling)
        return _with_fields(answer, counts, ruling)


def _admitted(request: HttpRequest, ruling: Ruling) -> bool:
    """Note the decision. A request that one limit refuses spends nothing at the limits that admitted it before."""
    earlier: list[Ruling] = vars(request).setdefault(_RULINGS, [])
    if ruling.allowed:
        earlier.append(ruling)
    while earlier and not ruling.allowed:
        earlier.pop().refund()
    return ruling.allowed


def _give_back(request: HttpRequest, ruling: Ruling) -> None:
    if any(one is ruling for one in getattr(request, _RULINGS)):
        ruling.refund()


def _refused(request: HttpRequest, ruling: Ruling) -> HttpResponse:
    content_type, body = refusal(ruling.status, request.headers.get("Accept", ""))
    length = {"Content-Length": str(len(body))}
    body = b"" if request.method == "HEAD" else body  # not every server leaves it out
    return HttpResponse(body, status=ruling.status, content_type=content_type, headers=length)


def _with_fields(answer: HttpResponse, counts: Counts, ruling: Ruling) -> HttpResponse:
    """Add the fields about limits, unless the application set such fields itself."""
    fields = counts.fields(ruling)
    if fields and fields[0][0] not in answer.headers:
        for name, value in fields:
            answer.headers[name] = value
    return answer


def _status(error: Exception) -> int:
    """Return the status with which Django answers a view that raises this error."""
    return 404 if isinstance(error, Http404) else 403 if isinstance(error, PermissionDenied) else 500


def client_address(request: HttpRequest) -> str:
    """Return the client's address, an IPv6 address as its /64 network; "unknown" if it does not have one."""
    meta = cast(dict[str, str], request.META)
    return configured().addresses(meta.get("REMOTE_ADDR"), (meta.get("HTTP_X_FORWARDED_FOR", ""),))
