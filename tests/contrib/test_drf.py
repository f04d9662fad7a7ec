"""The throttles of Django REST framework: real views, and threads that race."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import web_django  # configures Django
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.test import RequestFactory, override_settings
from rest_framework import throttling
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView
from waiting import PATIENCE

from ratelimit import RateLimitError, Table
from ratelimit.contrib import drf
from ratelimit.contrib._applications import application_name


class User:
    is_authenticated = True

    def __init__(self, pk):
        self.pk = pk


@pytest.fixture
def project(clock):
    with override_settings(RATELIMIT={"clock": clock}):
        yield


def throttle(base, **attributes):
    return type(base.__name__, (base,), attributes)


def view_of(*throttles, **attributes):
    def get(self, request):
        return Response("hello")

    body = {"throttle_classes": throttles, "get": get, "authentication_classes": (), "permission_classes": ()}
    return type("Page", (APIView,), body | attributes).as_view()


def statuses(view, *users, **options):
    return [answer(view, user, **options).status_code for user in users]


def answer(view, user=None, **options):
    request = APIRequestFactory().get("/", **options)
    if user is not None:
        force_authenticate(request, User(user))
    return view(request)


def test_answers_have_the_fields_of_the_nearest_limit(clock):
    both = throttle(drf.UserRateThrottle, rate="9/min"), throttle(drf.AnonRateThrottle, rate="2/min")
    for style, name in (("draft", "RateLimit"), ("legacy", "X-RateLimit-Remaining"), (None, None)):
        with override_settings(RATELIMIT={"clock": clock, "headers": style}):
            for throttles in (both, both[::-1]):
                answers = [answer(view_of(*throttles), REMOTE_ADDR=str(throttles is both)) for _ in range(3)]
                assert [one.status_code for one in answers] == [200, 200, 429]
                if name:
                    shown = [one.headers[name].partition(";t=")[0] for one in answers]
                    assert shown == (
                        [f'"2/minute";r={left}' for left in (1, 0, 0)] if style == "draft" else ["1", "0", "0"]
                    )
                else:
                    assert not any("RateLimit" in field for field in answers[0].headers)
                assert answers[2].headers["Retry-After"] == "60"


def test_limits_each_user(project, clock):
    view = view_of(throttle(drf.UserRateThrottle, rate="2/min"))
    assert statuses(view, "ann", "ann", "ann", "bob", None, None, None) == [200, 200, 429, 200, 200, 200, 429]
    clock.advance(60)
    assert statuses(view, "ann", "ann", "ann") == [200, 200, 429]


def test_retry_after_is_exact(project, clock):
    view = view_of(throttle(drf.AnonRateThrottle, rate="2/hour"))
    answer(view)
    clock.advance(600)
    answer(view)
    clock.advance(600)
    refused = answer(view)
    assert (refused.status_code, refused["Retry-After"]) == (429, "2400")
    clock.advance(2399)
    assert answer(view).status_code == 429
    clock.advance(1)
    assert statuses(view, None, None) == [200, 429]


def test_anonymous_requests_only(project):
    view = view_of(throttle(drf.AnonRateThrottle, rate="1/day"))
    assert statuses(view, None, None, "ann", "ann") == [200, 429, 200, 200]


def test_scopes_of_views(project):
    class Scoped(drf.ScopedRateThrottle):
        THROTTLE_RATES = {"uploads": "1/day", "lists": "2/day", "never": "0/day", "free": None}  # noqa: RUF012

    views = {scope: view_of(Scoped, throttle_scope=scope) for scope in (*Scoped.THROTTLE_RATES, None)}
    assert statuses(views["uploads"], "ann", "ann") == [200, 429]
    assert statuses(views["lists"], "ann", "ann", "ann") == [200, 200, 429]
    assert statuses(views["never"], "ann") == [429]
    assert statuses(views["free"], "ann", "ann") == [200, 200]
    assert statuses(views[None], "ann", "ann") == [200, 200]


@pytest.mark.parametrize(
    ("rate", "parsed"),
    [
        ("100/hour", (100, 3600)),
        ("3/sec", (3, 1)),
        ("3/minutes", (3, 60)),
        ("5/d", (5, 86400)),
        ("5/15min", (5, 900)),
        ("10/30s", (10, 30)),
        ("10 per 2 hours", (10, 7200)),
        ("1/500ms", (1, 0.5)),
        (None, (None, None)),
    ],
)
def test_reads_the_rates_of_the_framework_and_finer_ones(rate, parsed):
    assert throttle(drf.UserRateThrottle, rate=rate or "1/s")().parse_rate(rate) == parsed


@pytest.mark.parametrize("rate", ["many", "1/fortnight", "x/day", "1/"])
def test_rejects_another_rate(rate):
    with pytest.raises(ValueError, match="quota"):
        throttle(drf.UserRateThrottle, rate=rate)()


@pytest.mark.parametrize("rate", ["4/30s", "50000/hour"])
def test_finer_and_higher_rates(project, rate):
    one = throttle(drf.UserRateThrottle, rate=rate)
    limit, _ = one().parse_rate(rate)
    request = RequestFactory().get("/")
    request.user = User("ann")
    assert sum(one().allow_request(request, None) for _ in range(limit + 5)) == limit


def test_subclasses_may_have_hooks_and_keys(project):
    seen = []

    class Hooked(drf.SimpleRateThrottle):
        rate = "1/day"

        def get_cache_key(self, request, view):
            return request.GET.get("key")

        def throttle_success(self):
            seen.append("success")
            return True

        def throttle_failure(self):
            seen.append("failure")
            return False

    view = view_of(Hooked)
    keys = ["a", "a", "b"]
    assert [view(APIRequestFactory().get("/", {"key": key})).status_code for key in keys] == [200, 429, 200]
    assert answer(view).status_code == 200
    assert seen == ["success", "failure", "success"]


def test_addresses_behind_trusted_proxies(clock):
    view = view_of(throttle(drf.AnonRateThrottle, rate="1/day"))
    with override_settings(RATELIMIT={"clock": clock, "trusted_proxies": ["127.0.0.1"]}):
        spoofed = [answer(view, HTTP_X_FORWARDED_FOR=f"6.6.6.{number}, 192.0.2.1").status_code for number in range(3)]
    assert spoofed == [200, 429, 429]


@pytest.mark.parametrize(("fail_open", "status"), [(True, 200), (False, 503)])
def test_failing_limiter_admits_or_answers_503_by_fail_open(fail_open, status):
    class BrokenClock:
        def now_ns(self):
            raise RateLimitError("the clock is broken")

    with override_settings(RATELIMIT={"clock": BrokenClock(), "fail_open": fail_open}):
        assert answer(view_of(throttle(drf.AnonRateThrottle, rate="1/day"))).status_code == status


def test_clear_and_turning_off(project, clock):
    view = view_of(throttle(drf.AnonRateThrottle, rate="1/day"))
    assert statuses(view, None, None) == [200, 429]
    drf.clear()
    assert statuses(view, None, None) == [200, 429]
    with override_settings(RATELIMIT={"enabled": False}):
        assert statuses(view, None, None) == [200, 200]


def admitted_by_racing(base):
    """Return how many of 40 requests pass at 20/hour, if 8 threads ask at the same moment, five times.

    The throttles of the framework ask for the time between reading and writing; there all threads wait for each other.
    """
    together = threading.Barrier(8)

    def timer(self):
        together.wait(PATIENCE)
        return 1.7e9

    class Racing(base):
        rate = "20/hour"

        def get_cache_key(self, request, view):
            return "key"

    Racing.timer = timer
    with ThreadPoolExecutor(8) as threads:
        rounds = [list(threads.map(lambda _: Racing().allow_request(None, None), range(8))) for _ in range(5)]
    return sum(map(sum, rounds))


def test_eight_threads_admit_exactly_the_limit(project):
    """The original shows that the race was met."""
    cache.clear()
    assert admitted_by_racing(throttling.SimpleRateThrottle) > 20
    assert admitted_by_racing(drf.SimpleRateThrottle) == 20


def test_is_shared_by_default():
    """The name of the table is that of the project and the user."""
    name = application_name(__name__)
    with override_settings(ROOT_URLCONF=__name__):
        web_django.without_setting()
        try:
            view = view_of(throttle(drf.AnonRateThrottle, rate="1/day"))
            assert statuses(view, None, None) == [200, 429]
            assert [table for table in Table.names() if table.startswith(name)] == [f"{name}.sliding-log-1-day"]
        finally:
            for table in Table.names():
                if table.startswith(name):
                    Table.shared(table).remove()


def test_limits_a_request_without_authentication_by_address(project):
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert throttle(drf.UserRateThrottle, rate="1/day")().allow_request(request, None)
