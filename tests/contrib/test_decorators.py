"""Limits on the calls of functions: the decorators of the abandoned package ratelimit, and `limiter.limited`."""

import asyncio
import pickle
import subprocess
import sys
import time

import pytest

import ratelimit
from ratelimit import (
    FixedWindow,
    LimitExceeded,
    RateLimitException,
    TokenBucket,
    WaitTimeout,
    limits,
    parse,
    sleep_and_retry,
)


class Seconds:
    """A clock that counts seconds from zero, and `sleep` that moves it."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def seconds():
    return Seconds()


def test_limits_raises_beyond_the_limit(seconds):
    @limits(calls=2, period=10, clock=seconds)
    def call(value):
        """Return the value."""
        return value

    assert (call.__name__, call.__doc__) == ("call", "Return the value.")
    assert [call(1), call(value=2)] == [1, 2]
    seconds.now = 4
    with pytest.raises(RateLimitException) as refused:
        call(3)
    assert refused.value.period_remaining == pytest.approx(6)
    seconds.now = 10
    assert call(4) == 4


def test_limits_returns_none_if_asked_to(seconds):
    call = limits(1, 10, seconds, raise_on_limit=False)(lambda: "called")
    assert [call(), call()] == ["called", None]


def test_limits_by_key(seconds):
    call = limits(calls=1, period=10, clock=seconds, raise_on_limit=False, key=lambda name: name)(lambda name: name)
    assert [call("ann"), call("bob"), call("ann")] == ["ann", "bob", None]


def test_a_limited_function_can_forget_its_calls(seconds):
    @sleep_and_retry
    @limits(calls=1, period=900, clock=seconds)
    def called():
        return "called"

    for _ in range(3):
        assert called() == "called"
        called.clear()
    assert seconds.slept == []


def test_sleep_and_retry_sleeps_as_long_as_it_has_to(seconds, monkeypatch):
    monkeypatch.setattr(time, "sleep", seconds.sleep)
    call = sleep_and_retry(limits(calls=2, period=10, clock=seconds)(lambda value: value))
    assert [call(value) for value in range(5)] == [0, 1, 2, 3, 4]
    assert seconds.slept == [pytest.approx(10)] * 2


def test_sleep_and_retry_of_a_coroutine_function(seconds, monkeypatch):
    async def sleep(delay):
        seconds.sleep(delay)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    @sleep_and_retry
    @limits(calls=1, period=3, clock=seconds)
    async def call(value):
        return value

    async def calls():
        return [await call(value) for value in range(3)]

    assert asyncio.run(calls()) == [0, 1, 2]
    assert seconds.slept == [pytest.approx(3)] * 2


def test_other_names_of_the_package():
    assert ratelimit.rate_limited is ratelimit.RateLimitDecorator is limits
    with pytest.raises(AttributeError, match="'ratelimit' has no attribute 'limit'"):
        ratelimit.limit  # noqa: B018


def test_importing_ratelimit_does_not_import_the_adapters():
    code = "import sys, ratelimit; sys.exit(any(name.startswith('ratelimit.contrib') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture(params=["limiter", "several"])
def limiter(request, clock):
    text = "fixed-window 2/minute anchor first"
    return parse(text if request.param == "limiter" else f"{text}; 100/hour", clock=clock)


def test_limited_raises_beyond_the_limit(limiter):
    call = limiter.limited()(lambda value: value)
    assert [call(1), call(2)] == [1, 2]
    with pytest.raises(LimitExceeded, match="refused by fixed-window 2/minute anchor first") as refused:
        call(3)
    assert refused.value.retry_after == 60
    assert pickle.loads(pickle.dumps(refused.value)).retry_after == 60


def test_limited_returns_a_default(limiter):
    call = limiter.limited(default=None)(lambda value: value)
    assert [call(1), call(2), call(3)] == [1, 2, None]


def test_limited_waits_for_its_turn_if_asked(limiter, clock):
    begin = clock.now_ns()
    call = limiter.limited(wait=True, timeout=70)(lambda value: value)
    assert [call(value) for value in range(4)] == [0, 1, 2, 3]
    assert clock.now_ns() - begin == pytest.approx(60 * 10**9)
    slow = limiter.limited(wait=True, timeout=10, key=lambda value: f"{__name__}.slow")(lambda value: value)
    assert [slow(0), slow(1)] == [0, 1]
    with pytest.raises(WaitTimeout):
        slow(2)


def test_limited_coroutine_functions(limiter):
    calls = []

    async def call(value):
        calls.append(value)
        return value

    async def all_ways():
        by_name = {"key": lambda value: "key"}
        raising, waiting, default = (
            limiter.limited(**by_name, **options)(call) for options in ({}, {"wait": True}, {"default": -1})
        )
        results = [await raising(1), await raising(2), await default(3), await waiting(4), await waiting(5)]
        with pytest.raises(LimitExceeded):
            await raising(6)
        return results

    assert asyncio.run(all_ways()) == [1, 2, -1, 4, 5]
    assert calls == [1, 2, 4, 5]


def test_limited_by_key_and_cost(clock):
    limiter = TokenBucket("10/minute", clock=clock)
    call = limiter.limited(key=lambda user, size: user, cost=lambda user, size: size, default="refused")(
        lambda user, size: size
    )
    assert [call("ann", 7), call("ann", 4), call("ann", 3), call("bob", 10)] == [7, "refused", 3, 10]


def test_functions_without_a_key_have_a_limit_each(clock):
    limiter = FixedWindow("1/minute", clock=clock)

    @limiter.limited(default=None)
    def first():
        return 1

    @limiter.limited(default=None)
    def second():
        return 2

    assert [first(), second(), first()] == [1, 2, None]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "user"}, "key: expected a function"),
        ({"wait": True, "default": None}, "default: expected no default"),
        ({"timeout": 5}, "timeout: expected wait=True"),
    ],
)
def test_limited_rejects_wrong_arguments(limiter, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        limiter.limited(**options)
