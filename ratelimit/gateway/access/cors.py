"""Cross-origin requests: preflights, and the headers by which pages of other sites may read answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from ..http.fields import without_prefix
from ..http.headers import Headers
from ..http.request import Request
from ..http.response import Response

MAX_ORIGIN = 512  # bytes; a scheme and an authority, whose name has at most 253


@dataclass(frozen=True, slots=True, eq=False)
class CorsPolicy:
    """The pages and requests that an API allows.

    Args:
        origins: such as `https://shop.example`, `https://*.example`, or `*`, which goes without `credentials`.
        methods, headers, exposed: names, or `*`.
        max_age: seconds for which a preflight holds; 0 to leave it to the browser.
        credentials: whether cookies are allowed.
    """

    origins: tuple[str, ...]
    methods: Sequence[str] = ()
    headers: Sequence[str] = ()
    exposed: Sequence[str] = ()
    max_age: int = 0
    credentials: bool = False

    def is_preflight(self, request: Request) -> bool:
        """Whether a browser asks if it may send a request."""
        names = request.headers
        return request.method == "OPTIONS" and b"origin" in names and b"access-control-request-method" in names

    def answer(self, request: Request) -> Response:
        """Return the answer to a preflight, still without the headers of `apply`."""
        fields: Headers = []
        if self._allowed(request.headers[b"origin"]):
            lists = ((b"access-control-allow-methods", self.methods), (b"access-control-allow-headers", self.headers))
            fields = [(name, ",".join(values).encode("latin-1")) for name, values in lists if values]
            if self.max_age:
                fields.append((b"access-control-max-age", b"%d" % self.max_age))
        return Response(204, fields)

    def apply(self, request: Request, headers: Headers) -> Headers:
        """Return the headers of an answer with those of this policy, in place of any that the backend has set."""
        is_preflight, origin = self.is_preflight(request), request.headers.get(b"origin", b"")
        fields = self._fields(origin if len(origin) <= MAX_ORIGIN else b"", is_preflight)
        return [*(headers if is_preflight else without_prefix(headers, b"access-control-")), *fields]

    @lru_cache(1_024)  # noqa: B019  (of all policies together)
    def _fields(self, origin: bytes, is_preflight: bool) -> Headers:
        """Return the headers for pages of an origin."""
        # Caches must not give an answer to one origin to another one.
        found = [] if "*" in self.origins else [(b"vary", b"Origin")]
        allowed = self._allowed(origin)
        if not allowed:
            return found
        found.append((b"access-control-allow-origin", allowed))
        if self.credentials:
            found.append((b"access-control-allow-credentials", b"true"))
        if self.exposed and not is_preflight:
            found.append((b"access-control-expose-headers", ",".join(self.exposed).encode("latin-1")))
        return found

    def _allowed(self, origin: bytes) -> bytes:
        """Return the origin that is allowed; empty for none."""
        if "*" in self.origins:
            return b"*" if origin else b""
        lower = origin.decode("latin-1").lower()
        allowed = any(fnmatchcase(lower, one.lower().replace("[", "[[]")) for one in self.origins)
        return origin if allowed and origin.isascii() else b""
