"""Django projects for tests: the settings, and projects that are limited by the middleware or by decorators."""

import asyncio
from contextlib import suppress

import django
import httpx
import web
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path

from ratelimit.contrib import django as contrib_django

INSTALLED = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"]
if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="of the tests", INSTALLED_APPS=INSTALLED, LOGGING_CONFIG=None)
    django.setup()

MIDDLEWARE = ["ratelimit.contrib.django.RateLimitMiddleware"]


def view(request):
    status, fields = web.page(request.GET)
    return HttpResponse("hello", status=status, headers=fields)


def page_not_found(request):
    return HttpResponse("not found", status=404)


async def async_view(request):
    return view(request)


class Projects:
    """Makes projects, and restores the settings at the end."""

    def __init__(self):
        self._overrides = []

    def make(self, view, handler, options, middleware=(), limit=None):
        """Return a project with these options in its settings, whose views `limit` decorates."""
        override = override_settings(MIDDLEWARE=list(middleware), RATELIMIT=options)
        override.enable()
        self._overrides.append(override)
        view = view if limit is None else limit(view)
        urls = type("Urls", (), {"urlpatterns": [path(name, view) for name in ("", "page", "health")]})
        urls_override = override_settings(ROOT_URLCONF=urls)
        urls_override.enable()
        self._overrides.append(urls_override)
        app = handler()
        send = send_by_asgi if handler is ASGIHandler else web.send_by_werkzeug
        return web.Subject(send(app), contrib_django.clear)

    def close(self):
        while self._overrides:
            self._overrides.pop().disable()


def send_by_asgi(app):
    def send(method, path, headers, address):
        async def requested():
            transport = httpx.ASGITransport(app, client=(address, 4711), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, headers=headers)

        answer = in_a_loop(requested())
        return web.Answer(answer.status_code, answer.headers.multi_items(), answer.text)

    return send


def in_a_loop(coroutine):
    """Run a coroutine also if a loop is running, as for a request that a request makes."""
    with suppress(RuntimeError):
        outer = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return asyncio.new_event_loop().run_until_complete(coroutine)
        finally:
            asyncio._set_running_loop(outer)
    return asyncio.run(coroutine)


def by_middleware(projects, view, handler, options):
    return projects.make(view, handler, options, MIDDLEWARE)


def by_decorator(projects, view, handler, options):
    counts = {name: options.pop(name) for name in web.COUNTS if name in options}
    return projects.make(
        view, handler, counts, limit=lambda view: contrib_django.ratelimit(**options, scope="all")(view)
    )


SUBJECTS = {
    "django": (by_middleware, view, WSGIHandler),
    "django-async": (by_middleware, async_view, ASGIHandler),
    "django-view": (by_decorator, view, WSGIHandler),
    "django-async-view": (by_decorator, async_view, ASGIHandler),
}


def without_setting():
    """Remove RATELIMIT from the settings, inside `override_settings()`."""
    if hasattr(settings, "RATELIMIT"):
        del settings.RATELIMIT
    contrib_django._forget_settings(setting="RATELIMIT")
