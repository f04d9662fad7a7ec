"""Functions as on AWS Lambda: events of both formats, contexts, answers, and the libraries that people use there.

In one file: both formats of events get the same requests.
"""

import asyncio
import base64
import json
import os
import threading

import boto3
import pytest
from apig_wsgi import make_lambda_handler
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, APIGatewayRestResolver
from aws_lambda_powertools.event_handler import Response as PowertoolsResponse
from gateway_harness import KEY, App
from gateway_looks import ask
from mangum import Mangum
from ports import free_port
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route as StarletteRoute
from waiting import PATIENCE, pace_async, until_async
from websockets.sync.client import connect

from ratelimit.gateway import Api, Configuration, Gateway, Plan, Route, Stage
from ratelimit.gateway.backends import pool, remote_function
from ratelimit.gateway.functions.process import FunctionProcesses, FunctionRegistry, ProcessSettings

QUERY = "a=1&a=2&b=x%20y&c="


def serving(function, kind="http", stage="$default", key="ANY /{proxy+}", stage_fields=None, **fields):
    """A gateway of one route to a function."""
    of_route = {name: fields.pop(name) for name in ("payload_format", "api_key_required") if name in fields}
    routes = {key: Route(function=function, **of_route)}
    return App(
        Configuration({"shop": Api(type=kind, routes=routes, stages={stage: Stage(**(stage_fields or {}))}, **fields)})
    )


def event_of(method="GET", path="/pets/7", key="ANY /pets/{id}", options=None, **fields):
    """The event that a function gets."""
    events = []
    app = serving(lambda event, context: events.append(event) or {"statusCode": 200}, key=key, **fields)
    answer = app(method, path, **(options or {}))
    assert answer.status_code == 200, answer.text
    json.dumps(events[0])
    return events[0]


# --- events


def test_event_of_format_2_0():
    headers = [
        ("Cookie", "a=1; b=2"),
        ("X-Two", "1"),
        ("X-Two", "2"),
        ("User-Agent", "me"),
        ("Host", "shop.example:81"),
    ]
    event = event_of(
        "POST", f"/dev/pets/7?{QUERY}", stage="dev", stage_fields={"variables": {"colour": "red"}},
        options={"headers": [*headers, ("Content-Type", "application/json")], "content": b'{"\xc3\xa9": 1}'},
    )  # fmt: skip
    context = event["requestContext"]
    assert set(event) == {
        "version", "routeKey", "rawPath", "rawQueryString", "cookies", "headers", "queryStringParameters",
        "requestContext", "pathParameters", "stageVariables", "body", "isBase64Encoded",
    }  # fmt: skip
    assert (event["version"], event["routeKey"]) == ("2.0", "ANY /pets/{id}")
    assert (event["rawPath"], event["rawQueryString"]) == ("/dev/pets/7", QUERY)
    assert event["queryStringParameters"] == {"a": "1,2", "b": "x y", "c": ""}
    assert event["cookies"] == ["a=1", "b=2"]
    assert event["headers"]["x-two"] == "1,2"
    assert "cookie" not in event["headers"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"é": 1}', False)
    assert (event["pathParameters"], event["stageVariables"]) == ({"id": "7"}, {"colour": "red"})
    assert context["http"] == {
        "method": "POST", "path": "/dev/pets/7", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "me",
    }  # fmt: skip
    assert (context["domainName"], context["domainPrefix"]) == ("shop.example:81", "shop")
    assert (context["stage"], context["apiId"], len(context["accountId"])) == ("dev", "shop", 12)
    assert context["time"].endswith(" +0000")
    assert isinstance(context["timeEpoch"], int)


@pytest.mark.parametrize(("kind", "name", "path"), [("http", "rawPath", "/dev/pets/7/"), ("rest", "path", "/pets/7/")])
def test_the_path_of_an_event_keeps_its_trailing_slash(kind, name, path):
    event = event_of(path="/dev/pets/7/", kind=kind, stage="dev")
    assert (event[name], event["pathParameters"]) == (path, {"id": "7"})


def test_format_2_0_leaves_out_what_a_request_has_not():
    event = event_of()
    assert not {"cookies", "queryStringParameters", "stageVariables", "body"} & set(event)
    assert "authorizer" not in event["requestContext"]


@pytest.mark.parametrize("kind", ["rest", "http"])
def test_event_of_format_1_0(kind):
    headers = [
        ("User-Agent", "me"),
        ("X-Two", "1"),
        ("X-Two", "2"),
        ("Host", "shop.example"),
        ("Content-Type", "text/plain"),
    ]
    event = event_of(
        "PUT", f"/dev/pets/7?{QUERY}", kind=kind, payload_format="1.0", stage="dev",
        options={"headers": headers, "content": "hi"},
    )  # fmt: skip
    context = event["requestContext"]
    assert event.get("version") == (None if kind == "rest" else "1.0")
    assert (event["resource"], event["httpMethod"], event["body"]) == ("/pets/{id}", "PUT", "hi")
    assert event["path"] == ("/pets/7" if kind == "rest" else "/dev/pets/7")
    assert event["queryStringParameters"] == {"a": "2", "b": "x y", "c": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": ["x y"], "c": [""]}
    assert (event["headers"]["X-Two"], event["multiValueHeaders"]["X-Two"]) == ("2", ["1", "2"])
    assert (event["headers"]["User-Agent"], event["headers"]["Content-Type"]) == ("me", "text/plain")
    assert (event["pathParameters"], event["stageVariables"]) == ({"id": "7"}, None)
    assert (context["resourcePath"], context["path"], context["httpMethod"]) == ("/pets/{id}", "/dev/pets/7", "PUT")
    assert (context["identity"]["sourceIp"], context["identity"]["userAgent"]) == ("192.0.2.1", "me")
    assert context["identity"]["cognitoIdentityId"] is None
    assert context["protocol"] == "HTTP/1.1"
    assert {"requestTime", "requestTimeEpoch", "requestId", "domainName", "stage", "accountId", "resourceId"} <= set(
        context
    )


def test_format_1_0_has_null_for_what_a_request_has_not():
    event = event_of("GET", "/prod/pets", key="GET /pets", kind="rest", stage="prod")
    names = ("queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "stageVariables", "body")
    assert [event[name] for name in names] == [None] * 5


def test_identity_has_the_api_key():
    events = []
    api = Api(
        type="rest",
        routes={
            "GET /": Route(function=lambda event: events.append(event) or {"statusCode": 200}, api_key_required=True)
        },
        stages={"prod": Stage()},
    )
    app = App(Configuration({"a": api}, api_keys={"ann": KEY}, plans={"p": Plan(keys=["ann"], stages=["a/prod"])}))
    assert app.get("/prod/", headers={"x-api-key": KEY}).status_code == 200
    assert [events[0]["requestContext"]["identity"][name] for name in ("apiKeyId", "apiKey")] == ["ann", KEY]


@pytest.mark.parametrize(
    ("kind", "content_type", "binary_types", "encoded"),
    [
        ("http", "application/json", (), False),
        ("http", "application/problem+json; charset=utf-8", (), False),
        ("http", "text/csv", (), False),
        ("http", None, (), False),
        ("http", "application/x-www-form-urlencoded", (), True),
        ("http", "image/png", (), True),
        ("rest", "image/png", (), False),
        ("rest", "image/png", ("image/*",), True),
        ("rest", "text/plain", ("image/*",), False),
        ("rest", "text/plain", ("*/*",), True),
    ],
)
def test_base64_of_requests(kind, content_type, binary_types, encoded):
    options = {"content": b"abc", "headers": {"content-type": content_type} if content_type else {}}
    fields = {"binary_media_types": binary_types} if kind == "rest" else {}
    event = event_of("POST", "/prod/pets/7", kind=kind, stage="prod", options=options, **fields)
    assert event["isBase64Encoded"] is encoded
    assert (base64.b64decode(event["body"]) if encoded else event["body"].encode()) == b"abc"


# --- contexts


def test_context_has_what_that_of_lambda_has():
    seen = []

    def handler(event, context):
        seen.append(context)
        return {"statusCode": 200, "body": str(context.get_remaining_time_in_millis())}

    remaining = int(serving(handler).get("/x").text)
    (context,) = seen
    assert 28_000 < remaining <= 29_000
    assert (context.function_name, context.function_version) == ("handler", "$LATEST")
    assert context.invoked_function_arn.endswith(":function:handler")
    assert (context.log_group_name, context.memory_limit_in_mb) == ("/aws/lambda/handler", "128")
    assert (context.identity, context.client_context, len(context.aws_request_id)) == (None, None, 36)


@pytest.mark.parametrize(
    "function",
    [lambda event: "one", lambda event, context=None: "one", lambda *arguments: "one"],
    ids=["1", "1-2", "*"],
)
def test_functions_of_one_or_two_arguments(function):
    assert serving(function).get("/x").text == "one"


# --- answers


@pytest.mark.parametrize(
    ("result", "status", "body", "kind"),
    [
        ("text", 200, "text", "application/json"),
        ({"a": 1}, 200, '{"a": 1}', "application/json"),
        ([1], 200, "[1]", "application/json"),
        (None, 200, "null", "application/json"),
        ({"statusCode": 201, "body": "x"}, 201, "x", "text/plain;charset=UTF-8"),
        ({"statusCode": "404"}, 404, "", "text/plain;charset=UTF-8"),
        ({"statusCode": 200, "headers": {"Content-Type": "text/css"}, "body": "p{}"}, 200, "p{}", "text/css"),
        ({"statusCode": 200, "body": "aGk=", "isBase64Encoded": True}, 200, "hi", "text/plain;charset=UTF-8"),
    ],
)  # fmt: skip
def test_answers_of_format_2_0(result, status, body, kind):
    answer = serving(lambda event: result).get("/x")
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (status, body, kind)


def test_cookies_of_format_2_0():
    answer = serving(lambda event: {"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"]}).get("/x")
    assert answer.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2"]


@pytest.mark.parametrize("kind", ["rest", "http"])
def test_multi_value_headers_of_format_1_0(kind):
    result = {
        "statusCode": "203", "headers": {"X-One": 1, "X-Flag": True, "x-both": "a"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "X-Both": ["b", "c"]},
    }  # fmt: skip
    answer = serving(lambda event: result, kind, "prod", payload_format="1.0").get("/prod/x")
    assert answer.status_code == 203
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert answer.headers.get_list("x-both") == ["b", "c"]
    assert (answer.headers["x-one"], answer.headers["x-flag"]) == ("1", "true")


@pytest.mark.parametrize(
    "result", ["text", {"a": 1}, None, {"statusCode": 200, "body": {"a": 1}}, {"statusCode": "no"}]
)
def test_malformed_answers_of_format_1_0(result):
    answer = serving(lambda event: result, "rest", "prod").get("/prod/x")
    assert (answer.status_code, answer.json()) == (502, {"message": "Internal server error"})


@pytest.mark.parametrize(
    ("types", "accept", "body"),
    [
        ((), "image/png", "aGk="),
        (("image/*",), "image/png, */*", "hi"),
        (("image/*",), "text/html, image/png", "aGk="),
        (("*/*",), "text/html", "hi"),
    ],
)
def test_base64_answers_of_rest_apis(types, accept, body):
    """They are decoded if the first type that the client accepts is one of the binary types."""
    result = {"statusCode": 200, "headers": {"content-type": "image/png"}, "body": "aGk=", "isBase64Encoded": True}
    app = serving(lambda event: result, "rest", "prod", binary_media_types=types)
    assert app.get("/prod/x", headers={"accept": accept}).text == body


@pytest.mark.parametrize(
    ("types", "headers", "body"),
    [
        (("*/*",), {}, "/wA="),
        (("*/*",), {"content-type": "odd"}, "/wA="),
        (("image/*",), {"content-type": "image/png"}, "/wA="),
        (("image/*",), {}, "\ufffd\0"),
    ],
)
def test_binary_bodies_of_rest_apis(types, headers, body):
    app = serving(lambda event: {"statusCode": 200, "body": event["body"]}, "rest", "prod", binary_media_types=types)
    assert app("POST", "/prod/x", content=b"\xff\0", headers=headers).text == body


# --- processes


@pytest.fixture
def gate(tmp_path):
    """A FIFO, for which a function waits until it is opened for writing and closed."""
    os.mkfifo(tmp_path / "gate")
    return str(tmp_path / "gate")


def write_handler(folder, answer):
    """Write a function that waits for the gate that an event names."""
    (folder / "app.py").write_text(
        f"import os\ndef handler(event, context):\n    if event: open(event).read()\n    return {answer}"
    )


def waited_for(gate):
    """Open a gate for which a function waits; None before it does."""
    try:
        return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def settings(folder):
    return ProcessSettings("f", "app.handler", str(folder), timeout=PATIENCE)


def test_process_of_old_code_is_not_used_again(tmp_path, gate):
    """The code changes during its call, and other calls use new code before it ends."""
    write_handler(tmp_path, "'old'")

    async def scenario():
        functions = FunctionProcesses(settings(tmp_path))
        call = asyncio.create_task(functions.invoke(gate, PATIENCE))
        opened = await until_async(lambda: waited_for(gate))
        write_handler(tmp_path, "'new!'")
        new = await functions.invoke(None, PATIENCE)
        os.close(opened)
        old = await call
        try:
            return old, new, await functions.invoke(None, PATIENCE)
        finally:
            functions.close()

    assert asyncio.run(scenario()) == ("old", "new!", "new!")


def test_process_of_a_removed_function_ends_after_its_call(tmp_path, gate):
    """A WebSocket may still have the routes with the function, and call it later."""
    write_handler(tmp_path, "os.getpid()")

    async def scenario():
        registry = FunctionRegistry()
        functions = registry.of(settings(tmp_path))
        call = asyncio.create_task(functions.invoke(gate, PATIENCE))
        opened = await until_async(lambda: waited_for(gate))
        registry.keep(())
        os.close(opened)
        for pid in (await call, await functions.invoke(None, PATIENCE)):
            await until_async(lambda pid=pid: not is_running(pid))

    asyncio.run(scenario())


# --- functions by URL


def by_url(url, **route):
    apis = {"a": {"routes": {"GET /": {"function": "f", **route}}, "stages": {"$default": {}}}}
    return Gateway(Configuration(functions={"f": {"url": url}}, apis=apis))


def test_authorizer_that_cannot_be_reached_is_500():
    """As at Amazon API Gateway: the client is not at fault, and there is no answer of a backend."""
    api = {
        "routes": {"GET /": {"mock": {}, "authorizer": "own"}}, "authorizers": {"own": {"function": "f"}},
        "stages": {"$default": {}},
    }  # fmt: skip
    gateway = Gateway(Configuration(functions={"f": {"url": f"http://127.0.0.1:{free_port()}"}}, apis={"a": api}))
    status, fields, _ = asyncio.run(ask(gateway, headers=[(b"authorization", "me")]))
    assert (status, fields[b"x-amzn-errortype"]) == (500, b"AuthorizerConfigurationException")


@pytest.mark.parametrize("drips", [False, True])
def test_timeout_bounds_the_whole_answer(backend, drips):
    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\n \r\n")
            await (pace_async(0.01) if drips else asyncio.Event().wait())

    status, _, body = asyncio.run(ask(by_url(backend(answer).url, timeout=0.2)))
    assert (status, json.loads(body)["message"]) == (504, "Endpoint request timed out")


def test_each_client_has_its_share_of_the_connections(backend, monkeypatch):
    monkeypatch.setattr(pool, "MAX_PER_CLIENT", 1)
    gate = threading.Event()

    async def answer(head, reader, writer):
        if len(behind.heads) == 1:
            await asyncio.to_thread(gate.wait, PATIENCE)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"hi"')

    behind = backend(answer)

    async def scenario():
        gateway = by_url(behind.url)
        first = asyncio.create_task(ask(gateway))
        await until_async(lambda: behind.heads)
        statuses = [(await ask(gateway))[0], (await ask(gateway, client="192.0.2.2"))[0]]
        gate.set()
        return [*statuses, (await first)[0]]

    assert asyncio.run(scenario()) == [503, 200, 200]


@pytest.mark.parametrize("body", [b"x" * 10, b"5\r\nhello\r\n"])
def test_answer_that_is_too_large_or_breaks_off_is_504(backend, body, monkeypatch):
    monkeypatch.setattr(remote_function, "MAX_ANSWER", 9)

    async def answer(head, reader, writer):
        kind = b"Transfer-Encoding: chunked" if b"\r" in body else b"Connection: close"
        writer.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (kind, body))

    assert asyncio.run(ask(by_url(backend(answer).url)))[0] == 504


# --- the libraries


def asgi():
    async def show(request):
        body = (await request.body()).decode("latin-1")
        query = request.query_params.multi_items()
        answer = JSONResponse({"method": request.method, "path": request.url.path, "query": query, "body": body})
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2")
        return answer

    async def binary(request):
        return StarletteResponse(bytes(range(256)), media_type="image/png")

    methods = ["GET", "POST"]
    return Starlette(routes=[StarletteRoute("/pets/{id}", show, methods=methods), StarletteRoute("/image", binary)])


def wsgi(environ, start_response):
    body = environ["wsgi.input"].read().decode("latin-1")
    if environ["PATH_INFO"] == "/image":
        start_response("200 OK", [("Content-Type", "image/png")])
        return [bytes(range(256))]
    seen = {
        "method": environ["REQUEST_METHOD"], "path": environ["PATH_INFO"], "body": body,
        "query": [pair.split("=") for pair in environ["QUERY_STRING"].split("&")],
    }  # fmt: skip
    start_response("200 OK", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [json.dumps(seen).encode()]


HANDLERS = {
    "mangum": lambda kind: Mangum(asgi(), lifespan="off"),
    "apig-wsgi": lambda kind: make_lambda_handler(wsgi, binary_support=True),
}


@pytest.mark.parametrize("library", HANDLERS)
@pytest.mark.parametrize(("kind", "payload_format"), [("http", "2.0"), ("http", "1.0"), ("rest", "1.0")])
def test_applications_run_unchanged(library, kind, payload_format):
    stage, base = ("$default", "") if kind == "http" else ("prod", "/prod")
    fields = {"binary_media_types": ["*/*"]} if kind == "rest" else {}
    app = serving(HANDLERS[library](kind), kind, stage, payload_format=payload_format, **fields)
    options = {"content": b"\xff\x00", "headers": {"content-type": "application/octet-stream"}}
    answer = app("POST", f"{base}/pets/7?a=1&a=2", **options)
    seen = answer.json()
    assert (seen["method"], seen["path"].removeprefix(base), seen["body"]) == ("POST", "/pets/7", "\xff\x00")
    assert [tuple(pair) for pair in seen["query"]] == [("a", "1"), ("a", "2")]
    assert [one.partition(";")[0] for one in answer.headers.get_list("set-cookie")] == ["a=1", "b=2"]
    image = app.get(f"{base}/image")
    assert (image.content, image.headers["content-type"]) == (bytes(range(256)), "image/png")


@pytest.mark.parametrize("kind", ["http", "rest"])
def test_resolvers_of_powertools_run_unchanged(kind):
    resolver = APIGatewayHttpResolver() if kind == "http" else APIGatewayRestResolver()

    @resolver.get("/pets/<id>")
    def pet(id):
        event = resolver.current_event
        return {
            "id": id, "agent": event.headers.get("user-agent"), "q": event.get_query_string_value("q"),
            "stage": event.request_context.stage, "name": resolver.lambda_context.function_name,
        }  # fmt: skip

    @resolver.post("/pets")
    def add():
        return PowertoolsResponse(
            201, "application/json", json.dumps(resolver.current_event.json_body), headers={"X-A": "1"}
        )

    def handler(event, context):
        return resolver.resolve(event, context)

    app = serving(handler, kind, "prod")
    answer = app.get("/prod/pets/7?q=x", headers={"user-agent": "me"})
    assert answer.json() == {"id": "7", "agent": "me", "q": "x", "stage": "prod", "name": "handler"}
    answer = app("POST", "/prod/pets", json={"a": 1})
    assert (answer.status_code, answer.json(), answer.headers["x-a"]) == (201, {"a": 1}, "1")
    assert app.get("/prod/nothing").status_code == 404


# --- WebSocket APIs

CHAT = """
apis:
  chat:
    type: websocket
    routes:
      $connect: {function: "talk:note"}
      $disconnect: {function: "talk:note"}
      $default: {function: "talk:note"}
      quiet: {function: "talk:note", route_response: false}
    stages: {prod: }
"""
TALK = """
import json
def note(event, context):
    with open(__file__ + ".events", "a") as file:
        file.write(json.dumps(event) + "\\n")
    return {"statusCode": 200, "body": event["requestContext"]["messageId"] if "body" in event else ""}
"""


def test_websocket_events_and_boto3(serve, tmp_path):
    """The SDK finds its exceptions; a route without a route response is one-way."""
    (tmp_path / "talk.py").write_text(TALK)
    server = serve(CHAT)
    client = boto3.client(
        "apigatewaymanagementapi", endpoint_url=f"{server.url}/prod", region_name="us-east-1",
        aws_access_key_id="any", aws_secret_access_key="any",
    )  # fmt: skip
    with connect(f"{server.url.replace('http', 'ws')}/prod?token=t", additional_headers={"X-Own": "1"}) as socket:
        socket.send('{"action": "quiet"}')
        socket.send('{"action": "other"}')
        answered = socket.recv(timeout=PATIENCE)
        connected, quiet, other = map(json.loads, server.lines(tmp_path / "talk.py.events", 3))
        id = connected["requestContext"]["connectionId"]
        state = client.get_connection(ConnectionId=id)
        client.post_to_connection(ConnectionId=id, Data=b"from outside")
        assert socket.recv(timeout=PATIENCE) == "from outside"
        with pytest.raises(client.exceptions.PayloadTooLargeException):
            client.post_to_connection(ConnectionId=id, Data=b"x" * 131_073)
        client.delete_connection(ConnectionId=id)
    for call in (client.get_connection, client.delete_connection):
        with pytest.raises(client.exceptions.GoneException):
            call(ConnectionId=id)
    with pytest.raises(client.exceptions.GoneException):
        client.post_to_connection(ConnectionId=id, Data=b"x")
    assert state["Identity"]["SourceIp"] == "127.0.0.1"
    assert state["ConnectedAt"].timestamp() * 1000 == pytest.approx(
        connected["requestContext"]["connectedAt"], abs=60_000
    )
    assert state["LastActiveAt"] >= state["ConnectedAt"]
    assert answered == other["requestContext"]["messageId"]  # not that of the one-way route
    assert connected["headers"]["X-Own"] == "1"
    assert connected["queryStringParameters"] == {"token": "t"}
    for event, kind, route in (
        (connected, "CONNECT", "$connect"),
        (quiet, "MESSAGE", "quiet"),
        (other, "MESSAGE", "$default"),
    ):
        context = event["requestContext"]
        assert (context["eventType"], context["routeKey"], context["connectionId"]) == (kind, route, id)
        assert context["domainName"] == f"127.0.0.1:{server.port}"
        assert {"requestTimeEpoch", "requestTime", "requestId", "messageDirection", "identity", "apiId"} <= set(context)
    assert (quiet["body"], quiet["isBase64Encoded"]) == ('{"action": "quiet"}', False)
    assert "headers" not in quiet
    (gone,) = map(json.loads, server.lines(tmp_path / "talk.py.events", 4)[3:])
    assert gone["requestContext"]["disconnectStatusCode"] == 1000
