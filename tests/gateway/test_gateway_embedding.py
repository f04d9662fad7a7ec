"""The gateway inside other applications, and its spans."""

import asyncio
import json
import threading

import pytest
from fastapi import FastAPI
from gateway_harness import App
from gateway_looks import ask
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from waiting import PATIENCE, until_async

from ratelimit.gateway import Api, Configuration, Gateway, Mock, Plan, Proxy, Route, Stage, Throttle
from ratelimit.gateway.http.body import BODY_MEMORY


def gateway(clock=None, **options):
    routes = {"GET /pets/{id}": Route(mock=Mock(body="$request.path.id $context.stage"))}
    stages = {"$default": Stage(route_throttles={"*": Throttle(1, 2)}), "dev": Stage()}
    talk = Api("websocket", {"$default": Route(mock=Mock(body="hello"))}, stages={"prod": Stage()})
    apis = {"shop": Api(routes=routes, stages=stages), "talk": talk}
    return Gateway(Configuration(apis, domains={"*": {"/": "shop", "/talk": "talk"}}, **options), clock=clock)


def in_starlette(app):
    return Starlette(routes=[Mount("/api", app=app)])


def in_fastapi(app):
    outer = FastAPI()
    outer.mount("/api", app)
    return outer


@pytest.mark.parametrize("mounted", [in_starlette, in_fastapi])
def test_mounted_gateway_works_below_a_prefix(clock, mounted):
    client = TestClient(mounted(gateway(clock)))
    answers = [client.get("/api/pets/7") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].text == "7 $default"
    assert client.get("/api/dev/pets/a%20b").text == "a b dev"
    assert client.get("/api/nothing").status_code == 404
    with client.websocket_connect("/api/talk/prod") as socket:
        socket.send_text("{}")
        assert socket.receive_text() == "hello"


@pytest.mark.parametrize("mounted", [in_starlette, in_fastapi])
def test_operator_pages_of_a_mounted_gateway(mounted):
    client = TestClient(mounted(gateway()), base_url="http://localhost", client=("127.0.0.1", 1))
    assert client.get("/api/_gateway/status.json").json()["stages"][0]["api"] == "shop"
    assert client.get("/api/_gateway/nothing").status_code == 404
    assert client.get("/_gateway").status_code == 404


@pytest.mark.parametrize(("path", "status"), [("/apixpets/7", 404), ("/api/pets/7", 200), ("/pets/7", 200)])
def test_root_path_ends_at_a_segment(path, status):
    routes = {"GET /pets/{id}": Route(mock=Mock())}
    made = Gateway(Configuration({"shop": Api(routes=routes, stages={"$default": Stage()})}))
    client = TestClient(made, root_path="/api")
    assert client.get(path).status_code == status


def test_no_method_is_a_handshake():
    client = TestClient(gateway())
    assert client.request("WEBSOCKET", "/talk/prod").json() == {"message": "Forbidden"}


def test_requests_from_several_event_loops(nginx):
    """Starlette's TestClient without a `with` does so. A connection to a backend belongs to the loop that opened it."""
    routes = {"$default": Route(proxy=Proxy([f"http://127.0.0.1:{nginx}"]))}
    client = TestClient(Gateway(Configuration({"a": Api(routes=routes, stages={"$default": Stage()})})))
    assert [client.get("/pets").status_code for _ in range(3)] == [200] * 3


def test_a_request_that_is_cancelled_is_recorded(tmp_path):
    """An application around the gateway may cancel it, such as one that bounds the time of each request."""
    log, entered, goes_on = tmp_path / "access.log", threading.Event(), threading.Event()

    def wait(event):
        entered.set()
        goes_on.wait(PATIENCE)

    api = Api("http", {"POST /": Route(function=wait)}, stages={"$default": Stage()})
    access_log = {"file": str(log), "format": "$context.status $context.error.message"}
    app = Gateway(Configuration({"a": api}, access_log=access_log))

    async def cancelled():
        task = asyncio.create_task(ask(app, method="POST", body=b"x" * 1_000))
        await until_async(entered.is_set)
        before = BODY_MEMORY.used
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        goes_on.set()
        return before - BODY_MEMORY.used

    assert asyncio.run(cancelled()) == 1_000
    assert log.read_text() == "499 the request was cancelled\n"


def test_request_has_one_span():
    """Its parent is the caller's span and its child the backend's; it has neither a key nor an address."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    key = "s" * 24
    routes = {
        "GET /pets/{id}": Route(mock=Mock(), api_key_required=True),
        "GET /gone": Route(proxy=Proxy(["http://127.0.0.1:1"])),
    }
    configuration = Configuration(
        {"shop": Api(routes=routes, stages={"$default": Stage(route_throttles={"*": Throttle(1, 1)})})},
        api_keys={"ann": key},
        plans={"gold": Plan(["ann"], ["shop/$default"])},
        tracing=True,
    )
    ask = App(configuration, client="192.0.2.77")
    caller = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    for _ in range(2):
        ask.get("/pets/7", headers={"x-api-key": key, "traceparent": caller})
    ask.get("/gone")
    admitted, refused, gone = exporter.get_finished_spans()
    assert admitted.name == "GET /pets/{id}"
    assert (format(admitted.context.trace_id, "032x"), format(admitted.parent.span_id, "016x")) == ("a" * 32, "b" * 16)
    assert (admitted.attributes["http.response.status_code"], admitted.attributes["ratelimit.allowed"]) == (200, True)
    assert (refused.attributes["ratelimit.level"], refused.attributes["ratelimit.allowed"]) == ("method", False)
    assert (gone.status.status_code.name, gone.attributes["http.response.status_code"]) == ("ERROR", 504)
    told = json.dumps([dict(span.attributes) for span in (admitted, refused, gone)])
    assert not {part for part in (key, "ann", "192.0.2.77") if part in told}
