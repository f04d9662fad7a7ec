"""An expression over the fields of a log, as one key for each request."""

import re
import socket
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = b"-"  # as access logs write a field that is not there
V4_MAPPED = bytes(10) + b"\xff\xff"
_TERM = re.compile(r"\s*(?P<field>[A-Za-z_@$][\w.@$-]*)\s*(?:/\s*(?P<first>\d+)\s*(?:/\s*(?P<second>\d+)\s*)?)?")


@dataclass(frozen=True, slots=True)
class Term:
    """A field; of an address its first bits, of a path its first segments."""

    field: str
    numbers: tuple[int, ...] = ()

    def values(self, distinct: "list[bytes | None]") -> list[bytes]:
        """The key's part for each distinct value of the field."""
        present = [value or MISSING for value in distinct]
        if self.field == "path" and self.numbers:
            return [path_prefix(value, self.numbers[0]) for value in present]
        if self.field == "client" or self.numbers:
            v4, v6 = self.numbers if len(self.numbers) == 2 else 2 * (self.numbers or (128,))
            mask = partial(address_prefix, v4=min(v4, 32), v6=v6)
            return [value if v4 >= 32 and b":" not in value else mask(value) for value in present]
        return present


@dataclass(frozen=True, slots=True)
class Key:
    """What a limit counts by, such as `client`, `client/64`, `user` or `client + method + path/2`.

    `client/64` is the address's first 64 bits; of IPv4, which has 32, all of them. `client/24/56` takes 24 bits
    of IPv4 and 56 of IPv6. `::ffff:192.0.2.1` is the IPv4 address that it holds. `path/2` is the path's first two
    segments. Any other name is a field of the log as it is, a header for instance: `header.x-api-key`.
    """

    terms: tuple[Term, ...]

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read an expression; ValueError, with the text and what is accepted, when it cannot be understood."""
        if not isinstance(text, str):
            raise TypeError(f"key must be a text such as 'client' or 'client/64', not {text!r}")
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


@lru_cache(1 << 16)
def address_prefix(address: bytes, v4: int, v6: int) -> bytes:
    """The first bits of an address, in its usual spelling; what is no address stays as it is."""
    text, zone, _ = address.decode("latin-1").partition("%")
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except OSError:
        return address
    if packed.startswith(V4_MAPPED):
        packed = packed[len(V4_MAPPED) :]
    family, bits = (socket.AF_INET, v4) if len(packed) == 4 else (socket.AF_INET6, v6)
    rest = 8 * len(packed) - bits
    prefix = (int.from_bytes(packed) >> rest << rest).to_bytes(len(packed))
    if zone and not rest:
        return address  # whole: in each zone an address of its own
    return socket.inet_ntop(family, prefix).encode() + (b"/%d" % bits if rest else b"")


def path_prefix(path: bytes, segments: int) -> bytes:
    """`/api/v1/users` by 2 is `/api/v1`."""
    return b"/".join(path.split(b"/", segments + 1)[: segments + 1])


def _encoded(term: Term, fields: "dict[str, pa.Array]") -> "tuple[NDArray[np.int64], list[bytes]]":
    column: Any = fields[term.field].dictionary_encode(null_encoding="encode")
    return column.indices.to_numpy().astype(np.int64), term.values(column.dictionary.to_pylist())


def _term(part: str, text: str) -> Term:
    found = _TERM.fullmatch(part)
    if found is None:
        raise ValueError(f"key {text!r} is not understood; write it 'client', 'client/64' or 'user + method + path/2'")
    numbers = tuple(int(number) for number in (found["first"], found["second"]) if number is not None)
    if found["field"] == "path":
        if len(numbers) > 1 or 0 in numbers:
            raise ValueError(f"key {text!r}: path takes one number of segments, from 1")
    elif any(not 1 <= number <= 128 for number in numbers) or (len(numbers) == 2 and numbers[0] > 32):
        raise ValueError(f"key {text!r}: a prefix has from 1 to 128 bits, in IPv4 up to 32")
    return Term(found["field"], numbers)
