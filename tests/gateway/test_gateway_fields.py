"""Every field of the configuration, set to something effective, changes what the gateway does, or is refused.

`CASES` has one for each field of the models. A new field without a case fails a test.
"""

import asyncio
import importlib
import json
import pkgutil
from collections import namedtuple
from dataclasses import fields, is_dataclass
from datetime import date
from types import SimpleNamespace

import pytest
from gateway_harness import KEY
from gateway_looks import (
    ask,
    asking,
    behind,
    configured,
    event,
    failing,
    files,
    hosted,
    in_process,
    is_traced,
    late,
    logged,
    seen,
    server_settings,
    talking,
    websocket_bounds,
    with_token,
)
from ports import free_port
from waiting import pace_async

from ratelimit.gateway import Configuration, Gateway, config
from ratelimit.testing import ManualClock

CLOSED = {"rate": 0, "burst": 0}
API, TOP = ("apis", "a"), ()
ROUTE, STAGE, PROXY = (*API, "routes", "GET /"), (*API, "stages", "$default"), (*API, "routes", "GET /", "proxy")
MODELS = {
    name: set(kind.model_fields) if not is_dataclass(kind) else {field.name for field in fields(kind)}
    for module in pkgutil.iter_modules(config.__path__, f"{config.__name__}.")
    for name, kind in vars(importlib.import_module(module.name)).items()
    if isinstance(kind, type) and kind.__module__ == module.name and not name.startswith("_")
    if (is_dataclass(kind) and hasattr(kind, "__pydantic_fields__")) or hasattr(kind, "model_fields")
}


# --- functions of the configurations


def echo(event):
    return {"statusCode": 200, "body": json.dumps(event, default=str)}


def fine(event):
    return {"statusCode": 200}


def teapot(event):
    return {"statusCode": 418}


async def slow(event):
    await pace_async(0.2)  # longer than the timeout of the case, and less than the default
    return {"statusCode": 200}


def version(event):
    """Admit all, as an authorizer that returns the form of its event."""
    return {"isAuthorized": True, "context": {"version": event["version"]}}


class Counting:
    """An authorizer that admits all and returns how often it was asked."""

    def __init__(self):
        self.count = 0

    def __call__(self, event):
        self.count += 1
        return {"isAuthorized": True, "context": {"count": str(self.count)}}


async def statuses_of_keys(gateway, world):
    """Look at the statuses of requests with many API keys."""
    return [(await ask(gateway, headers=[(b"x-api-key", KEY + name)]))[0] for name in NAMES]


async def with_more_keys(gateway, world):
    """Look at the answer to a key of a file, which is written once the gateway serves."""
    (world.folder / "keys.yaml").write_text(f"more: {KEY}more")
    return await ask(gateway, headers=[(b"x-api-key", KEY + "more")])


CODE = """
import os, sys, time
try:
    from more import WORD
except ImportError:
    WORD = ""
def show(event, context):
    return f"{os.environ.get('A')} {context.memory_limit_in_mb} {WORD}"
def wait(event, context):
    time.sleep(0.2)
"""


# --- the cases

# place: of the object with the field; value: the field's; given: what else the configuration has, without and with the
# field; refused: a part of the error that the field leads to.
Case = namedtuple("Case", "place value look given refused", defaults=(asking(), (), ""))

NAMES = [f"k{i}" for i in range(40)]
AUTHORIZED = [(b"authorization", "me")]
KEYED = (
    (TOP, {"api_keys": {name: KEY + name for name in NAMES}}),
    (ROUTE, {"api_key_required": True}),
    (("plans", "p"), {"keys": NAMES, "stages": ["a/$default"]}),
)
WITH_KEY = asking({"headers": [(b"x-api-key", KEY + "k0")]}, times=3)
PLANNED = (*KEYED, (("plans", "p"), {"throttle": {"rate": 1e8, "burst": 1_000}}))
THROTTLED = ((TOP, {"throttle": CLOSED}),)
IN_PLAN = ("plans", "p")
QUOTA = (*KEYED, (("plans", "p"), {"quota": {"limit": 2, "period": "MONTH"}}))
CALENDAR = ("plans", "p", "quota")
PROXIED = ((ROUTE, {"mock": None, "proxy": {"to": "LIVE/"}}),)
LIVE = behind(seen, asking())
TWO = ((ROUTE, {"mock": None}), (API, {"routes": {"POST /": {"proxy": {"to": ["LIVE/", "OTHER/"]}}}}))
AGGREGATED = ((ROUTE, {"mock": None, "aggregate": {"x": {"to": "LIVE/"}}}),)
FINE = ((ROUTE, {"mock": None, "function": fine}),)
ECHO = ((ROUTE, {"mock": None, "function": echo}),)
AUTHORIZING = (
    (API, {"authorizers": {"own": {"function": Counting}}}),
    (ROUTE, {"authorizer": "own", "mock": {"body": "$context.authorizer.count"}}),
)
OWN = (*API, "authorizers", "own")
VERSIONED = (
    (API, {"authorizers": {"own": {"function": version}}}),
    (ROUTE, {"authorizer": "own", "mock": {"body": "$context.authorizer.version"}}),
)
SOCKET = (
    (TOP, {"apis": {"a": {"type": "websocket", "routes": {"$default": {"mock": {"body": "y"}}}, "stages": {"s": {}}}}}),
)
LIMITS, MESSAGE = (*API, "limits"), (*API, "routes", "$default")
REST = ((TOP, {"apis": {"a": {"type": "rest", "resources": {"/r": {"POST": {"mock": {}}}}, "stages": {"prod": {}}}}}),)
VALIDATE = (*API, "resources", "/r", "POST", "validate")
ANSWER = ("responses", "THROTTLED")
CANARY = (*STAGE, "canary")
HALF = ((API, {"deployments": {"new": {"GET /": {"mock": {"body": "new ${stageVariables.v}"}}}}}),)
VARIABLES = ((STAGE, {"variables": {"v": "1"}}), (ROUTE, {"mock": {"body": "${stageVariables.v}"}}))
IP = ((ROUTE, {"mock": {"body": "$context.identity.sourceIp"}}),)
OPERATOR = {"path": "/_gateway", "client": "127.0.0.1", "host": "localhost"}
PAGE = [(b"origin", "https://a.example")]
PREFLIGHT = {"method": "OPTIONS", "headers": [*PAGE, (b"access-control-request-method", "GET")]}
CORS = ((API, {"cors": {"allow_origins": ["https://a.example"]}}),)
READ = (*API, "cors")
TOKENS = (
    (API, {"authorizers": {"own": {"jwt": {"issuer": "https://me", "keys": "FOLDER/jwks.json"}}}}),
    (ROUTE, {"authorizer": "own"}),
)
JWT = (*OWN, "jwt")
PROCESS = (
    (TOP, {"functions": {"f": {"handler": "index.show", "code": CODE}}}),
    (ROUTE, {"mock": None, "function": "f"}),
)
RUN = ("functions", "f")
REST_GET = (
    (TOP, {"apis": {"a": {"type": "rest", "resources": {"/r": {"GET": {"mock": {}}}}, "stages": {"prod": {}}}}}),
)


def method_of_resource(name):
    method = "DELETE" if name == "ANY" else name
    look = asking({"path": "/prod/r", "method": method})
    return Case((*API, "resources", "/r"), {"mock": {"body": "here"}}, look, REST if name != "POST" else REST_GET)


CASES = {
    "Throttle.rate": Case((*STAGE, "throttle"), 2.0, asking(), ((STAGE, {"throttle": {"rate": 1.0, "burst": 4}}),)),
    "Throttle.burst": Case((*STAGE, "throttle"), 2, asking(times=3), ((STAGE, {"throttle": {"rate": 1.0, "burst": 4}}),)),
    "Throttle.shadow": Case((*STAGE, "throttle"), True, asking(), ((STAGE, {"throttle": CLOSED}),)),
    **{f"ClientThrottle.{name}": case for name, case in {
        "rate": Case((*STAGE, "client_throttle"), 2.0, asking(), ((STAGE, {"client_throttle": {"rate": 1.0, "burst": 4}}),)),
        "burst": Case((*STAGE, "client_throttle"), 2, asking(), ((STAGE, {"client_throttle": {"rate": 1.0, "burst": 4}}),)),
        "shadow": Case((*STAGE, "client_throttle"), True, asking(), ((STAGE, {"client_throttle": CLOSED}),)),
        "by": Case(
            (*STAGE, "client_throttle"), "$request.header.x-a", asking({}, {"client": "192.0.2.2"}),
            ((STAGE, {"client_throttle": {"rate": 1.0, "burst": 1}}),),
        ),
    }.items()},
    "CalendarQuota.limit": Case(CALENDAR, 1, WITH_KEY, QUOTA),
    "CalendarQuota.period": Case(CALENDAR, "DAY", WITH_KEY, QUOTA),
    "CalendarQuota.offset": Case(CALENDAR, 1, WITH_KEY, QUOTA),
    "CalendarQuota.start": Case(CALENDAR, date(2020, 1, 1), WITH_KEY, (*QUOTA, (CALENDAR, {"offset": 1}))),
    "CalendarQuota.shadow": Case(CALENDAR, True, WITH_KEY, QUOTA),
    "Mock.status": Case((*ROUTE, "mock"), 418),
    "Mock.headers": Case((*ROUTE, "mock"), {"x-a": "b"}),
    "Mock.body": Case((*ROUTE, "mock"), "other"),
    "Proxy.to": Case(PROXY, "http://127.0.0.1:1/", LIVE, PROXIED),
    "Proxy.timeout": Case(PROXY, 0.05, behind(late, asking()), PROXIED),
    **{f"Proxy.{name}": Case(
        (*API, "routes", "POST /", "proxy"), value, behind(failing, asking({"method": "POST"}, times=4)), TWO
    ) for name, value in (("max_fails", 3), ("fail_timeout", 0.0))},
    "Proxy.keep_host": Case(PROXY, True, behind(hosted, asking()), PROXIED),
    "Proxy.method": Case(PROXY, "PUT", LIVE, PROXIED),
    "Proxy.verify": Case(PROXY, False, LIVE, PROXIED, "expected an https"),
    "Route.mock": Case(ROUTE, {"body": "other"}),
    "Route.proxy": Case(ROUTE, {"to": "LIVE/other"}, LIVE, PROXIED),
    "Route.function": Case(ROUTE, teapot, asking(), FINE),
    "Route.payload_format": Case(ROUTE, "1.0", event(), ECHO),
    "Route.aggregate": Case(ROUTE, {"y": {"to": "LIVE/"}}, LIVE, AGGREGATED),
    "Route.timeout": Case(ROUTE, 0.05, asking(), ((ROUTE, {"mock": None, "function": slow}),)),
    "Route.api_key_required": Case(ROUTE, True),
    "Route.authorizer": Case(ROUTE, "own", asking(), ((API, {"authorizers": {"own": {"function": Counting}}}),)),
    "Route.allow": Case(ROUTE, "10.0.0.0/8"),
    "Route.deny": Case(ROUTE, "192.0.2.0/24"),
    "Route.max_body": Case(ROUTE, 3, asking({"headers": [(b"content-length", "4")], "body": b"1234"})),
    "Route.route_response": Case(MESSAGE, False, talking("x"), SOCKET),
    "Route.request": Case(ROUTE, {"overwrite:header.x-a": "b"}, LIVE, PROXIED),
    "Route.response": Case(ROUTE, {"overwrite:statuscode": "202"}),
    "Canary.percent": Case(CANARY, 100.0, asking(), (*HALF, (CANARY, {"percent": 0.0, "deployment": "new"}))),
    "Canary.deployment": Case(CANARY, "new", asking(), (*HALF, (CANARY, {"percent": 100.0}))),
    "Canary.variables": Case(CANARY, {"v": "2"}, asking(), (*VARIABLES, (CANARY, {"percent": 100.0}))),
    "Stage.deployment": Case(STAGE, "new", asking(), HALF),
    "Stage.throttle": Case(STAGE, CLOSED),
    "Stage.route_throttles": Case(STAGE, {"*": CLOSED}),
    "Stage.client_throttle": Case(STAGE, CLOSED),
    "Stage.client_route_throttles": Case(STAGE, {"*": CLOSED}),
    "Stage.variables": Case(STAGE, {"v": "2"}, asking(), VARIABLES),
    "Stage.canary": Case(STAGE, {"percent": 100.0, "deployment": "new"}, asking(), HALF),
    "Stage.shadow": Case(STAGE, True, asking(), ((STAGE, {"throttle": CLOSED}),)),
    "Authorizer.function": Case(OWN, lambda event: False, asking({"headers": AUTHORIZED}), AUTHORIZING),
    "Authorizer.identity": Case(OWN, "x-token", asking({"headers": AUTHORIZED}), AUTHORIZING),
    "Authorizer.ttl": Case(OWN, 0.0, asking({"headers": AUTHORIZED}, times=2), AUTHORIZING),
    "Authorizer.cache_key": Case(
        OWN, "$request.header.x-a", asking(*({"headers": [*AUTHORIZED, (b"x-a", one)]} for one in "ab")), AUTHORIZING
    ),
    "Authorizer.jwt": Case(OWN, {"issuer": "https://other", "keys": "FOLDER/jwks.json"}, with_token, TOKENS),
    "Authorizer.event": Case(OWN, "1.0", asking({"headers": AUTHORIZED}), VERSIONED),
    "Authorizer.pattern": Case(OWN, "[0-9]+", asking({"headers": AUTHORIZED}), AUTHORIZING),
    "Jwt.issuer": Case(JWT, "https://other", with_token, TOKENS),
    "Jwt.audience": Case(JWT, "other", with_token, TOKENS),
    "Jwt.keys": Case(JWT, "FOLDER/none.json", with_token, TOKENS),
    "Route.scopes": Case(ROUTE, "write", with_token, TOKENS),
    "Api.cors": Case(API, {"allow_origins": "*"}, asking({"headers": PAGE})),
    "Cors.allow_origins": Case(READ, "https://b.example", asking(PREFLIGHT), CORS),
    "Cors.allow_methods": Case(READ, "GET", asking(PREFLIGHT), CORS),
    "Cors.allow_headers": Case(READ, "x-a", asking(PREFLIGHT), CORS),
    "Cors.expose_headers": Case(READ, "x-a", asking({"headers": PAGE}), CORS),
    "Cors.max_age": Case(READ, 600, asking(PREFLIGHT), CORS),
    "Cors.allow_credentials": Case(READ, True, asking(PREFLIGHT), CORS),
    "Configuration.functions": Case(TOP, {"f": {"handler": "index.none", "code": CODE}}, in_process, PROCESS),
    "FunctionProcess.handler": Case(RUN, "index.none", in_process, PROCESS),
    "FunctionProcess.folder": Case(RUN, "FOLDER", in_process, (*PROCESS, (RUN, {"code": None}))),
    "FunctionProcess.code": Case(RUN, "def show(event, context):\n    return 'other'\n", in_process, PROCESS),
    "FunctionProcess.layers": Case(RUN, ["FOLDER/layer"], in_process, PROCESS),
    "FunctionProcess.environment": Case(RUN, {"A": "b"}, in_process, PROCESS),
    "FunctionProcess.timeout": Case(RUN, 0.05, in_process, (*PROCESS, (RUN, {"handler": "index.wait"}))),
    "FunctionProcess.memory": Case(RUN, 256, in_process, PROCESS),
    "FunctionProcess.url": Case(RUN, 'http://127.0.0.1:1/', in_process, PROCESS, "handler or a url"),
    "GatewayResponse.status": Case(ANSWER, 420, asking(), THROTTLED),
    "GatewayResponse.headers": Case(ANSWER, {"x-a": "b"}, asking(), THROTTLED),
    "GatewayResponse.body": Case(ANSWER, "slower", asking(), THROTTLED),
    "WebSocketLimits.frame": Case(LIMITS, 100, websocket_bounds, SOCKET),
    "WebSocketLimits.message": Case(LIMITS, 3, talking("long"), SOCKET),
    "WebSocketLimits.idle": Case(LIMITS, 1e-9, talking(), SOCKET),
    "WebSocketLimits.life": Case(LIMITS, 1e-9, talking(), SOCKET),
    "WebSocketLimits.connections": Case(LIMITS, CLOSED, talking(), SOCKET),
    **{f"Resource.{name}": method_of_resource(name) for name in MODELS["Resource"]},
    "Api.type": Case(API, "rest", asking({"path": "/prod/none"}), ((API, {"stages": {"prod": {}}}),)),
    "Api.routes": Case(API, {"GET /": {"mock": {"body": "other"}}}),
    "Api.resources": Case(API, {"/r": {"GET": {"mock": {}}}}, asking({"path": "/prod/r"}), REST),
    "Api.deployments": Case(
        API, {"new": {"GET /": {"mock": {"body": "newer"}}}}, asking(), (*HALF, (STAGE, {"deployment": "new"}))
    ),
    "Api.stages": Case(API, {"prod": {}}),
    "Api.authorizers": Case(API, {"own": {"function": teapot}}, asking({"headers": AUTHORIZED}), AUTHORIZING),
    "Api.responses": Case(API, {"THROTTLED": {"body": "slower"}}, asking(), THROTTLED),
    "Api.binary_media_types": Case(
        API, "image/*", event(path="/prod/r", headers=[(b"content-type", "image/png")], body=b"1", method="POST"),
        (*REST, ((*API, "resources", "/r"), {"POST": {"function": echo}})),
    ),
    "Api.policy": Case(API, {"Statement": []}, asking({"path": "/prod/r", "method": "POST"}), REST),
    "Api.models": Case(API, {"Thing": {"type": "object"}}, asking({"path": "/prod/r", "method": "POST", "body": b"[]"}), (
        *REST, ((*API, "resources", "/r"), {"POST": {"mock": {}, "validate": {"body": {"$default": {"$ref": "Thing"}}}}}),
        (API, {"models": {"Thing": {"type": "array"}}}),
    )),
    "Route.validate": Case(VALIDATE[:-1], {"parameters": "header.x-a"}, asking({"path": "/prod/r", "method": "POST"}), REST),
    "Validation.parameters": Case(
        VALIDATE, "querystring.a", asking({"path": "/prod/r", "method": "POST"}), (*REST, (VALIDATE, {"parameters": "header.b"}))
    ),
    "Validation.body": Case(
        VALIDATE, {"application/json": {"required": ["a"]}},
        asking({"path": "/prod/r", "method": "POST", "headers": [(b"x-b", "1")]}),
        (*REST, (VALIDATE, {"parameters": "header.x-b"})),
    ),
    "Api.route_selection": Case(
        API, "$request.body.do", talking('{"action": "a", "do": "b"}'),
        (*SOCKET, ((*API, "routes"), {"a": {"mock": {"body": "A"}}, "b": {"mock": {"body": "B"}}})),
    ),
    "Api.limits": Case(API, {"connections": CLOSED}, talking(), SOCKET),
    "Api.origins": Case(API, "http://a", talking(headers=[(b"origin", "http://b")]), SOCKET),
    "Plan.keys": Case(IN_PLAN, ["k1"], WITH_KEY, KEYED),
    "Plan.stages": Case(
        IN_PLAN, ["a/other"], WITH_KEY, (*KEYED, ((*API, "stages"), {"other": {}}))
    ),
    "Plan.throttle": Case(IN_PLAN, CLOSED, WITH_KEY, KEYED),
    "Plan.route_throttles": Case(IN_PLAN, {"a/$default": {"GET /": CLOSED}}, WITH_KEY, KEYED),
    "Plan.quota": Case(IN_PLAN, {"limit": 1, "period": "DAY"}, WITH_KEY, KEYED),
    "Plan.keys_file": Case(IN_PLAN, "FOLDER/keys.yaml", with_more_keys, KEYED),
    "AccessLog.file": Case(("access_log",), "FOLDER/b.log", logged, ((TOP, {"access_log": {"file": "FOLDER/a.log"}}),)),
    "AccessLog.format": Case(
        ("access_log",), "$context.status", logged, ((TOP, {"access_log": {"file": "FOLDER/a.log"}}),)
    ),
    "Operator.path": Case(("operator",), "/own", asking(OPERATOR)),
    "Operator.allow": Case(("operator",), "10.0.0.0/8", asking(OPERATOR)),
    "Configuration.apis": Case(TOP, {"a": {"routes": {"GET /": {"mock": {}}}, "stages": {"$default": {}}}}),
    "Configuration.api_keys": Case(TOP, {name: KEY + "x" + name for name in NAMES}, WITH_KEY, KEYED),
    "Configuration.plans": Case(
        TOP, {"p": {"keys": NAMES, "stages": ["a/$default"], "throttle": CLOSED}}, WITH_KEY, KEYED
    ),
    "Configuration.domains": Case(TOP, {"other.example": {"/": "a"}}),
    "Configuration.throttle": Case(TOP, CLOSED),
    "Configuration.client_throttle": Case(TOP, CLOSED),
    "Configuration.responses": Case(TOP, {"THROTTLED": {"body": "slower"}}, asking(), THROTTLED),
    "Configuration.shadow": Case(TOP, True, asking(), THROTTLED),
    "Configuration.on_limiter_error": Case(
        TOP, "fail_closed", statuses_of_keys, (*PLANNED, (TOP, {"max_keys": 16}))
    ),
    "Configuration.trusted_proxies": Case(
        TOP, "192.0.2.1", asking({"headers": [(b"x-forwarded-for", "203.0.113.7")]}), IP
    ),
    "Configuration.encoded_slash": Case(
        TOP, True, asking({"path": "/a%2Fb"}), ((API, {"routes": {"GET /{id}": {"mock": {"body": "$request.path.id"}}}}),)
    ),
    "Configuration.headers": Case(TOP, "legacy"),
    "Configuration.problem_json": Case(TOP, True, asking(), THROTTLED),
    "Configuration.tables": Case(TOP, "file:FOLDER/tables", files),
    "Configuration.max_keys": Case(
        TOP, 16, statuses_of_keys, (*PLANNED, (TOP, {"on_limiter_error": "fail_closed"}))
    ),
    "Configuration.max_head": Case(TOP, 100, server_settings),
    "Configuration.head_timeout": Case(TOP, 1.0, server_settings),
    "Configuration.send_timeout": Case(TOP, 1.0, server_settings),
    "Configuration.min_rate": Case(TOP, 1.0, server_settings),
    "Configuration.body_timeout": Case(TOP, 1e-9, asking({"late": True}), FINE),
    "Configuration.max_bodies": Case(TOP, 3, asking({"body": b"1234"}), FINE),
    "Configuration.access_log": Case(TOP, "FOLDER/a.log", logged),
    "Configuration.operator": Case(TOP, {"allow": "10.0.0.0/8"}, asking(OPERATOR)),
    "Configuration.tracing": Case(TOP, True, is_traced),
}  # fmt: skip


def made(value, world):
    """Return a value with the folder and the address of this test; of a class, a new function."""
    if isinstance(value, dict):
        return {name: made(one, world) for name, one in value.items()}
    if isinstance(value, list):
        return [made(one, world) for one in value]
    if isinstance(value, str):
        for word, meant in (("FOLDER", world.folder), ("LIVE", world.live), ("OTHER", world.other)):
            value = value.replace(word, str(meant))
        return value
    return value() if value is Counting else value


def look_at(case, changes, folder):
    port = free_port()
    world = SimpleNamespace(folder=folder, port=port, live=f"http://127.0.0.1:{port}", other=f"http://127.0.0.2:{port}")
    folder.mkdir()
    (folder / "keys.yaml").touch()
    gateway = Gateway(Configuration(**made(configured(*changes), world)), clock=ManualClock())
    return asyncio.run(case.look(gateway, world))


def test_every_field_has_a_case():
    assert {f"{name}.{field}" for name, found in MODELS.items() for field in found} == set(CASES)


@pytest.mark.parametrize("field", CASES)
def test_field_has_an_effect(field, tmp_path):
    case, name = CASES[field], field.partition(".")[2]
    before = look_at(case, case.given, tmp_path / "before")
    changes = (*case.given, (case.place, {name: case.value}))
    if case.refused:
        with pytest.raises(ValueError, match=case.refused):
            look_at(case, changes, tmp_path / "after")
    else:
        after = look_at(case, changes, tmp_path / "after")
        assert after != before
        assert look_at(case, case.given, tmp_path / "again") == before  # so it is the field that has the effect
