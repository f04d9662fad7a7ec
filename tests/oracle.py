"""The executable specification: every algorithm for one key, in fractions and loops, as plain as it can be.

Times are nanoseconds. The library computes in closed form; here the same values are searched for: `retry_after` is the
first moment that fits, `remaining` the largest cost that does. No arithmetic of the library is repeated: an interval
is the exact fraction, unless a test passes another one that the library has rounded.

In one file: it is the specification, and is read from beginning to end.
"""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any
from zoneinfo import ZoneInfo

SECOND = 1_000_000_000
END = 2**62  # an event that would come later never comes


@dataclass(frozen=True)
class Answer:
    """The fields of a decision."""

    allowed: bool
    limit: int
    remaining: int
    retry_after_ns: int | None
    reset_after_ns: int
    delay_ns: int


@dataclass(frozen=True)
class Booking:
    """A booked turn: its moment and cost, and the key's state before and after."""

    at: int
    cost: int
    found: Any
    left: Any


@dataclass(frozen=True)
class Quota:
    """`limit` requests in each `period`, at most `maximum` at one moment, `interval` from one to the next."""

    limit: int
    period: int
    maximum: int
    interval: Fraction

    @classmethod
    def of(cls, limit: int, period: int, maximum: int | None = None, interval: Fraction | None = None) -> "Quota":
        return cls(limit, period, maximum or limit, interval or Fraction(period, limit))


def first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the first number in [low, high) for which `holds`, which stays true once it is; otherwise `high`."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


class Oracle:
    """One key under one limit. A subclass defines what fits, what spending does, and when the key is like new.

    Attributes:
        own: the quota of the limit. Methods take another one for a single call.
        known: whether the key has ever spent.
        end: when a block ends.
        held: how much a block keeps as spent.
        mode: when: at the end ("spent"), when the block began and no longer at the end ("fresh"), or ahead ("booked").
        exact: false once the limiter may be stricter than its oracle.
    """

    def __init__(self, own: Quota) -> None:
        self.own = own
        self.known = False
        self.exact = True
        self.end = 0
        self.held = 0
        self.mode = ""

    def fits(self, now: int, cost: int, quota: Quota) -> bool:
        raise NotImplementedError

    def spend(self, now: int, cost: int, quota: Quota) -> None:
        raise NotImplementedError

    def fresh(self, now: int) -> bool:
        """Return whether the key is like one never seen."""
        raise NotImplementedError

    def refund(self, now: int, cost: int) -> None:
        raise NotImplementedError

    def state(self) -> Any:
        raise NotImplementedError

    def restore(self, state: Any) -> None:
        raise NotImplementedError

    def give_back(self, now: int, booking: Booking, cost: int) -> None:
        """Take back `cost` of a booking after which the key has changed."""
        raise NotImplementedError

    def spent_at(self, moment: int) -> int:
        """Return what counts as spent at a moment, in whole requests, rounded up."""
        raise NotImplementedError

    def renew(self, moment: int, cost: int) -> None:
        """Become a key that is new at a moment, and spends."""
        raise NotImplementedError

    def is_ahead(self, now: int) -> bool:
        """Return whether a window is booked that has not begun."""
        return False

    def start_spent(self, birth: int) -> None:
        """Become a key that a table does not have which started spent then."""
        self.spend(birth, self.own.maximum, self.own)

    # --- a block: see Limiter.block

    def block(self, now: int, end: int) -> None:
        """Refuse until the end, or until a request would be admitted anyway, if that is later."""
        if end <= max(now, self.end):
            return
        self.known = True
        if self.lift(now) == "booked":
            self.end = end
            return
        due = self.ready(now, 1, self.own)
        self.end = min(max(end, due if due < END else 0), END - 2)
        self.hold(now)

    def hold(self, now: int) -> None:
        """Keep what will be spent at the end; of a key that will be new then, what is spent now."""
        self.held = self.spent_at(self.end)
        self.mode = "booked" if self.is_ahead(now) else "spent"
        if not self.held and self.mode == "spent":
            self.held, self.mode = self.spent_at(now), "fresh"

    def unblock(self, now: int) -> None:
        if self.lift(now) != "booked":
            self.end = 0

    def lift(self, now: int) -> str:
        """Take the state that the key has when its block ends now; return the mode of a block that cannot end yet."""
        mode = self.mode if now < self.end else ""
        if self.end:
            if now >= self.end or mode == "booked":
                self.renew(self.end, 0 if self.mode == "fresh" else self.held)
            else:
                self.lift_early(now)
        if now >= self.end:
            self.end = 0
        return mode

    def lift_early(self, now: int) -> None:
        self.renew(now if self.mode == "fresh" else self.end, self.held)

    def is_blocked(self, now: int) -> bool:
        """Return whether a block is in force; one that has ended is lifted."""
        if self.end and now >= self.end:
            self.lift(now)
        return self.end > now

    def after_block(self) -> "Oracle":
        after = deepcopy(self)
        after.lift(self.end)
        return after

    # --- what a test calls

    def take_back(self, now: int, booking: Booking, cost: int) -> None:
        if not self.is_blocked(now):
            self.cancel(now, booking, cost)

    def give(self, now: int, cost: int) -> None:
        if not self.is_blocked(now):
            self.refund(now, cost)

    def settle_up(self, now: int, cost: int) -> None:
        """Spend without asking; during a block, what it keeps grows."""
        self.known = True
        if not self.is_blocked(now):
            self.charge(now, cost, self.own)
        elif self.lift(now) == "booked":
            self.held += cost
        else:
            self.charge(now, cost, self.own)
            due = self.ready(now, 1, self.own)
            self.end = min(max(self.end, due if due < END else 0), END - 2)
            self.hold(now)

    def is_new(self, now: int) -> bool:
        return not self.is_blocked(now) and self.fresh(now)

    def cancel(self, now: int, booking: Booking, cost: int) -> None:
        """Take back `cost` of a booking. If nothing has happened since, all of it leaves no trace."""
        if cost == booking.cost and self.state() == booking.left:
            self.restore(booking.found)
        else:
            self.give_back(now, booking, cost)

    def charge(self, now: int, cost: int, quota: Quota) -> None:
        """Spend without asking."""
        self.spend(now, cost, quota)

    def turn(self, now: int) -> int:
        """Return when a request that is admitted now may act."""
        return now

    def ready(self, now: int, cost: int, quota: Quota) -> int:
        return END if cost > quota.maximum else first(lambda t: self.fits(t, cost, quota), now, END)

    def peek(self, now: int, cost: int, quota: Quota | None = None) -> Answer:
        quota = quota or self.own
        if self.is_blocked(now):
            return self.refusal(now, cost, quota)
        ready = self.ready(now, cost, quota)
        return self.answer(now, quota, ready <= now, None if ready == END else ready - now, self.turn(now) - now)

    def hit(self, now: int, cost: int, quota: Quota | None = None) -> Answer:
        quota = quota or self.own
        if self.is_blocked(now) or not self.fits(now, cost, quota):
            return self.peek(now, cost, quota)
        turn = self.turn(now)
        self.spend(now, cost, quota)
        self.known = True
        return self.answer(now, quota, True, 0, turn - now)

    def refusal(self, now: int, cost: int, quota: Quota) -> Answer:
        """Answer a request on a blocked key."""
        after = self.after_block()
        ready = after.ready(self.end, cost, quota)
        retry = None if ready == END else ready - now
        return Answer(False, quota.maximum, 0, retry, first(after.fresh, self.end, END) - now, 0)

    def answer(self, now: int, quota: Quota, allowed: bool, retry: int | None, delay: int) -> Answer:
        remaining = first(lambda cost: not self.fits(now, cost, quota), 1, quota.maximum + 1) - 1
        reset = first(self.fresh, now, END) - now
        return Answer(allowed, quota.maximum, remaining, 0 if allowed else retry, reset, delay if allowed else 0)

    def reserve(self, now: int, cost: int, patience: int = END) -> tuple[Booking | None, int]:
        """Return the booking, and the moment of the turn."""
        if self.is_blocked(now):
            return None, self.after_block().reserve(self.end, cost)[1]
        at = self.ready(now, cost, self.own)
        if at == END or at - now > patience:
            return None, at
        return self.book(at, at, cost), at

    def book(self, now: int, at: int, cost: int) -> Booking:
        found = self.state()
        self.spend(now, cost, self.own)
        self.known = True
        return Booking(at, cost, found, self.state())


class TokenBucket(Oracle):
    """Promise: in any interval of length T it admits at most `burst + floor(T * limit / period)`.

    `full_at` is when the bucket is full again: the debt is that time at the sustained rate.
    """

    def __init__(self, limit: int, period: int, burst: int | None = None, *, interval: Fraction | None = None) -> None:
        super().__init__(Quota.of(limit, period, burst, interval))
        self.full_at = Fraction(0)

    def after(self, now: int, cost: int, quota: Quota) -> Fraction:
        return max(self.full_at, Fraction(now)) + cost * quota.interval

    def fits(self, now: int, cost: int, quota: Quota) -> bool:
        return cost <= quota.maximum and self.after(now, cost, quota) - now <= quota.maximum * quota.interval

    def spend(self, now: int, cost: int, quota: Quota) -> None:
        self.full_at = self.after(now, cost, quota)

    def fresh(self, now: int) -> bool:
        return self.full_at <= now

    def refund(self, now: int, cost: int) -> None:
        self.advance(now, cost * self.own.interval)

    def advance(self, now: int, time: Fraction) -> None:
        if self.full_at > now:
            self.full_at = max(Fraction(now), self.full_at - time)

    def spent_at(self, moment: int) -> int:
        return ceil(max(0, self.full_at - moment) / self.own.interval)

    def renew(self, moment: int, cost: int) -> None:
        self.full_at = moment + cost * self.own.interval

    def state(self) -> Fraction:
        return self.full_at

    def restore(self, state: Fraction) -> None:
        self.full_at = state

    def give_back(self, now: int, booking: Booking, cost: int) -> None:
        """Give back at most what is left of the booking by now, less what was booked behind it for future moments."""
        ahead = max(booking.left, now + self.own.maximum * self.own.interval)
        back = min(cost * self.own.interval, max(Fraction(0), booking.left - now)) - max(0, self.full_at - ahead)
        if back > 0:
            self.advance(now, back)


class LeakyBucket(TokenBucket):
    """Promise: turns are at least one interval apart, in whole nanoseconds; when `capacity` wait, the next is refused.

    `full_at` is when the last request in the queue has been served.
    """

    def __init__(self, limit: int, period: int, capacity: int | None = None) -> None:
        waiting = limit if capacity is None else capacity
        super().__init__(limit, period, waiting + 1, interval=self.interval_of(limit, period))

    @staticmethod
    def interval_of(limit: int, period: int) -> Fraction:
        return Fraction(-(-period // limit))

    def turn(self, now: int) -> int:
        return min(max(now, int(self.full_at)), END)

    def reserve(self, now: int, cost: int, patience: int = END) -> tuple[Booking | None, int]:
        if self.is_blocked(now):
            return super().reserve(now, cost, patience)
        at = self.turn(now)
        if cost > self.own.maximum or at - now > patience:
            return None, END if cost > self.own.maximum else at
        return self.book(now, at, cost), at

    def give_back(self, now: int, booking: Booking, cost: int) -> None:
        if self.full_at == booking.left:  # only the last in the queue gives back
            self.refund(now, cost)


class FixedWindow(Oracle):
    """Promise: at most `limit` in each window of one period, counted from the epoch."""

    def __init__(self, limit: int, period: int) -> None:
        super().__init__(Quota.of(limit, period))
        self.spent: Counter[int] = Counter()  # by the window's start
        self.latest = 0

    def window(self, now: int) -> int:
        return now - now % self.own.period

    def before(self, window: int) -> int:
        return self.window(window - 1)

    def fits(self, now: int, cost: int, quota: Quota) -> bool:
        return self.window(now) >= self.latest and self.spent[self.window(now)] + cost <= quota.maximum

    def spend(self, now: int, cost: int, quota: Quota) -> None:
        self.latest = max(self.latest, self.window(now))
        self.spent[self.latest] += cost

    def fresh(self, now: int) -> bool:
        return self.window(now) > self.latest or (self.window(now) == self.latest and not self.spent[self.latest])

    def refund(self, now: int, cost: int) -> None:
        if self.window(now) <= self.latest:
            self.spent[self.latest] -= min(cost, self.spent[self.latest])

    def spent_at(self, moment: int) -> int:
        return self.spent[self.latest] if self.window(moment) <= self.latest else 0

    def renew(self, moment: int, cost: int) -> None:
        self.latest = self.window(moment)
        self.spent = Counter({self.latest: cost})

    def is_ahead(self, now: int) -> bool:
        return self.latest > now

    def state(self) -> tuple[int, Counter[int]]:
        last = (self.latest, self.before(self.latest))
        return self.latest, Counter({window: self.spent[window] for window in last})

    def restore(self, state: tuple[int, Counter[int]]) -> None:
        self.latest, self.spent = state[0], state[1].copy()

    def give_back(self, now: int, booking: Booking, cost: int) -> None:
        """Give back to the window that was booked. The one before a future window that becomes empty had been full."""
        if self.window(booking.at) == self.latest:
            self.refund(now, cost)
            if self.latest > now and not self.spent[self.latest]:
                self.latest = self.before(self.latest)
                self.spent[self.latest] = self.own.limit


class CalendarWindow(FixedWindow):
    """Promise: at most `limit` in each day, week, month or year of a time zone."""

    def __init__(self, limit: int, period: int, unit: str, zone: str) -> None:
        super().__init__(limit, period)
        self.unit, self.zone = unit, zone

    def window(self, now: int) -> int:
        zone = ZoneInfo(self.zone)
        day = datetime.fromtimestamp(now // SECOND, zone).date()
        first = {
            "day": day,
            "week": day - timedelta(day.weekday()),
            "month": day.replace(day=1),
            "year": day.replace(month=1, day=1),
        }[self.unit]
        return int(datetime(first.year, first.month, first.day, tzinfo=zone).timestamp()) * SECOND


class FirstWindow(Oracle):
    """Promise: at most `limit` in each window, which starts with the first request after the previous window ended."""

    def __init__(self, limit: int, period: int) -> None:
        super().__init__(Quota.of(limit, period))
        self.start: int | None = None
        self.spent = 0

    def over(self, now: int) -> bool:
        return self.start is None or now >= self.start + self.own.period

    def fits(self, now: int, cost: int, quota: Quota) -> bool:
        if self.start is None or self.over(now):
            return cost <= quota.maximum
        return now >= self.start and self.spent + cost <= quota.maximum

    def spend(self, now: int, cost: int, quota: Quota) -> None:
        if self.over(now):
            self.start, self.spent = now, 0
        self.spent += cost

    fresh = over

    def refund(self, now: int, cost: int) -> None:
        if not self.over(now):
            self.spent -= min(cost, self.spent)

    def spent_at(self, moment: int) -> int:
        return 0 if self.over(moment) else self.spent

    def renew(self, moment: int, cost: int) -> None:
        """Begin a window; without a cost, end a full one, so that the next one begins at the next request."""
        self.start, self.spent = (moment, cost) if cost else (moment - self.own.period, self.own.limit)

    def is_ahead(self, now: int) -> bool:
        return self.start is not None and self.start > now

    def lift_early(self, now: int) -> None:
        """Begin the window now: when it began is not kept."""
        self.renew(now, self.held)

    def state(self) -> tuple[int | None, int]:
        return self.start, self.spent

    def restore(self, state: tuple[int | None, int]) -> None:
        self.start, self.spent = state

    def give_back(self, now: int, booking: Booking, cost: int) -> None:
        """Give back to the window that was booked. The one before a future window that becomes empty had been full."""
        if self.start is not None and self.start <= booking.at < self.start + self.own.period:
            self.refund(now, cost)
            if self.start > now and not self.spent:
                self.start, self.spent = self.start - self.own.period, self.own.limit


class SlidingWindow(FixedWindow):
    """Promise: `current + previous * (1 - e) + cost <= limit`, with `e` the part of the current window that has passed."""

    def fits(self, now: int, cost: int, quota: Quota) -> bool:
        start, period = self.window(now), self.own.period
        share = Fraction(start + period - now, period)  # of the previous window that still counts
        return start >= self.latest and self.spent[start] + self.spent[start - period] * share + cost <= quota.maximum

    def fresh(self, now: int) -> bool:
        start = self.window(now)
        return start >= self.latest and not self.spent[start] and not self.spent[start - self.own.period]

    def spent_at(self, moment: int) -> int:
        start, period = self.window(moment), self.own.period
        if self.latest > start:
            return self.spent[self.latest]
        return self.spent[start] + ceil(self.spent[start - period] * Fraction(start + period - moment, period))

    def lift_early(self, now: int) -> None:
        """Count what the previous window would lose by the end of the block as if that window had been full."""
        back = ceil(Fraction(max(self.held, self.own.limit) * (self.end - now), self.own.period))
        self.renew(now, self.held if self.mode == "fresh" else min(self.held + back, max(self.held, self.own.limit)))

    def refund(self, now: int, cost: int) -> None:
        """Give back to the current window first, and the rest to the one before."""
        self.latest = max(self.latest, self.window(now))
        for start in (self.latest, self.latest - self.own.period):
            back = min(cost, self.spent[start])
            self.spent[start] -= back
            cost -= back

    def give_back(self, now: int, booking: Booking, cost: int) -> None:
        """Give back to the window that was booked, if it is one of the two. The count before them is not known."""
        self.latest = max(self.latest, self.window(now))
        window = self.window(booking.at)
        if window in (self.latest, self.latest - self.own.period):
            self.spent[window] -= min(cost, self.spent[window])
        if self.latest > now and not self.spent[self.latest]:
            self.latest -= self.own.period
            self.spent[self.latest - self.own.period] = self.own.limit


class SlidingLog(Oracle):
    """Promise: at most `limit` in any interval of one period, and never fewer than that allows.

    It keeps every request by its moment, in order. Only the last `limit` of them ever count. A request that was given
    back no longer counts, but keeps its place.
    """

    def __init__(self, limit: int, period: int) -> None:
        super().__init__(Quota.of(limit, period))
        self.opens = 0  # when the requests that count from the start of the table have left
        self.log: list[int] = []
        self.longest = 0  # the most requests that it has held

    def live(self, now: int) -> int:
        return sum(moment + self.own.period > now for moment in self.log[-self.own.limit :])

    def fits(self, now: int, cost: int, quota: Quota) -> bool:
        return now >= self.opens and self.live(now) + cost <= quota.maximum

    def start_spent(self, birth: int) -> None:
        """Wait for a period; no request is there that could be given back."""
        self.opens = birth + self.own.period

    def spend(self, now: int, cost: int, quota: Quota) -> None:
        self.log += [max([now, *self.log[-1:]])] * cost
        self.longest = max(self.longest, len(self.log))

    def charge(self, now: int, cost: int, quota: Quota) -> None:
        self.spend(now, min(cost, self.own.limit), quota)

    def fresh(self, now: int) -> bool:
        return now >= self.opens and not self.live(now)

    def refund(self, now: int, cost: int) -> None:
        """Forget the oldest that count, so that what remains is never older than what was admitted."""
        if self.log and self.log[-1] <= now:
            last = range(max(0, len(self.log) - self.own.limit), len(self.log))
            for place in [place for place in last if self.log[place] + self.own.period > now][:cost]:
                self.log[place] = -END

    def hold(self, now: int) -> None:
        """Keep everything."""

    def renew(self, moment: int, cost: int) -> None:
        """Have kept everything."""

    def state(self) -> None:
        return None  # a log gives back one by one

    def cancel(self, now: int, booking: Booking, cost: int) -> None:
        """Take back only the last in line. Beyond a lap the log is stricter than this oracle."""
        if booking.at <= now:
            if booking.at + self.own.period > now:
                self.refund(now, cost)
            return
        while cost and self.log and self.log[-1] == booking.at:
            self.log.pop()
            cost -= 1
        self.exact = self.exact and len(self.log) >= self.longest - self.own.limit
