"""Cross-origin requests: preflights, and the headers by which pages of other sites may read answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from ..http.headers import Headers
from ..http.request import Request
from ..http.response import Response

_OWN = b"access-control-"


@dataclass(frozen=True, slots=True, eq=False)
class CorsPolicy:
    """The pages and requests that an API allows.

    Args:
        origins: such as `https://shop.example`, `https://*.example`, or `*`.
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
        if self._origin(request):
            lists = ((b"access-control-allow-methods", self.methods), (b"access-control-allow-headers", self.headers))
            fields = [(name, ",".join(values).encode("latin-1")) for name, values in lists if values]
            if self.max_age:
                fields.append((b"access-control-max-age", b"%d" % self.max_age))
        return Response(204, fields)

    def apply(self, request: Request, headers: Headers, is_preflight: bool) -> Headers:
        """Return the headers of an answer with those of this policy, in place of any that the backend has set."""
        if b"origin" not in request.headers:
            return headers
        kept = headers if is_preflight else [one for one in headers if not one[0].startswith(_OWN)]
        origin = self._origin(request)
        if not origin:
            return kept
        found = [*kept, (b"access-control-allow-origin", origin)]
        if origin != b"*":
            found.append((b"vary", b"Origin"))
        if self.credentials:
            found.append((b"access-control-allow-credentials", b"true"))
        if self.exposed and not is_preflight:
            found.append((b"access-control-expose-headers", ",".join(self.exposed).encode("latin-1")))
        return found

    def _origin(self, request: Request) -> bytes:
        """Return the origin that is allowed; empty for none."""
        if "*" in self.origins and not self.credentials:
            return b"*"
        return allowed_origin(self.origins, request.headers.get(b"origin", b""))


@lru_cache(1_024)
def allowed_origin(patterns: tuple[str, ...], origin: bytes) -> bytes:
    """Return an origin if one of some patterns matches it; otherwise nothing."""
    lower = origin.decode("latin-1").lower()
    allowed = any(fnmatchcase(lower, one.lower().replace("[", "[[]")) for one in patterns)
    return origin if allowed and origin.isascii() else b""
