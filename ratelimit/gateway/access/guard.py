"""The conditions under which a client may use a route."""

from dataclasses import dataclass

from ..._configuration.addresses import Networks
from ..exchange import Caller, Exchange
from ..http.errors import Refusal
from ..throttling.stage_keys import StageKeys
from .authorizers import Authorizer


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Admits the clients of one route.

    Args:
        allow, deny: networks; with `allow`, other addresses are refused.
        authorizer: asked next.
        keys: the API keys that are accepted; None where no key is required.
        scopes: of which a JSON Web Token must have one; empty for any.
    """

    allow: Networks
    deny: Networks
    authorizer: Authorizer | None
    keys: StageKeys | None
    scopes: frozenset[str] = frozenset()

    def check_address(self, client: str) -> None:
        """Refuse a client by its address; one without an address is in every list of `deny`."""
        if self.deny and (not client or client in self.deny):  # an unknown address might be any
            raise Refusal("ACCESS_DENIED", "its address is in deny" if client else "its address is not known")
        if self.allow and client not in self.allow:
            raise Refusal("ACCESS_DENIED", "its address is not in allow")

    async def identify(self, exchange: Exchange) -> Caller:
        """Return the client by its credentials; raise a Refusal if it may not use the route."""
        value: str | None = None
        context = None
        if self.authorizer is not None:
            answer = await self.authorizer.ask(exchange)
            context = answer.get("context")
            if self.scopes and self.scopes.isdisjoint((context or {}).get("scopes", ())):
                raise Refusal("ACCESS_DENIED", "the token has none of the scopes")
            value = answer.get("usageIdentifierKey")
        if self.keys is None:
            return Caller(authorizer=context or {})
        return Caller(self.keys.find(value or exchange.request.header("x-api-key")), context or {})
