"""Wrong arguments: the error names the argument, its value and what is accepted, and nothing has changed.

In one file: each wrong value is tried on every verb.
"""

import asyncio
import re
from datetime import timedelta

import numpy as np
import pytest
from cases import ALGORITHMS, SECOND, START, Algorithm

from ratelimit import (
    All,
    FixedWindow,
    LeakyBucket,
    Limiter,
    Quota,
    SlidingLog,
    SlidingWindow,
    Table,
    TableFull,
    TokenBucket,
    parse,
)
from ratelimit.testing import ManualClock

NAN = float("nan")

COSTS = [
    (0, ValueError),
    (-1, ValueError),
    (-(2**80), ValueError),
    (1.0, TypeError),
    (NAN, TypeError),
    ("1", TypeError),
    (np.array([1]), TypeError),
    (np.uint64(0), ValueError),
]
MOMENTS = [
    (-1, ValueError),
    (2**62 - 1, ValueError),
    (2**64, ValueError),
    (1.5, TypeError),
    (NAN, TypeError),
    ("0", TypeError),
]
TIMES = [
    (-1, ValueError),
    (-1e-9, ValueError),
    (NAN, ValueError),
    (float("inf"), ValueError),
    ("1", TypeError),
    (True, TypeError),
]
QUOTAS = [
    ("x", ValueError),
    ("", ValueError),
    ("1__0/s", ValueError),
    ("10_/s", ValueError),
    ("-1/s", ValueError),
    (5, TypeError),
    (["1/s"], TypeError),
    (1.5, TypeError),
]

VERBS = [
    *(("hit", "cost", *case) for case in COSTS),
    *(("peek", "cost", *case) for case in COSTS),
    *(("reserve", "cost", *case) for case in COSTS),
    *(("refund", "cost", *case) for case in COSTS),
    *(("wait", "cost", *case) for case in COSTS),
    *(("take", "most", *case) for case in COSTS),
    *(("block", "seconds", *case) for case in TIMES),
    *(("hit", "now", *case) for case in MOMENTS),
    *(("peek", "now", *case) for case in MOMENTS),
    *(("reserve", "max_delay", *case) for case in TIMES),
    *(("wait", "timeout", *case) for case in TIMES),
]


def composite(quota, clock=None, **options):
    return TokenBucket(quota, clock=clock, **options) & FixedWindow(quota, clock=clock, **options)


def tables(limiter):
    return [part.slots().tobytes() for part in getattr(limiter, "limiters", [limiter])]


def in_a_loop(function):
    """Return a function that calls an asynchronous one."""

    async def call(*arguments, **named):
        return await function(*arguments, **named)

    return lambda *arguments, **named: asyncio.run(call(*arguments, **named))


@pytest.fixture(params=[*ALGORITHMS, Algorithm("composite", composite, None)], ids=repr)
def limiter(request, clock):
    """Return a limiter with one key in its table."""
    limiter = request.param.make("5/minute", clock, max_keys=8)
    limiter.hit("key", 2)
    return limiter


@pytest.mark.parametrize(("verb", "name", "value", "error"), VERBS)
def test_rejects_wrong_arguments_of_verbs(limiter, verb, name, value, error):
    before = tables(limiter)
    for key in ("key", "new"):
        for call in (getattr(limiter, verb), in_a_loop(getattr(limiter, f"{verb}_async"))):
            with pytest.raises(error, match=f"{name}: expected") as raised:
                call(key, **{name: value})
            assert repr(value) in str(raised.value)
    assert tables(limiter) == before


def test_rejects_infinite_timeouts(limiter):
    with pytest.raises(ValueError, match="timeout: expected finite seconds of zero or more, or a timedelta, got inf"):
        limiter.wait("key", timeout=float("inf"))


@pytest.mark.parametrize(("value", "error"), QUOTAS)
@pytest.mark.parametrize("verb", ["hit", "peek", "refund", "take", "block"])
def test_rejects_wrong_quotas_of_a_call(algorithm, verb, value, error):
    """The quota of a call is parsed like that of the limiter."""
    limiter = algorithm.make("5/minute", max_keys=8)
    before = limiter.slots().tobytes()
    given = {"take": [1], "block": [1]}.get(verb, [])
    with pytest.raises(error, match="quota.*" + re.escape(repr(value))):
        getattr(limiter, verb)("key", *given, quota=value)
    assert limiter.slots().tobytes() == before


@pytest.mark.parametrize("calendar", ["month in Mars/Olympus", "month in ", "fortnight in UTC", "month in ../UTC"])
@pytest.mark.parametrize("make", [FixedWindow, TokenBucket])
def test_rejects_zones_and_units_that_do_not_exist(make, calendar):
    """Neither a call, nor a change, nor a table is made with them."""
    window = make("5/minute")
    window.hit("key", 2)
    before = window.slots().tobytes()
    for attempt in (
        lambda: make(f"5/{calendar}"),
        lambda: Quota(5, calendar),
        lambda: parse(f"fixed-window 5/{calendar}"),
        lambda: window.hit("key", quota=f"5/{calendar}"),
        lambda: window.change(f"5/{calendar}"),
    ):
        with pytest.raises(ValueError, match=r"quota|zone|unit|limit"):
            attempt()
    assert window.slots().tobytes() == before
    assert window.quota == Quota(5, 60)


@pytest.mark.parametrize("period", [-60, timedelta(minutes=-1), 0, NAN, float("inf")])
def test_rejects_quotas_of_no_time(period):
    with pytest.raises(ValueError, match=r"^(period|quota)"):
        Quota(5, period)


@pytest.mark.parametrize("make", [FixedWindow, SlidingWindow, SlidingLog])
def test_rejects_another_period_for_one_call(make):
    """Windows and logs keep their period."""
    with pytest.raises(ValueError, match="quota 5/hour: expected the period of this limiter's windows, as in 5/minute"):
        make("5/minute").hit("key", quota="5/hour")


def test_rejects_a_quota_above_the_size_of_a_log():
    """A log has cells for its own limit."""
    with pytest.raises(ValueError, match="quota 6/minute: expected a limit up to 5, for which this log was made"):
        SlidingLog("5/minute").hit("key", quota="6/minute")


@pytest.mark.parametrize("actual", [(-1, ValueError), (1.0, TypeError), ("1", TypeError)])
def test_settle_rejects_invalid_costs(limiter, actual):
    """Zero is valid: then the whole cost is given back."""
    value, error = actual
    place = limiter.reserve("key")
    before = tables(limiter)
    with pytest.raises(error, match="actual_cost: expected") as raised:
        place.settle(value)
    assert repr(value) in str(raised.value)
    assert tables(limiter) == before
    remaining = limiter.peek("key").remaining
    place.settle(0)
    assert limiter.peek("key").remaining == remaining + 1


@pytest.mark.parametrize(
    ("name", "value", "error", "says"),
    [
        ("costs", [1, 1], ValueError, "3 keys, got shape"),
        ("costs", [], ValueError, "3 keys, got shape"),
        ("costs", [[1, 1, 1]], ValueError, "shape"),
        ("costs", [1, 0, 1], ValueError, "got 0 .at index 1"),
        ("costs", [1, 1, -5], ValueError, "got -5 .at index 2"),
        ("costs", -5, ValueError, "got -5"),
        ("costs", [1.0, 1.0, 1.0], TypeError, "float64"),
        ("costs", [1, NAN, 1], TypeError, "float64"),
        ("costs", ["1", "1", "1"], TypeError, "<U1"),
        ("costs", [True] * 3, TypeError, "bool"),
        ("costs", [None] * 3, TypeError, "object"),
        ("costs", [1, 2**64, True], TypeError, "object"),
        ("costs", [2**64, 1, -(2**64)], ValueError, "got -18446744073709551616 .at index 2"),
        ("costs", [2**63, 1, -1], ValueError, "got -1 .at index 2"),
        ("now", [START, START], ValueError, "3 keys, got shape"),
        ("now", [START, -1, START], ValueError, "got -1 .at index 1"),
        ("now", [START, START, 2**62], ValueError, "got 4611686018427387904 .at index 2"),
        ("now", -1, ValueError, "got -1"),
        ("now", [START, 2**70, START], ValueError, f"got {2**70} .at index 1"),
        ("now", 1.5, TypeError, "float64"),
        ("now", np.array(["2025-01-01"] * 3, "M8[ns]"), TypeError, "datetime64"),
    ],
)
@pytest.mark.parametrize("verb", ["allow_many", "hit_many"])
def test_wrong_argument_decides_no_request_of_a_batch(limiter, verb, name, value, error, says):
    before = tables(limiter)
    with pytest.raises(error, match=f"{name}: expected .*{says}"):
        getattr(limiter, verb)(["key", "new", "other"], **{name: value})
    assert tables(limiter) == before


BURSTS = [(0, ValueError), (-1, ValueError), (2**63, ValueError), (1.5, TypeError), (NAN, TypeError), ("5", TypeError)]
CAPACITIES = [(-1, ValueError), (2**63, ValueError), (0.0, TypeError), (NAN, TypeError), ("5", TypeError)]
SIZES = [(0, ValueError), (-1, ValueError), (1e6, TypeError), ("1", TypeError)]
TOO_LARGE = [2**60, 2**62, 2**64 // 24 + 2_000, 2**80]  # of which some, times 24, would wrap to a small number
CLOCKS = [5, "now", object(), lambda: 5, type("Clock", (), {"now_ns": 5})(), ManualClock]

CONSTRUCTORS = [
    *((make, {"quota": value}, error) for make in (TokenBucket, SlidingLog) for value, error in QUOTAS),
    *((TokenBucket, {"burst": value}, error) for value, error in BURSTS),
    *((LeakyBucket, {"capacity": value}, error) for value, error in CAPACITIES),
    *((FixedWindow, {"anchor": value}, ValueError) for value in ("", "last", None, 0)),
    *((TokenBucket, {"max_keys": value}, error) for value, error in SIZES),
    *((TokenBucket, {"max_keys": value}, ValueError) for value in TOO_LARGE),
    *((TokenBucket, {"on_full": value}, ValueError) for value in ("", "drop", None, 1, ["deny"])),
    *((TokenBucket, {"clock": value}, TypeError) for value in CLOCKS),
]


@pytest.mark.parametrize(("make", "arguments", "error"), CONSTRUCTORS)
def test_constructors_reject_wrong_arguments(make, arguments, error):
    (name,) = arguments
    with pytest.raises(error, match=rf"{name}\b") as raised:
        make(**{"quota": "5/minute"} | arguments)
    assert repr(arguments[name]) in str(raised.value)


@pytest.mark.parametrize("make", [TokenBucket, LeakyBucket, FixedWindow, SlidingWindow, SlidingLog])
def test_rejects_missing_unknown_and_surplus_arguments(make):
    for arguments, options in [
        ((), {}),
        (("5/minute",), {"brust": 5}),
        (("5/minute", 5, 5), {}),
        (("5/minute",), {"quota": "1/s"}),
    ]:
        with pytest.raises(TypeError, match=rf"{make.__name__}\(\) .*quota"):
            make(*arguments, **options)


def test_rejects_internal_arguments():
    choices = r"\(choose from quota, burst, max_keys, table, on_full, clock\)"
    with pytest.raises(TypeError, match=rf"TokenBucket\(\) got an unknown argument 'own' {choices}"):
        TokenBucket("5/minute", own=None)


def test_rejects_a_name_instead_of_a_table():
    with pytest.raises(TypeError, match="table: expected a Table, got 'myapp'"):
        TokenBucket("1/s", table="myapp")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"path": 5}, TypeError), ({"path": ""}, TypeError), ({"mode": "rw"}, ValueError), ({"mode": 0o1000}, ValueError)],
)
def test_rejects_wrong_names_and_modes_of_tables(arguments, error):
    (name,) = arguments
    with pytest.raises(error, match=f"{name}: expected .*{arguments[name]!r}"):
        Table.open(**{"path": "limits.tbl"} | arguments)


def test_base_class_cannot_be_constructed():
    """It is for isinstance and annotations."""
    with pytest.raises(TypeError, match="Limiter cannot be instantiated; use TokenBucket"):
        Limiter("5/minute")


@pytest.mark.parametrize(
    ("make", "quota"),
    [
        (TokenBucket, Quota(2, 60 * 60 * 24 * 365 * 100, burst=3)),
        (TokenBucket, Quota(1, 1, burst=2**63 - 1)),
        (TokenBucket, Quota(2**63 - 1, 1)),
        (LeakyBucket, Quota(2, 60 * 60 * 24 * 365 * 100)),
        (FixedWindow, Quota(2**63 - 1, 1)),
        (SlidingWindow, Quota(2**33, 86_400)),
        (SlidingLog, Quota(43_691, 1)),
    ],
)
def test_rejects_quotas_that_do_not_fit_a_slot(make, quota):
    """The constructor rejects them, so that no value wraps around."""
    with pytest.raises(ValueError, match="quota ") as raised:
        make(quota)
    assert str(quota) in str(raised.value)


def test_error_names_the_memory_that_is_not_available():
    with pytest.raises(MemoryError, match=r"max_keys=1099511627776 .* bytes of address space"):
        SlidingLog("40000/second", max_keys=2**40)


@pytest.mark.parametrize("reading", [-1, 2**62, 1.5, None, "now"])
def test_rejects_a_clock_with_invalid_readings(reading):
    """A reading is checked like any other timestamp."""
    clock = ManualClock()
    limiter = TokenBucket("5/minute", clock=clock)
    clock.now_ns = None  # the limiter has kept the method
    assert limiter.allow("key")
    clock = ManualClock()
    clock.now_ns = lambda: reading
    limiter = TokenBucket("5/minute", clock=clock)
    for call in (limiter.allow, limiter.hit, limiter.peek, limiter.reserve, lambda key: limiter.allow_many([key])):
        with pytest.raises((ValueError, TypeError), match=r"clock.now_ns\(\): expected .*nanoseconds") as raised:
            call("key")
        assert repr(reading) in str(raised.value)
    assert not limiter.slots()["tag"].tobytes().strip(b"\0")


def test_error_of_a_clock_is_raised_and_spends_nothing(clock):
    clock.now_ns = lambda: 1 // 0
    limiter = TokenBucket("5/minute", clock=clock)
    with pytest.raises(ZeroDivisionError):
        limiter.allow("key")
    assert not limiter.slots()["tag"].tobytes().strip(b"\0")


@pytest.mark.parametrize(("limiters", "error", "says"), [
    ((), ValueError, "from 1 to 16, got 0"),
    ((None,), TypeError, "got None"),
    (("5/minute",), TypeError, "got '5/minute'"),
])  # fmt: skip
def test_rejects_wrong_parts_of_a_composite(limiters, error, says):
    with pytest.raises(error, match=f"limiters: expected {'limiters, ' if error is TypeError else ''}{says}"):
        All(*limiters)


def test_composite_has_at_most_sixteen_parts(clock):
    parts = [TokenBucket("5/minute", clock=clock, max_keys=1) for _ in range(17)]
    assert len(All(*parts[:16]).limiters) == 16
    with pytest.raises(ValueError, match="limiters: expected from 1 to 16, got 17"):
        All(*parts[:16]) & parts[16]


def test_parts_of_a_composite_need_the_same_clock(clock):
    """Otherwise there is no common time to decide at."""
    with pytest.raises(ValueError, match="limiters: expected the same clock="):
        TokenBucket("5/minute", clock=clock) & FixedWindow("5/minute")


def test_and_rejects_other_types(clock):
    """A TypeError as from Python's own types."""
    limiter = TokenBucket("5/minute", clock=clock)
    for one in (limiter, limiter & limiter):
        with pytest.raises(TypeError, match="unsupported operand"):
            one & 5
        with pytest.raises(TypeError, match="unsupported operand"):
            "5/minute" & one


def test_full_table_stops_a_batch(algorithm, clock):
    """The requests before it are decided; the error names the position at which the batch stopped."""
    for verb in ("allow_many", "hit_many"):
        limiter = algorithm.make("2/second", clock, max_keys=2, on_full="raise")
        which = r"number 3 of the batch \(those before it are decided\)"
        with pytest.raises(TableFull, match=f"^no slot for {which}: every .*max_keys=2"):
            getattr(limiter, verb)(["a", "b", "a", "c", "a", "b"])
        limit = limiter.peek("a").limit
        assert [limiter.peek(key).remaining for key in "ab"] == [limit - 2, limit - 1]
        assert limiter.full_count == 1


def test_full_table_stops_a_batch_of_a_composite(clock):
    """The error is that of a single limiter, and the part that was not full spends nothing."""
    wide = TokenBucket("5/minute", clock=clock)
    both = wide & FixedWindow("5/minute", clock=clock, max_keys=1, on_full="raise")
    with pytest.raises(TableFull, match=r"^no slot for number 1 of the batch"):
        both.allow_many(["a", "b", "a"])
    assert [wide.peek(key).remaining for key in "ab"] == [4, 5]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"now_ns": 1.5}, TypeError),
        ({"now_ns": "0"}, TypeError),
        ({"now_ns": -1}, ValueError),
        ({"now_ns": 2**62}, ValueError),
    ],
)
def test_manual_clock_rejects_invalid_times(arguments, error):
    with pytest.raises(error, match=r"now_ns: expected .* got ") as raised:
        ManualClock(**arguments)
    assert repr(arguments["now_ns"]) in str(raised.value)


@pytest.mark.parametrize("arguments", [{"seconds": -1}, {"seconds": NAN}, {"seconds": float("inf")}, {"ns": -1}])
def test_manual_clock_rejects_negative_and_infinite_steps(arguments):
    clock = ManualClock(SECOND)
    with pytest.raises(ValueError, match="advance: expected finite times of zero or more"):
        clock.advance(**arguments)
    assert clock.now_ns() == SECOND
