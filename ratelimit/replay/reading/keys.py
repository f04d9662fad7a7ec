"""An expression over the fields of a log, as one key for each request."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .addresses import address
from .formats.fields import ALIASES

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = b"-"  # as access logs write a field that a request does not have
ADDRESSES = {"client", *ALIASES["client"]}  # fields that hold addresses
_TERM = re.compile(
    r"\s*(?P<field>[A-Za-z_@$][\w.@$()-]*?)\s*(?:\[\s*(?P<index>-?\d+)\s*\]\s*)?"
    r"(?:/\s*(?P<first>\d+)\s*(?:/\s*(?P<second>\d+)\s*)?)?"
)


@dataclass(frozen=True, slots=True)
class Term:
    """A field; of an address its first bits, of a path its first segments, of a list the item with an index."""

    field: str
    numbers: tuple[int, ...] = ()
    index: int | None = None

    @property
    def bits(self) -> tuple[int, int]:
        """How many bits count of an IPv4 address, and of an IPv6 address."""
        v4, v6 = self.numbers if len(self.numbers) == 2 else 2 * (self.numbers or (128,))
        return min(v4, 32), v6

    def values(self, distinct: "list[bytes | None]") -> list[bytes]:
        """Return the key's part for each distinct value of the field."""
        present = [value or MISSING for value in distinct]
        if self.index is not None:
            present = [item(value, self.index) for value in present]
        if self.field == "path" and self.numbers:
            return [path_prefix(value, self.numbers[0]) for value in present]
        if self.numbers or self.index is not None or self.field in ADDRESSES:
            v4, v6 = self.bits
            return [address(value, v4, v6) for value in present]
        return present


@dataclass(frozen=True, slots=True)
class Key:
    """The key that a limit counts by, such as `client`, `client/64`, `user` or `client + method + path/2`.

    `client/64` is the address's first 64 bits; of IPv4, which has 32, all of them. `client/24/56` takes 24 bits
    of IPv4 and 56 of IPv6. `path/2` is the path's first two segments. Any other name is a field of the log as it
    is, a header for instance: `header.x-api-key`. `header.x-forwarded-for[1]` is the first address of a list, and
    `[-1]` the last.
    """

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read an expression; ValueError, with the text and what is expected, when it is not one."""
        if not isinstance(text, str):
            raise TypeError(f"key: expected text such as 'client' or 'client/64', got {text!r}")
        return cls(tuple(_term(part, text) for part in text.split("+")))

    @property
    def fields(self) -> list[str]:
        return [term.field for term in self.terms]

    def of(self, fields: "dict[str, pa.Array]") -> "tuple[NDArray[np.int64], list[bytes]]":
        """For each row the index of its key, and the distinct keys. Each distinct value is looked at once."""
        codes, names = _encoded(self.terms[0], fields)
        for term in self.terms[1:]:
            more, others = _encoded(term, fields)
            pairs, codes = np.unique(codes * len(others) + more, return_inverse=True)
            names = [names[pair // len(others)] + b" " + others[pair % len(others)] for pair in pairs]
        return codes, names


def item(value: bytes, index: int) -> bytes:
    """Return an item of a comma-separated list: 1 is the first, -1 the last; MISSING if the list is shorter."""
    items = value.split(b",")
    place = index - 1 if index > 0 else index
    return items[place].strip() or MISSING if -len(items) <= place < len(items) else MISSING


def path_prefix(path: bytes, segments: int) -> bytes:
    """`/api/v1/users` by 2 is `/api/v1`."""
    return b"/".join(path.split(b"/", segments + 1)[: segments + 1])


def _encoded(term: Term, fields: "dict[str, pa.Array]") -> "tuple[NDArray[np.int64], list[bytes]]":
    column: Any = fields[term.field].dictionary_encode(null_encoding="encode")
    return column.indices.to_numpy().astype(np.int64), term.values(column.dictionary.to_pylist())


def _term(part: str, text: str) -> Term:
    found = _TERM.fullmatch(part)
    if found is None:
        raise ValueError(f"key: expected 'client', 'client/64' or 'user + method + path/2', got {text!r}")
    numbers = tuple(int(number) for number in (found["first"], found["second"]) if number is not None)
    index = None if found["index"] is None else int(found["index"])
    if index == 0:
        raise ValueError(f"key {text!r}: an index is 1 for the first item, or -1 for the last")
    if found["field"] == "path":
        if len(numbers) > 1 or 0 in numbers:
            raise ValueError(f"key {text!r}: path takes one number of segments, from 1")
    elif any(not 1 <= number <= 128 for number in numbers) or (len(numbers) == 2 and numbers[0] > 32):
        raise ValueError(f"key {text!r}: a prefix has from 1 to 128 bits, in IPv4 up to 32")
    return Term(found["field"], numbers, index)
