"""Where a request has the key that is limited, and its cost: `address`, `header x-api-key or address`, `query key`."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from ..contrib._addresses import ClientAddress
from .head import Head

NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")  # of a header field or a parameter
KINDS = "'address', 'everyone', 'header NAME' or 'query NAME'"
FORWARDED = b"x-forwarded-for"
LONGEST_CACHED = 64  # characters of X-Forwarded-For
MAX_COST = 10**9
SEPARATOR = "\0"  # between the parts of a key; no header field and no part of a path has it


Source = Callable[[Head], str | None]


class Addresses:
    """The addresses of clients, behind trusted proxies; those in use are kept.

    Args:
        trusted_proxies: as for the middlewares.

    Attributes:
        find: returns the address of a client by that of its connection and a value of X-Forwarded-For.
    """

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._find = ClientAddress(trusted_proxies)
        self.find = lru_cache(10_000)(self._look)

    def _look(self, peer: str, forwarded: str) -> str:
        return self._find(peer, (forwarded,) if forwarded else ())

    def of(self, head: Head) -> str:
        """Return the address of the client that sent a request."""
        forwarded = head.fields.get(FORWARDED, "")
        return (self.find if len(forwarded) <= LONGEST_CACHED else self._look)(head.peer, forwarded)


class Place(NamedTuple):
    """A place in a request: its kind, and the name of a header field or a parameter."""

    kind: str
    name: str


def read_places(text: str) -> tuple[Place, ...]:
    """Read places with `or` between them, of which the first that a request has is used.

    Raises:
        ValueError: the text is something else.
    """
    return tuple(_read_place(part, text) for part in re.split(r"\s+or\s+", text.strip()))


def _read_place(part: str, text: str) -> Place:
    kind, _, name = part.partition(" ")
    name = name.strip()
    if kind in ("address", "everyone") and not name:
        return Place(kind, "")
    if kind in ("header", "query") and NAME.fullmatch(name):
        return Place(kind, name.lower() if kind == "header" else name)
    raise ValueError(f"expected {KINDS}, or several with ' or ' between them, got {text[:100]!r}")


def wanted_fields(places: Sequence[Place]) -> set[bytes]:
    """Return the header fields that the places need."""
    fields = {place.name.encode() for place in places if place.kind == "header"}
    return fields | {FORWARDED} if any(place.kind == "address" for place in places) else fields


def key_of(parts: Sequence[Sequence[Place]], addresses: Addresses) -> Source:
    """Return a function from a request to its key; the key is None if the request lacks a part of it."""
    sources = [_first_of([_source(place, addresses) for place in part]) for part in parts]
    if len(sources) == 1:
        return sources[0]

    def joined(head: Head) -> str | None:
        values = [source(head) for source in sources]
        return None if None in values else SEPARATOR.join(map(str, values))

    return joined


def cost_of(places: Sequence[Place]) -> Callable[[Head], int]:
    """Return a function from a request to its cost, which is 1 if the request does not have it.

    The function raises a ValueError for a cost that is not a whole number from 1.
    """
    source = _first_of([_source(place, Addresses(())) for place in places])

    def cost(head: Head) -> int:
        text = source(head)
        if text is None:
            return 1
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and 1 <= int(text) <= MAX_COST):
            raise ValueError(f"cost: expected a whole number from 1 to {MAX_COST}, got {text[:100]!r}")
        return int(text)

    return cost


def _source(place: Place, addresses: Addresses) -> Source:
    if place.kind == "address":
        return addresses.of
    if place.kind == "everyone":
        return lambda head: ""
    if place.kind == "header":
        field = place.name.encode()
        return lambda head: head.fields.get(field) or None
    return lambda head: _parameter(head.query, place.name)


def _first_of(sources: Sequence[Source]) -> Source:
    if len(sources) == 1:
        return sources[0]
    return lambda head: next((value for source in sources if (value := source(head)) is not None), None)


def _parameter(query: bytes, name: str) -> str | None:
    """Return the value of the first parameter of this name; empty is absent."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), max_num_fields=100)
    except ValueError:  # more than that
        return None
    return next((value for key, value in pairs if key == name), None)
