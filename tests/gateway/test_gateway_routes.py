"""Route selection, and paths that could be read in two ways."""

import asyncio

import pytest

from ratelimit.gateway import Api, Configuration, Gateway, Mock, Route, RouteTable, Stage
from ratelimit.gateway.http.paths import BadPath, decode
from ratelimit.gateway.routing.router import MAX_CACHED_ROUTES

VECTORS = ["GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default"]


@pytest.mark.parametrize("keys", [VECTORS, VECTORS[::-1]], ids=["in order", "reversed"])
@pytest.mark.parametrize(
    ("method", "path", "key", "variables"),
    [
        ("GET", "/pets/dog/1", "GET /pets/dog/1", {}),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}", {"id": "2"}),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}", {"proxy": "cat/1"}),
        ("POST", "/test/5", "ANY /{proxy+}", {"proxy": "test/5"}),
        ("GET", "/", "$default", {}),
    ],
)
def test_selects_like_the_examples_of_api_gateway(keys, method, path, key, variables):
    """The order in which routes are written does not matter."""
    assert RouteTable(keys).match(method, path)[:2] == (key, variables)


@pytest.mark.parametrize(
    ("keys", "method", "path", "key"),
    [
        (["ANY /a", "GET /a"], "GET", "/a", "GET /a"),
        (["ANY /a", "GET /a"], "PUT", "/a", "ANY /a"),
        (["GET /a"], "PUT", "/a", None),
        (["POST /a/b", "GET /a/{x}"], "GET", "/a/b", "GET /a/{x}"),  # back from a literal that has no GET
        (["GET /{x}/b", "GET /a/{y}"], "GET", "/a/b", "GET /a/{y}"),  # literals first, from the left
        (["GET /{x}/c", "GET /a/{y}"], "GET", "/a/c", "GET /a/{y}"),
        (["GET /{x}/c", "GET /a/b"], "GET", "/a/c", "GET /{x}/c"),
        (["GET /{p+}", "GET /a/{q+}"], "GET", "/a/b/c", "GET /a/{q+}"),  # the most specific greedy one
        (["GET /{p+}", "GET /a/{q+}"], "GET", "/a", "GET /{p+}"),  # a greedy variable stands for something
        (["GET /{p+}", "POST /a/{q+}"], "GET", "/a/b", "GET /{p+}"),
        (["GET /a/{x}", "GET /a/{p+}"], "GET", "/a/b", "GET /a/{x}"),  # full matches before greedy ones
        (["GET /a", "GET /a/"], "GET", "/a/", "GET /a/"),
        (["GET /a"], "GET", "/a/", "GET /a"),
        (["GET /a", "GET /a/{x}"], "GET", "/a/", "GET /a"),
        (["GET /a/{x}"], "GET", "/a/b/", "GET /a/{x}"),
        (["GET /a", "GET /{p+}", "$default"], "GET", "/a/", "GET /a"),  # whose guard a greedy one may not have
        (["GET /a", "POST /a/"], "GET", "/a/", "GET /a"),
        (["GET /a/{x}"], "GET", "/a/", None),  # a variable does not stand for nothing
        (["$default"], "PATCH", "/any/thing", "$default"),
    ],
)
def test_selects_the_most_specific_route(keys, method, path, key):
    match = RouteTable(keys).match(method, path)
    assert (match and match.key) == key


def test_many_routes_take_no_longer():
    """A request visits one node per segment, whatever the number of routes."""
    few, many = (RouteTable([f"GET /r{i}/{{x}}/end" for i in range(n)]) for n in (10, 1_000))
    visits = []
    for table in (few, many):
        seen = []
        full = table._full
        table._full = lambda *a, full=full, seen=seen: (seen.append(a), full(*a))[1]
        assert table.match("GET", "/r7/1/end").key == "GET /r7/{x}/end"
        visits.append(len(seen))
    assert visits[0] == visits[1] == 4


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("FETCH /a", "FETCH"),
        ("GET a", "GET a"),
        ("GET /{a}{b}", "neither literal nor one variable"),
        ("GET /{p+}/b", "only at the end"),
        ("GET /{a}/{a}", "a variable twice"),
        ("GET /a//b", "no request has"),
        ("GET /a/../b", "no request has"),
        ("GET /a b", "neither literal"),
    ],
)
def test_rejects_malformed_route_keys(key, problem):
    with pytest.raises(ValueError, match=problem):
        RouteTable([key])


def test_rejects_the_same_route_key_twice():
    with pytest.raises(ValueError, match=r"'GET /\{a\}' and 'GET /\{b\}' are the same"):
        RouteTable(["GET /{a}", "GET /{b}"])


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", "/"),
        (b"/pets/1", "/pets/1"),
        (b"/p%65ts/%C3%A9", "/pets/é"),
        (b"/a%20b", "/a b"),
        (b"/a..b/..c/d..", "/a..b/..c/d.."),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/a/", "/a/"),
    ],
)
def test_decodes_segments(raw, path):
    assert decode(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"a", b"*", b"//", b"//a", b"/a//b", b"/a//", b"/..", b"/a/../b", b"/a/./b", b"/a/.", b"/%2e%2e/a",
        b"/a/.%2E/b",
        b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a\\b", b"/%00", b"/a%0ab", b"/a%7f", b"/%", b"/%zz", b"/%1", b"/%ff",
        b"/%c3%28",
        b"/%ed%a0%80", b"/a\x80", b"/a\x01",
    ],
)  # fmt: skip
def test_rejects_ambiguous_paths(raw):
    with pytest.raises(BadPath):
        decode(raw)


@pytest.mark.parametrize("raw", [b"/a%2f..%2fb", b"/a%2f%2fb", b"/a%2f", b"/%2fa", b"/a/%2e%2e%2fb", b"/a%5c..%5cb"])
def test_encoded_slashes_hide_nothing(raw):
    """If encoded slashes are allowed, the decoded path must be as harmless as a plain one."""
    with pytest.raises(BadPath):
        decode(raw, encoded_slash=True)


def test_an_encoded_slash_is_part_of_a_segment():
    match = RouteTable(["GET /repos/{name}", "GET /{p+}"]).match("GET", decode(b"/repos/a%2Fb", encoded_slash=True))
    assert (match.key, match.variables) == ("GET /repos/{name}", {"name": "a/b"})


def test_cache_of_paths_is_bounded():
    """A cached path gives the same result."""
    routes = {"GET /a/{id}": Route(mock=Mock(body="$request.path.id"))}
    gateway = Gateway(Configuration(apis={"a": Api(routes=routes, stages={"$default": Stage()})}, throttle=None))

    async def ask(id):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": f"/a/{id}", "raw_path": b"/a/%b" % id.encode(), "client": None,
            "headers": [(b"host", b"a")], "query_string": b"",
        }  # fmt: skip
        await gateway(scope, None, send)
        return sent[1]["body"].decode()

    async def ask_all():
        for id in [*map(str, range(MAX_CACHED_ROUTES + 10)), "x" * 5_000] * 2:
            assert await ask(id) == id
            assert len(gateway.site.router._cache) <= MAX_CACHED_ROUTES

    asyncio.run(ask_all())
    assert not any(len(raw) > 256 for _, raw, *_ in gateway.site.router._cache)
