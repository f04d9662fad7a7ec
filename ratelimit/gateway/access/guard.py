"""The conditions under which a client may use a route."""

from dataclasses import dataclass
from typing import Any

from ..._configuration.addresses import Networks
from ..exchange import Caller, Exchange
from ..functions.events import ACCOUNT, method_arn
from ..http.errors import Refusal
from ..throttling.stage_keys import StageKeys
from .authorizers import Authorizer
from .policies import decide


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Admits the clients of one route.

    Args:
        allow, deny: networks; with `allow`, other addresses are refused.
        policy: of the API, which allows and denies requests; None without one.
        authorizer: asked next.
        keys: the API keys that are accepted; None where no key is required.
        scopes: of which a JSON Web Token must have one; empty for any.
    """

    allow: Networks
    deny: Networks
    policy: Any
    authorizer: Authorizer | None
    keys: StageKeys | None
    scopes: frozenset[str] = frozenset()

    def admit(self, exchange: Exchange) -> None:
        """Refuse a client by its address, the policy, or its API key, unless an authorizer gives the key.

        A client without an address is in every list of `deny`.
        """
        client = exchange.request.client
        if self.deny and (not client or client in self.deny):  # an unknown address might be any
            raise Refusal("ACCESS_DENIED", "its address is in deny" if client else "its address is not known")
        if self.allow and client not in self.allow:
            raise Refusal("ACCESS_DENIED", "its address is not in allow")
        if self.policy is not None:
            decision = decide(self.policy, method_arn(exchange), client)
            decides = self.authorizer is None or not self.authorizer.has_policy
            if decision is False or (decision is None and decides):
                raise policy_refusal(exchange, decision)
            exchange.is_granted = bool(decision)
        if self.authorizer is None:
            exchange.caller = self._caller(exchange, {})

    def recall(self, exchange: Exchange) -> bool:
        """Note the client, if the authorizer's answer is remembered and admits it; return whether."""
        assert self.authorizer is not None
        try:
            answer = self.authorizer.recall(exchange)
            if answer is None:
                return False
            exchange.caller = self._caller(exchange, answer)
            return True
        except Refusal:  # which `ask` repeats
            return False

    async def ask(self, exchange: Exchange) -> None:
        """Note the client by what the authorizer answers; raise a Refusal if it may not use the route."""
        assert self.authorizer is not None
        exchange.caller = self._caller(exchange, await self.authorizer.ask(exchange))

    def _caller(self, exchange: Exchange, answer: dict[str, Any]) -> Caller:
        context = answer.get("context") or {}
        if self.scopes and self.scopes.isdisjoint(context.get("scopes", ())):
            raise Refusal("ACCESS_DENIED", "the token has none of the scopes")
        if self.keys is None:
            return Caller(authorizer=context)
        name, plan = self.keys.find(answer.get("usageIdentifierKey") or exchange.request.header("x-api-key"))
        return Caller(name, context, plan)


def policy_refusal(exchange: Exchange, decision: bool | None) -> Refusal:
    """Return the refusal of a policy."""
    name = method_arn(exchange).replace(ACCOUNT, f"********{ACCOUNT[-4:]}")
    shown = f"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {name}"
    explicit = decision is False
    reason = "the policy denies it" if explicit else "the policy does not allow it"
    return Refusal("ACCESS_DENIED", reason, shown=shown + (" with an explicit deny" if explicit else ""))
