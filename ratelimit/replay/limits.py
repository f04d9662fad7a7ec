"""A limit as it is written on a command line, such as "token-bucket 10/second burst 20"."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from .. import All, FixedWindow, LeakyBucket, Limiter, Quota, SlidingLog, SlidingWindow, TokenBucket

ALGORITHMS: dict[str, type[Limiter]] = {
    "token-bucket": TokenBucket,
    "leaky-bucket": LeakyBucket,
    "fixed-window": FixedWindow,
    "sliding-window": SlidingWindow,
    "sliding-log": SlidingLog,
}
# What may stand behind the quota, and the argument that it is.
OPTIONS = {
    "token-bucket": {"burst": "burst"},
    "leaky-bucket": {"capacity": "capacity", "burst": "capacity"},  # nginx calls it burst
    "fixed-window": {"anchor": "anchor"},
}
EXAMPLES = (
    "'token-bucket 10/second burst 20', 'leaky-bucket 10/second capacity 5' or 'fixed-window 10/second; 600/hour'"
)
_PART = re.compile(
    rf"\s*(?:(?P<algorithm>{'|'.join(ALGORITHMS).replace('-', '[- _]?')})\s+)?"
    r"(?P<quota>\d.*?)(?P<options>(?:\s+(?:burst|capacity|anchor)\s+\w+)*)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Part:
    """One quota of a limit: its algorithm's name, and the options it was given."""

    algorithm: str
    quota: Quota
    options: tuple[tuple[str, int | str], ...] = ()

    def make(self, max_keys: int, on_full: str) -> Limiter:
        cls: Any = ALGORITHMS[self.algorithm]  # each has options of its own
        limiter: Limiter = cls(self.quota, max_keys=max_keys, on_full=on_full, **dict(self.options))
        return limiter

    @property
    def at_once(self) -> int:
        """The most that is admitted at one moment."""
        options = dict(self.options)
        if self.algorithm == "leaky-bucket":
            return int(options.get("capacity", self.quota.limit)) + 1
        return int(options.get("burst", self.quota.limit))

    @property
    def most(self) -> int:
        """The most that the algorithm ever admits in an interval of one period, as docs/algorithms proves."""
        limit = self.quota.limit
        return {
            "token-bucket": self.at_once + limit,
            "leaky-bucket": self.at_once + limit,
            "fixed-window": 2 * limit,
            "sliding-window": 2 * limit - 1,
            "sliding-log": limit,
        }[self.algorithm]

    @property
    def memory_ns(self) -> int:
        """How long a request can matter: a key without one for so long is like one never seen."""
        period = self.quota.period_ns
        if self.algorithm in ("token-bucket", "leaky-bucket"):
            return self.at_once * -(-period // self.quota.limit)
        return 2 * period if self.algorithm == "sliding-window" else period

    def __str__(self) -> str:
        return " ".join([self.algorithm, str(self.quota), *(f"{name} {value}" for name, value in self.options)])


@dataclass(frozen=True, slots=True)
class Limit:
    """What a replay decides by: one quota, or several of which all must allow.

    `Limit.parse("token-bucket 10/second burst 20")` reads it. Behind the algorithm (token-bucket, leaky-bucket,
    fixed-window, sliding-window, sliding-log) stand the quota and, if wanted, `burst N`, `capacity N` or
    `anchor first`. After a `;` comes another quota, by the same algorithm unless it names its own.
    """

    parts: tuple[Part, ...]

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read a limit; ValueError, with the text and what is accepted, when it cannot be understood."""
        parts: list[Part] = []
        for piece in text.split(";"):
            parts.append(_part(piece, text, parts[-1].algorithm if parts else None))
        limit = cls(tuple(parts))
        limit.make(max_keys=1)  # what the limiter itself refuses is refused here
        return limit

    @classmethod
    def of(cls, limit: "Limit | str") -> "Limit":
        """The limit itself, or the text parsed."""
        if not isinstance(limit, (str, Limit)):
            raise TypeError(f"limits must be texts such as 'token-bucket 10/second burst 20', or Limit, not {limit!r}")
        return limit if isinstance(limit, Limit) else cls.parse(limit)

    @classmethod
    def all_of(cls, limits: "Iterable[Limit | str] | Limit | str") -> "list[Limit]":
        """One or several, as a list."""
        one = isinstance(limits, (str, Limit)) or not isinstance(limits, Iterable)
        several = [cls.of(limit) for limit in cast("Iterable[Limit | str]", [limits] if one else limits)]
        if not several:
            raise ValueError("limits must be at least one, such as 'token-bucket 10/second burst 20'")
        return several

    def make(self, max_keys: int, on_full: str = "raise") -> Limiter | All:
        """A limiter of its own, with room for so many keys at once."""
        limiters = [part.make(max_keys, on_full) for part in self.parts]
        return limiters[0] if len(limiters) == 1 else All(*limiters)

    def __str__(self) -> str:
        return "; ".join(map(str, self.parts))


def _part(piece: str, text: str, algorithm: str | None) -> Part:
    found = _PART.fullmatch(piece)
    if found is None or (found["algorithm"] or algorithm) is None:
        raise ValueError(f"limit {text!r} is not understood; write it {EXAMPLES}, with one of {', '.join(ALGORITHMS)}")
    if found["algorithm"]:
        bare = re.sub("[- _]", "", found["algorithm"].lower())
        algorithm = next(name for name in ALGORITHMS if name.replace("-", "") == bare)
    assert algorithm is not None
    words = found["options"].lower().split()
    options: dict[str, int | str] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        accepted = OPTIONS.get(algorithm, {})
        if name not in accepted:
            raise ValueError(
                f"limit {text!r}: {algorithm} has no {name}; it accepts {', '.join(accepted) or 'no option'}"
            )
        if accepted[name] in options:
            raise ValueError(f"limit {text!r}: {name} is given twice")
        if name != "anchor" and not value.isdecimal():
            raise ValueError(f"limit {text!r}: {name} must be a whole number, not {value!r}")
        options[accepted[name]] = value if name == "anchor" else int(value)
    return Part(algorithm, Quota.parse(found["quota"]), tuple(options.items()))
