"""Usage plans: what each API key may do, per second and by the calendar, and what it has used."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from fractions import Fraction

from ... import Quota
from ..config.model import CalendarQuota, Plan
from ..throttling.chain import Chain
from ..throttling.levels import FOREVER, Limiters, Step, add, read

DAY_NS = 86_400 * 10**9
EPOCH = date(1970, 1, 1)
KEPT = 92  # days whose usage can be exported
DAYS = {"DAY": 1, "WEEK": 7, "MONTH": 31}  # of a period, at most
MIDDLE = 2**41  # where the count of adjustments begins, so that it can go both ways
CHAINS = 10_000  # kept for pairs of key and route


def day_of(now_ns: int) -> date:
    """The UTC day of a moment."""
    return EPOCH + timedelta(now_ns // DAY_NS)


def period_of(period: str, day: date) -> tuple[date, date]:
    """The first day of the period that has this day in it, and the first after it."""
    if period == "DAY":
        return day, day + timedelta(1)
    if period == "WEEK":
        monday = day - timedelta(day.weekday())
        return monday, monday + timedelta(7)
    first = day.replace(day=1)
    return first, (first + timedelta(31)).replace(day=1)


def _moment(day: date) -> int:
    return (day - EPOCH).days * DAY_NS


class UsagePlan:
    """A plan with its counts; usable alone.

        gold = UsagePlan("gold", Plan(keys=["ann"], stages=["shop/prod"], throttle=Throttle(5, 10)), Limiters())
        gold.chain("ann", "shop/prod", "GET /pets").hit().allowed

    A quota is a counter whose key names the period, so that the turn is exact: the next period is another key.
    The counts of a day are counters too, and last as long as the table: in a file, over a restart.

    Args:
        name, plan: as configured.
        limiters: see Limiters.
    """

    def __init__(self, name: str, plan: Plan, limiters: Limiters) -> None:
        self.name = name
        self.plan = plan
        self.limiters = limiters
        self._chains: dict[tuple[object, ...], Chain] = {}

    def chain(self, key: str, stage: str, route: str, rest: Sequence[Step] = (), shadow: bool = False) -> Chain:
        """The levels of the plan for one key, and then the rest, as one chain that also counts the key's usage.

        Args:
            key: the name of an API key.
            stage, route: such as "shop/prod" and "GET /pets".
            rest: the levels after the plan; the same whenever stage and route are.
            shadow: the plan's levels only count.
        """
        number = self.limiters.now_ns() // DAY_NS
        quota = self.plan.quota
        if quota is not None and quota.offset and quota.start is None:
            self._begin(key, number)
        limit = self.limit(key, EPOCH + timedelta(number)) if quota else 0
        label = (key, stage, route, number, limit)
        chain = self._chains.get(label)
        if chain is None:
            self._check(key)
            if len(self._chains) >= CHAINS:
                self._chains.clear()
            day = EPOCH + timedelta(number)
            steps = [*self._steps(key, stage, route, day, limit, shadow), *rest]
            chain = self._chains[label] = Chain(self.limiters, steps, self._counter(key, day, "used/"))
        return chain

    def _steps(self, key: str, stage: str, route: str, day: date, limit: int, shadow: bool) -> Iterator[Step]:
        plan = self.plan
        if plan.throttle is not None:
            yield Step.of("plan", f"{self.name}/{key}", plan.throttle, shadow)
        own = plan.route_throttles.get(stage, {}).get(route)
        if own is not None:
            yield Step.of("plan-method", f"{self.name}/{stage}/{route}/{key}", own, shadow)
        if plan.quota is not None:
            first, after = period_of(plan.quota.period, day)
            quota = Quota(limit, Fraction(FOREVER.period_ns, 10**9)) if limit > 0 else None
            window = (after - first).days * 86_400
            yield Step("quota", self._counter(key, first), quota, window, _moment(after), shadow or plan.quota.shadow)

    # --- the calendar

    def _counter(self, key: str, day: date, what: str = "") -> str:
        return f"{what}{self.name}/{day}/{key}"

    def limit(self, key: str, day: date) -> int:
        """What the key may use in the period of that day: the quota, its offset, and what was adjusted."""
        quota = self.plan.quota
        assert quota is not None
        first, after = period_of(quota.period, day)
        adjusted = read(self.limiters.counts, self._counter(key, first, "adjusted/"))
        offset = quota.offset if quota.offset and first <= self._start(key, quota, day) < after else 0
        return quota.limit - offset + (adjusted - MIDDLE if adjusted else 0)

    def _begin(self, key: str, number: int) -> None:
        """Note the day of a key's first request, once among all workers."""
        label = f"start/{self.name}/{key}"
        if not read(self.limiters.counts, label):
            once = Quota(number, Fraction(FOREVER.period_ns, 10**9))  # a second one does not fit
            self.limiters.counts.hit(label, number, quota=once)

    def _start(self, key: str, quota: CalendarQuota, day: date) -> date:
        """A day of the first period: for a key that was never used, it would be that of the day."""
        if quota.start is not None:
            return quota.start
        number = read(self.limiters.counts, f"start/{self.name}/{key}")
        return EPOCH + timedelta(number) if number else day

    def used(self, key: str, day: date) -> int:
        """What the key has used of its quota in the period of that day."""
        assert self.plan.quota is not None
        first, _ = period_of(self.plan.quota.period, day)
        return read(self.limiters.of["quota"], self._counter(key, first))

    def remaining(self, key: str) -> int:
        """What the key may still use in this period; a ValueError where the plan has no quota."""
        self._check_quota(key)
        day = day_of(self.limiters.now_ns())
        return max(0, self.limit(key, day) - self.used(key, day))

    def adjust(self, key: str, remaining: int) -> None:
        """Set what the key may still use in this period: more or less than the quota gives."""
        quota = self._check_quota(key)
        if type(remaining) is not int or not 0 <= remaining < 2**40:
            raise ValueError(f"remaining must be a whole number from 0 to 2**40, not {remaining!r}")
        counts, day = self.limiters.counts, day_of(self.limiters.now_ns())
        label = self._counter(key, period_of(quota.period, day)[0], "adjusted/")
        difference = remaining - (self.limit(key, day) - self.used(key, day))
        counts.hit(label, MIDDLE, quota=Quota(MIDDLE, Fraction(FOREVER.period_ns, 10**9)))  # the first time only
        if not read(counts, label):
            raise ValueError(f"the table of counts has no room to adjust: max_keys={counts.max_keys}")
        if difference > 0:
            add(counts, label, difference)
        elif difference < 0:
            counts.refund(label, -difference)

    # --- usage by day

    def usage(self, key: str, start: date, end: date) -> dict[str, list[int | None]]:
        """`[used, remaining]` for each day from start to end, both included; remaining is None without a quota.

        Of past days it is what their quota left at the end of the day. The last 92 days are known.
        """
        self._check(key)
        today = day_of(self.limiters.now_ns())
        start = max(start, today - timedelta(KEPT - 1))
        days = [start + timedelta(i) for i in range((min(end, today) - start).days + 1)]
        return {str(day): [self._used_on(key, day), self._left_after(key, day)] for day in days}

    def _used_on(self, key: str, day: date) -> int:
        return read(self.limiters.counts, self._counter(key, day, "used/"))

    def _left_after(self, key: str, day: date) -> int | None:
        if self.plan.quota is None:
            return None
        first, _ = period_of(self.plan.quota.period, day)
        used = sum(self._used_on(key, first + timedelta(i)) for i in range((day - first).days + 1))
        return max(0, self.limit(key, day) - used)

    def _check(self, key: str) -> None:
        if key not in self.plan.keys:
            raise ValueError(f"key {key!r} is none of plan {self.name!r}: {', '.join(self.plan.keys)}")

    def _check_quota(self, key: str) -> CalendarQuota:
        self._check(key)
        if self.plan.quota is None:
            raise ValueError(f"plan {self.name!r} has no quota")
        return self.plan.quota

    def forget(self, before: date, since: date) -> None:
        """Give back the counters of the days from `since` to `before`, and those of the quota that are over since."""
        quota = self.plan.quota
        for key in self.plan.keys:
            for i in range((before - since).days):
                day = since + timedelta(i)
                if quota is not None:  # in use for one period, and known for a day more
                    first = day + timedelta(KEPT - DAYS[quota.period])
                    self.limiters.of["quota"].reset(self._counter(key, first))
                for what in ("used/", "adjusted/"):
                    self.limiters.counts.reset(self._counter(key, day, what))


def sweep(plans: Sequence[UsagePlan], limiters: Limiters) -> None:
    """Give back the counters of days that are too old to be asked for; what is swept is remembered."""
    today = day_of(limiters.now_ns())
    before = today - timedelta(KEPT)
    swept = read(limiters.counts, "swept")
    since = EPOCH + timedelta(swept) if swept else before
    if before > since or not swept:
        for plan in plans:
            plan.forget(before, max(since, before - timedelta(KEPT)))
        limiters.counts.reset("swept")
        add(limiters.counts, "swept", (before - EPOCH).days)
