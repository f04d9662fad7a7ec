"""Functions, authorizers and CORS, made of a configuration."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .access.authorizers import Authorizer, CachingAuthorizer, Identity
from .access.cors import CorsPolicy
from .access.jwt import JwtAuthorizer, KeySets
from .backends.address import Address
from .backends.balancer import Balancer
from .backends.proxy import address_of
from .backends.remote_function import RemoteFunction
from .config import access as config
from .config.apis import Api
from .config.model import Configuration
from .functions.events import Events
from .functions.invocation import BoundedFunction, Function, LocalFunction
from .functions.pool import AUTHORIZERS, FunctionPool
from .functions.process import FunctionProcesses, FunctionRegistry, ProcessSettings
from .templates.template import Template


class Callables:
    """Makes the functions and authorizers of a site.

    Args:
        configuration: see there.
        functions: those in processes of their own, over reloads.
        key_sets: the keys of issuers, likewise.
        address: gives the address of a scheme, host, port, and whether its certificate is checked.

    Attributes:
        processes: the functions in processes of their own that are used.
    """

    def __init__(
        self,
        configuration: Configuration,
        functions: FunctionRegistry,
        key_sets: KeySets,
        address: Callable[[str, str, int, bool], Address],
    ) -> None:
        self.processes: list[FunctionProcesses] = []
        self._configuration = configuration
        self._functions = functions
        self._key_sets = key_sets
        self._address = address

    def authorizer(self, api: Api, given: config.Authorizer) -> Authorizer:
        """Return an authorizer of an API."""
        cache_key = tuple(map(Template, given.cache_key))
        identity = Identity(given.identity, given.pattern, cache_key)
        if given.jwt is not None:
            keys = self._key_sets.of(given.jwt.keys, given.jwt.issuer)
            return JwtAuthorizer(identity, given.jwt.issuer, tuple(given.jwt.audience), keys)
        assert given.function is not None
        function = self.function(given.function, AUTHORIZERS)
        form = given.event or ("2.0" if api.type == "http" else "1.0")
        return CachingAuthorizer(function, Events(api.type), form, identity, given.ttl, cache_key)

    def function(self, function: Any, pool: FunctionPool) -> Function:
        """Return a function by what names it."""
        if not isinstance(function, str) or ":" in function:
            return LocalFunction(function, pool)
        given = self._configuration.functions[function]
        if given.url is not None:
            url = urlsplit(given.url)
            remote = RemoteFunction(Balancer([address_of(url, True, self._address)], 1, 0.0), url.path)
            return BoundedFunction(remote, pool)
        settings = ProcessSettings(
            function, given.handler or "", given.folder, given.code, dict(given.environment), given.timeout,
            given.memory, tuple(given.layers),
        )  # fmt: skip
        self.processes.append(self._functions.of(settings))
        return BoundedFunction(self.processes[-1], pool)


def cors_of(api: Api) -> CorsPolicy | None:
    """Return the CORS policy of an API."""
    cors = api.cors
    if cors is None:
        return None
    return CorsPolicy(
        tuple(cors.allow_origins), cors.allow_methods, cors.allow_headers, cors.expose_headers, cors.max_age,
        cors.allow_credentials,
    )  # fmt: skip
