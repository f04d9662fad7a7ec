"""Configuration files: what they mean, and errors that name file, line, path and value, all at once.

In one file: the sections of a configuration refer to one another.
"""

import json
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml

from ratelimit.gateway import (
    Api,
    Authorizer,
    CalendarQuota,
    Canary,
    Configuration,
    ConfigurationError,
    Gateway,
    Mock,
    Networks,
    Plan,
    Proxy,
    Route,
    Stage,
    Throttle,
    read_file,
)
from ratelimit.gateway.config.apis import RESPONSES
from ratelimit.gateway.config.load import Document
from ratelimit.gateway.config.schema import schema
from ratelimit.gateway.server.command import main

EXAMPLES = Path(__file__).parents[2] / "examples" / "gateway"
YAML = """\
throttle: {rate: 100, burst: 50}
apis:
  shop:
    type: rest
    resources:
      /pets:
        GET: {mock: {status: 201, body: pets}}
        /{id}:
          GET: {api_key_required: true, proxy: "http://127.0.0.1:9000/p/{id}"}
    stages:
      prod:
        throttle: {rate: 2.5, burst: 3, shadow: true}
        route_throttles: {GET /pets: {rate: 1, burst: 1}}
        variables: {host: 127.0.0.1}
api_keys:
  ann: aaaaaaaaaaaaaaaaaaaaaaaa
plans:
  gold:
    keys: ann
    stages: shop/prod
    quota: {limit: 10, period: WEEK, offset: 2, start: 2026-01-05}
"""


def made_in_python():
    pet = Route(api_key_required=True, proxy=Proxy(to=["http://127.0.0.1:9000/p/{id}"]))
    pets = {"GET": Route(mock=Mock(201, body="pets")), "/{id}": {"GET": pet}}
    stage = Stage(
        throttle=Throttle(2.5, 3, shadow=True),
        route_throttles={"GET /pets": Throttle(1.0, 1)},
        variables={"host": "127.0.0.1"},
    )
    return Configuration(
        throttle=Throttle(100.0, 50),
        apis={"shop": Api(type="rest", resources={"/pets": pets}, stages={"prod": stage})},
        api_keys={"ann": "a" * 24},
        plans={"gold": Plan(["ann"], ["shop/prod"], quota=CalendarQuota(10, "WEEK", 2, date(2026, 1, 5)))},
    )


def written(folder, text):
    file = folder / "gateway.yaml"
    file.write_text(text)
    return file


def lines_of(file):
    """The lines of the error about a file, without its name."""
    with pytest.raises(ConfigurationError) as caught:
        read_file(file)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{file}:") for line in lines if line != "and more")
    return [line.removeprefix(f"{file}:") for line in lines]


def test_file_means_the_same_as_python(tmp_path):
    assert read_file(written(tmp_path, YAML)) == made_in_python()


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("rate: 100,", "rate: many,", 1, "throttle.rate: expected a number, got 'many'"),
        ("rate: 100,", "rate: -1,", 1, "throttle.rate: expected 0 or from 1e-6 to 1e9 requests per second, got -1"),
        ("rate: 100,", "rate: true,", 1, "throttle.rate: expected a number, got True"),
        ("burst: 50", "burst: 5.5", 1, "throttle.burst: expected a whole number, got 5.5"),
        ("burst: 50", "brust: 50", 1, "throttle: unknown name 'brust' (did you mean 'burst'? choose from rate, burst,"),
        (", burst: 50", "", 1, "throttle: missing required burst"),
        ("type: rest", "type: soap", 4, "apis.shop.type: expected one of http, rest, websocket, got 'soap'"),
        (
            "status: 201",
            "status: 99",
            7,
            "apis.shop.resources['/pets'].GET.mock.status: expected from 200 to 599, got 99",
        ),
        (
            "GET: {mock: {status: 201, body: pets}}",
            "GET: {}",
            7,
            "apis.shop.resources['/pets'].GET: expected one of mock, proxy, function, aggregate, got none",
        ),
        (
            "GET: {mock",
            "FETCH: {mock",
            7,
            "apis.shop.resources['/pets'].FETCH: expected a path that begins with / or one of GET, HEAD, POST, PUT, PATCH",
        ),
        ("      /pets:", "      pets:", 6, "apis.shop.resources.pets: expected a path that begins with /, got 'pets'"),
        ("/{id}:", "/{id}{x}:", 9, "apis.shop.resources['/pets']['/{id}{x}'].GET: route key 'GET /pets/{id}{x}'"),
        (
            "http://127",
            "ftp://127",
            9,
            "apis.shop.resources['/pets']['/{id}'].GET.proxy.to[0]: expected an address that",
        ),
        ("burst: 3,", "burst: [3],", 12, "apis.shop.stages.prod.throttle.burst: expected a whole number, got [3]"),
        (
            "GET /pets: {rate",
            "GET /cats: {rate",
            13,
            "apis.shop.stages.prod.route_throttles: unknown route 'GET /cats' (did you mean 'GET /pets'? choose from",
        ),
        ("prod:\n", "pr od:\n", 11, "apis.shop.stages['pr od']: expected a name of letters, digits, - and _"),
        (
            "ann: aaaaaaaaaaaaaaaaaaaaaaaa",
            "ann: short",
            16,
            "api_keys.ann: expected 20 to 128 printable ASCII characters",
        ),
        ("keys: ann", "keys: [ann, bob]", 19, "plans.gold.keys[1]: unknown API key 'bob' (choose from ann)"),
        (
            "stages: shop/prod",
            "stages: shop/dev",
            20,
            "plans.gold.stages[0]: unknown stage 'shop/dev' (did you mean 'shop/prod'? choose from shop/prod)",
        ),
        ("period: WEEK", "period: YEAR", 21, "plans.gold.quota.period: expected one of DAY, WEEK, MONTH, got 'YEAR'"),
        (
            "start: 2026-01-05",
            "start: 2026-01-05T10:00:00Z",
            21,
            "plans.gold.quota.start: expected a day such as 2026-01-31, got datetime.datetime(",
        ),
        (
            "    resources:",
            "    routes: {GET /pets: {mock: {}}}\n    resources:",
            8,
            "apis.shop.resources['/pets'].GET: duplicate route: at apis.shop.routes['GET /pets'] has the same requests",
        ),
        (
            "    stages:\n",
            "      /pets/{id}: {GET: {mock: {}}}\n    stages:\n",
            10,
            "apis.shop.resources['/pets/{id}'].GET: duplicate route",
        ),
        (
            "start: 2026-01-05",
            "start: soon",
            21,
            "plans.gold.quota.start: expected a day such as 2026-01-31, got 'soon'",
        ),
        ("offset: 2", "offset: 20", 21, "plans.gold.quota.offset: expected from 0 to the limit, 10, got 20"),
        ("offset: 2, ", "", 21, "plans.gold.quota.start: expected an offset with it"),
        ("plans:\n", "throttle: {}\nplans:\n", 17, "duplicate name 'throttle' (first in line 1)"),
        ("plans:", "plans: [", 19, "expected YAML: "),
        (
            "type: rest",
            "type: !!python/name:os.system rest",
            4,
            "apis.shop.type: expected no tag, got !!python/name:os.system",
        ),
        (
            "type: rest",
            "nested: {a: {b: [1, {c: 2}]}}",
            4,
            "apis.shop: unknown name 'nested' (choose from type, routes",
        ),
        (
            "      prod:",
            "      $default:",
            11,
            "apis.shop.stages.$default: expected a name of letters, digits, - and _",
        ),
        ("api_keys:", "headers: loud\napi_keys:", 15, "headers: expected one of draft, legacy, both, none, got 'loud'"),
        (
            "api_keys:",
            "trusted_proxies: 10.0.0.0/40\napi_keys:",
            15,
            "trusted_proxies[0]: expected a network such as 10.0",
        ),
        ("rate: 100,", "rate: 1:30,", 1, "throttle.rate: expected a number, got '1:30'"),
        ("rate: 100,", f"rate: 1{'0' * 400},", 1, "throttle.rate: expected a number, got 1000"),
        ("burst: 50", "burst: 050", 1, "throttle.burst: expected a whole number, got '050'"),
        (
            "api_keys:\n",
            f"api_keys:\n  ben: {'a' * 24}\n",
            17,
            "api_keys.ann: expected a value of its own, got that of 'ben'",
        ),
        ("api_keys:\n  ann", "api_keys:\n  a/nn", 16, "api_keys['a/nn']: expected a name without spaces and slashes"),
        ("api_keys:\n  ann", "api_keys:\n  a nn", 16, "api_keys['a nn']: expected a name without spaces and slashes"),
        ("gold:", "go/ld:", 18, "plans['go/ld']: expected a name of letters, digits, - and _, got 'go/ld'"),
        ("  shop:", "  sh op:", 3, "apis['sh op']: expected a name of letters, digits, - and _, got 'sh op'"),
        (
            "plans:",
            "domains:\n  shop.example:80: {/: shop}\nplans:",
            18,
            "domains['shop.example:80']: expected a host such as 'shop.example', in lower case and without a port, or '*'",
        ),
        ("plans:", "domains:\n  Shop.Example: {/: shop}\nplans:", 18, "domains['Shop.Example']: expected a host"),
        ("plans:", "domains:\n  '*.example': {/: shop}\nplans:", 18, "domains['*.example']: expected a host"),
        (
            "plans:",
            "domains:\n  '*': {/: shop/dev}\nplans:",
            18,
            "domains['*']['/']: unknown API or stage 'shop/dev' (did you mean 'shop/prod'? choose from shop, shop/prod)",
        ),
        (
            "api_keys:",
            "tables: redis\napi_keys:",
            15,
            "tables: expected memory, shared:NAME, file:FOLDER or valkey://HOST:PORT/0?name=NAME, got 'redis'",
        ),
        (
            "throttle: {rate: 100, burst: 50}",
            "throttle: fixed-window 5/s",
            1,
            "throttle: expected a token bucket, such as",
        ),
        (
            "throttle: {rate: 100, burst: 50}",
            "throttle: 5/s; 9/m",
            1,
            "throttle: limit '5/s; 9/m': expected a single limit",
        ),
    ],
)
def test_error_names_file_line_path_and_value(tmp_path, old, new, line, problem):
    assert old in YAML
    lines = lines_of(written(tmp_path, YAML.replace(old, new, 1)))
    assert any(one.startswith(f"{line}: {problem}") for one in lines), lines


def test_all_errors_are_reported_at_once(tmp_path):
    text = (
        YAML.replace("rate: 100", "rate: many").replace("status: 201", "status: 99").replace("keys: ann", "kees: ann")
    )
    assert [line.partition(": ")[2].partition(":")[0] for line in lines_of(written(tmp_path, text))] == [
        "throttle.rate",
        "apis.shop.resources['/pets'].GET.mock.status",
        "plans.gold",
        "plans.gold",
    ]
    text = YAML.replace("keys: ann", "keys: [bob, eve]").replace("GET /pets: {rate", "GET /cats: {rate")
    assert [line.partition(": ")[2].partition(":")[0] for line in lines_of(written(tmp_path, text))] == [
        "apis.shop.stages.prod.route_throttles",
        "plans.gold.keys[0]",
        "plans.gold.keys[1]",
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "expected a configuration, got an empty file"),
        ("5", 1, "expected names and their values, got 5"),
        ("[]", 1, "expected names and their values, got []"),
        ("a: [", 2, "expected YAML: "),
        ("\0", 1, "expected YAML: unacceptable character"),
        ("apis: {}", 1, "apis: expected at least one API, got {}"),
        ("apis: 1\n---\napis: 2", 2, "expected YAML: but found another document"),
        ("throttle: " + "[" * 5_000 + "]" * 5_000, 1, "expected YAML: exceeded maximum nesting depth"),
        (f"max_keys: 1{'0' * 5000}", 1, "max_keys: expected a whole number, got '1000"),
        ("a: !!set {x}", 1, "a: expected no tag, got !!set"),
        ("a: !mine x", 1, "a: expected no tag, got !mine"),
        ("a: !!bool maybe", 1, "a: expected true or false, got 'maybe'"),
    ],
)
def test_rejects_files_that_are_not_configurations(tmp_path, text, line, problem):
    lines = lines_of(written(tmp_path, text))
    assert any(one.startswith(f"{line}: {problem}") for one in lines), lines


def nested(make):
    """A small file whose aliases stand for 9**9 values."""
    names = "abcdefghi"
    first = "a: &a {x: 1, y: 1}\n"
    return first + "".join(f"{name}: &{name} {make(below)}\n" for below, name in pairwise(names))


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (nested(lambda below: f"[{', '.join([f'*{below}'] * 9)}]"), None, "expected aliases that copy at most 50000"),
        (
            nested(lambda below: "{" + ", ".join(f"k{i}: *{below}" for i in range(9)) + "}"),
            None,
            "expected aliases that copy at most 50000 values",
        ),
        (nested(lambda below: f"{{<<: [{', '.join([f'*{below}'] * 9)}], own: 1}}"), 1, "unknown name 'a'"),
        ("apis: &a {b: *a}", 1, "apis.b.b.b: expected at most 40 levels"),
        ("apis: &a [*a]", 1, "expected at most 40 levels"),
        ("apis: &a {<<: *a}", 1, "expected at most 40 levels"),
        ("\n".join(f"x{i}: 1" for i in range(2_000)), 1, "unknown name 'x0'"),
        ("throttle: " + "x" * 1_000_000, 1, "throttle: limit "),
        ("throttle: {rate: " + "x" * 1_000_000 + "}", 1, "throttle.rate: expected a number, got 'xxx"),
    ],
)
def test_bounds_what_a_file_expands_to_and_what_an_error_echoes(tmp_path, text, line, problem):
    """Bounded by the number of values, so that a small file costs neither seconds nor much memory."""
    lines = lines_of(written(tmp_path, text))
    prefix = "" if line is None else f"{line}: "
    assert any(one.startswith(prefix) and problem in one for one in lines), lines
    assert sum(map(len, lines)) < 12_000


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("function: 'nothing:here'", "function 'nothing:here' cannot be loaded"),
        ("function: ':here'", "function: expected a callable, or a text such as 'package.module:name', got ':here'"),
        ("function: 'os:'", "function: expected a callable, or a text such as 'package.module:name', got 'os:'"),
        ("function: 'os:sep'", "function 'os:sep' is not callable"),
        (
            "proxy: 'http://127.0.0.1/${stageVariables.port}'",
            "unknown variable of stage $default 'stageVariables.port'",
        ),
        ("proxy: 'http://127.0.0.1/${context.stage}'", "unknown variable of stage $default 'context.stage'"),
        ("proxy: ['http://a/x', 'http://b/y']", "the same path"),
        ("proxy: 'http://a', request: {'overwrite:header.host': x}", "the gateway itself writes this header"),
        ("proxy: 'http://a', request: {'add:header.x': x}", "request['add:header.x']: expected 'overwrite:header.x'"),
        (
            "proxy: 'http://a', request: {'overwrite:statuscode': '200'}",
            "expected under response: a request has no status",
        ),
        ("proxy: 'http://a', response: {'overwrite:path': /x}", "expected under request: an answer has no path"),
        (
            "proxy: 'http://a', request: {'overwrite:path': x/$request.path.id}",
            "path: expected one that begins with /, got 'x/$request.path.id'",
        ),
        (
            "proxy: 'http://a', request: {'overwrite:path': /a/../b}",
            "mapping 'overwrite:path': the path has a dot segment",
        ),
        ("proxy: 'http://a', response: {'overwrite:statuscode': '999'}", "'999' is not a status"),
        ('proxy: "http://a", request: {"append:header.x": "a\\nb"}', "a control character for header x"),
        ("mock: {}, authorizer: unlisted", "authorizer: unknown authorizer 'unlisted'"),
        ("mock: {}, allow: 10.0.0.0/99", "allow[0]: expected a network such as 10.0.0.0/8 ('10.0.0.0/99'"),
        ("mock: {}, allow: 10.0.0.1/8", "has host bits set"),
        (
            "mock: {}, request: {'overwrite:header.x': y}",
            "request: expected a backend: a mock does not read the request",
        ),
        ("mock: {headers: {content-length: 5}}", "the gateway itself writes this header"),
        ("mock: {headers: {a name: x}}", "mock.headers['a name']: expected"),
        (
            'mock: {headers: {x: "a\\nb"}}',
            "mock.headers.x: mapping 'overwrite:header.x': a control character for header x",
        ),
        ("proxy: 'http://127.0.0.1/{nothing}'", "proxy.to[0]: unknown variable '{nothing}'"),
        ("proxy: 'http://127.0.0.1/a}'", "path: expected variables such as {id}, got '/a}'"),
        ("mock: {}}, 'GET /{a}': {proxy: 'http://{a}/'", "address 'http://{a}/': it has no host"),
        ("mock: {}}, 'GET /{id}': {proxy: 'http://127.0.0.1/?id={id}'", "{variables} in the path"),
        ("proxy: 'http://ann:secret@127.0.0.1/'", "it may have host, port, path and query"),
        ("proxy: 'http://127.0.0.1/#top'", "it may have host, port, path and query"),
        ("function: 'broken_beside:f'", "function 'broken_beside:f' cannot be loaded: SyntaxError: "),
        ("function: 'raising_beside:f'", "function 'raising_beside:f' cannot be loaded: RuntimeError: no database"),
        ("proxy: 'http://127.0.0.1:99999/'", "address 'http://127.0.0.1:99999/': Port out of range"),
        ("proxy: 'ws://127.0.0.1/'", "proxy.to[0]: expected an http or https address in an API of this type"),
        ("aggregate: {}", "aggregate: expected at least one backend, got {}"),
        (
            "aggregate: {errors: 'http://127.0.0.1/'}",
            "aggregate.errors: expected another name: the answer lists failed",
        ),
        ("function: json", "function: unknown function 'json'"),
        ("aggregate: {a: 'ws://127.0.0.1/'}", "aggregate.a.to[0]: expected an http or https address in an API of this"),
        ("proxy: [5, 'http://a']", "proxy.to[0]: expected an address that begins with http://"),
        ("proxy: []", "proxy.to: expected at least one address, got []"),
    ],
)
def test_check_reports_problems_with_file_and_line(tmp_path, capsys, route, problem):
    """This includes problems that appear only when the configuration is compiled."""
    (tmp_path / "broken_beside.py").write_text("def f(event:\n")
    (tmp_path / "raising_beside.py").write_text("raise RuntimeError('no database')\n")
    file = written(tmp_path, f"apis:\n  a:\n    stages: {{$default: {{}}}}\n    routes: {{\nGET /: {{{route}}}}}")
    assert main([str(file), "--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith(f"{file}:5: apis.a.routes") for line in lines)
    assert any(problem in line for line in lines), lines


def test_check_reports_all_functions_that_cannot_be_loaded(tmp_path, capsys):
    text = """
apis:
  a:
    routes:
      GET /: {function: "no_module:a"}
      GET /b: {function: "no_module:b", authorizer: c}
    authorizers:
      c: {function: "no_module:c"}
    stages: {$default: {}, prod: {}}
"""
    file = written(tmp_path, text)
    assert main([str(file), "--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{file}:5", "apis.a.routes['GET /']"],
        [f"{file}:6", "apis.a.routes['GET /b']"],
        [f"{file}:8", "apis.a.authorizers.c.function"],
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (
            "responses:\n  TEAPOT: {}",
            3,
            "responses.TEAPOT: unknown gateway response 'TEAPOT' (choose from ACCESS_DENIED",
        ),
        ("access_log: /nowhere/access.log", 2, "No such file or directory: '/nowhere/access.log'"),
        ("max_keys: 100000000000000", 2, "max_keys=100000000000000 takes"),
        ("head_timeout: 0", 2, "head_timeout: expected more than 0 seconds, got 0"),
        ("head_timeout: .inf", 2, "head_timeout: expected a finite number, got .inf"),
        ("max_head: -1", 2, "max_head: expected more than 0 bytes, got -1"),
        ("plans: {p: {keys: [], stages: a/}}", 2, "plans.p.stages[0]: unknown stage 'a/'"),
        (
            "plans: {p: {keys: [], stages: [], route_throttles: {a/$default: {}}}}",
            2,
            "plans.p.route_throttles: unknown stage of the plan 'a/$default'",
        ),
        (
            "plans:\n  p:\n    keys: []\n    stages: a/$default\n    route_throttles:\n      a/$default:\n"
            "        GET /typo: {rate: 1, burst: 1}",
            8,
            "plans.p.route_throttles['a/$default']: unknown route 'GET /typo'",
        ),
        (
            "plans:\n  p:\n    keys: []\n    stages: a/$default\n    route_throttles:\n      a/$default:\n"
            "        GET /: {rate: 1, burst: 1}",
            8,
            "plans.p.route_throttles['a/$default']['GET /']: expected a route that has api_key_required",
        ),
        ("domains:\n  x.example: {a: a}", 3, "domains['x.example'].a: expected a base path such as '/v1', got 'a'"),
        (
            "apis: {t: {type: websocket,\nroute_selection: $context.typo,\nstages: {x: {}}}}",
            3,
            "$context has no 'typo'",
        ),
        (
            "apis: {t: {type: websocket,\nroute_selection: action,\nstages: {x: {}}}}",
            3,
            "route_selection: expected a text such as '$request.body.action', got 'action'",
        ),
        (
            "apis: {t: {authorizers: {b: {function: 'os:abort'}},\nroutes: {GET /: {mock: {},\nauthorizer: c}},\n"
            "stages: {x: {}}}}",
            4,
            "apis.t.routes['GET /'].authorizer: unknown authorizer 'c' (choose from b)",
        ),
        ("max_keys: 5\nmax_keys: 6", 3, "duplicate name 'max_keys' (first in line 2)"),
        ("max_head: !!int many", 2, "max_head: expected a whole number, got 'many'"),
        (
            "plans: {p: {keys: [], stages: [], quota: {limit: 1, period: DAY, offset: 1, start: 2026-13-45}}}",
            2,
            "plans.p.quota.start: expected a day such as 2026-01-31, got '2026-13-45'",
        ),
        ("? [a, b]\n: 5", 2, "expected a name, got a list or a mapping"),
        ("access_log:\n  file: '-'\n  format: $context.requestID", 4, "$context has no 'requestID', but requestId, "),
        ("access_log:\n  file: '-'\n  format: $context.status-ok", 4, "$context has no 'status-ok'"),
        ("responses:\n  THROTTLED: {body: $request.cookie.x}", 3, "$request has no 'cookie.x', but header.NAME, "),
        (
            "responses:\n  THROTTLED: {headers: {x: '${stage.x}'}}",
            3,
            "variable: expected one of context, request or stageV",
        ),
        ("responses:\n  THROTTLED: {body: $context.authorizer.x}\nmax_head: 0", 4, "max_head"),
        ("responses:\n  THROTTLED: {body: '${context.error.messageString}'}\nmax_head: 0", 4, "max_head"),
        ("apis: {a: {stages: {x: {}}}, b: {stages: {x: {}}}}", 2, "missing required domains, for several APIs"),
        (
            "apis: {a: {stages: {x: {deployment: new,\ncanary: {percent: 1, deployment: stabel}}},\ndeployments: {stable: {}}}}",
            3,
            "apis.a.stages.x.canary.deployment: unknown deployment 'stabel' (did you mean 'stable'? choose from stable)",
        ),
        (
            "apis: {a: {stages: {x: {}}, routes: {'GET /{a}': {mock: {}},\n'GET /{b}': {mock: {}}}}}",
            3,
            "apis.a.routes['GET /{b}']: duplicate route: 'GET /{a}' at apis.a.routes['GET /{a}'] has the same requests",
        ),
        (
            "apis: {a: {stages: {x: {}}, routes: {'GET /{a.b}': {mock: {}},\n'GET /{c-d}': {mock: {}}}}}",
            3,
            "apis.a.routes['GET /{c-d}']: duplicate route: 'GET /{a.b}' at apis.a.routes['GET /{a.b}']",
        ),
        ("apis: {a: {type: rest, stages: {x: {}}, routes: {\n$default: {mock: {}}}}}", 3, "a REST API has no $default"),
        ("apis: {a: {stages: {x: {}}, routes: {\nget /: {mock: {}}}}}", 3, "route key: expected 'METHOD /path'"),
    ],
)
def test_check_reports_problems_between_objects(tmp_path, capsys, text, line, problem):
    apis = "" if "apis:" in text else "apis: {a: {routes: {GET /: {mock: {}}}, stages: {$default: {}}}}"
    file = written(tmp_path, f"{apis}\n{text}\n")
    assert main([str(file), "--check"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert any(one.startswith(f"{file}:{line}: ") and problem in one for one in lines), lines


@pytest.mark.parametrize(
    ("api", "problem"),
    [
        ("type: websocket, routes: {say: {mock: {}, deny: 10.0.0.0/8}}", "routes.say.deny: expected only at $connect"),
        (
            "type: websocket, routes: {say: {mock: {}, allow: 10.0.0.0/8}}",
            "routes.say.allow: expected only at $connect",
        ),
        (
            "type: websocket, authorizers: {a: {function: 'os:abort'}}, routes: {$default: {mock: {}, authorizer: a}}",
            "routes.$default.authorizer: expected only at $connect",
        ),
        (
            "type: websocket, routes: {say: {mock: {}, api_key_required: true}}",
            "routes.say.api_key_required: expected only at $connect",
        ),
        (
            "type: websocket, deployments: {v: {say: {mock: {}, deny: 10.0.0.0/8}}}",
            "deployments.v.say.deny: expected only at $connect",
        ),
        (
            "type: websocket, routes: {say: {mock: {headers: {x: y}}}}",
            "routes.say.mock.headers: expected only at $connect",
        ),
        (
            "type: websocket, routes: {say: {function: 'os:abort', response: {'overwrite:header.x': y}}}",
            "routes.say.response: expected only at $connect",
        ),
        (
            "type: websocket, routes: {$disconnect: {mock: {body: bye}}}",
            "routes.$disconnect.mock.body: expected no body",
        ),
        ("type: websocket, routes: {$connect: {proxy: 'ws://a'}}", "routes.$connect.proxy: expected an http or https"),
        ("type: websocket, routes: {$message: {mock: {}}}", "routes: unknown route '$message' (choose from $connect,"),
        ("type: websocket, routes: {say: {proxy: 'http://a/{id}'}}", "routes.say.proxy.to[0]: unknown variable '{id}'"),
        (
            "type: websocket, routes: {say: {aggregate: {a: 'ws://a'}}}",
            "routes.say.aggregate.a.to[0]: expected an http or https address in an aggregate",
        ),
        ("type: websocket, resources: {/a: {GET: {mock: {}}}}", "resources: expected routes: only an API of type rest"),
        ("resources: {/a: {GET: {mock: {}}}}", "resources: expected routes: only an API of type rest has resources"),
        ("limits: {idle: 5}", "limits: expected only in an API of type websocket, not http"),
        ("route_selection: $request.body.x", "route_selection: expected only in an API of type websocket, not http"),
        ("routes: {GET /: {mock: {}, timeout: 5}}", "routes['GET /'].timeout: expected a function or an aggregate"),
        ("routes: {GET /: {proxy: 'http://a', timeout: 5}}", "routes['GET /'].timeout: expected in the proxy"),
        (
            "routes: {GET /: {proxy: {to: 'http://a', verify: false}}}",
            "routes['GET /'].proxy.verify: expected an https or wss address with it",
        ),
    ],
)
def test_rejects_settings_that_have_no_effect(tmp_path, api, problem):
    lines = lines_of(written(tmp_path, f"apis: {{a: {{stages: {{prod: }}, {api}}}}}"))
    assert any(line.startswith(f"1: apis.a.{problem}") for line in lines), lines


def test_rejects_a_throttle_of_disconnect(tmp_path):
    """A client that disconnects cannot be refused."""
    text = "apis: {a: {type: websocket, routes: {$disconnect: {mock: {}}}, stages: {prod: {route_throttles: {"
    lines = lines_of(written(tmp_path, text + "$disconnect: {rate: 1, burst: 1}}}}}}"))
    assert lines == [
        "1: apis.a.stages.prod.route_throttles.$disconnect: expected a route with requests: a client that disconnects "
        "cannot be refused"
    ]


@pytest.mark.parametrize(
    ("text", "line", "warning"),
    [
        (
            "apis: {a: {stages: {x: }, routes: {\nGET /pets/:id: {mock: {}}}}}",
            2,
            "apis.a.routes['GET /pets/:id']: this route matches '/pets/:id' literally; "
            "for any value write 'GET /pets/{id}'",
        ),
        (
            "apis: {a: {stages: {x: }, routes: {\nANY /pets/*: {mock: {}}}}}",
            2,
            "apis.a.routes['ANY /pets/*']: this route matches '/pets/*' literally; "
            "for any value write 'ANY /pets/{proxy+}'",
        ),
        (
            "apis: {a: {type: rest, stages: {x: }, resources: {/pets: {\n'/:id': {GET: {mock: {}}}}}}}",
            2,
            "apis.a.resources['/pets']['/:id'].GET: this route matches '/pets/:id' literally; "
            "for any value write 'GET /pets/{id}'",
        ),
        (
            "apis: {a: {stages: {x: {deployment: v1}}, deployments: {v1: {}},\nroutes: {GET /: {mock: {}}}}}",
            2,
            "apis.a.routes: no stage refers to these routes",
        ),
        (
            "apis: {a: {stages: {x: }, routes: {}, deployments: {\nv1: {GET /: {mock: {}}}}}}",
            2,
            "apis.a.deployments.v1: no stage refers to these routes",
        ),
        (
            "apis: {a: {stages: {x: }, routes: {}, authorizers: {\nb: {function: 'os:abort'}}}}",
            2,
            "apis.a.authorizers.b: no route refers to this authorizer",
        ),
        (
            "apis: {a: {stages: {x: }, routes: {GET /: {proxy: {to: 'http://b/',\nmax_fails: 3}}}}}",
            2,
            "apis.a.routes['GET /'].proxy.max_fails: expected several addresses with it: a single one is never left out",
        ),
        (
            f"apis: {{a: {{stages: {{x: }}}}}}\napi_keys:\n  ann: {'a' * 20}",
            3,
            "api_keys.ann: no plan has this key, so it opens no route",
        ),
        (
            "apis: {a: {stages: {x: }, routes: {GET /: {mock: {}}}}}\nplans: {p: {keys: [],\nstages: a/x}}",
            3,
            "plans.p.stages[0]: no route of a/x has api_key_required, so the plan limits nothing there",
        ),
    ],
)
def test_check_warns_of_probable_mistakes(tmp_path, capsys, text, line, warning):
    file = written(tmp_path, text)
    assert main([str(file), "--check"]) == 0
    assert capsys.readouterr().err == f"{file}:{line}: warning: {warning}\n"


@pytest.mark.parametrize("route", ["GET /pets/{id}", "GET /a:b/c*d", "GET /", "$default", "ANY /{proxy+}"])
def test_does_not_warn_of_usual_route_keys(tmp_path, route):
    file = written(tmp_path, f"apis: {{a: {{stages: {{x: }}, routes: {{'{route}': {{mock: {{}}}}}}}}}}")
    assert Document.read(file).warnings == ()


def test_error_has_the_line_of_its_own_route(tmp_path):
    """Where the same text occurs twice, it is the line of the one that is wrong."""
    route = 'GET /: {proxy: "http://${stageVariables.host}/"}'
    file = written(
        tmp_path,
        f"""
apis:
  orders:
    routes:
      {route}
    stages: {{prod: {{variables: {{host: x}}}}}}
  pets:
    routes:
      {route}
    stages: {{prod: {{}}}}
domains: {{"*": {{/: pets, /orders: orders}}}}
""",
    )
    assert lines_of(file) == [
        "9: apis.pets.routes['GET /'].proxy.to[0]: unknown variable of stage prod 'stageVariables.host'"
    ]


def test_byte_order_mark_is_ignored(tmp_path):
    """Some editors write one."""
    file = tmp_path / "gateway.yaml"
    file.write_text(YAML, "utf-8-sig")
    assert read_file(file) == made_in_python()


def test_rejects_a_file_that_is_not_utf_8(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"a: b\nc: \xff\n")
    with pytest.raises(ConfigurationError, match=r"gateway.yaml:2: .*0xff"):
        read_file(file)


def test_own_value_wins_over_a_merged_one(tmp_path):
    """A number that is meant as text is the text in the file."""
    file = tmp_path / "gateway.yaml"
    file.write_text("""
apis:
  a:
    routes:
      GET /: &one {mock: {body: one}, max_body: 1}
      GET /two: {<<: *one, max_body: 2}
    stages: {prod: {variables: {version: 1.10, port: 0080}}}
""")
    api = read_file(file).apis["a"]
    assert {key: (route.mock.body, route.max_body) for key, route in api.routes.items()} == {
        "GET /": ("one", 1),
        "GET /two": ("one", 2),
    }
    assert api.stages["prod"].variables == {"version": "1.10", "port": "0080"}


def test_accepts_empty_objects_exponents_and_texts_that_look_like_numbers(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_text("""
throttle: {rate: 1e3, burst: 1_000}
plans:
apis:
  a:
    routes: {GET /: {mock: {}}}
    stages:
      prod:
      dev: {throttle: {rate: .5, burst: 1}, variables: {time: 12:30, octal: 0x1F, day: 2026-01-31}}
""")
    configuration = read_file(file)
    stages = configuration.apis["a"].stages
    assert configuration.throttle == Throttle(1000.0, 1000)
    assert (configuration.plans, stages["prod"]) == ({}, Stage())
    assert stages["dev"] == Stage(
        throttle=Throttle(0.5, 1), variables={"time": "12:30", "octal": "0x1F", "day": "2026-01-31"}
    )


def test_check_does_not_create_the_access_log(tmp_path):
    text = "apis: {{a: {{routes: {{GET /: {{mock: {{}}}}}}, stages: {{x: {{}}}}}}}}\naccess_log: {}"
    assert main([str(written(tmp_path, text.format(tmp_path / "access.log"))), "--check"]) == 0
    assert not (tmp_path / "access.log").exists()


def test_check_accepts_a_right_file(tmp_path, capsys):
    file = tmp_path / "gateway.yaml"
    file.write_text(YAML)
    assert main([str(file), "--check"]) == 0
    assert "1 API, 1 plan" in capsys.readouterr().out
    assert main([str(tmp_path / "none.yaml"), "--check"]) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("tables", "problem"),
    [("/proc/nowhere", "'/proc/nowhere'"), ("tables", "is not a ratelimit table: it has 7 bytes")],
)
def test_command_rejects_tables_that_cannot_be_opened(tmp_path, monkeypatch, capsys, tables, problem, workers):
    """The error is one line, and no worker is started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "counts.tbl").write_text("rubbish")
    (tmp_path / "gateway.yaml").write_text(f"{YAML}tables: file:{tables}\n")
    assert main(["gateway.yaml", "--workers", workers]) == 1
    told = capsys.readouterr().err
    assert (told.count("\n"), problem in told) == (1, True)


def test_a_file_of_keys_is_beside_the_configuration(tmp_path):
    tokens = "authorizers: {b: {jwt: {issuer: c, keys: keys.json}}}"
    api = f"{tokens}, routes: {{GET /: {{mock: {{}}, authorizer: b}}}}, stages: {{x: }}"
    file = written(tmp_path, f"apis: {{a: {{{api}}}}}\naccess_log: a.log\ntables: file:counts")
    configuration, warning = read_file(file), Document.read(file).warnings
    keys = configuration.apis["a"].authorizers["b"].jwt.keys
    assert keys == str(tmp_path / "keys.json")
    problem = f"apis.a.authorizers.b.jwt.keys: no such file, so every token is refused: {keys!r}"
    assert warning == (f"{file}:1: warning: {problem}",)
    (tmp_path / "keys.json").write_text("{}")
    assert Document.read(file).warnings == ()
    assert (configuration.access_log.file, configuration.tables) == ("a.log", "file:counts")  # in the working folder


def test_functions_are_imported_from_the_folder_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "functions_beside.py").write_text("def here(event): ...")
    file = tmp_path / "gateway.yaml"
    file.write_text("apis: {a: {routes: {GET /: {function: 'functions_beside:here'}}, stages: {$default: {}}}}")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main([str(file), "--check"]) == 0


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: Networks("10.0.0.0/8"), "networks"),
        (lambda: Route(function=5), "function: expected a callable, or a text such as 'package.module:name', got 5"),
        (lambda: Throttle("5", 1), "rate: expected a number, got '5'"),
        (
            lambda: Authorizer("auth."),
            "function: expected a callable, or a text such as 'package.module:name', got 'auth.'",
        ),
        (
            lambda: CalendarQuota(5, "DAY", start="2026-01-31"),
            "start: expected a day such as 2026-01-31, got '2026-01-31'",
        ),
        (
            lambda: Throttle(1, 2, burts=3),
            "unknown name 'burts' (did you mean 'burst'? choose from rate, burst, shadow)",
        ),
        (lambda: Throttle(1), "missing required burst"),
        (lambda: Proxy([5]), "to[0]: expected text, got 5"),
        (lambda: Plan([5], ["shop/prod"]), "keys[0]: expected text, got 5"),
        (lambda: Canary(101), "percent: expected from 0 to 100, got 101"),
        (
            lambda: Route(mock=Mock(), proxy=Proxy("http://a")),
            "expected one of mock, proxy, function, aggregate, got mock",
        ),
        (
            lambda: Gateway(Configuration({"a": Api(stages={"x": Stage(deployment="v1")})})),
            "apis.a.stages.x.deployment: unknown deployment 'v1'",
        ),
    ],
)
def test_python_gets_the_same_errors_without_file_and_line(wrong, problem):
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (a ConfigurationError is one)
        wrong()
    assert str(caught.value).startswith(problem)


def test_one_text_is_a_list_of_one():
    """It is not a list of letters."""
    assert Proxy("http://127.0.0.1").to == ("http://127.0.0.1",)
    assert Plan("ann", "shop/prod") == Plan(["ann"], ["shop/prod"])


def test_configuration_cannot_be_changed():
    configuration = made_in_python()
    with pytest.raises(AttributeError):
        configuration.shadow = True
    with pytest.raises(TypeError):
        configuration.apis["other"] = configuration.apis["shop"]
    names = ["ann"]
    plan = Plan(names, [])
    names.append("ben")
    assert plan.keys == ("ann",)


@pytest.mark.parametrize(
    ("text", "throttle"),
    [
        ("60/minute", Throttle(1.0, 60)),
        ("token-bucket 60/minute burst 40", Throttle(1.0, 40)),
        ("10r/s", Throttle(10.0, 10)),
        ("1000/day burst 5", Throttle(1000 / 86_400, 5)),
    ],
)
def test_throttle_may_be_a_text_of_the_language_of_limits(tmp_path, text, throttle):
    apis = "apis: {a: {stages: {x: {throttle: LIMIT, route_throttles: {'*': LIMIT}}}}}\nthrottle: LIMIT"
    configuration = read_file(written(tmp_path, apis.replace("LIMIT", text)))
    stage = configuration.apis["a"].stages["x"]
    assert (configuration.throttle, stage.throttle, stage.route_throttles["*"]) == (throttle,) * 3


def test_rejects_a_key_in_two_plans_for_one_stage():
    configuration = made_in_python()
    plans = {"gold": configuration.plans["gold"], "free": Plan(["ann"], ["shop/prod"])}
    twice = Configuration(apis=configuration.apis, api_keys=configuration.api_keys, plans=plans)
    message = r"plans.free.keys\[0\]: expected one plan for each key and stage, got 'gold' for 'ann' and 'shop/prod'"
    with pytest.raises(ConfigurationError, match=message):
        Gateway(twice)


def test_routes_of_a_deployment():
    routes = {"GET /": Route(mock=Mock(body="now"))}
    api = Api(routes=routes, deployments={"v1": {"GET /": Route(mock=Mock(body="v1"))}}, stages={"x": Stage()})
    routes["GET /"] = Route(mock=Mock(body="later"))
    assert [api.routes_of(name)["GET /"].mock.body for name in (None, "v1")] == ["now", "v1"]


# --- the schema


class TextDates(yaml.SafeLoader):
    """As editors read YAML: a day is text."""


TextDates.yaml_implicit_resolvers = {
    first: [one for one in all if not one[0].endswith(":timestamp")]
    for first, all in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
VALIDATOR = jsonschema.Draft202012Validator(schema())


def schema_errors(text):
    return [error.json_path for error in VALIDATOR.iter_errors(yaml.load(text, TextDates))]


def test_schema_is_valid_by_draft_2020_12():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "file", [*sorted(EXAMPLES.glob("*.yaml")), None], ids=lambda file: file.name if file else "own"
)
def test_schema_accepts_what_the_gateway_accepts(file):
    assert schema_errors(file.read_text() if file else YAML) == []


@pytest.mark.parametrize(
    "text",
    [
        "access_log: '-'\noperator:\nplans:",
        "access_log: {file: '-'}\nthrottle: null",
        "throttle: 60/minute burst 5",
    ],
)
def test_schema_accepts_shorthands(tmp_path, text):
    text += "\napis: {a: {stages: {prod: }, routes: {GET /: {proxy: ['http://a', 'http://b'], allow: 10.0.0.0/8}}}}"
    read_file(written(tmp_path, text))
    assert schema_errors(text) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("burst: 50", "brust: 50"),
        ("throttle: {rate: 100", "throtle: {rate: 100"),
        ("resources:", "resource:"),
        ("      /pets:", "      pets:"),
        ("GET: {mock", "FETCH: {mock"),
        ("status: 201", "state: 201"),
        ("api_key_required", "api_key_require"),
        ("route_throttles", "route_throttle"),
        ("period: WEEK", "period: YEAR"),
        ("quota:", "qouta:"),
        ("type: rest", "type: soap"),
        ("rate: 100,", "rate: many,"),
        ("status: 201", "status: 99"),
        ("ann: aaaaaaaaaaaaaaaaaaaaaaaa", "ann: short"),
        ("  shop:", "  sh op:"),
    ],
)
def test_schema_refuses_what_the_gateway_refuses(tmp_path, old, new):
    assert old in YAML
    text = YAML.replace(old, new, 1)
    assert schema_errors(text)
    assert lines_of(written(tmp_path, text))


def test_schema_refuses_unknown_gateway_responses():
    apis = "apis: {a: {stages: {x: }}}\n"
    assert schema_errors(apis + "responses: {TEAPOT: {}}")
    assert schema_errors(apis + "".join(f"responses: {{{name}: {{status: 418}}}}\n" for name in RESPONSES[:1])) == []


def fields_of(node, path=""):
    """All fields in the schema: path and node."""
    for name, inner in node.get("properties", {}).items():
        yield f"{path}.{name}", inner


def test_every_field_is_documented_for_editors():
    found = schema()
    objects = {"Configuration": found, **found["$defs"]}
    assert len(objects) > 15
    fields = {f"{name}{path}": node for name, one in objects.items() for path, node in fields_of(one)}
    assert len(fields) > 90
    assert [path for path, node in fields.items() if len(node.get("description", "")) < 10] == []
    assert [name for name, one in objects.items() if len(one.get("description", "")) < 10] == []


def test_command_prints_the_schema(capsys):
    assert main(["--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_command_needs_a_file(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "missing required FILE" in capsys.readouterr().err
