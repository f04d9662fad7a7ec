"""The middleware and the decorator for Django. tests/contrib/test_web.py has the rest."""

import asyncio

import pytest
import web
import web_django
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View

from ratelimit import FixedWindow
from ratelimit.contrib.django import ratelimit

ONE, TWO = (f"fixed-window {number}/minute anchor first" for number in (1, 2))
BOTH = pytest.mark.parametrize(
    ("view", "handler"), [(web_django.view, WSGIHandler), (web_django.async_view, ASGIHandler)], ids=["sync", "async"]
)


@pytest.fixture
def project():
    projects = web_django.Projects()
    yield projects.make
    projects.close()


def user(request):
    """A key by its dotted path."""
    return request.GET["user"]


@BOTH
def test_the_middleware_limits_paths_that_do_not_exist(project, view, handler, clock):
    app = project(view, handler, {"limit": ONE, "clock": clock}, web_django.MIDDLEWARE)
    assert app.statuses("/missing", "/missing", "/") == [404, 429, 429]


@BOTH
def test_a_request_that_a_view_refuses_spends_nothing_at_the_middleware(project, view, handler, clock):
    whole = FixedWindow("5/minute", clock=clock)
    options = {"limit": whole, "clock": clock}
    app = project(view, handler, options, web_django.MIDDLEWARE, ratelimit(ONE, scope="all"))
    assert app.statuses(*["/"] * 7) == [200] + [429] * 6
    assert whole.peek(web.ADDRESS).remaining == 4
    answer = app.request()
    assert answer.headers["ratelimit-policy"] == '"1/minute";q=1;w=60'
    assert answer.names.count("ratelimit-policy") == 1


@BOTH
def test_does_not_give_back_twice(project, view, handler, clock):
    """The middleware does not count a refusal, which has spent nothing."""
    whole = FixedWindow("5/minute", clock=clock)
    options = {"limit": whole, "clock": clock, "count_if": lambda request, status: status != 429}
    app = project(view, handler, options, web_django.MIDDLEWARE, ratelimit(ONE, scope="all"))
    app.statuses(*["/"] * 4)
    assert whole.peek(web.ADDRESS).remaining == 4


def test_each_view_is_limited_apart(project, clock):
    views = {"a": ratelimit(ONE)(web_django.view), "b": ratelimit(ONE)(web_django.page_not_found)}

    def dispatch(request):
        return views[request.GET["view"]](request)

    app = project(dispatch, WSGIHandler, {"clock": clock})
    assert app.statuses("/?view=a", "/?view=b", "/?view=a", "/?view=b") == [200, 404, 429, 429]


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("name", ["get", "dispatch"])
def test_class_based_views_are_limited_apart(project, clock, asynchronous, name):
    def answer(self, request):
        return HttpResponse("hello")

    async def answer_later(self, request):
        return HttpResponse("hello")

    limit = method_decorator(ratelimit(ONE), name=name)
    body = {"get": answer_later if asynchronous else answer}
    views = [limit(type(each, (View,), body)).as_view() for each in ("A", "B")]
    handler = ASGIHandler if asynchronous else WSGIHandler

    def dispatch(request):
        return views[int(request.GET["view"])](request)

    async def dispatch_async(request):
        return await dispatch(request)

    app = project(dispatch_async if asynchronous else dispatch, handler, {"clock": clock})
    assert app.statuses("/?view=0", "/?view=0", "/?view=1", "/?view=1") == [200, 429, 200, 429]


def test_coroutine_functions_under_asgi(project, clock):
    async def key(request):
        await asyncio.sleep(0)  # noqa: TID251
        return request.GET["user"]

    async def refused(request, ruling):
        return JsonResponse({"user": ruling.key}, status=420)

    async def counts(request, status):
        return "free" not in request.GET

    limits = {"limit": ONE, "key": key, "on_refused": refused, "count_if": counts}
    for options, middleware, limit in (
        (limits | {"clock": clock}, web_django.MIDDLEWARE, None),
        ({"clock": clock}, (), ratelimit(**limits, scope="")),
    ):
        app = project(web_django.async_view, ASGIHandler, options, middleware, limit)
        assert app.statuses("/?user=ann&free=1", "/?user=ann", "/?user=ann", "/?user=bob") == [200, 200, 420, 200]


@pytest.mark.parametrize(("error", "status"), [(Http404, 404), (PermissionDenied, 403), (ValueError, 500)])
def test_counts_a_view_that_raises_by_its_status(project, clock, error, status):
    seen = []

    def fails(request):
        raise error

    def count_if(request, status):
        seen.append(status)

    app = project(fails, WSGIHandler, {"clock": clock}, limit=ratelimit(ONE, count_if=count_if, scope="x"))
    assert app.statuses("/", "/") == [status, status] == seen


def test_functions_by_their_dotted_paths(project, clock):
    options = {"limit": ONE, "key": f"{__name__}.user", "clock": clock}
    app = project(web_django.view, WSGIHandler, options, web_django.MIDDLEWARE)
    assert app.statuses("/?user=ann", "/?user=ann", "/?user=bob") == [200, 429, 200]


@BOTH
def test_limits_can_be_turned_off(project, view, handler):
    options = {"limit": ONE, "enabled": False}
    app = project(view, handler, options, web_django.MIDDLEWARE, ratelimit(ONE))
    assert app.statuses("/", "/", "/") == [200] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [({"limits": ONE}, "unknown option 'limits' .choose from limit, "), ({}, "missing required option 'limit'")],
)
def test_rejects_wrong_settings(project, options, message):
    with pytest.raises(ImproperlyConfigured, match=f"RATELIMIT: {message}"):
        project(web_django.view, WSGIHandler, options, web_django.MIDDLEWARE)
