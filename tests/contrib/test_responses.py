"""The header fields and the body of an answer."""

import json
from fractions import Fraction

import http_sf
import pytest

from ratelimit import UNLIMITED, FixedWindow, Quota, TokenBucket, parse
from ratelimit._limiter.decision import limit_fields, text_fields
from ratelimit._limiter.headers import check_style
from ratelimit.contrib._answers import refusal


def test_fields_of_the_draft(clock):
    limiter = TokenBucket("10/minute", clock=clock)
    fields = dict(limit_fields(limiter.hit("key", 3), "draft"))
    assert fields == {b"ratelimit-policy": b'"10/minute";q=10;w=60', b"ratelimit": b'"10/minute";r=7;t=6'}
    assert http_sf.parse(fields[b"ratelimit"], tltype="list") == [("10/minute", {"r": 7, "t": 6})]


def test_policies_of_several_limits_and_the_state_of_the_nearest(clock):
    limiter = parse("10/minute; fixed-window 3/hour", clock=clock)
    fields = dict(limit_fields(limiter.hit("key"), "draft"))
    assert http_sf.parse(fields[b"ratelimit-policy"], tltype="list") == [
        ("10/minute", {"q": 10, "w": 60}),
        ("3/hour", {"q": 3, "w": 3600}),
    ]
    assert fields[b"ratelimit"].startswith(b'"3/hour";r=2;t=')


def test_fields_follow_a_change_of_the_limit(clock):
    limiter = TokenBucket("10/minute", clock=clock)
    limit_fields(limiter.hit("key"), "draft")
    limiter.change("20/minute")
    fields = dict(text_fields(limiter.hit("key"), "draft"))
    assert fields["RateLimit-Policy"] == '"20/minute";q=20;w=60'


def test_a_period_that_is_not_in_whole_seconds_has_no_window(clock):
    limiter = TokenBucket(Quota(5, Fraction(1, 2)), clock=clock)
    assert dict(limit_fields(limiter.hit("key"), "draft"))[b"ratelimit-policy"] == b'"5/500ms";q=5'


def test_legacy_fields_of_a_refusal(clock):
    limiter = FixedWindow("1/minute", anchor="first", clock=clock)
    limiter.hit("key")
    clock.advance(10.5)
    assert text_fields(limiter.hit("key"), "legacy") == [
        ("X-RateLimit-Limit", "1"),
        ("X-RateLimit-Remaining", "0"),
        ("X-RateLimit-Reset", "50"),
        ("Retry-After", "50"),
    ]


def test_a_refusal_for_ever_has_no_retry_after(clock):
    limiter = TokenBucket("1/minute", clock=clock)
    assert b"retry-after" not in dict(limit_fields(limiter.hit("key", 2), "draft"))


def test_no_style_has_no_fields(clock):
    limiter = TokenBucket("1/minute", clock=clock)
    limiter.hit("key")
    assert limit_fields(limiter.hit("key"), None) == []


@pytest.mark.parametrize("style", ["none", "DRAFT", 1])
def test_rejects_an_unknown_style(style):
    with pytest.raises(ValueError, match="headers: expected 'draft', 'legacy' or None"):
        check_style(style, "headers")


def test_headers_of_decisions(clock):
    limiter = TokenBucket("2/minute", clock=clock)
    assert limiter.hit("key").headers() == {
        "RateLimit-Policy": '"2/minute";q=2;w=60',
        "RateLimit": '"2/minute";r=1;t=30',
    }
    limiter.hit("key")
    assert limiter.hit("key").headers("draft")["Retry-After"] == "30"
    assert limiter.hit("key").headers(style="legacy") == {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "30",
        "Retry-After": "30",
    }


def test_headers_have_the_quota_of_the_call(clock):
    limiter = TokenBucket("2/minute", clock=clock)
    decision = limiter.hit("key", quota="9/second")
    assert decision.quota == Quota(9, 1)
    assert decision.headers()["RateLimit-Policy"] == '"9/second";q=9;w=1'
    both = parse("10/minute; fixed-window 3/hour", clock=clock)
    bound = both.bind(["ann", "site"], quotas=["7/second", None])
    assert bound.hit().quota == Quota(3, 3600)
    assert bound.peek().headers() == {
        "RateLimit-Policy": '"7/second";q=7;w=1, "3/hour";q=3;w=3600',
        "RateLimit": f'"3/hour";r=2;t={3600 - clock.now_ns() // 10**9 % 3600}',
    }


def test_headers_without_a_limit_and_with_a_limit_of_zero(clock):
    assert TokenBucket(UNLIMITED).hit("key").headers() == {}
    assert FixedWindow(UNLIMITED).hit("key").headers("legacy") == {}
    assert parse("0/minute; unlimited", clock=clock).hit("key").headers() == {
        "RateLimit-Policy": '"0/minute";q=0;w=60',
        "RateLimit": '"0/minute";r=0',
    }
    assert parse("0/minute").hit("key").headers("legacy") == {"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0"}


@pytest.mark.parametrize("style", ["none", None, "DRAFT", 1])
def test_decisions_reject_an_unknown_style(style):
    with pytest.raises(ValueError, match="style: expected 'draft' or 'legacy', got"):
        TokenBucket("2/minute").hit("key").headers(style)


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
def test_refusal_is_text_unless_the_client_accepts_json(accept):
    assert refusal(503, accept) == ("text/plain; charset=utf-8", b"Service Unavailable\n")
