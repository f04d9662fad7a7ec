"""Wrong arguments: the error names the argument, its value and what is accepted, and nothing has changed."""

import re

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
    ("0/s", ValueError),
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
    *(("hit", "now", *case) for case in MOMENTS),
    *(("peek", "now", *case) for case in MOMENTS),
    *(("reserve", "max_delay", *case) for case in TIMES),
    *(("wait", "timeout", *case) for case in TIMES),
]


def composite(quota, clock=None, **options):
    return TokenBucket(quota, clock=clock, **options) & FixedWindow(quota, clock=clock, **options)


def tables(limiter):
    return [part.table.tobytes() for part in getattr(limiter, "limiters", [limiter])]


@pytest.fixture(params=[*ALGORITHMS, Algorithm("composite", composite, None)], ids=repr)
def limiter(request, clock):
    """With one key that is known."""
    limiter = request.param.make("5/minute", clock, max_keys=8)
    limiter.hit("key", 2)
    return limiter


@pytest.mark.parametrize(("verb", "name", "value", "error"), VERBS)
def test_arguments_of_verbs(limiter, verb, name, value, error):
    """Costs, moments and times."""
    before = tables(limiter)
    for key in ("key", "new"):
        with pytest.raises(error, match=f"{name} must be") as raised:
            getattr(limiter, verb)(key, **{name: value})
        assert repr(value) in str(raised.value)
    assert tables(limiter) == before


def test_whoever_would_wait_for_ever_is_told_that_times_are_finite(limiter):
    with pytest.raises(ValueError, match="timeout must be finite seconds of zero or more, or a timedelta, not inf"):
        limiter.wait("key", timeout=float("inf"))


@pytest.mark.parametrize(("value", "error"), QUOTAS)
@pytest.mark.parametrize("verb", ["hit", "peek"])
def test_quota_of_a_call(algorithm, verb, value, error):
    """It is read as the limiter's own."""
    limiter = algorithm.make("5/minute", max_keys=8)
    before = limiter.slots().tobytes()
    with pytest.raises(
        error, match="limit must be .* not 0" if value == "0/s" else "quota .*" + re.escape(repr(value))
    ):
        getattr(limiter, verb)("key", quota=value)
    assert limiter.slots().tobytes() == before


@pytest.mark.parametrize("make", [FixedWindow, SlidingWindow, SlidingLog])
def test_quota_of_a_call_with_another_period(make):
    """Windows and logs keep theirs."""
    with pytest.raises(ValueError, match="quota 5/hour must have the period of this limiter's windows, as 5/minute"):
        make("5/minute").hit("key", quota="5/hour")


def test_quota_of_a_call_above_a_logs_room():
    """A log has cells for its own limit."""
    with pytest.raises(ValueError, match="quota 6/minute: this log has room for 5 requests per key, not 6"):
        SlidingLog("5/minute").hit("key", quota="6/minute")


@pytest.mark.parametrize("actual", [(-1, ValueError), (1.0, TypeError), ("1", TypeError)])
def test_settling_to_what_is_no_cost(limiter, actual):
    """Zero is one: then all is given back."""
    value, error = actual
    place = limiter.reserve("key")
    before = tables(limiter)
    with pytest.raises(error, match="actual_cost must be") as raised:
        place.settle(value)
    assert repr(value) in str(raised.value)
    assert tables(limiter) == before
    remaining = limiter.peek("key").remaining
    place.settle(0)
    assert limiter.peek("key").remaining == remaining + 1


@pytest.mark.parametrize(
    ("name", "value", "error", "says"),
    [
        ("costs", [1, 1], ValueError, "3, not of shape"),
        ("costs", [], ValueError, "3, not of shape"),
        ("costs", [[1, 1, 1]], ValueError, "shape"),
        ("costs", [1, 0, 1], ValueError, "not 0 .at index 1"),
        ("costs", [1, 1, -5], ValueError, "not -5 .at index 2"),
        ("costs", -5, ValueError, "not -5"),
        ("costs", [1.0, 1.0, 1.0], TypeError, "float64"),
        ("costs", [1, NAN, 1], TypeError, "float64"),
        ("costs", ["1", "1", "1"], TypeError, "<U1"),
        ("costs", [True] * 3, TypeError, "bool"),
        ("costs", [None] * 3, TypeError, "object"),
        ("costs", [1, 2**64, True], TypeError, "object"),
        ("costs", [2**64, 1, -(2**64)], ValueError, "not -18446744073709551616 .at index 2"),
        ("costs", [2**63, 1, -1], ValueError, "not -1 .at index 2"),
        ("now", [START, START], ValueError, "3, not of shape"),
        ("now", [START, -1, START], ValueError, "not -1 .at index 1"),
        ("now", [START, START, 2**62], ValueError, "not 4611686018427387904 .at index 2"),
        ("now", -1, ValueError, "not -1"),
        ("now", [START, 2**70, START], ValueError, f"not {2**70} .at index 1"),
        ("now", 1.5, TypeError, "float64"),
        ("now", np.array(["2025-01-01"] * 3, "M8[ns]"), TypeError, "datetime64"),
    ],
)
@pytest.mark.parametrize("verb", ["allow_many", "hit_many"])
def test_batches(limiter, verb, name, value, error, says):
    """Nothing of a batch is decided when a part of it is wrong."""
    before = tables(limiter)
    with pytest.raises(error, match=f"{name} must be .*{says}"):
        getattr(limiter, verb)(["key", "new", "other"], **{name: value})
    assert tables(limiter) == before


BURSTS = [(0, ValueError), (-1, ValueError), (2**63, ValueError), (1.5, TypeError), (NAN, TypeError), ("5", TypeError)]
CAPACITIES = [(-1, ValueError), (2**63, ValueError), (0.0, TypeError), (NAN, TypeError), ("5", TypeError)]
SIZES = [(0, ValueError), (-1, ValueError), (1e6, TypeError), ("1", TypeError)]
TOO_LARGE = [2**60, 2**62, 2**64 // 24 + 2_000, 2**80]  # of which some, times 24, would wrap to a small number
CLOCKS = [5, "now", object(), lambda: 5, type("Clock", (), {"now_ns": 5})(), ManualClock]

CONSTRUCTORS = [
    *(
        (make, {"quota": value}, error)
        for make in (TokenBucket, SlidingLog)
        for value, error in QUOTAS
        if value != "0/s"
    ),
    *((TokenBucket, {"burst": value}, error) for value, error in BURSTS),
    *((LeakyBucket, {"capacity": value}, error) for value, error in CAPACITIES),
    *((FixedWindow, {"anchor": value}, ValueError) for value in ("", "last", None, 0)),
    *((TokenBucket, {"max_keys": value}, error) for value, error in SIZES),
    *((TokenBucket, {"max_keys": value}, ValueError) for value in TOO_LARGE),
    *((TokenBucket, {"on_full": value}, ValueError) for value in ("", "drop", None, 1, ["deny"])),
    *((TokenBucket, {"clock": value}, TypeError) for value in CLOCKS),
]


@pytest.mark.parametrize(("make", "arguments", "error"), CONSTRUCTORS)
def test_constructors(make, arguments, error):
    """No limiter is made."""
    (name,) = arguments
    with pytest.raises(error, match=f"{name} ") as raised:
        make(**{"quota": "5/minute"} | arguments)
    assert repr(arguments[name]) in str(raised.value)


@pytest.mark.parametrize("make", [TokenBucket, LeakyBucket, FixedWindow, SlidingWindow, SlidingLog])
def test_arguments_that_there_are_not(make):
    """Missing, unknown, too many."""
    for arguments, options in [
        ((), {}),
        (("5/minute",), {"brust": 5}),
        (("5/minute", 5, 5), {}),
        (("5/minute",), {"quota": "1/s"}),
    ]:
        with pytest.raises(TypeError, match=rf"{make.__name__}\(\) .*quota"):
            make(*arguments, **options)


def test_no_argument_of_the_inside_is_open():
    """What the limiter tells its own functions."""
    with pytest.raises(TypeError, match=r"TokenBucket\(\) has no argument 'own'; it accepts quota, burst"):
        TokenBucket("5/minute", own=None)


@pytest.mark.parametrize("quota", ["1/s", "1/s; 2/m"])
def test_a_table_is_none_by_its_name(quota):
    """Also where there are several."""
    with pytest.raises(TypeError, match="table must be a Table, not 'myapp'"):
        TokenBucket(quota, table="myapp")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"path": 5}, TypeError), ({"path": ""}, TypeError), ({"mode": "rw"}, ValueError), ({"mode": 0o1000}, ValueError)],
)
def test_where_a_table_is(arguments, error):
    """The name of a file, and permissions."""
    (name,) = arguments
    with pytest.raises(error, match=f"{name} must be .*{arguments[name]!r}"):
        Table.open(**{"path": "limits.tbl"} | arguments)


def test_the_base_class_is_no_limiter():
    """It is for isinstance and annotations."""
    with pytest.raises(TypeError, match="Limiter is what the algorithms share; use TokenBucket"):
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
def test_sizes_that_do_not_fit(make, quota):
    """Are refused when the limiter is made; nothing wraps around."""
    with pytest.raises(ValueError, match="quota ") as raised:
        make(quota)
    assert str(quota) in str(raised.value)


def test_memory_that_is_not_there():
    """Names what it was for."""
    with pytest.raises(MemoryError, match=r"max_keys=1099511627776 .* bytes of address space"):
        SlidingLog("40000/second", max_keys=2**40)


@pytest.mark.parametrize("reading", [-1, 2**62, 1.5, None, "now"])
def test_a_clock_that_tells_no_time(reading):
    """Its reading is checked like any other moment."""
    clock = ManualClock()
    limiter = TokenBucket("5/minute", clock=clock)
    clock.now_ns = None  # the limiter has kept the method
    assert limiter.allow("key")
    clock = ManualClock()
    clock.now_ns = lambda: reading
    limiter = TokenBucket("5/minute", clock=clock)
    for call in (limiter.allow, limiter.hit, limiter.peek, limiter.reserve, lambda key: limiter.allow_many([key])):
        with pytest.raises((ValueError, TypeError), match=r"clock.now_ns\(\) must be .*nanoseconds") as raised:
            call("key")
        assert repr(reading) in str(raised.value)
    assert not limiter.slots()["tag"].tobytes().strip(b"\0")


def test_a_clock_that_fails(clock):
    """Its error comes through, and nothing is spent."""
    clock.now_ns = lambda: 1 // 0
    limiter = TokenBucket("5/minute", clock=clock)
    with pytest.raises(ZeroDivisionError):
        limiter.allow("key")
    assert not limiter.slots()["tag"].tobytes().strip(b"\0")


@pytest.mark.parametrize(("limiters", "error", "says"), [
    ((), ValueError, "from 1 to 16, not 0"),
    ((None,), TypeError, "not None"),
    (("5/minute",), TypeError, "not '5/minute'"),
])  # fmt: skip
def test_composites(limiters, error, says):
    """Of limiters, up to 16."""
    with pytest.raises(error, match=f"limiters must be {'limiters, ' if error is TypeError else ''}{says}"):
        All(*limiters)


def test_composites_are_bounded(clock):
    """Sixteen are enough."""
    parts = [TokenBucket("5/minute", clock=clock, max_keys=1) for _ in range(17)]
    assert len(All(*parts[:16]).limiters) == 16
    with pytest.raises(ValueError, match="limiters must be from 1 to 16, not 17"):
        All(*parts[:16]) & parts[16]


def test_composites_need_one_clock(clock):
    """Or there is no one moment to decide at."""
    with pytest.raises(ValueError, match="limiters must have one clock"):
        TokenBucket("5/minute", clock=clock) & FixedWindow("5/minute")


def test_and_with_other_things(clock):
    """A TypeError as from Python's own types."""
    limiter = TokenBucket("5/minute", clock=clock)
    for one in (limiter, limiter & limiter):
        with pytest.raises(TypeError, match="unsupported operand"):
            one & 5
        with pytest.raises(TypeError, match="unsupported operand"):
            "5/minute" & one


def test_a_full_table_in_the_middle_of_a_batch(algorithm, clock):
    """What came before is decided and stays so; the error says where it stopped."""
    for verb in ("allow_many", "hit_many"):
        limiter = algorithm.make("2/second", clock, max_keys=2, on_full="raise")
        which = r"number 3 of the batch \(those before it are decided\)"
        with pytest.raises(TableFull, match=f"^no slot for {which}: all .*max_keys=2"):
            getattr(limiter, verb)(["a", "b", "a", "c", "a", "b"])
        limit = limiter.peek("a").limit
        assert [limiter.peek(key).remaining for key in "ab"] == [limit - 2, limit - 1]
        assert limiter.full_count == 1


def test_a_full_table_in_the_middle_of_a_composite_batch(clock):
    """As with one limiter; and the part that had room spends nothing."""
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
def test_manual_clock(arguments, error):
    """It starts at a moment that limiters take."""
    with pytest.raises(error, match=r"now_ns must be .* not ") as raised:
        ManualClock(**arguments)
    assert repr(arguments["now_ns"]) in str(raised.value)


@pytest.mark.parametrize("arguments", [{"seconds": -1}, {"seconds": NAN}, {"seconds": float("inf")}, {"ns": -1}])
def test_manual_clock_goes_on_only(arguments):
    """Neither back nor nowhere."""
    clock = ManualClock(SECOND)
    with pytest.raises(ValueError, match="advance takes finite times of zero or more"):
        clock.advance(**arguments)
    assert clock.now_ns() == SECOND
