"""Where an engine is: a URL, or a client of valkey-py or redis-py, becomes connections without retries."""

import importlib
from abc import ABC, abstractmethod
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ...errors import shortened, unknown

SCHEMES = "valkey", "valkeys", "redis", "rediss"
SENTINEL_PORT = 26379
# The settings of a client that name its address and credentials. All others, such as retries, are ours.
_SETTINGS = {
    *("host", "port", "path", "db", "username", "password", "credential_provider", "client_name"),
    *("socket_keepalive", "socket_keepalive_options", "socket_type"),
}
_URL_SETTINGS = {"db": int, "client_name": str}


class Address(ABC):
    """Where the engine is. Every connection that it makes is new.

    Args:
        library: the module `valkey` or `redis`.
        settings: the arguments of its connections.
        kind: the class of the connections, by name.
    """

    def __init__(self, library: Any, settings: dict[str, Any], kind: str) -> None:
        self.library = library
        self.exceptions = library.exceptions
        self.error: type[Exception] = self.exceptions.ConnectionError.__mro__[1]  # the base of the library's errors
        self._settings = settings
        self._kind = kind

    def connect(self, timeout: float) -> Any:
        """Return a connection of the blocking client."""
        made = getattr(self.library.connection, self._kind)(**self._arguments(timeout), **self.place(timeout))
        made.connect()
        return made

    async def connect_async(self, timeout: float) -> Any:
        """Return a connection of the asyncio client. It has no timeouts: turns.py has one for everything."""
        module = importlib.import_module(f"{self.library.__name__}.asyncio.connection")
        made = getattr(module, self._kind)(**self._arguments(None), **await self.place_async(timeout))
        await made.connect()
        return made

    def _arguments(self, timeout: float | None) -> dict[str, Any]:
        return self._settings | {"socket_timeout": timeout, "socket_connect_timeout": timeout, "protocol": 2}

    def place(self, timeout: float) -> dict[str, Any]:
        """Return the host and the port, where they change."""
        return {}

    async def place_async(self, timeout: float) -> dict[str, Any]:
        """Return the host and the port, where they change."""
        return {}

    @property
    def scheme(self) -> str:
        name: str = self.library.__name__
        return f"{name}s" if self._kind == "SSLConnection" else name

    def has_moved(self) -> None:  # noqa: B027  an address that does not change has nothing to forget
        """Forget where the engine was last found."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the address without its password."""


class Server(Address):
    """One server, at an address that does not change."""

    def __str__(self) -> str:
        where = self._settings.get("path") or f"{self._settings.get('host')}:{self._settings.get('port')}"
        return f"{self.scheme}://{where}/{self._settings.get('db') or 0}"


class Watched(Address):
    """The primary that Sentinel names. After a failover a new connection goes to the new one."""

    def __init__(
        self, library: Any, settings: dict[str, Any], kind: str, hosts: list[tuple[str, int]], service: str
    ) -> None:
        super().__init__(library, settings, kind)
        self._hosts = hosts
        self._service = service
        self._found: dict[str, Any] | None = None

    def place(self, timeout: float) -> dict[str, Any]:
        found = self._found
        if found is None:
            module = importlib.import_module(f"{self.library.__name__}.sentinel")
            each = timeout / len(self._hosts)
            sentinel = module.Sentinel(self._hosts, socket_timeout=each, socket_connect_timeout=each)
            host, port = sentinel.discover_master(self._service)
            self._found = found = {"host": host, "port": port}
        return found

    async def place_async(self, timeout: float) -> dict[str, Any]:
        if self._found is None:
            module = importlib.import_module(f"{self.library.__name__}.asyncio.sentinel")
            each = timeout / len(self._hosts)
            sentinel = module.Sentinel(self._hosts, socket_timeout=each, socket_connect_timeout=each)
            host, port = await sentinel.discover_master(self._service)
            for watcher in sentinel.sentinels:
                await watcher.aclose()
            self._found = {"host": host, "port": port}
        return self._found

    def has_moved(self) -> None:
        self._found = None

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self._hosts)
        return f"{self.scheme}+sentinel://{hosts}/{self._service}"


class Clustered(Address):
    """A cluster. Each of its servers has an address of its own.

    Attributes:
        seeds: the servers that are asked first.
    """

    def __init__(self, library: Any, settings: dict[str, Any], kind: str, seeds: list[tuple[str, int]]) -> None:
        super().__init__(library, settings, kind)
        self.seeds = seeds

    def server(self, node: tuple[str, int]) -> Server:
        """Return the address of one server."""
        return Server(self.library, self._settings | {"host": node[0], "port": node[1]}, self._kind)

    def __str__(self) -> str:
        return f"{self.scheme}+cluster://{','.join(f'{host}:{port}' for host, port in self.seeds)}"


def address_of(given: Any) -> Address:
    """Return the address of a URL or of a client.

    Raises:
        TypeError, ValueError: it is neither, or the URL is wrong.
        ImportError: the package that it needs is not installed.
    """
    return _of_url(given) if isinstance(given, str) else _of_client(given)


def _of_url(url: str) -> Address:
    parts = urlsplit(url)
    scheme, _, topology = parts.scheme.partition("+")
    if scheme not in SCHEMES:
        raise ValueError(f"url: {unknown('scheme', parts.scheme, SCHEMES)}, got {shortened(without_password(url))}")
    if topology not in ("", "sentinel", "cluster"):
        raise ValueError(f"url: {unknown('topology', topology, ['sentinel', 'cluster'])}")
    library = _library("valkey", "redis")
    settings: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _URL_SETTINGS and not name.startswith("ssl_"):
            raise ValueError(f"url: {unknown('setting', name, [*_URL_SETTINGS, 'ssl_ca_certs', 'ssl_cert_reqs'])}")
        settings[name] = _URL_SETTINGS.get(name, str)(value)
    user, password, where = _authority(parts.netloc)
    settings |= {"username": user, "password": password}
    folders = [unquote(part) for part in parts.path.split("/") if part]
    kind = "SSLConnection" if scheme.endswith("s") and scheme != "redis" else "Connection"
    if topology == "cluster":
        if folders not in ([], ["0"]):
            raise ValueError(f"url: expected no database but 0 in a cluster, got {parts.path!r}")
        return Clustered(library, settings, kind, _hosts(where, 6379))
    if topology:
        return _sentinel(library, settings, kind, where, folders)
    if len(folders) > 1 or (folders and not folders[0].isdecimal()):
        raise ValueError(f"url: expected the number of a database as the path, got {parts.path!r}")
    if "," in where:
        raise ValueError("url: expected one host, got several; a Sentinel is named by valkey+sentinel://")
    [(settings["host"], settings["port"])] = _hosts(where, 6379)
    settings.setdefault("db", int(folders[0]) if folders else 0)
    return Server(library, settings, kind)


def _sentinel(library: Any, settings: dict[str, Any], kind: str, where: str, folders: list[str]) -> Address:
    if not folders or len(folders) > 2 or (len(folders) == 2 and not folders[1].isdecimal()):
        raise ValueError("url: expected valkey+sentinel://host,host/service or .../service/database")
    settings.setdefault("db", int(folders[1]) if len(folders) == 2 else 0)
    return Watched(library, settings, kind, _hosts(where, SENTINEL_PORT), folders[0])


def _authority(netloc: str) -> tuple[str | None, str | None, str]:
    """Split `user:password@hosts`."""
    who, at, where = netloc.rpartition("@")
    if not at:
        return None, None, where
    user, colon, password = who.partition(":")
    return unquote(user) or None, unquote(password) if colon else None, where


def _hosts(where: str, default_port: int) -> list[tuple[str, int]]:
    found = []
    for one in where.split(","):
        try:
            parts = urlsplit(f"//{one}")
            found.append((parts.hostname or "127.0.0.1", parts.port or default_port))
        except ValueError:
            raise ValueError(f"url: expected host:port, got {one!r}") from None
    return found


def without_password(url: str) -> str:
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://...@{after}" if at else url


def _library(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ImportError("a table on Valkey requires the extra `valkey`: pip install 'ratelimit-core[valkey]'")


def _of_client(client: Any) -> Address:
    name = type(client).__module__.partition(".")[0]
    manager: Any = getattr(client, "nodes_manager", None)
    if name in ("valkey", "redis") and manager is not None:
        seeds = [(node.host, node.port) for node in client.get_nodes()]
        settings = {key: value for key, value in manager.connection_kwargs.items() if _is_ours(key, value)}
        is_tls = "SSL" in getattr(manager.connection_pool_class, "__name__", "") or manager.connection_kwargs.get("ssl")
        return Clustered(_library(name), settings, "SSLConnection" if is_tls else "Connection", seeds)
    pool: Any = getattr(client, "connection_pool", None)
    kind = getattr(getattr(pool, "connection_class", None), "__name__", "")
    if name not in ("valkey", "redis") or kind not in ("Connection", "SSLConnection", "UnixDomainSocketConnection"):
        raise TypeError(
            "url: expected a URL such as 'valkey://host:6379/0', or a client of valkey-py or redis-py of one server or "
            f"a cluster, got {client!r}"
        )
    settings = {key: value for key, value in pool.connection_kwargs.items() if _is_ours(key, value)}
    return Server(_library(name), settings, kind)


def _is_ours(key: str, value: Any) -> bool:
    return key in _SETTINGS or (key.startswith("ssl_") and value is not None)
