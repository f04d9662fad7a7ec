"""Common tests of the WSGI middleware and of the adapters for Flask and Django."""

import json
import logging
from types import SimpleNamespace

import pytest
import web
import web_django
from servers import exactly

from ratelimit import FixedWindow, RateLimitError, parse

LIMIT = "fixed-window 2/minute anchor first"


@pytest.fixture(params=[*web.SUBJECTS, *web_django.SUBJECTS])
def subject(request):
    """Return a function that makes an application with these arguments."""
    projects = web_django.Projects()

    def make(**options):
        options = {"limit": LIMIT} | options
        if request.param in web.SUBJECTS:
            return web.SUBJECTS[request.param](**options)
        by, view, handler = web_django.SUBJECTS[request.param]
        return by(projects, view, handler, options)

    yield make
    projects.close()


class BrokenClock:
    """A clock that fails once it is broken."""

    broken = False

    def now_ns(self):
        if self.broken:
            raise RateLimitError("the clock is broken")
        return 10**18


def test_limits_all_routes_together(subject, clock):
    app = subject(clock=clock)
    assert app.statuses("/", "/page", "/", "/page") == [200, 200, 429, 429]
    clock.advance(60)
    assert app.statuses("/page") == [200]


def test_limits_each_address_apart(subject, clock):
    app = subject(clock=clock)
    for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1"):
        assert app.statuses("/", "/", "/", address=address) == [200, 200, 429]
    assert app.statuses("/", address="2001:db8::2") == [429]


def test_reads_the_address_behind_a_trusted_proxy(subject, clock):
    app = subject(clock=clock, trusted_proxies=["192.0.2.0/24"])
    for address in ("198.51.100.1", "198.51.100.2"):
        spoofed = {"X-Forwarded-For": f"6.6.6.6, {address}"}
        assert app.statuses("/", "/", "/", headers=spoofed) == [200, 200, 429]


def test_ignores_the_field_of_a_client(subject, clock):
    app = subject(clock=clock)
    assert [app.request(headers={"X-Forwarded-For": f"6.6.6.{number}"}).status for number in range(3)][-1] == 429


def test_clients_without_an_address(subject, clock):
    """A server that listens on a Unix socket has none; its proxy may be trusted."""
    app = subject(clock=clock)
    assert app.statuses("/", "/", "/", address="", headers={"X-Forwarded-For": "6.6.6.6"}) == [200, 200, 429]
    trusting = subject(clock=clock, trusted_proxies=["unix"])
    for address in ("198.51.100.1", "198.51.100.2"):
        forwarded = {"X-Forwarded-For": f"6.6.6.6, {address}"}
        assert trusting.statuses("/", "/", "/", address="", headers=forwarded) == [200, 200, 429]


def test_answers_a_refused_request(subject, clock):
    app = subject(clock=clock)
    app.statuses("/", "/")
    clock.advance(10)
    answer = app.request()
    assert (answer.status, answer.text) == (429, "Too Many Requests\n")
    assert answer.headers["retry-after"] == "50"
    assert answer.headers["ratelimit-policy"] == '"2/minute";q=2;w=60'
    assert answer.headers["ratelimit"] == '"2/minute";r=0;t=50'
    problem = app.request(headers={"Accept": "application/json"})
    assert problem.headers["content-type"] == "application/problem+json"
    assert json.loads(problem.text)["status"] == 429
    head = app.request(method="HEAD")
    assert (head.status, head.text, head.headers["content-length"]) == (429, "", "18")


@pytest.mark.parametrize("headers", ["draft", "legacy", None])
def test_adds_the_fields_to_every_answer(subject, clock, headers):
    app = subject(clock=clock, headers=headers)
    for path, remaining in (("/", "1"), ("/?status=404", "0")):
        fields = app.request(path).headers
        assert ("ratelimit-policy" in fields) == (headers == "draft")
        assert fields.get("x-ratelimit-remaining") == (remaining if headers == "legacy" else None)


def test_keeps_the_fields_of_the_application(subject, clock):
    answer = subject(clock=clock, headers="draft").request("/?own=mine")
    assert answer.headers["ratelimit-policy"] == "mine"
    assert answer.names.count("ratelimit-policy") == 1


def test_functions_of_the_request(subject, clock):
    """Tiers, keys and costs."""
    app = subject(
        clock=clock,
        limit=lambda request: None if "x-staff" in lower(request) else LIMIT,
        key=lambda request: lower(request)["x-user"],
        cost=lambda request: 2 if request.method == "POST" else 1,
        exempt=lambda request: request.path == "/health",
    )
    ann, bob = {"X-User": "ann"}, {"X-User": "bob"}
    assert app.statuses("/", "/", "/", headers=ann) == [200, 200, 429]
    assert app.statuses("/", headers=bob) == [200]
    assert app.request(headers=bob, method="POST").status == 429
    assert app.statuses(*["/"] * 3, headers={"X-Staff": "1"}) == [200] * 3
    assert app.statuses(*["/health"] * 3) == [200] * 3


def lower(request):
    return {name.lower(): value for name, value in request.headers.items()}


def test_rejects_a_coroutine_function_where_it_cannot_be_awaited(subject, clock):
    """It would otherwise be true, and exempt every request."""

    async def exempt(request):
        return False

    app = subject(clock=clock, exempt=exempt)
    assert app.statuses("/", "/", "/")[-1] in (500, 429)


def test_exempt_paths_and_methods(subject, clock):
    app = subject(clock=clock, exempt=["/health", "/pa*"], methods=["get"])
    assert app.statuses("/", "/", "/", "/health", "/page") == [200, 200, 429, 200, 200]
    assert app.request(method="POST").status == 200


def test_counts_only_the_answers_that_it_is_asked_to(subject, clock):
    """Only failed logins count; an error that the application raises is a 500."""
    app = subject(clock=clock, count_if=lambda request, status: status >= 400)
    paths = [*["/"] * 5, "/?status=401", "/", "/?status=599", "/"]
    assert app.statuses(*paths) == [200] * 5 + [401, 200, 500, 429]


def test_a_request_counts_while_it_runs(subject, clock):
    app = SimpleNamespace()
    inner = []

    def count_if(request, status):
        if not inner:
            inner.append(app.made.request().status)  # while the first one is not settled
        return False

    app.made = subject(clock=clock, limit="fixed-window 1/minute", count_if=count_if)
    assert app.made.statuses("/", "/") == [200, 200]
    assert inner == [429]


def test_shadow_mode_admits_and_logs(subject, clock, caplog):
    app = subject(clock=clock, shadow=True)
    assert app.statuses("/", "/", "/") == [200, 200, 200]
    messages = [record.getMessage() for record in caplog.records if record.name == "ratelimit.contrib"]
    assert len(messages) == 1
    assert messages[0].startswith("fixed-window 2/minute anchor first would refuse key")


@pytest.mark.parametrize(("fail_open", "status"), [(True, 200), (False, 503)])
def test_failing_limiter_admits_or_answers_503_by_fail_open(subject, fail_open, status, caplog):
    clock = BrokenClock()
    app = subject(clock=clock, fail_open=fail_open)
    app.request("/health")
    clock.broken = True
    with caplog.at_level(logging.ERROR, "ratelimit.contrib"):
        answers = [app.request() for _ in range(3)]
    assert [answer.status for answer in answers] == [status] * 3
    assert "retry-after" not in answers[0].headers
    assert len([record for record in caplog.records if "failed" in record.getMessage()]) == 1


def test_an_error_of_a_function_is_an_error_of_the_application(subject, clock):
    """Nothing is counted then."""
    app = subject(clock=clock, limit="fixed-window 1/minute", key=lambda request: lower(request)["x-user"])
    assert app.statuses("/", "/") == [500, 500]
    assert app.statuses("/", headers={"X-User": "ann"}) == [200]
    assert subject(clock=clock, key=lambda request: 1.5).request().status == 500


def test_clear_forgets_all(subject, clock):
    for limit in (LIMIT, FixedWindow("1/minute", clock=clock)):
        app = subject(limit=limit, clock=clock)
        while app.request().status == 200:
            pass
        app.clear()
        assert app.request().status == 200


def test_several_limits_are_one_decision(subject, clock):
    limiter = parse("fixed-window 1/minute anchor first; fixed-window 3/hour anchor first", clock=clock)
    app = subject(limit=limiter)
    assert app.statuses("/", "/", "/", "/") == [200, 429, 429, 429]
    assert limiter.limiters[1].peek("192.0.2.1").remaining == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": "ten a minute"}, "limit 'ten a minute'"),
        ({"limit": 10}, "limit: expected text"),
        ({"key": "address"}, "key: expected a function"),
        ({"cost": 0}, "cost: expected a"),
        ({"exempt": "/health"}, "exempt: expected a list of paths"),
        ({"methods": "GET"}, "methods: expected a list"),
        ({"shared": "a/b"}, "name: expected up to 200"),
        ({"trusted_proxies": ["somewhere"]}, "trusted_proxies: expected"),
        ({"count_if": 401}, "count_if: expected a function"),
        ({"on_refused": "no"}, "on_refused: expected a function"),
        ({"headers": "yes"}, "headers: expected"),
        ({"max_keys": 0}, "max_keys: expected a"),
    ],
)
def test_rejects_a_wrong_argument_at_start(subject, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        subject(**options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "app", "path", "limit"),
    [
        ("gunicorn", "wsgi_app:app", "/", 100),
        ("gunicorn", "flask_app:app", "/search", 20),
        ("gunicorn", "django_app:wsgi", "/search", 20),
        ("uvicorn", "django_app:asgi", "/search", 20),
        ("gunicorn", "drf_app:app", "/", 20),
    ],
)
def test_exactly_the_limit_passes_over_four_workers(serve, example, server, app, path, limit):
    exactly(limit, serve(server, app, example(app.partition(":")[0] + ".py")), path)
