"""Host, base path, stage, variant, route: where a request leads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..http.errors import Refusal
from ..http.headers import CLOSE
from ..http.paths import BadPath, decode, within
from .canary import CanarySplit
from .table import RouteTable

T = TypeVar("T")
MAX_CACHED_ROUTES = 4_096
MAX_CACHED_LENGTH = 256  # bytes of a method and a path
_PARAMETERS = re.compile(r";[^/]*")
WEBSOCKET = "(websocket)"  # in place of a method, for a handshake; no method can be so


@dataclass(frozen=True, slots=True, eq=False)
class Destination:
    """Where a request leads, as names and texts.

    Args:
        api, stage, deployment, route: names; empty where nothing was found.
        is_canary: whether the canary of the stage answers.
        path: decoded, within the stage.
        skipped: the number of segments before it, which named the API and the stage.
        path_variables: those of the route.
        greedy_start: the segment of the path at which a greedy variable begins, or -1.
        stage_variables: those of the stage.
    """

    api: str = ""
    stage: str = ""
    deployment: str = ""
    route: str = ""
    is_canary: bool = False
    path: str = ""
    skipped: int = 0
    path_variables: Mapping[str, str] = field(default_factory=dict)
    greedy_start: int = -1
    stage_variables: Mapping[str, str] = field(default_factory=dict)


NOWHERE = Destination()


@dataclass(frozen=True, slots=True, eq=False)
class RouteMatch(Generic[T]):
    """The result of a search for a path.

    Args:
        destination: as far as it is known.
        route: the route.
        refusal: without a route, the type of the gateway response, and a reason for the log.
    """

    destination: Destination
    route: T | None = None
    refusal: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True, eq=False)
class Variant(Generic[T]):
    """The routes of one deployment at a stage.

    Args:
        api, stage, deployment: names.
        is_canary: whether it is the canary of the stage.
        variables: of the stage.
        routes: by route key.
        table: finds a route key; None in a WebSocket API, where every path leads to `$connect`.
        missing: the gateway response of a path without a route.
    """

    api: str
    stage: str
    deployment: str
    is_canary: bool
    variables: Mapping[str, str]
    routes: Mapping[str, T]
    table: RouteTable | None
    missing: str = "RESOURCE_NOT_FOUND"

    def find(self, method: str, path: str, skipped: int) -> RouteMatch[T]:
        """Find the route of a path within the stage."""
        key, greedy_start = "$connect", -1
        variables: dict[str, str] = {}
        refused: tuple[str, str] | None = None
        if self.table is None:
            if method != WEBSOCKET:
                refused = "ACCESS_DENIED", "plain HTTP at a WebSocket API"
        elif method == WEBSOCKET:
            refused = "RESOURCE_NOT_FOUND", "no WebSocket API"
        elif (match := self.table.match(method, path)) is not None:
            key, variables, greedy_start = match
        else:
            refused = self.missing, "no such route"
        destination = Destination(
            self.api, self.stage, self.deployment, "" if refused else key, self.is_canary, path, skipped, variables,
            greedy_start, self.variables,
        )  # fmt: skip
        return RouteMatch(destination, None, refused) if refused else RouteMatch(destination, self.routes[key])


@dataclass(frozen=True, slots=True, eq=False)
class RoutedApi(Generic[T]):
    """An API, its stages by name, and the gateway response of a path without a stage."""

    name: str
    stages: Mapping[str, CanarySplit[Variant[T]]]
    missing: str = "RESOURCE_NOT_FOUND"


@dataclass(frozen=True, slots=True, eq=False)
class _BasePath(Generic[T]):
    path: str
    segments: int
    api: RoutedApi[T]
    stage: str


class Router(Generic[T]):
    """Finds the route of a request. Immutable but for its cache.

    Args:
        apis: by name.
        domains: for each host, base paths and the API, or `api/stage`, that each leads to. Without domains the single
            API is reached by any host.
        encoded_slash: whether `%2F` is allowed in a path.
    """

    def __init__(
        self, apis: Mapping[str, RoutedApi[T]], domains: Mapping[str, Mapping[str, str]], encoded_slash: bool
    ) -> None:
        self._only = None if domains else next(iter(apis.values()))
        self._domains = {host.lower(): _longest_first(bases, apis) for host, bases in domains.items()}
        self._encoded_slash = encoded_slash
        self._cache: dict[tuple[str, bytes, str | None, str], CanarySplit[RouteMatch[T]]] = {}

    def has_domain(self, host: str) -> bool:
        """Whether a host is configured by its name."""
        return host in self._domains

    def find(self, method: str, raw_path: bytes, root: str | None, host: str) -> RouteMatch[T]:
        """Find the route of a request.

        Args:
            method: or WEBSOCKET.
            raw_path: encoded.
            root: the path at which this application is mounted in another.
            host: in lower case, without a port; read only where there are domains.

        Raises: Refusal for a path that cannot be read.
        """
        domain = (host if host in self._domains else "*") if self._domains else ""
        label = method, raw_path, root, domain
        split = self._cache.get(label)
        if split is None:
            split = self._find(*label)
            if len(method) + len(raw_path) <= MAX_CACHED_LENGTH:
                if len(self._cache) >= MAX_CACHED_ROUTES:
                    self._cache.clear()
                self._cache[label] = split
        return split.base if split.canary is None else split.choose()

    def _find(self, method: str, raw_path: bytes, root: str | None, domain: str) -> CanarySplit[RouteMatch[T]]:
        if method == "CONNECT":
            raise Refusal("BAD_REQUEST", "no tunnels", CLOSE)
        try:
            path, skipped = decode(raw_path, self._encoded_slash), 0
        except BadPath as error:
            raise Refusal("BAD_REQUEST", str(error)) from error
        if root and (inner := within(path, root)) != path:
            path, skipped = inner, root.rstrip("/").count("/")
        found = self._lead(method, path, skipped, domain)
        if ";" in path:
            self._check_parameters(method, path, skipped, domain, found)
        return found

    def _check_parameters(
        self, method: str, path: str, skipped: int, domain: str, found: CanarySplit[RouteMatch[T]]
    ) -> None:
        """Refuse a path that leads elsewhere for a backend that cuts `;parameters` off its segments."""
        plain = _PARAMETERS.sub("", path)
        if "//" in plain:
            raise Refusal("BAD_REQUEST", "a segment of the path has parameters only")
        other = self._lead(method, plain, skipped, domain).base.destination
        own = found.base.destination
        if (own.api, own.stage, own.route) != (other.api, other.stage, other.route):
            raise Refusal("BAD_REQUEST", "the path leads to another route without its parameters")

    def _lead(self, method: str, path: str, skipped: int, domain: str) -> CanarySplit[RouteMatch[T]]:
        """Where a decoded path leads."""
        api, stage = self._only, ""
        if api is None:
            base = next((one for one in self._domains.get(domain, ()) if f"{path}/".startswith(f"{one.path}/")), None)
            if base is None:
                return _nothing(NOWHERE, "RESOURCE_NOT_FOUND", "no such host or base path")
            path, skipped = path[len(base.path) :] or "/", skipped + base.segments
            api, stage = base.api, base.stage
        if not stage:
            first, _, rest = path[1:].partition("/")
            if first in api.stages and first != "$default":
                path, skipped, stage = f"/{rest}", skipped + 1, first
            elif "$default" in api.stages:
                stage = "$default"
            else:
                return _nothing(Destination(api.name), api.missing, "no such stage")
        variants = api.stages[stage]
        canary = variants.canary.find(method, path, skipped) if variants.canary else None
        return CanarySplit(variants.base.find(method, path, skipped), canary, variants.percent)


def _nothing(destination: Destination, type: str, reason: str) -> CanarySplit[RouteMatch[T]]:
    return CanarySplit(RouteMatch(destination, None, (type, reason)))


def _longest_first(bases: Mapping[str, str], apis: Mapping[str, RoutedApi[T]]) -> list[_BasePath[T]]:
    found = []
    for path, target in bases.items():
        api, _, stage = target.partition("/")
        found.append(_BasePath(path.rstrip("/"), path.rstrip("/").count("/"), apis[api], stage))
    return sorted(found, key=lambda base: -base.segments)
