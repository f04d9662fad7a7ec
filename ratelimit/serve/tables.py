"""The limiters of the limits in a file. A reload keeps them, so that what was spent stays spent."""

import re
from collections.abc import Sequence
from typing import Any

from .._core import Limiter
from .._engine.constants import NS_PER_SECOND
from ..language import LimitSpec
from ..limiters.algorithms import FixedWindow
from ..limiters.composite import All
from ..quota import Quota
from ..table import Table

LARGEST = 2**31 - 1  # requests in a window whose limit comes with each request
WINDOWS = ("fixed-window", "sliding-window", "sliding-log")
AnyLimiter = Limiter | All


class Tables:
    """The tables of one service.

    Args:
        where: "memory", or as for `Table.at`. `fail_open` decides while an engine does not answer.
        max_keys: of each limit.
        clock: as for a limiter.
    """

    def __init__(self, where: str = "memory", max_keys: int | None = None, clock: Any = None) -> None:
        self.where = where
        self.max_keys = max_keys
        self._clock = clock
        self._limiters: dict[str, Limiter] = {}
        self._changes: list[tuple[Limiter, Quota]] = []

    def limiter(self, name: str, specs: Sequence[LimitSpec]) -> AnyLimiter:
        """Return the limiter of a limit. A limiter that has another quota gets the new one by `apply_changes`."""
        limiters = [self._of(f"{name}.{_shape(number, spec)}", spec) for number, spec in enumerate(specs, 1)]
        return limiters[0] if len(limiters) == 1 else All(*limiters)

    def window(self, seconds: int) -> Limiter:
        """Return the windows of this length; each request has the limit that applies to it."""
        return self._made(f"window.{seconds}", lambda **options: FixedWindow(Quota(LARGEST, seconds), **options))

    def counts(self, quota: Quota) -> Limiter:
        """Return the windows in which events are counted: on this host, and to lose a count is not a failure."""
        name = "counts"
        if "://" in self.where:
            shared = Table.shared(Table.at(self.where, name).remote.options.name, max_keys=self.max_keys)
            return FixedWindow(quota, table=shared, on_full="deny")
        return self._made(name, lambda **options: FixedWindow(quota, **{**options, "on_full": "deny"}))

    def discard_changes(self) -> None:
        """Forget the changes of a file that could not be used."""
        self._changes.clear()

    def apply_changes(self) -> None:
        """Give limiters that were in use their new quotas; what was spent stays spent."""
        changes, self._changes = self._changes, []
        for limiter, quota in changes:
            limiter.change(quota)

    def _of(self, name: str, spec: LimitSpec) -> Limiter:
        limiter = self._made(name, spec.make)
        if str(limiter) != str(spec):
            options = dict(spec.options)
            size = options.get("burst", options.get("capacity"))
            self._changes.append((limiter, spec.quota.with_burst(None if size is None else int(size))))
        return limiter

    def _made(self, name: str, make: Any) -> Limiter:
        limiter = self._limiters.get(name)
        if limiter is None:
            table = self._table(name)
            max_keys = None if table else self.max_keys
            limiter = self._limiters[name] = make(table=table, max_keys=max_keys, clock=self._clock, on_full="raise")
        return limiter

    def _table(self, name: str) -> Table | None:
        if self.where == "memory":
            return None
        return Table.at(self.where, name, max_keys=self.max_keys, unreachable="raise")


def _shape(number: int, spec: LimitSpec) -> str:
    """Return the part of a table's name that differs where one table cannot hold both limits."""
    parts = [str(number), spec.algorithm]
    if spec.quota.calendar:
        parts.append(re.sub(r"\W+", "-", spec.quota.calendar))
    elif spec.algorithm in WINDOWS:
        seconds, rest = divmod(spec.quota.period_ns, NS_PER_SECOND)
        parts.append(f"{spec.quota.period_ns}ns" if rest else f"{seconds}s")
    if spec.algorithm == "sliding-log":
        parts.append(str(spec.quota.limit))
    return "-".join([*parts, *(str(value) for name, value in spec.options if name == "anchor")])
