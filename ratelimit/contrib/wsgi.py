"""A middleware for every WSGI application: Flask, Django, Bottle, Pyramid.

    app.wsgi_app = RateLimitMiddleware(app.wsgi_app, "100/minute; 10/second", shared="api")

It sees requests before the application's router does, so it covers all routes.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .._limiter.headers import Style
from ._addresses import ClientAddress
from ._answers import refusal
from ._policy import Ruling, check_function, check_own
from ._rules import Counts, Rules

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STATUS_LINES = {429: "429 Too Many Requests", 503: "503 Service Unavailable"}


class Request:
    """The request to limit, as `key`, `limit` and other functions receive it.

    Attributes:
        environ: the WSGI environment.
    """

    def __init__(self, environ: "WSGIEnvironment", client_address: ClientAddress) -> None:
        self.environ = environ
        self._client_address = client_address

    @property
    def method(self) -> str:
        """The method, such as "GET"."""
        method: str = self.environ["REQUEST_METHOD"]
        return method

    @cached_property
    def path(self) -> str:
        """The path, decoded."""
        raw = self.environ.get("SCRIPT_NAME", "") + self.environ.get("PATH_INFO", "")
        text: str = raw.encode("latin-1", "replace").decode("utf-8", "replace")
        return text or "/"

    @cached_property
    def headers(self) -> dict[str, str]:
        """The header fields by their names in lower case."""
        fields = {
            name[5:].replace("_", "-").lower(): value
            for name, value in self.environ.items()
            if name.startswith("HTTP_")
        }
        for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if self.environ.get(name):
                fields[name.replace("_", "-").lower()] = self.environ[name]
        return fields

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters of the query; of several with one name the last."""
        return dict(parse_qsl(self.environ.get("QUERY_STRING", ""), keep_blank_values=True))

    @property
    def address(self) -> str:
        """The client's address, an IPv6 address as its /64 network; "unknown" if it does not have one."""
        return self._client_address(self.environ.get("REMOTE_ADDR"), (self.environ.get("HTTP_X_FORWARDED_FOR", ""),))


class RateLimitMiddleware:
    """Limit the requests of a WSGI application.

    Args:
        app: the application.
        limit: a text such as "100/minute; 10/second", a limiter, or a function of the Request that returns either, or
            None for no limit.
        key: a function of the Request that returns what is limited: str, bytes or int. By default the client's address.
        cost: a whole number, or a function of the Request.
        exempt: paths that are not limited (`"/static/*"` is all that begins so), or a function of the Request.
        methods: the methods that are limited; by default all.
        shared: a name in shared memory. With it, all worker processes of the host count together.
        trusted_proxies: addresses and networks whose X-Forwarded-For is believed, and "unix" for a Unix socket.
        count_if: a function of the Request and the status of the answer. A request for which it is false counts while
            it runs; after that, its cost is given back.
        on_refused: a function of the Request and the Ruling that returns the answer to a refused request: a WSGI
            application, such as a Response of Werkzeug.
        headers: "draft", "legacy" or None: the header fields of every answer. Fields that the application set itself,
            such as those of a limit of one route, are kept.
        shadow: admit all, and log what would be refused.
        fail_open: admit requests if the limiter fails; otherwise answer 503.
        clock, max_keys: as for every limiter.

    Raises:
        TypeError, ValueError: an argument is not possible.

    A refused request is answered with 429 and Retry-After, and with problem details if the client accepts JSON. An
    error in one of the functions is an error of the application, and nothing is counted then.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        limit: Any,
        *,
        key: Callable[[Request], Any] | None = None,
        cost: int | Callable[[Request], int] = 1,
        exempt: Iterable[str] | Callable[[Request], Any] = (),
        methods: Iterable[str] | None = None,
        shared: str | None = None,
        trusted_proxies: Iterable[str] = (),
        count_if: Callable[[Request, int], Any] | None = None,
        on_refused: Callable[[Request, Ruling], "WSGIApplication"] | None = None,
        headers: Style = "draft",
        shadow: bool = False,
        fail_open: bool = True,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> None:
        check_function("key", key)
        check_function("count_if", count_if)
        check_function("on_refused", on_refused)
        check_own(limit, shared=shared, clock=clock, max_keys=max_keys)
        self._app = app
        self._client_address = ClientAddress(trusted_proxies)
        self._count_if, self._on_refused = count_if, on_refused
        self._counts = Counts.make(
            shared=shared, headers=headers, shadow=shadow, fail_open=fail_open, clock=clock, max_keys=max_keys
        )
        self._rules = Rules(limit, key=_address if key is None else key, cost=cost, exempt=exempt, methods=methods)
        if isinstance(limit, str):
            self._counts.limiters.get(limit)  # attaches to its table now, where an error is seen

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ, self._client_address)
        ruling = self._rules.decide(request, self._counts)
        if ruling is None:
            return self._app(environ, start_response)
        start = _with_fields(self._counts.fields(ruling), start_response)
        if not ruling.allowed:
            return self._refuse(request, ruling, start)
        if self._count_if is not None:
            return _Counted(self._app, self._count_if, request, ruling, start)
        return self._app(environ, start)

    def clear(self) -> None:
        """Forget all keys, for tests. A limiter that was given as `limit` is cleared, too."""
        self._counts.limiters.clear()
        self._rules.clear()

    def _refuse(self, request: Request, ruling: Ruling, start: "StartResponse") -> Iterable[bytes]:
        if self._on_refused is not None:
            return self._on_refused(request, ruling)(request.environ, start)
        content_type, body = refusal(ruling.status, request.environ.get("HTTP_ACCEPT", ""))
        start(STATUS_LINES[ruling.status], [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [] if request.method == "HEAD" else [body]


class _Counted:
    """The body of an answer, whose request is given back at the end unless it counts."""

    def __init__(
        self,
        app: "WSGIApplication",
        count_if: Callable[[Request, int], Any],
        request: Request,
        ruling: Ruling,
        start_response: "StartResponse",
    ) -> None:
        self._status = 500  # of an application that raises before it answers
        self._body: Iterable[bytes] = ()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            self._status = int(status[:3])
            return start_response(status, headers, exc_info)

        def settle() -> None:
            if not count_if(request, self._status):
                ruling.refund()

        self._settle = settle
        try:
            self._body = app(request.environ, start)
        except BaseException:
            settle()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """End the answer; a server calls this after every request."""
        try:
            getattr(self._body, "close", bool)()
        finally:
            self._settle()


def _with_fields(fields: list[tuple[str, str]], start_response: "StartResponse") -> "StartResponse":
    """Return `start_response` with the fields about limits, unless the application set such fields itself."""
    if not fields:
        return start_response
    first = fields[0][0].lower()

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if all(name.lower() != first for name, _ in headers):
            headers = [*headers, *fields]
        return start_response(status, headers, exc_info)

    return start


def _address(request: Request) -> str:
    return request.address
