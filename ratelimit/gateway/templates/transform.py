"""Changes to headers, path and status, on the way to a backend or back to the client."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

from ..http.errors import BadValue
from ..http.headers import RESERVED, Headers, canonical_name, header_value
from ..http.paths import IN_SEGMENT, decode
from .template import Scope, Template

_RULE = re.compile(
    r"(append|overwrite|remove):(?:header\.([!#$%&'*+.^_`|~\w-]+)|querystring\.([^\s&=#]+))|overwrite:(path|statuscode)",
    re.ASCII,
)


class Transform:
    """Changes to a request before its backend, or to a response before its client.

    Args:
        rules: `append|overwrite|remove:header.x`, the same with `querystring.x`, `overwrite:path`,
            `overwrite:statuscode`, and templates.
        encoded_slash: whether `%2F` is allowed in a path.

    Raises: ValueError that names the rule.
    """

    def __init__(self, rules: Mapping[str, str], encoded_slash: bool = False) -> None:
        self._encoded_slash = encoded_slash
        self._headers: list[tuple[str, bytes, Template]] = []
        self._query: list[tuple[str, str, Template]] = []
        self._path: Template | None = None
        self._status: Template | None = None
        for rule, text in rules.items():
            found = _RULE.fullmatch(rule)
            if found is None:
                raise ValueError(
                    "expected 'overwrite:header.x', 'overwrite:querystring.x', 'overwrite:path' or "
                    f"':statuscode', got {rule!r}"
                )
            try:
                if found[3] is not None:
                    self._query.append((found[1], found[3], Template(text)))
                else:
                    self._add(found[1], found[2], found[4], text)
            except BadValue as error:
                raise ValueError(f"mapping {rule!r}: {error}") from error

    def _add(self, verb: str, header: str, other: str, text: str) -> None:
        """Add one rule; raise BadValue for what is wrong whatever values are filled in."""
        template = Template(text)
        if other == "path":
            if not text.startswith(("/", "$")):
                raise BadValue(f"path: expected one that begins with /, got {text!r}")
            if not template.names:
                decode(text.encode())
            self._path = template
        elif other == "statuscode":
            if not template.names:
                _status(text)
            self._status = template
        elif header.lower().encode() in RESERVED:
            raise BadValue("the gateway itself writes this header")
        else:
            header_value(header, text)
            self._headers.append((verb, header.lower().encode(), template))

    def __bool__(self) -> bool:
        return bool(self._headers or self._query or self._path or self._status)

    def headers(self, headers: Headers, scope: Scope) -> Headers:
        """Return the changed headers."""
        for verb, name, template in self._headers:
            if verb != "append":
                same = canonical_name(name)
                headers = [header for header in headers if canonical_name(header[0]) != same]
            if verb != "remove":
                headers = [*headers, (name, header_value(name.decode(), template.fill(scope)))]
        return headers

    def query(self, query: bytes, scope: Scope) -> bytes:
        """Return the changed query, encoded. An empty value removes a parameter; the others stay as they came."""
        for verb, name, template in self._query:
            value = "" if verb == "remove" else template.fill(scope)
            pairs = [pair for pair in query.split(b"&") if pair]
            if verb != "append":
                pairs = [pair for pair in pairs if unquote_plus(pair.partition(b"=")[0].decode("latin-1")) != name]
            if value:
                pairs.append(f"{quote(name, safe='')}={quote(value, safe='')}".encode())
            query = b"&".join(pairs)
        return query

    def path(self, path: str, scope: Scope) -> str:
        """Return the changed path, encoded; raise BadPath where a value makes it ambiguous."""
        if self._path is None:
            return path
        path = self._path.fill(_InPath(scope))
        decode(path.encode(), self._encoded_slash)
        return path

    def status(self, status: int, scope: Scope) -> int:
        """Return the changed status."""
        if self._status is None:
            return status
        return _status(self._status.fill(scope))


PATHS = ("context.path", "context.resourcePath", "context.routeKey")  # the slashes of these values separate segments


class _InPath(NamedTuple):
    """The values of a scope, encoded for a path."""

    scope: Scope

    def lookup(self, name: str) -> str:
        """Return a value. A client adds segments to the path only by a greedy variable, or by the path itself."""
        value, variable = self.scope.lookup(name), name.removeprefix("request.path.")
        is_greedy = self.scope.lookup("context.routeKey").endswith(f"{{{variable}+}}")
        has_segments = is_greedy or name in PATHS or name.startswith("stageVariables.")
        return quote("" if value is None else str(value), safe=IN_SEGMENT + "/" * has_segments)


def _status(text: str) -> int:
    if not re.fullmatch(r"[2-5]\d\d", text):
        raise BadValue(f"{text!r} is not a status from 200 to 599")
    return int(text)
