"""The counts of a replay, compared with plain counting."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.replay._counting import KeyIds, SlidingCounts
from ratelimit.replay.measures import BINS, NEVER, DurationHistogram, Timeline, jain

SECOND = 10**9


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20)), st.integers(1, 30), st.integers(1, 7))
def test_numbers_are_given_in_order_of_appearance(keys, most, step):
    numbers, known = KeyIds(most), {}
    expected = [known.setdefault(key, len(known)) if key in known or len(known) < most else most for key in keys]
    given = [numbers.of(np.array(keys[i : i + step], np.uint64)) for i in range(0, len(keys), step)]
    assert [number for part in given for number in part] == expected
    assert numbers.known().tolist() == list(known)


def test_numbers_beyond_the_first_table():
    keys = np.random.default_rng(1).permutation(100_000).astype(np.uint64)
    numbers = KeyIds()
    assert (numbers.of(keys) == np.arange(100_000)).all()
    assert (numbers.of(keys[::-1].copy()) == np.arange(100_000)[::-1]).all()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=200),
    st.integers(1, 20),
)
def test_largest_number_in_a_sliding_interval_equals_plain_counting(steps, period):
    views, now, kept = SlidingCounts(period, 4), 0, defaultdict(list)
    largest = 0
    for number, step, allowed in steps:
        now += step
        views.admit(np.array([number], np.int32), np.array([now]), np.array([allowed], np.uint8))
        if allowed:
            kept[number].append(now)
            largest = max(largest, sum(now - period < moment <= now for moment in kept[number]))
    assert views.largest == largest
    assert views.left_out == 0
    if largest:
        mine = kept[views.number]
        assert sum(views.at - period < moment <= views.at for moment in mine) == largest


def test_keys_that_share_a_number_are_not_counted_as_one():
    views = SlidingCounts(1_000, 2)
    views.admit(np.array([0, 2, 2, 2, 1, 0], np.int32), np.arange(6), np.ones(6, np.uint8))
    assert (views.largest, views.number) == (2, 0)


def test_sliding_intervals_are_exact_or_report_a_lack_of_memory():
    rng = np.random.default_rng(2)
    numbers, moments = rng.integers(0, 5_000, 60_000).astype(np.int32), np.sort(rng.integers(0, 10**6, 60_000))
    allowed = np.ones(60_000, np.uint8)
    views, small = SlidingCounts(1_000, 5_000, most=4_096), SlidingCounts(100_000, 5_000, most=1_024)
    views.admit(numbers, moments, allowed)
    small.admit(numbers, moments, allowed)
    largest = 0
    for number in range(5_000):
        mine = moments[numbers == number]
        largest = max(largest, int((np.arange(len(mine)) - np.searchsorted(mine, mine - 1_000, "right")).max()) + 1)
    assert (views.largest, views.left_out) == (largest, 0)
    assert small.left_out > 0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.booleans()), min_size=1), st.integers(1, 5))
def test_a_timeline_counts_every_moment(found, parts):
    moments = np.array([at for at, _ in found]) * 86_400 * SECOND // 24  # up to a century
    timeline = Timeline(2)
    for part, who in zip(np.array_split(moments, parts), np.array_split([yes for _, yes in found], parts), strict=True):
        if len(part):
            timeline.cover(int(part.min()), int(part.max()))
            timeline.add(0, part)
            timeline.add(1, part[who])
    width = timeline.width_ns
    bins = Counter((moments // width - timeline.start).tolist())
    assert timeline.counts[0].tolist() == [bins[i] for i in range(timeline.counts.shape[1])]
    assert timeline.counts[1].sum() == sum(yes for _, yes in found)
    assert timeline.counts.shape[1] <= BINS


@given(st.lists(st.integers(0, 2**61), min_size=1), st.integers(0, 3))
def test_quantiles_of_times_are_at_most_a_twentieth_too_large(times, never):
    spread = DurationHistogram()
    spread.add(np.array([*times, *[NEVER] * never], np.uint64))
    spread = spread.spread()
    ordered = sorted(times)
    for share, said in ((0.5, spread.median), (0.9, spread.p90), (0.99, spread.p99)):
        exact = ordered[int(np.ceil(share * len(times))) - 1] / SECOND
        assert exact * (1 - 1e-9) <= said <= 1.045 * exact
    assert spread.largest == ordered[-1] / SECOND
    assert spread.mean == pytest.approx(sum(times) / len(times) / SECOND)
    assert (spread.count, spread.never) == (len(times) + never, never)
    assert sum(number for _, number in spread.steps) == len(times)


def test_jains_index():
    assert jain(np.ones(10)) == 1
    assert jain(np.array([1.0, 0, 0, 0])) == 0.25
    assert jain(np.array([1.0, 1, 0, 0])) == 0.5
    assert jain(np.zeros(3)) == 1
