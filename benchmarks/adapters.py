"""The adapters beside what they limit and what they replace, within one process: microseconds and ratios.

    python benchmarks/adapters.py [--rounds 200] [GROUP ...]

Each figure is the least processor time of many short runs, which take turns: what a busy machine adds is left out. It
needs the dependency group `bench`. All requests are admitted.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from itertools import cycle

REQUESTS = 100  # of one run
LIMIT = "100000000/day"

Run = Callable[[int], None]  # makes so many requests


def asgi_run(app) -> Run:
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/",
        "query_string": b"", "root_path": "", "headers": [(b"host", b"127.0.0.1")], "client": ("127.0.0.1", 1234),
        "server": ("127.0.0.1", 80),
    }  # fmt: skip

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        """Stand in for the network."""

    async def requests(count):
        for _ in range(count):
            await app(dict(scope), receive, send)

    loop = asyncio.new_event_loop()
    return lambda count: loop.run_until_complete(requests(count))


def wsgi_run(app) -> Run:
    from werkzeug.test import EnvironBuilder

    environ = EnvironBuilder("/").get_environ() | {"REMOTE_ADDR": "127.0.0.1"}

    def start_response(status, headers, exc_info=None):
        assert status.startswith("200"), status

    def run(count):
        for _ in range(count):
            body = app(dict(environ), start_response)
            list(body)
            getattr(body, "close", bool)()

    return run


def starlette() -> dict[str, Run]:
    from slowapi import Limiter
    from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from ratelimit.contrib.asgi import RateLimitMiddleware

    async def home(request):
        return PlainTextResponse("hello")

    def app(middleware=None, **options):
        made = Starlette(routes=[Route("/", home)])
        if middleware is not None:
            made.state.limiter = Limiter(lambda request: "key", default_limits=[LIMIT], headers_enabled=True)
            made.add_middleware(middleware, **options)
        return asgi_run(made)

    return {
        "Starlette": app(),
        "asgi.RateLimitMiddleware": app(RateLimitMiddleware, limit=LIMIT),
        "SlowAPIASGIMiddleware": app(SlowAPIASGIMiddleware),
        "SlowAPIMiddleware": app(SlowAPIMiddleware),
    }


def flask() -> dict[str, Run]:
    import flask_limiter
    from flask import Flask

    import ratelimit.contrib.limits  # noqa: F401  (the storage)
    from ratelimit.contrib.flask import Limiter
    from ratelimit.contrib.wsgi import RateLimitMiddleware

    def app(limit=None):
        made = Flask("app")
        made.add_url_rule("/", "home", lambda: "hello")
        if limit is not None:
            limit(made)
        return made

    def theirs(storage):
        def limit(made):
            options = {"default_limits": [LIMIT], "storage_uri": storage, "headers_enabled": True}
            flask_limiter.Limiter(lambda: "key", app=made, **options)

        return wsgi_run(app(limit))

    return {
        "Flask": wsgi_run(app()),
        "wsgi.RateLimitMiddleware": wsgi_run(RateLimitMiddleware(app(), LIMIT)),
        "flask.Limiter": wsgi_run(app(lambda made: Limiter(made, default=LIMIT))),
        "Flask-Limiter, ratelimit://": theirs("ratelimit://"),
        "Flask-Limiter, memory://": theirs("memory://"),
    }


def configure_django() -> None:
    from django.conf import settings

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], RATELIMIT={"limit": LIMIT, "shared": None}, LOGGING_CONFIG=None)


def django() -> dict[str, Run]:
    configure_django()
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import path
    from django_ratelimit.decorators import ratelimit as theirs

    from ratelimit.contrib.django import ratelimit
    from ratelimit.contrib.django_ratelimit.decorators import ratelimit as replaced

    def view(request):
        return HttpResponse("hello")

    def app(limit=None, middleware=()):
        limited = view if limit is None else limit(view)
        urls = type("Urls", (), {"urlpatterns": [path("", limited)]})
        with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=list(middleware)):
            run = wsgi_run(WSGIHandler())

        def run_with_urls(count):
            with override_settings(ROOT_URLCONF=urls):
                run(count)

        return run_with_urls

    return {
        "Django": app(),
        "django.RateLimitMiddleware": app(middleware=["ratelimit.contrib.django.RateLimitMiddleware"]),
        "django.ratelimit": app(ratelimit(LIMIT)),
        "django_ratelimit.ratelimit": app(replaced(key="ip", rate="100000/d")),
        "django-ratelimit": app(theirs(key="ip", rate="100000000/d")),
    }


def throttles() -> dict[str, Run]:
    """Django REST framework, without the request around: its throttle costs more, the more requests it remembers."""
    configure_django()
    from rest_framework import throttling

    from ratelimit.contrib import drf

    def throttle(base):
        keys = cycle([f"key-{number}" for number in range(10_000)])
        made = type("Throttle", (base,), {"rate": "1000/min", "get_cache_key": lambda *_: next(keys)})

        def run(count):
            for _ in range(count):
                made().allow_request(None, None)

        return run

    return {
        "rest_framework.SimpleRateThrottle": throttle(throttling.SimpleRateThrottle),
        "drf.SimpleRateThrottle": throttle(drf.SimpleRateThrottle),
    }


def limits(strategy: str) -> dict[str, Run]:
    from limits import parse
    from limits.storage import storage_from_string
    from limits.strategies import STRATEGIES

    import ratelimit.contrib.limits  # noqa: F401  (the storage)

    def hits(uri):
        made, item = STRATEGIES[strategy](storage_from_string(uri)), parse("1000/second")

        def run(count):
            for _ in range(count):
                made.hit(item, "key")

        return run

    return {f"limits, {uri}": hits(uri) for uri in ("memory://", "ratelimit://")}


def aiolimiter() -> dict[str, Run]:
    from aiolimiter import AsyncLimiter as Theirs

    from ratelimit.contrib.aiolimiter import AsyncLimiter

    def acquire(kind):
        loop, limiter = asyncio.new_event_loop(), kind(1e9, 1)

        async def requests(count):
            for _ in range(count):
                await limiter.acquire()

        return lambda count: loop.run_until_complete(requests(count))

    return {"aiolimiter.AsyncLimiter": acquire(Theirs), "contrib.aiolimiter.AsyncLimiter": acquire(AsyncLimiter)}


# The first run of each group is what the others are compared with.
GROUPS: dict[str, Callable[[], dict[str, Run]]] = {
    "starlette": starlette,
    "flask": flask,
    "django": django,
    "throttles": throttles,
    "limits-fixed": lambda: limits("fixed-window"),
    "limits-moving": lambda: limits("moving-window"),
    "aiolimiter": aiolimiter,
}
# The greatest ratio of one run to the first of its group.
TARGETS = {
    ("starlette", "asgi.RateLimitMiddleware"): 1.35,
    ("limits-fixed", "limits, ratelimit://"): 1.0,
    ("limits-moving", "limits, ratelimit://"): 1.0,
}


def measure(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the microseconds of a request: of many short runs, which take turns, the least."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.thread_time()
            run(REQUESTS)
            best[name] = min(best[name], (time.thread_time() - began) / REQUESTS * 1e6)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; by default all")
    options = parser.parse_args()
    for group in options.groups or GROUPS:
        best = measure(GROUPS[group](), options.rounds)
        first = next(iter(best.values()))
        print(f"\n{group}")
        for name, microseconds in best.items():
            target = TARGETS.get((group, name))
            note = "" if target is None else f"   target: at most {target}"
            print(f"  {name:34} {microseconds:8.2f} us {microseconds / first:7.2f} x{note}")


if __name__ == "__main__":
    main()
