"""Replay from arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.replay import Limit, arrays, engine, replay, replay_log
from ratelimit.replay.batch import Batch
from ratelimit.replay.limits import memory_ns

SECOND = 10**9
START = 1_700_000_000 * SECOND
LIMITS = [
    "token-bucket 5/minute burst 3", "leaky-bucket 5/minute capacity 2", "fixed-window 5/minute",
    "fixed-window 5/minute anchor first", "sliding-window 5/minute", "sliding-log 5/minute",
    "fixed-window 5/10s; fixed-window 20/minute",
]  # fmt: skip


def dates(*texts):
    return np.array(texts, "datetime64[D]")


def traffic(size=5_000, keys=40, seconds=600):
    rng = np.random.default_rng(3)
    return START + np.sort(rng.integers(0, seconds * SECOND, size)), rng.integers(0, keys, size)


@pytest.mark.parametrize("limit", LIMITS)
def test_decisions_equal_single_calls_of_the_limiter(limit):
    times, keys = traffic()
    limiter = Limit.parse(limit).make(1_000)
    decisions = [limiter.hit(int(key), now=int(now)) for key, now in zip(keys, times, strict=True)]
    allowed = np.array([decision.allowed for decision in decisions])
    outcome = replay(times, keys, limit, keep=True).outcomes[0]
    assert (outcome.allowed == allowed).all()
    assert (outcome.admitted, outcome.refused) == (allowed.sum(), (~allowed).sum())
    waits = [decision.retry_after for decision in decisions if not decision]
    assert outcome.waits.mean == pytest.approx(np.mean(waits))
    assert outcome.waits.largest == max(waits)
    if outcome.delays:
        delays = [decision.delay for decision in decisions if decision]
        assert outcome.delays.mean == pytest.approx(np.mean(delays))
        assert outcome.delays.largest == max(delays)


@pytest.mark.parametrize("limit", LIMITS)
def test_counts_requests_and_refusals_of_each_key(limit):
    times, keys = traffic()
    report = replay(times, keys, limit, keep=True)
    outcome = report.outcomes[0]
    requests, refused = np.bincount(keys), np.bincount(keys[~outcome.allowed], minlength=40)
    assert report.keys == 40
    assert outcome.keys_refused == np.count_nonzero(refused)
    assert {(int(key.key), key.requests, key.refused) for key in outcome.top} <= set(
        zip(range(40), requests.tolist(), refused.tolist(), strict=True)
    )
    assert [key.refused for key in outcome.top] == sorted(refused.tolist(), reverse=True)[:10]
    admitted = 1 - refused / requests
    assert outcome.fairness == pytest.approx(admitted.sum() ** 2 / (40 * (admitted**2).sum()))
    assert sum(keys for _, keys in outcome.keys_by_share) == 40
    assert sum(report.requests_over_time) == 5_000
    assert sum(outcome.refused_over_time) == outcome.refused


@pytest.mark.parametrize("limit", LIMITS)
def test_largest_number_in_a_period_is_within_the_proved_bound(limit):
    times, keys = traffic()
    outcome = replay(times, keys, limit, keep=True).outcomes[0]
    for largest in outcome.largest:
        most, period = 0, round(largest.period * SECOND)
        for key in range(40):
            mine = times[(keys == key) & outcome.allowed]
            most = max(most, int((np.arange(len(mine)) - np.searchsorted(mine, mine - period, "right")).max()) + 1)
        assert largest.admitted == most <= largest.most


def test_fixed_window_admits_a_burst_at_the_boundary():
    """Ten at the end of a window and ten at the start of the next are admitted: twice the limit."""
    boundary = START // (60 * SECOND) * 60 * SECOND + 60 * SECOND
    times = boundary + np.arange(-10, 10) * SECOND
    report = replay(times, np.zeros(20, int), ["fixed-window 10/minute", "sliding-log 10/minute"])
    fixed, exact = (outcome.largest[0] for outcome in report.outcomes)
    assert (fixed.admitted, fixed.most, fixed.boundary_burst) == (20, 20, True)
    assert (exact.admitted, exact.most, exact.boundary_burst) == (10, 10, False)


@given(st.data())
def test_result_does_not_depend_on_the_size_of_chunks(data):
    times, keys = traffic(300, 5, 60)
    whole = replay(times, keys, LIMITS, keep=True)
    cuts = sorted(data.draw(st.lists(st.integers(0, 300), max_size=5)))
    numbers = keys.astype(np.int32)
    trial = engine.Engine(LIMITS, max_keys=lambda limit: 5, keep=True)
    trial.run(
        Batch(times[a:b], keys[a:b].astype(np.uint64), numbers[a:b])
        for a, b in zip([0, *cuts], [*cuts, 300], strict=True)
    )
    parts = trial.report(str, 5, 5)
    for one, other in zip(whole.outcomes, parts.outcomes, strict=True):
        assert (one.allowed == other.allowed).all()
        assert (one.refused, one.waits, one.delays) == (other.refused, other.waits, other.delays)
        assert [a.admitted for a in one.largest] == [b.admitted for b in other.largest]
    assert whole.requests_over_time == parts.requests_over_time


def test_accepts_str_bytes_and_integer_keys_and_dates():
    times, keys = traffic(500)
    same = [
        replay(when, who, "token-bucket 5/minute burst 3", keep=True).outcomes[0]
        for when in (times, times.astype("datetime64[ns]"))
        for who in (keys, keys - 20, keys.astype(str), keys.astype("S"), keys.tolist(), [f"key {key}" for key in keys])
    ]
    assert all((outcome.allowed == same[0].allowed).all() for outcome in same)
    assert same[5].top[0].key == f"key {same[0].top[0].key}"
    assert same[1].top[0].key == str(int(same[0].top[0].key) - 20)


@pytest.mark.parametrize("limit", [*LIMITS, "token-bucket 7/second burst 1", "leaky-bucket 3/second capacity 0"])
def test_key_is_released_when_its_state_is_fresh(limit):
    """It is not released before, so that the table has room for all live keys."""
    chosen = Limit.parse(limit)
    limiter = chosen.make(1)
    for _ in range(100):
        limiter.hit("key", now=START)
    memory = max(map(memory_ns, chosen.parts))
    assert limiter.peek("key", now=START + memory).reset_after_ns == 0
    longest = max(limiter.limiters, key=lambda one: one.quota.period_ns) if len(chosen.parts) > 1 else limiter
    assert longest.peek("key", now=START + memory // 3).reset_after_ns > 0


@given(st.lists(st.integers(0, 200), max_size=60), st.integers(1, 100), st.integers(1, 8))
def test_busiest_interval_is_the_maximum(times, span, step):
    times = np.sort(np.array(times, np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "STEP", step)
        most = engine.busiest(times, span)
    there = max((int(np.count_nonzero((times >= at) & (times <= at + span))) for at in times), default=0)
    assert there <= most <= there + 2 * step + len(times) * (step > 1)
    assert step > 1 or most == there


def test_size_of_the_table_changes_no_decision(monkeypatch):
    times, keys = traffic(20_000, 20_000, 36_000)
    rooms = [engine.keys_needed(Limit.parse(limit), 20_000, times) for limit in LIMITS]
    assert max(rooms) < 5_000
    small = replay(times, keys, LIMITS, keep=True)
    monkeypatch.setattr(arrays, "keys_needed", lambda limit, distinct, times: distinct)
    for one, other in zip(small.outcomes, replay(times, keys, LIMITS, keep=True).outcomes, strict=True):
        assert (one.allowed == other.allowed).all()


def test_requests_are_decided_by_time_and_returned_in_the_given_order():
    times, keys = traffic(1_000)
    shuffled = np.random.default_rng(4).permutation(1_000)
    whole = replay(times, keys, "sliding-log 5/minute", keep=True).outcomes[0]
    mixed = replay(times[shuffled], keys[shuffled], "sliding-log 5/minute", keep=True).outcomes[0]
    assert (mixed.allowed == whole.allowed[shuffled]).all()


def test_uncounted_keys_share_a_count_but_are_decided_separately():
    times, keys = traffic(2_000, 100)
    whole = replay(times, keys, "token-bucket 5/minute burst 3", keep=True)
    bounded = replay(times, keys, "token-bucket 5/minute burst 3", keep=True, counted_keys=10)
    assert (whole.outcomes[0].allowed == bounded.outcomes[0].allowed).all()
    assert (bounded.keys, bounded.counted_keys) == (100, 10)


def test_interruption_reports_the_results_so_far():
    def interrupt(decided):
        raise KeyboardInterrupt

    times, keys = traffic()
    report = replay(times, keys, "token-bucket 5/minute", progress=interrupt)
    assert not report.complete
    assert report.outcomes[0].requests == 5_000


def test_a_full_table_is_an_error():
    times, keys = traffic(100, 100, 1)
    trial = engine.Engine("token-bucket 5/minute", max_keys=lambda limit: 10)
    with pytest.raises(engine.NoRoom, match="token-bucket 5/minute: more keys are live at once"):
        trial.run([Batch(times, keys.astype(np.uint64), keys.astype(np.int32))])


def test_replays_no_requests():
    report = replay([], [], LIMITS, keep=True)
    assert report.requests == 0
    assert all(outcome.allowed.tolist() == [] for outcome in report.outcomes)


@pytest.mark.parametrize(
    ("times", "keys", "limits", "error", "text"),
    [
        ([1.5], [1], "token-bucket 1/s", TypeError, "times: expected .* integer nanoseconds"),
        ([-1], [1], "token-bucket 1/s", ValueError, r"times: expected from 0 .* got -1 \(at index 0\)"),
        ([[1]], [1], "token-bucket 1/s", TypeError, "times: expected a one-dimensional"),
        ([1], [1, 2], "token-bucket 1/s", ValueError, "keys: expected as many as there are times, 1, got 2"),
        ([1], [1.5], "token-bucket 1/s", TypeError, "keys: expected integers, bytes or str"),
        ([1], "a", "token-bucket 1/s", TypeError, "keys: expected an array"),
        ([1], [1], [], ValueError, "limits: expected at least one"),
        ([1], [1], "nonsense", ValueError, "limit 'nonsense', character 1: unknown algorithm"),
        ([1], [1], 5, TypeError, "limits: expected texts such as .* or Limit, got 5"),
        ([1], [1], [None], TypeError, "limits: expected texts such as .* or Limit, got None"),
        (dates("1900-01-01"), [1], "token-bucket 1/s", ValueError, r"got 1900-01-01 \(at index 0\)"),
        (dates("2116-03-01"), [1], "token-bucket 1/s", ValueError, r"to 2116-02-20T\S*, got 2116-03-01 \(at index 0\)"),
        (dates("2020-01-01", "5000-01-01"), [1, 1], "token-bucket 1/s", ValueError, r"got 5000-01-01 \(at index 1\)"),
        (dates("2020-01-01", "NaT"), [1, 1], "token-bucket 1/s", ValueError, r"got NaT \(at index 1\)"),
        ([1, 2], ["a", 1], "token-bucket 1/s", TypeError, "keys: expected .* all of one kind, got int, str"),
        ([1, 2], ["a", None], "token-bucket 1/s", TypeError, "keys: expected .* all of one kind, got NoneType, str"),
        (
            [1, 2],
            [1, float("nan")],
            "token-bucket 1/s",
            TypeError,
            "keys: expected .* all of one kind, got float, int",
        ),
        ([1, 2], [1, True], "token-bucket 1/s", TypeError, "keys: expected .* all of one kind, got bool, int"),
        ([1, 2], [-1, 2**63], "token-bucket 1/s", ValueError, "keys: expected integers of 64 bits"),
        (
            [1, 2],
            np.ones((2, 2), int),
            "token-bucket 1/s",
            TypeError,
            r"keys: expected a one-dimensional array, got one of shape \(2, 2\)",
        ),
    ],
)
def test_rejects_bad_arguments(times, keys, limits, error, text):
    with pytest.raises(error, match=text):
        replay(times, keys, limits)


@pytest.mark.parametrize(
    ("argument", "value", "error", "text"),
    [
        ("counted_keys", -1, ValueError, "counted_keys: expected a whole number from 0"),
        ("counted_keys", 1.5, TypeError, "counted_keys: expected a whole number from 0"),
        ("format", "xml", ValueError, r"unknown format 'xml' \(choose from common, json, csv"),
        ("key", None, TypeError, "key: expected text such as 'client' or 'client/64', got None"),
        ("logs", [], TypeError, r"logs: expected a path .* got \[\]"),
        ("logs", 3, TypeError, "logs: expected a path .* got 3"),
    ],
)
def test_rejects_bad_arguments_with_logs(argument, value, error, text, tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("time,client\n1,a\n")
    with pytest.raises(error, match=text):
        replay_log(**{"logs": log, "limits": "token-bucket 1/s", argument: value})


class Column:
    """As a table of another library has it: good for an array, and neither array nor list."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype or object)


@pytest.mark.parametrize(
    "keys",
    [
        np.array(["a", "b", "a"], object),
        Column(["a", "b", "a"]),
        np.array([b"a", b"b", b"a"], object),
        np.array([7, 8, 7], object),
        range(3),
        np.array([2**63, 2**63 + 1, 2**63], np.uint64),
        [np.int64(5), 6, np.uint8(5)],
        np.array([3, 4, 3], ">i4"),
    ],
)
def test_accepts_keys_as_notebooks_have_them(keys):
    report = replay([1, 2, 3], keys, "sliding-log 1/minute", keep=True)
    listed = [key.decode() if isinstance(key, bytes) else str(key) for key in np.asarray(keys).tolist()]
    outcome = report.outcomes[0]
    assert outcome.allowed.tolist() == [True, True, len(set(listed)) == 3]
    assert {key.key for key in outcome.top} == ({listed[0]} if outcome.refused else set())


def test_accepts_dates_of_every_unit():
    for unit in ("D", "h", "m", "s", "ms", "us", "ns"):
        report = replay(
            dates("2020-02-29", "2116-02-20", "1970-01-01").astype(f"datetime64[{unit}]"), [1, 1, 1], LIMITS
        )
        assert (report.first_ns, report.last_ns) == (
            0,
            int(dates("2116-02-20").astype("datetime64[ns]").astype(int)[0]),
        )


# --- limits as text


@pytest.mark.parametrize(
    ("text", "canonical", "made"),
    [
        ("token-bucket 10/second burst 20", "token-bucket 10/second burst 20", "TokenBucket('10/second', burst=20)"),
        ("TokenBucket 10 per 2 hours", "token-bucket 10/2h", "TokenBucket('10/2h')"),
        ("leaky bucket 10/s burst 0", "leaky-bucket 10/second capacity 0", "LeakyBucket('10/second', capacity=0)"),
        (
            "fixed_window 5/m anchor first",
            "fixed-window 5/minute anchor first",
            "FixedWindow('5/minute', anchor='first')",
        ),
        (
            "fixed-window 10/s; 1000/hour; sliding-log 3/millisecond",
            "fixed-window 10/second; token-bucket 1000/hour; sliding-log 3/millisecond",
            "FixedWindow('10/second') & TokenBucket('1000/hour') & SlidingLog('3/millisecond')",
        ),
    ],
)
def test_parses_a_limit(text, canonical, made):
    limit = Limit.parse(text)
    assert str(limit) == canonical
    assert Limit.parse(str(limit)) == limit
    assert repr(limit.make(10)) == made


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10 second", "expected a quota"),
        ("token-bucket", "expected a quota"),
        ("token-bucket 10/second burst", "expected a whole number after burst"),
        ("token-bucket 10/second burst many", "expected a whole number after burst, got 'many'"),
        ("token-bucket 10/second burst 0", "burst: expected a whole number from 1"),
        ("fixed-window 10/second burst 3", r"unknown option of fixed-window 'burst' \(choose from anchor\)"),
        ("sliding-log 10/second burst 3", "sliding-log has no options"),
        ("fixed-window 10/second anchor second", "anchor: expected 'epoch' or 'first'"),
        ("token-bucket 10/fortnight", "unknown unit 'fortnight'"),
        ("sliding-log 1000000/s", "43690"),
    ],
)
def test_rejects_malformed_limits(text, message):
    with pytest.raises(ValueError, match=message):
        Limit.parse(text)
