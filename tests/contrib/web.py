"""Applications of every framework that is not ASGI, with the same routes, as one interface for their common tests."""

import flask
from werkzeug.test import Client as WsgiClient
from werkzeug.wrappers import Request, Response

from ratelimit.contrib import flask as contrib_flask
from ratelimit.contrib.wsgi import RateLimitMiddleware

ADDRESS = "192.0.2.1"
COUNTS = ("shared", "trusted_proxies", "headers", "shadow", "fail_open", "clock", "max_keys")  # of the extension


class Answer:
    def __init__(self, status, headers, text):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.names = [name.lower() for name, _ in headers]
        self.text = text


class Subject:
    """An application that is limited by the given arguments.

    It answers `/`, `/page` and `/health`: with the status `?status=`, an error for 599, and `?own=` as its own field
    RateLimit-Policy.
    """

    def __init__(self, send, clear):
        self._send, self.clear = send, clear

    def request(self, path="/", headers=None, method="GET", address=ADDRESS):
        return self._send(method, path, headers or {}, address)

    def statuses(self, *paths, **options):
        return [self.request(path, **options).status for path in paths]


def page(query):
    """Return the status and the header fields of an answer."""
    if query.get("status") == "599":
        raise RuntimeError("an error of the application")
    return int(query.get("status", 200)), {"RateLimit-Policy": query["own"]} if "own" in query else {}


def send_by_werkzeug(app):
    def send(method, path, headers, address):
        environment = {"REMOTE_ADDR": address} if address else {}
        try:
            answer = WsgiClient(app).open(
                path, method=method, headers=headers, environ_overrides=environment, buffered=True
            )
        except Exception:  # a server answers so
            return Answer(500, [], "")
        return Answer(answer.status_code, list(answer.headers), answer.get_data(as_text=True))

    return send


def wsgi(**options):
    @Request.application
    def application(request):
        status, fields = page(request.args)
        return Response("hello", status, fields)

    limited = RateLimitMiddleware(application, **options)
    return Subject(send_by_werkzeug(limited), limited.clear)


def flask_blueprint(**options):
    """A Flask application whose routes are limited as a blueprint."""
    limiter = contrib_flask.Limiter(**{name: options.pop(name) for name in COUNTS if name in options})
    routes = limiter.limit(**options)(flask.Blueprint("routes", __name__))
    app = flask.Flask(__name__)
    limiter.init_app(app)
    for path in ("/", "/page", "/health"):
        routes.add_url_rule(
            path, path.replace("/", "_"), lambda: ("hello", *page(flask.request.args)), methods=["GET", "POST"]
        )
    app.register_blueprint(routes)
    return Subject(send_by_werkzeug(app), limiter.clear)


SUBJECTS = {"wsgi": wsgi, "flask": flask_blueprint}
