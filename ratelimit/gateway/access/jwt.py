"""Authorizers that check JSON Web Tokens."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from ..exchange import Exchange
from ..http.errors import Refusal
from .authorizers import Identity

log = logging.getLogger("ratelimit.gateway")
ALGORITHMS = ("RS256", "RS384", "RS512")
MAX_TOKENS = 10_000  # verified tokens that are remembered
MAX_TOKEN = 16_384  # characters
MAX_KEYS = 1024 * 1024  # bytes of a JWKS
REFRESH, RETRY = 7_200.0, 10.0  # seconds between two readings of the keys, and after a token with an unknown key
TIMEOUT = 5.0


class KeySet:
    """The public keys of an issuer, read when they are needed.

    Args:
        source: a URL or a file; None for the keys that the issuer's OpenID configuration names.
        issuer: see there.
        clock: seconds.
    """

    def __init__(self, source: str | None, issuer: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._issuer = issuer
        self._clock = clock
        self._keys: dict[str | None, Any] = {}
        self._read_at: float | None = None
        self._expired = 0  # times
        self._reading = asyncio.Lock()

    async def find(self, kid: str | None) -> Any:
        """Return a key by its id, or None. The keys are read again when they are old, or lack this one."""
        if not self._is_fresh(kid):
            async with self._reading:
                if not self._is_fresh(kid):
                    await self._read()
        return self._keys.get(kid) or (next(iter(self._keys.values()), None) if kid is None else None)

    def _is_fresh(self, kid: str | None) -> bool:
        if self._read_at is None:
            return False
        age = self._clock() - self._read_at
        return age < RETRY or (age < REFRESH and (kid in self._keys or (kid is None and bool(self._keys))))

    def expire(self) -> None:
        """Read the keys again before they are used. The present ones hold on if that fails."""
        self._read_at, self._expired = None, self._expired + 1

    async def _read(self) -> None:
        import jwt

        expired = self._expired
        try:
            document = json.loads(await asyncio.to_thread(self._load))
            keys = jwt.PyJWKSet.from_dict(document).keys
            of_signatures = [key for key in keys if key.public_key_use in (None, "sig")]
            self._keys = {key.key_id: key.key for key in of_signatures if key.key_type == "RSA"}
        except Exception as error:  # whatever is wrong with them: the former keys hold on
            log.error("the keys of issuer %s cannot be read: %r", self._issuer, error)
        if expired == self._expired:
            self._read_at = self._clock()

    def _load(self) -> bytes:
        source = self._source
        if source is None:
            configuration = _fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            source = str(json.loads(configuration)["jwks_uri"])
        if is_url(source):
            return _fetch(source)
        with Path(source).open("rb") as file:
            return file.read(MAX_KEYS)


class KeySets:
    """The public keys of the issuers of a gateway, over reloads; those of an issuer that is not used are forgotten."""

    def __init__(self) -> None:
        self._key_sets: WeakValueDictionary[tuple[str | None, str], KeySet] = WeakValueDictionary()

    def of(self, source: str | None, issuer: str) -> KeySet:
        """Return the keys of an issuer. They are read again, since a reload may be due to new ones."""
        key_set = self._key_sets.setdefault((source, issuer), KeySet(source, issuer))
        key_set.expire()
        return key_set


def is_url(source: str) -> bool:
    """Whether keys come by HTTP, and not from a file."""
    return source.startswith(("http://", "https://"))


def _fetch(url: str) -> bytes:
    import urllib.request  # when it is used: it would make each start slower

    if not is_url(url):
        raise ValueError(f"expected an http or https address, got {url!r}")
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return answer.read(MAX_KEYS)  # type: ignore[no-any-return]


class JwtAuthorizer:
    """Accepts the tokens of one issuer.

    Args:
        identity: where the token is.
        issuer: its `iss`.
        audience: of which `aud`, or `client_id`, has one; empty for any.
        keys: the issuer's.
        clock: seconds since the epoch.
    """

    has_policy = False

    def __init__(
        self,
        identity: Identity,
        issuer: str,
        audience: tuple[str, ...],
        keys: KeySet,
        clock: Callable[[], float] = time.time,
    ) -> None:
        import jwt  # at the start, so that a missing package is an error of the configuration

        self._jwt = jwt
        self._identity = identity
        self._issuer = issuer
        self._audience = frozenset(audience)
        self._keys = keys
        self._clock = clock
        self._verified: dict[bytes, tuple[float, dict[str, Any]]] = {}  # by digest: until when, and the answer

    def recall(self, exchange: Exchange) -> dict[str, Any] | None:
        """Return the claims as context, if the token is remembered; raise a Refusal for a request without a token."""
        return self._known(_digest(self._token(exchange)))

    async def ask(self, exchange: Exchange) -> dict[str, Any]:
        """Return the claims as context; raise a Refusal for a token that is not accepted."""
        value = self._token(exchange)
        digest = _digest(value)
        answer = self._known(digest)
        if answer is None:
            until, context = await self._verify(value[7:].strip() if value[:7].lower() == "bearer " else value)
            answer = {"isAuthorized": True, "context": context}
            if len(self._verified) >= MAX_TOKENS:
                self._verified.clear()
            self._verified[digest] = until, answer
        return answer

    def _token(self, exchange: Exchange) -> str:
        (value,) = self._identity.of(exchange)
        if len(value) > MAX_TOKEN:
            raise self._refusal("the token is too long")
        return value

    def _known(self, digest: bytes) -> dict[str, Any] | None:
        known = self._verified.get(digest)
        return None if known is None or self._clock() >= known[0] else known[1]

    async def _verify(self, token: str) -> tuple[float, dict[str, Any]]:
        jwt = self._jwt
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:
                raise self._refusal(f"the algorithm {header.get('alg')!r}")
            key = await self._keys.find(header.get("kid"))
            if key is None:
                raise self._refusal("no key of the issuer has signed it")
            options: Any = {"verify_signature": True, "verify_aud": False, "verify_exp": False, "verify_nbf": False,
                            "verify_iat": False, "require": ["exp"]}  # fmt: skip
            claims = jwt.decode(token, key, algorithms=[header["alg"]], options=options, issuer=self._issuer)
            until = self._check(claims)
            granted = claims.get("scope", claims.get("scp")) or []
            if not isinstance(granted, str | list):
                raise TypeError("scope: expected text or a list")
            scopes = granted.split() if isinstance(granted, str) else [str(one) for one in granted]
            texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in claims.items()}
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError) as error:  # whatever a claim may be
            raise self._refusal(str(error)) from error
        return until, {"claims": texts, "scopes": scopes}

    def _check(self, claims: dict[str, Any]) -> float:
        """Check times and audience; return when the token expires."""
        now = self._clock()
        times = [claims.get(name, 0) for name in ("exp", "nbf", "iat")]
        if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in times):
            raise self._refusal("exp, nbf, iat: expected numbers")
        if not now < times[0]:
            raise self._refusal("the token has expired")
        if times[1] > now or times[2] > now:
            raise self._refusal("the token is not valid yet")
        given = claims.get("aud", claims.get("client_id"))
        audience = set(given) if isinstance(given, list) else {given}
        if self._audience and not self._audience & audience:
            raise self._refusal("the token is for another audience")
        return float(times[0])

    @staticmethod
    def _refusal(reason: str) -> Refusal:
        return Refusal("UNAUTHORIZED", reason, ((b"www-authenticate", b'Bearer error="invalid_token"'),))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
