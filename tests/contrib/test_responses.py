"""The header fields and the body of an answer."""

import json
from fractions import Fraction

import http_sf
import pytest

from ratelimit import FixedWindow, Quota, TokenBucket, parse
from ratelimit.contrib._answers import check_style, limit_fields, refusal, text_fields


def test_fields_of_the_draft(clock):
    limiter = TokenBucket("10/minute", clock=clock)
    fields = dict(limit_fields(limiter.hit("key", 3), limiter, "draft"))
    assert fields == {b"ratelimit-policy": b'"10/minute";q=10;w=60', b"ratelimit": b'"10/minute";r=7;t=6'}
    assert http_sf.parse(fields[b"ratelimit"], tltype="list") == [("10/minute", {"r": 7, "t": 6})]


def test_policies_of_several_limits_and_the_state_of_the_nearest(clock):
    limiter = parse("10/minute; fixed-window 3/hour", clock=clock)
    fields = dict(limit_fields(limiter.hit("key"), limiter, "draft"))
    assert http_sf.parse(fields[b"ratelimit-policy"], tltype="list") == [
        ("10/minute", {"q": 10, "w": 60}),
        ("3/hour", {"q": 3, "w": 3600}),
    ]
    assert fields[b"ratelimit"].startswith(b'"3/hour";r=2;t=')


def test_fields_follow_a_change_of_the_limit(clock):
    limiter = TokenBucket("10/minute", clock=clock)
    limit_fields(limiter.hit("key"), limiter, "draft")
    limiter.change("20/minute")
    fields = dict(text_fields(limiter.hit("key"), limiter, "draft"))
    assert fields["Ratelimit-Policy"] == '"20/minute";q=20;w=60'


def test_a_period_that_is_not_in_whole_seconds_has_no_window(clock):
    limiter = TokenBucket(Quota(5, Fraction(1, 2)), clock=clock)
    assert dict(limit_fields(limiter.hit("key"), limiter, "draft"))[b"ratelimit-policy"] == b'"5/500ms";q=5'


def test_legacy_fields_of_a_refusal(clock):
    limiter = FixedWindow("1/minute", anchor="first", clock=clock)
    limiter.hit("key")
    clock.advance(10.5)
    assert text_fields(limiter.hit("key"), limiter, "legacy") == [
        ("X-Ratelimit-Limit", "1"),
        ("X-Ratelimit-Remaining", "0"),
        ("X-Ratelimit-Reset", "50"),
        ("Retry-After", "50"),
    ]


def test_a_refusal_for_ever_has_no_retry_after(clock):
    limiter = TokenBucket("1/minute", clock=clock)
    assert b"retry-after" not in dict(limit_fields(limiter.hit("key", 2), limiter, "draft"))


def test_no_style_has_no_fields(clock):
    limiter = TokenBucket("1/minute", clock=clock)
    limiter.hit("key")
    assert limit_fields(limiter.hit("key"), limiter, None) == []


@pytest.mark.parametrize("style", ["none", "DRAFT", 1])
def test_rejects_an_unknown_style(style):
    with pytest.raises(ValueError, match="headers: expected 'draft', 'legacy' or None"):
        check_style(style)


@pytest.mark.parametrize("accept", ["application/json", "text/html, application/problem+json;q=0.5"])
def test_problem_details_for_a_client_that_accepts_json(accept):
    content_type, body = refusal(429, accept)
    assert content_type == "application/problem+json"
    assert json.loads(body) == {
        "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
        "title": "Too Many Requests",
        "status": 429,
    }


@pytest.mark.parametrize("accept", ["", "*/*", "text/html"])
def test_text_for_others(accept):
    assert refusal(503, accept) == ("text/plain; charset=utf-8", b"Service Unavailable\n")
