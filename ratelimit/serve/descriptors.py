"""The rules of Envoy's rate limit service: which of them a descriptor of a request matches."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from .._core import Limiter
from ..quota import Quota
from .config import MAX_REQUESTS, UNITS, Descriptor, DescriptorLimit
from .counts import Counter, Counters, Labels
from .sources import SEPARATOR
from .tables import Tables

Entries = Sequence[tuple[str, str]]  # the keys and values of a descriptor


class Rule(NamedTuple):
    """A limit of a descriptor.

    Attributes:
        unit: its name in Envoy's protocol, or "UNKNOWN" for a window of several units.
        requests: how many fit into a window.
        quota, limiter: the same as a quota, and the windows of this length; None for 0 requests or if it is unlimited.
        counter: counts the decisions.
        unlimited, shadow, detailed, name, replaces: as in the file.
    """

    unit: str
    requests: int
    quota: Quota | None
    limiter: Limiter | None
    counter: Counter
    unlimited: bool = False
    shadow: bool = False
    detailed: bool = False
    name: str = ""
    replaces: frozenset[str] = frozenset()


class Windows:
    """Makes the rules of a domain."""

    def __init__(self, domain: str, tables: Tables, counters: Counters) -> None:
        self._domain = domain
        self._tables = tables
        self._counters = counters
        self._windows: dict[str, Limiter] = {}
        self.override = lru_cache(10_000)(self._override)

    def rule(self, label: str, descriptor: Descriptor, limit: DescriptorLimit) -> Rule:
        """Return the rule of a descriptor in the file."""
        quota = self._quota(
            limit.requests_per_unit, 0 if limit.unlimited else UNITS[limit.unit] * limit.unit_multiplier
        )
        return Rule(
            unit=limit.unit.upper() if limit.unit_multiplier == 1 else "UNKNOWN",
            requests=limit.requests_per_unit,
            quota=quota,
            limiter=self._limiter(quota),
            counter=self._counters.of("descriptor", self._labels(label)),
            unlimited=limit.unlimited,
            shadow=descriptor.shadow_mode,
            detailed=descriptor.detailed_metric,
            name=limit.name,
            replaces=frozenset(one.name for one in limit.replaces),
        )

    def _override(self, requests: int, unit: str) -> Rule:
        """Return the rule that a request brings with it."""
        quota = self._quota(min(requests, MAX_REQUESTS), UNITS[unit.lower()])
        counter = self._counters.of("descriptor", self._labels("override"))
        return Rule(unit, requests, quota, self._limiter(quota), counter)

    def counter(self, rule: Rule, value: str) -> Counter:
        """Return what counts the decisions of a rule about a value of its last key."""
        if not rule.detailed:
            return rule.counter
        labels = self._labels(f"{rule.counter.labels[1][1]}_{value}")
        return self._counters.detail("descriptor", labels) or rule.counter

    def limiters(self) -> list[tuple[str, Limiter]]:
        """Return the windows that are in use, by their names."""
        return list(self._windows.items())

    def _labels(self, label: str) -> Labels:
        return ("domain", self._domain), ("descriptor", label)

    def _quota(self, requests: int, seconds: int) -> Quota | None:
        return Quota(requests, seconds) if requests and seconds else None

    def _limiter(self, quota: Quota | None) -> Limiter | None:
        if quota is None:
            return None
        limiter = self._tables.window(int(quota.period))
        self._windows[f"window.{int(quota.period)}"] = limiter
        return limiter


class Match(NamedTuple):
    """A rule that a descriptor matches, and the key that is limited by it."""

    rule: Rule
    key: str
    value: str


class Node:
    """The descriptors of one list in the file."""

    def __init__(self, descriptors: Sequence[Descriptor], windows: Windows, parent: str = "") -> None:
        self.rule: Rule | None = None
        self.shared = ""  # what is limited together, in place of the value
        self._exact: dict[tuple[str, str], Node] = {}
        self._any: dict[str, Node] = {}
        self._patterns: list[tuple[str, list[str], Node]] = []
        for descriptor in descriptors:
            label = f"{parent}{descriptor.key}" + (f"_{descriptor.value}" if descriptor.value else "")
            node = Node(descriptor.descriptors, windows, f"{label}.")
            if descriptor.rate_limit is not None:
                node.rule = windows.rule(label, descriptor, descriptor.rate_limit)
            if "*" in descriptor.value:
                node.shared = descriptor.value if descriptor.share_threshold else ""
                self._patterns.append((descriptor.key, descriptor.value.split("*"), node))
            elif descriptor.value:
                self._exact[descriptor.key, descriptor.value] = node
            else:
                self._any[descriptor.key] = node

    def next(self, key: str, value: str) -> "Node | None":
        """Return the node for an entry: of the value itself, of the first pattern that it matches, or of any value."""
        exact = self._exact.get((key, value))
        if exact is not None:
            return exact
        for name, parts, node in self._patterns:
            if name == key and matches(parts, value):
                return node
        return self._any.get(key)


def matches(parts: Sequence[str], value: str) -> bool:
    """Return whether a value consists of the parts with any text between them, in linear time."""
    first, *middle, last = parts
    if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for part in middle:
        at = value.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class Rules:
    """All rules of a file.

    Attributes:
        domain: the domain of the requests that they are for.
        windows: what made them.
    """

    def __init__(self, domain: str, descriptors: Sequence[Descriptor], tables: Tables, counters: Counters) -> None:
        self.domain = domain
        self.windows = Windows(domain, tables, counters)
        self._root = Node(descriptors, self.windows)

    def match(self, entries: Entries, override: tuple[int, str] | None = None) -> Match | None:
        """Return the rule for a descriptor, which has a limit for exactly its entries, or None.

        Args:
            entries: the keys and values.
            override: the number and the unit of a limit that the request brings with it.
        """
        if override is not None and override[1].lower() in UNITS:
            parts = [part for entry in entries for part in entry]
            return Match(self.windows.override(*override), SEPARATOR.join([self.domain, *parts]), entries[-1][1])
        node = self._root
        parts = [self.domain]
        for key, value in entries:
            inner = node.next(key, value)
            if inner is None:
                return None
            node = inner
            parts += (key, node.shared or value)
        if node.rule is None:
            return None
        return Match(node.rule, SEPARATOR.join(parts), entries[-1][1])
