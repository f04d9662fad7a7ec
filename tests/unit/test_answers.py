"""Decision, Reservation and errors, as objects."""

import copy
import inspect
import pickle
from collections import namedtuple

import pytest
from cases import SECOND

import ratelimit
from ratelimit import (
    All,
    CostExceedsLimit,
    Decision,
    FixedWindow,
    LeakyBucket,
    Limiter,
    Quota,
    RateLimitError,
    Reservation,
    SlidingLog,
    SlidingWindow,
    TableFull,
    TokenBucket,
    WaitError,
    WaitTimeout,
)
from ratelimit.testing import ManualClock

LIMITERS = [TokenBucket, LeakyBucket, FixedWindow, SlidingWindow, SlidingLog]


def test_decision_has_seconds_as_floats_and_as_integers(clock):
    limiter = TokenBucket("3/minute", clock=clock)
    decision = limiter.hit("key", 2)
    assert isinstance(decision, Decision)
    assert (bool(decision), decision.allowed, decision.limit, decision.remaining) == (True, True, 3, 1)
    assert (decision.retry_after, decision.retry_after_ns, decision.delay, decision.delay_ns) == (0, 0, 0, 0)
    assert (decision.reset_after, decision.reset_after_ns) == (40.0, 40 * SECOND)
    assert decision.limiter is limiter
    assert repr(decision) == "Decision(allowed=True, limit=3, remaining=1, delay=0.0, reset_after=40.0)"
    refused = limiter.hit("key", 2)
    assert (bool(refused), refused.retry_after, refused.retry_after_ns) == (False, 20.0, 20 * SECOND)
    assert repr(refused) == "Decision(allowed=False, limit=3, remaining=1, retry_after=20.0, reset_after=40.0)"
    assert "retry_after=inf" in repr(limiter.hit("key", 4))


@pytest.mark.parametrize("name", ["allowed", "limit", "remaining", "retry_after", "retry_after_ns", "limiter", "other"])
def test_a_decision_is_read_only(clock, name):
    """A decision cannot be changed."""
    with pytest.raises(AttributeError):
        setattr(TokenBucket("3/minute", clock=clock).hit("key"), name, 1)


def test_repr_of_a_reservation(clock):
    limiter = TokenBucket("1/second", clock=clock)
    place = limiter.reserve("key")
    assert isinstance(place, Reservation)
    assert repr(place) == "Reservation(allowed=True, delay=0.0, cost=1)"
    assert repr(limiter.reserve("key", max_delay=0)) == "Reservation(allowed=False, delay=1.0, cost=1)"
    assert "delay=inf" in repr(limiter.reserve("key", 2))


def test_a_decision_outlives_its_limiter(clock):
    decision = TokenBucket("3/minute", clock=clock).hit("key")
    place = TokenBucket("3/minute", clock=clock).reserve("key")
    assert decision.limiter.peek("key").remaining == 2
    place.cancel()


def test_hierarchy_of_errors():
    """All have one base; a timeout is a TimeoutError; no error is a ValueError or TypeError."""
    assert set(ratelimit.errors.__dict__) >= {"RateLimitError", "TableFull", "WaitError"}
    assert WaitError.__mro__[1] is TableFull.__mro__[1] is RateLimitError
    assert issubclass(CostExceedsLimit, WaitError)
    assert issubclass(WaitTimeout, (WaitError, TimeoutError))
    assert not issubclass(RateLimitError, (ValueError, TypeError))


def test_errors_can_be_pickled():
    """Errors are pickled between processes."""
    for error in (WaitTimeout("too long", 1.5), TableFull("full"), CostExceedsLimit("cost 9")):
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_copying_raises_an_error_that_gives_the_reason(clock, duplicate):
    """A limiter owns its memory, and a reservation can be given back only once."""
    limiter = TokenBucket("3/minute", clock=clock)
    for one, says in (
        (limiter, "self|Limiter|pickled"),
        (limiter & limiter, "self|Limiter|pickled"),
        (limiter.hit("key"), "a Decision cannot be pickled or copied"),
        (limiter.reserve("key"), "a Reservation cannot be pickled or copied"),
    ):
        if isinstance(one, All) and duplicate is copy.copy:
            assert duplicate(one).limiters == one.limiters
            continue
        with pytest.raises(TypeError, match=says):
            duplicate(one)


def test_values_can_be_copied():
    for value in (Quota(5, 60, burst=2), ManualClock(7)):
        assert (
            vars_or_self(pickle.loads(pickle.dumps(value))) == vars_or_self(copy.deepcopy(value)) == vars_or_self(value)
        )


def vars_or_self(value):
    return getattr(value, "__dict__", value)


@pytest.mark.parametrize("make", LIMITERS)
def test_subclass_is_a_limiter(make, clock):

    class Named(make):
        def __new__(cls, name, **options):
            return super().__new__(cls, "2/minute", **options)

        def __init__(self, name, **options):
            self.name = name

        def allow(self, key, /):
            return super().allow(f"{self.name}:{key}")

    one = Named("api", clock=clock)
    assert isinstance(one, Limiter)
    assert (one.name, one.allow("key"), repr(one)) == ("api", True, "Named('2/minute')")
    assert one.peek("api:key").remaining == one.peek("new").limit - 1
    assert one.hit("key").limiter is one
    assert (one & TokenBucket("9/minute", clock=clock)).allow("key")


def test_a_subclass_takes_a_single_quota(clock):
    class Mine(TokenBucket):
        pass

    with pytest.raises(ValueError, match=r"single quota .* use ratelimit.parse\('1/s;2/m'\)"):
        Mine("1/s;2/m", clock=clock)
    assert str(Mine("1/s", clock=clock) & Mine("2/m", clock=clock)) == "token-bucket 1/second; token-bucket 2/minute"


@pytest.mark.parametrize("make", LIMITERS)
def test_limiter_has_its_arguments_as_attributes(make, clock):
    """The attributes are read-only."""
    limiter = make("2/minute", max_keys=5, on_full="allow", clock=clock)
    assert (limiter.quota, limiter.max_keys, limiter.on_full, limiter.clock) == (Quota(2, 60), 5, "allow", clock)
    for name in ("quota", "max_keys", "on_full", "clock", "table", "full_count", "collision_count"):
        with pytest.raises(AttributeError):
            setattr(limiter, name, None)
    assert repr(limiter) == f"{make.__name__}('2/minute')"


@pytest.mark.parametrize(
    "shown",
    [
        "TokenBucket('100/minute', burst=20)",
        "LeakyBucket('100/minute', capacity=0)",
        "FixedWindow('100/minute', anchor='first')",
        "TokenBucket('100/minute', burst=20) & LeakyBucket('2/second')",
    ],
)
def test_repr_shows_options_that_are_not_the_default(shown):
    """An error that names a limiter has to show its burst."""
    limiter = eval(shown)
    assert repr(limiter) == shown
    if isinstance(limiter, TokenBucket):
        with pytest.raises(CostExceedsLimit, match=r"^cost 21 for key 'a' is more than .*, burst=20\) ever allows$"):
            limiter.wait("a", 21)
        limiter.change(Quota(50, 60, burst=7))
        assert repr(limiter) == "TokenBucket('50/minute', burst=7)"


@pytest.mark.parametrize("make", [*LIMITERS, All])
def test_every_public_name_is_documented(make):
    """Every public name has a docstring, and a signature if it can be called."""
    assert inspect.getdoc(make)
    for name in dir(make):
        if not name.startswith("_"):
            member = getattr(make, name)
            if callable(member):
                assert inspect.getdoc(member), name
                assert inspect.signature(member).parameters, name


def test_all_lists_public_names():
    """Every name in __all__ exists, and no name in it is private."""
    assert all(hasattr(ratelimit, name) for name in ratelimit.__all__)
    assert len(ratelimit.__all__) == len(set(ratelimit.__all__))


Member = namedtuple("Member", "key")


def test_rejects_tuples_as_keys(clock):
    """Named tuples are rejected, too."""
    with pytest.raises(TypeError, match="of type Member"):
        TokenBucket("3/minute", clock=clock).allow(Member("key"))
