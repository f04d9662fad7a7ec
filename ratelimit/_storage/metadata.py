"""What a table is about, in the first half of its first page.

It is written when the table is made and checked by all who attach to it. Only the quota may change later: each
new one is written into the next of `QUOTAS` places, before the header's revision says that it holds.
"""

import secrets
import zlib
from fractions import Fraction
from typing import Any

import numpy as np

from .._limiter.parameters import ALGORITHMS, LEAKY_BUCKET, TOKEN_BUCKET, Sizes, restate
from ..quota import NS_PER_SECOND, Quota
from .memory import Bytes

PAGE = 4096
LABEL_SIZE = 2048  # of the first page; the other half is the header's, see table.pxd
_CLOCKS = {True: "ratelimit's own", False: "given as clock="}
MAGIC, LAYOUT = b"RATELIMT", 1
QUOTAS = 16

SLOT_SIZE = 16
BYTES_PER_KEY = 24  # 1.5 slots, the first page among them
SMALL_TABLE = 1024  # up to here there are max_keys slots and a search may visit them all
WINDOW = 256  # slots a search may visit; at max_keys live keys the longest run seen was 130

_QUOTA = np.dtype([("limit", "<u8"), ("period_ns", "<u8"), ("most", "<u8"), ("checksum", "<u8")])
_LABEL = np.dtype(
    [
        ("magic", "S8"),
        ("layout", "<u4"),
        ("checksum", "<u4"),  # of what follows, but for the quotas, which have their own
        ("algorithm", "<u8"),
        ("own_clock", "<u8"),  # 1: ratelimit's own, 0: one that was given
        ("unit", "<u8"),
        ("period", "<u8"),
        ("capacity", "<u8"),
        ("max_keys", "<u8"),
        ("seed", "<u8", 2),
        ("quotas", _QUOTA, QUOTAS),
    ]
)
_FIXED = slice(_LABEL.fields["algorithm"][1], _LABEL.fields["quotas"][1])  # type: ignore[index]


def slots_for(max_keys: int) -> int:
    """How many slots a table of so many keys has."""
    return max_keys if max_keys <= SMALL_TABLE else (max_keys * BYTES_PER_KEY - PAGE) // SLOT_SIZE


def window_for(max_keys: int) -> int:
    """How many slots a search may visit."""
    return max_keys if max_keys <= SMALL_TABLE else WINDOW


def bytes_for(max_keys: int, capacity: int) -> int:
    """The size of a table: a page, the slots, and the sliding log's `capacity` words a slot."""
    return PAGE + slots_for(max_keys) * SLOT_SIZE * (1 + capacity)


class CorruptTable(ValueError):
    """A table that is none, or was damaged. It is left as it is."""


class Label:
    """The label of a mapped table.

    Args:
        memory: the whole table, an array of bytes.
        source: what to call it in errors.

    Raises:
        CorruptTable: the bytes are no label that this version could have written.
    """

    def __init__(self, memory: Bytes, source: str) -> None:
        self.source = source
        if len(memory) < PAGE:
            raise CorruptTable(f"{source} is no table of ratelimit: it has {len(memory)} bytes, less than a page")
        self._row: Any = memory[: _LABEL.itemsize].view(_LABEL)[0]
        self._fixed = memory[_FIXED]
        self._check(len(memory))

    @staticmethod
    def write(memory: Bytes, sizes: Sizes, max_keys: int, own_clock: bool) -> None:
        """Describe a table that is still nobody's."""
        row: Any = memory[: _LABEL.itemsize].view(_LABEL)[0]
        row["magic"], row["layout"] = MAGIC, LAYOUT
        row["algorithm"], row["own_clock"] = sizes.algorithm, own_clock
        row["unit"], row["period"], row["capacity"] = sizes.unit, sizes.period, sizes.capacity
        row["max_keys"] = max_keys
        row["seed"] = secrets.randbits(64), secrets.randbits(64)
        row["quotas"][0] = _entry(sizes)
        row["checksum"] = zlib.crc32(memory[_FIXED].data)

    def _check(self, size: int) -> None:
        row, source = self._row, self.source
        if bytes(row["magic"]) != MAGIC:
            raise CorruptTable(f"{source} is no table of ratelimit: it does not begin with {MAGIC!r}")
        if row["layout"] != LAYOUT:
            raise CorruptTable(f"{source} has layout {row['layout']}; this version of ratelimit reads {LAYOUT}")
        if row["checksum"] != zlib.crc32(self._fixed.data):
            raise CorruptTable(f"{source} is damaged: the checksum of its label is wrong")
        # A right checksum proves no good will: nothing below may lead out of the memory, or to a division by zero.
        if row["algorithm"] not in ALGORITHMS or not 1 <= row["max_keys"] < 2**48 or row["capacity"] >= 2**17:
            raise CorruptTable(f"{source} is damaged: its label describes a table that cannot be")
        if size != bytes_for(self.max_keys, self.capacity):
            wanted = bytes_for(self.max_keys, self.capacity)
            raise CorruptTable(f"{source} is damaged: it should have {wanted:,} bytes, but has {size:,}")

    @property
    def algorithm(self) -> int:
        return int(self._row["algorithm"])

    @property
    def max_keys(self) -> int:
        return int(self._row["max_keys"])

    @property
    def capacity(self) -> int:
        return int(self._row["capacity"])

    @property
    def own_clock(self) -> bool:
        return bool(self._row["own_clock"])

    @property
    def seed(self) -> tuple[int, int]:
        low, high = self._row["seed"].tolist()
        return low, high

    def sizes(self, revision: int) -> Sizes:
        """The quota that holds since `revision`.

        Raises:
            CorruptTable: it was never written, or damaged.
        """
        entry = self._row["quotas"][revision % QUOTAS].copy()
        row = self._row
        period = int(row["period"])
        try:
            quota = Quota(1, Fraction(period, NS_PER_SECOND))
            own = Sizes(quota, self.algorithm, 1, period, int(row["unit"]), capacity=self.capacity)
            if entry["checksum"] != _checksum(entry):
                raise ValueError("its checksum is wrong")
            if not 1 <= own.unit <= 2**16:
                raise ValueError(f"a unit of {own.unit}")
            return restate(int(entry["limit"]), int(entry["period_ns"]), int(entry["most"]), own)
        except (ValueError, ZeroDivisionError) as error:
            raise CorruptTable(f"{self.source} is damaged: its quota cannot be ({error})") from None

    def note(self, revision: int, sizes: Sizes) -> None:
        """Write down the quota of a revision to come."""
        self._row["quotas"][revision % QUOTAS] = _entry(sizes)

    def require(self, sizes: Sizes, max_keys: int | None, own_clock: bool) -> None:
        """Refuse to serve a limiter that the slots do not fit. Its quota may still differ.

        Raises:
            ValueError: naming what is different.
        """
        mine: list[tuple[str, object, object]] = [
            ("algorithm", ALGORITHMS[self.algorithm], ALGORITHMS[sizes.algorithm]),
            ("max_keys", self.max_keys, self.max_keys if max_keys is None else max_keys),
            ("clock", _CLOCKS[self.own_clock], _CLOCKS[own_clock]),
        ]
        if sizes.algorithm not in (TOKEN_BUCKET, LEAKY_BUCKET):
            mine.append(("period in ns", int(self._row["period"]), sizes.period))
        for name, here, wanted in mine:
            if here != wanted:
                raise ValueError(f"{self.source} was made with another {name}: {here}, not {wanted}")


def same_quota(a: Sizes, b: Sizes) -> bool:
    """Whether two limiters of one algorithm were told the same."""
    return _numbers(a) == _numbers(b)


def _numbers(sizes: Sizes) -> tuple[int, int, int]:
    return sizes.quota.limit, sizes.quota.period_ns, sizes.limit


def _entry(sizes: Sizes) -> tuple[int, int, int, int]:
    entry = np.zeros((), _QUOTA)
    entry["limit"], entry["period_ns"], entry["most"] = _numbers(sizes)
    return (*_numbers(sizes), _checksum(entry))


def _checksum(entry: Any) -> int:
    return zlib.crc32(entry.tobytes()[: _QUOTA.fields["checksum"][1]])  # type: ignore[index]
