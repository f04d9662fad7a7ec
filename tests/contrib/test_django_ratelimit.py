"""The package django-ratelimit: its decorator, its functions and its middleware, with sync and async views."""

import asyncio

import pytest
import web_django
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.utils.decorators import method_decorator
from django.views import View

from ratelimit import RateLimitError
from ratelimit.contrib.django_ratelimit import ALL, UNSAFE
from ratelimit.contrib.django_ratelimit.core import aget_usage, clear, get_usage, is_ratelimited, split_rate
from ratelimit.contrib.django_ratelimit.decorators import ratelimit
from ratelimit.contrib.django_ratelimit.exceptions import Ratelimited

MIDDLEWARE = ["ratelimit.contrib.django_ratelimit.middleware.RatelimitMiddleware"]


class User:
    def __init__(self, pk, is_authenticated=True):
        self.pk, self.is_authenticated = pk, is_authenticated


class CustomError(Exception):
    pass


def user_key(group, request):
    return request.GET["user"]


async def user_key_later(group, request):
    await asyncio.sleep(0)  # noqa: TID251
    return request.GET["user"]


def blocked_view(request, exception):
    return HttpResponse("blocked", status=420)


async def blocked_view_async(request, exception):
    return HttpResponse("blocked", status=420)


@pytest.fixture(autouse=True)
def settings(clock):
    with override_settings(RATELIMIT={"clock": clock}):
        yield


@pytest.fixture
def project():
    projects = web_django.Projects()
    yield projects.make
    projects.close()


def request(method="GET", user=None, **parameters):
    made = RequestFactory().generic(method, "/") if method != "GET" else RequestFactory().get("/", parameters)
    made.user = User(user, user is not None)
    return made


def limited(*args, asynchronous=False, **options):
    """Return a function that sends a request to a view, and returns whether it was limited."""

    def view(request):
        return request.limited

    async def view_async(request):
        return request.limited

    decorated = ratelimit(*args, **{"block": False} | options)(view_async if asynchronous else view)
    if asynchronous:
        return lambda request: asyncio.run(decorated(request))
    return decorated


BOTH = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@BOTH
def test_each_kind_of_key_separates_requests(asynchronous):
    cases = {
        "ip": [request(), request(user="ann")],
        "user": [request(user="ann"), request(user="ann")],
        "user_or_ip": [request(), request()],
        "get:q": [request(q="a"), request(q="a", user="ann")],
        "header:x-key": [request(), request()],
        user_key: [request(user="ann")] * 2,
        f"{__name__}.user_key": [request(user="ann")] * 2,
    }
    for key, requests in cases.items():
        view = limited(group=str(key), key=key, rate="1/m", asynchronous=asynchronous)
        for one in requests:
            one.GET = one.GET.copy()
            one.GET["user"] = "ann"
        assert [view(one) for one in requests] == [False, True], key


@BOTH
def test_other_keys_have_other_counts(asynchronous):
    view = limited(key="user_or_ip", rate="1/m", asynchronous=asynchronous)
    assert [view(request(user=user)) for user in (None, "ann", "bob", None, "ann")] == [False] * 3 + [True] * 2


def test_an_async_view_may_have_coroutine_functions():
    async def rate(group, request):
        return "1/m"

    view = limited(key=user_key_later, rate=rate, asynchronous=True)
    one = RequestFactory().get("/", {"user": "ann"})
    assert [view(one), view(one)] == [False, True]
    with pytest.raises(TypeError, match="use aget_usage"):
        limited(key=user_key_later, rate="1/m")(one)


def test_an_async_view_reads_the_user_without_blocking():
    """`request.user` may ask the database, which Django forbids in a coroutine."""

    class Request:
        method, META = "GET", {"REMOTE_ADDR": "192.0.2.1"}
        GET = {}  # noqa: RUF012

        async def auser(self):
            return User("ann")

    usages = [asyncio.run(aget_usage(Request(), "group", key="user", rate="1/m", increment=True)) for _ in range(2)]
    assert [usage["should_limit"] for usage in usages] == [False, True]


def test_usage_counts_refused_requests_as_one(clock):
    """So a check that does not count sees that the limit is exceeded."""

    def usage(increment):
        return get_usage(request(), "group", key="ip", rate="2/m", increment=increment)

    assert usage(False) == {"count": 0, "limit": 2, "should_limit": False, "time_left": 60}
    counts = [usage(True)["count"] for _ in range(5)]
    clock.advance(15)
    assert counts == [1, 2, 3, 3, 3]
    assert usage(False) == {"count": 3, "limit": 2, "should_limit": True, "time_left": 45}
    clock.advance(45)
    assert usage(False)["count"] == 0


def test_a_failed_login_may_be_counted_afterwards():
    def login():
        one = request()
        if is_ratelimited(one, "login", key="ip", rate="3/h", increment=False):
            return "limited"
        is_ratelimited(one, "login", key="ip", rate="3/h", increment=True)
        return "wrong password"

    assert [login() for _ in range(6)] == ["wrong password"] * 4 + ["limited"] * 2


def test_block_raises_with_the_time_to_wait(clock):
    view = limited(key="ip", rate="1/m", block=True)
    view(request())
    clock.advance(20)
    with pytest.raises(Ratelimited) as blocked:
        view(request())
    assert blocked.value.retry_after == 40
    assert isinstance(blocked.value, PermissionDenied)
    for custom in (CustomError, f"{__name__}.CustomError"):
        with override_settings(RATELIMIT_EXCEPTION_CLASS=custom), pytest.raises(CustomError):
            view(request())


def test_limits_only_the_given_methods():
    view = limited(key="ip", rate="1/m", method=["POST", "put"])
    assert [view(request(method)) for method in ("GET", "POST", "GET", "PUT")] == [False, False, False, True]
    assert not limited(key="ip", rate="0/m", method=ratelimit.UNSAFE)(request("GET"))
    assert limited(key="ip", rate="0/m", method=UNSAFE)(request("DELETE"))
    assert limited(key="ip", rate="0/m", method=ALL)(request("OPTIONS"))


def test_stacked_decorators_keep_the_mark():
    inner = limited(key="ip", rate="10/d", group="inner")
    outer = ratelimit(key="ip", rate="1/m", group="outer", block=False)(inner)
    assert [outer(request()), outer(request())] == [False, True]


def test_groups_are_shared_and_views_are_not():
    one, two = (limited("group", "ip", "1/m") for _ in range(2))
    assert [one(request()), two(request())] == [False, True]

    class Page(View):
        def get(self, request):
            return request.limited

    first, second = (
        method_decorator(ratelimit(key="ip", rate="1/m", block=False), name="get")(type(name, (Page,), {})).as_view()
        for name in "AB"
    )
    assert [first(request()), second(request()), first(request())] == [False, False, True]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [("5/s", (5, 1)), ("10/30s", (10, 30)), ("10/5", (10, 5)), ("400/10M", (400, 600)), ("3/hour", (3, 3600)),
     ("0/d", (0, 86400)), ((7, 90), (7, 90)), (None, None)],
)  # fmt: skip
def test_splits_a_rate_into_number_and_seconds(rate, expected):
    assert split_rate(rate) == expected


def test_a_function_may_give_each_request_its_rate():
    def rate(group, request):
        return {"ann": "2/m", "bob": None}.get(request.user.pk, (0, 60))

    view = limited(key="user", rate=rate)
    users = ["ann"] * 3 + ["bob"] * 3 + ["eve"]
    assert [view(request(user=user)) for user in users] == [False, False, True] + [False] * 3 + [True]


def test_a_limit_above_that_of_a_window_that_starts_with_its_first_request():
    view = limited(key="ip", rate="200000/h")
    assert not view(request())
    assert get_usage(request(), "x", key="ip", rate="200000/h", increment=True)["count"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": "1/m"}, "key: missing"),
        ({"rate": "1/m", "key": "address"}, "key: expected 'ip'"),
        ({"rate": lambda group, request: "often", "key": "ip"}, "rate: expected text such as '5/m'"),
        ({"rate": (1, 0), "key": "ip"}, "rate: expected text such as '5/m'"),
    ],
)
def test_rejects_wrong_arguments(options, message):
    with pytest.raises(ImproperlyConfigured, match=message):
        limited(**options)(request())


def test_rejects_a_wrong_rate_at_start():
    with pytest.raises(ImproperlyConfigured, match="rate: expected text such as '5/m' or '10/30s' or two numbers, got"):
        ratelimit(key="ip", rate="often")
    with pytest.raises(ImproperlyConfigured, match="missing required argument: group or fn"):
        get_usage(request(), key="ip", rate="1/m")


def test_limits_by_the_network_of_the_address():
    view = limited(key="ip", rate="1/m")

    def asked(address, **settings):
        one = request()
        one.META |= {"REMOTE_ADDR": address}
        with override_settings(**settings):
            return view(one)

    assert [asked("2001:db8::1"), asked("2001:db8::2")] == [False, True]
    assert [asked("2001:db8::3", RATELIMIT_IPV6_MASK=128)] == [False]
    assert [asked("10.1.1.1", RATELIMIT_IPV4_MASK=16), asked("10.1.9.9", RATELIMIT_IPV4_MASK=16)] == [False, True]
    assert [asked("no address"), asked("nor this")] == [False, True]
    with pytest.raises(ImproperlyConfigured, match="no address in REMOTE_ADDR"):
        asked("")
    for source in ("HTTP_X_REAL_IP", lambda request: request.META["HTTP_X_REAL_IP"]):
        one = request()
        one.META["HTTP_X_REAL_IP"] = "192.0.2.77"
        with override_settings(RATELIMIT_IP_META_KEY=source):
            assert view(one) == callable(source)


@pytest.mark.parametrize(("fail_open", "expected"), [(True, False), (False, True)])
def test_failing_limiter_refuses_unless_ratelimit_fail_open(fail_open, expected):
    class BrokenClock:
        def now_ns(self):
            raise RateLimitError("the clock is broken")

    with override_settings(RATELIMIT={"clock": BrokenClock()}, RATELIMIT_FAIL_OPEN=fail_open):
        assert limited(key="ip", rate="5/m")(request()) is expected


def test_turning_off_and_clearing(clock):
    view = limited(key="ip", rate="1/m")
    for setting in ({"RATELIMIT_ENABLE": False}, {"RATELIMIT": {"enabled": False}}):
        with override_settings(**setting):
            assert [view(request()) for _ in range(3)] == [False] * 3
    assert [view(request()), view(request())] == [False, True]
    clear()
    assert not view(request())


@pytest.mark.parametrize(
    ("view", "answer", "status"),
    [(None, None, 429), ("blocked_view", "sync", 420), ("blocked_view_async", "async", 420)],
)
@pytest.mark.parametrize("handler", [WSGIHandler, ASGIHandler])
def test_the_middleware_answers_with_retry_after(project, clock, handler, view, answer, status):
    page = web_django.async_view if handler is ASGIHandler else web_django.view
    with override_settings(**{} if view is None else {"RATELIMIT_VIEW": f"{__name__}.{view}"}):
        app = project(page, handler, {"clock": clock}, MIDDLEWARE, ratelimit(key="ip", rate="1/m", group="g"))
        assert app.request().status == 200
        clock.advance(12)
        refused = app.request()
    assert (refused.status, refused.headers["retry-after"]) == (status, "48")


def test_without_the_middleware_django_answers_403(project, clock):
    app = project(web_django.view, WSGIHandler, {"clock": clock}, (), ratelimit(key="ip", rate="1/m"))
    assert app.statuses("/", "/") == [200, 403]
