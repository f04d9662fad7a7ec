"""Limits of zero, and none: as a limiter's quota, as that of a call, as text, and in several limits."""

import copy
import math
import pickle

import numpy as np
import pytest
from cases import ALGORITHMS, SECOND, quota_of

from ratelimit import UNLIMITED, FixedWindow, Quota, SlidingLog, Table, TokenBucket, parse
from ratelimit.errors import CostExceedsLimit
from ratelimit.language import ALGORITHMS as NAMES
from ratelimit.language import LimitSpec
from ratelimit.replay.limits import at_most, at_once, memory_ns
from ratelimit.testing import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_zero_refuses_everything_for_ever(algorithm, clock):
    limiter = algorithm.make(Quota(0, 60), clock)
    assert not limiter.allow("key")
    decision = limiter.hit("key")
    assert (decision.allowed, decision.limit, decision.remaining) == (False, 0, 0)
    assert decision.retry_after == decision.more_after == math.inf
    assert decision.retry_after_ns is None
    assert not limiter.allow_many(["key"] * 3).any()
    assert limiter.hit_many(["key"])["retry_after_ns"].tolist() == [2**62]
    booking = limiter.reserve("key")
    assert (booking.allowed, booking.delay) == (False, math.inf)
    with pytest.raises(CostExceedsLimit):
        limiter.wait("key")
    assert len(limiter) == 0


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_unlimited_admits_everything_and_reports_it(algorithm, clock):
    limiter = algorithm.make(UNLIMITED, clock, max_keys=1)
    for key in range(3):  # which takes no slot
        assert limiter.allow(key)
        decision = limiter.hit(key, 2**62)
        assert decision.allowed
        assert decision.unlimited
        assert decision.limit == decision.remaining == 2**62
        assert decision.retry_after == decision.more_after == decision.reset_after == decision.delay == 0
        assert limiter.peek(key).unlimited
    assert limiter.allow_many(np.arange(100), costs=10**18).all()
    booking = limiter.reserve("key", 10)
    assert booking.delay == 0
    booking.settle(20)
    booking.cancel()
    limiter.wait("key")
    limiter.refund("key", 5)
    assert len(limiter) == 0
    limiter.block("key", 5)
    assert limiter.hit("key").retry_after == 5


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_quotas_of_a_call_neither_spend_nor_forgive(algorithm, clock):
    limiter = algorithm.make(quota_of(5, 60 * SECOND), clock)
    limiter.hit("key", 2)
    left = limiter.peek("key").remaining
    for _ in range(20):
        assert limiter.hit("key", 3, quota=UNLIMITED).unlimited
        assert limiter.hit("key", quota="unlimited").allowed
        assert limiter.hit("key", quota="0/hour").retry_after == math.inf
        assert not limiter.hit("new", quota=Quota(0, 1)).allowed
    assert limiter.peek("key").remaining == left
    assert not limiter.peek("key").unlimited


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quota", ["0/minute", "unlimited"])
def test_text_is_read_and_written_back(name, quota):
    text = f"{name} {quota}"
    limiter = parse(f" {text.upper()} ")
    assert str(limiter) == text
    assert str(parse(str(limiter))) == text
    assert str(LimitSpec.parse(text)) == text
    assert LimitSpec.parse(text).quota == Quota.parse(quota)
    assert repr(limiter) == f"{type(limiter).__name__}({quota!r})"
    spec = LimitSpec.parse(text)
    assert min(at_once(spec), at_most(spec)) == spec.quota.limit
    assert memory_ns(spec) == 0


def test_no_limit_drops_options_that_mean_nothing():
    assert str(parse("unlimited")) == "token-bucket unlimited"
    assert str(parse("fixed-window unlimited anchor first")) == "fixed-window unlimited anchor first"
    assert str(parse("0/minute burst 5; leaky-bucket 0/s capacity 3")) == "token-bucket 0/minute; leaky-bucket 0/second"
    assert not parse("0/minute burst 5").allow("key")
    with pytest.raises(ValueError, match="unlimitedly"):
        parse("unlimitedly")


def test_all_decides_by_its_other_limits(clock):
    both = parse("unlimited; 2/minute; sliding-log unlimited", clock=clock)
    decision = both.hit("key")
    assert (decision.limit, decision.remaining, decision.unlimited) == (2, 1, False)
    assert both.hit("key", costs=(9, 1, 10**6)).allowed
    assert not both.allow("key")
    assert parse("unlimited; fixed-window unlimited").hit("key").unlimited
    refused = parse("0/minute; 2/minute; unlimited", clock=clock)
    assert refused.hit("key").retry_after == math.inf
    assert refused.limiters[1].peek("key").remaining == 2
    assert both.bind(["a", "b", "c"], quotas=[None, UNLIMITED, "unlimited"]).hit().unlimited


def test_a_table_changes_to_none_and_back(tmp_path):
    table = Table.open(tmp_path / "table")
    limiter = FixedWindow("5/day", table=table)
    limiter.hit("key", 3)
    for quota in (UNLIMITED, Quota(0, 60), "5/day"):
        for counts in ("keep", "scale"):
            limiter.change(quota, counts=counts)
            assert str(FixedWindow(limiter.quota, table=Table.open(tmp_path / "table"))) == str(limiter)
    assert limiter.peek("key").remaining == 2


def test_unlimited_equals_its_copies_and_no_other_quota():
    assert Quota.parse(" Unlimited ") is UNLIMITED
    assert repr(UNLIMITED) == "UNLIMITED"
    assert str(UNLIMITED) == "unlimited"
    assert pickle.loads(pickle.dumps(UNLIMITED)) == copy.deepcopy(UNLIMITED) == UNLIMITED != Quota(2**63 - 1, 1)
    assert UNLIMITED.with_burst(5) is UNLIMITED
    assert Quota(0, 60) == Quota.parse("0/minute")
    with pytest.raises(ValueError, match=r"limit: expected a whole number from 0"):
        Quota(-1, 60)
    assert SlidingLog(Quota(0, 60)).change("unlimited") is None
    assert TokenBucket(UNLIMITED).quota is UNLIMITED
