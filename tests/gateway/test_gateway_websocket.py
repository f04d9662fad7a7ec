"""WebSocket APIs with a real client: routes, throttles, limits, `@connections`, and a backend that speaks WebSocket.

In one file: the tests have their server and clients in common.
"""

import asyncio
import base64
import json
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from datetime import datetime

import httpx
import pytest
import websockets
from gateway_harness import KEY, Server, raw
from ports import free_port
from waiting import PATIENCE, pace, until, until_still
from websockets.sync.client import connect
from websockets.sync.server import serve as serve_websocket

from ratelimit.gateway import Api, Configuration, Gateway, Stage
from ratelimit.gateway.backends.proxy import Forwarding
from ratelimit.gateway.http.request import WebSocketEvent
from ratelimit.gateway.pipeline import begin

FUNCTIONS = """
import json
from pathlib import Path

def connect(event):
    token = event.get("queryStringParameters", {}).get("token")
    if token == "bad":
        return {"statusCode": 401, "body": "no"}
    headers = {"Sec-WebSocket-Protocol": "chat"} if "Sec-WebSocket-Protocol" in event["headers"] else {}
    return {"statusCode": 200, "headers": headers}

def gone(event):
    with open(__file__ + ".gone", "a") as file:
        file.write(event["requestContext"]["connectionId"] + "\\n")

def say(event):
    return {"statusCode": 200, "body": "said " + json.loads(event["body"])["text"]}

async def show(event):
    return {"body": event["body"], "route": event["requestContext"]["routeKey"], "encoded": event["isBase64Encoded"],
            "id": event["requestContext"]["connectionId"], "kind": event["requestContext"]["eventType"]}

def fail(event):
    raise RuntimeError("a secret")

def quiet(event):
    return {"statusCode": 200}
"""

GATEWAY = """
access_log:
  file: {folder}/access.log
  format: "$context.eventType $context.routeKey $context.status $context.error.message"
apis:
  chat:
    type: websocket
    routes:
      $connect: {{function: "talk:connect"}}
      $disconnect: {{function: "talk:gone"}}
      $default: {{function: "talk:show"}}
      say: {{function: "talk:say"}}
      fail: {{function: "talk:fail"}}
      quiet: {{function: "talk:quiet"}}
      mock: {{mock: {{body: "mock $context.connectionId"}}}}
    limits: &limits {{message: 5000, frame: 3000}}
    stages:
      prod: {{route_throttles: {{say: {{rate: 0.1, burst: 2}}}}}}
      few: {{route_throttles: {{$connect: {{rate: 0.1, burst: 2}}}}}}
  keyed:
    type: websocket
    limits: *limits
    route_selection: "${{request.body.kind}}/${{request.body.name}}"
    routes:
      $connect: {{api_key_required: true, mock: {{}}}}
      a/b: {{mock: {{body: "a and b"}}}}
      1/: {{mock: {{body: "one and nothing"}}}}
      'true/{{"x": 1}}': {{mock: {{body: "as text"}}}}
    stages: {{prod: {{}}}}
  proxied:
    type: websocket
    limits: *limits
    routes:
      $default: {{proxy: "ws://127.0.0.1:{upstream}/up?from=gateway"}}
      ping: {{mock: {{body: "pong"}}}}
    stages: {{prod: {{route_throttles: {{$default: {{rate: 0.1, burst: 3}}}}}}}}
  nowhere:
    type: websocket
    limits: *limits
    routes: {{$default: {{proxy: "ws://127.0.0.1:1"}}}}
    stages: {{prod: {{}}}}
  brief:
    type: websocket
    limits: {{message: 5000, frame: 3000, idle: 1.5, life: 3}}
    routes: {{mock: {{mock: {{body: "mock"}}}}}}
    stages: {{prod: {{}}}}
api_keys: {{ann: {key}, ben: {key}2}}
plans:
  gold: {{keys: ann, stages: keyed/prod, throttle: {{rate: 0.01, burst: 3}}}}
  free: {{keys: ben, stages: keyed/prod}}
domains: {{"*": {{/: chat, /keyed: keyed, /proxied: proxied, /nowhere: nowhere, /brief: brief}}}}
"""

HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n"
)


def test_client_cannot_set_its_connection_id():
    """`X-Connection-Id`, which identifies the client to a backend, is set by the gateway alone."""
    configuration = Configuration({"a": Api(type="websocket", stages={"prod": Stage()})})
    theirs = [(b"host", b"a"), (b"x-connection-id", b"theirs"), (b"x_connection_id", b"theirs")]
    scope = {"headers": theirs, "client": ("192.0.2.1", 1)}
    exchange = begin(Gateway(configuration).site, scope, None, None)
    exchange.request.websocket = WebSocketEvent("its-own")
    assert [value for name, value in Forwarding().headers(exchange) if b"connection" in name] == [b"its-own"]


def upstream(connection):
    """Return a backend that shows its requests."""
    connection.send(f"hello {connection.request.path} {connection.request.headers['X-Forwarded-For']}")
    for message in connection:
        if message == "close":
            connection.close(4321, "enough")
            return
        connection.send(message[::-1])


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def chat(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    (folder / "talk.py").write_text(FUNCTIONS)
    port = free_port()
    behind = serve_websocket(upstream, "127.0.0.1", port)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    server = Server(folder, GATEWAY.format(folder=folder, upstream=port, key=KEY), "--workers", str(request.param))
    server.folder = folder
    server.ws = f"ws://127.0.0.1:{server.port}"
    yield server
    server.stop()
    behind.shutdown()


def talk(connection, **message):
    connection.send(json.dumps(message))
    return connection.recv(timeout=PATIENCE)


def test_messages_are_routed(chat):
    with connect(f"{chat.ws}/prod") as client:
        assert client.protocol.handshake_exc is None
        assert "ratelimit" in client.response.headers
        shown = json.loads(talk(client, action="unknown", x=1))
        assert (shown["route"], shown["kind"]) == ("$default", "MESSAGE")
        assert talk(client, action="mock") == f"mock {shown['id']}"
        for text in ("no json", "[1]", '"text"', "{" * 10_000, ""):
            if len(text) < 3_000:
                client.send(text)
                assert json.loads(client.recv(timeout=PATIENCE))["route"] == "$default"
        assert json.loads(talk(client, action="$connect"))["route"] == "$default"
        client.send(b"\x00\xff")
        shown = json.loads(client.recv(timeout=PATIENCE))
        assert (shown["encoded"], base64.b64decode(shown["body"])) == (True, b"\x00\xff")
        client.send(json.dumps({"action": "quiet"}))
        assert talk(client, action="mock").startswith("mock")  # nothing came of the quiet one


def test_throttles_by_route(chat):
    """A message over the limit gets an error frame with the time to retry; the connection stays open."""
    with connect(f"{chat.ws}/prod") as client:
        assert [talk(client, action="say", text="x") for _ in range(2)] == ["said x"] * 2
        error = json.loads(talk(client, action="say", text="x"))
        assert (error["message"], error["retryAfter"]) == ("Too Many Requests", 10)
        assert {"connectionId", "requestId"} <= set(error)
        assert talk(client, action="mock").startswith("mock")
        assert json.loads(talk(client, action="fail"))["message"] == "Internal server error"


def test_new_connections_are_throttled(chat):
    for _ in range(2):
        with connect(f"{chat.ws}/few"):
            pass
    with pytest.raises(websockets.InvalidStatus) as caught:
        connect(f"{chat.ws}/few")
    response = caught.value.response
    assert (response.status_code, response.headers["retry-after"]) == (429, "10")
    assert json.loads(response.body) == {"message": "Too Many Requests"}


@pytest.mark.parametrize(
    ("path", "status"), [("/prod?token=bad", 401), ("/nothing", 404), ("/keyed/prod", 403), ("/nowhere/prod", 504)]
)
def test_failed_handshakes_have_a_status(chat, path, status):
    with pytest.raises(websockets.InvalidStatus) as caught:
        connect(chat.ws + path)
    assert caught.value.response.status_code == status


def test_only_the_access_log_records_handshakes(serve):
    """The server's own log has neither queries, in which browsers send tokens, nor errors for rejected handshakes."""
    server = serve("apis: {a: {type: websocket, routes: {say: {mock: {}}}, stages: {prod: {}}}}")
    address = f"ws://127.0.0.1:{server.port}"
    with connect(f"{address}/prod?token=secret"), pytest.raises(websockets.InvalidStatus):
        connect(f"{address}/nothing?token=secret")
    server.stop()
    told = server.log.read_text()
    assert [word for word in ("secret", "ERROR", "rejected") if word in told] == []


def test_negotiates_a_subprotocol(chat):
    with connect(f"{chat.ws}/prod", subprotocols=["chat"]) as client:
        assert client.subprotocol == "chat"


def test_joins_the_parts_of_a_selection_expression(chat):
    """Parts are joined; a missing part is empty, and other values become strings. Without $default, it is an error."""
    with connect(f"{chat.ws}/keyed/prod", additional_headers={"x-api-key": KEY + "2"}) as client:
        assert talk(client, kind="a", name="b") == "a and b"
        assert talk(client, kind=1) == "one and nothing"
        assert json.loads(talk(client, kind="x"))["message"] == "Forbidden"


def test_usage_plan_counts_messages(chat):
    with connect(f"{chat.ws}/keyed/prod", additional_headers={"x-api-key": KEY}) as client:
        replies = [talk(client, kind=True, name={"x": 1}) for _ in range(3)]
    assert replies[:2] == ["as text"] * 2  # the third of the plan was the handshake
    assert json.loads(replies[2])["message"] == "Too Many Requests"


def test_disconnecting_runs_the_disconnect_route(chat):
    gone = chat.folder / "talk.py.gone"
    with connect(f"{chat.ws}/prod") as client:
        id = json.loads(talk(client, action="x"))["id"]
    until(lambda: gone.exists() and id in gone.read_text())


def test_management_api_of_connections(chat):
    """Any worker can send to, show and close a connection; it returns 410 after the end."""
    with connect(f"{chat.ws}/prod") as client, httpx.Client(base_url=f"http://127.0.0.1:{chat.port}") as operator:
        id = json.loads(talk(client, action="x"))["id"]
        for i in range(6):
            with httpx.Client(base_url=str(operator.base_url)) as other:  # a connection of its own, to some worker
                assert other.post(f"/prod/@connections/{id}", content=f"hello {i}").status_code == 200
                assert client.recv(timeout=PATIENCE) == f"hello {i}"
        shown = operator.get(f"/prod/@connections/{id}").json()
        assert shown["connectionId"] == id
        assert shown["identity"]["sourceIp"] == "127.0.0.1"
        assert abs(datetime.fromisoformat(shown["connectedAt"]).timestamp() - time.time()) < 60
        assert operator.post(f"/prod/@connections/{id}", content=b"x" * 6_000).status_code == 413
        assert operator.delete(f"/prod/@connections/{id}").status_code == 204
        with pytest.raises(websockets.ConnectionClosed):
            client.recv(timeout=PATIENCE)
        for method in ("GET", "POST", "DELETE"):
            assert operator.request(method, f"/prod/@connections/{id}").status_code == 410
        assert operator.get("/prod/@connections/..%2f..").status_code == 400
        assert operator.get("/prod/other").status_code == 403


@pytest.mark.parametrize("pieces", [["x" * 3_100], ["x" * 2_600, "x" * 2_600]], ids=["a frame", "a message"])
def test_closes_on_messages_that_are_too_big(chat, pieces):
    def send_and_listen(client):
        client.send(pieces if len(pieces) > 1 else pieces[0])  # which may already find it closed
        client.recv(timeout=PATIENCE)

    with connect(f"{chat.ws}/prod") as client:
        with pytest.raises(websockets.ConnectionClosed) as caught:
            send_and_listen(client)
        assert caught.value.rcvd.code == 1009


def talk_until_closed(client):
    for _ in range(100):
        talk(client, action="mock")
        pace(0.1)


def test_idle_timeout_and_maximum_duration(chat):
    with connect(f"{chat.ws}/brief/prod") as client:
        began = time.monotonic()
        with pytest.raises(websockets.ConnectionClosed) as caught:
            client.recv(timeout=PATIENCE)
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "idle")
        assert time.monotonic() - began > 1.4
    with connect(f"{chat.ws}/brief/prod") as client:
        began = time.monotonic()
        with pytest.raises(websockets.ConnectionClosed) as caught:
            talk_until_closed(client)
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1001, "the connection has lived long enough")
        assert time.monotonic() - began > 2.9


def test_proxies_to_a_websocket_backend(chat):
    with connect(f"{chat.ws}/proxied/prod") as client:
        assert client.recv(timeout=PATIENCE) == "hello /up?from=gateway 127.0.0.1"
        client.send("abc")
        assert client.recv(timeout=PATIENCE) == "cba"
        client.send(b"\x01\xff")
        assert client.recv(timeout=PATIENCE) == b"\xff\x01"
        assert talk(client, action="ping") == "pong"  # answered here
        client.send("close")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            client.recv(timeout=PATIENCE)
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4321, "enough")
    with connect(f"{chat.ws}/proxied/prod") as client:
        client.recv(timeout=PATIENCE)
        client.send("more")
        assert json.loads(client.recv(timeout=PATIENCE))["message"] == "Too Many Requests"


def test_backend_that_sends_too_much_is_disconnected(serve):
    """The client gets the close code 1009, and little is buffered for a client that reads nothing."""
    port = free_port()

    sent = []

    def say(connection):
        message = next(iter(connection))
        with suppress(websockets.ConnectionClosed):
            while True:
                connection.send("x" * (300_000 if message == "large" else 100_000))
                sent.append(message)

    behind = serve_websocket(say, "127.0.0.1", port)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    server = serve(f"""
apis: {{a: {{type: websocket, routes: {{$default: {{proxy: "ws://127.0.0.1:{port}"}}}}, stages: {{p: {{}}}}}}}}
""")
    try:
        with connect(f"ws://127.0.0.1:{server.port}/p") as client:
            client.send("large")
            with pytest.raises(websockets.ConnectionClosed) as caught:
                client.recv(timeout=PATIENCE)
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1009, "a message of the backend is too big")
        before = server.memory()
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(connect(f"ws://127.0.0.1:{server.port}/p", max_queue=1)).send("go")
            until_still(lambda: len(sent))
            assert sent.count("go") >= 20
            assert server.memory() - before < 20 * 10**6
            stack.pop_all()  # to close takes an answer, for which all would have to be read
    finally:
        server.process.kill()  # or else the backend would wait for its clients
        behind.shutdown()


def test_malformed_frames_close_the_connection(chat):
    """The log has a line for each event."""
    with socket.create_connection(("127.0.0.1", chat.port), PATIENCE) as connection:
        connection.sendall(
            b"GET /prod HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 101")
        connection.sendall(bytes(range(256)) * 10)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        assert answer[0] == 0x88
    assert asyncio.run(_alive(chat))
    lines = (chat.folder / "access.log").read_text().splitlines()
    assert "CONNECT $connect 101 -" in lines
    assert "MESSAGE say 429 Too Many Requests" in lines
    assert "DISCONNECT $disconnect 200 -" in lines


async def _alive(chat):
    async with websockets.connect(f"{chat.ws}/prod") as client:
        await client.send('{"action": "mock"}')
        return await client.recv()


def test_message_that_is_not_allowed_in_a_header(serve, backend):
    """It gets an error frame, and the connection stays open."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    back = backend(answer)
    server = serve(f"""
apis:
  chat:
    type: websocket
    routes: {{say: {{proxy: "{back.url}", request: {{"overwrite:header.x-text": $request.body.text}}}}}}
    stages: {{prod: {{}}}}
""")
    with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        client.send(json.dumps({"action": "say", "text": "a\r\nSet-Cookie: b"}))
        assert json.loads(client.recv(timeout=PATIENCE))["message"] == "Bad Request"
        client.send(json.dumps({"action": "say", "text": "a"}))
        assert client.recv(timeout=PATIENCE) == "ok"
    assert [b"x-text: a\r\n" in head for head in back.heads] == [True]


def test_backends_do_not_outlive_a_denied_handshake(serve, tmp_path):
    """The cause may be the integration of $connect, another backend, a mapping, or a client that disconnects."""
    opened, paths = [], []

    def stay(connection):
        opened.append(connection)
        paths.append(connection.request.path)
        for _ in connection:
            pass
        opened.remove(connection)

    (tmp_path / "refuse.py").write_text(
        "import time\ndef deny(event): return {'statusCode': 401, 'body': 'no'}\ndef wait(event): time.sleep(0.2)\n"
    )
    port = free_port()
    up = f"ws://127.0.0.1:{port}"
    behind = serve_websocket(stay, "127.0.0.1", port)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    apis = {
        "denied": f"{{$connect: {{function: 'refuse:deny'}}, $default: {{proxy: '{up}'}}}}",
        "half": f"{{one: {{proxy: '{up}'}}, two: {{proxy: 'ws://127.0.0.1:1'}}}}",
        "path": f"{{one: {{proxy: '{up}', request: {{'overwrite:path': /$request.querystring.x}}}}}}",
        "slow": f"{{$connect: {{function: 'refuse:wait'}}, $default: {{proxy: '{up}/slow'}}}}",
    }
    text = "".join(f"  {n}: {{type: websocket, stages: {{p: {{}}}}, routes: {routes}}}\n" for n, routes in apis.items())
    server = serve(f"apis:\n{text}domains: {{'*': {{{', '.join(f'/{name}: {name}' for name in apis)}}}}}")
    try:
        for path, status in (("/denied/p", 401), ("/half/p", 504), ("/path/p?x=..%2fa", 400)):
            with pytest.raises(websockets.InvalidStatus) as caught, connect(f"ws://127.0.0.1:{server.port}{path}"):
                pass
            assert caught.value.response.status_code == status
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
            connection.sendall(
                b"GET /slow/p HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
        until(lambda: "/slow" in paths and not opened, lambda: f"open are {opened}, and were {paths}")
        assert "Traceback" not in server.log.read_text()
    finally:
        behind.shutdown()


def test_handshake_with_a_backend_has_mapped_headers(serve):
    """The handshake goes through the route's mapping."""
    port = free_port()
    behind = serve_websocket(lambda one: one.send(one.request.headers["x-stage"]), "127.0.0.1", port)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    mapping = "{'overwrite:header.x-stage': $context.stage}"
    server = serve(f"""
apis:
  chat:
    type: websocket
    routes: {{$default: {{proxy: "ws://127.0.0.1:{port}", request: {mapping}}}}}
    stages: {{prod: {{}}}}
""")
    with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        assert client.recv(timeout=PATIENCE) == "prod"
    behind.shutdown()


def test_backend_that_sends_before_the_handshake_is_complete(serve):
    """Its messages are kept for the client while the handshake with another backend is under way."""
    greeted = threading.Event()

    def greet(connection):
        connection.send("welcome")
        greeted.set()
        for message in connection:
            connection.send(message[::-1])

    def late(connection, request):
        greeted.wait(PATIENCE)

    behind = [serve_websocket(greet, "127.0.0.1", 0), serve_websocket(greet, "127.0.0.1", 0, process_request=late)]
    for one in behind:
        threading.Thread(target=one.serve_forever, daemon=True).start()
    first, second = (f"ws://127.0.0.1:{one.socket.getsockname()[1]}" for one in behind)
    server = serve(f"""
apis:
  chat:
    type: websocket
    routes: {{$default: {{proxy: "{first}"}}, two: {{proxy: "{second}"}}}}
    stages: {{prod: {{}}}}
""")
    with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        assert [client.recv(timeout=PATIENCE) for _ in range(2)] == ["welcome", "welcome"]
        client.send("abc")
        assert client.recv(timeout=PATIENCE) == "cba"
    for one in behind:
        one.shutdown()


def test_websocket_backend_that_hangs_is_skipped(serve, backend):
    """The next clients are sent to the other address."""

    async def hang(head, reader, writer):
        await asyncio.Event().wait()

    behind = serve_websocket(lambda one: one.send("here"), "127.0.0.1", 0)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    addresses = [backend(hang).url.replace("http", "ws"), f"ws://127.0.0.1:{behind.socket.getsockname()[1]}"]
    server = serve(f"""
apis:
  chat:
    type: websocket
    routes: {{$default: {{proxy: {{to: {json.dumps(addresses)}, timeout: 1}}}}}}
    stages: {{prod: {{}}}}
""")
    seen = []
    for _ in range(6):
        try:
            with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
                seen.append(client.recv(timeout=PATIENCE))
        except websockets.InvalidStatus as refused:
            seen.append(refused.response.status_code)
    assert sorted(map(str, seen)) == ["504"] + ["here"] * 5
    behind.shutdown()


def test_http_backend_that_fails_in_mid_body(serve, backend):
    """The message gets an error frame, and the connection stays open."""

    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)

    server = serve(f"""
apis:
  chat:
    type: websocket
    routes: {{$default: {{proxy: "{backend(answer).url}"}}, mock: {{mock: {{body: here}}}}}}
    stages: {{prod: {{}}}}
""")
    with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        client.send("{}")
        assert json.loads(client.recv(timeout=PATIENCE))["message"] == "Network error communicating with endpoint"
        assert talk(client, action="mock") == "here"


LATE = """
import asyncio, pathlib

async def late(event):
    while not pathlib.Path(__file__).with_name("go").exists():
        await asyncio.sleep(0.01)
    pathlib.Path(__file__).with_name("done").touch()
"""


def late_chat(serve, folder):
    """Run a gateway that answers a message once a file `go` exists, and immediately with the ID of its connection."""
    (folder / "late.py").write_text(LATE)
    return serve("""
apis:
  chat:
    type: websocket
    routes: {$default: {function: "late:late"}, id: {mock: {body: $context.connectionId}}}
    stages: {prod: {}}
""")


def test_disconnecting_during_a_message(serve, tmp_path):
    """Its answer is dropped, and the management API reports the client as gone."""
    server = late_chat(serve, tmp_path)
    with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        url = f"{server.url}/prod/@connections/{talk(client, action='id')}"
        client.send("{}")
        assert [httpx.delete(url).status_code for _ in range(2)] == [204, 410]
        with pytest.raises(websockets.ConnectionClosed) as caught:
            client.recv(timeout=PATIENCE)
        assert caught.value.rcvd.code == 1000
    (tmp_path / "go").touch()
    until((tmp_path / "done").exists)
    server.stop()
    assert "Traceback" not in server.log.read_text()


def test_rotated_log_is_reopened_by_a_reload(serve, tmp_path):
    """Clients that stay connected write to the new file, and their throttles stay."""
    log = tmp_path / "access.log"
    server = serve(
        f"""
access_log: {{file: {log}, format: $context.eventType}}
apis: {{chat: {{type: websocket, routes: {{$default: {{mock: {{body: hi}}}}}}, stages: {{prod: {{}}}}}}}}
""",
        "--no-watch",
    )
    with connect(f"ws://127.0.0.1:{server.port}/prod") as client:
        assert talk(client) == "hi"
        assert server.lines(log, 2) == ["CONNECT", "MESSAGE"]
        log.rename(tmp_path / "access.log.1")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded")
        assert talk(client) == "hi"
        assert server.lines(log, 1) == ["MESSAGE"]


def test_messages_pass_through_a_websocket_backend_unchanged(serve):
    """Binary stays binary and text stays text; the backend gets the close code of the client."""
    closes = []

    def echo(connection):
        with suppress(websockets.ConnectionClosed):
            while True:
                connection.send(connection.recv())
        closes.append((connection.close_code, connection.close_reason))

    behind = serve_websocket(echo, "127.0.0.1", 0)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    server = serve(f"""
apis:
  a:
    type: websocket
    routes: {{$default: {{proxy: "ws://127.0.0.1:{behind.socket.getsockname()[1]}"}}}}
    limits: {{idle: 1}}
    stages: {{p: {{}}}}
""")
    said = [b"abc", "abc", b"", "", b"\xff", "ä", ["a", "b"], [b"a", b"b"]]
    heard = [*said[:6], "ab", b"ab"]
    for close in ((4000, "enough"), (1000, "")):
        with connect(f"ws://127.0.0.1:{server.port}/p") as client:
            for one, same in zip(said, heard, strict=True):
                client.send(one)
                assert client.recv(timeout=PATIENCE) == same
            client.close(*close)
    with connect(f"ws://127.0.0.1:{server.port}/p") as client, suppress(websockets.ConnectionClosed):
        client.recv(timeout=PATIENCE)
    until(lambda: len(closes) == 3)
    assert closes == [(4000, "enough"), (1000, ""), (1001, "idle")]
    behind.shutdown()


def test_websocket_backend_that_denies_the_handshake(serve):
    """The client gets its answer, also a redirect, and it does not count as a failure of the backend."""

    def judge(connection, request):
        path = request.path
        if path.endswith("away"):
            answer = connection.respond(302, "")
            answer.headers["Location"] = "/welcome"
            return answer
        return None if path.endswith("welcome") else connection.respond(401, "who are you?")

    behind = [serve_websocket(lambda one: one.send("here"), "127.0.0.1", 0, process_request=judge) for _ in range(2)]
    for one in behind:
        threading.Thread(target=one.serve_forever, daemon=True).start()
    addresses = [f"ws://127.0.0.1:{one.socket.getsockname()[1]}" for one in behind]
    server = serve(f"""
apis:
  a:
    type: websocket
    routes: {{$default: {{proxy: {{to: {json.dumps(addresses)}, max_fails: 1}}}}}}
    stages: {{p: {{}}}}
""")
    for path, status, end in ((b"/p/no", b"401", b"who are you?"), (b"/p/away", b"302", b"\r\n\r\n")) * 2:
        answer = raw(server.port, HANDSHAKE % path + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert answer.endswith(end)
    with connect(f"ws://127.0.0.1:{server.port}/p/welcome") as client:
        assert client.recv(timeout=PATIENCE) == "here"
    for one in behind:
        one.shutdown()


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        (b"/prod", b"Cookie: " + b"x" * 9_000 + b"\r\n\r\n", b"431"),
        (b"/prod", b"X: y\r\n" * 200 + b"\r\n", b"431"),
        (b"/prod", b"Content-Length: 2\r\n\r\nhi", b"400"),
        (b"/prod", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"/_gateway", b"\r\n", b"404"),
        (b"/prod?token=bad", b"\r\n", b"401"),
    ],
)
def test_rejects_malformed_handshakes(chat, path, more, status):
    """They are answered, the connection is closed, and the log has no errors."""
    before = len(chat.log.read_text())
    with socket.create_connection(("127.0.0.1", chat.port), PATIENCE) as connection:
        connection.sendall(HANDSHAKE % path + more)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert "ERROR" not in chat.log.read_text()[before:]


def next_frame(connection, stream):
    """Return the first byte and the payload of a short frame. Answer each ping that comes before it, as a client must."""
    while True:
        head = stream.read(2)
        payload = stream.read(head[1])
        if head[0] != 0x89:
            return head[:1], payload
        connection.sendall(b"\x8a" + bytes([0x80 + len(payload)]) + bytes(4) + payload)


def test_endless_fragments_fill_no_memory(serve):
    """Empty fragments never exceed the size of a message."""
    server = serve("apis: {a: {type: websocket, routes: {$default: {mock: {body: ok}}}, stages: {prod: {}}}}")
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(HANDSHAKE % b"/prod" + b"\r\n")
        connection.recv(65_536)
        connection.sendall(b"\x01\x81\0\0\0\0{")
        before, stream = 0, connection.makefile("rb")
        for _ in range(40):
            connection.sendall(b"\x00\x80\0\0\0\0" * 10_000 + b"\x89\x80\0\0\0\0")  # and a ping
            assert next_frame(connection, stream) == (b"\x8a", b"")
            before = before or server.memory()
        assert server.memory() - before < 4 * 10**6
        connection.sendall(b"\x80\x81\0\0\0\0}")
        assert next_frame(connection, stream) == (b"\x81", b"ok")


def test_client_that_reads_no_pongs_costs_no_memory(serve):
    slow = "send_timeout: 3600\n"  # on a busy machine the pings take longer than a slow client may
    server = serve(slow + "apis: {a: {type: websocket, routes: {$default: {mock: {body: ok}}}, stages: {prod: {}}}}")
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(HANDSHAKE % b"/prod" + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 101")
        before = server.memory()
        for _ in range(60):
            connection.sendall((b"\x89\xfd\0\0\0\0" + b"p" * 125) * 5_000)
        assert server.memory() - before < 10 * 10**6
        connection.sendall(b"\x81\x80\0\0\0\0")
        with connection.makefile("rb") as stream:  # who does take them is served
            while (frame := next_frame(connection, stream)) != (b"\x81", b"ok"):
                assert frame == (b"\x8a", b"p" * 125)


def test_client_that_disconnected_leaves_nothing(serve):
    limits = "limits: {connections: {rate: 10000, burst: 10000}}"
    server = serve(f"apis: {{a: {{type: websocket, {limits}, stages: {{prod: {{}}}}}}}}")

    def come_and_go():
        for _ in range(500):
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
                connection.sendall(HANDSHAKE % b"/prod" + b"\r\n")
                assert connection.recv(65_536).startswith(b"HTTP/1.1 101")
                connection.sendall(b"\x88\x80\0\0\0\0")
                assert connection.recv(65_536) == b"\x88\0"

    come_and_go()
    before = server.memory()
    come_and_go()
    assert server.memory() - before < 3 * 10**6


def test_message_to_a_client_that_is_being_closed(serve, tmp_path):
    """The sender gets the status of a client that is gone, and the log has no failure."""
    (tmp_path / "big.py").write_text("def big(event): return 'x' * 20_000_000\n")
    server = serve("""
apis:
  chat:
    type: websocket
    routes: {big: {function: "big:big"}, id: {mock: {body: $context.connectionId}}}
    stages: {prod: {}}
""")
    statuses = []
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(HANDSHAKE % b"/prod" + b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 101")
        connection.sendall(b"\x81\x8f\0\0\0\0" + b'{"action":"id"}')
        url = f"{server.url}/prod/@connections/{connection.recv(65_536)[2:].decode()}"
        connection.sendall(b"\x81\x90\0\0\0\0" + b'{"action":"big"}')
        select.select([connection], [], [], PATIENCE)  # the large answer has begun
        waiting = threading.Thread(target=lambda: statuses.append(httpx.post(url, content="hello").status_code))
        waiting.start()
        pace(0.3)
        connection.sendall(b"\x81\xff" + (2**40).to_bytes(8, "big"))
        pace(0.3)
        while connection.recv(2**20):
            pass
        waiting.join()
    assert statuses == [410]
    assert "Traceback" not in server.log.read_text()


def test_client_that_disconnected_during_a_message_is_gone(serve, tmp_path):
    """Whatever is asked for it."""
    server = late_chat(serve, tmp_path)
    before = server.sockets()
    for method in ("DELETE", "POST"):
        client = connect(f"ws://127.0.0.1:{server.port}/prod").__enter__()
        url = f"{server.url}/prod/@connections/{talk(client, action='id')}"
        client.send("{}")
        client.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: server.sockets() == before)
        assert httpx.request(method, url).status_code == 410
    (tmp_path / "go").touch()
    server.stop()
    assert "Traceback" not in server.log.read_text()
