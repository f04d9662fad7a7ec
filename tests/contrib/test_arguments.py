"""Every adapter refuses an argument that cannot be when it is made, and the error names the argument."""

import inspect

import pytest
from flask import Flask

from ratelimit.contrib import asgi, celery, fastapi, flask, httpx, wsgi

WRONG = {
    "limit": ["", "0", "1/0s", 5, "1/minute;", b"1/minute", [], "x" * 5_000],
    "key": ["ip", 5, ""],
    "cost": [0, -1, 1.5, "2", None],
    "exempt": ["/a", ["a"], 5, [5], None],
    "methods": ["GET", 5, [5]],
    "shared": ["a/b", "", 5, "..", b"x"],
    "trusted_proxies": ["10.0.0.0/8", ["x"], 5, [5], ["10.0.0.1/8"]],
    "count_if": [5, "x"],
    "on_refused": [5],
    "messages": ["zzz", 5],
    "headers": ["x", 5, []],
    "shadow": ["yes", 5],
    "fail_open": ["no", 0],
    "clock": [5, "x"],
    "max_keys": [0, -1, "5", 1.5],
    "timeout": [-1, "x", float("inf")],
    "retries": ["x", 1.5, -1],
    "max_wait": [-1, "x", float("inf"), float("nan")],
}


def flask_limiter(limit, **options):
    return flask.Limiter(Flask("app"), default=limit, **options)


ADAPTERS = {
    "asgi": (asgi.RateLimitMiddleware, lambda **given: asgi.RateLimitMiddleware(None, **given)),
    "wsgi": (wsgi.RateLimitMiddleware, lambda **given: wsgi.RateLimitMiddleware(None, **given)),
    "fastapi": (fastapi.RateLimit, fastapi.RateLimit),
    "flask": (flask.Limiter, flask_limiter),
    "celery": (celery.RateLimit, celery.RateLimit),
    "httpx": (inspect.getmro(httpx.RateLimitTransport)[1], httpx.RateLimitTransport),
}
CASES = [
    pytest.param(make, name, value, id=f"{adapter}-{name}-{value!r:.20}")
    for adapter, (made, make) in ADAPTERS.items()
    for name, values in WRONG.items()
    if name == "limit" or name in inspect.signature(made.__init__).parameters
    for value in values
]


@pytest.mark.parametrize(("make", "name", "value"), CASES)
def test_a_wrong_argument_is_an_error_that_names_it(make, name, value):
    with pytest.raises((TypeError, ValueError)) as raised:
        make(**{"limit": "1/minute", name: value})
    assert name in str(raised.value) or (name == "limit" and "default" in str(raised.value))
