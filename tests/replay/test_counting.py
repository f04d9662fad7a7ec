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
def test_ids_are_given_in_order_of_appearance(keys, most, step):
    ids, known = KeyIds(most), {}
    expected = [known.setdefault(key, len(known)) if key in known or len(known) < most else most for key in keys]
    given = [ids.of(np.array(keys[i : i + step], np.uint64)) for i in range(0, len(keys), step)]
    assert [number for part in given for number in part] == expected
    assert ids.known().tolist() == list(known)


def test_ids_beyond_the_first_table():
    keys = np.random.default_rng(1).permutation(100_000).astype(np.uint64)
    ids = KeyIds()
    assert (ids.of(keys) == np.arange(100_000)).all()
    assert (ids.of(keys[::-1].copy()) == np.arange(100_000)[::-1]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones(4, np.int32), np.ones(6, np.int32), np.ones((5, 1), np.int32), np.ones(10, np.int32)[::2],
        np.ones(5, np.int64), np.ones(5, np.uint32), np.ones(5, np.float32), np.ones(5, ">i4"), [1] * 5, b"a" * 5,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}-{getattr(wrong, 'dtype', '')}-{np.shape(wrong)}",
)  # fmt: skip
def test_arrays_of_another_type_or_length_are_refused(wrong):
    """Beside moments and decisions of five requests; nothing beyond an array is read."""
    counts, times = SlidingCounts(10, 4), np.arange(5)
    with pytest.raises(TypeError, match=r"expected \d+ (un)?signed integers of \d bytes, one after another, got "):
        counts.admit(wrong, times, np.ones(5, bool))
    with pytest.raises(TypeError, match="times: expected 5 signed integers of 8 bytes"):
        counts.admit(np.ones(5, np.int32), times[:4], np.ones(5, bool))
    assert counts.largest == 0


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=200),
    st.integers(1, 20),
)
def test_largest_number_in_a_sliding_interval_equals_plain_counting(steps, period):
    """Beside a count over all moments, for each of them."""
    counts, now, kept = SlidingCounts(period, 4), 0, defaultdict(list)
    largest = 0
    for number, step, allowed in steps:
        now += step
        counts.admit(np.array([number], np.int32), np.array([now]), np.array([allowed], np.uint8))
        if allowed:
            kept[number].append(now)
            largest = max(largest, sum(now - period < moment <= now for moment in kept[number]))
    assert counts.largest == largest
    assert counts.left_out == 0
    if largest:
        mine = kept[counts.id]
        assert sum(counts.at - period < moment <= counts.at for moment in mine) == largest


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=200), st.integers(1, 20))
def test_keeps_the_largest_number_of_each_key(steps, period):
    ids, times = np.array([key for key, _ in steps], np.int32), np.cumsum([0, *(step for _, step in steps)])[1:]
    counts = SlidingCounts(period, 3_000, each=True)
    for half in np.array_split(np.arange(len(steps)), 2):
        counts.admit(ids[half], times[half].astype(np.int64), np.ones(len(half), np.uint8))
    for key in range(5):
        mine = times[ids == key]
        largest = max((int(np.count_nonzero((mine > at - period) & (mine <= at))) for at in mine), default=0)
        assert counts.peaks[key] == largest


def test_keys_that_share_an_id_are_not_counted_as_one():
    counts = SlidingCounts(1_000, 2)
    counts.admit(np.array([0, 2, 2, 2, 1, 0], np.int32), np.arange(6), np.ones(6, np.uint8))
    assert (counts.largest, counts.id) == (2, 0)


def test_sliding_intervals_are_exact_or_report_a_lack_of_memory():
    rng = np.random.default_rng(2)
    numbers, moments = rng.integers(0, 5_000, 60_000).astype(np.int32), np.sort(rng.integers(0, 10**6, 60_000))
    allowed = np.ones(60_000, np.uint8)
    counts, small = SlidingCounts(1_000, 5_000, max_times=4_096), SlidingCounts(100_000, 5_000, max_times=1_024)
    counts.admit(numbers, moments, allowed)
    small.admit(numbers, moments, allowed)
    largest = 0
    for number in range(5_000):
        mine = moments[numbers == number]
        largest = max(largest, int((np.arange(len(mine)) - np.searchsorted(mine, mine - 1_000, "right")).max()) + 1)
    assert (counts.largest, counts.left_out) == (largest, 0)
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
    histogram = DurationHistogram()
    histogram.add(np.array([*times, *[NEVER] * never], np.uint64))
    summary = histogram.summary()
    ordered = sorted(times)
    for share, said in ((0.5, summary.median), (0.9, summary.p90), (0.99, summary.p99)):
        exact = ordered[int(np.ceil(share * len(times))) - 1] / SECOND
        assert exact * (1 - 1e-9) <= said <= 1.045 * exact
    assert summary.largest == ordered[-1] / SECOND
    assert summary.mean == pytest.approx(sum(times) / len(times) / SECOND)
    assert (summary.count, summary.never) == (len(times) + never, never)
    assert sum(number for _, number in summary.steps) == len(times)


def test_jains_index_is_1_for_equal_shares_and_falls_with_inequality():
    assert jain(np.ones(10)) == 1
    assert jain(np.array([1.0, 0, 0, 0])) == 0.25
    assert jain(np.array([1.0, 1, 0, 0])) == 0.5
    assert jain(np.zeros(3)) == 1
