"""Header fields are read as RFC 9110 and 9112 say, once and for all, and a backend gets no claims of a client."""

import itertools
import json

import pytest
from fronts import Client, Recorder, ask, proxied
from gateway_harness import KEY, App, Server

from ratelimit.gateway import Api, Configuration, Proxy, Route, Stage
from ratelimit.gateway.http.target import MAX_AUTHORITY, BadTarget, host_name

OTHER_METHODS = ["TRACE", "PURGE", "PROPFIND", "LINK", "BREW", "get", "CONNECT"]
TAB = "\t"  # behind a coding the parser refuses one, which is safe
BLANKS = [" ", "\t", " \t ", "   "]
CLIENT = """
trusted_proxies: 127.0.0.1
operator: {allow: 127.0.0.0/8}
apis:
  a:
    routes:
      GET /denied: {deny: 203.0.113.0/24, mock: {body: passed}}
      GET /allowed: {allow: 127.0.0.1, mock: {body: passed}}
      GET /ip: {mock: {body: "$context.identity.sourceIp"}}
    stages: {$default: {}}
"""


@pytest.fixture(scope="module")
def passing(tmp_path_factory):
    """A gateway that passes everything on, and the recorder behind it; one for all tests, since each start is slow."""
    recorder = Recorder()
    server = Server(tmp_path_factory.mktemp("passing"), proxied(recorder.url))
    yield server, recorder
    server.stop()
    recorder.stop()


@pytest.fixture
def port(passing):
    return passing[0].port


@pytest.fixture
def recorder(passing):
    passing[1].seen.clear()
    return passing[1]


@pytest.fixture(scope="module")
def identifying(tmp_path_factory):
    """The port of a gateway behind a trusted proxy."""
    server = Server(tmp_path_factory.mktemp("identifying"), CLIENT)
    yield server.port
    server.stop()


# --- optional white space (RFC 9112, 5)


def test_strips_white_space_around_a_value_before_anything_reads_it(serve, recorder):
    server = serve(f"""
api_keys: {{ann: {KEY}}}
plans: {{gold: {{keys: ann, stages: [a/prod]}}}}
domains: {{admin.example: {{/: admin}}, shop.example: {{/: a}}}}
apis:
  a:
    routes:
      POST /keyed: {{api_key_required: true, mock: {{body: keyed}}}}
      $default: {{proxy: "{recorder.url}"}}
    stages: {{prod: {{}}}}
  admin: {{routes: {{$default: {{mock: {{body: admin}}}}}}, stages: {{$default: {{}}}}}}
""")
    for blank in BLANKS:
        host = f"Host: {blank}shop.example{blank}"
        status, _, body = ask(
            server.port, "POST /prod/keyed HTTP/1.1", host, f"X-Api-Key: {KEY}{blank}", f"Content-Length: 0{blank}"
        )
        assert (status, body) == (200, b"keyed")
        assert ask(server.port, "GET / HTTP/1.1", f"Host: admin.example{blank}")[2] == b"admin"
        lines = [
            "POST /prod/x HTTP/1.1",
            host,
            f"Transfer-Encoding: chunked{blank.replace(TAB, ' ')}",
            f"X-Note:{blank}a b{blank}",
        ]
        assert ask(server.port, *lines, body=b"2\r\nhi\r\n0\r\n\r\n")[0] == 200
        assert (recorder.seen[-1]["body"], recorder.header("x-note")) == ("hi", ["a b"])
        assert recorder.header("x-forwarded-host") == ["shop.example"]


@pytest.mark.parametrize("blank", BLANKS)
def test_strips_white_space_whatever_server_the_application_runs_on(blank):
    """An ASGI server may pass on what surrounds a value."""
    configuration = Configuration(
        {"a": Api(routes={"GET /": Route(function=lambda event: event["headers"])}, stages={"$default": Stage()})}
    )
    assert App(configuration).get("/", headers={"x-note": f"{blank}a{blank}"}).json()["x-note"] == "a"


def test_a_clients_header_marks_no_backend_as_failed(serve, recorders):
    """Two backends stay in turn, whatever blanks a client sends."""
    behind = recorders(), recorders()
    server = serve(proxied(f'{behind[0].url}", "{behind[1].url}').replace('to: "', 'to: ["').replace('"}', '"]}'))
    for blank in BLANKS:
        for line in (f"Host: x{blank}", f"Host: x\r\nX-Other: {blank}y{blank}", f"Host: x\r\nX-Empty:{blank}"):
            assert ask(server.port, "GET / HTTP/1.1", line)[0] == 200
    assert [len(one.seen) for one in behind] == [6, 6]


def test_an_error_of_the_gateway_is_not_held_against_a_backend():
    """A request that cannot be sent does not count as a failure of its backend, which serves the next one."""
    recorder = Recorder()
    route = Route(proxy=Proxy([recorder.url], max_fails=1, fail_timeout=60), request={"append:header.x-a": "${p}"})
    ask = App(Configuration({"a": Api(routes={"GET /{p}": route}, stages={"$default": Stage()})}))
    address = ask.gateway.site.used[0]
    assert ask.get("/fine").status_code == 200
    for target in ("/%c2%a0", "/%e2%80%a8"):
        assert ask.get(target).status_code in (200, 400)
    assert (address.fails, address.down_until) == (0, 0.0)
    recorder.stop()


# --- whose request it is: X-Forwarded-For


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-For: 203.0.113.5"],
        ["X-Forwarded-For: 203.0.113.5,"],
        ["X-Forwarded-For: 203.0.113.5, ,\t, "],
        ["X-Forwarded-For: 203.0.113.5", "X-Forwarded-For:"],
        ["X-Forwarded-For: 203.0.113.5", "X-Forwarded-For: ,", "X-Forwarded-For: "],
        ["X-Forwarded-For: 1.1.1.1, 203.0.113.5,,127.0.0.1,"],
        ["X-Forwarded-For: [::ffff:203.0.113.5]:443,"],
    ],
)
def test_empty_elements_of_a_list_do_not_count(identifying, lines):
    """RFC 9110, 5.6.1: the client is the last address that is not a trusted proxy's."""
    port = identifying
    assert ask(port, "GET /ip HTTP/1.1", "Host: a", *lines)[2] == b"203.0.113.5"
    assert ask(port, "GET /denied HTTP/1.1", "Host: a", *lines)[0] == 403
    assert ask(port, "GET /allowed HTTP/1.1", "Host: a", *lines)[0] == 403
    assert ask(port, "GET /_gateway HTTP/1.1", "Host: localhost", *lines)[0] == 404


@pytest.mark.parametrize(
    "client",
    ["unknown", "_hidden", "unix:", "203.0.113.5.evil", "1.1.1.1, unknown", "[", "-", "999", "1.1.1.1, \xa0", "\x85"],
)
def test_a_client_without_an_address_is_in_every_list_of_denied(identifying, client):
    port = identifying
    for path, status in (("/denied", 403), ("/allowed", 403), ("/ip", 200)):
        assert ask(port, f"GET {path} HTTP/1.1", "Host: a", f"X-Forwarded-For: {client}")[0] == status
    assert ask(port, "GET /_gateway HTTP/1.1", "Host: localhost", f"X-Forwarded-For: {client}")[0] == 404


# --- the host


def test_the_authority_of_the_target_wins_over_host(serve, recorder):
    """RFC 9112, 3.2.2."""
    server = serve(f"""
domains: {{admin.example: {{/: admin}}, shop.example: {{/: shop}}}}
apis:
  admin: {{routes: {{$default: {{proxy: "{recorder.url}"}}}}, stages: {{$default: {{}}}}}}
  shop: {{routes: {{$default: {{mock: {{body: shop}}}}}}, stages: {{$default: {{}}}}}}
""")
    assert ask(server.port, "GET /x HTTP/1.1", "Host: shop.example")[2] == b"shop"
    for absolute in ("http://admin.example/x", "HTTP://ADMIN.example:80/x?q", "https://admin.example/x"):
        status, _, body = ask(server.port, f"GET {absolute} HTTP/1.1", "Host: shop.example")
        assert (status, json.loads(body)["target"].partition("?")[0]) == (200, "/x")
        assert recorder.header("x-forwarded-host")[0].lower().partition(":")[0] == "admin.example"


def test_the_authority_of_the_target_is_the_host_where_there_is_no_other(serve):
    """HTTP/1.0 requires no Host; RFC 9112, 3.2.2 holds for it as well."""
    server = serve("""
domains: {admin.example: {/: admin}, "*": {/: shop}}
apis:
  admin: {routes: {$default: {deny: 0.0.0.0/0, mock: {}}}, stages: {$default: {}}}
  shop: {routes: {$default: {mock: {body: shop}}}, stages: {$default: {}}}
""")
    assert ask(server.port, "GET /x HTTP/1.0")[2] == b"shop"
    assert ask(server.port, "GET http://admin.example/x HTTP/1.0")[0] == 403
    assert ask(server.port, "GET http://admin.example/x HTTP/1.1")[0] == 400


@pytest.mark.parametrize(
    "host",
    [
        "a b", "a/../b?x#y", "evil@shop.example", "a, b", "a,b", "a;b", "a\\b", "a:b", "a:1:2", "a:65536", "a:-1", "a:",
        "..", ".a", "a..b", "a.example..", "[::1%25lo]", "[::1", "::1", "[zz]", "[::1]x", "[]", "a%00", "a%2fb", "ä.example", "a\"b", "<a>", "a|b", "a^b", "{a}", "(a)",
    ],
)  # fmt: skip
def test_refuses_a_host_that_is_not_one(port, recorder, host):
    status, headers, _ = ask(port, "GET / HTTP/1.1", f"Host: {host}")
    assert (status, headers.get("connection")) == ((200, None) if host == "a:" else (400, "close"))
    if not host.startswith("a:") and "/" not in host and "?" not in host:
        assert ask(port, f"GET http://{host.replace(' ', '')}/ HTTP/1.1", f"Host: {host}")[0] == 400


@pytest.mark.parametrize(
    "host", ["a", "A.example", "a.example.", "a_b.example", "127.0.0.1:80", "[::1]", "[::1]:8080", "xn--a-b"]
)
def test_accepts_a_host_that_is_one(port, recorder, host):
    assert ask(port, "GET / HTTP/1.1", f"Host: {host}")[0] == 200
    assert recorder.header("x-forwarded-host") == [host]


@pytest.mark.parametrize(
    "target",
    ["/x#y", "/x?y#z", "http://a/x#y", "ftp://a/x", "http:///x", "http://", "//", "http://u@a/x", "http://u:p@a/",
     "http://a b/", "http:/x", "a:80", "*", "?x", "http://[::1/x", "http://a:b/", "http://:80/x", "http://a..b/x", "http://./x"],
)  # fmt: skip
def test_refuses_a_target_that_is_not_one(port, recorder, target):
    assert ask(port, f"GET {target} HTTP/1.1", "Host: a")[0] == 400
    assert recorder.seen == []


@pytest.mark.parametrize(
    ("target", "path"), [("http://a", "/"), ("http://a?x=1", "/?x=1"), ("http://a/b?c?d", "/b?c?d")]
)
def test_an_empty_path_of_a_target_is_the_root(port, recorder, target, path):
    assert ask(port, f"GET {target} HTTP/1.1", "Host: a")[0] == 200
    assert recorder.seen[-1]["target"] == path


# --- what a client claims

CLAIMS = [
    "X-Connection-Id", "X_Connection_Id", "True-Client-IP", "X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "Proxy",
    "X-Real-IP", "Forwarded", "X-Client-IP", "X-Cluster-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP", "Client-IP",
    "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server",
    "X-Forwarded-Prefix", "X-Forwarded", "X-Host", "X-Original-Host", "X-HTTP-Method", "X-HTTP-Method-Override",
    "X-Method-Override", "x_http_method_override", "X-Original-Forwarded-For", "X_Original_Method", "X-Originating-IP",
    "X-Envoy-External-Address", "X-Azure-ClientIP", "CF-Connecting-IPv6", "WL-Proxy-Client-IP", "Proxy-Client-IP",
    "X-Remote-Addr", "X-Scheme", "Front-End-Https", "X-Override-URL", "X-Amzn-RequestId", "CF-Pseudo-IPv4",
    "CloudFront-Viewer-Address", "DO-Connecting-IP", "Fly-Client-IP", "Incap-Client-IP", "Remote-Addr", "Remote_Addr",
    "X-AppEngine-Remote-Addr", "X-HTTP-Host-Override", "X-NF-Client-Connection-IP", "X-Replaced-Path",
    "X-Sucuri-ClientIP", "X-Vercel-Forwarded-For", "X-Vercel-Proxied-For", "X_API_Key", "Content_Length",
]  # fmt: skip
FUNCTION = "def show(event):\n    return event['headers']\n"


@pytest.mark.parametrize("to", ["proxy", "function"])
def test_claims_of_a_client_reach_no_backend(serve, recorder, tmp_path, to):
    """Only the gateway determines the client, the URL and the method of a request."""
    (tmp_path / "show.py").write_text(FUNCTION)
    target = f'proxy: "{recorder.url}"' if to == "proxy" else 'function: "show:show"'
    api = f"{{routes: {{$default: {{{target}}}}}, stages: {{$default: {{}}}}}}"
    port = serve(f"api_keys: {{ann: victim{KEY}}}\napis: {{a: {api}}}").port
    for name in CLAIMS:
        status, _, body = ask(port, "GET / HTTP/1.1", "Host: a", f"{name}: victim{KEY}", "X-Other: kept")
        assert status == 200
        assert b"victim" not in body, name
        assert b"kept" in body


@pytest.mark.parametrize("to", ["proxy", "function"])
@pytest.mark.parametrize("name", ["X_Token", "x_token", "X-User_Id", "Content_Type"])
def test_a_header_has_no_twin_of_another_spelling(serve, recorder, tmp_path, to, name):
    """CGI and WSGI read both as one: a backend would see another value than that which the gateway has checked."""
    (tmp_path / "show.py").write_text(FUNCTION)
    target = f'proxy: "{recorder.url}"' if to == "proxy" else 'function: "show:show"'
    port = serve(f"apis: {{a: {{routes: {{$default: {{{target}}}}}, stages: {{$default: {{}}}}}}}}").port
    twin = name.replace("_", "-")
    status, _, body = ask(port, "GET / HTTP/1.1", "Host: a", f"{name}: twin", f"{twin}: seen", "X_Other: kept")
    assert status == 200
    assert b"twin" not in body
    assert b"seen" in body
    assert b"kept" in body


def test_a_trusted_proxys_scheme_is_http_or_https(serve, recorder):
    port = serve("trusted_proxies: 127.0.0.1\n" + proxied(recorder.url)).port
    for claimed in ("javascript", "https, http", "HTTPS://x", ""):
        assert ask(port, "GET / HTTP/1.1", "Host: a", f"X-Forwarded-Proto: {claimed}")[0] == 200
        assert recorder.header("x-forwarded-proto") == ["http"]
    assert ask(port, "GET / HTTP/1.1", "Host: a", "X-Forwarded-Proto: https")[0] == 200
    assert recorder.header("x-forwarded-proto") == ["https"]


# --- codings, versions, lines, methods


@pytest.mark.parametrize(
    "lines",
    [
        ["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: gzip"],
        ["Transfer-Encoding:", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding:"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: chunked;q=1"],
        ["Transfer-Encoding: \"chunked\""],
        ["Transfer-Encoding:"],
    ],
)  # fmt: skip
def test_refuses_a_coding_other_than_chunked_once(port, recorder, lines):
    """A body has the chunked coding, once, or the request is refused."""
    with Client(port) as client:
        client.send("\r\n".join(["POST / HTTP/1.1", "Host: a", *lines, "", ""]).encode() + b"2\r\nhi\r\n0\r\n\r\n")
        assert client.answer()[0] == 400
        assert client.answer() is None
    assert recorder.seen == []


@pytest.mark.parametrize(
    ("version", "refused"), [("2.0", 505), ("0.9", 505), ("1.2", 400), ("2.1", 400), ("3.0", 400), ("9.9", 400)]
)
def test_another_version_of_http_is_not_supported(port, recorder, version, refused):
    status, headers, _ = ask(port, f"GET / HTTP/{version}", "Host: a")
    assert (status, headers["connection"], recorder.seen) == (refused, "close", [])


@pytest.mark.parametrize("path", ["//x", "/a/../b", "/%2e%2e/b", "/a\\b", "/%00", "/%zz", "/%ff"])
def test_a_path_that_is_refused_does_not_end_its_connection(port, recorder, path):
    """Where the request ends is not in doubt."""
    with Client(port) as client:
        for target, status in ((path, 400), ("/", 200)):
            client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert client.answer()[0] == status
    assert len(recorder.seen) == 1


@pytest.mark.parametrize("line", ["a:", "a: b", "X-Long-Name-1: value"])
def test_a_head_has_a_bounded_number_of_lines(port, recorder, line):
    assert ask(port, "GET / HTTP/1.1", "Host: a", *[line] * 127)[0] == 200
    assert ask(port, "GET / HTTP/1.1", "Host: a", *[line] * 128)[0] == 431
    trailers = "\r\n".join(["0", *[line] * 3_000, "", ""]).encode()
    assert ask(port, "POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", body=trailers)[0] == 431
    assert len(recorder.seen) == 1


def test_a_length_has_a_bounded_number_of_digits(port, recorder):
    """Python reads no number of thousands of digits, not even zeros."""
    for zeros, status in ((17, 200), (5_000, 400)):
        length = f"Content-Length: {'0' * zeros}2"
        assert ask(port, "POST / HTTP/1.1", "Host: a", length, body=b"hi")[0] == status
    assert len(recorder.seen) == 1


def test_a_head_with_an_upgrade_that_is_ignored_has_the_bound_of_others(port, recorder):
    """The head is read twice then, and counts once."""
    for lines, status in ((4, 200), (7, 431)):
        large = [f"X-{number}: {'x' * 10_000}" for number in range(lines)]
        upgrade = ["Connection: Upgrade", "Upgrade: h2c", *large]
        assert ask(port, "GET / HTTP/1.1", "Host: a", *upgrade)[0] == status
    assert len(recorder.seen) == 1


def test_any_stands_for_the_methods_of_a_route_key(serve, recorder):
    server = serve(f"""
apis:
  a:
    routes: {{ANY /any: {{proxy: "{recorder.url}"}}, $default: {{proxy: "{recorder.url}"}}}}
    stages: {{$default: {{}}}}
""")
    for method, path in itertools.product(OTHER_METHODS, ("/any", "/other")):
        assert ask(server.port, f"{method} {path} HTTP/1.1", "Host: a")[0] in (400, 404)
    assert recorder.seen == []


def test_the_hosts_that_are_remembered_are_bounded():
    """A client may send any number of hosts, and none of them changes what another host is."""
    host_name.cache_clear()
    wrong = (b"a b", b"0.example,", b"a" * (MAX_AUTHORITY + 1))
    for _ in range(2):
        for host in wrong:
            with pytest.raises(BadTarget):
                host_name(host)
    assert host_name.cache_info().currsize == 0  # so no long one is remembered
    most = host_name.cache_info().maxsize
    for number in range(3 * most):
        assert host_name(b"%d.Example.:80" % number) == f"{number}.example"
    assert host_name.cache_info().currsize == most
