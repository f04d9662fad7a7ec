"""Usage plans: the limits of each API key, per second and by the calendar, and its usage."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from types import MappingProxyType
from typing import Protocol

from ... import Quota
from .calendar import DAY_NS, EPOCH, MAX_DAYS, day_of, period_of, start_ns
from .chain import Chain
from .counters import FOREVER_SECONDS
from .key_file import KeyFile
from .levels import Level, Throttle
from .limiters import Limiters

USAGE_DAYS = 92  # for which usage can be exported
MAX_CHAINS = 10_000  # cached for pairs of key and route


class Calendar(Protocol):
    """A quota by the calendar: `limit` requests in each period, `offset` fewer in the first."""

    @property
    def limit(self) -> int: ...
    @property
    def period(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def start(self) -> date | None: ...
    @property
    def shadow(self) -> bool: ...


class Plan(Protocol):
    """The limits of each of some API keys."""

    @property
    def keys(self) -> Sequence[str]: ...
    @property
    def stages(self) -> Sequence[str]: ...
    @property
    def throttle(self) -> Throttle | None: ...
    @property
    def route_throttles(self) -> Mapping[str, Mapping[str, Throttle]]: ...
    @property
    def quota(self) -> Calendar | None: ...
    @property
    def keys_file(self) -> str | None: ...


class UsagePlan:
    """A plan with its counts; usable alone.

        gold = UsagePlan("gold", Plan(keys=["ann"], stages=["shop/prod"], throttle=Throttle(5, 10)), Limiters())
        gold.chain("ann", "shop/prod", "GET /pets").hit().allowed

    A quota is a counter whose key has the period in its name, so that its end is exact: the next period is another
    key. The counts of a day are counters, too. They last as long as the table, so in a file across a restart.

    Args:
        name, plan: as configured.
        limiters: see Limiters.
        taken: the API keys of the configuration by name, which the plan's file may not repeat.

    Attributes:
        key_file: further keys; None without a file.

    Raises: OSError or ValueError for a file that cannot be used.
    """

    def __init__(
        self, name: str, plan: Plan, limiters: Limiters, taken: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.name = name
        self.plan = plan
        self.key_file = KeyFile(plan.keys_file, taken) if plan.keys_file is not None else None
        self._own_keys = frozenset(plan.keys)
        self._seen: set[str] = set()  # keys whose counters are swept although they were revoked
        self.limiters = limiters
        self._counters = limiters.counters
        self._quotas = limiters.quotas
        self._chains: dict[tuple[object, ...], Chain] = {}

    @property
    def keys(self) -> Sequence[str]:
        """The names of its keys, as its file has them now."""
        return self.plan.keys if self.key_file is None else (*self.plan.keys, *self.key_file.values)

    def has(self, key: str) -> bool:
        """Whether it has a key of this name now."""
        return key in self._own_keys or (self.key_file is not None and key in self.key_file.values)

    def chain(self, key: str, stage: str, route: str, rest: Sequence[Level] = (), shadow: bool = False) -> Chain:
        """Return the levels of the plan for one key, and then the rest, as one chain that also counts usage.

        Args:
            key: the name of an API key.
            stage, route: such as "shop/prod" and "GET /pets".
            rest: the levels after the plan; the same whenever stage and route are.
            shadow: the plan's levels only count.
        """
        number = self.limiters.now_ns() // DAY_NS
        quota = self.plan.quota
        if quota is not None and quota.offset and quota.start is None:
            self._counters.set_once(f"start/{self.name}/{key}", number)
        limit = self._limit(key, EPOCH + timedelta(number), quota) if quota else 0
        label = (key, stage, route, number, limit)
        chain = self._chains.get(label)
        if chain is None:
            self._check_key(key)
            if len(self._chains) >= MAX_CHAINS:
                self._chains.clear()
            day = EPOCH + timedelta(number)
            levels = [*self._levels(key, stage, route, day, limit, shadow), *rest]
            chain = self._chains[label] = Chain(self.limiters, levels, self._counter(key, day, "used/"))
        return chain

    def _levels(self, key: str, stage: str, route: str, day: date, limit: int, shadow: bool) -> Iterator[Level]:
        plan = self.plan
        if plan.throttle is not None:
            yield Level.of("plan", f"{self.name}/{key}", plan.throttle, shadow)
        own = plan.route_throttles.get(stage, {}).get(route)
        if own is not None:
            yield Level.of("plan-method", f"{self.name}/{stage}/{route}/{key}", own, shadow)
        if plan.quota is not None:
            first, after = period_of(plan.quota.period, day)
            quota = Quota(limit, FOREVER_SECONDS) if limit > 0 else None
            window = (after - first).days * 86_400
            yield Level("quota", self._counter(key, first), quota, window, start_ns(after), shadow or plan.quota.shadow)

    # --- the calendar

    def _counter(self, key: str, day: date, kind: str = "") -> str:
        """Return the name of a counter of a key and a day, or of the period that begins on that day."""
        return f"{kind}{self.name}/{day}/{key}"

    def _limit(self, key: str, day: date, quota: Calendar) -> int:
        """Return the limit of a key in the period of a day: the quota, less its offset, and adjusted."""
        first, after = period_of(quota.period, day)
        offset = quota.offset if quota.offset and first <= self._start(key, quota, day) < after else 0
        granted = self._counters.read(self._counter(key, first, "granted/"))
        withdrawn = self._counters.read(self._counter(key, first, "withdrawn/"))
        return quota.limit - offset + granted - withdrawn

    def _start(self, key: str, quota: Calendar, day: date) -> date:
        """Return a day of the first period; for a key that was never used, the given day."""
        if quota.start is not None:
            return quota.start
        number = self._counters.read(f"start/{self.name}/{key}")
        return EPOCH + timedelta(number) if number else day

    def _remaining(self, key: str, day: date, quota: Calendar) -> int:
        """Return the rest of the limit in the period of a day; negative if it was lowered below the usage."""
        used = self._quotas.read(self._counter(key, period_of(quota.period, day)[0]))
        return self._limit(key, day, quota) - used

    def remaining(self, key: str) -> int:
        """Return how many requests the key has left in this period.

        Raises: ValueError for an unknown key, and where the plan has no quota.
        """
        quota = self._check_quota(key)
        return max(0, self._remaining(key, day_of(self.limiters.now_ns()), quota))

    def adjust(self, key: str, remaining: int) -> None:
        """Set how many requests the key has left in this period: more or less than the quota gives.

        Raises: ValueError for an unknown key, another number, a plan without a quota, and a full table.
        """
        quota = self._check_quota(key)
        if type(remaining) is not int or not 0 <= remaining < 2**40:
            raise ValueError(f"remaining: expected a whole number from 0 to 2**40, got {remaining!r}")
        day = day_of(self.limiters.now_ns())
        difference = remaining - self._remaining(key, day, quota)
        name = self._counter(key, period_of(quota.period, day)[0], "granted/" if difference > 0 else "withdrawn/")
        if difference and not self._counters.add(name, abs(difference)):
            max_keys = self._counters.limiter.max_keys
            raise ValueError(f"the table of counts has no room to adjust: max_keys={max_keys}")

    # --- usage by day

    def usage(self, key: str, start: date, end: date) -> dict[str, list[int | None]]:
        """Return `[used, remaining]` for each day from start to end, both included; remaining is None without a quota.

        Of past days it is what their quota left at the end of the day. The last 92 days are known.
        """
        self._check_key(key)
        today = day_of(self.limiters.now_ns())
        start = max(start, today - timedelta(USAGE_DAYS - 1))
        days = [start + timedelta(i) for i in range((min(end, today) - start).days + 1)]
        return {str(day): [self._used_on(key, day), self._left_after(key, day)] for day in days}

    def _used_on(self, key: str, day: date) -> int:
        return self._counters.read(self._counter(key, day, "used/"))

    def _left_after(self, key: str, day: date) -> int | None:
        quota = self.plan.quota
        if quota is None:
            return None
        first, _ = period_of(quota.period, day)
        used = sum(self._used_on(key, first + timedelta(i)) for i in range((day - first).days + 1))
        return max(0, self._limit(key, day, quota) - used)

    def _check_key(self, key: str) -> None:
        if not self.has(key):
            raise ValueError(f"unknown key {key!r} in plan {self.name!r} (choose from {', '.join(self.keys)})")

    def _check_quota(self, key: str) -> Calendar:
        self._check_key(key)
        if self.plan.quota is None:
            raise ValueError(f"plan {self.name!r} has no quota")
        return self.plan.quota

    def follow(self, former: "UsagePlan") -> None:
        """Sweep the counters of the keys of the same plan before a reload, too."""
        self._seen.update(former._seen, former.keys)

    def forget(self, before: date, since: date) -> None:
        """Free the counters of the days from `since` to `before`, and those of quotas whose period has ended since."""
        kept = MAX_DAYS[self.plan.quota.period] if self.plan.quota else USAGE_DAYS  # those of a quota before a reload
        self._seen.update(self.keys)
        for key in self._seen:
            for i in range((before - since).days):
                day = since + timedelta(i)
                # That of a quota is in use for one period, and known for a day more.
                self._quotas.reset(self._counter(key, day + timedelta(USAGE_DAYS - kept)))
                for kind in ("used/", "granted/", "withdrawn/"):
                    self._counters.reset(self._counter(key, day, kind))


def sweep(plans: Iterable[UsagePlan], limiters: Limiters) -> None:
    """Free the counters of days that are too old to be asked for; up to which day is a counter, too."""
    counters = limiters.counters
    before = day_of(limiters.now_ns()) - timedelta(USAGE_DAYS)
    swept = counters.read("swept")
    since = EPOCH + timedelta(swept) if swept else before
    if before > since or not swept:
        for plan in plans:
            plan.forget(before, max(since, before - timedelta(USAGE_DAYS)))
        counters.reset("swept")
        counters.add("swept", (before - EPOCH).days)
