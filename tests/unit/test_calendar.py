"""Windows by the calendar of a time zone, against zoneinfo asked moment by moment."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from cases import SECOND
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tools import NIGHTLY

from ratelimit import (
    UNLIMITED,
    FixedWindow,
    LeakyBucket,
    Quota,
    SlidingLog,
    SlidingWindow,
    Table,
    TokenBucket,
    _calendar,
    parse,
)
from ratelimit._calendar import starts_of
from ratelimit.gateway.throttling.calendar import period_of as period_of_plan
from ratelimit.language import LimitSpec
from ratelimit.replay.limits import memory_ns
from ratelimit.serve.tables import _shape
from ratelimit.testing import ManualClock

ODD = [
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # summer time began at midnight
    "America/St_Johns",  # it ended a minute after midnight: one day twice
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Apia",  # without 30 December 2011
    "Pacific/Kiritimati",
    "Africa/Casablanca",
    "Africa/Monrovia",
    "UTC",
]
UNITS = ["day", "week", "month", "year"]
HOUR = 3_600


def ns(*moment, zone="UTC"):
    return int(datetime(*moment, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND


def latest_day(seconds, zone):
    """Return the latest day that the clocks of a zone have shown by a moment."""
    shown = [datetime.fromtimestamp(seconds - ago, zone).date() for ago in range(0, 2 * HOUR + 1, 60)]
    return max(shown)


def label(unit, day):
    """Return what distinguishes the window of a day from others."""
    return {
        "day": day,
        "week": tuple(day.isocalendar())[:2],
        "month": (day.year, day.month),
        "year": day.year,
    }[unit]


def transitions(zone, year):
    """Return the seconds at which the offset of a zone changes in a year."""
    first = int(datetime(year, 1, 1, tzinfo=UTC).timestamp())
    hours = [first + HOUR * i for i in range(366 * 24)]
    offsets = [datetime.fromtimestamp(moment, zone).utcoffset() for moment in hours]
    return [moment for moment, old, new in zip(hours[1:], offsets, offsets[1:], strict=False) if old != new]


@given(
    zone=st.sampled_from(ODD) | st.sampled_from(sorted(available_timezones())),
    unit=st.sampled_from(UNITS),
    seconds=st.integers(4 * HOUR, 4_600_000_000),
    later=st.integers(0, 40 * 86_400),
)
@example(zone="Pacific/Apia", unit="day", seconds=ns(2011, 12, 30, 9, 59, 59) // SECOND, later=1)
@example(zone="America/St_Johns", unit="day", seconds=ns(2005, 10, 30, 2, 30, 30) // SECOND, later=HOUR)
@settings(max_examples=25 if not NIGHTLY else 1_000, deadline=None)
def test_a_window_lasts_as_long_as_zoneinfo_shows_it(zone, unit, seconds, later):
    info = ZoneInfo(zone)
    limiter = FixedWindow(Quota(1, f"{unit} in {zone}"), max_keys=4)
    assert limiter.hit("key", now=seconds * SECOND)
    same = label(unit, latest_day(seconds, info)) == label(unit, latest_day(seconds + later, info))
    assert limiter.hit("key", now=(seconds + later) * SECOND).allowed != same


@pytest.mark.parametrize("zone", ODD)
def test_days_around_each_change_of_the_offset(zone):
    info = ZoneInfo(zone)
    limiter = FixedWindow(f"1/day in {zone}", max_keys=10_000)
    for year in (1994, 2011, 2024):
        for change in transitions(info, year):
            for seconds in range(change - 2 * HOUR, change + 2 * HOUR, 600):
                decision = limiter.peek(seconds, now=seconds * SECOND)
                assert decision.allowed
                until = limiter.hit(seconds, now=seconds * SECOND).reset_after_ns // SECOND
                assert latest_day(seconds + until - 1, info) == latest_day(seconds, info)
                assert latest_day(seconds + until, info) > latest_day(seconds, info)


@pytest.mark.parametrize(
    ("unit", "begin", "days"),
    [
        ("month", (2024, 2, 1), 29),
        ("month", (2023, 2, 1), 28),
        ("year", (2024, 1, 1), 366),
        ("week", (2024, 12, 30), 7),
    ],
)
def test_periods_have_the_length_of_the_calendar(unit, begin, days):
    limiter = FixedWindow(f"5/{unit} in Asia/Kathmandu")
    now = ns(*begin, zone="Asia/Kathmandu")
    assert limiter.hit("key", now=now).reset_after == days * 86_400
    assert limiter.peek("key", now=now - 1).remaining == 0  # the window has not begun
    end = now + days * 86_400 * SECOND
    assert limiter.hit("key", 5, now=end - 1).retry_after_ns == 1
    assert limiter.hit("key", 5, now=end).allowed


def test_a_day_is_an_hour_shorter_or_longer():
    limiter = FixedWindow("5/day in Europe/Berlin")
    for day, hours in [((2024, 3, 31), 23), ((2024, 4, 1), 24), ((2024, 10, 27), 25)]:
        assert limiter.hit("key", now=ns(*day, zone="Europe/Berlin")).reset_after == hours * HOUR


def test_windows_are_known_until_the_end_of_time():
    for unit in UNITS:
        starts = starts_of(f"{unit} in Europe/Berlin")
        assert starts[-1] == 2**62
        assert np.all(starts[1:] >= starts[:-1])
    limiter = FixedWindow("2/month in Europe/Berlin")
    assert limiter.hit("key", 2, now=2**62 - 2).allowed
    assert limiter.hit("key", 2, now=2**62 - 2).retry_after_ns is None
    assert limiter.allow("other")


@given(
    st.lists(st.tuples(st.sampled_from(["hit", "refund", "reserve", "cancel", "block", "unblock"]), st.integers(1, 40)))
)
@settings(max_examples=30)
def test_never_more_than_the_limit_in_a_window(steps):
    clock = ManualClock(ns(2024, 2, 27))
    limiter = FixedWindow("4/day in Australia/Lord_Howe", clock=clock)
    zone = ZoneInfo("Australia/Lord_Howe")
    admitted, places = {}, []
    for verb, size in steps:
        now = clock.now_ns()
        if verb == "hit":
            day = datetime.fromtimestamp(now // SECOND, zone).date()
            admitted[day] = admitted.get(day, 0) + limiter.allow("key")
            assert admitted[day] <= 4
        elif verb == "reserve":
            place = limiter.reserve("key")
            if place:
                day = datetime.fromtimestamp(place.at_ns // SECOND, zone).date()
                admitted[day] = admitted.get(day, 0) + 1
                assert admitted[day] <= 4
                places.append((place, day))
        elif verb == "cancel" and places:
            place, day = places.pop()
            place.cancel()
            admitted[day] -= 1  # it does not act
        elif verb == "block":
            limiter.block("key", size * 600)
        elif verb == "unblock":
            limiter.unblock("key")
        clock.advance(size * 600)


def test_text_quota_and_label():
    limiter = parse("fixed-window 1_000 per month IN Europe/Berlin; 5/s")
    assert str(limiter) == "fixed-window 1000/month in Europe/Berlin; token-bucket 5/second"
    assert str(parse(str(limiter))) == str(limiter)
    quota = Quota.parse("1000/months in Europe/Berlin")
    assert quota == Quota(1000, "month in Europe/Berlin") != Quota.parse("1000/month")
    assert repr(quota) == "Quota(1000, 'month in Europe/Berlin')"
    assert hash(quota) == hash(Quota(1000, "month in Europe/Berlin"))
    assert quota.with_burst(5).calendar == "month in Europe/Berlin"
    assert limiter.limiters[0].hit("key").headers()["RateLimit-Policy"] == '"1000/month in Europe/Berlin";q=1000'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5/month in Europe/Berlim", "zone: expected a time zone of the installed zone data.*'Europe/Berlim'"),
        ("5/month in ../etc", "5/month in"),
        ("5/hour in UTC", "expected one day, week, month or year in a time zone"),
        ("5/2days in UTC", "expected one day, week, month or year in a time zone"),
        ("5/day in", "5/day in"),
        (f"5/day in {'A' * 100}", "zone: expected at most"),
    ],
)
def test_refuses_other_calendars(text, message):
    with pytest.raises(ValueError, match=message):
        Quota.parse(text)
    with pytest.raises(ValueError, match=message):
        parse(f"fixed-window {text}")


def test_only_a_fixed_window_has_a_calendar():
    for kind in (TokenBucket, LeakyBucket, SlidingWindow, SlidingLog):
        with pytest.raises(ValueError, match="only a FixedWindow follows a calendar"):
            kind("5/day in UTC")
    with pytest.raises(ValueError, match="anchor: expected 'epoch'"):
        FixedWindow("5/day in UTC", anchor="first")
    limiter = FixedWindow("5/day in UTC")
    assert limiter.hit("key", quota="9/day in UTC").limit == 9
    for other in ("9/day", "9/week in UTC", "9/day in Europe/Berlin"):
        with pytest.raises(ValueError, match="expected the calendar of this limiter's windows, as in 5/day in UTC"):
            limiter.hit("key", quota=other)
    with pytest.raises(ValueError, match="expected the period of this limiter's windows"):
        FixedWindow("5/day").hit("key", quota="9/day in UTC")


def test_replays_and_services_read_calendars():
    spec = LimitSpec.parse("fixed-window 5/month in Pacific/Apia")
    assert memory_ns(spec) >= 31 * 86_400 * SECOND
    assert _shape(1, spec) == "1-fixed-window-month-in-Pacific-Apia"


def test_a_table_keeps_its_calendar(tmp_path):
    limiter = FixedWindow("5/day in Pacific/Apia", table=Table.open(tmp_path / "table"))
    limiter.hit("key", 3)
    assert FixedWindow("5/day in Pacific/Apia", table=Table.open(tmp_path / "table")).peek("key").remaining == 2
    found = FixedWindow.of(Table.open(tmp_path / "table"))
    assert str(found) == "fixed-window 5/day in Pacific/Apia"
    found.change("9/day in Pacific/Apia")
    assert limiter.peek("key").remaining == 6
    found.change(UNLIMITED)
    assert limiter.hit("key").unlimited
    for other in ("5/day", "5/week in Pacific/Apia", "5/day in UTC"):
        with pytest.raises(ValueError, match="was made with another"):
            FixedWindow(other, table=Table.open(tmp_path / "table"))


def test_new_zone_data_forgives_nothing(tmp_path, monkeypatch):
    """A count stays that of its window, whenever the window begins by the new data."""
    clock = ManualClock(ns(2024, 7, 5))
    limiter = FixedWindow("5/month in Europe/Berlin", table=Table.open(tmp_path / "table"), clock=clock)
    limiter.hit("key", 5)
    monkeypatch.setattr(_calendar, "starts_of", lambda calendar: starts_of(calendar) + np.uint64(3 * 86_400 * SECOND))
    updated = FixedWindow("5/month in Europe/Berlin", table=Table.open(tmp_path / "table"), clock=clock)
    assert updated.peek("key").remaining == 0
    assert updated.peek("key").reset_after_ns - limiter.peek("key").reset_after_ns == 3 * 86_400 * SECOND


@pytest.mark.parametrize("period", ["DAY", "WEEK", "MONTH"])
def test_usage_plans_have_the_same_calendar(period):
    starts = starts_of(f"{period.lower()} in UTC")
    day = date(2023, 12, 25)
    for _ in range(90):
        first, after = period_of_plan(period, day)
        now = ns(day.year, day.month, day.day)
        number = int(np.searchsorted(starts, now, side="right")) - 1
        assert starts[number] == ns(first.year, first.month, first.day)
        assert starts[number + 1] == ns(after.year, after.month, after.day)
        day += timedelta(1)
