"""The quota of a live table changes, for all who share it."""

import pytest
from cases import ALGORITHMS, SECOND

from ratelimit import CorruptTable, FixedWindow, LeakyBucket, Quota, SlidingLog, SlidingWindow, Table, TokenBucket
from ratelimit._engine.constants import HEADER_OFFSET
from ratelimit._storage.metadata import QUOTAS
from ratelimit.testing import ManualClock


@pytest.fixture
def pair(clock):
    """Make two limiters on one table in this process, by a function of class and quota."""

    def make(cls, quota, **options):
        table = Table(max_keys=50)
        return [cls(quota, table=table, clock=clock, **options) for _ in range(2)]

    return make


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_all_processes_decide_by_the_new_quota(algorithm):
    """Every verb uses it from the next decision on, and spent requests are kept."""
    table, clock = Table(max_keys=50), ManualClock()
    one, other = (algorithm.make("10/minute", clock, table=table) for _ in range(2))
    for _ in range(4):
        one.hit("key")
    spent = one.peek("key").limit - one.peek("key").remaining
    other.change("6/minute")
    limit = 7 if algorithm.limiter is LeakyBucket else 6
    assert (one.peek("key").limit, one.peek("key").remaining) == (limit, limit - spent)
    assert one.quota == other.quota == Quota(6, 60)
    assert one.allow_many(["key"] * 10).sum() == limit - spent
    assert one.hit_many(["key"])["limit"][0] == limit
    assert not one.allow("key")
    assert not (one & other).allow("key")


@pytest.mark.parametrize("cls", [TokenBucket, FixedWindow, SlidingWindow])
@pytest.mark.parametrize(("counts", "remaining"), [("keep", 140), ("scale", 80), ("reset", 200)])
def test_counts_are_kept_scaled_or_reset(pair, cls, counts, remaining):
    """60 of 100 spent become 60 of 200, 120 of 200, or none."""
    one, other = pair(cls, "100/minute")
    one.hit("key", 60)
    other.change("200/minute", counts=counts)
    assert one.peek("key").remaining == remaining
    assert one.peek("fresh").remaining == 200


def test_reset_clears_the_counts_even_if_the_quota_is_the_same(algorithm):
    """Otherwise the same quota changes nothing."""
    limiter = algorithm.make("10/minute", ManualClock(), max_keys=50)
    full = limiter.hit("key", 4).remaining + 4
    limiter.change("10/minute")
    assert limiter.peek("key").remaining == full - 4
    limiter.change("10/minute", counts="reset")
    assert limiter.peek("key").remaining == full


@pytest.mark.parametrize("cls", [TokenBucket, FixedWindow, SlidingWindow])
def test_scaling_rounds_to_the_strict_side(pair, cls):
    one, _ = pair(cls, "100/minute")
    one.hit("key", 1)
    one.change("7/minute", counts="scale")
    assert one.peek("key").remaining == 6


def test_token_bucket_keeps_tokens_when_its_rate_changes(pair):
    """At half the rate, spent tokens take twice as long to come back."""
    one, _ = pair(TokenBucket, "60/minute")
    one.hit("key", 30)
    assert one.peek("key").reset_after == 30
    one.change(Quota(30, 60, burst=60))
    assert (one.peek("key").remaining, one.peek("key").reset_after) == (30, 60)


def test_the_previous_window_is_scaled_too(pair, clock):
    one, _ = pair(SlidingWindow, "100/minute")
    clock.advance(ns=60 * SECOND - clock.now_ns() % (60 * SECOND))
    one.hit("key", 100)
    clock.advance(60)
    one.change("10/minute", counts="scale")
    assert not one.allow("key")
    clock.advance(30)
    assert one.peek("key").remaining == 5


def test_rejects_another_period_and_more_than_a_logs_size(pair):
    """Nothing has changed then."""
    for cls, quota, message in [
        (FixedWindow, "10/hour", "expected the period"),
        (SlidingWindow, "10/hour", "expected the period"),
        (SlidingLog, "11/minute", "11/minute: expected a limit up to 10"),
        (FixedWindow, "ten a minute", "expected a single quota"),
    ]:
        one, _ = pair(cls, "10/minute")
        with pytest.raises(ValueError, match=message):
            one.change(quota)
        assert one.quota == Quota(10, 60)
    one, _ = pair(SlidingLog, "10/minute")
    with pytest.raises(ValueError, match="expected 'keep' or 'reset', got 'scale'"):
        one.change("5/minute", counts="scale")
    with pytest.raises(ValueError, match="counts: expected one of 'keep', 'scale', 'reset', got 'halve'"):
        one.change("5/minute", counts="halve")


def test_survives_more_changes_than_the_metadata_holds(pair):
    """The metadata has places for sixteen quotas; a process that missed more of them uses the latest."""
    sleeper, other = pair(TokenBucket, "1/minute")
    for limit in range(2, 3 * QUOTAS):
        other.change(Quota(limit, 60))
    assert sleeper.peek("key").limit == 3 * QUOTAS - 1


def test_if_changed_applies_the_quota_of_a_new_limiter(place):
    """With `raise`, a different quota is an error that names the remedy."""
    old = FixedWindow("100/day", table=place())
    old.hit("key", 50)
    with pytest.raises(ValueError, match=r"ratelimit table change .* 200/day.*if_changed='keep'"):
        FixedWindow("200/day", table=place(if_changed="raise"))
    assert old.peek("key").remaining == 50
    FixedWindow("200/day", table=place(if_changed="scale"))
    assert old.peek("key").remaining == 100
    FixedWindow("200/day", table=place(if_changed="reset"))  # which it has already: nothing happens
    assert old.peek("key").remaining == 100


def test_a_damaged_quota_is_an_error(tmp_path, clock):
    """A process that reads a damaged quota raises an error and decides nothing."""
    limiter = TokenBucket("1/minute", table=Table.open(tmp_path / "t", max_keys=10), clock=clock)
    limiter.change("2/minute")
    data = bytearray((tmp_path / "t").read_bytes())
    where = data.rindex((60 * SECOND).to_bytes(8, "little"), 0, HEADER_OFFSET)  # the period of the last quota
    data[where] ^= 1
    (tmp_path / "copy").write_bytes(data)
    with pytest.raises(CorruptTable, match=r"copy'\) is damaged: the checksum of its quota"):
        TokenBucket("2/minute", table=Table.open(tmp_path / "copy"), clock=clock)
