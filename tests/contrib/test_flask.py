"""The extension for Flask: routes, blueprints, defaults and exemptions. tests/contrib/test_web.py has the rest."""

from functools import wraps

import flask
import pytest
from flask.views import MethodView

from ratelimit import FixedWindow
from ratelimit.contrib.flask import Limiter, RateLimitExceeded

ONE, TWO, THREE = (f"fixed-window {number}/minute anchor first" for number in (1, 2, 3))


@pytest.fixture
def app():
    return flask.Flask(__name__)


def statuses(app, *paths):
    client = app.test_client()
    return [client.get(path).status_code for path in paths]


def hello():
    return "hello"


def goodbye():
    return "goodbye"


def test_a_route_has_its_own_limit_instead_of_the_default(app, clock):
    limiter = Limiter(app, default=TWO, clock=clock)

    @app.get("/limited")
    @limiter.limit(ONE)
    def limited():
        return "hello"

    for path in ("/a", "/b"):
        app.add_url_rule(path, path[1:], hello)
    assert statuses(app, "/limited", "/limited", "/a", "/b", "/a", "/missing") == [200, 429, 200, 200, 429, 429]


def test_each_view_is_limited_apart(app, clock):
    limiter = Limiter(app, clock=clock)
    shared = FixedWindow("1/minute", clock=clock)
    for path, view in (("/a", hello), ("/b", goodbye)):
        app.add_url_rule(path, path, limiter.limit(ONE)(view))
    for path in ("/c", "/d"):
        app.add_url_rule(path, path, limiter.limit(ONE, scope="together")(lambda: "hello"))
    for path in ("/e", "/f"):
        app.add_url_rule(path, path, limiter.limit(shared)(lambda: "hello"))
    assert statuses(app, "/a", "/a", "/b") == [200, 429, 200]
    assert statuses(app, "/c", "/d", "/e", "/f") == [200, 429, 200, 429]


def test_blueprints_and_exemptions(app, clock):
    limiter = Limiter(app, default=ONE, clock=clock)
    limited = limiter.limit(TWO)(flask.Blueprint("limited", __name__))
    free = limiter.exempt(flask.Blueprint("free", __name__))
    for blueprint in (limited, free):
        blueprint.add_url_rule("/page", view_func=hello)
    limited.add_url_rule("/own", "own", limiter.limit(THREE)(lambda: "hello"))
    limited.add_url_rule("/exempt", "exempt", limiter.exempt(lambda: "hello"))
    outer = flask.Blueprint("outer", __name__)
    outer.register_blueprint(free)
    app.register_blueprint(limited, url_prefix="/limited", name="renamed")
    app.register_blueprint(outer, url_prefix="/outer")
    assert statuses(app, *["/limited/page"] * 3) == [200, 200, 429]
    assert statuses(app, *["/limited/own"] * 4) == [200, 200, 200, 429]
    assert statuses(app, *["/limited/exempt", "/outer/page"] * 3) == [200] * 6
    assert statuses(app, "/missing", "/missing") == [404, 429]


def test_the_static_files_of_the_application_are_not_limited(tmp_path, clock):
    (tmp_path / "static").mkdir()
    (tmp_path / "static/style.css").write_text("a {}")
    app = flask.Flask(__name__, root_path=tmp_path)
    Limiter(app, default=ONE, clock=clock)
    assert statuses(app, *["/static/style.css"] * 3) == [200] * 3


def test_a_limit_above_the_route_holds_too(app, clock):
    limiter = Limiter(app, clock=clock)

    @limiter.limit(ONE)
    @app.get("/")
    def above():
        return "hello"

    assert statuses(app, "/", "/") == [200, 429]


def test_a_limit_is_decided_after_the_decorators_above_it(app, clock):
    """So its key may use what a login has set."""
    limiter = Limiter(app, default=ONE, key=lambda request: flask.g.user, clock=clock)

    def login(view):
        @wraps(view)
        def logged_in():
            flask.g.user = flask.request.args["user"]
            return view()

        return logged_in

    @app.get("/")
    @login
    @limiter.limit(TWO)
    def index():
        return "hello"

    assert statuses(app, *["/?user=ann"] * 3, "/?user=bob") == [200, 200, 429, 200]


def test_a_request_that_one_limit_refuses_spends_nothing_at_the_others(app, clock):
    limiter = Limiter(app, clock=clock)
    outer, inner = FixedWindow("5/minute", clock=clock), FixedWindow("1/minute", clock=clock)
    app.add_url_rule("/", "index", limiter.limit(outer)(limiter.limit(inner)(hello)))
    assert statuses(app, *["/"] * 7) == [200] + [429] * 6
    assert outer.peek("127.0.0.1").remaining == 4


def test_class_based_and_asynchronous_views(app, clock):
    limiter = Limiter(app, default=THREE, clock=clock)

    class Item(MethodView):
        decorators = [limiter.limit(ONE)]  # noqa: RUF012

        def get(self):
            return "hello"

    class Other(Item):
        pass

    @app.get("/async")
    @limiter.limit(ONE)
    async def asynchronous():
        return "hello"

    for view in (Item, Other):
        app.add_url_rule(f"/{view.__name__}", view_func=view.as_view(view.__name__))
    for path in ("/Item", "/Other", "/async"):
        assert statuses(app, path, path) == [200, 429]


def test_the_application_handles_the_429(app, clock):
    limiter = Limiter(app, default=ONE, clock=clock)

    @app.errorhandler(429)
    def refused(error):
        assert isinstance(error, RateLimitExceeded)
        return {"wait": error.ruling.decision.retry_after}, 429

    own = limiter.limit(ONE, on_refused=lambda request, ruling: (f"{request.path} {ruling.key}", 420))(lambda: "hello")
    app.add_url_rule("/own", "own", own)
    app.add_url_rule("/", "index", hello)
    client = app.test_client()
    client.get("/")
    answer = client.get("/")
    assert (answer.status_code, answer.json) == (429, {"wait": 60})
    assert answer.headers["Retry-After"] == "60"
    client.get("/own")
    answer = client.get("/own")
    assert (answer.status_code, answer.text[:5], answer.headers["Retry-After"]) == (420, "/own ", "60")


def test_reads_the_configuration(clock):
    """An argument comes before it, and an extension may have several applications."""
    limiter = Limiter(headers="legacy", clock=clock)
    limited = limiter.limit(ONE)(lambda: "hello")
    for number in range(2):
        app = flask.Flask(__name__)
        app.config |= {"RATELIMIT_DEFAULT": TWO, "RATELIMIT_HEADERS": None, "RATELIMIT_ENABLED": number == 0}
        limiter.init_app(app)
        app.add_url_rule("/", "index", hello)
        app.add_url_rule("/limited", "limited", limited)
        expected = [200, 200, 429, 200, 429] if number == 0 else [200] * 5
        assert statuses(app, "/", "/", "/", "/limited", "/limited") == expected
        assert ("X-RateLimit-Limit" in app.test_client().get("/").headers) == (number == 0)


def test_rejects_a_wrong_configuration(app):
    app.config["RATELIMIT_DEFAULT"] = "many"
    with pytest.raises(ValueError, match="limit 'many'"):
        Limiter(app)
