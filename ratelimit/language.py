"""Limits as text: `"token-bucket 60/minute burst 40; fixed-window 1000/day"`. The grammar is in docs/limits.md.

Reading a text and making limiters are two steps: `parse_limits` gives descriptions, `make_limiter` a limiter.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._limiter.parameters import options_of
from ._storage.metadata import TableKind
from .errors import shortened, unknown
from .limiters.algorithms import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket
from .limiters.composite import MAX_LIMITS, All
from .quota import QUOTA, QUOTA_EXAMPLES, UNLIMITED, Quota
from .table import Table

if TYPE_CHECKING:
    from ._core import Limiter, _Clock, _OnFull

ALGORITHMS: dict[str, "type[Limiter]"] = {
    "token-bucket": TokenBucket,
    "leaky-bucket": LeakyBucket,
    "fixed-window": FixedWindow,
    "sliding-window": SlidingWindow,
    "sliding-log": SlidingLog,
}
DEFAULT_ALGORITHM = "token-bucket"
# The words that may follow a quota, and the argument of the class that each one sets.
OPTIONS: dict[str, dict[str, str]] = {
    "token-bucket": {"burst": "burst"},
    "leaky-bucket": {"capacity": "capacity", "burst": "capacity"},  # nginx calls it burst
    "fixed-window": {"anchor": "anchor"},
    "sliding-window": {},
    "sliding-log": {},
}
MAX_LENGTH = 4_000  # characters

_NAMES = "|".join(name.replace("-", "[-_ ]?") for name in ALGORITHMS)
_ALGORITHM = re.compile(rf"(?:{_NAMES})\b", re.ASCII | re.IGNORECASE)
_WORD = re.compile(r"[^\s;=]+")
_NUMBER = re.compile(r"\d+(?:_\d+)*(?![^\s;])", re.ASCII)
_UNLIMITED = re.compile(r"unlimited(?![^\s;])", re.ASCII | re.IGNORECASE)
_SEMICOLON, _EQUALS = re.compile(";"), re.compile("=")


@dataclass(frozen=True, slots=True, init=False)
class LimitSpec:
    """The description of one limit.

    Args:
        algorithm: a name from `ALGORITHMS`.
        quota: a Quota; a burst in it becomes an option.
        options: a mapping or pairs of what the class takes beside the quota: `burst`, `capacity` or `anchor`.

    Raises:
        TypeError, ValueError: the algorithm or an option is unknown, or no limiter can have such numbers.

    Options that equal their default are dropped, so equal limits have equal descriptions, and `str` gives the
    canonical text. Immutable, hashable, and safe to share between threads.
    """

    algorithm: str
    quota: Quota
    options: tuple[tuple[str, int | str], ...]

    def __init__(
        self, algorithm: str, quota: Quota, options: Mapping[str, int | str] | Iterable[tuple[str, int | str]] = ()
    ) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(unknown("algorithm", algorithm, ALGORITHMS))
        given = dict(options)
        for name in given:
            if name not in OPTIONS[algorithm].values():
                raise ValueError(unknown(f"option of {algorithm}", name, OPTIONS[algorithm].values()))
        cls: Any = ALGORITHMS[algorithm]
        parameters = cls._parameters(quota, **given)
        object.__setattr__(self, "algorithm", algorithm)
        object.__setattr__(self, "quota", quota.without_burst())
        object.__setattr__(self, "options", tuple(options_of(parameters).items()))

    @classmethod
    def parse(cls, text: str) -> "LimitSpec":
        """Read a text that describes exactly one limit, such as `"60/minute burst 40"`.

        Raises:
            TypeError, ValueError: as for `parse_limits`, and ValueError for several limits.
        """
        specs = parse_limits(text)
        if len(specs) > 1:
            raise ValueError(f"limit {shortened(text)}: expected a single limit, got {len(specs)}")
        return specs[0]

    @property
    def kind(self) -> TableKind:
        """The algorithm and period that a table for this limit has."""
        cls: Any = ALGORITHMS[self.algorithm]
        parameters = cls._parameters(self.quota, **dict(self.options))
        return TableKind(parameters.algorithm, parameters.period)

    def make(self, **arguments: Any) -> "Limiter":
        """Make the limiter. The arguments are those of its class: `max_keys`, `table`, `on_full`, `clock`."""
        cls: Any = ALGORITHMS[self.algorithm]  # each class has its own options
        limiter: Limiter = cls(self.quota, **dict(self.options), **arguments)
        return limiter

    def __str__(self) -> str:
        return " ".join([self.algorithm, str(self.quota), *(f"{name} {value}" for name, value in self.options)])


def parse(
    text: str,
    *,
    table: Table | None = None,
    max_keys: int | None = None,
    on_full: "_OnFull" = "deny",
    clock: "_Clock | None" = None,
) -> "Limiter | All":
    """Make the limiter that a text describes, such as `"token-bucket 60/minute burst 40; fixed-window 1000/day"`.

    Args:
        text: one limit, or up to 16 with `;` between them. Each has an algorithm (by default `token-bucket`), a quota
            and options: `burst N` of a token bucket, `capacity N` of a leaky bucket, `anchor first` of a fixed window.
        table: where the keys are kept. Several limits need a table each: the first has the given one, the n-th the
            one with `.n` appended to its name, unless one of these exists for another limit's algorithm and period. So
            a table in this process's memory serves a single limit only.
        max_keys, on_full, clock: as for TokenBucket, and the same for each limit.

    Returns: a Limiter for one limit, an All for several. `str` of it is the canonical text.

    Raises:
        TypeError, ValueError: with the text, the position in it, and what was expected there.
    """
    return make_limiter(parse_limits(text), table=table, max_keys=max_keys, on_full=on_full, clock=clock)


def parse_limits(text: str) -> tuple[LimitSpec, ...]:
    """Read a text into the descriptions of its limits, without making any.

    Raises:
        TypeError, ValueError: as for `parse`.
    """
    if not isinstance(text, str):
        raise TypeError(f"limit: expected text such as 'token-bucket 60/minute burst 40', got {text!r}")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"limit {shortened(text)}: expected at most {MAX_LENGTH:,} characters")
    reader = _Reader(text)
    specs = [_read_limit(reader)]
    while reader.take(_SEMICOLON):
        specs.append(_read_limit(reader))
    if len(specs) > MAX_LIMITS:
        raise ValueError(f"limit {shortened(text)}: expected at most {MAX_LIMITS} limits, got {len(specs)}")
    return tuple(specs)


def make_limiter(
    specs: Sequence[LimitSpec],
    *,
    table: Table | None = None,
    max_keys: int | None = None,
    on_full: "_OnFull" = "deny",
    clock: "_Clock | None" = None,
) -> "Limiter | All":
    """Make the limiter of one description, or the All of several; the arguments are those of `parse`."""
    if table is not None and not isinstance(table, Table):
        raise TypeError(f"table: expected a Table, got {table!r}")
    tables = [None] * len(specs) if table is None else table.parts([spec.kind for spec in specs])
    limiters = [
        spec.make(table=own, max_keys=max_keys, on_full=on_full, clock=clock)
        for spec, own in zip(specs, tables, strict=True)
    ]
    return limiters[0] if len(limiters) == 1 else All(*limiters)


class _Reader:
    """A position in a text. It moves past whatever is read, and the space after it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = len(text) - len(text.lstrip())

    def take(self, pattern: re.Pattern[str]) -> str | None:
        """Read what the pattern matches here."""
        found = pattern.match(self.text, self.position)
        if found is None:
            return None
        rest = self.text[found.end() :]
        self.position = len(self.text) - len(rest.lstrip())
        return found[0]

    def word(self) -> str:
        """Return the text up to the next space or separator; it is not read."""
        found = _WORD.match(self.text, self.position)
        return found[0] if found else self.text[self.position : self.position + 1]

    def at_end(self) -> bool:
        """Whether the limit ends here."""
        return self.word() in ("", ";")

    def error(self, problem: str, position: int | None = None) -> ValueError:
        at = self.position if position is None else position
        return ValueError(f"limit {shortened(self.text)}, character {at + 1}: {problem}")

    def unexpected(self, expected: str) -> ValueError:
        return self.error(f"expected {expected}, got {shortened(self.word()) if self.word() else 'the end'}")


def _read_limit(reader: _Reader) -> LimitSpec:
    begin = reader.position
    algorithm = _read_algorithm(reader)
    quota = _read_quota(reader)
    options: dict[str, int | str] = {}
    while not reader.at_end():
        _read_option(reader, algorithm, options)
    try:
        return LimitSpec(algorithm, quota, options)
    except ValueError as error:
        raise reader.error(str(error), begin) from None


def _read_algorithm(reader: _Reader) -> str:
    name = reader.take(_ALGORITHM)
    if name is not None:
        return next(known for known in ALGORITHMS if _letters(known) == _letters(name))
    if reader.word()[:1].isalpha() and reader.word().lower() != "unlimited":
        raise reader.error(unknown("algorithm", reader.word(), ALGORITHMS))
    return DEFAULT_ALGORITHM


def _letters(name: str) -> str:
    return re.sub("[-_ ]", "", name.lower())


def _read_quota(reader: _Reader) -> Quota:
    begin = reader.position
    if reader.take(_UNLIMITED) is not None:
        return UNLIMITED
    text = reader.take(QUOTA)
    if text is None:
        raise reader.unexpected(f"a quota {QUOTA_EXAMPLES}")
    try:
        return Quota.parse(text)
    except ValueError as error:
        raise reader.error(str(error), begin) from None


def _read_option(reader: _Reader, algorithm: str, options: dict[str, int | str]) -> None:
    """Read a word and its value, as `burst 40` or nginx's `burst=40`."""
    accepted = OPTIONS[algorithm]
    word = reader.word()
    name = accepted.get(word.lower())
    if name is None and accepted:
        raise reader.error(unknown(f"option of {algorithm}", word, accepted))
    if name is None:
        raise reader.unexpected(f"';' or the end, because {algorithm} has no options")
    if name in options:
        raise reader.error(f"{name} is given twice")
    reader.take(_WORD)
    reader.take(_EQUALS)
    value = reader.take(_WORD if name == "anchor" else _NUMBER)
    if value is None:
        raise reader.unexpected(f"{'epoch or first' if name == 'anchor' else 'a whole number'} after {word}")
    options[name] = value.lower() if name == "anchor" else int(value)
