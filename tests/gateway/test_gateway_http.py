"""Over the wire: a real uvicorn, an nginx behind it, and plain HTTP.

In one file: the tests have their server and nginx in common.
"""

import asyncio
import json
import re
import threading
import time
from datetime import UTC, datetime

import httpx
import pytest
from gateway_harness import KEY, App, get
from waiting import PATIENCE, pace

from ratelimit.gateway import (
    AccessLog,
    Api,
    Authorizer,
    Configuration,
    GatewayResponse,
    Mock,
    Networks,
    Proxy,
    Route,
    Stage,
    Throttle,
)

FUNCTIONS = """
import asyncio, json, threading

def shout(event):
    return {"statusCode": 201, "headers": {"X-Thread": threading.current_thread().name, "Set-Cookie": ["a=1", "b=2"]},
            "body": event["body"].upper() + event["pathParameters"]["name"]}

async def show(event):
    return event

def binary(event):
    return {"statusCode": 200, "body": "AAH/", "isBase64Encoded": True}

def broken(event):
    raise RuntimeError("a secret")

def nonsense(event):
    return {"statusCode": "fine", "body": 5}

def endless(event):
    return float("inf")

def deep(event):
    inner = []
    for _ in range(100_000):
        inner = [inner]
    return inner

def sneaky(event):
    return {"statusCode": 200, "headers": {"x-a": "1\\r\\nx-b: 2"}, "body": ""}

async def slow(event):
    await asyncio.Event().wait()

calls = 0
def authorize(event):
    global calls
    calls += 1
    token = event["headers"]["authorization"]
    return {"isAuthorized": token.startswith("good"), "context": {"user": token[5:], "calls": calls}}

def unauthorize(event):
    raise RuntimeError("down")
"""

GATEWAY = """
trusted_proxies: [127.0.0.0/8]
apis:
  shop:
    routes:
      GET /plain: {{mock: {{body: "plain"}}}}
      POST /shout/{{name}}: {{function: "functions:shout"}}
      ANY /show/{{proxy+}}: {{function: "functions:show"}}
      GET /binary: {{function: "functions:binary"}}
      GET /broken: {{function: "functions:broken"}}
      GET /nonsense: {{function: "functions:nonsense"}}
      GET /endless: {{function: "functions:endless"}}
      GET /deep: {{function: "functions:deep"}}
      GET /sneaky: {{function: "functions:sneaky"}}
      GET /slow: {{function: "functions:slow", timeout: 0.2}}
      GET /who:
        authorizer: token
        mock: {{body: '{{"user": "$context.authorizer.user", "calls": "$context.authorizer.calls"}}'}}
      GET /down: {{authorizer: down, mock: {{}}}}
      GET /inside: {{allow: [10.0.0.0/8, "2001:db8::/32"], deny: 10.9.0.0/16, mock: {{body: "inside"}}}}
      POST /small: {{max_body: 1000, function: "functions:shout"}}
      ANY /pass/{{proxy+}}: {{proxy: {{to: "http://127.0.0.1:{nginx}/{{proxy+}}"}}}}
      GET /pet/{{id}}: {{proxy: {{to: "http://127.0.0.1:{nginx}/p-{{id}}/x?from=gw"}}}}
      GET /mapped/{{id}}:
        proxy: {{to: "http://127.0.0.1:{nginx}"}}
        request: {{"overwrite:path": "/echo/$request.path.id", "remove:header.x-secret": "",
                  "overwrite:header.x-stage": "${{stageVariables.name}} $request.querystring.q"}}
        response: {{"overwrite:statuscode": "203", "append:header.x-id": "$context.stage", "remove:header.x-seen": ""}}
      GET /join:
        aggregate:
          show: {{to: "{url}/show/a"}}
          plain: {{to: "{url}/plain"}}
          missing: {{to: "{url}/nothing"}}
          refused: {{to: "http://127.0.0.1:1/"}}
      $default: {{proxy: {{to: "http://127.0.0.1:{nginx}"}}}}
    authorizers: {{token: {{function: "functions:authorize"}}, down: {{function: "functions:unauthorize"}}}}
    stages:
      $default: {{variables: {{name: main}}}}
      dev: {{variables: {{name: development}}}}
"""


@pytest.fixture(scope="module")
def shop(nginx, tmp_path_factory):
    """Run one gateway for the tests that do not change it."""
    from gateway_harness import Server
    from ports import free_port

    folder, port = tmp_path_factory.mktemp("shop"), free_port()
    (folder / "functions.py").write_text(FUNCTIONS)
    server = Server(folder, GATEWAY.format(nginx=nginx, url=f"http://127.0.0.1:{port}"), port=port)
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        client.server = server
        yield client
    server.stop()


def test_sync_function_runs_in_a_thread(shop):
    answer = shop.post("/shout/-ann", content="hey")
    assert (answer.status_code, answer.text) == (201, "HEY-ann")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers["x-thread"] != "MainThread"  # it must not hold up the others


def test_functions_that_hang_do_not_delay_other_requests(serve, backend, tmp_path):
    """Neither other functions nor the look-up of a backend's name wait for their threads."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhere")

    (tmp_path / "hanging.py").write_text(
        "import threading\ndef hang(event): threading.Event().wait()\ndef fast(event): return 'fast'"
    )
    server = serve(f"""
apis:
  a:
    routes:
      GET /hang: {{function: "hanging:hang", timeout: 0.05}}
      GET /fast: {{function: "hanging:fast", timeout: 29}}
      GET /named: {{proxy: {{to: "http://localhost:{backend(answer).port}/", timeout: 29}}}}
    stages: {{$default: {{}}}}
""")
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        assert {client.get("/hang").status_code for _ in range(40)} == {504}
        assert [client.get(path).text for path in ("/fast", "/named")] == ["fast", "here"]
    server.process.kill()


def test_event_of_a_function(shop):
    event = shop.put("/dev/show/a/b%20c?x=1&y=%C3%A9", content=b"\xff\x00", headers={"x-custom": "1"}).json()
    assert (event["routeKey"], event["pathParameters"]) == ("ANY /show/{proxy+}", {"proxy": "a/b c"})
    assert (event["requestContext"]["http"]["method"], event["rawPath"]) == ("PUT", "/dev/show/a/b%20c")
    assert event["queryStringParameters"] == {"x": "1", "y": "é"}
    assert (event["body"], event["isBase64Encoded"]) == ("/wA=", True)
    assert event["headers"]["x-custom"] == "1"
    assert event["stageVariables"] == {"name": "development"}
    assert event["requestContext"]["stage"] == "dev"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"


def test_function_gets_repeated_headers_as_one_list():
    routes = {"GET /": Route(function=lambda event: event["headers"]["x-a"])}
    routes["GET /mapped"] = Route(function=routes["GET /"].function, request={"append:header.x-a": "3"})
    ask = App(Configuration({"a": Api(routes=routes, stages={"$default": Stage()})}))
    headers = [("x-a", "1"), ("x-b", "5"), ("X-A", "2")]
    assert ask.get("/", headers=headers).text == "1,2"
    assert ask.get("/mapped", headers=headers).text == "1,2,3"


def test_function_gets_a_binary_body(shop):
    assert shop.get("/binary").content == b"\x00\x01\xff"


@pytest.mark.parametrize("path", ["/broken", "/nonsense", "/endless", "/deep", "/sneaky"])
def test_functions_that_fail_are_502(shop, path):
    """The answer does not reveal the cause."""
    answer = shop.get(path)
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})
    assert "x-b" not in answer.headers


def test_function_that_takes_too_long(shop):
    """The function itself would never answer."""
    answer = shop.get("/slow")
    assert (answer.status_code, answer.json()) == (504, {"message": "Endpoint request timed out"})


def test_an_authorizer_and_its_cache(shop):
    assert shop.get("/who").status_code == 401
    assert shop.get("/who", headers={"authorization": "bad"}).status_code == 403
    first, second, other = (shop.get("/who", headers={"authorization": f"good {n}"}).json() for n in "aab")
    assert (first["user"], second["calls"], other["user"]) == ("a", first["calls"], "b")
    assert int(other["calls"]) > int(first["calls"])
    assert shop.get("/down", headers={"authorization": "x"}).status_code == 500


def test_authorizer_decides_for_each_stage():
    """Its decision for one stage is not cached for another."""
    asked = []

    def in_dev(event):
        asked.append(event["requestContext"]["stage"])
        return asked[-1] == "dev"

    routes = {"GET /": Route(mock=Mock(), authorizer="one")}
    api = Api(routes=routes, stages={"dev": Stage(), "prod": Stage()}, authorizers={"one": Authorizer(in_dev)})
    ask = App(Configuration({"a": api}))
    statuses = [ask.get(path, headers={"authorization": "x"}).status_code for path in ("/dev/", "/prod/", "/dev/")]
    assert (statuses, asked) == ([200, 403, 200], ["dev", "prod"])


def test_rejects_a_repeated_identity_header():
    """The authorizer could use one value and the backend the other."""
    authorizer = Authorizer(lambda event: event["headers"]["x-token"] == "good", identity="X-Token")
    routes = {"GET /": Route(mock=Mock(), authorizer="one")}
    ask = App(Configuration({"a": Api(routes=routes, stages={"$default": Stage()}, authorizers={"one": authorizer})}))
    assert ask.get("/", headers={"x-token": "good"}).status_code == 200
    for tokens in (("evil", "good"), ("good", "evil")):
        assert ask.get("/", headers=[("x-token", token) for token in tokens]).status_code == 400


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("10.1.2.3", 200),
        ("10.9.2.3", 403),
        ("192.0.2.1", 403),
        ("10.1.2.3, 192.0.2.1", 403),  # only the last one was seen by a proxy that is believed
        ("192.0.2.1, 10.1.2.3, 127.0.0.1", 200),
        ("2001:db8::7", 200),
        ("::ffff:10.1.2.3", 200),
        ("unknown", 403),
        ("10.1.2.3:4567", 200),
    ],
)
def test_networks_behind_a_proxy(shop, forwarded, status):
    assert shop.get("/inside", headers={"x-forwarded-for": forwarded}).status_code == status


@pytest.mark.parametrize("network", ["10.0.0.0/8", "::ffff:10.0.0.0/104"])
@pytest.mark.parametrize(("address", "inside"), [("10.1.1.1", True), ("::ffff:10.1.1.1", True), ("11.1.1.1", False)])
def test_networks_in_either_form(network, address, inside):
    """An IPv4 address mapped into IPv6 is IPv4, on both sides: a denied network is denied in every form."""
    assert (address in Networks([network])) is inside


def test_forwarded_addresses_of_untrusted_clients_are_ignored(serve):
    """Without trusted proxies an X-Forwarded-For has no effect and does not reach the backend."""
    server = serve("""
apis: {a: {routes: {GET /in: {deny: 127.0.0.1, mock: {}}, GET /ip: {mock: {body: $context.identity.sourceIp}}},
           stages: {$default: {}}}}
""")
    headers = {"x-forwarded-for": "10.0.0.1", "forwarded": "for=10.0.0.1", "x-real-ip": "10.0.0.1"}
    assert httpx.get(f"{server.url}/in", headers=headers).status_code == 403
    assert httpx.get(f"{server.url}/ip", headers=headers).text == "127.0.0.1"


def test_pass_through_to_nginx(shop):
    """Path, query and method reach the backend as they were sent; the Host header is that of the backend."""
    answer = shop.get("/pass/a/b%20c;d/%C3%A9?x=1&y=a%2Fb&x=2")
    assert answer.status_code == 200
    method, uri, host, forwarded = answer.text.split(" ")
    assert (method, uri) == ("GET", "/a/b%20c;d/%C3%A9?x=1&y=a%2Fb&x=2")
    assert host.startswith("host=127.0.0.1:")
    assert forwarded.strip() == "xff=127.0.0.1"
    assert shop.get("/any/where/else?q").text.startswith("GET /any/where/else?q ")
    assert shop.get("/dev/any").text.startswith("GET /any ")
    assert shop.get("/pet/a%20b?z=1").text.startswith("GET /p-a%20b/x?from=gw&z=1 ")
    assert shop.head("/pass/x").headers["content-length"] != "0"
    assert "ratelimit" in answer.headers


def test_a_backend_sees_no_api_key(serve, nginx):
    """The header is removed even if the route needs no key; a key unknown to the gateway belongs to the backend."""
    server = serve(f"""
api_keys: {{ann: {KEY}}}
plans: {{gold: {{keys: ann, stages: a/$default}}}}
apis:
  a:
    routes:
      GET /keyed: {{proxy: "http://127.0.0.1:{nginx}/echo", api_key_required: true}}
      GET /open: {{proxy: "http://127.0.0.1:{nginx}/echo"}}
    stages: {{$default: {{}}}}
""")
    seen = [httpx.get(server.url + path, headers={"x-api-key": KEY}).text for path in ("/keyed", "/open")]
    assert seen == ["stage= key=\n"] * 2
    assert httpx.get(f"{server.url}/open", headers={"x-api-key": "its own"}).text == "stage= key=its own\n"


def test_address_of_a_backend_is_encoded(serve, nginx):
    """Its path and query, and the stage's variables in them, may have characters that a request line cannot."""
    server = serve(f"""
apis:
  a:
    routes:
      GET /{{name}}: {{proxy: "http://127.0.0.1:{nginx}/my files/${{stageVariables.folder}}/{{name}}%20?q=\u00e9"}}
    stages: {{$default: {{variables: {{folder: caf\u00e9}}}}}}
""")
    assert httpx.get(f"{server.url}/x").text.startswith("GET /my%20files/caf%C3%A9/x%20?q=%C3%A9 ")


def test_mappings_change_headers_path_and_status(shop):
    answer = shop.get("/mapped/7", params={"q": "hello"}, headers={"x-secret": "s"})
    assert answer.text == "stage=main hello key=\n"
    assert (answer.status_code, answer.headers["x-id"]) == (203, "$default")
    assert "x-seen" not in answer.headers
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


def test_mapping_uses_the_status_that_the_client_gets():
    response = {"append:header.x-status": "$context.status", "overwrite:statuscode": "202"}
    api = Api(routes={"GET /": Route(mock=Mock(), response=response)}, stages={"$default": Stage()})
    assert App(Configuration({"a": api})).get("/").headers["x-status"] == "202"


@pytest.mark.parametrize("value", ["a%0d%0aX-Evil: 1", "a%0aX-Evil: 1", "%00", "a%0d%0a%0d%0aGET /evil HTTP/1.1"])
def test_mappings_inject_no_headers(shop, value):
    status, body = get(shop.server.port, f"/mapped/7?q={value.replace(' ', '%20')}")
    assert (status, body) == (400, b'{"message":"Bad Request"}')


@pytest.mark.parametrize("id", ["..", "%2e%2e", "..%2f..%2fadmin", "a%2f..%2f..%2fadmin"])
def test_mappings_inject_no_paths(shop, id):
    assert get(shop.server.port, f"/mapped/{id}")[0] == 400


def test_aggregate_joins_concurrent_answers(shop):
    """A backend that fails is null and named."""
    answer = shop.get("/join?x=1").json()
    assert answer["show"]["queryStringParameters"] == {"x": "1"}
    assert (answer["plain"], answer["refused"]) == ("plain", None)
    assert answer["errors"] == {"refused": "INTEGRATION_FAILURE"}


def test_aggregate_of_malformed_bodies(backend):
    """A body that is not JSON is joined as text, and the answer is still JSON; numbers are not changed."""
    parts = {"nan": b'{"a": NaN}', "deep": b"[" * 100_000, "bytes": b"\xff", "number": b"1e999"}

    def behind(body):
        async def answer(head, reader, writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        return backend(answer)

    backends = {name: behind(body) for name, body in parts.items()}
    route = Route(
        aggregate={name: Proxy([one.url]) for name, one in backends.items()},
        request={"overwrite:header.x-stage": "$context.stage"},
    )
    answer = App(Configuration({"a": Api(routes={"GET /": route}, stages={"$default": Stage()})})).get("/")
    assert answer.status_code == 200
    assert answer.text.endswith('"number": 1e999}')
    joined = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} in {answer.text[:100]}"))
    assert joined["nan"] == '{"a": NaN}'
    assert joined["deep"] == "[" * 100_000
    assert joined["bytes"] == "\ufffd"
    assert all(b"x-stage: $default\r\n" in one.heads[0] for one in backends.values())


def test_aggregate_sends_no_conditional_headers(backend):
    """Headers about the client's own answer, such as conditions and encodings, are not sent to the parts."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n7")

    behind = backend(answer)
    route = Route(aggregate={"a": Proxy([behind.url])})
    ask = App(Configuration({"a": Api(routes={"GET /": route}, stages={"$default": Stage()})}))
    headers = {"accept-encoding": "gzip", "range": "bytes=0-1", "if-none-match": '"x"', "x-other": "stays"}
    assert ask.get("/", headers=headers).json() == {"a": 7}
    head = behind.heads[0].lower()
    assert b"accept-encoding: identity\r\n" in head
    assert b"x-other: stays\r\n" in head
    assert not any(word in head for word in (b"gzip", b"range:", b"if-none-match"))


def test_function_gets_an_encoded_slash():
    """`rawPath` is the whole path, still encoded."""
    api = Api(routes={"GET /{name}": Route(function=lambda event: event)}, stages={"prod": Stage()})
    event = App(Configuration({"a": api}, encoded_slash=True)).get("/prod/a%2Fb%20c").json()
    assert (event["rawPath"], event["pathParameters"]) == ("/prod/a%2Fb%20c", {"name": "a/b c"})


def test_rate_limit_fields_of_the_gateway_replace_others(backend, clock):
    """A field is not sent twice when the backend or a custom response has it too."""

    async def answer(head, reader, writer):
        fields = b"RateLimit: limit=5\r\nX-RateLimit-Limit: 9\r\nRetry-After: 8\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + fields + b"\r\n")

    api = Api(
        routes={"GET /": Route(proxy=Proxy([backend(answer).url]))},
        stages={"$default": Stage(throttle=Throttle(0.5, 1))},
        responses={"THROTTLED": GatewayResponse(headers={"Retry-After": "7"})},
    )
    ask = App(Configuration({"a": api}), clock)
    first, second = (ask.get("/").headers for _ in range(2))
    assert first.get_list("ratelimit") == ['"stage";r=0;t=2']
    assert (first["x-ratelimit-limit"], first["retry-after"]) == ("9", "8")
    assert second.get_list("retry-after") == ["2"]


def test_error_message_in_quotes():
    """`$context.error.messageString` includes the quotes, as in API Gateway."""
    response = GatewayResponse(body='{"message":$context.error.messageString}')
    api = Api(routes={}, stages={"$default": Stage()}, responses={"DEFAULT_4XX": response})
    assert App(Configuration({"a": api})).get("/").json() == {"message": "Not Found"}


@pytest.mark.parametrize(
    ("kind", "body", "filled"),
    [
        (None, '["$request.querystring.x"]', r'["<b>\"&\""]'),
        ("application/problem+json; charset=utf-8", '"$request.querystring.x"', r'"<b>\"&\""'),
        ("text/html; charset=utf-8", "<p>$request.querystring.x", "<p>&lt;b&gt;&quot;&amp;&quot;"),
        ("image/svg+xml", "<a>$request.querystring.x</a>", "<a>&lt;b&gt;&quot;&amp;&quot;</a>"),
        ("text/plain", "$request.querystring.x", '<b>"&"'),
        ("text/plain", "{$request.querystring.x}", r"{<b>\"&\"}"),
    ],
)
def test_values_are_escaped_by_the_content_type(kind, body, filled):
    headers = {} if kind is None else {"Content-Type": kind}
    route = Route(mock=Mock(headers=headers, body=body))
    response = GatewayResponse(headers=headers, body=body)
    api = Api(routes={"GET /": route}, stages={"$default": Stage()}, responses={"DEFAULT_4XX": response})
    ask = App(Configuration({"a": api}))
    assert ask.get("/none", params={"x": '<b>"&"'}).text == filled
    if kind != "text/plain":
        assert ask.get("/", params={"x": '<b>"&"'}).text == filled


@pytest.mark.parametrize(
    "answer",
    [
        None,
        1,
        {},
        {"isAuthorized": 1},
        {"isAuthorized": True, "context": []},
        {"isAuthorized": True, "usageIdentifierKey": []},
    ],
)
def test_rejects_malformed_answers_of_authorizers(answer):
    route = Route(mock=Mock(body="$context.authorizer.user"), authorizer="a", api_key_required=True)
    api = Api(
        routes={"GET /": route}, stages={"$default": Stage()}, authorizers={"a": Authorizer(lambda event: answer)}
    )
    asked = App(Configuration({"a": api})).get("/", headers={"authorization": "x"})
    assert (asked.status_code, asked.headers["x-amzn-errortype"]) == (500, "AuthorizerConfigurationException")


def test_mapping_before_a_function():
    request = {"overwrite:header.x-stage": "$context.stage", "overwrite:path": "/b"}
    route = Route(function=lambda event: f"{event['rawPath']} {event['headers']['x-stage']}", request=request)
    ask = App(Configuration({"a": Api(routes={"GET /a": route}, stages={"$default": Stage()})}))
    assert ask.get("/a").text == "/b $default"


def test_large_bodies_stream_in_both_directions(shop, nginx):
    with shop.stream("GET", "/pass/files/large") as answer:
        body = answer.read()
        assert body == b"0123456789abcdef" * 65_536
        assert answer.headers["content-length"] == str(len(body))
    pieces = (bytes([65 + i]) * 100_000 for i in range(20))
    assert shop.post("/pass/upload", content=pieces).text.startswith("POST /upload ")


def test_headers_of_a_mock_are_templates():
    """A value that could end a header is not inserted."""
    mock = Mock(302, {"Location": "/new/$request.querystring.q", "x-stage": "$context.stage"}, "moved")
    ask = App(Configuration({"a": Api(routes={"GET /": Route(mock=mock)}, stages={"$default": Stage()})}))
    answer = ask.get("/?q=7")
    assert (answer.headers["location"], answer.headers["x-stage"], answer.text) == ("/new/7", "$default", "moved")
    assert ask.get("/?q=%0d%0aSet-Cookie:x").status_code == 400


def test_rejects_bodies_that_are_too_large(shop):
    """By the announced size, or as soon as they are too large."""
    for content in (b"x" * 1_001, iter([b"x" * 600, b"x" * 600])):
        answer = shop.post("/small", content=content)
        assert (answer.status_code, answer.json()) == (413, {"message": "Request Too Long"})
    answer = shop.post("/pass/upload", content=iter([b"x" * 2**20] * 11))
    assert answer.status_code == 413


def test_passes_on_each_piece_of_an_answer_as_it_comes(serve, backend):
    """A piece of an answer reaches the client before the next one exists."""
    go = threading.Event()

    async def drip(head, reader, writer):
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n5\r\nfirst\r\n"
        )
        await writer.drain()
        await asyncio.get_running_loop().run_in_executor(None, go.wait, 5)
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        await writer.drain()

    behind = backend(drip)
    server = serve(
        f"apis: {{a: {{routes: {{$default: {{proxy: {{to: '{behind.url}'}}}}}}, stages: {{$default: {{}}}}}}}}"
    )
    with httpx.stream("GET", server.url) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        go.set()
        assert next(pieces) == b"second"


def test_access_log_has_every_variable(serve, tmp_path):
    """The line is valid JSON, whatever a client sends."""
    names = [
        "requestId",
        "requestTime",
        "requestTimeEpoch",
        "identity.sourceIp",
        "identity.apiKeyId",
        "identity.userAgent",
        "httpMethod",
        "path",
        "routeKey",
        "stage",
        "status",
        "protocol",
        "responseLength",
        "responseLatency",
        "integration.status",
        "integration.latency",
        "integration.error",
        "error.message",
        "error.responseType",
        "domainName",
        "apiId",
        "isCanaryRequest",
        "deployment",
    ]
    form = json.dumps({name: f"$context.{name}" for name in names})
    log = tmp_path / "access.log"
    server = serve(f"""
access_log: {{file: {log}, format: '{form}'}}
apis:
  shop:
    routes: {{"GET /a/{{id}}": {{mock: {{body: hello}}}}, GET /gone: {{proxy: "http://127.0.0.1:1"}}}}
    stages: {{$default: {{}}}}
""")
    httpx.get(f"{server.url}/a/%22%7d?q=1", headers={"user-agent": 'x"} {"y": "\\'})
    httpx.get(f"{server.url}/gone")
    httpx.get(f"{server.url}/nothing")
    first, gone, nothing = map(json.loads, server.lines(log, 3))
    assert (first["path"], first["routeKey"], first["identity.userAgent"]) == (
        "/a/%22%7d",
        "GET /a/{id}",
        'x"} {"y": "\\',
    )
    assert (first["status"], first["responseLength"], first["error.message"]) == ("200", "5", "-")
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/20\d\d:\d\d:\d\d:\d\d \+0000", first["requestTime"])
    assert abs(int(first["requestTimeEpoch"]) / 1000 - time.time()) < 60
    assert (first["apiId"], first["stage"], first["protocol"], first["isCanaryRequest"]) == (
        "shop",
        "$default",
        "HTTP/1.1",
        "false",
    )
    assert (gone["status"], gone["error.responseType"]) == ("504", "INTEGRATION_FAILURE")
    assert "ConnectError" in gone["integration.error"]
    assert (nothing["status"], nothing["error.message"], nothing["routeKey"]) == ("404", "Not Found", "-")


def test_time_of_a_request_is_its_arrival(clock, tmp_path):
    """It does not depend on how long the answer takes, so the log line and the backend see the same time."""

    def slow(event):
        clock.advance(5)

    log = AccessLog(str(tmp_path / "log"), "$context.requestTimeEpoch [$context.requestTime]")
    route = Route(function=slow, response={"append:header.x-time": "$context.requestTimeEpoch"})
    api = Api(routes={"GET /": route}, stages={"$default": Stage()})
    began = clock.now_ns() // 10**6
    answer = App(Configuration({"a": api}, access_log=log), clock).get("/")
    time_of_day = datetime.fromtimestamp(began // 1000, UTC).strftime("%H:%M:%S")
    assert answer.headers["x-time"] == str(began)
    assert re.fullmatch(rf"{began} \[.*:{time_of_day} \+0000\]\n", (tmp_path / "log").read_text())


def test_length_of_an_answer_without_a_body(tmp_path):
    log = AccessLog(str(tmp_path / "log"), "$context.httpMethod $context.responseLength")
    api = Api(routes={"ANY /": Route(mock=Mock(body="hello"))}, stages={"$default": Stage()})
    ask = App(Configuration({"a": api}, access_log=log))
    assert [ask(method, "/").status_code for method in ("GET", "HEAD")] == [200, 200]
    assert (tmp_path / "log").read_text() == "GET 5\nHEAD 0\n"


def test_access_log_has_the_results_of_functions(tmp_path):
    """Their status, time and error are logged like those of a backend."""

    def fail(event):
        raise RuntimeError("broken")

    routes = {
        "GET /slow": Route(function=lambda event: pace(0.03)),
        "GET /teapot": Route(function=lambda event: {"statusCode": 418}),
        "GET /broken": Route(function=fail),
    }
    file = tmp_path / "access.log"
    kept = AccessLog(str(file), "$context.integration.status $context.integration.latency $context.integration.error")
    ask = App(Configuration({"a": Api(routes=routes, stages={"$default": Stage()})}, access_log=kept))
    for key in routes:
        ask.get(key.partition(" ")[2])
    slow, teapot, broken = file.read_text().splitlines()
    assert re.fullmatch(r"200 (3\d|[4-9]\d|\d{3,}) -", slow)
    assert re.fullmatch(r"418 \d+ -", teapot)
    assert re.fullmatch(r"- \d+ RuntimeError\('broken'\)", broken)


def test_full_disk_of_the_log_stops_no_request(caplog):
    api = Api(routes={"GET /": Route(mock=Mock(body="here"))}, stages={"$default": Stage()})
    ask = App(Configuration({"a": api}, access_log=AccessLog("/dev/full")))
    assert [ask.get("/").text for _ in range(2)] == ["here", "here"]
    assert "a line of the access log '/dev/full' was not written" in caplog.text


def test_the_default_log_format_cannot_be_forged(serve, tmp_path):
    log = tmp_path / "access.log"
    server = serve(
        f"access_log: {log}\napis: {{a: {{routes: {{$default: {{mock: {{}}}}}}, stages: {{$default: {{}}}}}}}}"
    )
    get(server.port, '/a"%20200%201', "User-Agent: x")
    (line,) = server.lines(log, 1)
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[[^]]+\] "GET /a\\"%20200%201 HTTP/1\.1" 200 0 "-" [0-9a-f]+-[0-9a-f]+', line
    )
