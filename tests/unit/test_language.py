"""Limits as text: what is read, what it means, and what is refused.

In one file: the tests follow the grammar.
"""

import pickle
import re
from fractions import Fraction
from pathlib import Path

import pytest
from cases import SECOND
from hypothesis import given
from hypothesis import strategies as st

import ratelimit
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
from ratelimit.language import ALGORITHMS, MAX_LENGTH, OPTIONS, LimitSpec, make_limiter, parse_limits
from ratelimit.testing import ManualClock


@pytest.mark.parametrize(
    ("text", "canonical", "made"),
    [
        ("60/minute", "token-bucket 60/minute", "TokenBucket('60/minute')"),
        ("60/minute burst 40", "token-bucket 60/minute burst 40", "TokenBucket('60/minute', burst=40)"),
        ("token-bucket 60/minute burst 60", "token-bucket 60/minute", "TokenBucket('60/minute')"),
        ("token-bucket 10/second burst 20", "token-bucket 10/second burst 20", "TokenBucket('10/second', burst=20)"),
        ("TokenBucket 10 per 2 hours", "token-bucket 10/2h", "TokenBucket('10/2h')"),
        ("leaky-bucket 5/s", "leaky-bucket 5/second", "LeakyBucket('5/second')"),
        ("leaky-bucket 5/s capacity 9", "leaky-bucket 5/second capacity 9", "LeakyBucket('5/second', capacity=9)"),
        ("leaky bucket 10/s burst 0", "leaky-bucket 10/second capacity 0", "LeakyBucket('10/second', capacity=0)"),
        ("fixed-window 1000/day", "fixed-window 1000/day", "FixedWindow('1000/day')"),
        ("fixed-window 5/m anchor epoch", "fixed-window 5/minute", "FixedWindow('5/minute')"),
        ("fixed_window 5/m ANCHOR First", "fixed-window 5/minute anchor first", "FixedWindow('5/minute', anchor='first')"),
        ("sliding-window 5/10s", "sliding-window 5/10s", "SlidingWindow('5/10s')"),
        ("SLIDING-LOG 3/millisecond", "sliding-log 3/millisecond", "SlidingLog('3/millisecond')"),
        ("10r/s", "token-bucket 10/second", "TokenBucket('10/second')"),
        ("600r/m burst=20", "token-bucket 600/minute burst 20", "TokenBucket('600/minute', burst=20)"),
        ("leaky-bucket 10r/s burst = 20", "leaky-bucket 10/second capacity 20", "LeakyBucket('10/second', capacity=20)"),
        ("  1_000 PER 1.5 h\n burst\t2_000 ", "token-bucket 1000/90m burst 2000", "TokenBucket('1000/90m', burst=2000)"),
    ],
)  # fmt: skip
def test_reads_one_limit(text, canonical, made):
    limiter = parse(text)
    assert (str(limiter), repr(limiter)) == (canonical, made)
    assert str(LimitSpec.parse(text)) == canonical
    assert repr(parse(canonical)) == made


@pytest.mark.parametrize(
    ("text", "canonical", "made"),
    [
        (
            "token-bucket 60/minute burst 40; fixed-window 1000/day",
            "token-bucket 60/minute burst 40; fixed-window 1000/day",
            "TokenBucket('60/minute', burst=40) & FixedWindow('1000/day')",
        ),
        (
            "fixed-window 10/s;1000/hour",  # each limit names its own algorithm
            "fixed-window 10/second; token-bucket 1000/hour",
            "FixedWindow('10/second') & TokenBucket('1000/hour')",
        ),
        (
            "10/second burst 20 ; 1000/hour",  # and has its own burst
            "token-bucket 10/second burst 20; token-bucket 1000/hour",
            "TokenBucket('10/second', burst=20) & TokenBucket('1000/hour')",
        ),
    ],
)
def test_reads_several_limits(text, canonical, made):
    limiter = parse(text)
    assert isinstance(limiter, All)
    assert (str(limiter), repr(limiter)) == (canonical, made)
    assert "; ".join(map(str, parse_limits(text))) == canonical
    assert repr(parse(canonical)) == made


limits = st.integers(1, 40_000) | st.sampled_from([1, 2**31, 2**63 - 1])
periods = st.sampled_from([1, 10**6, SECOND, 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND]) | st.integers(1, 2**62)
options = {
    TokenBucket: st.fixed_dictionaries({}, optional={"burst": st.integers(1, 100) | limits}),
    LeakyBucket: st.fixed_dictionaries({}, optional={"capacity": st.integers(0, 100) | limits}),
    FixedWindow: st.fixed_dictionaries({}, optional={"anchor": st.sampled_from(["epoch", "first"])}),
    SlidingWindow: st.just({}),
    SlidingLog: st.just({}),
}


@st.composite
def limiters(draw):
    """A limiter of any algorithm, quota and options, the burst within the quota or beside it."""
    cls = draw(st.sampled_from(list(options)))
    quota = Quota(draw(limits), Fraction(draw(periods), SECOND), draw(st.none() | st.integers(1, 100)))
    try:
        return cls(quota, clock=ManualClock(), max_keys=2, **draw(options[cls]))
    except ValueError:  # sizes that do not fit, tested elsewhere
        return cls(Quota(draw(st.integers(1, 100)), 60), clock=ManualClock(), max_keys=2)


def behaviour(limiter):
    """The answers to one sequence of requests."""
    clock, answers = limiter.clock, []
    for cost, step in [(1, 0), (1, SECOND), (40, 0), (3, 7 * SECOND), (1, 60 * SECOND), (1, 0)]:
        clock.advance(ns=step)
        decision = limiter.hit("key", cost)
        answers.append(
            (decision.allowed, decision.limit, decision.remaining, decision.retry_after_ns, decision.delay_ns)
        )
    return answers


@given(limiters())
def test_text_of_a_limiter_reads_back(limiter):
    same = parse(str(limiter), clock=ManualClock(), max_keys=2)
    assert type(same) is type(limiter)
    assert (str(same), repr(same)) == (str(limiter), repr(limiter))
    assert (same.quota.limit, same.quota.period_ns) == (limiter.quota.limit, limiter.quota.period_ns)
    assert behaviour(same) == behaviour(limiter)


@given(st.lists(limiters(), min_size=2, max_size=5))
def test_text_of_several_reads_back(parts):
    clock = ManualClock()
    limiter = All(
        *(type(part)(part.quota, clock=clock, max_keys=2, **dict(LimitSpec.parse(str(part)).options)) for part in parts)
    )
    same = parse(str(limiter), clock=ManualClock(), max_keys=2)
    assert isinstance(same, All)
    assert (str(same), repr(same)) == (str(limiter), repr(limiter))
    assert behaviour(same) == behaviour(limiter)


def test_text_of_a_limiter_shows_its_present_quota():
    limiter = TokenBucket("5/minute")
    limiter.change(Quota(7, 60, burst=9))
    assert str(limiter) == "token-bucket 7/minute burst 9"


def test_text_of_a_subclass_is_that_of_its_algorithm():
    class Named(FixedWindow):
        pass

    assert str(Named("5/minute", anchor="first")) == "fixed-window 5/minute anchor first"


def test_every_spelling_of_a_quota():
    for text in ("100/minute", "100 per minute", "100/60s", "100/1.0m", "1_00 / 1 minutes", "100r/m", "100/60_000 ms"):
        assert parse_limits(text) == parse_limits("token-bucket 100/minute")


def test_every_spelling_of_an_algorithm():
    for name in ALGORITHMS:
        for spelling in (name, name.upper(), name.replace("-", "_"), name.replace("-", " "), name.replace("-", "")):
            assert LimitSpec.parse(f"{spelling} 5/minute").algorithm == name


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 1, "expected a quota such as '100/minute'.*, got the end"),
        ("   ", 4, "expected a quota .*, got the end"),
        ("5/s;", 5, "expected a quota .*, got the end"),
        ("5/s; ;6/s", 6, "expected a quota .*, got ';'"),
        ("token-bucket", 13, "expected a quota .*, got the end"),
        ("token-bucket burst 5", 14, "expected a quota .*, got 'burst'"),
        ("-5/s", 1, "expected a quota .*, got '-5/s'"),
        ("= 5/s", 1, "expected a quota .*, got '='"),
        ("5", 1, "expected a quota .*, got '5'"),
        ("5r s", 1, "expected a quota .*, got '5r'"),
        ("5/s; 6/fortnight", 6, r"unknown unit 'fortnight' \(choose from ns, .*\)$"),
        ("5/minuts", 1, r"unknown unit 'minuts' \(choose from .*\); did you mean 'minutes'\?"),
        ("unlimitedly", 1, r"unknown algorithm 'unlimitedly' \(choose from token-bucket, leaky-bucket, .*\)$"),
        ("tokn-bucket 5/s", 1, r"unknown algorithm 'tokn-bucket' .*; did you mean 'token-bucket'\?"),
        ("5/s; sliding-windows 6/s", 6, r"unknown algorithm .*; did you mean 'sliding-window'\?"),
        ("fixed-window5/s", 1, "unknown algorithm 'fixed-window5/s'"),
        ("60/minute brust 40", 11, r"unknown option of token-bucket 'brust' \(choose from burst\); did you mean 'burst'\?"),
        ("5/s 6/s", 5, r"unknown option of token-bucket '6/s' \(choose from burst\)"),
        ("5/s, 6/s", 4, r"unknown option of token-bucket ',' \(choose from burst\)"),
        ("5/s = 6", 5, "unknown option of token-bucket '='"),
        ("1000/month in Europe/Berlin", 1, "only a FixedWindow follows a calendar"),
        ("fixed-window 5/s burst 3", 18, r"unknown option of fixed-window 'burst' \(choose from anchor\)"),
        ("sliding-log 5/s burst 3", 17, "expected ';' or the end, because sliding-log has no options, got 'burst'"),
        ("5/s burst", 10, "expected a whole number after burst, got the end"),
        ("5/s burst; 6/s", 10, "expected a whole number after burst, got ';'"),
        ("5/s burst = = 3", 13, "expected a whole number after burst, got '='"),
        ("5/s burst many", 11, "expected a whole number after burst, got 'many'"),
        ("5/s burst 4.5", 11, "expected a whole number after burst, got '4.5'"),
        ("5/s burst -4", 11, "expected a whole number after burst, got '-4'"),
        ("5/s burst \u0664", 11, "expected a whole number after burst"),
        ("5/s burst 4 5", 13, "unknown option of token-bucket '5'"),
        ("5/s burst 3 burst 4", 13, "burst is given twice"),
        ("leaky-bucket 5/s burst 3 capacity 4", 26, "capacity is given twice"),
        ("1/s; 5/s burst 0", 6, "burst: expected a whole number from 1"),
        ("fixed-window 5/s anchor", 24, "expected epoch or first after anchor, got the end"),
        ("fixed-window 5/s anchor last", 1, "anchor: expected 'epoch' or 'first', got 'last'"),
        ("1/s; sliding-log 1000000/s", 6, "43690"),
        ("9/100y burst 99", 1, "2[*][*]62 ns"),
    ],
)  # fmt: skip
def test_error_names_text_position_and_choices(text, position, problem):
    with pytest.raises(ValueError, match=problem) as error:
        parse(text)
    assert str(error.value).startswith(f"limit {text!r}, character {position}: ")


@pytest.mark.parametrize("value", [None, 5, b"5/s", ["5/s"], Quota(5, 60)])
def test_rejects_other_types(value):
    with pytest.raises(TypeError, match=re.escape(f"got {value!r}")):
        parse(value)


def test_long_text_is_shortened_in_errors():
    with pytest.raises(
        ValueError, match=r"limit '5/s; 5/s.*'\.\.\. of 6500 characters: expected at most 4,000 characters"
    ):
        parse("5/s; " * 1_300)
    with pytest.raises(ValueError, match=r"character 1: unknown algorithm 'xxx+'\.\.\. of 4000 characters"):
        parse("x" * MAX_LENGTH)
    with pytest.raises(
        ValueError, match=r"character 1: quota '9+'\.\.\. of 302 characters: expected a single quota [^;]*$"
    ):
        parse("9" * 300 + "/s")


def test_rejects_more_limits_than_an_all_has():
    assert len(parse("; ".join(["5/s"] * 16), max_keys=2).limiters) == 16
    with pytest.raises(ValueError, match="expected at most 16 limits, got 17"):
        parse("; ".join(["5/s"] * 17), max_keys=2)


words = [
    "token-bucket",
    "LEAKY",
    "fixed",
    "window",
    "sliding-log",
    "burst",
    "capacity",
    "anchor",
    "first",
    "epoch",
    "10",
    "7r/s",
    "5/minute",
    "per",
    "day",
    ";",
    "=",
    "in",
]


@given(st.lists(st.sampled_from(words) | st.text(max_size=3), max_size=8).map(" ".join))
def test_any_text_is_read_or_refused_with_its_position(text):
    try:
        specs = parse_limits(text)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
        assert parse_limits("; ".join(map(str, specs))) == specs
    assert re.match(r"(?s)$|limit .*, character \d+: ", message)


# --- descriptions


def test_a_description_is_a_value():
    spec = LimitSpec("token-bucket", Quota(60, 60), {"burst": 40})
    assert spec == LimitSpec.parse("60/minute burst 40") == LimitSpec("token-bucket", Quota(60, 60, burst=40))
    assert (spec.algorithm, spec.quota, spec.options) == ("token-bucket", Quota(60, 60), (("burst", 40),))
    assert len({spec, LimitSpec("token-bucket", Quota(60, 60), [("burst", 40)]), LimitSpec.parse("60/minute")}) == 2
    assert pickle.loads(pickle.dumps(spec)) == spec
    with pytest.raises(AttributeError):
        spec.algorithm = "leaky-bucket"


def test_equal_limits_have_equal_descriptions():
    assert LimitSpec.parse("60/minute burst 60") == LimitSpec.parse("60/minute")
    assert LimitSpec.parse("60/minute") != LimitSpec.parse("1/second")
    assert LimitSpec("leaky-bucket", Quota(5, 1, burst=5)) == LimitSpec.parse("leaky-bucket 5/s")
    assert LimitSpec("fixed-window", Quota(5, 1, burst=3)) == LimitSpec.parse("fixed-window 5/s")


def test_rejects_descriptions_that_no_limiter_can_have():
    with pytest.raises(ValueError, match=r"unknown algorithm 'gcra' \(choose from token-bucket, "):
        LimitSpec("gcra", Quota(5, 1))
    with pytest.raises(ValueError, match=r"unknown option of token-bucket 'capacity' \(choose from burst\)"):
        LimitSpec("token-bucket", Quota(5, 1), {"capacity": 3})
    with pytest.raises(ValueError, match="burst: expected a whole number"):
        LimitSpec("token-bucket", Quota(5, 1), {"burst": 0})
    with pytest.raises(ValueError, match="expected a single limit, got 2"):
        LimitSpec.parse("5/s; 6/m")


def test_every_option_is_an_argument_of_its_class():
    assert OPTIONS.keys() == ALGORITHMS.keys()
    values = {"burst": 7, "capacity": 7, "anchor": "first"}
    for algorithm, words in OPTIONS.items():
        for word, argument in words.items():
            limiter = parse(f"{algorithm} 5/minute {word} {values[argument]}")
            assert f"{argument}={values[argument]!r}" in repr(limiter)


# --- making limiters


def test_arguments_reach_every_limiter(clock):
    for text in ("5/s", "5/s; sliding-log 6/m"):
        limiter = parse(text, max_keys=7, on_full="raise", clock=clock)
        for part in getattr(limiter, "limiters", [limiter]):
            assert isinstance(part, Limiter)
            assert (part.max_keys, part.on_full, part.clock) == (7, "raise", clock)
    assert (
        repr(make_limiter(parse_limits("5/s; 6/m"), clock=clock)) == "TokenBucket('5/second') & TokenBucket('6/minute')"
    )
    tiny = parse("5/s", max_keys=1, on_full="raise", clock=clock)
    tiny.allow("a")
    with pytest.raises(TableFull):
        tiny.allow("b")


@pytest.mark.parametrize("text", ["1/s", "1/s; 2/m"])
def test_rejects_the_name_of_a_table(text):
    with pytest.raises(TypeError, match="table: expected a Table, got 'myapp'"):
        parse(text, table="myapp")


def test_one_limit_uses_the_given_table():
    table = Table(max_keys=3)
    assert parse("5/s", table=table).table is table


def test_several_limits_use_a_table_each(tmp_path):
    table = Table.open(tmp_path / "api", max_keys=9, mode=0o640)
    text = "100/second; sliding-log 7/day; leaky-bucket 5/second"
    both = parse(text, table=table)
    assert [limiter.table.path.name for limiter in both.limiters] == ["api", "api.2", "api.3"]
    assert both.limiters[0].table is table
    assert [limiter.max_keys for limiter in both.limiters] == [9, 9, 9]
    assert [oct(limiter.table.path.stat().st_mode & 0o777) for limiter in both.limiters] == ["0o640"] * 3
    assert [str(Limiter.of(Table.open(tmp_path / name))) for name in ("api", "api.2", "api.3")] == [
        "token-bucket 100/second",
        "sliding-log 7/day",
        "leaky-bucket 5/second",
    ]
    both.hit("key", 3)
    assert parse(text, table=Table.open(tmp_path / "api")).limiters[1].peek("key").remaining == 4


def test_rejects_a_private_table_for_several_limits():
    with pytest.raises(
        ValueError, match=r"table: expected a shared table or a file for several limits, got Table\(max_keys=3\)"
    ):
        parse("5/s; 6/m", table=Table(max_keys=3))


# --- classes take a single quota


@pytest.mark.parametrize("cls", ALGORITHMS.values())
@pytest.mark.parametrize("text", ["10/second; 1000/hour", "10/second burst 20"])
def test_classes_refer_several_limits_to_parse(cls, text):
    with pytest.raises(
        ValueError, match=re.escape(f"quota {text!r}: expected a single quota such as '100/minute'")
    ) as error:
        cls(text)
    assert str(error.value).endswith(f"; use ratelimit.parse({text!r}) for options and several limits")
    limiter = cls("5/second")
    with pytest.raises(ValueError, match="expected a single quota"):
        limiter.change(text)
    with pytest.raises(ValueError, match="expected a single quota"):
        limiter.hit("key", quota=text)


def test_parse_is_in_the_front():
    assert ratelimit.parse is parse
    assert "parse" in ratelimit.__all__


# --- the page docs/limits.md

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()


def test_table_of_limits_on_the_page():
    rows = re.findall(r"^\| `([^`|]+)` \| `(\w+\(.*\))` \|$", PAGE, re.MULTILINE)
    assert len(rows) == 11
    for text, code in rows:
        assert repr(parse(text)) == repr(eval(code))
    assert {LimitSpec.parse(text).algorithm for text, _ in rows} == set(ALGORITHMS)


def test_table_of_units_on_the_page():
    rows = re.findall(r"^\| (\w+)[^|]* \| ((?:`\w+`(?:, )?)+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 10
    for name, spellings in rows:
        for unit in re.findall(r"\w+", spellings):
            assert parse_limits(f"7/{unit}") == parse_limits(f"7/{name}")


def test_table_of_options_on_the_page():
    rows = re.findall(r"^\| `(\w+) \w+`.* \| ([a-z ]+) \| .* \|$", PAGE, re.MULTILINE)
    assert {(algorithm.replace(" ", "-"), option) for option, algorithm in rows} == {
        (algorithm, option) for algorithm, options in OPTIONS.items() for option in options.values()
    }
