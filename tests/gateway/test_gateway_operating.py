"""Operating a gateway: health, reasons, ids of requests, the log, secrets, keys, certificates, backends.

In one file: the tests have their server and its log in common.
"""

import asyncio
import json
import re
import signal
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import websockets
from gateway_harness import KEY, App
from gateway_looks import ask, configured
from prometheus_client.parser import text_string_to_metric_families
from tools import program
from waiting import until, until_async

from ratelimit.gateway import Api, Configuration, ConfigurationError, Gateway, Plan, Proxy, Route, Stage, UsagePlan
from ratelimit.gateway.config.load import Document
from ratelimit.gateway.server.command import main
from ratelimit.gateway.throttling.calendar import day_of
from ratelimit.gateway.throttling.limiters import Limiters
from ratelimit.testing import ManualClock

API = ("apis", "a")
EXAMPLE = Path(__file__).parents[2] / "examples" / "gateway" / "gateway.yaml"
MOCK = "apis: {a: {routes: {GET /: {mock: {}}}, stages: {$default: {}}}}"
REASON = {"BAD_REQUEST": {"body": "$context.error.reason"}, "DEFAULT_4XX": {"body": "$context.error.reason"}}


def gateway_of(*changes, **top):
    return Gateway(Configuration(**{**configured(*changes), **top}), clock=ManualClock())


def answers(gateway, *requests):
    async def all_of_them():
        return [await ask(gateway, with_id=True, **request) for request in requests]

    return asyncio.run(all_of_them())


# --- health


@pytest.mark.parametrize(
    ("path", "status"),
    [("health", "ready"), ("health/ready", "ready"), ("health/live", "live")],
)
def test_health_is_for_every_client(path, status):
    """No client is an operator here, and all levels refuse; any host will do."""
    gateway = gateway_of(operator={"allow": ["10.0.0.0/8"]}, throttle={"rate": 0, "burst": 0})
    (code, headers, body), (head, *_) = answers(
        gateway,
        {"path": f"/_gateway/{path}", "client": "203.0.113.9", "host": "anything.example"},
        {"path": f"/_gateway/{path}", "method": "HEAD"},
    )
    assert (code, json.loads(body), headers[b"cache-control"]) == (200, {"status": status}, b"no-store")
    assert head == 200


def test_health_opens_nothing_else():
    found = answers(
        gateway_of(operator={"path": "/own", "allow": ["10.0.0.0/8"]}),
        {"path": "/own/health"}, {"path": "/own/health", "method": "POST"}, {"path": "/own/health/"},
        {"path": "/own/healthy"}, {"path": "/own/metrics"}, {"path": "/own"}, {"path": "/_gateway/health"},
    )  # fmt: skip
    assert [status for status, *_ in found] == [200, 404, 404, 404, 404, 404, 404]
    assert answers(gateway_of(operator={"path": ""}), {"path": "/health"})[0][0] == 404


def test_gateway_whose_tables_cannot_be_read_is_live_and_not_ready(monkeypatch, caplog):
    gateway = gateway_of()

    def fail(name):
        raise OSError("the engine is away")

    monkeypatch.setattr(gateway.limiters.counters, "read", fail)
    (ready, _, body), (live, *_) = answers(gateway, {"path": "/_gateway/health"}, {"path": "/_gateway/health/live"})
    assert (ready, live, json.loads(body)) == (503, 200, {"status": "not ready"})
    assert "the engine is away" in caplog.text


# --- reasons


GUARDED = (
    (API, {"stages": {"$default": {}, "other": {}}}),
    ((*API, "routes"), {
        "GET /keyed": {"api_key_required": True, "mock": {}},
        "GET /inside": {"allow": "10.0.0.0/8", "mock": {}},
        "GET /outside": {"deny": "192.0.2.0/24", "mock": {}},
        "GET /{name}": {"mock": {}},
        "POST /large": {"max_body": 1, "mock": {}},
    }),
    ((), {
        "api_keys": {"ann": KEY, "ben": KEY + "b"},
        "plans": {"p": {"keys": "ann", "stages": "a/$default"}, "q": {"keys": "ben", "stages": "a/other"}},
    }),
)  # fmt: skip
REFUSED = {
    "an empty segment": {"path": "/a//b"},
    "a dot segment": {"path": "/a/../b"},
    "a backslash": {"path": "/a%5Cb"},
    "a control character": {"path": "/a%01b"},
    "an encoded slash": {"path": "/a%2Fb"},
    "not UTF-8": {"path": "/a%FFb"},
    "without two digits": {"path": "/a%2"},
    "no API key": {"path": "/keyed"},
    "unknown API key": {"path": "/keyed", "headers": [(b"x-api-key", "x" * 24)]},
    "no plan for this stage": {"path": "/keyed", "headers": [(b"x-api-key", KEY + "b")]},
    "x-api-key twice": {"path": "/keyed", "headers": [(b"x-api-key", KEY), (b"x-api-key", KEY + "b")]},
    "not in allow": {"path": "/inside"},
    "in deny": {"path": "/outside"},
    "not known": {"path": "/outside", "client": ""},
    "no such route": {"path": "/a/b"},
    "4 bytes": {"path": "/large", "method": "POST", "headers": [(b"content-length", "4")]},
}


def test_each_refusal_has_a_reason_of_its_own(caplog):
    """It is in $context.error.reason, and in the log with the id of the request at the level debug."""
    caplog.set_level("DEBUG", "ratelimit.gateway")
    gateway = gateway_of(*GUARDED, responses=REASON)
    found = answers(gateway, *REFUSED.values())
    reasons = [body.decode() for _, _, body in found]
    assert [name for name, reason in zip(REFUSED, reasons, strict=True) if name not in reason] == []
    assert len(set(reasons)) == len(reasons)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("refused with")]
    assert [line.partition(": ")[2] for line in lines] == reasons
    assert lines[0] == "refused with 400 BAD_REQUEST: the path has an empty segment"


def test_the_default_log_has_the_reason_and_the_id(tmp_path):
    log = tmp_path / "access.log"
    gateway = gateway_of(access_log=str(log))
    (_, headers, _), (_, refused, _) = answers(gateway, {}, {"path": "/a%2Fb"})
    first, second = log.read_text().splitlines()
    assert first.endswith(f'" 200 1 "-" {headers[b"x-amzn-requestid"].decode()}')
    assert second.endswith(f'" 400 25 "the path has an encoded slash" {refused[b"x-amzn-requestid"].decode()}')


# --- ids of requests


def test_each_answer_has_the_id_of_its_request():
    gateway = gateway_of(
        ((*API, "routes"), {"GET /": {"mock": {"body": "$context.requestId"}}, "GET /c": {"mock": {"body": "x"}}}),
        responses={"DEFAULT_4XX": {"body": "$context.requestId"}},
        throttle={"rate": 1e-6, "burst": 3},
    )
    found = answers(gateway, {}, {"path": "/c"}, {"path": "/c"}, {}, {"path": "/none"}, {"path": "/_gateway/health"})
    assert [status for status, *_ in found] == [200, 200, 200, 429, 404, 200]
    ids = [headers[b"x-amzn-requestid"].decode() for _, headers, _ in found]
    assert len(set(ids)) == len(ids)
    assert all(body.decode() in (id, "x", '{"status": "ready"}') for id, (_, _, body) in zip(ids, found, strict=True))


def test_id_of_a_function_or_a_backend_is_not_taken_for_that_of_the_request(backend):
    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nX-Amzn-RequestId: theirs\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    def function(event):
        return {"statusCode": 200, "headers": {"X-Amzn-RequestId": "theirs"}}

    routes = {"GET /b": Route(proxy=Proxy(backend(answer).url)), "GET /f": Route(function=function)}
    asked = App(Configuration({"a": Api(routes=routes, stages={"$default": Stage()})}))
    for path in ("/b", "/f"):
        (id,) = asked.get(path).headers.get_list("x-amzn-requestid")
        assert id != "theirs"


def test_answer_to_a_handshake_has_a_request_id(serve):
    apis = "apis: {a: {type: websocket, routes: {$default: {mock: {}}}, stages: {s: {}}}}"
    server = serve(apis)

    async def connect():
        async with websockets.connect(f"ws://127.0.0.1:{server.port}/s", proxy=None) as client:
            return client.response.headers["x-amzn-requestid"]

    assert re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", asyncio.run(connect()))


def test_middleware_around_the_gateway_changes_one_answer_alone():
    """A list of headers that is sent belongs to one request: others add to it in place."""
    gateway = gateway_of(throttle=None)

    async def middleware(scope, receive, send):
        async def adding(message):
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-added", b"1"))
            await send(message)

        await gateway(scope, receive, adding)

    async def count():
        sent = []
        for _ in range(3):

            async def receive():
                return {"type": "http.request", "body": b""}

            async def send(message):
                sent.extend(message.get("headers", ()))

            scope = {
                "type": "http", "http_version": "1.1", "method": "GET", "path": "/", "query_string": b"",
                "raw_path": b"/", "client": ("192.0.2.1", 1), "headers": [(b"host", b"a")],
            }  # fmt: skip
            await middleware(scope, receive, send)
        return [name for name, _ in sent].count(b"x-added")

    assert asyncio.run(count()) == 3


# --- the log


def test_line_of_the_log_has_time_level_and_request(serve, tmp_path):
    (tmp_path / "broken.py").write_text("def function(event):\n    raise ValueError('no luck')\n")
    server = serve(
        "apis: {a: {routes: {GET /: {function: 'broken:function'}}, stages: {$default: {}}}}", "--log-level", "debug"
    )
    answer = httpx.get(server.url)
    id = answer.headers["x-amzn-requestid"]
    until(lambda: f"{id} refused with 502" in server.log.read_text())
    lines = server.log.read_text().splitlines()
    moment = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert [line for line in lines if re.fullmatch(rf"{moment} ERROR {id} function of route GET / failed: .*", line)]
    assert [line for line in lines if re.fullmatch(rf"{moment} DEBUG {id} refused with 502 FUNCTION_FAILURE: .*", line)]
    assert [line for line in lines if re.fullmatch(rf"{moment} INFO - Application startup complete\.", line)]


def test_level_of_the_log(serve, tmp_path, capsys):
    server = serve(MOCK, "--log-level", "info")
    httpx.get(f"{server.url}/none")
    httpx.get(server.url)
    assert "refused with" not in server.log.read_text()
    with pytest.raises(SystemExit):
        main([str(server.file), "--log-level", "loud"])
    assert "--log-level" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        (  # as the console suggests for REST APIs: CLF, JSON, XML and CSV
            '$context.identity.sourceIp $context.identity.caller $context.identity.user [$context.requestTime]'
            '"$context.httpMethod $context.resourcePath $context.protocol" $context.status $context.responseLength '
            '$context.requestId $context.extendedRequestId',
            r'192\.0\.2\.1 - - \[[^]]+\]"GET /pets/\{id\} HTTP/1\.1" 504 \d+ (\S+) \1',
        ),
        (
            '{ "requestId":"$context.requestId", "extendedRequestId":"$context.extendedRequestId", '
            '"ip": "$context.identity.sourceIp", "caller":"$context.identity.caller", '
            '"user":"$context.identity.user", "requestTime":"$context.requestTime", '
            '"httpMethod":"$context.httpMethod", "resourcePath":"$context.resourcePath", "status":"$context.status", '
            '"protocol":"$context.protocol", "responseLength":"$context.responseLength" }',
            r'\{ "requestId":"(\S+)", "extendedRequestId":"\1", .*"resourcePath":"/pets/\{id\}", "status":"504".*\}',
        ),
        (
            '<request id="$context.requestId"> <ip>$context.identity.sourceIp</ip> '
            "<caller>$context.identity.caller</caller> <resourcePath>$context.resourcePath</resourcePath></request>",
            r'<request id="\S+"> <ip>192\.0\.2\.1</ip> <caller>-</caller> <resourcePath>/pets/\{id\}</resourcePath>.*',
        ),
        (
            "$context.identity.sourceIp,$context.identity.caller,$context.identity.user,$context.resourcePath",
            r"192\.0\.2\.1,-,-,/pets/\{id\}",
        ),
        (
            "$context.integrationErrorMessage|$context.integration.error|$context.integrationStatus"
            "|$context.integrationLatency",
            r"(ConnectError.*)\|\1\|-\|\d+",
        ),
    ],
)  # fmt: skip
def test_formats_of_access_logs(format, expected, tmp_path):
    log = tmp_path / "access.log"
    resources = {"/pets": {"/{id}": {"GET": {"proxy": "http://127.0.0.1:1/"}}}}
    apis = {"a": {"type": "rest", "resources": resources, "stages": {"prod": {}}}}
    gateway = Gateway(Configuration(apis=apis, access_log={"file": str(log), "format": format}))
    answers(gateway, {"path": "/prod/pets/7"})
    assert re.fullmatch(expected, log.read_text().strip())


# --- secrets


def test_secrets_come_from_the_environment_and_from_files(tmp_path, monkeypatch):
    monkeypatch.setenv("ANN_KEY", KEY)
    monkeypatch.setenv("HOST_NAME", "shop.example")
    (tmp_path / "ben").write_text(KEY + "b\n")
    file = tmp_path / "gateway.yaml"
    file.write_text("""
api_keys: {ann: "${env:ANN_KEY}", ben: "${file:ben}"}
plans: {p: {keys: [ann, ben], stages: a/$default}}
apis:
  a:
    routes:
      GET /: {mock: {body: "at ${env:HOST_NAME}, ${stageVariables.x}", headers: {x-a: "${file:ben}!"}}}
    stages: {$default: {variables: {x: y}}}
""")
    configuration = Document.read(file).configuration
    assert configuration.api_keys == {"ann": KEY, "ben": KEY + "b"}
    (_, headers, body), *_ = answers(Gateway(configuration), {})
    assert (body, headers[b"x-a"]) == (b"at shop.example, y", (KEY + "b!").encode())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "${env:NOT_SET}",
            "gateway.yaml:2: api_keys.ann: expected the environment variable 'NOT_SET', which is not set",
        ),
        ("${file:none}", "gateway.yaml:2: api_keys.ann: .*No such file"),
        ("${env:SHORT}", "gateway.yaml:2: api_keys.ann: expected 20 to 128 printable ASCII characters"),
        ("${file:large}", "api_keys.ann: expected at most 65536 bytes in 'large'"),
        ("${file:binary}", "api_keys.ann: .*utf-8"),
    ],
)
def test_secret_that_cannot_be_used_is_an_error_with_its_line(value, message, tmp_path, monkeypatch):
    monkeypatch.setenv("SHORT", "hidden")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff")
    file = tmp_path / "gateway.yaml"
    file.write_text(f'api_keys:\n  ann: "{value}"\n{MOCK}\n')
    with pytest.raises(ConfigurationError, match=message) as caught:
        Document.read(file)
    assert "hidden" not in str(caught.value)


def test_error_about_a_secret_shows_its_name_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")
    file = tmp_path / "gateway.yaml"
    file.write_text("apis: {a: {routes: {GET /: {proxy: 'x${env:SECRET}'}}, stages: {$default: {}}}}")
    with pytest.raises(ConfigurationError, match=r"got 'x\$\{env:SECRET\}'") as caught:
        Document.read(file)
    assert "hidden" not in str(caught.value)


# --- API keys


KEYED = f"""
api_keys: {{ann: {KEY}}}
plans: {{p: {{keys: [ann], stages: a/$default, keys_file: keys.yaml, throttle: {{rate: 0.000001, burst: 3}}}}}}
apis: {{a: {{routes: {{GET /: {{api_key_required: true, mock: {{}}}}}}, stages: {{$default: {{}}}}}}}}
"""


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_keys_are_added_and_revoked_without_a_reload(serve, tmp_path, options):
    """The next request sees the change, in every worker, and counts stay."""
    keys = tmp_path / "keys.yaml"
    keys.write_text("")
    server = serve(KEYED, *options)

    def statuses(value, count=1):
        return [httpx.get(server.url, headers={"x-api-key": value}).status_code for _ in range(count)]

    assert statuses(KEY + "new") == [403]
    keys.write_text(f"new: {KEY}new\n")
    assert statuses(KEY + "new", 2) == [200, 200]
    keys.write_text("{}")
    assert statuses(KEY + "new") == [403]
    keys.write_text(f"new: {KEY}changed\n")
    assert statuses(KEY + "new") == [403]
    assert statuses(KEY + "changed", 2) == [200, 429]  # the same name, so the same bucket
    assert statuses(KEY) == [200]
    usage = httpx.get(f"{server.url}/_gateway/usage?plan=p").json()["values"]
    assert {name: [used for used, _ in days.values()][-1] for name, days in usage.items()} == {"ann": 1, "new": 3}
    assert "reloaded" not in server.log.read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        "new: short",
        "- a",
        "a b: " + KEY + "x",
        "ann: " + KEY + "x",
        "x: " + KEY,
        "a: {b: c}",
        "{",
        f"a: {KEY}x\nb: {KEY}x",
    ],
)
def test_wrong_file_of_keys_changes_nothing(tmp_path, wrong, caplog):
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"new: {KEY}new\n")
    plan = Plan(keys=["ann"], stages=["a/$default"], keys_file=str(keys))
    usage = UsagePlan("p", plan, Limiters(), {"ann": KEY})
    assert usage.keys == ("ann", "new")
    keys.write_text(wrong)
    assert usage.keys == usage.keys == ("ann", "new")
    assert caplog.text.count("stay as they were") == 1
    assert KEY not in caplog.text.replace(f"{KEY}new", "")
    keys.unlink()
    assert usage.keys == ("ann", "new")
    keys.write_text("{}")
    assert usage.keys == ("ann",)


def test_file_of_keys_that_cannot_be_read_is_an_error(tmp_path, capsys):
    file = tmp_path / "gateway.yaml"
    file.write_text(KEYED)
    assert main([str(file), "--check"]) == 1
    assert "gateway.yaml:3: plans.p.keys_file: " in capsys.readouterr().err
    (tmp_path / "keys.yaml").write_text("ann: x")
    assert main([str(file), "--check"]) == 1
    assert "expected 20 to 128 printable ASCII characters" in capsys.readouterr().err


async def empty(head, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def statuses_of(gateway, value, count=2):
    return [code for code, *_ in answers(gateway, *[{"headers": [(b"x-api-key", value)]}] * count)]


def test_key_of_a_file_goes_to_no_backend(tmp_path, backend):
    """At a route without API keys the header is passed on, unless its value is one."""
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"new: {KEY}new\n")
    behind = backend(empty)
    plans = {"p": {"keys": [], "stages": "a/$default", "keys_file": str(keys)}}
    gateway = gateway_of(((*API, "routes", "GET /"), {"mock": None, "proxy": behind.url}), plans=plans)
    assert statuses_of(gateway, KEY + "new", 1) + statuses_of(gateway, KEY + "old", 1) == [200, 200]
    new, old = behind.heads
    assert b"x-api-key" not in new
    assert f"x-api-key: {KEY}old".encode() in old


KEY_REQUIRED = ((*API, "routes", "GET /"), {"api_key_required": True})


@pytest.fixture
def two_files(tmp_path):
    """Two plans of one stage whose files have no keys; the second one admits a single request."""
    files = {name: tmp_path / f"{name}.yaml" for name in ("gold", "bronze")}
    for file in files.values():
        file.write_text("{}")
    plans = {
        name: {"keys": [], "stages": "a/$default", "keys_file": str(file), "throttle": f"1/minute burst {burst}"}
        for (name, file), burst in zip(files.items(), (9, 1), strict=True)
    }
    return files, plans


def test_key_has_the_plan_whose_file_has_its_value(two_files):
    """Another key in another file may have the same name since the gateway has started."""
    files, plans = two_files
    gateway = gateway_of(KEY_REQUIRED, plans=plans)
    files["gold"].write_text(f"ann: {KEY}gold")
    files["bronze"].write_text(f"ann: {KEY}bronze")
    assert statuses_of(gateway, KEY + "bronze") == [200, 429]
    assert statuses_of(gateway, KEY + "gold") == [200, 200]


def test_key_in_two_files_has_the_first_plan(two_files):
    """So a key moves to another plan without a refusal between, also if the gateway starts again then."""
    files, plans = two_files
    gateway = gateway_of(KEY_REQUIRED, plans=plans)
    files["bronze"].write_text(f"ann: {KEY}new")
    assert statuses_of(gateway, KEY + "new") == [200, 429]
    files["gold"].write_text(f"ann: {KEY}new")
    assert statuses_of(gateway, KEY + "new") == [200, 200]
    assert statuses_of(gateway_of(KEY_REQUIRED, plans=plans), KEY + "new") == [200, 200]
    files["gold"].write_text("{}")
    assert statuses_of(gateway, KEY + "new") == [429, 429]


@pytest.mark.parametrize("other", [f"ann: {KEY}other", f"other: {KEY}new"])
def test_rejects_two_files_of_a_stage_with_half_of_a_key(two_files, other):
    files, plans = two_files
    files["gold"].write_text(f"ann: {KEY}new")
    files["bronze"].write_text(other)
    with pytest.raises(ConfigurationError, match=r"plans.bronze.keys_file: .*bronze.yaml: \w+: expected .* 'gold'"):
        gateway_of(plans=plans)
    plans["bronze"]["stages"] = "a/other"
    gateway_of(((*API, "stages"), {"other": {}}), plans=plans)


def test_messages_of_a_revoked_key_are_refused(serve, tmp_path):
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"new: {KEY}new\n")
    server = serve("""
plans: {p: {keys: [], stages: a/s, keys_file: keys.yaml}}
apis:
  a: {type: websocket, stages: {s: {}}, routes: {$connect: {api_key_required: true, mock: {}}, $default: {mock: {body: y}}}}
""")

    async def talk():
        headers = {"x-api-key": KEY + "new"}
        uri = f"ws://127.0.0.1:{server.port}/s"
        async with websockets.connect(uri, additional_headers=headers, proxy=None) as client:
            await client.send("1")
            first = await client.recv()
            keys.write_text("{}")
            await client.send("2")
            return first, json.loads(await client.recv())["message"]

    assert asyncio.run(talk()) == ("y", "Forbidden")


def test_counters_of_revoked_keys_are_swept(tmp_path):
    keys, clock = tmp_path / "keys.yaml", ManualClock()
    keys.write_text(f"new: {KEY}new\n")
    limiters = Limiters(clock=clock)
    usage = UsagePlan("p", Plan(keys=[], stages=["a/s"], keys_file=str(keys)), limiters)
    usage.chain("new", "a/s", "GET /").hit()
    before = len(limiters.counters.limiter)
    today = day_of(limiters.now_ns())
    usage.forget(today, today - timedelta(1))  # sees the key
    keys.write_text("{}")
    usage.forget(today + timedelta(1), today)
    assert len(limiters.counters.limiter) == before - 1


# --- certificates


def make_certificate(folder, name):
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        [program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, certificate


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_certificates_are_read_again_at_sighup(serve, certificate, tmp_path, options):
    key, own = map(Path, certificate)
    server = serve(MOCK, "--ssl-keyfile", key, "--ssl-certfile", own, "--no-watch", *options)
    workers = int(options[1]) if options else 1
    url = server.url.replace("http:", "https:")

    def accepted_by(authority):
        context = ssl.create_default_context(cafile=authority)
        try:
            return httpx.get(url, verify=context).status_code == 200
        except httpx.ConnectError:
            return False

    old = own.read_bytes()
    (tmp_path / "old.pem").write_bytes(old)
    assert accepted_by(tmp_path / "old.pem")
    own.write_bytes(b"no certificate")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("the certificates stay as they were", workers)
    assert accepted_by(tmp_path / "old.pem")
    new_key, new = make_certificate(tmp_path, "new")
    key.write_bytes(new_key.read_bytes())
    own.write_bytes(new.read_bytes())
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("read the certificates again", workers)
    assert [accepted_by(new), accepted_by(tmp_path / "old.pem")] == [True, False]


# --- the status page and metrics


def test_polling_leaves_no_line_in_the_access_log(tmp_path):
    log = tmp_path / "access.log"
    gateway = gateway_of(access_log={"file": str(log), "format": "$context.path $context.status"})
    operator = {"client": "127.0.0.1", "host": "localhost"}
    pages = ["", "/status.json", "/metrics", "/health", "/health/live", "/none", "/usage?plan=x"]
    answers(gateway, *({"path": f"/_gateway{page}", **operator} for page in pages), {"path": "/_gateway/metrics"})
    assert log.read_text().splitlines() == [
        "/_gateway 200", "/_gateway/none 404", "/_gateway/usage?plan=x 404", "/_gateway/metrics 404",
    ]  # fmt: skip


def test_status_page_has_what_found_no_route_and_backends():
    gateway = gateway_of(
        ((*API, "routes"), {"GET /gone": {"proxy": {"to": ["http://127.0.0.1:1/", "http://127.0.0.1:2/"]}}})
    )
    page = {"path": "/_gateway/status.json", "client": "127.0.0.1", "host": "localhost"}
    *_, (_, _, body) = answers(gateway, {"path": "/a"}, {"path": "/a//b"}, {"path": "/gone"}, page)
    status = json.loads(body)
    assert status["unrouted"]["denied"] == 2
    assert [(one["name"], one["failed"], one["2xx"], one["rests"]) for one in status["backends"]] == [
        ("http://127.0.0.1:1", 1, 0, True), ("http://127.0.0.1:2", 1, 0, True),
    ]  # fmt: skip


def test_metrics_of_backends(backend):
    async def answer(head, reader, writer):
        status = b"503" if b"/bad" in head else b"200"
        writer.write(b"HTTP/1.1 %b X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await writer.drain()

    origin = backend(answer).url
    routes = {"GET /{proxy+}": {"proxy": origin}, "POST /": {"proxy": "http://127.0.0.1:1"}}
    gateway = gateway_of(((*API, "routes"), routes))
    page = {"path": "/_gateway/metrics", "client": "127.0.0.1", "host": "localhost"}
    *_, (_, _, body) = answers(
        gateway, {"path": "/a"}, {"path": "/a"}, {"path": "/bad"}, {"method": "POST"}, page,
    )  # fmt: skip
    samples = {
        (sample.name, sample.labels.get("backend"), sample.labels.get("code")): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    assert samples["ratelimit_gateway_backend_answers_total", origin, "2xx"] == 2
    assert samples["ratelimit_gateway_backend_answers_total", origin, "5xx"] == 1
    assert samples["ratelimit_gateway_backend_errors_total", "http://127.0.0.1:1", None] == 1
    assert samples["ratelimit_gateway_backend_seconds_count", origin, None] == 3


def test_websockets_of_all_workers(serve):
    """The gauges and the status page of any worker have them, until they are closed."""
    socket = "type: websocket, routes: {$default: {mock: {}}}, stages: {s: {}, t: {}}"
    server = serve(f"apis: {{chat: {{{socket}}}}}", "--workers", "2")

    def gauges():
        lines = httpx.get(f"{server.url}/_gateway/metrics").text.splitlines()
        return sorted(line for line in lines if line.startswith("ratelimit_gateway_websockets{"))

    async def look():
        uri = f"ws://127.0.0.1:{server.port}"
        clients = [await websockets.connect(f"{uri}/{stage}", proxy=None) for stage in "ssssst"]
        expected = ['ratelimit_gateway_websockets{api="chat",stage="s"} 5.0',
                    'ratelimit_gateway_websockets{api="chat",stage="t"} 1.0']  # fmt: skip
        await until_async(lambda: gauges() == expected)
        assert [gauges() for _ in range(6)] == [expected] * 6
        status = httpx.get(f"{server.url}/_gateway/status.json").json()
        assert (status["connections"], [one["connections"] for one in status["stages"]]) == (6, [5, 1])
        for client in clients:
            await client.close()
        await until_async(lambda: gauges() == [])

    asyncio.run(look())


# --- canaries


def test_canary_that_lacks_a_route_is_a_warning(tmp_path, capsys):
    file = tmp_path / "gateway.yaml"
    file.write_text("""
apis:
  a:
    routes: {GET /: {mock: {}}, GET /b: {mock: {}}, GET /c: {mock: {}}}
    deployments: {new: {GET /: {mock: {}}, GET /d: {mock: {}}}}
    stages:
      $default:
        canary: {percent: 5, deployment: new}
""")
    assert main([str(file), "--check"]) == 0
    assert (
        "gateway.yaml:8: warning: apis.a.stages.$default.canary.deployment: the canary lacks 'GET /b', 'GET /c': its "
        "share of their requests finds no route"
    ) in capsys.readouterr().err


def test_canary_with_all_routes_has_no_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # where its access log is
    assert main([str(EXAMPLE), "--check"]) == 0
    assert capsys.readouterr().err == ""
