"""The promises with leases: adversarial histories of several hosts, with crashes, delays and late give-backs.

A process may be stopped between reading the clock and spending. Its requests count for the moment that it read.

The hosts are the library's own leases, each in a memory of its own. The engine is a model: what 6_leases.lua does, in
plain integers; tests/engine/test_engine_grants.py compares the two. One tick is a millisecond.
"""

import random
from fractions import Fraction

import pytest
from tools import NIGHTLY

from ratelimit import Quota
from ratelimit._limiter.parameters import fixed_window, sliding_log, token_bucket
from ratelimit._remote.lease_rule import can_be_leased, engine_parameters
from ratelimit._storage.memory import private_bytes
from ratelimit._storage.valkey.leases import SIZE, Leases, initialize

TICK = 1_000_000  # nanoseconds
HISTORIES = 40_000 if NIGHTLY else 4_000  # of each algorithm
STEPS = 60
MOST = 10**6


class Bucket:
    """A token bucket on an engine; `burst` and the promise in ticks and tokens."""

    def __init__(self, rng, errors):
        self.errors = errors
        self.interval = rng.choice([2, 5, 10, 30])
        self.burst = rng.choice([5, 10, 20, 40])
        self.lease = rng.choice([1, 2, 3]) * self.interval - rng.choice([0, 1])
        own = token_bucket(Quota(1, Fraction(self.interval, 1000)).with_burst(self.burst))
        self.possible = can_be_leased(own, self.lease * 1000)
        self.engine_burst = self.burst if "burst" in errors else engine_parameters(own, self.lease * 1000).limit
        self.full_at = 0
        self.steps = [0, 0, 1, self.interval, self.lease, self.lease + 1, self.burst * self.interval]

    def left(self, now):
        return (now + self.engine_burst * self.interval - max(self.full_at, now)) // self.interval

    def spend(self, now, amount):
        self.full_at = max(self.full_at, now) + amount * self.interval

    def give_back(self, now, amount, granted):
        worth = amount * self.interval - (0 if "naive" in self.errors else now - granted)
        if self.full_at > now:
            self.full_at = max(now, self.full_at - max(0, worth))

    def window_left(self, now):
        return 0

    def excess(self, spent):
        """Return by how much the worst interval exceeds burst + length // interval."""
        full_at, worst = 0, 0
        for now, amount in spent:
            full_at = max(full_at, now) + amount * self.interval
            worst = max(worst, full_at - now - self.burst * self.interval)
        return worst


class Window:
    """A fixed window on an engine."""

    def __init__(self, rng, errors):
        self.errors = errors
        self.limit, self.period, self.lease = rng.choice([5, 10, 40]), 100, rng.choice([10, 40, 300])
        self.possible = can_be_leased(fixed_window(Quota(self.limit, Fraction(self.period, 1000))), self.lease * 1000)
        self.counts = {}
        self.steps = [0, 0, 1, 9, self.lease // 2, self.period // 3, self.period]

    def left(self, now):
        return self.limit - self.counts.get(now // self.period, 0)

    def spend(self, now, amount):
        self.counts[now // self.period] = self.counts.get(now // self.period, 0) + amount

    def give_back(self, now, amount, granted):
        if "naive" in self.errors or now // self.period == granted // self.period:
            self.counts[now // self.period] = max(0, self.counts.get(now // self.period, 0) - amount)

    def window_left(self, now):
        return 0 if "window" in self.errors else (self.period - now % self.period) * TICK

    def excess(self, spent):
        totals = {}
        for now, amount in spent:
            totals[now // self.period] = totals.get(now // self.period, 0) + amount
        return max(totals.values(), default=0) - self.limit


class Log:
    """A sliding log on an engine."""

    def __init__(self, rng, errors):
        self.errors = errors
        self.limit, self.period, self.lease = rng.choice([5, 10]), 100, rng.choice([5, 20, 60])
        own = sliding_log(Quota(self.limit, Fraction(self.period, 1000)))
        self.possible = can_be_leased(own, self.lease * 1000)
        counts_for = engine_parameters(own, self.lease * 1000).period // TICK
        self.counts_for = self.period if "period" in errors else counts_for
        self.stamps = []
        self.steps = [0, 1, self.lease // 2, self.lease, self.period - self.lease, self.period, 33]

    def left(self, now):
        return self.limit - sum(stamp + self.counts_for > now for stamp in self.stamps)

    def spend(self, now, amount):
        self.stamps = [*self.stamps, *[now] * amount][-self.limit :]

    def give_back(self, now, amount, granted):
        if "naive" in self.errors:
            self.stamps = self.stamps[: len(self.stamps) - amount]
        elif len(self.stamps) < self.limit:
            for _ in range(min(amount, self.stamps.count(granted))):
                self.stamps.remove(granted)

    def window_left(self, now):
        return 0

    def excess(self, spent):
        return (
            max((sum(n for at, n in spent if end - self.period < at <= end) for end, _ in spent), default=0)
            - self.limit
        )


class Hosts:
    """The memories of several hosts. Each history has a key of its own, later than all before."""

    def __init__(self):
        self.memories = [private_bytes(SIZE) for _ in range(4)]
        for memory in self.memories:
            initialize(memory)
        self.now = 1_000


def history(hosts, rng, model, errors):
    """Carry out one history; return what was spent, in order of time."""
    key = rng.getrandbits(64)
    length = model.lease * TICK
    longest = 2 * length if "late" in errors else 0  # the leases refuse one that is longer
    leases = [Leases(memory, length, longest) for memory in hosts.memories[: rng.choice([1, 2, 4])]]
    greedy, now = rng.random() < 0.6, hosts.now
    grants, spent = [], []  # grants: (host, place, amount, granted)
    read = {}  # host -> the moment that a process of it has read before it was stopped
    for _ in range(STEPS):
        now += rng.choice(model.steps)
        host = rng.randrange(len(leases))
        here = leases[host]
        if rng.random() < 0.6:  # ask for a lease; it was sent some time before the engine decided
            sent = (now - rng.choice([0, 0, 1])) * TICK
            left = model.left(now)
            amount = left if greedy else min(left, rng.choice([1, 2, 5, MOST]))
            if amount > 0:
                read.pop(host, None)  # what it spends from this lease counts for a later moment
                model.spend(now, amount)
                until = (
                    sent + 2 * model.lease * TICK if "late" in errors else here.deadline(sent, model.window_left(now))
                )
                place = here.add(key, now * TICK, until, amount, sent, amount)
                if place is not None:
                    grants.append((host, place, amount, now))
        if rng.random() < (0.3 if greedy else 0.5):  # spend all, or some, now or as late as a step leads
            seen = read.pop(host, now)
            most = here.remaining(key, seen * TICK)
            amount = most if greedy else rng.randint(0, most)
            parts = [amount] if amount and here.spend(key, amount, seen * TICK) else [1] * amount
            if parts != [amount]:
                parts = [1 for _ in parts if here.spend(key, 1, seen * TICK)]
            if sum(parts):
                spent.append((seen, sum(parts)))
        elif rng.random() < 0.3:
            read.setdefault(host, now)
        if (
            grants and rng.random() < 0.3
        ):  # give back, at any time: before the end, then, or when the thread comes to it
            giver, place, amount, granted = grants.pop(rng.randrange(len(grants)))
            left = amount if "twice" in errors else leases[giver].take(*place)
            if left:
                model.give_back(now, left, granted)
        if rng.random() < 0.02:  # a process is killed, and gives nothing back
            grants = [grant for grant in grants if grant[0] != host]
    hosts.now = now + 1_000
    return sorted(spent)


def broken(kind, errors=(), count=HISTORIES):
    """Return how many histories break the promise, and the worst excess."""
    rng, hosts = random.Random(7), Hosts()
    excesses = []
    for _ in range(count):
        model = kind(rng, errors)
        if model.possible:
            excesses.append(model.excess(history(hosts, rng, model, errors)))
    assert len(excesses) > count // 2
    return sum(excess > 0 for excess in excesses), max(excesses)


@pytest.mark.parametrize("kind", [Bucket, Window, Log])
def test_no_history_breaks_the_promise(kind):
    assert broken(kind)[0] == 0


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (Bucket, "burst"),  # the engine's burst is that of the quota
        (Bucket, "naive"),  # the whole amount is given back, whatever time has given back
        (Bucket, "late"),  # a lease lasts longer
        (Bucket, "twice"),  # it is given back, and can still be spent
        (Window, "naive"),  # it is given back into another window
        (Window, "window"),  # a lease outlives its window
        (Window, "twice"),
        (Log, "period"),  # the engine counts for the period alone
        (Log, "late"),
        (Log, "twice"),
    ],
)
def test_an_error_is_found(kind, error):
    assert broken(kind, (error,), 1_000)[0] > 0


def test_a_lease_that_has_ended_waits_until_it_is_given_back():
    """Its process may be late. Only after a minute it is taken for dead, and another lease gets the line."""
    memory = private_bytes(SIZE)
    initialize(memory)
    leases, minute = Leases(memory, 100 * TICK, 0), 60_000

    def add(now, end):
        return leases.add(1, now * TICK, end * TICK, 7, 0, 7)

    places = [add(0, end) for end in (1, 2, 3, 4)]
    assert add(50, 90) is None
    assert leases.take(*places[0]) == 7
    assert add(50, 90) is not None
    assert add(minute, minute + 90) is None
    assert add(minute + 3, minute + 90) is not None
    assert [leases.take(*place) for place in places] == [0, 0, 7, 7]
