"""The executable specification: every algorithm for one key, in fractions and loops, as plain as it can be.

Times are nanoseconds. Values that the library computes in closed form are searched for here: `retry_after` is the
first moment that fits, `remaining` the largest cost that does.
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

END = 2**62  # what has not come by then never comes


@dataclass(frozen=True)
class Answer:
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
    found: object
    left: object


def first(holds, low, high):
    """Return the first number in [low, high) for which the monotonic `holds` is true; else `high`."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


class Oracle:
    """One key. A subclass defines which cost fits, the effect of spending, and when the key is fresh again.

    `quota` is (most at once, period); where given it replaces the limiter's own.
    """

    def __init__(self, limit, period):
        self.own = (limit, period)
        self.known = False
        self.exact = True

    def fits(self, now, cost, quota):
        raise NotImplementedError

    def turn(self, now):
        return now

    def ready(self, now, cost, quota):
        return END if cost > quota[0] else first(lambda t: self.fits(t, cost, quota), now, END)

    def peek(self, now, cost, quota=None):
        quota = quota or self.own
        ready = self.ready(now, cost, quota)
        return self.answer(now, quota, ready <= now, None if ready == END else ready - now, self.turn(now) - now)

    def hit(self, now, cost, quota=None):
        quota = quota or self.own
        if not self.fits(now, cost, quota):
            return self.peek(now, cost, quota)
        turn = self.turn(now)
        self.spend(now, cost, quota)
        self.known = True
        return self.answer(now, quota, True, 0, turn - now)

    def answer(self, now, quota, allowed, retry, delay):
        remaining = first(lambda cost: not self.fits(now, cost, quota), 1, quota[0] + 1) - 1
        reset = first(self.fresh, now, END) - now
        return Answer(allowed, quota[0], remaining, 0 if allowed else retry, reset, delay if allowed else 0)

    def reserve(self, now, cost, patience=END):
        """Return (the booking or None, when)."""
        at = self.ready(now, cost, self.own)
        if at == END or at - now > patience:
            return None, at
        return self.book(at, at, cost), at

    def book(self, now, at, cost):
        found = self.state()
        self.spend(now, cost, self.own)
        self.known = True
        return Booking(at, cost, found, self.state())

    def cancel(self, now, booking, cost):
        """Take back `cost` of a booking. If nothing has happened since, all of it leaves no trace."""
        if cost == booking.cost and self.state() == booking.left:
            self.restore(booking.found)
        else:
            self.give_back(now, booking, cost)


class TokenBucket(Oracle):
    """`full_at`: when the bucket is full again. Its debt is that time at the sustained rate."""

    unit = None

    def __init__(self, limit, period, burst=None):
        super().__init__(burst or limit, period)
        self.rate = (limit, period)
        self.full_at = Fraction(0)

    def interval(self, quota):
        limit, period = (self.rate[0], self.rate[1]) if quota is self.own else quota[2:]
        reduced = self.rate[0] // gcd(*self.rate)
        unit = 55_440 if 55_440 % reduced == 0 else (65_536 // reduced * reduced or 65_536)
        return Fraction(-(-period * unit // limit), unit)  # whole ticks, rounded up

    def after(self, now, cost, quota):
        return max(self.full_at, now) + cost * self.interval(quota)

    def fits(self, now, cost, quota):
        return cost <= quota[0] and self.after(now, cost, quota) - now <= quota[0] * self.interval(quota)

    def spend(self, now, cost, quota):
        self.full_at = self.after(now, cost, quota)

    charge = spend

    def fresh(self, now):
        return self.full_at <= now

    def refund(self, now, cost):
        if self.full_at > now:
            self.full_at = max(Fraction(now), self.full_at - cost * self.interval(self.own))

    def state(self):
        return self.full_at

    def restore(self, state):
        self.full_at = state

    def give_back(self, now, booking, cost):
        """At most what is left of the booking by now, less what was booked behind it for moments to come."""
        ahead = max(booking.left, now + self.own[0] * self.interval(self.own))
        back = min(cost * self.interval(self.own), max(0, booking.left - now)) - max(0, self.full_at - ahead)
        if back > 0:
            self.refund(now, back / self.interval(self.own))


class LeakyBucket(TokenBucket):
    """`full_at`: when the last in the queue has been served."""

    def __init__(self, limit, period, capacity=None):
        super().__init__(limit, period, (limit if capacity is None else capacity) + 1)

    def interval(self, quota):
        limit, period = self.rate if quota is self.own else quota[2:]
        return -(-period // limit)

    def turn(self, now):
        return min(max(now, int(self.full_at)), END)

    def reserve(self, now, cost, patience=END):
        at = self.turn(now)
        if cost > self.own[0] or at - now > patience:
            return None, END if cost > self.own[0] else at
        return self.book(now, at, cost), at

    def give_back(self, now, booking, cost):
        if self.full_at == booking.left:  # only the last in line gives back
            self.refund(now, cost)


class FixedWindow(Oracle):
    def __init__(self, limit, period):
        super().__init__(limit, period)
        self.spent = Counter()  # by the window's start
        self.latest = 0

    def window(self, now):
        return now - now % self.own[1]

    def fits(self, now, cost, quota):
        return self.window(now) >= self.latest and self.spent[self.window(now)] + cost <= quota[0]

    def spend(self, now, cost, quota):
        self.latest = max(self.latest, self.window(now))
        self.spent[self.latest] += cost

    charge = spend

    def fresh(self, now):
        return self.window(now) > self.latest or (self.window(now) == self.latest and not self.spent[self.latest])

    def refund(self, now, cost):
        if self.window(now) <= self.latest:
            self.spent[self.latest] -= min(cost, self.spent[self.latest])

    def state(self):
        return self.latest, self.spent.copy()

    def restore(self, state):
        self.latest, self.spent = state[0], state[1].copy()

    def give_back(self, now, booking, cost):
        """To the window that was booked. The one before a future window that becomes empty had been full."""
        if self.window(booking.at) == self.latest:
            self.refund(now, cost)
            if self.latest > now and not self.spent[self.latest]:
                self.latest -= self.own[1]
                self.spent[self.latest] = self.own[0]


class FirstWindow(Oracle):
    """A window starts with the first request after the one before has ended."""

    def __init__(self, limit, period):
        super().__init__(limit, period)
        self.start, self.spent = None, 0

    def over(self, now):
        return self.start is None or now >= self.start + self.own[1]

    def fits(self, now, cost, quota):
        if self.over(now):
            return cost <= quota[0]
        return now >= self.start and self.spent + cost <= quota[0]

    def spend(self, now, cost, quota):
        if self.over(now):
            self.start, self.spent = now, 0
        self.spent += cost

    charge = spend
    fresh = over

    def refund(self, now, cost):
        if not self.over(now):
            self.spent -= min(cost, self.spent)

    def state(self):
        return self.start, self.spent

    def restore(self, state):
        self.start, self.spent = state

    def give_back(self, now, booking, cost):
        """To the window that was booked. The one before a future window that becomes empty had been full."""
        if self.start is not None and self.start <= booking.at < self.start + self.own[1]:
            self.refund(now, cost)
            if self.start > now and not self.spent:
                self.start, self.spent = self.start - self.own[1], self.own[0]


class SlidingWindow(FixedWindow):
    def fits(self, now, cost, quota):
        start, period = self.window(now), self.own[1]
        share = Fraction(start + period - now, period)  # of the previous window, still in view
        return start >= self.latest and self.spent[start] + self.spent[start - period] * share + cost <= quota[0]

    def fresh(self, now):
        start = self.window(now)
        return start >= self.latest and not self.spent[start] and not self.spent[start - self.own[1]]

    def refund(self, now, cost):
        """From the current window first, the rest from the one before."""
        self.latest = max(self.latest, self.window(now))
        for start in (self.latest, self.latest - self.own[1]):
            back = min(cost, self.spent[start])
            self.spent[start] -= back
            cost -= back

    def give_back(self, now, booking, cost):
        """To the window that was booked, while it is one of the two. The count before them is not known."""
        self.latest = max(self.latest, self.window(now))
        window = self.window(booking.at)
        if window in (self.latest, self.latest - self.own[1]):
            self.spent[window] -= min(cost, self.spent[window])
        if self.latest > now and not self.spent[self.latest]:
            self.latest -= self.own[1]
            self.spent[self.latest - self.own[1]] = self.own[0]


class SlidingLog(Oracle):
    """Every request by its moment, in order; only the last `limit` of them ever count.

    A refund no longer counts, but keeps its place.
    """

    def __init__(self, limit, period):
        super().__init__(limit, period)
        self.log = []
        self.longest = 0  # that it has been

    def live(self, now):
        return sum(moment + self.own[1] > now for moment in self.log[-self.own[0] :])

    def fits(self, now, cost, quota):
        return self.live(now) + cost <= quota[0]

    def spend(self, now, cost, quota):
        self.log += [max([now, *self.log[-1:]])] * cost
        self.longest = max(self.longest, len(self.log))

    def charge(self, now, cost, quota):
        self.spend(now, min(cost, self.own[0]), quota)

    def fresh(self, now):
        return not self.live(now)

    def refund(self, now, cost):
        """The oldest that count, so that what stays is never older than what was really admitted."""
        if self.log and self.log[-1] <= now:
            last = range(max(0, len(self.log) - self.own[0]), len(self.log))
            for place in [place for place in last if self.log[place] + self.own[1] > now][:cost]:
                self.log[place] = -END

    def state(self):
        return None  # a log gives back one by one

    def cancel(self, now, booking, cost):
        """Only the last in line can leave without a trace. Beyond a lap the log is stricter than this oracle."""
        if booking.at <= now:
            if booking.at + self.own[1] > now:
                self.refund(now, cost)
            return
        while cost and self.log and self.log[-1] == booking.at:
            self.log.pop()
            cost -= 1
        self.exact = self.exact and len(self.log) >= self.longest - self.own[0]
