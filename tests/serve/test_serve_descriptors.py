"""Envoy's descriptors: which rule matches, and all of a request as one decision."""

import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serve_harness import Service

from ratelimit._configuration.problems import ConfigurationError
from ratelimit.serve.config import read_file
from ratelimit.serve.descriptors import matches
from ratelimit.serve.outcome import Question, decide, fields
from ratelimit.serve.refused import BadRequest

RULES = """
domain: web
descriptors:
  - {key: plain, rate_limit: {unit: minute, requests_per_unit: 2}}
  - {key: plain, value: special, rate_limit: {unit: minute, requests_per_unit: 3}}
  - {key: never, rate_limit: {unit: second, requests_per_unit: 0}}
  - {key: always, rate_limit: {unlimited: true}}
  - {key: listed}
  - {key: shadow, shadow_mode: true, rate_limit: {unit: HOUR, requests_per_unit: 1}}
  - {key: path, value: /api/*/v1, rate_limit: {unit: day, requests_per_unit: 1}}
  - {key: files, value: files/*, share_threshold: true, rate_limit: {unit: day, requests_per_unit: 1}}
  - {key: detailed, detailed_metric: true, rate_limit: {unit: day, requests_per_unit: 9}}
  - {key: slow, rate_limit: {unit: minute, unit_multiplier: 5, requests_per_unit: 1}}
  - key: method
    value: POST
    descriptors:
      - {key: user, rate_limit: {name: writes, unit: hour, requests_per_unit: 1}}
      - {key: user, value: vip, rate_limit: {unit: hour, requests_per_unit: 3, replaces: [{name: writes}]}}
"""


@pytest.fixture
def ask(tmp_path):
    """Return a function that asks about descriptors: `ask("plain=a", "method=POST user=ann")`."""
    service = Service(tmp_path, RULES)

    def ask(*descriptors, cost=1, domain="web"):
        questions = [
            one if isinstance(one, Question)
            else Question(tuple(tuple(entry.split("=")) for entry in one.split()), cost)
            for one in descriptors
        ]  # fmt: skip
        outcome = decide(service.site.rules, domain, questions)
        ask.outcome = outcome
        return not outcome.refused

    ask.service = service
    return ask


@pytest.mark.parametrize(
    ("descriptor", "limit"),
    [
        ("plain=a", 2), ("plain=special", 3), ("never=a", 0), ("always=a", None), ("listed=a", None), ("other=a", None),
        ("plain=a more=b", None), ("method=POST", None), ("method=GET user=ann", None), ("method=POST user=ann", 1),
        ("method=POST user=vip", 3), ("user=ann", None), ("path=/api/x/v1", 1), ("path=/api/x/v2", None), ("slow=a", 1),
    ],
)  # fmt: skip
def test_a_descriptor_has_the_limit_of_the_rule_for_exactly_its_entries(ask, descriptor, limit):
    admitted = [ask(descriptor) for _ in range(5)]
    assert admitted == ([True] * 5 if limit is None else [n < limit for n in range(5)])


def test_each_value_is_limited_by_itself_and_shared_ones_together(ask):
    assert [ask("plain=a"), ask("plain=a"), ask("plain=a"), ask("plain=b")] == [True, True, False, True]
    assert [ask("path=/api/a/v1"), ask("path=/api/b/v1")] == [True, True]
    assert [ask("files=files/a"), ask("files=files/b")] == [True, False]


def test_a_refused_request_spends_nothing_anywhere(ask):
    assert ask("method=POST user=ann", "plain=a")
    assert not ask("method=POST user=ann", "plain=a")
    assert [status.over for status in ask.outcome.statuses] == [True, False]
    assert ask.outcome.statuses[1].remaining == 1
    assert [ask("plain=a"), ask("plain=a")] == [True, False]


def test_equal_descriptors_spend_twice(ask):
    assert ask("plain=a", "plain=a")
    assert not ask("plain=a")
    assert not ask("plain=b", "plain=b", "plain=b")


def test_a_replaced_rule_is_neither_asked_nor_spent(ask):
    assert [ask("method=POST user=ann", "method=POST user=vip") for _ in range(4)] == [True, True, True, False]
    assert ask("method=POST user=ann")


def test_shadow_admits_and_spends_only_with_admitted_requests(ask):
    assert not ask("shadow=a", "never=a")
    assert [status.over for status in ask.outcome.statuses] == [False, True]
    assert ask.outcome.statuses[0].remaining == 1
    assert [ask("shadow=a") for _ in range(3)] == [True] * 3
    assert ask.outcome.statuses[0].remaining == 0
    text = ask.service.ask("/metrics")[2]
    assert 'requests_total{domain="web",descriptor="shadow",result="shadow"} 2' in text
    assert 'requests_total{domain="web",descriptor="shadow",result="allowed"} 1' in text


def test_statuses_have_what_remains_and_when_the_window_ends(ask):
    ask.service.clock.advance(60 - ask.service.clock.now_ns() % (60 * 10**9) / 10**9 + 20)
    ask("plain=a", "always=a", "other=a")
    plain, always, other = ask.outcome.statuses
    assert (plain.remaining, plain.reset_ns, plain.rule.requests, plain.rule.unit) == (1, 40 * 10**9, 2, "MINUTE")
    assert always.rule.unlimited
    assert other.rule is None
    assert fields(ask.outcome, "draft") == [
        ("ratelimit-policy", '"2/minute";q=2;w=60'),
        ("ratelimit", '"2/minute";r=1;t=40'),
    ]
    ask("plain=a", "slow=a")
    ask("plain=a", "slow=b")
    assert dict(fields(ask.outcome, "draft"))["ratelimit-policy"] == '"2/minute";q=2;w=60, "1/5m";q=1;w=300'
    assert dict(fields(ask.outcome, "legacy"))["retry-after"] == "40"
    assert fields(ask.outcome, "none") == []


def test_a_cost_is_spent_as_a_whole_and_0_only_looks(ask):
    assert not ask("plain=a", cost=3)
    assert ask("plain=a", cost=2)
    assert not ask("plain=a", cost=0)
    assert [ask("plain=b", cost=0) for _ in range(5)] == [True] * 5


def test_a_request_may_bring_its_limit(ask):
    override = Question((("plain", "a"),), 1, (4, "HOUR"))
    assert [ask(override) for _ in range(5)] == [True] * 4 + [False]
    assert ask("plain=a")


def test_detailed_metrics_name_values_up_to_a_bound(ask, monkeypatch):
    monkeypatch.setattr("ratelimit.serve.counts.MAX_DETAILS", 2)
    for value in ('a"', "b", "c", "d"):
        assert ask(f"detailed={value}")
    text = ask.service.ask("/metrics")[2]
    assert 'descriptor="detailed_a\\"",result="allowed"} 1' in text
    assert 'descriptor="detailed_b",result="allowed"} 1' in text
    assert 'descriptor="detailed",result="allowed"} 2' in text


def test_another_domain_has_no_limits(ask):
    assert [ask("plain=a", domain="other") for _ in range(5)] == [True] * 5


@pytest.mark.parametrize(
    ("descriptors", "domain", "problem"),
    [
        (["plain=a"], "", "domain: expected text"),
        ([], "web", "descriptors: expected one or more, got none"),
        ([Question(())], "web", "descriptors: expected entries in each"),
        (["plain=a"] * 17, "web", "descriptors: expected at most 16 with a limit"),
    ],
)
def test_an_impossible_request_is_refused(ask, descriptors, domain, problem):
    with pytest.raises(BadRequest, match=problem):
        ask(*descriptors, domain=domain)


ENTRY = st.sampled_from(
    ["plain=a", "plain=b", "plain=special", "slow=a", "files=files/a", "files=files/b", "never=a", "other=x"]
)
LIMITS = {"plain=a": (2, 60), "plain=b": (2, 60), "plain=special": (3, 60), "slow=a": (1, 300), "never=a": (0, 1),
          "files=files/a": (1, 86400), "files=files/b": (1, 86400)}  # fmt: skip


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.lists(ENTRY, min_size=1, max_size=4), st.integers(1, 2), st.sampled_from([0, 20, 70])), max_size=12
    )
)
def test_decides_as_a_slow_model(tmp_path_factory, requests):
    service = Service(tmp_path_factory.mktemp("model"), RULES)
    counts = {}
    for descriptors, cost, seconds in requests:
        service.clock.advance(seconds)
        now = Fraction(service.clock.now_ns(), 10**9)
        windows = {}
        for one in descriptors:
            if one in LIMITS:
                limit, period = LIMITS[one]
                name = ("files" if one.startswith("files") else one), now // period
                used = windows.get(name, (0, 0))[0]
                windows[name] = used + cost, limit
        fits = all(counts.get(name, 0) + used <= limit for name, (used, limit) in windows.items())
        if fits:
            for name, (used, _) in windows.items():
                counts[name] = counts.get(name, 0) + used
        questions = [Question((tuple(one.split("=")),), cost) for one in descriptors]
        assert decide(service.site.rules, "web", questions).refused == (not fits)


@given(st.text("ab", max_size=8), st.lists(st.text("ab", max_size=3), min_size=2, max_size=4))
def test_patterns_match_as_regular_expressions_do(value, parts):
    assert matches(parts, value) == bool(re.fullmatch(".*".join(map(re.escape, parts)), value))


WRONG = {
    "- {rate_limit: {unit: day, requests_per_unit: 1}}": "descriptors[0]: missing required key",
    "- {key: a, rate_limit: {unit: fortnight, requests_per_unit: 1}}": "descriptors[0].rate_limit.unit: expected one of second, ",
    "- {key: a, rate_limit: {requests_per_unit: 1}}": "descriptors[0].rate_limit.unit: expected one of second, ",
    "- {key: a, rate_limit: {unit: day, requests_per_unit: 5000000000}}": "descriptors[0].rate_limit.requests_per_unit: expected from 0",
    "- {key: a, rate_limit: {unit: day, unlimited: true}}": "descriptors[0].rate_limit: expected neither unit nor",
    "- {key: a, rate_limit: {unit: day, requests_per_unit: 1, name: x, replaces: [{name: x}]}}": "descriptors[0].rate_limit.replaces: expected the names",
    "- {key: a, quota_mode: true}": "descriptors[0]: unknown name 'quota_mode'",
    "- {key: a, value: b, share_threshold: true}": "descriptors[0].share_threshold: expected a value with *",
}  # fmt: skip


@pytest.mark.parametrize(("descriptor", "problem"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_is_refused_with_its_line(tmp_path, descriptor, problem):
    file = tmp_path / "descriptors.yaml"
    file.write_text(f"domain: web\ndescriptors:\n{descriptor}\n")
    with pytest.raises(ConfigurationError) as raised:
        read_file(file)
    assert str(raised.value).startswith(f"{file}:3: {problem}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("domain: web", "domain: expected descriptors in the file"),
        ("descriptors: [{key: a}]", "missing required domain"),
        (
            "domain: web\ndescriptors: [{key: a, value: b}, {key: a, value: b}]",
            "descriptors[1]: duplicate descriptor 'a', 'b'",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, text, problem):
    file = tmp_path / "descriptors.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_file(file)
    assert str(raised.value).split(": ", 1)[1] == problem
