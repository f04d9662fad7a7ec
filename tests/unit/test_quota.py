"""How quotas are written."""

import copy
import pickle
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit import FixedWindow, Quota

SECOND = 1_000_000_000
UNITS = {
    1: "ns nanosecond nanoseconds",
    1_000: "us microsecond microseconds",
    1_000_000: "ms millisecond milliseconds",
    SECOND: "s sec secs second seconds",
    60 * SECOND: "m min mins minute minutes",
    3_600 * SECOND: "h hr hrs hour hours",
    86_400 * SECOND: "d day days",
    7 * 86_400 * SECOND: "w week weeks",
    30 * 86_400 * SECOND: "month months",
    365 * 86_400 * SECOND: "y year years",
}


@pytest.mark.parametrize(("unit", "ns"), [(unit, ns) for ns, names in UNITS.items() for unit in names.split()])
@pytest.mark.parametrize(("text", "limit", "many"), [("100/{}", 100, 1), ("5 per 2 {}", 5, 2), ("7/10{}", 7, 10)])
def test_every_unit_in_every_spelling(unit, ns, text, limit, many):
    """Short and long, singular and plural, with and without a number, in any case."""
    for spelling in (unit, unit.upper(), unit.title()):
        assert Quota.parse(text.format(spelling)) == Quota(limit, Fraction(many * ns, SECOND))


@pytest.mark.parametrize(
    ("text", "limit", "seconds"),
    [
        ("  100 / minute ", 100, 60),
        ("100 PER minute", 100, 60),
        ("100/ 2  minutes", 100, 120),
        ("1_000/1_0s", 1_000, 10),
        ("3/1.5s", 3, 1.5),
        ("3/0.000000001s", 3, 1e-9),
        ("\t1/\ns", 1, 1),
        ("007/s", 7, 1),
        (f"{2**63 - 1}/s", 2**63 - 1, 1),
    ],
)
def test_accepts_spaces_underscores_decimals_and_leading_zeros(text, limit, seconds):
    assert Quota.parse(text) == Quota(limit, seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "100",
        "/minute",
        "100/",
        "100 minute",
        "100//minute",
        "100/minute/2",
        "100/minute;",
        "-1/minute",
        "+1/minute",
        "1.5/minute",
        "1e3/minute",
        "0x10/minute",
        "_1/minute",
        "1/-2s",
        "1/2.s",
        "1/.5s",
        "100 per",
        "100per minute",
        "100/ss",
        "100 perminute 2",
        "100/fortnight",
        "100/2",
        "nan/s",
        "\u0661/s",  # an Arabic one
        "1/\u017f",  # a long s, which folds to s
        "1/minute\0",
    ],
)
def test_rejects_malformed_strings(text):
    """The ValueError shows the string."""
    with pytest.raises(ValueError, match="quota ") as error:
        Quota.parse(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("text", [f"{2**63}/s", "1/0s", "1/0.5ns", "1/200y", "1/0.0000000001s"])
def test_rejects_numbers_out_of_range(text):
    """The limit is from 0 to 2**63 - 1, the period a whole number of nanoseconds from 1 to 2**62."""
    with pytest.raises(ValueError, match=": expected"):
        Quota.parse(text)


def test_error_shows_the_period_in_seconds():
    with pytest.raises(ValueError, match=r"quota '1/0h': period: expected seconds .*, got 0$"):
        Quota.parse("1/0h")
    with pytest.raises(ValueError, match=r"quota '1/200y': period: expected seconds .*, got 6307200000$"):
        Quota.parse("1/200y")


@pytest.mark.parametrize("value", [None, 5, 1.5, b"1/s", ["1/s"], ("1/s",)])
def test_rejects_values_that_are_not_strings(value):
    """The TypeError shows the value and the accepted types."""
    with pytest.raises(TypeError, match="quota: expected a str such as '100/minute'") as error:
        Quota.of(value)
    assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    "period",
    [60, 60.0, Fraction(60), Decimal("60.000"), timedelta(minutes=1)],
    ids=lambda period: type(period).__name__,
)
def test_accepts_periods_of_every_type(period):
    """The period is a number of seconds or a timedelta."""
    assert Quota(7, period).period_ns == 60 * SECOND
    assert Quota(7, period) == Quota.per_minute(7)


@pytest.mark.parametrize(
    ("period", "ns"), [(0.1, 100_000_000), (0.3, 300_000_000), (1e-9, 1), (Decimal("0.7"), 7 * 10**8)]
)
def test_a_float_is_the_decimal_that_it_is_written_as(period, ns):
    """0.1 is a tenth, not the nearest binary fraction."""
    assert Quota(1, period).period_ns == ns


@pytest.mark.parametrize(
    "period", [0, -1, float("nan"), float("inf"), 1e-10, Fraction(1, 3), timedelta(0), 2**62, 1e300]
)
def test_rejects_periods_out_of_range(period):
    """Zero, negative, a fraction of a nanosecond, or too long."""
    with pytest.raises(ValueError, match="period: expected") as error:
        Quota(1, period)
    assert repr(period) in str(error.value)


@pytest.mark.parametrize("period", [None, "60", True, 1j, [60]])
def test_rejects_periods_of_other_types(period):
    """The TypeError names the argument and shows the value."""
    with pytest.raises(TypeError, match="period: expected") as error:
        Quota(1, period)
    assert repr(period) in str(error.value)


@pytest.mark.parametrize("name", ["limit", "burst"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (2**63, ValueError),
        (1.0, TypeError),
        ("5", TypeError),
        (float("nan"), TypeError),
    ],
)
def test_rejects_limits_and_bursts_out_of_range(name, value, error):
    """They are whole numbers from 1 to 2**63 - 1."""
    with pytest.raises(
        error, match=f"{name}: expected a whole number from {0 if name == 'limit' else 1} to 2\\*\\*63 - 1"
    ) as raised:
        Quota(**{"limit": 1, "period": 1, name: value})
    assert repr(value) in str(raised.value)


@pytest.mark.parametrize(
    ("make", "seconds"),
    [(Quota.per_second, 1), (Quota.per_minute, 60), (Quota.per_hour, 3_600), (Quota.per_day, 86_400)],
)
def test_constructors_per_unit(make, seconds):
    """per_second and the others, with an optional burst."""
    assert make(3) == Quota(3, seconds)
    assert make(3, burst=9) == Quota(3, seconds, burst=9)
    assert Quota(3, seconds).period == seconds


@given(limit=st.integers(1, 2**63 - 1), ns=st.integers(1, 2**62))
def test_str_and_repr_round_trip(limit, ns):
    """`str` parses to the same quota; `repr` is an expression for it."""
    quota = Quota(limit, Fraction(ns, SECOND))
    assert Quota.parse(str(quota)) == quota
    assert pickle.loads(pickle.dumps(quota)) == copy.deepcopy(quota) == quota
    if ns % 1_000 == 0 and ns < 10**15:  # beyond that a float of seconds does not show every nanosecond
        assert eval(repr(quota)) == quota


def test_quota_is_equal_hashable_and_immutable():
    assert len({Quota(1, 60), Quota.parse("1/minute"), Quota(1, 60, burst=1)}) == 2
    with pytest.raises(AttributeError):
        Quota(1, 60).limit = 2
    assert repr(Quota(1, 60, burst=5)) == "Quota(1, 60, burst=5)"


def test_with_burst_replaces_the_burst():
    assert Quota(1, 60).with_burst(5) == Quota(1, 60, burst=5)
    assert Quota(1, 60, burst=5).with_burst(None) == Quota(1, 60, burst=5)
    with pytest.raises(ValueError, match=r"capacity: expected .* got 0"):
        Quota(1, 60).with_burst(0, "capacity")


def test_string_and_quota_make_the_same_limiter():
    assert repr(FixedWindow("5 per 1 minute")) == repr(FixedWindow(Quota(5, 60))) == "FixedWindow('5/minute')"


def test_accepts_numpy_integers_as_periods():
    assert Quota(np.int64(5), np.int64(60)) == Quota(5, 60)


@pytest.mark.parametrize("text", ["9" * 5_000 + "/s", "5/" + "9" * 5_000 + "s", "5/0s", "5/1.5ns", "5/147y"])
def test_error_shows_the_string_that_is_out_of_range(text):
    """The error has the whole string, or its beginning."""
    with pytest.raises(ValueError, match="quota '" + text[:60]):
        Quota.parse(text)
